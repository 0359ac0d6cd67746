//! The newest records of a journal, as far back as so many bytes: what a person wants to see at once, however much there is.
//!
//! In: a data folder, how far back. Out: the last requests of a network with what became of each; attempts at deliveries by the
//! hour. What they were found in is said too.
//! Keeps: it takes no lock. Whole segments are read, because only from its beginning is it known where a segment's records lie:
//! so many bytes of sealed ones, and what is still written, which is one segment at most.
//! Not here: all of it (`lookup`, `tail`, `deliveries`).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;

use serde::Serialize;

use super::lookup::reason_name;
use crate::apply::claim::Refusal;
use crate::clock::Timestamp;
use crate::event::codec::{Event, Kind};
use crate::event::delivery::OutcomeClass;
use crate::store::reader::{Cursor, Reader, Shown};
use crate::store::record::Record;
use crate::store::{Error, Journal, Position};

/// Requests that are shown of a network.
pub const REQUESTS_MAX: usize = 100;
/// Characters of a request's path, query and body that are shown.
const TARGET_CHARS_MAX: usize = 600;
/// Segments that may be open or made ready: what they hold is not yet known.
const UNSEALED_MAX: usize = 2;
/// Bytes of a block, as files count them.
const BLOCK_BYTES: u64 = 512;

const POSTBACKS: (Journal, u8) = (Journal::Postbacks, 0);
const DELIVERIES: (Journal, u8) = (Journal::Deliveries, 0);

/// How much of a journal was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// So many bytes of records.
    pub bytes: u64,
    /// Whether that is all there is.
    pub is_all: bool,
}

/// A request of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Where it lies in its journal.
    pub position: String,
    /// When it was read.
    pub time: String,
    /// HTTP method.
    pub method: String,
    /// Path and query, cut.
    pub target: String,
    /// Its body, cut; empty for none.
    pub body: String,
    /// As in `X-Clicklog-Result`; empty where nothing was decided yet.
    pub result: String,
    /// Why, for a person; empty where there is nothing to explain.
    pub reason: String,
    /// The network's own id of the conversion.
    pub transaction_id: String,
    /// The click id as it came.
    pub click_id: String,
}

/// Attempts of one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Those that were taken.
    pub ok: u64,
    /// Those that were not, and are followed by another.
    pub failed: u64,
    /// Those that were not, and were the last.
    pub dead: u64,
}

/// The last requests of a network that were kept, newest first; of those that named none under the empty name.
///
/// # Errors
/// What reading the store says.
pub fn requests(reader: &Reader, network: &str, bytes_max: u64) -> Result<(Vec<Request>, Extent), Error> {
    let (from, mut extent) = begin(reader, POSTBACKS, bytes_max)?;
    let shown = Shown::load(reader)?;
    let mut found: VecDeque<(Position, Request)> = VecDeque::new();
    reader.read(POSTBACKS.0, POSTBACKS.1, from, |position, record| {
        extent.bytes += span(record);
        let is_asked = record.kind == Kind::Postback.code() || record.kind == Kind::Decision.code();
        match shown.event(POSTBACKS, position, record) {
            Ok(Event::Postback(postback)) if is_asked && postback.network == network => {
                if found.len() >= REQUESTS_MAX {
                    found.pop_front();
                }
                let refusal = Refusal::from_code(postback.refused);
                let target = match postback.query {
                    "" => postback.path.to_owned(),
                    query => format!("{}?{query}", postback.path),
                };
                let request = Request {
                    position: position.to_string(),
                    time: postback.time.to_string(),
                    method: postback.method.to_owned(),
                    target: cut(&target),
                    body: cut(&String::from_utf8_lossy(postback.body)),
                    result: refused(postback.refused),
                    reason: refusal.map_or("", Refusal::text).to_owned(),
                    transaction_id: String::new(),
                    click_id: String::new(),
                };
                found.push_back((position, request));
            }
            Ok(Event::Decision(decision)) if is_asked && decision.conversion.network == network => {
                let of = Position::from_u64(decision.postback).unwrap_or_default();
                // Positions only grow along the journal.
                if let Ok(at) = found.binary_search_by_key(&of, |(position, _)| *position)
                    && let Some((_, request)) = found.get_mut(at)
                {
                    request.result = decision.verdict.name().to_owned();
                    request.reason = reason_name(decision.reason);
                    request.transaction_id = cut(decision.conversion.transaction_id);
                    request.click_id = cut(decision.conversion.click_id);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok((found.into_iter().rev().map(|(_, request)| request).collect(), extent))
}

/// Attempts since a moment, by the hour of their end in whole hours since 1970.
///
/// # Errors
/// What reading the store says.
pub fn attempts(
    reader: &Reader,
    since: Timestamp,
    bytes_max: u64,
) -> Result<(BTreeMap<i64, Attempts>, Extent), Error> {
    let (from, mut extent) = begin(reader, DELIVERIES, bytes_max)?;
    let shown = Shown::load(reader)?;
    let mut hours: BTreeMap<i64, Attempts> = BTreeMap::new();
    reader.read(DELIVERIES.0, DELIVERIES.1, from, |position, record| {
        extent.bytes += span(record);
        if record.kind != Kind::DeliveryOutcome.code() {
            return ControlFlow::Continue(());
        }
        let Ok(Event::DeliveryOutcome(outcome)) = shown.event(DELIVERIES, position, record) else {
            return ControlFlow::Continue(());
        };
        if outcome.time < since {
            // What is before it was not looked for.
            extent.is_all = true;
            return ControlFlow::Continue(());
        }
        let hour = hours.entry(outcome.time.hour()).or_default();
        let count = match (outcome.class, outcome.is_final) {
            (OutcomeClass::Ok, _) => &mut hour.ok,
            (_, false) => &mut hour.failed,
            (_, true) => &mut hour.dead,
        };
        *count = count.saturating_add(1);
        ControlFlow::Continue(())
    })?;
    Ok((hours, extent))
}

/// Where to begin so that no more than so many bytes of sealed segments are read, and whether that is the beginning.
fn begin(reader: &Reader, (journal, lane): (Journal, u8), bytes_max: u64) -> Result<(Cursor, Extent), Error> {
    let files = reader.files(journal, lane)?;
    let (mut first, mut sealed_bytes) = (files.last().map_or(0, |file| file.segment), 0_u64);
    for (back, file) in files.iter().rev().enumerate() {
        if back >= UNSEALED_MAX {
            sealed_bytes = sealed_bytes.saturating_add(match file.path.metadata() {
                Ok(metadata) => metadata.blocks().saturating_mul(BLOCK_BYTES),
                // Rewritten or dropped just now: then it is read under another name, or not at all.
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(Error::io("stat", &file.path)(error)),
            });
        }
        if sealed_bytes > bytes_max {
            return Ok((Cursor { segment: first, offset: 0 }, Extent { bytes: 0, is_all: false }));
        }
        first = file.segment;
    }
    Ok((Cursor { segment: first, offset: 0 }, Extent { bytes: 0, is_all: true }))
}

/// What a record takes.
fn span(record: &Record<'_>) -> u64 {
    record.end().saturating_sub(record.offset).into()
}

fn refused(code: u16) -> String {
    match (code, Refusal::from_code(code)) {
        (0, _) => String::new(),
        (_, Some(refusal)) => format!("rejected:{}", refusal.name()),
        (code, None) => format!("rejected:{code}"),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TARGET_CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
