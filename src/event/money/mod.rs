//! Money: exact amounts, and the currencies they are in.
//!
//! In: what networks write (`12.34`, `12,34`, `$1,234.56`). Out: whole millionths and an ISO 4217 code.
//! Keeps: never a float; every `Currency` is in the table; an amount's text reads back as the same amount.
//! Refuses: anything with two readings, and anything that is not a plain decimal.
//! Not here: conversion between currencies, what a payout may be (`apply`).

use std::cmp::Ordering;
use std::fmt;

mod currency;

pub use currency::Currency;

/// Decimal places an amount keeps.
const PLACES: usize = 6;
/// Millionths in a whole.
const WHOLE: u64 = 1_000_000;

/// An amount of money in millionths of its currency's unit: about ±9.2 trillion, exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Micros(i64);

impl Micros {
    /// The most that one conversion may pay, either way: ten thousand million. That is more than any pays in any currency,
    /// and little enough that what several come to still fits by far.
    pub const PAYOUT_MAX: Self = Self(10_000_000_000_000_000);

    /// The amount of `micros` millionths.
    pub const fn new(micros: i64) -> Self {
        Self(micros)
    }

    /// The amount in millionths.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The sum, or the end of the range that it would leave: whoever sends amounts must not be able to stop the process.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, likewise.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Reads a decimal as people and networks write it.
    ///
    /// - The last `.` or `,` is the decimal mark. Before it, the *other* one may group digits by exactly three:
    ///   `1,234.56` and `1.234,56` are the same amount.
    /// - A single separator is always the decimal mark: `1,234` is one and 234 thousandths, never a thousand,
    ///   as networks that write `12,34` mean it. `1,234,567` has no decimal mark and is refused, not guessed.
    /// - Blanks around the number, one sign and one currency sign before it, in either order, are skipped. The
    ///   currency sign is not compared with any currency: many share `$`.
    /// - `.5` and `5.` are fine. Exponents, `NaN`, `inf`, hex, letters and digits outside ASCII are not.
    ///
    /// Digits after the sixth decimal place are rounded half to even, and [`Parsed::rounded`] says if that
    /// changed the amount.
    ///
    /// # Errors
    ///
    /// The text is not such a decimal, or the amount does not fit.
    pub fn parse(text: &str) -> Result<Parsed, MoneyError> {
        let (negative, digits) = strip_signs(text.trim())?;
        let (whole, fraction) = split_at_mark(digits)?;
        let mut magnitude = 0_u64;
        for digit in digits_of(whole) {
            magnitude = push_digit(magnitude, digit)?;
        }
        let mut places = digits_of(fraction);
        for _ in 0..PLACES {
            magnitude = push_digit(magnitude, places.next().unwrap_or(0))?;
        }
        let (tail, rounded) = tail_against_half(places);
        if rounds_up(tail, magnitude % 2 == 1) {
            magnitude = magnitude.checked_add(1).ok_or(MoneyError::OutOfRange)?;
        }
        let micros = if negative {
            0_i64.checked_sub_unsigned(magnitude)
        } else {
            0_i64.checked_add_unsigned(magnitude)
        };
        Ok(Parsed { amount: Self(micros.ok_or(MoneyError::OutOfRange)?), rounded })
    }

    /// The sum, or `None` if it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` if it does not fit.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The amount with its sign turned, or `None` if it does not fit.
    #[must_use]
    pub fn checked_neg(self) -> Option<Self> {
        self.0.checked_neg().map(Self)
    }

    /// `basis_points` hundredths of a percent of the amount (2,500 is a quarter), rounded half to even to whole
    /// millionths; `None` if it does not fit.
    #[must_use]
    pub fn checked_percent(self, basis_points: u32) -> Option<Self> {
        const UNIT: i128 = 10_000;
        let product = i128::from(self.0) * i128::from(basis_points);
        let (floor, rest) = (product.div_euclid(UNIT), product.rem_euclid(UNIT));
        // Rounding on from the floor is the same for both signs, because the half goes to even, not away.
        let up = rounds_up((rest * 2).cmp(&UNIT), floor.rem_euclid(2) == 1);
        i64::try_from(floor + i128::from(up)).ok().map(Self)
    }
}

/// The shortest exact decimal: `12.34`, `-0.5`, `3`. [`Micros::parse`] reads it back.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let (whole, mut fraction) = (magnitude / WHOLE, magnitude % WHOLE);
        let sign = if self.0 < 0 { "-" } else { "" };
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let mut places = PLACES;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            places -= 1;
        }
        write!(f, "{sign}{whole}.{fraction:0places$}")
    }
}

/// What [`Micros::parse`] read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// The amount, the nearest there is.
    pub amount: Micros,
    /// The text had non-zero digits beyond the millionths, so `amount` is not exactly what it said.
    pub rounded: bool,
}

/// An amount in a currency. Writes itself as `12.34 USD`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Money {
    /// How much.
    pub amount: Micros,
    /// Of what.
    pub currency: Currency,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// A text that is no amount or no currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MoneyError {
    /// Nothing there but blanks.
    #[error("amount is empty")]
    Empty,
    /// A character that has no place in a decimal: a letter, an exponent, an inner blank.
    #[error("amount has {0:?}, which is no part of a decimal")]
    Character(char),
    /// Signs or marks, but nothing to count.
    #[error("amount has no digits")]
    NoDigits,
    /// More than one plus or minus.
    #[error("amount has two signs")]
    TwoSigns,
    /// Points and commas that are neither one decimal mark nor groups of three before it.
    #[error("amount has points or commas that do not group by three before a decimal mark")]
    Grouping,
    /// More than 64 bits of millionths.
    #[error("amount is beyond {min} to {max}", min = Micros(i64::MIN), max = Micros(i64::MAX))]
    OutOfRange,
    /// More than `Micros::PAYOUT_MAX`, either way.
    #[error("amount is beyond what a conversion may pay, at most {max}", max = Micros::PAYOUT_MAX)]
    BeyondPayout,
    /// Not three letters.
    #[error("currency is not a code of three letters")]
    CurrencyForm,
    /// Three letters that ISO 4217 does not list.
    #[error("currency {}{}{} is not an active ISO 4217 code", .0[0], .0[1], .0[2])]
    UnknownCurrency([char; 3]),
}

/// Takes one sign and one currency sign off the front, in either order; true is minus.
fn strip_signs(text: &str) -> Result<(bool, &str), MoneyError> {
    if text.is_empty() {
        return Err(MoneyError::Empty);
    }
    let (mut negative, mut rest) = (None, text);
    let mut currency_sign = false;
    loop {
        let mut characters = rest.chars();
        match characters.next() {
            Some('+' | '-') if negative.is_some() => return Err(MoneyError::TwoSigns),
            Some(sign @ ('+' | '-')) => negative = Some(sign == '-'),
            Some(sign) if !currency_sign && CURRENCY_SIGNS.contains(&sign) => currency_sign = true,
            // `€ 12,34` is how most of Europe writes it.
            Some(' ' | '\u{a0}' | '\u{202f}') if currency_sign => {}
            _ => return Ok((negative == Some(true), rest)),
        }
        rest = characters.as_str();
    }
}

/// Splits at the decimal mark, once the grouping before it is known to be right. Groups stay in the whole part.
fn split_at_mark(digits: &str) -> Result<(&str, &str), MoneyError> {
    let odd = |c: &char| !matches!(c, '0'..='9' | '.' | ',');
    if let Some(odd) = digits.chars().find(odd) {
        return Err(MoneyError::Character(odd));
    }
    if !digits.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(MoneyError::NoDigits);
    }
    let Some(mark) = digits.rfind(['.', ',']) else {
        return Ok((digits, ""));
    };
    let (whole, fraction) = (&digits[..mark], &digits[mark + 1..]);
    let group_mark = if digits.as_bytes()[mark] == b'.' { ',' } else { '.' };
    let mut groups = whole.split(group_mark);
    let first = groups.next().unwrap_or_default();
    let grouped = whole.len() > first.len();
    let right = (!grouped || matches!(first.len(), 1..=3))
        && !first.contains(['.', ','])
        && groups.all(|group| group.len() == 3 && !group.contains(['.', ',']));
    if right { Ok((whole, fraction)) } else { Err(MoneyError::Grouping) }
}

fn digits_of(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0')
}

fn push_digit(magnitude: u64, digit: u8) -> Result<u64, MoneyError> {
    let shifted = magnitude.checked_mul(10).ok_or(MoneyError::OutOfRange)?;
    shifted.checked_add(digit.into()).ok_or(MoneyError::OutOfRange)
}

/// How digits after the last kept place compare with half of that place, and whether they are more than nothing.
fn tail_against_half(mut tail: impl Iterator<Item = u8>) -> (Ordering, bool) {
    let first = tail.next().unwrap_or(0);
    let more = tail.any(|digit| digit > 0);
    let half = first.cmp(&5).then(if more { Ordering::Greater } else { Ordering::Equal });
    (half, first > 0 || more)
}

/// The one rounding rule: to the nearest, and a half to the even neighbour.
fn rounds_up(tail_against_half: Ordering, odd: bool) -> bool {
    match tail_against_half {
        Ordering::Less => false,
        Ordering::Equal => odd,
        Ordering::Greater => true,
    }
}

/// Signs that stand for a whole unit of money. Not `¢` and its like: the amount would be off a hundredfold.
const CURRENCY_SIGNS: &[char] = &[
    '$', '£', '¤', '¥', '֏', '؋', '৳', '฿', '៛', '₡', '₦', '₩', '₪', '₫', '€', '₭', '₮', '₱', '₲', '₴', '₵',
    '₸', '₹', '₺', '₼', '₽', '₾', '＄', '￡', '￥', '￦',
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::{Decimal, RoundingStrategy};

    use super::*;

    fn exact(text: &str) -> i64 {
        let parsed = Micros::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert!(!parsed.rounded, "{text:?}");
        parsed.amount.get()
    }

    fn refused(text: &str) -> MoneyError {
        match Micros::parse(text) {
            Ok(parsed) => panic!("{text:?} read as {parsed:?}"),
            Err(error) => error,
        }
    }

    #[test]
    fn amounts_are_read_as_networks_write_them() {
        let cases = [
            ("0", 0),
            ("-0", 0),
            ("12.34", 12_340_000),
            ("12,34", 12_340_000),
            (" 12.34\t", 12_340_000),
            ("+12.34", 12_340_000),
            ("-12.34", -12_340_000),
            (".5", 500_000),
            (",5", 500_000),
            ("5.", 5_000_000),
            ("007", 7_000_000),
            ("0.000001", 1),
            ("1.2300000000", 1_230_000),
            ("$12.34", 12_340_000),
            ("-$12.34", -12_340_000),
            ("$-12.34", -12_340_000),
            ("€ 12,34", 12_340_000),
            ("€\u{a0}1.234,56", 1_234_560_000),
            ("￥500", 500_000_000),
        ];
        for (text, micros) in cases {
            assert_eq!(exact(text), micros, "{text:?}");
        }
    }

    #[test]
    fn a_single_separator_is_the_decimal_mark() {
        assert_eq!(exact("1,234"), 1_234_000);
        assert_eq!(exact("1.234"), 1_234_000);
        assert_eq!(exact("1234,5"), 1_234_500_000);
    }

    #[test]
    fn groups_of_three_are_read_when_the_decimal_mark_is_the_other_one() {
        assert_eq!(exact("1,234.56"), 1_234_560_000);
        assert_eq!(exact("1.234,56"), 1_234_560_000);
        assert_eq!(exact("12,345,678.9"), 12_345_678_900_000);
        assert_eq!(exact("1.234.567,"), 1_234_567_000_000);
        let wrong = [
            "1,234,567",
            "1.234.567",
            "1,23.4",
            "1234,567.8",
            ",234.5",
            "1,,234.5",
            "1,2345.6",
            "1.2,3.4",
            "1..2",
            "1,.2",
            "..5",
            "1,234.567,890.1",
        ];
        for text in wrong {
            assert_eq!(refused(text), MoneyError::Grouping, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for text in ["", " ", "\u{a0}"] {
            assert_eq!(refused(text), MoneyError::Empty, "{text:?}");
        }
        for text in [".", ",", "-", "+", "$", "-$ ", ".,"] {
            assert_eq!(refused(text), MoneyError::NoDigits, "{text:?}");
        }
        for text in ["--1", "+-1", "-$-1", "$-+1"] {
            assert_eq!(refused(text), MoneyError::TwoSigns, "{text:?}");
        }
        let odd = [
            ("NaN", 'N'),
            ("inf", 'i'),
            ("-Infinity", 'I'),
            ("1e3", 'e'),
            ("1E3", 'E'),
            ("0x10", 'x'),
            ("12 34", ' '),
            ("- 1", ' '),
            ("1_000", '_'),
            ("1'000", '\''),
            ("12.34USD", 'U'),
            ("12.34$", '$'),
            ("$$1", '$'),
            ("¢50", '¢'),
            ("١٢", '١'),
            ("1-", '-'),
            ("1+1", '+'),
            ("1\0", '\0'),
            ("{payout}", '{'),
        ];
        for (text, character) in odd {
            assert_eq!(refused(text), MoneyError::Character(character), "{text:?}");
        }
    }

    #[test]
    fn amounts_beyond_64_bits_are_refused() {
        assert_eq!(exact("9223372036854.775807"), i64::MAX);
        assert_eq!(exact("-9223372036854.775808"), i64::MIN);
        for text in [
            "9223372036854.775808",
            "-9223372036854.775809",
            "9223372036854.7758075",
            "18446744073709.551616",
            "99999999999999999999999999",
        ] {
            assert_eq!(refused(text), MoneyError::OutOfRange, "{text:?}");
        }
    }

    #[test]
    fn digits_beyond_the_millionths_round_half_to_even() {
        let cases = [
            ("0.0000005", 0),
            ("0.0000015", 2),
            ("0.0000025", 2),
            ("0.00000250000001", 3),
            ("0.0000024999", 2),
            ("-0.0000015", -2),
            ("-0.0000025", -2),
            ("0.9999999", 1_000_000),
            ("9223372036854.7758074", i64::MAX),
        ];
        for (text, micros) in cases {
            let parsed = Micros::parse(text).unwrap();
            assert_eq!((parsed.amount.get(), parsed.rounded), (micros, true), "{text:?}");
        }
    }

    #[test]
    fn an_amount_is_written_as_its_shortest_decimal() {
        let cases = [
            (12_340_000, "12.34"),
            (-500_000, "-0.5"),
            (3_000_000, "3"),
            (0, "0"),
            (1, "0.000001"),
            (-10_000_001, "-10.000001"),
            (i64::MIN, "-9223372036854.775808"),
        ];
        for (micros, text) in cases {
            assert_eq!(Micros::new(micros).to_string(), text);
        }
        let money = Money { amount: Micros::new(12_340_000), currency: Currency::USD };
        assert_eq!(money.to_string(), "12.34 USD");
    }

    #[test]
    fn arithmetic_stops_at_the_range() {
        let (least, most, one) = (Micros::new(i64::MIN), Micros::new(i64::MAX), Micros::new(1));
        assert_eq!(one.checked_add(one), Some(Micros::new(2)));
        assert_eq!(most.checked_add(one), None);
        assert_eq!(least.checked_sub(one), None);
        assert_eq!(least.checked_neg(), None);
        assert_eq!(one.checked_neg(), Some(Micros::new(-1)));
        assert_eq!(most.checked_percent(10_000), Some(most));
        assert_eq!(least.checked_percent(10_000), Some(least));
        assert_eq!(most.checked_percent(10_001), None);
        assert_eq!(most.checked_percent(u32::MAX), None);
    }

    #[test]
    fn a_percentage_rounds_half_to_even() {
        for (micros, basis_points, expected) in [
            (1_000_000, 2_500, 250_000),
            (1, 5_000, 0),
            (3, 5_000, 2),
            (5, 5_000, 2),
            (-3, 5_000, -2),
            (-1, 5_000, 0),
            (-1, 5_001, -1),
            (7, 0, 0),
        ] {
            let share = Micros::new(micros).checked_percent(basis_points);
            assert_eq!(share, Some(Micros::new(expected)), "{basis_points} of {micros}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_reads_back_from_its_text(micros: i64) {
            let amount = Micros::new(micros);
            prop_assert_eq!(Micros::parse(&amount.to_string()), Ok(Parsed { amount, rounded: false }));
        }

        #[test]
        fn plain_decimals_agree_with_rust_decimal(text in "-?[0-9]{1,15}(\\.[0-9]{1,12})?") {
            let oracle: Decimal = text.parse().unwrap();
            let kept = oracle.round_dp_with_strategy(6, RoundingStrategy::MidpointNearestEven);
            let expected = i64::try_from(kept * Decimal::from(WHOLE)).ok();
            match (Micros::parse(&text), expected) {
                (Ok(parsed), Some(micros)) => {
                    prop_assert_eq!(parsed.amount.get(), micros);
                    prop_assert_eq!(parsed.rounded, kept != oracle);
                }
                (Err(error), None) => prop_assert_eq!(error, MoneyError::OutOfRange),
                (parsed, expected) => prop_assert!(false, "{:?} but {:?}", parsed, expected),
            }
        }

        #[test]
        fn grouping_does_not_change_an_amount(micros in 0..i64::MAX, comma: bool) {
            let plain = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            let (whole, fraction) = plain.split_once('.').unwrap();
            let (group, mark) = if comma { (',', '.') } else { ('.', ',') };
            let mut text = String::new();
            for (index, digit) in whole.chars().enumerate() {
                if index > 0 && (whole.len() - index).is_multiple_of(3) {
                    text.push(group);
                }
                text.push(digit);
            }
            text.push(mark);
            text.push_str(fraction);
            prop_assert_eq!(Micros::parse(&text), Micros::parse(&plain), "{}", text);
        }

        #[test]
        fn percentages_agree_with_rust_decimal(micros: i64, basis_points in 0_u32..20_000) {
            let exact = Decimal::from(micros) * Decimal::from(basis_points) / Decimal::from(10_000);
            let rounded = exact.round_dp_with_strategy(0, RoundingStrategy::MidpointNearestEven);
            let expected = i64::try_from(rounded).ok().map(Micros::new);
            prop_assert_eq!(Micros::new(micros).checked_percent(basis_points), expected);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+$€., 0-9eExa]{0,24}|\\PC{0,24}") {
            let _ = Micros::parse(&text);
            let _ = text.parse::<Currency>();
        }
    }
}
