//! The two fixed pages of a segment file: its header and its footer, and the synced mark between.
//!
//! In: bytes of a file. Out: a `Header`, `Footer` or mark whose checksum holds.
//! Keeps: a value of these types has been checked; nothing reads their raw bytes elsewhere.
//! Not here: the records between them (`record`).

use super::Journal;
use super::record::{BODY_OFFSET, FOOTER_BYTES, RECORD_ALIGN};
use crate::clock::Timestamp;
use crate::event::codec::Kind;

/// Version of the segment layout that this build writes; it reads no other.
pub const FORMAT: u16 = 1;
/// Bytes of a header or footer, checksum included.
pub const PAGE_BYTES: usize = 128;
/// Where the synced mark lies: in a sector of its own, so that rewriting it cannot tear the header.
pub const MARK_OFFSET: u64 = 512;
/// Where the header's copy lies.
pub const HEADER_COPY_OFFSET: u64 = 1024;
/// Smallest segment file.
pub const SEGMENT_BYTES_MIN: u32 = 64 * 1024;
/// Largest segment file: offsets fit 32 bits with room, ordinals fit 24.
pub const SEGMENT_BYTES_MAX: u32 = 512 * 1024 * 1024;

const HEADER_MAGIC: [u8; 8] = *b"CLKLOGSG";
const FOOTER_MAGIC: [u8; 8] = *b"CLKLOGFT";
const CRC_AT: usize = PAGE_BYTES - 4;

const _: () = assert!(MARK_OFFSET >= PAGE_BYTES as u64 && MARK_OFFSET.is_multiple_of(512));
const _: () = assert!(HEADER_COPY_OFFSET + (PAGE_BYTES as u64) <= BODY_OFFSET as u64);
const _: () = assert!(
    (SEGMENT_BYTES_MAX / super::record::RECORD_BYTES_MIN) <= 1 << 24,
    "every record of the largest segment has an ordinal of 24 bits"
);

/// Which segment this is. Equal identities are the same segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The store it was made by: 16 random bytes.
    pub store: [u8; 16],
    /// Kind of journal.
    pub journal: Journal,
    /// Node that wrote it.
    pub node: u16,
    /// Lane within the journal; 0 where there is only one.
    pub lane: u8,
    /// Number of the segment within its lane, never reused.
    pub segment: u32,
    /// 0 as first written; one more for each rewrite.
    pub generation: u32,
}

impl Identity {
    /// What every checksum in this segment begins with.
    pub fn seed(&self) -> u32 {
        let mut page = Page::default();
        self.put(&mut page);
        crc32c::crc32c(&page.0)
    }

    fn put(&self, page: &mut Page) {
        page.put(8, &FORMAT.to_le_bytes());
        page.put(10, &[self.journal.code(), self.lane]);
        page.put(12, &self.node.to_le_bytes());
        page.put(16, &self.segment.to_le_bytes());
        page.put(20, &self.generation.to_le_bytes());
        page.put(24, &self.store);
    }

    fn take(page: &Page) -> Option<Self> {
        Some(Self {
            journal: Journal::from_code(page.0[10])?,
            lane: page.0[11],
            node: page.u16(12),
            segment: page.u32(16),
            generation: page.u32(20),
            store: page.bytes(24),
        })
    }
}

/// The first 128 bytes of a segment, and their copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which segment this is.
    pub identity: Identity,
    /// Length of the file.
    pub segment_bytes: u32,
    /// When it was made.
    pub created: Timestamp,
    /// Of a segment of clicks: which version of the key their ids were made with. Segments of builds that did not write
    /// it down say 0, the first.
    pub click_key: u8,
}

impl Header {
    /// The bytes to write at 0 and at `HEADER_COPY_OFFSET`.
    pub fn to_bytes(&self) -> [u8; PAGE_BYTES] {
        let mut page = Page::default();
        page.put(0, &HEADER_MAGIC);
        self.identity.put(&mut page);
        page.put(40, &self.segment_bytes.to_le_bytes());
        page.put(44, &[self.click_key]);
        page.put(48, &self.created.micros().to_le_bytes());
        page.sealed()
    }

    /// Reads a header from the front of a segment file: the first of its two copies that is whole.
    pub fn from_front(bytes: &[u8]) -> Option<Self> {
        let copy = usize::try_from(HEADER_COPY_OFFSET).ok()?;
        Self::from_bytes(bytes).or_else(|| Self::from_bytes(bytes.get(copy..)?))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let page = Page::checked(bytes, HEADER_MAGIC)?;
        let header = Self {
            identity: Identity::take(&page)?,
            segment_bytes: page.u32(40),
            created: Timestamp::from_micros(page.i64(48)),
            click_key: page.0[44],
        };
        valid_segment_bytes(header.segment_bytes).then_some(header)
    }

    /// Where records must end at the latest.
    pub fn body_end_max(&self) -> u32 {
        self.segment_bytes - FOOTER_BYTES
    }
}

/// Whether a segment file may have this length.
pub fn valid_segment_bytes(bytes: u32) -> bool {
    (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) && bytes.is_multiple_of(4096)
}

/// What is known of a segment once it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Which segment this is.
    pub identity: Identity,
    /// Length of the file.
    pub segment_bytes: u32,
    /// What lies before the footer.
    pub summary: Summary,
    /// crc32c of the bytes from the first record to `summary.end`.
    pub body_crc: u32,
    /// When it was sealed.
    pub sealed: Timestamp,
    /// Whether recovery sealed it, after an unclean stop.
    pub recovered: bool,
}

/// Counts over the records of a segment. What a writer keeps as it goes, and what a scan finds again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Where the last record ends.
    pub end: u32,
    /// How many records, gaps not counted.
    pub records: u32,
    /// How many gaps.
    pub gaps: u32,
    /// How many of the gaps are lost synced bytes.
    pub corrupt_gaps: u32,
    /// Ordinal of the first record, and one more than that of the last; equal when there is none.
    pub first_ordinal: u32,
    /// See `first_ordinal`.
    pub next_ordinal: u32,
    /// How many of the records are clicks of another tracker.
    pub foreign: u32,
    /// Smallest time of any record; meaningless when there is none.
    pub first_time: Timestamp,
    /// Largest time of any record; meaningless when there is none.
    pub last_time: Timestamp,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            end: BODY_OFFSET,
            records: 0,
            gaps: 0,
            corrupt_gaps: 0,
            first_ordinal: 0,
            next_ordinal: 0,
            foreign: 0,
            first_time: Timestamp::from_micros(i64::MAX),
            last_time: Timestamp::from_micros(i64::MIN),
        }
    }
}

impl Summary {
    /// Adds one record of this kind that ends at `end`.
    pub fn add(&mut self, kind: u16, ordinal: u32, end: u32, time: Timestamp) {
        if self.records == 0 {
            self.first_ordinal = ordinal;
        }
        self.records += 1;
        self.foreign += u32::from(kind == Kind::ForeignClick.code());
        self.next_ordinal = ordinal + 1;
        self.end = end;
        self.first_time = self.first_time.min(time);
        self.last_time = self.last_time.max(time);
    }
}

impl Footer {
    /// The bytes to write at the footer's place.
    pub fn to_bytes(&self) -> [u8; PAGE_BYTES] {
        let mut page = Page::default();
        let summary = &self.summary;
        page.put(0, &FOOTER_MAGIC);
        self.identity.put(&mut page);
        page.put(14, &u16::from(self.recovered).to_le_bytes());
        let words = [
            self.segment_bytes,
            summary.end,
            summary.records,
            summary.gaps,
            summary.corrupt_gaps,
            summary.first_ordinal,
            summary.next_ordinal,
            self.body_crc,
        ];
        for (at, word) in (40..).step_by(4).zip(words) {
            page.put(at, &word.to_le_bytes());
        }
        let times = [summary.first_time, summary.last_time, self.sealed];
        for (at, time) in (72..).step_by(8).zip(times) {
            page.put(at, &time.micros().to_le_bytes());
        }
        page.put(96, &summary.foreign.to_le_bytes());
        page.sealed()
    }

    /// Reads the footer from the last `FOOTER_BYTES` of a segment file.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let page = Page::checked(bytes, FOOTER_MAGIC)?;
        let footer = Self {
            identity: Identity::take(&page)?,
            recovered: page.u16(14) != 0,
            segment_bytes: page.u32(40),
            summary: Summary {
                end: page.u32(44),
                records: page.u32(48),
                gaps: page.u32(52),
                corrupt_gaps: page.u32(56),
                first_ordinal: page.u32(60),
                next_ordinal: page.u32(64),
                foreign: page.u32(96),
                first_time: Timestamp::from_micros(page.i64(72)),
                last_time: Timestamp::from_micros(page.i64(80)),
            },
            body_crc: page.u32(68),
            sealed: Timestamp::from_micros(page.i64(88)),
        };
        let end = footer.summary.end;
        let fits = valid_segment_bytes(footer.segment_bytes)
            && (BODY_OFFSET..=footer.segment_bytes - FOOTER_BYTES).contains(&end)
            && end.is_multiple_of(RECORD_ALIGN)
            && footer.summary.first_ordinal <= footer.summary.next_ordinal
            && footer.summary.next_ordinal <= 1 << 24;
        fits.then_some(footer)
    }
}

/// The synced mark as one word: everything below `offset` had been synced when it was stored.
pub fn mark_word(seed: u32, offset: u32) -> u64 {
    let check = crc32c::crc32c_append(seed, &offset.to_le_bytes());
    u64::from(check) << 32 | u64::from(offset)
}

/// What the front of a segment file says was synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Everything below this offset was on stable storage.
    Synced(u32),
    /// The word is damaged. Then nothing can be told apart, and nothing may be cut.
    Unknown,
}

/// Reads the mark of the segment with this `seed` from the front of its file.
pub fn read_mark(front: &[u8], seed: u32) -> Mark {
    let at = usize::try_from(MARK_OFFSET).unwrap_or(usize::MAX);
    let Some(bytes) = front.get(at..).and_then(|rest| rest.first_chunk()) else {
        return Mark::Unknown;
    };
    let word = u64::from_le_bytes(*bytes);
    if word == 0 {
        return Mark::Synced(BODY_OFFSET);
    }
    let offset = u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
    let aligned = offset >= BODY_OFFSET && offset.is_multiple_of(RECORD_ALIGN);
    if aligned && mark_word(seed, offset) == word { Mark::Synced(offset) } else { Mark::Unknown }
}

/// A header or footer as bytes: fields at fixed places, checksum last.
struct Page([u8; PAGE_BYTES]);

impl Default for Page {
    fn default() -> Self {
        Self([0; PAGE_BYTES])
    }
}

impl Page {
    fn checked(bytes: &[u8], magic: [u8; 8]) -> Option<Self> {
        let page = Self(*bytes.first_chunk()?);
        let whole = page.bytes::<8>(0) == magic
            && page.u16(8) == FORMAT
            && page.u32(CRC_AT) == crc32c::crc32c(&page.0[..CRC_AT]);
        whole.then_some(page)
    }

    fn sealed(mut self) -> [u8; PAGE_BYTES] {
        let crc = crc32c::crc32c(&self.0[..CRC_AT]);
        self.put(CRC_AT, &crc.to_le_bytes());
        self.0
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.0[at..at + N]);
        bytes
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.bytes(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { store: [9; 16], journal: Journal::Clicks, node: 5, lane: 3, segment: 77, generation: 1 }
    }

    fn header() -> Header {
        let created = Timestamp::from_seconds(1_000);
        Header { identity: identity(), segment_bytes: SEGMENT_BYTES_MIN, created, click_key: 11 }
    }

    fn footer() -> Footer {
        let mut summary = Summary::default();
        summary.add(5, 4, BODY_OFFSET + 64, Timestamp::from_seconds(2_000));
        Footer {
            identity: identity(),
            segment_bytes: SEGMENT_BYTES_MIN,
            summary,
            body_crc: 17,
            sealed: Timestamp::from_seconds(3_000),
            recovered: true,
        }
    }

    #[test]
    fn pages_read_back_and_every_flipped_bit_is_noticed() {
        assert_eq!(Header::from_front(&header().to_bytes()), Some(header()));
        assert_eq!(Footer::from_bytes(&footer().to_bytes()), Some(footer()));
        for bit in 0..PAGE_BYTES * 8 {
            let flip = |mut page: [u8; PAGE_BYTES]| {
                page[bit / 8] ^= 1 << (bit % 8);
                page
            };
            assert_eq!(Header::from_front(&flip(header().to_bytes())), None, "header bit {bit}");
            assert_eq!(Footer::from_bytes(&flip(footer().to_bytes())), None, "footer bit {bit}");
        }
    }

    #[test]
    fn the_copy_serves_when_the_header_is_damaged() {
        let mut front = vec![0; BODY_OFFSET as usize];
        front[1024..1024 + PAGE_BYTES].copy_from_slice(&header().to_bytes());
        assert_eq!(Header::from_front(&front), Some(header()));
    }

    #[test]
    fn a_damaged_mark_is_unknown_and_never_a_smaller_one() {
        let seed = identity().seed();
        let mut front = vec![0; BODY_OFFSET as usize];
        assert_eq!(read_mark(&front, seed), Mark::Synced(BODY_OFFSET));
        let word = mark_word(seed, 8192).to_le_bytes();
        for bit in 0..64 {
            front[512..520].copy_from_slice(&word);
            front[512 + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_mark(&front, seed), Mark::Unknown, "bit {bit}");
        }
        front[512..520].copy_from_slice(&word);
        assert_eq!(read_mark(&front, seed), Mark::Synced(8192));
    }

    #[test]
    fn segments_that_differ_in_anything_have_different_seeds() {
        let base = identity();
        let others = [
            Identity { store: [8; 16], ..base },
            Identity { journal: Journal::Postbacks, ..base },
            Identity { node: 6, ..base },
            Identity { lane: 4, ..base },
            Identity { segment: 78, ..base },
            Identity { generation: 2, ..base },
        ];
        for other in others {
            assert_ne!(base.seed(), other.seed(), "{other:?}");
        }
    }
}
