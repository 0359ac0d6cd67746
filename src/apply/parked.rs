//! Postbacks whose click nobody knows yet: looked at again for a while, because clicks are imported.
//!
//! Keeps: at most `PARKED_MAX`, the oldest goes first; it stays unmatched in the journal, and `replay` finds it there, as
//! it does after a restart. Of the request nothing but what a decision needs: the journal has it.

use std::collections::VecDeque;
use std::time::Duration;

use super::claim::{Evidence, Subject, Submission};
use crate::clock::Timestamp;
use crate::store::clicks::Clicks;
use crate::store::{Lookup, Position};

/// Postbacks that wait at once: with 16 KiB of parameters, the most that there can be, about 200 MB; usually 10 MB.
pub(super) const PARKED_MAX: usize = 10_000;

/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Parked {
    waiting: VecDeque<Waiting>,
    /// How many ids of other trackers were known when all were looked at.
    known: Option<usize>,
    looked: Option<Timestamp>,
}

#[derive(Debug)]
struct Waiting {
    until: Timestamp,
    submission: Submission,
    postback: Position,
}

impl Parked {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn add(&mut self, mut submission: Submission, postback: Position) {
        if self.waiting.len() >= PARKED_MAX {
            self.waiting.pop_front();
        }
        let Evidence { time, config_version, .. } = submission.evidence;
        submission.evidence = Evidence { time, config_version, ..Evidence::default() };
        let until = time.plus(submission.network.park);
        self.waiting.push_back(Waiting { until, submission, postback });
        // The click may have come since it was looked for.
        self.known = None;
    }

    /// As `add`, for one that could not be decided on after all.
    pub(super) fn put_back(&mut self, submission: Submission, postback: Position) {
        self.add(Submission { subject: Subject::Unknown, ..submission }, postback);
    }

    /// No longer waits for the click of this one: it was decided on otherwise.
    pub(super) fn forget(&mut self, postback: Position) {
        self.waiting.retain(|waiting| waiting.postback != postback);
    }

    /// Takes out those whose click is there now, with that click, and forgets those that have waited long enough.
    /// Looks once a second, however often it is asked: there may be `PARKED_MAX` of them.
    pub(super) fn found(&mut self, clicks: &Clicks, now: Timestamp) -> Vec<(Submission, Position)> {
        let is_soon = |looked: Timestamp| now >= looked && now.since(looked) < LOOK_EVERY;
        if self.looked.is_some_and(is_soon) {
            return Vec::new();
        }
        self.looked = Some(now);
        self.waiting.retain(|waiting| waiting.until >= now);
        let known = Some(clicks.foreign().len());
        if self.known == known {
            return Vec::new();
        }
        self.known = known;
        let mut found = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            match clicks.find_foreign(&waiting.submission.claim.click_id) {
                Lookup::Found(click) => {
                    let subject = Subject::Click { click: Box::new(click), parent: None };
                    found.push((Submission { subject, ..waiting.submission }, waiting.postback));
                }
                _ => self.waiting.push_back(waiting),
            }
        }
        found
    }
}
