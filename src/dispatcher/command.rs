//! What operators ask of the dispatcher, and what they are told.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde::Serialize;

use crate::store::Position;

/// How long an operator waits for an answer: the loop has none of its own work that takes as long.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) enum Command {
    /// How all destinations stand.
    List(Answer<Vec<DestinationState>>),
    /// Send nothing more to this one. Answers whether it is known.
    Pause {
        /// Its id.
        destination: String,
        /// Why, for whoever looks later.
        why: String,
        /// Whether there is such a one.
        reply: Answer<bool>,
    },
    /// Go on with this one.
    Resume {
        /// Its id.
        destination: String,
        /// Whether there is such a one.
        reply: Answer<bool>,
    },
    /// Attempt these again, which have ended.
    Reopen {
        /// By destination and the place of the decision.
        deliveries: Vec<(String, Position)>,
        /// What became of that.
        reply: Answer<Reopenings>,
    },
    /// Go by the catalog that is served now. Answers once it does.
    Reload(Answer<()>),
    /// Begin a new segment of the journal.
    Roll,
    /// End.
    Stop,
}

/// Where an answer is given.
#[derive(Debug)]
pub(super) struct Answer<T>(SyncSender<T>);

/// Where it is waited for.
#[derive(Debug)]
pub(super) struct Asked<T>(Receiver<T>);

/// A question's two ends.
pub(super) fn question<T>() -> (Answer<T>, Asked<T>) {
    let (give, take) = sync_channel(1);
    (Answer(give), Asked(take))
}

impl<T> Answer<T> {
    pub(super) fn give(self, answer: T) {
        // Whoever asked may have gone.
        let _gone = self.0.try_send(answer);
    }
}

impl<T> Asked<T> {
    /// The answer; nothing if there is none in time.
    pub(super) fn wait(self) -> Option<T> {
        self.0.recv_timeout(ANSWER_WITHIN).ok()
    }
}

/// How one destination stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DestinationState {
    /// Its id.
    pub destination: String,
    /// `active`, `paused`, `failing` (its breaker is open), or `absent` (the catalog does not name it).
    pub state: &'static str,
    /// Why it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Deliveries in memory that are due.
    pub ready: usize,
    /// Deliveries in memory that wait for a moment.
    pub waiting: usize,
    /// Attempts that are being made.
    pub in_flight: usize,
    /// Whether there is more in the log that it has not been told.
    pub is_behind: bool,
    /// Bytes of the log, decisions for others among them, that it is behind.
    pub behind_bytes: u64,
    /// For how many seconds the oldest of those in memory has been due.
    pub oldest_seconds: u64,
    /// How many attempts it is given at once.
    pub concurrency: u32,
}

/// What became of deliveries that were to be attempted again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reopenings {
    /// So many are.
    pub opened: u32,
    /// So many are open anyway, cannot be read, or the catalog does not name their destination.
    pub not_opened: u32,
}
