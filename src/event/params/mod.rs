//! Request parameters: what a query string or a form body said, decoded and within bounds.
//!
//! In: raw bytes of a query or a form, or pairs from elsewhere (`push`). Out: names and values as `&str`, in the
//! order they came; a compact form for records, read back in place by `ParamsRef`.
//! Keeps: every pair within `Limits`; text is UTF-8; no allocation once the buffers are warm.
//! Refuses: nothing. A pair over a bound is left out and counted, because a click is never lost over one.
//! Not here: what a parameter means, whether a postback may lack one, JSON bodies.

use std::fmt;

use memchr::{memchr, memchr_iter};

mod decode;
mod stored;

use decode::decode;
use stored::PAIR_HEADER_BYTES;
pub use stored::{ParamsError, ParamsRef};

/// Parameters that have a column of their own: sub-ids, what sources say of their places, platforms' click ids, and how
/// campaigns are named elsewhere.
pub const KNOWN: [&str; 22] = [
    "sub1",
    "sub2",
    "sub3",
    "sub4",
    "sub5",
    "sub6",
    "sub7",
    "sub8",
    "sub9",
    "sub10",
    "zone",
    "creative",
    "keyword",
    "gclid",
    "fbclid",
    "msclkid",
    "ttclid",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
];

/// How much a set of parameters may hold. Names and values are measured as stored: decoded, in UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Pairs.
    pub params_max: u16,
    /// Bytes of one name.
    pub name_bytes_max: u16,
    /// Bytes of one value.
    pub value_bytes_max: u16,
    /// Bytes of all names and values.
    pub total_bytes_max: u32,
}

/// Pairs a default [`Limits`] allows.
pub const PARAMS_MAX: u16 = 128;
/// Bytes of one name a default [`Limits`] allows.
pub const NAME_BYTES_MAX: u16 = 256;
/// Bytes of one value a default [`Limits`] allows: platform click IDs reach 500, full URLs 2,000.
pub const VALUE_BYTES_MAX: u16 = 4096;
/// Bytes of all names and values a default [`Limits`] allows.
pub const TOTAL_BYTES_MAX: u32 = 16 * 1024;

const _: () = assert!(
    NAME_BYTES_MAX as u32 + VALUE_BYTES_MAX as u32 <= TOTAL_BYTES_MAX,
    "the largest pair fits an empty set"
);

impl Limits {
    /// The most that [`Params::encode_into`] writes for a set within these limits.
    pub const fn encoded_bytes_max(&self) -> usize {
        self.params_max as usize * PAIR_HEADER_BYTES + self.total_bytes_max as usize
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            params_max: PARAMS_MAX,
            name_bytes_max: NAME_BYTES_MAX,
            value_bytes_max: VALUE_BYTES_MAX,
            total_bytes_max: TOTAL_BYTES_MAX,
        }
    }
}

/// The bound that a dropped pair was over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// `params_max`.
    Params,
    /// `name_bytes_max`.
    NameBytes,
    /// `value_bytes_max`.
    ValueBytes,
    /// `total_bytes_max`.
    TotalBytes,
}

impl Bound {
    /// Every bound, in the order they are checked.
    pub const ALL: [Self; 4] = [Self::Params, Self::NameBytes, Self::ValueBytes, Self::TotalBytes];

    /// Its name, for counters and messages.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::NameBytes => "name_bytes",
            Self::ValueBytes => "value_bytes",
            Self::TotalBytes => "total_bytes",
        }
    }
}

/// Where raw pairs come from; the two differ in one character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A URL's query, without its `?`. The first `?` within it counts as `&`: links are often extended with
    /// a second `?`.
    Query,
    /// An `application/x-www-form-urlencoded` body. A `?` is a `?`.
    Form,
}

/// Decoded parameters. Repeated names are all kept, in order.
///
/// One text buffer and spans into it. `clear` keeps the memory, so a set that is used again does not allocate.
#[derive(Clone, Default)]
pub struct Params {
    limits: Limits,
    /// Name, value, name, value, ... without separators.
    text: String,
    spans: Vec<Span>,
    dropped: [u32; Bound::ALL.len()],
    /// One decoded name or value before it is known to be UTF-8: at most three times the larger bound.
    scratch: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Span {
    start: u32,
    name_bytes: u16,
    value_bytes: u16,
}

impl Params {
    /// An empty set with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// A set with the default limits and the pairs of `raw`.
    pub fn parse(raw: &[u8], source: Source) -> Self {
        let mut params = Self::default();
        params.parse_into(raw, source);
        params
    }

    /// Adds the pairs of `raw` after those already here.
    ///
    /// Pairs end at `&`, a name ends at the first `=`, `+` is a blank, `%41` is `A`. An empty pair (`&&`) is
    /// skipped; a pair without `=` has an empty value; `=x` has an empty name.
    ///
    /// Nothing that was sent is lost: a malformed escape (`%zz`, `%4`) stays as written; so does an escape
    /// whose byte is not part of valid UTF-8 (`%ff`), and such a byte sent raw becomes an escape (`%FF`).
    /// The URL standard, and `form_urlencoded` with it, puts U+FFFD in their place. The price: `%ff` and
    /// `%25ff` read the same here. Control characters, NUL among them, are kept.
    pub fn parse_into(&mut self, raw: &[u8], source: Source) {
        let stray = match source {
            Source::Query => memchr(b'?', raw),
            Source::Form => None,
        };
        let (head, tail) = match stray {
            Some(at) => (&raw[..at], &raw[at + 1..]),
            None => (raw, &raw[..0]),
        };
        for part in [head, tail] {
            let mut start = 0;
            // The end of the part ends a pair too.
            for end in memchr_iter(b'&', part).chain([part.len()]) {
                let pair = &part[start..end];
                start = end + 1;
                match memchr(b'=', pair) {
                    Some(at) => self.push_raw(&pair[..at], &pair[at + 1..]),
                    None if pair.is_empty() => {}
                    None => self.push_raw(pair, &[]),
                }
            }
        }
    }

    /// Adds a pair that is text already, within the same limits.
    pub fn push(&mut self, name: &str, value: &str) {
        match self.span(name.len(), value.len()) {
            Ok(span) => {
                self.text.push_str(name);
                self.text.push_str(value);
                self.spans.push(span);
            }
            Err(bound) => self.drop_over(bound),
        }
    }

    /// Forgets all pairs and counts; keeps the memory and the limits.
    pub fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.dropped = Default::default();
    }

    /// The first value under this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// The first value under this name in any ASCII case.
    pub fn get_ignore_case(&self, name: &str) -> Option<&str> {
        let mut pairs = self.iter();
        pairs.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    /// All values under this name, in order.
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.iter().filter_map(move |(key, value)| (key == name).then_some(value))
    }

    /// All pairs of name and value, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.spans.iter().map(|span| {
            let start = span.start as usize;
            let value = start + usize::from(span.name_bytes);
            let end = value + usize::from(span.value_bytes);
            (&self.text[start..value], &self.text[value..end])
        })
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How many pairs were left out for being over a bound.
    pub fn dropped(&self) -> u32 {
        self.dropped.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// How many pairs were left out for being over this bound. A pair over several counts under one.
    pub fn dropped_over(&self, bound: Bound) -> u32 {
        self.dropped[bound as usize]
    }

    /// How many bytes [`Self::encode_into`] writes.
    pub fn encoded_bytes(&self) -> usize {
        self.spans.len() * PAIR_HEADER_BYTES + self.text.len()
    }

    /// Appends the form that [`ParamsRef`] reads (`stored.rs` has the layout). Dropped counts are not part of it.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_bytes());
        for (span, (name, value)) in self.spans.iter().zip(self.iter()) {
            out.extend_from_slice(&span.name_bytes.to_le_bytes());
            out.extend_from_slice(&span.value_bytes.to_le_bytes());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value.as_bytes());
        }
    }

    fn push_raw(&mut self, name: &[u8], value: &[u8]) {
        // An escape is three bytes for one, so raw bytes over three times a bound cannot decode to within it:
        // they are not worth decoding, and the buffers stay bounded.
        if let Err(bound) = self.span(name.len().div_ceil(3), value.len().div_ceil(3)) {
            return self.drop_over(bound);
        }
        let start = self.text.len();
        decode(name, &mut self.scratch, &mut self.text);
        let name_bytes = self.text.len() - start;
        decode(value, &mut self.scratch, &mut self.text);
        let value_bytes = self.text.len() - start - name_bytes;
        // The bounds are those of the text before this pair.
        match self.span_at(start, name_bytes, value_bytes) {
            Ok(span) => self.spans.push(span),
            Err(bound) => {
                self.text.truncate(start);
                self.drop_over(bound);
            }
        }
    }

    fn span(&self, name_bytes: usize, value_bytes: usize) -> Result<Span, Bound> {
        self.span_at(self.text.len(), name_bytes, value_bytes)
    }

    /// The span of a pair at `start`, or the first bound it is over.
    fn span_at(&self, start: usize, name_bytes: usize, value_bytes: usize) -> Result<Span, Bound> {
        let Limits { params_max, name_bytes_max, value_bytes_max, total_bytes_max } = self.limits;
        if self.spans.len() >= usize::from(params_max) {
            return Err(Bound::Params);
        }
        let name_bytes = within(name_bytes, name_bytes_max).ok_or(Bound::NameBytes)?;
        let value_bytes = within(value_bytes, value_bytes_max).ok_or(Bound::ValueBytes)?;
        let start = u32::try_from(start).map_err(|_| Bound::TotalBytes)?;
        let pair_bytes = u32::from(name_bytes) + u32::from(value_bytes);
        match start.checked_add(pair_bytes) {
            Some(end) if end <= total_bytes_max => Ok(Span { start, name_bytes, value_bytes }),
            _ => Err(Bound::TotalBytes),
        }
    }

    fn drop_over(&mut self, bound: Bound) {
        let count = &mut self.dropped[bound as usize];
        *count = count.saturating_add(1);
    }
}

/// Names and lengths only: a value may be a secret, and this ends up in logs.
impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_names(self.iter(), f)
    }
}

fn within(bytes: usize, max: u16) -> Option<u16> {
    u16::try_from(bytes).ok().filter(|&bytes| bytes <= max)
}

fn debug_names<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    f.debug_map().entries(pairs.map(|(name, value)| (name, format!("{} bytes", value.len())))).finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(params: &Params) -> Vec<(&str, &str)> {
        params.iter().collect()
    }

    fn query(raw: &str) -> Params {
        Params::parse(raw.as_bytes(), Source::Query)
    }

    fn encoded(params: &Params) -> Vec<u8> {
        let mut bytes = Vec::new();
        params.encode_into(&mut bytes);
        bytes
    }

    #[test]
    fn pairs_are_split_decoded_and_kept_in_order() {
        let params = query("a=1&b=x+y%26z&&a=2&flag&=nameless&eq=1=2&&");
        let expected =
            [("a", "1"), ("b", "x y&z"), ("a", "2"), ("flag", ""), ("", "nameless"), ("eq", "1=2")];
        assert_eq!(pairs(&params), expected);
        assert_eq!(params.len(), 6);
        assert!(query("").is_empty() && query("&&").is_empty());
        assert_eq!(pairs(&query("=")), [("", "")]);
    }

    #[test]
    fn a_name_finds_its_first_value_or_all() {
        let params = query("cid=1&CID=2&cid=3&%63id=4");
        assert_eq!(params.get("cid"), Some("1"));
        assert_eq!(params.get("Cid"), None);
        assert_eq!(params.get_ignore_case("Cid"), Some("1"));
        assert_eq!(params.get_all("cid").collect::<Vec<_>>(), ["1", "3", "4"]);
        let bytes = encoded(&params);
        let stored = ParamsRef::check(&bytes).unwrap();
        assert_eq!(stored.get("cid"), Some("1"));
        assert_eq!(stored.get("Cid"), None);
        assert_eq!(stored.get_ignore_case("cId"), Some("1"));
        assert_eq!(stored.get_all("cid").collect::<Vec<_>>(), ["1", "3", "4"]);
    }

    #[test]
    fn a_stray_second_question_mark_counts_as_an_ampersand_in_a_query_only() {
        assert_eq!(pairs(&query("a=1?b=2&c=3?4")), [("a", "1"), ("b", "2"), ("c", "3?4")]);
        assert_eq!(pairs(&query("?a=1")), [("a", "1")]);
        assert_eq!(pairs(&Params::parse(b"a=1?b=2", Source::Form)), [("a", "1?b=2")]);
    }

    #[test]
    fn a_pair_over_a_bound_is_counted_and_the_others_kept() {
        let mut params =
            Params::new(Limits { params_max: 4, name_bytes_max: 2, value_bytes_max: 4, total_bytes_max: 12 });
        let long = format!("x={}", "5".repeat(1000));
        let raw =
            ["aa=1111", "aaa=1", "b=22222", "b=%32%32%32%32", &long, "cc=3", "d=4", "e=", "f="].join("&");
        params.parse_into(raw.as_bytes(), Source::Query);
        assert_eq!(pairs(&params), [("aa", "1111"), ("b", "2222"), ("e", "")]);
        let counts = Bound::ALL.map(|bound| params.dropped_over(bound));
        assert_eq!(counts, [0, 1, 2, 3], "`cc=3`, `d=4` and `f=` no longer fit the 12 bytes");
        assert_eq!(params.dropped(), 6);
        params.push("", "");
        params.push("", "");
        assert_eq!((params.len(), params.dropped_over(Bound::Params)), (4, 1));
        params.clear();
        assert_eq!((params.len(), params.dropped()), (0, 0));
        params.push("abc", "");
        params.push("a", "12345");
        assert_eq!((params.len(), params.dropped()), (0, 2));
    }

    #[test]
    fn bounds_are_measured_after_decoding() {
        let limits = Limits { value_bytes_max: 6, ..Limits::default() };
        let kept = |raw: &[u8]| {
            let mut params = Params::new(limits);
            params.parse_into(&[b"v=", raw].concat(), Source::Form);
            params.dropped() == 0
        };
        assert!(kept(b"%41%41%41%41%41%41"));
        assert!(!kept(b"%41%41%41%41%41%41A"));
        assert!(kept(b"\xff\xff"), "two escapes of three bytes");
        assert!(!kept(b"\xff\xffA"));
    }

    #[test]
    fn the_default_bounds_hold_at_their_edges() {
        let full = "v".repeat(VALUE_BYTES_MAX.into());
        let name = "n".repeat(NAME_BYTES_MAX.into());
        let mut params = Params::default();
        params.push(&name, &full);
        params.push("", &full);
        params.push("", &full);
        params.push("", &full[..usize::from(VALUE_BYTES_MAX - NAME_BYTES_MAX)]);
        assert_eq!((params.len(), params.dropped()), (4, 0));
        params.push("", "1");
        assert_eq!(params.dropped_over(Bound::TotalBytes), 1);
        for _ in 4..PARAMS_MAX {
            params.push("", "");
        }
        assert_eq!((params.len(), params.dropped()), (PARAMS_MAX.into(), 1));
        assert_eq!(encoded(&params).len(), Limits::default().encoded_bytes_max());
    }

    #[test]
    fn a_warm_set_does_not_allocate() {
        let raw = "a=%41%ff&bb=2+2&c=%C3%A9".repeat(20);
        let mut params = query(&raw);
        let memory = |params: &Params| {
            let (text, spans, scratch) = (&params.text, &params.spans, &params.scratch);
            (
                text.as_ptr(),
                text.capacity(),
                spans.as_ptr(),
                spans.capacity(),
                scratch.as_ptr(),
                scratch.capacity(),
            )
        };
        let before = memory(&params);
        params.clear();
        params.parse_into(raw.as_bytes(), Source::Query);
        assert_eq!(memory(&params), before);
    }

    #[test]
    fn debug_shows_no_values() {
        let params = query("secret=hunter2");
        assert_eq!(format!("{params:?}"), r#"{"secret": "7 bytes"}"#);
        let bytes = encoded(&params);
        assert_eq!(format!("{:?}", ParamsRef::check(&bytes).unwrap()), r#"{"secret": "7 bytes"}"#);
    }

    /// Bytes in which what a parser has to look at is frequent.
    fn raws() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => "[a-cA-F0-9]".prop_map(String::into_bytes),
            4 => "[%&=+;]".prop_map(String::into_bytes),
            2 => "%[0-9a-fA-F]{2}".prop_map(String::into_bytes),
            1 => "%[cC]3%[aA]9".prop_map(String::into_bytes),
            1 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        proptest::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn what_is_utf_8_agrees_with_form_urlencoded(raw in raws()) {
            let params = Params::parse(&raw, Source::Form);
            prop_assert_eq!(params.dropped(), 0);
            let oracle: Vec<_> = form_urlencoded::parse(&raw).collect();
            prop_assert_eq!(params.len(), oracle.len());
            for ((name, value), expected) in params.iter().zip(oracle) {
                for (text, expected) in [(name, &expected.0), (value, &expected.1)] {
                    if !expected.contains('\u{fffd}') {
                        prop_assert_eq!(text, expected);
                    }
                }
            }
            if !raw.contains(&b'?') {
                let query = Params::parse(&raw, Source::Query);
                prop_assert_eq!(pairs(&query), pairs(&params));
            }
        }

        #[test]
        fn any_params_come_back_from_their_stored_form(raw in raws()) {
            let params = Params::parse(&raw, Source::Query);
            let bytes = encoded(&params);
            prop_assert_eq!(bytes.len(), params.encoded_bytes());
            let stored = ParamsRef::check(&bytes).unwrap();
            prop_assert_eq!(stored.iter().collect::<Vec<_>>(), pairs(&params));
            prop_assert_eq!(stored.as_bytes(), &bytes);
        }

        #[test]
        fn any_bytes_are_parsed_within_the_limits(
            raw in raws(),
            params_max in 0_u16..9,
            name_bytes_max in 0_u16..9,
            value_bytes_max in 0_u16..9,
            total_bytes_max in 0_u32..40,
        ) {
            let limits = Limits { params_max, name_bytes_max, value_bytes_max, total_bytes_max };
            let mut params = Params::new(limits);
            params.parse_into(&raw, Source::Query);
            let all = Params::parse(&raw, Source::Query);
            prop_assert_eq!(params.len() + params.dropped() as usize, all.len());
            prop_assert!(params.len() <= params_max.into());
            for (name, value) in params.iter() {
                prop_assert!(name.len() <= name_bytes_max.into());
                prop_assert!(value.len() <= value_bytes_max.into());
            }
            prop_assert!(encoded(&params).len() <= limits.encoded_bytes_max());
        }
    }
}
