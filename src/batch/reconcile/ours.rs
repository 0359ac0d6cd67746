//! What our books say of a network's conversions.
//!
//! In: the decisions of the postbacks journal. Out: for each conversion, or each transaction of one that several make, how
//! it stands after the newest decision; and postbacks that became none, because somebody asks why.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use super::ReconcileError;
use crate::batch::lookup::reason_name;
use crate::clock::Timestamp;
use crate::event::codec::{Event, Kind, decode};
use crate::event::conversion::Status;
use crate::event::decision::{Decision, Verdict};
use crate::event::hex;
use crate::event::money::Currency;
use crate::store::layout::Summary;
use crate::store::reader::{Reader, Shown};
use crate::store::{Journal, Progress};

/// How something of ours stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It counts, as this.
    Counts(Status),
    /// It waits for a person.
    Held,
    /// It does not count, and why: a verdict, and its reason if there is one.
    CountsNot(String),
}

/// A conversion of ours, or a postback that became none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// The network's own id of it, or empty.
    pub transaction_id: String,
    /// The click id as it came.
    pub click_id: String,
    /// What kind of conversion, or empty.
    pub event: String,
    /// Its id here; empty for a postback that has none.
    pub conversion_id: String,
    /// When we first heard of it.
    pub time: Timestamp,
    /// How it stands.
    pub standing: Standing,
    /// What it comes to, in millionths.
    pub amount: i128,
    /// In which currency; nothing if nobody said.
    pub currency: Option<Currency>,
}

/// A conversion's id, its postback if it has none, and its transaction if several make it.
type Who = ([u8; 16], u64, Vec<u8>);

/// Everything of a network since `from`, in the order in which it was first heard of.
pub(super) fn read(
    reader: &Reader,
    network: &str,
    from: Timestamp,
    progress: Progress<'_>,
) -> Result<Vec<Ours>, ReconcileError> {
    let mut found = Found::default();
    let wanted = |summary: &Summary| summary.records > 0 && summary.last_time >= from;
    let mut unread = 0_u64;
    let (journal, shown) = ((Journal::Postbacks, 0), Shown::load(reader)?);
    reader.scan(journal, wanted, progress, |position, record| {
        if record.kind == Kind::Decision.code() {
            match shown.event(journal, position, record) {
                Ok(Event::Decision(decision)) if decision.conversion.network == network => {
                    found.take(&decision, from);
                }
                Ok(_) => {}
                Err(_) => unread += 1,
            }
        }
        ControlFlow::Continue(())
    })?;
    if unread > 0 {
        return Err(ReconcileError::Unread { records: unread });
    }
    Ok(found.all)
}

/// Every network that the journal has heard of.
pub(super) fn networks(reader: &Reader, progress: Progress<'_>) -> Result<BTreeSet<String>, ReconcileError> {
    let mut all = BTreeSet::new();
    let mut add = |network: &str| {
        if !all.contains(network) {
            all.insert(network.to_owned());
        }
    };
    let anything = |summary: &Summary| summary.records > 0;
    reader.scan((Journal::Postbacks, 0), anything, progress, |_, record| {
        match decode(record.kind, record.schema, record.payload) {
            Ok(Event::Decision(decision)) => add(decision.conversion.network),
            Ok(Event::Postback(postback)) => add(postback.network),
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

#[derive(Default)]
struct Found {
    all: Vec<Ours>,
    places: HashMap<Who, usize>,
}

impl Found {
    fn take(&mut self, decision: &Decision<'_>, from: Timestamp) {
        if decision.verdict == Verdict::Test || decision.time < from {
            return;
        }
        // A postback that has no conversion is on its own.
        let own = if decision.conversion_id == [0; 16] { decision.postback } else { 0 };
        let who = (decision.conversion_id, own, decision.part_key.to_vec());
        let next = self.all.len();
        let place = *self.places.entry(who).or_insert(next);
        if place == next {
            self.all.push(Ours {
                transaction_id: decision.conversion.transaction_id.to_owned(),
                click_id: decision.conversion.click_id.to_owned(),
                event: decision.conversion.event.to_owned(),
                conversion_id: if own == 0 { hex(&decision.conversion_id) } else { String::new() },
                time: decision.time,
                standing: Standing::CountsNot(String::new()),
                amount: 0,
                currency: None,
            });
        }
        if let Some(ours) = self.all.get_mut(place) {
            ours.take(decision);
        }
    }
}

impl Ours {
    /// Takes in the next decision on it.
    fn take(&mut self, decision: &Decision<'_>) {
        let said = decision.conversion.payout.map(|payout| payout.currency);
        let standing = if decision.part_key.is_empty() { decision.standing } else { decision.part };
        if self.transaction_id.is_empty() {
            decision.conversion.transaction_id.clone_into(&mut self.transaction_id);
        }
        if standing.was_told {
            self.standing = Standing::Counts(standing.status());
            self.amount = standing.net().get().into();
            self.currency = standing.currency.or(said).or(self.currency);
            return;
        }
        match decision.verdict {
            // Decisions of the first version do not say how it stands, but what they add.
            Verdict::Accepted | Verdict::Updated => {
                self.standing = Standing::Counts(decision.conversion.status);
                self.amount = self.amount.saturating_add(decision.entry.get().into());
                self.currency = said.or(self.currency);
            }
            Verdict::Held if !matches!(self.standing, Standing::Counts(_)) => {
                self.standing = Standing::Held;
                self.currency = said.or(self.currency);
            }
            Verdict::Held | Verdict::Duplicate | Verdict::Test => {}
            Verdict::Unmatched | Verdict::Orphan | Verdict::Late | Verdict::Rejected => {
                if !matches!(self.standing, Standing::Counts(_)) {
                    let (verdict, reason) = (decision.verdict.name(), reason_name(decision.reason));
                    let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
                    self.standing = Standing::CountsNot(format!("{verdict}{why}"));
                }
            }
        }
    }

    /// Whether it counts as approved.
    pub(super) fn is_approved(&self) -> bool {
        self.standing == Standing::Counts(Status::Approved)
    }

    /// Its standing in a word or two.
    pub(super) fn said(&self) -> String {
        match &self.standing {
            Standing::Counts(status) => status.name().to_owned(),
            Standing::Held => "held".to_owned(),
            Standing::CountsNot(why) => why.clone(),
        }
    }
}
