//! One request, as the routes look at it.
//!
//! In: the head that hyper has read, and what is known of the connection. Out: the few things that a click is made of.
//! Keeps: text that came as bytes is UTF-8 here; what is not is shown as U+FFFD, and nothing is cut.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{
    ACCEPT_LANGUAGE, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, REFERER, TRANSFER_ENCODING, USER_AGENT,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::clock::Timestamp;

/// The cookie that keeps a click's id.
pub(super) const CLICK_COOKIE: &str = "cl_cid";
/// The cookie that tells a visitor of sticky campaigns apart.
pub(super) const VISITOR_COOKIE: &str = "cl_vid";

/// The headers that a click is made of, found in one walk over all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'a> {
    /// The first Host, and how many there are.
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) hosts: usize,
    /// The first Transfer-Encoding, and how many there are.
    pub(super) coding: Option<&'a HeaderValue>,
    pub(super) codings: usize,
    pub(super) has_length: bool,
    /// Whether a proxy says for whom it speaks, and in which way: `X-Forwarded-For` before `Forwarded`.
    pub(super) has_x_forwarded_for: bool,
    pub(super) has_forwarded: bool,
    /// The last X-Forwarded-Proto: how a proxy says that it was asked.
    pub(super) forwarded_proto: Option<&'a HeaderValue>,
    user_agent: Option<&'a HeaderValue>,
    referrer: Option<&'a HeaderValue>,
    language: Option<&'a HeaderValue>,
    has_hints: bool,
    is_prefetch: bool,
    wants_privacy: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            match *name {
                HOST => {
                    fields.hosts += 1;
                    fields.host = fields.host.or(Some(value));
                }
                USER_AGENT => fields.user_agent = fields.user_agent.or(Some(value)),
                REFERER => fields.referrer = fields.referrer.or(Some(value)),
                ACCEPT_LANGUAGE => fields.language = fields.language.or(Some(value)),
                CONTENT_LENGTH => fields.has_length = true,
                FORWARDED => fields.has_forwarded = true,
                TRANSFER_ENCODING => {
                    fields.codings += 1;
                    fields.coding = fields.coding.or(Some(value));
                }
                _ => fields.look(name.as_str(), value),
            }
        }
        fields
    }

    /// Headers that the HTTP library has no number for.
    fn look(&mut self, name: &str, value: &'a HeaderValue) {
        let says =
            |words: &[&str]| value.to_str().is_ok_and(|value| words.iter().any(|word| value.contains(word)));
        match name {
            "sec-purpose" => self.is_prefetch |= says(&["prefetch", "prerender"]),
            "purpose" => self.is_prefetch |= says(&["prefetch", "preview"]),
            "x-purpose" => self.is_prefetch |= says(&["preview"]),
            "x-moz" => self.is_prefetch |= says(&["prefetch"]),
            "x-forwarded-for" => self.has_x_forwarded_for = true,
            "x-forwarded-proto" => self.forwarded_proto = Some(value),
            "sec-gpc" => self.wants_privacy |= value.as_bytes() == b"1",
            _ => self.has_hints |= name.starts_with("sec-ch-"),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    pub(super) parts: &'a Parts,
    pub(super) fields: Fields<'a>,
    pub(super) host: &'a str,
    pub(super) address: IpAddr,
    pub(super) is_https: bool,
    /// Whether the peer showed a certificate of an authority that its listener believes.
    pub(super) has_client_certificate: bool,
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
        text(self.fields.user_agent)
    }

    pub(super) fn referrer(&self) -> Cow<'a, str> {
        text(self.fields.referrer)
    }

    pub(super) fn language(&self) -> Cow<'a, str> {
        text(self.fields.language)
    }

    /// Client hint headers as lines of `name: value`, into a buffer that is kept.
    pub(super) fn client_hints(&self, lines: &mut String) {
        lines.clear();
        if !self.fields.has_hints {
            return;
        }
        for (name, value) in self.headers().iter().filter(|(name, _)| name.as_str().starts_with("sec-ch-")) {
            lines.push_str(name.as_str());
            lines.push_str(": ");
            lines.push_str(&text(Some(value)));
            lines.push('\n');
        }
    }

    /// Whether a browser fetches this ahead of a click that may never come.
    pub(super) fn is_prefetch(&self) -> bool {
        self.fields.is_prefetch
    }

    pub(super) fn wants_privacy(&self) -> bool {
        self.fields.wants_privacy
    }

    /// The value of a cookie; of several, the last, which is the one that was set for the widest path.
    pub(super) fn cookie(&self, name: &str) -> Option<&'a str> {
        let fields = self.headers().get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
    }
}

/// A header's text. It is checked much faster than it would be repaired.
fn text(value: Option<&HeaderValue>) -> Cow<'_, str> {
    let bytes = value.map_or(&b""[..], |value| value.as_bytes());
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}
