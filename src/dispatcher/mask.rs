//! What is kept and shown of answers and requests, without our secrets in it.
//!
//! In: the secrets of a catalog, once, and a token, once; bytes of whom they were shown to. Out: the same bytes with
//! `***` for each secret.
//! Keeps: a secret is found as it is, percent-encoded, escaped as in JSON, in hexadecimal digits and in base64, also in the
//! middle of a longer text that was encoded; what is cut is cut behind the masking, so that no part of one is left.
//! Refuses: secrets that are too short to be told from chance (`event::mask`).
//! Not here: how an automaton finds them (`event::mask`).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::outbound::Secrets;
use crate::event::hex;
use crate::event::mask::{ESCAPED_BYTES_MAX, MASK, Mask as Automaton, SECRET_BYTES_MIN};

/// The most of an answer that is kept, in bytes.
pub const DETAIL_BYTES_MAX: usize = 2048;

/// Letters of base64 from which on they are looked for: fewer would be found in many a word.
const BASE64_LETTERS_MIN: usize = 6;

/// See the module. One belongs to each catalog.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    secrets: Automaton,
    /// They cannot be looked for: then nothing is shown at all.
    is_blind: bool,
}

impl Mask {
    /// One that hides these.
    pub fn new(secrets: &Secrets) -> Self {
        Self::of(secrets.values())
    }

    fn of<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        match Automaton::new(secrets.flat_map(forms)) {
            Ok(secrets) => Self { secrets, is_blind: false },
            Err(_) => Self { secrets: Automaton::default(), is_blind: true },
        }
    }

    /// One that hides a token. To make one takes some ten microseconds: it is for all requests that show the token.
    pub fn of_token(token: &str) -> Self {
        Self::of(std::iter::once(token))
    }

    /// Bytes without the secrets in them, nor the token of this other mask.
    pub fn hide<'b>(&self, bytes: &'b [u8], token: Option<&Self>) -> Cow<'b, [u8]> {
        let is_blind = self.is_blind || token.is_some_and(|token| token.is_blind);
        if is_blind && !bytes.is_empty() {
            return MASK.as_bytes().into();
        }
        let hidden = self.secrets.hide(bytes);
        match token.map(|token| token.secrets.hide(&hidden)) {
            Some(Cow::Owned(without)) => without.into(),
            Some(Cow::Borrowed(_)) | None => hidden,
        }
    }

    /// The first `bytes_max` bytes of an answer without them.
    pub fn detail(&self, answer: &[u8], token: Option<&Self>, bytes_max: usize) -> Vec<u8> {
        let longest = self.secrets.longest().max(token.map_or(0, |token| token.secrets.longest()));
        let tail = ESCAPED_BYTES_MAX * longest;
        let window = (4 * bytes_max).saturating_add(tail);
        let read = answer.get(..window).unwrap_or(answer);
        let mut hidden = self.hide(read, token).into_owned();
        // In the tail of what was read a secret may begin that goes on behind it. No mask is longer than what it hides, so
        // as much is left away as the tail can have become.
        let whole = if read.len() < answer.len() { hidden.len().saturating_sub(tail) } else { hidden.len() };
        hidden.truncate(bytes_max.min(whole));
        hidden
    }
}

/// How a secret may stand in a text, besides escaped.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let digits = hex(secret.as_bytes());
    let mut forms = vec![secret.as_bytes().to_vec(), digits.to_ascii_uppercase().into(), digits.into()];
    // Where it begins among the three bytes that make four letters depends on what is in front of it; letters that hold
    // bits of its neighbours are left out.
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret.as_bytes());
        let (first, whole) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            let inner = encoded.get(first..whole).unwrap_or_default();
            if inner.len() >= BASE64_LETTERS_MIN {
                forms.push(inner.as_bytes().to_vec());
            }
        }
    }
    // Of a secret that is too short to be looked for, no form is either.
    if secret.len() < SECRET_BYTES_MIN { Vec::new() } else { forms }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn mask(secrets: &[&str]) -> Mask {
        Mask::of(secrets.iter().copied())
    }

    fn hidden(mask: &Mask, text: &str) -> String {
        String::from_utf8(mask.hide(text.as_bytes(), Some(&Mask::of_token("ya29.token"))).into_owned())
            .unwrap()
    }

    #[test]
    fn an_answer_that_quotes_what_it_was_told_shows_no_secret() {
        let mask = mask(&["s3cret/é+key", "abc"]);
        for (text, expected) in [
            ("bad key s3cret/é+key!", "bad key ***!"),
            ("?k=s3cret%2F%C3%A9%2Bkey&x", "?k=***&x"),
            (r#"{"key":"s3cret\/\u00e9+key"}"#, r#"{"key":"***"}"#),
            ("7333637265742fc3a92b6b6579", "***"),
            ("7333637265742FC3A92B6B6579", "***"),
            ("Bearer ya29.token, abc", "Bearer ***, abc"),
            ("fine", "fine"),
        ] {
            assert_eq!(hidden(&mask, text), expected);
        }
    }

    proptest! {
        #[test]
        fn base64_of_what_a_secret_stands_in_does_not_give_it_away(before in "[a-z:]{0,7}", after in "[a-z:]{0,7}") {
            let secret = "correct horse battery";
            let whole = format!("{before}{secret}{after}");
            for encoded in [STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
                let hidden = hidden(&mask(&[secret]), &encoded);
                prop_assert!(hidden.contains(MASK), "{}", hidden);
                // Two letters at each end hold bits of its neighbours too: with them, at most three of its own bytes.
                let shown: usize = hidden.split(MASK).map(str::len).sum();
                prop_assert!(shown <= encoded.len() - secret.len() * 4 / 3 + 3, "{}", hidden);
            }
        }

        #[test]
        fn no_part_of_a_secret_is_left_at_the_cut(before in 0usize..100, escaped: bool) {
            let secret = "0123456789abcdef0123";
            let quoted = if escaped {
                secret.bytes().map(|byte| format!("\\u{byte:04x}")).collect()
            } else {
                secret.to_owned()
            };
            let answer = format!("{}{quoted}", "x".repeat(before));
            let detail = mask(&[secret]).detail(answer.as_bytes(), None, 32);
            let expected = format!("{}***", "x".repeat(before));
            prop_assert_eq!(detail, expected.as_bytes()[..expected.len().min(32)].to_vec());
            // However much of what is read shrinks to masks, what is cut off at its end is not shown.
            let many = quoted.repeat(1 + before) + "end";
            let detail = mask(&[secret]).detail(many.as_bytes(), None, 32);
            prop_assert!(detail.iter().all(|byte| b"*end".contains(byte)), "{}", String::from_utf8_lossy(&detail));
        }
    }
}
