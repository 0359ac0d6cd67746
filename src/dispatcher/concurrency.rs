//! How many attempts a destination is given at once: more as long as it answers as fast as before, fewer when not.
//!
//! In: how attempts ended, how long they took, and how many there were at once. Out: a limit in 2..=64.
//! Keeps: additive increase, one for each limit's worth of good answers and only while the limit is in use;
//! multiplicative decrease, once for each round, so that one hiccup that many attempts see counts once.
//! Not here: rates that were agreed on (`limit`), the ceilings of a host and of the process (`turn`).

use std::time::Duration;

use super::breaker::{Sign, of_destination};
use crate::event::delivery::OutcomeClass;

/// The least that a destination is given.
pub const LIMIT_MIN: u32 = 2;

/// The most that a destination is given.
pub const LIMIT_MAX: u32 = 64;

/// What it begins with.
const LIMIT_FIRST: u32 = 8;

/// An answer that takes this many times as long as the quick ones is a sign that there are too many at once.
const SLOW_FACTOR: u32 = 3;

/// Below this an answer is quick, whatever is usual: on a local network noise is a multiple of the usual.
const SLOW_MIN: Duration = Duration::from_millis(50);

/// How much of a new answer goes into what is usual: a part in so many.
const LEARN: u32 = 8;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    limit: u32,
    /// Good answers since the limit last rose.
    good: u32,
    /// What an answer takes that we have not made slow ourselves by asking too many at once.
    usual: Option<Duration>,
    /// Attempts that began before this say nothing about the limit since.
    since: Duration,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { limit: LIMIT_FIRST, good: 0, usual: None, since: Duration::ZERO }
    }
}

impl Concurrency {
    /// How many may be made at once.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// An attempt has ended so. `in_use` counts those made at once, this one included.
    pub fn ended(&mut self, class: OutcomeClass, took: Duration, in_use: u32, now: Duration) {
        let began = now.saturating_sub(took);
        // What was refused before anybody was asked took no time of theirs.
        let is_answer = !matches!(class, OutcomeClass::Safe | OutcomeClass::Config | OutcomeClass::Dropped);
        let is_slow = is_answer && self.is_slow(took);
        if class == OutcomeClass::Ok {
            self.learn(took, in_use);
        }
        if of_destination(class) == Sign::Fails || class == OutcomeClass::Throttle || is_slow {
            if began >= self.since {
                self.limit = (self.limit * 7 / 10).max(LIMIT_MIN);
                (self.good, self.since) = (0, now);
            }
            return;
        }
        // Where fewer are needed than may be made, answers say nothing about more.
        if is_answer && in_use * 2 > self.limit && self.limit < LIMIT_MAX {
            self.good += 1;
            if self.good >= self.limit {
                (self.limit, self.good) = (self.limit + 1, 0);
            }
        }
    }

    fn is_slow(&self, took: Duration) -> bool {
        self.usual.is_some_and(|usual| took > SLOW_MIN.max(usual * SLOW_FACTOR))
    }

    /// Faster is always true. Slower is true only of the fewest at once; where a destination has become slower for good,
    /// the limit falls until they are.
    fn learn(&mut self, took: Duration, in_use: u32) {
        self.usual = Some(match self.usual {
            None => took,
            Some(usual) if took < usual => usual - (usual - took) / LEARN,
            Some(usual) if in_use <= LIMIT_MIN => usual + (took - usual) / LEARN,
            Some(usual) => usual,
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUICK: Duration = Duration::from_millis(20);

    /// Rounds of as many attempts as may be made, each of which takes as long as `took` says for that many at once.
    fn rounds(of: &mut Concurrency, now: &mut Duration, count: u32, took: impl Fn(u32) -> Duration) {
        for _ in 0..count {
            let at_once = of.limit();
            *now += took(at_once);
            for _ in 0..at_once {
                of.ended(OutcomeClass::Ok, took(at_once), at_once, *now);
            }
        }
    }

    #[test]
    fn a_quick_destination_gets_one_more_each_round_up_to_the_most() {
        let (mut of, mut now) = (Concurrency::default(), Duration::ZERO);
        rounds(&mut of, &mut now, 1, |_| QUICK);
        assert_eq!(of.limit(), LIMIT_FIRST + 1);
        rounds(&mut of, &mut now, 100, |_| QUICK);
        assert_eq!(of.limit(), LIMIT_MAX);
    }

    #[test]
    fn a_round_of_failures_counts_once_and_many_rounds_leave_the_least() {
        let (mut of, mut now) = (Concurrency::default(), Duration::from_secs(1));
        for _ in 0..LIMIT_FIRST {
            of.ended(OutcomeClass::Server, QUICK, LIMIT_FIRST, now);
        }
        assert_eq!(of.limit(), LIMIT_FIRST * 7 / 10);
        for _ in 0..20 {
            now += Duration::from_secs(1);
            of.ended(OutcomeClass::Throttle, QUICK, 5, now);
        }
        assert_eq!(of.limit(), LIMIT_MIN);
    }

    #[test]
    fn it_settles_below_where_a_destination_begins_to_queue() {
        let (mut of, mut now) = (Concurrency::default(), Duration::ZERO);
        // It works on ten at once; more wait for one another.
        let took = |at_once: u32| QUICK * 5 * at_once.max(10) / 10;
        let mut most = 0;
        for _ in 0..2_000 {
            rounds(&mut of, &mut now, 1, took);
            most = most.max(of.limit());
        }
        assert!(most < LIMIT_MAX && of.limit() >= 10, "{most}, {}", of.limit());
    }

    #[test]
    fn a_destination_that_has_become_slower_for_good_is_given_as_many_as_before() {
        let (mut of, mut now) = (Concurrency::default(), Duration::ZERO);
        rounds(&mut of, &mut now, 100, |_| QUICK);
        let mut least = LIMIT_MAX;
        for _ in 0..500 {
            rounds(&mut of, &mut now, 1, |_| QUICK * 20);
            least = least.min(of.limit());
        }
        assert_eq!((least, of.limit()), (LIMIT_MIN, LIMIT_MAX));
    }

    #[test]
    fn what_is_not_used_is_not_raised() {
        let mut of = Concurrency::default();
        for second in 0..1_000 {
            of.ended(OutcomeClass::Ok, QUICK, 1, Duration::from_secs(second));
        }
        assert_eq!(of.limit(), LIMIT_FIRST);
    }

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds(ended in prop::collection::vec((0u8..5, 0u64..100_000, 1u32..100, 0u64..5_000), 0..500)) {
            let (mut of, mut now) = (Concurrency::default(), Duration::ZERO);
            for (class, took, in_use, later) in ended {
                now += Duration::from_millis(later);
                let class = [
                    OutcomeClass::Ok, OutcomeClass::Safe, OutcomeClass::Throttle, OutcomeClass::Client,
                    OutcomeClass::Ambiguous,
                ][usize::from(class)];
                of.ended(class, Duration::from_millis(took), in_use, now);
                prop_assert!((LIMIT_MIN..=LIMIT_MAX).contains(&of.limit()));
            }
        }
    }
}
