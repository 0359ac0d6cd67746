//! What is on disk, as the console shows it: segments, what is published of them, what goes and what was asked to.
//!
//! In: the store's manifest, its folder, numbers of whoever compacts. Out: a page.
//! Keeps: of a lane at most `SEGMENTS_MAX` files are looked at.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use super::super::{State, unavailable};
use super::catalog::span;
use crate::admin::ApiError;
use crate::admin::console::{Lane, Published, Storage};
use crate::clock::Timestamp;
use crate::metrics::{self, Metric, Page};
use crate::store::erasures::Erasures;
use crate::store::manifest::{Manifest, State as Segment};
use crate::store::recovery::Report;

/// Segments of a lane whose files are looked at: a year of hourly ones.
const SEGMENTS_MAX: usize = 9_000;
/// Bytes of a block, as files count them.
const BLOCK_BYTES: u64 = 512;

/// All of it.
pub(super) fn storage(state: &State) -> Result<Storage, ApiError> {
    let directory = state.store.directory();
    let (lanes, is_cut) = lanes(state)?;
    let erasures = Erasures::load(directory).map_err(unavailable)?;
    let mut page = Page::default();
    state.compaction.write_metrics(&mut page);
    let told = Told(page.into_text());
    let retention = &state.settings.retention;
    let kept = |name: &str, time| {
        let told = span(time);
        (name.to_owned(), if told == "never" { "for ever".to_owned() } else { told })
    };
    let asked = erasures
        .pending()
        .map(|one| (one.at.clone(), one.clicks.len() + one.postbacks.len() + one.decisions.len()));
    Ok(Storage {
        folder: directory.root().display().to_string(),
        free_bytes: state.store.counters().free_bytes.load(Ordering::Relaxed),
        room: state.store.room().name().to_owned(),
        lanes,
        is_cut,
        published: told.published(),
        published_last: told.moment(&metrics::COMPACTOR_LAST_SUCCESS),
        failures: told.all(&metrics::COMPACTOR_FAILURES).map(|(_, number)| number).sum(),
        retention: vec![
            kept("Clicks", retention.clicks),
            kept("Postbacks and decisions", retention.postbacks),
            kept("Outcomes of deliveries", retention.deliveries),
            kept("Personal data", retention.personal),
        ],
        forgotten_last: told.moment(&metrics::FORGETTING_LAST_RUN),
        erasures: asked.collect(),
        erasures_done: erasures.done(),
        recovery: recovery(state.store.report()),
    })
}

/// Every lane, and whether one has more files than were looked at.
fn lanes(state: &State) -> Result<(Vec<Lane>, bool), ApiError> {
    let directory = state.store.directory();
    let manifest = Manifest::peek(directory).map_err(unavailable)?;
    let (mut lanes, mut is_cut) = (Vec::new(), false);
    for ((journal, lane), entry) in manifest.iter().flat_map(|manifest| &manifest.lanes) {
        let mut told = Lane { journal: journal.name(), lane: *lane, ..Lane::default() };
        for (segment, entry) in &entry.segments {
            match entry.state {
                Segment::Reserved | Segment::Open => told.open += 1,
                Segment::Sealed => told.sealed += 1,
                Segment::Quarantined | Segment::Missing => told.unreadable += 1,
            }
            if told.open + told.sealed > SEGMENTS_MAX {
                is_cut = true;
                continue;
            }
            let path = directory.segment(*journal, *lane, *segment, entry.generation);
            // One that is gone takes nothing.
            told.bytes += path.metadata().map_or(0, |metadata| metadata.blocks() * BLOCK_BYTES);
        }
        // A lane that nobody ever wrote to is not worth a line.
        if !entry.segments.is_empty() {
            lanes.push(told);
        }
    }
    Ok((lanes, is_cut))
}

fn recovery(report: &Report) -> String {
    if report.was_clean {
        return "The last stop was clean: there was nothing to recover.".to_owned();
    }
    let Report { recovered_segments, recovered_records, damaged_bytes, corrupt_segments, .. } = report;
    let damage = match (damaged_bytes, corrupt_segments) {
        (0, 0) => "nothing was damaged".to_owned(),
        (bytes, 0) => format!("{bytes} bytes at torn ends were set aside"),
        (bytes, segments) => {
            format!(
                "{bytes} bytes were damaged, synced ones among them in {segments} segments: see quarantine/"
            )
        }
    };
    format!(
        "The last stop was not clean: {recovered_segments} segments with {recovered_records} records were recovered; {damage}."
    )
}

/// A page of numbers, read again: those of whoever compacts are told nowhere else.
struct Told(String);

impl Told {
    /// Every sample of a metric: its first label's value, and its number.
    fn all<'a>(&'a self, metric: &'a Metric) -> impl Iterator<Item = (&'a str, u64)> {
        self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(metric.name)?;
            let (labels, number) = rest.rsplit_once(' ')?;
            let label = labels.split('"').nth(1).unwrap_or_default();
            let whole = number.split('.').next()?;
            (labels.is_empty() || labels.starts_with('{')).then_some(())?;
            Some((label, whole.parse().ok()?))
        })
    }

    fn moment(&self, metric: &Metric) -> Option<Timestamp> {
        let seconds = self.all(metric).map(|(_, number)| number).find(|seconds| *seconds > 0)?;
        Some(Timestamp::from_seconds(u32::try_from(seconds).ok()?))
    }

    fn published(&self) -> Vec<Published> {
        let of = |metric, table: &str| {
            self.all(metric).find(|(label, _)| *label == table).map_or(0, |(_, number)| number)
        };
        let tables = self.all(&metrics::COMPACTOR_SEGMENTS);
        let published = tables.map(|(table, segments)| Published {
            table: table.to_owned(),
            segments,
            rows: of(&metrics::COMPACTOR_ROWS, table),
            waiting: of(&metrics::COMPACTOR_WAITING, table),
        });
        published.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_off_the_page_that_they_were_written_on() {
        let mut page = Page::default();
        page.sample(&metrics::COMPACTOR_SEGMENTS, &[("table", "clicks")], 7);
        page.sample(&metrics::COMPACTOR_SEGMENTS, &[("table", "deliveries")], 0);
        page.sample(&metrics::COMPACTOR_WAITING, &[("table", "clicks")], 2);
        page.number(&metrics::COMPACTOR_LAST_SUCCESS, &[], 1_795_158_000.25);
        page.number(&metrics::FORGETTING_LAST_RUN, &[], 0.0);
        let told = Told(page.into_text());
        let tables: Vec<_> =
            told.published().into_iter().map(|of| (of.table, of.segments, of.waiting)).collect();
        assert_eq!(tables, [("clicks".to_owned(), 7, 2), ("deliveries".to_owned(), 0, 0)]);
        let last = told.moment(&metrics::COMPACTOR_LAST_SUCCESS);
        assert_eq!(last, Some(Timestamp::from_seconds(1_795_158_000)));
        assert_eq!(told.moment(&metrics::FORGETTING_LAST_RUN), None);
    }
}
