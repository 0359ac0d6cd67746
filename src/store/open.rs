//! From a data folder to lanes: reads the manifest, recovers what was left unsealed, keeps the books.
//!
//! In: options. Out: every lane's view, and a report of what was found.
//! Keeps: a torn tail never stops a start; damage is reported; segment ids that were ever used stay used,
//! whether the manifest or only the folder remembers them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

use super::Journal;
use super::directory::{Directory, Lock, SegmentFile};
use super::error::{Error, Result};
use super::files::OpenFiles;
use super::keys;
use super::lane::View;
use super::manifest::{Manifest, ManifestFile, State};
use super::options::Options;
use super::recovery::{Expected, Outcome, Report, recover};
use super::rewrite::remove_leftovers;
use super::sealed::Sealed;
use super::space::Reserve;

/// Segments that a start reads at the same time, at most: with four a fast disk is busy.
const RECOVERY_THREADS_MAX: usize = 4;

/// A folder that is locked, read and recovered.
pub(super) struct Opened {
    pub(super) directory: Directory,
    pub(super) lock: Lock,
    pub(super) manifest: ManifestFile,
    pub(super) views: Vec<((Journal, u8), View)>,
    pub(super) open_files: Arc<OpenFiles>,
    pub(super) report: Report,
    pub(super) is_new: bool,
}

/// Told of each segment that has been looked at: how many of how many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Opens the folder.
pub(super) fn open(options: &Options, progress: Progress<'_>) -> Result<Opened> {
    options.check()?;
    let directory = Directory::new(&options.data);
    let lock = directory.lock()?;
    let loaded = ManifestFile::load(&directory)?;
    let is_new = loaded.is_none();
    let mut manifest = match loaded {
        Some(manifest) => manifest,
        None => {
            let store = keys::random(directory.root())?;
            ManifestFile::create(&directory, Manifest::new(store, options.node, options.clock.now()))?
        }
    };
    let found = manifest.current().node;
    if found != options.node {
        let path = directory.root().to_owned();
        return Err(Error::OtherNode { path, found, expected: options.node });
    }
    let mut report = Report { was_clean: manifest.current().clean, ..Report::default() };
    let open_files = Arc::new(OpenFiles::new(options.open_files_max));
    let views = recover_all(options, &directory, &mut manifest, &mut report, &open_files, progress)?;
    Ok(Opened { directory, lock, manifest, views, open_files, report, is_new })
}

/// Recovers every lane that the manifest, the folder or the options know, and writes down how each segment
/// stands now.
fn recover_all(
    options: &Options,
    directory: &Directory,
    manifest: &mut ManifestFile,
    report: &mut Report,
    open_files: &Arc<OpenFiles>,
    progress: Progress<'_>,
) -> Result<Vec<((Journal, u8), View)>> {
    let mut lanes: BTreeSet<_> = manifest.current().lanes.keys().copied().collect();
    lanes.extend(directory.lanes()?);
    lanes.extend((0..options.lanes).map(|lane| (Journal::Clicks, lane)));
    lanes.extend([(Journal::Postbacks, 0), (Journal::Deliveries, 0)]);

    let mut next = manifest.current().clone();
    let mut found = Vec::new();
    for (journal, lane) in lanes {
        remove_leftovers(directory, &next, journal, lane)?;
        let files = next.current_files(journal, lane, directory.segments(journal, lane)?);
        let expected = Expected { store: next.store, node: next.node, journal, lane };
        let known = next.lanes.get(&(journal, lane));
        let files = files.into_iter().map(|file| {
            let entry = known.and_then(|lane| lane.segments.get(&file.segment));
            Found { is_reserved: entry.is_some_and(|entry| entry.state == State::Reserved), expected, file }
        });
        found.push(((journal, lane), files.collect::<Vec<_>>()));
    }
    let all: Vec<&Found> = found.iter().flat_map(|(_, files)| files).collect();
    let mut outcomes = recover_each(options, directory, &all, progress)?.into_iter();
    let mut views = Vec::new();
    for ((journal, lane), files) in &found {
        let (journal, lane) = (*journal, *lane);
        let mut sealed = Vec::new();
        for (Found { file, .. }, outcome) in files.iter().zip(&mut outcomes) {
            report.add(&outcome);
            // Where only an older manifest could be read, it may name a generation that is gone.
            next.set_generation(journal, lane, file.segment, file.generation);
            match outcome {
                Outcome::Sealed(footer) | Outcome::Recovered { footer, .. } => {
                    next.set(journal, lane, file.segment, State::Sealed);
                    sealed.push(Arc::new(Sealed::new(footer, file.path.clone(), Arc::clone(open_files))));
                }
                Outcome::Empty => {
                    next.set(journal, lane, file.segment, State::Reserved);
                    next.forget(journal, lane, file.segment);
                }
                Outcome::Quarantined => next.set(journal, lane, file.segment, State::Quarantined),
            }
        }
        let unreadable = note_missing(&mut next, (journal, lane), files, report);
        views.push(((journal, lane), View { open: Vec::new(), sealed: Arc::new(sealed), unreadable }));
    }
    next.clean = false;
    manifest.update(|current| {
        let sequence = current.sequence;
        *current = Manifest { sequence, ..next };
        Ok(())
    })?;
    Ok(views)
}

/// A file to be recovered.
struct Found {
    file: SegmentFile,
    expected: Expected,
    /// The manifest has its id, and nothing was ever handed to a writer.
    is_reserved: bool,
}

impl Found {
    fn recover(&self, options: &Options, directory: &Directory) -> Result<Outcome> {
        recover(directory, &self.file, &self.expected, self.is_reserved, options.clock.now())
    }
}

/// Recovers all files, several at a time, and gives what became of them in their order.
fn recover_each(
    options: &Options,
    directory: &Directory,
    all: &[&Found],
    progress: Progress<'_>,
) -> Result<Vec<Outcome>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(RECOVERY_THREADS_MAX);
    let mut results: Vec<Option<Result<Outcome>>> = Vec::new();
    results.resize_with(all.len(), || None);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (done, recovered) = sync_channel(threads);
        for _ in 0..threads {
            let (done, next) = (done.clone(), &next);
            scope.spawn(move || {
                while let Some((index, found)) = take(next, all) {
                    // The other end hangs up after the last result.
                    let _heard = done.send((index, found.recover(options, directory)));
                }
            });
        }
        drop(done);
        for (count, (index, result)) in (1..).zip(recovered) {
            results[index] = Some(result);
            progress(count, all.len() as u64);
        }
    });
    let outcomes = all.iter().zip(results).map(|(found, result)| match result {
        // On a full disk once more, alone and with the reserve given up: one of the others may have done it.
        Some(Err(error)) if error.is_full() => {
            Reserve::new(directory, options.marks.reserve_bytes).give_up();
            found.recover(options, directory)
        }
        Some(result) => result,
        None => unreachable!("each file has a result"),
    });
    outcomes.collect()
}

fn take<'a>(next: &AtomicUsize, all: &[&'a Found]) -> Option<(usize, &'a Found)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, *all.get(index)?))
}

/// Notes the segments that should be there and are not; gives the numbers of all that cannot be read.
fn note_missing(
    manifest: &mut Manifest,
    (journal, lane): (Journal, u8),
    files: &[Found],
    report: &mut Report,
) -> Arc<Vec<u32>> {
    let on_disk: BTreeSet<u32> = files.iter().map(|found| found.file.segment).collect();
    let entry = manifest.lanes.entry((journal, lane)).or_default();
    // A reserved id whose file was never made held nothing.
    entry.segments.retain(|segment, entry| entry.state != State::Reserved || on_disk.contains(segment));
    let mut unreadable = Vec::new();
    for (segment, entry) in &mut entry.segments {
        match entry.state {
            State::Open | State::Sealed | State::Missing if !on_disk.contains(segment) => {
                entry.state = State::Missing;
                report.missing_segments += 1;
                unreadable.push(*segment);
            }
            State::Quarantined => {
                if !on_disk.contains(segment) {
                    report.quarantined_segments += 1;
                }
                unreadable.push(*segment);
            }
            _ => {}
        }
    }
    Arc::new(unreadable)
}
