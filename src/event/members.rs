//! JSON one level at a time.
//!
//! In: an object or a list. Out: its members in order, names repeated or not, their values as they are written; or whether
//! any value in it, at whatever depth, is the one that is looked for. Of what was to be JSON and is none: whether any text in
//! quotes is.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::params::VALUE_BYTES_MAX;

/// The members of an object or a list, in order, their values as they are written.
#[derive(Debug)]
pub struct Members<'a>(pub Vec<(String, &'a RawValue)>);

/// Objects within objects that are looked through.
const DEPTH_MAX: usize = 64;

/// Whether any text or number in a body of JSON is the one that is looked for. What is no JSON has none.
pub fn any_value(body: &[u8], is_it: &dyn Fn(&str) -> bool) -> bool {
    let text = str::from_utf8(body).unwrap_or_default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    text.starts_with(['{', '[']) && any_below(text, is_it, DEPTH_MAX)
}

fn any_below(raw: &str, is_it: &dyn Fn(&str) -> bool, depth: usize) -> bool {
    if raw.starts_with(['{', '[']) {
        let Some(depth) = depth.checked_sub(1) else { return false };
        let Ok(Members(members)) = serde_json::from_str(raw) else { return false };
        return members.into_iter().any(|(_, value)| any_below(value.get(), is_it, depth));
    }
    // What has no escape is itself what it says.
    let inside = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inside {
        Some(inside) if inside.contains('\\') => {
            serde_json::from_str::<String>(raw).is_ok_and(|said| is_it(&said))
        }
        Some(inside) => is_it(inside),
        None => is_it(raw),
    }
}

/// Bytes of a text with its quotes, as it is written: the longest value of a parameter. A body of nothing but quotes that end
/// no text is looked through with so many steps for each.
const QUOTED_BYTES_MAX: usize = VALUE_BYTES_MAX as usize + 2;

/// Whether any text in quotes is the one that is looked for, its escapes read, in a body that need not be JSON.
pub fn any_quoted(body: &[u8], is_it: &dyn Fn(&str) -> bool) -> bool {
    // From each quote on, because nobody knows which of them begin a text where a body is no whole JSON.
    memchr::memchr_iter(b'"', body).any(|at| {
        let from = body.get(at..).unwrap_or_default();
        let Some(end) = end_of_text(from) else { return false };
        let quoted = from.get(..=end).and_then(|quoted| str::from_utf8(quoted).ok());
        quoted.is_some_and(|quoted| any_below(quoted, is_it, 1))
    })
}

/// Where the quote is that ends the text which the first byte begins: the next without a backslash that escapes it.
fn end_of_text(from: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    let bytes = from.iter().enumerate().take(QUOTED_BYTES_MAX).skip(1);
    let mut ends = bytes.filter(|(_, byte)| {
        let ends = **byte == b'"' && !is_escaped;
        is_escaped = **byte == b'\\' && !is_escaped;
        ends
    });
    ends.next().map(|(at, _)| at)
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(value) = list.next_element()? {
            members.push((members.len().to_string(), value));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_quotes_is_found_however_it_and_the_rest_are_written() {
        for (body, expected) in [
            (r#"{"a":"x/y"}"#, true),
            (r#"{"x/y":1}"#, true),
            (r#"{"a":["b","\u0078\/y"]}"#, true),
            (r#"{"a":"b" "c":"x/y""#, true),
            (r#"{"a":"x\/y",,}"#, true),
            (r#"it"s {"a":"x/y"}"#, true),
            ("{\"a\":\"\\\\\",\"b\":\"x/y\"", true),
            (r#"{"a":"xx/y","b":"x/y\""}"#, false),
            (r#"{"a":"x/y"#, false),
            (r#""\"#, false),
            ("x/y", false),
            ("", false),
            (r#"""#, false),
        ] {
            assert_eq!(any_quoted(body.as_bytes(), &|text| text == "x/y"), expected, "{body}");
        }
    }

    #[test]
    fn many_quotes_that_end_nothing_are_given_up() {
        let body = [r#"\""#.repeat(QUOTED_BYTES_MAX), r#"x""#.to_owned()].concat();
        assert!(!any_quoted(body.as_bytes(), &|text| text == "y"));
        assert!(any_quoted(body.as_bytes(), &|text| text == "x"));
    }
}
