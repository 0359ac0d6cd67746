//! One destination: what it is owed and has not got yet, and in which order.
//!
//! In: decisions that owe it something, moments, and which deliveries ended. Out: which is to be attempted now.
//! Keeps:
//! - Of one conversion, one delivery is attempted at a time, in the order of its decisions, also where what is new comes
//!   before a backlog: what a decision led to is not told before what came before it has ended.
//! - What is in memory has a bound: a queue of those that are due, and those that wait for a moment. All else is a place
//!   in the log.
//!
//! Not here: limits, breakers, whose turn it is (`desk`); when a next attempt is due (`schedule`).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::progress::{Begun, OPEN_MAX, Progress};
use super::schedule::Tries;
use crate::clock::Timestamp;
use crate::store::Position;

/// Deliveries of one destination that are due and have not had their turn. With more the destination is parked.
pub const READY_MAX: usize = 512;

/// Deliveries that wait for a part of the backlog to be passed. With more the destination is parked: the backlog itself needs
/// room to pass.
pub const HELD_BACK_MAX: usize = OPEN_MAX / 2;

/// With fewer ready than this, more are read of what it is behind with.
pub const READY_LOW: usize = READY_MAX / 2;

/// See the module.
#[derive(Debug, Default)]
pub struct Line {
    pub(super) progress: Progress,
    /// All that are begun and have not ended: those of `progress.open()`.
    deliveries: HashMap<u64, Delivery>,
    /// Due now, in the order that they became so.
    ready: VecDeque<u64>,
    /// Due later.
    later: BTreeSet<(Timestamp, u64)>,
    /// By conversion, its open deliveries in the order of the log.
    chains: HashMap<u64, Chain>,
    /// By a place in the backlog, those that are not attempted before the backlog has passed it.
    held_back: BTreeMap<u64, Vec<u64>>,
    held_back_count: usize,
    in_flight: usize,
}

/// What is known of a delivery in memory; the rest is in its decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When it was first due.
    pub due: Timestamp,
    /// Until when it is of use.
    pub until: Timestamp,
    /// Of which conversion: a part of its id.
    pub conversion: u64,
    /// Where it goes, as a number of the desk's.
    pub site: u32,
    /// What was tried.
    pub tries: Tries,
    /// All attempts, those that were told to wait too.
    pub attempts: u16,
    /// When it is to be attempted, if not before.
    pub next: Timestamp,
    /// An operator opened it again, when it was due.
    pub is_reopened: bool,
    state: State,
    /// The backlog comes first.
    is_held_back: bool,
}

/// What a start must know of a delivery that has not ended, besides its decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// What was tried.
    pub tries: Tries,
    /// All attempts.
    pub attempts: u16,
    /// When it is to be attempted.
    pub next: Timestamp,
    /// When an operator opened it again, if one did.
    pub since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Another delivery of its conversion comes first, or the backlog.
    Blocked,
    Later,
    Ready,
    InFlight,
}

/// Open deliveries of one conversion.
#[derive(Debug)]
enum Chain {
    One(u64),
    /// In the order of the log.
    Many(Vec<u64>),
}

impl Chain {
    fn first(&self) -> u64 {
        match self {
            Self::One(at) => *at,
            Self::Many(all) => all.first().copied().unwrap_or_default(),
        }
    }

    fn insert(&mut self, at: u64) {
        let mut all = match self {
            Self::One(one) => vec![*one],
            Self::Many(all) => std::mem::take(all),
        };
        let place = all.partition_point(|other| *other < at);
        all.insert(place, at);
        *self = Self::Many(all);
    }

    /// Takes one out; says which is first now.
    fn remove(&mut self, at: u64) -> Option<u64> {
        match self {
            Self::One(one) => (*one != at).then_some(*one),
            Self::Many(all) => {
                all.retain(|other| *other != at);
                all.first().copied()
            }
        }
    }
}

impl Delivery {
    /// One that was never attempted.
    pub fn new(conversion: u64, site: u32, due: Timestamp, until: Option<Timestamp>) -> Self {
        let until = until.unwrap_or(Timestamp::from_micros(i64::MAX));
        Self {
            due,
            until,
            conversion,
            site,
            tries: Tries::default(),
            attempts: 0,
            next: due,
            is_reopened: false,
            state: State::Blocked,
            is_held_back: false,
        }
    }

    /// The same, of which this is remembered.
    pub fn with(self, Remembered { tries, attempts, next, since }: Remembered) -> Self {
        let (due, until) = match since {
            Some(since) => (since, Timestamp::from_micros(i64::MAX)),
            None => (self.due, self.until),
        };
        Self { due, until, tries, attempts, next, is_reopened: since.is_some(), ..self }
    }

    /// The same, opened again.
    pub fn reopened(self) -> Self {
        Self { is_reopened: true, ..self }
    }

    /// What of it is to be remembered, if anything is.
    pub fn remembered(&self) -> Option<Remembered> {
        let Self { due, tries, attempts, next, is_reopened, .. } = *self;
        let since = is_reopened.then_some(due);
        (attempts > 0 || is_reopened).then_some(Remembered { tries, attempts, next, since })
    }
}

/// The part of a conversion's id that tells it from others here. Two that are alike by chance are only kept in order too.
pub fn conversion_number(id: [u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = id;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl Line {
    /// Of a destination that has come so far.
    pub fn of(progress: Progress) -> Self {
        Self { progress, ..Self::default() }
    }

    /// Whether one more can be begun.
    pub fn has_room(&self) -> bool {
        self.ready.len() < READY_MAX && !self.progress.is_full()
    }

    /// Whether it has worked off enough to read more of what it is behind with.
    pub fn wants_more(&self) -> bool {
        self.ready.len() < READY_LOW && !self.progress.is_full()
    }

    /// Whether no more can be begun that wait for the backlog.
    pub fn is_held_back_full(&self) -> bool {
        self.held_back_count >= HELD_BACK_MAX
    }

    /// How many are ready.
    pub fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// How many wait for a moment, or for another one.
    pub fn waiting_count(&self) -> usize {
        self.deliveries.len().saturating_sub(self.ready.len() + self.in_flight)
    }

    /// How many are being attempted.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many have been begun and have not ended.
    pub fn open_count(&self) -> usize {
        self.deliveries.len()
    }

    /// When the oldest of them was first due.
    pub fn oldest_due(&self) -> Option<Timestamp> {
        // By the log's order: delays apart, that is the order of being due.
        let first = self.progress.open().next()?;
        self.deliveries.get(&first.to_u64()).map(|delivery| delivery.due)
    }

    /// When the next one becomes ready.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.later.first().map(|(at, _)| *at)
    }

    /// The one that is next, if any is ready.
    pub fn front(&self) -> Option<(Position, &Delivery)> {
        let at = *self.ready.front()?;
        Some((position(at), self.deliveries.get(&at)?))
    }

    /// An open delivery.
    pub fn delivery(&self, at: Position) -> Option<&Delivery> {
        self.deliveries.get(&at.to_u64())
    }

    /// All open ones, in the order of the log.
    pub fn deliveries(&self) -> impl Iterator<Item = (Position, &Delivery)> {
        self.progress.open().filter_map(|at| Some((at, self.deliveries.get(&at.to_u64())?)))
    }

    /// Begins a delivery. `behind` is a place in the backlog that has to be passed first.
    pub fn begin(
        &mut self,
        at: Position,
        delivery: Delivery,
        behind: Option<Position>,
        now: Timestamp,
    ) -> Begun {
        let has_room = self.has_room() && !(behind.is_some() && self.is_held_back_full());
        if !has_room && !self.progress.is_passed(at) {
            return Begun::Full;
        }
        let begun = self.progress.begin(at);
        if begun == Begun::Open {
            self.add(at, delivery, behind, now);
        }
        begun
    }

    /// Takes in one that is open already: after a restart, or because an operator opened it again.
    pub fn add(&mut self, at: Position, mut delivery: Delivery, behind: Option<Position>, now: Timestamp) {
        let number = at.to_u64();
        (delivery.state, delivery.is_held_back) = (State::Blocked, behind.is_some());
        let conversion = delivery.conversion;
        self.deliveries.insert(number, delivery);
        match self.chains.get_mut(&conversion) {
            Some(chain) => chain.insert(number),
            None => {
                self.chains.insert(conversion, Chain::One(number));
            }
        }
        match behind {
            Some(behind) => {
                self.held_back.entry(behind.to_u64()).or_default().push(number);
                self.held_back_count += 1;
            }
            None => self.enqueue_first(conversion, now),
        }
    }

    /// Lets go of what was held back for a part of the backlog that is passed now.
    pub fn release(&mut self, now: Timestamp) {
        let from = self.progress.backlog().map_or(u64::MAX, |behind| behind.from.to_u64());
        let rest = self.held_back.split_off(&from);
        for at in std::mem::replace(&mut self.held_back, rest).into_values().flatten() {
            self.held_back_count -= 1;
            let Some(delivery) = self.deliveries.get_mut(&at) else { continue };
            delivery.is_held_back = false;
            let conversion = delivery.conversion;
            self.enqueue_first(conversion, now);
        }
    }

    /// Makes ready what is due by now.
    pub fn wake(&mut self, now: Timestamp) {
        while let Some((at, number)) = self.later.first().copied()
            && at <= now
        {
            self.later.pop_first();
            self.set_state(number, State::Ready);
            self.ready.push_back(number);
        }
    }

    /// Takes the next one to attempt it.
    pub fn take(&mut self) -> Option<(Position, Delivery)> {
        let number = self.ready.pop_front()?;
        self.set_state(number, State::InFlight);
        self.in_flight += 1;
        Some((position(number), *self.deliveries.get(&number)?))
    }

    /// One that was taken was not attempted after all, or is attempted again then.
    pub fn put_back(&mut self, at: Position, next: Timestamp, now: Timestamp) {
        let number = at.to_u64();
        self.in_flight -= 1;
        if let Some(delivery) = self.deliveries.get_mut(&number) {
            delivery.next = next;
        }
        self.enqueue(number, now);
    }

    /// What was tried with one that is being attempted.
    pub fn tried(&mut self, at: Position) -> Option<&mut Delivery> {
        self.deliveries.get_mut(&at.to_u64())
    }

    /// One that was taken needs no more attempts.
    pub fn end(&mut self, at: Position, now: Timestamp) {
        let number = at.to_u64();
        self.progress.end(at);
        let Some(delivery) = self.deliveries.remove(&number) else { return };
        self.in_flight -= usize::from(delivery.state == State::InFlight);
        let first = self.chains.get_mut(&delivery.conversion).and_then(|chain| chain.remove(number));
        match first {
            None => {
                self.chains.remove(&delivery.conversion);
            }
            Some(_) => self.enqueue_first(delivery.conversion, now),
        }
    }

    /// Gives up those that are not being attempted and were first due before this; where they were.
    pub fn give_up(&mut self, due_before: Timestamp, now: Timestamp) -> Vec<Position> {
        let is_over = |delivery: &Delivery| delivery.due < due_before && delivery.state != State::InFlight;
        let over: Vec<Position> =
            self.deliveries().filter(|(_, delivery)| is_over(delivery)).map(|(at, _)| at).collect();
        for at in &over {
            let number = at.to_u64();
            self.ready.retain(|other| *other != number);
            if let Some(delivery) = self.deliveries.get(&number) {
                self.later.remove(&(delivery.next, number));
            }
            self.end(*at, now);
        }
        over
    }

    /// Queues the first one of a conversion, unless it is queued or held back.
    fn enqueue_first(&mut self, conversion: u64, now: Timestamp) {
        let Some(first) = self.chains.get(&conversion).map(Chain::first) else { return };
        let may = |delivery: &Delivery| delivery.state == State::Blocked && !delivery.is_held_back;
        if self.deliveries.get(&first).is_some_and(may) {
            self.enqueue(first, now);
        }
    }

    fn enqueue(&mut self, number: u64, now: Timestamp) {
        let Some(delivery) = self.deliveries.get_mut(&number) else { return };
        if delivery.next <= now {
            delivery.state = State::Ready;
            self.ready.push_back(number);
        } else {
            delivery.state = State::Later;
            self.later.insert((delivery.next, number));
        }
    }

    fn set_state(&mut self, number: u64, state: State) {
        if let Some(delivery) = self.deliveries.get_mut(&number) {
            delivery.state = state;
        }
    }
}

fn position(number: u64) -> Position {
    Position::from_u64(number).unwrap_or_default()
}
