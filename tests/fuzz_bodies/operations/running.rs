//! A store that runs, with its writers: what is asked of it, one thing after the other.
//!
//! Keeps: after each operation the store's threads have sealed and prepared all that there is, so the next one
//! finds room, and files do not change under who copies them.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clicklog::clock::{Clock, ManualClock, Timestamp};
use clicklog::event::click_id::ClickId;
use clicklog::event::codec::{Encoder, Event};
use clicklog::store::clicks::ClickWriter;
use clicklog::store::layout::SEGMENT_BYTES_MIN;
use clicklog::store::record::FOOTER_BYTES;
use clicklog::store::space::Marks;
use clicklog::store::{Appended, Error, Journal, LaneWriter, Options, Position, Store};

use super::model::{LANES, POSTBACKS, Sample};

/// Segments that are as short as they may be, so that a few dozen records fill one.
const SEGMENT_BYTES: u32 = SEGMENT_BYTES_MIN;

/// See the module.
pub(super) struct Running {
    pub(super) store: Store,
    clicks: Vec<ClickWriter>,
    journal: LaneWriter,
    encoder: Encoder,
    /// What each lane is writing now.
    current: [Option<Current>; LANES.len()],
    /// Segments that the store's thread will have made when it is done.
    prepared: u64,
    clock: ManualClock,
}

#[derive(Clone, Copy)]
struct Current {
    segment: u32,
    /// Of its first record, if there is one; of a journal, in which that was written.
    hour: Option<i64>,
}

impl Running {
    pub(super) fn open(data: &Path, lanes: u8) -> Self {
        let clock = ManualClock::default();
        let store = Store::open(Options {
            lanes,
            click_segment_bytes: SEGMENT_BYTES,
            journal_segment_bytes: SEGMENT_BYTES,
            populate_bytes: SEGMENT_BYTES,
            // Clicks are synced when they are told to, and when a segment ends.
            click_sync_interval: Duration::from_secs(3_600),
            marks: Marks { low_bytes: 0, critical_bytes: 0, reserve_bytes: 0 },
            clock: Clock::Manual(clock.clone()),
            ..Options::new(data)
        });
        let store = store.unwrap();
        let clicks = (0..lanes).map(|lane| store.click_writer(lane).unwrap()).collect();
        let journal = store.journal_writer(Journal::Postbacks).unwrap();
        let prepared = store.counters().prepared.load(Ordering::Relaxed);
        let (encoder, current) = (Encoder::default(), [None; LANES.len()]);
        Self { store, clicks, journal, encoder, current, prepared, clock }
    }

    /// The lane itself, or, if this start has fewer lanes of clicks, the first.
    pub(super) fn writable(&self, lane: usize) -> usize {
        if lane == POSTBACKS || lane < self.clicks.len() { lane } else { 0 }
    }

    /// Appends a sample; nothing if it is too long for any segment, and was refused.
    pub(super) fn append(&mut self, lane: usize, sample: &Sample) -> Option<(Appended, Option<ClickId>)> {
        let end = self.current[lane].map(|current| self.end(lane, current.segment));
        self.go_on_to(sample.time);
        let done = match sample.event() {
            Event::Click(click) => {
                self.clicks[lane].append(&click).map(|recorded| (recorded.appended, Some(recorded.click_id)))
            }
            Event::Postback(postback) => self
                .journal
                .append(&self.encoder.postback(&postback).unwrap())
                .map(|appended| (appended, None)),
            Event::Decision(decision) => self
                .journal
                .append(&self.encoder.decision(&decision).unwrap())
                .map(|appended| (appended, None)),
            Event::DeliveryOutcome(_) | Event::Destination(_) | Event::CostUpdate(_) => {
                unreachable!("no sample is one")
            }
        };
        let (appended, click_id) = match done {
            Ok(done) => done,
            Err(Error::RecordLength { .. }) if sample.is_long() => return None,
            Err(error) => panic!("{lane}: {error}"),
        };
        let time = if lane == POSTBACKS { self.clock.now() } else { sample.time };
        self.arrived(lane, appended.position(), end, time);
        Some((appended, click_id))
    }

    /// What was recorded has happened.
    fn go_on_to(&self, time: Timestamp) {
        self.clock.advance(time.since(self.clock.now()));
    }

    /// Notes where a record went. A segment is left only when it is full or its hour is over, or on demand.
    fn arrived(&mut self, lane: usize, position: Position, end: Option<u32>, time: Timestamp) {
        let segment = position.segment();
        match &mut self.current[lane] {
            Some(current) if current.segment == segment => {
                current.hour.get_or_insert(time.hour());
            }
            current => {
                let left = current.replace(Current { segment, hour: Some(time.hour()) });
                if let (Some(left), Some(end)) = (left, end) {
                    let bytes = self.end(lane, segment) - position.offset();
                    let is_full = end + bytes > SEGMENT_BYTES - FOOTER_BYTES;
                    let is_over = left.hour.is_some_and(|hour| time.hour() > hour);
                    assert!(is_full || is_over, "segment {} of lane {lane} was left early", left.segment);
                }
                self.prepared += 1;
                self.settle();
            }
        }
    }

    /// How far a segment that is being written goes.
    fn end(&self, lane: usize, segment: u32) -> u32 {
        let (journal, number) = LANES[lane];
        let view = self.store.lane(journal, number).unwrap().view();
        view.open(segment).unwrap().extent().end
    }

    pub(super) fn sync(&self, lane: usize) {
        let (journal, number) = LANES[self.writable(lane)];
        self.store.lane(journal, number).unwrap().sync().unwrap();
    }

    pub(super) fn roll(&mut self, lane: usize) {
        let lane = self.writable(lane);
        match lane {
            POSTBACKS => self.journal.roll_now(),
            _ => self.clicks[lane].roll_now(),
        }
        // A segment without a record stays.
        self.current[lane].take_if(|current| current.hour.is_some());
        self.settle();
    }

    /// Tells the lanes what time it is.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.go_on_to(now);
        self.clicks.iter_mut().for_each(|writer| writer.tick(now).unwrap());
        self.journal.tick(now).unwrap();
        for (current, (journal, number)) in self.current.iter_mut().zip(LANES) {
            let is_over = |current: &Current| current.hour.is_some_and(|hour| now.hour() > hour);
            if !current.as_ref().is_some_and(is_over) {
                continue;
            }
            let view = self.store.lane(journal, number).unwrap().view();
            *current = view.open.last().map(|open| Current { segment: open.number(), hour: None });
            self.prepared += 1;
        }
        self.settle();
    }

    /// Waits until the store's threads have made the next segments and sealed what was left.
    fn settle(&self) {
        loop {
            self.store.poison().check().unwrap();
            let is_prepared = self.store.counters().prepared.load(Ordering::Relaxed) >= self.prepared;
            let mut lanes = LANES.iter().zip(&self.current);
            let is_sealed = lanes.all(|((journal, number), current)| {
                let Some(lane) = self.store.lane(*journal, *number) else { return true };
                lane.view().open.iter().map(|open| open.number()).eq(current.map(|current| current.segment))
            });
            if is_prepared && is_sealed {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// How far each lane is promised to be on stable storage.
    pub(super) fn synced(&self) -> [Option<Position>; LANES.len()] {
        LANES.map(|(journal, number)| Some(self.store.lane(journal, number)?.synced()))
    }

    /// Where the postbacks journal ends; nothing if it is empty.
    pub(super) fn end_of_postbacks(&self) -> Option<Position> {
        let (journal, number) = LANES[POSTBACKS];
        let view = self.store.lane(journal, number)?.view();
        let open = view.open.last().map(|open| Position::new(open.number(), open.extent().end));
        let sealed = view.sealed.last().map(|sealed| {
            let footer = sealed.footer();
            Position::new(footer.identity.segment, footer.summary.end)
        });
        open.or(sealed)
    }

    pub(super) fn close(self) {
        self.clicks.into_iter().for_each(ClickWriter::close);
        self.journal.close();
        self.store.close().unwrap();
    }
}
