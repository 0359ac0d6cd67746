//! A request as it goes into the journal: whole, but for the secrets in it.
//!
//! In: a request, and where its network's secrets may be. Out: `Evidence`; parameters to be kept.
//! Keeps: what stands where a secret belongs is masked, right or wrong; so is a secret of any network wherever else it
//! stands, as it is or percent-encoded or escaped as in JSON, if it has at least `SECRET_BYTES_MIN` bytes. Cookies are
//! left out.
//! Not here: whether the request is kept at all (`postback`).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, BuildError, MatchKind};
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, FORWARDED, HOST, PROXY_AUTHORIZATION};
use percent_encoding::percent_decode;

use super::body::{self, Kind};
use super::doors::{Doorway, SECRET_SEGMENT};
use super::network::{DoorKind, Network, Secret};
use super::visit::Visit;
use crate::apply::claim::Evidence;
use crate::event::click::KeptAddress;
use crate::event::params::Params;

/// Bytes from which on a secret is looked for everywhere: shorter ones would be found in many a number.
pub(super) const SECRET_BYTES_MIN: usize = 4;
/// Bytes from which on a secret is looked for in click ids, transaction ids and the like.
const FIELD_SECRET_BYTES_MIN: usize = 8;
/// What stands where a secret stood.
const MASK: &str = "***";
/// The same, as a value in JSON.
const MASK_JSON: &str = "\"***\"";
/// Headers in which proxies say for whom they speak: the visitor, where a browser calls.
const FORWARDING: [&str; 4] = ["x-forwarded-for", "x-real-ip", "cf-connecting-ip", "true-client-ip"];

/// The secrets of all networks, and where they may be.
#[derive(Default)]
pub(super) struct Masks {
    secrets: Option<AhoCorasick>,
    /// Of all networks, in lower case.
    params: HashSet<String>,
    headers: HashSet<String>,
}

/// Not what is in it: an automaton shows its patterns.
impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks").field("params", &self.params).finish_non_exhaustive()
    }
}

/// Which parameters and headers are secrets in one request.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    masks: &'a Masks,
    /// Nothing where it is not known: then those of all networks are meant.
    network: Option<&'a Network>,
}

impl Masks {
    pub(super) fn new(networks: &[Arc<Network>]) -> Result<Self, BuildError> {
        let lower = |name: &str| name.to_ascii_lowercase();
        let accesses = || networks.iter().map(|network| &network.access);
        let keys = accesses().filter_map(|access| access.signature.as_ref()).flat_map(|signed| &signed.keys);
        let secrets = accesses().flat_map(|access| &access.secrets).chain(keys).map(Secret::reveal);
        let mut patterns: Vec<&str> = secrets.filter(|secret| secret.len() >= SECRET_BYTES_MIN).collect();
        patterns.sort_unstable();
        patterns.dedup();
        let secrets = match patterns.as_slice() {
            [] => None,
            patterns => Some(AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns)?),
        };
        Ok(Self {
            secrets,
            params: accesses().flat_map(|access| &access.secret_params).map(|name| lower(name)).collect(),
            headers: accesses().flat_map(|access| &access.secret_headers).map(|name| lower(name)).collect(),
        })
    }

    /// The places of secrets in a request of this network, or of nobody knows which.
    pub(super) fn of<'a>(&'a self, network: Option<&'a Network>) -> Places<'a> {
        Places { masks: self, network }
    }

    /// Bytes without the secrets in them.
    fn hide<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let Some(secrets) = &self.secrets else { return bytes.into() };
        let mut found: Vec<Range<usize>> = secrets.find_iter(bytes).map(|found| found.range()).collect();
        for (escaping, signs) in [(Escaping::Percent, &b"%+"[..]), (Escaping::Json, b"\\")] {
            if bytes.iter().any(|byte| signs.contains(byte)) {
                let plain = Unescaped::of(bytes, escaping);
                found.extend(secrets.find_iter(&plain.bytes).map(|found| plain.range(found.range())));
            }
        }
        match found.as_slice() {
            [] => bytes.into(),
            _ => replaced(bytes, found.into_iter().map(|range| (range, MASK)).collect()).into(),
        }
    }

    fn hide_text<'b>(&self, text: &'b str) -> Cow<'b, str> {
        match self.hide(text.as_bytes()) {
            Cow::Borrowed(_) => text.into(),
            Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
        }
    }
}

impl Places<'_> {
    fn is_param(&self, name: &str) -> bool {
        match self.network {
            Some(network) => {
                network.access.secret_params.iter().any(|secret| secret.eq_ignore_ascii_case(name))
            }
            None => self.masks.params.contains(&name.to_ascii_lowercase()),
        }
    }

    fn is_header(&self, name: &str) -> bool {
        match self.network {
            Some(network) => {
                network.access.secret_headers.iter().any(|secret| secret.eq_ignore_ascii_case(name))
            }
            None => self.masks.headers.contains(name),
        }
    }

    /// The parameters that are kept: without secrets, and without what is one inside others.
    pub(super) fn kept(&self, params: &Params) -> Params {
        let mut kept = Params::default();
        for (name, value) in params.iter().filter(|(name, _)| !self.is_param(name)) {
            kept.push(&self.masks.hide_text(name), &self.masks.hide_text(value));
        }
        kept
    }

    /// What a field says, without a secret that does not belong there. Short ones stand in many an id by chance, and an
    /// id that is masked is another.
    pub(super) fn hidden(&self, text: &str) -> String {
        let mut found = self.masks.secrets.iter().flat_map(|secrets| secrets.find_iter(text));
        match found.any(|found| found.len() >= FIELD_SECRET_BYTES_MIN) {
            true => self.masks.hide_text(text).into_owned(),
            false => text.to_owned(),
        }
    }

    /// What is said of a request, without the secrets that it quotes.
    pub(super) fn masked(&self, text: &str) -> String {
        self.masks.hide_text(text).into_owned()
    }

    /// A query without secrets.
    fn query(&self, query: &str) -> String {
        self.masks.hide_text(&self.pairs(query, &['&', '?'])).into_owned()
    }

    /// A path without what stands in it at the place of a secret.
    fn path(&self, path: &str, doors: &[Doorway<'_>]) -> String {
        let mut segments: Vec<&str> = path.split('/').collect();
        for door in doors.iter().filter(|doorway| doorway.secret.is_some()) {
            let place = door.door.path.split('/').position(|segment| segment == SECRET_SEGMENT);
            if let Some(segment) = place.and_then(|place| segments.get_mut(place)) {
                *segment = MASK;
            }
        }
        self.masks.hide_text(&segments.join("/")).into_owned()
    }

    /// Pairs of a query or a form, without the values under names of secrets.
    fn pairs(&self, raw: &str, separators: &[char]) -> String {
        let mut masked = String::with_capacity(raw.len());
        for pair in raw.split_inclusive(separators) {
            let (name, rest) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = percent_decode(name.as_bytes()).decode_utf8_lossy().replace('+', " ");
            if rest.is_empty() || !self.is_param(&decoded) {
                masked.push_str(pair);
                continue;
            }
            masked.push_str(name);
            masked.push('=');
            masked.push_str(MASK);
            masked.extend(rest.chars().next_back().filter(|last| separators.contains(last)));
        }
        masked
    }

    /// A body without secrets; JSON stays JSON.
    fn body(&self, content_type: &str, raw: &[u8]) -> Vec<u8> {
        let masked = match body::kind(content_type, raw.trim_ascii()) {
            Ok(Kind::Json) => {
                // A number without some of its digits would be none: such a value is masked whole.
                let has_secret = |value: &str| {
                    !value.starts_with('"') && matches!(self.masks.hide(value.as_bytes()), Cow::Owned(_))
                };
                let places = body::places(raw, |name, value| self.is_param(name) || has_secret(value));
                replaced(raw, places.into_iter().map(|place| (place, MASK_JSON)).collect())
            }
            _ => match std::str::from_utf8(raw) {
                Ok(form) => self.pairs(form, &['&']).into_bytes(),
                Err(_) => raw.to_vec(),
            },
        };
        self.masks.hide(&masked).into_owned()
    }

    /// Headers as lines, without cookies, secrets, and what is told elsewhere.
    fn headers(&self, visit: &Visit<'_>, is_visitor: bool) -> String {
        let mut lines = String::new();
        for (name, value) in visit.headers() {
            if matches!(*name, COOKIE | HOST | CONTENT_TYPE)
                || is_visitor && (*name == FORWARDED || FORWARDING.contains(&name.as_str()))
            {
                continue;
            }
            let is_secret =
                matches!(*name, AUTHORIZATION | PROXY_AUTHORIZATION) || self.is_header(name.as_str());
            let value = String::from_utf8_lossy(value.as_bytes());
            lines.extend([name.as_str(), ": ", if is_secret { MASK } else { &value }, "\n"]);
        }
        self.masks.hide_text(&lines).into_owned()
    }

    /// A request without its secrets. Who a browser calls for is not kept here: that is for the click's campaign to say.
    pub(super) fn evidence(
        &self,
        visit: &Visit<'_>,
        (kind, doors): (DoorKind, &[Doorway<'_>]),
        body: &[u8],
        config_version: u64,
    ) -> Evidence {
        let is_visitor = kind != DoorKind::Postback;
        let content_type = content_type(visit);
        Evidence {
            time: visit.time,
            config_version,
            address: (!is_visitor).then(|| KeptAddress::full(visit.address)),
            network: self.network.map(|network| network.rules.id.to_string()).unwrap_or_default(),
            method: visit.parts.method.to_string(),
            host: self.masks.hide_text(visit.host).into_owned(),
            path: self.path(visit.path(), doors),
            query: self.query(visit.query()),
            headers: self.headers(visit, is_visitor),
            body: self.body(&content_type, body),
            content_type: self.masks.hide_text(&content_type).into_owned(),
        }
    }
}

/// What a body is said to be; empty if nothing is said.
pub(super) fn content_type<'a>(visit: &Visit<'a>) -> Cow<'a, str> {
    let value = visit.headers().get(CONTENT_TYPE);
    value.map_or(Cow::Borrowed(""), |value| String::from_utf8_lossy(value.as_bytes()))
}

/// Bytes with masks in place of these ranges, which may overlap.
fn replaced(bytes: &[u8], mut ranges: Vec<(Range<usize>, &str)>) -> Vec<u8> {
    ranges.sort_unstable_by_key(|(range, _)| range.start);
    let (mut masked, mut end) = (Vec::with_capacity(bytes.len()), 0);
    for (range, mask) in ranges {
        if range.start >= end {
            masked.extend_from_slice(bytes.get(end..range.start).unwrap_or_default());
            masked.extend_from_slice(mask.as_bytes());
        }
        end = end.max(range.end);
    }
    masked.extend_from_slice(bytes.get(end..).unwrap_or_default());
    masked
}

/// How bytes may stand for others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escaping {
    /// As in a query: `%41`, and `+` for a blank.
    Percent,
    /// As in a JSON string.
    Json,
}

/// Bytes without escapes, and where each came from.
struct Unescaped {
    bytes: Vec<u8>,
    /// For each byte where what it was made of begins; and then where all ends.
    starts: Vec<usize>,
}

impl Unescaped {
    fn of(raw: &[u8], escaping: Escaping) -> Self {
        let mut plain =
            Self { bytes: Vec::with_capacity(raw.len()), starts: Vec::with_capacity(raw.len() + 1) };
        let mut at = 0;
        while let Some(&byte) = raw.get(at) {
            let rest = raw.get(at + 1..).unwrap_or_default();
            let length = match (escaping, byte) {
                (Escaping::Percent, b'%') => match hex(rest, 2).and_then(|byte| u8::try_from(byte).ok()) {
                    Some(decoded) => plain.push(at, &[decoded], 3),
                    None => plain.push(at, b"%", 1),
                },
                (Escaping::Percent, b'+') => plain.push(at, b" ", 1),
                (Escaping::Json, b'\\') => plain.escape(at, rest),
                (_, byte) => plain.push(at, &[byte], 1),
            };
            at += length;
        }
        plain.starts.push(at);
        plain
    }

    /// `bytes` come from `length` bytes at `at`.
    fn push(&mut self, at: usize, bytes: &[u8], length: usize) -> usize {
        self.bytes.extend_from_slice(bytes);
        self.starts.extend(bytes.iter().map(|_| at));
        length
    }

    fn escape(&mut self, at: usize, rest: &[u8]) -> usize {
        match rest {
            [b'u', digits @ ..] => {
                let low = digits.get(4..).and_then(|rest| rest.strip_prefix(b"\\u"));
                let (code, length) = match (hex(digits, 4), low.and_then(|low| hex(low, 4))) {
                    (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                        (Some(0x1_0000 + ((high - 0xd800) << 10 | (low - 0xdc00))), 12)
                    }
                    (code, _) => (code, 6),
                };
                match code.and_then(char::from_u32) {
                    Some(letter) => self.push(at, letter.encode_utf8(&mut [0; 4]).as_bytes(), length),
                    None => self.push(at, b"\\", 1),
                }
            }
            [quoted @ (b'"' | b'\\' | b'/'), ..] => self.push(at, &[*quoted], 2),
            _ => self.push(at, b"\\", 1),
        }
    }

    /// Where these bytes came from.
    fn range(&self, bytes: Range<usize>) -> Range<usize> {
        let place = |at: usize| self.starts.get(at).copied().unwrap_or_default();
        // What the last byte was made of may have made several: its end is where the next thing begins.
        let last = bytes.end.checked_sub(1).map_or(0, place);
        let mut rest = self.starts.iter().skip(bytes.end).copied();
        place(bytes.start)..rest.find(|start| *start > last).unwrap_or(last)
    }
}

/// The number that the first `count` bytes are in hexadecimal digits.
fn hex(bytes: &[u8], count: usize) -> Option<u32> {
    let digits = bytes.get(..count)?;
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::super::network::Access;
    use super::*;
    use crate::apply::key::{Mode, Scope};
    use crate::apply::reading::Mapping;
    use crate::apply::rules;
    use crate::event::params::Source;

    fn network(id: &str, secrets: &[&str]) -> Arc<Network> {
        let access = Access {
            secrets: secrets.iter().map(|secret| Secret::new(secret)).collect(),
            secret_params: vec!["secret".into(), "my key".into()],
            secret_headers: vec!["x-secret".into()],
            ..Access::default()
        };
        let rules = rules::Network {
            id: id.into(),
            mapping: Mapping::generic(),
            mode: Mode::default(),
            scope: Scope::default(),
            limits: rules::Limits::default(),
            required: Vec::new(),
            park: rules::PARK_DEFAULT,
        };
        Arc::new(Network { access, ..Network::plain(rules) })
    }

    fn masks() -> (Masks, Arc<Network>) {
        let network = network("boost", &["hunter2é \"/\\", "ab", "open sesame"]);
        (Masks::new(std::slice::from_ref(&network)).unwrap(), network)
    }

    #[test]
    fn what_stands_where_a_secret_belongs_is_masked_right_or_wrong() {
        let (masks, network) = masks();
        for network in [None, Some(&*network)] {
            let places = masks.of(network);
            assert_eq!(
                places.query("a=1&SECRET=x=y&secret&my%20key=z&b=2"),
                "a=1&SECRET=***&secret&my%20key=***&b=2"
            );
            assert_eq!(places.query("a=1?secret=x"), "a=1?secret=***");
            let form = places.body("", b"my+key=wrong&a=1?secret=1");
            assert_eq!(form, b"my+key=***&a=1?secret=1");
            let json =
                places.body("application/json", br#" {"secret":"wr\"ong","my key": 12,"a":{"secret":1}}"#);
            assert_eq!(json, br#" {"secret":"***","my key": "***","a":{"secret":1}}"#);
        }
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands_and_however_it_is_written() {
        let (masks, _) = masks();
        for text in [
            "hunter2é \"/\\",
            "hunter2%c3%A9+%22%2f%5C",
            "%68unter2é%20%22/%5c",
            "hunter2\\u00e9 \\\"\\/\\\\",
            "\\u0068unter2é \\u0022/\\\\",
            "open+sesame",
            "open%20ses%61me",
        ] {
            assert_eq!(masks.hide_text(&format!("x{text}y")), "x***y", "{text}");
            assert_eq!(masks.hide_text(&format!("{text}{text}")), "******", "{text}");
        }
        for text in ["hunter2e", "ab", "open%sesame", "%", "%4", "\\", "\\u12", "\\ud800\\u0041", "+"] {
            assert_eq!(masks.hide_text(text), text);
        }
    }

    #[test]
    fn a_body_that_could_be_read_can_be_read_without_its_secrets() {
        let network = network("boost", &["12345678", "a\"b\\c"]);
        let masks = Masks::new(std::slice::from_ref(&network)).unwrap();
        let body = br#"{"secret":12345678,"n":-1123456789,"t":"x12345678","e":"a\"b\\c","l":[12345678]}"#;
        let masked = masks.of(Some(&network)).body("", body);
        let expected = r#"{"secret":"***","n":"***","t":"x***","e":"***","l":["***"]}"#;
        assert_eq!(String::from_utf8(masked).unwrap(), expected);
    }

    #[test]
    fn what_is_kept_of_parameters_has_no_secret_in_it() {
        let (masks, network) = masks();
        let params = Params::parse(b"click_id=1&secret=x&a=open+sesame!&my+key=2", Source::Query);
        let kept = masks.of(Some(&network)).kept(&params);
        assert_eq!(kept.iter().collect::<Vec<_>>(), [("click_id", "1"), ("a", "***!")]);
    }

    #[test]
    fn a_letter_of_several_bytes_is_masked_whole_or_not_at_all() {
        let network = network("boost", &["\u{1f600}key"]);
        let masks = Masks::new(&[network]).unwrap();
        assert_eq!(masks.hide_text("é\\ud83d\\ude00keyé"), "é***é");
        assert_eq!(masks.hide_text("é%F0%9F%98%80keyé"), "é***é");
    }

    #[test]
    fn debug_shows_no_secret() {
        let (masks, network) = masks();
        assert!(!format!("{masks:?} {network:?}").contains("sesame"));
    }
}
