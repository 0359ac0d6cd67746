//! How far an import is, written down beside the data after each chunk, so that a next run goes on there.
//!
//! Keeps: what is written is behind what is stored, never ahead; another file under the same name, another reading of it, or
//! one in which lines before that place were put right, begins anew, which costs time and doubles nothing: known ids are
//! passed by.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file::Lines;
use super::form::Form;
use super::{Counts, ImportError, Options};
use crate::store::directory::write_whole;

/// Bytes before a place by which it is known again.
const BEFORE_BYTES: usize = 4096;

/// Where a line begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) byte: u64,
    pub(super) line: u64,
    pub(super) record: u64,
}

/// What is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// For people who find it.
    file: PathBuf,
    /// Checksum of the file's front and of how it is read.
    reading: u32,
    /// The number of the first chunk: by chance, so that no other import has it.
    import: u64,
    /// Chunks that are done.
    chunks: u64,
    place: Place,
    /// Checksum of what is before that: if a line was added or taken away, something else is.
    #[serde(default)]
    before: u32,
    counts: Counts,
    bad_bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    path: Option<PathBuf>,
    written: Written,
    pub(super) counts: Counts,
    /// How long the file of bad lines is.
    pub(super) bad_bytes: u64,
}

impl State {
    /// What an earlier run has written down, and where it stopped; or a new state, which is written down at once.
    pub(super) fn open<R: Form>(
        options: &Options,
        folder: Option<&Path>,
        lines: &Lines<R>,
    ) -> Result<(Self, Option<Place>), ImportError> {
        let file = fs::canonicalize(&options.file).map_err(ImportError::file("find", &options.file))?;
        let name = crc32c::crc32c(file.as_os_str().as_encoded_bytes());
        let path = folder.map(|folder| folder.join(format!("import-{name:08x}.state")));
        let reading = reading(options, lines);
        if let Some(written) = path.as_deref().map(read).transpose()?.flatten()
            && (written.reading, &written.file) == (reading, &file)
            && written.place.byte <= lines.bytes()
            && written.before == before(&file, written.place)?
        {
            let (counts, bad_bytes) = (written.counts, written.bad_bytes);
            let place = (written.chunks > 0).then_some(written.place);
            return Ok((Self { path, written, counts, bad_bytes }, place));
        }
        let import = number()?;
        let (place, counts) = (Place::default(), Counts::default());
        let written = Written { file, reading, import, chunks: 0, place, before: 0, counts, bad_bytes: 0 };
        let state = Self { path, written, counts, bad_bytes: 0 };
        state.save()?;
        Ok((state, None))
    }

    /// The number of the chunk that is next.
    pub(super) fn mark(&self) -> u64 {
        self.written.import.wrapping_add(self.written.chunks)
    }

    /// The chunk is stored, and the next one begins at `place`.
    pub(super) fn chunk_is_done(&mut self, place: Place) -> Result<(), ImportError> {
        let (chunks, counts, bad_bytes) = (self.written.chunks + 1, self.counts, self.bad_bytes);
        let before = before(&self.written.file, place)?;
        self.written = Written { chunks, place, before, counts, bad_bytes, ..self.written.clone() };
        self.save()
    }

    /// Nothing is left to go on with.
    pub(super) fn import_is_done(self) -> Result<(), ImportError> {
        let Some(path) = &self.path else { return Ok(()) };
        fs::remove_file(path).map_err(ImportError::file("remove", path))
    }

    fn save(&self) -> Result<(), ImportError> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut json = serde_json::to_vec_pretty(&self.written)
            .map_err(|error| ImportError::file("write", path)(error.into()))?;
        json.push(b'\n');
        Ok(write_whole(path, &json, 0o600)?)
    }
}

/// Checksum of the bytes before a place; of its beginning there are none.
fn before(file: &Path, place: Place) -> Result<u32, ImportError> {
    let count = usize::try_from(place.byte).unwrap_or(BEFORE_BYTES).min(BEFORE_BYTES);
    let mut bytes = vec![0; count];
    let read = |open: File| open.read_exact_at(&mut bytes, place.byte - count as u64);
    File::open(file).and_then(read).map_err(ImportError::file("read", file))?;
    Ok(crc32c::crc32c(&bytes))
}

fn number() -> Result<u64, ImportError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(ImportError::Random)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Another file, or the same read otherwise, has another one.
fn reading<R: Form>(options: &Options, lines: &Lines<R>) -> u32 {
    let mut sum = crc32c::crc32c(lines.front());
    for (column, used) in lines.columns() {
        sum = crc32c::crc32c_append(sum, format!("{column:?}{used:?}").as_bytes());
    }
    let how = format!("{}{:?}{}{}", lines.delimiter(), options.offset, options.currency, R::NAME);
    sum = crc32c::crc32c_append(sum, how.as_bytes());
    let bad = options.bad_file.as_ref().map(|path| path.as_os_str().as_encoded_bytes());
    crc32c::crc32c_append(sum, bad.unwrap_or_default())
}

/// Nothing if there is none, or none that this build can read.
fn read(path: &Path) -> Result<Option<Written>, ImportError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ImportError::file("read", path)(error)),
    }
}
