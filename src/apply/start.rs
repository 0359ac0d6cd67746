//! Starting and stopping the owner of the books, and keeping what a start would have to work out.
//!
//! | thread | waits on | does | stops | if it fails |
//! |---|---|---|---|---|
//! | books | its queue, 1 s | decides, syncs, answers | after what is queued | who asks is told |
//! | books-keep | `CHECKPOINT_EVERY` | reads the segments sealed since and writes the dedupe checkpoint | at once | counted; a start takes longer |
//!
//! The checkpoint is made from the journal and not from the table in use, so that nobody waits while a large one is
//! copied; the last one, at a stop, is written from the table itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ledger::{Handle, Ledger, Rulebook};
use super::past::Past;
use crate::clock::Clock;
use crate::metrics::{self, Page};
use crate::shutdown::{Shutdown, Woken};
use crate::store::commit::{self, Limits, Owner};
use crate::store::dedupe::restore::{Restored, restore};
use crate::store::dedupe::{DedupeKey, checkpoint};
use crate::store::directory::Directory;
use crate::store::lane::Lane;
use crate::store::record::BODY_OFFSET;
use crate::store::{Error, Journal, Position, Store};

/// How often the thread looks whether there is something new to keep.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(300);

/// The owner, running.
#[derive(Debug)]
pub struct Books {
    handle: Handle,
    owner: Owner<Ledger>,
    keeper: JoinHandle<()>,
    bell: Shutdown,
    keep: Arc<Keep>,
    replayed: u64,
    refused: Option<String>,
}

/// What a checkpoint is made of, and how the owner stands.
#[derive(Debug)]
struct Keep {
    directory: Directory,
    lane: Arc<Lane>,
    key: DedupeKey,
    transactions_max: usize,
    gauges: Arc<Gauges>,
    failures: AtomicU64,
}

/// Numbers that the owner shows.
#[derive(Debug, Default)]
pub struct Gauges {
    pub(super) transactions: AtomicU64,
    pub(super) transactions_bytes: AtomicU64,
    pub(super) transactions_gone: AtomicU64,
    pub(super) parked: AtomicU64,
}

/// The numbers of the books, for a page of metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Numbers(Arc<Keep>);

/// Restores what is known of transactions and starts the owner.
///
/// # Errors
/// What restoring says; that the journal was given out; that no thread can be started.
pub fn start(
    store: &Store,
    transactions_max: usize,
    rulebook: Arc<dyn Rulebook>,
    clock: Clock,
) -> Result<Books, Error> {
    let no_thread =
        |source| Error::Io { what: "start a thread for", path: store.directory().root().to_owned(), source };
    let (Some(journal), Some(lane)) =
        (store.journal_writer(Journal::Postbacks), store.lane(Journal::Postbacks, 0))
    else {
        return Err(no_thread(io::Error::other("the postbacks journal has an owner")));
    };
    let (directory, key) = (store.directory().clone(), store.dedupe_key().clone());
    let Restored { table, replayed, refused } = restore(&directory, lane, &key, transactions_max)?;
    let gauges = Arc::<Gauges>::default();
    let past = Past::new(table, key.clone(), Arc::clone(lane));
    let ledger = Ledger::new(past, store.clicks(), rulebook, clock.clone(), Arc::clone(&gauges));
    let (handle, owner) =
        commit::start("books", ledger, journal, Limits::default(), clock).map_err(no_thread)?;
    let failures = AtomicU64::new(0);
    let keep = Arc::new(Keep { directory, lane: Arc::clone(lane), key, transactions_max, gauges, failures });
    let bell = Shutdown::default();
    let keeper = std::thread::Builder::new().name("books-keep".to_owned()).spawn({
        let (keep, bell) = (Arc::clone(&keep), bell.clone());
        move || keep.run(&bell)
    });
    let keeper = keeper.map_err(no_thread)?;
    Ok(Books { handle, owner, keeper, bell, keep, replayed, refused })
}

impl Books {
    /// For whoever brings something before it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Decisions that it had to read from the journal when it started, because no checkpoint knew them.
    pub fn replayed(&self) -> u64 {
        self.replayed
    }

    /// Why the checkpoint was left aside when it started, if it was.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Its numbers.
    pub fn numbers(&self) -> Numbers {
        Numbers(Arc::clone(&self.keep))
    }

    /// Lets the owner finish what is queued, ends its journal, and keeps what it knows. Close the store afterwards.
    pub fn stop(self) {
        let Self { handle, owner, keeper, bell, keep, .. } = self;
        bell.trip();
        drop(handle);
        let ledger = owner.stop();
        if let Err(panic) = keeper.join() {
            std::panic::resume_unwind(panic);
        }
        let (table, key) = ledger.transactions();
        // What is not on stable storage is nothing to keep: the next start reads the journal.
        let end = keep.written_end().filter(|end| *end <= keep.lane.synced());
        if let Some(end) = end.filter(|end| table.iter().all(|(_, position)| position < *end)) {
            keep.count(checkpoint::write(&keep.directory.dedupe_checkpoint(), table, key, end).is_ok());
        }
    }
}

impl Keep {
    fn run(&self, bell: &Shutdown) {
        let mut kept = self.sealed_end();
        while bell.pause(CHECKPOINT_EVERY) != Woken::Stopped {
            let end = self.sealed_end();
            if end == kept {
                continue;
            }
            kept = end;
            self.count(self.write());
        }
    }

    /// Writes a checkpoint of all that is sealed; says whether that worked.
    fn write(&self) -> bool {
        // Before the journal is read: what is sealed meanwhile may or may not be in the table, and is read again.
        let Some(end) = self.sealed_end() else { return true };
        let Ok(restored) = restore(&self.directory, &self.lane, &self.key, self.transactions_max) else {
            return false;
        };
        if restored.table.iter().any(|(_, position)| position >= end) {
            return true; // next time
        }
        checkpoint::write(&self.directory.dedupe_checkpoint(), &restored.table, &self.key, end).is_ok()
    }

    /// Where the journal ends, segments that are not sealed yet among it. One that holds nothing will not be there at the
    /// next start.
    fn written_end(&self) -> Option<Position> {
        let view = self.lane.view();
        let last = view.open.iter().rev().find(|open| open.extent().end > BODY_OFFSET);
        last.map(|open| Position::new(open.number(), open.extent().end)).or_else(|| self.sealed_end())
    }

    fn sealed_end(&self) -> Option<Position> {
        let view = self.lane.view();
        let footer = view.sealed.last()?.footer();
        Some(Position::new(footer.identity.segment, footer.summary.end))
    }

    fn count(&self, is_written: bool) {
        self.failures.fetch_add(u64::from(!is_written), Ordering::Relaxed);
    }
}

impl Numbers {
    /// Writes them on a page.
    pub fn write_metrics(&self, page: &mut Page) {
        let Keep { gauges, failures, transactions_max, .. } = &*self.0;
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let samples = [
            (&metrics::TRANSACTIONS, load(&gauges.transactions)),
            (&metrics::TRANSACTIONS_MAX, *transactions_max as u64),
            (&metrics::TRANSACTIONS_BYTES, load(&gauges.transactions_bytes)),
            (&metrics::TRANSACTIONS_GONE, load(&gauges.transactions_gone)),
            (&metrics::POSTBACKS_PARKED, load(&gauges.parked)),
            (&metrics::CHECKPOINT_FAILURES, load(failures)),
        ];
        samples.into_iter().for_each(|(metric, value)| page.sample(metric, &[], value));
    }
}
