//! How much room is left, and what that means.
//!
//! Keeps: a reserve file of real blocks, given up when the disk is full so that what is open can still be
//! sealed, and taken back when there is room.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::directory::Directory;
use super::error::{Error, Result};

/// What the room left allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Room {
    /// Everything.
    Enough = 0,
    /// Everything, but somebody should look.
    Low = 1,
    /// Clicks only: postbacks are refused, because networks retry and visitors do not.
    Critical = 2,
}

impl Room {
    /// Its name in metrics and readiness.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enough => "enough",
            Self::Low => "low",
            Self::Critical => "critical",
        }
    }

    pub(super) const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Enough,
            1 => Self::Low,
            _ => Self::Critical,
        }
    }
}

/// Where the marks are, in bytes of free space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Below this: `Low`.
    pub low_bytes: u64,
    /// Below this: `Critical`.
    pub critical_bytes: u64,
    /// Size of the reserve file; 0 = none.
    pub reserve_bytes: u64,
}

impl Marks {
    /// What `free_bytes` of room allow.
    pub const fn judge(&self, free_bytes: u64) -> Room {
        if free_bytes < self.critical_bytes {
            Room::Critical
        } else if free_bytes < self.low_bytes {
            Room::Low
        } else {
            Room::Enough
        }
    }
}

/// Bytes that this process may still take on the folder's file system.
///
/// # Errors
/// What `statvfs` says.
pub fn free_bytes(directory: &Directory) -> Result<u64> {
    let stat =
        statvfs(directory.root()).map_err(|errno| Error::io("stat", directory.root())(errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The reserve file.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// The reserve of this folder, which need not be there.
    pub fn new(directory: &Directory, bytes: u64) -> Self {
        Self { path: directory.reserve(), bytes }
    }

    /// Takes the room, if it is not taken and there is plenty: four times as much.
    ///
    /// # Errors
    /// What the system says.
    pub fn take(&self, free_bytes: u64) -> Result<()> {
        let held = fs::metadata(&self.path).map_or(0, |file| file.len());
        if held == self.bytes || free_bytes / 4 < self.bytes {
            return Ok(());
        }
        let take = || {
            let file = OpenOptions::new().create(true).truncate(true).write(true).open(&self.path)?;
            if self.bytes > 0 {
                fallocate(&file, FallocateFlags::empty(), 0, self.bytes)?;
            }
            Ok(())
        };
        take().map_err(Error::io("reserve", &self.path))
    }

    /// Gives the room up. Says whether there was any.
    pub fn give_up(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_judged_by_the_marks() {
        let marks = Marks { low_bytes: 100, critical_bytes: 10, reserve_bytes: 0 };
        let cases =
            [(0, Room::Critical), (9, Room::Critical), (10, Room::Low), (99, Room::Low), (100, Room::Enough)];
        for (free, room) in cases {
            assert_eq!(marks.judge(free), room, "{free} bytes");
        }
    }

    #[test]
    fn the_reserve_is_taken_once_and_given_up_once() {
        let root = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(&Directory::new(root.path()), 8192);
        reserve.take(8192).unwrap();
        assert!(!reserve.give_up(), "not taken where it would use up what is left");
        reserve.take(u64::MAX).unwrap();
        assert!(reserve.give_up());
        assert!(!reserve.give_up());
    }
}
