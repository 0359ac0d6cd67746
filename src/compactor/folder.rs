//! Where published files stand.
//!
//! ```text
//! ROOT/export/clicks/v1/dt=2026-11-20/clicks-20261120T070000Z-n0-l00-s0000001-g0.parquet
//! ROOT/export/conversions/v1/…  deliveries/v1/…   the same
//! ROOT/export-meta/clicks/v1/n0-l00-s0000001-g0.json    what came of a segment
//! ROOT/export-staging/                                  what is being written
//! ```
//!
//! Keeps: nothing but whole data files is ever in `export`: readers take whatever lies there, hidden files and empty ones
//! too. The day is in the path alone, and no hour is: `hour=07` would be a text to some, and a number to others.

use std::path::{Path, PathBuf};

use crate::clock::Timestamp;

use super::segment::Origin;
use super::table::{Table, VERSION};

/// See the module.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// At `root`: all three have to be on one file system.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// What readers are given.
    pub fn export(&self) -> PathBuf {
        self.root.join("export")
    }

    /// What is being written.
    pub fn staging(&self) -> PathBuf {
        self.root.join("export-staging")
    }

    /// The folder of a table, below which each day has one.
    pub fn table<T: Table>(&self) -> PathBuf {
        self.export().join(T::NAME).join(VERSION)
    }

    /// Where it is written down what came of a segment.
    pub fn record<T: Table>(&self, origin: &Origin) -> PathBuf {
        self.root
            .join("export-meta")
            .join(T::NAME)
            .join(VERSION)
            .join(format!("{}.json", origin_name(origin)))
    }

    /// The name of the file of a segment whose first row is of `first`, below `export`.
    pub fn file<T: Table>(&self, origin: &Origin, first: Timestamp) -> PathBuf {
        let text = first.to_string();
        let (date, time) = text.split_once('T').unwrap_or((&text, ""));
        let digits =
            |text: &str, count| text.chars().filter(char::is_ascii_digit).take(count).collect::<String>();
        let name = format!(
            "{}-{}T{}Z-{}.parquet",
            T::NAME,
            digits(date, usize::MAX),
            digits(time, 6),
            origin_name(origin)
        );
        Path::new(T::NAME).join(VERSION).join(format!("dt={date}")).join(name)
    }
}

/// Tells a segment, and each rewrite of it, from all others of all nodes.
fn origin_name(origin: &Origin) -> String {
    let Origin { node, lane, segment, generation, .. } = origin;
    format!("n{node}-l{lane:02}-s{segment:07}-g{generation}")
}
