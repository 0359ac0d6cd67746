//! How much room is left, and what that means; and the giving of it.
//!
//! Keeps: a reserve file of real blocks, given up when the disk is full so that what is open can still be
//! sealed, and taken back when there is room.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use super::directory::Directory;
use super::error::{Error, Result};

/// Bytes of zeros written at once where blocks cannot be set aside otherwise.
const ZERO_FILL_BYTES: usize = 1024 * 1024;

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

/// How long a disk on which a segment found no room is left alone. What may be asked for in vain, by every click
/// that comes, would keep a thread busy for nothing; room comes back by hand, or by the hour.
pub const FULL_PAUSE: Duration = Duration::from_millis(250);

/// Where segments get their room from. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub enum Disk {
    /// The folder's file system.
    #[default]
    System,
    /// That too, but no more of it than a test allows.
    Rationed(Ration),
}

/// Bytes that segments may still take.
#[derive(Clone, Debug)]
pub struct Ration(Arc<AtomicU64>);

impl Ration {
    /// So many bytes.
    pub fn of(bytes: u64) -> Self {
        Self(Arc::new(bytes.into()))
    }

    /// So many bytes from now on, for all clones.
    pub fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::SeqCst);
    }
}

impl Disk {
    /// Bytes that this process may still take on the folder's file system.
    ///
    /// # Errors
    /// What `statvfs` says.
    pub fn free_bytes(&self, directory: &Directory) -> Result<u64> {
        let stat =
            statvfs(directory.root()).map_err(|errno| Error::io("stat", directory.root())(errno.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(match self {
            Self::System => free,
            Self::Rationed(Ration(left)) => free.min(left.load(Ordering::SeqCst)),
        })
    }

    /// Gives a new file this length, and all of its blocks.
    ///
    /// # Errors
    /// What the system says; `StorageFull` if there is no room.
    pub(super) fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        if let Self::Rationed(Ration(left)) = self {
            let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(bytes));
            taken.map_err(|_too_few| io::Error::from(io::ErrorKind::StorageFull))?;
        }
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(()),
            // A file system without preallocation: zeros take the blocks just as well.
            Err(Errno::OPNOTSUPP) => fill_with_zeros(file, bytes),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn fill_with_zeros(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; ZERO_FILL_BYTES];
    let mut at = 0;
    while at < bytes {
        let len = zeros.len().min(usize::try_from(bytes - at).unwrap_or(usize::MAX));
        file.write_all_at(&zeros[..len], at)?;
        at += len as u64;
    }
    Ok(())
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
