//! What the dispatcher counts.
//!
//! Keeps: one thread writes, any may read; no label comes from a catalog or an answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::client::ConnectionCounts;
use crate::event::delivery::OutcomeClass;
use crate::metrics::histogram::{Distribution, Histogram, add};
use crate::metrics::{self, Page};

/// See the module.
#[derive(Debug, Default)]
pub struct Tally {
    begun: AtomicU64,
    requests: [AtomicU64; OutcomeClass::ALL.len()],
    duration: Histogram,
    first_attempt: Histogram,
    delivered: AtomicU64,
    dead: AtomicU64,
    dropped: AtomicU64,
    connections: [AtomicU64; 2],
    gauges: [AtomicU64; 8],
}

/// Numbers that are right when they are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Deliveries that are due and have not had their turn.
    pub ready: u64,
    /// Those that wait for a moment, or for another of their conversion.
    pub waiting: u64,
    /// Those that are being attempted.
    pub in_flight: u64,
    /// Destinations that are behind in the log.
    pub behind: u64,
    /// Destinations that are paused.
    pub paused: u64,
    /// Breakers that are not closed, of destinations and of hosts.
    pub breakers_open: u64,
    /// How long the oldest open delivery has been due, in milliseconds.
    pub oldest_millis: u64,
    /// Decisions' bytes between what was looked at and the end of the log.
    pub behind_bytes: u64,
}

impl Tally {
    pub(super) fn begun(&self) {
        add(&self.begun, 1);
    }

    pub(super) fn request(&self, class: OutcomeClass, took: Duration) {
        if let Some(count) = self.requests.get(class as usize) {
            add(count, 1);
        }
        self.duration.record(took);
    }

    pub(super) fn first_attempt(&self, late: Duration) {
        self.first_attempt.record(late);
    }

    pub(super) fn finished(&self, class: OutcomeClass) {
        let count = match class {
            OutcomeClass::Ok => &self.delivered,
            OutcomeClass::Dropped => &self.dropped,
            _ => &self.dead,
        };
        add(count, 1);
    }

    pub(super) fn show(&self, gauges: Gauges) {
        let Gauges { ready, waiting, in_flight, behind, paused, breakers_open, oldest_millis, behind_bytes } =
            gauges;
        let values = [ready, waiting, in_flight, behind, paused, breakers_open, oldest_millis, behind_bytes];
        for (gauge, value) in self.gauges.iter().zip(values) {
            gauge.store(value, Ordering::Relaxed);
        }
    }

    pub(super) fn connections(&self, counts: ConnectionCounts) {
        for (count, value) in self.connections.iter().zip([counts.opened, counts.reused]) {
            count.store(value, Ordering::Relaxed);
        }
    }

    /// The numbers as they were shown last.
    pub fn gauges(&self) -> Gauges {
        let [ready, waiting, in_flight, behind, paused, breakers_open, oldest_millis, behind_bytes] =
            self.gauges.each_ref().map(|gauge| gauge.load(Ordering::Relaxed));
        Gauges { ready, waiting, in_flight, behind, paused, breakers_open, oldest_millis, behind_bytes }
    }

    /// How many deliveries ended: taken, dead, dropped.
    pub fn ended(&self) -> [u64; 3] {
        [&self.delivered, &self.dead, &self.dropped].map(|count| count.load(Ordering::Relaxed))
    }

    /// Deliveries that were begun.
    pub fn begun_count(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Writes all of it on a page.
    pub fn write_metrics(&self, page: &mut Page) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        page.sample(&metrics::DELIVERIES_BEGUN, &[], load(&self.begun));
        let [delivered, dead, dropped] = self.ended();
        for (result, count) in [("delivered", delivered), ("dead", dead), ("dropped", dropped)] {
            page.sample(&metrics::DELIVERIES_ENDED, &[("result", result)], count);
        }
        for (class, count) in OutcomeClass::ALL.iter().zip(&self.requests) {
            page.sample(&metrics::DELIVERY_REQUESTS, &[("class", class.name())], load(count));
        }
        let distribution = |histogram| {
            let mut of = Distribution::default();
            of.add(histogram);
            of
        };
        page.distribution(&metrics::DELIVERY_REQUEST_DURATION, &[], &distribution(&self.duration));
        page.distribution(&metrics::DELIVERY_FIRST_ATTEMPT, &[], &distribution(&self.first_attempt));
        for (use_of, count) in ["opened", "reused"].iter().zip(&self.connections) {
            page.sample(&metrics::DELIVERY_CONNECTIONS, &[("use", use_of)], load(count));
        }
        let Gauges { ready, waiting, in_flight, behind, paused, breakers_open, oldest_millis, behind_bytes } =
            self.gauges();
        for (state, count) in [("ready", ready), ("waiting", waiting), ("in_flight", in_flight)] {
            page.sample(&metrics::DELIVERIES_PENDING, &[("state", state)], count);
        }
        for (metric, value) in [
            (&metrics::DESTINATIONS_BEHIND, behind),
            (&metrics::DESTINATIONS_PAUSED, paused),
            (&metrics::DELIVERY_BREAKERS_OPEN, breakers_open),
            (&metrics::DELIVERIES_BEHIND_BYTES, behind_bytes),
        ] {
            page.sample(metric, &[], value);
        }
        page.number(&metrics::DELIVERY_OLDEST, &[], Duration::from_millis(oldest_millis).as_secs_f64());
    }
}
