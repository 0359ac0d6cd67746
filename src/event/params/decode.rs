//! Decoding of one name or value: `+`, percent escapes, UTF-8.
//!
//! Keeps: nothing that was sent is lost. What does not decode stays as written, and a raw byte that is not part of
//! UTF-8 becomes an escape.

/// Appends one raw name or value to `out`, decoded.
pub(super) fn decode(raw: &[u8], scratch: &mut Vec<u8>, out: &mut String) {
    let is_plain = memchr::memchr2(b'%', b'+', raw).is_none();
    if is_plain && let Ok(text) = str::from_utf8(raw) {
        return out.push_str(text);
    }
    scratch.clear();
    scratch.extend(Units(raw).map(Unit::byte));
    if let Ok(text) = str::from_utf8(scratch) {
        return out.push_str(text);
    }
    let mut units = Units(raw);
    for chunk in scratch.utf8_chunks() {
        out.push_str(chunk.valid());
        let invalid = units.by_ref().skip(chunk.valid().len()).take(chunk.invalid().len());
        for unit in invalid {
            unit.push_as_escape(out);
        }
    }
}

/// What stands for one decoded byte.
#[derive(Clone, Copy)]
enum Unit {
    /// Itself, or a `+` for a blank.
    Plain(u8),
    /// The two digits of an escape, as written.
    Escape(u8, u8),
}

impl Unit {
    fn byte(self) -> u8 {
        match self {
            Self::Plain(b'+') => b' ',
            Self::Plain(byte) => byte,
            Self::Escape(high, low) => hex_value(high) << 4 | hex_value(low),
        }
    }

    fn push_as_escape(self, out: &mut String) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let (high, low) = match self {
            Self::Plain(byte) => (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]),
            Self::Escape(high, low) => (high, low),
        };
        out.extend(['%', char::from(high), char::from(low)]);
    }
}

struct Units<'a>(&'a [u8]);

impl Iterator for Units<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        match *self.0 {
            [b'%', high, low, ref rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                self.0 = rest;
                Some(Unit::Escape(high, low))
            }
            [byte, ref rest @ ..] => {
                self.0 = rest;
                Some(Unit::Plain(byte))
            }
            [] => None,
        }
    }
}

/// The value of a hex digit, which the caller has found it to be.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(raw: impl AsRef<[u8]>) -> String {
        let mut text = String::new();
        decode(raw.as_ref(), &mut Vec::new(), &mut text);
        text
    }

    #[test]
    fn a_malformed_escape_stays_as_written() {
        for raw in ["%", "%4", "%zz", "%4g", "100%", "%%", "%u0041"] {
            assert_eq!(value(raw), raw);
        }
        assert_eq!(value("%%41"), "%A");
        assert_eq!(value("%zz%41+"), "%zzA ");
    }

    #[test]
    fn bytes_that_are_not_utf_8_stay_as_escapes() {
        assert_eq!(value("%ff"), "%ff", "as written");
        assert_eq!(value("%C3%A9"), "é");
        assert_eq!(value("%C3"), "%C3");
        assert_eq!(value("a%e2%82z+%c3%a9"), "a%e2%82z é");
        assert_eq!(value("%ED%A0%80"), "%ED%A0%80", "a surrogate");
        assert_eq!(value("%EF%BF%BD"), "\u{fffd}", "a real U+FFFD");
        assert_eq!(value(b"\xC3\xA9"), "é", "raw UTF-8");
        assert_eq!(value(b"\xC3%a9"), "é", "half raw");
        assert_eq!(value(b"a\xC3+\xa9%b1"), "a%C3 %A9%b1");
        for byte in 0x80..=0xff {
            assert_eq!(value([byte]), format!("%{byte:02X}"));
        }
    }

    #[test]
    fn control_characters_are_kept() {
        assert_eq!(value("%00%0d%0A\0\x7f"), "\0\r\n\0\x7f");
    }

    proptest! {
        /// Without a literal `%` in the text there is one reading: decoding ours gives the bytes sent.
        #[test]
        fn no_byte_is_lost(bytes in proptest::collection::vec(any::<u8>(), 0..60), raw: bool) {
            let sent: Vec<u8> = bytes.into_iter().filter(|byte| !b"%+&=?".contains(byte)).collect();
            let escaped = sent.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let text = if raw { value(&sent) } else { value(escaped) };
            prop_assert_eq!(Units(text.as_bytes()).map(Unit::byte).collect::<Vec<_>>(), sent);
        }
    }
}
