//! What a store is told at its start. `Options::new` has the defaults; `check` refuses what cannot work.

use std::path::PathBuf;
use std::time::Duration;

use super::Journal;
use super::error::{Error, Result};
use super::lane::{Hourly, WriterLimits};
use super::layout::valid_segment_bytes;
use super::record::payload_bytes_max;
use super::space::{Disk, Marks};
use crate::clock::Clock;
use crate::event::click_id::Place;

/// See the module.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder; made if it is not there.
    pub data: PathBuf,
    /// Number of this node, 0 to 1023; part of every click ID.
    pub node: u16,
    /// Lanes of clicks, one per worker thread: 1 to 64.
    pub lanes: u8,
    /// Length of a click segment's file: 64 KiB to 512 MiB, a multiple of 4096. Default 256 MiB.
    pub click_segment_bytes: u32,
    /// The same for postbacks and deliveries. Default 64 MiB.
    pub journal_segment_bytes: u32,
    /// Longest time that a click waits for its sync. Default 50 ms.
    pub click_sync_interval: Duration,
    /// A lane that has written this much is synced sooner. Default 4 MiB.
    pub click_sync_bytes: u32,
    /// Pages that are kept faulted in ahead of a clicks lane's tail. Default 1 MiB: 17 ms at 200,000 clicks/s. With more, a
    /// sync comes by before they are used, writes them, and each faults once again: at 8 MiB one append in a hundred.
    pub populate_bytes: u32,
    /// The same for the other journals. Default 128 KiB: a page that was faulted in is written by the next sync,
    /// whether a record lies in it or not, and with 8 MiB that made one answer in a hundred wait for 15 ms.
    pub journal_populate_bytes: u32,
    /// When room is short.
    pub marks: Marks,
    /// Most transactions that the dedupe table holds. Default 100 million: 2 GB when full.
    pub dedupe_entries_max: usize,
    /// Sealed segments whose files are kept open for reading. Default 256.
    pub open_files_max: usize,
    /// Where the time comes from.
    pub clock: Clock,
    /// Where the room comes from.
    pub disk: Disk,
}

impl Options {
    /// The defaults, for a data folder.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            node: 0,
            lanes: 1,
            click_segment_bytes: 256 * 1024 * 1024,
            journal_segment_bytes: 64 * 1024 * 1024,
            click_sync_interval: Duration::from_millis(50),
            click_sync_bytes: 4 * 1024 * 1024,
            populate_bytes: 1024 * 1024,
            journal_populate_bytes: 128 * 1024,
            marks: Marks {
                low_bytes: 4 * 1024 * 1024 * 1024,
                critical_bytes: 1024 * 1024 * 1024,
                reserve_bytes: 64 * 1024 * 1024,
            },
            dedupe_entries_max: 100_000_000,
            open_files_max: 256,
            clock: Clock::System,
            disk: Disk::System,
        }
    }

    /// Refuses values that are out of their ranges.
    ///
    /// # Errors
    /// `Setting`, naming the first that is.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [
            ("click_segment_bytes", self.click_segment_bytes),
            ("journal_segment_bytes", self.journal_segment_bytes),
        ] {
            if !valid_segment_bytes(value) {
                return Err(Error::segment_bytes(name, value));
            }
        }
        if !(1..=Place::LANE_MAX + 1).contains(&self.lanes) {
            return Err(Error::lanes(self.lanes));
        }
        if self.node > Place::NODE_MAX {
            return Err(Error::node(self.node));
        }
        Ok(())
    }

    /// How long a segment of this journal is.
    pub(super) fn segment_bytes(&self, journal: Journal) -> u32 {
        match journal {
            Journal::Clicks => self.click_segment_bytes,
            Journal::Postbacks | Journal::Deliveries => self.journal_segment_bytes,
        }
    }

    /// The lane of clicks that come from other trackers, behind those of the workers; nothing if they have all of them.
    pub(super) fn import_lane(&self) -> Option<u8> {
        (self.lanes <= Place::LANE_MAX).then_some(self.lanes)
    }

    pub(super) fn writer_limits(&self, journal: Journal, hourly: Hourly) -> WriterLimits {
        WriterLimits {
            sync_bytes: self.click_sync_bytes,
            populate_low_bytes: self.populate_ahead(journal) / 2,
            payload_bytes_max: payload_bytes_max(self.segment_bytes(journal)),
            hourly,
        }
    }

    pub(super) fn populate_ahead(&self, journal: Journal) -> u32 {
        match journal {
            Journal::Clicks => self.populate_bytes,
            Journal::Postbacks | Journal::Deliveries => self.journal_populate_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let refused = |change: fn(&mut Options)| {
            let mut options = Options::new("data");
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert!(Options::new("data").check().is_ok());
        assert!(refused(|o| o.lanes = 0).starts_with("lanes = 0: must be 1 to 64"));
        assert!(refused(|o| o.lanes = 65).starts_with("lanes = 65"));
        assert!(refused(|o| o.node = 1024).starts_with("node = 1024"));
        assert!(
            refused(|o| o.click_segment_bytes = 12_288).starts_with("click_segment_bytes = 12288: must be")
        );
        assert!(refused(|o| o.journal_segment_bytes = 1 << 30).starts_with("journal_segment_bytes"));
    }
}
