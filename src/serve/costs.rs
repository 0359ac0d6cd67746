//! Cost updates of a file, brought before the owner of the books.
//!
//! In: rows. Out: what became of each, once it is on stable storage.
//! Keeps: a row sets what each hour of its period costs for its key (campaign, source, offer, parameters, currency). What was
//! set for an hour before is replaced: an update says what it adds to that. So the same row counts once, in this file or
//! in any other, and a later one corrects it, also by other periods.
//! An amount is spread evenly over those hours of its period that have begun, in millionths; what does not divide goes to
//! the first ones.
//! Refuses: periods that are yet to come, too long or without an hour; amounts below zero.
//!
//! What was set is told by the journal: where `retention` has dropped an update, one more of its hour adds.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::aliases::{names, settle_cost};
use super::brought::Owned;
use crate::apply::claim::{Cost as Update, CostKey, Request};
use crate::apply::ledger;
use crate::batch::import::{Cost, ImportError, Names, Sink, Taken};
use crate::clock::{Clock, Timestamp};
use crate::config::Settings;
use crate::event::codec::{Event, Kind, decode};
use crate::event::money::{Currency, Micros, Money};
use crate::event::params::Params;
use crate::store::reader::{Cursor, Reader};
use crate::store::{self, Journal};

/// Hours of all keys of which it is known what they cost: 50 bytes each.
const KNOWN_MAX: usize = 8_000_000;
/// Hours of a period: a month.
const HOURS_MAX: i64 = 31 * 24;
/// Updates that are put in order at once.
const UPDATES_MAX: usize = 65_536;
/// Updates that the owner of the books is given at once: a millisecond of its time.
const BATCH: usize = 1_024;
/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;

/// A sum over a key.
type Sum = [u8; 16];

/// What an hour costs, and by which chunk.
#[derive(Clone, Copy, Debug)]
struct Set {
    cost: i64,
    by: u64,
}

/// What was set so far.
#[derive(Debug)]
pub(super) struct Costs {
    known: HashMap<(Sum, i64), Set>,
}

/// A row that can be kept.
struct Understood {
    key: Arc<CostKey>,
    sum: Sum,
    amount: Money,
    hours: Range<i64>,
}

impl Costs {
    /// Reads the journal.
    pub(super) fn load(reader: &Reader) -> Result<Self, store::Error> {
        let mut known = HashMap::new();
        reader.read(Journal::Postbacks, 0, Cursor::default(), |_, record| {
            if record.kind == Kind::CostUpdate.code()
                && let Ok(Event::CostUpdate(update)) = decode(record.kind, record.schema, record.payload)
            {
                let texts = [update.campaign, update.source, update.offer];
                let sum = sum(texts, update.params.as_bytes(), update.cost.currency);
                let set = Set { cost: update.cost.amount.get(), by: update.import };
                known.insert((sum, update.time.hour()), set);
            }
            // Then nothing more is taken.
            if known.len() <= KNOWN_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(Self { known })
    }

    /// Brings a chunk. After an error it is not known what was kept: `load` it anew.
    pub(super) fn take(
        &mut self,
        (chunk, rows): (u64, &[Cost]),
        books: &ledger::Handle,
        now: Timestamp,
    ) -> Result<Taken, ImportError> {
        let (mut taken, mut seen, mut updates) = (Taken::default(), HashSet::new(), Vec::new());
        for (index, row) in rows.iter().enumerate() {
            let row = match understand(row, now) {
                Ok(row) => row,
                Err(why) => {
                    taken.refused.push((index, why));
                    continue;
                }
            };
            let is_new = self.set(&row, chunk, &mut seen, &mut updates);
            *if is_new { &mut taken.imported } else { &mut taken.known } += 1;
            if self.known.len() > KNOWN_MAX {
                let what = format!("what {KNOWN_MAX} hours cost was imported: no more are told apart");
                return Err(ImportError::Daemon(what));
            }
            if updates.len() >= UPDATES_MAX {
                keep(std::mem::take(&mut updates), books)?;
            }
        }
        keep(updates, books)?;
        Ok(taken)
    }

    /// Says whether the row is of this chunk: it changes something, or an interrupted attempt at the chunk had done so.
    fn set(
        &mut self,
        row: &Understood,
        chunk: u64,
        seen: &mut HashSet<(Sum, i64)>,
        updates: &mut Vec<Update>,
    ) -> bool {
        let mut is_new = false;
        for (hour, cost) in spread(row.amount.amount.get(), &row.hours) {
            let at = (row.sum, hour);
            let before = self.known.get(&at).copied();
            let is_first = seen.insert(at);
            if before.map_or(0, |set| set.cost) == cost {
                is_new |= is_first && before.is_some_and(|set| set.by == chunk);
                continue;
            }
            is_new = true;
            self.known.insert(at, Set { cost, by: chunk });
            updates.push(Update {
                time: Timestamp::from_micros(hour.saturating_mul(HOUR)),
                import: chunk,
                cost: Money { amount: Micros::new(cost), ..row.amount },
                entry: Micros::new(cost.saturating_sub(before.map_or(0, |set| set.cost))),
                of: Arc::clone(&row.key),
            });
        }
        is_new
    }
}

/// Waits until they are on stable storage.
fn keep(mut updates: Vec<Update>, books: &ledger::Handle) -> Result<(), ImportError> {
    // Newest hours first, because a segment ends when a later hour comes; in order for each hour.
    updates.sort_by_key(|update| std::cmp::Reverse(update.time));
    let mut updates = updates.into_iter().peekable();
    while updates.peek().is_some() {
        let batch = updates.by_ref().take(BATCH).collect();
        let reply = books.submit(Request::Costs(batch));
        let reply = reply.map_err(|error| ImportError::Daemon(error.to_string()))?;
        let _kept = reply.wait().map_err(ImportError::Store)?;
    }
    Ok(())
}

fn understand(row: &Cost, now: Timestamp) -> Result<Understood, String> {
    if row.cost < 0 {
        return Err("its cost is below zero".to_owned());
    }
    let currency: Currency =
        row.currency.parse().map_err(|_| format!("{:?} is no currency", row.currency))?;
    let mut params = Params::default();
    row.params.iter().for_each(|(name, value)| params.push(name, value));
    let mut stored = Vec::new();
    params.encode_into(&mut stored);
    let texts = [&*row.campaign, &*row.source, &*row.offer];
    if params.dropped() > 0 || texts.iter().any(|text| text.len() > TEXT_BYTES_MAX) {
        return Err("it has more columns, or longer ones, than can be kept".to_owned());
    }
    Ok(Understood {
        sum: sum(texts, &stored, currency),
        amount: Money { amount: Micros::new(row.cost), currency },
        hours: hours(row.from, row.to, now)?,
        key: Arc::new(CostKey {
            campaign: row.campaign.clone(),
            source: row.source.clone(),
            offer: row.offer.clone(),
            params: stored,
        }),
    })
}

/// Bytes of an id.
const TEXT_BYTES_MAX: usize = 1_024;

/// The hours of its period that have begun, since 1970, UTC.
fn hours(from: i64, to: i64, now: Timestamp) -> Result<Range<i64>, String> {
    let [from, to] = [from, to].map(Timestamp::from_micros);
    if from.micros() < 0 || from > now {
        return Err(format!("its period begins at {from}, which is not in the past"));
    }
    if to <= from {
        return Err(format!("its period ends at {to}, before it begins"));
    }
    let Range { start: first, end } = Cost::hours(from.micros(), to.micros());
    if end - first > HOURS_MAX {
        return Err(format!("its period is longer than {} days", HOURS_MAX / 24));
    }
    Ok(first..end.min(now.hour() + 1))
}

/// An amount by hours: their sum is the amount.
fn spread(amount: i64, hours: &Range<i64>) -> impl Iterator<Item = (i64, i64)> + use<> {
    let (first, count) = (hours.start, (hours.end - hours.start).max(1));
    let (each, rest) = (amount / count, amount % count);
    (0..count).map(move |at| (first + at, each + i64::from(at < rest)))
}

fn sum(texts: [&str; 3], params: &[u8], currency: Currency) -> Sum {
    let mut hash = Sha256::new();
    for text in texts.map(str::as_bytes).into_iter().chain([params]) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update(currency.as_str());
    let all: [u8; 32] = hash.finalize().into();
    let mut sum = Sum::default();
    sum.iter_mut().zip(all).for_each(|(byte, of)| *byte = of);
    sum
}

/// The books of a store that no daemon has, for as long as an import of costs goes.
#[derive(Debug)]
pub struct AloneWithCosts {
    owned: Owned,
    costs: Costs,
}

impl AloneWithCosts {
    /// As `Alone::open`.
    ///
    /// # Errors
    /// As `Alone::open`.
    pub fn open(settings: &Settings, clock: Clock) -> Result<Self, super::ServeError> {
        let owned = Owned::open(settings, clock)?;
        let costs = Costs::load(&Reader::open(owned.store.directory().root()))?;
        Ok(Self { owned, costs })
    }

    /// Ends them in order.
    ///
    /// # Errors
    /// What closing the store says.
    pub fn close(self) -> Result<(), super::ServeError> {
        self.owned.close()
    }
}

impl Sink<Cost> for AloneWithCosts {
    fn take(&mut self, chunk: u64, rows: &[Cost]) -> Result<Taken, ImportError> {
        let (catalog, books) = (self.owned.catalog.load(), self.owned.books.handle());
        let mut rows = rows.to_vec();
        rows.iter_mut().for_each(|row| settle_cost(&catalog, row));
        self.costs.take((chunk, &rows), &books, self.owned.clock.now())
    }

    fn names(&mut self) -> Result<Names, ImportError> {
        Ok(names(&self.owned.catalog.load()))
    }

    fn end(&mut self) -> Result<(), ImportError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_spread_to_the_last_millionth_and_the_first_hours_have_more() {
        for (amount, hours, expected) in [
            (24_000_000, 0..24, vec![1_000_000; 24]),
            (7, 5..8, vec![3, 2, 2]),
            (2, 5..8, vec![1, 1, 0]),
            (0, 5..7, vec![0, 0]),
            (i64::MAX, 5..6, vec![i64::MAX]),
        ] {
            let spread: Vec<(i64, i64)> = spread(amount, &hours).collect();
            assert!(spread.iter().map(|(hour, _)| *hour).eq(hours.clone()), "{hours:?}");
            assert_eq!(spread.iter().map(|(_, cost)| *cost).collect::<Vec<_>>(), expected, "{amount}");
        }
    }

    #[test]
    fn a_period_has_the_hours_that_have_begun() {
        let now = Timestamp::from_micros(100 * HOUR + 1);
        let of = |from: i64, to: i64| hours(from, to, now);
        assert_eq!(of(10 * HOUR, 34 * HOUR), Ok(10..34));
        assert_eq!(of(90 * HOUR, 114 * HOUR), Ok(90..101));
        assert_eq!(of(10 * HOUR + HOUR / 2, 34 * HOUR + HOUR / 2), Ok(10..34));
        assert_eq!(of(10 * HOUR + 1, 10 * HOUR + 2), Ok(10..11));
        for (from, to) in [(101 * HOUR, 102 * HOUR), (5, 5), (-HOUR, HOUR), (0, (HOURS_MAX + 1) * HOUR)] {
            assert!(of(from, to).is_err(), "{from} {to}");
        }
    }
}
