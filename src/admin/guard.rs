//! Who may ask, and who may change something.

use std::fmt;
use std::net::IpAddr;

use http::header::{AUTHORIZATION, FORWARDED, HOST, VIA};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Version};
use subtle::ConstantTimeEq;

/// What changes must show, as `Authorization: Bearer TOKEN`. Never shown itself.
#[derive(Clone)]
pub struct Token(Box<str>);

impl Token {
    /// This one. An empty token lets nobody in.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether this is it; the time that takes says nothing about how much of it is right.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let is_right: bool = given.trim_ascii().ct_eq(self.0.as_bytes()).into();
        !self.0.is_empty() && is_right
    }

    /// Whether the request shows it; the time that takes says nothing about how much of it is right.
    pub(super) fn is_shown(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else { return false };
        let given = given.as_bytes();
        let Some((scheme, token)) = given.split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") & self.is(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Whether the one Host header names an address, `localhost`, or one of `hosts`. A name of a stranger that leads here
/// (DNS rebinding) is none of these.
pub(super) fn is_ours(headers: &HeaderMap, hosts: &[String]) -> bool {
    let Some(host) = host(headers) else { return false };
    host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(&host))
}

/// What says that a request came through a proxy.
const BEHIND_A_PROXY: [HeaderName; 5] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
];

/// Whether `peer` asks from this machine, at a listener that only it can reach (`own`), by a name that only it has.
///
/// What comes through a proxy does not. One that was told nothing but where to go says nothing of itself either; but nginx
/// then asks by HTTP/1.0, which no browser and no program of today does.
pub(super) fn is_local(headers: &HeaderMap, version: Version, (own, peer): (IpAddr, IpAddr)) -> bool {
    let is_direct =
        version > Version::HTTP_10 && !BEHIND_A_PROXY.iter().any(|name| headers.contains_key(name));
    own.is_loopback() && peer.to_canonical().is_loopback() && is_direct && is_loopback(headers)
}

/// Whether the one Host header names this machine as only this machine does.
fn is_loopback(headers: &HeaderMap) -> bool {
    host(headers).is_some_and(|host| {
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// What the one Host header says, without a port.
fn host(headers: &HeaderMap) -> Option<String> {
    let mut given = headers.get_all(HOST).iter();
    let (Some(given), None) = (given.next(), given.next()) else { return None };
    let authority = Authority::try_from(given.as_bytes()).ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some(bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token::new("hush-hush");
        for (given, expected) in [
            (&["Bearer hush-hush"][..], true),
            (&["bearer hush-hush "], true),
            (&["Bearer hush-hus"], false),
            (&["Bearer hush-hushh"], false),
            (&["Bearer "], false),
            (&["Basic hush-hush"], false),
            (&["hush-hush"], false),
            (&["Bearer hush-hush", "Bearer hush-hush"], false),
            (&[], false),
        ] {
            assert_eq!(token.is_shown(&headers(AUTHORIZATION, given)), expected, "{given:?}");
        }
        assert!(!Token::new("").is_shown(&headers(AUTHORIZATION, &["Bearer "])));
        assert_eq!(format!("{token:?}"), "Token(***)");
    }

    #[test]
    fn a_name_of_a_stranger_is_not_ours() {
        let hosts = ["metrics.example.org".to_owned()];
        for (given, expected) in [
            (&["127.0.0.1:9101"][..], true),
            (&["[::1]:9101"], true),
            (&["localhost"], true),
            (&["LOCALHOST:9101"], true),
            (&["Metrics.Example.org:9101"], true),
            (&["evil.example"], false),
            (&["127.0.0.1.evil.example"], false),
            (&["localhost@evil.example"], false),
            (&["localhost", "localhost"], false),
            (&[""], false),
            (&[], false),
        ] {
            assert_eq!(is_ours(&headers(HOST, given), &hosts), expected, "{given:?}");
        }
    }
}
