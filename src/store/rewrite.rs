//! Sealed segments made anew without what is to be forgotten, or dropped whole.
//!
//! In: a sealed segment, and an `Editor` who says of each record what becomes of it. Out: the next generation of it, under
//! the same number: every record that stays has its ordinal and its offset, so that click ids, decisions and checkpoints
//! lead where they led.
//!
//! | step | afterwards, whoever dies |
//! |---|---|
//! | `Staged` | a whole file under a name that nobody reads: a start removes it |
//! | `Named` | two generations are there, and the manifest names the old one: a start removes the new one |
//! | `Listed` | the manifest names the new one: a start removes the old one |
//! | `Shown` | the same; look-ups of this process read the new one |
//! | `Removed` | the old file is gone |
//!
//! Keeps: a look-up or a cursor from before finds the same after, but for what was dropped. A file that is read is
//! not removed before its last reader in this process lets go of it (`sweep`); others who have it open read on, and who
//! comes too late asks the manifest again. No mapped file is ever changed or truncated.
//! Refuses: a record that would get longer.
//! Not here: which segments and what of them (`compactor`).

mod image;

use std::fs::{self, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use super::Journal;
use super::background::Shared;
use super::directory::{Directory, index_path, sync_folder};
use super::erasures::Hidden;
use super::error::{Error, described};
use super::index_file;
use super::lane::Lane;
use super::layout::Footer;
use super::manifest::{Manifest, ManifestFile};
use super::position::Position;
use super::record::{BODY_OFFSET, Record};
use super::sealed::Sealed;
use crate::event::codec::Encoded;
use image::{Made, Original};

/// What becomes of a record.
#[derive(Clone, Copy, Debug)]
pub enum Fate<'a> {
    /// It stays as it is, byte for byte.
    Keep,
    /// It says this from now on. Of the same kind, and not longer.
    Becomes(Encoded<'a>),
    /// It goes.
    Drop,
}

/// Says what becomes of records, and how fast.
pub trait Editor {
    /// What becomes of this record. It may be asked twice of one, and says the same.
    fn fate(&mut self, position: Position, record: &Record<'_>) -> Fate<'_>;

    /// So many bytes were read, or read and written. It may take its time; if it breaks, the segment stays as it was.
    fn passed(&mut self, _bytes: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// A step is done. If it breaks, it is as if the process had died there.
    fn after(&mut self, _step: Step) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The new file is whole, and synced, under another name.
    Staged,
    /// It has its name, and an index.
    Named,
    /// The manifest names it.
    Listed,
    /// Look-ups read it.
    Shown,
    /// The old one is gone, or waits for its last reader.
    Removed,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Staged, Self::Named, Self::Listed, Self::Shown, Self::Removed];
}

/// What was done to a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Records that are in it now.
    pub records: u64,
    /// How many of them say less than before.
    pub changed: u64,
    /// Records that went.
    pub dropped: u64,
    /// Bytes that were written.
    pub bytes: u64,
}

/// What came of a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every record stays as it is, so nothing was written.
    Unchanged,
    /// It has a new generation.
    Rewritten(Changes),
    /// The editor broke off.
    Stopped,
    /// There is no sealed segment of this number.
    NotSealed,
}

/// Which segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentAt {
    /// Of which journal.
    pub journal: Journal,
    /// Of which lane.
    pub lane: u8,
    /// Its number.
    pub segment: u32,
}

/// Files that were replaced, or whose segment was dropped.
#[derive(Debug, Default)]
pub(super) struct Replaced(Vec<Arc<Sealed>>);

/// See the module. One rewrite runs at a time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rewriter(Arc<Shared>);

impl Rewriter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// What was asked to be forgotten, as the store's look-ups know it.
    pub fn hidden(&self) -> &Hidden {
        &self.0.hidden
    }

    /// The sealed segments of all lanes, by journal, lane and number.
    pub fn sealed(&self) -> Vec<Footer> {
        let mut lanes: Vec<_> = self.0.all_lanes.iter().collect();
        lanes.sort_unstable_by_key(|lane| (lane.journal(), lane.number()));
        let mut footers = Vec::new();
        for lane in lanes {
            footers.extend(lane.view().sealed.iter().map(|sealed| *sealed.footer()));
        }
        footers
    }

    /// The segments of all lanes that hold records and are not sealed yet.
    pub fn written(&self) -> Vec<SegmentAt> {
        let mut written = Vec::new();
        for lane in &self.0.all_lanes {
            let view = lane.view();
            let open = view.open.iter().filter(|open| open.extent().end > BODY_OFFSET);
            written.extend(open.map(|open| SegmentAt {
                journal: lane.journal(),
                lane: lane.number(),
                segment: open.number(),
            }));
        }
        written
    }

    /// Makes a segment anew, if any of its records is to change.
    ///
    /// # Errors
    /// `Corrupt` if it cannot be read whole, `RecordLength`, `Poisoned`, or what the system says. The segment is then as
    /// it was, and what is left of the try is removed by the next one or by a start.
    pub fn rewrite(&self, at: SegmentAt, editor: &mut dyn Editor) -> Result<Outcome, Error> {
        let mut replaced = self.replaced();
        self.0.poison.check()?;
        let found = self.lane(at).and_then(|lane| Some((lane, lane.view().sealed(at.segment).cloned()?)));
        let Some((lane, old)) = found else { return Ok(Outcome::NotSealed) };
        let done = self.make_anew(at, editor, &old).and_then(|made| match made {
            None => Ok(Outcome::Unchanged),
            Some(made) => {
                let changes = made.changes;
                self.publish(at, made, (lane, old), &mut replaced, editor)?;
                Ok(Outcome::Rewritten(changes))
            }
        });
        match done {
            Ok(outcome) => Ok(outcome),
            Err(Halt::Stopped) => Ok(Outcome::Stopped),
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    /// Writes the next generation under another name; nothing if nothing changes.
    fn make_anew(&self, at: SegmentAt, editor: &mut dyn Editor, old: &Sealed) -> Result<Option<Made>, Halt> {
        let original = Original::open(old)?;
        if !original.would_change(editor)? {
            return Ok(None);
        }
        let path = staged(&self.path(at, old.footer().identity.generation + 1));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&path);
        let made = file
            .map_err(|source| Error::io("create", &path)(source).into())
            .and_then(|file| original.write(&file, &path, editor));
        if made.is_err() {
            // Best effort: a start removes it as well.
            let _gone = fs::remove_file(&path);
        }
        made.map(Some)
    }

    /// From a whole file under another name to the segment that everybody reads.
    fn publish(
        &self,
        at: SegmentAt,
        Made { footer, slots, .. }: Made,
        (lane, old): (&Arc<Lane>, Arc<Sealed>),
        replaced: &mut Replaced,
        editor: &mut dyn Editor,
    ) -> Result<(), Halt> {
        let path = self.path(at, footer.identity.generation);
        halt(editor.after(Step::Staged))?;
        fs::rename(staged(&path), &path).map_err(Error::io("rename to", &path))?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))?;
        match index_file::write(&path, footer.identity.seed(), slots.into_iter()) {
            // It is made again when it is first asked for.
            Err(error) if error.is_full() => {}
            written => written?,
        }
        halt(editor.after(Step::Named))?;
        // From here on nothing is taken back: if this fails, the next start reads what the manifest says then.
        self.change_manifest(|manifest| {
            manifest.set_generation(at.journal, at.lane, at.segment, footer.identity.generation);
        })?;
        halt(editor.after(Step::Listed))?;
        lane.show_rewritten(footer, path);
        lane.forget_file(&old);
        replaced.0.push(old);
        halt(editor.after(Step::Shown))?;
        replaced.sweep()?;
        halt(editor.after(Step::Removed))
    }

    /// Drops segments of a lane whole. The newest sealed one stays, because it says where the journal ends. Gives
    /// the footers of those that went.
    ///
    /// # Errors
    /// `Poisoned`, or what the system says.
    pub fn drop_segments(&self, journal: Journal, lane: u8, segments: &[u32]) -> Result<Vec<Footer>, Error> {
        let mut replaced = self.replaced();
        self.0.poison.check()?;
        let Some(lane) = self.lane(SegmentAt { journal, lane, segment: 0 }) else { return Ok(Vec::new()) };
        let all = Arc::clone(&lane.view().sealed);
        let older = all.split_last().map_or(&[][..], |(_newest, older)| older);
        let is_meant = |one: &&Arc<Sealed>| segments.contains(&one.footer().identity.segment);
        let gone: Vec<_> = older.iter().filter(is_meant).cloned().collect();
        drop(all);
        let numbers: Vec<u32> = gone.iter().map(|one| one.footer().identity.segment).collect();
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        self.change_manifest(|manifest| {
            numbers.iter().for_each(|number| manifest.forget(journal, lane.number(), *number));
        })?;
        lane.show_dropped(&numbers);
        let footers = gone.iter().map(|one| *one.footer()).collect();
        gone.iter().for_each(|one| lane.forget_file(one));
        replaced.0.extend(gone);
        replaced.sweep()?;
        Ok(footers)
    }

    /// Removes the files of earlier generations that nobody in this process reads any more. Says how many are left.
    ///
    /// # Errors
    /// What the system says.
    pub fn sweep(&self) -> Result<usize, Error> {
        self.replaced().sweep()
    }

    fn change_manifest(&self, change: impl FnOnce(&mut Manifest)) -> Result<(), Error> {
        let changed = ManifestFile::update(&mut self.0.manifest(), |manifest| {
            change(manifest);
            Ok(())
        });
        if let Err(error) = &changed
            && !error.is_full()
        {
            self.0.poison.throw(described(error));
        }
        changed
    }

    fn path(&self, at: SegmentAt, generation: u32) -> PathBuf {
        self.0.directory.segment(at.journal, at.lane, at.segment, generation)
    }

    fn lane(&self, at: SegmentAt) -> Option<&Arc<Lane>> {
        self.0.all_lanes.iter().find(|lane| (lane.journal(), lane.number()) == (at.journal, at.lane))
    }

    fn replaced(&self) -> MutexGuard<'_, Replaced> {
        self.0.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a rewrite ended before it was done.
enum Halt {
    /// The editor broke off.
    Stopped,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn halt(flow: ControlFlow<()>) -> Result<(), Halt> {
    if flow.is_break() { Err(Halt::Stopped) } else { Ok(()) }
}

impl Replaced {
    pub(super) fn sweep(&mut self) -> Result<usize, Error> {
        // Whoever is about to open one holds it.
        let is_read = |old: &Arc<Sealed>| Arc::strong_count(old) > 1;
        while let Some(index) = self.0.iter().position(|old| !is_read(old)) {
            // Who held it may have opened it since it was replaced, and what is open stays on the disk.
            self.0[index].let_go();
            let path = self.0[index].path();
            remove(path)?;
            sync_folder(path.parent().unwrap_or(Path::new(".")))?;
            self.0.swap_remove(index);
        }
        Ok(self.0.len())
    }
}

/// Where a generation is written before it has its name.
fn staged(path: &Path) -> PathBuf {
    path.with_extension("seg.new")
}

/// Removes a segment file and its index.
fn remove(segment: &Path) -> Result<(), Error> {
    for path in [index_path(segment), segment.to_owned()] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(error));
            }
            _gone => {}
        }
    }
    Ok(())
}

/// Removes, at a start, what a rewrite that was killed has left: files without a name, generations that the manifest
/// does not name, segments that it has forgotten.
pub(super) fn remove_leftovers(
    directory: &Directory,
    manifest: &Manifest,
    journal: Journal,
    lane: u8,
) -> Result<(), Error> {
    let folder = directory.lane(journal, lane);
    for name in directory.names(journal, lane)?.iter().filter(|name| name.ends_with(".seg.new")) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    // Nothing is removed on the word of a manifest that does not know the lane.
    let Some(known) = manifest.lanes.get(&(journal, lane)) else { return Ok(()) };
    for file in directory.segments(journal, lane)? {
        let is_left = match known.segments.get(&file.segment) {
            Some(entry) => {
                entry.generation != file.generation
                    && directory.segment(journal, lane, file.segment, entry.generation).exists()
            }
            None => file.segment < known.next_segment,
        };
        if is_left {
            remove(&file.path)?;
        }
    }
    Ok(())
}
