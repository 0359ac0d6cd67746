//! JSON one level at a time.
//!
//! In: an object or a list. Out: its members in order, names repeated or not, their values as they are written; or whether
//! any value in it, at whatever depth, is the one that is looked for.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

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
