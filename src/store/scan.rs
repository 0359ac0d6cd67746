//! Reads the records of a segment that nobody sealed. Pure: bytes in, findings out.
//!
//! The two-zone rule. Below the synced mark every byte had been on stable storage: what is no record there
//! was lost by the medium, so the damage is fenced off as a corrupt gap and reading goes on after it. Above
//! the mark a crash may have torn anything: clicks keep every later record that is valid, because each was
//! answered on its own; postbacks and outcomes end at the first bad one, because nothing above the mark was
//! ever answered.
//!
//! Keeps: only records whose checksum holds at their place are counted, in the order of their ordinals;
//! scanning what was repaired after a scan finds the same.
//! Not here: the repair (`recovery`).

use super::index_file::LOST;
use super::layout::{Header, Mark, Summary};
use super::record::{
    BODY_OFFSET, Found, GAP_CORRUPT, GAP_ERASED, RECORD_ALIGN, RECORD_BYTES_MIN, Record, read_at,
};
use crate::event::codec;

/// What to do with valid records above the synced mark that follow damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Keep them (clicks).
    Salvage,
    /// End before the damage (postbacks, deliveries).
    Cut,
}

/// Bytes between two records that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where they begin.
    pub start: u32,
    /// Where they end.
    pub end: u32,
    /// Whether they had been synced.
    pub is_corrupt: bool,
    /// Ordinal that the next record would have had.
    pub ordinal: u32,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Counts, as the footer wants them; gaps included, old and new.
    pub summary: Summary,
    /// Gaps to be written: those that are not yet fenced off.
    pub gaps: Vec<Gap>,
    /// By ordinal, what the index file wants.
    pub slots: Vec<u32>,
    /// Where bytes after the last record stop being zero; `summary.end` if all are.
    pub torn_end: u32,
    /// Records that are whole but that this build cannot read.
    pub undecodable: u32,
    /// Ordinals up to the next record's were left out by a rewrite: nobody lost them.
    is_after_erased: bool,
}

impl Scan {
    /// Whether synced bytes were lost.
    pub fn is_corrupt(&self) -> bool {
        self.gaps.iter().any(|gap| gap.is_corrupt)
    }

    /// Whether there is nothing in the segment at all.
    pub fn is_empty(&self) -> bool {
        self.summary.records == 0 && self.summary.gaps == 0 && self.torn_end == self.summary.end
    }
}

/// Reads the records of `image`, the bytes of a segment file from its beginning, as far as they are there.
pub fn scan(image: &[u8], header: &Header, mark: Mark, tail: Tail) -> Scan {
    let seed = header.identity.seed();
    let limit = header.body_end_max().min(u32::try_from(image.len()).unwrap_or(u32::MAX));
    let body = &image[..limit as usize];
    // With the mark damaged the zones cannot be told apart: then nothing valid may be dropped.
    let (synced, salvage) = match mark {
        Mark::Synced(offset) => (offset.min(header.body_end_max()), tail == Tail::Salvage),
        Mark::Unknown => (BODY_OFFSET, true),
    };
    let mut scan = Scan::default();
    let mut offset = BODY_OFFSET;
    loop {
        if let Found::Record(record) = read_at(body, seed, offset)
            && accept(&mut scan, &record)
        {
            offset = record.end();
            continue;
        }
        let is_synced = offset < synced;
        let until = if salvage { limit } else { synced.min(limit) };
        let next = next_record(body, seed, offset, until, scan.summary.next_ordinal);
        let end = match next {
            Some(next) => next,
            None if is_synced && synced - offset >= RECORD_BYTES_MIN => synced,
            None => break,
        };
        let is_corrupt = is_synced || mark == Mark::Unknown;
        let gap = Gap { start: offset, end, is_corrupt, ordinal: scan.summary.next_ordinal };
        add_gap(&mut scan.summary, end, is_corrupt);
        scan.gaps.push(gap);
        offset = end;
    }
    scan.torn_end = last_byte(body, scan.summary.end);
    scan
}

/// Counts a record or an old gap; refuses one that is out of order.
fn accept(scan: &mut Scan, record: &Record<'_>) -> bool {
    let summary = &mut scan.summary;
    if record.is_gap() {
        let is_erased = record.schema == GAP_ERASED;
        if is_erased && record.ordinal > summary.next_ordinal && record.ordinal < 1 << 24 {
            scan.slots.resize(record.ordinal as usize, if summary.corrupt_gaps > 0 { LOST } else { 0 });
        }
        scan.is_after_erased = is_erased;
        add_gap(summary, record.end(), record.schema == GAP_CORRUPT);
        return true;
    }
    if record.ordinal < summary.next_ordinal || record.ordinal >= 1 << 24 {
        return false;
    }
    // Ordinals are skipped only over a gap. Once anything in the segment was corrupt, a missing record may
    // have been a promised one.
    let lost = if summary.corrupt_gaps > 0 && !scan.is_after_erased { LOST } else { 0 };
    scan.is_after_erased = false;
    scan.slots.resize(record.ordinal as usize, lost);
    scan.slots.push(record.offset / RECORD_ALIGN);
    let time = codec::time_of(record.kind, record.schema, record.payload);
    if time.is_err() {
        scan.undecodable += 1;
    }
    summary.add(
        record.kind,
        record.ordinal,
        record.end(),
        time.unwrap_or(summary.last_time.max(summary.first_time)),
    );
    true
}

pub(super) fn add_gap(summary: &mut Summary, end: u32, is_corrupt: bool) {
    summary.gaps += 1;
    summary.corrupt_gaps += u32::from(is_corrupt);
    summary.end = end;
}

/// Where the next record that could follow begins, if it begins before `until`.
fn next_record(body: &[u8], seed: u32, damaged: u32, until: u32, ordinal: u32) -> Option<u32> {
    let from = damaged.checked_add(RECORD_BYTES_MIN)?;
    (from..until).step_by(RECORD_ALIGN as usize).find(|&offset| match read_at(body, seed, offset) {
        Found::Record(record) => record.ordinal >= ordinal,
        Found::Nothing | Found::Damage => false,
    })
}

/// One past the last byte from `start` on that is not zero.
fn last_byte(body: &[u8], start: u32) -> u32 {
    let rest = body.get(start as usize..).unwrap_or_default();
    let len = rest.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
    start + u32::try_from(len).unwrap_or(0)
}
