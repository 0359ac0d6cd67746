//! Jobs out: who may make a request now, and what goes into it.

use std::time::Duration;

use super::Desk;
use crate::clock::Timestamp;
use crate::dispatcher::breaker::Pass;
use crate::dispatcher::line::Delivery;
use crate::dispatcher::site::Shut;
use crate::dispatcher::turn::Turn;
use crate::store::Position;

/// One request to make. It is given back with `ended`.
#[derive(Debug)]
pub struct Job {
    /// Of which destination, by its number.
    pub station: usize,
    /// Its id.
    pub destination: Box<str>,
    /// What is told.
    pub items: Vec<JobItem>,
    pub(super) turn: Turn,
    pub(super) pass: Pass,
    pub(super) site: u32,
    pub(super) site_pass: Pass,
    pub(super) began: Duration,
}

/// One delivery of a job.
#[derive(Clone, Copy, Debug)]
pub struct JobItem {
    /// Where its decision lies.
    pub at: Position,
    /// As it was taken.
    pub delivery: Delivery,
}

impl Desk {
    /// When to call `wake` next, by either clock.
    pub fn next_wake(&self) -> (Option<Timestamp>, Option<Duration>) {
        (self.due.first().map(|(at, _)| *at), self.shut.first().map(|(at, _)| *at))
    }

    /// Makes ready what is due by now.
    pub fn wake(&mut self, now: Timestamp, monotonic: Duration) {
        while let Some((at, index)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            if let Some(station) = self.stations.get_mut(index) {
                station.timer = None;
                station.line.wake(now);
            }
            self.look_at(index);
        }
        while let Some((at, index)) = self.shut.first().copied()
            && at <= monotonic
        {
            self.shut.pop_first();
            self.open(index);
        }
    }

    /// A destination may ask again.
    pub(super) fn open(&mut self, index: usize) {
        if let Some(station) = self.stations.get_mut(index)
            && let Some(until) = station.shut.take()
        {
            self.shut.remove(&(until, index));
        }
        self.look_at(index);
    }

    /// The next request to make, if any may be made now.
    pub fn next(&mut self, now: Timestamp, monotonic: Duration) -> Option<Job> {
        while let Some(turn) = self.turns.next(monotonic) {
            let index = turn.place().index();
            match self.enter(index, now, monotonic) {
                Ok((pass, site, site_pass)) => {
                    let (destination, items) = self.take_items(index, site);
                    self.look_at(index);
                    return Some(Job {
                        station: index,
                        destination,
                        items,
                        turn,
                        pass,
                        site,
                        site_pass,
                        began: monotonic,
                    });
                }
                Err(shut) => {
                    self.turns.ended(turn, monotonic);
                    self.shut(index, shut, monotonic);
                }
            }
        }
        None
    }

    pub(super) fn shut(&mut self, index: usize, shut: Shut, monotonic: Duration) {
        let until = match shut {
            Shut::For(wait) => monotonic.saturating_add(wait),
            Shut::Full => Duration::MAX,
        };
        if let Some(station) = self.stations.get_mut(index) {
            station.shut = Some(until);
            if shut != Shut::Full {
                self.shut.insert((until, index));
            }
        }
        self.look_at(index);
    }

    /// Asks all that may keep a destination from sending now.
    fn enter(
        &mut self,
        index: usize,
        now: Timestamp,
        monotonic: Duration,
    ) -> Result<(Pass, u32, Pass), Shut> {
        let most = self.options.attempts_per_host_max;
        let Some(station) = self.stations.get_mut(index) else { return Err(Shut::Full) };
        let Some((_, front)) = station.line.front() else {
            unreachable!("who has a turn has something ready");
        };
        let site = front.site;
        if let Some((max, wait)) = station.batch
            && station.line.ready_count() < max
        {
            let full_at = front.next.plus(wait);
            // A clock that was set back shows a time before it was ready: nobody waits for it to come there again.
            if full_at > now && front.next <= now {
                return Err(Shut::For(full_at.since(now)));
            }
        }
        if let Some(allowance) = station.limits.rate {
            station.meter.wait(allowance, monotonic).map_or(Ok(()), |wait| Err(Shut::For(wait)))?;
        }
        if let Some(most) = station.limits.daily {
            station.daily.check(most, now).map_err(|until| Shut::For(until.since(now)))?;
        }
        let pass = station.breaker.ask(monotonic).map_err(Shut::For)?;
        let entered = match self.sites.get_mut(site as usize) {
            Some(site) => site.enter(index, most, monotonic),
            None => Err(Shut::Full),
        };
        match entered {
            Ok(site_pass) => {
                // Both were asked above, and nobody else takes from them.
                if let Some(allowance) = station.limits.rate {
                    let _had = station.meter.take(allowance, monotonic);
                }
                station.daily.note(now);
                Ok((pass, site, site_pass))
            }
            Err(shut) => {
                station.breaker.abandoned(pass, monotonic);
                Err(shut)
            }
        }
    }

    /// The deliveries of the next request: as many as go into one, all to one site.
    fn take_items(&mut self, index: usize, site: u32) -> (Box<str>, Vec<JobItem>) {
        let Some(station) = self.stations.get_mut(index) else { return Default::default() };
        let max = station.batch.map_or(1, |(max, _)| max);
        let mut items = Vec::with_capacity(max.min(station.line.ready_count()));
        while items.len() < max && station.line.front().is_some_and(|(_, front)| front.site == site) {
            items.extend(station.line.take().map(|(at, delivery)| JobItem { at, delivery }));
        }
        (station.id.clone(), items)
    }
}
