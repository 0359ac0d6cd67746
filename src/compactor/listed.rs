//! The segments of a table's journal as they are now, those too that are still written.
//!
//! In: a data folder. Out: which there are, in order of time, and what their footers say.
//! Keeps: of a segment that was rewritten only the newest file is one.
//! Not here: their records (`Source`).

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::store::layout::Summary;
use crate::store::manifest::Manifest;
use crate::store::reader::{ClickIds, Reader};
use crate::store::sealed::read_footer;

use super::error::{Error, Result};
use super::segment::{Origin, forgotten};
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
    let directory = reader.directory();
    let node = reader.node()?.unwrap_or_default();
    let (ids, erasures) = (ClickIds::open(reader, node)?, forgotten(reader)?);
    let mut found = Vec::new();
    for lane in reader.lanes(T::JOURNAL)? {
        let manifest = Manifest::peek(directory)?;
        let mut files = directory.segments(T::JOURNAL, lane)?;
        if let Some(manifest) = manifest {
            files = manifest.current_files(T::JOURNAL, lane, files);
        }
        for file in files {
            let footer = match File::open(&file.path) {
                Ok(open) => read_footer(&open).map_err(Error::io("read", &file.path))?,
                // Dropped, or rewritten just now: what is read finds the newer file.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(Error::io("open", &file.path)(error)),
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
