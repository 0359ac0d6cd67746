//! Roll-ups kept up with what is sealed: part of the thread that publishes.
//!
//! In: sealed segments. Out: their sums, and those of days that are over in one file each (`rollup`).
//! Keeps: a segment that cannot be summed up is told once, and left to reports, which say so too.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::error::{Error, Result};
use super::publish::Step;
use super::rollup::{Rollups, SegmentId};
use crate::clock::Timestamp;
use crate::store::manifest::Manifest;
use crate::store::reader::Reader;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Summing {
    /// Segments that cannot be summed up.
    failed: BTreeSet<SegmentId>,
}

impl Summing {
    /// Does what is to be done. `each_step` is told of what is read, and may break.
    ///
    /// # Errors
    /// `Stopped`, or what keeps all of it from being done.
    pub(super) fn round(
        &mut self,
        reader: &Reader,
        now: Timestamp,
        mut each_step: impl FnMut(Step) -> ControlFlow<()>,
    ) -> Result<()> {
        let Some(rollups) = Rollups::open(reader)? else { return Ok(()) };
        for id in rollups.missing()? {
            if self.failed.contains(&id) {
                continue;
            }
            if each_step(Step::Read { bytes: bytes_of(reader, id)? }).is_break() {
                return Err(Error::Stopped);
            }
            match rollups.roll_up(id) {
                // Dropped or rewritten meanwhile: the next round knows.
                Ok(_) | Err(Error::NotSealed { .. } | Error::Changed { .. }) => {}
                Err(error @ Error::Record { .. }) => {
                    tracing::warn!("a segment is left to reports, which read it each time: {error}");
                    self.failed.insert(id);
                }
                Err(error) => return Err(error),
            }
        }
        rollups.merge_days(now.hour().div_euclid(24), || each_step(Step::Read { bytes: 0 }))?;
        Ok(())
    }
}

/// How much of a segment is read.
fn bytes_of(reader: &Reader, SegmentId { journal, lane, segment }: SegmentId) -> Result<u64> {
    let manifest = Manifest::peek(reader.directory())?;
    let entry =
        manifest.and_then(|manifest| manifest.lanes.get(&(journal, lane))?.segments.get(&segment).copied());
    let generation = entry.map_or(0, |entry| entry.generation);
    let path = reader.directory().segment(journal, lane, segment, generation);
    // One that is gone is not read.
    Ok(std::fs::metadata(path).map_or(0, |found| found.len()))
}
