//! What roll-ups still have and records do not: whoever reads records has to know what he misses.
//!
//! In: all that roll-ups say of the whole hours of a period, as their `Sink`; then each event of it that was read. Out: a
//! note, if some are missing.
//! Keeps: roll-ups are read first, so what comes meanwhile is not taken for missing.

use std::ops::Range;

use crate::clock::Timestamp;
use crate::compactor::rollup::{COUNTS, Count, Fact, Key, Sink, Sums};

/// Microseconds of an hour.
const HOUR_MICROS: i64 = 3_600_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Gone {
    hours: Range<i64>,
    summed: [u64; COUNTS],
    read: [u64; COUNTS],
}

impl Gone {
    /// For a period: its first and its last hour only if they are whole.
    pub(super) fn new(from: Timestamp, to: Timestamp) -> Self {
        let first = from.micros().saturating_add(HOUR_MICROS - 1).div_euclid(HOUR_MICROS);
        let end = to.micros().div_euclid(HOUR_MICROS);
        Self { hours: first..end, summed: [0; COUNTS], read: [0; COUNTS] }
    }

    /// The days (since 1970, UTC) that have such hours.
    pub(super) fn days(&self) -> Range<i64> {
        self.hours.start.div_euclid(24)..(self.hours.end - 1).div_euclid(24) + 1
    }

    /// Takes in an event that was read.
    pub(super) fn take(&mut self, fact: &Fact<'_>) {
        if self.hours.contains(&fact.hour) {
            add(&mut self.read, &fact.sums);
        }
    }

    /// What is missing.
    pub(super) fn note(&self) -> Option<String> {
        let missing = |count: Count| {
            let (summed, read) = (self.summed[count as usize], self.read[count as usize]);
            (summed > read).then(|| format!("{} of {summed} {}", summed - read, count.name()))
        };
        let told = [Count::Clicks, Count::Through, Count::Conversions, Count::Approved, Count::Reversed];
        let missing: Vec<String> = told.into_iter().filter_map(missing).collect();
        (!missing.is_empty()).then(|| {
            format!(
                "not in it are {}, whose records are gone: only reports by campaign, offer, source, network, lander, country, \
                 currency, day and hour have them",
                missing.join(", ")
            )
        })
    }
}

impl Sink for Gone {
    fn texts(&mut self, _texts: &[&str]) {}

    fn row(&mut self, key: &Key, sums: &Sums) {
        if self.hours.contains(&key.hour) {
            add(&mut self.summed, sums);
        }
    }
}

fn add(counts: &mut [u64; COUNTS], sums: &Sums) {
    for (sum, more) in counts.iter_mut().zip(sums.counts) {
        *sum = sum.saturating_add(more);
    }
}
