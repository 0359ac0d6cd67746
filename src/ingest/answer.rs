//! What whoever reports a conversion is answered.
//!
//! In: what was found about a request. Out: `X-Clicklog-Result`, and the body and code of the generic profile or of the
//! network's own.
//! Keeps: what a caller sent reaches a body only escaped for its content type; a profile never hides that a conversion could
//! not be kept (503), and that it was sent too often (429) only where it names that itself: whoever is told that all is
//! well does not send again.

use std::fmt::Write;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::fields::Fault;
use super::network::{Answer, Network};
use super::outcome::Outcome;
use super::reply::Reply;
use crate::apply::claim::Refusal;
use crate::apply::ledger::Ruling;
use crate::event::decision::Verdict;
use crate::event::hex;
use crate::event::params::Params;

/// Says on every answer what was concluded.
pub(super) const RESULT: HeaderName = HeaderName::from_static("x-clicklog-result");

/// What was found about a request.
#[derive(Clone, Debug)]
pub(super) enum Finding {
    /// It was decided on.
    Ruled(Ruling),
    /// It was only a test, and would be decided on so.
    Tested(Ruling),
    /// It was refused; perhaps only for so long.
    Refused(Fault, Option<Duration>),
    /// It could not be kept.
    Unavailable,
}

/// One step of the way, for whoever tests.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    pub(super) step: &'static str,
    pub(super) found: String,
}

/// The generic body.
#[derive(Serialize)]
struct Generic<'a> {
    result: &'a str,
    reason: Option<&'a str>,
    conversion_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<&'a [Step]>,
}

impl Finding {
    /// As in `X-Clicklog-Result`.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Ruled(ruling) => ruling.verdict.name().to_owned(),
            Self::Tested(_) => Verdict::Test.name().to_owned(),
            Self::Refused(fault, _) => format!("rejected:{}", fault.refusal.name()),
            Self::Unavailable => "rejected:unavailable".to_owned(),
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Ruled(ruling) => Outcome::of_verdict(ruling.verdict),
            Self::Tested(_) => Outcome::Tested,
            Self::Refused(fault, _) => Outcome::of_refusal(fault.refusal),
            Self::Unavailable => Outcome::Unavailable,
        }
    }

    /// Why, in one word; empty where there is nothing to explain.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Ruled(ruling) | Self::Tested(ruling) => ruling.reason.name(),
            Self::Refused(fault, _) => fault.refusal.name(),
            Self::Unavailable => "unavailable",
        }
    }

    /// The same, for a person.
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Ruled(_) | Self::Tested(_) => None,
            Self::Refused(fault, _) => Some(&fault.message),
            Self::Unavailable => Some("this could not be kept; send it again"),
        }
    }

    fn result(&self) -> &'static str {
        match self {
            Self::Ruled(ruling) => ruling.verdict.name(),
            Self::Tested(_) => Verdict::Test.name(),
            Self::Refused(..) | Self::Unavailable => Verdict::Rejected.name(),
        }
    }

    fn conversion_id(&self) -> String {
        match self {
            Self::Ruled(ruling) | Self::Tested(ruling) if ruling.conversion_id != [0; 16] => {
                hex(&ruling.conversion_id)
            }
            _ => String::new(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Ruled(_) | Self::Tested(_) => StatusCode::OK,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(fault, _) => status(fault.refusal),
        }
    }

    /// What the network's own answers have for it, the most exact first.
    fn own<'a>(&self, network: &'a Network) -> Option<&'a Answer> {
        let of = |name: &str| {
            let mut all = network.answers.by_result.iter();
            all.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, answer)| answer)
        };
        let exact = of(&self.name());
        match self {
            Self::Ruled(_) => exact.or_else(|| of("ok")),
            Self::Refused(fault, _) if fault.refusal == Refusal::RateLimit => exact,
            Self::Refused(..) => exact.or_else(|| of("rejected")),
            // Who tests is a person and wants to know.
            Self::Tested(_) | Self::Unavailable => None,
        }
    }
}

const fn status(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::UnknownNetwork => StatusCode::NOT_FOUND,
        Refusal::RateLimit => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Secret
        | Refusal::Signature
        | Refusal::Stale
        | Refusal::Address
        | Refusal::RequireHttps
        | Refusal::ClientCertificate
        | Refusal::Pixel => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The answer to a server. `steps` are for whoever tests.
pub(super) fn reply(
    finding: &Finding,
    network: Option<&Network>,
    params: &Params,
    steps: Option<&[Step]>,
) -> Reply {
    let own = network.filter(|_| steps.is_none()).and_then(|network| finding.own(network));
    let conversion_id = finding.conversion_id();
    let (mut status, mut content_type) = (finding.status(), "application/json");
    let mut body = match own {
        Some(answer) => {
            status = answer.status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(status);
            content_type = &answer.content_type;
            filled(answer, finding, &conversion_id)
        }
        None => generic(finding, &conversion_id, steps),
    };
    let echo = network.filter(|_| steps.is_none()).and_then(|network| network.answers.echo.as_deref());
    let echoed = echo.and_then(|name| params.get_ignore_case(name)).filter(|text| !text.is_empty());
    if let Some(text) = echoed.filter(|_| status == StatusCode::OK) {
        text.clone_into(&mut body);
        content_type = "text/plain; charset=utf-8";
    }
    let mut reply = Reply::new(finding.outcome(), status, body);
    let kind = HeaderValue::from_str(content_type);
    reply.headers().insert(CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("text/plain")));
    reply.headers().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    mark(&mut reply, finding);
    reply
}

/// What every answer says, whatever its body is.
pub(super) fn mark(reply: &mut Reply, finding: &Finding) {
    let headers = reply.headers();
    // Names of verdicts and refusals are visible ASCII.
    if let Ok(name) = HeaderValue::try_from(finding.name()) {
        headers.insert(RESULT, name);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let wait = match finding {
        Finding::Refused(_, wait) => *wait,
        Finding::Unavailable => Some(Duration::from_secs(1)),
        Finding::Ruled(_) | Finding::Tested(_) => None,
    };
    if let Some(wait) = wait {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

fn generic(finding: &Finding, conversion_id: &str, steps: Option<&[Step]>) -> String {
    let said = |text: &'_ str| !text.is_empty();
    let body = Generic {
        result: finding.result(),
        reason: Some(finding.reason()).filter(|text| said(text)),
        conversion_id: Some(conversion_id).filter(|text| said(text)),
        message: finding.message(),
        steps,
    };
    let mut line = serde_json::to_string(&body).unwrap_or_default();
    line.push('\n');
    line
}

/// What escapes a text for the kind of body that it is inserted into.
#[derive(Clone, Copy)]
enum Escape {
    Json,
    Html,
    /// As it is, in one line.
    Text,
}

fn filled(answer: &Answer, finding: &Finding, conversion_id: &str) -> String {
    let content_type = answer.content_type.to_ascii_lowercase();
    let escape = match content_type.as_str() {
        kind if kind.contains("json") || kind.contains("javascript") => Escape::Json,
        kind if kind.contains("html") || kind.contains("xml") => Escape::Html,
        _ => Escape::Text,
    };
    let value = |gap: &str| match gap {
        "result" => Some(finding.result()),
        "reason" => Some(finding.reason()),
        "message" => Some(finding.message().unwrap_or_default()),
        "conversion_id" => Some(conversion_id),
        _ => None,
    };
    let (mut body, mut rest) = (String::new(), &*answer.body);
    // What is inserted is not read again for gaps.
    while let Some((before, after)) = rest.split_once('{') {
        body.push_str(before);
        match after.split_once('}').and_then(|(gap, after)| Some((value(gap)?, after))) {
            Some((text, after)) => {
                insert(&mut body, text, escape);
                rest = after;
            }
            None => {
                body.push('{');
                rest = after;
            }
        }
    }
    body.push_str(rest);
    body
}

fn insert(body: &mut String, text: &str, escape: Escape) {
    for letter in text.chars() {
        match (escape, letter) {
            (Escape::Json, '"' | '\\') => body.extend(['\\', letter]),
            (Escape::Json, '<' | '\u{2028}' | '\u{2029}' | '\0'..=' ' | '\u{7f}') if letter != ' ' => {
                let _infallible = write!(body, "\\u{:04x}", u32::from(letter));
            }
            (Escape::Html, '&') => body.push_str("&amp;"),
            (Escape::Html, '<') => body.push_str("&lt;"),
            (Escape::Html, '>') => body.push_str("&gt;"),
            (Escape::Html, '"') => body.push_str("&quot;"),
            (Escape::Html, '\'') => body.push_str("&#39;"),
            (Escape::Html | Escape::Text, '\r' | '\n' | '\0') => {}
            (_, letter) => body.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(message: &str) -> Finding {
        let fault = Fault { message: message.to_owned(), ..Refusal::BadPayout.into() };
        Finding::Refused(fault, None)
    }

    fn body(content_type: &str, body: &str, finding: &Finding) -> String {
        let answer = Answer { status: None, content_type: content_type.into(), body: body.into() };
        filled(&answer, finding, "00ff")
    }

    #[test]
    fn what_is_inserted_is_escaped_for_the_body_it_is_in_and_not_read_again() {
        let nasty = fault("a\"b'<c>\\&\r\n{result}");
        let gaps = "{message}|{result}|{reason}|{conversion_id}|{other}|{";
        for (kind, expected) in [
            ("application/json", "a\\\"b'\\u003cc>\\\\&\\u000d\\u000a{result}"),
            ("text/html; charset=utf-8", "a&quot;b&#39;&lt;c&gt;\\&amp;{result}"),
            ("text/xml", "a&quot;b&#39;&lt;c&gt;\\&amp;{result}"),
            ("text/plain", "a\"b'<c>\\&{result}"),
        ] {
            let expected = format!("{expected}|rejected|bad_payout|00ff|{{other}}|{{");
            assert_eq!(body(kind, gaps, &nasty), expected, "{kind}");
        }
        let json = body("application/json", "{\"error\":\"{message}\"}", &nasty);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["error"], "a\"b'<c>\\&\r\n{result}");
    }

    #[test]
    fn the_generic_body_is_one_line_of_json() {
        let ruled = |conversion_id| Finding::Ruled(Ruling { conversion_id, ..Ruling::default() });
        let line = |finding: &Finding| generic(finding, &finding.conversion_id(), None);
        assert_eq!(
            line(&ruled([0; 16])),
            "{\"result\":\"accepted\",\"reason\":null,\"conversion_id\":null}\n"
        );
        let id = "ab".repeat(16);
        assert_eq!(
            line(&ruled([0xab; 16])),
            format!("{{\"result\":\"accepted\",\"reason\":null,\"conversion_id\":\"{id}\"}}\n")
        );
        let refused = "{\"result\":\"rejected\",\"reason\":\"bad_payout\",\"conversion_id\":null,\"message\":\"\\\"x\"}\n";
        assert_eq!(line(&fault("\"x")), refused);
    }
}
