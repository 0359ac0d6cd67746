//! Which key the ids of a lane's clicks were made with.
//!
//! In: the headers of the segments that are there when a store is opened. Out: the version of the key, for the number of
//! a segment, from memory.
//! Keeps: versions only grow along a lane, so only the ends of eras are kept, and looking for one reads few headers; of a
//! segment that is gone, or whose header is damaged, its neighbour tells: the next one that is there, or else the last.
//! Not here: the same for who reads from outside (`reader::ClickIds`).

use std::fs::File;
use std::sync::Arc;

use super::sealed::{Sealed, read_header};

/// Of one lane.
#[derive(Debug)]
pub(super) struct Eras {
    /// The last segment of each era, and the version of its key, in order.
    past: Vec<(u32, u8)>,
    /// The first segment that is made with the current key for certain.
    present: u32,
    current: u8,
}

impl Eras {
    /// Of a lane all of whose clicks have the current key.
    pub(super) fn one(current: u8) -> Self {
        Self { past: Vec::new(), present: 0, current }
    }

    /// Of a lane with these segments; those from `present` on are made with the current key.
    pub(super) fn read(sealed: &[Arc<Sealed>], present: u32, current: u8) -> Self {
        let version = |at: usize| {
            let (before, from) = sealed.split_at(at);
            let nearest = from.iter().chain(before.iter().rev());
            nearest.into_iter().find_map(|one| version_of(one)).unwrap_or(current)
        };
        let places: Vec<usize> = (0..sealed.len()).collect();
        let (mut past, mut from) = (Vec::new(), 0);
        while from < sealed.len() {
            let era = version(from);
            let end = from + 1 + places[from + 1..].partition_point(|at| version(*at) <= era);
            past.push((sealed[end - 1].footer().identity.segment, era));
            from = end;
        }
        Self { past, present, current }
    }

    /// The version that the ids of this segment's clicks were made with.
    pub(super) fn version(&self, segment: u32) -> u8 {
        if segment >= self.present {
            return self.current;
        }
        let era = self.past.iter().find(|(last, _)| *last >= segment).or(self.past.last());
        era.map_or(self.current, |(_, version)| *version)
    }
}

/// Nothing if it cannot be read.
fn version_of(sealed: &Sealed) -> Option<u8> {
    let header = File::open(sealed.path()).and_then(|file| read_header(&file)).ok()??;
    Some(header.click_key)
}
