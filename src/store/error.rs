//! What can go wrong in the store that is the world's fault, with what an operator needs to mend it.

use std::io;
use std::path::{Path, PathBuf};

use super::layout::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use super::position::Position;
use crate::event::click_id::Place;

/// Result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a file failed.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error("{path} is in use by another clicklog process: end that one, or use another data folder")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The folder holds a store whose manifest cannot be read. It is never taken for a fresh install.
    #[error("neither slot of the manifest in {path} can be read: {what}; restore one of them from a backup")]
    Manifest {
        /// The data folder.
        path: PathBuf,
        /// What is wrong with the slots.
        what: String,
    },
    /// The folder was written by a later version. What an older one made of it would be wrong.
    #[error(
        "{path} was written by a later version of clicklog, whose manifest this one cannot read: run that version \
         (`clicklog version` says which formats one knows)"
    )]
    Newer {
        /// The data folder.
        path: PathBuf,
    },
    /// The folder belongs to another node.
    #[error(
        "{path} belongs to node {found}, but this is node {expected}: set store.node = {found}, or use another data folder"
    )]
    OtherNode {
        /// The data folder.
        path: PathBuf,
        /// The node that made it.
        found: u16,
        /// The node of the settings.
        expected: u16,
    },
    /// A setting is out of its range.
    #[error("{name} = {value}: must be {allowed}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What was given.
        value: u64,
        /// Its range.
        allowed: String,
    },
    /// A sync failed, or something else after which the page cache cannot be trusted. The process must stop.
    #[error("the store is poisoned: {cause}")]
    Poisoned {
        /// The first failure.
        cause: String,
    },
    /// There is no segment to write to: the disk is full, or the preparer is behind.
    #[error("no room in {journal}, lane {lane}")]
    NoRoom {
        /// Which journal.
        journal: &'static str,
        /// Which lane.
        lane: u8,
    },
    /// The payload is longer than a record may be, or empty.
    #[error("a record of {len} bytes: must be 1 to {max}")]
    RecordLength {
        /// Its length in bytes.
        len: usize,
        /// The longest allowed.
        max: u32,
    },
    /// All segment ids of a lane are used up.
    #[error("{journal}, lane {lane} has used all of its {max} segment ids")]
    SegmentIdsExhausted {
        /// Which journal.
        journal: &'static str,
        /// Which lane.
        lane: u8,
        /// How many there are.
        max: u32,
    },
    /// A file of keys is damaged.
    #[error("{path} is not a key file: {what}; ids made with it cannot be read until it is restored")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A file is not what its name says, or is damaged.
    #[error("{path} is corrupt at byte {offset}: {what}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A record that is needed now cannot be read.
    #[error("{what} at {position} cannot be read")]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Where it lies in its journal.
        position: Position,
    },
    /// A record that is needed now went with its segment, because it had become too old.
    #[error("{what} at {position} was dropped: it had become older than is kept")]
    Dropped {
        /// What it was.
        what: &'static str,
        /// Where it lay in its journal.
        position: Position,
    },
    /// The dedupe table is full: a further transaction could not be told from one that was there before.
    #[error("{max} transactions are known, and no more can be: raise store.transactions_max")]
    TooManyTransactions {
        /// `store.transactions_max`.
        max: usize,
    },
    /// Too many callers wait for the same lane to be synced.
    #[error("too many callers wait for a sync")]
    TooManyWaiters,
    /// `Level::Replicated` was asked of a node that has no replica.
    #[error("this node has no replica")]
    NotReplicated,
}

impl Error {
    /// Makes the `Io` variant; use as `.map_err(Error::io("open", path))`.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    pub(super) fn segment_bytes(name: &'static str, value: u32) -> Self {
        let allowed = format!("a multiple of 4096 from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}");
        Self::Setting { name, value: value.into(), allowed }
    }

    pub(super) fn lanes(value: u8) -> Self {
        Self::Setting {
            name: "lanes",
            value: value.into(),
            allowed: format!("1 to {}", u16::from(Place::LANE_MAX) + 1),
        }
    }

    pub(super) fn node(value: u16) -> Self {
        Self::Setting { name: "node", value: value.into(), allowed: format!("0 to {}", Place::NODE_MAX) }
    }

    /// Whether the disk has no more room.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull
            || source.kind() == io::ErrorKind::QuotaExceeded)
    }
}

/// An error and its causes on one line.
pub fn described(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
