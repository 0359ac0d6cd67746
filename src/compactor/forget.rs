//! The thread that forgets beside the daemon: what has become old enough, and what was asked to be.
//!
//! In: erasures, looked for each second; rules and what is needed yet, asked before each pass. Out: what a pass does
//! (`rewrite`); a line in the log for a pass that did something and for what could not be done; numbers.
//! Keeps: an erasure has a pass when it is new and again once all that it is in is sealed, which it asks for at once, or within
//! ten minutes where it has just asked for another; all else has one every interval.
//! It goes behind all others on the processor, no faster than it may, and makes nothing anew on a disk that is full; what
//! goes whole makes room, and goes even then. A stop ends it within the time that a chunk of a segment takes.
//! What is dropped is gone, so a clock that is set ahead while it runs is not believed for a day (`Doubt`).
//! Not in the publisher's thread: that one may be switched off, or have days of work before it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::brake::{Brake, IsPressed};
use super::rewrite::{Company, Pass, Report, Rules};
use super::worker::{self, Worker};
use crate::clock::{Clock, Timestamp};
use crate::metrics::{self, Page};
use crate::shutdown::Woken;
use crate::store::directory::Directory;
use crate::store::rewrite::{Rewriter, SegmentAt};
use crate::store::space::Room;
use crate::store::{Position, RoomWatch, described};

/// How often it looks whether something was asked to be forgotten.
const POLL: Duration = Duration::from_secs(1);
/// After how long it tries again what could not be done.
const RETRY: Duration = Duration::from_secs(60);
/// How long after it has ended segments for an erasure it does so again: many that are asked one by one must not make as many
/// segments.
const ROLL_EVERY: Duration = Duration::from_secs(600);

/// A clock that is further ahead than this of the time that has passed was set.
const LEAP: Duration = Duration::from_secs(3600);
/// After how long one that was set ahead, and has stayed so, is believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What it is told at its start.
pub struct Options {
    /// Makes segments of the store anew.
    pub rewriter: Rewriter,
    /// The store's.
    pub directory: Directory,
    /// How long what is kept, as of now.
    pub rules: Box<dyn Fn() -> Rules + Send>,
    /// From where on somebody reads the postbacks journal yet, as of now.
    pub needed: Box<dyn Fn() -> Position + Send>,
    /// Asks for the segments that are written to be ended and sealed.
    pub roll: Box<dyn Fn() + Send>,
    /// How often it looks for what is old enough.
    pub interval: Duration,
    /// Bytes that are read and written in a second.
    pub bytes_per_second: u64,
    /// Whether there is room on the disk.
    pub room: RoomWatch,
    /// Whether others are in a hurry.
    pub is_pressed: IsPressed,
    /// Where the time comes from.
    pub clock: Clock,
}

/// What it has done since it was started.
#[derive(Debug, Default)]
pub struct Numbers {
    rewritten: AtomicU64,
    dropped_segments: AtomicU64,
    bytes: AtomicU64,
    changed: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
    erased: AtomicU64,
    pending: AtomicU64,
    /// Microseconds since 1970; 0 before the first.
    last_run: AtomicU64,
}

/// It, running.
pub type Forgetting = Worker<Numbers>;

/// What can be asked of it.
pub type Handle = worker::Handle<Numbers>;

/// Starts it.
///
/// # Errors
/// There is no thread for it.
pub fn start(options: Options) -> io::Result<Forgetting> {
    worker::start("forgetting", move |handle| run(options, handle))
}

impl worker::Numbers for Numbers {
    fn write_metrics(&self, page: &mut Page) {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let did = |what: &'static str| [("did", what)];
        page.sample(&metrics::FORGETTING_SEGMENTS, &did("rewrite"), load(&self.rewritten));
        page.sample(&metrics::FORGETTING_SEGMENTS, &did("drop"), load(&self.dropped_segments));
        page.sample(&metrics::FORGETTING_RECORDS, &did("strip"), load(&self.changed));
        page.sample(&metrics::FORGETTING_RECORDS, &did("drop"), load(&self.dropped));
        page.sample(&metrics::FORGETTING_BYTES, &[], load(&self.bytes));
        page.sample(&metrics::FORGETTING_FAILURES, &[], load(&self.failures));
        let last_run = Duration::from_micros(load(&self.last_run)).as_secs_f64();
        page.number(&metrics::FORGETTING_LAST_RUN, &[], last_run);
        page.sample(&metrics::ERASURES_PENDING, &[], load(&self.pending));
        page.sample(&metrics::ERASURES, &[], load(&self.erased));
    }
}

fn run(options: Options, handle: Handle) {
    let Options { rewriter, directory, rules, needed, roll, interval, .. } = options;
    let Options { bytes_per_second, room, is_pressed, clock, .. } = options;
    let bell = handle.bell.clone();
    let brake =
        Brake { bytes_per_second, is_pressed, clock: clock.clone(), bell: bell.clone(), due: Duration::ZERO };
    let mut duty = Duty {
        pass: Pass::new(rewriter, &directory),
        steady: Steady { brake, room },
        numbers: handle.numbers,
        clock: clock.clone(),
        tried: BTreeMap::new(),
        failing: BTreeSet::new(),
        not_before: Duration::ZERO,
        doubt: Doubt::default(),
        roll,
        not_rolled_before: Duration::ZERO,
    };
    loop {
        duty.look(interval, &*rules, &*needed);
        if bell.is_tripped() || bell.pause(clock.nap(POLL)) == Woken::Stopped {
            return;
        }
    }
}

/// Goes at the right speed, and not on a disk that is full.
struct Steady {
    brake: Brake,
    room: RoomWatch,
}

impl Company for Steady {
    fn passed(&mut self, bytes: u64) -> ControlFlow<()> {
        if self.room.room() == Room::Critical { ControlFlow::Break(()) } else { self.brake.spend(bytes) }
    }

    fn reads(&mut self, bytes: u64) -> ControlFlow<()> {
        self.brake.spend(bytes)
    }
}

/// The passes, one after the other.
struct Duty {
    pass: Pass,
    steady: Steady,
    numbers: Arc<Numbers>,
    clock: Clock,
    /// The erasures of the last pass, and whether all that they are in was sealed then.
    tried: BTreeMap<String, bool>,
    /// Of which segments it was said that they cannot be made anew.
    failing: BTreeSet<SegmentAt>,
    /// When there is a pass, if nothing is new.
    not_before: Duration,
    doubt: Doubt,
    roll: Box<dyn Fn() + Send>,
    /// When segments may be ended for an erasure.
    not_rolled_before: Duration,
}

/// Whether the clock can be believed. One that is set back drops nothing, and is; one that is set ahead is after a while, when
/// somebody would have put it right. What it said when the process was started is taken as it is.
#[derive(Debug, Default)]
struct Doubt {
    /// What it said when it was last believed, and when that was.
    believed: Option<(Timestamp, Duration)>,
    /// When it was first found ahead.
    since: Option<Duration>,
}

impl Doubt {
    /// What time to go by: `said` is what the clock says, `now` the time that only goes forward.
    fn time(&mut self, said: Timestamp, now: Duration) -> Timestamp {
        let (then, at) = *self.believed.get_or_insert((said, now));
        let expected = then.plus(now.saturating_sub(at));
        if said > expected.plus(LEAP) {
            let since = *self.since.get_or_insert_with(|| {
                tracing::warn!(
                    "the clock was set ahead from {expected} to {said}: nothing is dropped by that for {} hours",
                    BELIEVED_AFTER.as_secs() / 3600
                );
                now
            });
            if now.saturating_sub(since) < BELIEVED_AFTER {
                return expected;
            }
        }
        (self.believed, self.since) = (Some((said, now)), None);
        said
    }
}

impl Duty {
    fn look(&mut self, interval: Duration, rules: &dyn Fn() -> Rules, needed: &dyn Fn() -> Position) {
        let now = self.clock.monotonic();
        let time = self.doubt.time(self.clock.now(), now);
        // What cannot be read is told by the pass.
        let pending = self.pass.pending().unwrap_or_default();
        self.numbers.pending.store(pending.len() as u64, Ordering::Relaxed);
        if now >= self.not_rolled_before && pending.values().any(|is_sealed| !is_sealed) {
            // Nobody may come for an hour whose click or conversion would end them.
            self.not_rolled_before = now + ROLL_EVERY;
            (self.roll)();
        }
        let is_news = pending.iter().any(|(id, is_sealed)| self.tried.get(id) != Some(is_sealed));
        if !is_news && now < self.not_before {
            return;
        }
        let may_be_done = pending.values().any(|is_sealed| *is_sealed);
        self.tried = pending;
        let done = self.pass.run(&rules(), needed(), time, &mut self.steady);
        let is_through = match done {
            Ok(report) => self.told(&report) && !(may_be_done && report.pending > 0),
            Err(error) => {
                self.numbers.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("nothing is forgotten, which is tried again: {}", described(&error));
                false
            }
        };
        let pause = if is_through { interval } else { RETRY.min(interval) };
        self.not_before = self.clock.monotonic() + pause;
    }

    /// Counts what a pass did, and says so; whether it did all that was due.
    fn told(&mut self, report: &Report) -> bool {
        let numbers = &*self.numbers;
        let add = |number: &AtomicU64, count: u64| number.fetch_add(count, Ordering::Relaxed);
        add(&numbers.rewritten, report.rewritten);
        add(&numbers.dropped_segments, report.dropped_segments);
        add(&numbers.bytes, report.bytes);
        add(&numbers.changed, report.changed);
        add(&numbers.dropped, report.dropped);
        add(&numbers.erased, report.erased);
        add(&numbers.failures, report.failed.len() as u64);
        numbers.pending.store(report.pending, Ordering::Relaxed);
        let Report { rewritten, changed, dropped, dropped_segments, erased, pending, .. } = report;
        if rewritten + dropped_segments + erased > 0 {
            tracing::info!(
                "forgot: {changed} records say less and {dropped} went, in {rewritten} segments; \
                 {dropped_segments} segments went whole; {erased} erasures are done, {pending} wait"
            );
        }
        for (at, why) in report.failed.iter().filter(|(at, _)| !self.failing.contains(at)) {
            let (journal, lane, segment) = (at.journal.name(), at.lane, at.segment);
            tracing::warn!(
                "segment {segment} of lane {lane} of {journal} cannot be made anew, which is tried again: {why}"
            );
        }
        self.failing = report.failed.iter().map(|(at, _)| *at).collect();
        let is_through = !report.is_stopped && report.failed.is_empty();
        if is_through {
            let now = u64::try_from(self.clock.now().micros()).unwrap_or(0);
            numbers.last_run.store(now, Ordering::Relaxed);
        }
        is_through
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const START: Timestamp = Timestamp::from_seconds(1_795_158_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn time(doubt: &mut Doubt, clock: &ManualClock) -> Timestamp {
        let clock = Clock::Manual(clock.clone());
        doubt.time(clock.now(), clock.monotonic())
    }

    #[test]
    fn a_clock_that_was_set_ahead_is_believed_after_a_day_and_not_before() {
        let (mut doubt, clock) = (Doubt::default(), ManualClock::at(START));
        assert_eq!(time(&mut doubt, &clock), START);
        clock.set(START.plus(YEAR));
        for hours in 0..24 {
            assert_eq!(time(&mut doubt, &clock), START.plus(HOUR * hours), "after {hours} hours");
            clock.advance(HOUR);
        }
        assert_eq!(time(&mut doubt, &clock), START.plus(YEAR + 24 * HOUR));
        clock.advance(HOUR);
        assert_eq!(time(&mut doubt, &clock), START.plus(YEAR + 25 * HOUR));
    }

    #[test]
    fn a_clock_that_is_put_right_is_believed_at_once_and_its_next_leap_is_another() {
        let (mut doubt, clock) = (Doubt::default(), ManualClock::at(START));
        for _ in 0..3 {
            let before = time(&mut doubt, &clock);
            clock.set(before.plus(YEAR));
            clock.advance(20 * HOUR);
            assert_eq!(time(&mut doubt, &clock), before.plus(20 * HOUR));
            clock.set(before.plus(20 * HOUR));
            assert_eq!(time(&mut doubt, &clock), before.plus(20 * HOUR));
        }
        // Back is no danger, and small steps are what clocks are kept right by.
        clock.set(START);
        assert_eq!(time(&mut doubt, &clock), START);
        clock.set(START.plus(HOUR / 2));
        assert_eq!(time(&mut doubt, &clock), START.plus(HOUR / 2));
        // Nobody looked for a year, and it has passed.
        clock.advance(YEAR);
        assert_eq!(time(&mut doubt, &clock), START.plus(HOUR / 2 + YEAR));
    }
}
