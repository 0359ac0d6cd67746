//! A segment is published: written aside, synced, and moved to where readers look.
//!
//! In: a sealed segment. Out: its files in `export`, and what came of it written down beside that.
//! Keeps: whatever stops it, and wherever, a day's folder has the whole file or none; whoever publishes the same segment
//! again gets the same names and bytes, and if all was done, nothing is written. What is written down is written last.
//! The files of an earlier generation go at the moment when those of the new one come. Rows that are in the files of a
//! whole day (`closed`) get no file of their own: the day is merged again.
//! Not here: which segments are to be published, and when a day is merged (`publisher`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::directory::{make_folder, sync_folder, write_whole};
use crate::store::reader::Reader;

use super::closed::Closed;
use super::error::{Error, Result};
use super::folder::{Day, Folder, is_of_other_generation};
use super::segment::{Origin, Part, Source, Told, identify, write_file_told};
use super::summed_file::SummedFile;
use super::swap;
use super::table::Table;

/// Who else may read a file: its group. What is in it is about people.
pub(super) const MODE: u32 = 0o640;

/// How hard zstd tries. Clicks get no smaller with more: `cargo bench --bench store -- parquet`.
pub const LEVEL: i32 = 2;

/// What has just been done. Whoever publishes is told, and may stop it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes of journals were read.
    Read {
        /// Since the last such step.
        bytes: u64,
    },
    /// A file is written aside, and synced.
    Staged,
    /// A file is where readers look.
    Moved,
    /// Its name is durable.
    Named,
    /// What is about to take the place of others is written down.
    Announced,
    /// Files of a day have taken the place of others.
    Swapped,
    /// What came of the segment, or of the day, is written down.
    Recorded,
}

/// What came of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Its node.
    pub node: u16,
    /// Its lane.
    pub lane: u8,
    /// Its number.
    pub segment: u32,
    /// Which rewrite of it.
    pub generation: u32,
    /// One for each day that it has rows of.
    pub files: Vec<Published>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Below `export`.
    pub path: PathBuf,
    /// How many rows it has.
    pub rows: u64,
    /// How long it is.
    pub bytes: u64,
    /// Checksum over all of it; nothing for what was published before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<u32>,
    /// When its first row happened.
    pub first_time: String,
    /// When its last row did.
    pub last_time: String,
}

/// Publishes a sealed segment, unless that was done. `each_step` is told of each step and may break there: then it is as if
/// the process had died, and the next time does the rest.
///
/// # Errors
/// `Stopped`, or as `Source::open` and `write_file`, or what the system says of a file.
pub fn publish<T: Table>(
    folder: &Folder,
    reader: &Reader,
    (lane, segment): (u8, u32),
    mut each_step: impl FnMut(Step) -> ControlFlow<()>,
) -> Result<Publication> {
    let mut step = |step| if each_step(step).is_break() { Err(Error::Stopped) } else { Ok(()) };
    let origin = identify::<T>(reader, lane, segment)?;
    let record = folder.record::<T>(&origin);
    if let Some(done) = whole::<T>(folder, &record, &origin)? {
        return Ok(done);
    }
    let source = Source::<T>::open_told(reader, (lane, segment), &mut |bytes| step(Step::Read { bytes }))?;
    make_folder(&folder.staging())?;
    let mut staged = Vec::new();
    for part in source.parts() {
        staged.push(stage(folder, &source, part, &mut |bytes| step(Step::Read { bytes }))?);
        step(Step::Staged)?;
    }
    // No sooner than all are written: what cannot be written whole is not begun.
    let mut outdated = outdated::<T>(folder, &origin)?;
    for (from, published) in &staged {
        let outdated = published.day().and_then(|day| outdated.remove(&day)).unwrap_or_default();
        show::<T>(folder, &origin, (from, published), &outdated, &mut step)?;
    }
    for (day, outdated) in outdated {
        hide::<T>(folder, day, &outdated)?;
        step(Step::Swapped)?;
    }
    let (node, generation) = (origin.node, origin.generation);
    let files = staged.into_iter().map(|(_, published)| published).collect();
    let publication = Publication { node, lane, segment, generation, files };
    write_record(&record, &publication)?;
    forget_earlier::<T>(folder, &origin)?;
    step(Step::Recorded)?;
    Ok(publication)
}

/// Takes away what came of a segment that the journals have dropped. What of it is in files of whole days goes when those are
/// merged again. What is written down goes last, so that a next run finishes it.
///
/// # Errors
/// `Stopped`, or what the system says.
pub(super) fn withdraw<T: Table>(
    folder: &Folder,
    publication: &Publication,
    mut each_step: impl FnMut(Step) -> ControlFlow<()>,
) -> Result<()> {
    let mut step = |step| if each_step(step).is_break() { Err(Error::Stopped) } else { Ok(()) };
    for file in &publication.files {
        let path = folder.export().join(&file.path);
        if !remove(&path)? {
            continue;
        }
        step(Step::Moved)?;
        let day = path.parent().unwrap_or(Path::new("."));
        sync_folder(day)?;
        // If it was the last of the day, there is none.
        let _others = fs::remove_dir(day);
        step(Step::Named)?;
    }
    remove(&folder.record_of::<T>(publication))?;
    step(Step::Recorded)
}

/// Removes a file; says whether it was there.
fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

/// Moves a file to where readers look, in place of those of other generations.
fn show<T: Table>(
    folder: &Folder,
    origin: &Origin,
    (from, published): (&Path, &Published),
    outdated: &[String],
    step: &mut impl FnMut(Step) -> Result<()>,
) -> Result<()> {
    let to = folder.export().join(&published.path);
    let (path, day) = (to.parent().unwrap_or(Path::new(".")), published.day());
    let closed = day.map(|day| Closed::read::<T>(folder, day)).transpose()?.flatten();
    if closed.is_some_and(|closed| closed.holds(origin)) {
        return fs::remove_file(from).map_err(Error::io("remove", from));
    }
    make_folder(path)?;
    let Some(day) = day.filter(|_| !outdated.is_empty()) else {
        fs::rename(from, &to).map_err(Error::io("rename to", &to))?;
        step(Step::Moved)?;
        sync_folder(path)?;
        return step(Step::Named);
    };
    let beside = folder.staged_day::<T>(day);
    swap::begin(&beside)?;
    let inside = beside.join(to.file_name().unwrap_or_default());
    fs::rename(from, &inside).map_err(Error::io("rename to", &inside))?;
    let is_it = |name: &str| to.file_name().is_some_and(|own| own == name);
    swap::carry_over(path, &beside, |name| !is_it(name) && outdated.iter().all(|other| other != name))?;
    swap::exchange(path, &beside)?;
    step(Step::Swapped)?;
    swap::put_by(&beside, &folder.old::<T>())
}

/// Takes files of other generations away from a day of which this one has no row.
fn hide<T: Table>(folder: &Folder, day: Day, outdated: &[String]) -> Result<()> {
    let (path, beside) = (folder.day::<T>(day), folder.staged_day::<T>(day));
    swap::begin(&beside)?;
    swap::carry_over(&path, &beside, |name| outdated.iter().all(|other| other != name))?;
    swap::exchange(&path, &beside)?;
    swap::put_by(&beside, &folder.old::<T>())?;
    // If it was the last of the day, there is none.
    let _others = fs::remove_dir(&path);
    Ok(())
}

/// The files of other generations of a segment that readers see, by day.
fn outdated<T: Table>(folder: &Folder, origin: &Origin) -> Result<BTreeMap<Day, Vec<String>>> {
    let mut found = BTreeMap::new();
    if origin.generation == 0 {
        return Ok(found);
    }
    for path in swap::days(&folder.table::<T>())? {
        let mut names = swap::names(&path)?;
        names.retain(|name| is_of_other_generation(name, origin));
        if let Some(day) = Day::of_path(&path).filter(|_| !names.is_empty()) {
            found.insert(day, names);
        }
    }
    Ok(found)
}

fn forget_earlier<T: Table>(folder: &Folder, origin: &Origin) -> Result<()> {
    for generation in 0..origin.generation {
        remove(&folder.record::<T>(&origin.at(generation)))?;
    }
    Ok(())
}

impl Published {
    /// The day of its rows.
    pub fn day(&self) -> Option<Day> {
        Day::of_path(&self.path)
    }

    /// Its own name.
    pub(super) fn name(&self) -> Option<String> {
        Some(self.path.file_name()?.to_string_lossy().into_owned())
    }

    /// Whether it is where it should be, as long as it was.
    pub(super) fn is_there(&self, folder: &Folder) -> bool {
        fs::metadata(folder.export().join(&self.path)).is_ok_and(|found| found.len() == self.bytes)
    }
}

/// Writes a part aside.
fn stage<T: Table>(
    folder: &Folder,
    source: &Source<T>,
    part: Part,
    told: Told<'_>,
) -> Result<(PathBuf, Published)> {
    let path = folder.file::<T>(source.origin(), part.first_time);
    let aside = folder.staging().join(path.file_name().unwrap_or_default());
    let out = BufWriter::new(SummedFile::create(&aside)?);
    let out = write_file_told(source, part, out, LEVEL, told)?;
    let (bytes, crc32c) = SummedFile::finish(out, &aside)?;
    let (first_time, last_time) = (part.first_time.to_string(), part.last_time.to_string());
    Ok((aside, Published { path, rows: part.rows, bytes, crc32c: Some(crc32c), first_time, last_time }))
}

/// What is written down, if all that it names is there: as a file of its own, or in one of a whole day.
fn whole<T: Table>(folder: &Folder, record: &Path, origin: &Origin) -> Result<Option<Publication>> {
    let Some(publication) = Publication::read(record)? else { return Ok(None) };
    for file in publication.files.iter().filter(|file| !file.is_there(folder)) {
        let closed = file.day().map(|day| Closed::read::<T>(folder, day)).transpose()?.flatten();
        if !closed.is_some_and(|closed| closed.holds(origin)) {
            return Ok(None);
        }
    }
    Ok(Some(publication))
}

impl Publication {
    /// Reads what was written down. What cannot be read is none, and is made again: it follows from the segment.
    pub(super) fn read(record: &Path) -> Result<Option<Self>> {
        match fs::read(record) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", record)(error)),
        }
    }
}

fn write_record(record: &Path, publication: &Publication) -> Result<()> {
    make_folder(record.parent().unwrap_or(Path::new(".")))?;
    let bytes = serde_json::to_vec_pretty(publication).map_err(io::Error::from);
    write_whole(record, &bytes.map_err(Error::io("write", record))?, MODE)?;
    Ok(())
}
