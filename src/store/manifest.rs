//! What the store knows of its own segments.
//!
//! Two files, `manifest-a` and `manifest-b`, each a whole manifest. A change is written to the one that is
//! not current, and synced; the readable one with the higher sequence number is current. A crash while one
//! is written leaves the other.
//!
//! ```text
//!   0  magic    "CLKLOGMF"
//!   8  format   u16     version of this layout
//!  10  node     u16     who the store belongs to
//!  12  flags    u32     bit 0: everything was sealed when it was written (a clean stop)
//!  16  sequence u64     one more with each change
//!  24  store    [16]    random, made once
//!  40  created  i64     microseconds
//!  48  lanes    u32     how many of the next
//!  52  segments u32     how many of the ones after that
//!  56  lane:    journal u8 | lane u8 | 0 u16 | next_segment u32                      8 bytes each
//!      segment: journal u8 | lane u8 | state u8 | 0 u8 | segment u32 | generation u32   12 bytes each
//!      crc32c   u32     over everything before it
//! ```
//!
//! Keeps: `next_segment` only grows, so a segment id is never handed out twice; "cannot be read" is never
//! taken for "there is none".

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Journal;
use super::directory::{Directory, SegmentFile, sync_folder};
use super::error::{Error, Result};
use crate::clock::Timestamp;
use crate::event::click_id::Place;

const MAGIC: [u8; 8] = *b"CLKLOGMF";
const FORMAT: u16 = 1;
const HEAD_BYTES: usize = 56;
const LANE_BYTES: usize = 8;
const SEGMENT_BYTES: usize = 12;
const CLEAN: u32 = 1;
/// What is wrong with a slot that a later version has written.
const UNKNOWN_FORMAT: &str = "its format is unknown to this build";
const SLOTS: [&str; 2] = ["manifest-a", "manifest-b"];

/// How a segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Its id is taken; its file may not exist yet, and nothing is in it.
    Reserved = 1,
    /// It may hold records.
    Open = 2,
    /// It is immutable and has a footer.
    Sealed = 3,
    /// Its file could not be understood and was moved to `quarantine/`.
    Quarantined = 4,
    /// Its file is gone though nobody here removed it.
    Missing = 5,
}

impl State {
    fn from_code(code: u8) -> Option<Self> {
        [Self::Reserved, Self::Open, Self::Sealed, Self::Quarantined, Self::Missing]
            .into_iter()
            .find(|state| *state as u8 == code)
    }
}

/// Tries to read it beside a writer: each meets two updates in a row only by bad luck.
const PEEKS_MAX: u32 = 4;

/// A segment, as the manifest has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which rewrite is current.
    pub generation: u32,
    /// How it stands.
    pub state: State,
}

/// One lane, as the manifest has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneEntry {
    /// The id that the next new segment gets.
    pub next_segment: u32,
    /// The segments that exist.
    pub segments: BTreeMap<u32, Entry>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// One more with each change.
    pub sequence: u64,
    /// Random bytes that tell this store from any other.
    pub store: [u8; 16],
    /// Who it belongs to.
    pub node: u16,
    /// When it was made.
    pub created: Timestamp,
    /// Whether everything was sealed when this was written.
    pub clean: bool,
    /// Its lanes.
    pub lanes: BTreeMap<(Journal, u8), LaneEntry>,
}

impl Manifest {
    /// The manifest of a store that has nothing yet.
    pub fn new(store: [u8; 16], node: u16, created: Timestamp) -> Self {
        Self { sequence: 0, store, node, created, clean: true, lanes: BTreeMap::new() }
    }

    /// The bytes of a slot.
    pub fn encode(&self) -> Vec<u8> {
        let segments: usize = self.lanes.values().map(|lane| lane.segments.len()).sum();
        let mut bytes = Vec::with_capacity(
            HEAD_BYTES + self.lanes.len() * LANE_BYTES + segments * SEGMENT_BYTES + size_of::<u32>(),
        );
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(self.node.to_le_bytes());
        bytes.extend(if self.clean { CLEAN } else { 0 }.to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.store);
        bytes.extend(self.created.micros().to_le_bytes());
        bytes.extend(count(self.lanes.len()).to_le_bytes());
        bytes.extend(count(segments).to_le_bytes());
        for ((journal, lane), entry) in &self.lanes {
            bytes.extend([journal.code(), *lane, 0, 0]);
            bytes.extend(entry.next_segment.to_le_bytes());
        }
        for ((journal, lane), entry) in &self.lanes {
            for (segment, entry) in &entry.segments {
                bytes.extend([journal.code(), *lane, entry.state as u8, 0]);
                bytes.extend(segment.to_le_bytes());
                bytes.extend(entry.generation.to_le_bytes());
            }
        }
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a slot.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> std::result::Result<Self, &'static str> {
        let (body, crc) = bytes.split_last_chunk().ok_or("it is too short")?;
        if body.len() < HEAD_BYTES || body[..8] != MAGIC {
            return Err("it is no manifest");
        }
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err("its checksum does not match");
        }
        let mut fields = Fields(&body[8..]);
        if fields.u16() != FORMAT {
            return Err(UNKNOWN_FORMAT);
        }
        let node = fields.u16();
        let clean = fields.u32() & CLEAN != 0;
        let sequence = fields.u64();
        let store = fields.take();
        let created = Timestamp::from_micros(i64::from_le_bytes(fields.take()));
        let (lanes, segments) = (fields.u32() as usize, fields.u32() as usize);
        let expected =
            lanes.saturating_mul(LANE_BYTES).saturating_add(segments.saturating_mul(SEGMENT_BYTES));
        if fields.0.len() != expected {
            return Err("its counts do not match its length");
        }
        let mut manifest = Self { clean, sequence, ..Self::new(store, node, created) };
        for _ in 0..lanes {
            let key = fields.lane().ok_or("it names an unknown journal")?;
            let _padding: [u8; 2] = fields.take();
            let entry = LaneEntry { next_segment: fields.u32(), segments: BTreeMap::new() };
            manifest.lanes.insert(key, entry);
        }
        for _ in 0..segments {
            let key = fields.lane().ok_or("it names an unknown journal")?;
            let [state, _padding] = fields.take();
            let state = State::from_code(state).ok_or("it names an unknown state")?;
            let (segment, generation) = (fields.u32(), fields.u32());
            let lane = manifest.lanes.get_mut(&key).ok_or("it has a segment without a lane")?;
            if segment >= lane.next_segment {
                return Err("it has a segment beyond the lane's next");
            }
            lane.segments.insert(segment, Entry { generation, state });
        }
        Ok(manifest)
    }

    /// Reads it without the folder's lock, so perhaps while it is written; nothing if the folder holds no store.
    ///
    /// # Errors
    /// As `ManifestFile::load`.
    pub fn peek(directory: &Directory) -> Result<Option<Self>> {
        let mut tries_left = PEEKS_MAX;
        loop {
            match ManifestFile::load(directory) {
                // Who reads slowly may see half of one slot and then half of the other.
                Err(Error::Manifest { .. }) if tries_left > 1 => tries_left -= 1,
                loaded => return Ok(loaded?.map(|file| file.current)),
            }
        }
    }

    /// Of the files of a lane, one for each segment: the generation that is named here, or else the oldest. A newer
    /// one was not published.
    pub fn current_files(&self, journal: Journal, lane: u8, files: Vec<SegmentFile>) -> Vec<SegmentFile> {
        let known = self.lanes.get(&(journal, lane));
        let mut kept: Vec<SegmentFile> = Vec::new();
        for file in files {
            let published =
                known.and_then(|lane| lane.segments.get(&file.segment)).map(|entry| entry.generation);
            match kept.last_mut() {
                Some(last) if last.segment == file.segment => {
                    if published == Some(file.generation) {
                        *last = file;
                    }
                }
                _ => kept.push(file),
            }
        }
        kept
    }

    /// A segment id of a lane that was taken, and for which no file could be made yet.
    pub fn reserved(&self, journal: Journal, lane: u8) -> Option<u32> {
        let segments = &self.lanes.get(&(journal, lane))?.segments;
        segments.iter().find(|(_, entry)| entry.state == State::Reserved).map(|(segment, _)| *segment)
    }

    /// Takes the next segment id of a lane.
    ///
    /// # Errors
    /// `SegmentIdsExhausted` when a click ID could not name it.
    pub fn reserve(&mut self, journal: Journal, lane: u8) -> Result<u32> {
        let entry = self.lanes.entry((journal, lane)).or_default();
        let segment = entry.next_segment;
        if segment > Place::SEGMENT_MAX {
            let max = Place::SEGMENT_MAX;
            return Err(Error::SegmentIdsExhausted { journal: journal.name(), lane, max });
        }
        entry.next_segment += 1;
        entry.segments.insert(segment, Entry { generation: 0, state: State::Reserved });
        Ok(segment)
    }

    /// Says how a segment stands.
    pub fn set(&mut self, journal: Journal, lane: u8, segment: u32, state: State) {
        let entry = self.lanes.entry((journal, lane)).or_default();
        entry.next_segment = entry.next_segment.max(segment + 1);
        entry.segments.entry(segment).or_insert(Entry { generation: 0, state }).state = state;
    }

    /// A segment, if it knows one of this number.
    pub fn entry(&self, journal: Journal, lane: u8, segment: u32) -> Option<Entry> {
        self.lanes.get(&(journal, lane))?.segments.get(&segment).copied()
    }

    /// Says which rewrite of a segment is current.
    pub fn set_generation(&mut self, journal: Journal, lane: u8, segment: u32, generation: u32) {
        let entry = self.lanes.get_mut(&(journal, lane)).and_then(|lane| lane.segments.get_mut(&segment));
        if let Some(entry) = entry {
            entry.generation = generation;
        }
    }

    /// Forgets a segment. Its id stays used.
    pub fn forget(&mut self, journal: Journal, lane: u8, segment: u32) {
        if let Some(entry) = self.lanes.get_mut(&(journal, lane)) {
            entry.segments.remove(&segment);
        }
    }
}

/// What is left to read of a slot whose length has been checked.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        if let Some((first, rest)) = self.0.split_first_chunk() {
            (bytes, self.0) = (*first, rest);
        }
        bytes
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn lane(&mut self) -> Option<(Journal, u8)> {
        let [journal, lane] = self.take();
        Some((Journal::from_code(journal)?, lane))
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The manifest and its two files.
#[derive(Debug)]
pub struct ManifestFile {
    root: PathBuf,
    current: Manifest,
    /// Which slot holds `current`.
    slot: usize,
}

impl ManifestFile {
    /// Reads the manifest of a data folder; nothing if the folder holds no store.
    ///
    /// # Errors
    /// `Manifest` if there is a store but neither slot can be read; `Newer` if a later version has written one of them.
    pub fn load(directory: &Directory) -> Result<Option<Self>> {
        let root = directory.root().to_owned();
        let mut best: Option<(Manifest, usize)> = None;
        let mut faults = Vec::new();
        for (slot, name) in SLOTS.into_iter().enumerate() {
            let path = root.join(name);
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("read", &path)(error)),
            };
            match Manifest::decode(&bytes) {
                Ok(manifest) if best.as_ref().is_none_or(|(best, _)| best.sequence < manifest.sequence) => {
                    best = Some((manifest, slot));
                }
                Ok(_older) => {}
                // The other slot says how it was before the later version came.
                Err(UNKNOWN_FORMAT) => return Err(Error::Newer { path: root }),
                Err(what) => faults.push(format!("{name}: {what}")),
            }
        }
        match best {
            Some((current, slot)) => Ok(Some(Self { root, current, slot })),
            None if faults.is_empty() && directory.lanes()?.is_empty() => Ok(None),
            None if faults.is_empty() => {
                Err(Error::Manifest { path: root, what: "both are missing, but there are segments".into() })
            }
            None => Err(Error::Manifest { path: root, what: faults.join("; ") }),
        }
    }

    /// Makes the manifest of a new store.
    ///
    /// # Errors
    /// What writing says.
    pub fn create(directory: &Directory, manifest: Manifest) -> Result<Self> {
        let mut file = Self { root: directory.root().to_owned(), current: manifest, slot: 1 };
        file.update(|_| Ok(()))?;
        Ok(file)
    }

    /// What it says now.
    pub fn current(&self) -> &Manifest {
        &self.current
    }

    /// Changes it, durably. When this fails nothing has changed.
    ///
    /// # Errors
    /// What `change` or writing says.
    pub fn update<T>(&mut self, change: impl FnOnce(&mut Manifest) -> Result<T>) -> Result<T> {
        let mut next = self.current.clone();
        let made = change(&mut next)?;
        next.sequence += 1;
        let slot = 1 - self.slot;
        let path = self.root.join(SLOTS[slot]);
        write_slot(&path, &next.encode())?;
        (self.current, self.slot) = (next, slot);
        Ok(made)
    }
}

fn write_slot(path: &Path, bytes: &[u8]) -> Result<()> {
    let is_new = !path.exists();
    let write = || -> io::Result<File> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        Ok(file)
    };
    let file = write().map_err(Error::io("write", path))?;
    file.sync_all().map_err(Error::io("sync", path))?;
    if is_new {
        sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let mut manifest = Manifest::new([7; 16], 3, Timestamp::from_seconds(1_000));
        for _ in 0..3 {
            manifest.reserve(Journal::Clicks, 1).unwrap();
        }
        manifest.reserve(Journal::Postbacks, 0).unwrap();
        manifest.set(Journal::Clicks, 1, 0, State::Sealed);
        manifest.set(Journal::Clicks, 1, 1, State::Open);
        manifest.forget(Journal::Clicks, 1, 2);
        manifest
    }

    #[test]
    fn it_reads_back_and_no_flip_or_cut_goes_unnoticed() {
        let bytes = sample().encode();
        assert_eq!(Manifest::decode(&bytes), Ok(sample()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&flipped).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..cut]).is_err(), "cut at byte {cut}");
        }
    }

    #[test]
    fn an_id_is_never_reserved_twice() {
        let mut manifest = sample();
        assert_eq!(manifest.reserve(Journal::Clicks, 1).unwrap(), 3, "forgotten is still used");
        manifest.set(Journal::Clicks, 1, 9, State::Sealed);
        assert_eq!(manifest.reserve(Journal::Clicks, 1).unwrap(), 10, "found on disk is used");
    }

    #[test]
    fn ids_end_where_a_click_id_can_name_no_more() {
        let mut manifest = sample();
        manifest.set(Journal::Clicks, 0, Place::SEGMENT_MAX, State::Sealed);
        assert!(matches!(manifest.reserve(Journal::Clicks, 0), Err(Error::SegmentIdsExhausted { .. })));
    }

    /// Damages each slot in turn: the other serves. Damages both: refused, and not taken for a new folder.
    #[test]
    fn one_slot_is_enough_and_none_is_not_a_fresh_start() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(root.path());
        assert!(ManifestFile::load(&directory).unwrap().is_none());
        let mut file = ManifestFile::create(&directory, sample()).unwrap();
        file.update(|manifest| manifest.reserve(Journal::Clicks, 5)).unwrap();
        let newest = file.current().clone();

        let loaded = ManifestFile::load(&directory).unwrap().unwrap();
        assert_eq!(loaded.current(), &newest);

        let newer_slot = root.path().join(SLOTS[loaded.slot]);
        fs::write(&newer_slot, "torn").unwrap();
        let loaded = ManifestFile::load(&directory).unwrap().unwrap();
        assert_eq!(loaded.current().sequence, newest.sequence - 1);

        fs::write(root.path().join(SLOTS[loaded.slot]), "").unwrap();
        assert!(matches!(ManifestFile::load(&directory), Err(Error::Manifest { .. })));
    }

    #[test]
    fn what_a_later_version_has_written_is_not_taken_for_what_was_before_it() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(root.path());
        let mut file = ManifestFile::create(&directory, sample()).unwrap();
        file.update(|manifest| manifest.reserve(Journal::Clicks, 5)).unwrap();
        let path = root.path().join(SLOTS[file.slot]);
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.len() - size_of::<u32>();
        bytes[MAGIC.len()..][..2].copy_from_slice(&(FORMAT + 1).to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        assert!(matches!(ManifestFile::load(&directory), Err(Error::Newer { .. })));
    }

    #[test]
    fn segments_without_a_manifest_are_not_a_fresh_start() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("clicks/lane-00")).unwrap();
        assert!(matches!(ManifestFile::load(&Directory::new(root.path())), Err(Error::Manifest { .. })));
    }
}
