//! What to do, at a start, with a segment that nobody sealed.
//!
//! In: a segment file after an unclean stop. Out: the same file, sealed; or the news that it cannot be used.
//! Keeps: damaged bytes are copied to `quarantine/` before anything is written, save a torn tail on a disk with
//! no room left; nothing below the synced mark is cut away; doing it twice, or being killed in the middle and
//! doing it again, ends in the same.
//! Not here: how damage is told from the end of the data (`scan`).

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::Journal;
use super::directory::{Directory, SegmentFile, make_folder, sync_folder, write_whole};
use super::error::{Error, Result};
use super::index_file;
use super::layout::{Footer, HEADER_COPY_OFFSET, Header, Identity, Mark, read_mark};
use super::mapping::FrozenMap;
use super::record::{BODY_OFFSET, FOOTER_BYTES, Frame, GAP_CORRUPT, GAP_TORN};
use super::scan::{Scan, Tail, scan};
use super::sealed::read_footer;
use super::segment::{give_back, map_name};
use crate::clock::Timestamp;

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It had been sealed; nothing was to be done.
    Sealed(Footer),
    /// It was read through and sealed.
    Recovered {
        /// Its new footer.
        footer: Footer,
        /// Synced bytes were lost.
        is_corrupt: bool,
        /// Bytes of damage and of torn tail, of which copies are kept.
        damaged_bytes: u64,
        /// Records that are whole but unknown to this build.
        undecodable: u32,
    },
    /// Nothing had been written to it; it is gone.
    Empty,
    /// Neither header nor footer can be read: it was moved to `quarantine/`.
    Quarantined,
}

/// What a recovery did, over all segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The last stop was clean: there was nothing to recover.
    pub was_clean: bool,
    /// Segments opened by their footer.
    pub sealed_segments: u64,
    /// Segments that had to be read through.
    pub recovered_segments: u64,
    /// Records found in those.
    pub recovered_records: u64,
    /// Bytes read to find them.
    pub scanned_bytes: u64,
    /// Bytes of damage and of torn tails, kept in `quarantine/`.
    pub damaged_bytes: u64,
    /// Segments in which synced bytes were lost.
    pub corrupt_segments: u64,
    /// Segments that cannot be read at all, now or since earlier.
    pub quarantined_segments: u64,
    /// Segments whose file is gone.
    pub missing_segments: u64,
    /// Records that are whole but unknown to this build.
    pub undecodable_records: u64,
}

impl Report {
    /// Counts one more segment.
    pub fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Sealed(_) => self.sealed_segments += 1,
            Outcome::Empty => {}
            Outcome::Quarantined => self.quarantined_segments += 1,
            Outcome::Recovered { footer, is_corrupt, damaged_bytes, undecodable } => {
                self.recovered_segments += 1;
                self.recovered_records += u64::from(footer.summary.records);
                self.scanned_bytes += u64::from(footer.summary.end);
                self.damaged_bytes += damaged_bytes;
                self.corrupt_segments += u64::from(*is_corrupt);
                self.undecodable_records += u64::from(*undecodable);
            }
        }
    }
}

/// What a segment's name and place say it is. A file that says otherwise of itself is not it.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The store it belongs to.
    pub store: [u8; 16],
    /// Its node.
    pub node: u16,
    /// Its journal.
    pub journal: Journal,
    /// Its lane.
    pub lane: u8,
}

impl Expected {
    fn identity(&self, file: &SegmentFile) -> Identity {
        let Self { store, node, journal, lane } = *self;
        Identity { store, journal, node, lane, segment: file.segment, generation: file.generation }
    }

    fn tail(&self) -> Tail {
        match self.journal {
            Journal::Clicks => Tail::Salvage,
            Journal::Postbacks | Journal::Deliveries => Tail::Cut,
        }
    }
}

/// Recovers one file. `is_reserved`: the manifest has its id, and nothing was ever handed to a writer.
///
/// # Errors
/// What reading or writing says. The file is then as it was, or partly repaired, and can be recovered again.
pub fn recover(
    directory: &Directory,
    found: &SegmentFile,
    expected: &Expected,
    is_reserved: bool,
    now: Timestamp,
) -> Result<Outcome> {
    let path = &found.path;
    let identity = expected.identity(found);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(Error::io("open", path))?;
    let footer = read_footer(&file).map_err(Error::io("read", path))?;
    if let Some(footer) = footer.filter(|footer| footer.identity == identity) {
        return Ok(Outcome::Sealed(footer));
    }
    let Some(Read { header, found, body_crc }) = read_through(&file, path, &identity, expected.tail())?
    else {
        if is_reserved {
            // Killed while it was made: no record can be in it.
            fs::remove_file(path).map_err(Error::io("remove", path))?;
            return Ok(Outcome::Empty);
        }
        quarantine_whole(directory, path, &identity)?;
        return Ok(Outcome::Quarantined);
    };
    if found.is_empty() {
        drop(file);
        fs::remove_file(path).map_err(Error::io("remove", path))?;
        return Ok(Outcome::Empty);
    }
    match keep_evidence(directory, &file, path, &identity, &found) {
        // A torn tail never stops a start: nobody was promised these bytes, and with the reserve gone there is
        // no room for a copy. Synced bytes are another matter.
        Err(error) if error.is_full() && !found.is_corrupt() && !directory.reserve().exists() => {}
        kept => kept?,
    }
    let footer = repair(&file, path, &header, &found, body_crc, now)?;
    let damaged_bytes = found.gaps.iter().map(|gap| u64::from(gap.end - gap.start)).sum::<u64>()
        + u64::from(found.torn_end - found.summary.end);
    Ok(Outcome::Recovered {
        footer,
        is_corrupt: found.is_corrupt(),
        damaged_bytes,
        undecodable: found.undecodable,
    })
}

/// What a file was found to hold.
struct Read {
    header: Header,
    found: Scan,
    /// The checksum of its records, where no repair will change them.
    body_crc: Option<u32>,
}

/// What the file holds, or nothing if it is not the segment that its name says.
fn read_through(file: &File, path: &Path, identity: &Identity, tail: Tail) -> Result<Option<Read>> {
    let len = file.metadata().map_err(Error::io("stat", path))?.len();
    if len < u64::from(BODY_OFFSET) {
        return Ok(None);
    }
    let map = FrozenMap::open(file, map_name(identity)).map_err(Error::io("map", path))?;
    let Some(header) = Header::from_front(map.bytes()).filter(|header| header.identity == *identity) else {
        return Ok(None);
    };
    let mark = read_mark(map.bytes(), identity.seed());
    let body_end = u64::from(header.body_end_max()).min(len);
    let written = data_end(file, body_end).map_err(Error::io("seek in", path))?;
    let image = map.bytes().get(..usize::try_from(written).unwrap_or(usize::MAX));
    let found = scan(image.unwrap_or(map.bytes()), &header, mark, tail);
    // While the pages are mapped and in the cache: to map them once more takes longer than the sum. A file that ends
    // within the padding of its last record has first to be made longer.
    let is_as_it_will_be = found.gaps.is_empty() && found.summary.end as usize <= map.bytes().len();
    let body_crc = is_as_it_will_be.then(|| body_crc(&map, found.summary.end));
    Ok(Some(Read { header, found, body_crc }))
}

/// Where the data of the first `limit` bytes of a file end: behind it are only blocks that were set aside, and to
/// read those the kernel would clear a page for each. A file system that cannot tell says `limit`.
fn data_end(file: &File, limit: u64) -> std::io::Result<u64> {
    let (mut end, mut from) = (0, 0);
    while from < limit {
        match seek(file, SeekFrom::Data(from)) {
            Ok(data) if data < limit => from = seek(file, SeekFrom::Hole(data))?,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        }
        end = from.min(limit);
    }
    Ok(end)
}

/// Copies what is about to be fenced off or cleared: the whole file if synced bytes were lost, else the torn
/// bytes. A copy that is there already is the older and truer one, and stays.
fn keep_evidence(
    directory: &Directory,
    file: &File,
    path: &Path,
    identity: &Identity,
    found: &Scan,
) -> Result<()> {
    let torn_start = found.gaps.first().map_or(found.summary.end, |gap| gap.start);
    if torn_start == found.torn_end {
        return Ok(());
    }
    let folder = directory.quarantine();
    make_folder(&folder)?;
    let kept = folder.join(evidence_name(identity, if found.is_corrupt() { "corrupt" } else { "torn" }));
    if kept.exists() {
        return Ok(());
    }
    if found.is_corrupt() {
        let staged = kept.with_extension("new");
        fs::copy(path, &staged).map_err(Error::io("copy", path))?;
        File::open(&staged).and_then(|copy| copy.sync_all()).map_err(Error::io("sync", &staged))?;
        fs::rename(&staged, &kept).map_err(Error::io("rename", &staged))?;
        return sync_folder(&folder);
    }
    let mut bytes = vec![0; (found.torn_end - torn_start) as usize];
    file.read_exact_at(&mut bytes, torn_start.into()).map_err(Error::io("read", path))?;
    write_whole(&kept, &bytes, 0o640)
}

fn quarantine_whole(directory: &Directory, path: &Path, identity: &Identity) -> Result<()> {
    let folder = directory.quarantine();
    make_folder(&folder)?;
    let kept = folder.join(evidence_name(identity, "unreadable"));
    fs::rename(path, &kept).map_err(Error::io("move", path))?;
    sync_folder(&folder)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn evidence_name(identity: &Identity, what: &str) -> PathBuf {
    let Identity { journal, lane, segment, generation, .. } = *identity;
    format!("{}-{lane:02}-{segment:07}-{generation}.{what}.seg", journal.name()).into()
}

/// Writes the gaps, the header where it was damaged, the footer and the index.
fn repair(
    file: &File,
    path: &Path,
    header: &Header,
    found: &Scan,
    unchanged: Option<u32>,
    now: Timestamp,
) -> Result<Footer> {
    let seed = header.identity.seed();
    let summary = found.summary;
    let write = |bytes: &[u8], at: u64| file.write_all_at(bytes, at).map_err(Error::io("write", path));
    file.set_len(header.segment_bytes.into()).map_err(Error::io("extend", path))?;
    write(&header.to_bytes(), 0)?;
    write(&header.to_bytes(), HEADER_COPY_OFFSET)?;
    for gap in &found.gaps {
        let why = if gap.is_corrupt { GAP_CORRUPT } else { GAP_TORN };
        write(&Frame::gap(seed, gap.start, gap.end, why, gap.ordinal).to_bytes(), gap.start.into())?;
    }
    clear(file, summary.end, found.torn_end).map_err(Error::io("clear", path))?;
    // The records first: a footer must not be on disk before what it vouches for.
    file.sync_all().map_err(Error::io("sync", path))?;
    let body_crc = match unchanged {
        Some(crc) => crc,
        None => FrozenMap::open(file, map_name(&header.identity))
            .map(|map| body_crc(&map, summary.end))
            .map_err(Error::io("read", path))?,
    };
    let footer = Footer {
        identity: header.identity,
        segment_bytes: header.segment_bytes,
        summary,
        body_crc,
        sealed: now,
        recovered: true,
    };
    let at = header.segment_bytes - FOOTER_BYTES;
    clear(file, at, header.segment_bytes).map_err(Error::io("clear", path))?;
    write(&footer.to_bytes(), at.into())?;
    give_back(file, summary.end, header.segment_bytes);
    file.sync_all().map_err(Error::io("sync", path))?;
    match index_file::write(path, seed, found.slots.iter().copied()) {
        // It is made again when it is first asked for.
        Err(error) if error.is_full() => {}
        written => written?,
    }
    Ok(footer)
}

fn clear(file: &File, start: u32, end: u32) -> std::io::Result<()> {
    file.write_all_at(&vec![0; (end - start) as usize], start.into())
}

fn body_crc(map: &FrozenMap, end: u32) -> u32 {
    crc32c::crc32c(&map.bytes()[BODY_OFFSET as usize..end as usize])
}

/// What recovery would make of a segment's bytes, without touching a file: for tests and `verify`.
pub fn examine(image: &[u8], identity: &Identity, tail: Tail) -> Option<(Header, Mark, Scan)> {
    let header = Header::from_front(image).filter(|header| header.identity == *identity)?;
    let mark = read_mark(image, identity.seed());
    let found = scan(image, &header, mark, tail);
    Some((header, mark, found))
}
