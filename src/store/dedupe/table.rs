//! The dedupe table: 64-bit hash → position of the newest record with a key of that hash.
//!
//! In: hashes and positions, from the one thread that owns it; no locks, no atomics.
//! Out: candidates, which the caller compares with the record before it believes them.
//! Keeps: every entry until `replace` or `retain` takes it. Entries may share a hash; the table does not
//! ask whether an entry is new, because its caller has just called `find`.
//! Refuses: more than `entries_max` entries.
//!
//! # Layout
//!
//! The upper 10 bits of the hash choose one of 1024 shards. A shard is an array of 16-byte slots (hash,
//! position; position 0 = empty), in which an entry's *home* is `hash bits * homes >> 32`: multiply-shift
//! instead of a mask, so that an array may have any length and need not double. Two things hold always:
//!
//! 1. Order: along the array, hashes never descend.
//! 2. No gaps: between an entry's home and its slot, every slot is used.
//!
//! So a search starts at the home and ends at an empty slot or a greater hash. Both hold because the home
//! never descends as the hash ascends (it is Robin Hood hashing, and stays sorted for free). Nothing wraps
//! around: entries that do not fit behind the last home spill over into slots that have no home.
//!
//! # Numbers
//!
//! A shard that is 9/10 full gets a tenth more homes, and is 9/11 full then:
//!
//! - Memory: 16 B * 11/9 = 19.6 B an entry just after growth, 17.8 B just before; about 0.3 B more for the
//!   spill at 1 M entries, and less the more there are.
//! - Search: a mean of (1 + 1/(1 - 0.9)) / 2 = 5.5 slots at 9/10, hit or miss: two cache lines. Plain linear
//!   probing would walk 50 slots for a miss, and nearly every look-up is a miss.
//! - Pause: one shard grows at a time. At 100 M entries that is 98,000 entries, 1.9 MB laid out front to
//!   back: 0.3 ms, or 5 ms where the kernel must first find the pages (measured on 2 shared vCPUs), against
//!   a thousand times that for a table in one piece.
//! - Work: an entry is moved by about 10 growths in its life, each at the speed of memory.

use crate::store::position::Position;

/// Number of shards; [`Table::retain_shard`] counts up to it.
pub const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 10;

/// The greatest `entries_max`: if all entries fell into one shard, its homes would still fit 32 bits.
pub const ENTRIES_MAX_LIMIT: usize = 1 << 31;

/// The first size of a shard. 1024 shards of it are 0.5 MB.
const HOMES_MIN: usize = 16;

/// Slots reserved at a time for the spill behind the last home.
const SPILL_SLOTS: usize = 16;

const _: () = assert!(size_of::<Entry>() == 16, "the memory promised per entry");

/// `insert` met a full table. The postback is answered with 503, so that its network retries, until
/// `retain` has made room or the operator has raised the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the dedupe table holds its maximum of {entries_max} entries")]
pub struct Full {
    /// The limit that was met.
    pub entries_max: usize,
}

/// The table. See the head of this file.
///
/// A clone is a deep copy, for a checkpoint written by another thread. It takes about 50 ms per million
/// entries where the kernel must find every page, so a large table is better cloned when nobody waits.
#[derive(Clone, Debug)]
pub struct Table {
    shards: Box<[Shard]>,
    len: usize,
    entries_max: usize,
}

impl Table {
    /// An empty table for at most `entries_max` entries. It takes memory as entries come.
    ///
    /// # Panics
    ///
    /// If `entries_max` is above [`ENTRIES_MAX_LIMIT`].
    pub fn new(entries_max: usize) -> Self {
        assert!(entries_max <= ENTRIES_MAX_LIMIT, "homes are counted in 32 bits");
        Self { shards: vec![Shard::default(); SHARDS].into(), len: 0, entries_max }
    }

    /// The position of the entry under `hash` that `is_same` recognises.
    ///
    /// `is_same` reads the record and compares the whole key: two keys may share a hash.
    pub fn find(&self, hash: u64, mut is_same: impl FnMut(Position) -> bool) -> Option<Position> {
        let shard = &self.shards[shard_of(hash)];
        shard.under(hash).map(|entry| entry.position).find(|&position| is_same(position))
    }

    /// Adds an entry, beside any others under the same hash.
    ///
    /// # Errors
    ///
    /// [`Full`] if the table holds `entries_max` entries; nothing is changed then.
    ///
    /// # Panics
    ///
    /// If `position` is [`Position::START`], where no record can stand.
    pub fn insert(&mut self, hash: u64, position: Position) -> Result<(), Full> {
        assert_ne!(position, Position::START, "a segment header stands there");
        if self.len >= self.entries_max {
            return Err(Full { entries_max: self.entries_max });
        }
        self.shards[shard_of(hash)].insert(Entry { hash, position });
        self.len += 1;
        Ok(())
    }

    /// Moves the entry under `hash` from `old` to `new`; false if there is no such entry.
    ///
    /// # Panics
    ///
    /// If `new` is [`Position::START`], where no record can stand.
    pub fn replace(&mut self, hash: u64, old: Position, new: Position) -> bool {
        assert_ne!(new, Position::START, "a segment header stands there");
        match self.shards[shard_of(hash)].slot_of(Entry { hash, position: old }) {
            Some(slot) => {
                slot.position = new;
                true
            }
            None => false,
        }
    }

    /// Drops every entry that `keep` does not want, and gives its memory back.
    ///
    /// Takes as long as reading the whole table; [`Table::retain_shard`] does it in steps.
    pub fn retain(&mut self, mut keep: impl FnMut(Position) -> bool) {
        for shard in 0..SHARDS {
            self.retain_shard(shard, &mut keep);
        }
    }

    /// [`Table::retain`] for one shard of [`SHARDS`], so that the owner can serve between two of them.
    ///
    /// # Panics
    ///
    /// If `shard` is not below [`SHARDS`].
    pub fn retain_shard(&mut self, shard: usize, mut keep: impl FnMut(Position) -> bool) {
        let shard = &mut self.shards[shard];
        let before = shard.live();
        let kept: Vec<Entry> = shard.entries().filter(|entry| keep(entry.position)).collect();
        if kept.len() < before {
            *shard = Shard::laid_out(kept.len(), kept.iter().copied());
            self.len -= before - kept.len();
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The most entries it may hold.
    pub fn entries_max(&self) -> usize {
        self.entries_max
    }

    /// Memory taken, without the allocator's own overhead.
    pub fn memory_bytes(&self) -> usize {
        let slots: usize = self.shards.iter().map(|shard| shard.slots.capacity()).sum();
        size_of::<Self>() + size_of_val::<[Shard]>(&self.shards) + slots * size_of::<Entry>()
    }

    /// Every entry, by ascending hash.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Position)> {
        let entries = self.shards.iter().flat_map(Shard::entries);
        entries.map(|entry| (entry.hash, entry.position))
    }
}

/// Makes a table of entries that come by ascending hash, each shard laid out once at its final size.
pub(super) struct Builder {
    table: Table,
    shard: usize,
    /// The entries of `shard`, until the first one of a later shard comes.
    pending: Vec<Entry>,
}

impl Builder {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { table: Table::new(entries_max), shard: 0, pending: Vec::new() }
    }

    /// The caller has checked that hashes do not descend, that `position` is not 0, and the count.
    pub(super) fn push(&mut self, hash: u64, position: Position) {
        assert_ne!(position, Position::START, "a segment header stands there");
        let shard = shard_of(hash);
        if shard != self.shard {
            assert!(shard > self.shard, "entries come by ascending hash");
            self.lay_out_pending();
            self.shard = shard;
        }
        self.pending.push(Entry { hash, position });
    }

    pub(super) fn finish(mut self) -> Table {
        self.lay_out_pending();
        assert!(self.table.len <= self.table.entries_max, "the caller has checked the count");
        self.table
    }

    fn lay_out_pending(&mut self) {
        let live = self.pending.len();
        self.table.shards[self.shard] = Shard::laid_out(live, self.pending.drain(..));
        self.table.len += live;
    }
}

fn shard_of(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARD_BITS)) as usize
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Entry {
    hash: u64,
    /// [`Position::START`] in an empty slot.
    position: Position,
}

impl Entry {
    const EMPTY: Self = Self { hash: 0, position: Position::START };

    fn is_empty(&self) -> bool {
        self.position == Position::START
    }
}

#[derive(Clone, Default, Debug)]
struct Shard {
    /// `homes` slots and the spill; none at all while there is no entry.
    slots: Vec<Entry>,
    homes: u32,
    live: u32,
}

impl Shard {
    /// A shard of `live` entries that come by ascending hash, 9/11 full.
    fn laid_out(live: usize, ascending: impl Iterator<Item = Entry>) -> Self {
        let homes = homes_for(live);
        let mut shard = Self { slots: Vec::new(), homes, live: 0 };
        if homes == 0 {
            return shard;
        }
        shard.slots.reserve_exact(homes as usize + SPILL_SLOTS);
        shard.slots.resize(homes as usize, Entry::EMPTY);
        let mut next = 0;
        for entry in ascending {
            // Order: `next` is behind all that came before. No gaps: `next` is beyond the home only if the
            // slot before it is used by an entry whose own home is not beyond this one, and from that home
            // on all slots are used.
            let at = shard.home(entry.hash).max(next);
            if at == shard.slots.len() {
                shard.spill();
            }
            shard.slots[at] = entry;
            next = at + 1;
            shard.live += 1;
        }
        shard
    }

    fn insert(&mut self, entry: Entry) {
        if (self.live() + 1) * 10 > self.homes as usize * 9 {
            *self = Self::laid_out_with_room(self);
        }
        let home = self.home(entry.hash);
        let at = home + self.slots[home..].iter().take_while(|slot| precedes(slot, entry.hash)).count();
        let empty = at + self.slots[at..].iter().take_while(|slot| !slot.is_empty()).count();
        if empty == self.slots.len() {
            self.spill();
        }
        // The used slots `at..empty` move one up, into the empty one. Order: what was before `at` is not
        // greater, what moved is. No gaps: none of `home..=empty` is empty now.
        self.slots.copy_within(at..empty, at + 1);
        self.slots[at] = entry;
        self.live += 1;
    }

    /// The same entries with room for one more at least.
    fn laid_out_with_room(&self) -> Self {
        Self::laid_out(self.live() + 1, self.entries())
    }

    /// The entries with this very hash, oldest first.
    fn under(&self, hash: u64) -> impl Iterator<Item = &Entry> {
        let from_home = self.slots[self.home(hash)..].iter();
        from_home.take_while(move |slot| precedes(slot, hash)).filter(move |slot| slot.hash == hash)
    }

    fn slot_of(&mut self, entry: Entry) -> Option<&mut Entry> {
        let home = self.home(entry.hash);
        let from_home = self.slots[home..].iter_mut();
        from_home.take_while(|slot| precedes(slot, entry.hash)).find(|slot| **slot == entry)
    }

    /// One more slot behind the last home.
    fn spill(&mut self) {
        if self.slots.len() == self.slots.capacity() {
            // `push` alone would double the shard.
            self.slots.reserve_exact(SPILL_SLOTS);
        }
        self.slots.push(Entry::EMPTY);
    }

    /// The 32 hash bits below those of the shard, scaled to `0..homes`; 0 in a shard without slots.
    fn home(&self, hash: u64) -> usize {
        let bits = (hash << SHARD_BITS) >> 32;
        ((bits * u64::from(self.homes)) >> 32) as usize
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.slots.iter().copied().filter(|slot| !slot.is_empty())
    }

    fn live(&self) -> usize {
        self.live as usize
    }
}

/// Whether an entry with `hash` stands, or would stand, behind this slot.
fn precedes(slot: &Entry, hash: u64) -> bool {
    !slot.is_empty() && slot.hash <= hash
}

/// Homes for `live` entries at a load of 9/11: `live` * 11/9, rounded up.
fn homes_for(live: usize) -> u32 {
    if live == 0 {
        return 0;
    }
    let homes = (live + (live * 2).div_ceil(9)).max(HOMES_MIN);
    // `ENTRIES_MAX_LIMIT` keeps it below; a shard that is too small would still be right, only slow.
    u32::try_from(homes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Position of the `n`th record of an imaginary journal; never 0:0.
    fn position(n: u32) -> Position {
        Position::new(n >> 20, (n & 0xF_FFFF) * 16 + 16)
    }

    /// Steele, Lea, Flood, "Fast splittable pseudorandom number generators": the mix of `SplitMix64`.
    fn mixed(n: u64) -> u64 {
        let n = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        n ^ (n >> 31)
    }

    /// The two things that hold always, and the counts.
    fn check(table: &Table) {
        let mut live_sum = 0;
        for (index, shard) in table.shards.iter().enumerate() {
            let used: Vec<usize> = (0..shard.slots.len()).filter(|&at| !shard.slots[at].is_empty()).collect();
            assert_eq!(used.len(), shard.live(), "live entries of shard {index}");
            assert!(used.iter().map(|&at| shard.slots[at].hash).is_sorted(), "order in shard {index}");
            for &at in &used {
                let home = shard.home(shard.slots[at].hash);
                assert!(home <= at, "slot {at} of shard {index} is before its home");
                assert!(home < shard.homes as usize, "home of slot {at} of shard {index}");
                assert!(shard.slots[home..at].iter().all(|slot| !slot.is_empty()), "gap in shard {index}");
                assert_eq!(shard_of(shard.slots[at].hash), index);
            }
            assert!(shard.live() * 10 <= shard.homes as usize * 9, "load of shard {index}");
            let spare = shard.slots.capacity() - shard.slots.len();
            assert!(spare <= SPILL_SLOTS, "{spare} spare slots in shard {index}");
            live_sum += shard.live();
        }
        assert_eq!(table.len(), live_sum);
        assert!(table.iter().map(|(hash, _)| hash).is_sorted());
    }

    #[test]
    fn two_keys_with_one_hash_both_live_and_the_caller_tells_them_apart() {
        let mut table = Table::new(10);
        table.insert(42, position(1)).unwrap();
        table.insert(42, position(2)).unwrap();
        for n in [1, 2] {
            assert_eq!(table.find(42, |at| at == position(n)), Some(position(n)));
        }
        assert_eq!(table.find(42, |_| false), None);
        assert_eq!(table.find(43, |_| true), None);
        check(&table);
    }

    #[test]
    fn an_entry_is_replaced_under_its_own_hash_only() {
        let mut table = Table::new(10);
        table.insert(42, position(1)).unwrap();
        assert!(!table.replace(43, position(1), position(2)));
        assert!(!table.replace(42, position(3), position(2)));
        assert!(table.replace(42, position(1), position(2)));
        assert_eq!(table.find(42, |_| true), Some(position(2)));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_full_table_refuses_and_stays_as_it_was_until_there_is_room() {
        let mut table = Table::new(2);
        table.insert(1, position(1)).unwrap();
        table.insert(2, position(2)).unwrap();
        assert_eq!(table.insert(3, position(3)), Err(Full { entries_max: 2 }));
        assert_eq!(table.len(), 2);
        assert_eq!(table.find(3, |_| true), None);
        table.retain(|at| at != position(1));
        assert_eq!(table.insert(3, position(3)), Ok(()));
        assert_eq!(Table::new(0).insert(1, position(1)), Err(Full { entries_max: 0 }));
    }

    #[test]
    #[should_panic(expected = "a segment header stands there")]
    fn the_position_that_means_empty_is_our_own_fault() {
        let _ = Table::new(1).insert(1, Position::START);
    }

    /// The extremes of the hash meet the first and the last home, and the spill behind it.
    #[test]
    fn equal_hashes_spill_behind_the_last_home_and_are_found_there() {
        for hash in [0, 1, u64::MAX, u64::MAX >> SHARD_BITS, 1 << 54] {
            let mut table = Table::new(1000);
            for n in 0..500 {
                table.insert(hash, position(n)).unwrap();
            }
            check(&table);
            for n in 0..500 {
                assert_eq!(table.find(hash, |at| at == position(n)), Some(position(n)), "entry {n}");
            }
            assert_eq!(table.find(hash, |_| false), None);
            assert_eq!(table.find(hash ^ 2, |_| true), None);
        }
    }

    /// From 1 M entries through more than one whole growth of every shard.
    #[test]
    fn an_entry_costs_at_most_20_bytes() {
        let mut table = Table::new(ENTRIES_MAX_LIMIT);
        for n in 0..1_250_000_u32 {
            table.insert(mixed(u64::from(n)), position(n)).unwrap();
            if n >= 1_000_000 && n % 5000 == 0 {
                let (bytes, entries) = (table.memory_bytes(), table.len());
                assert!(bytes <= 20 * entries, "{bytes} bytes for {entries} entries");
            }
        }
        check(&table);
        for n in (0..1_250_000).step_by(101) {
            let hash = mixed(u64::from(n));
            assert_eq!(table.find(hash, |at| at == position(n)), Some(position(n)));
        }
    }

    /// The worst moment of a shard, just laid out for one entry more than it has, at any size that a
    /// shard has above 1 M entries in all. The rest of the spill is statistics, and in the test above.
    #[test]
    fn a_shard_just_grown_costs_at_most_20_bytes_an_entry() {
        for live in (900..200_000).chain([1 << 24, 1 << 30]) {
            let slots = homes_for(live + 1) as usize + SPILL_SLOTS;
            assert!(slots * 16 + size_of::<Shard>() <= 20 * live, "{live} entries");
        }
        assert!(homes_for(ENTRIES_MAX_LIMIT) < u32::MAX, "never clamped");
    }

    #[test]
    fn growth_makes_room_at_every_size() {
        for live in 1..5000 {
            let homes = homes_for(live) as usize;
            assert!(live * 10 <= homes * 9, "{live} entries in {homes} homes");
        }
    }

    #[test]
    fn dropping_entries_gives_their_memory_back() {
        let mut table = Table::new(100_000);
        let memory_bytes_empty = table.memory_bytes();
        for n in 0..100_000 {
            table.insert(mixed(u64::from(n)), position(n)).unwrap();
        }
        let memory_bytes_full = table.memory_bytes();
        table.retain(|at| at < position(50_000));
        check(&table);
        assert_eq!(table.len(), 50_000);
        assert!(table.memory_bytes() < memory_bytes_full * 6 / 10);
        table.retain(|_| false);
        assert!(table.is_empty());
        assert_eq!(table.memory_bytes(), memory_bytes_empty);
    }

    #[test]
    fn a_builder_makes_the_same_table_as_inserts() {
        let mut inserted = Table::new(20_000);
        for n in 0..20_000 {
            inserted.insert(mixed(u64::from(n / 2)), position(n)).unwrap();
        }
        let mut builder = Builder::new(20_000);
        for (hash, position) in inserted.iter() {
            builder.push(hash, position);
        }
        let built = builder.finish();
        check(&built);
        assert!(built.iter().eq(inserted.iter()));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u64, u32),
        /// Replace the chosen one of the entries under the hash.
        Replace(u64, prop::sample::Index, u32),
        ReplaceAbsent(u64, u32),
        Retain(u32),
        RetainShard(u64, u32),
    }

    /// Few distinct hashes, so that they collide; near each other, far apart, and in the spill.
    fn any_hash() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..4_u64,
            (0..4_u64).prop_map(|n| n << 53 | 5),
            (0..40_u64).prop_map(|n| n << 48 | 7),
            (0..3_u64).prop_map(|n| u64::MAX - n),
        ]
    }

    fn any_op() -> impl Strategy<Value = Op> {
        let n = 0..1_u32 << 28;
        prop_oneof![
            20 => (any_hash(), n.clone()).prop_map(|(hash, n)| Op::Insert(hash, n)),
            5 => (any_hash(), any::<prop::sample::Index>(), n.clone())
                .prop_map(|(hash, index, n)| Op::Replace(hash, index, n)),
            2 => (any_hash(), n.clone()).prop_map(|(hash, n)| Op::ReplaceAbsent(hash, n)),
            1 => (2..9_u32).prop_map(Op::Retain),
            1 => (any_hash(), 2..9_u32).prop_map(|(hash, divisor)| Op::RetainShard(hash, divisor)),
        ]
    }

    /// Drops about one in `divisor`.
    fn keep(divisor: u32) -> impl Fn(Position) -> bool {
        move |at| !(at.offset() / 16).is_multiple_of(divisor)
    }

    type Model = HashMap<u64, Vec<Position>>;

    fn apply(table: &mut Table, model: &mut Model, op: &Op) {
        match *op {
            Op::Insert(hash, n) => {
                let full = model.values().map(Vec::len).sum::<usize>() >= table.entries_max();
                assert_eq!(table.insert(hash, position(n)).is_err(), full);
                if !full {
                    model.entry(hash).or_default().push(position(n));
                }
            }
            Op::Replace(hash, index, n) => {
                let Some(under) = model.get_mut(&hash).filter(|under| !under.is_empty()) else {
                    return;
                };
                let old = *index.get(under);
                assert!(table.replace(hash, old, position(n)));
                let first = under.iter_mut().find(|at| **at == old).unwrap();
                *first = position(n);
            }
            Op::ReplaceAbsent(hash, n) => {
                let absent = !model.get(&hash).is_some_and(|under| under.contains(&position(n)));
                if absent {
                    assert!(!table.replace(hash, position(n), position(0)));
                }
            }
            Op::Retain(divisor) => {
                table.retain(keep(divisor));
                model.values_mut().for_each(|under| under.retain(|&at| keep(divisor)(at)));
            }
            Op::RetainShard(hash, divisor) => {
                table.retain_shard(shard_of(hash), keep(divisor));
                let of_shard = model.iter_mut().filter(|(other, _)| shard_of(**other) == shard_of(hash));
                of_shard.for_each(|(_, under)| under.retain(|&at| keep(divisor)(at)));
            }
        }
    }

    fn check_against(table: &Table, model: &Model) {
        check(table);
        assert_eq!(table.len(), model.values().map(Vec::len).sum::<usize>());
        for (&hash, under) in model {
            let mut seen = Vec::new();
            let found = table.find(hash, |at| {
                seen.push(at);
                false
            });
            assert_eq!(found, None);
            assert_eq!(&seen, under, "entries under {hash:x}, oldest first");
            for &at in under {
                assert_eq!(table.find(hash, |other| other == at), Some(at));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn the_table_is_a_map_from_hash_to_positions(
            ops in prop::collection::vec(any_op(), 1..400),
            entries_max in prop_oneof![0..60_usize, Just(1000)],
        ) {
            let (mut table, mut model) = (Table::new(entries_max), Model::new());
            for op in &ops {
                apply(&mut table, &mut model, op);
            }
            check_against(&table, &model);
        }
    }
}
