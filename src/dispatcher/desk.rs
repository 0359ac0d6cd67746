//! The desk: every destination's queue, and which delivery is attempted next.
//!
//! In: decisions in the order of their log, moments, and what attempts came to. Out: jobs, one request each; outcomes and
//! notes for the journal.
//! Keeps:
//! - A delivery is begun once and ended once; what is not begun is a place in the log (`progress`), so a destination that
//!   is dead for days costs a number.
//! - No destination waits for another: each has a place of its own (`turn`), its own queue, breaker and limits.
//! - It does no input or output and looks at no clock, so that a test can run 72 hours in a moment.
//!
//! Not here: reading the log (`follow`), requests (`request`), the loop (`run`).

mod decisions;
mod endings;
mod jobs;
mod memory;
mod operators;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub(super) use endings::UNREADABLE;
pub use endings::{Ended, ItemEnded, Tried};
pub use jobs::{Job, JobItem};
pub use operators::Reopened;

use super::breaker::{self, Breaker};
use super::class::Streak;
use super::command::DestinationState;
use super::concurrency::Concurrency;
use super::destinations::{Destinations, Limits, SiteLimits};
use super::kept::Kept;
use super::limit::Daily;
use super::line::{Line, Remembered};
use super::progress::Progress;
use super::schedule::Seed;
use super::site::Site;
use super::tally::{Gauges, Tally};
use super::turn::{Place, Turns};
use crate::clock::Timestamp;
use crate::event::delivery::{DeliveryOutcome, DestinationEvent};
use crate::meter::Meter;
use crate::store::Position;

/// Reads decisions, at any place of the log; nothing where there is none that can be read.
pub type Past<'a> = &'a dyn Fn(Position) -> Option<Kept>;

/// Where outcomes and notes are kept.
pub trait Log {
    /// Keeps what an attempt came to.
    fn outcome(&mut self, outcome: &DeliveryOutcome<'_>);

    /// Keeps what happened to a destination.
    fn event(&mut self, event: &DestinationEvent<'_>);
}

/// What bounds the desk.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Attempts at once over all, besides one for each destination.
    pub attempts_max: u32,
    /// Attempts at once of one site, unless the catalog says otherwise.
    pub attempts_per_host_max: u32,
    /// What spreads retries.
    pub seed: Seed,
}

/// See the module.
#[derive(Debug)]
pub struct Desk {
    options: Options,
    pub(super) stations: Vec<Station>,
    by_id: HashMap<Box<str>, usize>,
    sites: Vec<Site>,
    by_site: HashMap<Box<str>, u32>,
    site_limits: HashMap<Box<str>, SiteLimits>,
    turns: Turns,
    /// Nothing from here on has been looked at by those who are in step.
    head: Position,
    /// When a destination has something that becomes due.
    due: BTreeSet<(Timestamp, usize)>,
    /// When a destination may send again.
    shut: BTreeSet<(Duration, usize)>,
    /// Those who may want to read what they are behind with.
    hungry: BTreeSet<usize>,
    /// Those who are behind with something.
    lagging: BTreeSet<usize>,
    /// Those for whom a part of the log is being read now, and what it is to them.
    walkers: BTreeMap<usize, Part>,
    /// Who was told last to read.
    fed: usize,
    pub(super) tally: Arc<Tally>,
}

/// What a part of the log is to a destination that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It has looked at nothing from there on.
    Head,
    /// It was passed over.
    Backlog,
}

/// One destination with all that is its own.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) id: Box<str>,
    pub(super) line: Line,
    /// Takes what is new when the desk does.
    pub(super) is_in_step: bool,
    /// The catalog names it.
    pub(super) is_named: bool,
    /// Why nothing is sent, if somebody has to look at it.
    pub(super) paused: Option<Box<str>>,
    place: Place,
    limits: Limits,
    batch: Option<(usize, Duration)>,
    meter: Meter,
    daily: Daily,
    pub(super) breaker: Breaker,
    concurrency: Concurrency,
    streak: Streak,
    /// What was tried, before a restart, of deliveries that are not begun yet.
    remembered: HashMap<u64, Remembered>,
    /// When `due` has it.
    timer: Option<Timestamp>,
    /// It may not send now: until then by `shut`, or until a site lets it.
    shut: Option<Duration>,
    ended_since_note: u32,
}

impl Desk {
    /// A desk that has looked at nothing from `head` on.
    pub fn new(options: Options, head: Position) -> Self {
        Self {
            options,
            stations: Vec::new(),
            by_id: HashMap::new(),
            sites: Vec::new(),
            by_site: HashMap::new(),
            site_limits: HashMap::new(),
            turns: Turns::new(options.attempts_max),
            head,
            due: BTreeSet::new(),
            shut: BTreeSet::new(),
            hungry: BTreeSet::new(),
            lagging: BTreeSet::new(),
            walkers: BTreeMap::new(),
            fed: 0,
            tally: Arc::default(),
        }
    }

    /// Where to go on with what is new.
    pub fn head(&self) -> Position {
        self.head
    }

    /// Takes a catalog's destinations. Those that it did not know hear of nothing before `start`.
    pub fn set_destinations(
        &mut self,
        all: &Destinations,
        start: Position,
        now: Timestamp,
        log: &mut dyn Log,
    ) {
        self.stations.iter_mut().for_each(|station| station.is_named = false);
        let mut ids: Vec<_> = all.limits.iter().collect();
        // In an order that does not change from one start to the next.
        ids.sort_unstable_by_key(|(id, _)| *id);
        for (id, limits) in ids {
            let index = match self.by_id.get(id) {
                Some(index) => *index,
                None => {
                    let progress = Progress::starting_at(start);
                    let index = self.add_station(id, progress, start <= self.head);
                    self.note(index, now, log);
                    index
                }
            };
            if let Some(station) = self.stations.get_mut(index) {
                station.limits = *limits;
                station.is_named = true;
            }
        }
        self.site_limits.clone_from(&all.sites);
        for (site, index) in &self.by_site {
            if let Some(of) = self.sites.get_mut(*index as usize) {
                of.limits = self.site_limits.get(site).copied().unwrap_or_default();
            }
        }
        for index in 0..self.stations.len() {
            self.hungry.insert(index);
            // What it waited for may be allowed now.
            self.open(index);
        }
    }

    /// Adds a destination that has come so far.
    pub(super) fn add_station(&mut self, id: &str, progress: Progress, is_in_step: bool) -> usize {
        let place = self.turns.add();
        let index = place.index();
        self.stations.push(Station {
            id: id.into(),
            line: Line::of(progress),
            // Those who begin later than the desk pass by what is before.
            is_in_step,
            is_named: false,
            paused: None,
            place,
            limits: Limits::default(),
            batch: None,
            meter: Meter::default(),
            daily: Daily::default(),
            breaker: Breaker::default(),
            concurrency: Concurrency::default(),
            streak: Streak::default(),
            remembered: HashMap::new(),
            timer: None,
            shut: None,
            ended_since_note: 0,
        });
        self.by_id.insert(id.into(), index);
        index
    }

    /// The number of the destination called `id`.
    pub fn station(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// Looks whether a destination has something to send, or when it will have.
    fn look_at(&mut self, index: usize) {
        let Some(station) = self.stations.get_mut(index) else { return };
        let limit = station.concurrency.limit().min(station.limits.concurrency.unwrap_or(u32::MAX));
        let may_send = station.is_named
            && station.paused.is_none()
            && station.shut.is_none()
            && station.line.ready_count() > 0
            && self.turns.in_flight(station.place) < limit;
        self.turns.set_waiting(station.place, may_send);
        let next = station.line.next_due();
        if next != station.timer {
            if let Some(old) = station.timer.take() {
                self.due.remove(&(old, index));
            }
            if let Some(next) = next {
                self.due.insert((next, index));
            }
            station.timer = next;
        }
    }

    /// Whether there is no destination, nor ever was one.
    pub fn is_empty(&self) -> bool {
        self.stations.is_empty()
    }

    /// How all of them stand, by their ids; `end` is where the log ends.
    pub fn list(&self, end: Position, now: Timestamp, monotonic: Duration) -> Vec<DestinationState> {
        let mut all: Vec<_> =
            self.stations.iter().map(|station| station.state(self.head, end, now, monotonic)).collect();
        all.sort_unstable_by(|one, other| one.destination.cmp(&other.destination));
        all
    }

    /// How many deliveries of a destination are in memory.
    pub fn open_count(&self, station: usize) -> usize {
        self.stations.get(station).map_or(0, |station| station.line.open_count())
    }

    /// Shows its numbers, as they are now; `end` is where the log ends.
    pub fn show(&self, end: Position, now: Timestamp) {
        let mut gauges = Gauges {
            behind_bytes: end.to_u64().saturating_sub(self.head.to_u64()),
            breakers_open: self.sites.iter().filter(|site| is_open(&site.breaker)).count() as u64,
            ..Gauges::default()
        };
        for Station { line, is_in_step, paused, breaker, .. } in &self.stations {
            gauges.ready += line.ready_count() as u64;
            gauges.waiting += line.waiting_count() as u64;
            gauges.in_flight += line.in_flight() as u64;
            gauges.behind += u64::from(!is_in_step || line.progress.backlog().is_some());
            gauges.paused += u64::from(paused.is_some());
            gauges.breakers_open += u64::from(is_open(breaker));
            let oldest = line.oldest_due().map_or(0, |due| now.since(due).as_millis());
            gauges.oldest_millis = gauges.oldest_millis.max(u64::try_from(oldest).unwrap_or(u64::MAX));
        }
        self.tally.show(gauges);
    }
}

impl Station {
    fn state(&self, head: Position, end: Position, now: Timestamp, monotonic: Duration) -> DestinationState {
        let Self { id, line, paused, breaker, concurrency, .. } = self;
        let state = match breaker.state() {
            _ if !self.is_named => "absent",
            _ if paused.is_some() => "paused",
            breaker::State::Open(until) if until > monotonic => "failing",
            breaker::State::HalfOpen => "failing",
            breaker::State::Open(_) | breaker::State::Closed => "active",
        };
        let next = if self.is_in_step { head.max(line.progress.head()) } else { line.progress.head() };
        let backlog = line
            .progress
            .backlog()
            .map_or(0, |behind| behind.to.unwrap_or_default().to_u64().saturating_sub(behind.from.to_u64()));
        let behind_bytes = end.to_u64().saturating_sub(next.to_u64()).saturating_add(backlog);
        DestinationState {
            destination: id.to_string(),
            state,
            why: paused.as_deref().map(str::to_owned),
            ready: line.ready_count(),
            waiting: line.waiting_count(),
            in_flight: line.in_flight(),
            is_behind: behind_bytes > 0,
            behind_bytes,
            oldest_seconds: line.oldest_due().map_or(0, |due| now.since(due).as_secs()),
            concurrency: concurrency.limit(),
        }
    }
}

fn is_open(breaker: &Breaker) -> bool {
    !matches!(breaker.state(), breaker::State::Closed)
}
