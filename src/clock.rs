//! Time, as everything here is told it.
//!
//! Gives: `Timestamp` (what is written into records) and `Clock` (where it comes from).
//! Keeps: nothing else in the crate reads the system's clocks, so a test can own time.
//! Not here: ordering. A clock never orders or fences records; positions do.

use std::fmt;
use std::str::FromStr;
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

    /// This moment, earlier by `duration`; saturates.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
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

/// A text that is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Something else than digits in their places.
    #[error("not a date and a time, as 2026-11-20T07:00:00Z")]
    Form,
    /// Digits in their places that no calendar or clock shows.
    #[error("there is no such date or time")]
    Range,
    /// It does not say how far it is from UTC.
    #[error("it has no offset from UTC: add Z or +00:00")]
    NoOffset,
}

/// RFC 3339, with `T`, `t` or a blank between date and time. Digits after the sixth decimal place are cut off.
impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        Self::parse(text, None)
    }
}

impl Timestamp {
    /// As `FromStr`, but a text without an offset, a date alone too, is taken as `offset` seconds ahead of UTC.
    ///
    /// # Errors
    /// It is no moment.
    pub fn parse(text: &str, offset: Option<i32>) -> Result<Self, TimestampError> {
        let mut rest = text.as_bytes();
        let date = [number(&mut rest, 4)?, mark(&mut rest, b"-", 2)?, mark(&mut rest, b"-", 2)?];
        let (mut time, mut micros, mut said) = ([0; 3], 0, None);
        if !rest.is_empty() {
            time = [mark(&mut rest, b"Tt ", 2)?, mark(&mut rest, b":", 2)?, mark(&mut rest, b":", 2)?];
            micros = fraction(&mut rest)?;
            said = offset_of(rest)?;
        }
        let offset = said.or(offset.map(i64::from)).ok_or(TimestampError::NoOffset)?;
        let [year, month, day] = date;
        let days = days_of(year, month, day);
        // A leap second is the first one of the next minute.
        if civil(days) != (year, month, day) || time[0] > 23 || time[1] > 59 || time[2] > 60 {
            return Err(TimestampError::Range);
        }
        let seconds = days * 86_400 + time[0] * 3600 + time[1] * 60 + time[2] - offset;
        Ok(Self(seconds * MICROS + micros))
    }
}

/// Takes a number of exactly so many digits.
fn number(rest: &mut &[u8], digits: usize) -> Result<i64, TimestampError> {
    let (taken, after) = rest.split_at_checked(digits).ok_or(TimestampError::Form)?;
    if !taken.iter().all(u8::is_ascii_digit) {
        return Err(TimestampError::Form);
    }
    *rest = after;
    Ok(taken.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// Takes one of these characters, and a number behind it.
fn mark(rest: &mut &[u8], marks: &[u8], digits: usize) -> Result<i64, TimestampError> {
    match rest.split_first() {
        Some((first, after)) if marks.contains(first) => *rest = after,
        _ => return Err(TimestampError::Form),
    }
    number(rest, digits)
}

/// Takes decimal places, if there are any, as millionths.
fn fraction(rest: &mut &[u8]) -> Result<i64, TimestampError> {
    let Some((b'.' | b',', after)) = rest.split_first() else { return Ok(0) };
    let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (taken, after) = after.split_at(digits);
    *rest = after;
    let places = taken.iter().map(|digit| i64::from(digit - b'0')).chain([0; 6]).take(6);
    if digits == 0 { Err(TimestampError::Form) } else { Ok(places.fold(0, |sum, place| sum * 10 + place)) }
}

/// How many seconds ahead of UTC that is; nothing if it does not say.
fn offset_of(mut rest: &[u8]) -> Result<Option<i64>, TimestampError> {
    let sign = match rest {
        [] => return Ok(None),
        [b'Z' | b'z'] => return Ok(Some(0)),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return Err(TimestampError::Form),
    };
    let (hours, minutes) = (mark(&mut rest, b"+-", 2)?, mark(&mut rest, b":", 2)?);
    match (rest, hours, minutes) {
        ([], 0..24, 0..60) => Ok(Some(sign * (hours * 3600 + minutes * 60))),
        ([], ..) => Err(TimestampError::Range),
        _ => Err(TimestampError::Form),
    }
}

/// The day of a date, counted from the epoch: `civil` the other way round. Any numbers give some day.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_index = (month + 9) % 12;
    let day_of_year = (153 * month_index + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
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
            Self::Manual(clock) => clock.passed(),
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

/// A clock for tests: starts where it is told, moves by `advance` and `set` only.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Hands>);

#[derive(Debug, Default)]
struct Hands {
    /// Microseconds since the epoch.
    shown: AtomicI64,
    /// How much of that nobody has lived through.
    leapt: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(Hands { shown: AtomicI64::new(start.micros()), leapt: AtomicI64::new(0) }))
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.shown.load(Ordering::SeqCst))
    }

    /// Moves it forward by `duration` for all its clones.
    pub fn advance(&self, duration: Duration) {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        self.0.shown.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets it to a moment for all its clones, as who sets the system's does: no time passes meanwhile.
    pub fn set(&self, to: Timestamp) {
        let leap = to.micros().saturating_sub(self.0.shown.load(Ordering::SeqCst));
        self.0.leapt.fetch_add(leap, Ordering::SeqCst);
        self.0.shown.fetch_add(leap, Ordering::SeqCst);
    }

    fn passed(&self) -> Duration {
        let micros = self.now().micros().saturating_sub(self.0.leapt.load(Ordering::SeqCst));
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
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
    fn a_moment_is_read_in_each_form_it_is_written_in() {
        let cases = [
            ("1970-01-01T00:00:00Z", Ok(0)),
            ("2000-02-29 00:00:00.000001z", Ok(951_782_400_000_001)),
            ("2026-11-20t07:00:00.5Z", Ok(1_795_158_000_500_000)),
            ("2026-11-20T09:00:00.5000009+02:00", Ok(1_795_158_000_500_000)),
            ("2026-11-20T01:30:00.5-05:30", Ok(1_795_158_000_500_000)),
            ("1969-12-31T23:59:59.999999Z", Ok(-1)),
            ("2016-12-31T23:59:60Z", Ok(1_483_228_800_000_000)),
            ("2026-11-20T07:00:00", Err(TimestampError::NoOffset)),
            ("2026-11-20", Err(TimestampError::NoOffset)),
            ("2026-02-29T00:00:00Z", Err(TimestampError::Range)),
            ("2026-13-01T00:00:00Z", Err(TimestampError::Range)),
            ("2026-00-01T00:00:00Z", Err(TimestampError::Range)),
            ("2026-01-00T00:00:00Z", Err(TimestampError::Range)),
            ("2026-01-01T24:00:00Z", Err(TimestampError::Range)),
            ("2026-01-01T00:00:00+24:00", Err(TimestampError::Range)),
            ("2026-01-01T00:00:00+0200", Err(TimestampError::Form)),
            ("2026-01-01T00:00:00.Z", Err(TimestampError::Form)),
            ("2026-1-1T00:00:00Z", Err(TimestampError::Form)),
            ("2026-01-01T00:00Z", Err(TimestampError::Form)),
            ("+026-01-01T00:00:00Z", Err(TimestampError::Form)),
            ("", Err(TimestampError::Form)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse().map(Timestamp::micros), expected, "{text}");
        }
        for (text, hour) in [("2026-11-20 09:00:00", 7), ("2026-11-20", -2), ("2026-11-20T07:00:00Z", 7)] {
            let expected = 1_795_132_800 + hour * 3600;
            assert_eq!(
                Timestamp::parse(text, Some(7200)).map(|at| at.micros()),
                Ok(expected * MICROS),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        // Every 11th day and some odd time in it, from the year 0 to 9999.
        for day in (-719_528..2_932_897).step_by(11) {
            let moment =
                Timestamp::from_micros(day * 86_400 * MICROS + (day * 7_919).rem_euclid(86_400) * MICROS + 7);
            assert_eq!(moment.to_string().parse(), Ok(moment), "day {day}");
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
