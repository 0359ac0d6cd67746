//! Deciding once more: held payouts that a person has looked at, and postbacks that were read by a wrong mapping.
//!
//! Keeps: nothing is rewritten. What no longer counts is withdrawn by a decision of its own, whose entry is the
//! difference that makes; then the postback is decided on as if it had just come, with its own time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};

use super::about::About;
use super::books::{Change, Said};
use super::claim::{Claim, Effect, Submission};
use super::decide::{Click, Decided, decide};
use super::key::Mode;
use super::ledger::{Before, Draft, Keys, Ledger, Ruling};
use super::past::{Newest, Step, decision_at};
use super::reason::Reason;
use crate::clock::Timestamp;
use crate::event::conversion::{Standing, Status};
use crate::event::decision::Verdict;
use crate::event::money::Micros;
use crate::store::{Error, LaneWriter, Position};

/// How conversions would stand after the steps of a dry run so far. One goes with all requests of a dry run.
#[derive(Debug, Default)]
pub struct Assumed(Mutex<HashMap<Vec<u8>, Chain>>);

/// All that was told of a conversion, and how it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    steps: Vec<Step>,
    newest: Option<Newest>,
    standing: Standing,
    parts: HashMap<Vec<u8>, Standing>,
}

impl Chain {
    /// Takes a postback out: what is left, gone over from the beginning.
    fn without(&mut self, postback: u64, mode: Mode) {
        self.steps.retain(|step| step.postback != postback);
        (self.standing, self.parts) = (Standing::default(), HashMap::new());
        for step in std::mem::take(&mut self.steps) {
            self.tell(&step, mode);
            self.steps.push(step);
        }
    }

    fn tell(&mut self, step: &Step, mode: Mode) {
        let part = &step.keys.part;
        let mut own = self.parts.get(part).copied().unwrap_or_default();
        let waiting = if part.is_empty() { &mut self.standing } else { &mut own };
        let amount = step.payout.map(|money| money.amount);
        if step.verdict == Verdict::Held {
            waiting.held = amount;
        } else if step.reason == Reason::Dropped {
            waiting.held = None;
        } else {
            let said = Said { status: step.status, payout: amount };
            let is_first = self.standing.approved.is_none();
            self.standing.tell(Some(&mut own).filter(|_| !part.is_empty()), said, mode);
            if step.status == Status::Approved && is_first {
                self.standing.currency = step.payout.map(|money| money.currency).or(self.standing.currency);
            }
        }
        if !part.is_empty() {
            self.parts.insert(part.clone(), own);
        }
    }

    fn before(&self, keys: &Keys) -> Before {
        let newest = self.newest.map(|newest| Newest { standing: self.standing, ..newest });
        Before { newest, part: self.parts.get(&keys.part).copied().unwrap_or_default() }
    }
}

impl Ledger {
    /// Lets a held payout count, or throws it away. `newest` as in `Request::Settle`.
    pub(super) fn settle(
        &mut self,
        (held, newest): (Position, Option<Position>),
        is_release: bool,
        time: Timestamp,
        journal: &mut LaneWriter,
    ) -> Result<Ruling, Error> {
        let view = self.past.view();
        let settled = decision_at(&view, held, |decision| {
            if decision.verdict != Verdict::Held {
                return None;
            }
            let step = Step::of(decision);
            let before = match newest.filter(|_| step.keys.whole.is_empty()) {
                Some(newest) => self.past.before_erased(newest, &step.keys.part)?,
                None => match self.before(&step.keys) {
                    Ok(before) => before,
                    Err(error) => return Some(Err(error)),
                },
            };
            let newest = before.newest?;
            let (mut whole, mut part) = (newest.standing, before.part);
            let is_of_parts = step.keys.is_of_parts();
            let waiting = if is_of_parts { &mut part } else { &mut whole };
            let amount = waiting.held.take()?;
            if self.past.last_held(newest.position, &step.keys.part) != Some(held) {
                return None; // What waits now is another amount, and nobody has looked at that.
            }
            let mut change = Change { verdict: Verdict::Rejected, entry: Micros::new(0) };
            if is_release {
                let currency = decision.conversion.payout.map(|money| money.currency);
                if newest.standing.approved.is_some() && newest.standing.currency != currency {
                    return Some(Ok(Ruling { reason: Reason::CurrencyChanged, ..not_settled() }));
                }
                let said = Said { status: Status::Approved, payout: Some(amount) };
                let mode = self.mode_of(decision.conversion.network);
                change = whole.tell(Some(&mut part).filter(|_| is_of_parts), said, mode);
                whole.currency = currency.or(whole.currency);
            }
            let mut settled = *decision;
            settled.time = time;
            settled.verdict = change.verdict;
            settled.reason = if is_release { Reason::Released } else { Reason::Dropped }.code();
            settled.entry = change.entry;
            settled.sequence = newest.sequence.saturating_add(1);
            settled.previous = newest.position.to_u64();
            (settled.standing, settled.part) = (whole, part);
            let position = self.append_decision(&settled, journal);
            Some(position.map(|position| Ruling {
                verdict: change.verdict,
                reason: Reason::from_code(settled.reason).unwrap_or_default(),
                conversion_id: settled.conversion_id,
                sequence: settled.sequence,
                postback: Position::from_u64(settled.postback),
                decision: Some(position),
                status: whole.status(),
                payout: settled.conversion.payout,
                entry: change.entry,
                would: None,
                imagined: None,
            }))
        });
        settled.flatten().unwrap_or_else(|| Ok(not_settled()))
    }

    /// Decides once more on a postback that is in the journal.
    pub(super) fn reapply(
        &mut self,
        postback: Position,
        decisions: &[Position],
        submission: &Submission,
        assumed: Option<&Assumed>,
        journal: &mut LaneWriter,
    ) -> Result<Ruling, Error> {
        let view = self.past.view();
        let earlier: Vec<Step> =
            decisions.iter().filter_map(|at| decision_at(&view, *at, Step::of)).collect();
        let about = About::of(submission);
        let mut keys = Keys::default();
        keys.fill(submission, &about);
        keys.name_by(postback);
        // What was told before it was last withdrawn is told no more.
        let told = earlier.iter().rev().take_while(|step| step.reason != Reason::Withdrawn);
        let told = told.into_iter().find(|step| step.was_told()).cloned();
        match &told {
            // One that is about the same transaction and click as before stays where it is; one that moves goes where today's
            // reading has it.
            Some(told) if keys.is_of_parts() && told.keys.part == keys.part && told.click == about.place => {
                keys.whole.clone_from(&told.keys.whole);
            }
            Some(_) => {}
            None => self.stay(&mut keys)?,
        }
        let draft =
            |before| Draft { submission, about: &about, keys: &keys, postback: Some(postback), before };
        // As if it were the first thing that is told: what it says by the rules of today.
        let fresh = decide(&draft(Before::default()).case());
        let last = earlier.last();
        // Its click may have come since the journal was read for this.
        let told = match told {
            None => self.told_since(&keys, postback)?,
            told => told,
        };
        if told.as_ref().is_some_and(|told| is_same(told, &keys, &fresh, &about, &submission.claim)) {
            return Ok(unchanged(draft(Before::default()).ruling(&fresh)));
        }
        self.past.make_room(4)?;
        let is_dry = submission.effect != Effect::Counts;
        let withdrawn = match &told {
            Some(told) => self.withdraw(told, postback, submission, assumed.filter(|_| is_dry), journal)?,
            None => Micros::new(0),
        };
        let before = match assumed.filter(|_| is_dry) {
            Some(assumed) => assumed.with(self, &keys, |chain| chain.before(&keys))?,
            None => self.before(&keys)?,
        };
        let decided = decide(&draft(before).case());
        let counts = decided.verdict.is_remembered();
        if !counts && told.is_none() && last.is_some_and(|last| last.verdict == decided.verdict) {
            return Ok(unchanged(draft(before).ruling(&decided)));
        }
        if let (Some(assumed), true, true) = (assumed, is_dry, counts) {
            let step = Step {
                postback: postback.to_u64(),
                verdict: decided.verdict,
                reason: decided.reason,
                status: submission.claim.status,
                payout: decided.payout,
                keys: keys.clone(),
                click_id: submission.claim.click_id.clone(),
                click: about.place,
                event: submission.claim.event.clone(),
            };
            assumed.with(self, &keys, |chain| chain.assume(&decided, postback, step))?;
        }
        let ruling = self.decide_and_keep(&draft(before), Reason::Reapplied, journal)?;
        if counts && !is_dry {
            self.parked.forget(postback);
        }
        // What changes is both together. Rulings of a replay are many, and nobody asks them for more.
        Ok(Ruling { entry: ruling.entry.plus(withdrawn), imagined: None, ..ruling })
    }

    /// Takes back what a postback has told; what that adds to the books.
    fn withdraw(
        &mut self,
        told: &Step,
        postback: Position,
        submission: &Submission,
        assumed: Option<&Assumed>,
        journal: &mut LaneWriter,
    ) -> Result<Micros, Error> {
        if let Some(assumed) = assumed {
            return assumed.with(self, &told.keys, |chain| {
                let before = chain.standing.net();
                chain.without(postback.to_u64(), submission.network.mode);
                chain.standing.net().less(before)
            });
        }
        let mut chain = self.chain(&told.keys)?;
        let Some(newest) = chain.newest else { return Ok(Micros::new(0)) };
        let before = newest.standing;
        chain.without(postback.to_u64(), submission.network.mode);
        let entry = chain.standing.net().less(before.net());
        let part = chain.parts.get(&told.keys.part).copied().unwrap_or_default();
        let view = self.past.view();
        let appended = decision_at(&view, newest.position, |decision| {
            let mut withdrawn = *decision;
            withdrawn.time = submission.evidence.time.max(decision.time);
            withdrawn.postback = postback.to_u64();
            withdrawn.config_version = submission.evidence.config_version;
            (withdrawn.verdict, withdrawn.reason) = (Verdict::Updated, Reason::Withdrawn.code());
            withdrawn.conversion.status = chain.standing.status();
            withdrawn.entry = entry;
            withdrawn.sequence = newest.sequence.saturating_add(1);
            withdrawn.previous = newest.position.to_u64();
            withdrawn.standing = chain.standing;
            (withdrawn.part_key, withdrawn.part) = (&told.keys.part, part);
            self.append_decision(&withdrawn, journal)
        });
        appended.map_or(Ok(Micros::new(0)), |appended| appended.map(|_position| entry))
    }

    /// What a postback has told of the conversion that it is about, as far as the books know.
    fn told_since(&self, keys: &Keys, postback: Position) -> Result<Option<Step>, Error> {
        let steps = self.chain(keys)?.steps.into_iter().rev();
        Ok(steps.filter(|step| step.postback == postback.to_u64()).find(Step::was_told))
    }

    fn chain(&self, keys: &Keys) -> Result<Chain, Error> {
        let before = self.before(keys)?;
        let Some(newest) = before.newest else { return Ok(Chain::default()) };
        let mut steps: Vec<Step> = Vec::new();
        for step in self.past.steps(newest.position)? {
            if step.reason == Reason::Withdrawn {
                steps.retain(|earlier| earlier.postback != step.postback);
            } else {
                steps.push(step);
            }
        }
        let mut parts = HashMap::new();
        for key in steps.iter().map(|step| &step.keys.part).filter(|key| !key.is_empty()) {
            if let Some(newest) = self.past.newest(key)? {
                parts.insert(key.clone(), newest.part);
            }
        }
        Ok(Chain { steps, standing: newest.standing, newest: Some(newest), parts })
    }
}

impl Chain {
    fn assume(&mut self, decided: &Decided, position: Position, step: Step) {
        self.standing = decided.standing;
        if let Some(part) = decided.part {
            self.parts.insert(step.keys.part.clone(), part);
        }
        let sequence = self.newest.map_or(0, |newest| newest.sequence + 1);
        let part = decided.part.unwrap_or_default();
        self.newest = Some(Newest { position, sequence, standing: decided.standing, part });
        self.steps.push(step);
    }
}

impl Assumed {
    fn with<T>(&self, ledger: &Ledger, keys: &Keys, work: impl FnOnce(&mut Chain) -> T) -> Result<T, Error> {
        let mut chains = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.whole.is_empty() {
            return Ok(work(&mut Chain::default()));
        }
        Ok(work(match chains.entry(keys.whole.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(ledger.chain(keys)?),
        }))
    }
}

/// Whether a postback says today what it was taken to say before.
fn is_same(told: &Step, keys: &Keys, fresh: &Decided, about: &About<'_>, claim: &Claim) -> bool {
    let is_named = told.click_id == claim.click_id;
    if is_named && !matches!(about.known, Click::Known(_)) {
        return true; // The click is not kept any more: no reason to take back what it has earned.
    }
    let is_same_click = is_named || told.click == about.place;
    let says_same = told.status == claim.status && told.event == claim.event && told.payout == fresh.payout;
    is_same_click && told.keys == *keys && says_same
}

fn not_settled() -> Ruling {
    Ruling { verdict: Verdict::Rejected, reason: Reason::NotHeld, ..Ruling::default() }
}

fn unchanged(ruling: Ruling) -> Ruling {
    Ruling { reason: Reason::Unchanged, entry: Micros::new(0), ..ruling }
}
