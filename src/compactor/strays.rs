//! Files of this store in `export` that nothing vouches for, and that nothing will take away either.
//!
//! In: what is written down of days and segments. Out: a folder without files of whole days that no `CLOSED` names, and
//! without files of segments that the journals have dropped before anything was written down of them.
//! Keeps: no row is seen twice: what was in a file that goes is published again, if its segment is there. Files of other
//! nodes, and whatever else lies there, stay.
//! Not here: files of segments that are there (`publish` makes them again, under the same names).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::store::directory::sync_folder;
use crate::store::manifest::Manifest;
use crate::store::reader::Reader;

use super::closed::Closed;
use super::error::{Error, Result};
use super::folder::{Day, Folder, Name};
use super::publish::{Publication, Published};
use super::publisher::is_dropped;
use super::swap;
use super::table::Table;

/// Removes them. Says of each day how often it was merged, as far as names of files tell.
pub(super) fn remove<'a, T: Table>(
    folder: &Folder,
    reader: &Reader,
    closed: &BTreeMap<Day, Closed>,
    known: impl Iterator<Item = &'a Publication>,
) -> Result<BTreeMap<Day, u32>> {
    let mut revisions = BTreeMap::new();
    let Some(manifest) = Manifest::peek(reader.directory())? else { return Ok(revisions) };
    let written: BTreeSet<PathBuf> = known
        .flat_map(|publication| &publication.files)
        .map(|file| folder.export().join(&file.path))
        .collect();
    for path in swap::days(&folder.table::<T>())? {
        let Some(day) = Day::of_path(&path) else { continue };
        let merged: BTreeSet<String> = closed
            .get(&day)
            .into_iter()
            .flat_map(|closed| &closed.files)
            .filter_map(Published::name)
            .collect();
        let mut is_changed = false;
        for name in swap::names(&path)? {
            let is_stray = match Name::parse::<T>(&name) {
                Some(Name::Day { node, revision }) if node == manifest.node => {
                    let highest: &mut u32 = revisions.entry(day).or_default();
                    *highest = revision.max(*highest);
                    !merged.contains(&name)
                }
                Some(Name::Segment { node, lane, segment }) => {
                    is_dropped::<T>(&manifest, (node, lane, segment)) && !written.contains(&path.join(&name))
                }
                Some(Name::Day { .. }) | None => false,
            };
            if is_stray {
                let file = path.join(&name);
                fs::remove_file(&file).map_err(Error::io("remove", &file))?;
                is_changed = true;
            }
        }
        if is_changed {
            forget_empty(&path)?;
        }
    }
    Ok(revisions)
}

fn forget_empty(day: &Path) -> Result<()> {
    sync_folder(day)?;
    // If it was the last of the day, there is none.
    let _others = fs::remove_dir(day);
    Ok(())
}
