//! The host of a URL: an address, or a name to be resolved.
//!
//! In: the URI that the client is given, and no other text, so that what is checked is what is called. Out: an address
//! however it is written, or a plain name.
//! Keeps: what some resolver would take for a number (`2130706433`, `0x7f.1`, `0177.0.0.1`, `127.1`) is read as the address
//! that browsers and the C library take it for (WHATWG URL, 3.5), so that no spelling hides it.
//! Refuses: numbers that are no address, zone ids, user names, escapes, and names that are not in ASCII: those are
//! written in their `xn--` form in a URL, and a full-width digit is none to us.
//! Not here: which addresses are allowed (`guard`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// The longest name that DNS has.
const NAME_BYTES_MAX: usize = 253;

/// Where a URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// To an address, to be checked as it is.
    Address(IpAddr),
    /// To whatever this name resolves to, lower case and without a dot at its end.
    Name(Box<str>),
}

/// Why a host is none that can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is none.
    #[error("the URL has no host")]
    Missing,
    /// There is a user name or a password in front of it.
    #[error("the URL has a user name before its host")]
    UserInfo,
    /// It looks like an address and is none.
    #[error("the host is no address")]
    Address,
    /// It is not a name that DNS could know.
    #[error("the host is no name: letters, digits, hyphens and dots (others in their xn-- form)")]
    Name,
}

/// Reads the host of a URL.
///
/// # Errors
/// It has none, or none that is plain.
pub fn host_of(uri: &Uri) -> Result<Host, HostError> {
    let authority = uri.authority().ok_or(HostError::Missing)?;
    if authority.as_str().contains('@') {
        return Err(HostError::UserInfo);
    }
    read(authority.host())
}

/// Reads a host, IPv6 in brackets.
///
/// # Errors
/// It is none that is plain.
pub fn read(host: &str) -> Result<Host, HostError> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(HostError::Address)?;
        // A zone (`fe80::1%eth0`) does not parse.
        return inner.parse::<Ipv6Addr>().map(|v6| Host::Address(v6.into())).map_err(|_| HostError::Address);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    match name.rsplit('.').next() {
        None | Some("") if name.is_empty() => Err(HostError::Missing),
        Some(last) if is_numeric(last) => {
            v4(name).map(|v4| Host::Address(v4.into())).ok_or(HostError::Address)
        }
        _ if is_name(name) => Ok(Host::Name(name.to_ascii_lowercase().into())),
        _ => Err(HostError::Name),
    }
}

fn is_name(name: &str) -> bool {
    // The underscore is in no host name by the book, and in many by practice.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_plain);
    name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label)
}

/// Whether a last label makes the whole an address: digits, or hexadecimal ones behind `0x`.
fn is_numeric(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()) || number(label).is_some()
}

/// One to four numbers, the last of which fills what is left.
fn v4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    let (last, first) = parts.split_last()?;
    if first.len() > 3 {
        return None;
    }
    let mut bits: u32 = 0;
    for part in first {
        bits = bits << 8 | u32::from(u8::try_from(number(part)?).ok()?);
    }
    let left = 32 - 8 * u32::try_from(first.len()).ok()?;
    let (high, low) = (u64::from(bits) << left, number(last)?);
    let whole = if low >> left == 0 { high | low } else { return None };
    u32::try_from(whole).ok().map(Ipv4Addr::from_bits)
}

/// Decimal, octal behind `0`, hexadecimal behind `0x`, where nothing is zero.
fn number(text: &str) -> Option<u64> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hex, text.strip_prefix('0')) {
        (Some(""), _) => return Some(0),
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        (None, _) => (text, 10),
    };
    // `from_str_radix` takes a sign too.
    let is_digits = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    if is_digits { u64::from_str_radix(digits, radix).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dispatcher::guard;

    fn of(url: &str) -> Result<Host, HostError> {
        host_of(&url.parse().map_err(|_| HostError::Name)?)
    }

    #[test]
    fn an_address_is_found_however_it_is_written() {
        for host in [
            "127.0.0.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "017700000001",
            "0177.0.0.01",
            "127.1",
            "127.0.1",
            "0x7f.0x0.0x0.0x1",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
        ] {
            for url in
                [format!("http://{host}/a?b=c"), format!("https://{host}:8443/"), format!("http://{host}")]
            {
                let Ok(Host::Address(address)) = of(&url) else { panic!("{url}: {:?}", of(&url)) };
                assert_eq!(guard::check(address, &[]).unwrap_err().range, "loopback", "{url}");
            }
        }
    }

    #[test]
    fn what_is_neither_an_address_nor_a_plain_name_is_refused() {
        for url in [
            "http://[fe80::1%25eth0]/",
            "http://[fe80::1%eth0]/",
            "http://[::1/",
            "http://256.1.1.1/",
            "http://1.2.3.4.5/",
            "http://4294967296/",
            "http://127.0.0.1..",
            "http://1..1/",
            "http://example.08/",
            "http://0x7f.0x/.1",
            "http://user@example.com/",
            "http://example.com@127.0.0.1/",
            "http://user:password@example.com/",
            "http://example.com\\@127.0.0.1/",
            "http://%31%32%37.0.0.1/",
            "http://１２７.0.0.1/",
            "http://127。0。0。1/",
            "http://bücher.example/",
            "http://a..example/",
            "http://.example/",
            "http://exa mple/",
            "/path",
            "http:///",
        ] {
            assert!(!matches!(of(url), Ok(Host::Name(_))), "{url}: {:?}", of(url));
        }
        // Read as zero, as elsewhere: an address, and refused as one.
        assert_eq!(of("http://0x/"), Ok(Host::Address(Ipv4Addr::UNSPECIFIED.into())));
    }

    #[test]
    fn a_plain_name_is_a_name() {
        let long = format!("{0}.{0}.{0}.example", "a".repeat(63));
        let table = [
            ("ads.example.net", "ads.example.net"),
            ("ADS.Example.NET.", "ads.example.net"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("localhost", "localhost"),
            ("1e100.net", "1e100.net"),
            ("0x7f.example", "0x7f.example"),
            ("a_b.example", "a_b.example"),
            (&long, &long),
        ];
        for (host, expected) in table {
            assert_eq!(of(&format!("https://{host}/x")), Ok(Host::Name(expected.into())), "{host}");
        }
        assert_eq!(read(&format!("{}.example", "a".repeat(64))), Err(HostError::Name));
        assert_eq!(read(&format!("{long}.{long}")), Err(HostError::Name));
    }

    /// One part in one of its spellings.
    fn spelled(value: u32, spelling: u8) -> String {
        match spelling % 4 {
            0 => format!("{value}"),
            1 => format!("0x{value:x}"),
            2 => format!("0X{value:X}"),
            _ => format!("0{value:o}"),
        }
    }

    proptest! {
        #[test]
        fn every_spelling_of_an_address_is_what_browsers_take_it_for(
            bits: u32, spellings: [u8; 4], parts in 1usize..=4, dot: bool,
        ) {
            let mut left = bits;
            let mut text = Vec::new();
            for spelling in &spellings[1..parts] {
                text.push(spelled(left >> 24, *spelling));
                left <<= 8;
            }
            text.push(spelled(left >> (8 * (parts - 1)), spellings[0]));
            let host = text.join(".") + if dot { "." } else { "" };
            let expected = Host::Address(Ipv4Addr::from_bits(bits).into());
            prop_assert_eq!(of(&format!("http://{host}/")), Ok(expected), "{}", host);
            let browser = url::Url::parse(&format!("http://{host}/")).unwrap();
            prop_assert_eq!(browser.host(), Some(url::Host::Ipv4(Ipv4Addr::from_bits(bits))));
        }

        /// Whatever we take for a name, a browser's parser does not take for an address, nor the standard library, which
        /// the client asks whether it needs a resolver.
        #[test]
        fn nothing_that_we_call_a_name_is_an_address_to_others(host in "[0-9a-fxX.:\\[\\]%_-]{1,20}") {
            if let Ok(Host::Name(name)) = read(&host) {
                prop_assert!(name.parse::<IpAddr>().is_err() && host.parse::<IpAddr>().is_err());
                if let Ok(url) = url::Url::parse(&format!("http://{host}/")) {
                    prop_assert!(matches!(url.host(), Some(url::Host::Domain(_))), "{}: {:?}", host, url.host());
                }
            }
        }

        #[test]
        fn what_a_browser_takes_for_an_address_we_do_not_take_for_another(host in "[0-9a-fxX.]{1,16}") {
            if let Ok(url) = url::Url::parse(&format!("http://{host}/"))
                && let Some(url::Host::Ipv4(v4)) = url.host()
            {
                prop_assert_eq!(read(&host), Ok(Host::Address(v4.into())));
            }
        }
    }
}
