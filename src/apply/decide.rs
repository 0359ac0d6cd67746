//! The decision itself: pure, so that the same journal gives the same decisions again.
//!
//! | click | conversion so far | time | payout | verdict |
//! |---|---|---|---|---|
//! | nobody knows it | | | | unmatched |
//! | was ours, and is lost | | | | orphan |
//! | known | new | after the window | | late |
//! | known | any | any else | looks wrong, and would change something | held |
//! | known | new | | | accepted |
//! | known | known, and this changes it | | | updated |
//! | known | known, and this changes nothing | | | duplicate |
//!
//! Unmatched, orphan and late count nowhere, and are not remembered as told: once the click is found or the window is
//! longer, the same postback counts. What is taken back counts whenever it comes.

use super::books::{Change, Said};
use super::key::Mode;
use super::payout::Rules;
use super::reason::Reason;
use super::rules::{Limits, Terms};
use crate::clock::Timestamp;
use crate::event::conversion::{Standing, Status};
use crate::event::decision::Verdict;
use crate::event::money::{Currency, Micros, Money};

/// What is known of a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Click {
    /// It happened then.
    Known(Timestamp),
    /// It was ours, and is lost.
    Lost,
    /// Nobody knows it; `is_parked` says whether it is looked for again.
    Unknown {
        /// Whether it is.
        is_parked: bool,
    },
}

/// All that a decision is made of.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// When the postback came.
    pub time: Timestamp,
    /// The click.
    pub click: Click,
    /// Where the postback says that the conversion stands.
    pub status: Status,
    /// What it says that it pays.
    pub payout: Option<Micros>,
    /// In which currency.
    pub currency: Currency,
    /// The currency of `limits`.
    pub network_currency: Currency,
    /// What counts by itself.
    pub limits: Limits,
    /// What the click's campaign and offer say.
    pub terms: Terms,
    /// How repeats are treated.
    pub mode: Mode,
    /// How the conversion stands so far.
    pub standing: Standing,
    /// How its transaction stands so far, where several make one conversion.
    pub part: Option<Standing>,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What the postback pays by the rules.
    pub payout: Option<Money>,
    /// What is added to the books.
    pub entry: Micros,
    /// How the conversion stands now.
    pub standing: Standing,
    /// How its transaction stands now.
    pub part: Option<Standing>,
}

/// Decides.
pub fn decide(case: &Case) -> Decided {
    let claimed = case.payout.map(|amount| Money { amount, currency: case.currency });
    let nothing = |verdict, reason| Decided {
        verdict,
        reason,
        payout: claimed,
        entry: Micros::new(0),
        standing: case.standing,
        part: case.part,
    };
    let is_new = !case.standing.was_told && case.standing.held.is_none();
    match case.click {
        Click::Unknown { is_parked: true } => return nothing(Verdict::Unmatched, Reason::Parked),
        Click::Unknown { is_parked: false } => return nothing(Verdict::Unmatched, Reason::ClickUnknown),
        Click::Lost => return nothing(Verdict::Orphan, Reason::ClickLost),
        Click::Known(clicked) if is_new && case.time.since(clicked) > case.terms.window => {
            return nothing(Verdict::Late, Reason::AfterWindow);
        }
        Click::Known(_) => {}
    }
    let (payout, doubt) = judge(case);
    let told = tell(case, payout.map(|money| money.amount), payout.map(|money| money.currency));
    // A repeat pays nothing, whatever it says: nobody has to look at it.
    let doubt = doubt.filter(|_| told.change.verdict != Verdict::Duplicate);
    if let Some(reason) = doubt {
        return hold(case, claimed, reason);
    }
    let reason = match (told.change.verdict, case.status) {
        (Verdict::Duplicate, _) => Reason::AlreadyTold,
        (_, Status::Unknown) => Reason::StatusUnknown,
        _ => Reason::None,
    };
    Decided {
        verdict: told.change.verdict,
        reason,
        payout,
        entry: told.change.entry,
        standing: told.standing,
        part: told.part,
    }
}

/// What it pays or takes back, and what speaks against letting it count.
fn judge(case: &Case) -> (Option<Money>, Option<Reason>) {
    let claimed = case.payout.map(|amount| Money { amount, currency: case.currency });
    if case.status != Status::Approved {
        // An offer that pays the same for all has the same taken back, whatever the network counts it at; and an amount
        // in another currency than was paid says nothing about how much of it.
        let is_comparable = case.terms.payout.is_none()
            && case.standing.currency.is_none_or(|currency| currency == case.currency);
        return (claimed.filter(|_| case.status != Status::Reversed || is_comparable), None);
    }
    let paid = case.terms.payout.or(claimed);
    let is_changed = case.standing.approved.is_some()
        && paid.zip(case.standing.currency).is_some_and(|(paid, currency)| paid.currency != currency);
    if is_changed {
        return (paid, Some(Reason::CurrencyChanged));
    }
    let has_bounds = case.limits.min.is_some() || case.limits.max.is_some();
    let cannot_be_bounded = has_bounds && case.currency != case.network_currency;
    let expected = case.terms.payout.filter(|_| case.limits.tolerance.is_some());
    let cannot_be_near = expected.is_some_and(|expected| expected.currency != case.currency);
    if case.payout.is_some() && (cannot_be_bounded || cannot_be_near) {
        return (paid, Some(Reason::CurrencyUnexpected));
    }
    let Limits { min, max, tolerance } = case.limits;
    let rules = Rules { fixed: case.terms.payout.map(|money| money.amount), min, max, tolerance };
    match rules.judge(Status::Approved, case.payout) {
        Ok(_) => (paid, None),
        Err(reason) => (paid, Some(reason)),
    }
}

/// What telling would come to.
struct Told {
    change: Change,
    standing: Standing,
    part: Option<Standing>,
}

fn tell(case: &Case, payout: Option<Micros>, currency: Option<Currency>) -> Told {
    let said = Said { status: case.status, payout };
    let (mut standing, mut part) = (case.standing, case.part);
    let change = standing.tell(part.as_mut(), said, case.mode);
    if case.status == Status::Approved && change.verdict != Verdict::Duplicate {
        // What was only held does not bind: it may have waited for its currency. What paid nothing may have had none.
        if case.standing.approved.is_none() || standing.currency.is_none() {
            standing.currency = currency.or(standing.currency);
        }
        if let Some(part) = &mut part {
            part.currency = standing.currency;
        }
    }
    Told { change, standing, part }
}

/// Sets an amount aside until a person has looked at it. It pays what the postback says once it is released, or what
/// the offer says if that is fixed.
fn hold(case: &Case, claimed: Option<Money>, reason: Reason) -> Decided {
    let paid = case.terms.payout.or(claimed);
    let amount = paid.map(|money| money.amount);
    let (mut standing, mut part) = (case.standing, case.part);
    let waiting = part.as_mut().unwrap_or(&mut standing);
    let is_known = waiting.held == amount;
    waiting.held = amount;
    // What was approved before keeps its own currency: a release in another is refused by then.
    waiting.currency = waiting.currency.or(paid.map(|money| money.currency));
    let verdict = if is_known { Verdict::Duplicate } else { Verdict::Held };
    Decided { verdict, reason, payout: paid, entry: Micros::new(0), standing, part }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
