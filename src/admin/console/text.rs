//! Numbers, times and links as people read them.
//!
//! Keeps: money is exact; what is shortened says so or is beside the whole.

use crate::clock::Timestamp;
use crate::event::percent_encoded;

/// A link to a page of the console: its parts, as they are.
pub(super) fn path(parts: &[&str]) -> String {
    let mut path = "/console".to_owned();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        path.push('/');
        path.extend(percent_encoded(part));
    }
    path
}

/// A link to a page, with what it is asked for; what is empty is left out.
pub(super) fn link(parts: &[&str], query: &[(&str, &str)]) -> String {
    let mut link = path(parts);
    let given = query.iter().filter(|(_, value)| !value.is_empty());
    for (mark, (name, value)) in std::iter::once('?').chain(std::iter::repeat('&')).zip(given) {
        link.push(mark);
        link.push_str(name);
        link.push('=');
        link.extend(percent_encoded(value));
    }
    link
}

/// A whole number in groups of three.
pub(super) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// An amount in millionths, exact, with two places at least.
pub(super) fn money(micros: i128) -> String {
    let sign = if micros < 0 { "−" } else { "" };
    let (whole, fraction) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let mut places = format!("{fraction:06}");
    while places.len() > 2 && places.ends_with('0') {
        places.pop();
    }
    format!("{sign}{}.{places}", grouped(&whole.to_string()))
}

/// Amounts of several currencies, those that are nothing left out.
pub(super) fn amounts(amounts: &[i128], currencies: &[String]) -> Vec<String> {
    let some = currencies.iter().zip(amounts).filter(|(_, micros)| **micros != 0);
    some.map(|(code, micros)| format!("{} {code}", money(*micros))).collect()
}

/// A part of a whole, in percent with two places.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let hundredths = (u128::from(part) * 20_000 / u128::from(whole)).div_ceil(2);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

/// Bytes in a unit in which they are short.
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut scaled, mut unit) = (u128::from(bytes) * 10, 0);
    while scaled >= 10_240 && unit + 1 < units.len() {
        (scaled, unit) = (scaled / 1024, unit + 1);
    }
    let name = units.get(unit).copied().unwrap_or_default();
    match (unit, scaled >= 1000) {
        (0, _) | (_, true) => format!("{} {name}", scaled / 10),
        _ => format!("{}.{} {name}", scaled / 10, scaled % 10),
    }
}

/// Seconds as `3 min`, `2 h`.
pub(super) fn seconds(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A moment to the second: `2026-11-20 07:00:00`.
pub(super) fn moment(time: Timestamp) -> String {
    brief(&time.to_string())
}

/// The same of a text that is one; any other text as it is.
pub(super) fn brief(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(_) => time.get(..19).unwrap_or(time).replacen('T', " ", 1),
        Err(_) => time.to_owned(),
    }
}

/// The same to the thousandth, for what follows one another quickly.
pub(super) fn precise(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(_) => time.get(..23).unwrap_or(time).replacen('T', " ", 1),
        Err(_) => time.to_owned(),
    }
}

/// The first characters of a text.
pub(super) fn shortened(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A word of the program's as a person's: `payout_above_max`. What has words already is left alone.
pub(super) fn words(name: &str) -> String {
    if name.contains(' ') { name.to_owned() } else { name.replace('_', " ") }
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!((count(0), count(999), count(1000)), ("0".into(), "999".into(), "1,000".into()));
        assert_eq!(count(1_234_567), "1,234,567");
        for (micros, shown) in
            [(0, "0.00"), (1_500_000, "1.50"), (-1_234_567_800_000, "−1,234,567.80"), (12_345, "0.012345")]
        {
            assert_eq!(money(micros), shown);
        }
        let of = |first, second| amounts(&[first, second], &["EUR".to_owned(), "USD".to_owned()]);
        assert_eq!((of(0, 0), of(0, 5_000_000)), (vec![], vec!["5.00 USD".to_owned()]));
        for (part, whole, shown) in [(1, 3, "33.33 %"), (2, 3, "66.67 %"), (0, 0, "–"), (5, 5, "100.00 %")]
        {
            assert_eq!(percent(part, whole), shown);
        }
        for (number, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (500 << 20, "500 MiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(bytes(number), shown);
        }
        assert_eq!((seconds(5), seconds(300), seconds(7200)), ("5 s".into(), "5 min".into(), "2 h".into()));
    }

    #[test]
    fn a_link_says_nothing_that_its_parts_do_not() {
        assert_eq!(path(&["campaigns", "a/b ?\"<ü"]), "/console/campaigns/a%2Fb%20%3F%22%3C%C3%BC");
        assert_eq!(path(&[""]), "/console");
        let query = [("q", "a&b"), ("page", ""), ("days", "7")];
        assert_eq!(link(&["lookup"], &query), "/console/lookup?q=a%26b&days=7");
    }

    #[test]
    fn times_are_short_and_anything_else_is_left_alone() {
        assert_eq!(brief("2026-11-20T07:00:00.123456Z"), "2026-11-20 07:00:00");
        assert_eq!(precise("2026-11-20T07:00:00.123456Z"), "2026-11-20 07:00:00.123");
        assert_eq!((brief("<never>"), precise("")), ("<never>".to_owned(), String::new()));
        assert_eq!(
            (&*words("payout_above_max"), &*words("no click_id")),
            ("payout above max", "no click_id")
        );
        assert_eq!((shortened("abc", 3), shortened("äöü", 2)), ("abc".to_owned(), "äö…".to_owned()));
    }
}
