//! Answers: status, headers and body for each way a request can end.
//!
//! Keeps: nothing that a visitor sent reaches a header or a page unescaped; every answer that depends on a visitor says
//! `no-store`; a `Location` is never empty (Safari asks again dozens of times for one that is).

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::catalog::Redirect;
use super::outcome::{Class, Outcome};

/// What the service gives to hyper.
pub(super) type Body = Full<Bytes>;

/// An answer, and what it means for the books.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) outcome: Outcome,
    /// Where its duration is counted.
    pub(super) class: Class,
    pub(super) response: Response<Body>,
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl Reply {
    pub(super) fn new(outcome: Outcome, status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = status;
        Self { outcome, class: outcome.class(), response }
    }

    /// A line of text for whoever looks at it.
    pub(super) fn text(outcome: Outcome, status: StatusCode, text: &'static str) -> Self {
        let mut reply = Self::new(outcome, status, text);
        reply.headers().insert(CONTENT_TYPE, TEXT);
        reply.headers().insert(CACHE_CONTROL, NO_STORE);
        reply
    }

    /// The answer that an outcome has wherever it comes about.
    pub(super) fn refusal(outcome: Outcome) -> Self {
        let (status, text) = match outcome {
            Outcome::Method => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
            Outcome::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "not served on this connection\n"),
            Outcome::HeadTooLong => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head too long\n"),
            Outcome::UriTooLong => (StatusCode::URI_TOO_LONG, "target too long\n"),
            Outcome::BodyTooLong => (StatusCode::PAYLOAD_TOO_LARGE, "body too long\n"),
            Outcome::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body too slow\n"),
            Outcome::UnknownCampaign => (StatusCode::NOT_FOUND, "no such campaign\n"),
            Outcome::NotFound => (StatusCode::NOT_FOUND, "not found\n"),
            Outcome::NoDestination | Outcome::ThroughUnknown => (StatusCode::NOT_FOUND, "nowhere to go\n"),
            Outcome::Prefetch => (StatusCode::SERVICE_UNAVAILABLE, ""),
            Outcome::Shed | Outcome::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "try again\n"),
            _ => (StatusCode::BAD_REQUEST, "bad request\n"),
        };
        let mut reply = Self::text(outcome, status, text);
        match outcome {
            Outcome::Method => {
                reply.headers().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
            }
            Outcome::Shed | Outcome::Unavailable => {
                reply.headers().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        reply
    }

    /// Sends the visitor to `url`, which a template has made: visible ASCII.
    pub(super) fn redirect(outcome: Outcome, how: Redirect, url: Bytes) -> Self {
        let status = match how {
            Redirect::Found => StatusCode::FOUND,
            Redirect::SeeOther => StatusCode::SEE_OTHER,
            Redirect::Temporary => StatusCode::TEMPORARY_REDIRECT,
            Redirect::Meta | Redirect::DoubleMeta => return Self::refresh(outcome, &url),
        };
        let Ok(location) = HeaderValue::from_maybe_shared(url) else {
            unreachable!("a template makes visible ASCII");
        };
        let mut reply = Self::new(outcome, status, Bytes::new());
        reply.headers().insert(LOCATION, location);
        reply.headers().insert(CACHE_CONTROL, NO_STORE);
        reply
    }

    /// A page that goes on to `url` by itself.
    pub(super) fn refresh(outcome: Outcome, url: &[u8]) -> Self {
        let url = html(url);
        let page = format!(
            "<!doctype html><html><head><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
             <meta http-equiv=\"refresh\" content=\"0;url={url}\"><title>…</title></head>\
             <body><a rel=\"noreferrer\" href=\"{url}\">…</a></body></html>\n"
        );
        let mut reply = Self::new(outcome, StatusCode::OK, page);
        reply.headers().insert(CONTENT_TYPE, HTML);
        reply.headers().insert(CACHE_CONTROL, NO_STORE);
        reply.headers().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        reply
    }

    /// The same, counted with requests of this kind.
    pub(super) fn of(self, class: Class) -> Self {
        Self { class, ..self }
    }

    pub(super) fn with_cookie(mut self, cookie: Bytes) -> Self {
        if let Ok(cookie) = HeaderValue::from_maybe_shared(cookie) {
            self.headers().append(SET_COOKIE, cookie);
        }
        self
    }

    pub(super) fn headers(&mut self) -> &mut HeaderMap {
        self.response.headers_mut()
    }
}

/// A URL as it may stand in an attribute between double quotes. Behind `url=` a quote would begin a quoted URL.
pub(super) fn html(url: &[u8]) -> String {
    let mut text = String::with_capacity(url.len() + 16);
    for &byte in url {
        match byte {
            b'&' => text.push_str("&amp;"),
            b'<' => text.push_str("&lt;"),
            b'>' => text.push_str("&gt;"),
            b'"' => text.push_str("%22"),
            b'\'' => text.push_str("%27"),
            _ => text.push(char::from(byte)),
        }
    }
    text
}
