//! What the desk remembers over a restart: notes in the journal, checkpoints, and the way back.

use super::decisions::{batch_of, in_backlog};
use super::endings::{UNREADABLE, dropped};
use super::{Desk, Log, Past, Station};
use crate::clock::Timestamp;
use crate::dispatcher::checkpoint::{self, Row};
use crate::dispatcher::destinations::Destinations;
use crate::dispatcher::limit::Daily;
use crate::dispatcher::line::{Delivery, Remembered, conversion_number};
use crate::dispatcher::restore::{Known, Restored};
use crate::event::delivery::{DestinationChange, DestinationEvent, OutcomeClass};
use crate::store::Position;

impl Desk {
    /// Takes in what was known when the process ended. What was open is read from the log, so it may wait for the disk.
    pub fn remember(
        &mut self,
        restored: Restored,
        all: &Destinations,
        past: Past<'_>,
        now: Timestamp,
        log: &mut dyn Log,
    ) {
        let mut destinations: Vec<_> = restored.destinations.into_iter().collect();
        destinations.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (id, known) in destinations {
            let Known { progress, is_in_step, paused, mut tried, attempts_today, last_attempt } = known;
            let open: Vec<Position> = progress.open().collect();
            let index = self.add_station(&id, progress, is_in_step);
            for at in open {
                let remembered = tried.remove(&at.to_u64());
                self.remember_open(index, at, remembered, all, past, now, log);
            }
            if let Some(station) = self.stations.get_mut(index) {
                station.paused = paused;
                station.remembered = tried;
                station.daily = Daily::restored(attempts_today, last_attempt);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a start has at hand, once")]
    fn remember_open(
        &mut self,
        index: usize,
        at: Position,
        remembered: Option<Remembered>,
        all: &Destinations,
        past: Past<'_>,
        now: Timestamp,
        log: &mut dyn Log,
    ) {
        let Some(id) = self.stations.get(index).map(|station| station.id.clone()) else { return };
        let kept = past(at);
        let Some(decision) = kept.as_ref().and_then(|kept| kept.decision()) else {
            log.outcome(&dropped(&id, at, [0; 16], UNREADABLE, now));
            self.tally.finished(OutcomeClass::Dropped);
            if let Some(station) = self.stations.get_mut(index) {
                station.line.progress.end(at);
            }
            return;
        };
        let conversion = conversion_number(decision.conversion_id);
        let delivery = match all.find(&decision, &id) {
            Some(destination) => {
                let site = self.site(&destination.outbound.site);
                let owed = destination.owes(&decision);
                if let Some(station) = self.stations.get_mut(index) {
                    station.batch = batch_of(&destination.outbound);
                }
                Delivery::new(conversion, site, owed.due, owed.until)
            }
            None => Delivery::new(conversion, self.site(""), decision.time, None),
        };
        let delivery = remembered.map_or(delivery, |remembered| delivery.with(remembered));
        if let Some(station) = self.stations.get_mut(index) {
            let behind = in_backlog(&station.line, &decision, past);
            station.line.add(at, delivery, behind, now);
        }
    }

    /// Writes down how far a destination has come.
    pub(super) fn note(&mut self, index: usize, now: Timestamp, log: &mut dyn Log) {
        let head = self.head;
        let Some(station) = self.stations.get_mut(index) else { return };
        if station.is_in_step {
            station.line.progress.reach(head);
        }
        station.ended_since_note = 0;
        let mut bytes = Vec::new();
        station.line.progress.encode_note_into(&mut bytes);
        bytes.push(u8::from(station.is_in_step));
        log.event(&DestinationEvent {
            time: now,
            change: DestinationChange::Progress,
            decision: 0,
            destination: &station.id,
            detail: &bytes,
        });
    }

    /// Writes down how far all have come.
    pub fn note_all(&mut self, now: Timestamp, log: &mut dyn Log) {
        (0..self.stations.len()).for_each(|index| self.note(index, now, log));
    }

    /// Nobody needs what the log has before this, by what a checkpoint that is made now tells.
    pub fn needed(&self) -> Position {
        self.stations.iter().map(|station| station.line.progress.low()).fold(self.head, Position::min)
    }

    /// All that a start needs to know, as bytes. `covered` is how far the journal of deliveries is in it.
    pub fn checkpoint(&mut self, covered: Position) -> Vec<u8> {
        let head = self.head;
        let mut out = checkpoint::begin(covered, head, self.stations.len());
        for Station { id, line, is_in_step, paused, daily, remembered, .. } in &mut self.stations {
            if *is_in_step {
                line.progress.reach(head);
            }
            let (attempts_today, last_attempt) = daily.used();
            let open = line.deliveries().filter_map(|(at, of)| Some((at.to_u64(), of.remembered()?)));
            let tried: Vec<_> = open.chain(remembered.iter().map(|(at, tried)| (*at, *tried))).collect();
            let row = Row {
                id,
                progress: &line.progress,
                is_in_step: *is_in_step,
                paused: paused.as_deref(),
                attempts_today,
                last_attempt,
            };
            checkpoint::add(&mut out, &row, tried.into_iter());
        }
        checkpoint::end(out)
    }
}
