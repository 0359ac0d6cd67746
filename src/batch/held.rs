//! Payouts that wait for a person.
//!
//! In: the postbacks journal. Out: for each conversion whose newest decision holds a payout, that one; of several
//! transactions that make one conversion each may have one.
//! Keeps: it takes no lock; in memory is only what is held at a time, or the oldest of it.
//! Not here: letting one count or throwing it away: the daemon's owner of the books does.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;

use super::lookup::{Amount, Window, reason_name};
use crate::event::codec::{Event, Kind, decode};
use crate::event::decision::{Decision, Verdict};
use crate::event::hex;
use crate::event::money::Money;
use crate::store::layout::Summary;
use crate::store::reader::{Cursor, Reader, Shown};
use crate::store::{Error, Journal, Lookup, Position, Progress};

/// A payout that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldRow {
    /// Where the decision that holds it lies: what it is released or dropped by.
    pub decision: String,
    /// When that was made.
    pub time: String,
    /// The conversion.
    pub conversion_id: String,
    /// Network id.
    pub network: String,
    /// The network's own id of the conversion.
    pub transaction_id: String,
    /// The click id as it came.
    pub click_id: String,
    /// Why it is held.
    pub reason: String,
    /// What it would pay.
    pub payout: Option<Amount>,
    /// Campaign of the click.
    pub campaign: String,
    /// Offer of the click.
    pub offer: String,
}

/// All that is held, oldest first.
///
/// # Errors
/// What reading the store says.
pub fn list(reader: &Reader, window: Window, progress: Progress<'_>) -> Result<Vec<HeldRow>, Error> {
    oldest(reader, window, usize::MAX, progress).map(|(rows, _)| rows)
}

/// The oldest of what is held, so many at most, and whether there is more: a network may have as many held as it likes.
///
/// # Errors
/// What reading the store says.
pub fn oldest(
    reader: &Reader,
    window: Window,
    limit: usize,
    progress: Progress<'_>,
) -> Result<(Vec<HeldRow>, bool), Error> {
    let (mut held, shown) = (Held { limit, ..Held::default() }, Shown::load(reader)?);
    let wanted = |summary: &Summary| window.overlaps(summary);
    reader.scan((Journal::Postbacks, 0), wanted, progress, |position, record| {
        if record.kind == Kind::Decision.code()
            && let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload)
            && window.contains(decision.time)
            && let Ok(Event::Decision(shown)) = shown.event((Journal::Postbacks, 0), position, record)
        {
            held.take(position, &shown);
        }
        ControlFlow::Continue(())
    })?;
    let has_more = held.has_more;
    Ok((held.into_rows(), has_more))
}

/// The newest decision on the conversion whose payout the one at `held` holds, if no key leads there any more: then it was
/// about a click of another tracker that was erased. Nothing where the books find it themselves.
///
/// # Errors
/// What reading the store says.
pub fn newest_of_erased(reader: &Reader, held: Position) -> Result<Option<Position>, Error> {
    // Where there is no decision, the books say so.
    let id = reader.record((Journal::Postbacks, 0), held, |record| {
        match decode(record.kind, record.schema, record.payload) {
            Ok(Event::Decision(decision)) if decision.dedupe_key.is_empty() => Some(decision.conversion_id),
            _ => None,
        }
    });
    let Ok(Lookup::Found(Some(id))) = id else { return Ok(None) };
    if id == [0; 16] {
        return Ok(None);
    }
    // A repeat has the number of the decision that it repeats, and comes after it.
    let (mut newest, mut last) = (None, None);
    let from = Cursor { segment: held.segment(), offset: held.offset() };
    reader.read(Journal::Postbacks, 0, from, |position, record| {
        if record.kind == Kind::Decision.code()
            && let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload)
            && decision.conversion_id == id
            && last.is_none_or(|last| last < decision.sequence)
        {
            (newest, last) = (Some(position), Some(decision.sequence));
        }
        ControlFlow::Continue(())
    })?;
    Ok(newest)
}

/// A conversion's id, its postback if it has none, and its transaction if several make it.
type Who = ([u8; 16], u64, Vec<u8>);

/// What is held, after the decisions so far.
#[derive(Debug)]
pub struct Held {
    waiting: BTreeMap<Who, (Position, HeldRow)>,
    limit: usize,
    has_more: bool,
}

impl Default for Held {
    /// However much that is.
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), limit: usize::MAX, has_more: false }
    }
}

impl Held {
    /// Takes in the next decision of the journal.
    pub fn take(&mut self, position: Position, decision: &Decision<'_>) {
        // A conversion that has no id is its postback's own.
        let own = if decision.conversion_id == [0; 16] { decision.postback } else { 0 };
        let key = (decision.conversion_id, own, decision.part_key.to_vec());
        match says(decision) {
            Says::Nothing => {}
            Says::Holds if self.waiting.len() >= self.limit && !self.waiting.contains_key(&key) => {
                self.has_more = true;
            }
            Says::Holds => {
                self.waiting.insert(key, (position, HeldRow::of(position, decision)));
            }
            Says::HoldsNothing => {
                self.waiting.remove(&key);
            }
        }
    }

    fn into_rows(self) -> Vec<HeldRow> {
        let mut rows: Vec<_> = self.waiting.into_values().collect();
        rows.sort_by_key(|(position, _)| *position);
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

/// What a decision says of whether a payout of its conversion waits.
enum Says {
    Holds,
    HoldsNothing,
    Nothing,
}

fn says(decision: &Decision<'_>) -> Says {
    let standing = if decision.part_key.is_empty() { decision.standing } else { decision.part };
    match decision.verdict {
        Verdict::Held => Says::Holds,
        Verdict::Test | Verdict::Unmatched | Verdict::Orphan | Verdict::Late => Says::Nothing,
        // A repeat changes nothing, and does not say of which transaction it is.
        Verdict::Duplicate => Says::Nothing,
        Verdict::Accepted | Verdict::Updated | Verdict::Rejected => match standing.held {
            Some(_) => Says::Nothing,
            None => Says::HoldsNothing,
        },
    }
}

impl HeldRow {
    fn of(position: Position, decision: &Decision<'_>) -> Self {
        let said = &decision.conversion;
        let standing = &decision.standing;
        let waits = standing.held.zip(standing.currency).map(|(amount, currency)| Money { amount, currency });
        Self {
            decision: position.to_string(),
            time: decision.time.to_string(),
            conversion_id: hex(&decision.conversion_id),
            network: said.network.to_owned(),
            transaction_id: said.transaction_id.to_owned(),
            click_id: said.click_id.to_owned(),
            reason: reason_name(decision.reason),
            payout: said.payout.or(waits).map(Amount::of),
            campaign: decision.campaign.to_owned(),
            offer: decision.offer.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::reason::Reason;
    use crate::event::conversion::{Conversion, Standing};
    use crate::event::money::Micros;

    const ID: [u8; 16] = [7; 16];

    #[test]
    fn no_more_than_the_oldest_are_kept_in_mind_and_that_there_are_more_is_known() {
        let mut held = Held { limit: 2, ..Held::default() };
        for n in 1..=4u8 {
            let decision = Decision { verdict: Verdict::Held, conversion_id: [n; 16], ..Decision::default() };
            held.take(Position::new(1, 16 * u32::from(n)), &decision);
            assert_eq!((held.waiting.len(), held.has_more), (usize::from(n).min(2), n > 2));
        }
        let again = Decision { verdict: Verdict::Held, conversion_id: [1; 16], ..Decision::default() };
        held.take(Position::new(1, 96), &again);
        let rows: Vec<String> = held.into_rows().into_iter().map(|row| row.decision).collect();
        assert_eq!(rows, ["1:32", "1:96"]);
    }

    /// One conversion's decisions, and whether the last of them leaves something held, and by which decision.
    #[test]
    fn held_is_what_the_newest_counted_decision_leaves_waiting() {
        let held = Standing { was_told: true, held: Some(Micros::new(9)), ..Standing::default() };
        let counted = Standing { was_told: true, approved: Some(Micros::new(9)), ..Standing::default() };
        let (none, no_reason) = (Standing::default(), Reason::None);
        type Step = (Verdict, Reason, Standing);
        let above = Reason::PayoutAboveMax;
        let cases: &[(&str, &[Step], Option<u32>)] = &[
            ("held", &[(Verdict::Held, above, held)], Some(0)),
            ("held, version 1", &[(Verdict::Held, above, none)], Some(0)),
            ("accepted", &[(Verdict::Accepted, no_reason, counted)], None),
            (
                "released",
                &[(Verdict::Held, above, held), (Verdict::Updated, Reason::Released, counted)],
                None,
            ),
            ("dropped", &[(Verdict::Held, above, held), (Verdict::Rejected, Reason::Dropped, none)], None),
            (
                "held, then pending is told",
                &[(Verdict::Held, above, held), (Verdict::Updated, no_reason, held)],
                Some(0),
            ),
            (
                "told again",
                &[(Verdict::Held, above, held), (Verdict::Duplicate, Reason::AlreadyTold, held)],
                Some(0),
            ),
            (
                "told again, version 1",
                &[(Verdict::Held, above, none), (Verdict::Duplicate, no_reason, none)],
                Some(0),
            ),
            (
                "released, then told again",
                &[
                    (Verdict::Held, above, held),
                    (Verdict::Updated, Reason::Released, counted),
                    (Verdict::Duplicate, Reason::AlreadyTold, counted),
                ],
                None,
            ),
            ("a test", &[(Verdict::Held, above, held), (Verdict::Test, Reason::Test, none)], Some(0)),
            ("held twice", &[(Verdict::Held, above, held), (Verdict::Held, above, held)], Some(1)),
            ("withdrawn", &[(Verdict::Held, above, held), (Verdict::Updated, Reason::Withdrawn, none)], None),
            (
                "held after it counted",
                &[(Verdict::Accepted, no_reason, counted), (Verdict::Held, above, held)],
                Some(1),
            ),
        ];
        for (name, steps, expected) in cases {
            let mut all = Held::default();
            for (n, (verdict, reason, standing)) in (0u32..).zip(*steps) {
                let decision = Decision {
                    verdict: *verdict,
                    reason: reason.code(),
                    standing: *standing,
                    conversion_id: ID,
                    conversion: Conversion { network: "boost", transaction_id: "t", ..Conversion::default() },
                    ..Decision::default()
                };
                all.take(Position::new(1, 16 * n), &decision);
            }
            let rows = all.into_rows();
            let found: Vec<_> = rows.iter().map(|row| row.decision.clone()).collect();
            let expected: Vec<_> = expected.iter().map(|n| Position::new(1, 16 * n).to_string()).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn transactions_of_one_conversion_wait_each_for_itself() {
        let mut all = Held::default();
        let holds = Standing { held: Some(Micros::new(9)), ..Standing::default() };
        let told = Standing { was_told: true, approved: Some(Micros::new(9)), ..Standing::default() };
        for (n, verdict, part_key, part) in [
            (0, Verdict::Held, b"a", holds),
            (1, Verdict::Held, b"b", holds),
            (2, Verdict::Accepted, b"c", told),
            (3, Verdict::Updated, b"b", told),
        ] {
            let conversion_id = ID;
            let decision = Decision { verdict, part_key, part, conversion_id, ..Decision::default() };
            all.take(Position::new(1, 16 * n), &decision);
        }
        let rows = all.into_rows();
        assert_eq!(rows.iter().map(|row| &*row.decision).collect::<Vec<_>>(), ["1:0"]);
    }

    #[test]
    fn conversions_without_an_id_are_told_apart_by_their_postbacks() {
        let mut all = Held::default();
        for n in 0..3u32 {
            let postback = Position::new(1, 64 * n).to_u64();
            let decision = Decision { verdict: Verdict::Held, postback, ..Decision::default() };
            all.take(Position::new(1, 64 * n + 16), &decision);
        }
        let rows = all.into_rows();
        assert_eq!(rows.iter().map(|row| &*row.decision).collect::<Vec<_>>(), ["1:16", "1:80", "1:144"]);
    }
}
