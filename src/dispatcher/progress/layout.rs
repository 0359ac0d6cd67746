//! The progress of a destination as bytes of a checkpoint, and back.
//!
//! Refuses: bytes that it did not write.
//!
//! # Layout, version 1
//!
//! Little-endian. `CLDP`, version u32; head, backlog from, backlog to (both 0 for none), number of open ones, number of
//! those ahead, all u64; then these positions, ascending, u64 each; crc32c of all that.

use std::collections::BTreeSet;
use std::mem::size_of;

use super::{AHEAD_MAX, OPEN_MAX, Progress};
use crate::store::Position;

const MAGIC: [u8; 4] = *b"CLDP";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 8 + 5 * 8;
const CHECKSUM_BYTES: usize = 4;

/// The longest note.
const NOTE_BYTES_MAX: usize = HEADER_BYTES + OPEN_MAX * size_of::<u64>() + CHECKSUM_BYTES;

const _: () = assert!(
    NOTE_BYTES_MAX + 2_048 <= crate::store::record::PAYLOAD_BYTES_MAX as usize,
    "a note and the id of its destination fit a record"
);

/// Bytes that are no progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the progress of a destination is damaged: {what}")]
pub struct Damaged {
    /// How that shows.
    pub what: &'static str,
}

impl Progress {
    /// Appends itself, as the module says.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        self.encode(&self.ahead, out);
    }

    /// As `encode_into`, without what has ended ahead: whoever reads it in a journal has read those outcomes there. So it
    /// fits a record.
    pub fn encode_note_into(&self, out: &mut Vec<u8>) {
        self.encode(&BTreeSet::new(), out);
    }

    fn encode(&self, ahead: &BTreeSet<u64>, out: &mut Vec<u8>) {
        let start = out.len();
        let (from, to) = self.backlog.unwrap_or_default();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        let numbers = [self.head, from, to, self.open.len() as u64, ahead.len() as u64];
        for number in numbers.iter().chain(&self.open).chain(ahead) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    /// Reads one from the front of `bytes`; and what is behind it.
    ///
    /// # Errors
    /// The bytes are not what `encode_into` writes.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), Damaged> {
        let damaged = |what| Damaged { what };
        let header = bytes.get(..HEADER_BYTES).ok_or(damaged("it is too short"))?;
        if header[..4] != MAGIC || header[4..8] != VERSION.to_le_bytes() {
            return Err(damaged("it does not begin as one of version 1 does"));
        }
        let mut numbers = numbers(&header[8..]);
        let mut number = || numbers.next().unwrap_or_default();
        let (head, from, to, open, ahead) = (number(), number(), number(), number(), number());
        let count = |count, most| usize::try_from(count).ok().filter(|count| *count <= most);
        let open = count(open, OPEN_MAX).ok_or(damaged("too many are open"))?;
        let ahead = count(ahead, AHEAD_MAX).ok_or(damaged("too many are ahead"))?;
        let body_end = HEADER_BYTES + (open + ahead) * size_of::<u64>();
        let whole = bytes.get(..body_end + CHECKSUM_BYTES).ok_or(damaged("it is too short"))?;
        let (body, checksum) = whole.split_at(body_end);
        if crc32c::crc32c(body).to_le_bytes() != *checksum {
            return Err(damaged("its checksum is wrong"));
        }
        let mut positions = self::numbers(&body[HEADER_BYTES..]);
        let read = Self {
            head,
            backlog: (to != 0).then_some((from, to)),
            open: positions.by_ref().take(open).collect(),
            ahead: positions.collect(),
            is_parked: false,
        };
        let is_whole = read.open.len() == open && read.ahead.len() == ahead && read.holds();
        if is_whole { Ok((read, &bytes[whole.len()..])) } else { Err(damaged("its numbers do not fit")) }
    }

    /// What must hold of one that was read.
    fn holds(&self) -> bool {
        let (from, to) = self.backlog.unwrap_or((self.head, self.head));
        let all = self.open.iter().chain(&self.ahead).chain([&self.head, &from, &to]);
        let are_positions = all.into_iter().all(|at| Position::from_u64(*at).is_some());
        let in_order = (self.backlog.is_none() || from < to) && to <= self.head;
        are_positions && in_order && self.open.last().is_none_or(|last| *last < self.head)
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes
        .chunks_exact(8)
        .map(|chunk| chunk.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
