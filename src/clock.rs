//! Time, as everything here is told it.
//!
//! Gives: `Timestamp` (what is written into records) and `Clock` (where it comes from).
//! Keeps: nothing else in the crate reads the system's clocks, so a test can own time.
//! Not here: ordering. A clock never orders or fences records; positions do.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds per second.
const MICROS: i64 = 1_000_000;

/// A moment, in microseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Range: the years 1970 to about 294,000 for what the system clock gives; any `i64` is a valid value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `micros` microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The moment `seconds` seconds after the epoch.
    pub const fn from_seconds(seconds: u32) -> Self {
        Self(seconds as i64 * MICROS)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, clamped to what 32 bits hold (1970 to 2106): the form a click ID carries.
    pub fn seconds(self) -> u32 {
        let seconds = self.0.div_euclid(MICROS).max(0);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    /// Whole hours since the epoch: two moments in one hour share it.
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(3600 * MICROS)
    }

    /// This moment, later by `duration`; saturates.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// RFC 3339 in UTC with microseconds: `2026-11-20T07:00:00.000000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0.div_euclid(MICROS), self.0.rem_euclid(MICROS));
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The proleptic Gregorian date of a day counted from the epoch (Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Where the time comes from. Cheap to clone; clones tell the same time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's real-time clock.
    #[default]
    System,
    /// A clock that moves only when a test moves it.
    Manual(ManualClock),
}

impl Clock {
    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Self::Manual(clock) => clock.now(),
        }
    }

    /// Time since some fixed moment, never going back: for measuring durations, never for records.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        match self {
            Self::System => START.get_or_init(Instant::now).elapsed(),
            Self::Manual(clock) => clock.now().since(Timestamp::default()),
        }
    }
}

impl Clock {
    /// How long to sleep before looking at this clock again, for a moment that is `left` away on it. A manual clock
    /// moves by leaps and wakes nobody, so it is looked at often.
    pub fn nap(&self, left: Duration) -> Duration {
        match self {
            Self::System => left,
            Self::Manual(_) => left.min(Duration::from_millis(2)),
        }
    }
}

/// A clock for tests: starts where it is told, moves by `advance` only.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.micros())))
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    /// Moves it forward by `duration` for all its clones.
    pub fn advance(&self, duration: Duration) {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_795_158_000_500_000, "2026-11-20T07:00:00.500000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ];
        for (micros, text) in cases {
            assert_eq!(Timestamp::from_micros(micros).to_string(), text);
        }
    }

    #[test]
    fn a_manual_clock_moves_only_when_told_and_for_all_clones() {
        let hand = ManualClock::at(Timestamp::from_seconds(10));
        let clock = Clock::Manual(hand.clone());
        assert_eq!(clock.now().seconds(), 10);
        hand.advance(Duration::from_secs(5));
        assert_eq!(clock.now().seconds(), 15);
        assert_eq!(clock.monotonic(), Duration::from_secs(15));
    }

    #[test]
    fn seconds_are_clamped_to_what_a_click_id_holds() {
        assert_eq!(Timestamp::from_micros(-5).seconds(), 0);
        assert_eq!(Timestamp::from_micros(i64::MAX).seconds(), u32::MAX);
    }
}
