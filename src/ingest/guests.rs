//! Who is connected: how many over all, and how many from one address.
//!
//! Keeps: neither number is ever over its bound; a `Guest` that is dropped makes room.
//! Full: the connection is shed, with a counted 503.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All connections of an edge. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Guests(Arc<House>);

#[derive(Debug)]
struct House {
    guests_max: usize,
    per_address_max: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Guest {
    house: Guests,
    address: IpAddr,
}

impl Guests {
    /// With room for so many, over all and from one address.
    pub(super) fn new(guests_max: usize, per_address_max: usize) -> Self {
        Self(Arc::new(House { guests_max, per_address_max, inside: Mutex::default() }))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.hold().all
    }

    /// Lets one in, if there is room.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Guest> {
        let address = household(address);
        let mut inside = self.hold();
        if inside.all >= self.0.guests_max {
            return None;
        }
        let of_address = inside.by_address.entry(address).or_default();
        if *of_address >= self.0.per_address_max {
            return None;
        }
        *of_address += 1;
        inside.all += 1;
        drop(inside);
        Some(Guest { house: self.clone(), address })
    }

    fn hold(&self) -> MutexGuard<'_, Inside> {
        self.0.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inside = self.house.hold();
        inside.all -= 1;
        if let Some(of_address) = inside.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                inside.by_address.remove(&self.address);
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
        let first = guests.admit(a).unwrap();
        let _second = guests.admit(a).unwrap();
        assert!(guests.admit(a).is_none(), "two of one address");
        let _third = guests.admit(b).unwrap();
        assert!(guests.admit(c).is_none(), "three over all");
        drop(first);
        assert!(guests.admit(a).is_some());
        assert_eq!(guests.count(), 2);
    }

    #[test]
    fn a_subscriber_is_one_address() {
        let guests = Guests::new(9, 1);
        let _one = guests.admit("2001:db8:1:2::3".parse().unwrap()).unwrap();
        assert!(guests.admit("2001:db8:1:2:ffff::4".parse().unwrap()).is_none());
        assert!(guests.admit("2001:db8:1:3::3".parse().unwrap()).is_some());
    }
}
