//! Times as other trackers write them: RFC 3339, `2026-11-20 07:00:00`, a date, seconds or milliseconds since 1970.

use std::str::FromStr;

use crate::clock::{Timestamp, TimestampError};

/// From here on a number is taken for milliseconds: as seconds it would be the year 5138.
const MILLIS_MIN: i64 = 100_000_000_000;
/// And from here on for microseconds.
const MICROS_MIN: i64 = 100_000_000_000_000;

/// How far ahead of UTC: `Z`, `+02:00`, `-05:30`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset {
    seconds: i32,
}

/// A text that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an offset from UTC, as Z, +02:00 or -05:30")]
pub struct OffsetError;

impl Offset {
    /// In seconds.
    pub const fn seconds(self) -> i32 {
        self.seconds
    }
}

impl FromStr for Offset {
    type Err = OffsetError;

    fn from_str(text: &str) -> Result<Self, OffsetError> {
        if !text.starts_with(['Z', 'z', '+', '-']) {
            return Err(OffsetError);
        }
        let moment: Timestamp = format!("1970-01-01T00:00:00{text}").parse().map_err(|_| OffsetError)?;
        let seconds = i32::try_from(-moment.micros() / 1_000_000).map_err(|_| OffsetError)?;
        Ok(Self { seconds })
    }
}

/// Reads a time.
pub(in crate::batch) fn parse(text: &str, offset: Offset) -> Result<Timestamp, TimestampError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return Timestamp::parse(text, Some(offset.seconds));
    }
    let number: i64 = whole.parse().map_err(|_| TimestampError::Range)?;
    let micros = match number {
        ..MILLIS_MIN => {
            let places = fraction.bytes().map(|digit| i64::from(digit - b'0')).chain([0; 6]).take(6);
            number * 1_000_000 + places.fold(0, |sum, place| sum * 10 + place)
        }
        MILLIS_MIN..MICROS_MIN => number * 1000,
        MICROS_MIN.. => number,
    };
    Ok(Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_time_is_read() {
        let east: Offset = "+02:00".parse().unwrap();
        let whole = 1_795_158_000_000_000;
        for (text, expected) in [
            ("2026-11-20T07:00:00Z", whole),
            ("2026-11-20T09:00:00+02:00", whole),
            ("2026-11-20 09:00:00", whole),
            ("2026-11-20 09:00:00.25", whole + 250_000),
            ("2026-11-20", whole - 9 * 3_600_000_000),
            ("1795158000", whole),
            ("1795158000.123", whole + 123_000),
            ("1795158000123", whole + 123_000),
            ("1795158000123456", whole + 123_456),
        ] {
            assert_eq!(parse(text, east).map(Timestamp::micros), Ok(expected), "{text}");
        }
        for text in
            ["", "now", "20.11.2026", "-5", "1e9", "99999999999999999999", ".5", "2026-02-30 00:00:00"]
        {
            assert!(parse(text, east).is_err(), "{text}");
        }
    }

    #[test]
    fn an_offset_is_a_sign_and_hours_and_minutes() {
        for (text, expected) in [("Z", 0), ("+00:00", 0), ("+02:00", 7200), ("-05:30", -19_800)] {
            assert_eq!(text.parse::<Offset>().map(Offset::seconds), Ok(expected), "{text}");
        }
        for text in ["", "2", "+2", "+0200", "CET", "+02:00Z", ".5Z"] {
            assert_eq!(text.parse::<Offset>(), Err(OffsetError), "{text}");
        }
    }
}
