//! Roll-ups: sums of sealed segments, kept beside them, so that a report reads few files instead of all records.
//!
//! In: sealed segments of clicks and postbacks. Out: the sums of any days, each record in them once.
//! Keeps: whatever stops it, and whenever, the sums are right: files are written whole, and say themselves what is in
//! them (`rollup_folder`). All of them may be deleted: they are made again of the segments that are still there.
//! What was summed up stays so: a rewrite takes from a segment what is personal or too old, but neither changes what
//! happened, so reports still have the sums of what retention has dropped.
//! Not here: what is summed up (`rollup_sums`), when that is to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::event::codec::{Kind, decode};
use crate::store::manifest::{Manifest, State};
use crate::store::reader::{Cursor, Reader};
use crate::store::record::Record;
use crate::store::sealed::read_footer;
use crate::store::{self, Journal, Position};

use super::error::{Error, Result};
pub use super::rollup_file::{Head, SegmentId, Sink, Summed, encode};
use super::rollup_folder::{Days, Folder, SegmentSums, open, write};
pub use super::rollup_sums::{COUNTS, Count, Fact, Key, PARTS, Part, Sums, Tally, Texts};

/// See the module.
#[derive(Clone, Debug)]
pub struct Rollups {
    reader: Reader,
    pub(super) folder: Folder,
}

/// What a merge has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Files of days that were written.
    pub days: usize,
    /// Segments that need no file of their own any more.
    pub segments: usize,
}

/// What reading came to, beside sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Segments that had to be read through.
    pub scanned: usize,
    /// What could not be counted, and why.
    pub problems: Vec<String>,
}

impl Rollups {
    /// Those of a data folder; nothing if there is no store in it.
    ///
    /// # Errors
    /// What reading the manifest says.
    pub fn open(reader: &Reader) -> Result<Option<Self>> {
        let Some(manifest) = Manifest::peek(reader.directory())? else { return Ok(None) };
        let folder = Folder::new(reader.directory().root(), manifest.store, manifest.node);
        Ok(Some(Self { reader: reader.clone(), folder }))
    }

    /// Sealed segments whose sums are in no file, in order.
    ///
    /// # Errors
    /// What the system says.
    pub fn missing(&self) -> Result<Vec<SegmentId>> {
        let known = self.folder.segments()?;
        let days = self.folder.days(|_, _, _| Ok(Ok(())))?;
        let mut missing = Vec::new();
        for (id, state) in self.listed()? {
            if state == State::Sealed && !days.has_all(id) && self.summed(known.get(&id))?.is_none() {
                missing.push(id);
            }
        }
        Ok(missing)
    }

    /// Sums a sealed segment up, unless that was done. Says whether there is a new file.
    ///
    /// # Errors
    /// `NotSealed`, `Record` for one that this build cannot read, `Changed` if it was dropped meanwhile, or what reading and
    /// writing say.
    pub fn roll_up(&self, id: SegmentId) -> Result<bool> {
        let known = self.folder.segments()?;
        if self.summed(known.get(&id))?.is_some() || self.folder.days(|_, _, _| Ok(Ok(())))?.has_all(id) {
            return Ok(false);
        }
        self.make(id)?;
        Ok(true)
    }

    /// As `roll_up`, of one that is missing.
    pub(super) fn make(&self, id: SegmentId) -> Result<()> {
        let (tally, generation) = self.sum_up(id)?;
        self.keep(id, generation, &tally)
    }

    /// Puts the sums of all days before `until` (days since 1970, UTC) into one file a day, and removes files of segments
    /// that are not needed any more. `go_on` is asked before each file, and may break.
    ///
    /// # Errors
    /// What reading and writing say. What was done until then stays done.
    pub fn merge_days(&self, until: i64, mut go_on: impl FnMut() -> ControlFlow<()>) -> Result<Merged> {
        let mut days = self.folder.days(|_, _, _| Ok(Ok(())))?;
        for (path, _) in std::mem::take(&mut days.damaged) {
            set_aside(&path)?;
        }
        let mut segments = Vec::new();
        for generations in self.folder.segments()?.values() {
            segments.extend(self.summed(Some(generations))?);
        }
        let mut waiting: BTreeMap<i64, Vec<&(SegmentSums, Summed)>> = BTreeMap::new();
        for segment in &segments {
            let due = segment.1.days.iter().filter(|day| **day < until && !days.has(segment.0.id, **day));
            due.for_each(|day| waiting.entry(*day).or_default().push(segment));
        }
        let mut merged = Merged::default();
        for (day, sources) in waiting {
            if go_on().is_break() {
                return Ok(merged);
            }
            self.merge_day(day, &sources, &mut days)?;
            merged.days += 1;
        }
        for (file, summed) in &segments {
            if summed.days.is_empty() || !days.has_all(file.id) {
                continue;
            }
            if go_on().is_break() {
                return Ok(merged);
            }
            fs::remove_file(&file.path).map_err(Error::io("remove", &file.path))?;
            merged.segments += 1;
        }
        Ok(merged)
    }

    fn merge_day(&self, day: i64, sources: &[&(SegmentSums, Summed)], days: &mut Days) -> Result<()> {
        let mut sink = OfDays::new(|of| of == day);
        let mut segments = Vec::new();
        if let Some((path, _)) = days.files.get(&day) {
            match self.whole(path)? {
                Some((head, bytes)) => {
                    head.rows(&bytes, &mut sink).map_err(Error::unreadable(path))?;
                    segments = head.segments;
                }
                // Its segments are missing now: they are merged again, or summed up again.
                None => {
                    set_aside(path)?;
                    days.forget(day);
                }
            }
        }
        for (file, summed) in sources {
            let Some((head, bytes)) = self.whole(&file.path)? else { continue };
            head.rows(&bytes, &mut sink).map_err(Error::unreadable(&file.path))?;
            segments.push(summed.clone());
        }
        segments.sort_by_key(|summed| summed.id);
        let path = self.folder.day(day);
        let bytes = encode(self.folder.store(), &segments, &sink.tally);
        write(&path, &bytes)?;
        let head = Head::decode(&bytes).map_err(Error::unreadable(&path))?;
        days.note(day, path, head);
        Ok(())
    }

    /// Gives `sink` all sums of these days (since 1970, UTC), each once. Of segments that nobody has summed up, the one that
    /// is still written too, they are made, and left beside the others if `leaves` says so and this process may.
    /// `progress` is told of each file: how many are done, of how many.
    ///
    /// # Errors
    /// What the system says of a folder or file; what a segment holds is only noted.
    pub fn read(
        &self,
        wanted: Range<i64>,
        leaves: bool,
        progress: store::Progress<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Noted> {
        // First, because what is in none of these any more is in a day's file by now.
        let known = self.folder.segments()?;
        let listed = self.listed()?;
        let mut noted = Noted::default();
        let mut files = 0;
        let days = self.folder.days(|day, file, head| {
            if !wanted.contains(&day) {
                return Ok(Ok(()));
            }
            files += 1;
            progress(files, files);
            let mut bytes = Vec::new();
            let path = self.folder.day(day);
            let mut file = file;
            file.read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
            Ok(head.rows(&bytes, sink))
        })?;
        for (path, what) in &days.damaged {
            let name = path.file_name().unwrap_or_default().display();
            noted.problems.push(format!("the roll-up {name} cannot be read: {what}"));
        }
        let all: BTreeSet<SegmentId> = known.keys().chain(listed.keys()).copied().collect();
        let all: Vec<SegmentId> = all.into_iter().filter(|id| !days.has_all(*id)).collect();
        let leaves = leaves && self.may_write();
        for (done, id) in (1..).zip(&all) {
            let mut part = Remaining { days: &days, id: *id, wanted: &wanted, sink };
            let read = self.read_segment(*id, known.get(id), listed.get(id), leaves, &mut part);
            match read {
                Ok(is_scanned) => noted.scanned += usize::from(is_scanned),
                Err(error) => {
                    let SegmentId { journal, lane, segment } = id;
                    let name = format!("segment {segment} of {}, lane {lane}", journal.name());
                    noted.problems.push(format!("{name} is not counted: {}", store::described(&error)));
                }
            }
            progress(files + done, files + all.len() as u64);
        }
        Ok(noted)
    }

    /// Gives what a segment has; says whether it had to be read through.
    fn read_segment(
        &self,
        id: SegmentId,
        known: Option<&Vec<SegmentSums>>,
        state: Option<&State>,
        leaves: bool,
        part: &mut Remaining<'_>,
    ) -> Result<bool> {
        for file in known.into_iter().flatten() {
            if let Some((head, bytes)) = self.whole(&file.path)? {
                let days = head.segments.iter().flat_map(|summed| &summed.days);
                if days.into_iter().any(|day| part.wants(*day)) {
                    head.rows(&bytes, part).map_err(Error::unreadable(&file.path))?;
                }
                return Ok(false);
            }
        }
        let is_sealed = match state {
            Some(State::Sealed) => true,
            Some(State::Open) => false,
            Some(State::Reserved) => return Ok(false),
            Some(State::Quarantined) => return Err(self.not_readable(id, "it is in quarantine")),
            Some(State::Missing) => return Err(self.not_readable(id, "its file is missing")),
            None => return Err(self.changed(id)),
        };
        if is_sealed && !self.may_have(id, part)? {
            return Ok(false);
        }
        let (tally, generation) = if is_sealed { self.sum_up(id)? } else { (self.tally(id)?, 0) };
        if is_sealed && leaves {
            // Whoever cannot leave it, reads it again the next time.
            let _unkept = self.keep(id, generation, &tally);
        }
        give(&tally, part);
        Ok(true)
    }

    /// Whether a sealed segment can have anything of the days that are wanted, by its footer.
    fn may_have(&self, id: SegmentId, part: &Remaining<'_>) -> Result<bool> {
        let (_, footer) = self.footer(id)?;
        let day = |time: crate::clock::Timestamp| time.hour().div_euclid(24);
        let (first, last) = (day(footer.summary.first_time), day(footer.summary.last_time));
        Ok(footer.summary.records > 0 && first < part.wanted.end && last >= part.wanted.start)
    }

    /// The sums of a sealed segment, and of which rewrite of it.
    fn sum_up(&self, id: SegmentId) -> Result<(Tally, u32)> {
        let (generation, _) = self.footer(id)?;
        Ok((self.tally(id)?, generation))
    }

    /// Reads a segment through.
    pub(super) fn tally(&self, id: SegmentId) -> Result<Tally> {
        let SegmentId { journal, lane, segment } = id;
        let mut tally = Tally::default();
        let mut failed = None;
        self.reader.read(journal, lane, Cursor { segment, offset: 0 }, |position, record| {
            if position.segment() != segment {
                return ControlFlow::Break(());
            }
            match take(journal, position, record, &mut tally) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(tally), Err)
    }

    fn keep(&self, id: SegmentId, generation: u32, tally: &Tally) -> Result<()> {
        let summed = Summed { id, generation, days: tally.days() };
        let path = self.folder.segment(id, generation);
        write(&path, &encode(self.folder.store(), &[summed], tally))
    }

    /// The first of a segment's files that can be used, and what it says of the segment.
    fn summed(&self, generations: Option<&Vec<SegmentSums>>) -> Result<Option<(SegmentSums, Summed)>> {
        for file in generations.into_iter().flatten() {
            if let Some((head, _)) = self.whole(&file.path)?
                && let [summed] = &head.segments[..]
                && summed.id == file.id
            {
                return Ok(Some((file.clone(), summed.clone())));
            }
        }
        Ok(None)
    }

    /// A file whose checksums hold, and its bytes.
    fn whole(&self, path: &Path) -> Result<Option<(Head, Vec<u8>)>> {
        let Some(mut file) = open(path)? else { return Ok(None) };
        let Ok(head) = self.folder.head(&file, path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::io("read", path))?;
        Ok(head.rows(&bytes, &mut Nobody).is_ok().then_some((head, bytes)))
    }

    /// Every segment that the manifest names.
    fn listed(&self) -> Result<BTreeMap<SegmentId, State>> {
        let manifest = Manifest::peek(self.reader.directory())?;
        let lanes = manifest.into_iter().flat_map(|manifest| manifest.lanes);
        let of_lane = |((journal, lane), entry): ((Journal, u8), store::manifest::LaneEntry)| {
            entry
                .segments
                .into_iter()
                .map(move |(segment, entry)| (SegmentId { journal, lane, segment }, entry.state))
        };
        Ok(lanes.filter(|((journal, _), _)| *journal != Journal::Deliveries).flat_map(of_lane).collect())
    }

    pub(super) fn footer(&self, id: SegmentId) -> Result<(u32, store::layout::Footer)> {
        let SegmentId { journal, lane, segment } = id;
        let directory = self.reader.directory();
        let entry = Manifest::peek(directory)?.and_then(|manifest| manifest.entry(journal, lane, segment));
        let generation = entry.ok_or_else(|| self.changed(id))?.generation;
        let path = directory.segment(journal, lane, segment, generation);
        let file = open(&path)?.ok_or_else(|| self.changed(id))?;
        let footer = read_footer(&file).map_err(Error::io("read", &path))?;
        let not_sealed = || Error::NotSealed { table: journal.name(), lane, segment };
        Ok((generation, footer.ok_or_else(not_sealed)?))
    }

    /// Whether files of this process are as good as the daemon's: it has to be able to remove them.
    fn may_write(&self) -> bool {
        let owner = fs::metadata(self.reader.directory().root()).map(|found| found.uid());
        owner.is_ok_and(|owner| owner == rustix::process::geteuid().as_raw())
    }

    fn changed(&self, id: SegmentId) -> Error {
        Error::Changed { table: id.journal.name(), lane: id.lane, segment: id.segment }
    }

    fn not_readable(&self, id: SegmentId, what: &'static str) -> Error {
        Error::unreadable(&self.reader.directory().lane(id.journal, id.lane))(what)
    }
}

/// Takes a record into a tally, if it is of a kind that is summed up.
fn take(journal: Journal, position: Position, record: &Record<'_>, tally: &mut Tally) -> Result<()> {
    const SUMMED: [Kind; 4] = [Kind::Click, Kind::ForeignClick, Kind::Decision, Kind::CostUpdate];
    // What a newer build has added is in none of these sums.
    if SUMMED.iter().any(|kind| kind.code() == record.kind) {
        let event = decode(record.kind, record.schema, record.payload).map_err(|source| Error::Record {
            table: journal.name(),
            position,
            source,
        })?;
        tally.take(&event);
    }
    Ok(())
}

/// Gives all that is in a tally.
pub(super) fn give(tally: &Tally, sink: &mut dyn Sink) {
    let texts: Vec<&str> = tally.texts().all().iter().map(|text| &**text).collect();
    sink.texts(&texts);
    tally.rows().for_each(|(key, sums)| sink.row(key, sums));
}

/// Adds rows of some days to a tally.
pub(super) struct OfDays<F> {
    pub(super) tally: Tally,
    /// Of the texts of the file that is read: their numbers in the tally.
    numbers: Vec<u32>,
    takes: F,
}

impl<F: Fn(i64) -> bool> OfDays<F> {
    pub(super) fn new(takes: F) -> Self {
        Self { tally: Tally::default(), numbers: Vec::new(), takes }
    }
}

impl<F: Fn(i64) -> bool> Sink for OfDays<F> {
    fn texts(&mut self, texts: &[&str]) {
        self.numbers = texts.iter().map(|text| self.tally.number(text)).collect();
    }

    fn row(&mut self, key: &Key, sums: &Sums) {
        if (self.takes)(key.day()) {
            let parts = key.parts.map(|part| self.numbers.get(part as usize).copied().unwrap_or_default());
            self.tally.add_to(Key { hour: key.hour, parts }, sums);
        }
    }
}

/// Gives on what of a segment is wanted and in no day's file.
struct Remaining<'a> {
    days: &'a Days,
    id: SegmentId,
    wanted: &'a Range<i64>,
    sink: &'a mut dyn Sink,
}

impl Remaining<'_> {
    fn wants(&self, day: i64) -> bool {
        self.wanted.contains(&day) && !self.days.has(self.id, day)
    }
}

impl Sink for Remaining<'_> {
    fn texts(&mut self, texts: &[&str]) {
        self.sink.texts(texts);
    }

    fn row(&mut self, key: &Key, sums: &Sums) {
        if self.wants(key.day()) {
            self.sink.row(key, sums);
        }
    }
}

/// Looks whether rows can be read.
struct Nobody;

impl Sink for Nobody {
    fn texts(&mut self, _texts: &[&str]) {}

    fn row(&mut self, _key: &Key, _sums: &Sums) {}
}

/// Out of the way, but not out of sight: the segments that it was made of may be gone.
fn set_aside(path: &Path) -> Result<()> {
    fs::rename(path, path.with_extension("damaged")).map_err(Error::io("rename", path))
}
