//! Whose turn it is to send: the schedule of one thread, and its end.
//!
//! In: the plan, the clock. Out: a `Turn` for each request, in order, never before it is due.
//! Keeps: with a rate, when a request is due depends on the schedule alone, never on how fast the peer answers; so
//! its latency counts the time that it waited for a connection. (Without that a peer that stalls is asked less, and
//! looks better than it is: "coordinated omission".)
//! Not here: what is sent.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::alarm::Alarm;
use super::plan::{Limit, Plan};
use crate::clock::Clock;

/// How long a request that is due when time is up may still wait for its connection.
const SETTLING: Duration = Duration::from_millis(100);
const NANOS: u128 = 1_000_000_000;

/// Leave to send one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Unlike that of any other request of the run.
    pub(super) number: u64,
    /// Since when it should be on its way.
    pub(super) due: Duration,
    /// It belongs to the figures, not to the warm-up.
    pub(super) is_counted: bool,
}

/// When things happen, on the monotonic clock: the same for all threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) start: Duration,
    /// From here on requests count.
    pub(super) counted: Duration,
    /// Nothing is sent any more; never, if the number of requests is what ends the run.
    pub(super) end: Duration,
}

impl Times {
    pub(super) fn new(plan: &Plan, start: Duration) -> Self {
        let counted = start.saturating_add(plan.warm_up);
        let end = match plan.limit {
            Limit::Time(time) => counted.saturating_add(time),
            Limit::Requests(_) => Duration::MAX,
        };
        Self { start, counted, end }
    }
}

/// One thread's part of the plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) index: u32,
    pub(super) of: u32,
}

impl Part {
    /// How many of `all` things are this part's, if they are dealt out in turn.
    pub(super) fn share(self, all: u64) -> u64 {
        let (index, of) = (u64::from(self.index), u64::from(self.of));
        all / of + u64::from(index < all % of)
    }

    /// The number among all of this part's thing number `own`.
    fn number(self, own: u64) -> u64 {
        own * u64::from(self.of) + u64::from(self.index)
    }
}

/// Deals out the turns of one thread.
#[derive(Debug)]
pub(super) struct Turns {
    clock: Clock,
    part: Part,
    pub(super) times: Times,
    pace: Pace,
    taken: Cell<u64>,
    end: Cell<End>,
    /// Rung for one waiting connection when a turn falls due, and for all at the end.
    bell: Notify,
    /// Connections that wait for the bell.
    waiting: Cell<u64>,
    /// One more of them.
    joined: Notify,
}

#[derive(Debug)]
enum Pace {
    /// As fast as answers come; so many turns that count are left.
    Flat(Cell<u64>),
    Steady {
        per_second: u64,
        warm_up: u64,
        /// This thread's.
        slots: u64,
    },
}

/// How far the run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Ahead,
    /// Nothing new is sent.
    Reached,
    /// Neither is anything waited for.
    Interrupted,
}

impl Turns {
    pub(super) fn new(plan: &Plan, times: Times, part: Part, clock: Clock) -> Self {
        let pace = match (plan.rate, plan.limit) {
            (None, Limit::Time(_)) => Pace::Flat(Cell::new(u64::MAX)),
            (None, Limit::Requests(requests)) => Pace::Flat(Cell::new(part.share(requests))),
            (Some(rate), limit) => {
                let per_second = u64::from(rate);
                let warm_up = slots_before(per_second, plan.warm_up);
                let slots = match limit {
                    Limit::Time(time) => slots_before(per_second, plan.warm_up.saturating_add(time)),
                    Limit::Requests(requests) => warm_up.saturating_add(requests),
                };
                Pace::Steady { per_second, warm_up, slots: part.share(slots) }
            }
        };
        let turns = Self {
            clock,
            part,
            times,
            pace,
            taken: Cell::new(0),
            end: Cell::new(End::Ahead),
            bell: Notify::new(),
            waiting: Cell::new(0),
            joined: Notify::new(),
        };
        turns.look_for_the_end();
        turns
    }

    /// The next turn, if one is due.
    pub(super) fn take(&self) -> Option<Turn> {
        if self.is_over() {
            return None;
        }
        let taken = self.taken.get();
        let number = self.part.number(taken);
        let now = self.clock.monotonic();
        let turn = match &self.pace {
            Pace::Flat(_) if now >= self.times.end => {
                self.finish(End::Reached);
                return None;
            }
            Pace::Flat(left) => {
                let is_counted = now >= self.times.counted;
                left.set(left.get() - u64::from(is_counted));
                Turn { number, due: now, is_counted }
            }
            Pace::Steady { warm_up, .. } => {
                Turn { number, due: self.due_at(taken), is_counted: number >= *warm_up }
            }
        };
        if turn.due > now {
            return None;
        }
        self.taken.set(taken + 1);
        self.look_for_the_end();
        Some(turn)
    }

    /// Waits until a turn may be due, or the end has come. Wakes without a reason now and then.
    pub(super) async fn bell(&self) {
        let _leaves = Waiting::join(self);
        self.bell.notified().await;
    }

    /// There will be no further turn.
    pub(super) fn is_over(&self) -> bool {
        self.end.get() != End::Ahead
    }

    /// What is under way is not waited for either.
    pub(super) fn is_interrupted(&self) -> bool {
        self.end.get() == End::Interrupted
    }

    /// Somebody wants to see the figures now.
    pub(super) fn interrupt(&self) {
        self.finish(End::Interrupted);
    }

    /// Ends a run whose requests wait for connections beyond its time.
    pub(super) fn end_in_time(&self) {
        if !self.is_over() && self.clock.monotonic() >= self.times.end.saturating_add(SETTLING) {
            self.finish(End::Reached);
        }
    }

    /// Turns of the schedule that nobody took.
    pub(super) fn untaken(&self) -> u64 {
        match &self.pace {
            Pace::Flat(_) => 0,
            Pace::Steady { slots, .. } => slots - self.taken.get(),
        }
    }

    /// Rings the bell when a turn is due, as long as somebody waits for it: busy connections look for themselves.
    pub(super) async fn keep_pace(self: Rc<Self>, alarm: Alarm) {
        let Pace::Steady { slots, .. } = self.pace else { return };
        // Turns that somebody has been called for, or that are taken already.
        let mut called = 0;
        while !self.is_over() {
            called = self.taken.get().max(called);
            let all_are_called = self.waiting.get() <= called - self.taken.get();
            if all_are_called || called == slots {
                self.joined.notified().await;
                continue;
            }
            let left = self.due_at(called).saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                called += 1;
                self.bell.notify_one();
            } else if alarm.wait(self.clock.nap(left)).await.is_err() {
                // Later by up to a millisecond, and so are the latencies: nothing gets lost.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// When turn `own` of this thread is due.
    fn due_at(&self, own: u64) -> Duration {
        match &self.pace {
            Pace::Flat(_) => self.times.start,
            Pace::Steady { per_second, .. } => {
                let nanos = u128::from(self.part.number(own)) * NANOS / u128::from(*per_second);
                let since = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                self.times.start.saturating_add(since)
            }
        }
    }

    fn look_for_the_end(&self) {
        let is_reached = match &self.pace {
            Pace::Flat(left) => left.get() == 0,
            Pace::Steady { slots, .. } => self.taken.get() >= *slots,
        };
        if is_reached {
            self.finish(End::Reached);
        }
    }

    fn finish(&self, end: End) {
        self.end.set(end);
        self.bell.notify_waiters();
    }
}

/// One connection that waits for the bell, until it is dropped.
struct Waiting<'a>(&'a Turns);

impl<'a> Waiting<'a> {
    fn join(turns: &'a Turns) -> Self {
        turns.waiting.set(turns.waiting.get() + 1);
        turns.joined.notify_one();
        Self(turns)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

/// How many requests are due within `time`, the first at its beginning.
fn slots_before(per_second: u64, time: Duration) -> u64 {
    u64::try_from((time.as_nanos() * u128::from(per_second)).div_ceil(NANOS)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    const SECOND: Duration = Duration::from_secs(1);

    fn turns(plan: &Plan, part: Part) -> (Turns, ManualClock) {
        let hand = ManualClock::at(Timestamp::default());
        let clock = Clock::Manual(hand.clone());
        (Turns::new(plan, Times::new(plan, clock.monotonic()), part, clock), hand)
    }

    fn plan(rate: Option<u32>, limit: Limit) -> Plan {
        Plan { rate, limit, warm_up: SECOND, ..Plan::new(vec!["http://h/".parse().unwrap()]) }
    }

    fn take_all(turns: &Turns) -> Vec<Turn> {
        std::iter::from_fn(|| turns.take()).collect()
    }

    #[test]
    fn threads_share_one_even_schedule() {
        for (limit, counted) in [(Limit::Time(2 * SECOND), 6), (Limit::Requests(4), 4)] {
            let plan = plan(Some(3), limit);
            let (mut all, mut later) = (Vec::new(), Vec::new());
            for index in 0..2 {
                let (turns, hand) = turns(&plan, Part { index, of: 2 });
                // The first turn of the first thread is due at once, no other is.
                all.extend(take_all(&turns));
                assert_eq!(all.len(), 1);
                hand.advance(9 * SECOND);
                later.extend(take_all(&turns));
                assert_eq!(turns.untaken(), 0);
                assert!(turns.is_over());
            }
            all.append(&mut later);
            all.sort_by_key(|turn| turn.number);
            assert_eq!(all.iter().filter(|turn| turn.is_counted).count(), counted);
            for (number, turn) in (0..).zip(&all) {
                assert_eq!(turn.number, number);
                assert_eq!(turn.due, Duration::from_nanos(number * 1_000_000_000 / 3), "turn {number}");
                assert_eq!(turn.is_counted, turn.due >= SECOND);
            }
        }
    }

    #[test]
    fn flat_out_a_turn_is_due_when_it_is_taken_until_time_is_up() {
        let (turns, hand) = turns(&plan(None, Limit::Time(SECOND)), Part { index: 0, of: 1 });
        for expected in [Some(false), Some(true), None] {
            assert_eq!(turns.take().map(|turn| turn.is_counted), expected);
            hand.advance(SECOND);
        }
        assert!(turns.is_over() && !turns.is_interrupted());
    }

    #[test]
    fn flat_out_only_what_counts_uses_up_the_requests() {
        let plan = plan(None, Limit::Requests(3));
        let (turns, hand) = turns(&plan, Part { index: 0, of: 2 });
        assert!((0..10).all(|_| turns.take().is_some_and(|turn| !turn.is_counted)));
        hand.advance(SECOND);
        assert_eq!(take_all(&turns).len(), 2);
        let (idle, _) = self::turns(&plan, Part { index: 3, of: 4 });
        assert!(idle.is_over(), "three requests leave nothing for a fourth thread");
    }

    #[test]
    fn what_no_connection_took_in_time_is_told_apart() {
        let (turns, hand) = turns(&plan(Some(10), Limit::Time(SECOND)), Part { index: 0, of: 1 });
        hand.advance(2 * SECOND);
        turns.end_in_time();
        assert!(!turns.is_over(), "a request that was due just now may still go");
        hand.advance(SETTLING);
        turns.end_in_time();
        assert!(turns.is_over());
        assert_eq!(turns.untaken(), 20);
    }
}
