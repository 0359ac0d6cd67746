//! Segments end with their hour, so that what was published of an hour is all of it.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use clicklog::clock::{Clock, ManualClock, Timestamp};
use clicklog::event::click::Click;
use clicklog::event::codec::Encoder;
use clicklog::event::postback::Postback;
use clicklog::store::clicks::ClickWriter;
use clicklog::store::commit::{Limits, Stage, start};
use clicklog::store::{Journal, LaneWriter, Options, Position, Result, Store};

use crate::support::{append, click_at, options};

/// The beginning of an hour.
const HOUR: u32 = 1_795_158_000;

fn at(hours: u64, seconds: u64) -> Timestamp {
    Timestamp::from_seconds(HOUR).plus(Duration::from_secs(hours * 3_600 + seconds))
}

struct Lane {
    store: Store,
    writer: ClickWriter,
    clock: ManualClock,
    _root: tempfile::TempDir,
}

impl Lane {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(at(0, 0));
        let clocked = Options { clock: Clock::Manual(clock.clone()), ..options(root.path()) };
        let store = Store::open(clocked).unwrap();
        let writer = store.click_writer(0).unwrap();
        Self { store, writer, clock, _root: root }
    }

    /// Records a click of this moment, and says in which segment.
    fn click(&mut self, time: Timestamp) -> u32 {
        let click = Click { time, ..click_at(0) };
        append(|| self.writer.append(&click)).appended.position().segment()
    }

    /// Looks at the clock, as the owner of an idle lane does, and says how many segments were begun.
    fn tick(&mut self) -> usize {
        self.settle();
        self.writer.tick(self.clock.now()).unwrap();
        self.begun()
    }

    /// Waits until the next segment is there, so that nothing but the hour decides whether the lane rolls.
    fn settle(&self) {
        while self.store.counters().prepared.load(Ordering::Relaxed) < self.begun() as u64 + JOURNALS {
            thread::yield_now();
        }
    }

    fn begun(&self) -> usize {
        let view = self.writer.lane().view();
        view.open.len() + view.sealed.len()
    }
}

/// Segments made when nothing was begun: one for each lane.
const JOURNALS: u64 = 3;

#[test]
fn an_idle_lane_rolls_at_the_hour_when_it_is_ticked_and_not_before() {
    let mut lane = Lane::new();
    assert_eq!(lane.tick(), 0, "a lane with nothing in it has nothing to end");
    let first = lane.click(lane.clock.now());
    lane.clock.advance(Duration::from_secs(3_599));
    assert_eq!(lane.tick(), 1);
    lane.clock.advance(Duration::from_secs(1));
    assert_eq!(lane.tick(), 2);
    assert_eq!(lane.tick(), 2, "once");
    for _ in 0..3 {
        lane.clock.advance(Duration::from_secs(3_600));
        assert_eq!(lane.tick(), 2, "an hour in which nothing came has no segment");
    }
    let second = lane.click(lane.clock.now());
    assert_eq!(lane.begun(), 2, "the segment that the tick began is used");
    assert!(second > first);
}

#[test]
fn an_active_lane_rolls_at_its_next_append_and_not_before() {
    let mut lane = Lane::new();
    let first = lane.click(at(0, 0));
    assert_eq!(lane.click(at(0, 3_599)), first);
    lane.settle();
    let second = lane.click(at(1, 0));
    assert!(second > first);
    assert_eq!(lane.click(at(1, 3_599)), second);
    lane.settle();
    let third = lane.click(at(7, 0));
    assert!(third > second);
    assert_eq!(lane.begun(), 3, "hours in which nothing came have no segments");
}

#[test]
fn a_clock_that_goes_back_does_not_roll_again() {
    let mut lane = Lane::new();
    lane.click(at(0, 0));
    lane.settle();
    let second = lane.click(at(1, 1));
    for (hours, seconds) in [(0, 3_599), (1, 0), (0, 0), (1, 3_599)] {
        lane.settle();
        assert_eq!(lane.click(at(hours, seconds)), second, "{hours} h {seconds} s");
    }
    lane.writer.tick(at(0, 3_599)).unwrap();
    lane.writer.tick(at(1, 3_599)).unwrap();
    assert_eq!(lane.begun(), 2);
}

/// A request may be read just before the hour and recorded just after the tick.
#[test]
fn a_late_record_in_a_segment_that_the_clock_began_does_not_end_it() {
    let mut lane = Lane::new();
    lane.click(at(0, 0));
    lane.clock.advance(Duration::from_secs(3_600));
    assert_eq!(lane.tick(), 2);
    let late = lane.click(at(0, 3_599));
    lane.settle();
    assert_eq!(lane.click(at(1, 1)), late);
    lane.settle();
    assert!(lane.click(at(2, 0)) > late);
}

/// A full segment just before the hour leaves none prepared for it: the hour waits, it is not skipped.
#[test]
fn an_hour_that_finds_no_segment_rolls_as_soon_as_there_is_one() {
    let mut lane = Lane::new();
    let mut newest = lane.click(at(0, 0));
    for round in 1..20 {
        lane.settle();
        // Two rolls, one right behind the other: the second mostly finds nothing prepared.
        let (before, after) = (lane.click(at(round * 2, 0)), lane.click(at(round * 2 + 1, 0)));
        assert!(before > newest && after >= before, "ids rise");
        lane.settle();
        newest = lane.click(at(round * 2 + 1, 1));
        assert!(newest > before, "round {round}: hour {} has its own segment", round * 2 + 1);
    }
}

/// A journal's records tell of what happened when it was reported, which may be long after. A file of conversions brings a
/// year of them, hour by hour.
#[test]
fn what_happened_in_hours_that_are_past_ends_no_segment_of_a_journal() {
    let root = tempfile::tempdir().unwrap();
    let hand = ManualClock::at(at(9_000, 0));
    let store = Store::open(Options { clock: Clock::Manual(hand.clone()), ..options(root.path()) }).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let mut encoder = Encoder::default();
    let mut reported = |time| {
        let postback = Postback { time, ..Postback::default() };
        append(|| journal.append(&encoder.postback(&postback).unwrap())).position().segment()
    };
    let prepared = |count| {
        while store.counters().prepared.load(Ordering::Relaxed) < count {
            thread::yield_now();
        }
    };
    for hours in (0..100).chain([8_999, 9_000, 9_001]) {
        prepared(JOURNALS + 1 - u64::from(hours == 0));
        assert_eq!(reported(at(hours, 0)), 0, "of hour {hours}");
    }
    hand.advance(Duration::from_secs(3_600));
    assert_eq!(reported(at(50, 0)), 1, "the hour in which it is written ends it");
    prepared(JOURNALS + 2);
    assert_eq!(reported(at(9_002, 0)), 1);
}

/// Does nothing but append.
struct Plain(Encoder);

impl Stage for Plain {
    type Request = Timestamp;
    type Reply = Position;

    fn apply(&mut self, time: Timestamp, journal: &mut LaneWriter) -> Result<Position> {
        let postback = Postback { time, ..Postback::default() };
        Ok(journal.append(&self.0.postback(&postback).unwrap())?.position())
    }
}

/// It waits for up to a second of real time, in which the owner looks at the clock.
#[test]
fn the_owner_of_a_journal_ticks_while_nothing_comes() {
    let root = tempfile::tempdir().unwrap();
    let hand = ManualClock::at(at(0, 0));
    let clock = Clock::Manual(hand.clone());
    let store = Store::open(Options { clock: clock.clone(), ..options(root.path()) }).unwrap();
    let journal = store.journal_writer(Journal::Postbacks).unwrap();
    let lane = std::sync::Arc::clone(journal.lane());
    let (handle, owner) =
        start("test-hourly", Plain(Encoder::default()), journal, Limits::default(), clock).unwrap();
    handle.submit(hand.now()).unwrap().wait().unwrap();
    hand.advance(Duration::from_secs(3_600));
    while lane.view().sealed.is_empty() {
        thread::yield_now();
    }
    owner.stop();
}
