//! Starting and stopping the dispatcher.
//!
//! | thread | waits on | does | stops | if it fails |
//! |---|---|---|---|---|
//! | dispatcher | its loop (`run`) | follows decisions, makes requests | after a drain | with the process |
//! | dispatcher-keep | `SYNC_INTERVAL` | syncs outcomes, writes checkpoints | after the dispatcher | counted; a start takes longer |

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::process::setpriority_process;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::attempt::{Snapshot, TokenMasks, Tools};
use super::client::{self, ClientError, Clients};
use super::command::{Command, DestinationState, Reopenings, question};
use super::desk::{self, Desk};
use super::destinations::Destinations;
use super::follow::{decision, written_end};
use super::journal::Outcomes;
use super::keeper::Keep;
use super::restore::restore;
use super::run::{Loop, State};
use super::schedule::Seed;
use super::tally::Tally;
use super::token::Tokens;
use crate::clock::Clock;
use crate::metrics::{self, Page};
use crate::shutdown::Shutdown;
use crate::store::{Error, Journal, Position, Store};

/// Questions of operators that may wait.
const COMMANDS_MAX: usize = 64;

/// How far the dispatcher stands back.
const NICE: i32 = 10;

/// What spreads retries: no secret, and the same for all, so that a restart comes to the same times.
const SEED: Seed = Seed(0x636c_6963_6b6c_6f67, 0x6469_7370_6174_6368);

/// How it is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Attempts at once over all, besides one for each destination.
    pub attempts_max: u32,
    /// Attempts at once of one host, unless the catalog says otherwise.
    pub attempts_per_host_max: u32,
    /// How long a stop waits for attempts.
    pub drain: Duration,
    /// How connections are made.
    pub client: client::Options,
}

/// Why there is no dispatcher.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] Error),
    /// Certificates or proxies.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A thread.
    #[error("cannot start a thread")]
    Thread(#[from] io::Error),
}

/// Nobody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Too many ask at once.
    #[error("too many questions wait for the dispatcher")]
    Busy,
    /// It has stopped, or is at work for too long.
    #[error("the dispatcher does not answer")]
    Gone,
}

/// The dispatcher, running.
#[derive(Debug)]
pub struct Dispatcher {
    handle: Handle,
    thread: JoinHandle<()>,
    keeper: JoinHandle<()>,
    bell: Shutdown,
    replayed: u64,
    refused: Option<String>,
}

/// For whoever asks something of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    tally: Arc<Tally>,
    unwritten: Arc<AtomicU64>,
    keep: Arc<Keep>,
}

/// Restores what was known and starts it. Restoring without a checkpoint reads the whole journal of deliveries.
///
/// # Errors
/// What restoring says; that the journal was given out; certificates, threads.
pub fn start(
    store: &Store,
    served: Arc<ArcSwap<Destinations>>,
    options: Options,
    clock: Clock,
) -> Result<Dispatcher, StartError> {
    let taken = || io::Error::other("the journal of deliveries has an owner");
    let writer = store.journal_writer(Journal::Deliveries).ok_or_else(taken)?;
    let lane = Arc::clone(store.lane(Journal::Postbacks, 0).ok_or_else(taken)?);
    let path = store.directory().dispatcher_checkpoint();
    let checkpoint = std::fs::read(&path).ok();
    let restored = restore(checkpoint.as_deref(), &writer.lane().view())?;
    let (replayed, refused) = (restored.replayed, restored.refused.clone());
    let unwritten = Arc::<AtomicU64>::default();
    let keep = Arc::new(Keep::new(Arc::clone(writer.lane()), path));
    let mut log = Outcomes::new(writer, Arc::clone(&unwritten));
    let all = served.load_full();
    let view = Arc::clone(&lane.view());
    let (end, now) = (written_end(&view), clock.now());
    let limits = desk::Options {
        attempts_max: options.attempts_max,
        attempts_per_host_max: options.attempts_per_host_max,
        seed: SEED,
    };
    let mut desk = Desk::new(limits, restored.head.unwrap_or(end).min(end));
    desk.remember(restored, &all, &|at: Position| decision(&view, at), now, &mut log);
    desk.set_destinations(&all, end, now, &mut log);
    // What the machine's certificates are is found out here, where somebody can be told.
    let clients = Clients::new(options.client.clone())?;
    let (commands, told) = mpsc::channel(COMMANDS_MAX);
    let (bell, tally) = (Shutdown::default(), Arc::clone(&desk.tally));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let keeper = std::thread::Builder::new().name("dispatcher-keep".to_owned()).spawn({
        let (keep, bell) = (Arc::clone(&keep), bell.clone());
        move || keep.run(&bell)
    })?;
    let thread = std::thread::Builder::new().name("dispatcher".to_owned()).spawn({
        let (keep, drain) = (Arc::clone(&keep), options.drain);
        move || {
            stand_back();
            let tokens = Tokens::new(clock.clone());
            let token_masks = TokenMasks::default();
            let tools = Rc::new(Tools { clients, tokens, lane, clock, token_masks });
            let snapshot = Rc::new(Snapshot::of(all));
            let state = State::default();
            let run = Loop { desk, log, tools, snapshot, served, commands: told, keep, drain, state };
            LocalSet::new().block_on(&runtime, run.run());
        }
    })?;
    let handle = Handle { commands, tally, unwritten, keep };
    Ok(Dispatcher { handle, thread, keeper, bell, replayed, refused })
}

impl Dispatcher {
    /// For whoever asks something of it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Records that it had to read from the journal when it started.
    pub fn replayed(&self) -> u64 {
        self.replayed
    }

    /// Why the checkpoint was left aside when it started, if it was.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Lets attempts end for a while, keeps what it knows, and ends its journal. Close the store afterwards.
    pub fn stop(self) {
        let Self { handle, thread, keeper, bell, .. } = self;
        // A queue that is full is being worked off; a loop that is gone needs no word.
        let mut word = Command::Stop;
        while let Err(mpsc::error::TrySendError::Full(back)) = handle.commands.try_send(word) {
            word = back;
            std::thread::yield_now();
        }
        join(thread);
        bell.trip();
        join(keeper);
    }
}

/// Lets whoever answers visitors go first: a redirect that is late is a visitor lost, a delivery that is late is not. It gets
/// a tenth of a processor that both want, and all that nobody wants.
fn stand_back() {
    // Where the system does not allow it, both get the same.
    let _as_before = setpriority_process(None, NICE);
}

fn join(thread: JoinHandle<()>) {
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

impl Handle {
    /// How all destinations stand, by their ids.
    ///
    /// # Errors
    /// `Unanswered`.
    pub fn list(&self) -> Result<Vec<DestinationState>, Unanswered> {
        let (answer, asked) = question();
        self.ask(Command::List(answer))?;
        asked.wait().ok_or(Unanswered::Gone)
    }

    /// Sends nothing more to a destination. Says whether it is known.
    ///
    /// # Errors
    /// `Unanswered`.
    pub fn pause(&self, destination: &str, why: &str) -> Result<bool, Unanswered> {
        let (reply, asked) = question();
        let (destination, why) = (destination.to_owned(), why.to_owned());
        self.ask(Command::Pause { destination, why, reply })?;
        asked.wait().ok_or(Unanswered::Gone)
    }

    /// Goes on with a destination. Says whether it is known.
    ///
    /// # Errors
    /// `Unanswered`.
    pub fn resume(&self, destination: &str) -> Result<bool, Unanswered> {
        let (reply, asked) = question();
        self.ask(Command::Resume { destination: destination.to_owned(), reply })?;
        asked.wait().ok_or(Unanswered::Gone)
    }

    /// Attempts deliveries again that have ended. While it looks them up it does nothing else: a thousand at once is enough.
    ///
    /// # Errors
    /// `Unanswered`.
    pub fn reopen(&self, deliveries: Vec<(String, Position)>) -> Result<Reopenings, Unanswered> {
        let (reply, asked) = question();
        self.ask(Command::Reopen { deliveries, reply })?;
        asked.wait().ok_or(Unanswered::Gone)
    }

    /// Has the destinations that are served now taken; then those that are new hear of what is decided from now on.
    ///
    /// # Errors
    /// `Unanswered`.
    pub fn reload(&self) -> Result<(), Unanswered> {
        let (reply, asked) = question();
        self.ask(Command::Reload(reply))?;
        asked.wait().ok_or(Unanswered::Gone)
    }

    /// Begins a new segment of the journal of deliveries.
    pub fn roll(&self) {
        let _asked = self.ask(Command::Roll);
    }

    /// What it counts.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Outcomes that could not be written yet; while there are any, nothing more is sent.
    pub fn not_kept(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// Before this it needs nothing of the log of decisions any more, not even after a start.
    pub fn needed(&self) -> Position {
        self.keep.needed()
    }

    /// Writes its numbers on a page.
    pub fn write_metrics(&self, page: &mut Page) {
        self.tally.write_metrics(page);
        page.sample(&metrics::DELIVERY_NOT_KEPT, &[], self.not_kept());
        page.sample(&metrics::DELIVERY_CHECKPOINT_FAILURES, &[], self.keep.failures());
    }

    fn ask(&self, command: Command) -> Result<(), Unanswered> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unanswered::Busy,
            mpsc::error::TrySendError::Closed(_) => Unanswered::Gone,
        })
    }
}
