//! Live clicks of another tracker, from the file that it exports into the store, so that their conversions still attribute.
//!
//! In: a CSV file; a `Sink`: the store itself, or a daemon that has it. Out: a `Report`.
//! Keeps: a line ends as imported, known already, or bad, and is counted once, whatever kills the process how often: each
//! chunk carries its own number into its records, so that what an interrupted attempt at it has stored is recognised
//! (`take`), and where a next run goes on is written down only when the chunk is on stable storage (`state`).
//! Refuses: lines that cannot be understood; they are counted, told and passed by.
//! Not here: who may import (`admin`), the command line (`cli`).

mod columns;
mod conversion;
mod cost;
mod file;
mod form;
mod once;
mod own;
mod row;
mod state;
mod take;
mod time;

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use columns::Rename;
#[cfg(feature = "parquet")]
pub(in crate::batch) use columns::bare;
pub use conversion::{Conversion, ConversionField};
pub use cost::{Cost, CostField};
#[cfg(feature = "parquet")]
pub(in crate::batch) use file::{csv_reader, next_record};
pub use form::{Column, Form, How, Names};
pub use own::{More, Own};
pub use row::{Field, Row};
pub use take::Importer;
#[cfg(feature = "parquet")]
pub(in crate::batch) use time::parse as parse_time;
pub use time::{Offset, OffsetError};

use crate::event::money::Currency;
use crate::store;
use file::{Line, Lines};
use state::{Place, State};

/// Rows of a chunk: a sync and a written state each.
pub const CHUNK_ROWS_MAX: usize = 10_000;
/// Bytes of a chunk, as a daemon is sent it.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one line's fields.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Who else may read the file of bad lines: its group. What is in it is about people.
const BAD_MODE: u32 = 0o640;
/// Bad lines that a report shows; of the others there is a number.
pub const SHOWN_MAX: usize = 20;

/// Rows as JSON, one a line, as a daemon is sent them.
///
/// # Errors
/// `Chunk` if one is none.
pub fn read_rows<R: serde::de::DeserializeOwned>(lines: &[u8]) -> Result<Vec<R>, ImportError> {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let read = |(row, line): (usize, &[u8])| {
        serde_json::from_slice(line).map_err(|error| ImportError::Chunk { row, what: error.to_string() })
    };
    (1..).zip(lines).map(read).collect()
}

/// What is imported, and how it is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file.
    pub file: PathBuf,
    /// Columns that are not called what they hold.
    pub renames: Vec<Rename>,
    /// Columns that are left out.
    pub skipped: Vec<String>,
    /// Between fields; told from the first line if nothing is said.
    pub delimiter: Option<u8>,
    /// How far ahead of UTC times are that do not say.
    pub offset: Offset,
    /// In which currency costs are that do not say.
    pub currency: Currency,
    /// Where bad lines go, with the reason for each.
    pub bad_file: Option<PathBuf>,
}

/// Where rows go.
pub trait Sink<R> {
    /// Stores these, durably. `mark` tells this chunk of this import from any other; the same chunk again has the same.
    ///
    /// # Errors
    /// They may be stored or not: the chunk is to be given again.
    fn take(&mut self, mark: u64, rows: &[R]) -> Result<Taken, ImportError>;

    /// What campaigns are called beside their ids; asked before anything is given, where it makes a difference.
    ///
    /// # Errors
    /// Nobody can tell.
    fn names(&mut self) -> Result<Names, ImportError> {
        Ok(Names::default())
    }

    /// There are no more.
    ///
    /// # Errors
    /// What is stored stays stored.
    fn end(&mut self) -> Result<(), ImportError>;
}

/// What became of a chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Rows that are stored, by this attempt or an earlier one at the same chunk.
    pub imported: u64,
    /// Rows whose id was there already.
    pub known: u64,
    /// Rows that cannot be stored, by their place in the chunk, and why.
    pub refused: Vec<(usize, String)>,
}

/// A sink that stores nothing.
#[derive(Debug, Default)]
pub struct DryRun {
    /// What campaigns are called beside their ids.
    pub names: Names,
}

impl<R> Sink<R> for DryRun {
    fn take(&mut self, _mark: u64, rows: &[R]) -> Result<Taken, ImportError> {
        Ok(Taken { imported: rows.len() as u64, ..Taken::default() })
    }

    fn names(&mut self) -> Result<Names, ImportError> {
        Ok(self.names.clone())
    }

    fn end(&mut self) -> Result<(), ImportError> {
        Ok(())
    }
}

/// Lines so far, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// They are in the store because of this import.
    pub imported: u64,
    /// Their id was in the store, or in an earlier line.
    pub known: u64,
    /// They could not be understood.
    pub bad: u64,
}

/// What came of an import.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Over all runs that it took.
    #[serde(flatten)]
    pub counts: Counts,
    /// The line at which an earlier run had stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_at_line: Option<u64>,
    /// What each column was taken for.
    pub columns: Vec<(String, String)>,
    /// The first bad lines of this run.
    pub shown: Vec<BadLine>,
}

/// A line that was passed by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// Its number in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Why an import stopped. What it has stored stays; a next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The first line does not say which column is what.
    #[error("{0}")]
    Columns(String),
    /// Lines of the file would take something from one another.
    #[error("{0}")]
    Twice(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The system has no random number.
    #[error("cannot get random bytes")]
    Random(#[source] getrandom::Error),
    /// A chunk that is none.
    #[error("row {row} of the chunk cannot be read: {what}")]
    Chunk {
        /// Which row, from 1.
        row: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The daemon did not take it.
    #[error("{0}")]
    Daemon(String),
}

impl ImportError {
    fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { what, path: path.to_owned(), source }
    }
}

/// What a run tells while it goes: bytes done, bytes in all, lines so far.
pub type Tell<'a> = &'a mut dyn FnMut(u64, u64, &Counts);

/// Imports a file. `folder` is where it is written down how far it is; without one the import begins anew each time.
///
/// # Errors
/// Whatever stops it; what is stored stays.
pub fn run<R: Form>(
    options: &Options,
    folder: Option<&Path>,
    sink: &mut dyn Sink<R>,
    tell: Tell<'_>,
) -> Result<Report, ImportError> {
    if !R::SAME.is_empty() {
        once::check::<R>(options, &sink.names()?)?;
    }
    let mut lines = Lines::<R>::open(options)?;
    let (mut state, resumed) = State::open(options, folder, &lines)?;
    if let Some(place) = resumed {
        lines.go_on(place)?;
    }
    let mut report = Report {
        resumed_at_line: resumed.map(|place| place.line),
        columns: lines.columns(),
        ..Report::default()
    };
    let mut bad_lines = BadLines::open(options, &lines, state.bad_bytes)?;
    while let Some(chunk) = next_chunk(&mut lines)? {
        let mut bad = chunk.bad;
        if !chunk.rows.is_empty() {
            let taken = sink.take(state.mark(), &chunk.rows)?;
            state.counts.imported += taken.imported;
            state.counts.known += taken.known;
            bad.extend(
                taken
                    .refused
                    .into_iter()
                    .filter_map(|(index, why)| chunk.lines.get(index).map(|line| (line.clone(), why))),
            );
        }
        bad.sort_by_key(|(line, _)| line.number);
        state.counts.bad += bad.len() as u64;
        state.bad_bytes = bad_lines.write(&bad)?;
        let room = SHOWN_MAX.saturating_sub(report.shown.len());
        let shown = bad.into_iter().take(room);
        report.shown.extend(shown.map(|(line, reason)| BadLine { line: line.number, reason }));
        state.chunk_is_done(lines.place())?;
        tell(lines.place().byte, lines.bytes(), &state.counts);
    }
    sink.end()?;
    report.counts = state.counts;
    state.import_is_done()?;
    Ok(report)
}

/// Lines that are given to the sink together.
struct Chunk<R> {
    rows: Vec<R>,
    /// Of each row.
    lines: Vec<Line>,
    bad: Vec<(Line, String)>,
}

fn next_chunk<R: Form>(lines: &mut Lines<R>) -> Result<Option<Chunk<R>>, ImportError> {
    let mut chunk = Chunk { rows: Vec::new(), lines: Vec::new(), bad: Vec::new() };
    let (mut bytes, mut count) = (0, 0);
    // The next row may be as long as a line can make it, each byte of it an escape.
    while count < CHUNK_ROWS_MAX && bytes < CHUNK_BYTES_MAX - 6 * LINE_BYTES_MAX - 4096 {
        let Some((line, row)) = lines.next_line()? else { break };
        count += 1;
        match row {
            Ok(row) => {
                bytes += row.json_bytes() + 1;
                chunk.rows.push(row);
                chunk.lines.push(line);
            }
            Err(why) => chunk.bad.push((line, why)),
        }
    }
    Ok((count > 0).then_some(chunk))
}

/// The file that bad lines are written to: the columns as they were, with number and reason behind them, so that what is
/// mended there can be imported.
struct BadLines {
    open: Option<(PathBuf, File)>,
    delimiter: u8,
}

impl BadLines {
    /// Goes on behind `kept` bytes; what an interrupted chunk wrote there is written again.
    fn open<R: Form>(options: &Options, lines: &Lines<R>, kept: u64) -> Result<Self, ImportError> {
        let delimiter = lines.delimiter();
        let Some(path) = &options.bad_file else { return Ok(Self { open: None, delimiter }) };
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(BAD_MODE).open(path);
        let mut file = file.map_err(ImportError::file("open", path))?;
        let cut = |file: &mut File| {
            let kept = kept.min(file.metadata()?.len());
            file.set_len(kept)?;
            file.seek(SeekFrom::End(0)).map(|_| kept)
        };
        let kept = cut(&mut file).map_err(ImportError::file("write", path))?;
        let mut bad = Self { open: Some((path.clone(), file)), delimiter };
        if kept == 0 {
            bad.write_record(lines.head(), [file::LINE_COLUMN, file::REASON_COLUMN])?;
        }
        Ok(bad)
    }

    /// Writes these and says how long the file is now.
    fn write(&mut self, bad: &[(Line, String)]) -> Result<u64, ImportError> {
        for (line, why) in bad {
            self.write_record(&line.fields, [&line.number.to_string(), why])?;
        }
        match &mut self.open {
            None => Ok(0),
            Some((path, file)) => file.stream_position().map_err(ImportError::file("write", path)),
        }
    }

    fn write_record(&mut self, fields: &csv::ByteRecord, more: [&str; 2]) -> Result<(), ImportError> {
        let Some((path, file)) = &mut self.open else { return Ok(()) };
        let mut writer = csv::WriterBuilder::new().delimiter(self.delimiter).from_writer(Vec::new());
        let all = fields.iter().chain(more.map(str::as_bytes));
        // Into memory, so that nothing but the file can fail.
        let record =
            writer.write_record(all).ok().and_then(|()| writer.into_inner().ok()).unwrap_or_default();
        file.write_all(&record).map_err(ImportError::file("write", path))
    }
}

/// A place in the file, as it is written down.
impl From<&csv::Position> for Place {
    fn from(position: &csv::Position) -> Self {
        Self { byte: position.byte(), line: position.line(), record: position.record() }
    }
}
