//! The thread that brings outcomes to stable storage, and writes checkpoints.
//!
//! Keeps: an outcome is on stable storage within `SYNC_INTERVAL` and what a sync takes: what is repeated after a power cut
//! is what was sent in that time. A checkpoint is written only once the journal that it tells of is.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::shutdown::{Shutdown, Woken};
use crate::store::Position;
use crate::store::directory::write_whole;
use crate::store::lane::Lane;

/// How long an outcome waits for its sync at most.
pub const SYNC_INTERVAL: Duration = Duration::from_millis(50);

/// A checkpoint tells which conversions there were, as positions, and what operators wrote: nobody else needs to read it.
const MODE: u32 = 0o600;

/// What the loop and the thread share.
#[derive(Debug)]
pub(super) struct Keep {
    lane: Arc<Lane>,
    path: PathBuf,
    newest: Mutex<Option<(Vec<u8>, Position)>>,
    failures: AtomicU64,
    /// A start that reads the newest checkpoint needs nothing of the log before this.
    needed: AtomicU64,
}

impl Keep {
    pub(super) fn new(lane: Arc<Lane>, path: PathBuf) -> Self {
        Self { lane, path, newest: Mutex::default(), failures: AtomicU64::new(0), needed: AtomicU64::new(0) }
    }

    /// Has a checkpoint written, by which nothing of the log is needed before `needed`. One that is still waiting is
    /// forgotten for it.
    pub(super) fn put(&self, bytes: Vec<u8>, needed: Position) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some((bytes, needed));
    }

    /// Before this nothing of the log is needed any more, not even by a start.
    pub(super) fn needed(&self) -> Position {
        Position::from_u64(self.needed.load(Ordering::Relaxed)).unwrap_or(Position::START)
    }

    /// How many could not be written.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Runs until it is told to stop, after the loop.
    pub(super) fn run(&self, bell: &Shutdown) {
        loop {
            let woken = bell.pause(SYNC_INTERVAL);
            self.round();
            if woken == Woken::Stopped {
                return;
            }
        }
    }

    fn round(&self) {
        // Taken before the sync: what it tells of was written before it was made.
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A failed sync has poisoned the store, which tells whoever must know.
        if self.lane.sync().is_err() {
            return;
        }
        let Some((bytes, needed)) = newest else { return };
        match write_whole(&self.path, &bytes, MODE) {
            Ok(()) => self.needed.store(needed.to_u64(), Ordering::Relaxed),
            Err(_) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
