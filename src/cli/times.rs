//! Which time a command is about: `--from` and `--to`, by one rule for all of them.
//!
//! In: a moment with its offset from UTC (RFC 3339), or a day. Out: the `Window` that is read.
//! Keeps: a window begins with `--from` and ends before `--to`, so of two that follow one another nothing is in both. A day
//! has its whole length, as `--to` too: `--from 2026-11-20 --to 2026-11-21` are two days. It is a day in UTC, or by the
//! clocks of `--time-zone` where a command has that.
//! Refuses: a moment that does not say its offset, and a window that ends before it begins.

use std::str::FromStr;

use clap::Args;

use super::Failure;
use crate::batch::import::Offset;
use crate::batch::lookup::Window;
use crate::clock::{Timestamp, TimestampError};

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Which time a command reads.
#[derive(Debug, Args)]
pub(super) struct Times {
    /// From this moment or day on, as 2026-11-20T07:00:00Z or 2026-11-20. Days are those of UTC, or of --time-zone where there
    /// is that
    #[arg(long, value_name = "TIME")]
    from: Option<When>,
    /// Up to this moment, itself not included; or up to the end of this day
    #[arg(long, value_name = "TIME")]
    to: Option<When>,
}

impl Times {
    /// By UTC.
    pub(super) fn window(&self) -> Result<Window, Failure> {
        self.window_by(Offset::default())
    }

    /// By clocks that are so far ahead of UTC.
    pub(super) fn window_by(&self, clocks: Offset) -> Result<Window, Failure> {
        let (from, to) = (self.from.map(|from| from.begin(clocks)), self.to.map(|to| to.end(clocks)));
        match from.zip(to) {
            Some((from, to)) if to <= from => Err(Failure::usage(format!(
                "the period ends at {to} (--to), before it begins at {from} (--from)"
            ))),
            _ => Ok(Window { from, to }),
        }
    }
}

/// A text that was given for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Moment(Timestamp),
    /// By its beginning in UTC.
    Day(Timestamp),
}

impl When {
    fn begin(self, clocks: Offset) -> Timestamp {
        match self {
            Self::Moment(moment) => moment,
            Self::Day(day) => {
                let ahead = i64::from(clocks.seconds()) * 1_000_000;
                Timestamp::from_micros(day.micros().saturating_sub(ahead))
            }
        }
    }

    fn end(self, clocks: Offset) -> Timestamp {
        let length = if matches!(self, Self::Day(_)) { DAY_MICROS } else { 0 };
        Timestamp::from_micros(self.begin(clocks).micros().saturating_add(length))
    }
}

/// A text that is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; give a moment, as 2026-11-20T07:00:00Z or 2026-11-20T09:00:00+02:00, or a day, as 2026-11-20", what(.0))]
struct WhenError(TimestampError);

/// Without an example: there are two behind it.
fn what(error: &TimestampError) -> String {
    match error {
        TimestampError::Form => "not a time".to_owned(),
        error => error.to_string(),
    }
}

impl FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        let is_day = text.len() == "2026-11-20".len();
        let read = if is_day {
            Timestamp::parse(text, Some(0)).map(Self::Day)
        } else {
            text.parse().map(Self::Moment)
        };
        read.map_err(WhenError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(from: &str, to: &str) -> Times {
        let when = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        Times { from: when(from), to: when(to) }
    }

    #[test]
    fn a_day_is_whole_and_a_moment_at_the_end_is_left_out() {
        for (from, to, clocks, begin, end) in [
            ("2026-11-20", "2026-11-20", "Z", "2026-11-20T00", "2026-11-21T00"),
            ("2026-11-20", "2026-11-21", "+02:00", "2026-11-19T22", "2026-11-21T22"),
            ("2026-11-20", "2026-11-20", "-05:00", "2026-11-20T05", "2026-11-21T05"),
            ("2026-11-20T07:00:00Z", "2026-11-20T09:00:00Z", "+02:00", "2026-11-20T07", "2026-11-20T09"),
            ("2026-11-20T09:00:00+02:00", "2026-11-20", "Z", "2026-11-20T07", "2026-11-21T00"),
        ] {
            let window = times(from, to).window_by(clocks.parse().unwrap()).unwrap();
            let told = [window.from, window.to].map(|time| time.unwrap().to_string()[..13].to_owned());
            assert_eq!(told, [begin, end], "{from} {to} {clocks}");
            let (first, end) = (window.from.unwrap(), window.to.unwrap());
            assert!(window.contains(first) && !window.contains(end), "{from} {to}");
        }
        let open = times("", "").window().unwrap();
        assert!(open.from.is_none() && open.to.is_none());
    }

    #[test]
    fn a_window_that_ends_before_it_begins_is_refused() {
        for (from, to) in [
            ("2026-11-21", "2026-11-20"),
            ("2026-11-20T07:00:00Z", "2026-11-20T07:00:00Z"),
            ("2026-11-21T00:00:00Z", "2026-11-20"),
        ] {
            let said = times(from, to).window().unwrap_err().text;
            assert!(said.contains("before it begins"), "{said}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_both_forms_that_are() {
        for (text, what) in [
            ("yesterday", "not a time"),
            ("2026-11-20T07:00:00", "it has no offset from UTC"),
            ("2026-02-30", "there is no such date"),
            ("20.11.2026", "not a time"),
            ("1795158000", "not a time"),
            ("", "not a time"),
        ] {
            let said = text.parse::<When>().unwrap_err().to_string();
            assert!(said.starts_with(what), "{text}: {said}");
            assert!(
                said.contains("as 2026-11-20T07:00:00Z or") && said.ends_with("a day, as 2026-11-20"),
                "{said}"
            );
        }
    }
}
