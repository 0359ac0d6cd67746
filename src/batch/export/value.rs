//! Single values as text: moments, amounts, numbers, JSON.
//!
//! In: what a column gives. Out: bytes behind those that are there.
//! Keeps: a value allocates nothing. What is written reads back as the same value.
//! Not here: what stands between values (`text`).

use std::io::Write;

use crate::clock::Timestamp;
use crate::compactor::columns::{Texts, countable};
use crate::compactor::shared::Unnamed;
use crate::compactor::table::{Field, Get, Table};
use crate::event::money::Micros;

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400 * 1_000_000;
/// Bytes of `2026-11-20T`.
const DATE_BYTES: usize = 11;
/// Digits of the longest number.
const DIGITS_MAX: usize = 20;

/// What a row has in a column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'r> {
    /// Nothing.
    None,
    Time(Timestamp),
    Money(Micros),
    Bool(bool),
    Number(i64),
    /// Never empty.
    Text(&'r str),
    Pairs(Unnamed<'r>),
}

impl<'r> Value<'r> {
    /// What `row` has in the column `field`.
    pub(super) fn of<T: Table>(field: &Field<T>, row: &'r T::Row<'_>) -> Self {
        let text = |text: &'r str| if text.is_empty() { Self::None } else { Self::Text(text) };
        match &field.get {
            Get::Time(get) => get(row).map_or(Self::None, Self::Time),
            Get::Money(get) => get(row).and_then(countable).map_or(Self::None, Self::Money),
            Get::Bool(get) => Self::Bool(get(row)),
            Get::Int32(get) => get(row).map_or(Self::None, |number| Self::Number(number.into())),
            Get::Int64(get) => get(row).map_or(Self::None, Self::Number),
            Get::Text(get) => text(get(row)),
            Get::Known(get, at) => text(get(row, *at)),
            Get::Pairs(get) => {
                let pairs = get(row);
                if pairs.iter().next().is_none() { Self::None } else { Self::Pairs(pairs) }
            }
        }
    }
}

/// Writes moments, and remembers the day of the last one.
#[derive(Debug, Default)]
pub(super) struct Times {
    day: Option<i64>,
    date: [u8; DATE_BYTES],
}

impl Times {
    /// As `Timestamp` shows itself.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        let (day, micros) = (time.micros().div_euclid(DAY_MICROS), time.micros().rem_euclid(DAY_MICROS));
        if self.day != Some(day) && !self.remember(day, time) {
            write_shown(out, time);
            return;
        }
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let [h, m, s] = [seconds / 3600, seconds / 60 % 60, seconds % 60].map(two);
        let [a, b, c] = [fraction / 10_000, fraction / 100 % 100, fraction % 100].map(two);
        out.extend_from_slice(&self.date);
        out.extend_from_slice(&[
            h[0], h[1], b':', m[0], m[1], b':', s[0], s[1], b'.', a[0], a[1], b[0], b[1], c[0], c[1], b'Z',
        ]);
    }

    /// False for a year that has not four digits.
    fn remember(&mut self, day: i64, time: Timestamp) -> bool {
        let text = time.to_string();
        let Some(date) = text.as_bytes().first_chunk::<DATE_BYTES>().filter(|date| date.ends_with(b"T"))
        else {
            return false;
        };
        (self.day, self.date) = (Some(day), *date);
        true
    }
}

/// Two digits.
fn two(number: i64) -> [u8; 2] {
    [number / 10, number].map(|number| digit(number.unsigned_abs()))
}

/// The shortest exact decimal, as `Micros` shows itself.
pub(super) fn write_money(out: &mut Vec<u8>, amount: Micros) {
    let magnitude = amount.get().unsigned_abs();
    if amount.get() < 0 {
        out.push(b'-');
    }
    write_digits(out, magnitude / 1_000_000);
    let fraction = magnitude % 1_000_000;
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    for place in [100_000, 10_000, 1_000, 100, 10, 1] {
        out.push(digit(fraction / place));
    }
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// A number in decimal digits.
pub(super) fn write_number(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    write_digits(out, number.unsigned_abs());
}

fn write_digits(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        digits[at] = digit(number);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The last digit of a number.
fn digit(number: u64) -> u8 {
    b"0123456789"[usize::try_from(number % 10).unwrap_or(0)]
}

fn write_shown(out: &mut Vec<u8>, shown: impl std::fmt::Display) {
    let written = write!(out, "{shown}");
    assert!(written.is_ok(), "memory takes what is written");
}

/// A JSON string.
pub(super) fn write_json(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= b' ' && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[start..at]);
        start = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => write_shown(out, format_args!("\\u{byte:04x}")),
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// A JSON object. A name that comes again is numbered, as in a file; `names` is memory that is used again.
pub(super) fn write_pairs(out: &mut Vec<u8>, names: &mut Texts, pairs: Unnamed<'_>) {
    names.clear();
    for (at, (name, value)) in pairs.iter().enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        names.push_apart(name, 0);
        write_json(out, str::from_utf8(names.text(at)).unwrap_or(name));
        out.push(b':');
        write_json(out, value);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn moments_are_written_as_they_show_themselves() {
        let mut times = Times::default();
        for micros in [0, 1, -1, 1_795_215_599_999_999, 1_795_219_200_000_000, i64::MAX, i64::MIN, 5] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(written(|out| times.write(out, time)), time.to_string(), "{micros}");
        }
    }

    proptest! {
        #[test]
        fn any_moment_is(micros in any::<i64>(), near in 0..200_000_000_000_i64) {
            let mut times = Times::default();
            for time in [micros, near, near + 1].map(Timestamp::from_micros) {
                prop_assert_eq!(written(|out| times.write(out, time)), time.to_string());
            }
        }

        #[test]
        fn amounts_and_numbers_are_too(number in any::<i64>(), small in -9_999_999..9_999_999_i64) {
            for number in [number, small, 0, 10, -1_000_000, i64::MIN] {
                prop_assert_eq!(written(|out| write_number(out, number)), number.to_string());
                let amount = Micros::new(number);
                prop_assert_eq!(written(|out| write_money(out, amount)), amount.to_string());
            }
        }

        #[test]
        fn any_text_is_a_json_string(text in any::<String>()) {
            let json = written(|out| write_json(out, &text));
            prop_assert!(json.bytes().all(|byte| byte >= b' '));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
