//! Foreign click ids: the ids of clicks imported from another tracker → where the imported record stands.
//!
//! In: the keyed hash of an id (any string up to 512 bytes; whoever hashes it checks that) and the place of
//! its record. Out: candidates, which the caller compares with the record before it believes them.
//! Keeps: readers never wait, not even for growth, and find every entry whose `insert` has returned.
//! Nothing is removed: a rebuild, or the next growth, leaves out what is gone.
//! Refuses: more than `entries_max` entries.
//! Not here: own click ids. They name their place themselves.
//!
//! # Layout
//!
//! Open addressing with linear probing. One slot is 64 bits: a 12-bit tag from the hash above a 52-bit
//! place. The tag is 1 to 4095, so a used slot is never 0, and 0 is an empty one. The first slot of a search
//! is `upper 32 hash bits * slots >> 32` (multiply-shift, so the array may have any length), the tag comes
//! from the lower 12 bits, which have no part in that. A search ends at the first empty slot.
//!
//! # Numbers
//!
//! At most 3/4 full: 8 B * 4/3 = 10.7 B an entry at that load, twice as much just after growth, and while it
//! grows 8 B more for the list of what to read. A hit walks
//! a mean of (1 + 1/(1 - 3/4)) / 2 = 2.5 slots, a miss (1 + 1/(1 - 3/4)²) / 2 = 8.5 slots, about one cache
//! line; one tag in 4095 is alike by chance and costs the caller a record read in vain.
//!
//! # Growth
//!
//! A slot holds too little of the hash to move it, so growth reads every record again (`hash_of`), under the
//! writers' lock, in the order of their places, into a table twice as big, and then swaps the two. For 10 M entries that is many seconds of
//! reading: an import of known size asks for its capacity first and never grows.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

/// The greatest `entries_max`: its slots can still be counted in 32 bits.
pub const ENTRIES_MAX_LIMIT: usize = 1 << 31;

/// The first size of a table that grows: 8 KiB.
const SLOTS_MIN: usize = 1024;

const TAG_BITS: u32 = 12;
const _: () = assert!(TAG_BITS + ForeignPlace::BITS == u64::BITS, "tag and place fill a slot");

/// `insert` met a full table. The import stops and says so: what is not in the table could not be found by
/// its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the table of foreign click ids holds its maximum of {entries_max} entries")]
pub struct Full {
    /// The limit that was met.
    pub entries_max: usize,
}

/// The place of an imported click record: its lane, segment and ordinal. Ordered as these are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForeignPlace(u64);

impl ForeignPlace {
    /// The greatest lane: 6 bits.
    pub const LANE_MAX: u8 = (1 << 6) - 1;
    /// The greatest segment: 22 bits.
    pub const SEGMENT_MAX: u32 = (1 << 22) - 1;
    /// The greatest ordinal: 24 bits.
    pub const ORDINAL_MAX: u32 = (1 << 24) - 1;

    /// Bits of a place, the same three fields as in a click id.
    const BITS: u32 = 6 + 22 + 24;

    /// The place of these three; `None` if one is above its maximum.
    pub const fn new(lane: u8, segment: u32, ordinal: u32) -> Option<Self> {
        if lane > Self::LANE_MAX || segment > Self::SEGMENT_MAX || ordinal > Self::ORDINAL_MAX {
            return None;
        }
        Some(Self((lane as u64) << 46 | (segment as u64) << 24 | ordinal as u64))
    }

    /// The lane of the clicks journal.
    pub const fn lane(self) -> u8 {
        ((self.0 >> 46) & 0x3F) as u8
    }

    /// The segment of the lane.
    pub const fn segment(self) -> u32 {
        ((self.0 >> 24) & 0x3F_FFFF) as u32
    }

    /// The ordinal of the record in the segment.
    pub const fn ordinal(self) -> u32 {
        (self.0 & 0xFF_FFFF) as u32
    }

    const fn of_slot(slot: u64) -> Self {
        Self(slot & ((1 << Self::BITS) - 1))
    }
}

/// `lane/segment#ordinal`, all decimal.
impl fmt::Display for ForeignPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.lane(), self.segment(), self.ordinal())
    }
}

impl fmt::Debug for ForeignPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The table. See the head of this file. Shared by reference: every method takes `&self`.
#[derive(Debug)]
pub struct ForeignTable {
    /// `None` until something is imported: whoever imports nothing pays nothing.
    slots: ArcSwapOption<Slots>,
    /// Entries in `slots`; written under `writer` only.
    len: AtomicUsize,
    /// Entries that growth left out, because their record was gone.
    dropped: AtomicU64,
    entries_max: usize,
    /// Held by whoever inserts, growth included.
    writer: Mutex<()>,
}

impl ForeignTable {
    /// An empty table for at most `entries_max` entries. It takes no memory before the first.
    ///
    /// # Panics
    ///
    /// If `entries_max` is above [`ENTRIES_MAX_LIMIT`].
    pub fn new(entries_max: usize) -> Self {
        Self::with_capacity(0, entries_max)
    }

    /// An empty table that takes `expected` entries, or `entries_max` if that is less, without growing.
    ///
    /// # Panics
    ///
    /// If `entries_max` is above [`ENTRIES_MAX_LIMIT`].
    pub fn with_capacity(expected: usize, entries_max: usize) -> Self {
        assert!(entries_max <= ENTRIES_MAX_LIMIT, "slots are counted in 32 bits");
        let capacity = expected.min(entries_max);
        let slots = (capacity > 0).then(|| Arc::new(Slots::new(slots_for(capacity))));
        Self {
            slots: ArcSwapOption::new(slots),
            len: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            entries_max,
            writer: Mutex::new(()),
        }
    }

    /// The place under `hash` that `is_same` recognises.
    ///
    /// `is_same` reads the record and compares the whole id: tags are short, and two ids may share one.
    pub fn find(&self, hash: u64, mut is_same: impl FnMut(ForeignPlace) -> bool) -> Option<ForeignPlace> {
        let slots = self.slots.load();
        let places = slots.as_deref()?.tagged(hash);
        places.map(ForeignPlace::of_slot).find(|&place| is_same(place))
    }

    /// Adds an entry, beside any others under the same hash. The same hash and place a second time change
    /// nothing.
    ///
    /// `hash_of` is asked for the hash of places inserted before, when the table grows. It gives `None` for a
    /// record that is gone, and that entry is left out. It must not call `insert` of the same table.
    ///
    /// # Errors
    ///
    /// [`Full`] if the table holds `entries_max` entries; nothing is changed then.
    ///
    /// # Panics
    ///
    /// If `hash_of` gives another hash than the one that the place was inserted with.
    pub fn insert(
        &self,
        hash: u64,
        place: ForeignPlace,
        hash_of: impl FnMut(ForeignPlace) -> Option<u64>,
    ) -> Result<(), Full> {
        let writer = self.lock();
        let slot = slot_of(hash, place);
        if self.slots.load().as_deref().is_some_and(|slots| slots.tagged(hash).any(|other| other == slot)) {
            return Ok(());
        }
        if self.len() >= self.entries_max {
            return Err(Full { entries_max: self.entries_max });
        }
        let slots = self.with_room(&writer, hash_of);
        slots.add(hash, slot);
        self.len.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most entries it may hold.
    pub fn entries_max(&self) -> usize {
        self.entries_max
    }

    /// How many entries growth has left out because `hash_of` gave `None`.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Memory taken on the heap. While it grows, the new table and a list of the entries come on top.
    pub fn memory_bytes(&self) -> usize {
        match self.slots.load().as_deref() {
            Some(slots) => size_of::<Slots>() + size_of_val::<[AtomicU64]>(&slots.0),
            None => 0,
        }
    }

    /// The current slots if one more entry fits, else new ones that hold all that are left, and one more.
    fn with_room(
        &self,
        _writer: &MutexGuard<'_, ()>,
        hash_of: impl FnMut(ForeignPlace) -> Option<u64>,
    ) -> Arc<Slots> {
        let old = self.slots.load_full();
        let needed = slots_for(self.len() + 1);
        let slot_count = match &old {
            Some(old) if needed <= old.0.len() => return Arc::clone(old),
            Some(old) => old.0.len() * 2,
            None => SLOTS_MIN,
        };
        // Doubling stops at what `entries_max` needs, which is more than there was: `len` is below it.
        let new = Arc::new(Slots::new(slot_count.max(needed).min(slots_for(self.entries_max))));
        if let Some(old) = old {
            let (moved, dropped) = old.refill(&new, hash_of);
            self.len.store(moved, Ordering::Relaxed);
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        // The swap is a Release: whoever loads the new slots sees them filled. Who still reads the old ones
        // finds in them everything that was inserted before it began.
        self.slots.store(Some(Arc::clone(&new)));
        new
    }

    /// The lock guards no data that a panic could leave half changed: slots are added one store at a time,
    /// and a growth that did not end is never seen.
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slots for `entries` at a load of 3/4, rounded up; at least one more than entries, so searches end.
fn slots_for(entries: usize) -> usize {
    entries + (entries / 3) + 1
}

/// 1 to 4095, so that a used slot is never 0. One value in 4096 is folded onto another: it does not matter.
fn tag_of(hash: u64) -> u64 {
    1 + (hash & 0xFFF) % 0xFFF
}

fn slot_of(hash: u64, place: ForeignPlace) -> u64 {
    tag_of(hash) << ForeignPlace::BITS | place.0
}

/// A slot goes from 0 to its value once and never changes again; one at least stays 0.
#[derive(Debug)]
struct Slots(Box<[AtomicU64]>);

impl Slots {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| AtomicU64::new(0)).collect())
    }

    /// The used slots with the tag of `hash` on the way from its home to the first empty slot.
    fn tagged(&self, hash: u64) -> impl Iterator<Item = u64> {
        // Acquire: pairs with the Release in `add`, so that a place is seen with what its writer did before,
        // the record above all.
        let slots = self.probe(hash).map(|slot| slot.load(Ordering::Acquire));
        let used = slots.take_while(|&slot| slot != 0);
        used.filter(move |slot| slot >> ForeignPlace::BITS == tag_of(hash))
    }

    /// Puts `slot` into the first empty slot on the way from the home of `hash`. One thread at a time.
    fn add(&self, hash: u64, slot: u64) {
        let empty = self.probe(hash).find(|slot| slot.load(Ordering::Relaxed) == 0);
        let Some(empty) = empty else {
            unreachable!("a table is at most 3/4 full");
        };
        empty.store(slot, Ordering::Release);
    }

    /// Adds every entry to `new`, under the hash that `hash_of` gives. Returns how many were moved, and how
    /// many not.
    fn refill(&self, new: &Self, mut hash_of: impl FnMut(ForeignPlace) -> Option<u64>) -> (usize, u64) {
        let slots = self.0.iter().map(|slot| slot.load(Ordering::Relaxed));
        let mut used: Vec<u64> = slots.filter(|&slot| slot != 0).collect();
        // So that the records are read in the order they are stored in, not all over the disk.
        used.sort_unstable_by_key(|&slot| ForeignPlace::of_slot(slot));
        let (mut moved, mut dropped) = (0, 0);
        for slot in used {
            let place = ForeignPlace::of_slot(slot);
            if let Some(hash) = hash_of(place) {
                assert_eq!(slot_of(hash, place), slot, "a record keeps the hash it was inserted with");
                new.add(hash, slot);
                moved += 1;
            } else {
                dropped += 1;
            }
        }
        (moved, dropped)
    }

    /// Every slot once, from where a search for `hash` begins, around the end.
    fn probe(&self, hash: u64) -> impl Iterator<Item = &AtomicU64> {
        let home = ((hash >> 32) * self.0.len() as u64) >> 32;
        let (before, from_home) = self.0.split_at(home as usize);
        from_home.iter().chain(before)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    /// The `n`th place of an imaginary import, spread over lanes, segments and ordinals.
    fn place(n: u32) -> ForeignPlace {
        ForeignPlace::new((n % 7) as u8, n / 1000, n).unwrap()
    }

    /// Steele, Lea, Flood, "Fast splittable pseudorandom number generators": the mix of `SplitMix64`.
    fn hash_of(place: ForeignPlace) -> u64 {
        let n = place.0.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        n ^ (n >> 31)
    }

    fn insert(table: &ForeignTable, place: ForeignPlace) -> Result<(), Full> {
        table.insert(hash_of(place), place, |place| Some(hash_of(place)))
    }

    fn holds(table: &ForeignTable, place: ForeignPlace) -> bool {
        table.find(hash_of(place), |other| other == place) == Some(place)
    }

    fn slot_count(table: &ForeignTable) -> usize {
        table.slots.load().as_deref().map_or(0, |slots| slots.0.len())
    }

    #[test]
    fn a_place_keeps_each_field_up_to_its_maximum() {
        let (lane, segment, ordinal) =
            (ForeignPlace::LANE_MAX, ForeignPlace::SEGMENT_MAX, ForeignPlace::ORDINAL_MAX);
        for fields in [(0, 0, 0), (lane, 0, 0), (0, segment, 0), (0, 0, ordinal), (lane, segment, ordinal)] {
            let place = ForeignPlace::new(fields.0, fields.1, fields.2).unwrap();
            assert_eq!((place.lane(), place.segment(), place.ordinal()), fields);
        }
        assert_eq!(ForeignPlace::new(lane, segment, ordinal).unwrap().0, (1 << 52) - 1);
        assert_eq!(ForeignPlace::new(lane + 1, 0, 0), None);
        assert_eq!(ForeignPlace::new(0, segment + 1, 0), None);
        assert_eq!(ForeignPlace::new(0, 0, ordinal + 1), None);
        assert_eq!(ForeignPlace::new(u8::MAX, u32::MAX, u32::MAX), None);
        assert_eq!((lane, segment, ordinal), (63, 4_194_303, 16_777_215));
    }

    #[test]
    fn a_place_is_written_with_all_three_fields() {
        assert_eq!(ForeignPlace::new(1, 22, 333).unwrap().to_string(), "1/22#333");
    }

    #[test]
    fn a_used_slot_is_never_empty_and_gives_its_place_back() {
        let places = [ForeignPlace(0), ForeignPlace((1 << 52) - 1)];
        for place in places {
            for hash in (0..5000).chain([u64::MAX, 1 << 63]) {
                let slot = slot_of(hash, place);
                assert_ne!(slot, 0);
                assert_eq!(ForeignPlace::of_slot(slot), place);
                assert_eq!(slot >> 52, tag_of(hash));
            }
        }
    }

    /// The least and the greatest place, at the first and the last slot, with every kind of tag.
    #[test]
    fn extreme_places_and_hashes_are_found() {
        let table = ForeignTable::with_capacity(100, 100);
        let places = [ForeignPlace(0), ForeignPlace((1 << 52) - 1)];
        let hashes = [0, u64::MAX, u64::MAX << 12, 0xFFF, 0xFFE];
        for hash in hashes {
            for place in places {
                table.insert(hash, place, |_| unreachable!("it never grows")).unwrap();
            }
        }
        for hash in hashes {
            for place in places {
                assert_eq!(table.find(hash, |other| other == place), Some(place), "{hash:x}");
            }
        }
    }

    #[test]
    fn an_empty_table_costs_no_memory_and_finds_nothing() {
        let table = ForeignTable::new(ENTRIES_MAX_LIMIT);
        assert_eq!(table.memory_bytes(), 0);
        assert_eq!(table.find(7, |_| true), None);
        assert!(table.is_empty());
        assert_eq!(ForeignTable::with_capacity(0, 10).memory_bytes(), 0);
    }

    #[test]
    fn two_ids_with_one_hash_both_live_and_the_caller_tells_them_apart() {
        let table = ForeignTable::new(10);
        for n in [1, 2] {
            table.insert(42, place(n), |_| Some(42)).unwrap();
        }
        for n in [1, 2] {
            assert_eq!(table.find(42, |other| other == place(n)), Some(place(n)));
        }
        assert_eq!(table.find(42, |_| false), None);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn an_entry_inserted_twice_is_there_once() {
        let table = ForeignTable::new(1);
        for _ in 0..3 {
            insert(&table, place(1)).unwrap();
        }
        assert_eq!(table.len(), 1);
        assert_eq!(insert(&table, place(2)), Err(Full { entries_max: 1 }));
        assert!(!holds(&table, place(2)));
        assert_eq!(insert(&ForeignTable::new(0), place(1)), Err(Full { entries_max: 0 }));
    }

    #[test]
    fn an_import_of_known_size_never_grows_and_costs_at_most_11_bytes_an_entry() {
        for expected in [1000, 1001, 1002, 300_000] {
            let table = ForeignTable::with_capacity(expected as usize, ENTRIES_MAX_LIMIT);
            for n in 0..expected {
                let grown = |_| unreachable!("it never grows");
                table.insert(hash_of(place(n)), place(n), grown).unwrap();
            }
            assert!((0..expected).all(|n| holds(&table, place(n))));
            assert!(table.memory_bytes() <= 11 * table.len(), "{expected} entries");
            assert!(table.len() * 4 <= slot_count(&table) * 3, "load of {expected} entries");
        }
    }

    #[test]
    fn a_table_grows_no_further_than_its_limit_needs() {
        let table = ForeignTable::new(10_000);
        for n in 0..10_000 {
            insert(&table, place(n)).unwrap();
            assert!(table.len() * 4 <= slot_count(&table) * 3, "load of {n} entries");
        }
        assert!(insert(&table, place(10_000)).is_err());
        assert!(table.memory_bytes() <= 11 * table.len());
        assert!((0..10_000).all(|n| holds(&table, place(n))));
        assert_eq!(table.dropped(), 0);
    }

    #[test]
    fn growth_leaves_out_records_that_are_gone_and_counts_them() {
        let table = ForeignTable::new(100_000);
        // What fits the first table, and the one that makes it grow.
        let entries = SLOTS_MIN * 3 / 4;
        let gone = |place: ForeignPlace| place.ordinal().is_multiple_of(10);
        for n in (0..).take(entries) {
            table.insert(hash_of(place(n)), place(n), |p| (!gone(p)).then(|| hash_of(p))).unwrap();
        }
        assert_eq!(slot_count(&table), 2 * SLOTS_MIN);
        let dropped = (0..).take(entries - 1).filter(|&n| gone(place(n))).count();
        assert_eq!((table.dropped(), table.len()), (dropped as u64, entries - dropped));
        for n in (0..).take(entries - 1) {
            assert_eq!(holds(&table, place(n)), !gone(place(n)), "entry {n}");
        }
    }

    #[test]
    #[should_panic(expected = "a record keeps the hash")]
    fn another_hash_for_the_same_record_is_our_own_fault() {
        let table = ForeignTable::new(100_000);
        for n in 0..1000 {
            let _ = table.insert(hash_of(place(n)), place(n), |p| Some(hash_of(p) ^ 1));
        }
    }

    /// One thread inserts through many growths; readers look up what is known to be in, all the while.
    #[test]
    fn readers_never_miss_an_entry_while_the_table_grows() {
        const ENTRIES: u32 = 60_000;
        const LOOKUPS: u64 = 150_000;
        let table = ForeignTable::new(ENTRIES as usize);
        let inserted = AtomicUsize::new(0);
        let start = Barrier::new(3);
        thread::scope(|scope| {
            for reader in 0..2 {
                let (table, inserted, start) = (&table, &inserted, &start);
                scope.spawn(move || {
                    start.wait();
                    for n in 0..LOOKUPS {
                        let count = inserted.load(Ordering::Acquire) as u64;
                        if count > 0 {
                            // Half of them among the newest 100, where growth is.
                            let chance = hash_of(ForeignPlace(n * 2 + reader));
                            let back = chance % if n % 2 == 0 { count.min(100) } else { count };
                            let wanted = place(u32::try_from(count - 1 - back).unwrap());
                            assert!(holds(table, wanted), "{wanted} of {count}");
                        }
                    }
                });
            }
            start.wait();
            for n in 0..ENTRIES {
                insert(&table, place(n)).unwrap();
                inserted.store(n as usize + 1, Ordering::Release);
            }
        });
        assert!((0..ENTRIES).all(|n| holds(&table, place(n))));
    }

    #[test]
    fn writers_on_many_threads_lose_nothing() {
        let table = ForeignTable::new(20_000);
        thread::scope(|scope| {
            for writer in 0..4 {
                let table = &table;
                scope.spawn(move || {
                    for n in 0..5000 {
                        insert(table, place(n * 4 + writer)).unwrap();
                        assert!(holds(table, place(n * 4 + writer)));
                    }
                });
            }
        });
        assert_eq!(table.len(), 20_000);
        assert!((0..20_000).all(|n| holds(&table, place(n))));
    }

    /// Few homes and few tags, so that entries meet in both; some homes near the end wrap around.
    fn any_hash() -> impl Strategy<Value = u64> {
        (prop_oneof![0..4_u64, 0xFFFF_FFFD..0x1_0000_0000_u64], 0..3_u64)
            .prop_map(|(home, tag)| home << 32 | tag)
    }

    proptest! {
        #[test]
        fn the_table_is_a_map_from_hash_to_places(
            entries in prop::collection::vec((any_hash(), 0..3000_u32), 0..1500),
            expected in 0..100_usize,
            entries_max in prop_oneof![0..100_usize, Just(2000)],
        ) {
            let table = ForeignTable::with_capacity(expected, entries_max);
            let mut model: HashMap<ForeignPlace, u64> = HashMap::new();
            for (hash, n) in entries {
                // A record has one id, so a place has one hash: the first one drawn for it.
                let hash = *model.get(&place(n)).unwrap_or(&hash);
                let fits = model.contains_key(&place(n)) || model.len() < entries_max;
                prop_assert_eq!(table.insert(hash, place(n), |p| model.get(&p).copied()).is_ok(), fits);
                if fits {
                    model.insert(place(n), hash);
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.dropped(), 0);
            prop_assert!(table.len() * 4 <= slot_count(&table) * 3);
            let mut by_hash: HashMap<u64, HashSet<ForeignPlace>> = HashMap::new();
            for (&place, &hash) in &model {
                prop_assert_eq!(table.find(hash, |other| other == place), Some(place));
                by_hash.entry(hash).or_default().insert(place);
            }
            for (hash, places) in by_hash {
                let mut seen = HashSet::new();
                table.find(hash, |place| {
                    seen.insert(place);
                    false
                });
                prop_assert!(seen.is_superset(&places));
            }
        }
    }
}
