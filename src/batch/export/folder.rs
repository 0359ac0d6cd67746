//! An export into a folder: a file for each segment and day, named as published files are.
//!
//! ```text
//! OUT/dt=2026-11-20/clicks-20261120T070000Z-n0-l00-s0000001-g0.csv
//! OUT.export/plan.json                what is exported: whoever goes on must want the same
//! OUT.export/l00-s0000001.json        what came of a segment
//! ```
//!
//! Keeps: nothing but whole files is ever in `OUT`. Run again it goes on where it stopped: a segment that was sealed then
//! is left as it is; one that was still written, or that was rewritten since, is exported again, and then its old files go.
//! Segments that are gone from the journals stay in the folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::Format;
use super::ordered::in_order;
use super::stream::MODE;
use super::{BLOCK_LIMITS, ExportError, Filter, Job, Options, Report, Shape, Tell, What};
use crate::compactor::folder::Folder;
use crate::compactor::listed::Listed;
use crate::compactor::table::{Table, VERSION};
use crate::compactor::{Part, Source};
use crate::store::directory::{make_folder, sync_folder, write_whole};

/// What is exported. Another plan gives other files.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    version: String,
    what: What,
    shape: Shape,
    columns: Vec<String>,
    filters: Vec<Filter>,
    from: Option<String>,
    to: Option<String>,
}

/// What came of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Done {
    generation: u32,
    /// Whether it was sealed then: if not, it has more rows now.
    is_sealed: bool,
    /// Whether all files have their names, and old ones are gone.
    is_done: bool,
    files: Vec<Written>,
    /// Files of an earlier run that these replace.
    obsolete: Vec<PathBuf>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    /// Below the folder.
    path: PathBuf,
    rows: u64,
    bytes: u64,
}

/// Writes what is not there yet.
pub(super) fn write<T: Table, F: Format<T>>(
    job: &Job<'_, T, F>,
    out: &Path,
    tell: Tell<'_>,
) -> Result<Report, ExportError> {
    let place = Place::open(out, job.options)?;
    let segments = job.segments()?;
    let (of, mut left) = (segments.len() as u64, segments.into_iter());
    let (mut report, mut done) = (Report::default(), 0);
    let write = |listed: Listed| -> Result<_, ExportError> {
        if place.is_whole(&listed)? {
            return Ok(None);
        }
        let staged = place.stage(job, &listed)?;
        Ok(Some((listed, staged)))
    };
    let next = || Ok::<_, ExportError>(left.next());
    in_order(job.options.threads, next, write, |written| {
        match written {
            None => report.known_segments += 1,
            Some((listed, staged)) => {
                let finished = place.finish(&listed, staged)?;
                report.files += finished.len() as u64;
                report.rows += finished.iter().map(|file| file.rows).sum::<u64>();
            }
        }
        done += 1;
        tell(done, of, report.rows);
        Ok(())
    })?;
    Ok(report)
}

/// The folder, and the one beside it.
struct Place {
    out: PathBuf,
    beside: PathBuf,
    /// Held for as long as this run goes.
    _lock: File,
}

/// Files that wait for their names.
type Staged = Vec<(PathBuf, Written)>;

impl Place {
    fn open(out: &Path, options: &Options) -> Result<Self, ExportError> {
        make_folder(out)?;
        let out = fs::canonicalize(out).map_err(ExportError::io("find", out))?;
        let mut beside = out.as_os_str().to_owned();
        beside.push(".export");
        let beside = PathBuf::from(beside);
        make_folder(&beside)?;
        let path = beside.join("plan.json");
        let lock = beside.join("lock");
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(MODE).open(&lock);
        let lock = open.map_err(ExportError::io("open", &lock))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ExportError::Busy { path: out }),
            Err(TryLockError::Error(error)) => return Err(ExportError::io("lock", &beside)(error)),
        }
        let plan = Plan::of(options);
        match read::<Plan>(&path)? {
            Some(known) if known != plan => return Err(ExportError::OtherExport { path: out }),
            Some(_) => {}
            None => write_json(&path, &plan)?,
        }
        Ok(Self { out, beside, _lock: lock })
    }

    fn record(&self, listed: &Listed) -> PathBuf {
        let (lane, segment) = (listed.origin.lane, listed.origin.segment);
        self.beside.join(format!("l{lane:02}-s{segment:07}.json"))
    }

    /// Whether an earlier run has written all of a segment as it is now.
    fn is_whole(&self, listed: &Listed) -> Result<bool, ExportError> {
        let Some(done) = read::<Done>(&self.record(listed))? else { return Ok(false) };
        let is_there = |file: &Written| {
            fs::metadata(self.out.join(&file.path)).is_ok_and(|found| found.len() == file.bytes)
        };
        Ok(done.is_done
            && done.is_sealed
            && done.generation == listed.origin.generation
            && done.files.iter().all(is_there))
    }

    /// Writes all files of a segment aside.
    fn stage<T: Table, F: Format<T>>(
        &self,
        job: &Job<'_, T, F>,
        listed: &Listed,
    ) -> Result<Staged, ExportError> {
        let source = Source::<T>::open_listed(job.reader, listed, BLOCK_LIMITS)?;
        let mut block = job.format.block();
        let mut staged = Vec::new();
        for part in source.parts().filter(|part| job.may_have(*part)) {
            staged.extend(self.stage_part(job, &source, part, &mut block)?);
        }
        Ok(staged)
    }

    /// Nothing if none of its rows is wanted.
    fn stage_part<T: Table, F: Format<T>>(
        &self,
        job: &Job<'_, T, F>,
        source: &Source<T>,
        part: Part,
        block: &mut F::Block,
    ) -> Result<Option<(PathBuf, Written)>, ExportError> {
        // The same names as published files have, in folders of days alone.
        let named = Folder::new("").file::<T>(source.origin(), part.first_time);
        let named = named.with_extension(job.options.shape.extension());
        let path: PathBuf = named.iter().skip(2).collect();
        let aside = self.beside.join(path.file_name().unwrap_or_default());
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(MODE).open(&aside);
        let file = file.map_err(ExportError::io("create", &aside))?;
        let mut file = job.format.begin(file, true).map_err(ExportError::write(&aside))?;
        let mut rows = 0;
        for group in 0..source.groups(part) {
            rows += job.fill(source, (part, group), block)?;
            job.format.write(&mut file, block).map_err(ExportError::write(&aside))?;
        }
        let file = job.format.finish(file).map_err(ExportError::write(&aside))?;
        if rows == 0 {
            fs::remove_file(&aside).map_err(ExportError::io("remove", &aside))?;
            return Ok(None);
        }
        file.sync_all().map_err(ExportError::io("sync", &aside))?;
        let bytes = file.metadata().map_err(ExportError::io("stat", &aside))?.len();
        Ok(Some((aside, Written { path, rows, bytes })))
    }

    /// Gives a segment's files their names, and takes those away that they replace.
    fn finish(&self, listed: &Listed, staged: Staged) -> Result<Vec<Written>, ExportError> {
        let record = self.record(listed);
        let files: Vec<Written> = staged.iter().map(|(_, written)| written.clone()).collect();
        let before = read::<Done>(&record)?.unwrap_or_default();
        let old = before.files.into_iter().map(|file| file.path).chain(before.obsolete);
        let obsolete = old.filter(|path| !files.iter().any(|file| file.path == *path)).collect();
        let (generation, is_sealed) = (listed.origin.generation, listed.sealed.is_some());
        let mut done = Done { generation, is_sealed, is_done: false, files, obsolete };
        // First what is meant: whoever goes on after this knows which files are to go.
        write_json(&record, &done)?;
        for (aside, written) in &staged {
            let to = self.out.join(&written.path);
            let day = to.parent().unwrap_or(&self.out);
            make_folder(day)?;
            fs::rename(aside, &to).map_err(ExportError::io("rename to", &to))?;
            sync_folder(day)?;
        }
        for path in &done.obsolete {
            let path = self.out.join(path);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ExportError::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        (done.is_done, done.obsolete) = (true, Vec::new());
        write_json(&record, &done)?;
        Ok(done.files)
    }
}

impl Plan {
    fn of(options: &Options) -> Self {
        let window = options.window;
        Self {
            version: VERSION.to_owned(),
            what: options.what,
            shape: options.shape,
            columns: options.columns.clone(),
            filters: options.filters.clone(),
            from: window.from.map(|time| time.to_string()),
            to: window.to.map(|time| time.to_string()),
        }
    }
}

/// Nothing if there is none, or none that this build can read: it is made again.
fn read<V: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<V>, ExportError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ExportError::io("read", path)(error)),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ExportError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(io::Error::from);
    Ok(write_whole(path, &bytes.map_err(ExportError::io("write", path))?, MODE)?)
}
