//! Memory-mapped files: the only `unsafe` of the crate.
//!
//! In: open files and what to store where. Out: slices of bytes that will not change.
//! Keeps: bytes below `published` are never written again, so a shared slice of them is sound; one
//! `SegmentWriter` exists per `SegmentMap`, so nobody else writes above it.
//! Refuses: any access outside a mapping, by assertion, before the pointer is formed.
//! Not here: what the bytes are (`record`, `layout`), when to sync or roll (`lane`).
//!
//! # What soundness rests on, besides this file
//!
//! No other process truncates or writes a file of the data folder: `directory` holds its lock, and readers
//! in other processes open files read-only and map sealed ones only. If the folder is tampered with, or the
//! disk fails under a mapping, the kernel raises SIGBUS; `install_sigbus_handler` names the mapping, and the
//! process stops.
#![expect(
    unsafe_code,
    reason = "mapped memory is reached through raw pointers; every block carries its proof"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use memmap2::{Advice, MmapMut, MmapOptions, MmapRaw};

use super::layout::MARK_OFFSET;
use super::published::{Extent, Published};
use super::record::{BODY_OFFSET, FOOTER_BYTES, FRAME_BYTES, Frame, RECORD_ALIGN, span_of};

const _: () = assert!(MARK_OFFSET.is_multiple_of(8), "the mark is an aligned word");
const _: () = assert!(RECORD_ALIGN.is_multiple_of(4), "`len` is an aligned word");
const _: () = assert!(cfg!(target_endian = "little"), "`len` and the mark are stored as native words");

/// The mapping of a segment that is being written.
#[derive(Debug)]
pub(super) struct SegmentMap {
    map: MmapRaw,
    published: Published,
    _named: Named,
}

/// The right to write into one `SegmentMap`. There is one per map.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    map: Arc<SegmentMap>,
    tail: u32,
}

/// Maps a prepared segment file whose body is empty.
///
/// # Errors
/// What `mmap` says.
///
/// # Panics
/// If `file` is not `bytes` long: the preparer made it so.
pub(super) fn map_segment(file: &File, bytes: u32, name: MapName) -> io::Result<SegmentWriter> {
    assert_eq!(file.metadata()?.len(), u64::from(bytes), "a prepared segment has its full length");
    assert!(bytes > BODY_OFFSET + FOOTER_BYTES, "a segment has a body");
    let map = MmapOptions::new().len(bytes as usize).map_raw(file)?;
    // Without it a fault reads ahead: up to 8 MiB at once where the device is set so, which kept a worker waiting for
    // 18 ms; and in folios of up to 2 MiB, of which the next sync writes all for a store to one byte (ext4, Linux 6.18).
    map.advise(Advice::Random)?;
    let named = Named::new(&map, name);
    let map = Arc::new(SegmentMap { map, published: Published::at(BODY_OFFSET), _named: named });
    Ok(SegmentWriter { map, tail: BODY_OFFSET })
}

impl SegmentMap {
    /// How far it may be read.
    pub(super) fn extent(&self) -> Extent {
        self.published.extent()
    }

    /// The published bytes `[start, start + len)`, or nothing if they are not all published.
    pub(super) fn published(&self, start: u32, len: u32) -> Option<&[u8]> {
        let end = start.checked_add(len)?;
        if start < BODY_OFFSET || end > self.extent().end {
            return None;
        }
        // SAFETY: `[start, end)` lies within the mapping, because `published <= body_end` and
        // `SegmentWriter::append` asserts that before it publishes. The Acquire load in `extent` pairs with
        // the Release store that published these bytes, so their writes happen before this read. Nothing
        // writes between BODY_OFFSET and `published` again: `append` writes at or above `tail`, and
        // `published == tail` for its whole life; the mark lies below BODY_OFFSET and the footer above
        // `body_end`. The mapping lives as long as `self`, which the slice borrows.
        Some(unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(start as usize), len as usize) })
    }

    /// Stores the synced mark. It becomes durable with a later sync, which makes it a lower bound.
    pub(super) fn store_mark(&self, word: u64) {
        let at = usize::try_from(MARK_OFFSET).unwrap_or(0);
        assert!(at + 8 <= self.map.len(), "the mark lies in the mapping");
        // SAFETY: in bounds by the assertion, aligned because the mapping begins at a page and MARK_OFFSET is
        // a multiple of 8 (asserted above). These 8 bytes are reached only through this atomic: `published`
        // never hands out bytes below BODY_OFFSET.
        let mark = unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(at).cast()) };
        mark.store(word, Ordering::Relaxed);
    }

    /// Makes the pages of `[start, end)` present and writable, without changing them, so that a store there
    /// does not fault.
    ///
    /// # Errors
    /// What `madvise` says; EFAULT where the file system has no block to give.
    pub(super) fn populate(&self, start: u32, end: u32) -> io::Result<()> {
        let end = (end as usize).min(self.map.len());
        let start = (start as usize).min(end);
        if start == end {
            return Ok(());
        }
        self.map.advise_range(Advice::PopulateWrite, start, end - start)
    }
}

impl SegmentWriter {
    /// The map that this writes.
    pub(super) fn map(&self) -> &Arc<SegmentMap> {
        &self.map
    }

    /// Where the next record goes.
    pub(super) fn tail(&self) -> u32 {
        self.tail
    }

    /// Where records must end at the latest.
    pub(super) fn body_end(&self) -> u32 {
        u32::try_from(self.map.map.len()).unwrap_or(u32::MAX) - FOOTER_BYTES
    }

    /// Stores one record at the tail and publishes it. `frame` was made for this offset.
    ///
    /// # Panics
    /// If it does not fit: the caller asks first.
    pub(super) fn append(&mut self, frame: Frame, payload: &[u8]) {
        assert_eq!(frame.len as usize, payload.len(), "the frame is of this payload");
        let end = self.tail + span_of(frame.len);
        assert!(end <= self.body_end(), "the record fits into the body");
        let head = frame.tail_bytes();
        // SAFETY: `[tail, end)` lies within the mapping by the assertion above, and `span_of` covers frame and
        // payload. The bytes are above `published`, so no shared slice of them exists (`published` checks),
        // and `&mut self` on the only writer of this map means that nobody else stores here. Source and
        // destination cannot overlap: a slice of this mapping that a caller could pass lies below
        // `published == tail`. `tail` is a multiple of RECORD_ALIGN and the mapping begins at a page, so the
        // length word is aligned; other processes may read it at any time, hence the atomic store, which
        // comes last and with Release so that whoever sees it sees the rest.
        unsafe {
            let base = self.map.map.as_mut_ptr().add(self.tail as usize);
            std::ptr::copy_nonoverlapping(payload.as_ptr(), base.add(FRAME_BYTES as usize), payload.len());
            std::ptr::copy_nonoverlapping(head.as_ptr(), base.add(4), head.len());
            AtomicU32::from_ptr(base.cast()).store(frame.len, Ordering::Release);
        }
        self.tail = end;
        self.map.published.advance(end);
    }

    /// Says that nothing more will be appended. What is left of the right to write is the footer.
    pub(super) fn retire(self) -> RetiredWriter {
        self.map.published.retire();
        RetiredWriter(self)
    }
}

/// The right to write the footer of a segment to which nothing is appended any more.
#[derive(Debug)]
pub(super) struct RetiredWriter(SegmentWriter);

impl RetiredWriter {
    /// Stores the footer.
    ///
    /// # Panics
    /// If it is longer than its page.
    pub(super) fn write_footer(&mut self, footer: &[u8]) {
        assert!(footer.len() <= FOOTER_BYTES as usize, "the footer fits its page");
        // SAFETY: the last FOOTER_BYTES of the mapping begin at `body_end`, above every byte that `append` may
        // publish, so no slice of them was ever handed out; `&mut self` on what the only writer became means
        // that nobody else stores here.
        unsafe {
            let at = self.0.map.map.as_mut_ptr().add(self.0.body_end() as usize);
            std::ptr::copy_nonoverlapping(footer.as_ptr(), at, footer.len());
        }
    }
}

/// A read-only mapping of a file that nobody changes: sealed segments, index files, and unsealed segments
/// while recovery, under the folder's lock, reads them.
#[derive(Debug)]
pub(super) struct FrozenMap {
    map: MmapRaw,
    _named: Named,
}

impl FrozenMap {
    /// Maps the whole file as it is long now.
    ///
    /// # Errors
    /// What `mmap` says; an empty file cannot be mapped.
    pub(super) fn open(file: &File, name: MapName) -> io::Result<Self> {
        let map = MmapOptions::new().map_raw_read_only(file)?;
        let named = Named::new(&map, name);
        Ok(Self { map, _named: named })
    }

    /// The file's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is `len` bytes long and lives as long as `self`. The file is not written while it
        // is mapped so: sealed segments and index files are replaced, never changed, and recovery drops its
        // map before it repairs (see the head of this file for what lies outside the process).
        unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.map.len()) }
    }
}

/// Whether a descriptor other than this one leads to the file, in any process. Of a file that is mapped and closed nothing
/// is known.
///
/// # Errors
/// What the system says: not every file system can tell.
pub fn is_open_elsewhere(file: &File) -> io::Result<bool> {
    // SAFETY: with these commands `fcntl` takes numbers and touches no memory of ours, and the descriptor is open for as
    // long as `file` is borrowed.
    let ask = |command, argument: libc::c_int| unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    // Who opens the file while the lease is there makes the kernel send us a signal: not SIGIO, which would end the
    // process, but one that nobody hears.
    if ask(F_SETSIG, libc::SIGURG) != 0 {
        return Err(io::Error::last_os_error());
    }
    // A lease for writing is given only to the one who has the file open.
    if ask(libc::F_SETLEASE, libc::F_WRLCK) != 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(true) } else { Err(error) };
    }
    let given_back = ask(libc::F_SETLEASE, libc::F_UNLCK);
    if given_back == 0 { Ok(false) } else { Err(io::Error::last_os_error()) }
}

/// Which signal a lease is broken with: `fcntl(2)`. The same on all of Linux; the crate does not name it.
const F_SETSIG: libc::c_int = 10;

/// Has this thread run only when no other wants its processor (`SCHED_IDLE`, sched(7)): whoever wakes takes it over at
/// once, which one that is only nice (19) does not allow. On an otherwise busy machine it hardly runs.
///
/// # Errors
/// What the system says.
pub fn run_behind_all() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads one structure, which lives until it returns; 0 is the calling thread.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A zeroed table of `u32`, whose pages cost memory only once they are touched.
#[derive(Debug)]
pub(super) struct LazyTable(MmapRaw);

impl LazyTable {
    /// A table of `slots` zeros.
    ///
    /// # Errors
    /// What `mmap` says.
    pub(super) fn new(slots: usize) -> io::Result<Self> {
        Ok(Self(MmapMut::map_anon(slots.max(1) * size_of::<u32>())?.into()))
    }

    /// The slots.
    pub(super) fn slots(&self) -> &[AtomicU32] {
        // SAFETY: the mapping is anonymous, private, page-aligned, zeroed (a valid AtomicU32 is any 4 bytes), as
        // long as asked for, and lives as long as `self`; it is only ever reached as atomics, through here.
        unsafe {
            std::slice::from_raw_parts(
                self.0.as_mut_ptr().cast::<AtomicU32>(),
                self.0.len() / size_of::<u32>(),
            )
        }
    }
}

/// What a mapping is called in the message of the SIGBUS handler.
#[derive(Clone, Copy, Debug)]
pub(super) struct MapName {
    pub(super) journal: &'static str,
    pub(super) lane: u8,
    pub(super) segment: u32,
}

/// Mappings that the handler can name at once; further ones are "unnamed".
const NAMED_MAX: usize = 512;

struct Slot {
    base: AtomicUsize,
    bytes: AtomicUsize,
    journal: AtomicUsize, // 1 + index into JOURNALS
    lane: AtomicU32,
    segment: AtomicU32,
}

static NAMES: [Slot; NAMED_MAX] = [const {
    Slot {
        base: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        journal: AtomicUsize::new(0),
        lane: AtomicU32::new(0),
        segment: AtomicU32::new(0),
    }
}; NAMED_MAX];

const JOURNALS: [&str; 3] = ["clicks", "postbacks", "deliveries"];

/// Keeps a mapping's place in `NAMES` for as long as the mapping lives.
#[derive(Debug)]
struct Named(Option<usize>);

impl Named {
    fn new(map: &MmapRaw, name: MapName) -> Self {
        let base = map.as_ptr().addr();
        let free = NAMES.iter().position(|slot| {
            slot.base.compare_exchange(0, base, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        if let Some(slot) = free.and_then(|index| NAMES.get(index)) {
            let journal = JOURNALS.iter().position(|known| *known == name.journal);
            slot.journal.store(journal.map_or(0, |index| index + 1), Ordering::Relaxed);
            slot.lane.store(name.lane.into(), Ordering::Relaxed);
            slot.segment.store(name.segment, Ordering::Relaxed);
            slot.bytes.store(map.len(), Ordering::Release);
        }
        Self(free)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(slot) = self.0.and_then(|index| NAMES.get(index)) {
            slot.bytes.store(0, Ordering::Relaxed);
            slot.base.store(0, Ordering::Release);
        }
    }
}

/// Makes a SIGBUS say which mapping it hit before it ends the process, as it does anyway. Call it once, early.
///
/// # Errors
/// What `sigaction` says.
pub fn install_sigbus_handler() -> io::Result<()> {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
    // SAFETY: `action` is fully initialised (all-zero is a valid sigaction: empty mask, no flags) before it is
    // used; `on_sigbus` has the signature that SA_SIGINFO asks for and calls only async-signal-safe functions.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = (handler as *const ()).addr();
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Writes one line to standard error, restores the default action and returns: the access faults again, and
/// the kernel ends the process with SIGBUS (and a core file, where those are kept).
extern "C" fn on_sigbus(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` to an SA_SIGINFO handler, and for SIGBUS `si_addr` is set.
    let address = unsafe { (*info).si_addr() }.addr();
    let mut line = Line::default();
    line.put("clicklog: SIGBUS in ");
    let hit = NAMES.iter().find(|slot| {
        let (base, bytes) = (slot.base.load(Ordering::Acquire), slot.bytes.load(Ordering::Acquire));
        base != 0 && (base..base + bytes).contains(&address)
    });
    match hit {
        Some(slot) => {
            let journal = slot.journal.load(Ordering::Relaxed).wrapping_sub(1);
            line.put(JOURNALS.get(journal).unwrap_or(&"a file"));
            line.put(", lane ");
            line.number(slot.lane.load(Ordering::Relaxed) as usize);
            line.put(", segment ");
            line.number(slot.segment.load(Ordering::Relaxed) as usize);
            line.put(", byte ");
            line.number(address - slot.base.load(Ordering::Relaxed));
        }
        None => line.put("an unnamed mapping"),
    }
    line.put(": the file was cut or the disk failed; the process stops\n");
    // SAFETY: `write` and `signal` are async-signal-safe (signal-safety(7)); the buffer is valid for `len` bytes.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.len);
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
    }
}

/// A line of text put together without allocating, as a signal handler must.
struct Line {
    bytes: [u8; 192],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 192], len: 0 }
    }
}

impl Line {
    fn put(&mut self, text: &str) {
        for &byte in text.as_bytes() {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
        }
    }

    fn number(&mut self, number: usize) {
        let mut digits = [0u8; 20];
        let mut rest = number;
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.put(std::str::from_utf8(&digits[first..]).unwrap_or("?"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> SegmentWriter {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 * 1024).unwrap();
        map_segment(&file, 64 * 1024, MapName { journal: "clicks", lane: 1, segment: 2 }).unwrap()
    }

    #[test]
    fn a_file_that_somebody_else_has_open_is_known_to_be() {
        let (file, path) = tempfile::NamedTempFile::new().unwrap().into_parts();
        drop(file);
        let own = File::open(&path).unwrap();
        if let Err(error) = is_open_elsewhere(&own) {
            println!("skipped: this file system cannot tell: {error}");
            return;
        }
        assert!(!is_open_elsewhere(&own).unwrap());
        let other = File::open(&path).unwrap();
        assert!(is_open_elsewhere(&own).unwrap());
        drop(other);
        assert!(!is_open_elsewhere(&own).unwrap());
    }

    #[test]
    fn only_published_bytes_are_handed_out() {
        let mut writer = writer();
        let map = Arc::clone(writer.map());
        assert_eq!(map.published(BODY_OFFSET, 1), None);
        let frame = Frame::around(1, BODY_OFFSET, 1, 1, 0, b"payload");
        writer.append(frame, b"payload");
        assert_eq!(map.published(BODY_OFFSET + 16, 7), Some(&b"payload"[..]));
        assert_eq!(map.published(BODY_OFFSET + 16, 17), None, "past the end");
        assert_eq!(map.published(0, 16), None, "the header holds the mark, which changes");
        assert_eq!(map.published(u32::MAX, 2), None, "an overflow is not a slice");
    }

    #[test]
    #[should_panic(expected = "fits into the body")]
    fn a_record_never_reaches_the_footer() {
        let mut writer = writer();
        let payload = [1; 4096];
        for _ in 0..20 {
            let frame = Frame::around(1, writer.tail(), 1, 1, 0, &payload);
            writer.append(frame, &payload);
        }
    }

    #[test]
    fn a_line_is_cut_and_not_overrun() {
        let mut line = Line::default();
        line.number(0);
        line.number(18_446_744_073_709_551_615);
        line.put(&"x".repeat(500));
        assert_eq!(line.len, line.bytes.len());
        assert!(line.bytes.starts_with(b"018446744073709551615xxx"));
    }

    #[test]
    fn a_lazy_table_is_zero_until_stored_to() {
        let table = LazyTable::new(10_000).unwrap();
        assert!(table.slots().len() >= 10_000);
        assert!(table.slots().iter().all(|slot| slot.load(Ordering::Relaxed) == 0));
        table.slots()[9_999].store(7, Ordering::Relaxed);
        assert_eq!(table.slots()[9_999].load(Ordering::Relaxed), 7);
    }
}
