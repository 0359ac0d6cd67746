//! How long something takes: a count for each power of two of microseconds.
//!
//! Keeps: one thread records, any may read; recording is two loads and two stores.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Finite buckets: up to 1 µs, 2 µs, 4 µs … 2^24 µs, which is 16.8 s.
pub const BUCKETS: usize = 25;

/// See the module. Written by one thread.
#[derive(Debug)]
pub struct Histogram {
    /// The last one is for whatever takes longer.
    buckets: [AtomicU64; BUCKETS + 1],
    nanoseconds: AtomicU64,
}

/// What histograms held at one moment, added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    buckets: [u64; BUCKETS + 1],
    nanoseconds: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), nanoseconds: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        add(&self.nanoseconds, nanoseconds);
        if let Some(bucket) = self.buckets.get(bucket(nanoseconds)) {
            add(bucket, 1);
        }
    }
}

/// Adds to a counter that nobody else writes: no need for the bus lock of `fetch_add`.
pub fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

/// The first bucket whose upper edge is not below it.
fn bucket(nanoseconds: u64) -> usize {
    let below = nanoseconds.div_ceil(1_000).saturating_sub(1);
    let width = u64::BITS - below.leading_zeros();
    (width as usize).min(BUCKETS)
}

impl Default for Distribution {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS + 1], nanoseconds: 0 }
    }
}

impl Distribution {
    /// Adds what a histogram holds.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        self.nanoseconds = self.nanoseconds.wrapping_add(histogram.nanoseconds.load(Ordering::Relaxed));
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What they took together, in seconds.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds).as_secs_f64()
    }

    /// For each finite bucket its upper edge in seconds, and how many took no longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut sum = 0;
        self.buckets.iter().take(BUCKETS).zip(0u32..).map(move |(count, power)| {
            sum += count;
            (Duration::from_micros(1 << power).as_secs_f64(), sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_the_first_bucket_that_holds_it() {
        for (nanoseconds, index) in
            [(0, 0), (1_000, 0), (1_001, 1), (2_000, 1), (2_001, 2), (4_000, 2), (16_777_216_000, 24)]
        {
            assert_eq!(bucket(nanoseconds), index, "{nanoseconds} ns");
        }
        assert_eq!(bucket(16_777_216_001), BUCKETS);
        assert_eq!(bucket(u64::MAX), BUCKETS);
    }

    #[test]
    fn what_threads_recorded_is_added_up() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_micros(3));
        other.record(Duration::from_millis(2));
        other.record(Duration::from_secs(60));
        let mut all = Distribution::default();
        all.add(&one);
        all.add(&other);
        assert_eq!(all.count(), 3);
        assert!((all.seconds() - 60.002_003).abs() < 1e-9);
        let edges: Vec<_> = all.cumulative().collect();
        assert_eq!((edges.len(), edges[1].1, edges[2].1, edges[24].1), (BUCKETS, 0, 1, 2));
    }
}
