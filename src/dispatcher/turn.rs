//! Whose turn it is: the process has so many attempts at once, and no destination takes what is another's.
//!
//! In: which destinations have something to send, and when attempts begin and end. Out: who may make the next one.
//! Keeps:
//! - One attempt of each destination has a place of its own, so that whoever else is slow, it can always be tried.
//! - The rest is shared by service time, not by number: whose attempts take a hundred times as long gets a hundredth of
//!   them. Time in flight counts while it passes; otherwise a destination that hangs would have used nothing yet.
//! - Nobody takes more of what is shared than is then left for all others, so that there is room for whoever comes.
//! - Who had nothing to send has saved nothing up.
//!
//! Not here: a destination's own limits (`concurrency`, `limit`, `breaker`): who may not send now does not wait here.

use std::collections::BTreeSet;
use std::time::Duration;

/// A destination, by the number that `add` gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(usize);

impl Place {
    /// The number: from 0, in the order of `add`.
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Leave for one attempt, given back with `ended`.
#[derive(Debug)]
#[must_use = "what is not given back is never free again"]
pub struct Turn {
    place: Place,
    began: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Turns {
    shared_max: u32,
    shared_in_use: u32,
    /// What whoever was chosen last had used: where one begins that comes now.
    floor: u64,
    all: Vec<Account>,
    /// Those of them that have something to send.
    waiting: BTreeSet<usize>,
}

/// What one destination has used. Times in microseconds.
#[derive(Debug, Default)]
struct Account {
    in_flight: u32,
    /// The sum of when those in flight began.
    began: u64,
    used: u64,
}

impl Account {
    fn used(&self, now: u64) -> u64 {
        let in_flight = u64::from(self.in_flight).saturating_mul(now).saturating_sub(self.began);
        self.used.saturating_add(in_flight)
    }

    /// How much of what is shared it has.
    const fn shared(&self) -> u32 {
        self.in_flight.saturating_sub(1)
    }
}

impl Turn {
    /// Whose it is.
    pub const fn place(&self) -> Place {
        self.place
    }
}

impl Turns {
    /// With so many at once, besides one for each destination.
    pub const fn new(shared_max: u32) -> Self {
        Self { shared_max, shared_in_use: 0, floor: 0, all: Vec::new(), waiting: BTreeSet::new() }
    }

    /// One more destination.
    pub fn add(&mut self) -> Place {
        self.all.push(Account::default());
        Place(self.all.len() - 1)
    }

    /// Whether a destination has something to send, and may.
    pub fn set_waiting(&mut self, place: Place, is_waiting: bool) {
        let floor = self.floor;
        let Some(account) = self.all.get_mut(place.0) else { return };
        if !is_waiting {
            self.waiting.remove(&place.0);
        } else if self.waiting.insert(place.0) && account.in_flight == 0 {
            account.used = account.used.max(floor);
        }
    }

    /// Who may make an attempt now; ask until there is none. It goes through all that have something to send: some
    /// microseconds for a thousand of them.
    pub fn next(&mut self, now: Duration) -> Option<Turn> {
        let now = micros(now);
        let left = self.shared_max - self.shared_in_use;
        // The next one of who has none in flight is not of what is shared.
        let may = |account: &Account| account.in_flight == 0 || account.shared() < left;
        let accounts = self.waiting.iter().filter_map(|index| Some((*index, self.all.get(*index)?)));
        let candidates = accounts.filter(|(_, account)| may(account));
        let (index, _) = candidates.min_by_key(|(_, account)| (account.used(now), account.in_flight))?;
        let chosen = self.all.get_mut(index)?;
        self.floor = self.floor.max(chosen.used(now));
        self.shared_in_use += u32::from(chosen.in_flight > 0);
        chosen.in_flight += 1;
        chosen.began += now;
        Some(Turn { place: Place(index), began: now })
    }

    /// An attempt has ended, or was not made after all.
    pub fn ended(&mut self, turn: Turn, now: Duration) {
        let Some(account) = self.all.get_mut(turn.place.0) else { return };
        assert!(account.in_flight > 0, "a turn was given for each that ends");
        account.used = account.used.saturating_add(micros(now).saturating_sub(turn.began));
        account.began -= turn.began;
        account.in_flight -= 1;
        self.shared_in_use -= u32::from(account.in_flight > 0);
    }

    /// How many attempts a destination makes at once.
    pub fn in_flight(&self, place: Place) -> u32 {
        self.all.get(place.0).map_or(0, |account| account.in_flight)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;

    const DESTINATIONS: usize = 20;
    const SHARED: u32 = 40;

    /// What each destination got: how many attempts, and how much time of places.
    struct Got {
        attempts: Vec<u32>,
        time: Vec<Duration>,
    }

    /// Virtual time: everybody always has something to send, and destination `n` takes `takes(n)` for each.
    fn run(long: Duration, takes: impl Fn(usize) -> Duration) -> Got {
        let mut turns = Turns::new(SHARED);
        for _ in 0..DESTINATIONS {
            let place = turns.add();
            turns.set_waiting(place, true);
        }
        let (mut attempts, mut time) = (vec![0; DESTINATIONS], vec![Duration::ZERO; DESTINATIONS]);
        let mut running: BinaryHeap<std::cmp::Reverse<(Duration, usize)>> = BinaryHeap::new();
        let mut given: Vec<Vec<Turn>> = (0..DESTINATIONS).map(|_| Vec::new()).collect();
        let mut now = Duration::ZERO;
        while now < long {
            while let Some(turn) = turns.next(now) {
                let index = turn.place().0;
                running.push(std::cmp::Reverse((now + takes(index), index)));
                given[index].insert(0, turn);
            }
            let std::cmp::Reverse((end, index)) = running.pop().expect("each has a place of its own");
            now = end;
            turns.ended(given[index].pop().unwrap(), now);
            attempts[index] += 1;
            time[index] += takes(index).min(long);
        }
        Got { attempts, time }
    }

    /// What each gets if all get the same.
    fn fair(long: Duration) -> Duration {
        long * (SHARED + 20) / 20
    }

    #[test]
    fn with_all_alike_each_gets_the_same() {
        let long = Duration::from_secs(20);
        let got = run(long, |_| Duration::from_millis(50));
        for time in got.time {
            assert!(time > fair(long).mul_f64(0.9) && time < fair(long).mul_f64(1.1), "{time:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn one_slow_among_twenty_takes_no_more_than_its_share(which in 0..DESTINATIONS, slow in 500u64..10_000, quick in 20u64..60) {
            let long = Duration::from_secs(40);
            let (slow, quick) = (Duration::from_millis(slow), Duration::from_millis(quick));
            let got = run(long, |index| if index == which { slow } else { quick });
            // Whatever ends at the end of the run is counted whole: a few of its attempts.
            prop_assert!(got.time[which] <= fair(long).mul_f64(1.1) + slow * 3, "{:?} of {:?}", got.time[which], fair(long));
            let least = (0..DESTINATIONS).filter(|index| *index != which).map(|index| got.time[index]).min();
            prop_assert!(least.unwrap() > fair(long).mul_f64(0.9), "{:?} of {:?}", least, fair(long));
            prop_assert!(got.attempts[which] > 0);
        }
    }

    #[test]
    fn one_that_hangs_for_ever_leaves_room_for_whoever_comes() {
        let mut turns = Turns::new(SHARED);
        let (hangs, comes) = (turns.add(), turns.add());
        turns.set_waiting(hangs, true);
        let hanging: Vec<_> = std::iter::from_fn(|| turns.next(Duration::ZERO)).collect();
        assert_eq!(hanging.len(), 1 + 20, "its own place, and half of what is shared");
        turns.set_waiting(comes, true);
        let taken: Vec<_> = std::iter::from_fn(|| turns.next(Duration::from_secs(1))).collect();
        assert!(taken.iter().all(|turn| turn.place() == comes));
        assert_eq!(taken.len(), 1 + 10);
        for turn in hanging.into_iter().chain(taken) {
            turns.ended(turn, Duration::from_secs(2));
        }
        assert_eq!((turns.shared_in_use, turns.in_flight(hangs), turns.in_flight(comes)), (0, 0, 0));
    }

    #[test]
    fn who_had_nothing_to_send_has_saved_nothing_up() {
        let mut turns = Turns::new(0);
        let (busy, idle) = (turns.add(), turns.add());
        turns.set_waiting(busy, true);
        let mut now = Duration::ZERO;
        for _ in 0..100 {
            let turn = turns.next(now).unwrap();
            now += Duration::from_secs(1);
            turns.ended(turn, now);
        }
        turns.set_waiting(idle, true);
        let idle = &turns.all[idle.0];
        assert!(idle.used >= turns.all[busy.0].used - 2_000_000, "{idle:?}");
    }

    #[test]
    fn a_destination_has_its_own_place_when_all_that_is_shared_is_taken() {
        let mut turns = Turns::new(3);
        let places: Vec<_> = (0..5).map(|_| turns.add()).collect();
        for place in &places[..4] {
            turns.set_waiting(*place, true);
        }
        let taken: Vec<_> = std::iter::from_fn(|| turns.next(Duration::ZERO)).collect();
        assert_eq!(taken.len(), 4 + 3);
        turns.set_waiting(places[4], true);
        assert_eq!(turns.next(Duration::ZERO).map(|turn| turn.place()), Some(places[4]));
        assert!(turns.next(Duration::ZERO).is_none());
    }
}
