//! Days that are complete: each is merged into large files, and again when something of it comes late.
//!
//! In: what is published of which segment. Out: the folder of a day with files of the whole day, and `CLOSED` beside.
//! Keeps: a day is complete when it is over, no lane is still writing rows of it, and all that is sealed of it is published.
//! Clicks of another tracker come in any order of time, so the segment in which they are written keeps no day open: they
//! are late, as is what was rewritten. Readers see the files of before or the merged ones (`swap`). While somebody has one
//! of the files of before open the swap is put off, for `keep_replaced` at the longest: whoever has listed files and not
//! opened them yet would not find them.
//! Not here: how rows are merged (`merge`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::codec::{Kind, time_of};
use crate::store::is_open_elsewhere;
use crate::store::manifest::{Manifest, State};
use crate::store::reader::{Cursor, Reader};

use super::closed::{Closed, Share};
use super::error::{Error, Result};
use super::folder::{Day, Folder};
use super::merge::{self, Input};
use super::publish::{Publication, Published, Step};
use super::publisher::{Failing, News, Options, Watcher};
use super::swap;
use super::table::Table;

/// See the module; of one table.
#[derive(Debug)]
pub(super) struct Days<T> {
    closed: BTreeMap<Day, Closed>,
    /// Of each day the files of segments, or what they would be.
    parts: BTreeMap<Day, Parts>,
    /// Since when what is closed is known not to be all.
    late: BTreeMap<Day, Duration>,
    failing: BTreeMap<Day, Failing>,
    prepared: BTreeMap<Day, Prepared>,
    /// How often days were merged of which nothing is known any more: no name is used twice.
    revisions: BTreeMap<Day, u32>,
    table: PhantomData<T>,
}

/// By lane and number of the segment.
type Parts = BTreeMap<(u8, u32), (Share, Published)>;

/// A day that is merged, and waits for its swap.
#[derive(Debug)]
struct Prepared {
    closed: Closed,
    since: Duration,
}

impl<T: Table> Days<T> {
    pub(super) fn new(closed: BTreeMap<Day, Closed>, revisions: BTreeMap<Day, u32>) -> Self {
        Self {
            closed,
            parts: BTreeMap::new(),
            late: BTreeMap::new(),
            failing: BTreeMap::new(),
            prepared: BTreeMap::new(),
            revisions,
            table: PhantomData,
        }
    }

    /// A segment is no more: days that it has a part in are not what they should be.
    pub(super) fn forget(&mut self, segment: (u8, u32)) {
        for parts in self.parts.values_mut() {
            parts.remove(&segment);
        }
    }

    /// What came of a segment, in place of what came of an earlier generation of it.
    pub(super) fn note(&mut self, publication: &Publication) {
        let Publication { node, lane, segment, generation, .. } = *publication;
        self.forget((lane, segment));
        for file in &publication.files {
            let Some(day) = file.day() else { continue };
            let share = Share { node, lane, segment, generation, rows: file.rows };
            self.parts.entry(day).or_default().insert((lane, segment), (share, file.clone()));
        }
    }

    /// Merges what can be. `pending` says of what is not published when its first and last record happened.
    pub(super) fn round(
        &mut self,
        options: &Options,
        manifest: &Manifest,
        pending: &[(Timestamp, Timestamp)],
        watcher: &mut dyn Watcher,
    ) -> Result<()> {
        let days: BTreeSet<Day> = self.parts.keys().chain(self.closed.keys()).copied().collect();
        for day in days {
            let now = options.clock.monotonic();
            if !self.is_due(options, day, now) || !is_complete::<T>(options, manifest, pending, day)? {
                continue;
            }
            match self.merge(options, day, now, watcher) {
                Ok(()) => {}
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(error) => self.failed(day, &error, now, watcher),
            }
        }
        Ok(())
    }

    fn failed(&mut self, day: Day, error: &Error, now: Duration, watcher: &mut dyn Watcher) {
        self.prepared.remove(&day);
        let before = self.failing.get(&day);
        let (what, is_again) = (format!("the day {day}"), before.is_some());
        watcher.told(&News::Failed { table: T::NAME, what, error, is_again });
        self.failing.insert(day, Failing::again(before, now));
    }

    /// Whether what is closed, if anything is, is not all that there is, and has not been for long enough.
    fn is_due(&mut self, options: &Options, day: Day, now: Duration) -> bool {
        let is_over = options.clock.now() >= day.end().plus(options.close_after);
        if !is_over || self.failing.get(&day).is_some_and(|failing| failing.is_waiting(now)) {
            return false;
        }
        let Some(closed) = self.closed.get(&day) else { return !self.shares(day).is_empty() };
        if closed.segments == self.shares(day) {
            self.late.remove(&day);
            return false;
        }
        now.saturating_sub(*self.late.entry(day).or_insert(now)) >= options.settle
    }

    /// What the day consists of now, in order.
    fn shares(&self, day: Day) -> Vec<Share> {
        let parts = self.parts.get(&day).into_iter().flat_map(BTreeMap::values);
        let mut shares: Vec<Share> = parts.map(|(share, _)| *share).collect();
        shares.sort_unstable();
        shares
    }

    fn merge(&mut self, options: &Options, day: Day, now: Duration, watcher: &mut dyn Watcher) -> Result<()> {
        let before = self.prepared.remove(&day);
        // Whoever goes on reading while more and more comes late does not put the swap off for ever.
        let since = before.as_ref().map_or(now, |before| before.since);
        let is_it = |before: &Prepared| {
            before.closed.segments == self.shares(day) && is_staged::<T>(&options.folder, day, &before.closed)
        };
        let prepared = match before.filter(is_it) {
            Some(prepared) => prepared,
            None => Prepared { closed: self.write(options, day, watcher)?, since },
        };
        let gone = self.gone(day);
        let may_wait = now.saturating_sub(prepared.since) < options.keep_replaced;
        if may_wait && is_read::<T>(options, day, &gone) {
            self.prepared.insert(day, prepared);
            return Ok(());
        }
        self.swap(options, prepared.closed, (day, &gone), watcher)
    }

    /// Writes the merged files aside.
    fn write(&self, options: &Options, day: Day, watcher: &mut dyn Watcher) -> Result<Closed> {
        let known = self.closed.get(&day).map_or(0, |closed| closed.revision);
        let revision = known.max(self.revisions.get(&day).copied().unwrap_or(0)) + 1;
        let plan = merge::Plan {
            folder: &options.folder,
            reader: &options.reader,
            day,
            revision,
            file_rows_max: options.file_rows_max,
        };
        let parts = self.parts.get(&day).into_iter().flat_map(BTreeMap::values);
        let input = |(share, file): &(Share, Published)| -> Input {
            (file.first_time.parse().unwrap_or(day.start()), *share)
        };
        swap::begin(&options.folder.staged_day::<T>(day))?;
        let mut step = |step| as_result(watcher.step(step));
        let closed =
            merge::write::<T>(&plan, parts.map(input).collect(), &mut |bytes| step(Step::Read { bytes }))?;
        step(Step::Staged)?;
        Ok(closed)
    }

    /// The names of files that the merged ones take the place of.
    fn gone(&self, day: Day) -> BTreeSet<String> {
        let parts = self.parts.get(&day).into_iter().flat_map(BTreeMap::values).map(|(_, file)| file);
        let merged = self.closed.get(&day).into_iter().flat_map(|closed| &closed.files);
        parts.chain(merged).filter_map(Published::name).collect()
    }

    fn swap(
        &mut self,
        options: &Options,
        closed: Closed,
        (day, gone): (Day, &BTreeSet<String>),
        watcher: &mut dyn Watcher,
    ) -> Result<()> {
        let folder = &options.folder;
        let (path, staged) = (folder.day::<T>(day), folder.staged_day::<T>(day));
        let merged: BTreeSet<String> = closed.files.iter().filter_map(Published::name).collect();
        swap::carry_over(&path, &staged, |name| !gone.contains(name) && !merged.contains(name))?;
        closed.announce::<T>(folder, day)?;
        as_result(watcher.step(Step::Announced))?;
        swap::exchange(&path, &staged)?;
        as_result(watcher.step(Step::Swapped))?;
        Closed::confirm::<T>(folder, day)?;
        swap::put_by(&staged, &folder.old::<T>())?;
        self.late.remove(&day);
        self.failing.remove(&day);
        if closed.rows == 0 {
            closed.forget::<T>(folder, day)?;
            // There may be files of others.
            let _others = fs::remove_dir(&path);
            self.closed.remove(&day);
            self.revisions.insert(day, closed.revision);
        } else {
            watcher.told(&News::Merged { table: T::NAME, day, closed: &closed });
            self.closed.insert(day, closed);
        }
        as_result(watcher.step(Step::Recorded))
    }
}

fn as_result(flow: ControlFlow<()>) -> Result<()> {
    if flow.is_break() { Err(Error::Stopped) } else { Ok(()) }
}

/// Whether the files that were made are still where they wait: whoever replaces a file of the day needs the folder too.
fn is_staged<T: Table>(folder: &Folder, day: Day, closed: &Closed) -> bool {
    let staged = folder.staged_day::<T>(day);
    closed.files.iter().all(|file| {
        let found = file.name().and_then(|name| fs::metadata(staged.join(name)).ok());
        found.is_some_and(|found| found.len() == file.bytes)
    })
}

/// Whether somebody has one of these files open. A file system that cannot tell says no.
fn is_read<T: Table>(options: &Options, day: Day, names: &BTreeSet<String>) -> bool {
    let folder = options.folder.day::<T>(day);
    let is_open = |name| File::open(folder.join(name)).and_then(|file| is_open_elsewhere(&file));
    names.iter().any(|name| is_open(name).unwrap_or(false))
}

/// Whether no more rows of the day can come in the order of time.
fn is_complete<T: Table>(
    options: &Options,
    manifest: &Manifest,
    pending: &[(Timestamp, Timestamp)],
    day: Day,
) -> Result<bool> {
    if pending.iter().any(|(first, last)| *first < day.end() && *last >= day.start()) {
        return Ok(false);
    }
    for ((_, lane), entry) in manifest.lanes.iter().filter(|((journal, _), _)| *journal == T::JOURNAL) {
        for (&segment, _) in entry.segments.iter().filter(|(_, entry)| entry.state == State::Open) {
            if begins_before::<T>(&options.reader, (*lane, segment), day.end())? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether a segment that is still written has a first record of before `end`, and its records come in the order of time.
fn begins_before<T: Table>(reader: &Reader, (lane, segment): (u8, u32), end: Timestamp) -> Result<bool> {
    let mut begins_before = false;
    reader.read(T::JOURNAL, lane, Cursor { segment, offset: 0 }, |position, record| {
        if position.segment() == segment && record.kind != Kind::ForeignClick.code() {
            // What this build cannot read may be of any time.
            begins_before =
                time_of(record.kind, record.schema, record.payload).map_or(true, |time| time < end);
        }
        ControlFlow::Break(())
    })?;
    Ok(begins_before)
}
