//! Reading a store from outside: batch jobs, in this process or another, beside a running daemon or without.
//!
//! In: a data folder and where to begin. Out: records in the order of their lane, each with its checksum
//! checked, and where to go on.
//! Keeps: it takes no lock and writes nothing. Sealed segments are mapped and read in place; a segment that is
//! still written is copied, checked, and never mapped, because its writer may be gone tomorrow and its file
//! shorter.
//! Not here: what a record means (`event::codec::decode`), look-ups as often as requests come (`Clicks`).
//!
//! ```no_run
//! use std::ops::ControlFlow;
//!
//! use clicklog::event::codec::{Event, decode};
//! use clicklog::store::{Journal, reader::{Cursor, Reader}};
//!
//! let reader = Reader::open("clicklog-data");
//! for lane in reader.lanes(Journal::Clicks)? {
//!     reader.read(Journal::Clicks, lane, Cursor::default(), |_position, record| {
//!         if let Ok(Event::Click(click)) = decode(record.kind, record.schema, record.payload) {
//!             println!("{} {}", click.time, click.campaign);
//!         }
//!         ControlFlow::Continue(())
//!     })?;
//! }
//! # Ok::<(), clicklog::store::Error>(())
//! ```

mod click_ids;
mod find;
mod held;
mod shown;

pub use click_ids::ClickIds;
pub use held::Held;
pub use shown::Shown;

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rkyv::util::AlignedVec;

use super::Journal;
use super::directory::{Directory, SegmentFile};
use super::error::{Error, Result};
use super::layout::Header;
use super::manifest::{Manifest, State};
use super::mapping::FrozenMap;
use super::position::Position;
use super::record::{
    BODY_OFFSET, FOOTER_BYTES, Found, PAYLOAD_BYTES_MAX, Record, behind_zeros, read_at, read_copied, span_of,
};
use super::sealed::read_footer;
use super::segment::map_name;

/// Bytes of an unsealed segment that are copied at once.
const COPY_BYTES: u32 = 1024 * 1024;

const _: () = assert!(COPY_BYTES > span_of(PAYLOAD_BYTES_MAX), "the longest record fits a copy");

/// See the module.
#[derive(Clone, Debug)]
pub struct Reader {
    directory: Directory,
}

/// Where to go on reading a lane: at this offset of this segment, or what follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// Number of the segment.
    pub segment: u32,
    /// Offset in it; 0 means its beginning.
    pub offset: u32,
}

impl Reader {
    /// A reader of this data folder. Nothing is opened yet.
    pub fn open(data: impl Into<PathBuf>) -> Self {
        Self { directory: Directory::new(data) }
    }

    /// The folder.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The lanes of a journal.
    ///
    /// # Errors
    /// What reading the folder says.
    pub fn lanes(&self, journal: Journal) -> Result<Vec<u8>> {
        let lanes = self.directory.lanes()?;
        Ok(lanes.into_iter().filter(|(of, _)| *of == journal).map(|(_, lane)| lane).collect())
    }

    /// Segments of a lane that were sealed or set aside and cannot be read: in quarantine, or their file is gone.
    /// What retention dropped is not among them.
    ///
    /// # Errors
    /// What reading the manifest says.
    pub fn unreadable(&self, journal: Journal, lane: u8) -> Result<Vec<u32>> {
        let suspects = self.not_there(journal, lane)?;
        if suspects.is_empty() {
            return Ok(suspects);
        }
        // Once more: the manifest forgets a segment before its file goes, and that may have been just now.
        let still = self.not_there(journal, lane)?;
        Ok(suspects.into_iter().filter(|segment| still.contains(segment)).collect())
    }

    fn not_there(&self, journal: Journal, lane: u8) -> Result<Vec<u32>> {
        let manifest = Manifest::peek(&self.directory)?;
        let entry = manifest.as_ref().and_then(|manifest| manifest.lanes.get(&(journal, lane)));
        let missing =
            entry.into_iter().flat_map(|lane_entry| &lane_entry.segments).filter(|(segment, entry)| {
                let path = self.directory.segment(journal, lane, **segment, entry.generation);
                match entry.state {
                    State::Quarantined => true,
                    State::Sealed | State::Missing => !path.exists(),
                    State::Reserved | State::Open => false,
                }
            });
        Ok(missing.map(|(segment, _)| *segment).collect())
    }

    /// Gives `each` the records of a lane from `from` on, gaps left out, until it breaks or there are no more;
    /// says where to go on. Segments that were dropped or cannot be read (`unreadable`) are passed by.
    ///
    /// # Errors
    /// `Corrupt` at a byte of a sealed segment that is no record, `Manifest` if nothing says which files are current,
    /// or what reading says.
    pub fn read(
        &self,
        journal: Journal,
        lane: u8,
        from: Cursor,
        mut each: impl FnMut(Position, &Record<'_>) -> ControlFlow<()>,
    ) -> Result<Cursor> {
        let mut cursor = from;
        while let Listing::Stale = read_files(&self.files(journal, lane)?, &mut cursor, &mut each)? {}
        Ok(cursor)
    }

    /// The files of a lane, one of each segment: the generation that the manifest names.
    ///
    /// # Errors
    /// `Manifest`, or what reading the folder says.
    pub fn files(&self, journal: Journal, lane: u8) -> Result<Vec<SegmentFile>> {
        // In this order: a generation that is named is there, or its segment was rewritten again or dropped.
        let manifest = Manifest::peek(&self.directory)?;
        let files = self.directory.segments(journal, lane)?;
        Ok(match manifest {
            Some(manifest) => manifest.current_files(journal, lane, files),
            None => files,
        })
    }
}

/// What became of a list of files while they were read.
enum Listing {
    Whole,
    /// One was gone: its segment was dropped, or rewritten and has another file.
    Stale,
}

/// Reads files from `cursor` on, and moves it.
fn read_files(
    files: &[SegmentFile],
    cursor: &mut Cursor,
    each: &mut impl FnMut(Position, &Record<'_>) -> ControlFlow<()>,
) -> Result<Listing> {
    let first = cursor.segment;
    // A segment that was still written when it was read, and where that ended.
    let mut unfinished: Option<(&SegmentFile, u32)> = None;
    for file in files.iter().filter(|file| file.segment >= first) {
        if let Some((before, end)) = unfinished {
            match has_records(file)? {
                None => return Ok(Listing::Stale),
                Some(false) => continue,
                Some(true) => {}
            }
            // It is final now, and may have got more before this one got its first.
            let Some(ended) = read_segment(before, end, each)? else { return Ok(Listing::Stale) };
            *cursor = Cursor { segment: before.segment, offset: ended.offset };
            if ended.flow.is_break() {
                break;
            }
        }
        let start = if file.segment == cursor.segment { cursor.offset.max(BODY_OFFSET) } else { BODY_OFFSET };
        let Some(ended) = read_segment(file, start, each)? else { return Ok(Listing::Stale) };
        // A prepared segment has no record yet: it is not where reading goes on.
        if ended.offset > BODY_OFFSET || file.segment == cursor.segment {
            *cursor = Cursor { segment: file.segment, offset: ended.offset };
        }
        if ended.flow.is_break() {
            break;
        }
        unfinished = (!ended.is_final).then_some((file, ended.offset));
    }
    Ok(Listing::Whole)
}

/// Where reading a segment ended.
struct Ended {
    offset: u32,
    /// Whether it was told to.
    flow: ControlFlow<()>,
    /// Whether no record can come behind it.
    is_final: bool,
}

/// Whether there is a record in this segment; nothing if its file is gone.
fn has_records(file: &SegmentFile) -> Result<Option<bool>> {
    let ended = read_segment(file, BODY_OFFSET, &mut |_, _| ControlFlow::Break(()))?;
    Ok(ended.map(|ended| ended.flow.is_break()))
}

/// Reads one segment from `start`; nothing if its file is gone since the folder was listed.
fn read_segment(
    file: &SegmentFile,
    start: u32,
    each: &mut impl FnMut(Position, &Record<'_>) -> ControlFlow<()>,
) -> Result<Option<Ended>> {
    let path = &file.path;
    let open = match File::open(path) {
        Ok(open) => open,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    let mut give = |record: &Record<'_>| {
        if record.is_gap() {
            return ControlFlow::Continue(());
        }
        each(Position::new(file.segment, record.offset), record)
    };
    let Some(footer) = read_footer(&open).map_err(Error::io("read", path))? else {
        let (offset, flow) = copy_records(&open, file, start, &mut give)?;
        return Ok(Some(Ended { offset, flow, is_final: false }));
    };
    let map = FrozenMap::open(&open, map_name(&footer.identity)).map_err(Error::io("map", path))?;
    let (seed, end) = (footer.identity.seed(), footer.summary.end);
    let (mut offset, mut flow) = (start, ControlFlow::Continue(()));
    if footer.identity.generation > 0 && start > BODY_OFFSET {
        // What was here may be forgotten: then this is within a gap.
        offset = behind_zeros(map.bytes(), start, end);
    }
    while offset < end && flow.is_continue() {
        let Found::Record(record) = read_at(map.bytes(), seed, offset) else {
            let what = "there is no valid record";
            return Err(Error::Corrupt { path: path.clone(), offset: offset.into(), what });
        };
        offset = record.end();
        flow = give(&record);
    }
    Ok(Some(Ended { offset, flow, is_final: true }))
}

/// Reads what is published in a segment that is not sealed, from copies of its bytes.
fn copy_records(
    open: &File,
    file: &SegmentFile,
    start: u32,
    give: &mut impl FnMut(&Record<'_>) -> ControlFlow<()>,
) -> Result<(u32, ControlFlow<()>)> {
    let read = |bytes: &mut [u8], at: u32| {
        open.read_exact_at(bytes, at.into()).map_err(Error::io("read", &file.path))
    };
    let nothing = (start, ControlFlow::Continue(()));
    let len = open.metadata().map_err(Error::io("stat", &file.path))?.len();
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    if len < BODY_OFFSET + FOOTER_BYTES {
        return Ok(nothing);
    }
    let mut front = vec![0; BODY_OFFSET as usize];
    read(&mut front, 0)?;
    let Some(header) = Header::from_front(&front) else { return Ok(nothing) };
    let (seed, end) = (header.identity.seed(), len - FOOTER_BYTES);
    let mut bytes = AlignedVec::<16>::new();
    let mut offset = start;
    while offset < end {
        bytes.resize(COPY_BYTES.min(end - offset) as usize, 0);
        read(&mut bytes, offset)?;
        let base = offset;
        while let Some(record) = read_copied(&bytes, seed, base, offset - base) {
            offset = record.end();
            if give(&record).is_break() {
                return Ok((offset, ControlFlow::Break(())));
            }
        }
        if offset == base {
            break;
        }
    }
    Ok((offset, ControlFlow::Continue(())))
}
