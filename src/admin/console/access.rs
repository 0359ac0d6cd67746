//! Who may look, and who may change something.
//!
//! | | may look | may change |
//! |---|---|---|
//! | this machine, at a listener that only it can reach, by a name that only it has | yes | no |
//! | who has logged in | yes | with the form's key |
//! | who shows the token as `Authorization: Bearer` | yes | yes |
//!
//! Keeps: a page of somebody else, in an operator's browser, can neither read (the name that it is asked by would be another,
//! DNS rebinding) nor change anything (its forms have no key, and the browser says where they are from). What comes through
//! a proxy does not come from this machine.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method, Uri};

use super::session::Sessions;
use crate::admin::guard::Token;

/// What a request may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing but log in.
    Nobody,
    /// Look.
    Local,
    /// What `Local` may, and change something with a form that carries this.
    Session(String),
    /// Everything.
    Token,
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

impl Access {
    /// By what a request shows, and whether it is of this machine (`guard::is_local`).
    pub(super) fn of(headers: &HeaderMap, is_local: bool, token: &Token, sessions: &Sessions) -> Self {
        if token.is_shown(headers) {
            return Self::Token;
        }
        if let Some(key) = sessions.form_key(headers) {
            return Self::Session(key);
        }
        if is_local { Self::Local } else { Self::Nobody }
    }

    pub(super) fn may_look(&self) -> bool {
        *self != Self::Nobody
    }

    pub(super) fn may_change(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Token)
    }
}

/// Whether a browser says that a page of somebody else is behind a request. One that it only leads to is ours; one that it
/// frames is not: it would not be shown, and be made all the same.
pub(super) fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text(&FETCH_SITE);
    if method == Method::GET || method == Method::HEAD {
        let is_followed = text(&FETCH_MODE) == Some("navigate")
            && text(&FETCH_DEST).is_none_or(|destination| destination == "document");
        return matches!(site, Some("cross-site" | "same-site")) && !is_followed;
    }
    match (site, text(&ORIGIN)) {
        (Some("same-origin"), _) => false,
        // Typed or bookmarked: nobody does so with a form, yet no page does it either.
        (Some("none") | None, None) => false,
        // With `Referrer-Policy: no-referrer` browsers hide the origin even from its own; away from this machine and without
        // TLS they say nothing else. What is left is the key of the form, and the cookie that stays at home.
        (None, Some("null")) => false,
        (Some("none") | None, Some(origin)) => !is_own(origin, text(&HOST)),
        (Some(_), _) => true,
    }
}

/// Whether an origin is the host that was asked.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.parse::<Uri>().ok().and_then(|origin| origin.into_parts().authority);
    authority.zip(host).is_some_and(|(authority, host)| authority.as_str().eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;
    use crate::admin::guard;
    use crate::clock::Clock;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn without_a_token_only_this_machine_may_look_and_by_its_own_names_alone() {
        let sessions = Sessions::new(Clock::default());
        let (token, local) = (Token::new("hush"), "127.0.0.1");
        for (own, peer, given, expected) in [
            (local, local, &[("host", "localhost:9101")][..], Access::Local),
            (local, "::ffff:127.0.0.1", &[("host", "127.0.0.1:9101")], Access::Local),
            ("::1", "::1", &[("host", "[::1]:9101")], Access::Local),
            (local, local, &[("host", "rebound.example:9101")], Access::Nobody),
            (local, local, &[("host", "192.0.2.1:9101")], Access::Nobody),
            (local, local, &[("host", "127.0.0.1.evil.example")], Access::Nobody),
            (local, local, &[], Access::Nobody),
            (local, local, &[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")], Access::Nobody),
            (local, local, &[("host", "localhost"), ("via", "1.1 front")], Access::Nobody),
            ("0.0.0.0", local, &[("host", "localhost")], Access::Nobody),
            (local, "192.0.2.1", &[("host", "localhost")], Access::Nobody),
            ("192.0.2.1", "192.0.2.2", &[("host", "192.0.2.1")], Access::Nobody),
            (
                "192.0.2.1",
                "192.0.2.2",
                &[("host", "192.0.2.1"), ("authorization", "Bearer hush")],
                Access::Token,
            ),
            (
                "192.0.2.1",
                "192.0.2.2",
                &[("host", "192.0.2.1"), ("authorization", "Bearer no")],
                Access::Nobody,
            ),
        ] {
            let (headers, of) = (headers(given), (own.parse().unwrap(), peer.parse().unwrap()));
            let is_local = guard::is_local(&headers, Version::HTTP_11, of);
            assert_eq!(Access::of(&headers, is_local, &token, &sessions), expected, "{own} {peer} {given:?}");
        }
    }

    #[test]
    fn what_a_page_of_somebody_else_sends_is_told_from_what_ours_does() {
        let host = ("host", "localhost:9101");
        for (method, given, expected) in [
            (Method::POST, &[host, ("sec-fetch-site", "same-origin"), ("origin", "null")][..], false),
            (Method::POST, &[host, ("origin", "http://localhost:9101")], false),
            (Method::POST, &[host, ("origin", "null")], false),
            (Method::POST, &[host], false),
            (Method::POST, &[host, ("origin", "http://localhost:3000")], true),
            (Method::POST, &[host, ("origin", "https://evil.example")], true),
            (Method::POST, &[host, ("origin", "no url")], true),
            (
                Method::POST,
                &[host, ("sec-fetch-site", "same-site"), ("origin", "http://localhost:3000")],
                true,
            ),
            (Method::POST, &[host, ("sec-fetch-site", "cross-site"), ("origin", "null")], true),
            (Method::POST, &[host, ("sec-fetch-site", "cross-site")], true),
            (Method::GET, &[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], false),
            (Method::GET, &[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], true),
            (Method::GET, &[host, ("sec-fetch-site", "same-site")], true),
            (Method::GET, &[host, ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors")], false),
            (Method::GET, &[host], false),
        ] {
            assert_eq!(is_foreign(&method, &headers(given)), expected, "{method} {given:?}");
        }
    }
}
