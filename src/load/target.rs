//! What the command line says to ask for, parsed: URLs with weights and gaps, headers.
//!
//! In: text. Out: a `Target` or a `Header` that can be sent as it is.
//! Keeps: nothing that could end a header line or begin another gets in.
//! Refuses: https, user names in URLs, gaps that are none of ours, bytes that a request line cannot hold, headers
//! that say how a message or a connection ends.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;

/// Weights of one URL.
pub const WEIGHT_MAX: u32 = 1_000_000;
/// Bytes of one URL.
const URL_BYTES_MAX: usize = 64 * 1024;

/// Why a URL or a header cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The scheme is https.
    #[error("the load generator speaks plain http: point it at an http listener, behind what ends TLS")]
    Https,
    /// No scheme, or another one.
    #[error("a URL begins with http://")]
    Scheme,
    /// Host and port.
    #[error("no valid host and port: {0:?}")]
    Authority(String),
    /// A byte of path or query.
    #[error("{0:?} cannot stand in a URL, percent-encode it")]
    Byte(char),
    /// Braces around something else than a known name.
    #[error("unknown gap {0:?}: there are {{n}}, {{visitor}} and {{random}}")]
    Gap(String),
    /// The weight before `*`.
    #[error("weight {0:?} must be 1 to {WEIGHT_MAX}")]
    Weight(String),
    /// It is too long.
    #[error("a URL has at most {URL_BYTES_MAX} bytes")]
    TooLong,
    /// Not `Name: value`.
    #[error("a header is written Name: value")]
    Header,
    /// A header that is the generator's to write.
    #[error("{0} is written by the load generator itself")]
    Framing(String),
}

/// One URL, how often it is asked for, and where it has gaps.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) weight: u32,
    /// As the `Host` header says it.
    pub(super) authority: Authority,
    /// Path and query.
    pub(super) pieces: Vec<Piece>,
    /// The URL without its weight.
    text: String,
}

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Number,
    Visitor,
    Random,
}

/// A header line that every request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

/// The URL.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `http://host[:port]/path?query`, or the same behind `WEIGHT*`.
impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (weight, url) = match text.split_once('*') {
            Some((weight, url)) if !weight.contains("://") => (parse_weight(weight)?, url),
            _ => (1, text),
        };
        if url.len() > URL_BYTES_MAX {
            return Err(TargetError::TooLong);
        }
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => return Err(TargetError::Https),
            _ => return Err(TargetError::Scheme),
        };
        // A fragment stays with the browser.
        let rest = rest.split('#').next().unwrap_or_default();
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        let bad = || TargetError::Authority(authority.to_owned());
        let parsed: Authority = authority.parse().map_err(|_| bad())?;
        // Not `port()`: that has none for a number that is too great.
        let port = authority.strip_prefix(parsed.host()).unwrap_or_default();
        let is_port_valid = port.is_empty() || parsed.port_u16().is_some();
        if authority.contains('@') || parsed.host().is_empty() || !is_port_valid {
            return Err(bad());
        }
        Ok(Self { weight, authority: parsed, pieces: pieces(path)?, text: url.to_owned() })
    }
}

impl FromStr for Header {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (name, value) = text.split_once(':').ok_or(TargetError::Header)?;
        let value = value.trim();
        let name_is_token = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        if !name_is_token || http::HeaderValue::from_str(value).is_err() {
            return Err(TargetError::Header);
        }
        let ours = ["connection", "content-length", "expect", "transfer-encoding", "upgrade"];
        if ours.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            return Err(TargetError::Framing(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

fn parse_weight(text: &str) -> Result<u32, TargetError> {
    let weight = text.parse().ok().filter(|weight| (1..=WEIGHT_MAX).contains(weight));
    weight.ok_or_else(|| TargetError::Weight(text.to_owned()))
}

fn pieces(path: &str) -> Result<Vec<Piece>, TargetError> {
    if let Some(bad) = path.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(TargetError::Byte(bad));
    }
    let mut found = Vec::new();
    // A path is at least a slash, also before a query.
    let mut text = if path.starts_with('/') { String::new() } else { "/".to_owned() };
    let mut rest = path;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, behind) = behind.split_once('}').ok_or_else(|| TargetError::Gap(format!("{{{behind}")))?;
        text.push_str(before);
        found.push(Piece::Text(std::mem::take(&mut text)));
        found.push(match name {
            "n" => Piece::Number,
            "visitor" => Piece::Visitor,
            "random" => Piece::Random,
            _ => return Err(TargetError::Gap(format!("{{{name}}}"))),
        });
        rest = behind;
    }
    text.push_str(rest);
    found.push(Piece::Text(text));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_have_a_weight_and_gaps() {
        let target: Target = "9*http://localhost:8080/c/demo?id={n}&v={visitor}-{random}#x".parse().unwrap();
        assert_eq!((target.weight, target.authority.as_str()), (9, "localhost:8080"));
        let text = |text: &str| Piece::Text(text.to_owned());
        let expected = [
            text("/c/demo?id="),
            Piece::Number,
            text("&v="),
            Piece::Visitor,
            text("-"),
            Piece::Random,
            text(""),
        ];
        assert_eq!(target.pieces, expected);
    }

    #[test]
    fn a_url_without_a_path_asks_for_the_root() {
        for (url, path) in [("http://h", "/"), ("HTTP://[::1]:80", "/"), ("http://h?a=1*2", "/?a=1*2")] {
            let target: Target = url.parse().unwrap();
            assert_eq!(target.pieces, [Piece::Text(path.to_owned())], "{url}");
            assert_eq!(target.weight, 1, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        let cases = [
            ("https://h/", TargetError::Https),
            ("h/c", TargetError::Scheme),
            ("ftp://h/", TargetError::Scheme),
            ("0*http://h/", TargetError::Weight("0".into())),
            ("x*http://h/", TargetError::Weight("x".into())),
            ("http://h/{N}", TargetError::Gap("{N}".into())),
            ("http://h/{n", TargetError::Gap("{n".into())),
            ("http://h/a b", TargetError::Byte(' ')),
            ("http://h/\r\nX: y", TargetError::Byte('\r')),
            ("http:///c", TargetError::Authority(String::new())),
            ("http://u:p@h/", TargetError::Authority("u:p@h".into())),
            ("http://h:99999/", TargetError::Authority("h:99999".into())),
            ("http://h:/", TargetError::Authority("h:".into())),
        ];
        for (url, expected) in cases {
            assert_eq!(url.parse::<Target>().unwrap_err(), expected, "{url}");
        }
    }

    #[test]
    fn a_header_can_end_no_line_and_no_message() {
        let header: Header = "Cookie:  a=b; c=d ".parse().unwrap();
        assert_eq!((header.name.as_str(), header.value.as_str()), ("Cookie", "a=b; c=d"));
        for text in ["Cookie", "A b: c", ": c", "A: b\r\nC: d"] {
            assert_eq!(text.parse::<Header>(), Err(TargetError::Header), "{text:?}");
        }
        for name in ["Connection", "content-length", "Transfer-Encoding"] {
            let framing = format!("{name}: 1").parse::<Header>();
            assert_eq!(framing, Err(TargetError::Framing(name.into())));
        }
    }
}
