//! Parameters at rest: the bytes inside a record, read in place.
//!
//! For each pair two `u16` lengths, little-endian, of name and value, then the name, then the value. No pairs are
//! no bytes. Records on disk hold this form, so it must not change.
//! Keeps: whole pairs of UTF-8, once `check` has said so.

use std::fmt;

use super::debug_names;

/// Parameters as [`Params::encode_into`](super::Params::encode_into) wrote them, read in place.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ParamsRef<'a> {
    encoded: &'a [u8],
}

impl<'a> ParamsRef<'a> {
    /// Takes bytes that were read back, once their lengths and their UTF-8 are found right.
    ///
    /// # Errors
    ///
    /// A pair that the bytes end within, or one that is not UTF-8.
    pub fn check(encoded: &'a [u8]) -> Result<Self, ParamsError> {
        let mut rest = encoded;
        while !rest.is_empty() {
            let offset = encoded.len() - rest.len();
            let (name, value, after) = split_pair(rest).ok_or(ParamsError::Truncated { offset })?;
            if str::from_utf8(name).is_err() || str::from_utf8(value).is_err() {
                return Err(ParamsError::NotUtf8 { offset });
            }
            rest = after;
        }
        Ok(Self { encoded })
    }

    /// The first value under this name.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.get_all(name).next()
    }

    /// The first value under this name in any ASCII case.
    pub fn get_ignore_case(self, name: &str) -> Option<&'a str> {
        let found = self.pairs().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| checked(value))
    }

    /// All values under this name, in order.
    pub fn get_all(self, name: &str) -> impl Iterator<Item = &'a str> {
        let of_name = self.pairs().filter(move |(key, _)| *key == name.as_bytes());
        of_name.map(|(_, value)| checked(value))
    }

    /// All pairs of name and value, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs().map(|(name, value)| (checked(name), checked(value)))
    }

    /// Whether there are no pairs.
    pub const fn is_empty(self) -> bool {
        self.encoded.is_empty()
    }

    /// The bytes it reads.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.encoded
    }

    fn pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.encoded;
        std::iter::from_fn(move || {
            let (name, value, after) = split_pair(rest)?;
            rest = after;
            Some((name, value))
        })
    }
}

/// Names and lengths only, as for [`Params`](super::Params).
impl fmt::Debug for ParamsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_names(self.iter(), f)
    }
}

/// Bytes that [`Params::encode_into`](super::Params::encode_into) did not write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParamsError {
    /// A length points beyond the end.
    #[error("the parameters end within the pair at byte {offset}")]
    Truncated {
        /// Where the pair begins.
        offset: usize,
    },
    /// A name or a value is not text.
    #[error("the parameter at byte {offset} is not utf-8")]
    NotUtf8 {
        /// Where the pair begins.
        offset: usize,
    },
}

/// The two lengths before each pair.
pub(super) const PAIR_HEADER_BYTES: usize = 4;

/// Name, value, and what comes after them; `None` if the bytes end before.
fn split_pair(encoded: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&[n0, n1, v0, v1], rest) = encoded.split_first_chunk::<PAIR_HEADER_BYTES>()?;
    let (name, rest) = rest.split_at_checked(u16::from_le_bytes([n0, n1]).into())?;
    let (value, rest) = rest.split_at_checked(u16::from_le_bytes([v0, v1]).into())?;
    Some((name, value, rest))
}

fn checked(text: &[u8]) -> &str {
    match str::from_utf8(text) {
        Ok(text) => text,
        Err(_) => unreachable!("`ParamsRef::check` saw these bytes"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Params, Source};
    use super::*;

    fn query(raw: &str) -> Params {
        Params::parse(raw.as_bytes(), Source::Query)
    }

    fn encoded(params: &Params) -> Vec<u8> {
        let mut bytes = Vec::new();
        params.encode_into(&mut bytes);
        bytes
    }

    /// Records on disk hold these bytes: they must not change.
    #[test]
    fn the_stored_form_is_lengths_then_text() {
        let bytes = encoded(&query("cid=%C3%A9&x"));
        assert_eq!(bytes, b"\x03\0\x02\0cid\xC3\xA9\x01\0\0\0x");
        assert_eq!(encoded(&query("")), b"");
    }

    /// Cuts the stored form at every byte: only a cut between pairs is accepted.
    #[test]
    fn damaged_stored_params_are_refused() {
        let bytes = encoded(&query("cid=12&x"));
        for cut in 0..bytes.len() {
            let whole = if cut < 9 { 0 } else { 9 };
            match ParamsRef::check(&bytes[..cut]) {
                Ok(_) => assert_eq!(cut, whole),
                Err(error) => {
                    assert_eq!(error, ParamsError::Truncated { offset: whole }, "cut at byte {cut}");
                }
            }
        }
        for text in [7, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[text] = 0xff;
            let offset = if text < 9 { 0 } else { 9 };
            assert_eq!(ParamsRef::check(&damaged).unwrap_err(), ParamsError::NotUtf8 { offset });
        }
    }

    proptest! {
        #[test]
        fn any_stored_bytes_are_read_or_refused(bytes in proptest::collection::vec(0_u8..4, 0..60)) {
            if let Ok(stored) = ParamsRef::check(&bytes) {
                prop_assert_eq!(stored.is_empty(), stored.iter().next().is_none());
            }
        }
    }
}
