//! What a day consists of, once it is complete.
//!
//! ```text
//! {
//!   "date": "2026-11-20", "revision": 1, "rows": 1200,
//!   "files": [{ "path": "clicks/v1/dt=2026-11-20/clicks-20261120-n0-day-r1-000.parquet", "rows": 1200, "crc32c": 305419896, … }],
//!   "segments": [{ "node": 0, "lane": 0, "segment": 7, "generation": 0, "rows": 1200 }],
//!   "sums": [{ "column": "cost", "currency": "USD", "amount": "14.400000" }]
//! }
//! ```
//!
//! Keeps: it says what the folder of the day holds, or what it will: before the folder is exchanged it stands beside, as
//! `CLOSED.next`, and a start looks which of the two the folder is of.
//! Not here: when a day is complete (`publisher`), how its files are made (`merge`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::directory::{make_folder, sync_folder, write_whole};

use super::error::{Error, Result};
use super::folder::{Day, Folder};
use super::publish::{MODE, Publication, Published};
use super::segment::Origin;
use super::swap;
use super::table::Table;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The day.
    pub date: String,
    /// How often it was merged.
    pub revision: u32,
    /// How many rows it has.
    pub rows: u64,
    /// Its files, in the order of time.
    pub files: Vec<Published>,
    /// What is in them.
    pub segments: Vec<Share>,
    /// What its amounts come to, to check by.
    pub sums: Vec<Sum>,
}

/// The rows of one segment in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share {
    /// The node that wrote it.
    pub node: u16,
    /// The lane of its journal.
    pub lane: u8,
    /// Its number.
    pub segment: u32,
    /// Which rewrite of it.
    pub generation: u32,
    /// How many rows of this day it has.
    pub rows: u64,
}

/// What a column comes to in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// The column.
    pub column: String,
    /// The currency; empty if none was told.
    pub currency: String,
    /// With six digits behind the point.
    pub amount: String,
}

impl Closed {
    /// Reads what is written down of a day; nothing if it is not complete, or cannot be read: it follows from the
    /// segments.
    ///
    /// # Errors
    /// What the system says.
    pub fn read<T: Table>(folder: &Folder, day: Day) -> Result<Option<Self>> {
        read(&folder.closed::<T>(day))
    }

    /// What a day is about to be.
    pub(super) fn announced<T: Table>(folder: &Folder, day: Day) -> Result<Option<Self>> {
        read(&next::<T>(folder, day))
    }

    /// Whether rows of this segment are in its files, of whichever generation.
    pub fn holds(&self, origin: &Origin) -> bool {
        self.has_any((origin.node, origin.lane, origin.segment))
    }

    /// As `holds`, of what is written down of the segment.
    pub(super) fn has(&self, publication: &Publication) -> bool {
        self.has_any((publication.node, publication.lane, publication.segment))
    }

    fn has_any(&self, segment: (u16, u8, u32)) -> bool {
        self.segments.iter().any(|share| (share.node, share.lane, share.segment) == segment)
    }

    /// Writes down what is about to be so.
    pub(super) fn announce<T: Table>(&self, folder: &Folder, day: Day) -> Result<()> {
        let next = next::<T>(folder, day);
        make_folder(next.parent().unwrap_or(Path::new(".")))?;
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        write_whole(&next, &bytes.map_err(Error::io("write", &next))?, MODE)?;
        Ok(())
    }

    /// What was announced is so.
    pub(super) fn confirm<T: Table>(folder: &Folder, day: Day) -> Result<()> {
        let (next, closed) = (next::<T>(folder, day), folder.closed::<T>(day));
        fs::rename(&next, &closed).map_err(Error::io("rename", &next))?;
        Ok(sync_folder(closed.parent().unwrap_or(Path::new(".")))?)
    }

    /// Nothing of the day is there any more.
    pub(super) fn forget<T: Table>(&self, folder: &Folder, day: Day) -> Result<()> {
        let closed = folder.closed::<T>(day);
        fs::remove_file(&closed).map_err(Error::io("remove", &closed))?;
        Ok(sync_folder(closed.parent().unwrap_or(Path::new(".")))?)
    }

    /// All days of a table that are complete. What was announced for one is confirmed if its folder was exchanged, and else
    /// forgotten.
    pub(super) fn all<T: Table>(folder: &Folder) -> Result<Vec<(Day, Self)>> {
        let mut all = Vec::new();
        for day in swap::days(&folder.meta::<T>())?.iter().filter_map(|path| Day::of_path(path)) {
            let announced = next::<T>(folder, day);
            if let Some(next) = read(&announced)? {
                // Of a day that is to have no files nobody can tell: it is done again.
                let is_done = !next.files.is_empty() && next.files.iter().all(|file| file.is_there(folder));
                if is_done {
                    Self::confirm::<T>(folder, day)?;
                } else {
                    fs::remove_file(&announced).map_err(Error::io("remove", &announced))?;
                }
            }
            let Some(closed) = Self::read::<T>(folder, day)? else { continue };
            if closed.files.iter().all(|file| file.is_there(folder)) {
                all.push((day, closed));
            } else {
                // Somebody has removed them: what was in them is published again.
                closed.forget::<T>(folder, day)?;
            }
        }
        Ok(all)
    }
}

fn next<T: Table>(folder: &Folder, day: Day) -> PathBuf {
    // Not `.new`, which is what a file is called while it is written.
    folder.closed::<T>(day).with_extension("next")
}

fn read(path: &Path) -> Result<Option<Closed>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}
