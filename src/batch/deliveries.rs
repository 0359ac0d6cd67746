//! What became of deliveries, and what of each attempt.
//!
//! In: the deliveries journal, joined with the decisions that owe them; what is looked for. Out: for each delivery that was
//! attempted its last state, newest first; or all attempts of one.
//! Keeps: it takes no lock. In memory are at most `KEPT_MAX` deliveries: with more, the newest, and that is said.
//! Not here: deliveries that were not attempted yet (the daemon knows them), and the requests (`dispatcher::request`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use serde::Serialize;

use super::lookup::{Amount, DeliveryRow, Window};
use crate::event::codec::{Event, Kind, decode};
use crate::event::decision::Decision;
use crate::event::delivery::{DeliveryOutcome, DestinationChange, OutcomeClass};
use crate::event::hex;
use crate::store::layout::Summary;
use crate::store::reader::{Reader, Shown};
use crate::store::record::Record;
use crate::store::{Error, Journal, Lookup, Position, Progress};

/// The most deliveries that are kept in mind, and that a list can have.
pub const KEPT_MAX: usize = 100_000;

/// The most decisions that one click, conversion or transaction is followed to, and the most attempts that are shown of
/// one delivery.
pub const FOLLOWED_MAX: usize = 10_000;

const POSTBACKS: (Journal, u8) = (Journal::Postbacks, 0);
const DELIVERIES: (Journal, u8) = (Journal::Deliveries, 0);

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was taken.
    Delivered,
    /// It was not, and is not tried again by itself.
    Dead,
    /// It was not, and is tried again.
    Retrying,
    /// It had ended, and is tried again because an operator said so.
    Reopened,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Delivered, Self::Dead, Self::Retrying, Self::Reopened];

    /// Its name in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Retrying => "retrying",
            Self::Reopened => "reopened",
        }
    }

    const fn of(outcome: &DeliveryOutcome<'_>) -> Self {
        match (outcome.class, outcome.is_final) {
            (OutcomeClass::Ok, _) => Self::Delivered,
            (_, true) => Self::Dead,
            (_, false) => Self::Retrying,
        }
    }
}

/// Which deliveries are looked for. All that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// To this destination.
    pub destination: Option<String>,
    /// Standing there now.
    pub state: Option<State>,
    /// Whose last attempt ended in this.
    pub class: Option<OutcomeClass>,
    /// Whose last attempt was in this time.
    pub window: Window,
    /// These; any if there are none.
    pub delivery_ids: BTreeSet<[u8; 16]>,
    /// Of this click, conversion (in hexadecimal digits) or transaction.
    pub about: Option<String>,
}

/// One delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// When its last attempt ended.
    pub time: String,
    /// The same for all attempts.
    pub delivery_id: String,
    /// To whom.
    pub destination: String,
    /// `delivered`, `dead`, `retrying`, `reopened`.
    pub state: &'static str,
    /// Where the decision lies that owes it.
    pub decision: String,
    /// Of which conversion it tells; empty, as what follows, if its decision cannot be read.
    pub conversion_id: String,
    /// The click id as it came.
    pub click_id: String,
    /// The network's own id of the conversion.
    pub transaction_id: String,
    /// What it tells.
    pub status: &'static str,
    /// What the conversion pays, before the destination's cut.
    pub payout: Option<Amount>,
    /// How many attempts there were.
    pub attempts: u16,
    /// What the last one ended in.
    pub class: &'static str,
    /// The status of its answer; 0 when there was none.
    pub http_status: u16,
    /// The beginning of the answer, or what went wrong.
    pub detail: String,
    /// When it is tried again.
    pub next_attempt: Option<String>,
    /// How often an operator had it tried again.
    pub replays: u32,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Newest first.
    pub deliveries: Vec<Row>,
    /// Whether there are more than are listed.
    pub has_more: bool,
}

/// All of one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Whole {
    /// How it stands.
    pub delivery: Row,
    /// Its attempts, oldest first.
    pub attempts: Vec<DeliveryRow>,
}

/// A delivery's id, of its 32 hexadecimal digits.
pub fn delivery_id(text: &str) -> Option<[u8; 16]> {
    let is_one = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut number = u128::from_str_radix(text, 16).ok().filter(|_| is_one)?;
    let mut id = [0; 16];
    for byte in id.iter_mut().rev() {
        *byte = u8::try_from(number & 0xff).unwrap_or_default();
        number >>= 8;
    }
    Some(id)
}

/// The newest deliveries that are looked for, `limit` of them.
///
/// # Errors
/// What reading the store says.
pub fn list(reader: &Reader, filter: &Filter, limit: usize, progress: Progress<'_>) -> Result<Found, Error> {
    let shown = Shown::load(reader)?;
    let decisions = match &filter.about {
        Some(about) => Some(decisions_about(reader, &shown, about, progress)?),
        None => None,
    };
    let mut standings = Standings { decisions, ..Standings::new(filter) };
    // What was before `from` may have been attempted again since: then the last attempt is there.
    let from = Window { from: filter.window.from, to: None };
    let wanted = |summary: &Summary| from.overlaps(summary);
    reader.scan(DELIVERIES, wanted, progress, |position, record| {
        standings.take(position, record);
        ControlFlow::Continue(())
    })?;
    let (newest, has_more) = standings.into_newest(limit.min(KEPT_MAX));
    let mut deliveries = Vec::with_capacity(newest.len());
    for last in newest {
        deliveries.extend(row(reader, &shown, last)?);
    }
    Ok(Found { deliveries, has_more })
}

/// All attempts of one delivery, as far as segments that have any of this time hold them; nothing if there was none.
///
/// # Errors
/// What reading the store says.
pub fn show(
    reader: &Reader,
    delivery_id: [u8; 16],
    window: Window,
    progress: Progress<'_>,
) -> Result<Option<Whole>, Error> {
    let filter = Filter { delivery_ids: BTreeSet::from([delivery_id]), ..Filter::default() };
    let shown = Shown::load(reader)?;
    let mut attempts = Vec::new();
    let mut standings = Standings::new(&filter);
    reader.scan(
        DELIVERIES,
        |summary| window.overlaps(summary),
        progress,
        |position, record| {
            standings.take(position, record);
            match shown.event(DELIVERIES, position, record) {
                Ok(Event::DeliveryOutcome(outcome))
                    if outcome.delivery_id == delivery_id && attempts.len() < FOLLOWED_MAX =>
                {
                    attempts.push(DeliveryRow::of(position, &outcome));
                }
                Ok(Event::Destination(event)) => DeliveryRow::note_reopening(&mut attempts, &event),
                _ => {}
            }
            ControlFlow::Continue(())
        },
    )?;
    let (newest, _) = standings.into_newest(1);
    let delivery = match newest.first() {
        Some(last) => row(reader, &shown, *last)?,
        None => None,
    };
    Ok(delivery.map(|delivery| Whole { delivery, attempts }))
}

/// Gives `take` the decision at this position as it may be shown, if it can be read.
///
/// # Errors
/// What reading the store says.
pub fn decision<T>(
    reader: &Reader,
    shown: &Shown,
    position: Position,
    mut take: impl FnMut(&Decision<'_>) -> T,
) -> Result<Option<T>, Error> {
    let found =
        reader.record(POSTBACKS, position, |record| match shown.event(POSTBACKS, position, record) {
            Ok(Event::Decision(decision)) => Some(take(&decision)),
            _ => None,
        })?;
    Ok(if let Lookup::Found(taken) = found { taken } else { None })
}

/// The decisions on a click, conversion or transaction.
fn decisions_about(
    reader: &Reader,
    shown: &Shown,
    about: &str,
    progress: Progress<'_>,
) -> Result<BTreeSet<u64>, Error> {
    let mut found = BTreeSet::new();
    reader.scan(
        POSTBACKS,
        |_| true,
        progress,
        |position, record| {
            if record.kind == Kind::Decision.code()
                && let Ok(Event::Decision(decision)) = shown.event(POSTBACKS, position, record)
                && is_about(&decision, about)
            {
                found.insert(position.to_u64());
                // The newest ones: a transaction id that everything has is none.
                if found.len() > FOLLOWED_MAX {
                    found.pop_first();
                }
            }
            ControlFlow::Continue(())
        },
    )?;
    Ok(found)
}

fn is_about(decision: &Decision<'_>, about: &str) -> bool {
    let said = &decision.conversion;
    said.transaction_id == about
        || said.click_id.eq_ignore_ascii_case(about)
        || about.len() == 32 && hex(&decision.conversion_id).eq_ignore_ascii_case(about)
}

fn event<'a>(record: &Record<'a>) -> Option<Event<'a>> {
    decode(record.kind, record.schema, record.payload).ok()
}

/// A delivery, by the decision that owes it and the number of its destination: what an operator's replay names too.
type Key = (u64, usize);

/// The last that is known of a delivery.
#[derive(Clone, Copy, Debug)]
struct Last {
    /// Where its last outcome lies.
    outcome: Position,
    /// What happened to it last: that outcome, or its reopening.
    touched: Position,
    state: State,
    key: Key,
}

/// How deliveries stand, after the records so far.
struct Standings<'a> {
    filter: &'a Filter,
    decisions: Option<BTreeSet<u64>>,
    destinations: HashMap<Box<str>, usize>,
    last: HashMap<Key, Last>,
    /// How often each was reopened, also of those that are not looked for as they stood then; of `KEPT_MAX` at most.
    replays: HashMap<Key, u32>,
    /// The same by when they were touched.
    order: BTreeMap<Position, Key>,
    is_cut: bool,
}

impl<'a> Standings<'a> {
    fn new(filter: &'a Filter) -> Self {
        Self {
            filter,
            decisions: None,
            destinations: HashMap::new(),
            last: HashMap::new(),
            replays: HashMap::new(),
            order: BTreeMap::new(),
            is_cut: false,
        }
    }

    fn take(&mut self, position: Position, record: &Record<'_>) {
        match event(record) {
            Some(Event::DeliveryOutcome(outcome)) => self.end(position, &outcome),
            Some(Event::Destination(event)) if event.change == DestinationChange::Reopened => {
                self.reopen(position, event.decision, event.destination);
            }
            _ => {}
        }
    }

    fn end(&mut self, position: Position, outcome: &DeliveryOutcome<'_>) {
        let filter = self.filter;
        let ids = &filter.delivery_ids;
        if filter.destination.as_ref().is_some_and(|wanted| wanted != outcome.destination)
            || !(ids.is_empty() || ids.contains(&outcome.delivery_id))
            || self.decisions.as_ref().is_some_and(|wanted| !wanted.contains(&outcome.decision))
        {
            return;
        }
        let key = (outcome.decision, self.number(outcome.destination));
        self.remove(key);
        let state = State::of(outcome);
        // One that will be reopened may be in any state before.
        let is_wanted = filter.state.is_none_or(|wanted| wanted == state || wanted == State::Reopened)
            && filter.class.is_none_or(|wanted| wanted == outcome.class)
            && filter.window.contains(outcome.time);
        if is_wanted {
            self.insert(key, Last { outcome: position, touched: position, state, key });
        }
    }

    fn reopen(&mut self, position: Position, decision: u64, destination: &str) {
        let key = (decision, self.number(destination));
        if self.replays.len() < KEPT_MAX || self.replays.contains_key(&key) {
            let replays = self.replays.entry(key).or_default();
            *replays = replays.saturating_add(1);
        }
        if let Some(last) = self.remove(key) {
            self.insert(key, Last { touched: position, state: State::Reopened, ..last });
        }
    }

    fn number(&mut self, destination: &str) -> usize {
        if let Some(number) = self.destinations.get(destination) {
            return *number;
        }
        let number = self.destinations.len();
        self.destinations.insert(destination.into(), number);
        number
    }

    fn insert(&mut self, key: Key, last: Last) {
        self.order.insert(last.touched, key);
        self.last.insert(key, last);
        if self.order.len() > KEPT_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.last.remove(&oldest);
            self.is_cut = true;
        }
    }

    fn remove(&mut self, key: Key) -> Option<Last> {
        let last = self.last.remove(&key)?;
        self.order.remove(&last.touched);
        Some(last)
    }

    /// The newest ones that stand as is wanted, and whether there are more.
    fn into_newest(self, limit: usize) -> (Vec<(Last, u32)>, bool) {
        let newest_first = self.order.values().rev().filter_map(|key| self.last.get(key).copied());
        let mut wanted =
            newest_first.filter(|last| self.filter.state.is_none_or(|wanted| wanted == last.state));
        let replays = |last: Last| (last, self.replays.get(&last.key).copied().unwrap_or_default());
        let newest = wanted.by_ref().take(limit).map(replays).collect();
        (newest, wanted.next().is_some() || self.is_cut)
    }
}

/// A delivery with what its last outcome and its decision say; nothing if the outcome is gone meanwhile.
fn row(reader: &Reader, shown: &Shown, (last, replays): (Last, u32)) -> Result<Option<Row>, Error> {
    let read = |record: &Record<'_>| match shown.event(DELIVERIES, last.outcome, record) {
        Ok(Event::DeliveryOutcome(outcome)) => Some((outcome.decision, of_outcome(&outcome, last.state))),
        _ => None,
    };
    let found = reader.record(DELIVERIES, last.outcome, read)?;
    let Lookup::Found(Some((owed_by, row))) = found else { return Ok(None) };
    let row = Row { replays, ..row };
    let position = Position::from_u64(owed_by).unwrap_or_default();
    let joined = decision(reader, shown, position, |decision| of_decision(row.clone(), decision))?;
    Ok(Some(joined.unwrap_or(row)))
}

fn of_outcome(outcome: &DeliveryOutcome<'_>, state: State) -> Row {
    let next = outcome.next_attempt.filter(|_| state == State::Retrying);
    Row {
        time: outcome.time.to_string(),
        delivery_id: hex(&outcome.delivery_id),
        destination: outcome.destination.to_owned(),
        state: state.name(),
        decision: Position::from_u64(outcome.decision).unwrap_or_default().to_string(),
        attempts: outcome.attempt,
        class: outcome.class.name(),
        http_status: outcome.http_status,
        detail: String::from_utf8_lossy(outcome.detail).into_owned(),
        next_attempt: next.map(|time| time.to_string()),
        ..Row::default()
    }
}

fn of_decision(row: Row, decision: &Decision<'_>) -> Row {
    let said = &decision.conversion;
    Row {
        conversion_id: hex(&decision.conversion_id),
        click_id: said.click_id.to_owned(),
        transaction_id: said.transaction_id.to_owned(),
        status: said.status.name(),
        payout: said.payout.map(Amount::of),
        ..row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_there_are_no_more_than_the_bound_are_kept_in_mind() {
        let filter = Filter::default();
        let mut standings = Standings::new(&filter);
        let count = u32::try_from(KEPT_MAX).unwrap() + 10;
        for number in 1..=count {
            let (decision, is_final) = (u64::from(number) * 16, true);
            let outcome =
                DeliveryOutcome { decision, is_final, destination: "a", ..DeliveryOutcome::default() };
            standings.end(Position::new(1, 32 * number), &outcome);
            standings.reopen(Position::new(1, 32 * number + 16), decision, "a");
        }
        assert_eq!((standings.last.len(), standings.order.len()), (KEPT_MAX, KEPT_MAX));
        assert_eq!((standings.replays.len(), standings.destinations.len()), (KEPT_MAX, 1));
        let (newest, has_more) = standings.into_newest(KEPT_MAX);
        assert_eq!((newest.len(), has_more), (KEPT_MAX, true));
        assert_eq!(newest[0].0.touched, Position::new(1, 32 * count + 16), "the newest are");
    }
}
