//! Copies of damage that recovery has kept: they hold what the segments held, and go with it.
//!
//! In: the rules, or segments that something was erased from. Out: fewer files in `quarantine/`.
//! Keeps: what recovery has not put there. A copy is no younger than the last record in it, so none goes too soon.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::rules::At;
use crate::clock::Timestamp;
use crate::compactor::error::{Error, Result};
use crate::store::Journal;
use crate::store::directory::sync_folder;
use crate::store::rewrite::SegmentAt;

/// Removes the copies of damage in these segments.
pub(super) fn forget_of<'a>(folder: &Path, segments: impl Iterator<Item = &'a SegmentAt>) -> Result<()> {
    let prefixes: Vec<String> = segments.map(|at| prefix(*at)).collect();
    remove(folder, |name, _| prefixes.iter().any(|prefix| name.starts_with(prefix)))
}

/// Removes the copies that are older than anything in them may be.
pub(super) fn forget_old(folder: &Path, at: &At<'_>) -> Result<()> {
    let journals = [Journal::Clicks, Journal::Postbacks, Journal::Deliveries];
    remove(folder, |name, made| {
        let of = |journal: &Journal| {
            let rest = name.strip_prefix(journal.name()).and_then(|rest| rest.strip_prefix('-'));
            rest.is_some_and(|rest| rest.ends_with(".seg"))
        };
        journals.into_iter().find(of).is_some_and(|journal| at.outlives(journal, made))
    })
}

fn remove(folder: &Path, goes: impl Fn(&str, Timestamp) -> bool) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let mut is_changed = false;
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let Ok(found) = entry.metadata() else { continue };
        let made = Timestamp::from_micros(found.mtime().saturating_add(1).saturating_mul(1_000_000));
        if found.is_file() && goes(&name, made) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            is_changed = true;
        }
    }
    if is_changed { Ok(sync_folder(folder)?) } else { Ok(()) }
}

/// How copies of damage of a segment are called, whatever the damage.
fn prefix(SegmentAt { journal, lane, segment }: SegmentAt) -> String {
    format!("{}-{lane:02}-{segment:07}-", journal.name())
}
