//! One lane: a sequence of segments with one writer.
//!
//! In: encoded events, from the owner of the `LaneWriter`. Out: positions; and to any thread, records.
//! Keeps: positions only grow; a segment is sealed only after all of it is synced; the watermark never passes
//! what a sync has covered.
//! Refuses: appends once the store is poisoned, and when no prepared segment is there (`NoRoom`): the writer
//! never waits for the disk.
//! Not here: when syncs happen (`background`, `commit`), what the events are.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::Journal;
use super::error::{Error, Result, described};
use super::files::OpenFiles;
use super::handoff::Handoff;
use super::index_file::Slot;
use super::layout::Footer;
use super::poison::Poison;
use super::position::Position;
use super::record::{GAP_ERASED, Record};
use super::sealed::{Sealed, Tried};
use super::segment::{Appender, Located, Retired, Segment};
use super::watermark::{Failed, Watermark};
use crate::clock::{Clock, Timestamp};
use crate::event::codec::Encoded;
use crate::shutdown::Shutdown;

/// How durable a record is to be before somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// In the page cache: survives the death of the process.
    Written,
    /// On stable storage: survives power loss.
    LocalSync,
    /// On another machine as well. Reserved: no node has a replica yet.
    Replicated,
}

/// Bells that an append rings when there is work for another thread.
#[derive(Clone, Debug, Default)]
pub struct Bells {
    /// Wakes the thread that prepares segments and faults pages in.
    pub prepare: Shutdown,
    /// Wakes the thread that syncs lanes.
    pub sync: Shutdown,
    /// Wakes the thread that seals.
    pub seal: Shutdown,
}

/// What all threads share of a lane.
#[derive(Debug)]
pub struct Lane {
    journal: Journal,
    number: u8,
    /// The lowest id of a segment that may still come. What is below it is here, or will never be.
    first_segment: u32,
    view: ArcSwap<View>,
    synced: Arc<Watermark>,
    /// Segments that may hold unsynced records, oldest first; the last one is being written.
    unsynced: Mutex<VecDeque<Arc<Segment>>>,
    /// Held for as long as one sync of this lane takes.
    sync_turn: Mutex<()>,
    retired: Mutex<VecDeque<Retired>>,
    next: Handoff<Appender>,
    files: Arc<OpenFiles>,
    poison: Poison,
    bells: Bells,
    /// How far, in the current segment, pages are known to be present.
    populated: AtomicU32,
    /// Whether anybody will write to it: one that nobody does gets no segment made.
    is_wanted: AtomicBool,
    /// How often sealed segments were dropped.
    drops: AtomicU64,
}

/// Pages that are faulted in at once, and the pause after them. A kernel without preemption does not let go of the
/// processor by itself until its next tick, and a worker would wait. There is none where the writer is close behind.
const POPULATE_SLICE_BYTES: u32 = 256 * 1024;
const POPULATE_PAUSE: Duration = Duration::from_micros(50);

/// What a lane's readers see. Replaced whole when a segment is added or sealed.
#[derive(Debug, Default)]
pub struct View {
    /// Segments that are not sealed yet, oldest first.
    pub open: Vec<Arc<Segment>>,
    /// Segments that are, oldest first.
    pub sealed: Arc<Vec<Arc<Sealed>>>,
    /// Numbers of segments that cannot be read: quarantined or missing.
    pub unreadable: Arc<Vec<u32>>,
}

/// Where a look for a record ended. See the design: an answer, never a bare option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// Here it is.
    Found(T),
    /// It is certain that this store does not hold it.
    Absent,
    /// It may come: the place is beyond what has been written.
    NotYet,
    /// It was here, and cannot be read now.
    Unavailable,
}

impl<T> Lookup<T> {
    /// Goes on from what was found.
    pub fn and_then<U>(self, next: impl FnOnce(T) -> Lookup<U>) -> Lookup<U> {
        match self {
            Self::Found(found) => next(found),
            Self::Absent => Lookup::Absent,
            Self::NotYet => Lookup::NotYet,
            Self::Unavailable => Lookup::Unavailable,
        }
    }
}

impl Lane {
    /// A lane that was just opened: everything before `first_segment` is synced, so nobody waits for it.
    pub(super) fn new(
        journal: Journal,
        number: u8,
        first_segment: u32,
        view: View,
        files: Arc<OpenFiles>,
        poison: Poison,
        bells: Bells,
    ) -> Arc<Self> {
        let synced = Arc::new(Watermark::at(Position::new(first_segment, 0).to_u64()));
        poison.guard(&synced);
        Arc::new(Self {
            journal,
            number,
            first_segment,
            view: ArcSwap::from_pointee(view),
            synced,
            unsynced: Mutex::default(),
            sync_turn: Mutex::default(),
            retired: Mutex::default(),
            next: Handoff::default(),
            files,
            poison,
            bells,
            populated: AtomicU32::new(0),
            is_wanted: AtomicBool::new(true),
            drops: AtomicU64::new(0),
        })
    }

    /// Its journal.
    pub fn journal(&self) -> Journal {
        self.journal
    }

    /// Its number within the journal.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// What it holds now.
    pub fn view(&self) -> arc_swap::Guard<Arc<View>> {
        self.view.load()
    }

    /// Everything that begins before this position is on stable storage. Positions that were there when the
    /// store was opened are, all of them.
    pub fn synced(&self) -> Position {
        Position::from_u64(self.synced.value()).unwrap_or_default()
    }

    /// Resolves once the record at `position` is as durable as asked.
    ///
    /// # Errors
    /// `Poisoned` if it may never be, `TooManyWaiters`, `NotReplicated`.
    pub async fn durable(&self, position: Position, level: Level) -> Result<()> {
        match level {
            Level::Written => return Ok(()),
            Level::Replicated => return Err(Error::NotReplicated),
            Level::LocalSync => {}
        }
        match self.synced.passed(position.to_u64()).await {
            Ok(()) => Ok(()),
            Err(Failed::TooMany) => Err(Error::TooManyWaiters),
            Err(Failed::Closed) => Err(self.poisoned()),
        }
    }

    fn poisoned(&self) -> Error {
        let cause = self.poison.cause().unwrap_or("the store is closed");
        Error::Poisoned { cause: cause.to_owned() }
    }

    /// Brings everything that is published to stable storage, oldest segment first, and wakes who waits.
    ///
    /// # Errors
    /// `Poisoned` after a failed sync, now or earlier.
    pub fn sync(&self) -> Result<()> {
        let _turn = hold(&self.sync_turn);
        self.poison.check()?;
        loop {
            let Some(segment) = hold(&self.unsynced).front().cloned() else {
                return Ok(());
            };
            let extent = match segment.sync() {
                Ok(extent) => extent,
                Err(error) => {
                    self.poison.throw(described(&error));
                    return Err(self.poisoned());
                }
            };
            let reached = Position::new(segment.number(), extent.end).to_u64();
            if reached > self.synced.value() {
                self.synced.advance(reached);
            }
            if !extent.is_final {
                return Ok(());
            }
            hold(&self.unsynced).pop_front();
            self.bells.seal.nudge();
        }
    }

    /// As `sync`, unless `position` is on stable storage already.
    ///
    /// # Errors
    /// As `sync`.
    pub fn sync_past(&self, position: Position) -> Result<()> {
        if self.synced.value() > position.to_u64() { Ok(()) } else { self.sync() }
    }

    /// Where the record with this ordinal is, from memory; only sealed segments whose index is not loaded
    /// would block.
    pub fn try_locate(&self, segment: u32, ordinal: u32) -> Tried<Lookup<Position>> {
        let view = self.view.load();
        match view.place(segment) {
            Place::Open(open) => Tried::Done(match open.locate(ordinal) {
                Located::At(offset) => Lookup::Found(Position::new(segment, offset)),
                Located::NotYet => Lookup::NotYet,
            }),
            Place::Sealed(sealed) => match sealed.try_locate(ordinal) {
                Tried::Done(slot) => Tried::Done(from_slot(segment, slot)),
                Tried::WouldBlock => Tried::WouldBlock,
            },
            Place::Other(Lookup::NotYet) if segment < self.first_segment => Tried::Done(Lookup::Absent),
            Place::Other(answer) => Tried::Done(answer),
        }
    }

    /// Where the record with this ordinal is; may read the segment's index from disk.
    pub fn locate(&self, segment: u32, ordinal: u32) -> Lookup<Position> {
        match self.try_locate(segment, ordinal) {
            Tried::Done(answer) => answer,
            Tried::WouldBlock => match self.view.load().place(segment) {
                Place::Sealed(sealed) => {
                    sealed.locate(ordinal).map_or(Lookup::Unavailable, |slot| from_slot(segment, slot))
                }
                _ => Lookup::Unavailable,
            },
        }
    }

    /// The lowest id of a segment that was made since the store was opened.
    pub(super) fn first_segment(&self) -> u32 {
        self.first_segment
    }

    // ---- for the threads in the background ----

    /// Whether segments are to be made for it.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Acquire)
    }

    pub(super) fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Release);
        self.bells.prepare.nudge();
    }

    /// Whether a prepared segment is waiting to be used.
    pub(super) fn has_next(&self) -> bool {
        self.next.is_full()
    }

    pub(super) fn put_next(&self, prepared: Appender) {
        self.next.put(prepared);
    }

    pub(super) fn take_next(&self) -> Option<Appender> {
        self.next.take()
    }

    /// Takes the oldest segment that can be sealed now.
    pub(super) fn take_sealable(&self) -> Option<Retired> {
        let mut retired = hold(&self.retired);
        if retired.front()?.is_synced() { retired.pop_front() } else { None }
    }

    /// Puts back what could not be sealed; it is still the oldest.
    pub(super) fn put_sealable(&self, retired: Retired) {
        hold(&self.retired).push_front(retired);
    }

    pub(super) fn has_retired(&self) -> bool {
        !hold(&self.retired).is_empty()
    }

    /// Shows readers a segment as sealed instead of open.
    pub(super) fn show_sealed(&self, footer: Footer, path: PathBuf) {
        let number = footer.identity.segment;
        let added = Arc::new(Sealed::new(footer, path, Arc::clone(&self.files)));
        self.view.rcu(|view| {
            let mut sealed = Vec::clone(&view.sealed);
            sealed.push(Arc::clone(&added));
            let open = view.open.iter().filter(|open| open.number() != number).cloned().collect();
            View { open, sealed: Arc::new(sealed), unreadable: Arc::clone(&view.unreadable) }
        });
    }

    /// Shows readers a sealed segment as a rewrite has made it.
    pub(super) fn show_rewritten(&self, footer: Footer, path: PathBuf) {
        let number = footer.identity.segment;
        let made = Arc::new(Sealed::new(footer, path, Arc::clone(&self.files)));
        self.change_sealed(|sealed| {
            let old = sealed.iter_mut().find(|one| one.footer().identity.segment == number);
            old.into_iter().for_each(|old| *old = Arc::clone(&made));
        });
    }

    /// No longer shows readers sealed segments that were dropped.
    pub(super) fn show_dropped(&self, numbers: &[u32]) {
        self.change_sealed(|sealed| sealed.retain(|one| !numbers.contains(&one.footer().identity.segment)));
        // Who sees the new number sees a view without them.
        self.drops.fetch_add(1, Ordering::Release);
    }

    /// How often segments were dropped since this lane was opened.
    pub fn drops(&self) -> u64 {
        self.drops.load(Ordering::Acquire)
    }

    fn change_sealed(&self, change: impl Fn(&mut Vec<Arc<Sealed>>)) {
        self.view.rcu(|view| {
            let mut sealed = Vec::clone(&view.sealed);
            change(&mut sealed);
            let (open, unreadable) = (view.open.clone(), Arc::clone(&view.unreadable));
            View { open, sealed: Arc::new(sealed), unreadable }
        });
    }

    /// No longer reads from a file that was replaced.
    pub(super) fn forget_file(&self, sealed: &Sealed) {
        sealed.let_go();
    }

    /// No longer shows readers an open segment.
    pub(super) fn hide(&self, number: u32) {
        self.view.rcu(|view| View {
            open: view.open.iter().filter(|open| open.number() != number).cloned().collect(),
            sealed: Arc::clone(&view.sealed),
            unreadable: Arc::clone(&view.unreadable),
        });
    }

    /// Whether the writer has come near the end of the pages that are known to be present.
    pub(super) fn wants_pages(&self) -> bool {
        self.populated.load(Ordering::Relaxed) == 0 && !hold(&self.unsynced).is_empty()
    }

    /// Faults in the next `window_bytes` of the segment being written, a slice at a time.
    pub(super) fn populate(&self, window_bytes: u32) -> Result<()> {
        let Some(segment) = hold(&self.unsynced).back().cloned() else {
            return Ok(());
        };
        let mut start = segment.extent().end;
        let end = start.saturating_add(window_bytes);
        while start < end {
            let bytes = POPULATE_SLICE_BYTES.min(end - start);
            segment.populate(start, bytes)?;
            start += bytes;
            let tail = segment.extent().end;
            if tail.saturating_add(POPULATE_SLICE_BYTES) < start {
                std::thread::sleep(POPULATE_PAUSE);
            }
            // A writer that has overtaken this faulted its pages in itself.
            start = start.max(tail);
        }
        self.populated.store(end, Ordering::Relaxed);
        Ok(())
    }
}

enum Place<'a> {
    Open(&'a Segment),
    Sealed(&'a Sealed),
    Other(Lookup<Position>),
}

impl View {
    fn place(&self, segment: u32) -> Place<'_> {
        if let Some(open) = self.open.iter().rev().find(|open| open.number() == segment) {
            return Place::Open(open);
        }
        let found = self.sealed.binary_search_by_key(&segment, |sealed| sealed.footer().identity.segment);
        match found.ok().and_then(|index| self.sealed.get(index)) {
            Some(sealed) => Place::Sealed(sealed),
            None if self.unreadable.binary_search(&segment).is_ok() => Place::Other(Lookup::Unavailable),
            None if self.newest().is_none_or(|newest| segment > newest) => Place::Other(Lookup::NotYet),
            None => Place::Other(Lookup::Absent),
        }
    }

    /// Gives `read` the record at this position; nothing if it is not there or cannot be read. May wait for the disk.
    pub fn with_record<T>(&self, position: Position, read: impl FnOnce(&Record<'_>) -> T) -> Option<T> {
        let (segment, offset) = (position.segment(), position.offset());
        match self.place(segment) {
            Place::Open(open) => open.record(offset).map(|record| read(&record)),
            Place::Sealed(sealed) => sealed.read(offset).ok().map(|copied| read(&copied.record())),
            Place::Other(_) => None,
        }
    }

    /// Whether a record that was here was dropped, and not lost.
    pub fn is_dropped(&self, position: Position) -> bool {
        match self.place(position.segment()) {
            Place::Open(_) | Place::Other(Lookup::Unavailable | Lookup::NotYet | Lookup::Found(_)) => false,
            Place::Other(Lookup::Absent) => true,
            Place::Sealed(sealed) => {
                let is_erased = |record: Record<'_>| record.is_gap() && record.schema == GAP_ERASED;
                sealed.read(position.offset()).is_ok_and(|copied| is_erased(copied.record()))
            }
        }
    }

    fn newest(&self) -> Option<u32> {
        let open = self.open.last().map(|open| open.number());
        let sealed = self.sealed.last().map(|sealed| sealed.footer().identity.segment);
        open.max(sealed).max(self.unreadable.last().copied())
    }

    /// Whether there is no segment at all.
    pub fn is_empty(&self) -> bool {
        self.newest().is_none()
    }

    /// The open segment with this number.
    pub fn open(&self, segment: u32) -> Option<&Arc<Segment>> {
        self.open.iter().find(|open| open.number() == segment)
    }

    /// The sealed segment with this number.
    pub fn sealed(&self, segment: u32) -> Option<&Arc<Sealed>> {
        match self.place(segment) {
            Place::Sealed(_) => {
                let found = self.sealed.binary_search_by_key(&segment, |one| one.footer().identity.segment);
                found.ok().and_then(|index| self.sealed.get(index))
            }
            _ => None,
        }
    }
}

fn from_slot(segment: u32, slot: Slot) -> Lookup<Position> {
    match slot {
        Slot::At(offset) => Lookup::Found(Position::new(segment, offset)),
        Slot::Empty => Lookup::Absent,
        Slot::Lost => Lookup::Unavailable,
    }
}

/// The right to append to a lane. There is one per lane.
#[derive(Debug)]
pub struct LaneWriter {
    lane: Arc<Lane>,
    current: Option<Appender>,
    /// The hour of the current segment: in which it was begun, or that of its first record if that is later.
    hour: i64,
    limits: WriterLimits,
    clock: Clock,
    unsynced_bytes: u32,
}

/// What ends the hour of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hourly {
    /// A record of a later hour: what happens is recorded in the same moment, so no clock need be asked.
    ByRecords,
    /// The clock, when something is appended. Records tell of what happened long before: what is brought in files comes in
    /// the order of its time, or in none, and with a year of it each hour would get a segment.
    ByClock,
}

/// When a writer rings for help, and what it refuses.
#[derive(Clone, Copy, Debug)]
pub struct WriterLimits {
    /// After this many bytes, do not wait for the sync interval to pass.
    pub sync_bytes: u32,
    /// With fewer bytes than this ahead that are known to be present, ask for more.
    pub populate_low_bytes: u32,
    /// The longest payload that the lane takes.
    pub payload_bytes_max: u32,
    /// A segment ends with its hour, by this.
    pub hourly: Hourly,
}

/// Where an append went. Only an append makes one, so an answer that needs one cannot be given before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    position: Position,
    ordinal: u32,
}

impl Appended {
    /// Where the record lies.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Its number within the segment.
    pub const fn ordinal(&self) -> u32 {
        self.ordinal
    }
}

impl LaneWriter {
    pub(super) fn new(lane: Arc<Lane>, limits: WriterLimits, clock: Clock) -> Self {
        Self { lane, current: None, hour: 0, limits, clock, unsynced_bytes: 0 }
    }

    /// The lane it writes.
    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// Appends one event and publishes it: from here on it survives the death of the process.
    ///
    /// # Errors
    /// `Poisoned`, `NoRoom` or `RecordLength`; then nothing was written.
    #[inline]
    pub fn append(&mut self, event: &Encoded<'_>) -> Result<Appended> {
        self.lane.poison.check()?;
        let payload_bytes = u32::try_from(event.payload.len()).unwrap_or(u32::MAX);
        let max = self.limits.payload_bytes_max;
        if !(1..=max).contains(&payload_bytes) {
            return Err(Error::RecordLength { len: event.payload.len(), max });
        }
        let now = match self.limits.hourly {
            Hourly::ByRecords => event.time,
            Hourly::ByClock => self.clock.now(),
        };
        self.make_room(payload_bytes, now)?;
        let Some(appender) = self.current.as_mut() else {
            return Err(self.no_room());
        };
        let placed = appender.append(event);
        if placed.ordinal == 0 {
            // A tick may have begun the segment in an hour that this event is too late for, or long before it.
            self.hour = self.hour.max(now.hour());
        }
        let position = Position::new(appender.segment().number(), placed.offset);
        let tail = appender.tail();
        self.after(tail - placed.offset, tail);
        Ok(Appended { position, ordinal: placed.ordinal })
    }

    /// Whether a record of this length would find no room right now: the segment is full and the next one not ready.
    #[inline]
    pub fn is_behind(&self, payload_bytes: u32) -> bool {
        let fits = self.current.as_ref().is_some_and(|current| current.fits(payload_bytes));
        !fits && !self.lane.has_next()
    }

    /// Rolls to the next segment if the hour of the current one is over. Call it now and then on an idle lane.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn tick(&mut self, now: Timestamp) -> Result<()> {
        self.lane.poison.check()?;
        if self.hour_is_over(now) {
            self.roll(now);
        }
        Ok(())
    }

    /// Ends the current segment so that it can be sealed and published; the next append opens another.
    pub fn roll_now(&mut self) {
        if self.current.as_ref().is_some_and(|current| current.records() > 0) {
            self.retire_current();
        }
    }

    /// Ends the lane: nothing will be appended any more.
    pub fn close(mut self) {
        self.retire_current();
    }

    fn make_room(&mut self, payload_bytes: u32, now: Timestamp) -> Result<()> {
        let fits = self.current.as_ref().is_some_and(|current| current.fits(payload_bytes));
        if fits && !self.hour_is_over(now) {
            return Ok(());
        }
        // An hour that is over can wait for a segment, until the next append; a full one cannot.
        if self.roll(now) || fits { Ok(()) } else { Err(self.no_room()) }
    }

    fn hour_is_over(&self, now: Timestamp) -> bool {
        now.hour() > self.hour && self.current.as_ref().is_some_and(|current| current.records() > 0)
    }

    /// Moves on to the prepared segment, if there is one. If not, the preparer is at it: it was rung for when the
    /// last one was taken.
    fn roll(&mut self, now: Timestamp) -> bool {
        let Some(next) = self.lane.next.take() else { return false };
        let segment = Arc::clone(next.segment());
        // In this order: the new segment is visible to readers and to the sync thread before the old one says
        // that it is final and before anything is in the new one.
        hold(&self.lane.unsynced).push_back(Arc::clone(&segment));
        self.lane.view.rcu(|view| {
            let mut open = view.open.clone();
            open.push(Arc::clone(&segment));
            View { open, sealed: Arc::clone(&view.sealed), unreadable: Arc::clone(&view.unreadable) }
        });
        self.lane.populated.store(0, Ordering::Relaxed);
        self.retire_current();
        self.current = Some(next);
        self.hour = now.hour();
        self.lane.bells.prepare.nudge();
        true
    }

    fn retire_current(&mut self) {
        if let Some(current) = self.current.take() {
            let retired = current.retire();
            hold(&self.lane.retired).push_back(retired);
            self.lane.bells.sync.nudge();
        }
    }

    fn after(&mut self, bytes: u32, tail: u32) {
        self.unsynced_bytes += bytes;
        if self.unsynced_bytes >= self.limits.sync_bytes {
            self.unsynced_bytes = 0;
            self.lane.bells.sync.nudge();
        }
        let populated = self.lane.populated.load(Ordering::Relaxed);
        let ahead = populated.saturating_sub(tail);
        if populated != 0 && ahead < self.limits.populate_low_bytes {
            // Ask once: the store is overwritten when the pages are there.
            self.lane.populated.store(0, Ordering::Relaxed);
            self.lane.bells.prepare.nudge();
        }
    }

    fn no_room(&self) -> Error {
        Error::NoRoom { journal: self.lane.journal.name(), lane: self.lane.number }
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
