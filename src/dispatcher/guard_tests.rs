//! Addresses in all their forms.

use proptest::prelude::*;

use super::*;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn range_of(address: &str) -> Option<&'static str> {
    check(address.parse().unwrap(), &[]).err().map(|forbidden| forbidden.range)
}

#[test]
fn the_ends_of_every_special_range_are_refused() {
    for (net, range) in SPECIAL_V4 {
        for address in [net.network(), net.broadcast()] {
            assert!(check(address.into(), &[]).is_err(), "{address} of {net} ({range})");
        }
    }
    for (net, range) in SPECIAL_V6 {
        for address in [net.network(), net.broadcast()] {
            assert!(check(address.into(), &[]).is_err(), "{address} of {net} ({range})");
        }
    }
}

#[test]
fn each_address_is_called_what_it_is() {
    let table = [
        ("0.0.0.0", "this network"),
        ("10.1.2.3", "private"),
        ("100.64.0.1", "shared by a carrier"),
        ("127.0.0.1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("198.19.255.255", "benchmarks"),
        ("203.0.113.9", "documentation"),
        ("239.255.255.255", "multicast"),
        ("255.255.255.255", "reserved or broadcast"),
        ("169.254.169.254", "metadata service of a cloud"),
        ("168.63.129.16", "metadata service of a cloud"),
        ("100.100.100.200", "metadata service of a cloud"),
        ("fd00:ec2::254", "metadata service of a cloud"),
        ("::ffff:169.254.169.254", "metadata service of a cloud"),
        ("64:ff9b::a9fe:a9fe", "metadata service of a cloud"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "IPv4-compatible"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b:1::8.8.8.8", "local translation to IPv4"),
        ("100::1", "discarded"),
        ("100:0:0:1::1", "dummy"),
        ("2001::1", "Teredo"),
        ("2001:2::1", "benchmarks"),
        ("2001:20::1", "IETF protocols"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::", "6to4"),
        ("3fff:fff::1", "documentation"),
        ("5f00::1", "segment routing"),
        ("4000::1", "not allocated"),
        ("fc00::1", "unique local"),
        ("fdff::1", "unique local"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ];
    for (address, range) in table {
        assert_eq!(range_of(address), Some(range), "{address}");
    }
}

#[test]
fn public_addresses_are_let_through_and_so_are_the_neighbours_of_special_ranges() {
    for address in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2003::1",
    ] {
        assert_eq!(range_of(address), None, "{address}");
    }
}

#[test]
fn a_destination_may_allow_a_range_in_whatever_form_the_address_comes() {
    let allowed = nets(&["10.0.0.0/8", "fd12::/16"]);
    for address in ["10.1.1.1", "::ffff:10.1.1.1", "64:ff9b::10.1.1.1", "fd12::1", "1.1.1.1"] {
        assert_eq!(check(address.parse().unwrap(), &allowed), Ok(()), "{address}");
    }
    for address in ["127.0.0.1", "fd13::1", "2002:0a01:0101::1"] {
        assert!(check(address.parse().unwrap(), &allowed).is_err(), "{address}");
    }
}

#[test]
fn a_metadata_service_is_allowed_only_by_itself() {
    let metadata = "169.254.169.254".parse().unwrap();
    assert!(check(metadata, &nets(&["0.0.0.0/0", "169.254.0.0/16", "169.254.169.254/31"])).is_err());
    assert_eq!(check(metadata, &nets(&["169.254.169.254/32"])), Ok(()));
}

proptest! {
    /// Against the standard library's own idea of some of the ranges, written otherwise.
    #[test]
    fn an_address_is_refused_in_all_its_forms_or_in_none(bits: u32) {
        let v4 = Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = v4.octets().map(u16::from);
        let translated = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a << 8 | b, c << 8 | d);
        let plain = check(v4.into(), &[]).err().map(|forbidden| forbidden.range);
        for other in [v4.to_ipv6_mapped(), translated] {
            prop_assert_eq!(check(other.into(), &[]).err().map(|forbidden| forbidden.range), plain);
        }
        prop_assert!(check(v4.to_ipv6_compatible().into(), &[]).is_err());
        let is_special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_broadcast()
            || v4.is_documentation() || v4.is_multicast() || v4.is_unspecified();
        prop_assert!(plain.is_some() || !is_special);
    }

    #[test]
    fn nothing_outside_global_unicast_is_let_through(bits: u128) {
        let v6 = Ipv6Addr::from_bits(bits);
        if check(v6.into(), &[]).is_ok() {
            prop_assert!(GLOBAL_UNICAST.contains(&v6) || TRANSLATED.contains(&v6) || v6.to_ipv4_mapped().is_some());
            prop_assert!(!v6.is_multicast() && !v6.is_loopback() && !v6.is_unique_local());
        }
    }
}
