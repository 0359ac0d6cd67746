//! One request, as the routes look at it.
//!
//! In: the head that hyper has read, and what is known of the connection. Out: the few things that a click is made of.
//! Keeps: text that came as bytes is UTF-8 here; what is not is shown as U+FFFD, and nothing is cut.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{ACCEPT_LANGUAGE, COOKIE, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use crate::clock::Timestamp;

/// The cookie that keeps a click's id.
pub(super) const CLICK_COOKIE: &str = "cl_cid";
/// The cookie that tells a visitor of sticky campaigns apart.
pub(super) const VISITOR_COOKIE: &str = "cl_vid";

/// See the module.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    pub(super) parts: &'a Parts,
    pub(super) host: &'a str,
    pub(super) address: IpAddr,
    pub(super) is_https: bool,
    pub(super) time: Timestamp,
}

impl<'a> Visit<'a> {
    pub(super) fn path(&self) -> &'a str {
        self.parts.uri.path()
    }

    pub(super) fn query(&self) -> &'a str {
        self.parts.uri.query().unwrap_or_default()
    }

    pub(super) fn headers(&self) -> &'a HeaderMap {
        &self.parts.headers
    }

    pub(super) fn user_agent(&self) -> Cow<'a, str> {
        self.header(USER_AGENT)
    }

    pub(super) fn referrer(&self) -> Cow<'a, str> {
        self.header(REFERER)
    }

    pub(super) fn language(&self) -> Cow<'a, str> {
        self.header(ACCEPT_LANGUAGE)
    }

    fn header(&self, name: HeaderName) -> Cow<'a, str> {
        let value = self.headers().get(name).map_or(&b""[..], |value| value.as_bytes());
        String::from_utf8_lossy(value)
    }

    /// Client hint headers as lines of `name: value`, into a buffer that is kept.
    pub(super) fn client_hints(&self, lines: &mut String) {
        lines.clear();
        for (name, value) in self.headers().iter().filter(|(name, _)| name.as_str().starts_with("sec-ch-")) {
            lines.push_str(name.as_str());
            lines.push_str(": ");
            lines.push_str(&String::from_utf8_lossy(value.as_bytes()));
            lines.push('\n');
        }
    }

    /// Whether a browser fetches this ahead of a click that may never come.
    pub(super) fn is_prefetch(&self) -> bool {
        let says = |name: &str, words: &[&str]| {
            let value = self.headers().get(name).and_then(|value| value.to_str().ok());
            value.is_some_and(|value| words.iter().any(|word| value.contains(word)))
        };
        says("sec-purpose", &["prefetch", "prerender"])
            || says("purpose", &["prefetch", "preview"])
            || says("x-purpose", &["preview"])
            || says("x-moz", &["prefetch"])
    }

    pub(super) fn wants_privacy(&self) -> bool {
        self.headers().get("sec-gpc").is_some_and(|value| value.as_bytes() == b"1")
    }

    /// The value of a cookie; of several, the last, which is the one that was set for the widest path.
    pub(super) fn cookie(&self, name: &str) -> Option<&'a str> {
        let fields = self.headers().get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
    }
}
