//! A segment is published: written aside, synced, and moved to where readers look.
//!
//! In: a sealed segment. Out: its files in `export`, and what came of it written down beside that.
//! Keeps: whatever stops it, and wherever, a day's folder has the whole file or none; whoever publishes the same segment
//! again gets the same names and bytes, and if all was done, nothing is written. What is written down is written last.
//! Not here: which segments are to be published.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::directory::{make_folder, sync_folder, write_whole};
use crate::store::reader::Reader;

use super::error::{Error, Result};
use super::folder::Folder;
use super::segment::{Part, Source, write_file};
use super::table::Table;

/// Who else may read a file: its group. What is in it is about people.
const MODE: u32 = 0o640;

/// How hard zstd tries. Clicks get no smaller with more: `cargo bench --bench store -- parquet`.
pub const LEVEL: i32 = 2;

/// What has just been done. Whoever publishes is told, and may stop it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file is written aside, and synced.
    Staged,
    /// A file is where readers look.
    Moved,
    /// Its name is durable.
    Named,
    /// What came of the segment is written down.
    Recorded,
}

/// What came of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Its node.
    pub node: u16,
    /// Its lane.
    pub lane: u8,
    /// Its number.
    pub segment: u32,
    /// Which rewrite of it.
    pub generation: u32,
    /// One for each day that it has rows of.
    pub files: Vec<Published>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Below `export`.
    pub path: PathBuf,
    /// How many rows it has.
    pub rows: u64,
    /// How long it is.
    pub bytes: u64,
    /// When its first row happened.
    pub first_time: String,
    /// When its last row did.
    pub last_time: String,
}

/// Publishes a sealed segment, unless that was done. `each_step` is told of each step and may break there: then it is as if
/// the process had died, and the next time does the rest.
///
/// # Errors
/// `Stopped`, or as `Source::open` and `write_file`, or what the system says of a file.
pub fn publish<T: Table>(
    folder: &Folder,
    reader: &Reader,
    (lane, segment): (u8, u32),
    mut each_step: impl FnMut(Step) -> ControlFlow<()>,
) -> Result<Publication> {
    let mut step = |step| if each_step(step).is_break() { Err(Error::Stopped) } else { Ok(()) };
    let origin = super::segment::identify::<T>(reader, lane, segment)?;
    let record = folder.record::<T>(&origin);
    if let Some(done) = whole(folder, &record)? {
        return Ok(done);
    }
    let source = Source::<T>::open(reader, lane, segment)?;
    make_folder(&folder.staging())?;
    let mut staged = Vec::new();
    for part in source.parts() {
        staged.push(stage(folder, &source, part)?);
        step(Step::Staged)?;
    }
    // No sooner than all are written: what cannot be written whole is not begun.
    for (from, published) in &staged {
        let to = folder.export().join(&published.path);
        let day = to.parent().unwrap_or(Path::new("."));
        make_folder(day)?;
        fs::rename(from, &to).map_err(Error::io("rename to", &to))?;
        step(Step::Moved)?;
        sync_folder(day)?;
        step(Step::Named)?;
    }
    let (node, generation) = (source.origin().node, source.origin().generation);
    let files = staged.into_iter().map(|(_, published)| published).collect();
    let publication = Publication { node, lane, segment, generation, files };
    write_record(&record, &publication)?;
    step(Step::Recorded)?;
    Ok(publication)
}

/// Writes a part aside.
fn stage<T: Table>(folder: &Folder, source: &Source<T>, part: Part) -> Result<(PathBuf, Published)> {
    let path = folder.file::<T>(source.origin(), part.first_time);
    let aside = folder.staging().join(path.file_name().unwrap_or_default());
    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(MODE).open(&aside);
    let out = BufWriter::new(file.map_err(Error::io("create", &aside))?);
    let out = write_file(source, part, out, LEVEL)?;
    let file =
        out.into_inner().map_err(io::IntoInnerError::into_error).map_err(Error::io("write", &aside))?;
    file.sync_all().map_err(Error::io("sync", &aside))?;
    let bytes = file.metadata().map_err(Error::io("stat", &aside))?.len();
    let (first_time, last_time) = (part.first_time.to_string(), part.last_time.to_string());
    Ok((aside, Published { path, rows: part.rows, bytes, first_time, last_time }))
}

/// What is written down, if all that it names is there.
fn whole(folder: &Folder, record: &Path) -> Result<Option<Publication>> {
    let bytes = match fs::read(record) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", record)(error)),
    };
    // What cannot be read is made again: it follows from the segment.
    let Ok(publication) = serde_json::from_slice::<Publication>(&bytes) else { return Ok(None) };
    let is_there = |file: &Published| {
        fs::metadata(folder.export().join(&file.path)).is_ok_and(|found| found.len() == file.bytes)
    };
    Ok(publication.files.iter().all(is_there).then_some(publication))
}

fn write_record(record: &Path, publication: &Publication) -> Result<()> {
    make_folder(record.parent().unwrap_or(Path::new(".")))?;
    let bytes = serde_json::to_vec_pretty(publication).map_err(io::Error::from);
    write_whole(record, &bytes.map_err(Error::io("write", record))?, MODE)?;
    Ok(())
}
