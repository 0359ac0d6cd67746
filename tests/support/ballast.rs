//! A disk with only so much room left.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file that takes all other room. It goes with its value.
#[derive(Debug)]
pub(crate) struct Ballast(PathBuf);

impl Ballast {
    /// Leaves so many bytes of the file system that is mounted there.
    pub(crate) fn leaving(point: &Path, bytes: u64) -> Self {
        let ballast = Self(point.join("ballast"));
        let mut file = File::create(&ballast.0).unwrap();
        for chunk in [1 << 20, 1 << 10] {
            let ones = vec![1; chunk];
            while file.write_all(&ones).is_ok() {}
        }
        file.sync_all().unwrap();
        let taken = file.metadata().unwrap().len();
        file.set_len(taken.saturating_sub(bytes)).unwrap();
        file.sync_all().unwrap();
        ballast
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        // The disk goes with its test in any case.
        let _gone = fs::remove_file(&self.0);
    }
}
