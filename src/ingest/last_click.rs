//! The last click of an address, for pixels that come without a click id and without a cookie.
//!
//! Keeps: written only while some network wants it; a bounded table of atomics, made when it is first written; who falls on
//! another's place takes it. Not persisted: a restart begins anew. What is found is only where a click may be: its record
//! says whether it is the one.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::hot::mix;
use crate::event::click_id::Place;

/// Addresses that are remembered: 4 MiB.
const PLACES: usize = 1 << 18;

/// See the module.
#[derive(Debug)]
pub(super) struct LastClicks {
    seed: u64,
    places: OnceLock<Box<[Slot]>>,
}

/// Two numbers that belong together are written one after the other: `check` is the address's hash and the click mixed, so
/// halves of two writes are recognised as such.
#[derive(Debug, Default)]
struct Slot {
    click: AtomicU64,
    check: AtomicU64,
}

impl LastClicks {
    /// `seed` hides who falls on whose place.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, places: OnceLock::new() }
    }

    pub(super) fn note(&self, address: IpAddr, click: Place) {
        let hash = self.hash(address);
        let places = self.places.get_or_init(|| (0..PLACES).map(|_| Slot::default()).collect());
        if let Some(slot) = slot(places, hash) {
            let packed = click.packed();
            slot.click.store(packed, Ordering::Relaxed);
            slot.check.store(packed ^ hash, Ordering::Relaxed);
        }
    }

    pub(super) fn find(&self, address: IpAddr) -> Option<Place> {
        let hash = self.hash(address);
        let slot = slot(self.places.get()?, hash)?;
        let packed = slot.click.load(Ordering::Relaxed);
        let check = slot.check.load(Ordering::Relaxed);
        (packed ^ hash == check).then(|| Place::from_packed(packed)).flatten()
    }

    fn hash(&self, address: IpAddr) -> u64 {
        let number = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let [low, high] =
            [number, number >> 64].map(|part| u64::try_from(part & u128::from(u64::MAX)).unwrap_or(0));
        mix(mix(self.seed ^ low) ^ high)
    }
}

fn slot(places: &[Slot], hash: u64) -> Option<&Slot> {
    places.get(usize::try_from(hash >> 32).ok()? % places.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_click_of_an_address_is_found_and_no_other() {
        let clicks = LastClicks::new(7);
        let [home, other]: [IpAddr; 2] = ["203.0.113.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        assert_eq!(clicks.find(home), None);
        for ordinal in 0..3 {
            clicks.note(home, Place::new(1, 2, 3, ordinal, 9).unwrap());
        }
        assert_eq!(clicks.find(home), Some(Place::new(1, 2, 3, 2, 0).unwrap()));
        assert_eq!(clicks.find(other), None);
    }

    #[test]
    fn who_falls_on_another_s_place_takes_it_and_is_not_taken_for_it() {
        let clicks = LastClicks::new(7);
        let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(n));
        let count = u32::try_from(2 * PLACES).unwrap();
        (0..count).for_each(|n| clicks.note(address(n), Place::new(0, 0, 0, n, 0).unwrap()));
        let mut found = 0;
        for n in 0..count {
            if let Some(place) = clicks.find(address(n)) {
                assert_eq!(place.ordinal(), n);
                found += 1;
            }
        }
        assert!(found > PLACES / 2 && found <= PLACES, "{found}");
    }
}
