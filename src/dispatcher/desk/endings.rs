//! Endings in: what an attempt means for its delivery, its destination and its site.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Desk, Job, JobItem, Log, Past};
use crate::clock::Timestamp;
use crate::dispatcher::breaker;
use crate::dispatcher::class::Consequence;
use crate::dispatcher::kept::Kept;
use crate::dispatcher::owed::delivery_id;
use crate::dispatcher::schedule::{self, Next};
use crate::dispatcher::site::Shut;
use crate::event::delivery::{DeliveryOutcome, OutcomeClass};
use crate::store::Position;

/// After so many deliveries that ended it is written down how far a destination has come: a rebuild from the journal alone
/// remembers no more than that many at once.
const NOTE_EVERY: u32 = 16_384;

/// When a delivery is looked at again whose destination the catalog does not name any more.
const ABSENT_PAUSE: Duration = Duration::from_mins(5);

/// When a decision is read again that could not be.
const UNREAD_PAUSE: Duration = Duration::from_secs(30);

/// What is said of a delivery whose decision is lost or damaged.
pub(in crate::dispatcher) const UNREADABLE: &str = "its decision cannot be read";

/// What is said of a delivery whose destination is gone.
const ABSENT: &str = "the catalog has not named its destination for too long";

/// What became of a job.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// What the request as a whole came to; nothing if none was made.
    pub request: Option<OutcomeClass>,
    /// For each item what became of it.
    pub items: Vec<ItemEnded>,
}

/// What became of one delivery of a job.
#[derive(Clone, Debug)]
pub enum ItemEnded {
    /// It was attempted.
    Tried(Tried),
    /// It will not be attempted any more.
    Dropped {
        /// See `owed::delivery_id`; zeros where the decision cannot be read.
        delivery_id: [u8; 16],
        /// Why.
        why: &'static str,
    },
    /// The catalog does not say any more how it is sent.
    Absent {
        /// See `owed::delivery_id`.
        delivery_id: [u8; 16],
    },
    /// Its decision cannot be read just now.
    Unread,
    /// It was not part of the request after all.
    PutBack,
}

/// An attempt at one delivery.
#[derive(Clone, Debug)]
pub struct Tried {
    /// See `owed::delivery_id`.
    pub delivery_id: [u8; 16],
    /// What it came to.
    pub class: OutcomeClass,
    /// The answer's status; 0 without one.
    pub http_status: u16,
    /// What the server asked for.
    pub retry_after: Option<Duration>,
    /// The first bytes of the answer, or what went wrong; masked.
    pub detail: Vec<u8>,
    /// How long it is tried.
    pub patience: schedule::Patience,
}

impl Desk {
    /// Takes in what a job came to.
    pub fn ended(&mut self, job: Job, ended: Ended, now: Timestamp, monotonic: Duration, log: &mut dyn Log) {
        let index = job.station;
        let took = monotonic.saturating_sub(job.began);
        let Some(station) = self.stations.get_mut(index) else { return };
        let in_use = self.turns.in_flight(station.place);
        self.turns.ended(job.turn, monotonic);
        let consequence = match ended.request {
            Some(class) => {
                self.tally.request(class, took);
                station.breaker.ended(job.pass, breaker::of_destination(class), monotonic);
                station.concurrency.ended(class, took, in_use, monotonic);
                station.streak.note(class)
            }
            None => {
                station.breaker.abandoned(job.pass, monotonic);
                Consequence::None
            }
        };
        let waiting = match self.sites.get_mut(job.site as usize) {
            Some(site) => site.leave(job.site_pass, ended.request, monotonic),
            None => BTreeSet::new(),
        };
        let ended_as = ended.request;
        let wait = ended.items.iter().find_map(|item| match item {
            ItemEnded::Tried(tried) => tried.retry_after,
            _ => None,
        });
        for (item, ended) in job.items.iter().zip(ended.items) {
            self.item_ended(index, item, ended, took, now, log);
        }
        match consequence {
            Consequence::None => {}
            Consequence::Pause => {
                self.pause(
                    index,
                    "it refused us as unauthorised again and again: look at its secrets",
                    now,
                    log,
                );
            }
            Consequence::Suspend => {
                self.pause(index, "it answered again and again that it is gone (410)", now, log);
            }
        }
        self.open(index);
        // Being told to wait is about all of it; but no longer than a breaker waits, in case that was a slip.
        if let Some(wait) = wait.filter(|_| ended_as == Some(OutcomeClass::Throttle)) {
            self.shut(index, Shut::For(wait.min(breaker::OPEN_MAX)), monotonic);
        }
        waiting.into_iter().for_each(|index| self.open(index));
        self.hungry.insert(index);
    }

    fn item_ended(
        &mut self,
        index: usize,
        item: &JobItem,
        ended: ItemEnded,
        took: Duration,
        now: Timestamp,
        log: &mut dyn Log,
    ) {
        let seed = self.options.seed;
        let Some(station) = self.stations.get_mut(index) else { return };
        let at = item.at;
        let attempt = item.delivery.attempts;
        match ended {
            ItemEnded::Unread => station.line.put_back(at, now.plus(UNREAD_PAUSE), now),
            ItemEnded::PutBack => station.line.put_back(at, item.delivery.next, now),
            ItemEnded::Absent { delivery_id } if now > item.delivery.due.plus(schedule::HORIZON_MAX) => {
                log.outcome(&DeliveryOutcome {
                    attempt,
                    ..dropped(&station.id, at, delivery_id, ABSENT, now)
                });
                self.finish(index, at, OutcomeClass::Dropped, now, log);
            }
            ItemEnded::Absent { .. } => station.line.put_back(at, now.plus(ABSENT_PAUSE), now),
            ItemEnded::Dropped { delivery_id, why } => {
                log.outcome(&DeliveryOutcome { attempt, ..dropped(&station.id, at, delivery_id, why, now) });
                self.finish(index, at, OutcomeClass::Dropped, now, log);
            }
            ItemEnded::Tried(tried) => {
                let Some(delivery) = station.line.tried(at) else { return };
                delivery.tries.note(tried.class);
                delivery.attempts = delivery.attempts.saturating_add(1);
                let ended = schedule::Ended {
                    delivery_id: tried.delivery_id,
                    due: delivery.due,
                    now,
                    class: tried.class,
                    tries: delivery.tries,
                    retry_after: tried.retry_after,
                };
                let next = schedule::next(&ended, tried.patience, seed);
                let (attempt, due) = (delivery.attempts, delivery.due);
                let next_attempt = if let Next::At(next) = next { Some(next) } else { None };
                log.outcome(&DeliveryOutcome {
                    time: now,
                    delivery_id: tried.delivery_id,
                    decision: at.to_u64(),
                    attempt,
                    class: tried.class,
                    is_final: next_attempt.is_none(),
                    http_status: tried.http_status,
                    duration_micros: u32::try_from(took.as_micros()).unwrap_or(u32::MAX),
                    next_attempt,
                    destination: &station.id,
                    detail: &tried.detail,
                });
                if attempt == 1 {
                    self.tally.first_attempt(now.since(due).saturating_sub(took));
                }
                match next_attempt {
                    Some(next) => station.line.put_back(at, next, now),
                    None => self.finish(index, at, tried.class, now, log),
                }
            }
        }
    }

    /// Gives up what waits for destinations that the catalog has not named for too long.
    pub fn give_up_absent(&mut self, past: Past<'_>, now: Timestamp, log: &mut dyn Log) {
        let before = now.minus(schedule::HORIZON_MAX);
        for station in self.stations.iter_mut().filter(|station| !station.is_named) {
            for at in station.line.give_up(before, now) {
                let kept = past(at);
                let delivery_id = kept
                    .as_ref()
                    .and_then(Kept::decision)
                    .map(|decision| delivery_id(decision.conversion_id, decision.sequence, &station.id));
                log.outcome(&dropped(&station.id, at, delivery_id.unwrap_or_default(), ABSENT, now));
                self.tally.finished(OutcomeClass::Dropped);
            }
        }
    }

    /// A delivery needs no more attempts.
    fn finish(&mut self, index: usize, at: Position, class: OutcomeClass, now: Timestamp, log: &mut dyn Log) {
        self.tally.finished(class);
        let Some(station) = self.stations.get_mut(index) else { return };
        station.line.end(at, now);
        station.ended_since_note += 1;
        if station.ended_since_note >= NOTE_EVERY {
            self.note(index, now, log);
        }
    }
}

/// The outcome of a delivery that is given up without an attempt. Zeros are the id of one whose decision cannot be read.
pub(super) fn dropped<'a>(
    destination: &'a str,
    at: Position,
    delivery_id: [u8; 16],
    why: &'a str,
    now: Timestamp,
) -> DeliveryOutcome<'a> {
    DeliveryOutcome {
        time: now,
        delivery_id,
        decision: at.to_u64(),
        class: OutcomeClass::Dropped,
        is_final: true,
        destination,
        detail: why.as_bytes(),
        ..DeliveryOutcome::default()
    }
}
