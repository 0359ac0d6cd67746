//! Raw postbacks decided on once more, by the catalog in use: a wrong mapping costs a change of the catalog.
//!
//! In: a network and a time. Out: what that changes, or would change. Two walks over the journal: which postbacks there
//! are and what was decided on each, and then each of them in its order. What then repeats another is looked at once more
//! at the end: the other may have been taken for that conversion only before its own turn came.
//! Keeps: a test stays one; no more than `IN_FLIGHT_MAX` are before the owner of the books at once, so that live postbacks find room; what
//! is shown by a dry run is what is then done, unless something else comes in between.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use crate::apply::claim::{Effect, Refusal, Request, Submission};
use crate::apply::ledger::{self, Ruling};
use crate::apply::reapply::Assumed;
use crate::apply::reason::Reason;
use crate::clock::Timestamp;
use crate::event::codec::{Event, decode};
use crate::event::decision::Verdict;
use crate::event::money::Micros;
use crate::event::postback::Postback;
use crate::ingest;
use crate::store::commit::Reply;
use crate::store::reader::{Cursor, Reader};
use crate::store::{Journal, Position, Store};

/// Postbacks of one replay.
pub(super) const POSTBACKS_MAX: usize = 1_000_000;
/// Of those, how many wait for the owner of the books at once.
const IN_FLIGHT_MAX: usize = 256;
/// Changes that are shown one by one.
const SHOWN_MAX: usize = 100;

/// What is to be decided on once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) network: String,
    /// From this time on.
    pub(super) from: Timestamp,
    /// Up to this time, itself not among them.
    pub(super) to: Timestamp,
    pub(super) is_dry: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Replayed {
    /// Whether it was only looked at.
    is_dry_run: bool,
    /// Postbacks that were looked at.
    postbacks: u64,
    /// By what is concluded today; `unchanged` is as before.
    results: BTreeMap<String, u64>,
    /// What it adds to the books, by currency.
    money: BTreeMap<String, String>,
    /// The first of those that are different.
    changes: Vec<Change>,
    #[serde(skip)]
    sums: BTreeMap<String, i64>,
}

/// One postback that is different today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Change {
    time: String,
    postback: String,
    click_id: String,
    transaction_id: String,
    before: String,
    now: String,
    adds: String,
}

/// Why there is no replay.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    #[error("more than {POSTBACKS_MAX} postbacks: choose a shorter time")]
    TooMany,
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error(transparent)]
    Books(#[from] crate::store::commit::Refused),
}

/// What the journal says of a postback.
#[derive(Default)]
struct Found {
    decisions: Vec<Position>,
    before: String,
    click_id: String,
    /// What came of it the first time.
    first: Option<Ruling>,
}

/// One that the owner of the books was asked about.
struct Asked {
    reply: Reply<Ruling>,
    change: Change,
    number: u64,
    found: Found,
}

/// What a replay works with.
pub(super) struct Tools<'a> {
    pub(super) store: &'a Store,
    pub(super) edge: &'a ingest::Handle,
    pub(super) books: &'a ledger::Handle,
}

impl Tools<'_> {
    /// Decides once more.
    pub(super) fn replay(&self, order: &Order) -> Result<Replayed, ReplayError> {
        let found = self.find(order)?;
        let assumed = order.is_dry.then(Arc::<Assumed>::default);
        let mut done = Replayed { is_dry_run: order.is_dry, ..Replayed::default() };
        done.postbacks = found.len() as u64;
        let repeats = self.ask_about(found, assumed.as_ref(), &mut done)?;
        self.ask_about(repeats, assumed.as_ref(), &mut done)?;
        done.add_up();
        Ok(done)
    }

    /// Has each decided on; what repeats another is left for a second look, if this is the first.
    fn ask_about(
        &self,
        all: BTreeMap<u64, Found>,
        assumed: Option<&Arc<Assumed>>,
        done: &mut Replayed,
    ) -> Result<BTreeMap<u64, Found>, ReplayError> {
        let view = self.store.lane(Journal::Postbacks, 0).map(|lane| lane.view().clone());
        let mut repeats = BTreeMap::new();
        let mut waiting: VecDeque<Asked> = VecDeque::new();
        for (number, found) in all {
            let Some(position) = Position::from_u64(number) else { continue };
            let known = Some(found.click_id.as_str()).filter(|id| !id.is_empty());
            let read = view.as_ref().and_then(|view| {
                view.with_record(position, |record| {
                    match decode(record.kind, record.schema, record.payload) {
                        Ok(Event::Postback(postback)) => {
                            let known = known.filter(|id| !says(&postback, id));
                            Some(self.edge.read_again(&postback, known))
                        }
                        _ => None,
                    }
                })?
            });
            let submission = match read {
                Some(Ok(submission)) if submission.effect == Effect::Test => {
                    done.count(Verdict::Test.name());
                    continue;
                }
                Some(Ok(submission)) => submission,
                Some(Err(refusal)) => {
                    done.count(&refused(refusal));
                    continue;
                }
                None => {
                    done.count("unreadable");
                    continue;
                }
            };
            let effect = if done.is_dry_run { Effect::DryRun } else { Effect::Counts };
            let change = Change::of(&submission, position, found.before.clone());
            let submission = Box::new(Submission { effect, ..submission });
            let (decisions, assumed) = (found.decisions.clone(), assumed.cloned());
            let request = Request::Reapply { postback: position, decisions, submission, assumed };
            waiting.push_back(Asked { reply: self.books.submit(request)?, change, number, found });
            if waiting.len() >= IN_FLIGHT_MAX {
                repeats.extend(done.take(waiting.pop_front())?);
            }
        }
        while !waiting.is_empty() {
            repeats.extend(done.take(waiting.pop_front())?);
        }
        Ok(repeats)
    }

    /// The postbacks that are meant, in their order, and what was decided on each.
    fn find(&self, order: &Order) -> Result<BTreeMap<u64, Found>, ReplayError> {
        let mut found: BTreeMap<u64, Found> = BTreeMap::new();
        let mut is_too_many = false;
        let reader = Reader::open(self.store.directory().root());
        reader.read(Journal::Postbacks, 0, Cursor::default(), |position, record| {
            match decode(record.kind, record.schema, record.payload) {
                Ok(Event::Postback(postback)) if is_meant(&postback, order) => {
                    if found.len() >= POSTBACKS_MAX {
                        is_too_many = true;
                        return ControlFlow::Break(());
                    }
                    let before = Refusal::from_code(postback.refused).map_or(String::new(), refused);
                    found.insert(position.to_u64(), Found { before, ..Found::default() });
                }
                Ok(Event::Decision(decision)) => {
                    if let Some(found) = found.get_mut(&decision.postback) {
                        found.decisions.push(position);
                        decision.conversion.click_id.clone_into(&mut found.click_id);
                        found.before = worded(decision.verdict, Reason::from_code(decision.reason));
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        if is_too_many { Err(ReplayError::TooMany) } else { Ok(found) }
    }
}

/// Those that were refused before anybody had shown who it is are nobody's.
fn is_meant(postback: &Postback<'_>, order: &Order) -> bool {
    let may_count = Refusal::from_code(postback.refused).is_none_or(Refusal::is_of_a_known_caller);
    // What was erased says nothing any more; what was decided on it stays.
    may_count
        && !postback.is_erased()
        && postback.network == order.network
        && (order.from..order.to).contains(&postback.time)
}

/// Whether a request itself names this click. If not, the click was found by cookie or address, which are not kept.
fn says(postback: &Postback<'_>, click_id: &str) -> bool {
    let is_in =
        |bytes: &[u8]| bytes.windows(click_id.len().max(1)).any(|window| window == click_id.as_bytes());
    is_in(postback.query.as_bytes()) || is_in(postback.body)
}

fn refused(refusal: Refusal) -> String {
    format!("rejected:{}", refusal.name())
}

fn worded(verdict: Verdict, reason: Option<Reason>) -> String {
    match reason.map(Reason::name) {
        None | Some("") => verdict.name().to_owned(),
        Some(reason) => format!("{} ({reason})", verdict.name()),
    }
}

impl Change {
    fn of(submission: &Submission, position: Position, before: String) -> Self {
        let claim = &submission.claim;
        Self {
            time: submission.evidence.time.to_string(),
            postback: position.to_string(),
            click_id: claim.click_id.clone(),
            transaction_id: claim.transaction_id.clone().unwrap_or_default(),
            before: if before.is_empty() { "not decided".to_owned() } else { before },
            now: String::new(),
            adds: String::new(),
        }
    }
}

impl Replayed {
    fn count(&mut self, result: &str) {
        *self.results.entry(result.to_owned()).or_default() += 1;
    }

    /// Takes in what was decided; gives it back if it is to be looked at a second time.
    fn take(&mut self, next: Option<Asked>) -> Result<Option<(u64, Found)>, ReplayError> {
        let Some(Asked { reply, change, number, mut found }) = next else { return Ok(None) };
        let ruling = reply.wait()?.into_inner();
        let verdict = ruling.would.map_or(ruling.verdict, |(verdict, _)| verdict);
        let ruling = match found.first.take() {
            None if verdict == Verdict::Duplicate => {
                // What it had told before is withdrawn; all that is left is this.
                found.decisions = ruling.decision.map_or(found.decisions, |decision| vec![decision]);
                return Ok(Some((number, Found { first: Some(ruling), ..found })));
            }
            None => ruling,
            Some(first) if ruling.reason == Reason::Unchanged => first,
            Some(first) => {
                let entry = Micros::new(ruling.entry.get().saturating_add(first.entry.get()));
                Ruling { entry, ..ruling }
            }
        };
        self.tell(&ruling, change);
        Ok(None)
    }

    fn tell(&mut self, ruling: &Ruling, change: Change) {
        if ruling.reason == Reason::Unchanged {
            self.count("unchanged");
            return;
        }
        let (verdict, reason) = ruling.would.unwrap_or((ruling.verdict, ruling.reason));
        self.count(verdict.name());
        let currency = ruling.payout.map_or_else(String::new, |payout| payout.currency.to_string());
        if ruling.entry != Micros::default() {
            *self.sums.entry(currency.clone()).or_default() += ruling.entry.get();
        }
        if self.changes.len() < SHOWN_MAX {
            let adds = format!("{} {currency}", ruling.entry).trim().to_owned();
            self.changes.push(Change { now: worded(verdict, Some(reason)), adds, ..change });
        }
    }

    fn add_up(&mut self) {
        let sums = self.sums.iter();
        self.money = sums.map(|(currency, sum)| (currency.clone(), Micros::new(*sum).to_string())).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_that_the_request_names_is_not_taken_from_what_was_found_before() {
        let named = Postback { query: "a=1&cid=abc", ..Postback::default() };
        let posted = Postback { body: b"{\"cid\":\"abc\"}", ..Postback::default() };
        let pixel = Postback { query: "network=n", ..Postback::default() };
        assert!(says(&named, "abc") && says(&posted, "abc") && !says(&pixel, "abc"));
    }

    #[test]
    fn only_those_of_a_known_caller_in_the_time_are_meant() {
        let order = Order {
            network: "n".to_owned(),
            from: Timestamp::from_seconds(10),
            to: Timestamp::from_seconds(20),
            is_dry: true,
        };
        let postback = |seconds, refused| Postback {
            time: Timestamp::from_seconds(seconds),
            network: "n",
            method: "GET",
            path: "/postback",
            refused,
            ..Postback::default()
        };
        for (postback, expected) in [
            (postback(10, 0), true),
            (postback(9, 0), false),
            (postback(20, 0), false),
            (postback(15, Refusal::MissingClickId.code()), true),
            (postback(15, Refusal::Secret.code()), false),
            (Postback { network: "m", ..postback(15, 0) }, false),
            (Postback { method: "", path: "", ..postback(15, 0) }, false),
        ] {
            assert_eq!(is_meant(&postback, &order), expected, "{postback:?}");
        }
    }
}
