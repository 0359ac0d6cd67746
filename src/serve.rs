//! Wiring: every actor started bottom up and stopped top down.
//!
//! | what | runs on | waits on | stops | if it fails |
//! |---|---|---|---|---|
//! | store | its three threads (`store::background`) | bells | last | poison |
//! | books | two threads (`apply::start`) | its queue; the clock | after the edge: what is queued is finished | its waiters get 503 |
//! | dispatcher | two threads (`dispatcher::start`) | decisions on disk, answers | after the books: it drains, then says what it cut off | outcomes that cannot be written stop it from sending |
//! | edge | a thread a worker (`ingest::worker`) | connections | first: it drains | the stop says what a worker ended with |
//! | compactor | one thread (`compactor::run`) | segments that are sealed; the clock | told first, awaited before the store | what is not published waits; a log line, a counter |
//! | forgetting | one thread (`compactor::forget`) | erasures; the clock | told first, awaited before the store | what is due waits; a log line, a counter |
//! | admin | one thread | connections | before the store | requests of operators go unanswered |
//! | signals | the caller's thread | SIGHUP, SIGTERM, SIGINT | with `run` | |
//! | poison watch | one thread | the store's poison | with the store | |
//!
//! A stop: not ready, announced for `edge.announce_time`; no new connections; those that are there drain; the lanes are
//! given up, synced and sealed. A second signal ends the process where it stands, which costs a recovery, not a click.

mod brought;
mod compaction;
mod costs;
mod made_up;
mod operations;
mod replay;
mod signals;
mod token;
mod would_tell;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

pub use brought::Alone;
pub use costs::AloneWithCosts;
pub use signals::{Ended, run};
pub use token::FILE as TOKEN_FILE;

use crate::admin::{self, Admin};
use crate::apply;
use crate::apply::start::Books;
use crate::clock::Clock;
use crate::config::{self, Problems, Settings};
use crate::dispatcher;
use crate::dispatcher::start::Dispatcher;
use crate::ingest::{self, Edge};
use crate::store::Progress;
use crate::store::recovery::Report;
use crate::store::{self, Store};
use compaction::{Beside, Compaction};
use operations::State;

/// How the settings are loaded, at the start and at every reload: all flags and files are looked at again.
pub type Source = Box<dyn Fn() -> Result<Settings, Problems> + Send + Sync>;

/// Why there is no daemon, or why it did not stop well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Settings, lists or catalog.
    #[error("{0}")]
    Configuration(#[from] Problems),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The dispatcher.
    #[error("the dispatcher: {0}")]
    Dispatcher(#[from] dispatcher::start::StartError),
    /// A socket, a thread, a file.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A sync failed while it ran: everything that was answered is on disk, and the next start recovers it.
    #[error("stopped because the store cannot be written any more: {0}")]
    Poisoned(String),
}

/// Everything, running.
#[derive(Debug)]
pub struct Daemon {
    settings: Settings,
    edge: Edge,
    books: Books,
    dispatcher: Option<Dispatcher>,
    compaction: Compaction,
    admin: Admin,
    state: Arc<State>,
    token_file: Option<std::path::PathBuf>,
    clock: Clock,
}

fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> ServeError {
    let what = what.into();
    move |source| ServeError::System { what, source }
}

/// Starts everything. `progress` is told of each segment of the store that is opened.
///
/// # Errors
/// Whatever keeps one of the actors from starting; then none is left running.
pub fn start(source: Source, clock: Clock, progress: Progress<'_>) -> Result<Daemon, ServeError> {
    let settings = source()?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = settings.workers(processors);
    // What can be wrong with files is looked at before anything is opened.
    let version = u64::try_from(clock.now().micros()).unwrap_or(0);
    let config::Served { catalog, destinations, lists } = settings.load_served(version)?;
    let given_token = settings.admin_token(&config::environment)?;
    let store = Arc::new(Store::open_with(settings.store_options(workers, clock.clone()), progress)?);
    let (token, token_file) = match given_token {
        Some(secret) => (admin::Token::new(secret.reveal()), None),
        None => {
            let path = store.directory().root().join(token::FILE);
            let token = token::keep(&path).map_err(system(format!("keep {}", path.display())))?;
            (token, Some(path))
        }
    };
    let catalog = Arc::new(ArcSwap::from_pointee(catalog));
    let lists = Arc::new(ArcSwap::from_pointee(lists));
    let destinations = Arc::new(ArcSwap::from_pointee(destinations));
    let options = settings.edge_options(workers);
    let rules = Arc::new(ingest::CatalogRules::of(&catalog));
    let books = apply::start::start(&store, settings.store.transactions_max, rules, clock.clone())?;
    if let Some(why) = books.refused() {
        tracing::warn!("the transactions were read from the journal, {} of them: {why}", books.replayed());
    }
    let dispatcher = match settings.dispatcher_options(clock.clone()) {
        Some(options) => {
            Some(dispatcher::start::start(&store, Arc::clone(&destinations), options, clock.clone())?)
        }
        None => None,
    };
    if let Some(why) = dispatcher.as_ref().and_then(Dispatcher::refused) {
        tracing::warn!("how far destinations have come was read from the journal: {why}");
    }
    let served = (Arc::clone(&catalog), Arc::clone(&lists));
    let edge = ingest::start(options, &store, served.0, served.1, books.handle(), clock.clone());
    let edge = edge.map_err(system(format!("listen at {}", shown(&settings))))?;
    let beside = Beside {
        edge: edge.handle(),
        dispatcher: dispatcher.as_ref().map(Dispatcher::handle),
        catalog: Arc::clone(&catalog),
    };
    let compaction = Compaction::start(&settings, &store, beside, clock.clone());
    let compaction = compaction.map_err(system("start a thread for the compactor"))?;
    let served = operations::Swaps { catalog, lists, destinations };
    let actors = operations::Actors {
        edge: edge.handle(),
        books: books.handle(),
        numbers: books.numbers(),
        dispatcher: dispatcher.as_ref().map(Dispatcher::handle),
        compaction: compaction.handle(),
    };
    let state = State::new(source, settings.clone(), served, actors, store, clock.clone());
    let state = Arc::new(state);
    let options =
        admin::Options { address: settings.admin.listen, hosts: settings.admin.hosts.clone(), token };
    let admin = admin::start(options, Arc::clone(&state) as Arc<dyn admin::Operations>);
    let admin = admin.map_err(system(format!("listen at {}", settings.admin.listen)))?;
    Ok(Daemon { settings, edge, books, dispatcher, compaction, admin, state, token_file, clock })
}

fn shown(settings: &Settings) -> String {
    let addresses: Vec<String> =
        settings.edge.listen.iter().map(|listen| listen.address.to_string()).collect();
    addresses.join(", ")
}

impl Daemon {
    /// What it was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where visitors come in.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.edge.addresses()
    }

    /// Where operators come in.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The file that holds the admin token, if one was made.
    pub fn token_file(&self) -> Option<&std::path::Path> {
        self.token_file.as_deref()
    }

    /// What the edge can tell.
    pub fn edge(&self) -> ingest::Handle {
        self.edge.handle()
    }

    /// What the store found when it was opened.
    pub fn report(&self) -> &Report {
        self.state.store().report()
    }

    /// The catalog in use.
    pub fn catalog(&self) -> Arc<ingest::Catalog> {
        self.state.catalog()
    }

    /// Loads catalog and lists again, all or nothing; what there is now.
    ///
    /// # Errors
    /// All that is wrong with them; then nothing has changed.
    pub fn reload(&self) -> Result<String, Problems> {
        self.state.reload()
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// Stops everything, in order.
    ///
    /// # Errors
    /// What a worker ended with, or the store; or that it was poisoned.
    pub fn stop(self) -> Result<(), ServeError> {
        let Self { settings, edge, books, dispatcher, compaction, admin, state, clock, .. } = self;
        state.announce();
        compaction.announce();
        if state.store().poison().cause().is_none() {
            wait(&clock, settings.edge.announce_time);
        }
        let drained = edge.stop();
        admin.stop();
        books.stop();
        dispatcher.into_iter().for_each(Dispatcher::stop);
        compaction.stop();
        let poisoned = state.store().poison().cause().map(str::to_owned);
        // Whoever still answers an operator holds on to the store; then the next start seals what this one cannot.
        let closed = match Arc::into_inner(state).and_then(State::into_store) {
            Some(store) => store.close(),
            None => Ok(()),
        };
        match poisoned {
            Some(cause) => Err(ServeError::Poisoned(cause)),
            None => drained.map_err(system("drain the edge")).and(closed.map_err(ServeError::from)),
        }
    }
}

/// Sleeps for so long by this clock.
fn wait(clock: &Clock, time: Duration) {
    let end = clock.monotonic() + time;
    loop {
        let left = end.saturating_sub(clock.monotonic());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(clock.nap(left));
    }
}
