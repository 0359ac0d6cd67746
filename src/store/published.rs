//! How far a segment may be read, and whether it will grow.
//!
//! In: offsets, from the one writer. Out: the same, to any number of readers.
//! Keeps: what a reader is told was stored before, bytes and all; it never goes back; after `retire` it
//! never moves again.
//! Not here: the bytes (`mapping`).

use super::sync::{AtomicU64, Ordering};

/// Set once the writer has left the segment for the next one.
const FINAL: u64 = 1 << 63;

/// One word, stored with Release and loaded with Acquire.
#[derive(Debug)]
pub struct Published(AtomicU64);

/// What a reader is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes below this may be read and never change again.
    pub end: u32,
    /// Nothing will be added: `end` is where the segment ends.
    pub is_final: bool,
}

impl Published {
    /// Begins at `offset`.
    pub fn at(offset: u32) -> Self {
        Self(AtomicU64::new(u64::from(offset)))
    }

    /// Lets readers see everything below `end`. Only the writer calls this.
    pub fn advance(&self, end: u32) {
        self.0.store(u64::from(end), Ordering::Release);
    }

    /// Says that the writer is done. Only the writer calls this, once, as its last act.
    pub fn retire(&self) {
        let word = self.0.load(Ordering::Relaxed); // the writer's own last store
        self.0.store(word | FINAL, Ordering::Release);
    }

    /// How far it may be read now.
    pub fn extent(&self) -> Extent {
        let word = self.0.load(Ordering::Acquire);
        let end = u32::try_from(word & !FINAL).unwrap_or(0);
        Extent { end, is_final: word & FINAL != 0 }
    }
}
