//! Conversions of a file, brought before the owner of the books as if their network had reported them.
//!
//! In: rows. Out: what became of each, once it is on stable storage.
//! Keeps: a row that is in the books is not brought again: what an earlier run has brought is told by the path of its
//! request, a sum over network and row; so the same line counts once, in this file or in any other.
//! Refuses: what a postback would be refused for, but for who calls and how often: whoever may import is the operator.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;

use sha2::{Digest, Sha256};

use crate::apply::claim::{Effect, Request, Submission};
use crate::apply::ledger::{self, Ruling};
use crate::apply::reading::{Mapping, Role};
use crate::apply::start::Books;
use crate::batch::import::{Conversion, ImportError, Sink, Taken};
use crate::clock::{Clock, Timestamp};
use crate::config::Settings;
use crate::event::codec::{Event, Kind, decode};
use crate::event::decision::Verdict;
use crate::event::nearest::missing;
use crate::event::postback::Postback;
use crate::event::{hex, percent_encoded};
use crate::ingest::{self, Catalog};
use crate::store::commit::Reply;
use crate::store::reader::{Cursor, Reader};
use crate::store::{self, Journal, Store};

/// In the place of its method, what a row is kept with.
const IMPORTED: &str = "IMPORT";
/// What its path begins with; then comes the number of the chunk, and the sum over the row.
const PATH: &str = "/import/";
/// Rows that are told from new ones: 50 bytes each.
const KNOWN_MAX: usize = 10_000_000;
/// Rows that wait for the owner of the books at once.
const IN_FLIGHT_MAX: usize = 128;

/// A sum over a network and a row.
type Sum = [u8; 16];

/// What is known of rows that were brought.
#[derive(Debug)]
pub(super) struct Brought {
    /// By which chunk.
    known: HashMap<Sum, u64>,
}

/// What rows are brought with.
pub(super) struct Means<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) store: &'a Store,
    pub(super) books: &'a ledger::Handle,
    pub(super) now: Timestamp,
}

/// A row that the owner of the books was asked about.
type Asked = (usize, Sum, Reply<Ruling>);

impl Brought {
    /// Reads the journal for those that were decided on.
    pub(super) fn load(reader: &Reader) -> Result<Self, store::Error> {
        let (mut known, mut asked) = (HashMap::new(), HashMap::new());
        reader.read(Journal::Postbacks, 0, Cursor::default(), |position, record| {
            let is_either = [Kind::Postback.code(), Kind::Decision.code()].contains(&record.kind);
            match decode(record.kind, record.schema, record.payload) {
                Ok(Event::Postback(postback)) if is_either && postback.method == IMPORTED => {
                    asked.extend(read_path(postback.path).map(|row| (position.to_u64(), row)));
                }
                Ok(Event::Decision(decision)) => {
                    known.extend(asked.remove(&decision.postback).map(|(chunk, sum)| (sum, chunk)));
                }
                _ => {}
            }
            if known.len() < KNOWN_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(Self { known })
    }

    /// Brings a chunk.
    pub(super) fn take(
        &mut self,
        network: &str,
        (chunk, rows): (u64, &[Conversion]),
        means: &Means<'_>,
    ) -> Result<Taken, ImportError> {
        if self.known.len() + rows.len() > KNOWN_MAX {
            return Err(ImportError::Daemon(format!(
                "{KNOWN_MAX} conversions were imported: no more are told apart"
            )));
        }
        let found = means.catalog.network(network);
        let known = || means.catalog.networks().iter().map(|known| &*known.rules.id);
        let found = found.ok_or_else(|| ImportError::Daemon(missing("network", network, known())))?;
        let (mut taken, mut seen) = (Taken::default(), HashSet::new());
        let mut waiting: VecDeque<Asked> = VecDeque::new();
        for (index, row) in rows.iter().enumerate() {
            if !row.network.is_empty() && row.network != network {
                // An export of ours has those of all networks, and this one would be paid for what others pay.
                taken.refused.push((index, format!("it is of the network {:?}", row.network)));
                continue;
            }
            let sum = sum(network, row);
            if let Some(by) = self.known.get(&sum) {
                // An attempt at this very chunk was interrupted after it had brought this row.
                let is_of_this = *by == chunk && seen.insert(sum);
                *if is_of_this { &mut taken.imported } else { &mut taken.known } += 1;
                continue;
            }
            if !seen.insert(sum) {
                taken.known += 1;
                continue;
            }
            let query = query(row, &found.rules.mapping);
            let path = format!("{PATH}{chunk}/{}", hex(&sum));
            let submission = row.happened(means.now).and_then(|time| {
                let postback = Postback {
                    time,
                    network,
                    method: IMPORTED,
                    path: &path,
                    query: &query,
                    ..Postback::default()
                };
                let read = ingest::read_again(means.catalog, &means.store.clicks(), &postback, None);
                read.map_err(|refusal| refusal.text().to_owned())
            });
            match submission {
                Ok(submission) if submission.effect == Effect::Counts => {
                    if waiting.len() >= IN_FLIGHT_MAX {
                        self.settle(chunk, waiting.pop_front(), &mut taken)?;
                    }
                    waiting.push_back((index, sum, submit(means, submission)?));
                }
                Ok(_test) => taken.refused.push((index, "it is a test".to_owned())),
                Err(why) => taken.refused.push((index, why)),
            }
        }
        while !waiting.is_empty() {
            self.settle(chunk, waiting.pop_front(), &mut taken)?;
        }
        Ok(taken)
    }

    /// Waits until a row is on stable storage.
    fn settle(&mut self, chunk: u64, asked: Option<Asked>, taken: &mut Taken) -> Result<(), ImportError> {
        let Some((index, sum, reply)) = asked else { return Ok(()) };
        let ruling = reply.wait().map_err(|error| ImportError::Daemon(error.to_string()))?.into_inner();
        self.known.insert(sum, chunk);
        match ruling.verdict {
            // The network has told of it itself.
            Verdict::Duplicate => taken.known += 1,
            Verdict::Rejected => taken.refused.push((index, ruling.reason.name().to_owned())),
            _ => taken.imported += 1,
        }
        Ok(())
    }
}

fn submit(means: &Means<'_>, submission: Submission) -> Result<Reply<Ruling>, ImportError> {
    let request = Request::Postback(Box::new(submission));
    means.books.submit(request).map_err(|error| ImportError::Daemon(error.to_string()))
}

fn sum(network: &str, row: &Conversion) -> Sum {
    let mut hash = Sha256::new();
    hash.update(network.as_bytes());
    hash.update([0]);
    // Texts and numbers cannot be no JSON.
    hash.update(serde_json::to_vec(row).unwrap_or_default());
    let all: [u8; 32] = hash.finalize().into();
    let mut sum = Sum::default();
    sum.iter_mut().zip(all).for_each(|(byte, of)| *byte = of);
    sum
}

/// Chunk and sum.
fn read_path(path: &str) -> Option<(u64, Sum)> {
    let (chunk, digits) = path.strip_prefix(PATH)?.split_once('/')?;
    let mut sum = Sum::default();
    if digits.len() != 2 * sum.len() {
        return None;
    }
    for (at, byte) in sum.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some((chunk.parse().ok()?, sum))
}

/// As the network would say it, by the first name of each of its parameters.
fn query(row: &Conversion, mapping: &Mapping) -> String {
    let said = [
        (Role::ClickId, &row.click_id),
        (Role::TransactionId, &row.transaction_id),
        (Role::Payout, &row.payout),
        (Role::Currency, &row.currency),
        (Role::Status, &row.status),
        (Role::Event, &row.event),
    ];
    let name = |role| mapping.names(role).first().map(AsRef::<str>::as_ref);
    let said = said.into_iter().filter_map(|(role, text)| Some((name(role)?, text.as_str())));
    let said = said.filter(|(_, text)| !text.is_empty());
    let params = row.params.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let pairs =
        said.chain(params).map(|(name, text)| format!("{}={}", percent_encoded(name), percent_encoded(text)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A store that no daemon has, and its books.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) store: Store,
    pub(super) books: Books,
    pub(super) catalog: std::sync::Arc<arc_swap::ArcSwap<Catalog>>,
    pub(super) clock: Clock,
}

impl Owned {
    /// Opens them; nothing is listened at, and nothing is sent.
    pub(super) fn open(settings: &Settings, clock: Clock) -> Result<Self, super::ServeError> {
        let version = u64::try_from(clock.now().micros()).unwrap_or(0);
        let catalog = settings.load_served(version)?.catalog;
        let store = Store::open(settings.store_options(1, clock.clone()))?;
        let catalog = std::sync::Arc::new(arc_swap::ArcSwap::from_pointee(catalog));
        let rules = std::sync::Arc::new(ingest::CatalogRules::of(&catalog));
        let books =
            crate::apply::start::start(&store, settings.store.transactions_max, rules, clock.clone())?;
        Ok(Self { store, books, catalog, clock })
    }

    /// Ends them in order.
    pub(super) fn close(self) -> Result<(), super::ServeError> {
        self.books.stop();
        Ok(self.store.close()?)
    }
}

/// The books of a store that no daemon has, for as long as an import goes.
#[derive(Debug)]
pub struct Alone {
    owned: Owned,
    network: String,
    brought: Brought,
}

impl Alone {
    /// Opens them; nothing is listened at, and nothing is sent.
    ///
    /// # Errors
    /// What is wrong with the catalog; what opening the store says, `Locked` if a daemon has it.
    pub fn open(settings: &Settings, network: &str, clock: Clock) -> Result<Self, super::ServeError> {
        let owned = Owned::open(settings, clock)?;
        let brought = Brought::load(&Reader::open(owned.store.directory().root()))?;
        Ok(Self { owned, network: network.to_owned(), brought })
    }

    /// Ends them in order.
    ///
    /// # Errors
    /// What closing the store says.
    pub fn close(self) -> Result<(), super::ServeError> {
        self.owned.close()
    }
}

impl Sink<Conversion> for Alone {
    fn take(&mut self, chunk: u64, rows: &[Conversion]) -> Result<Taken, ImportError> {
        let Owned { store, books, catalog, clock } = &self.owned;
        let (catalog, books) = (catalog.load(), books.handle());
        let means = Means { catalog: &catalog, store, books: &books, now: clock.now() };
        self.brought.take(&self.network, (chunk, rows), &means)
    }

    fn end(&mut self) -> Result<(), ImportError> {
        Ok(())
    }
}
