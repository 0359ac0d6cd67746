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
//! | ACME | one thread (`serve::acme`), where a listener shows what an authority gives | the clock; the authority | before the edge | a log line, a counter; what is shown stays |
//! | certificates | one thread (`serve::certificates`), with TLS only | the clock | before the edge | what cannot be taken is told; what was shown stays |
//! | admin | one thread | connections | before the store | requests of operators go unanswered |
//! | signals | the caller's thread | SIGHUP, SIGTERM, SIGINT | with `run` | |
//! | watchdog | one thread, if the supervisor waits for a sign of life | half of its time | last | the supervisor ends the process |
//! | poison watch | one thread | the store's poison | with the store | |
//!
//! A stop: not ready, announced for `edge.announce_time`; no new connections; those that are there drain; the lanes are
//! given up, synced and sealed. A second signal ends the process where it stands, which costs a recovery, not a click.

#[cfg(feature = "acme")]
mod acme;
mod aliases;
mod brought;
mod certificates;
mod compaction;
mod costs;
mod inherited;
pub mod links;
mod made_up;
mod operations;
mod replay;
mod signals;
mod supervisor;
mod token;
mod watch;
mod would_tell;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

pub use aliases::{AloneWithClicks, campaign_names};
pub use brought::Alone;
pub use costs::AloneWithCosts;
pub use inherited::{Inherited, SocketError};
pub use signals::{Ended, run};
pub use supervisor::Supervisor;
pub use token::FILE as TOKEN_FILE;

use crate::admin::{self, Admin, Operations};
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
use certificates::Certificates;
use compaction::{Beside, Compaction};
use operations::State;
use supervisor::Recovery;
use watch::{Pulse, Watch};

/// How the settings are loaded, at the start and at every reload: all flags and files are looked at again.
pub type Source = Box<dyn Fn() -> Result<Settings, Problems> + Send + Sync>;

/// Why there is no daemon, or why it did not stop well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Settings, lists or catalog.
    #[error(transparent)]
    Configuration(#[from] Problems),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The dispatcher.
    #[error("cannot start the dispatcher")]
    Dispatcher(#[from] dispatcher::start::StartError),
    /// A socket that was inherited.
    #[error(transparent)]
    Inherited(#[from] SocketError),
    /// An import has no lane to write to.
    #[error("the store has no lane for imports")]
    NoLane,
    /// A socket, a thread, a file.
    #[error("cannot {what}")]
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
    certificates: Certificates,
    #[cfg(feature = "acme")]
    acme: acme::Acme,
    admin: Admin,
    state: Arc<State>,
    token_file: Option<std::path::PathBuf>,
    clock: Clock,
    supervisor: Arc<Supervisor>,
    watch: Watch,
}

/// What the process was started with, beside its settings.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Sockets that are open already.
    pub sockets: Vec<Inherited>,
    /// Whoever wants to know how it is.
    pub supervisor: Supervisor,
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
    start_in(Surroundings::default(), source, clock, progress)
}

/// As `start`, on sockets that are open already where there are any; the supervisor is told how far it is.
///
/// # Errors
/// As `start`; a socket that is of no listener.
pub fn start_in(
    surroundings: Surroundings,
    source: Source,
    clock: Clock,
    progress: Progress<'_>,
) -> Result<Daemon, ServeError> {
    let Surroundings { sockets, supervisor } = surroundings;
    let supervisor = Arc::new(supervisor);
    let mut told = Recovery::new(&supervisor, clock.clone());
    let progress = &mut |done, of| {
        told.opened(done, of);
        progress(done, of);
    };
    let settings = source()?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = settings.workers(processors);
    // What can be wrong with files is looked at before anything is opened.
    let version = u64::try_from(clock.now().micros()).unwrap_or(0);
    let config::Served { catalog, destinations, lists } = settings.load_served(version)?;
    let certificates = certificates::load(config::certificates::Places::of(&settings))?;
    #[cfg(feature = "acme")]
    let authority = settings.authority()?;
    let given_token = settings.admin_token(&config::environment)?;
    let store = Arc::new(Store::open_with(settings.store_options(workers, clock.clone()), progress)?);
    let (token, token_file) = match given_token {
        Some(secret) => {
            token::warning(secret.reveal()).iter().for_each(|warning| tracing::warn!("{warning}"));
            (admin::Token::new(secret.reveal()), None)
        }
        None => {
            let path = store.directory().root().join(token::FILE);
            let token = token::keep(&path).map_err(system(format!("keep {}", path.display())))?;
            (token, Some(path))
        }
    };
    let mut options = settings.edge_options(workers);
    let mut admin_options = admin::Options {
        address: settings.admin.listen,
        inherited: None,
        hosts: settings.admin.hosts.clone(),
        token,
    };
    inherited::share_out(sockets, &mut options.listeners, &mut admin_options)?;
    let catalog = Arc::new(ArcSwap::from_pointee(catalog));
    let lists = Arc::new(ArcSwap::from_pointee(lists));
    let destinations = Arc::new(ArcSwap::from_pointee(destinations));
    supervisor.starting("reading transactions");
    certificates::dress(&mut options, &certificates, &clock).map_err(system("use TLS"))?;
    let rules = Arc::new(ingest::CatalogRules::of(&catalog));
    let books = apply::start::start(&store, settings.store.transactions_max, rules, clock.clone())?;
    if let Some(why) = books.refused() {
        tracing::warn!("the transactions were read from the journal, {} of them: {why}", books.replayed());
    }
    supervisor.starting("reading deliveries");
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
    #[cfg(feature = "acme")]
    let challenges = options.challenges.clone();
    let edge = ingest::start(options, &store, served.0, served.1, books.handle(), clock.clone());
    let edge = edge.map_err(system(format!("listen at {}", shown(&settings))))?;
    // What ends segments is made of all that is started here, and so it comes last.
    let rolls = Arc::new(OnceLock::<Weak<State>>::new());
    let roll = {
        let rolls = Arc::clone(&rolls);
        move || rolls.get().and_then(Weak::upgrade).into_iter().for_each(|state| drop(state.roll()))
    };
    let beside = Beside {
        edge: edge.handle(),
        dispatcher: dispatcher.as_ref().map(Dispatcher::handle),
        catalog: Arc::clone(&catalog),
        roll: Box::new(roll),
    };
    let compaction = Compaction::start(&settings, &store, beside, clock.clone());
    let compaction = compaction.map_err(system("start a thread for the compactor"))?;
    let certificates = Certificates::start(certificates, edge.handle(), clock.clone());
    let certificates = certificates.map_err(system("start a thread for certificates"))?;
    #[cfg(feature = "acme")]
    let acme = {
        let certificates = certificates.handle();
        let ways = acme::ways(&settings.edge.listen);
        let parts = acme::Parts { authority, challenges, ways, certificates, clock: clock.clone() };
        acme::Acme::start(parts).map_err(system("start a thread for ACME"))?
    };
    let served = operations::Swaps { catalog, lists, destinations };
    let pulses = pulses(&edge, &books, &store);
    let actors = operations::Actors {
        edge: edge.handle(),
        books: books.handle(),
        numbers: books.numbers(),
        dispatcher: dispatcher.as_ref().map(Dispatcher::handle),
        compaction: compaction.handle(),
        certificates: certificates.handle(),
        #[cfg(feature = "acme")]
        acme: acme.handle(),
        addresses: edge.addresses().to_vec(),
    };
    let state = State::new(source, settings.clone(), served, actors, store, clock.clone());
    let state = Arc::new(state);
    let _first = rolls.set(Arc::downgrade(&state));
    let admin = admin::start(admin_options, Arc::clone(&state) as Arc<dyn Operations>);
    let admin = admin.map_err(system(format!("listen at {}", settings.admin.listen)))?;
    let limit = supervisor.watchdog();
    let warning = limit.and_then(|limit| watch::warning(limit, settings.store.click_sync_interval));
    warning.iter().for_each(|warning| tracing::warn!("{warning}"));
    let watch = Watch::start(Arc::clone(&supervisor), pulses, clock.clone());
    let watch = watch.map_err(system("start a thread for the watchdog"))?;
    Ok(Daemon {
        settings,
        edge,
        books,
        dispatcher,
        compaction,
        certificates,
        #[cfg(feature = "acme")]
        acme,
        admin,
        state,
        token_file,
        clock,
        supervisor,
        watch,
    })
}

/// What moves while requests are taken and written.
fn pulses(edge: &Edge, books: &Books, store: &Store) -> Vec<Pulse> {
    let edge = edge.handle().beats().into_iter();
    let mut pulses: Vec<Pulse> = edge.map(|(name, beats)| Pulse::new(name, beats)).collect();
    pulses.push(Pulse::new("books", Arc::clone(books.handle().beats())));
    pulses.push(Pulse::new("sync", Arc::clone(&store.counters().sync_rounds)));
    pulses
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
        let Self {
            settings,
            edge,
            books,
            dispatcher,
            compaction,
            certificates,
            #[cfg(feature = "acme")]
            acme,
            admin,
            state,
            clock,
            supervisor,
            watch,
            ..
        } = self;
        state.announce();
        supervisor.stopping();
        watch.leave();
        compaction.announce();
        if state.store().poison().cause().is_none() {
            wait(&clock, settings.edge.announce_time);
        }
        #[cfg(feature = "acme")]
        acme.stop();
        certificates.stop();
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
        watch.stop();
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
