//! Decisions in: what each destination begins, and what it is behind with.

use std::sync::Arc;
use std::time::Duration;

use super::{Desk, Part, Past, Station, is_open};
use crate::clock::Timestamp;
use crate::dispatcher::destinations::Destinations;
use crate::dispatcher::kept::Kept;
use crate::dispatcher::line::{Delivery, Line, conversion_number};
use crate::dispatcher::outbound::{Body, Outbound};
use crate::dispatcher::owed::Owed;
use crate::dispatcher::progress::{Begun, Behind};
use crate::dispatcher::site::Site;
use crate::event::decision::Decision;
use crate::store::Position;

/// A destination that is further behind than so much of the log is told what is new first.
const BEHIND_BYTES_MAX: u64 = 1024 * 1024;

impl Desk {
    /// Looks at the next decision: each destination in step that it owes something begins that, or falls behind.
    pub fn take(
        &mut self,
        at: Position,
        decision: &Decision<'_>,
        all: &Destinations,
        past: Past<'_>,
        now: Timestamp,
    ) {
        for owed in owed(decision, all, past) {
            let Some(index) = self.station(&owed.destination.id) else { continue };
            // What is before its head is done with or in its backlog, which is read in its order: a start goes back to where
            // the last of all destinations is.
            let is_new = |station: &&Station| station.is_in_step && at >= station.line.progress.head();
            let Some(station) = self.stations.get(index).filter(is_new) else { continue };
            let behind = in_backlog(&station.line, decision, past);
            if self.begin(index, at, decision, &owed, behind, now) == Begun::Full
                && let Some(station) = self.stations.get_mut(index)
            {
                station.line.progress.reach(at);
                station.is_in_step = false;
                self.lagging.insert(index);
            }
        }
    }

    /// Everything before `end` has been looked at.
    pub fn reach(&mut self, end: Position) {
        self.head = self.head.max(end);
    }

    /// What is to be read for those who are behind: a part of the log, with all that can make use of it. Offer them each
    /// decision of it by `take_behind`, and say with `reach_behind` how far that went.
    pub fn behind(&mut self) -> Option<Behind> {
        // One after the other, so that a long backlog keeps nobody else waiting.
        while let Some(index) = self.hungry.range(self.fed + 1..).next().or(self.hungry.first()).copied() {
            self.fed = index;
            if let Some(behind) = self.next_behind(index) {
                self.join(behind);
                return Some(behind);
            }
            self.hungry.remove(&index);
        }
        None
    }

    fn next_behind(&mut self, index: usize) -> Option<Behind> {
        let head = self.head;
        let station = self.stations.get_mut(index)?;
        let is_open = is_open(&station.breaker);
        if !station.is_named || station.paused.is_some() || !station.line.has_room() {
            return None;
        }
        if !station.is_in_step {
            let from = station.line.progress.head();
            let is_far = head.to_u64().saturating_sub(from.to_u64()) > BEHIND_BYTES_MAX;
            // To one that takes nothing, nothing is new.
            if from < head && (is_open || !(is_far && station.line.progress.skip_to(head))) {
                self.lagging.insert(index);
                if !station.line.wants_more() {
                    return None;
                }
                return match station.part() {
                    Part::Head => Some(Behind { from, to: Some(head) }),
                    Part::Backlog => station.line.progress.backlog(),
                };
            }
            station.is_in_step = true;
        }
        let backlog = station.line.progress.backlog();
        if backlog.is_some() {
            self.lagging.insert(index);
        } else {
            self.lagging.remove(&index);
        }
        if station.line.wants_more() { backlog } else { None }
    }

    /// Finds who can make use of reading a part of the log: whoever has looked at all that is before it. So those who are
    /// behind alike read together, and each decision is looked at once for all of them.
    fn join(&mut self, behind: Behind) {
        self.walkers.clear();
        for index in &self.lagging {
            let Some(station) = self.stations.get(*index) else { continue };
            let may = station.is_named && station.paused.is_none() && station.line.has_room();
            let part = station.part();
            if may && station.next_of(part).is_some_and(|next| next >= behind.from) {
                self.walkers.insert(*index, part);
            }
        }
    }

    /// Offers a decision to those who are behind. Says whether any of them has room for more.
    pub fn take_behind(
        &mut self,
        at: Position,
        decision: &Decision<'_>,
        all: &Destinations,
        past: Past<'_>,
        now: Timestamp,
    ) -> bool {
        for owed in owed(decision, all, past) {
            let Some(index) = self.station(&owed.destination.id) else { continue };
            let Some(part) = self.walkers.get(&index).copied() else { continue };
            let Some(station) = self.stations.get(index) else { continue };
            // What is before its own part is for others: to begin it here would pass over what lies between.
            if !station.reads(part, at) {
                continue;
            }
            let behind = match part {
                Part::Head => in_backlog(&station.line, decision, past),
                // What is in the backlog itself comes in its order.
                Part::Backlog => None,
            };
            if self.begin(index, at, decision, &owed, behind, now) == Begun::Full {
                self.walked(index, part, at, now);
                self.walkers.remove(&index);
            }
        }
        !self.walkers.is_empty()
    }

    /// Everything before `end` has been offered to those who are behind and still have room.
    pub fn reach_behind(&mut self, end: Position, now: Timestamp) {
        for (index, part) in std::mem::take(&mut self.walkers) {
            self.walked(index, part, end, now);
        }
    }

    fn walked(&mut self, index: usize, part: Part, end: Position, now: Timestamp) {
        let head = self.head;
        let Some(station) = self.stations.get_mut(index) else { return };
        match part {
            Part::Backlog => {
                station.line.progress.reach_in_backlog(end);
                station.line.release(now);
            }
            Part::Head => {
                station.line.progress.reach(end);
                station.is_in_step |= station.line.progress.head() >= head;
            }
        }
        if station.is_in_step && station.line.progress.backlog().is_none() {
            self.lagging.remove(&index);
        }
        self.look_at(index);
    }

    fn begin(
        &mut self,
        index: usize,
        at: Position,
        decision: &Decision<'_>,
        owed: &Owed<'_>,
        behind: Option<Position>,
        now: Timestamp,
    ) -> Begun {
        let site = self.site(&owed.destination.outbound.site);
        let Some(station) = self.stations.get_mut(index) else { return Begun::Passed };
        station.batch = batch_of(&owed.destination.outbound);
        let mut delivery =
            Delivery::new(conversion_number(decision.conversion_id), site, owed.due, owed.until);
        if let Some(remembered) = station.remembered.get(&at.to_u64()) {
            delivery = delivery.with(*remembered);
        }
        let begun = station.line.begin(at, delivery, behind, now);
        if begun == Begun::Open {
            station.remembered.remove(&at.to_u64());
            self.tally.begun();
            let is_full_batch = station.batch.is_some_and(|(max, _)| station.line.ready_count() >= max);
            if is_full_batch { self.open(index) } else { self.look_at(index) }
        }
        begun
    }

    /// The number of a site.
    pub(super) fn site(&mut self, name: &str) -> u32 {
        if let Some(index) = self.by_site.get(name) {
            return *index;
        }
        let index = u32::try_from(self.sites.len()).unwrap_or(u32::MAX);
        let limits = self.site_limits.get(name).copied().unwrap_or_default();
        self.sites.push(Site::with(limits));
        self.by_site.insert(name.into(), index);
        index
    }
}

impl Station {
    /// What it reads next of what it is behind with.
    fn part(&self) -> Part {
        // What waits for the backlog must not take the room that the backlog needs.
        if self.is_in_step || self.line.is_held_back_full() { Part::Backlog } else { Part::Head }
    }

    /// Whether a place is in what it reads of this part.
    fn reads(&self, part: Part, at: Position) -> bool {
        match part {
            Part::Head => at >= self.line.progress.head(),
            Part::Backlog => self
                .line
                .progress
                .backlog()
                .is_some_and(|Behind { from, to }| (from..to.unwrap_or_default()).contains(&at)),
        }
    }

    /// Where it goes on reading in this part.
    fn next_of(&self, part: Part) -> Option<Position> {
        match part {
            Part::Head => Some(self.line.progress.head()),
            Part::Backlog => self.line.progress.backlog().map(|behind| behind.from),
        }
    }
}

pub(super) fn batch_of(outbound: &Arc<Outbound>) -> Option<(usize, Duration)> {
    match &outbound.body {
        Body::Batch(batch) => Some((batch.max, batch.wait)),
        Body::None | Body::One { .. } => None,
    }
}

/// What a decision owes, with the earlier ones on its conversion where they matter.
fn owed<'a>(decision: &Decision<'_>, all: &'a Destinations, past: Past<'_>) -> Vec<Owed<'a>> {
    let levels = all.levels(decision);
    if !levels.need_earlier(decision) {
        return levels.owed(decision, &[]);
    }
    let earlier: Vec<Kept> = ancestors(decision.previous, past).map(|(_, kept)| kept).collect();
    let earlier: Vec<Decision<'_>> = earlier.iter().filter_map(Kept::decision).collect();
    levels.owed(decision, &earlier)
}

/// The decisions on the same conversion before, the newest first.
fn ancestors(previous: u64, past: Past<'_>) -> impl Iterator<Item = (Position, Kept)> {
    let mut next = leads_to(previous);
    std::iter::from_fn(move || {
        let at = next?;
        let kept = past(at)?;
        // A log never leads forward.
        next =
            kept.decision().and_then(|decision| leads_to(decision.previous)).filter(|earlier| *earlier < at);
        Some((at, kept))
    })
}

fn leads_to(previous: u64) -> Option<Position> {
    Position::from_u64(previous).filter(|at| *at > Position::START)
}

/// The newest decision on the same conversion that lies in a destination's backlog, if one does: it has to be passed first.
pub(super) fn in_backlog(line: &Line, decision: &Decision<'_>, past: Past<'_>) -> Option<Position> {
    let Behind { from, to } = line.progress.backlog()?;
    let to = to?;
    if leads_to(decision.previous)? < to {
        return leads_to(decision.previous).filter(|at| *at >= from);
    }
    let earlier = ancestors(decision.previous, past).map(|(at, _)| at).find(|at| *at < to)?;
    (earlier >= from).then_some(earlier)
}
