//! When a destination wants to hear of a decision.
//!
//! In: a decision, and the earlier ones on its conversion where "first only" asks for them. Out: yes, or why not; the same
//! whenever it is asked.
//! Not here: which destinations are asked (`owed`).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::apply::reason::Reason;
use crate::event::conversion::{Standing, Status};
use crate::event::decision::{Decision, Verdict};
use crate::event::money::{Currency, Micros};

/// All of something, in hundredths of a percent.
pub const WHOLE_BASIS_POINTS: u32 = 10_000;

/// The parameter by which a network's request itself keeps a conversion from being told (Binom's).
const DISABLE_PARAM: &str = "disable_postback";

/// See the module. The default wants every approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Of these statuses.
    pub statuses: Statuses,
    /// Of these events; of any if there are none.
    pub events: Vec<Box<str>>,
    /// Paying so much.
    pub payout: PayoutRange,
    /// So many of all conversions, in hundredths of a percent: a conversion is either among them or not, with all that is
    /// ever told of it.
    pub share_basis_points: u32,
    /// Only the first decision on a conversion that meets all the rest.
    pub first_only: bool,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            statuses: Statuses::of(&[Status::Approved]),
            events: Vec::new(),
            payout: PayoutRange::default(),
            share_basis_points: WHOLE_BASIS_POINTS,
            first_only: false,
        }
    }
}

/// A set of statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statuses(u8);

impl Statuses {
    /// These.
    pub fn of(statuses: &[Status]) -> Self {
        Self(statuses.iter().fold(0, |bits, status| bits | 1 << *status as u8))
    }

    /// Whether this is one of them.
    pub const fn has(self, status: Status) -> bool {
        self.0 & 1 << status as u8 != 0
    }
}

/// How much a conversion pays or takes back, whichever it does. One that does not say pays nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayoutRange {
    /// No less than this.
    pub min: Option<Micros>,
    /// No more than this.
    pub max: Option<Micros>,
    /// In this currency: one in another is not in the range. Nothing takes the amount as it is.
    pub currency: Option<Currency>,
}

impl PayoutRange {
    fn has(&self, decision: &Decision<'_>) -> bool {
        let Some(payout) = decision.conversion.payout else {
            return self.min.is_none_or(|min| min.get() <= 0);
        };
        let amount = Micros::new(payout.amount.get().saturating_abs());
        let is_bounded = self.min.is_some() || self.max.is_some();
        self.min.is_none_or(|min| amount >= min)
            && self.max.is_none_or(|max| amount <= max)
            && (!is_bounded || self.currency.is_none_or(|currency| currency == payout.currency))
    }
}

impl Condition {
    /// Whether the destination called `destination` hears of this. `earlier` are the decisions on the same conversion
    /// before it, in any order; they matter only with `first_only`.
    pub fn holds(&self, decision: &Decision<'_>, earlier: &[Decision<'_>], destination: &str) -> bool {
        self.why_not(decision, earlier, destination).is_none()
    }

    /// Why it does not, the first reason that there is; nothing if it does.
    pub fn why_not(
        &self,
        decision: &Decision<'_>,
        earlier: &[Decision<'_>],
        destination: &str,
    ) -> Option<WhyNot> {
        let but_first =
            |decision: &Decision<'_>| no_news(decision).or_else(|| self.but_first(decision, destination));
        but_first(decision).or_else(|| {
            let was_told = self.first_only && earlier.iter().any(|earlier| but_first(earlier).is_none());
            was_told.then_some(WhyNot::NotFirst)
        })
    }

    fn but_first(&self, decision: &Decision<'_>, destination: &str) -> Option<WhyNot> {
        let Decision { conversion, conversion_id, .. } = decision;
        let is_of_events =
            self.events.is_empty() || self.events.iter().any(|event| **event == *conversion.event);
        if !self.statuses.has(conversion.status) {
            Some(WhyNot::Status(conversion.status))
        } else if !is_of_events {
            Some(WhyNot::Event)
        } else if !self.payout.has(decision) {
            Some(WhyNot::Payout)
        } else if !is_of_share(*conversion_id, destination, self.share_basis_points) {
            Some(WhyNot::Share)
        } else {
            None
        }
    }
}

/// Why a destination does not hear of a decision. Its text is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// Nobody hears of what was concluded so.
    Verdict(Verdict),
    /// It is taken back only because it is decided anew, and that is what is told.
    Withdrawal,
    /// The network's request says so.
    Disabled,
    /// The conversion does not stand so any more.
    Overtaken,
    /// The destination does not want to hear of this status.
    Status(Status),
    /// Nor of this event.
    Event,
    /// Nor of this amount.
    Payout,
    /// The conversion is not among its share.
    Share,
    /// It has heard of an earlier decision on the conversion.
    NotFirst,
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verdict(verdict) => return write!(f, "nobody is told of what is {}", verdict.name()),
            Self::Withdrawal => "it is only taken back to be decided anew",
            Self::Disabled => "the postback itself says so (disable_postback=1)",
            Self::Overtaken => "the conversion has another status already",
            Self::Status(status) => {
                return write!(f, "it is not told of a status of {} (on)", status.name());
            }
            Self::Event => "it is not told of this event (events)",
            Self::Payout => "the payout is out of its range (payout)",
            Self::Share => "the conversion is not among its share (percent)",
            Self::NotFirst => "it was told of an earlier decision on the conversion (first_only)",
        })
    }
}

/// Whether a decision says something that a destination could have to be told.
///
/// | verdict | |
/// |---|---|
/// | accepted, updated; released and reapplied too | yes |
/// | the withdrawal before a postback is reapplied | no: what is decided next is the news |
/// | duplicate, held, unmatched, orphan, late, test, rejected | no |
///
/// What is told must still stand: an approval that comes after its reversal, or a "pending" that comes after its
/// approval, would leave the other side with what is no longer so. Nor is anything told that its own request asks not to.
pub fn is_news(decision: &Decision<'_>) -> bool {
    no_news(decision).is_none()
}

fn no_news(decision: &Decision<'_>) -> Option<WhyNot> {
    if !matches!(decision.verdict, Verdict::Accepted | Verdict::Updated) {
        Some(WhyNot::Verdict(decision.verdict))
    } else if decision.reason == Reason::Withdrawn.code() {
        Some(WhyNot::Withdrawal)
    } else if decision.postback_params.get_ignore_case(DISABLE_PARAM) == Some("1") {
        Some(WhyNot::Disabled)
    } else if !still_stands(decision) {
        Some(WhyNot::Overtaken)
    } else {
        None
    }
}

fn still_stands(decision: &Decision<'_>) -> bool {
    // Decisions of the first layout do not say how the conversion stands.
    let is_known = decision.standing != Standing::default();
    // Of several transactions one may be taken back while the whole stands: that is news, and its own.
    let is_of_parts = !decision.part_key.is_empty();
    let standing = if is_of_parts { decision.part } else { decision.standing };
    match decision.conversion.status {
        Status::Approved | Status::Pending if is_known => standing.status() == decision.conversion.status,
        Status::Approved | Status::Pending | Status::Reversed | Status::Unknown => true,
    }
}

/// Whether a conversion is among this share of all: by a hash of its id, so that a restart, another machine and its
/// next status come to the same. Each destination has its own share.
fn is_of_share(conversion_id: [u8; 16], destination: &str, share_basis_points: u32) -> bool {
    if share_basis_points >= WHOLE_BASIS_POINTS {
        return true;
    }
    let mut hasher = Sha256::new();
    hasher.update(b"clicklog share 1\0");
    hasher.update(conversion_id);
    hasher.update(destination.as_bytes());
    let [a, b, c, d, ..] = <[u8; 32]>::from(hasher.finalize());
    let drawn = (u64::from(u32::from_le_bytes([a, b, c, d])) * u64::from(WHOLE_BASIS_POINTS)) >> 32;
    drawn < u64::from(share_basis_points)
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
