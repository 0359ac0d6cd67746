//! The name of a request, by which a network, its proxy and our log speak of the same one.
//!
//! In: a head. Out: what a trusted proxy calls the request, or else a name that is made up.
//! Keeps: what stands in the log and in an answer has at most `BYTES_MAX` letters, digits, `.`, `_` and `-`.
//! Refuses: a name that somebody else gives, who could call many requests the same.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::address::is_trusted;
use crate::event::hex;

/// Where it stands, in requests and in answers.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of a name that a proxy gives.
const BYTES_MAX: usize = 64;

/// The name of the request with this head, from this peer.
pub(super) fn request_id(peer: IpAddr, trusted: &[IpNet], headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(X_REQUEST_ID).filter(|_| is_trusted(peer, trusted));
    given.filter(|given| is_name(given.as_bytes())).cloned().unwrap_or_else(made_up)
}

fn is_name(bytes: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(is_plain)
}

fn made_up() -> HeaderValue {
    let mut random = [0; 16];
    // Without chance the name says little, and the answer is worth more.
    let _as_zeros = getrandom::fill(&mut random);
    HeaderValue::from_str(&hex(&random)).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_names_a_request_and_only_plainly() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let (proxy, stranger) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        let named = |peer, name: &str| {
            let headers = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_str(name).unwrap())]);
            request_id(peer, &trusted, &headers).to_str().unwrap().to_owned()
        };
        assert_eq!(named(proxy, "a1-B_2.c"), "a1-B_2.c");
        for (peer, name) in [(stranger, "a1"), (proxy, "a b"), (proxy, ""), (proxy, &"a".repeat(65))] {
            let made = named(peer, name);
            assert!(made != name && made.len() == 32, "{made}");
        }
        assert_ne!(named(stranger, "a"), named(stranger, "a"));
    }
}
