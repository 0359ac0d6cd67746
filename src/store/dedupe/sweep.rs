//! Letting go of transactions whose decisions went with their segment.
//!
//! In: the table, and the segments that are held. Out: the same table without what leads into a segment that was dropped.
//! Keeps: a step looks at no more entries than one shard holds, or at `STEP_ENTRIES` where shards are small, so that its
//! owner can serve between two of them. What cannot be read is not what was dropped, and stays.
//! Not here: which segments go, and when (`compactor`).

use super::table::{SHARDS, Table};
use crate::store::lane::View;
use crate::store::position::Position;

/// Entries that a step looks at before it ends with the shard that it is in: some tenths of a millisecond.
const STEP_ENTRIES: usize = 1 << 15;

/// One walk over the table. See the module.
#[derive(Debug)]
pub struct Sweep {
    /// Every segment that there was at its beginning, in order.
    held: Vec<u32>,
    next_shard: usize,
}

impl Sweep {
    /// A walk that has not begun, by what this view holds.
    pub fn new(view: &View) -> Self {
        let sealed = view.sealed.iter().map(|sealed| sealed.footer().identity.segment);
        let open = view.open.iter().map(|open| open.number());
        let mut held: Vec<u32> = sealed.chain(open).chain(view.unreadable.iter().copied()).collect();
        held.sort_unstable();
        Self { held, next_shard: 0 }
    }

    /// Goes on for a step; whether that was the last one.
    pub fn step(&mut self, table: &mut Table) -> bool {
        let mut looked_at = 0;
        while looked_at < STEP_ENTRIES && self.next_shard < SHARDS {
            table.retain_shard(self.next_shard, |position| {
                looked_at += 1;
                !is_dropped(&self.held, position)
            });
            self.next_shard += 1;
        }
        self.next_shard == SHARDS
    }

    /// The whole walk, where nobody waits.
    pub(super) fn all(mut self, table: &mut Table) {
        while !self.step(table) {}
    }
}

/// A segment that came after the walk began was not dropped before it.
fn is_dropped(held: &[u32], position: Position) -> bool {
    let segment = position.segment();
    held.last().is_some_and(|last| segment < *last) && held.binary_search(&segment).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn only_what_leads_into_a_gap_is_taken_for_dropped() {
        let is_dropped = |held: &[u32], segment| is_dropped(held, Position::new(segment, 4096));
        assert!(!is_dropped(&[], 0), "an empty journal says nothing");
        let expected = [(0, true), (1, true), (2, false), (3, true), (4, false), (5, false)];
        for (segment, expected) in expected {
            assert_eq!(is_dropped(&[2, 4], segment), expected, "segment {segment}");
        }
    }

    /// Prints what a postback may have to wait for; asserts no time.
    #[test]
    fn steps_let_go_of_what_was_dropped_and_of_nothing_else() {
        let entries = 2_000_000u32;
        let mut table = Table::new(entries as usize);
        for n in 0..entries {
            let hash = u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            table.insert(hash, Position::new(n % 1_000, 4096 + 16 * (n / 1_000))).unwrap();
        }
        let before_bytes = table.memory_bytes();
        let mut sweep = Sweep { held: (100..1_001).collect(), next_shard: 0 };
        let (mut steps, mut longest) = (0, std::time::Duration::ZERO);
        loop {
            let before = Clock::System.monotonic();
            let is_last = sweep.step(&mut table);
            longest = longest.max(Clock::System.monotonic() - before);
            steps += 1;
            if is_last {
                break;
            }
        }
        println!("{steps} steps over {entries} entries, the longest took {longest:?}");
        assert_eq!(table.len(), 1_800_000);
        assert!(table.iter().all(|(_, position)| position.segment() >= 100));
        assert!(steps > 50, "{steps} steps");
        // A tenth has gone, and its memory but for what a shard keeps free.
        let after_bytes = table.memory_bytes();
        assert!(after_bytes < before_bytes / 100 * 95, "{before_bytes} B before, {after_bytes} B after");
        Sweep { held: vec![2_000], next_shard: 0 }.all(&mut table);
        assert_eq!((table.len(), table.memory_bytes()), (0, Table::new(1).memory_bytes()));
    }
}
