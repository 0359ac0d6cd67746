//! What a value may become at the place where it is inserted.
//!
//! Keeps: a value never leaves its place. In a path it adds no segment and is none of the two that mean a folder; in a
//! query it adds no parameter; in a header no line; in JSON no member; nowhere does it end a line.

/// Where a value is inserted, which says what has to be escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A segment of a URL's path.
    Path,
    /// The name or value of a parameter, in a URL or a form.
    Query,
    /// Behind a URL's `#`.
    Fragment,
    /// A header's value.
    Header,
    /// Inside a JSON string.
    JsonString,
    /// Where JSON wants a value.
    JsonValue,
    /// Plain text.
    Text,
}

/// Appends `value` as it may stand at `place`. `is_encoded`: it was escaped before, and its `%41` stay.
pub(super) fn push(out: &mut Vec<u8>, place: Place, value: &str, is_encoded: bool) {
    match place {
        Place::Path | Place::Query | Place::Fragment => percent(out, place, value, is_encoded),
        Place::Header => {
            for byte in value.bytes() {
                if matches!(byte, b' '..=b'~') { out.push(byte) } else { escape(out, byte) }
            }
        }
        Place::JsonString => json(out, value),
        Place::JsonValue if is_encoded && is_number(value) => out.extend_from_slice(value.as_bytes()),
        Place::JsonValue => {
            out.push(b'"');
            json(out, value);
            out.push(b'"');
        }
        Place::Text => out.extend(value.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0))),
    }
}

/// Whether a value would make its path segment mean another folder. Browsers read `%2e` as a dot there, so escaping
/// does not help: such a value counts as missing.
pub(super) fn is_folder(value: &str) -> bool {
    let mut rest = value;
    while !rest.is_empty() {
        let dot =
            rest.strip_prefix('.').or_else(|| rest.strip_prefix("%2e")).or_else(|| rest.strip_prefix("%2E"));
        match dot {
            Some(after) => rest = after,
            None => return false,
        }
    }
    !value.is_empty()
}

/// What means nothing but itself anywhere in a URL (RFC 3986, 2.3).
const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let bytes = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
};

fn percent(out: &mut Vec<u8>, place: Place, value: &str, is_encoded: bool) {
    let bytes = value.as_bytes();
    // Most values are ids and numbers.
    if bytes.iter().all(|byte| UNRESERVED[usize::from(*byte)]) {
        return out.extend_from_slice(bytes);
    }
    for (at, &byte) in bytes.iter().enumerate() {
        let is_escape = |rest: &[u8]| rest.len() >= 3 && rest[1..3].iter().all(u8::is_ascii_hexdigit);
        let passes = match byte {
            _ if UNRESERVED[usize::from(byte)] => true,
            // What separates nothing where it stands. `;` separates parameters for some servers.
            b'!' | b'$' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b':' | b'@' => is_encoded,
            b'/' | b'?' | b'=' => is_encoded && place != Place::Path,
            b'%' => is_encoded && is_escape(&bytes[at..]),
            _ => false,
        };
        if passes { out.push(byte) } else { escape(out, byte) }
    }
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// Escapes what a JSON string may not hold, and what would end a script that it stands in.
fn json(out: &mut Vec<u8>, value: &str) {
    for letter in value.chars() {
        match letter {
            '"' => out.extend(b"\\\""),
            '\\' => out.extend(b"\\\\"),
            '\u{0}'..='\u{1f}' | '\u{7f}' | '<' | '\u{2028}' | '\u{2029}' => {
                out.extend(format!("\\u{:04x}", u32::from(letter)).bytes());
            }
            _ => out.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

/// Whether the text is a number in JSON: then it may stand without quotes.
pub(super) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && (whole == "0" || !whole.starts_with('0')) && part.is_none_or(all_digits)
}
