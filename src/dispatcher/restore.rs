//! What the dispatcher knew when it ended, from the newest checkpoint and the journal behind it.
//!
//! In: the checkpoint's bytes, or none; the journal of deliveries. Out: how far each destination has come, what was tried
//! of what is open, and who is paused.
//! Keeps: without the checkpoint the same comes out, later: the journal says all of it (`desk::note`).

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::checkpoint::{self, Checkpoint};
use super::follow::{walk, written_end};
use super::line::Remembered;
use super::progress::Progress;
use crate::clock::Timestamp;
use crate::event::codec::{Event, decode};
use crate::event::delivery::{DeliveryOutcome, DestinationChange, DestinationEvent};
use crate::store::lane::View;
use crate::store::{Error, Position};

/// One destination as it stood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// How far it has come.
    pub progress: Progress,
    /// Takes what is new as it comes.
    pub is_in_step: bool,
    /// Why nothing is sent to it.
    pub paused: Option<Box<str>>,
    /// By the place of its decision, what was tried of a delivery that has not ended.
    pub tried: HashMap<u64, Remembered>,
    /// Attempts since the midnight before `last_attempt`, and when that was.
    pub attempts_today: u64,
    /// When it was last attempted.
    pub last_attempt: Timestamp,
}

/// What was known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Where the desk goes on with what is new; nothing if it never ran.
    pub head: Option<Position>,
    /// By id.
    pub destinations: HashMap<Box<str>, Known>,
    /// Records that were read of the journal.
    pub replayed: u64,
    /// Why the checkpoint was left aside, if it was.
    pub refused: Option<String>,
}

/// Restores from a checkpoint, if there is one, and the journal of deliveries.
///
/// # Errors
/// The journal cannot be read.
pub fn restore(checkpoint: Option<&[u8]>, deliveries: &View) -> Result<Restored, Error> {
    let end = written_end(deliveries);
    let (mut from, mut restored) = (Position::START, Restored::default());
    match checkpoint.map(checkpoint::decode) {
        Some(Ok(Checkpoint { covered, .. })) if covered > end => {
            restored.refused = Some("it tells of more than the journal".to_owned());
        }
        Some(Ok(Checkpoint { covered, head, destinations })) => {
            from = covered;
            restored.head = Some(head);
            restored.destinations = destinations;
        }
        Some(Err(damaged)) => restored.refused = Some(damaged.to_string()),
        None => {}
    }
    let mut replayed = 0;
    walk(deliveries, from, end, |_, record| {
        replayed += 1;
        match decode(record.kind, record.schema, record.payload) {
            Ok(Event::DeliveryOutcome(outcome)) => restored.outcome(&outcome),
            Ok(Event::Destination(event)) => restored.event(&event),
            // Of a newer build, or of another journal: none of it is ours.
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    restored.replayed = replayed;
    restored.settle();
    Ok(restored)
}

impl Restored {
    /// Takes in what an attempt came to.
    pub fn outcome(&mut self, outcome: &DeliveryOutcome<'_>) {
        let Some(at) = Position::from_u64(outcome.decision) else { return };
        // Where one began is written down first. If that is damaged, it is told nothing older than what it was told.
        let begun_here =
            || Known { progress: Progress::starting_at(at), is_in_step: true, ..Known::default() };
        let known = self.destinations.entry(outcome.destination.into()).or_insert_with(begun_here);
        let (day, last_day) = (outcome.time.hour() / 24, known.last_attempt.hour() / 24);
        if day > last_day {
            known.attempts_today = 0;
        }
        // All deliveries of a request end in the same moment, and it counts once.
        let is_another = outcome.time != known.last_attempt;
        let was_made = outcome.http_status != 0 || outcome.duration_micros != 0;
        known.attempts_today += u64::from(day >= last_day && is_another && was_made);
        known.last_attempt = known.last_attempt.max(outcome.time);
        if outcome.is_final {
            known.tried.remove(&outcome.decision);
            // One that is not remembered is attempted again: at least once.
            let _is_remembered = known.progress.end(at);
            return;
        }
        let tried = known.tried.entry(outcome.decision).or_default();
        tried.tries.note(outcome.class);
        tried.attempts = outcome.attempt;
        tried.next = outcome.next_attempt.unwrap_or(outcome.time);
    }

    /// Takes in what happened to a destination.
    pub fn event(&mut self, event: &DestinationEvent<'_>) {
        let known = self.destinations.entry(event.destination.into()).or_default();
        match event.change {
            DestinationChange::Progress => {
                if let Ok((progress, rest)) = Progress::decode(event.detail) {
                    known.is_in_step = rest == [1];
                    // A note leaves out what the outcomes before it say.
                    known.progress = progress.with_ahead_of(&known.progress);
                }
            }
            DestinationChange::Paused => {
                known.paused = Some(String::from_utf8_lossy(event.detail).into());
            }
            DestinationChange::Resumed => known.paused = None,
            DestinationChange::Reopened => {
                if let Some(at) = Position::from_u64(event.decision) {
                    known.tried.remove(&event.decision);
                    let tried =
                        Remembered { since: Some(event.time), next: event.time, ..Remembered::default() };
                    known.tried.insert(event.decision, tried);
                    if !known.progress.reopen(at) {
                        known.progress.forget_end(at);
                    }
                }
            }
        }
    }

    /// Says where the desk goes on, if no checkpoint did.
    pub fn settle(&mut self) {
        if self.head.is_none() {
            // One reading serves all that are in step; who has come further passes by what he knows, and who is behind reads
            // by himself.
            let heads = |is_in_step: bool| {
                let of = self.destinations.values().filter(move |known| known.is_in_step == is_in_step);
                of.map(|known| known.progress.head())
            };
            self.head = heads(true).min().or_else(|| heads(false).max());
        }
    }
}
