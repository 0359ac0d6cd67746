//! The three threads of a store.
//!
//! | thread | waits on | does | stops | if it fails |
//! |---|---|---|---|---|
//! | prepare | its bell, 1 s; on a full disk `FULL_PAUSE` | makes the next segment of each lane, faults pages in, watches the room | after the sync thread | full disk: the lane has no room until there is some; else poison |
//! | sync | its bell, the sync interval | syncs every lane of clicks | after a last round | poison |
//! | seal | its bell, 1 s | seals what is retired and synced | when nothing is left to seal | full disk: gives up the reserve, tries again; else poison |
//!
//! Keeps: nothing here is on the road of a request; where processors are short, preparing and sealing wait for requests.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::setpriority_process;

use super::Journal;
use super::directory::Directory;
use super::erasures::Hidden;
use super::error::Result;
use super::error::described;
use super::lane::{Bells, Lane};
use super::layout::Identity;
use super::manifest::{ManifestFile, State};
use super::options::Options;
use super::poison::Poison;
use super::rewrite::Replaced;
use super::segment::{Appender, Plan, Retired, prepare};
use super::space::{FULL_PAUSE, Reserve, Room};
use crate::shutdown::Woken;

/// How often a thread looks around without being rung for.
const IDLE: Duration = Duration::from_secs(1);

/// What the threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) directory: Directory,
    /// Lanes that are written to.
    pub(super) lanes: Vec<Arc<Lane>>,
    /// Those, and lanes of earlier settings that are only read.
    pub(super) all_lanes: Vec<Arc<Lane>>,
    pub(super) manifest: Mutex<ManifestFile>,
    pub(super) poison: Poison,
    pub(super) bells: Bells,
    pub(super) room: AtomicU8,
    /// The version of the key that click ids are made with until the next start.
    pub(super) click_key: u8,
    pub(super) counters: Counters,
    /// Files that were replaced or dropped, and may still be read. Held for as long as a rewrite takes.
    pub(super) replaced: Mutex<Replaced>,
    /// What was asked to be forgotten.
    pub(super) hidden: Arc<Hidden>,
}

/// What happened in the background since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Segments made ready.
    pub prepared: AtomicU64,
    /// Segments sealed.
    pub sealed: AtomicU64,
    /// Times that a segment could not be made because the disk was full.
    pub full: AtomicU64,
    /// How often the clicks were synced, idle or not; stands still only where a sync does.
    pub sync_rounds: Arc<AtomicU64>,
    /// Bytes free when last looked.
    pub free_bytes: AtomicU64,
}

/// Whether the disk had room for what was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Roomy {
    Yes,
    No,
}

impl Shared {
    pub(super) fn manifest(&self) -> MutexGuard<'_, ManifestFile> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn room(&self) -> Room {
        Room::from_code(self.room.load(Ordering::Relaxed))
    }

    fn reserve(&self) -> Reserve {
        Reserve::new(&self.directory, self.options.marks.reserve_bytes)
    }

    /// Looks how much room there is, and holds the reserve while there is plenty.
    pub(super) fn watch_room(&self) {
        match self.options.disk.free_bytes(&self.directory) {
            Ok(free) => {
                self.counters.free_bytes.store(free, Ordering::Relaxed);
                self.room.store(self.options.marks.judge(free) as u8, Ordering::Relaxed);
                // Not being able to set room aside is no failure; the marks tell of it.
                let _not_taken = self.reserve().take(free);
            }
            Err(error) => self.poison.throw(described(&error)),
        }
    }

    /// Makes the next segment of every lane that has none. Says whether there was room.
    pub(super) fn prepare_missing(&self) -> Roomy {
        let mut roomy = Roomy::Yes;
        for lane in &self.lanes {
            // Each is tried: a lane of shorter segments may find room where another does not.
            if lane.is_wanted()
                && !lane.has_next()
                && self.poison.cause().is_none()
                && self.judge(self.prepare_one(lane)) == Roomy::No
            {
                roomy = Roomy::No;
            }
        }
        roomy
    }

    fn prepare_one(&self, lane: &Lane) -> Result<()> {
        let (journal, number) = (lane.journal(), lane.number());
        let (segment, store, node) = {
            let mut manifest = self.manifest();
            let segment = match manifest.current().reserved(journal, number) {
                // A full disk is tried again and again: with one id, not with one for each try.
                Some(segment) => segment,
                None => manifest.update(|manifest| manifest.reserve(journal, number))?,
            };
            (segment, manifest.current().store, manifest.current().node)
        };
        let plan = Plan {
            identity: Identity { store, journal, node, lane: number, segment, generation: 0 },
            segment_bytes: self.options.segment_bytes(journal),
            created: self.options.clock.now(),
            click_key: self.click_key,
        };
        let prepared = prepare(&self.directory, &self.options.disk, &plan)?;
        if let Err(error) = self.make_usable(&prepared) {
            // The next try makes the file anew. If it is still there, that fails, and a restart removes it.
            let _gone = prepared.retire().discard();
            return Err(error);
        }
        lane.put_next(prepared);
        self.counters.prepared.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn make_usable(&self, prepared: &Appender) -> Result<()> {
        let segment = prepared.segment();
        let window_bytes = self.options.populate_ahead(segment.journal());
        segment.populate(super::record::BODY_OFFSET, window_bytes)?;
        let Identity { journal, lane, segment, .. } = *segment.identity();
        self.manifest().update(|manifest| {
            manifest.set(journal, lane, segment, State::Open);
            Ok(())
        })
    }

    /// Seals everything that can be sealed now.
    pub(super) fn seal_ready(&self) {
        for lane in &self.lanes {
            while self.poison.cause().is_none()
                && let Some(mut retired) = lane.take_sealable()
            {
                let sealed = self.seal_one(lane, &mut retired);
                let is_stopped = sealed.is_err();
                self.judge(sealed);
                if is_stopped {
                    // On a full disk it waits for room, and the later ones of the lane behind it.
                    lane.put_sealable(retired);
                    break;
                }
            }
        }
    }

    fn seal_one(&self, lane: &Lane, retired: &mut Retired) -> Result<()> {
        let number = retired.segment().number();
        let (journal, lane_number) = (lane.journal(), lane.number());
        if retired.is_empty() {
            retired.discard()?;
            lane.hide(number);
            return self.manifest().update(|manifest| {
                manifest.forget(journal, lane_number, number);
                Ok(())
            });
        }
        let (footer, path) = retired.seal(self.options.clock.now())?;
        self.manifest().update(|manifest| {
            manifest.set(journal, lane_number, number, State::Sealed);
            Ok(())
        })?;
        lane.show_sealed(footer, path);
        self.counters.sealed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A full disk is waited out, with the reserve given up; anything else poisons the store.
    fn judge(&self, done: Result<()>) -> Roomy {
        match done {
            Ok(()) => {}
            Err(error) if error.is_full() => {
                self.counters.full.fetch_add(1, Ordering::Relaxed);
                self.room.store(Room::Critical as u8, Ordering::Relaxed);
                self.reserve().give_up();
                return Roomy::No;
            }
            Err(error) => self.poison.throw(described(&error)),
        }
        Roomy::Yes
    }
}

/// Lets every other thread go first: to seal a segment takes a tenth of a second of computing.
fn stand_back() {
    // Where the system does not allow it, requests are slower now and then.
    let _as_before = setpriority_process(None, 19);
}

/// Prepares segments and pages until it is told to stop. A disk that was full is asked again after a pause, and
/// not whenever somebody rings.
pub(super) fn run_prepare(shared: &Shared) {
    stand_back();
    let clock = &shared.options.clock;
    let mut not_before = Duration::ZERO;
    loop {
        // Somebody may have asked for more to be forgotten. What cannot be read is looked at again; the file that is there
        // was read at the start.
        let _as_before = shared.hidden.refresh();
        let now = clock.monotonic();
        if now >= not_before {
            shared.watch_room();
            if shared.prepare_missing() == Roomy::No {
                not_before = now + FULL_PAUSE;
            }
        }
        for lane in shared.lanes.iter().filter(|lane| lane.wants_pages()) {
            shared.judge(lane.populate(shared.options.populate_ahead(lane.journal())));
        }
        let left = not_before.saturating_sub(now);
        let pause = if left.is_zero() { IDLE } else { clock.nap(left) };
        if shared.bells.prepare.pause(pause) == Woken::Stopped {
            return;
        }
    }
}

/// Syncs the clicks until it is told to stop.
pub(super) fn run_sync(shared: &Shared) {
    loop {
        let woken = shared.bells.sync.pause(shared.options.click_sync_interval);
        for lane in &shared.lanes {
            // Other journals sync themselves, when somebody waits; here only what they have left behind.
            if (lane.journal() == Journal::Clicks || lane.has_retired()) && lane.sync().is_err() {
                return; // poisoned: whoever waits has been told
            }
        }
        shared.counters.sync_rounds.fetch_add(1, Ordering::Relaxed);
        if woken == Woken::Stopped {
            return;
        }
    }
}

/// Seals until it is told to stop and nothing is left.
pub(super) fn run_seal(shared: &Shared) {
    stand_back();
    loop {
        let woken = shared.bells.seal.pause(IDLE);
        shared.seal_ready();
        if woken == Woken::Stopped {
            return;
        }
    }
}
