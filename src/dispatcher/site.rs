//! A site: scheme, host and port. Whatever is called under one name shares what that host takes.

use super::breaker::{self, Breaker, Pass};
use super::destinations::SiteLimits;
use crate::event::delivery::OutcomeClass;
use crate::meter::Meter;
use std::collections::BTreeSet;
use std::time::Duration;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Site {
    pub(super) breaker: Breaker,
    meter: Meter,
    pub(super) limits: SiteLimits,
    in_flight: u32,
    /// Destinations that had something to send while it took no more.
    waiting: BTreeSet<usize>,
}

/// Why nothing can be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shut {
    /// Not for so long.
    For(Duration),
    /// Until an attempt ends.
    Full,
}

impl Site {
    /// One that takes so much.
    pub(super) fn with(limits: SiteLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Leave for one more attempt, of which there are no more than `most` at once unless its own limits say otherwise.
    pub(super) fn enter(&mut self, place: usize, most: u32, now: Duration) -> Result<Pass, Shut> {
        if self.in_flight >= self.limits.concurrency.unwrap_or(most) {
            self.waiting.insert(place);
            return Err(Shut::Full);
        }
        let pass = self.breaker.ask(now).map_err(Shut::For)?;
        if let Some(allowance) = self.limits.rate
            && let Err(wait) = self.meter.take(allowance, now)
        {
            self.breaker.abandoned(pass, now);
            return Err(Shut::For(wait));
        }
        self.in_flight += 1;
        Ok(pass)
    }

    /// An attempt has ended, or was not made after all. Who may try again now.
    pub(super) fn leave(
        &mut self,
        pass: Pass,
        class: Option<OutcomeClass>,
        now: Duration,
    ) -> BTreeSet<usize> {
        self.in_flight -= 1;
        match class {
            Some(class) => self.breaker.ended(pass, breaker::of_host(class), now),
            None => self.breaker.abandoned(pass, now),
        }
        std::mem::take(&mut self.waiting)
    }
}
