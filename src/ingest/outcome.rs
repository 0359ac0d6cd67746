//! What became of a request: each ends in exactly one `Outcome`, and each is counted.
//!
//! Keeps: `received = sum of all outcomes`; a request that is dropped in the middle is counted too.
//! Not here: what is answered (`reply`).

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// What became of a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Outcome {
            $($(#[$doc])* $name,)*
        }

        impl Outcome {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in metrics.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

outcomes! {
    /// A click was recorded and its visitor redirected to a lander or an offer.
    Redirected = "redirected",
    /// A click was recorded; its campaign had nowhere to go, so its fallback was used.
    FellBack = "fell_back",
    /// A click was recorded, and there was nowhere to go at all: 404.
    NoDestination = "no_destination",
    /// A visitor was redirected and the click is lost: there was no room for its record.
    Unrecorded = "unrecorded",
    /// A visitor went on from a lander to an offer; recorded.
    WentThrough = "went_through",
    /// A visitor asked for an offer with no click that we know; sent to the fallback, or 404.
    ThroughUnknown = "through_unknown",
    /// The second page of a double meta refresh.
    SecondPage = "second_page",
    /// A landing page's script announced a click; recorded.
    Tracked = "tracked",
    /// The landing pages' script was handed out.
    Script = "script",
    /// No campaign goes by that name: 404.
    UnknownCampaign = "unknown_campaign",
    /// A browser fetched ahead of a click that may never come: 503, to be asked again.
    Prefetch = "prefetch",
    /// Answered as a GET would be, and nothing recorded.
    Head = "head",
    /// A browser asked what it may do.
    Options = "options",
    /// `robots.txt`, `favicon.ico`.
    Noise = "noise",
    /// No such path: 404.
    NotFound = "not_found",
    /// Not a method that we know, or not one for this path: 405.
    Method = "method",
    /// No Host, more than one, or none that can be: 400.
    Host = "host",
    /// A body framed in two ways, or in one that we do not read: 400.
    Framing = "framing",
    /// Something else about the request that cannot be: 400.
    Malformed = "malformed",
    /// The target is too long: 414.
    UriTooLong = "uri_too_long",
    /// The head is too long: 431.
    HeadTooLong = "head_too_long",
    /// The body is too long: 413.
    BodyTooLong = "body_too_long",
    /// The head did not arrive in time.
    HeadTimeout = "head_timeout",
    /// The body did not arrive in time: 408.
    BodyTimeout = "body_timeout",
    /// The peer went away before its request was complete.
    Aborted = "aborted",
    /// One connection too many, over all or from one address: 503.
    Shed = "shed",
    /// The store takes nothing any more: 503.
    Unavailable = "unavailable",
}

const COUNT: usize = Outcome::ALL.len();

/// One worker's counts. Written by its thread alone, read by any.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counts {
    received: AtomicU64,
    outcomes: [AtomicU64; COUNT],
}

/// The counts of all workers, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that came.
    pub received: u64,
    outcomes: [u64; COUNT],
}

impl Counts {
    fn add(counter: &AtomicU64) {
        // The only writer: no need for the bus lock of `fetch_add`.
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

impl Totals {
    /// Adds up.
    pub fn of<'a>(all: impl IntoIterator<Item = &'a Counts>) -> Self {
        let mut totals = Self::default();
        for counts in all {
            totals.received += counts.received.load(Ordering::Relaxed);
            for (total, outcome) in totals.outcomes.iter_mut().zip(&counts.outcomes) {
                *total += outcome.load(Ordering::Relaxed);
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
        Counts::add(&counts.as_ref().received);
        Self { counts, is_ended: false }
    }

    /// It has ended.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.is_ended = true;
        Counts::add(&self.counts.as_ref().outcomes[outcome as usize]);
    }
}

impl<C: Deref<Target: AsRef<Counts>>> Drop for Ticket<C> {
    fn drop(&mut self) {
        if !self.is_ended {
            Counts::add(&self.counts.as_ref().outcomes[Outcome::Aborted as usize]);
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
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn labels_are_told_apart() {
        let labels: HashSet<_> = Outcome::ALL.iter().map(|outcome| outcome.label()).collect();
        assert_eq!(labels.len(), COUNT);
    }

    #[test]
    fn a_request_ends_once_whatever_happens() {
        let counts = Counts::default();
        Ticket::take(&counts).end(Outcome::Redirected);
        drop(Ticket::take(&counts));
        let totals = Totals::of([&counts]);
        assert_eq!((totals.received, totals.ended()), (2, 2));
        assert_eq!((totals.count(Outcome::Redirected), totals.count(Outcome::Aborted)), (1, 1));
    }
}
