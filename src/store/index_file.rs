//! The index of a sealed segment: ordinal to offset, 4 bytes a record.
//!
//! ```text
//!   0  magic     "CLKLOGIX"
//!   8  seed      u32   of the segment it belongs to
//!  12  count     u32   how many slots follow
//!  16  table_crc u32   crc32c over the slots
//!  20  head_crc  u32   crc32c over what is before it
//!  24  0         u64
//!  32  slots     u32 each: offset / 16; 0 = no such record; 0xffffffff = lost to corruption
//! ```
//!
//! In: offsets by ordinal. Out: the same, mapped.
//! Keeps: it is derived; a file that is missing or damaged is made again from the segment.

use std::fs::File;
use std::path::Path;

use super::directory::{index_path, write_whole};
use super::error::Result;
use super::mapping::{FrozenMap, MapName};
use super::record::RECORD_ALIGN;

const MAGIC: [u8; 8] = *b"CLKLOGIX";
const HEAD_BYTES: usize = 32;

/// A slot whose record was lost to corruption.
pub const LOST: u32 = u32::MAX;

/// What an index says of one ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The record begins at this offset.
    At(u32),
    /// There is no such record.
    Empty,
    /// There was one; the medium lost it.
    Lost,
}

impl Slot {
    /// Reads a stored slot.
    pub const fn from_word(word: u32) -> Self {
        match word {
            0 => Self::Empty,
            LOST => Self::Lost,
            units => Self::At(units.saturating_mul(RECORD_ALIGN)),
        }
    }
}

/// An index: its file mapped, or, where there is no room for a file, the same bytes in memory.
#[derive(Debug)]
pub struct IndexMap(Image);

#[derive(Debug)]
enum Image {
    Mapped(FrozenMap),
    Built(Vec<u8>),
}

impl IndexMap {
    /// Maps the index beside `segment`, and checks all of it. Nothing if it is missing, damaged, or of another
    /// segment.
    pub(super) fn open(segment: &Path, seed: u32, name: MapName) -> Option<Self> {
        let file = File::open(index_path(segment)).ok()?;
        let map = FrozenMap::open(&file, name).ok()?;
        check(map.bytes(), seed)?;
        Some(Self(Image::Mapped(map)))
    }

    /// Makes one without a file.
    pub(super) fn build(seed: u32, slots: impl ExactSizeIterator<Item = u32>) -> Self {
        Self(Image::Built(image(seed, slots)))
    }

    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Image::Mapped(map) => map.bytes(),
            Image::Built(bytes) => bytes,
        }
    }

    /// How many slots it has.
    pub fn len(&self) -> usize {
        (self.bytes().len() - HEAD_BYTES) / size_of::<u32>()
    }

    /// Whether it has no slot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it says of `ordinal`.
    pub fn slot(&self, ordinal: u32) -> Slot {
        let at = HEAD_BYTES + ordinal as usize * size_of::<u32>();
        let word = self.bytes().get(at..).and_then(|rest| rest.first_chunk());
        word.map_or(Slot::Empty, |word| Slot::from_word(u32::from_le_bytes(*word)))
    }
}

fn check(bytes: &[u8], seed: u32) -> Option<()> {
    let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
    let word = |at: usize| head[at..].first_chunk().map(|word| u32::from_le_bytes(*word));
    let slots = &bytes[HEAD_BYTES..];
    let whole = head[..8] == MAGIC
        && word(20)? == crc32c::crc32c(&head[..20])
        && word(8)? == seed
        && slots.len() == word(12)? as usize * size_of::<u32>()
        && word(16)? == crc32c::crc32c(slots);
    whole.then_some(())
}

/// Writes the index beside `segment`.
///
/// # Errors
/// What writing says.
pub fn write(segment: &Path, seed: u32, slots: impl ExactSizeIterator<Item = u32>) -> Result<()> {
    write_whole(&index_path(segment), &image(seed, slots), 0o644)
}

fn image(seed: u32, slots: impl ExactSizeIterator<Item = u32>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + slots.len() * size_of::<u32>());
    bytes.extend(MAGIC);
    bytes.extend(seed.to_le_bytes());
    bytes.extend(u32::try_from(slots.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.resize(HEAD_BYTES, 0);
    slots.for_each(|slot| bytes.extend(slot.to_le_bytes()));
    let table_crc = crc32c::crc32c(&bytes[HEAD_BYTES..]);
    bytes[16..20].copy_from_slice(&table_crc.to_le_bytes());
    let head_crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&head_crc.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: MapName = MapName { journal: "clicks", lane: 0, segment: 0 };

    #[test]
    fn it_reads_back_and_any_damage_makes_it_absent() {
        let root = tempfile::tempdir().unwrap();
        let segment = root.path().join("0000001-0.seg");
        assert!(IndexMap::open(&segment, 5, NAME).is_none(), "missing");
        write(&segment, 5, [256u32, 0, LOST].into_iter()).unwrap();
        let index = IndexMap::open(&segment, 5, NAME).unwrap();
        let slots: Vec<_> = (0..4).map(|ordinal| index.slot(ordinal)).collect();
        assert_eq!(slots, [Slot::At(4096), Slot::Empty, Slot::Lost, Slot::Empty]);
        assert!(IndexMap::open(&segment, 6, NAME).is_none(), "of another segment");

        let path = index_path(&segment);
        let whole = std::fs::read(&path).unwrap();
        for at in (0..24).chain(HEAD_BYTES..whole.len()) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, flipped).unwrap();
            assert!(IndexMap::open(&segment, 5, NAME).is_none(), "byte {at}");
        }
    }
}
