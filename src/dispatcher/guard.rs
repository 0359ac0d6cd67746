//! Where a delivery may go: public addresses, and others only where its destination allows them.
//!
//! In: an address, whether it was resolved from a name, written in the URL, or is that of the connected peer: one
//! function for all three. Out: yes, or which range it is in.
//! Keeps: no address that means another one slips by: mapped and translated IPv4 is looked at as the IPv4 that it
//! reaches, and tunnels (6to4, Teredo), which would have to be unpacked, are refused whole.
//! Refuses: all of IANA's special-purpose registries, multicast, what is not allocated, and the metadata services of clouds.
//! Not here: reading hosts out of URLs (`host`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// An address that must not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is not public ({range}): allow it at the destination, if it is meant")]
pub struct Forbidden {
    /// The address, as it was given.
    pub address: IpAddr,
    /// What it is.
    pub range: &'static str,
}

/// Checks an address against what is public, and what the destination allows besides.
///
/// # Errors
/// The range that it is in.
pub fn check(address: IpAddr, allowed: &[IpNet]) -> Result<(), Forbidden> {
    let reached = reached(address);
    let allows = |wanted: IpAddr| allowed.iter().any(|net| net.contains(&wanted));
    if is_metadata(reached) {
        // A wide range is hardly meant to hold the one address that gives away the machine's own credentials.
        let is_meant = |net: &IpNet| net.prefix_len() == net.max_prefix_len() && net.addr() == reached;
        if allowed.iter().any(is_meant) {
            return Ok(());
        }
        return Err(Forbidden { address, range: "metadata service of a cloud" });
    }
    match special(reached) {
        Some(range) if !allows(reached) => Err(Forbidden { address, range }),
        _ => Ok(()),
    }
}

/// What a packet to this address arrives at.
fn reached(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(mapped) = v6.to_ipv4_mapped() {
        return mapped.into();
    }
    // A translator (RFC 6052) sends it on to the IPv4 address in the last 32 bits.
    if TRANSLATED.contains(&v6) {
        let [.., a, b, c, d] = v6.octets();
        return Ipv4Addr::new(a, b, c, d).into();
    }
    address
}

/// What speaks against this address, if anything does.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => SPECIAL_V4.iter().find(|(net, _)| net.contains(&v4)).map(|(_, range)| *range),
        IpAddr::V6(v6) => match SPECIAL_V6.iter().find(|(net, _)| net.contains(&v6)) {
            Some((_, range)) => Some(range),
            None if !GLOBAL_UNICAST.contains(&v6) => Some("not allocated"),
            None => None,
        },
    }
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => METADATA_V6.contains(&v6),
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// The network with these first segments.
const fn v6(first: [u16; 3], prefix: u8) -> Ipv6Net {
    let [a, b, c] = first;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// All that IANA has allocated for everybody so far. What is outside is refused even where no registry names it.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0], 3);

/// The well-known prefix of translators from IPv6 to IPv4.
const TRANSLATED: Ipv6Net = v6([0x64, 0xff9b, 0], 96);

/// EC2 and most others, ECS tasks, Alibaba, Oracle, and Azure's, which has a public address.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// EC2, EKS, Google.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// IANA's IPv4 special-purpose registry, also what it calls reachable (nobody takes conversions there), and multicast.
const SPECIAL_V4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared by a carrier"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "IETF protocols"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 31, 196, 0, 24), "AS112"),
    (v4(192, 52, 193, 0, 24), "AMT"),
    (v4(192, 88, 99, 0, 24), "6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(192, 175, 48, 0, 24), "AS112"),
    (v4(198, 18, 0, 0, 15), "benchmarks"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved or broadcast"),
];

/// IANA's IPv6 special-purpose registry, what it was before, and multicast. `::ffff:0:0/96` and `64:ff9b::/96` do not
/// get here (`reached`).
const SPECIAL_V6: &[(Ipv6Net, &str)] = &[
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), "unspecified"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "loopback"),
    (v6([0, 0, 0], 96), "IPv4-compatible"),
    (v6([0x64, 0xff9b, 1], 48), "local translation to IPv4"),
    (v6([0x100, 0, 0], 64), "discarded"),
    (Ipv6Net::new_assert(Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 0), 64), "dummy"),
    (v6([0x2001, 0, 0], 32), "Teredo"),
    (v6([0x2001, 2, 0], 48), "benchmarks"),
    (v6([0x2001, 0, 0], 23), "IETF protocols"),
    (v6([0x2001, 0xdb8, 0], 32), "documentation"),
    (v6([0x2002, 0, 0], 16), "6to4"),
    (v6([0x2620, 0x4f, 0x8000], 48), "AS112"),
    (v6([0x3fff, 0, 0], 20), "documentation"),
    (v6([0x5f00, 0, 0], 16), "segment routing"),
    (v6([0xfc00, 0, 0], 7), "unique local"),
    (v6([0xfe80, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0], 8), "multicast"),
];

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
