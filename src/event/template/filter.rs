//! Filters: what may be done to a value before it is inserted.
//!
//! In: a filter as it is written (`round:2`), checked when the template is read; later a value. Out: another value, or
//! none: a filter that cannot work on what it is given (half of a word, a date of a price) makes the value missing.
//! Keeps: numbers are decimals of at most six places, never floats.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::encode::{self, Place};
use super::name::Name;
use crate::clock::Timestamp;
use crate::event::hex;
use crate::event::money::Micros;

/// A value, as whoever knows it gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A text. An empty one counts as missing.
    Text(&'a str),
    /// A moment: seconds since 1970 unless a filter says otherwise.
    Time(Timestamp),
    /// A decimal number: as short as it can be written.
    Decimal(Micros),
    /// A whole number.
    Number(u64),
}

/// One filter with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    Raw,
    Lower,
    Upper,
    Trim,
    Digits,
    Sha256,
    Sha1,
    Md5,
    HmacSha256(Name),
    Base64,
    Hex,
    UrlEncode,
    Json,
    Unix,
    UnixMs,
    Iso8601,
    Date(Box<str>, i32),
    Round(u32),
    Mul(Micros),
    Minor(u32),
    Map(Box<[(Box<str>, Box<str>)]>),
    Default(Box<str>),
    Substr(usize, Option<usize>),
}

/// Decimal places that a number has.
const PLACES_MAX: u32 = 6;
const MICROS: i128 = 1_000_000;

impl Filter {
    /// Reads `name` or `name:arguments`; `find` knows the secrets.
    pub(super) fn parse(text: &str, find: impl Fn(&str) -> Option<Name>) -> Option<Self> {
        let (name, arguments) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let plain = match name.trim() {
            "raw" => Self::Raw,
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "trim" => Self::Trim,
            "digits" => Self::Digits,
            "sha256" => Self::Sha256,
            "hash" if arguments.is_none() => Self::Sha256,
            "sha1" => Self::Sha1,
            "md5" => Self::Md5,
            "base64" => Self::Base64,
            "hex" => Self::Hex,
            "urlencode" => Self::UrlEncode,
            "json" => Self::Json,
            "unix" => Self::Unix,
            "unix_ms" => Self::UnixMs,
            "iso8601" => Self::Iso8601,
            "minor" if arguments.is_none() => Self::Minor(2),
            name => return Self::with_arguments(name, arguments?, find),
        };
        arguments.is_none().then_some(plain)
    }

    fn with_arguments(name: &str, arguments: &str, find: impl Fn(&str) -> Option<Name>) -> Option<Self> {
        let places = || arguments.trim().parse().ok().filter(|places| *places <= PLACES_MAX);
        Some(match name {
            "hmac_sha256" => Self::HmacSha256(find(&format!("secret:{}", arguments.trim()))?),
            "hash" => Self::parse(arguments, find)?,
            "date" => Self::date(arguments)?,
            "round" | "num" => Self::Round(places()?),
            "minor" => Self::Minor(places()?),
            "mul" => Self::Mul(exact(arguments)?),
            "map" => Self::map(arguments)?,
            "default" => Self::Default(arguments.into()),
            "substr" => {
                let (start, len) = arguments.split_once(',').map_or((arguments, None), |(a, b)| (a, Some(b)));
                let len = match len {
                    Some(len) => Some(len.trim().parse().ok()?),
                    None => None,
                };
                Self::Substr(start.trim().parse().ok()?, len)
            }
            _ => return None,
        })
    }

    /// `%Y-%m-%d`, with an offset from UTC behind a comma if it is not zero.
    pub(super) fn date(arguments: &str) -> Option<Self> {
        let (format, zone) = arguments.rsplit_once(',').map_or((arguments, "+00:00"), |(a, b)| (a, b.trim()));
        let minutes = match zone {
            "UTC" | "Z" => 0,
            zone => {
                let (hours, minutes) = zone.get(1..)?.split_once(':')?;
                let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
                let all = Some(hours * 60 + minutes).filter(|_| hours <= 14 && minutes < 60)?;
                match zone.as_bytes().first() {
                    Some(b'+') => all,
                    Some(b'-') => -all,
                    _ => return None,
                }
            }
        };
        let is_known = format.split('%').skip(1).all(|rest| {
            matches!(rest.as_bytes().first(), Some(b'Y' | b'm' | b'd' | b'H' | b'M' | b'S' | b'z'))
        });
        is_known.then(|| Self::Date(format.into(), minutes))
    }

    /// `a=b,c=d`, or with blanks between the pairs.
    pub(super) fn map(arguments: &str) -> Option<Self> {
        let separator = if arguments.contains(',') { ',' } else { ' ' };
        let pairs = arguments.split(separator).map(|pair| {
            let (from, to) = pair.split_once('=')?;
            Some((from.trim().into(), to.trim().into()))
        });
        pairs.collect::<Option<Box<[_]>>>().map(Self::Map)
    }

    /// Whether it makes sense of moments only.
    pub(super) fn wants_time(&self) -> bool {
        matches!(self, Self::Unix | Self::UnixMs | Self::Iso8601 | Self::Date(..))
    }

    /// What it makes of `value`; nothing if it can make nothing of it. `secret` gives the key of an HMAC.
    pub(super) fn apply(&self, value: &str, time: Option<Timestamp>, secret: Option<&str>) -> Option<String> {
        Some(match self {
            Self::Raw | Self::Default(_) => value.to_owned(),
            Self::Lower => value.to_lowercase(),
            Self::Upper => value.to_uppercase(),
            Self::Trim => value.trim().to_owned(),
            Self::Digits => value.chars().filter(char::is_ascii_digit).collect(),
            Self::Sha256 => hex(&Sha256::digest(value)),
            Self::Sha1 => hex(&Sha1::digest(value)),
            Self::Md5 => hex(&Md5::digest(value)),
            Self::HmacSha256(_) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret?.as_bytes()).ok()?;
                mac.update(value.as_bytes());
                hex(&mac.finalize().into_bytes())
            }
            Self::Base64 => STANDARD.encode(value),
            Self::Hex => hex(value.as_bytes()),
            Self::UrlEncode => escaped(Place::Query, value)?,
            Self::Json => escaped(Place::JsonString, value)?,
            Self::Unix => time?.micros().div_euclid(1_000_000).to_string(),
            Self::UnixMs => time?.micros().div_euclid(1_000).to_string(),
            Self::Iso8601 => dated("%Y-%m-%dT%H:%M:%SZ", 0, time?)?,
            Self::Date(format, minutes) => dated(format, *minutes, time?)?,
            Self::Round(places) => {
                let unit = 10_i128.pow(PLACES_MAX - places);
                let rounded = divide(exact(value)?.get().into(), unit);
                fixed(rounded, *places)
            }
            Self::Mul(factor) => {
                let product = i128::from(exact(value)?.get()) * i128::from(factor.get());
                Micros::new(i64::try_from(divide(product, MICROS)).ok()?).to_string()
            }
            Self::Minor(places) => {
                divide(i128::from(exact(value)?.get()) * 10_i128.pow(*places), MICROS).to_string()
            }
            Self::Map(pairs) => {
                let to = pairs.iter().find(|(from, _)| from.as_ref() == value);
                to.map_or(value, |(_, to)| to).to_owned()
            }
            Self::Substr(start, len) => value.chars().skip(*start).take(len.unwrap_or(usize::MAX)).collect(),
        })
    }
}

/// A value as text, before any filter.
pub(super) fn text_of(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Text(text) => text.into(),
        Value::Time(time) => time.micros().div_euclid(1_000_000).to_string().into(),
        Value::Decimal(number) => number.to_string().into(),
        Value::Number(number) => number.to_string().into(),
    }
}

fn escaped(place: Place, value: &str) -> Option<String> {
    let mut out = Vec::with_capacity(value.len());
    encode::push(&mut out, place, value, false);
    String::from_utf8(out).ok()
}

fn exact(text: &str) -> Option<Micros> {
    Micros::parse(text.trim()).ok().map(|parsed| parsed.amount)
}

/// Divides, half away from zero.
fn divide(number: i128, by: i128) -> i128 {
    (number + number.signum() * by / 2) / by
}

/// `number` hundredths, thousandths, … as a decimal with exactly so many places.
fn fixed(number: i128, places: u32) -> String {
    let unit = 10_i128.pow(places);
    let sign = if number < 0 { "-" } else { "" };
    let (whole, part) = (number.abs() / unit, number.abs() % unit);
    match places {
        0 => format!("{sign}{whole}"),
        places => format!("{sign}{whole}.{part:0width$}", width = places as usize),
    }
}

fn dated(format: &str, minutes: i32, time: Timestamp) -> Option<String> {
    let shifted = Timestamp::from_micros(time.micros().saturating_add(i64::from(minutes) * 60_000_000));
    // RFC 3339: the fields are at fixed places in any year of four digits.
    let text = shifted.to_string();
    let field = |start: usize, end: usize| text.get(start..end).filter(|_| text.len() == 27);
    let mut out = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        out.push_str(&match after.as_bytes().first()? {
            b'Y' => Cow::from(field(0, 4)?),
            b'm' => field(5, 7)?.into(),
            b'd' => field(8, 10)?.into(),
            b'H' => field(11, 13)?.into(),
            b'M' => field(14, 16)?.into(),
            b'S' => field(17, 19)?.into(),
            b'z' => format!(
                "{}{:02}:{:02}",
                if minutes < 0 { '-' } else { '+' },
                minutes.abs() / 60,
                minutes.abs() % 60
            )
            .into(),
            _ => return None,
        });
        rest = after.get(1..)?;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(filter: &str, value: &str) -> Option<String> {
        let secret = |name: &str| name.strip_prefix("secret:").map(|name| Name::Secret(name.into()));
        let filter = Filter::parse(filter, secret).unwrap_or_else(|| panic!("{filter} is no filter"));
        filter.apply(value, Some(Timestamp::from_micros(1_795_158_000_500_000)), Some("key"))
    }

    #[test]
    fn filters_do_what_they_are_called() {
        let cases = [
            ("lower", "AbÇ", "abç"),
            ("upper", "abc", "ABC"),
            ("trim", " a ", "a"),
            ("digits", "+1 (555) 01", "155501"),
            ("md5", "abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("sha1", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("hash:md5", "abc", "900150983cd24fb0d6963f7d28e17f72"),
            (
                "hmac_sha256:k",
                "The quick brown fox jumps over the lazy dog",
                "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
            ),
            ("base64", "a?b", "YT9i"),
            ("hex", "aÿ", "61c3bf"),
            ("urlencode", "a b&", "a%20b%26"),
            ("json", "a\"b", "a\\\"b"),
            ("unix", "", "1795158000"),
            ("unix_ms", "", "1795158000500"),
            ("iso8601", "", "2026-11-20T07:00:00Z"),
            ("date:%Y-%m-%d %H:%M:%S%z,+05:30", "", "2026-11-20 12:30:00+05:30"),
            ("date:%Y%m%d%H,-08:00", "", "2026111923"),
            ("round:2", "3.455", "3.46"),
            ("round:0", "-0.5", "-1"),
            ("round:2", "3", "3.00"),
            ("mul:0.8", "3.50", "2.8"),
            ("minor", "3.455", "346"),
            ("minor:0", "12", "12"),
            ("map:approved=1,reversed=0", "approved", "1"),
            ("map:approved=1,reversed=0", "pending", "pending"),
            ("substr:1,2", "aéíb", "éí"),
            ("substr:9", "abc", ""),
            ("raw", "a b", "a b"),
        ];
        for (filter, value, expected) in cases {
            assert_eq!(apply(filter, value).as_deref(), Some(expected), "{filter} of {value}");
        }
    }

    #[test]
    fn what_a_filter_cannot_work_on_is_missing() {
        for filter in ["round:2", "mul:2", "minor"] {
            assert_eq!(apply(filter, "free"), None, "{filter}");
        }
        assert_eq!(apply("mul:9000000000", "9000000000"), None, "too large");
    }

    #[test]
    fn arguments_are_checked_when_they_are_read() {
        for filter in [
            "round",
            "round:7",
            "round:x",
            "mul",
            "mul:x",
            "substr",
            "substr:x",
            "map:a",
            "date:%Q",
            "date:%Y,CET",
            "date:%Y,+15:00",
            "lower:x",
            "shout",
            "",
            "hmac_sha256",
            "minor:9",
        ] {
            assert_eq!(Filter::parse(filter, |_| None), None, "{filter}");
        }
    }
}
