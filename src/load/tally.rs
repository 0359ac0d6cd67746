//! What became of the requests, counted by each thread for itself and added up at the end.
//!
//! In: one end for each request that counts. Out: counts and histograms.
//! Keeps: every request ends once, in a status or in a `Fault`.
//! Not here: how that is shown (`report`).

use std::time::Duration;

use hdrhistogram::Histogram;

/// Statuses are below this.
const STATUS_MAX: usize = 600;
/// Longer latencies are counted as this long, and as saturated.
const LATENCY_US_MAX: u64 = 60_000_000;

/// How a request ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection could be opened.
    Connect,
    /// The connection broke, or was closed before the answer was complete.
    Io,
    /// The answer was not complete in time; or the connection was not.
    Timeout,
    /// What came was no HTTP/1.x answer.
    BadResponse,
    /// It was under way when the run was interrupted.
    Interrupted,
}

impl Fault {
    /// All of them, in the order of a report.
    pub const ALL: [Self; 5] = [Self::Connect, Self::Io, Self::Timeout, Self::BadResponse, Self::Interrupted];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect_errors",
            Self::Io => "io_errors",
            Self::Timeout => "timeouts",
            Self::BadResponse => "bad_responses",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The counts of one thread, or of all.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) sent: u64,
    statuses: [u64; STATUS_MAX],
    faults: [u64; Fault::ALL.len()],
    pub(super) latency: Latencies,
    pub(super) service: Latencies,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    /// Also those of the warm-up.
    pub(super) connections_opened: u64,
    pub(super) last_sent: Duration,
    pub(super) last_answer: Duration,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            sent: 0,
            statuses: [0; STATUS_MAX],
            faults: [0; Fault::ALL.len()],
            latency: Latencies::new(),
            service: Latencies::new(),
            bytes_sent: 0,
            bytes_received: 0,
            connections_opened: 0,
            last_sent: Duration::ZERO,
            last_answer: Duration::ZERO,
        }
    }

    /// A request was answered.
    pub(super) fn answer(&mut self, status: u16, latency: Duration, service: Duration) {
        if let Some(count) = self.statuses.get_mut(usize::from(status)) {
            *count += 1;
        }
        self.latency.record(latency);
        self.service.record(service);
    }

    /// A request was not.
    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    pub(super) fn faults(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// Each status that came, with how often.
    pub(super) fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        (0..).zip(self.statuses).filter(|(_, count)| *count > 0)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        for (sum, count) in self.statuses.iter_mut().zip(other.statuses) {
            *sum += count;
        }
        for (sum, count) in self.faults.iter_mut().zip(other.faults) {
            *sum += count;
        }
        self.latency.add(&other.latency);
        self.service.add(&other.service);
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.connections_opened += other.connections_opened;
        self.last_sent = self.last_sent.max(other.last_sent);
        self.last_answer = self.last_answer.max(other.last_answer);
    }
}

/// Latencies in microseconds, to three digits.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    histogram: Histogram<u64>,
    /// Longer than the histogram reaches.
    pub(super) saturated: u64,
}

impl Latencies {
    fn new() -> Self {
        match Histogram::new_with_bounds(1, LATENCY_US_MAX, 3) {
            Ok(histogram) => Self { histogram, saturated: 0 },
            Err(_) => unreachable!("the bounds are constants, and valid"),
        }
    }

    fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.saturated += u64::from(micros > LATENCY_US_MAX);
        self.histogram.saturating_record(micros.min(LATENCY_US_MAX));
    }

    fn add(&mut self, other: &Self) {
        self.saturated += other.saturated;
        // Both have the same bounds.
        let _added = self.histogram.add(&other.histogram);
    }

    pub(super) fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub(super) fn at(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    pub(super) fn max(&self) -> u64 {
        self.histogram.max()
    }

    pub(super) fn mean(&self) -> f64 {
        self.histogram.mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_the_histogram_reaches_is_counted_all_the_same() {
        let mut latencies = Latencies::new();
        for seconds in [0, 60, 61, u64::MAX] {
            latencies.record(Duration::from_secs(seconds));
        }
        assert_eq!((latencies.count(), latencies.saturated), (4, 2));
        assert!((60_000_000..60_060_000).contains(&latencies.max()), "{}", latencies.max());
    }

    #[test]
    fn sums_of_threads_are_those_of_one() {
        let (mut one, mut other) = (Tally::new(), Tally::new());
        one.answer(302, Duration::from_micros(5), Duration::from_micros(3));
        other.answer(302, Duration::from_micros(9), Duration::from_micros(4));
        other.fault(Fault::Timeout);
        one.add(&other);
        assert_eq!(one.statuses().collect::<Vec<_>>(), [(302, 2)]);
        assert_eq!(Fault::ALL.map(|fault| one.faults(fault)), [0, 0, 1, 0, 0]);
        assert_eq!((one.latency.count(), one.latency.max(), one.service.max()), (2, 9, 4));
    }
}
