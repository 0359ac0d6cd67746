//! An export into one file.
//!
//! In: a job. Out: all of its rows, written in order; groups of them are made ready on several threads meanwhile.
//! Keeps: a file gets its name when it is whole and on disk; before, and if it fails, there is none of that name, or the
//! old one. In memory are a few blocks for each thread.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::format::Format;
use super::ordered::in_order;
use super::{BLOCK_LIMITS, ExportError, Job, Report, Tell};
use crate::compactor::listed::Listed;
use crate::compactor::table::Table;
use crate::compactor::{Part, Source};
use crate::store::directory::sync_folder;

/// Who else may read a file: its group. What is in it is about people.
pub(super) const MODE: u32 = 0o640;

/// Writes to a new file, and gives it the name when it is whole.
pub(super) fn write_file<T: Table, F: Format<T>>(
    job: &Job<'_, T, F>,
    path: &Path,
    tell: Tell<'_>,
) -> Result<Report, ExportError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".partial");
    let aside = PathBuf::from(aside);
    let file = OpenOptions::new().create(true).write(true).truncate(false).mode(MODE).open(&aside);
    let file = file.map_err(ExportError::io("create", &aside))?;
    // Two at once would write into one another, and what they left would have a name.
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(ExportError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(ExportError::io("lock", &aside)(error)),
    }
    // One that has just ended has given this file its name.
    if !is_same(&file, &aside) {
        return Err(ExportError::Busy { path: path.to_owned() });
    }
    file.set_len(0).map_err(ExportError::io("empty", &aside))?;
    let written = write(job, file, path, tell).and_then(|(file, report)| {
        file.sync_all().map_err(ExportError::io("sync", path))?;
        std::fs::rename(&aside, path).map_err(ExportError::io("rename to", path))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        sync_folder(folder.unwrap_or(Path::new(".")))?;
        Ok(report)
    });
    if written.is_err() {
        // What stopped it is told; that this is left over too would say nothing more.
        let _left_over = std::fs::remove_file(&aside);
    }
    written
}

/// Whether a file is still called so.
fn is_same(file: &File, path: &Path) -> bool {
    let which = |found: std::fs::Metadata| (found.dev(), found.ino());
    file.metadata()
        .map(which)
        .is_ok_and(|open| std::fs::metadata(path).map(which).is_ok_and(|named| named == open))
}

/// Rows of one group, made ready.
struct Made<B> {
    block: B,
    rows: u64,
    /// Segments that are begun.
    segments: u64,
}

/// Writes to what is open.
pub(super) fn write<T: Table, F: Format<T>>(
    job: &Job<'_, T, F>,
    out: File,
    path: &Path,
    tell: Tell<'_>,
) -> Result<(File, Report), ExportError> {
    let segments = job.segments()?;
    let of = segments.len() as u64;
    let mut groups = Groups { job, segments: segments.into(), begun: 0, now: None };
    let spare: Mutex<Vec<F::Block>> = Mutex::default();
    let lock = || spare.lock().unwrap_or_else(PoisonError::into_inner);
    let mut report = Report { files: 1, ..Report::default() };
    let mut file = job.format.begin(out, false).map_err(ExportError::write(path))?;
    let make = |(source, part, group, segments): Group<T>| {
        let kept = lock().pop();
        let mut block = kept.unwrap_or_else(|| job.format.block());
        let rows = job.fill(&source, (part, group), &mut block)?;
        Ok(Made { block, rows, segments })
    };
    in_order(
        job.options.threads,
        || groups.next_group(),
        make,
        |mut made| {
            report.rows += made.rows;
            job.format.write(&mut file, &mut made.block).map_err(ExportError::write(path))?;
            lock().push(made.block);
            tell(made.segments - 1, of, report.rows);
            Ok(())
        },
    )?;
    let out = job.format.finish(file).map_err(ExportError::write(path))?;
    Ok((out, report))
}

/// A group of a part of a segment, and how many segments were begun with it.
type Group<T> = (Arc<Source<T>>, Part, usize, u64);

/// A segment, and what is left of it.
type Begun<T> = (Arc<Source<T>>, VecDeque<(Part, usize)>);

/// All groups of all segments, in order.
struct Groups<'a, T: Table, F> {
    job: &'a Job<'a, T, F>,
    segments: VecDeque<Listed>,
    begun: u64,
    /// The segment at hand.
    now: Option<Begun<T>>,
}

impl<T: Table, F: Format<T>> Groups<'_, T, F> {
    fn next_group(&mut self) -> Result<Option<Group<T>>, ExportError> {
        loop {
            if let Some((source, left)) = &mut self.now
                && let Some((part, group)) = left.pop_front()
            {
                return Ok(Some((source.clone(), part, group, self.begun)));
            }
            let Some(listed) = self.segments.pop_front() else { return Ok(None) };
            self.begun += 1;
            let source = Source::open_listed(self.job.reader, &listed, BLOCK_LIMITS)?;
            let parts: Vec<Part> = source.parts().filter(|part| self.job.may_have(*part)).collect();
            let groups = |part: Part| (0..source.groups(part)).map(move |group| (part, group));
            let left = parts.into_iter().flat_map(groups).collect();
            self.now = Some((Arc::new(source), left));
        }
    }
}
