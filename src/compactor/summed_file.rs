//! A file that is written from its beginning to its end, and the checksum of what was written.
//!
//! In: a path, bytes. Out: a synced file, how long it is, and the CRC-32C over all of it, so that nobody has to read it again
//! for that.
//! Not here: where it goes then (`publish`, `merge`).

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::{Error, Result};
use super::publish::MODE;

/// See the module.
#[derive(Debug)]
pub(super) struct SummedFile {
    file: File,
    bytes: u64,
    sum: u32,
}

impl SummedFile {
    /// An empty one, in place of whatever is there.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(MODE).open(path);
        Ok(Self { file: file.map_err(Error::io("create", path))?, bytes: 0, sum: 0 })
    }

    /// Writes what is left and syncs it. Says how long the file is, and its checksum.
    pub(super) fn finish(out: BufWriter<Self>, path: &Path) -> Result<(u64, u32)> {
        let written = out.into_inner().map_err(io::IntoInnerError::into_error);
        let Self { file, bytes, sum } = written.map_err(Error::io("write", path))?;
        file.sync_all().map_err(Error::io("sync", path))?;
        let there = file.metadata().map_err(Error::io("stat", path))?.len();
        assert_eq!(bytes, there, "nobody else writes it");
        Ok((bytes, sum))
    }
}

impl Write for SummedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum = crc32c::crc32c_append(self.sum, bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
