//! One segment that is being written: made, appended to, read, sealed.
//!
//! In: encoded events, from the lane's writer. Out: the published records, to any thread.
//! Keeps: blocks and name are durable before the first record goes in, so an append meets neither a full
//! disk nor a lost file; ordinals are handed out once.
//! Not here: when to roll or to sync (`lane`), segments that are sealed (`sealed`).

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

use super::Journal;
use super::directory::{Directory, make_folder, sync_folder};
use super::error::{Error, Result};
use super::index_file::{self, Slot};
use super::layout::{Footer, HEADER_COPY_OFFSET, Header, Identity, Summary, mark_word, valid_segment_bytes};
use super::mapping::{LazyTable, MapName, RetiredWriter, SegmentMap, SegmentWriter, map_segment};
use super::published::Extent;
use super::record::{
    BODY_OFFSET, FOOTER_BYTES, FRAME_BYTES, Frame, RECORD_ALIGN, RECORD_BYTES_MIN, Record, span_of,
};
use super::space::Disk;
use crate::clock::Timestamp;
use crate::event::codec::Encoded;

/// How to make a segment.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which one.
    pub identity: Identity,
    /// Length of the file.
    pub segment_bytes: u32,
    /// The time to note in it.
    pub created: Timestamp,
    /// The version of the key that ids of its clicks are made with.
    pub click_key: u8,
}

/// A segment that is being written, as readers and the sync thread see it.
#[derive(Debug)]
pub struct Segment {
    identity: Identity,
    seed: u32,
    path: PathBuf,
    file: File,
    map: Arc<SegmentMap>,
    table: LazyTable,
    /// How far a sync has gone; only the holder of the lane's sync turn stores to it.
    synced: AtomicU32,
}

/// The right to append to one segment.
#[derive(Debug)]
pub struct Appender {
    segment: Arc<Segment>,
    writer: SegmentWriter,
    summary: Summary,
}

/// A segment that is full or was rolled, and waits to be sealed.
#[derive(Debug)]
pub struct Retired {
    segment: Arc<Segment>,
    writer: RetiredWriter,
    summary: Summary,
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where its frame begins.
    pub offset: u32,
    /// Its number in the segment.
    pub ordinal: u32,
}

/// What a segment says of an ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// Its record begins here, and may be read.
    At(u32),
    /// Not published yet.
    NotYet,
}

/// Makes a segment file with all its blocks, durable by name, and maps it.
///
/// # Errors
/// `Io` with a full-disk cause where there is no room; the file is removed again.
pub fn prepare(directory: &Directory, disk: &Disk, plan: &Plan) -> Result<Appender> {
    let identity = plan.identity;
    assert!(valid_segment_bytes(plan.segment_bytes), "options are checked when the store is opened");
    let folder = directory.lane(identity.journal, identity.lane);
    make_folder(&folder)?;
    let path = directory.segment(identity.journal, identity.lane, identity.segment, identity.generation);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&path)
        .map_err(Error::io("create", &path))?;
    let made = fill(&file, &path, disk, plan).and_then(|()| sync_folder(&folder));
    let made = made.and_then(|()| map(file, path.clone(), plan));
    if made.is_err() {
        // Best effort: what could not be made must not look like a segment at the next start.
        let _gone = fs::remove_file(&path);
    }
    made
}

/// Gives a new file its blocks and its header.
fn fill(file: &File, path: &Path, disk: &Disk, plan: &Plan) -> Result<()> {
    let bytes = u64::from(plan.segment_bytes);
    disk.allocate(file, bytes).map_err(Error::io("allocate", path))?;
    let Plan { identity, segment_bytes, created, click_key } = *plan;
    let header = Header { identity, segment_bytes, created, click_key };
    let page = header.to_bytes();
    file.write_all_at(&page, 0)
        .and_then(|()| file.write_all_at(&page, HEADER_COPY_OFFSET))
        .map_err(Error::io("write", path))?;
    file.sync_all().map_err(Error::io("sync", path))?;
    // Blocks are set aside and not written: to write 64 MiB of zeros beside a journal at work delayed a hundredth of
    // all answers by 5 ms, and with pages kept apart a sync into written blocks is no faster.
    Ok(())
}

fn map(file: File, path: PathBuf, plan: &Plan) -> Result<Appender> {
    let identity = plan.identity;
    let name = map_name(&identity);
    let writer = map_segment(&file, plan.segment_bytes, name).map_err(Error::io("map", &path))?;
    let body_bytes = plan.segment_bytes - BODY_OFFSET - FOOTER_BYTES;
    let slots = (body_bytes / RECORD_BYTES_MIN) as usize;
    let segment = Segment {
        identity,
        seed: identity.seed(),
        file,
        map: Arc::clone(writer.map()),
        table: LazyTable::new(slots).map_err(Error::io("make the index of", &path))?,
        path,
        synced: AtomicU32::new(BODY_OFFSET),
    };
    Ok(Appender { segment: Arc::new(segment), writer, summary: Summary::default() })
}

/// What a mapping of this segment is called.
pub(super) fn map_name(identity: &Identity) -> MapName {
    MapName { journal: identity.journal.name(), lane: identity.lane, segment: identity.segment }
}

impl Segment {
    /// Which segment this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its number in its lane.
    pub fn number(&self) -> u32 {
        self.identity.segment
    }

    /// Its journal.
    pub fn journal(&self) -> Journal {
        self.identity.journal
    }

    /// How far it may be read, and whether it will grow.
    pub fn extent(&self) -> Extent {
        self.map.extent()
    }

    /// The record at `offset`, if it is published.
    pub fn record(&self, offset: u32) -> Option<Record<'_>> {
        let frame = self.map.published(offset, FRAME_BYTES)?;
        let frame = Frame::from_bytes(*frame.first_chunk()?);
        let span = frame.span()?;
        let bytes = self.map.published(offset, span)?;
        let payload = bytes.get(16..16 + frame.len as usize)?;
        // No checksum: this process wrote these bytes and nobody has changed them since (`mapping`).
        let Frame { kind, schema, ordinal, .. } = frame;
        Some(Record { offset, kind, schema, ordinal, payload })
    }

    /// The records from `offset` on, as far as they are published now.
    pub fn records_from(&self, mut offset: u32) -> impl Iterator<Item = Record<'_>> {
        std::iter::from_fn(move || {
            let record = self.record(offset)?;
            offset = record.end();
            Some(record)
        })
    }

    /// Where the record with this ordinal is.
    pub fn locate(&self, ordinal: u32) -> Located {
        let slot = self.table.slots().get(ordinal as usize);
        match slot.map(|slot| Slot::from_word(slot.load(Ordering::Relaxed))) {
            // The slot may be seen before the bytes: only the Acquire load in `extent` makes those visible.
            Some(Slot::At(offset)) if offset < self.extent().end => Located::At(offset),
            _ => Located::NotYet,
        }
    }

    /// How far it is on stable storage.
    pub fn synced(&self) -> u32 {
        self.synced.load(Ordering::Acquire)
    }

    /// Brings everything that is published now to stable storage, and says how far that is.
    ///
    /// # Errors
    /// What `fdatasync` says. Then the page cache cannot be trusted: poison the store.
    pub(super) fn sync(&self) -> Result<Extent> {
        let extent = self.extent();
        if extent.end > self.synced() {
            self.file.sync_data().map_err(Error::io("sync", &self.path))?;
            self.map.store_mark(mark_word(self.seed, extent.end));
            self.synced.store(extent.end, Ordering::Release);
        }
        Ok(extent)
    }

    /// Makes the pages of `[start, start + bytes)` writable without a fault.
    pub(super) fn populate(&self, start: u32, bytes: u32) -> Result<()> {
        match self.map.populate(start, start.saturating_add(bytes)) {
            // Linux before 5.14 does not know the advice: then the first store to a page faults it in.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            done => done.map_err(Error::io("populate", &self.path)),
        }
    }
}

impl Appender {
    /// The segment, for readers.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// How many records it holds.
    pub fn records(&self) -> u32 {
        self.summary.records
    }

    /// Where the next record goes.
    pub fn tail(&self) -> u32 {
        self.writer.tail()
    }

    /// Whether a payload of this length still goes in.
    pub fn fits(&self, payload_bytes: u32) -> bool {
        span_of(payload_bytes) <= self.writer.body_end() - self.writer.tail()
    }

    /// Adds a record and publishes it.
    ///
    /// # Panics
    /// If it does not fit: ask `fits`.
    #[inline]
    pub fn append(&mut self, event: &Encoded<'_>) -> Placed {
        let (offset, ordinal) = (self.writer.tail(), self.summary.next_ordinal);
        let kind = event.kind.code();
        let frame = Frame::around(self.segment.seed, offset, kind, event.schema, ordinal, event.payload);
        self.writer.append(frame, event.payload);
        if let Some(slot) = self.segment.table.slots().get(ordinal as usize) {
            slot.store(offset / RECORD_ALIGN, Ordering::Relaxed);
        }
        self.summary.add(kind, ordinal, self.writer.tail(), event.time);
        Placed { offset, ordinal }
    }

    /// Ends it: nothing more will be appended.
    pub fn retire(self) -> Retired {
        Retired { segment: self.segment, writer: self.writer.retire(), summary: self.summary }
    }
}

impl Retired {
    /// The segment, for readers.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Whether all of its records are on stable storage; only then may it be sealed.
    pub fn is_synced(&self) -> bool {
        self.segment.synced() == self.summary.end
    }

    /// Whether nothing was ever appended to it.
    pub fn is_empty(&self) -> bool {
        self.summary.records == 0
    }

    /// Removes the file of a segment that holds nothing.
    ///
    /// # Panics
    /// If it holds something.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn discard(&self) -> Result<()> {
        assert!(self.is_empty(), "only an unused segment is thrown away");
        match fs::remove_file(&self.segment.path) {
            // An earlier try came this far, and could not write it down.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done.map_err(Error::io("remove", &self.segment.path)),
        }
    }

    /// Writes footer and index, gives unused blocks back, and syncs. Gives the footer, and the path. What a full
    /// disk stopped may be done again.
    ///
    /// # Panics
    /// If its records are not synced.
    ///
    /// # Errors
    /// What the system says. A failed sync must poison the store.
    pub(super) fn seal(&mut self, now: Timestamp) -> Result<(Footer, PathBuf)> {
        assert!(self.is_synced(), "a footer never vouches for records that may be lost");
        let segment = &self.segment;
        let bytes = u32::try_from(segment.file.metadata().map_err(Error::io("stat", &segment.path))?.len())
            .unwrap_or(u32::MAX);
        let body = segment.map.published(BODY_OFFSET, self.summary.end - BODY_OFFSET).unwrap_or_default();
        let footer = Footer {
            identity: segment.identity,
            segment_bytes: bytes,
            summary: self.summary,
            body_crc: crc32c::crc32c(body),
            sealed: now,
            recovered: false,
        };
        self.writer.write_footer(&footer.to_bytes());
        let segment = &self.segment;
        give_back(&segment.file, self.summary.end, bytes);
        segment.file.sync_all().map_err(Error::io("sync", &segment.path))?;
        let used = segment.table.slots().iter().take(self.summary.next_ordinal as usize);
        let words: Vec<u32> = used.map(|slot| slot.load(Ordering::Relaxed)).collect();
        index_file::write(&segment.path, segment.seed, words.into_iter())?;
        Ok((footer, segment.path.clone()))
    }
}

/// Gives the blocks between the last record and the footer back to the file system. The length stays.
pub(super) fn give_back(file: &File, end: u32, segment_bytes: u32) {
    let start = u64::from(end.next_multiple_of(4096));
    let stop = u64::from(segment_bytes - FOOTER_BYTES);
    if start < stop {
        // A file system that cannot punch holes keeps the blocks: it costs room, nothing else.
        let _kept =
            fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, start, stop - start);
    }
}
