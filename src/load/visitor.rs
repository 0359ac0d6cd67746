//! The people who seem to click: each with an address and a browser of their own.
//!
//! In: a seed and how many there are. Out: for the number of a request, its visitor, always the same one.
//! Keeps: two visitors never have one address; no address is private, reserved or for documentation, because a
//! server may treat those as a proxy's.
//! Not here: how a visitor appears in a request (`request`).

use std::net::Ipv4Addr;

/// Visitors of one run.
pub const VISITORS_MAX: u32 = 1 << 30;

/// First octets whose networks are ordinary public ones: 64 times 2^24 addresses are enough for all visitors.
const FIRST_OCTETS: [(u8, u8); 3] = [(64, 36), (104, 23), (128, 5)];

/// Browsers as they name themselves, on desktops and on telephones.
const AGENTS: [&str; 20] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 OPR/122.0.0.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.7339.101 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Android 15; Mobile; rv:142.0) Gecko/142.0 Firefox/142.0",
    "Mozilla/5.0 (Linux; Android 13; SM-A536B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/139.0.7258.158 Mobile Safari/537.36",
];

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// Below the number of visitors.
    pub(crate) number: u32,
    pub(crate) address: Ipv4Addr,
    pub(crate) agent: &'static str,
}

/// All of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitors {
    pub(crate) count: u32,
    pub(crate) seed: u64,
}

impl Visitors {
    /// The visitor with this number.
    pub(crate) fn visitor(self, number: u32) -> Visitor {
        let mixed = mix(self.seed ^ u64::from(number).wrapping_mul(GAMMA));
        let agent = AGENTS.get(below(mixed, 20) as usize).copied().unwrap_or_default();
        // An odd factor and a shift take the numbers below 2^30 to each other, no two to the same one.
        let place =
            number.wrapping_mul(0x9E37_79B1).wrapping_add(below(mix(self.seed), u32::MAX)) % VISITORS_MAX;
        Visitor { number, address: address(place), agent }
    }
}

/// The address at a place below 2^30.
fn address(place: u32) -> Ipv4Addr {
    let [d, c, b, first] = place.to_le_bytes();
    let mut left = first;
    for (start, len) in FIRST_OCTETS {
        if left < len {
            return Ipv4Addr::new(start + left, b, c, d);
        }
        left -= len;
    }
    unreachable!("the ranges hold 64 first octets")
}

/// Chance that can be repeated: the draws of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance(u64);

/// The step of SplitMix64.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

impl Chance {
    /// The draws of request `number`: the same for the same seed, whichever thread sends it.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        Self(mix(seed).wrapping_add(mix(number.wrapping_mul(GAMMA))))
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        below(self.draw(), bound)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// `random` brought below `bound` (Lemire); uneven by less than 2^-32.
fn below(random: u64, bound: u32) -> u32 {
    u32::try_from((u128::from(random) * u128::from(bound)) >> 64).unwrap_or(0)
}

const _: () = assert!(AGENTS.len() == 20, "the draw of an agent is below 20");

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_visitors_have_one_address() {
        for (seed, count) in [(0, 200_000), (7, VISITORS_MAX)] {
            let visitors = Visitors { count, seed };
            // Both ends of the range, and steps through it.
            let numbers = (0..100_000).chain(count - 100_000..count);
            let addresses: HashSet<_> = numbers.map(|number| visitors.visitor(number).address).collect();
            assert_eq!(addresses.len(), 200_000, "seed {seed}");
        }
    }

    #[test]
    fn visitors_come_from_public_networks_with_each_browser() {
        let visitors = Visitors { count: VISITORS_MAX, seed: 3 };
        let some: Vec<_> = (0..VISITORS_MAX).step_by(10_007).map(|number| visitors.visitor(number)).collect();
        for visitor in &some {
            let [first, ..] = visitor.address.octets();
            assert!(matches!(first, 64..=99 | 104..=126 | 128..=132), "{visitor:?}");
        }
        let agents: HashSet<_> = some.iter().map(|visitor| visitor.agent).collect();
        assert_eq!(agents.len(), AGENTS.len());
    }

    #[test]
    fn a_seed_says_who_comes_and_another_says_otherwise() {
        let draws = |seed| (0..50).map(|n| Chance::of(seed, n).below(1_000_000)).collect::<Vec<_>>();
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let one = |seed| Visitors { count: 1000, seed }.visitor(17);
        assert_eq!(one(1), one(1));
        assert_ne!(one(1), one(2));
    }

    #[test]
    fn a_draw_stays_below_its_bound_and_reaches_it() {
        assert_eq!((below(0, 5), below(u64::MAX, 5), below(u64::MAX, 1)), (0, 4, 0));
    }
}
