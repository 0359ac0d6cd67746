//! The on-disk format, written once, here. Everything is little-endian.
//!
//! # Segment file
//!
//! ```text
//!        0  header         128 bytes, see `layout::Header`
//!      512  synced mark    8 bytes: offset u32 | crc32c(offset) u32; rewritten in place after each sync
//!     1024  header copy    128 bytes: read when the first is damaged
//!     4096  records        each 16-aligned, one after the other, up to the tail
//!      ...  zeros
//!  len-4096  footer        128 bytes, see `layout::Footer`; zeros until the segment is sealed
//! ```
//!
//! A file keeps its length for life. Sealing gives the blocks between the last record and the footer back to
//! the file system (a hole), it does not truncate: a mapped file is never truncated.
//!
//! # Record
//!
//! ```text
//!   0  len      u32   bytes of payload; 0 = nothing here. Stored last, with Release.
//!   4  crc      u32   crc32c, begun with the segment's seed, over: offset u32, len u32, kind u16, schema u16,
//!                     ordinal u32, payload. Seed and offset are in it so that a stale or misplaced record,
//!                     valid elsewhere, is not valid here.
//!   8  kind     u16   what the payload is (`event::codec::Kind`); 0xffff is a gap
//!  10  schema   u16   which version of that kind's layout
//!  12  ordinal  u32   0, 1, 2, … within the segment: half of a click ID
//!  16  payload        `len` bytes, then zeros up to the next multiple of 16
//! ```
//!
//! # Gap
//!
//! Recovery never moves a record. Where it finds bytes that are no record, between two that are, it writes a
//! gap frame over their first 16 bytes, so that the segment is one unbroken chain again. `len` spans the rest
//! of the damage; the crc of a gap covers the frame only; `schema` says why (`GAP_TORN`, `GAP_CORRUPT`).
//!
//! A rewrite (`rewrite`) moves no record either. What it drops, and the rest of what it shortens, becomes a gap
//! (`GAP_ERASED`) whose other bytes are zeros, so that whoever comes to a place within it finds the next record
//! behind the zeros. A record that gets shorter by 16 bytes, which no gap fits, begins its payload with as many
//! zeros: an archive is found from its end.
//!
//! # Index file (`.idx`), manifest, checkpoints
//!
//! Described at the head of `index_file`, `manifest` and `dedupe`: the first and the last are derived and
//! may be deleted.
//!
//! In: bytes at an offset. Out: a `Record` that has passed its checksum, or why there is none.
//! Not here: what a payload means (`event::codec`), where a segment ends (`layout`), what to do about damage
//! (`recovery`).

/// Where the first record of a segment begins.
pub const BODY_OFFSET: u32 = 4096;
/// Bytes at the end of a segment file that belong to the footer.
pub const FOOTER_BYTES: u32 = 4096;
/// Bytes before a payload.
pub const FRAME_BYTES: u32 = 16;
/// Records begin at multiples of this, so an rkyv archive is aligned where it lies.
pub const RECORD_ALIGN: u32 = 16;
/// Longest payload: a 64 KiB body with a 16 KiB head and an 8 KiB target fits with room to spare.
pub const PAYLOAD_BYTES_MAX: u32 = 128 * 1024;
/// The shortest record: a frame and one byte of payload, padded.
pub const RECORD_BYTES_MIN: u32 = FRAME_BYTES + RECORD_ALIGN;

/// Frame kind of a gap.
pub const KIND_GAP: u16 = 0xffff;
/// Gap of bytes that were never synced: a crash interrupted the write. Nothing promised is missing.
pub const GAP_TORN: u16 = 0;
/// Gap of bytes that had been synced: the medium lost them. What they held is kept in `quarantine/`.
pub const GAP_CORRUPT: u16 = 1;
/// Gap of bytes that a rewrite left out. What they held was to be forgotten.
pub const GAP_ERASED: u16 = 2;

const _: () = assert!(BODY_OFFSET.is_multiple_of(RECORD_ALIGN), "the first record is aligned");
const _: () = assert!(FRAME_BYTES == RECORD_ALIGN, "a payload is aligned when its frame is");

/// The 16 bytes before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of payload; 0 = nothing here.
    pub len: u32,
    /// Checksum, see the head of this file.
    pub crc: u32,
    /// What the payload is.
    pub kind: u16,
    /// Which layout of that kind.
    pub schema: u16,
    /// Number of the record within its segment.
    pub ordinal: u32,
}

impl Frame {
    /// The frame of `payload` at `offset` of the segment with this `seed`.
    ///
    /// # Panics
    /// If the payload is empty or longer than `PAYLOAD_BYTES_MAX`: callers check lengths that come from outside.
    pub fn around(seed: u32, offset: u32, kind: u16, schema: u16, ordinal: u32, payload: &[u8]) -> Self {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        assert!(len > 0, "a record has a payload");
        assert!(len <= PAYLOAD_BYTES_MAX, "a payload has a bound");
        assert!(kind != KIND_GAP, "a gap has no payload of its own");
        let frame = Self { len, crc: 0, kind, schema, ordinal };
        Self { crc: frame.checksum(seed, offset, payload), ..frame }
    }

    /// The frame of a gap that spans `[offset, end)`.
    ///
    /// # Panics
    /// If the span is too short for a record or not aligned: no damage between two records is.
    pub fn gap(seed: u32, offset: u32, end: u32, why: u16, ordinal: u32) -> Self {
        assert!(end >= offset + RECORD_BYTES_MIN, "a gap is at least one record long");
        assert!((end - offset).is_multiple_of(RECORD_ALIGN), "a gap ends where a record begins");
        let frame = Self { len: end - offset - FRAME_BYTES, crc: 0, kind: KIND_GAP, schema: why, ordinal };
        Self { crc: frame.checksum(seed, offset, &[]), ..frame }
    }

    /// Reads the fields; checks nothing.
    pub fn from_bytes(bytes: [u8; FRAME_BYTES as usize]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self {
            len: u32::from_le_bytes([a, b, c, d]),
            crc: u32::from_le_bytes([e, f, g, h]),
            kind: u16::from_le_bytes([i, j]),
            schema: u16::from_le_bytes([k, l]),
            ordinal: u32::from_le_bytes([m, n, o, p]),
        }
    }

    /// The bytes of the frame, `len` included.
    pub fn to_bytes(self) -> [u8; FRAME_BYTES as usize] {
        let mut bytes = [0; FRAME_BYTES as usize];
        bytes[..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4..].copy_from_slice(&self.tail_bytes());
        bytes
    }

    /// The bytes after `len`: what a writer stores before it stores `len`.
    pub fn tail_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.crc.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.kind.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.schema.to_le_bytes());
        bytes[8..].copy_from_slice(&self.ordinal.to_le_bytes());
        bytes
    }

    /// Whether the checksum holds for `payload` at `offset`.
    pub fn matches(self, seed: u32, offset: u32, payload: &[u8]) -> bool {
        let payload = if self.kind == KIND_GAP { &[] } else { payload };
        self.crc == self.checksum(seed, offset, payload)
    }

    /// Bytes from this record to the next, or nothing if no record has such a length.
    pub fn span(self) -> Option<u32> {
        let bounded = if self.kind == KIND_GAP { u32::MAX / 2 } else { PAYLOAD_BYTES_MAX };
        (1..=bounded).contains(&self.len).then(|| span_of(self.len))
    }

    fn checksum(self, seed: u32, offset: u32, payload: &[u8]) -> u32 {
        let mut head = [0; 16];
        head[..4].copy_from_slice(&offset.to_le_bytes());
        head[4..8].copy_from_slice(&self.len.to_le_bytes());
        head[8..].copy_from_slice(&self.tail_bytes()[4..]);
        crc32c::crc32c_append(crc32c::crc32c_append(seed, &head), payload)
    }
}

/// Bytes that a payload of `len` takes with its frame and padding.
pub const fn span_of(len: u32) -> u32 {
    FRAME_BYTES + len.next_multiple_of(RECORD_ALIGN)
}

/// The longest payload in a segment of this length: one that fills an empty segment, if it is not longer than
/// any record may be.
pub const fn payload_bytes_max(segment_bytes: u32) -> u32 {
    let fills = segment_bytes - BODY_OFFSET - FOOTER_BYTES - FRAME_BYTES;
    if fills < PAYLOAD_BYTES_MAX { fills } else { PAYLOAD_BYTES_MAX }
}

/// One record, or gap, that has passed its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where its frame begins in the segment.
    pub offset: u32,
    /// What the payload is.
    pub kind: u16,
    /// Which layout of that kind.
    pub schema: u16,
    /// Its number within the segment.
    pub ordinal: u32,
    /// The bytes; for a gap the damaged ones.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// Whether this stands for bytes that recovery could not read, or that a rewrite left out.
    pub const fn is_gap(&self) -> bool {
        self.kind == KIND_GAP
    }

    /// Where the next record begins.
    pub fn end(&self) -> u32 {
        self.offset + span_of(u32::try_from(self.payload.len()).unwrap_or(u32::MAX))
    }
}

/// What lies at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A record whose checksum holds.
    Record(Record<'a>),
    /// `len` is 0, or the bytes end here: nothing was published at this place.
    Nothing,
    /// Bytes that are no record of this segment at this place.
    Damage,
}

/// Looks at `offset` of a segment's bytes. `bytes` begins at offset 0 of the file.
pub fn read_at(bytes: &[u8], seed: u32, offset: u32) -> Found<'_> {
    look(bytes.get(offset as usize..).unwrap_or_default(), seed, offset)
}

/// The record that begins `at` bytes into a copy of a segment's bytes from `base` on, if it is there, whole.
pub fn read_copied(bytes: &[u8], seed: u32, base: u32, at: u32) -> Option<Record<'_>> {
    match look(bytes.get(at as usize..)?, seed, base.checked_add(at)?) {
        Found::Record(record) => Some(record),
        Found::Nothing | Found::Damage => None,
    }
}

/// Where the zeros of an erased gap end that whoever begins at `offset` has come into.
pub fn behind_zeros(bytes: &[u8], offset: u32, end: u32) -> u32 {
    let is_zero = |offset: &u32| {
        let unit = bytes.get(*offset as usize..).and_then(|rest| rest.first_chunk());
        unit == Some(&[0; RECORD_ALIGN as usize])
    };
    (offset..end).step_by(RECORD_ALIGN as usize).find(|offset| !is_zero(offset)).unwrap_or(end)
}

/// Looks at the front of `bytes`, which lie at `offset` of their segment.
fn look(bytes: &[u8], seed: u32, offset: u32) -> Found<'_> {
    let Some((frame, rest)) = bytes.split_first_chunk() else { return Found::Nothing };
    let frame = Frame::from_bytes(*frame);
    if frame.len == 0 {
        return Found::Nothing;
    }
    if frame.span().is_none() {
        return Found::Damage;
    }
    match rest.get(..frame.len as usize) {
        Some(payload) if frame.matches(seed, offset, payload) => Found::Record(Record {
            offset,
            kind: frame.kind,
            schema: frame.schema,
            ordinal: frame.ordinal,
            payload,
        }),
        _ => Found::Damage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u32 = 0x5eed;

    fn record_at(offset: u32, payload: &[u8]) -> Vec<u8> {
        let frame = Frame::around(SEED, offset, 1, 1, 7, payload);
        let mut bytes = vec![0; offset as usize];
        bytes.extend(frame.to_bytes());
        bytes.extend(payload);
        bytes.resize((offset + span_of(frame.len)) as usize, 0);
        bytes
    }

    #[test]
    fn a_record_reads_back_where_it_was_written_and_nowhere_else() {
        let bytes = record_at(4096, b"hello");
        let Found::Record(record) = read_at(&bytes, SEED, 4096) else { panic!("a record is there") };
        assert_eq!((record.payload, record.ordinal, record.end()), (&b"hello"[..], 7, 4096 + 32));

        let moved = [&bytes[..4096], &[0; 32], &bytes[4096..]].concat();
        assert_eq!(read_at(&moved, SEED, 4096 + 32), Found::Damage, "valid elsewhere is not valid here");
        assert_eq!(read_at(&bytes, SEED + 1, 4096), Found::Damage, "nor in another segment");
    }

    #[test]
    fn every_bit_of_a_record_is_covered() {
        let bytes = record_at(0, b"0123456789abcdef");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(read_at(&flipped, SEED, 0), Found::Record(_)), "bit {bit}");
        }
    }

    #[test]
    fn a_length_that_no_record_has_is_damage_and_not_a_slice_out_of_bounds() {
        for len in [PAYLOAD_BYTES_MAX + 1, u32::MAX, u32::MAX - 15, 17] {
            let mut bytes = record_at(0, b"x");
            bytes[..4].copy_from_slice(&len.to_le_bytes());
            assert_eq!(read_at(&bytes, SEED, 0), Found::Damage, "len {len}");
        }
        assert_eq!(read_at(&[], SEED, 0), Found::Nothing);
        assert_eq!(read_at(&[0; 64], SEED, 16), Found::Nothing);
    }

    #[test]
    fn a_gap_covers_bytes_that_its_checksum_does_not() {
        let mut bytes = vec![0xaa; 160];
        bytes[..16].copy_from_slice(&Frame::gap(SEED, 0, 160, GAP_CORRUPT, 3).to_bytes());
        let Found::Record(gap) = read_at(&bytes, SEED, 0) else { panic!("a gap is there") };
        assert!(gap.is_gap());
        assert_eq!((gap.end(), gap.schema), (160, GAP_CORRUPT));
    }
}
