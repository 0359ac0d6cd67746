//! The dedupe table at a start: the checkpoint, and what the journal says since; or all of the journal.
//!
//! In: the postbacks lane as it was opened, and the checkpoint file. Out: a table that knows every decision.
//! Keeps: the answer is the same with and without the checkpoint, which may know what retention has dropped since; a checkpoint that cannot be trusted
//! (damaged, of another key, ahead of the journal) is counted and left aside.
//! Not here: making dedupe keys from postbacks (`apply`), using the table.

use std::sync::Arc;

use super::sweep::Sweep;
use super::{DedupeKey, Full, Table, checkpoint};
use crate::event::codec::{Event, Kind, decode};
use crate::store::described;
use crate::store::directory::Directory;
use crate::store::error::{Error, Result};
use crate::store::lane::{Lane, View};
use crate::store::position::Position;
use crate::store::record::Record;

/// A restored table, and how it was come by.
#[derive(Debug)]
pub struct Restored {
    /// Knows every decision in the journal.
    pub table: Table,
    /// Decisions that were read from the journal.
    pub replayed: u64,
    /// Why the checkpoint was left aside, if it was there.
    pub refused: Option<String>,
}

/// Restores the table of a store whose lane was just opened: all of its segments are sealed.
///
/// # Errors
/// `Corrupt` where a sealed segment cannot be read; `Setting` when there are more transactions than
/// `entries_max`.
pub fn restore(directory: &Directory, lane: &Lane, key: &DedupeKey, entries_max: usize) -> Result<Restored> {
    let mut refused = None;
    let loaded = match checkpoint::read(&directory.dedupe_checkpoint(), key, entries_max) {
        // A journal that is shorter than what the checkpoint covers came from elsewhere: a backup, say.
        Ok(Some(loaded)) if loaded.covered <= end_of(lane) => Some(loaded),
        Ok(Some(_ahead)) => {
            refused = Some("it covers more than the journal holds".to_owned());
            None
        }
        Ok(None) => None,
        Err(error) => {
            refused = Some(described(&error));
            None
        }
    };
    let (mut table, covered) = match loaded {
        Some(loaded) => (loaded.table, loaded.covered),
        None => (Table::new(entries_max), Position::START),
    };
    let view = lane.view().clone();
    // What retention has dropped since would take the room of what came since.
    Sweep::new(&view).all(&mut table);
    let mut restoring = Restoring { table, key, view: Arc::clone(&view), replayed: 0, full: None };
    for sealed in view.sealed.iter().filter(|sealed| sealed.footer().identity.segment >= covered.segment()) {
        let number = sealed.footer().identity.segment;
        let from = if number == covered.segment() { covered.offset() } else { 0 };
        sealed.for_each(from, |record| restoring.take(number, &record))?;
    }
    match restoring.full {
        None => Ok(Restored { table: restoring.table, replayed: restoring.replayed, refused }),
        Some(Full { entries_max }) => Err(Error::Setting {
            name: "dedupe_entries_max",
            value: entries_max as u64,
            allowed: "at least the number of live transactions in the journal".to_owned(),
        }),
    }
}

struct Restoring<'a> {
    table: Table,
    key: &'a DedupeKey,
    view: Arc<View>,
    replayed: u64,
    full: Option<Full>,
}

impl Restoring<'_> {
    /// Every decision with a key becomes the newest one of that key; and of that of its part.
    fn take(&mut self, segment: u32, record: &Record<'_>) {
        if record.kind != Kind::Decision.code() {
            return;
        }
        let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload) else {
            return;
        };
        let keys = [decision.dedupe_key, decision.part_key].into_iter().filter(|key| !key.is_empty());
        let position = Position::new(segment, record.offset);
        let mut has_any = false;
        for key in keys {
            has_any = true;
            self.note(key, position);
        }
        self.replayed += u64::from(has_any);
    }

    fn note(&mut self, key: &[u8], position: Position) {
        let hash = self.key.hash(key);
        let view = &self.view;
        let done = match self.table.find(hash, |old| has_key(view, old, key)) {
            Some(old) => {
                self.table.replace(hash, old, position);
                Ok(())
            }
            None => self.table.insert(hash, position),
        };
        if let Err(full) = done {
            self.full = Some(full);
        }
    }
}

/// Whether the decision at `position` has this key.
fn has_key(view: &View, position: Position, key: &[u8]) -> bool {
    let has = view.with_record(position, |record| {
        let read = decode(record.kind, record.schema, record.payload);
        matches!(read, Ok(Event::Decision(decision)) if decision.has_key(key))
    });
    has.unwrap_or(false)
}

/// Where the journal ends: every record in it begins before.
fn end_of(lane: &Lane) -> Position {
    let view = lane.view();
    let last = view.sealed.last().map(|sealed| sealed.footer());
    last.map_or(Position::START, |footer| Position::new(footer.identity.segment, footer.summary.end))
}
