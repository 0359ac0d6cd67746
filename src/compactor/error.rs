//! Why a segment was not published: the world's fault, with what an operator needs to mend it.

use std::io;
use std::path::{Path, PathBuf};

use crate::event::codec::Undecodable;
use crate::store::{self, Position};

/// Result of publishing.
pub type Result<T> = std::result::Result<T, Error>;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journals could not be read.
    #[error("the journal cannot be read")]
    Store(#[from] store::Error),
    /// A system call on a file of the export failed.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record that this build cannot read. Nothing of its segment is published: a file that lacks a row would not say so.
    #[error("the record at {position} of {table} cannot be exported")]
    Record {
        /// Of which table.
        table: &'static str,
        /// Where it lies.
        position: Position,
        /// What is wrong with it.
        source: Undecodable,
    },
    /// There is no sealed segment of this number.
    #[error("segment {segment} of {table}, lane {lane}, is not sealed")]
    NotSealed {
        /// Of which table.
        table: &'static str,
        /// Of which lane.
        lane: u8,
        /// Its number.
        segment: u32,
    },
    /// It was not the same when it was read again: it was rewritten or dropped meanwhile.
    #[error("segment {segment} of {table}, lane {lane}, changed while it was read")]
    Changed {
        /// Of which table.
        table: &'static str,
        /// Of which lane.
        lane: u8,
        /// Its number.
        segment: u32,
    },
    /// Click ids cannot be written without the keys they are made with.
    #[error("{path} holds no keys of click ids")]
    NoKeys {
        /// The folder.
        path: PathBuf,
    },
    /// What the Parquet library says of a file that it was to write.
    #[error("the file could not be made: {what}")]
    Format {
        /// Its words.
        what: String,
    },
    /// The file could not be written: the disk is full, perhaps.
    #[error("the file cannot be written")]
    Write {
        /// What the system said.
        source: io::Error,
    },
    /// A file of ours that says something else than it should, or a segment that is not there to be read.
    #[error("{path} cannot be read: {what}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Whoever asked for it does not want it any more.
    #[error("publishing was stopped")]
    Stopped,
}

impl Error {
    /// All that `reason` may say.
    pub const REASONS: [&str; 4] = ["disk", "journal", "record", "stopped"];

    /// A word for it, as an index of `REASONS`.
    pub fn reason(&self) -> usize {
        match self {
            Self::Io { .. } | Self::Write { .. } | Self::Format { .. } => 0,
            Self::Store(error) if error.is_full() => 0,
            Self::Store(_)
            | Self::NotSealed { .. }
            | Self::Changed { .. }
            | Self::NoKeys { .. }
            | Self::Unreadable { .. } => 1,
            Self::Record { .. } => 2,
            Self::Stopped => 3,
        }
    }

    /// Makes the `Io` variant; use as `.map_err(Error::io("open", path))`.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// Makes the `Unreadable` variant.
    pub(super) fn unreadable(path: &Path) -> impl FnOnce(&'static str) -> Self {
        move |what| Self::Unreadable { path: path.to_owned(), what }
    }
}
