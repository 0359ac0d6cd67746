//! How far one destination has come in the log of decisions: a low watermark, and the exceptions to it.
//!
//! ```text
//!  0 ───────── low ═══ open ══════ [ backlog ) ═══ open ═══ head ────────── end of the log
//!   all done        some not done   not looked at  some not done  not looked at
//! ```
//!
//! In: decisions that owe this destination something, by their positions, and which of their deliveries ended. Out: which
//! are to be begun.
//! Keeps: no position is lost: until it has ended it is open, in the backlog, or not below the head. What is behind
//! costs a number, however long a destination is dead: with its exceptions full it is not looked any further.
//! Not here: attempts (`schedule`), its bytes in a checkpoint (`layout`), what is at a position.
//!
//! After a restart from a checkpoint the outcomes since are told again by `end`, before what they belong to is begun:
//! `ahead` remembers them until then.

use std::collections::BTreeSet;
use std::mem::size_of;

use crate::store::Position;

mod layout;
pub use layout::Damaged;

/// The most exceptions of one destination: 64 connections are kept busy by far fewer, and the rest are retries. A record
/// of the journal holds them all.
pub const OPEN_MAX: usize = 16_000;

/// The most outcomes that are remembered before what they belong to is begun again. Those beyond are repeated.
pub const AHEAD_MAX: usize = 65_536;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Nothing from here on has been looked at.
    head: u64,
    /// Passed over: from the first, and below the second.
    backlog: Option<(u64, u64)>,
    /// Begun, and not ended.
    open: BTreeSet<u64>,
    /// Ended, and not begun since the checkpoint.
    ahead: BTreeSet<u64>,
    /// Was full, and nobody has come back since. Not kept: whoever reads a checkpoint goes on at the head anyway.
    is_parked: bool,
}

/// What to do with a decision that owes this destination something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is open now: attempt its delivery.
    Open,
    /// It has ended before.
    Ended,
    /// It is not to be looked at now: it was before, or is in the backlog.
    Passed,
    /// There are as many open ones as may be. The destination is parked: nothing of what comes is passed, until `resume`.
    Full,
}

/// Where something is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// From here.
    pub from: Position,
    /// And below this, if not up to the end of the log.
    pub to: Option<Position>,
}

impl Progress {
    /// A destination that hears of nothing before `start`.
    pub fn starting_at(start: Position) -> Self {
        Self { head: start.to_u64(), ..Self::default() }
    }

    /// Everything below this has ended.
    pub fn low(&self) -> Position {
        let backlog = self.backlog.map_or(self.head, |(from, _)| from);
        position(self.open.first().copied().unwrap_or(u64::MAX).min(backlog))
    }

    /// Where to go on with what is new.
    pub fn head(&self) -> Position {
        position(self.head)
    }

    /// Where to go on with what was passed over, once there is room for it.
    pub fn backlog(&self) -> Option<Behind> {
        self.backlog.map(|(from, to)| Behind { from: position(from), to: Some(position(to)) })
    }

    /// The open ones, oldest first: after a restart each is attempted again when it is due.
    pub fn open(&self) -> impl Iterator<Item = Position> + '_ {
        self.open.iter().copied().map(position)
    }

    /// How many there are.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Whether no more may be begun.
    pub fn is_full(&self) -> bool {
        self.open.len() >= OPEN_MAX
    }

    /// Ends the parking, if there is room. Says whether one may go on, at the head or at the first of the backlog: what
    /// was looked at since it was full has to be looked at again.
    pub fn resume(&mut self) -> bool {
        self.is_parked &= self.is_full();
        !self.is_parked
    }

    /// How much memory this takes, about: a set's node is half empty at worst.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + 2 * size_of::<u64>() * (self.open.len() + self.ahead.len())
    }

    /// Whether this was looked at before, or is below where the destination began to hear of anything.
    pub fn is_passed(&self, at: Position) -> bool {
        !self.is_to_come(at)
    }

    /// Looks at the next decision that owes this destination something. Positions come in the order of the log, both
    /// those from the head on and those of the backlog.
    pub fn begin(&mut self, at: Position) -> Begun {
        let at = at.to_u64();
        if self.is_passed(position(at)) {
            return Begun::Passed;
        }
        let is_of_backlog = at < self.head;
        let has_ended = self.ahead.contains(&at);
        // Whoever looks on after one that found no room must not lose it.
        self.is_parked |= !has_ended && self.is_full();
        if self.is_parked {
            return Begun::Full;
        }
        self.pass(after(at), is_of_backlog);
        if has_ended {
            self.ahead.remove(&at);
            return Begun::Ended;
        }
        self.open.insert(at);
        Begun::Open
    }

    /// Says that everything below `end` has been looked at, from the head on: nothing more there owes anything.
    pub fn reach(&mut self, end: Position) {
        let end = end.to_u64();
        if end > self.head && !self.is_parked {
            self.pass(end, false);
        }
    }

    /// As `reach`, for the backlog.
    pub fn reach_in_backlog(&mut self, end: Position) {
        if let Some((from, to)) = self.backlog {
            let end = end.to_u64().min(to);
            if end > from && !self.is_parked {
                self.pass(end, true);
            }
        }
    }

    /// Passes over what is between the head and `end`, so that what is new comes first; what is passed over is the backlog.
    /// Says whether it could: there is one backlog at a time. Whoever is parked is so in the backlog then.
    pub fn skip_to(&mut self, end: Position) -> bool {
        let end = end.to_u64();
        if self.backlog.is_some() || end <= self.head {
            return false;
        }
        self.backlog = Some((self.head, end));
        self.head = end;
        true
    }

    /// The delivery of this decision needs no more attempts. Says whether that is remembered: if not, it is attempted again.
    pub fn end(&mut self, at: Position) -> bool {
        let at = at.to_u64();
        if self.open.remove(&at) {
            return true;
        }
        let is_to_come = self.is_to_come(position(at));
        if is_to_come && self.ahead.len() < AHEAD_MAX {
            self.ahead.insert(at);
            return true;
        }
        // Below the head and not open: it has ended before.
        !is_to_come
    }

    /// An operator wants this one attempted again. Says whether it is open now.
    pub fn reopen(&mut self, at: Position) -> bool {
        if self.is_to_come(at) || self.is_full() {
            return false;
        }
        self.open.insert(at.to_u64())
    }

    /// An operator wants one attempted again that has ended and was not begun since the checkpoint: it is begun after all.
    /// Says whether it was such a one.
    pub fn forget_end(&mut self, at: Position) -> bool {
        self.ahead.remove(&at.to_u64())
    }

    /// The same, which also knows what had ended ahead according to an earlier one.
    #[must_use]
    pub fn with_ahead_of(mut self, earlier: &Self) -> Self {
        let room = AHEAD_MAX.saturating_sub(self.ahead.len());
        let ahead = earlier.ahead.iter().copied().filter(|at| self.is_to_come(position(*at)));
        let ahead: Vec<_> = ahead.take(room).collect();
        self.ahead.extend(ahead);
        self
    }

    /// Whether this has not been looked at.
    pub fn is_to_come(&self, at: Position) -> bool {
        let at = at.to_u64();
        at >= self.head || self.backlog.is_some_and(|(from, to)| (from..to).contains(&at))
    }

    fn pass(&mut self, to: u64, is_of_backlog: bool) {
        match self.backlog {
            Some((_, end)) if is_of_backlog => {
                self.backlog = if to < end { Some((to, end)) } else { None };
            }
            _ => self.head = self.head.max(to),
        }
        // What ended before it was begun, and then owed nothing after all: a catalog has changed between.
        if let Some(first) = self.ahead.first()
            && *first < self.passed()
        {
            self.ahead = self.ahead.split_off(&self.passed());
        }
    }

    /// Nothing below this is begun any more.
    fn passed(&self) -> u64 {
        self.backlog.map_or(self.head, |(from, _)| from)
    }
}

/// The first place behind a record that begins here.
fn after(at: u64) -> u64 {
    at.saturating_add(u64::from(Position::ALIGNMENT_BYTES))
}

/// Every number that is kept was a position.
fn position(number: u64) -> Position {
    Position::from_u64(number).unwrap_or_default()
}

#[cfg(test)]
mod tests;
