//! The dispatcher's state as bytes of a file, and back.
//!
//! Refuses: bytes that it did not write. Losing one costs only the time to read the journal.
//!
//! # Layout, version 1
//!
//! Little-endian. `CLDC`, version u32; how far the journal of deliveries is in it, and where the desk goes on in the log of
//! decisions, u64 each; number of destinations u32. For each: id (u16 and its bytes); whether it is in step, u8; whether it
//! is paused, u8, and why (u16 and its bytes); attempts of the day u64 and the last one's moment i64; its progress
//! (`progress::layout`); number of deliveries that were tried u32, and for each: position u64; attempts that count, refused,
//! told to wait, all, u16 each; next attempt i64; whether it was opened again, u8, and when, i64. crc32c of all that.

use std::collections::HashMap;

use super::line::Remembered;
use super::progress::Progress;
use super::restore::Known;
use super::schedule::Tries;
use crate::clock::Timestamp;
use crate::store::Position;

const MAGIC: [u8; 4] = *b"CLDC";
const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = 4;

/// Bytes that are no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dispatcher's checkpoint is damaged: {what}")]
pub struct Damaged {
    /// How that shows.
    pub what: &'static str,
}

/// What a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything in the journal of deliveries below this is in it.
    pub covered: Position,
    /// Where the desk goes on.
    pub head: Position,
    /// By id.
    pub destinations: HashMap<Box<str>, Known>,
}

/// One destination to be written: what `Known` holds, borrowed where it is large.
#[derive(Debug)]
pub struct Row<'a> {
    /// Its id.
    pub id: &'a str,
    /// How far it has come.
    pub progress: &'a Progress,
    /// See `Known`.
    pub is_in_step: bool,
    /// See `Known`.
    pub paused: Option<&'a str>,
    /// See `Known`.
    pub attempts_today: u64,
    /// See `Known`.
    pub last_attempt: Timestamp,
}

/// Begins a checkpoint of so many destinations.
pub fn begin(covered: Position, head: Position, count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + count * 128);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&covered.to_u64().to_le_bytes());
    out.extend_from_slice(&head.to_u64().to_le_bytes());
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    out
}

/// Adds a destination, with what was tried of its deliveries that have not ended.
pub fn add(out: &mut Vec<u8>, row: &Row<'_>, tried: impl ExactSizeIterator<Item = (u64, Remembered)>) {
    text(out, row.id);
    out.push(u8::from(row.is_in_step));
    out.push(u8::from(row.paused.is_some()));
    text(out, row.paused.unwrap_or_default());
    out.extend_from_slice(&row.attempts_today.to_le_bytes());
    out.extend_from_slice(&row.last_attempt.micros().to_le_bytes());
    row.progress.encode_into(out);
    out.extend_from_slice(&u32::try_from(tried.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (at, Remembered { tries, attempts, next, since }) in tried {
        out.extend_from_slice(&at.to_le_bytes());
        for number in [tries.counted, tries.refused, tries.waits, attempts] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&next.micros().to_le_bytes());
        out.push(u8::from(since.is_some()));
        out.extend_from_slice(&since.unwrap_or_default().micros().to_le_bytes());
    }
}

/// Ends it.
pub fn end(mut out: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..bytes.len().min(usize::from(u16::MAX))).unwrap_or_default();
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads a checkpoint.
///
/// # Errors
/// The bytes are not what was written.
pub fn decode(bytes: &[u8]) -> Result<Checkpoint, Damaged> {
    let damaged = |what| Damaged { what };
    let (body, checksum) = bytes
        .split_at_checked(bytes.len().saturating_sub(CHECKSUM_BYTES))
        .ok_or(damaged("it is too short"))?;
    if crc32c::crc32c(body).to_le_bytes() != *checksum {
        return Err(damaged("its checksum is wrong"));
    }
    let mut rest = Rest(body);
    if rest.take::<4>() != Some(MAGIC) || rest.u32() != Some(VERSION) {
        return Err(damaged("it does not begin as one of version 1 does"));
    }
    read(&mut rest).filter(|_| rest.0.is_empty()).ok_or(damaged("its numbers do not fit"))
}

fn read(rest: &mut Rest<'_>) -> Option<Checkpoint> {
    let (covered, head) = (rest.position()?, rest.position()?);
    let count = rest.u32()?;
    let mut destinations = HashMap::new();
    for _ in 0..count {
        let id = rest.text()?;
        let is_in_step = rest.flag()?;
        let is_paused = rest.flag()?;
        let why = rest.text()?;
        let attempts_today = rest.u64()?;
        let last_attempt = rest.time()?;
        let (progress, behind) = Progress::decode(rest.0).ok()?;
        rest.0 = behind;
        let mut tried = HashMap::new();
        for _ in 0..rest.u32()? {
            let at = rest.position()?.to_u64();
            tried.insert(at, rest.remembered()?);
        }
        let paused = is_paused.then_some(why);
        let known = Known { progress, is_in_step, paused, tried, attempts_today, last_attempt };
        destinations.insert(id, known);
    }
    Some(Checkpoint { covered, head, destinations })
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.take().map(|bytes| Timestamp::from_micros(i64::from_le_bytes(bytes)))
    }

    fn flag(&mut self) -> Option<bool> {
        match self.take()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn position(&mut self) -> Option<Position> {
        Position::from_u64(self.u64()?)
    }

    fn text(&mut self) -> Option<Box<str>> {
        let length = usize::from(self.u16()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok().map(Into::into)
    }

    fn remembered(&mut self) -> Option<Remembered> {
        let (counted, refused, waits, attempts) = (self.u16()?, self.u16()?, self.u16()?, self.u16()?);
        let next = self.time()?;
        let (has_since, since) = (self.flag()?, self.time()?);
        let tries = Tries { counted, refused, waits };
        Some(Remembered { tries, attempts, next, since: has_since.then_some(since) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> (Vec<u8>, Checkpoint) {
        let mut progress = Progress::starting_at(Position::new(1, 4096));
        for number in 0..5 {
            progress.begin(Position::new(1, 4096 + number * 16));
        }
        progress.end(Position::new(1, 4112));
        let remembered = Remembered {
            tries: Tries { counted: 3, refused: 1, waits: 2 },
            attempts: 5,
            next: Timestamp::from_seconds(77),
            since: Some(Timestamp::from_seconds(5)),
        };
        let known = Known {
            progress,
            is_in_step: true,
            paused: Some("its secret is wrong".into()),
            tried: HashMap::from([(Position::new(1, 4128).to_u64(), remembered)]),
            attempts_today: 9,
            last_attempt: Timestamp::from_seconds(70),
        };
        let destinations = HashMap::from([("a".into(), known.clone()), ("b".into(), Known::default())]);
        let checkpoint =
            Checkpoint { covered: Position::new(2, 4096), head: Position::new(3, 8192), destinations };
        let mut out = begin(checkpoint.covered, checkpoint.head, 2);
        for (id, known) in &checkpoint.destinations {
            let row = Row {
                id,
                progress: &known.progress,
                is_in_step: known.is_in_step,
                paused: known.paused.as_deref(),
                attempts_today: known.attempts_today,
                last_attempt: known.last_attempt,
            };
            add(&mut out, &row, known.tried.iter().map(|(at, tried)| (*at, *tried)));
        }
        (end(out), checkpoint)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (bytes, checkpoint) = written();
        assert_eq!(decode(&bytes), Ok(checkpoint));
    }

    #[test]
    fn no_damaged_byte_is_read_as_a_checkpoint() {
        let (mut bytes, _) = written();
        for place in 0..bytes.len() {
            assert!(decode(&bytes[..place]).is_err(), "cut at {place}");
            for bit in 0..8 {
                bytes[place] ^= 1 << bit;
                assert!(decode(&bytes).is_err(), "bit {bit} of {place}");
                bytes[place] ^= 1 << bit;
            }
        }
        bytes.push(0);
        assert!(decode(&bytes).is_err());
    }
}
