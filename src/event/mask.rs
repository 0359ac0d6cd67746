//! Texts and bodies without the secrets that they quote.
//!
//! In: secrets, once; bytes, often. Out: the same bytes, with `***` for each secret in them.
//! Keeps: a secret is found as it is, percent-encoded, and escaped as in JSON; no secret is shown by `Debug`.
//! Refuses: secrets shorter than `SECRET_BYTES_MIN`, which would be found in many a number.
//! Not here: where a secret is expected, and so masked without being looked for.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, BuildError, MatchKind};

use super::splice::replaced;

/// Bytes from which on a secret is looked for everywhere.
pub const SECRET_BYTES_MIN: usize = 4;

/// What stands where a secret stood.
pub const MASK: &str = "***";

/// The same, as a value in JSON.
pub const MASK_JSON: &str = "\"***\"";

/// The most bytes that one byte of a secret may stand as: `\u0041`.
pub const ESCAPED_BYTES_MAX: usize = 6;

/// See the module.
#[derive(Clone, Default)]
pub struct Mask {
    secrets: Option<AhoCorasick>,
}

/// Not what is in it: an automaton shows its patterns.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.secrets.as_ref().map_or(0, AhoCorasick::patterns_len);
        write!(f, "Mask({count})")
    }
}

impl Mask {
    /// One that looks for these.
    ///
    /// # Errors
    /// They are too long, or too many, to be looked for at once.
    pub fn new(secrets: impl IntoIterator<Item: Into<Vec<u8>>>) -> Result<Self, BuildError> {
        let mut patterns: Vec<Vec<u8>> = secrets.into_iter().map(Into::into).collect();
        patterns.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        patterns.sort_unstable();
        patterns.dedup();
        if patterns.is_empty() {
            return Ok(Self::default());
        }
        let secrets = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns)?;
        Ok(Self { secrets: Some(secrets) })
    }

    /// Bytes of the longest secret.
    pub fn longest(&self) -> usize {
        self.secrets.as_ref().map_or(0, AhoCorasick::max_pattern_len)
    }

    /// Whether a secret of at least so many bytes stands in the text as it is.
    pub fn finds_one_of(&self, text: &str, bytes_min: usize) -> bool {
        self.secrets.iter().flat_map(|secrets| secrets.find_iter(text)).any(|found| found.len() >= bytes_min)
    }

    /// Bytes without the secrets in them.
    pub fn hide<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let Some(secrets) = &self.secrets else { return bytes.into() };
        let mut found: Vec<Range<usize>> = secrets.find_iter(bytes).map(|found| found.range()).collect();
        // In a path or a header a plus is a plus.
        let escapings = [(Escaping::Percent, &b"%"[..]), (Escaping::Form, b"%+"), (Escaping::Json, b"\\")];
        for (escaping, signs) in escapings {
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

    /// The same of a text.
    pub fn hide_text<'b>(&self, text: &'b str) -> Cow<'b, str> {
        match self.hide(text.as_bytes()) {
            Cow::Borrowed(_) => text.into(),
            Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
        }
    }
}

/// How bytes may stand for others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escaping {
    /// As in a path: `%41`.
    Percent,
    /// As in a query: the same, and `+` for a blank.
    Form,
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
                (Escaping::Percent | Escaping::Form, b'%') => {
                    match hex(rest, 2).and_then(|byte| u8::try_from(byte).ok()) {
                        Some(decoded) => plain.push(at, &[decoded], 3),
                        None => plain.push(at, b"%", 1),
                    }
                }
                (Escaping::Form, b'+') => plain.push(at, b" ", 1),
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
    use super::*;

    #[test]
    fn a_secret_is_masked_wherever_it_stands_and_however_it_is_written() {
        let mask = Mask::new(["hunter2é \"/\\", "ab", "open sesame", "a+b/c é"]).unwrap();
        for text in [
            "hunter2é \"/\\",
            "hunter2%c3%A9+%22%2f%5C",
            "%68unter2é%20%22/%5c",
            "hunter2\\u00e9 \\\"\\/\\\\",
            "\\u0068unter2é \\u0022/\\\\",
            "open+sesame",
            "open%20ses%61me",
            "a+b/c %C3%A9",
            "a%2bb%2Fc+%c3%a9",
        ] {
            assert_eq!(mask.hide_text(&format!("x{text}y")), "x***y", "{text}");
            assert_eq!(mask.hide_text(&format!("{text}{text}")), "******", "{text}");
        }
        for text in ["hunter2e", "ab", "open%sesame", "%", "%4", "\\", "\\u12", "\\ud800\\u0041", "+"] {
            assert_eq!(mask.hide_text(text), text);
        }
    }

    #[test]
    fn a_letter_of_several_bytes_is_masked_whole_or_not_at_all() {
        let mask = Mask::new(["\u{1f600}key"]).unwrap();
        assert_eq!(mask.hide_text("é\\ud83d\\ude00keyé"), "é***é");
        assert_eq!(mask.hide_text("é%F0%9F%98%80keyé"), "é***é");
    }

    #[test]
    fn debug_shows_no_secret() {
        let mask = Mask::new(["open sesame"]).unwrap();
        assert_eq!((format!("{mask:?}"), mask.longest()), ("Mask(1)".to_owned(), 11));
    }
}
