//! A click ID's public face: 128 bits as 26 characters of lower-case Crockford base32.
//!
//! Keeps: one ID has one text that we write; texts that differ in case and look-alikes read as the same ID.
//! Refuses: any other length, characters outside the alphabet, more than 128 bits.
//! Not here: whether an ID is one of ours (`keys`).

use std::fmt;
use std::str::FromStr;

use super::{from_big_endian, to_big_endian};

/// A click's public name: 128 enciphered bits, written as 26 characters.
///
/// Any 16 bytes are a `ClickId`; only [`Keys::decode`](super::Keys::decode) tells ours from garbage. `Display` and `Debug` write
/// the text form. `FromStr` ignores case and reads `i` and `l` as `1` and `o` as `0`, so several texts may
/// name one click: compare IDs, not texts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClickId([u8; 16]);

impl ClickId {
    /// The ID stored as these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The text form, without allocation.
    pub fn to_text(self) -> ClickIdText {
        let mut rest = from_big_endian(self.0);
        let mut text = [0; ClickIdText::BYTES];
        // From the last character, so that the first one gets the 3 bits that 25 fives leave over.
        for character in text.iter_mut().rev() {
            *character = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        ClickIdText(text)
    }
}

impl FromStr for ClickId {
    type Err = ClickIdError;

    fn from_str(text: &str) -> Result<Self, ClickIdError> {
        let Ok(text) = <&[u8; ClickIdText::BYTES]>::try_from(text.as_bytes()) else {
            return Err(ClickIdError::Length { bytes: text.len() });
        };
        let mut bits = 0_u128;
        let mut seen = 0;
        for &character in text {
            let value = VALUES[usize::from(character)];
            seen |= value;
            bits = bits << 5 | u128::from(value);
        }
        // One test after the loop, not 26 in it: only `NO_VALUE` has a bit above the low five.
        if seen > 31 {
            let index = text.iter().position(|&c| VALUES[usize::from(c)] == NO_VALUE);
            return Err(ClickIdError::Character { index: index.unwrap_or_default() });
        }
        if VALUES[usize::from(text[0])] > 7 {
            return Err(ClickIdError::TooLarge);
        }
        Ok(Self(to_big_endian(bits)))
    }
}

impl fmt::Display for ClickId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.to_text().as_str())
    }
}

impl fmt::Debug for ClickId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that names no click ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClickIdError {
    /// Not 26 bytes long.
    #[error("a click id has 26 characters, not {bytes} bytes")]
    Length {
        /// How long the text was.
        bytes: usize,
    },
    /// A byte outside the alphabet (`u` is outside it).
    #[error("the click id's byte {index} is not a base32 character")]
    Character {
        /// Where, from 0.
        index: usize,
    },
    /// The first character is above `7`: more than 128 bits.
    #[error("the click id is more than 128 bits")]
    TooLarge,
}

/// The 26 characters of a [`ClickId`]: a big-endian number in lower-case Crockford base32.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClickIdText([u8; Self::BYTES]);

impl ClickIdText {
    /// How long the text form is.
    pub const BYTES: usize = 26;

    /// The characters.
    pub fn as_str(&self) -> &str {
        match str::from_utf8(&self.0) {
            Ok(text) => text,
            Err(_) => unreachable!("the alphabet is ASCII"),
        }
    }

    /// The characters as bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl AsRef<str> for ClickIdText {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ClickIdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ClickIdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Crockford's base32 digits: no `i`, `l`, `o` (look-alikes), no `u` (accidental words).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What `VALUES` has for a byte outside the alphabet: not a five-bit value.
const NO_VALUE: u8 = 0xff;

/// The value of each byte as a digit, in either case, look-alikes included.
const VALUES: [u8; 256] = {
    let mut values = [NO_VALUE; 256];
    let mut value = 0;
    while value < 32 {
        let digit = ALPHABET[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    let alike = [(b'i', 1), (b'I', 1), (b'l', 1), (b'L', 1), (b'o', 0), (b'O', 0)];
    let mut index = 0;
    while index < alike.len() {
        let (character, value) = alike[index];
        assert!(values[character as usize] == NO_VALUE, "a look-alike is no digit itself");
        values[character as usize] = value;
        index += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_and_look_alikes_do_not_matter() {
        let id: ClickId = "01010101010101010101010101".parse().unwrap();
        for text in ["oi", "OI", "ol", "OL", "0l", "o1"].map(|pair| pair.repeat(13)) {
            assert_eq!(text.parse(), Ok(id), "{text}");
        }
        let mixed: ClickId = "6DHgw59vbVZW5HW7zntksdp97k".parse().unwrap();
        assert_eq!("6dhgw59vbvzw5hw7zntksdp97k".parse(), Ok(mixed));
    }

    #[test]
    fn a_text_that_names_no_id_is_refused() {
        let refused = |text: &str| text.parse::<ClickId>().unwrap_err();
        assert_eq!(refused(""), ClickIdError::Length { bytes: 0 });
        assert_eq!(refused(&"0".repeat(25)), ClickIdError::Length { bytes: 25 });
        assert_eq!(refused(&"0".repeat(27)), ClickIdError::Length { bytes: 27 });
        assert_eq!(refused(&"é".repeat(13)), ClickIdError::Character { index: 0 });
        for outside in ['u', 'U', '-', ' ', '\0', '{'] {
            let text = format!("000000000{outside}0000000000000000");
            assert_eq!(refused(&text), ClickIdError::Character { index: 9 }, "{text:?}");
        }
        assert_eq!(refused("80000000000000000000000000"), ClickIdError::TooLarge);
        assert_eq!(refused("zzzzzzzzzzzzzzzzzzzzzzzzzz"), ClickIdError::TooLarge);
        let largest = "7zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<ClickId>().unwrap();
        assert_eq!(largest.to_bytes(), [0xff; 16]);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_from_their_text(bytes: [u8; 16]) {
            let id = ClickId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}") {
            if let Ok(id) = text.parse::<ClickId>() {
                prop_assert_eq!(id.to_string().len(), text.len());
            }
        }
    }
}
