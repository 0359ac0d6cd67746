//! `Retry-After`, as servers write it: seconds, or a date in any of the three forms of HTTP (RFC 9110, 5.6.7).
//!
//! Out: how long to wait from now, within bounds: a server cannot make us wait for ever, nor come back at once.
//! Refuses: anything else; then it is as if nothing had been said.

use std::time::Duration;

use crate::clock::Timestamp;

/// The least that is waited.
pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// The most that is waited before we ask again, whatever was said.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(6);

/// No form is longer than `Wednesday, 06-Nov-94 08:49:37 GMT`, but seconds may have zeros in front.
const TEXT_BYTES_MAX: usize = 64;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// How long to wait; none if the header says nothing that can be read.
pub fn wait(header: &[u8], now: Timestamp) -> Option<Duration> {
    let text = std::str::from_utf8(header).ok()?.trim();
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let asked = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are longer than the bound as well.
        text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        date(text, now)?.since(now)
    };
    Some(asked.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX))
}

/// The weekday says nothing that the date does not, and is often wrong: it is not looked at.
fn date(text: &str, now: Timestamp) -> Option<Timestamp> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (year, month, day, time) = match words[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [_weekday, day, month, year, time, "GMT" | "UTC"] => (number(year, 4)?, month, number(day, 2)?, time),
        // Sunday, 06-Nov-94 08:49:37 GMT
        [_weekday, date, time, "GMT" | "UTC"] => {
            let mut parts = date.split('-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            (century(number(year, 2)?, now), month, number(day, 2)?, time)
        }
        // Sun Nov  6 08:49:37 1994
        [_weekday, month, day, time, year] => {
            (number(year, 4)?, month, number(day, day.len().clamp(1, 2))?, time)
        }
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    format!("{year:04}-{month:02}-{day:02}T{time}Z").parse().ok()
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// The year that two digits mean: the one that is not more than 50 years ahead.
fn century(year: u32, now: Timestamp) -> u32 {
    let this_year: u32 = now.to_string().get(..4).and_then(|year| year.parse().ok()).unwrap_or(1970);
    let year = this_year - this_year % 100 + year;
    if year > this_year + 50 { year - 100 } else { year }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn both_forms_and_all_three_dates_are_read() {
        let now = at("1994-11-06T08:49:07Z");
        for header in [
            "30",
            " 30 ",
            "0030",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(wait(header.as_bytes(), now), Some(Duration::from_secs(30)), "{header}");
        }
    }

    #[test]
    fn two_digits_of_a_year_are_of_the_century_that_is_near() {
        let now = at("2099-12-31T23:59:30Z");
        assert_eq!(wait(b"Friday, 01-Jan-00 00:00:00 GMT", now), Some(RETRY_AFTER_MIN), "2000, long past");
        assert_eq!(century(26, at("2026-11-20T07:00:00Z")), 2026);
        assert_eq!(century(94, at("2026-11-20T07:00:00Z")), 1994);
    }

    #[test]
    fn what_is_asked_is_kept_within_bounds() {
        let now = at("2026-11-20T07:00:00Z");
        let table = [
            ("0", RETRY_AFTER_MIN),
            ("Fri, 20 Nov 2026 06:00:00 GMT", RETRY_AFTER_MIN),
            ("86400", RETRY_AFTER_MAX),
            ("99999999999999999999999", RETRY_AFTER_MAX),
            ("Fri, 20 Nov 2099 06:00:00 GMT", RETRY_AFTER_MAX),
        ];
        for (header, expected) in table {
            assert_eq!(wait(header.as_bytes(), now), Some(expected), "{header}");
        }
    }

    #[test]
    fn what_is_neither_is_as_if_it_were_not_there() {
        for header in [
            "",
            " ",
            "-1",
            "1.5",
            "+3",
            "soon",
            "Sun, 31 Feb 2027 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sunday, 06-Nov-94-1 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
            "Sun, 06 nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(wait(header.as_bytes(), at("1994-11-06T08:49:07Z")), None, "{header}");
        }
        assert_eq!(wait(b"3\xff", Timestamp::default()), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_us_wait_longer_or_shorter_than_the_bounds(header: Vec<u8>, text: String, now in 0i64..4_000_000_000_000_000) {
            for header in [&header[..], text.as_bytes()] {
                if let Some(wait) = wait(header, Timestamp::from_micros(now)) {
                    prop_assert!((RETRY_AFTER_MIN..=RETRY_AFTER_MAX).contains(&wait));
                }
            }
        }

        #[test]
        fn words_where_a_date_has_its_parts_end_in_no_panic(
            day in "[0-9]{0,3}", month in "(Jan|Feb|x)", year in "[0-9]{0,5}", time in "[0-9:]{0,9}",
        ) {
            for text in [
                format!("Sun, {day} {month} {year} {time} GMT"),
                format!("Sunday, {day}-{month}-{year} {time} GMT"),
                format!("Sun {month} {day} {time} {year}"),
            ] {
                let _either = wait(text.as_bytes(), Timestamp::default());
            }
        }
    }
}
