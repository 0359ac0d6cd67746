//! What of the journals is to be published, and that it is: round by round.
//!
//! In: a data folder that somebody else may be writing. Out: every sealed segment's files, those of the newest day last.
//! Keeps: what the journals have dropped is in no file for longer than the days that it is in take to be merged again. What
//! cannot be published stops nothing else, and is tried again later, less and less often. What was published
//! is known from what is written down beside it; it is read once, at the start.
//! Not here: how fast, and by whom (`run`).

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::store::directory::{SegmentFile, make_folder, write_whole};
use crate::store::manifest::{Manifest, State};
use crate::store::reader::Reader;

use super::clicks::Clicks;
use super::closed::Closed;
use super::conversions::Conversions;
use super::days::Days;
use super::deliveries::Deliveries;
use super::error::{Error, Result};
use super::folder::{Day, Folder};
use super::publish::{MODE, Publication, Step, publish, withdraw};
use super::segment::footer_of;
use super::strays;
use super::swap;
use super::table::{Field, Table, VERSION};

/// What could not be published is tried again after so long, each time twice as long, up to the longest.
const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// What a publisher is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The journals.
    pub reader: Reader,
    /// Where files go.
    pub folder: Folder,
    /// How long what was replaced is kept for those who are reading it.
    pub keep_replaced: Duration,
    /// How long after its end a day is taken for complete: for requests that are still under way.
    pub close_after: Duration,
    /// How long a day that was merged waits for more to come late, before it is merged again.
    pub settle: Duration,
    /// Rows of a file of a whole day at most.
    pub file_rows_max: u64,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Options {
    /// What is published of these journals into this folder, by the defaults.
    pub fn new(reader: Reader, folder: Folder, clock: Clock) -> Self {
        Self {
            reader,
            folder,
            keep_replaced: Duration::from_secs(3600),
            close_after: Duration::from_secs(15 * 60),
            settle: Duration::from_secs(3600),
            file_rows_max: 8 * 1024 * 1024,
            clock,
        }
    }
}

/// Whoever looks on, and may end it at each step.
pub trait Watcher {
    /// Something was done.
    fn step(&mut self, step: Step) -> ControlFlow<()>;
    /// Something came of it.
    fn told(&mut self, news: &News<'_>);
    /// Whether there is room for the files of a whole day.
    fn may_merge(&self) -> bool {
        true
    }
}

/// What came of a round.
#[derive(Debug)]
pub enum News<'a> {
    /// A segment was published.
    Published {
        /// Of which table.
        table: &'static str,
        /// What came of it.
        publication: &'a Publication,
    },
    /// A day was merged.
    Merged {
        /// Of which table.
        table: &'static str,
        /// Which.
        day: Day,
        /// What it consists of.
        closed: &'a Closed,
    },
    /// Something could not be done, and will be tried again.
    Failed {
        /// Of which table.
        table: &'static str,
        /// What it was: a segment or a day.
        what: String,
        /// Why.
        error: &'a Error,
        /// Whether it failed before.
        is_again: bool,
    },
    /// So many sealed segments of a table are left that are not published.
    Waiting {
        /// Of which table.
        table: &'static str,
        /// How many.
        segments: usize,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Publisher {
    options: Options,
    clicks: Shelf<Clicks>,
    conversions: Shelf<Conversions>,
    deliveries: Shelf<Deliveries>,
}

impl Publisher {
    /// Looks at what was published before, finishes what a crash has left half done, and removes what it has left over.
    ///
    /// # Errors
    /// What the system says of the folder.
    pub fn open(options: Options) -> Result<Self> {
        let folder = &options.folder;
        swap::restore(&folder.table::<Clicks>(), &folder.staged_table::<Clicks>())?;
        swap::restore(&folder.table::<Conversions>(), &folder.staged_table::<Conversions>())?;
        swap::restore(&folder.table::<Deliveries>(), &folder.staged_table::<Deliveries>())?;
        swap::remove(&options.folder.staging())?;
        make_folder(&options.folder.staging())?;
        Ok(Self {
            clicks: Shelf::open(&options)?,
            conversions: Shelf::open(&options)?,
            deliveries: Shelf::open(&options)?,
            options,
        })
    }

    /// Does all that can be done now.
    ///
    /// # Errors
    /// `Stopped`, or why the manifest cannot be read. What concerns one segment only is told and passed over.
    pub fn round(&mut self, watcher: &mut dyn Watcher) -> Result<()> {
        let Some(manifest) = Manifest::peek(self.options.reader.directory())? else { return Ok(()) };
        self.clicks.round(&self.options, &manifest, watcher)?;
        self.conversions.round(&self.options, &manifest, watcher)?;
        self.deliveries.round(&self.options, &manifest, watcher)
    }
}

impl Publisher {
    /// Takes away what is not to be there any more, and writes nothing: for a disk that is full.
    ///
    /// # Errors
    /// As `round`.
    pub fn make_room(&mut self, watcher: &mut dyn Watcher) -> Result<()> {
        let Some(manifest) = Manifest::peek(self.options.reader.directory())? else { return Ok(()) };
        self.clicks.make_room(&self.options, &manifest, watcher)?;
        self.conversions.make_room(&self.options, &manifest, watcher)?;
        self.deliveries.make_room(&self.options, &manifest, watcher)
    }
}

/// What is known of the files of one table.
#[derive(Debug)]
struct Shelf<T> {
    /// Which generation of each segment is published, by lane and number.
    published: BTreeMap<(u8, u32), Publication>,
    /// What else is written down: of earlier generations, or with files that are not there.
    others: Vec<Publication>,
    failing: BTreeMap<(u8, u32), Failing>,
    days: Days<T>,
    /// What was replaced, and when that was seen.
    replaced: BTreeMap<String, Duration>,
}

/// Something that is tried again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    not_before: Duration,
    pause: Duration,
}

impl Failing {
    /// Whether it is not yet to be tried again.
    pub(super) fn is_waiting(&self, now: Duration) -> bool {
        self.not_before > now
    }

    /// After one more failure.
    pub(super) fn again(before: Option<&Self>, now: Duration) -> Self {
        let pause = before.map_or(RETRY_FIRST, |before| (before.pause * 2).min(RETRY_MAX));
        Self { not_before: now + pause, pause }
    }
}

/// A sealed segment that is not published.
struct Pending {
    lane: u8,
    segment: u32,
    first_time: Timestamp,
    last_time: Timestamp,
}

impl<T: Table> Shelf<T> {
    fn open(options: &Options) -> Result<Self> {
        let folder = &options.folder;
        let closed: BTreeMap<_, _> = Closed::all::<T>(folder)?.into_iter().collect();
        let (mut published, mut others): (BTreeMap<(u8, u32), Publication>, _) =
            (BTreeMap::new(), Vec::new());
        let meta = folder.meta::<T>();
        for name in swap::names(&meta)?.iter().filter(|name| name.starts_with('n')) {
            let Some(found) = Publication::read(&meta.join(name))? else { continue };
            let is_whole = found.files.iter().all(|file| {
                let closed = file.day().and_then(|day| closed.get(&day));
                file.is_there(folder) || closed.is_some_and(|closed| closed.has(&found))
            });
            let key = (found.lane, found.segment);
            let is_newest = published.get(&key).is_none_or(|other| other.generation < found.generation);
            if is_whole && is_newest {
                others.extend(published.insert(key, found));
            } else {
                others.push(found);
            }
        }
        let known = published.values().chain(&others);
        let revisions = strays::remove::<T>(folder, &options.reader, &closed, known)?;
        write_schema::<T>(folder)?;
        let mut days = Days::new(closed, revisions);
        published.values().for_each(|publication| days.note(publication));
        Ok(Self { published, others, failing: BTreeMap::new(), days, replaced: BTreeMap::new() })
    }

    fn round(&mut self, options: &Options, manifest: &Manifest, watcher: &mut dyn Watcher) -> Result<()> {
        self.withdraw_dropped(options, manifest, watcher)?;
        let pending = self.pending(options, manifest);
        let (mut left, now) = (pending.len(), options.clock.monotonic());
        watcher.told(&News::Waiting { table: T::NAME, segments: left });
        let mut unpublished = Vec::new();
        for Pending { lane, segment, first_time, last_time } in pending {
            unpublished.push((first_time, last_time));
            let key = (lane, segment);
            if self.failing.get(&key).is_some_and(|failing| failing.is_waiting(now)) {
                continue;
            }
            match publish::<T>(&options.folder, &options.reader, key, |step| watcher.step(step)) {
                Ok(publication) => {
                    watcher.told(&News::Published { table: T::NAME, publication: &publication });
                    self.failing.remove(&key);
                    self.days.note(&publication);
                    self.published.insert(key, publication);
                    unpublished.pop();
                    left -= 1;
                    watcher.told(&News::Waiting { table: T::NAME, segments: left });
                }
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(error) => self.failed(key, &error, now, watcher),
            }
        }
        if watcher.may_merge() {
            self.days.round(options, manifest, &unpublished, watcher)?;
        }
        self.clear(options, now)
    }

    fn make_room(&mut self, options: &Options, manifest: &Manifest, watcher: &mut dyn Watcher) -> Result<()> {
        self.withdraw_dropped(options, manifest, watcher)?;
        self.clear(options, options.clock.monotonic())
    }

    /// Takes away what came of segments that the journals have dropped: retention is about every copy.
    fn withdraw_dropped(
        &mut self,
        options: &Options,
        manifest: &Manifest,
        watcher: &mut dyn Watcher,
    ) -> Result<()> {
        let now = options.clock.monotonic();
        let known = self.others.iter().chain(self.published.values());
        let dropped: Vec<Publication> =
            known.filter(|of| is_dropped::<T>(manifest, (of.node, of.lane, of.segment))).cloned().collect();
        for publication in dropped {
            let key = (publication.lane, publication.segment);
            if self.failing.get(&key).is_some_and(|failing| failing.is_waiting(now)) {
                continue;
            }
            match withdraw::<T>(&options.folder, &publication, |step| watcher.step(step)) {
                Ok(()) => {
                    self.published.remove(&key);
                    self.others.retain(|other| *other != publication);
                    self.failing.remove(&key);
                    self.days.forget(key);
                }
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(error) => self.failed(key, &error, now, watcher),
            }
        }
        Ok(())
    }

    /// Removes what was replaced long enough ago.
    fn clear(&mut self, options: &Options, now: Duration) -> Result<()> {
        let old = options.folder.old::<T>();
        let names = swap::names(&old)?;
        self.replaced.retain(|name, _| names.contains(name));
        for name in names {
            let since = *self.replaced.entry(name.clone()).or_insert(now);
            if now.saturating_sub(since) >= options.keep_replaced {
                swap::remove(&old.join(name))?;
            }
        }
        Ok(())
    }

    fn failed(&mut self, key: (u8, u32), error: &Error, now: Duration, watcher: &mut dyn Watcher) {
        let before = self.failing.get(&key);
        let (what, is_again) = (format!("segment {} of lane {}", key.1, key.0), before.is_some());
        watcher.told(&News::Failed { table: T::NAME, what, error, is_again });
        self.failing.insert(key, Failing::again(before, now));
    }

    /// The oldest first.
    fn pending(&self, options: &Options, manifest: &Manifest) -> Vec<Pending> {
        // What cannot be read now comes first, and says so. It keeps no day open: it may never be read.
        let none = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MIN));
        let mut pending = Vec::new();
        for (&(_, lane), entry) in manifest.lanes.iter().filter(|((journal, _), _)| *journal == T::JOURNAL) {
            let is_published = |segment, generation| {
                let published = self.published.get(&(lane, segment));
                published.is_some_and(|published| published.generation == generation)
            };
            let sealed = entry.segments.iter().filter(|(_, entry)| entry.state == State::Sealed);
            let mut left =
                sealed.filter(|(segment, entry)| !is_published(**segment, entry.generation)).peekable();
            if left.peek().is_none() {
                continue;
            }
            let files = options.reader.files(T::JOURNAL, lane).unwrap_or_default();
            let files: BTreeMap<u32, SegmentFile> =
                files.into_iter().map(|file| (file.segment, file)).collect();
            for (&segment, _) in left {
                let found = files.get(&segment).and_then(|file| footer_of(file).ok().flatten());
                let times = found.map(|footer| (footer.summary.first_time, footer.summary.last_time));
                let (first_time, last_time) = times.unwrap_or(none);
                pending.push(Pending { lane, segment, first_time, last_time });
            }
        }
        pending.sort_by_key(|pending| (pending.first_time, pending.lane, pending.segment));
        pending
    }
}

/// Whether it is of a segment that this store has, as that is now; those of other stores are taken to be.
pub(super) fn is_current<T: Table>(manifest: &Manifest, publication: &Publication) -> bool {
    let entry = manifest.entry(T::JOURNAL, publication.lane, publication.segment);
    publication.node != manifest.node || entry.is_some_and(|entry| entry.generation == publication.generation)
}

/// Whether a segment of a node is one that this store had and dropped. What is missing or in quarantine is in the manifest.
pub(super) fn is_dropped<T: Table>(manifest: &Manifest, (node, lane, segment): (u16, u8, u32)) -> bool {
    let known = manifest.lanes.get(&(T::JOURNAL, lane));
    node == manifest.node
        && known.is_some_and(|known| segment < known.next_segment && !known.segments.contains_key(&segment))
}

/// Writes down what the columns are, if that is not there.
fn write_schema<T: Table>(folder: &Folder) -> Result<()> {
    let column = |field: &Field<T>| serde_json::json!({ "name": field.name, "type": field.get.kind(), "required": field.is_required });
    let columns: Vec<_> = T::fields().iter().map(column).collect();
    let schema = serde_json::json!({ "table": T::NAME, "version": VERSION, "columns": columns });
    let (path, text) = (folder.meta::<T>().join("schema.json"), format!("{schema:#}\n"));
    if fs::read(&path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    make_folder(&folder.meta::<T>())?;
    Ok(write_whole(&path, text.as_bytes(), MODE)?)
}
