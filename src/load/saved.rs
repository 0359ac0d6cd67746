//! Where clicks were sent to: the file that a crash test compares with the store.
//!
//! In: the `Location` of each 302. Out: one a line, behind what the file held.
//! Keeps: a line is of an answer that was read to its end. Threads append whole lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Bytes that are kept before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

/// One thread's lines.
#[derive(Debug)]
pub(super) struct Saved {
    file: File,
    lines: Vec<u8>,
    failed: io::Result<()>,
}

impl Saved {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self { file, lines: Vec::with_capacity(2 * BUFFER_BYTES), failed: Ok(()) })
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        if self.lines.len() >= BUFFER_BYTES {
            self.write();
        }
    }

    /// Writes the rest, and tells what failed.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write();
        self.failed
    }

    fn write(&mut self) {
        if self.failed.is_ok() {
            self.failed = self.file.write_all(&self.lines);
        }
        self.lines.clear();
    }
}
