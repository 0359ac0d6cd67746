//! The books: requests by outcome, how long they took, clicks gross and net.
//!
//! Keeps: `received = sum of all outcomes`; a request that is dropped in the middle is counted too.
//! Each worker has its own and is the only one to write them; whoever reads adds them up.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::handshake::Failure;
use super::outcome::{Class, Outcome};
use crate::apply::claim::Refusal;
use crate::event::click::{ClickKind, Labels};
use crate::metrics::histogram::{Distribution, Histogram, add};
use crate::metrics::{self, Page};

const OUTCOMES: usize = Outcome::ALL.len();
const CLASSES: usize = Class::ALL.len();
const REFUSALS: usize = Refusal::ALL.len();
const FAILURES: usize = Failure::ALL.len();

/// Handshakes that are told apart, by version and kind.
const HANDSHAKES: [(&str, &str); 4] =
    [("1.2", "full"), ("1.2", "resumed"), ("1.3", "full"), ("1.3", "resumed")];

/// Labels that are counted, with their names in metrics.
pub const LABELS: [(Labels, &str); 4] = Labels::NAMED;

/// One worker's counts. Written by its thread alone, read by any.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counts {
    received: AtomicU64,
    outcomes: [AtomicU64; OUTCOMES],
    durations: [Histogram; CLASSES],
    gross: AtomicU64,
    net: AtomicU64,
    labels: [AtomicU64; LABELS.len()],
    refused: [AtomicU64; REFUSALS],
    placeholders: AtomicU64,
    handshakes: [AtomicU64; HANDSHAKES.len()],
    failures: [AtomicU64; FAILURES],
}

/// The counts of all workers, added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Requests that came.
    pub received: u64,
    outcomes: [u64; OUTCOMES],
    durations: [Distribution; CLASSES],
    /// Clicks recorded, labelled or not.
    pub gross: u64,
    /// Those that no label is held against.
    pub net: u64,
    labels: [u64; LABELS.len()],
    refused: [u64; REFUSALS],
    /// Values of postbacks that were placeholders which nobody filled.
    pub placeholders: u64,
    handshakes: [u64; HANDSHAKES.len()],
    failures: [u64; FAILURES],
}

/// The standard library knows defaults of arrays only up to 32.
impl Default for Counts {
    fn default() -> Self {
        Self {
            received: AtomicU64::default(),
            outcomes: [const { AtomicU64::new(0) }; OUTCOMES],
            durations: Default::default(),
            gross: AtomicU64::default(),
            net: AtomicU64::default(),
            labels: Default::default(),
            refused: Default::default(),
            placeholders: AtomicU64::default(),
            handshakes: Default::default(),
            failures: Default::default(),
        }
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            received: 0,
            outcomes: [0; OUTCOMES],
            durations: Default::default(),
            gross: 0,
            net: 0,
            labels: Default::default(),
            refused: Default::default(),
            placeholders: 0,
            handshakes: Default::default(),
            failures: Default::default(),
        }
    }
}

impl Counts {
    /// Counts a click that was recorded.
    pub(super) fn recorded(&self, kind: ClickKind, labels: Labels) {
        // Who goes through a lander has clicked before, and was counted then.
        if kind == ClickKind::Through {
            return;
        }
        add(&self.gross, 1);
        if labels.is_net() {
            return add(&self.net, 1);
        }
        for ((label, _), counter) in LABELS.iter().zip(&self.labels) {
            if labels.contains(*label) {
                add(counter, 1);
            }
        }
    }

    /// Counts a postback that was refused.
    pub(super) fn refused(&self, refusal: Refusal) {
        if let Some(counter) = index(refusal).and_then(|index| self.refused.get(index)) {
            add(counter, 1);
        }
    }

    /// Counts values that were placeholders.
    pub(super) fn placeholders(&self, count: u32) {
        if count > 0 {
            add(&self.placeholders, count.into());
        }
    }

    /// Counts a handshake: over TLS 1.3 or an earlier version, of an earlier session or not.
    pub(super) fn shaken(&self, is_new: bool, is_resumed: bool) {
        add(&self.handshakes[usize::from(is_new) * 2 + usize::from(is_resumed)], 1);
    }

    /// Counts a handshake that failed.
    pub(super) fn not_shaken(&self, failure: Failure) {
        add(&self.failures[failure as usize], 1);
    }

    fn ended(&self, outcome: Outcome) {
        add(&self.outcomes[outcome as usize], 1);
    }
}

impl Totals {
    /// Adds up.
    pub fn of<'a>(all: impl IntoIterator<Item = &'a Counts>) -> Self {
        let mut totals = Self::default();
        let sum = |totals: &mut [u64], counters: &[AtomicU64]| {
            for (total, counter) in totals.iter_mut().zip(counters) {
                *total += counter.load(Ordering::Relaxed);
            }
        };
        for counts in all {
            sum(&mut totals.outcomes, &counts.outcomes);
            // After the outcomes: what ends meanwhile must not seem to have ended before it came.
            totals.received += counts.received.load(Ordering::Relaxed);
            totals.gross += counts.gross.load(Ordering::Relaxed);
            totals.net += counts.net.load(Ordering::Relaxed);
            sum(&mut totals.labels, &counts.labels);
            sum(&mut totals.refused, &counts.refused);
            sum(&mut totals.handshakes, &counts.handshakes);
            sum(&mut totals.failures, &counts.failures);
            totals.placeholders += counts.placeholders.load(Ordering::Relaxed);
            for (total, histogram) in totals.durations.iter_mut().zip(&counts.durations) {
                total.add(histogram);
            }
        }
        totals
    }

    /// How many ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// All that have ended.
    pub fn ended(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// How long those of this class took that were answered.
    pub fn durations(&self, class: Class) -> &Distribution {
        &self.durations[class as usize]
    }

    /// Clicks that are labelled so.
    pub fn labelled(&self, label: Labels) -> u64 {
        let counted = LABELS.iter().zip(&self.labels).find(|((known, _), _)| *known == label);
        counted.map_or(0, |(_, count)| *count)
    }

    /// Postbacks that were refused for this reason.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        index(refusal).and_then(|index| self.refused.get(index)).copied().unwrap_or(0)
    }

    /// Handshakes over this version of TLS, `full` ones or `resumed` ones.
    pub fn handshakes(&self, version: &str, kind: &str) -> u64 {
        let counted = HANDSHAKES.iter().zip(&self.handshakes).find(|(known, _)| **known == (version, kind));
        counted.map_or(0, |(_, count)| *count)
    }

    /// Handshakes that failed for this reason.
    pub fn failed_handshakes(&self, failure: Failure) -> u64 {
        self.failures[failure as usize]
    }

    /// Writes them on a page.
    pub fn write_metrics(&self, page: &mut Page) {
        page.sample(&metrics::REQUESTS_RECEIVED, &[], self.received);
        for outcome in Outcome::ALL {
            page.sample(&metrics::REQUESTS, &[("outcome", outcome.label())], self.count(*outcome));
        }
        for class in Class::ALL {
            let labels = [("class", class.label())];
            page.distribution(&metrics::REQUEST_DURATION, &labels, self.durations(*class));
        }
        page.sample(&metrics::CLICKS, &[], self.gross);
        page.sample(&metrics::CLICKS_NET, &[], self.net);
        for ((_, name), count) in LABELS.iter().zip(&self.labels) {
            page.sample(&metrics::CLICKS_LABELLED, &[("label", name)], *count);
        }
        for (refusal, count) in Refusal::ALL.iter().zip(&self.refused) {
            page.sample(&metrics::POSTBACKS_REFUSED, &[("reason", refusal.name())], *count);
        }
        page.sample(&metrics::POSTBACKS_PLACEHOLDERS, &[], self.placeholders);
        for ((version, kind), count) in HANDSHAKES.iter().zip(&self.handshakes) {
            page.sample(&metrics::TLS_HANDSHAKES, &[("version", version), ("kind", kind)], *count);
        }
        for (failure, count) in Failure::ALL.iter().zip(&self.failures) {
            page.sample(&metrics::TLS_HANDSHAKE_FAILURES, &[("reason", failure.label())], *count);
        }
    }
}

fn index(refusal: Refusal) -> Option<usize> {
    Refusal::ALL.iter().position(|known| *known == refusal)
}

/// One request on its way. Dropped without an outcome, it was aborted.
#[derive(Debug)]
pub(super) struct Ticket<C: Deref<Target: AsRef<Counts>>> {
    counts: C,
    is_ended: bool,
}

impl<C: Deref<Target: AsRef<Counts>>> Ticket<C> {
    /// A request has come.
    pub(super) fn take(counts: C) -> Self {
        add(&counts.as_ref().received, 1);
        Self { counts, is_ended: false }
    }

    /// It has ended, without an answer of ours.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.is_ended = true;
        self.counts.as_ref().ended(outcome);
    }

    /// It is answered, after so long.
    pub(super) fn answer(self, outcome: Outcome, class: Class, took: Duration) {
        self.counts.as_ref().durations[class as usize].record(took);
        self.end(outcome);
    }
}

impl<C: Deref<Target: AsRef<Counts>>> Drop for Ticket<C> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.counts.as_ref().ended(Outcome::Aborted);
        }
    }
}

impl AsRef<Self> for Counts {
    fn as_ref(&self) -> &Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_once_whatever_happens() {
        let counts = Counts::default();
        Ticket::take(&counts).answer(Outcome::Redirected, Class::Click, Duration::from_micros(5));
        drop(Ticket::take(&counts));
        let totals = Totals::of([&counts]);
        assert_eq!((totals.received, totals.ended()), (2, 2));
        assert_eq!((totals.count(Outcome::Redirected), totals.count(Outcome::Aborted)), (1, 1));
        assert_eq!(totals.durations(Class::Click).count(), 1);
    }

    #[test]
    fn gross_is_net_and_labelled() {
        let counts = Counts::default();
        counts.recorded(ClickKind::Redirect, Labels::default());
        counts.recorded(ClickKind::Script, Labels::BOT.with(Labels::DATA_CENTRE));
        counts.recorded(ClickKind::Through, Labels::BOT);
        let totals = Totals::of([&counts]);
        assert_eq!((totals.gross, totals.net), (2, 1));
        assert_eq!((totals.labelled(Labels::BOT), totals.labelled(Labels::DUPLICATE)), (1, 0));
    }
}
