//! A decision: what was concluded from one postback.
//!
//! It holds all that a delivery or a report needs, so that neither has to read the click again: the click may
//! be gone by then.

use super::click::{KeptAddress, Labels};
use super::conversion::{Conversion, Standing};
use super::money::{Micros, Money};
use super::params::ParamsRef;
use crate::clock::Timestamp;

/// What became of a postback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Verdict {
    /// A new conversion.
    #[default]
    Accepted = 0,
    /// A known conversion changed: status or payout.
    Updated = 1,
    /// Known already; nothing changed.
    Duplicate = 2,
    /// The payout is out of the offer's rule; waits for a person.
    Held = 3,
    /// No click with this id is known, nor can be.
    Unmatched = 4,
    /// The click id is authentic, but its click is lost.
    Orphan = 5,
    /// After the attribution window.
    Late = 6,
    /// A test: it counts nowhere.
    Test = 7,
    /// Refused; `reason` says why.
    Rejected = 8,
}

impl Verdict {
    /// Its name in answers, reports and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Updated => "updated",
            Self::Duplicate => "duplicate",
            Self::Held => "held",
            Self::Unmatched => "unmatched",
            Self::Orphan => "orphan",
            Self::Late => "late",
            Self::Test => "test",
            Self::Rejected => "rejected",
        }
    }

    /// Whether its conversion remembers it: the next decision finds it by its key.
    pub const fn is_remembered(self) -> bool {
        matches!(self, Self::Accepted | Self::Updated | Self::Held)
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        const ALL: [Verdict; 9] = [
            Verdict::Accepted,
            Verdict::Updated,
            Verdict::Duplicate,
            Verdict::Held,
            Verdict::Unmatched,
            Verdict::Orphan,
            Verdict::Late,
            Verdict::Test,
            Verdict::Rejected,
        ];
        if (code as usize) < ALL.len() { Some(ALL[code as usize]) } else { None }
    }
}

/// One decision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Decision<'a> {
    /// When it was made.
    pub time: Timestamp,
    /// Where its postback lies (`store::Position` as a number).
    pub postback: u64,
    /// Version of the catalog it was made with.
    pub config_version: u64,
    /// What was concluded.
    pub verdict: Verdict,
    /// Why: a code of `apply`; 0 when there is nothing to explain.
    pub reason: u16,
    /// See `Postback::partition`.
    pub partition: u8,
    /// Stable id of the conversion; equal for all decisions on it.
    pub conversion_id: [u8; 16],
    /// 0 for the first decision on a conversion, then 1, 2, …
    pub sequence: u32,
    /// What the postback said.
    pub conversion: Conversion<'a>,
    /// What this decision adds to the books, in the payout's currency; negative for a reversal.
    pub entry: Micros,
    /// When the click happened, if there is one.
    pub click_time: Option<Timestamp>,
    /// What the click cost.
    pub cost: Option<Money>,
    /// The click's campaign.
    pub campaign: &'a str,
    /// The click's offer.
    pub offer: &'a str,
    /// The click's source.
    pub source: &'a str,
    /// The click's lander.
    pub lander: &'a str,
    /// The click's id at its source.
    pub external_id: &'a str,
    /// What makes this conversion one: the bytes that the dedupe table hashes. Empty = never deduplicated.
    pub dedupe_key: &'a [u8],
    /// The click's parameters.
    pub click_params: ParamsRef<'a>,
    /// The postback's parameters.
    pub postback_params: ParamsRef<'a>,
    // What follows came with version 2 of the layout.
    /// The decision on the same conversion before this one (`store::Position` as a number), or 0.
    pub previous: u64,
    /// How the conversion stands now.
    pub standing: Standing,
    /// Where several transactions add up to one conversion: what tells this one from the others. Empty otherwise.
    pub part_key: &'a [u8],
    /// How that transaction stands now.
    pub part: Standing,
    /// Where the click's record lies (`click_id::Place`, packed), or 0.
    pub click: u64,
    /// What is known against the click.
    pub labels: Labels,
    /// The visitor's address, as far as it is kept.
    pub address: Option<KeptAddress>,
    /// The visitor's country, or two zeros.
    pub country: [u8; 2],
    /// The visitor's user agent.
    pub user_agent: &'a str,
    /// Where the visitor came from.
    pub referrer: &'a str,
    /// What the visitor reads.
    pub language: &'a str,
}

impl Decision<'_> {
    /// Whether this is its key, or that of its part: equal hashes are not enough.
    pub fn has_key(&self, key: &[u8]) -> bool {
        self.dedupe_key == key || self.part_key == key
    }
}
