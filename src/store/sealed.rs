//! One sealed segment: immutable, read by copies.
//!
//! In: offsets and ordinals. Out: records whose checksum holds.
//! Keeps: a page that is not in memory is never touched by `try_read`: it says so instead.
//! Not here: which segments there are (`lane`), zero-copy reading for batch jobs (`reader`).

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rkyv::util::AlignedVec;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::error::{Error, Result};
use super::files::OpenFiles;
use super::index_file::{self, IndexMap, Slot};
use super::layout::{Footer, Header};
use super::mapping::FrozenMap;
use super::record::{
    BODY_OFFSET, FRAME_BYTES, Found, Frame, GAP_ERASED, KIND_GAP, Record, behind_zeros, read_at,
};
use super::scan::{Tail, scan};
use super::segment::map_name;

/// Bytes that a read asks for before it knows how long the record is: most clicks fit.
const FIRST_READ_BYTES: usize = 512;

/// See the module.
#[derive(Debug)]
pub struct Sealed {
    footer: Footer,
    seed: u32,
    path: PathBuf,
    index: OnceLock<IndexMap>,
    files: Arc<OpenFiles>,
}

/// A record copied out of a segment.
#[derive(Clone, Debug)]
pub struct Copied {
    bytes: AlignedVec<16>,
    record: (u32, Frame),
}

/// What came of looking at a place without waiting for the disk.
#[derive(Debug)]
pub enum Tried<T> {
    /// This.
    Done(T),
    /// It would have to wait for the disk: ask again where waiting is allowed.
    WouldBlock,
}

impl Copied {
    /// The record.
    pub fn record(&self) -> Record<'_> {
        let (offset, frame) = self.record;
        let start = FRAME_BYTES as usize;
        let payload = &self.bytes[start..start + frame.len as usize];
        Record { offset, kind: frame.kind, schema: frame.schema, ordinal: frame.ordinal, payload }
    }
}

impl Sealed {
    /// A segment whose footer was read and found right.
    pub fn new(footer: Footer, path: PathBuf, files: Arc<OpenFiles>) -> Self {
        let seed = footer.identity.seed();
        Self { footer, seed, path, index: OnceLock::new(), files }
    }

    /// Its footer.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the record with this ordinal is. Reads the index into memory the first time, and makes it anew if
    /// it is missing or damaged.
    ///
    /// # Errors
    /// What reading the segment says.
    pub fn locate(&self, ordinal: u32) -> Result<Slot> {
        let index = match self.index.get() {
            Some(index) => index,
            None => {
                let index = self.load_index()?;
                self.index.get_or_init(|| index)
            }
        };
        Ok(self.slot(index, ordinal))
    }

    /// As `locate`, if the index is in memory already.
    pub fn try_locate(&self, ordinal: u32) -> Tried<Slot> {
        self.index.get().map_or(Tried::WouldBlock, |index| Tried::Done(self.slot(index, ordinal)))
    }

    fn slot(&self, index: &IndexMap, ordinal: u32) -> Slot {
        match index.slot(ordinal) {
            // Behind a corrupt end nobody knows how many records there were.
            Slot::Empty if self.footer.summary.corrupt_gaps > 0 && ordinal as usize >= index.len() => {
                Slot::Lost
            }
            slot => slot,
        }
    }

    fn load_index(&self) -> Result<IndexMap> {
        let name = map_name(&self.footer.identity);
        if let Some(index) = IndexMap::open(&self.path, self.seed, name) {
            return Ok(index);
        }
        let slots = self.scan_slots()?;
        match index_file::write(&self.path, self.seed, slots.iter().copied()) {
            // On a full disk the clicks go on being found: 4 bytes each in memory until the next start.
            Err(error) if error.is_full() => return Ok(IndexMap::build(self.seed, slots.into_iter())),
            written => written?,
        }
        IndexMap::open(&self.path, self.seed, name).ok_or_else(|| self.corrupt(0, "its index cannot be made"))
    }

    /// Makes the index file from the records.
    ///
    /// # Errors
    /// What reading or writing says.
    pub fn rebuild_index(&self) -> Result<()> {
        index_file::write(&self.path, self.seed, self.scan_slots()?.into_iter())
    }

    fn scan_slots(&self) -> Result<Vec<u32>> {
        let map = self.map()?;
        let header = Header {
            identity: self.footer.identity,
            segment_bytes: self.footer.segment_bytes,
            created: self.footer.sealed,
            click_key: 0,
        };
        let end = (self.footer.summary.end as usize).min(map.bytes().len());
        let mark = super::layout::Mark::Synced(self.footer.summary.end);
        let found = scan(&map.bytes()[..end], &header, mark, Tail::Salvage);
        Ok(found.slots)
    }

    /// Reads the record at `offset`; may wait for the disk.
    ///
    /// # Errors
    /// `Corrupt` if there is no valid record.
    pub fn read(&self, offset: u32) -> Result<Copied> {
        let file = self.open()?;
        match self.read_with(&file, offset, ReadWriteFlags::empty())? {
            Tried::Done(copied) => Ok(copied),
            Tried::WouldBlock => Err(self.corrupt(offset, "the file ends here")),
        }
    }

    /// Reads the record at `offset` if its pages are in memory.
    ///
    /// # Errors
    /// `Corrupt` if there is no valid record.
    pub fn try_read(&self, offset: u32) -> Result<Tried<Copied>> {
        match self.files.get(&self.footer.identity) {
            Some(file) => self.read_with(&file, offset, ReadWriteFlags::NOWAIT),
            None => Ok(Tried::WouldBlock),
        }
    }

    fn read_with(&self, file: &File, offset: u32, flags: ReadWriteFlags) -> Result<Tried<Copied>> {
        if offset < BODY_OFFSET || offset >= self.footer.summary.end {
            return Err(self.corrupt(offset, "no record can begin here"));
        }
        let mut bytes = AlignedVec::<16>::new();
        bytes.resize(FIRST_READ_BYTES.min((self.footer.summary.end - offset) as usize), 0);
        if !self.fill(file, &mut bytes, offset, flags)? {
            return Ok(Tried::WouldBlock);
        }
        let Some(head) = bytes.first_chunk() else {
            return Err(self.corrupt(offset, "no record fits here"));
        };
        let frame = Frame::from_bytes(*head);
        if self.is_rewritten() && *head == [0; FRAME_BYTES as usize] {
            // What was here is forgotten: the bytes of a gap, which goes on for at least as long as a frame.
            let gap = Frame { kind: KIND_GAP, schema: GAP_ERASED, ..frame };
            return Ok(Tried::Done(Copied { bytes, record: (offset, gap) }));
        }
        let Some(span) = frame.span().filter(|span| *span <= self.footer.summary.end - offset) else {
            return Err(self.corrupt(offset, "the length is impossible"));
        };
        if span as usize > bytes.len() {
            bytes.resize(span as usize, 0);
            if !self.fill(file, &mut bytes, offset, flags)? {
                return Ok(Tried::WouldBlock);
            }
        }
        let start = FRAME_BYTES as usize;
        if !frame.matches(self.seed, offset, &bytes[start..start + frame.len as usize]) {
            return Err(self.corrupt(offset, "the checksum does not match"));
        }
        Ok(Tried::Done(Copied { bytes, record: (offset, frame) }))
    }

    /// Fills `bytes` from the file; false if that would have to wait.
    fn fill(&self, file: &File, bytes: &mut [u8], offset: u32, flags: ReadWriteFlags) -> Result<bool> {
        let mut done = 0;
        while done < bytes.len() {
            let at = u64::from(offset) + done as u64;
            match preadv2(file, &mut [IoSliceMut::new(&mut bytes[done..])], at, flags) {
                Ok(0) if flags.contains(ReadWriteFlags::NOWAIT) => return Ok(false),
                Ok(0) => return Err(self.corrupt(offset, "the file ends within a record")),
                Ok(read) => done += read,
                Err(Errno::AGAIN) => return Ok(false),
                // tmpfs and network file systems, for instance, do not know how to read without waiting.
                Err(Errno::OPNOTSUPP) if flags.contains(ReadWriteFlags::NOWAIT) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io("read", &self.path)(errno.into())),
            }
        }
        Ok(true)
    }

    /// Whether it is not as it was first written.
    fn is_rewritten(&self) -> bool {
        self.footer.identity.generation > 0
    }

    /// All of it, mapped.
    pub(super) fn map(&self) -> Result<FrozenMap> {
        let file = self.open()?;
        FrozenMap::open(&file, map_name(&self.footer.identity)).map_err(Error::io("map", &self.path))
    }

    fn open(&self) -> Result<Arc<File>> {
        self.files.open(&self.footer.identity, &self.path)
    }

    /// Closes its file, once nobody reads it.
    pub(super) fn let_go(&self) {
        self.files.forget(&self.footer.identity);
    }

    pub(super) fn corrupt(&self, offset: u32, what: &'static str) -> Error {
        Error::Corrupt { path: self.path.clone(), offset: offset.into(), what }
    }

    /// Reads all of its records in order, zero-copy from a mapping, to `each`. Damage ends it with an error.
    ///
    /// # Errors
    /// `Corrupt` at the first byte that is no record.
    pub fn for_each(&self, from: u32, mut each: impl FnMut(Record<'_>)) -> Result<()> {
        let map = self.map()?;
        let end = self.footer.summary.end;
        let body =
            map.bytes().get(..end as usize).ok_or_else(|| self.corrupt(end, "the file is too short"))?;
        let mut offset = from.max(BODY_OFFSET);
        if self.is_rewritten() && offset > BODY_OFFSET {
            offset = behind_zeros(body, offset, end);
        }
        while offset < end {
            let Found::Record(record) = read_at(body, self.seed, offset) else {
                return Err(self.corrupt(offset, "there is no valid record"));
            };
            offset = record.end();
            each(record);
        }
        Ok(())
    }
}

/// Reads the header of a segment file, if one of its two copies is whole.
///
/// # Errors
/// What reading says.
pub fn read_header(file: &File) -> io::Result<Option<Header>> {
    use std::os::unix::fs::FileExt;
    let mut front = [0; BODY_OFFSET as usize];
    file.read_exact_at(&mut front, 0)?;
    Ok(Header::from_front(&front))
}

/// Reads the footer of a segment file, if it has a whole one.
///
/// # Errors
/// What reading says.
pub fn read_footer(file: &File) -> io::Result<Option<Footer>> {
    use std::os::unix::fs::FileExt;
    let len = file.metadata()?.len();
    let Some(at) = len.checked_sub(super::record::FOOTER_BYTES.into()) else {
        return Ok(None);
    };
    let mut page = [0; super::layout::PAGE_BYTES];
    file.read_exact_at(&mut page, at)?;
    Ok(Footer::from_bytes(&page).filter(|footer| u64::from(footer.segment_bytes) == len))
}
