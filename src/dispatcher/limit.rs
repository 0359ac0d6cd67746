//! How many attempts a destination takes in a day.
//!
//! Keeps: days are those of UTC. A clock that is set back does not begin a day anew.
//! Not here: how many in a second, which is for deliveries as it is for callers (`ingest::rate`).

use crate::clock::Timestamp;

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// What was used of a day. The default has used nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Daily {
    /// Counted from the epoch.
    day: i64,
    used: u64,
}

impl Daily {
    /// One of which so many were used on the day of `last`.
    pub fn restored(used: u64, last: Timestamp) -> Self {
        Self { day: last.micros().div_euclid(DAY_MICROS), used }
    }

    /// How many were used on its day, and when that began.
    pub const fn used(&self) -> (u64, Timestamp) {
        (self.used, Timestamp::from_micros(self.day.saturating_mul(DAY_MICROS)))
    }

    /// Takes one of `most` a day.
    ///
    /// # Errors
    /// There is none left: when the next day begins.
    pub fn take(&mut self, most: u64, now: Timestamp) -> Result<(), Timestamp> {
        self.check(most, now)?;
        self.used += 1;
        Ok(())
    }

    /// Whether there is one left of `most` a day.
    ///
    /// # Errors
    /// When the next day begins.
    pub fn check(&mut self, most: u64, now: Timestamp) -> Result<(), Timestamp> {
        self.turn_to(now);
        if self.used < most { Ok(()) } else { Err(self.next_day()) }
    }

    fn next_day(&self) -> Timestamp {
        Timestamp::from_micros((self.day + 1).saturating_mul(DAY_MICROS))
    }

    /// Takes in an attempt that was made before a restart.
    pub fn note(&mut self, made: Timestamp) {
        let day = made.micros().div_euclid(DAY_MICROS);
        self.turn_to(made);
        self.used += u64::from(day == self.day);
    }

    fn turn_to(&mut self, now: Timestamp) {
        let day = now.micros().div_euclid(DAY_MICROS);
        if day > self.day {
            *self = Self { day, used: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_has_so_many_and_the_next_as_many_again() {
        let mut daily = Daily::default();
        for _ in 0..3 {
            assert_eq!(daily.take(3, at("2026-11-20T23:59:59Z")), Ok(()));
        }
        let midnight = at("2026-11-21T00:00:00Z");
        assert_eq!(daily.take(3, at("2026-11-20T23:59:59Z")), Err(midnight));
        assert_eq!(daily.take(4, at("2026-11-20T23:59:59Z")), Ok(()), "the cap was raised");
        assert_eq!(daily.take(1, midnight), Ok(()));
        assert_eq!(daily.take(1, at("2026-11-20T12:00:00Z")), Err(at("2026-11-22T00:00:00Z")), "set back");
    }

    #[test]
    fn attempts_from_before_a_restart_count_on_their_day() {
        let mut daily = Daily::default();
        for made in
            ["2026-11-19T10:00:00Z", "2026-11-20T01:00:00Z", "2026-11-20T02:00:00Z", "2026-11-19T23:00:00Z"]
        {
            daily.note(at(made));
        }
        let now = at("2026-11-20T03:00:00Z");
        assert_eq!(daily.take(3, now), Ok(()));
        assert!(daily.take(3, now).is_err());
    }

    proptest! {
        #[test]
        fn no_day_ever_has_more_than_the_cap(most in 0u64..20, hours in prop::collection::vec(0u32..200, 0..400)) {
            let (mut daily, mut taken) = (Daily::default(), std::collections::HashMap::new());
            for hour in hours {
                if daily.take(most, Timestamp::from_seconds(hour * 3600)).is_ok() {
                    *taken.entry(daily.day).or_insert(0) += 1;
                }
            }
            prop_assert!(taken.values().all(|taken| *taken <= most));
        }
    }
}
