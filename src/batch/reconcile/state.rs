//! The last reconciliation of each network, for the daemon's metrics: `DATA/reconcile/<hash>.json`.
//!
//! Keeps: a file is whole or not there. It holds no conversion, only how many there were.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Counts, ReconcileError, Reconciliation};
use crate::clock::Timestamp;
use crate::metrics::{self, Page};
use crate::store::directory::{make_folder, write_whole};

/// Networks whose last run is read at most.
pub const NETWORKS_MAX: usize = 1000;
/// Who else may read a file: everybody who may look into the folder. The daemon may be another user.
const MODE: u32 = 0o644;

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Network id.
    pub network: String,
    /// When it ran, in microseconds since 1970.
    pub time: i64,
    /// The period that was compared.
    pub from: String,
    /// Its end.
    pub to: String,
    /// Conversions that both sides have alike.
    pub matched: u64,
    /// Conversions that only the network has.
    pub missing: u64,
    /// Conversions that only we have.
    pub extra: u64,
    /// Conversions that differ.
    pub differing: u64,
    /// The largest difference, in millionths of what the network says.
    pub discrepancy_millionths: u64,
}

/// Writes down what came of a run.
///
/// # Errors
/// What the system says.
pub fn write(data: &Path, run: &Reconciliation, now: Timestamp) -> Result<(), ReconcileError> {
    let Counts { matched, missing, extra, payout_differs, status_differs, .. } = run.counts;
    let last = LastRun {
        network: run.network.clone(),
        time: now.micros(),
        from: run.from.clone(),
        to: run.to.clone(),
        matched,
        missing,
        extra,
        differing: payout_differs + status_differs,
        discrepancy_millionths: u64::try_from(run.discrepancy).unwrap_or(u64::MAX),
    };
    let folder = data.join("reconcile");
    make_folder(&folder)?;
    // A network may be called anything, and a file may not.
    let path = folder.join(format!("{:08x}.json", crc32c::crc32c(run.network.as_bytes())));
    let json = serde_json::to_vec_pretty(&last).map_err(io::Error::from);
    Ok(write_whole(&path, &json.map_err(ReconcileError::file("write", &path))?, MODE)?)
}

/// The last run of each network, by network. Files that cannot be read are passed by: a metric is no place for an error.
pub fn read(data: &Path) -> Vec<LastRun> {
    let Ok(entries) = fs::read_dir(data.join("reconcile")) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let files = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let runs = files.take(NETWORKS_MAX).filter_map(|path| {
        let bytes = fs::read(path).ok()?;
        serde_json::from_slice::<LastRun>(&bytes).ok()
    });
    let mut runs: Vec<LastRun> = runs.collect();
    runs.sort_by(|a, b| a.network.cmp(&b.network));
    runs
}

/// Shows the last run of each network. Their names are those that somebody has given the command, not what requests say.
pub fn write_metrics(data: &Path, page: &mut Page) {
    let runs = read(data);
    page.begin(&metrics::RECONCILED);
    for run in &runs {
        let seconds = Timestamp::from_micros(run.time).seconds();
        page.sample(&metrics::RECONCILED, &[("network", &run.network)], seconds.into());
    }
    page.begin(&metrics::RECONCILED_CONVERSIONS);
    for run in &runs {
        for (class, count) in [
            ("matched", run.matched),
            ("missing", run.missing),
            ("extra", run.extra),
            ("differing", run.differing),
        ] {
            let labels = [("network", &*run.network), ("class", class)];
            page.sample(&metrics::RECONCILED_CONVERSIONS, &labels, count);
        }
    }
    page.begin(&metrics::RECONCILED_DISCREPANCY);
    for run in &runs {
        let millionths = u32::try_from(run.discrepancy_millionths).unwrap_or(u32::MAX);
        let ratio = f64::from(millionths) / 1e6;
        page.number(&metrics::RECONCILED_DISCREPANCY, &[("network", &run.network)], ratio);
    }
}
