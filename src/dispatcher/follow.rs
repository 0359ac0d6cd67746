//! Reading a journal from memory and sealed files, in order: decisions for the desk, outcomes for a start.
//!
//! Keeps: what is still written is read in place; what is sealed may have to come from the disk, and is read by a thread
//! that may wait (`read_cold`). Segments that are quarantined or missing are passed over, as by every reader.

use std::ops::ControlFlow;

use super::kept::Kept;
use crate::event::codec::{Event, Kind, decode};
use crate::event::decision::Decision;
use crate::store::lane::View;
use crate::store::record::{BODY_OFFSET, Record};
use crate::store::sealed::Tried;
use crate::store::{Error, Position};

/// Bytes of the log that are read in one go, where that may wait for the disk.
const COLD_BYTES_MAX: u32 = 1024 * 1024;

/// Gives `each` the records from `from` on and before `end`, in order, until it breaks off. Says where to go on: behind
/// the last record that it was given, or at `end`.
///
/// # Errors
/// A sealed segment cannot be read there.
pub fn walk(
    view: &View,
    from: Position,
    end: Position,
    mut each: impl FnMut(Position, &Record<'_>) -> ControlFlow<()>,
) -> Result<Position, Error> {
    let mut at = from;
    while at < end {
        let (segment, start) = (at.segment(), at.offset().max(BODY_OFFSET));
        let limit = if segment == end.segment() { end.offset() } else { u32::MAX };
        let mut offset = start;
        let mut flow = ControlFlow::Continue(());
        let mut give = |record: &Record<'_>| {
            if record.is_gap() {
                ControlFlow::Continue(())
            } else {
                each(Position::new(segment, record.offset), record)
            }
        };
        if let Some(open) = view.open(segment) {
            while flow.is_continue()
                && offset < limit
                && let Some(record) = open.record(offset)
            {
                flow = give(&record);
                offset = record.end();
            }
        } else if let Some(sealed) = view.sealed(segment) {
            let last = limit.min(sealed.footer().summary.end);
            while flow.is_continue() && offset < last {
                let copied = sealed.read(offset)?;
                flow = give(&copied.record());
                offset = copied.record().end();
            }
        }
        if flow.is_break() {
            return Ok(Position::new(segment, offset));
        }
        at = match next_segment(view, segment) {
            Some(next) if next <= end.segment() => Position::new(next, BODY_OFFSET),
            _ => end,
        };
    }
    Ok(at.max(from))
}

/// The decision in a record, if one is.
pub fn decision_of<'a>(record: &Record<'a>) -> Option<Decision<'a>> {
    // Postbacks lie between them: those need not be taken apart.
    if record.kind != Kind::Decision.code() {
        return None;
    }
    match decode(record.kind, record.schema, record.payload) {
        Ok(Event::Decision(decision)) => Some(decision),
        _ => None,
    }
}

/// Where the journal ends now, on stable storage or not.
pub fn written_end(view: &View) -> Position {
    let open = view.open.iter().rev().map(|open| Position::new(open.number(), open.extent().end));
    let sealed = view.sealed.last().map(|sealed| {
        let footer = sealed.footer();
        Position::new(footer.identity.segment, footer.summary.end)
    });
    open.chain(sealed).max().unwrap_or_default()
}

/// Whether what begins here can be read without waiting for the disk.
pub fn is_hot(view: &View, at: Position) -> bool {
    view.sealed(at.segment()).is_none()
}

/// Decisions of a part of the log, and where to go on.
#[derive(Debug)]
pub struct Batch {
    /// Each with its place.
    pub decisions: Vec<(Position, Kept)>,
    /// Everything before this has been read.
    pub next: Position,
}

/// Copies the decisions from `from` on and before `end`; a part of them if they are many. May wait for the disk.
///
/// # Errors
/// As `walk`.
pub fn read_cold(view: &View, from: Position, end: Position) -> Result<Batch, Error> {
    let mut decisions = Vec::new();
    let stop = u64::from(COLD_BYTES_MAX).saturating_add(from.to_u64());
    let next = walk(view, from, end, |at, record| {
        if record.kind == Kind::Decision.code() {
            decisions.push((at, Kept::of(record)));
        }
        // In another segment it is further by more than any of them is long.
        if at.to_u64() >= stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(Batch { decisions, next })
}

/// The decision at a place, if it can be read without waiting; nothing where there is none, or only a damaged one.
///
/// # Errors
/// It cannot be read now.
pub fn try_decision(view: &View, at: Position) -> Result<Tried<Option<Kept>>, Error> {
    let Some(sealed) = view.sealed(at.segment()) else { return Ok(Tried::Done(decision(view, at))) };
    match sealed.try_read(at.offset()) {
        Ok(Tried::Done(copied)) => Ok(Tried::Done(Some(Kept::of(&copied.record())))),
        Ok(Tried::WouldBlock) => Ok(Tried::WouldBlock),
        Err(error) => none_if_corrupt(error).map(Tried::Done),
    }
}

/// As `try_decision`, but may wait for the disk.
///
/// # Errors
/// It cannot be read now.
pub fn read_decision(view: &View, at: Position) -> Result<Option<Kept>, Error> {
    match view.sealed(at.segment()).map(|sealed| sealed.read(at.offset())) {
        Some(Ok(copied)) => Ok(Some(Kept::of(&copied.record()))),
        Some(Err(error)) => none_if_corrupt(error),
        None => Ok(decision(view, at)),
    }
}

/// As `read_decision`, for whoever can go on without it. May wait for the disk.
pub fn decision(view: &View, at: Position) -> Option<Kept> {
    view.with_record(at, Kept::of)
}

/// What is damaged stays so; anything else may pass.
fn none_if_corrupt(error: Error) -> Result<Option<Kept>, Error> {
    if matches!(error, Error::Corrupt { .. }) { Ok(None) } else { Err(error) }
}

fn next_segment(view: &View, segment: u32) -> Option<u32> {
    let open = view.open.iter().map(|open| open.number()).find(|number| *number > segment);
    let sealed = &view.sealed;
    let first = sealed.partition_point(|one| one.footer().identity.segment <= segment);
    let sealed = sealed.get(first).map(|one| one.footer().identity.segment);
    open.into_iter().chain(sealed).min()
}
