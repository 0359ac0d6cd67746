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
use crate::store::described;
use crate::store::reader::Reader;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Summing {
    /// Segments that cannot be summed up.
    failed: BTreeSet<SegmentId>,
    /// Sealed segments without sums, these among them, as of the last round.
    waiting: usize,
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
        let missing = rollups.missing()?;
        self.waiting = missing.len();
        for id in missing {
            if self.failed.contains(&id) {
                continue;
            }
            let made = rollups.footer(id).and_then(|(_, footer)| {
                let read = each_step(Step::Read { bytes: footer.segment_bytes.into() });
                if read.is_break() { Err(Error::Stopped) } else { rollups.make(id) }
            });
            match made {
                // Dropped or rewritten meanwhile: the next round knows.
                Ok(()) | Err(Error::NotSealed { .. } | Error::Changed { .. }) => self.waiting -= 1,
                Err(error @ Error::Record { .. }) => {
                    tracing::warn!(
                        "a segment is left to reports, which read it each time: {}",
                        described(&error)
                    );
                    self.failed.insert(id);
                }
                Err(error) => return Err(error),
            }
        }
        rollups.merge_days(now.hour().div_euclid(24), || each_step(Step::Read { bytes: 0 }))?;
        Ok(())
    }

    /// How many sealed segments the last round left without sums.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::click::Click;
    use crate::store::{Options, Store};

    #[test]
    fn what_is_not_summed_up_yet_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open(Options { click_segment_bytes: 65_536, ..Options::new(folder.path()) }).unwrap();
        let mut writer = store.click_writer(0).unwrap();
        writer.append(&Click::default()).unwrap();
        writer.close();
        store.close().unwrap();
        let (reader, mut summing) = (Reader::open(folder.path()), Summing::default());
        let stopped = summing.round(&reader, Timestamp::default(), |_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
        assert_eq!(summing.waiting(), 1);
        summing.round(&reader, Timestamp::default(), |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(summing.waiting(), 0);
    }
}
