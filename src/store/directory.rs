//! The data folder: what is called what, who has it, and what it holds.
//!
//! ```text
//! DATA/LOCK                          held by the one process that writes
//! DATA/manifest-a  manifest-b        see `manifest`
//! DATA/reserve                       room kept for a clean stop on a full disk
//! DATA/keys/                         click-id keys, the dedupe key (0600)
//! DATA/clicks/lane-00/0000001-0.seg  segment 1, generation 0; .idx beside it once sealed
//! DATA/postbacks/…  deliveries/…     the same, one lane each
//! DATA/quarantine/                   copies of damaged segments and of torn tails
//! ```
//!
//! Keeps: a new name is durable before anything relies on it (`sync_folder`).
//! Not here: what a file holds.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::Journal;
use super::error::{Error, Result};

/// The data folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

/// The folder is ours for as long as this lives.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would do, but not while a process that was just forked off here, and has not become another
        // program yet, has it open too.
        let _released = flock(&self.0, FlockOperation::Unlock);
    }
}

/// One segment file found on disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentFile {
    /// Number of the segment.
    pub segment: u32,
    /// Which rewrite of it.
    pub generation: u32,
    /// Where it is.
    pub path: PathBuf,
}

impl Directory {
    /// The folder at `root`, which need not exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder if it is not there, and takes it for this process.
    ///
    /// # Errors
    /// `Locked` if another process has it.
    pub fn lock(&self) -> Result<Lock> {
        make_folder(&self.root)?;
        let path = self.root.join("LOCK");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked { path }),
            Err(errno) => Err(Error::io("lock", &path)(errno.into())),
        }
    }

    /// The folder of a lane; there is one for each lane of clicks, and one for each other journal.
    pub fn lane(&self, journal: Journal, lane: u8) -> PathBuf {
        match journal {
            Journal::Clicks => self.root.join(journal.name()).join(format!("lane-{lane:02}")),
            Journal::Postbacks | Journal::Deliveries => self.root.join(journal.name()),
        }
    }

    /// Where copies of damage are kept.
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// Where keys are kept.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The file that holds room for a clean stop.
    pub fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// Where the postbacks' dedupe table is checkpointed.
    pub fn dedupe_checkpoint(&self) -> PathBuf {
        self.root.join("postbacks").join("dedupe.ckpt")
    }

    /// Where the dispatcher's state is checkpointed.
    pub fn dispatcher_checkpoint(&self) -> PathBuf {
        self.root.join("deliveries").join("dispatcher.ckpt")
    }

    /// The file of a segment.
    pub fn segment(&self, journal: Journal, lane: u8, segment: u32, generation: u32) -> PathBuf {
        self.lane(journal, lane).join(format!("{segment:07}-{generation}.seg"))
    }

    /// Every lane that has a folder, in order.
    ///
    /// # Errors
    /// What reading the folder says; a missing folder has no lanes.
    pub fn lanes(&self) -> Result<Vec<(Journal, u8)>> {
        let mut lanes = Vec::new();
        for name in names(&self.root.join(Journal::Clicks.name()))? {
            if let Some(lane) = name.strip_prefix("lane-").and_then(|digits| digits.parse().ok()) {
                lanes.push((Journal::Clicks, lane));
            }
        }
        for journal in [Journal::Postbacks, Journal::Deliveries] {
            if self.lane(journal, 0).is_dir() {
                lanes.push((journal, 0));
            }
        }
        lanes.sort_unstable();
        Ok(lanes)
    }

    /// The names in the folder of a lane.
    ///
    /// # Errors
    /// What reading the folder says; a missing folder has none.
    pub(super) fn names(&self, journal: Journal, lane: u8) -> Result<Vec<String>> {
        names(&self.lane(journal, lane))
    }

    /// The segment files of a lane, by number and generation.
    ///
    /// # Errors
    /// What reading the folder says; a missing folder has no segments.
    pub fn segments(&self, journal: Journal, lane: u8) -> Result<Vec<SegmentFile>> {
        let folder = self.lane(journal, lane);
        let mut files: Vec<_> = names(&folder)?
            .into_iter()
            .filter_map(|name| {
                let (segment, generation) = name.strip_suffix(".seg")?.split_once('-')?;
                let (segment, generation) = (segment.parse().ok()?, generation.parse().ok()?);
                Some(SegmentFile { segment, generation, path: folder.join(&name) })
            })
            .collect();
        files.sort_unstable();
        Ok(files)
    }
}

/// The index file beside a segment file.
pub fn index_path(segment: &Path) -> PathBuf {
    segment.with_extension("idx")
}

/// Makes a folder, and its name durable. What lies in it is about people: others than its owner and group may not look.
///
/// # Errors
/// What the system says.
pub fn make_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_folder(parent)?;
    }
    match DirBuilder::new().mode(0o750).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::io("create", path)(error));
        }
        _made => {}
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_folder(parent.unwrap_or(Path::new(".")))
}

/// Makes the names in a folder durable: those added, and those removed.
///
/// # Errors
/// What the system says.
pub fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", path))
}

/// Writes a whole small file so that it is there entirely or not at all.
///
/// # Errors
/// What the system says.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let staged = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(&staged)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::rename(&staged, path)
    };
    write().map_err(Error::io("write", path))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", folder)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    names.collect::<io::Result<_>>().map_err(Error::io("read", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_may_not_look_into_a_folder() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("data/clicks");
        make_folder(&inner).unwrap();
        make_folder(&inner).unwrap();
        for folder in [&inner, &root.path().join("data")] {
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o007, 0, "{}", folder.display());
        }
    }

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(root.path().join("data"));
        let lock = directory.lock().unwrap();
        assert!(matches!(directory.lock(), Err(Error::Locked { .. })));
        // As a child has it between fork and exec.
        let _inherited = lock.0.try_clone().unwrap();
        drop(lock);
        directory.lock().unwrap();
    }

    #[test]
    fn only_segment_files_are_listed_and_in_order() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(root.path());
        let folder = directory.lane(Journal::Clicks, 3);
        make_folder(&folder).unwrap();
        for name in
            ["0000010-0.seg", "0000002-1.seg", "0000002-1.idx", "notes.txt", "x-0.seg", "0000002-0.seg"]
        {
            fs::write(folder.join(name), "").unwrap();
        }
        let found: Vec<_> = directory
            .segments(Journal::Clicks, 3)
            .unwrap()
            .into_iter()
            .map(|file| (file.segment, file.generation))
            .collect();
        assert_eq!(found, [(2, 0), (2, 1), (10, 0)]);
        assert_eq!(directory.lanes().unwrap(), [(Journal::Clicks, 3)]);
    }
}
