//! What is known against a click: labels, never a reason to drop it.
//!
//! In: user agent, address, campaign, time. Out: `Labels`.
//! Keeps: the table of visitors has a fixed size; full, it forgets the oldest of a few, so a duplicate may pass as
//! new, and a new click as a duplicate only if 40 bits of a keyed hash agree.
//! Not here: where the lists come from (`config`).

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use ipnet::IpNet;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

#[cfg(feature = "geo")]
use super::geo::GeoDatabase;
use crate::clock::Timestamp;
use crate::event::click::Labels;

/// Places of the table of visitors by default: 8 MiB, about a million visitors at a time.
pub const VISITORS_DEFAULT: usize = 1 << 20;
/// Bytes of patterns up to which a list is compiled into the fastest form: some 200 bytes of memory for each.
const DFA_BYTES_MAX: usize = 64 * 1024;
/// Places that one visitor may be at.
const WAYS: usize = 4;

/// Lists of user agents and addresses that are not people.
#[derive(Debug, Default)]
pub struct Lists {
    /// No two have the same, but for those without anything in them, which have 0.
    number: u64,
    bots: Option<AhoCorasick>,
    excluded: Option<AhoCorasick>,
    browsers: Option<AhoCorasick>,
    data_centres: Ranges,
    #[cfg(feature = "geo")]
    geo: Vec<GeoDatabase>,
}

/// Why a list cannot be used: it has too much in it.
#[derive(Debug, thiserror::Error)]
#[error("the list of user agents cannot be compiled")]
pub struct ListError(#[from] aho_corasick::BuildError);

impl Lists {
    /// Patterns that a bot's user agent contains, patterns that clear it again, patterns of which a browser's has one
    /// (with none given, it need not), and networks of data centres.
    ///
    /// # Errors
    /// If there are too many patterns.
    pub fn new(
        bots: &[String],
        excluded: &[String],
        browsers: &[String],
        data_centres: &[IpNet],
    ) -> Result<Self, ListError> {
        let compile = |patterns: &[String]| -> Result<Option<AhoCorasick>, ListError> {
            if patterns.is_empty() {
                return Ok(None);
            }
            let bytes: usize = patterns.iter().map(String::len).sum();
            let compiled = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .kind((bytes <= DFA_BYTES_MAX).then_some(AhoCorasickKind::DFA))
                .build(patterns)?;
            Ok(Some(compiled))
        };
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Ok(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            bots: compile(bots)?,
            excluded: compile(excluded)?,
            browsers: compile(browsers)?,
            data_centres: Ranges::new(data_centres),
            #[cfg(feature = "geo")]
            geo: Vec::new(),
        })
    }

    /// The same, with databases of places; the first that knows an address decides.
    #[cfg(feature = "geo")]
    #[must_use]
    pub fn with_geo(self, geo: Vec<GeoDatabase>) -> Self {
        Self { geo, ..self }
    }

    /// Country and autonomous system of an address; zeros where they are not known.
    #[cfg(feature = "geo")]
    pub fn place(&self, address: IpAddr) -> ([u8; 2], u32) {
        let found = super::geo::find(&self.geo, address);
        (found.country, found.asn)
    }

    /// Country and autonomous system of an address; no build without the feature `geo` knows any.
    #[cfg(not(feature = "geo"))]
    pub fn place(&self, _: IpAddr) -> ([u8; 2], u32) {
        ([0; 2], 0)
    }

    /// What the lists have against a visitor.
    pub fn labels(&self, user_agent: &str, address: IpAddr) -> Labels {
        self.of_address(address).with(self.of_agent(user_agent))
    }

    fn of_agent(&self, user_agent: &str) -> Labels {
        if user_agent.is_empty() {
            return Labels::NO_USER_AGENT;
        }
        let has = |list: &Option<AhoCorasick>| list.as_ref().is_some_and(|list| list.is_match(user_agent));
        let is_stranger = self.browsers.is_some() && !has(&self.browsers);
        let is_bot = is_stranger || has(&self.bots) && !has(&self.excluded);
        if is_bot { Labels::BOT } else { Labels::default() }
    }

    pub(super) fn of_address(&self, address: IpAddr) -> Labels {
        if self.data_centres.contains(address) { Labels::DATA_CENTRE } else { Labels::default() }
    }
}

/// What a worker remembers of user agents: most visitors share a few hundred, and to search one costs as much as to
/// write a click.
#[derive(Debug)]
pub(super) struct Agents {
    /// Which lists it was said by.
    lists: u64,
    /// For each, the hash but for its last bits, which say what is held against it; 0 is nobody.
    places: Box<[u64]>,
}

/// A user agent, hashed with the key that nobody can aim at.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgentHash(u64);

impl Agents {
    /// User agents that are remembered; one that falls on another's place takes it. 32 KiB.
    const PLACES: usize = 4096;
    /// Of a hash, the bits in which labels are kept instead.
    const LABELS: u64 = 0xff;

    pub(super) fn new() -> Self {
        Self { lists: 0, places: vec![0; Self::PLACES].into() }
    }

    /// What the lists have against it.
    pub(super) fn labels(&mut self, lists: &Lists, hash: AgentHash, user_agent: &str) -> Labels {
        if self.lists != lists.number {
            self.places.fill(0);
            self.lists = lists.number;
        }
        let index = usize::try_from(hash.0 >> 8).unwrap_or(0) % Self::PLACES;
        let Some(place) = self.places.get_mut(index) else { return lists.of_agent(user_agent) };
        // A hash whose kept bits are all zero looks like nobody and is only slower.
        if *place & !Self::LABELS == hash.0 & !Self::LABELS && *place != 0 {
            return Labels::from_bits(u32::try_from(*place & Self::LABELS).unwrap_or(0));
        }
        let labels = lists.of_agent(user_agent);
        *place = hash.0 & !Self::LABELS | u64::from(labels.bits());
        labels
    }
}

/// Networks as ranges of addresses, sorted and apart, to be found by halving.
#[derive(Debug, Default)]
struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    fn new(networks: &[IpNet]) -> Self {
        let mut all: Vec<_> =
            networks.iter().map(|net| (number(net.network()), number(net.broadcast()))).collect();
        all.sort_unstable();
        let mut ranges: Vec<(u128, u128)> = Vec::with_capacity(all.len());
        for (start, end) in all {
            match ranges.last_mut() {
                Some(last) if start <= last.1.saturating_add(1) => last.1 = last.1.max(end),
                _ => ranges.push((start, end)),
            }
        }
        Self(ranges)
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = number(address);
        let after = self.0.partition_point(|(start, _)| *start <= address);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, end)| address <= *end)
    }
}

/// An address of either family as one number: IPv4 as it is mapped into IPv6.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Who has clicked lately. Shared by all workers.
#[derive(Debug)]
pub struct Visitors {
    /// For each, 40 bits of its hash over 24 bits of the second it was last seen in; 0 is nobody.
    places: Box<[AtomicU64]>,
    keys: (u64, u64),
}

impl Visitors {
    /// A table with this many places, rounded up to a power of two. `keys` make it hard to aim at one place.
    pub fn new(places: usize, keys: (u64, u64)) -> Self {
        let places = places.max(WAYS).next_power_of_two();
        Self { places: (0..places).map(|_| AtomicU64::new(0)).collect(), keys }
    }

    /// The hash of a user agent, for this and for `Agents`.
    pub(super) fn hash_agent(&self, user_agent: &str) -> AgentHash {
        let mut hasher = SipHasher13::new_with_keys(self.keys.1, self.keys.0);
        hasher.write(user_agent.as_bytes());
        AgentHash(hasher.finish())
    }

    /// Notes a click; says whether the same visitor clicked the same campaign less than `window` before.
    pub(super) fn is_repeat(
        &self,
        campaign: &str,
        address: IpAddr,
        agent: AgentHash,
        now: Timestamp,
        window: Duration,
    ) -> bool {
        if window.is_zero() {
            return false;
        }
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write_u128(number(address));
        hasher.write_u64(agent.0);
        hasher.write(campaign.as_bytes());
        let hash = hasher.finish();
        let tag = hash >> 24;
        // One more than the second, so that an empty place is not a visitor of hash 0 at second 0.
        let second = (u64::from(now.seconds()) & 0xff_ffff).max(1);
        let mask = self.places.len() - WAYS;
        let first = usize::try_from(hash).unwrap_or(0) & mask & !(WAYS - 1);
        let ways = self.places.get(first..first + WAYS).unwrap_or_default();
        let age = |place: u64| second.wrapping_sub(place) & 0xff_ffff;
        let (mut oldest, mut oldest_age) = (None, 0);
        for way in ways {
            let place = way.load(Ordering::Relaxed);
            if place >> 24 == tag && place != 0 {
                way.store(tag << 24 | second, Ordering::Relaxed);
                return age(place) < window.as_secs();
            }
            let age = if place == 0 { u64::MAX } else { age(place) };
            if age >= oldest_age {
                (oldest, oldest_age) = (Some(way), age);
            }
        }
        if let Some(way) = oldest {
            way.store(tag << 24 | second, Ordering::Relaxed);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bots_are_known_by_what_their_agent_contains() {
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let lists = Lists::new(
            &text(&["bot", "curl/"]),
            &text(&["cubot"]),
            &[],
            &["203.0.113.0/24".parse().unwrap()],
        )
        .unwrap();
        let home = "198.51.100.1".parse().unwrap();
        let cases = [
            ("Mozilla/5.0 Chrome/130", Labels::default()),
            ("GoogleBot/2.1", Labels::BOT),
            ("curl/8.5.0", Labels::BOT),
            ("Mozilla/5.0 (Linux; CUBOT NOTE) Chrome/130", Labels::default()),
            ("", Labels::NO_USER_AGENT),
        ];
        for (agent, labels) in cases {
            assert_eq!(lists.labels(agent, home), labels, "{agent}");
        }
        assert_eq!(lists.labels("Mozilla", "203.0.113.9".parse().unwrap()), Labels::DATA_CENTRE);
        assert_eq!(Lists::default().labels("bot", home), Labels::default());
    }

    #[test]
    fn what_is_remembered_of_an_agent_is_what_the_lists_say() {
        let list = |word: &str| Lists::new(&[word.to_owned()], &[], &[], &[]).unwrap();
        let (first, second) = (list("bot"), list("curl"));
        let visitors = Visitors::new(16, (1, 2));
        let mut agents = Agents::new();
        // More than there is room for, so that some take others' places.
        for round in 0..3 {
            for n in 0..2 * Agents::PLACES {
                let agent = ["Mozilla", "robot", "curl", ""][n % 4];
                let agent = if agent.is_empty() { String::new() } else { format!("{agent}/{n}") };
                for lists in [&first, &first, &second] {
                    let found = agents.labels(lists, visitors.hash_agent(&agent), &agent);
                    assert_eq!(found, lists.of_agent(&agent), "{agent} in round {round}");
                }
            }
        }
        let known = agents.labels(&first, visitors.hash_agent("robot"), "robot");
        let again = agents.labels(&first, visitors.hash_agent("robot"), "robot");
        assert_eq!((known, again), (Labels::BOT, Labels::BOT));
    }

    #[test]
    fn an_address_is_found_in_networks_that_touch_overlap_and_differ_in_family() {
        let nets = ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"];
        let ranges = Ranges::new(&nets.map(|net| net.parse().unwrap()));
        for (address, is_in) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.255.255.255", true),
            ("12.0.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8::1", true),
            ("2001:db9::", false),
            ("::", false),
        ] {
            assert_eq!(ranges.contains(address.parse().unwrap()), is_in, "{address}");
        }
    }

    #[test]
    fn a_second_click_within_the_window_is_a_repeat() {
        let visitors = Visitors::new(1024, (1, 2));
        let address: IpAddr = "203.0.113.7".parse().unwrap();
        let minute = Duration::from_secs(60);
        let seen = |campaign, agent, second| {
            let agent = visitors.hash_agent(agent);
            visitors.is_repeat(campaign, address, agent, Timestamp::from_seconds(second), minute)
        };
        assert!(!seen("spring", "a", 1_000));
        assert!(seen("spring", "a", 1_030));
        assert!(!seen("spring", "b", 1_030), "another visitor");
        assert!(!seen("autumn", "a", 1_030), "another campaign");
        assert!(seen("spring", "a", 1_089), "the window begins anew with each click");
        assert!(!seen("spring", "a", 1_150));
        assert!(!visitors.is_repeat(
            "spring",
            address,
            visitors.hash_agent("a"),
            Timestamp::from_seconds(1_150),
            Duration::ZERO
        ));
    }

    #[test]
    fn a_full_table_forgets_and_does_not_grow() {
        let visitors = Visitors::new(8, (1, 2));
        let minute = Duration::from_secs(60);
        for n in 0..1_000u32 {
            let address = std::net::Ipv4Addr::from_bits(n).into();
            visitors.is_repeat("c", address, visitors.hash_agent(""), Timestamp::from_seconds(5_000), minute);
        }
        assert_eq!(visitors.places.len(), 8);
    }
}
