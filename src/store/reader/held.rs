//! A sealed segment, held: records by their offset, in any order.
//!
//! In: which segment. Out: its records, in place.
//! Keeps: what is held stays as it is, also when its segment is rewritten or dropped meanwhile.
//! Not here: segments that are still written; reading in order (`Reader::read`).

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::Reader;
use crate::store::Journal;
use crate::store::error::{Error, Result};
use crate::store::layout::Footer;
use crate::store::mapping::FrozenMap;
use crate::store::record::{BODY_OFFSET, Found, Record, read_at};
use crate::store::sealed::read_footer;
use crate::store::segment::map_name;

/// How often a file is looked for again that was gone: its segment was rewritten or dropped meanwhile.
const TRIES_MAX: u32 = 3;

/// See the module.
#[derive(Debug)]
pub struct Held {
    footer: Footer,
    seed: u32,
    path: PathBuf,
    map: FrozenMap,
}

impl Reader {
    /// Holds the current generation of a segment; nothing if there is no such segment, or if it is not sealed.
    ///
    /// # Errors
    /// What the system says.
    pub fn hold(&self, journal: Journal, lane: u8, segment: u32) -> Result<Option<Held>> {
        for _ in 0..TRIES_MAX {
            let mut files = self.files(journal, lane)?.into_iter();
            let Some(file) = files.find(|file| file.segment == segment) else { return Ok(None) };
            let path = file.path;
            let open = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                open => open.map_err(Error::io("open", &path))?,
            };
            let Some(footer) = read_footer(&open).map_err(Error::io("read", &path))? else {
                return Ok(None);
            };
            let map = FrozenMap::open(&open, map_name(&footer.identity)).map_err(Error::io("map", &path))?;
            return Ok(Some(Held { footer, seed: footer.identity.seed(), path, map }));
        }
        Ok(None)
    }
}

impl Held {
    /// What its footer says.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// The record that begins at `offset`; it may be a gap.
    ///
    /// # Errors
    /// `Corrupt` if there is none.
    pub fn record(&self, offset: u32) -> Result<Record<'_>> {
        match read_at(self.map.bytes(), self.seed, offset) {
            Found::Record(record) if offset < self.footer.summary.end => Ok(record),
            _ => Err(Error::Corrupt {
                path: self.path.clone(),
                offset: offset.into(),
                what: "there is no valid record",
            }),
        }
    }

    /// Gives `each` its records in order, gaps left out, until it breaks.
    ///
    /// # Errors
    /// `Corrupt` at the first byte that is no record.
    pub fn for_each(&self, mut each: impl FnMut(&Record<'_>) -> ControlFlow<()>) -> Result<()> {
        let mut offset = BODY_OFFSET;
        while offset < self.footer.summary.end {
            let record = self.record(offset)?;
            offset = record.end();
            if !record.is_gap() && each(&record).is_break() {
                break;
            }
        }
        Ok(())
    }
}
