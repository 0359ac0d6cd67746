//! The segments of a table's journal as they are now, those too that are still written.
//!
//! In: a data folder. Out: which there are, in order of time, and what their footers say.
//! Keeps: of a segment that was rewritten only the newest file is one.
//! Not here: their records (`Source`).

use std::io;
use std::sync::Arc;

use crate::store::layout::Summary;
use crate::store::reader::{ClickIds, Reader};

use super::error::{Error, Result};
use super::segment::{Origin, footer_of, forgotten};
use super::table::Table;

/// One segment.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Which it is.
    pub origin: Origin,
    /// What its footer says; nothing if it is still written.
    pub sealed: Option<Summary>,
}

/// Lists them: sealed ones by their first rows, then those that are still written.
///
/// # Errors
/// What reading the folder says.
pub fn list<T: Table>(reader: &Reader) -> Result<Vec<Listed>> {
    let node = reader.node()?.unwrap_or_default();
    let (ids, erasures) = (ClickIds::open(reader, node)?, forgotten(reader)?);
    let mut found = Vec::new();
    for lane in reader.lanes(T::JOURNAL)? {
        for file in reader.files(T::JOURNAL, lane)? {
            let footer = match footer_of(&file) {
                // Dropped, or rewritten just now: what is read finds the newer file.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
                found => found?,
            };
            let (segment, generation) = (file.segment, file.generation);
            let origin =
                Origin { node, lane, segment, generation, ids: ids.clone(), erasures: Arc::clone(&erasures) };
            found.push(Listed { origin, sealed: footer.map(|footer| footer.summary) });
        }
    }
    let key = |listed: &Listed| {
        let first = listed.sealed.map(|summary| summary.first_time);
        (first.is_none(), first, listed.origin.lane, listed.origin.segment)
    };
    found.sort_by_key(key);
    Ok(found)
}
