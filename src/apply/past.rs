//! What was decided before: the newest decision on a conversion, and those before it.
//!
//! In: a key. Out: the newest decision that has it, as the dedupe table and the journal know it.
//! Keeps: equal hashes are not enough, the record's own key is compared; what this thread has appended is found at once.

use std::sync::Arc;

use super::ledger::{Before, Keys};
use super::reason::Reason;
use crate::event::codec::{Event, decode};
use crate::event::conversion::{Standing, Status};
use crate::event::decision::{Decision, Verdict};
use crate::event::money::Money;
use crate::store::dedupe::sweep::Sweep;
use crate::store::dedupe::{DedupeKey, Table};
use crate::store::lane::{Lane, View};
use crate::store::{Error, Position};

/// A decision, as far as the next one on the same conversion must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) position: Position,
    pub(super) sequence: u32,
    pub(super) standing: Standing,
    pub(super) part: Standing,
}

/// A decision, as far as its conversion is gone over again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Where its postback lies.
    pub(super) postback: u64,
    pub(super) verdict: Verdict,
    pub(super) reason: Reason,
    pub(super) status: Status,
    /// What it paid by the rules of then.
    pub(super) payout: Option<Money>,
    pub(super) keys: Keys,
    /// Of which click: what it is called, and where it lies.
    pub(super) click_id: String,
    pub(super) click: u64,
    pub(super) event: String,
}

impl Step {
    /// Of a decision.
    pub(super) fn of(decision: &Decision<'_>) -> Self {
        Self {
            postback: decision.postback,
            verdict: decision.verdict,
            reason: Reason::from_code(decision.reason).unwrap_or_default(),
            status: decision.conversion.status,
            payout: decision.conversion.payout,
            keys: Keys { whole: decision.dedupe_key.to_vec(), part: decision.part_key.to_vec() },
            click_id: decision.conversion.click_id.to_owned(),
            click: decision.click,
            event: decision.conversion.event.to_owned(),
        }
    }

    /// Whether something was told by it that is remembered.
    pub(super) fn was_told(&self) -> bool {
        self.verdict.is_remembered() && self.reason != Reason::Withdrawn
    }
}

/// Steps of letting go that one request waits for at most where there is no room.
const STEPS_MAX: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Past {
    table: Table,
    key: DedupeKey,
    lane: Arc<Lane>,
    /// What `Lane::drops` was when the last walk over the table began.
    drops: u64,
    sweep: Option<Sweep>,
    /// Keys that were let go.
    gone: u64,
}

impl Past {
    pub(super) fn new(table: Table, key: DedupeKey, lane: Arc<Lane>) -> Self {
        Self { table, key, lane, drops: 0, sweep: None, gone: 0 }
    }

    /// The table, and the key that it is hashed with.
    pub(super) fn table(&self) -> (&Table, &DedupeKey) {
        (&self.table, &self.key)
    }

    /// Makes room for so many more keys, if there is any to be had.
    ///
    /// # Errors
    /// `TooManyTransactions`.
    pub(super) fn make_room(&mut self, keys: usize) -> Result<(), Error> {
        let max = self.table.entries_max();
        for _ in 0..STEPS_MAX {
            if self.table.len() + keys <= max || !self.let_go() {
                break;
            }
        }
        if self.table.len() + keys > max { Err(Error::TooManyTransactions { max }) } else { Ok(()) }
    }

    /// Lets go of transactions that retention has dropped, for one step; whether there was any to be looked for.
    pub(super) fn let_go(&mut self) -> bool {
        let drops = self.lane.drops();
        if self.sweep.is_none() && self.drops == drops {
            return false;
        }
        let (lane, table) = (&self.lane, &mut self.table);
        let sweep = self.sweep.get_or_insert_with(|| {
            // Read before the view: what is dropped meanwhile has a walk of its own.
            self.drops = drops;
            Sweep::new(&lane.view())
        });
        let before = table.len();
        let is_last = sweep.step(table);
        self.gone += (before - table.len()) as u64;
        if is_last {
            self.sweep = None;
        }
        true
    }

    /// How many it has let go.
    pub(super) fn gone(&self) -> u64 {
        self.gone
    }

    /// The newest decision with this key, as its own or as that of its part.
    ///
    /// # Errors
    /// `Unreadable` where it may be one that cannot be read: to take it for none would count money twice.
    pub(super) fn newest(&self, key: &[u8]) -> Result<Option<Newest>, Error> {
        let mut newest = Ok(None);
        self.table.find(self.key.hash(key), |position| {
            let found = self.decision(position, |decision| {
                decision.has_key(key).then_some(Newest {
                    position,
                    sequence: decision.sequence,
                    standing: decision.standing,
                    part: decision.part,
                })
            });
            newest = match found {
                // Retention dropped it: then the conversion is as new.
                None if self.lane.view().is_dropped(position) => Ok(None),
                found => found.ok_or_else(|| unreadable(position)),
            };
            !matches!(newest, Ok(None))
        });
        newest
    }

    /// How a conversion stands that no key leads to any more, by its newest decision, and how this part of it does.
    pub(super) fn before_erased(&self, newest: Position, part: &[u8]) -> Option<Before> {
        let mut next = Some(newest);
        let mut whole = self.decision(newest, |decision| Newest {
            position: newest,
            sequence: decision.sequence,
            standing: decision.standing,
            part: Standing::default(),
        })?;
        while let Some(position) = next {
            let read =
                |decision: &Decision<'_>| (decision.part_key == part, decision.part, decision.previous);
            let (is_of_part, standing, previous) = self.decision(position, read)?;
            if is_of_part {
                whole.part = standing;
                break;
            }
            next = leads_back(position, previous);
        }
        Some(Before { newest: Some(whole), part: whole.part })
    }

    /// The key of the conversion that this transaction, by the key of its part, has been told of; nothing if it has not.
    ///
    /// # Errors
    /// `Unreadable`, `Dropped`.
    pub(super) fn conversion_of(&self, part_key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some(newest) = self.newest(part_key)?.filter(|newest| newest.part != Standing::default()) else {
            return Ok(None);
        };
        let key = self.decision(newest.position, |decision| decision.dedupe_key.to_vec());
        key.map(Some).ok_or_else(|| self.missing(newest.position))
    }

    /// Makes the decision at `position` the newest with this key.
    pub(super) fn note(&mut self, key: &[u8], position: Position) {
        let hash = self.key.hash(key);
        let lane = &self.lane;
        let is_same = |old| with_decision(lane, old, |decision| decision.has_key(key)).unwrap_or(false);
        match self.table.find(hash, is_same) {
            Some(old) => {
                let is_moved = self.table.replace(hash, old, position);
                assert!(is_moved, "what was just found is there");
            }
            None => {
                let noted = self.table.insert(hash, position);
                assert!(noted.is_ok(), "room was looked for before anything was appended");
            }
        }
    }

    /// Gives `read` the decision at a position.
    pub(super) fn decision<T>(&self, position: Position, read: impl FnOnce(&Decision<'_>) -> T) -> Option<T> {
        with_decision(&self.lane, position, read)
    }

    /// The decisions that led to the one at `newest`, the oldest first.
    ///
    /// # Errors
    /// `Dropped` where one of them has become too old to be kept; `Unreadable` where one cannot be read.
    pub(super) fn steps(&self, newest: Position) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        let mut next = Some(newest);
        while let Some(position) = next {
            let read = self.decision(position, |decision| (Step::of(decision), decision.previous));
            let (step, previous) = read.ok_or_else(|| self.missing(position))?;
            steps.push(step);
            next = leads_back(position, previous);
        }
        steps.reverse();
        Ok(steps)
    }

    /// The decision that set aside what waits for a person, of the conversion or of one of its transactions.
    pub(super) fn last_held(&self, newest: Position, part: &[u8]) -> Option<Position> {
        let mut next = Some(newest);
        while let Some(position) = next {
            let (is_it, previous) = self.decision(position, |decision| {
                (decision.verdict == Verdict::Held && decision.part_key == part, decision.previous)
            })?;
            if is_it {
                return Some(position);
            }
            next = leads_back(position, previous);
        }
        None
    }

    /// Why a decision is not there.
    fn missing(&self, position: Position) -> Error {
        if self.lane.view().is_dropped(position) {
            Error::Dropped { what: "a decision", position }
        } else {
            unreadable(position)
        }
    }

    /// What can be read now.
    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.lane.view())
    }
}

/// A journal never leads forward, and a header stands at its start; what says otherwise is not followed.
fn leads_back(from: Position, previous: u64) -> Option<Position> {
    Position::from_u64(previous).filter(|previous| Position::START < *previous && *previous < from)
}

fn unreadable(position: Position) -> Error {
    Error::Unreadable { what: "a decision", position }
}

fn with_decision<T>(lane: &Lane, position: Position, read: impl FnOnce(&Decision<'_>) -> T) -> Option<T> {
    decision_at(&lane.view(), position, read)
}

/// Gives `read` the decision at a position of this view.
pub(super) fn decision_at<T>(
    view: &View,
    position: Position,
    read: impl FnOnce(&Decision<'_>) -> T,
) -> Option<T> {
    view.with_record(position, |record| match decode(record.kind, record.schema, record.payload) {
        Ok(Event::Decision(decision)) => Some(read(&decision)),
        _ => None,
    })?
}
