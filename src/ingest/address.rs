//! The visitor's address, how much of it is kept, and by which scheme the visitor came.
//!
//! In: the peer's address and the request's head. Out: the address of whoever is behind trusted proxies, cut as the
//! campaign's policy says, before anything is written.
//! Keeps: a header is believed only from a trusted proxy, and then only as far as the last proxy that is one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::visit::Fields;
use crate::event::click::KeptAddress;

/// Entries of a forwarding header that are looked at, from the right.
const HOPS_MAX: usize = 32;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How much of a visitor's address a campaign keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressPolicy {
    /// All of it.
    #[default]
    Full,
    /// The first 24 bits of an IPv4 address, the first 56 of an IPv6 address.
    Truncated,
    /// Nothing.
    None,
}

impl AddressPolicy {
    /// What is kept of `address`.
    pub fn keep(self, address: IpAddr) -> Option<KeptAddress> {
        match (self, address) {
            (Self::None, _) => None,
            (Self::Full, address) => Some(KeptAddress::full(address)),
            (Self::Truncated, IpAddr::V4(address)) => {
                let [a, b, c, _] = address.octets();
                Some(KeptAddress { address: Ipv4Addr::new(a, b, c, 0).into(), bits: 24 })
            }
            (Self::Truncated, IpAddr::V6(address)) => {
                let mut octets = address.octets();
                octets[7..].fill(0);
                Some(KeptAddress { address: Ipv6Addr::from(octets).into(), bits: 56 })
            }
        }
    }
}

/// An IPv4 address for one that came mapped into IPv6, as a dual-stack listener gives it.
pub(super) fn unmapped(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The address of the visitor.
pub(super) fn visitor(peer: IpAddr, trusted: &[IpNet], fields: &Fields<'_>, headers: &HeaderMap) -> IpAddr {
    if trusted.is_empty() || !is_trusted(peer, trusted) {
        return peer;
    }
    let named = match (fields.has_x_forwarded_for, fields.has_forwarded) {
        (true, _) => X_FORWARDED_FOR,
        (false, true) => FORWARDED,
        (false, false) => return peer,
    };
    // Several fields read as one list (RFC 9110, 5.3), so the last entry of the last field is the nearest.
    let hops = headers.get_all(&named).iter().rev().flat_map(entries).take(HOPS_MAX);
    let mut nearest = peer;
    for hop in hops {
        let hop = if named == X_FORWARDED_FOR { hop } else { hop.and_then(|hop| parameter(hop, "for")) };
        // What is not an address (`unknown`, an obfuscated name) was put there by a proxy that we trust; whoever is
        // behind it cannot be told.
        let Some(address) = hop.and_then(parse) else { break };
        nearest = address;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    nearest
}

/// Whether a proxy that is trusted says that it was asked by https; nothing where none says anything. The nearest one counts,
/// as the last in a list.
pub(super) fn by_https(
    peer: IpAddr,
    trusted: &[IpNet],
    fields: &Fields<'_>,
    headers: &HeaderMap,
) -> Option<bool> {
    if trusted.is_empty()
        || !(fields.forwarded_proto.is_some() || fields.has_forwarded)
        || !is_trusted(peer, trusted)
    {
        return None;
    }
    let proto = match fields.forwarded_proto {
        Some(value) => entries(value).next()?,
        None => {
            let last = headers.get_all(FORWARDED).iter().next_back()?;
            entries(last).next()?.and_then(|element| parameter(element, "proto"))
        }
    };
    match proto?.trim() {
        proto if proto.eq_ignore_ascii_case("https") => Some(true),
        proto if proto.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// The entries of a list, the last one first; nothing for one that is no text. What a stranger has put in front of what a
/// proxy says must not hide that.
fn entries(field: &HeaderValue) -> impl Iterator<Item = Option<&str>> {
    field.as_bytes().rsplit(|byte| *byte == b',').map(|entry| std::str::from_utf8(entry).ok())
}

/// A parameter of one element of a `Forwarded` field.
fn parameter<'e>(element: &'e str, wanted: &str) -> Option<&'e str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

/// An address with or without a port, an IPv6 address with or without brackets.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(unmapped(address));
    }
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => text.split_once(':')?.0,
    };
    bare.parse().ok().map(unmapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        visitor(peer.parse().unwrap(), &trusted, &Fields::of(&map), &map).to_string()
    }

    #[test]
    fn a_header_is_believed_only_from_a_trusted_proxy() {
        let spoofed = ("x-forwarded-for", "198.51.100.1");
        assert_eq!(seen("203.0.113.9", &[spoofed]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &[spoofed]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_right_most_untrusted_entry_is_the_visitor() {
        let cases = [
            ("1.1.1.1, 198.51.100.1", "198.51.100.1"),
            ("1.1.1.1, 198.51.100.1, 10.1.1.1", "198.51.100.1"),
            ("1.1.1.1, nonsense, 10.1.1.1", "10.1.1.1"),
            ("198.51.100.1:4711", "198.51.100.1"),
            ("[2001:db9::1]:80", "2001:db9::1"),
            ("2001:db9::1", "2001:db9::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("10.2.2.2", "10.2.2.2"),
            ("", "10.0.0.1"),
        ];
        for (value, visitor) in cases {
            assert_eq!(seen("10.0.0.1", &[("x-forwarded-for", value)]), visitor, "{value}");
        }
        let two = [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "10.1.1.1")];
        assert_eq!(seen("10.0.0.1", &two), "198.51.100.7");
    }

    /// A proxy adds what it knows behind whatever it was sent.
    #[test]
    fn bytes_that_are_no_text_hide_nobody() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let seen = |name: &'static str, value: &[u8]| {
            let value = HeaderValue::from_bytes(value).unwrap();
            let map = HeaderMap::from_iter([(HeaderName::from_static(name), value)]);
            visitor([10, 0, 0, 1].into(), &trusted, &Fields::of(&map), &map).to_string()
        };
        assert_eq!(seen("x-forwarded-for", b"\xff, 198.51.100.1"), "198.51.100.1");
        assert_eq!(seen("x-forwarded-for", b"\xff"), "10.0.0.1");
        assert_eq!(seen("forwarded", b"for=\xff, for=198.51.100.1"), "198.51.100.1");
        let proto = HeaderValue::from_bytes(b"\xff, https").unwrap();
        let map = HeaderMap::from_iter([(HeaderName::from_static("x-forwarded-proto"), proto)]);
        assert_eq!(by_https([10, 0, 0, 1].into(), &trusted, &Fields::of(&map), &map), Some(true));
    }

    #[test]
    fn the_standard_header_is_read_where_the_common_one_is_missing() {
        let cases = [
            ("for=198.51.100.1;proto=https", "198.51.100.1"),
            ("For=\"[2001:db9::1]:4711\", for=10.1.1.1", "2001:db9::1"),
            ("for=_hidden", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ];
        for (value, visitor) in cases {
            assert_eq!(seen("10.0.0.1", &[("forwarded", value)]), visitor, "{value}");
        }
    }

    #[test]
    fn the_nearest_proxy_says_by_which_scheme_it_was_asked() {
        let said = |peer: &str, headers: &[(&'static str, &str)]| {
            let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            by_https(peer.parse().unwrap(), &trusted, &Fields::of(&map), &map)
        };
        let proto = "x-forwarded-proto";
        for (headers, expected) in [
            (&[(proto, "https")][..], Some(true)),
            (&[(proto, "HTTP")], Some(false)),
            (&[(proto, "https, http")], Some(false)),
            (&[(proto, "http"), (proto, "https")], Some(true)),
            (&[(proto, "wss")], None),
            (&[("forwarded", "for=198.51.100.1;proto=https")], Some(true)),
            (&[("forwarded", "proto=https, for=10.1.1.1;Proto=\"http\"")], Some(false)),
            (&[("forwarded", "for=198.51.100.1")], None),
            (&[], None),
        ] {
            assert_eq!(said("10.0.0.1", headers), expected, "{headers:?}");
            assert_eq!(said("203.0.113.9", headers), None, "a stranger is not believed: {headers:?}");
        }
    }

    #[test]
    fn a_policy_keeps_what_it_says() {
        let v4: IpAddr = "203.0.113.77".parse().unwrap();
        let v6: IpAddr = "2001:db8:1:2ff:3:4:5:6".parse().unwrap();
        let text = |kept: Option<KeptAddress>| kept.map(|kept| format!("{}/{}", kept.address, kept.bits));
        assert_eq!(text(AddressPolicy::Full.keep(v4)).as_deref(), Some("203.0.113.77/32"));
        assert_eq!(text(AddressPolicy::Truncated.keep(v4)).as_deref(), Some("203.0.113.0/24"));
        assert_eq!(text(AddressPolicy::Truncated.keep(v6)).as_deref(), Some("2001:db8:1:200::/56"));
        assert_eq!(AddressPolicy::None.keep(v6), None);
    }
}
