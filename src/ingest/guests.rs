//! Who is connected: how many over all, and how many from one address.
//!
//! Keeps: neither number is ever over its bound; a `Guest` that is dropped makes room.
//! Crowded, which is before it is full: for each that comes an idle one is given up (`idle`).
//! Full: the connection is shed, with a counted 503.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All connections of an edge. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Guests(Arc<House>);

#[derive(Debug)]
struct House {
    guests_max: usize,
    per_address_max: usize,
    inside: Mutex<Inside>,
    given_up: AtomicU64,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is no room for anybody.
    Full,
    /// Too many of this address are in already: nobody makes room for that.
    Address,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Guest {
    house: Guests,
    /// If it is counted by address.
    address: Option<IpAddr>,
}

impl Guests {
    /// With room for so many, over all and from one address.
    pub(super) fn new(guests_max: usize, per_address_max: usize) -> Self {
        Self(Arc::new(House {
            guests_max,
            per_address_max,
            inside: Mutex::default(),
            given_up: AtomicU64::new(0),
        }))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.hold().all
    }

    /// Whether nine of ten places are taken.
    pub(super) fn is_crowded(&self) -> bool {
        let max = self.0.guests_max;
        self.count() >= max - max / 10
    }

    /// One was asked to make room.
    pub(super) fn note_given_up(&self) {
        self.0.given_up.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were.
    pub(super) fn given_up(&self) -> u64 {
        self.0.given_up.load(Ordering::Relaxed)
    }

    /// Lets one in, if there is room. A proxy stands for many visitors: its connections are not counted by address.
    pub(super) fn admit(&self, address: IpAddr, is_proxy: bool) -> Result<Guest, Refused> {
        let address = (!is_proxy).then(|| household(address));
        let mut inside = self.hold();
        let of_address = address.and_then(|address| inside.by_address.get(&address));
        if of_address.is_some_and(|count| *count >= self.0.per_address_max) {
            return Err(Refused::Address);
        }
        if inside.all >= self.0.guests_max {
            return Err(Refused::Full);
        }
        if let Some(address) = address {
            *inside.by_address.entry(address).or_default() += 1;
        }
        inside.all += 1;
        drop(inside);
        Ok(Guest { house: self.clone(), address })
    }

    fn hold(&self) -> MutexGuard<'_, Inside> {
        self.0.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inside = self.house.hold();
        inside.all -= 1;
        let Some(address) = self.address else { return };
        if let Some(of_address) = inside.by_address.get_mut(&address) {
            *of_address -= 1;
            if *of_address == 0 {
                inside.by_address.remove(&address);
            }
        }
    }
}

/// Addresses that count as one: a subscriber has a whole IPv6 /64 to choose from.
fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_again_once_one_has_left() {
        let guests = Guests::new(3, 2);
        let [a, b, c] = ["203.0.113.1", "203.0.113.2", "203.0.113.3"].map(|text| text.parse().unwrap());
        let first = guests.admit(a, false).unwrap();
        let _second = guests.admit(a, false).unwrap();
        assert_eq!(guests.admit(a, false).err(), Some(Refused::Address), "two of one address");
        let _third = guests.admit(b, false).unwrap();
        assert_eq!(guests.admit(c, false).err(), Some(Refused::Full), "three over all");
        assert_eq!(
            guests.admit(a, false).err(),
            Some(Refused::Address),
            "nobody makes room for a third of one address"
        );
        drop(first);
        assert!(guests.admit(a, false).is_ok());
        assert_eq!(guests.count(), 2);
    }

    #[test]
    fn a_proxy_is_not_counted_by_address_but_over_all() {
        let guests = Guests::new(2, 1);
        let proxy = "192.0.2.1".parse().unwrap();
        let first = guests.admit(proxy, true).unwrap();
        let _second = guests.admit(proxy, true).unwrap();
        assert!(guests.admit(proxy, true).is_err(), "two over all");
        drop(first);
        assert_eq!(guests.count(), 1);
    }

    #[test]
    fn a_subscriber_is_one_address() {
        let guests = Guests::new(9, 1);
        let _one = guests.admit("2001:db8:1:2::3".parse().unwrap(), false).unwrap();
        assert!(guests.admit("2001:db8:1:2:ffff::4".parse().unwrap(), false).is_err());
        assert!(guests.admit("2001:db8:1:3::3".parse().unwrap(), false).is_ok());
    }
}
