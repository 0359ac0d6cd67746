//! Clicks, conversions and deliveries out of the journals: as Parquet, as JSON in lines, as CSV.
//!
//! In: a data folder, beside a running daemon or without one; which columns and rows. Out: one file, or a folder of them.
//! Keeps: all formats come from the one list of columns that published files have (`compactor::table`). What is still
//! written is in it too, as far as it is whole. A file that has its final name is whole.
//! Order: rows of a segment are in order of time; segments follow one another by their first rows.
//! Not here: the command line (`cli`).

mod chosen;
mod folder;
mod format;
mod ordered;
mod stream;
pub(in crate::batch) mod text;
mod value;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use chosen::Filter;
pub(in crate::batch) use chosen::{Chosen, columns};
pub use format::WriteError;

use crate::batch::lookup::Window;
use crate::compactor::clicks::Clicks;
use crate::compactor::conversions::Conversions;
use crate::compactor::deliveries::Deliveries;
use crate::compactor::listed::{self, Listed};
use crate::compactor::table::Table;
use crate::compactor::{self, Limits};
use crate::store;
use crate::store::layout::Summary;
use crate::store::reader::Reader;
use format::{Format, Parquet};
use text::{Style, Text};

/// Rows that a thread puts together before they are written, and bytes of their records: some ten MiB of text.
const BLOCK_LIMITS: Limits = Limits { rows: 16_384, bytes: 8 * 1024 * 1024 };

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Clicks.
    Clicks,
    /// Decisions on conversions.
    Conversions,
    /// Attempts at deliveries.
    Deliveries,
}

/// As what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// As the daemon publishes it.
    Parquet,
    /// A JSON object in each line.
    Ndjson,
    /// RFC 4180, with a first line of names.
    Csv {
        /// Cells that a spreadsheet would take for formulas get an apostrophe in front: that changes data.
        is_spreadsheet_safe: bool,
    },
}

impl Shape {
    /// How names of its files end.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Ndjson => "ndjson",
            Self::Csv { .. } => "csv",
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Options {
    /// The table.
    pub what: What,
    /// The format.
    pub shape: Shape,
    /// The columns, in order; all if there are none.
    pub columns: Vec<String>,
    /// Which rows, beside those that are of another time.
    pub filters: Vec<Filter>,
    /// Of which time.
    pub window: Window,
    /// On how many threads.
    pub threads: usize,
}

/// Where it goes.
#[derive(Debug)]
pub enum Target {
    /// Into something that is open, a pipe perhaps, which is called this.
    Open(std::fs::File, PathBuf),
    /// A file, which gets its name when it is whole.
    File(PathBuf),
    /// A folder: a file for each segment and day. Where one is whole already it is left as it is.
    Folder(PathBuf),
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Rows that were written.
    pub rows: u64,
    /// Files that were written.
    pub files: u64,
    /// Segments of which an earlier run had written all.
    pub known_segments: u64,
    /// Segments that cannot be read: in quarantine, or gone. What was in them is missing.
    pub unreadable: Vec<String>,
}

/// What a run tells while it goes: segments done, segments in all, rows so far.
pub type Tell<'a> = &'a mut dyn FnMut(u64, u64, u64);

/// Why nothing, or not all, was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no such column.
    #[error("{table} have no column {column:?}; there are {known}")]
    Column {
        /// Of which table.
        table: &'static str,
        /// The name.
        column: String,
        /// Those that there are.
        known: String,
    },
    /// A column that is named again.
    #[error("column {column:?} is named twice")]
    Twice {
        /// The name.
        column: String,
    },
    /// A value that the column cannot have.
    #[error("{column} {value:?} {what}")]
    Filter {
        /// The column.
        column: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The journals could not be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A segment could not be gone through.
    #[error(transparent)]
    Rows(#[from] compactor::Error),
    /// A file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: WriteError,
    },
    /// A system call on a file or folder failed.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds what was asked for otherwise.
    #[error("{path} holds an export with other columns, filters or format; choose another folder")]
    OtherExport {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody else writes there now.
    #[error("another export is writing to {path}")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
}

impl ExportError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    fn write<E: Into<WriteError>>(path: &Path) -> impl FnOnce(E) -> Self {
        move |source| Self::Write { path: path.to_owned(), source: source.into() }
    }
}

/// Exports.
///
/// # Errors
/// Whatever stops it; files that were written whole stay.
pub fn export(
    reader: &Reader,
    options: &Options,
    target: Target,
    tell: Tell<'_>,
) -> Result<Report, ExportError> {
    match options.what {
        What::Clicks => export_table::<Clicks>(reader, options, target, tell),
        What::Conversions => export_table::<Conversions>(reader, options, target, tell),
        What::Deliveries => export_table::<Deliveries>(reader, options, target, tell),
    }
}

fn export_table<T: Table>(
    reader: &Reader,
    options: &Options,
    target: Target,
    tell: Tell<'_>,
) -> Result<Report, ExportError> {
    let text = |style| Ok::<_, ExportError>(Text::<T>::new(style, columns(&options.columns)?));
    match options.shape {
        Shape::Parquet => {
            columns::<T>(&options.columns)?;
            let fields = || columns::<T>(&options.columns).unwrap_or_default();
            export_as::<T, _>(reader, options, &Parquet::new(fields), target, tell)
        }
        Shape::Ndjson => export_as(reader, options, &text(Style::Ndjson)?, target, tell),
        Shape::Csv { is_spreadsheet_safe } => {
            export_as(reader, options, &text(Style::Csv { is_spreadsheet_safe })?, target, tell)
        }
    }
}

fn export_as<T: Table, F: Format<T>>(
    reader: &Reader,
    options: &Options,
    format: &F,
    target: Target,
    tell: Tell<'_>,
) -> Result<Report, ExportError> {
    let chosen = Chosen::<T>::new(options.window, &options.filters)?;
    let job = Job { reader, options, format, chosen: &chosen };
    let mut report = match target {
        Target::Open(out, path) => stream::write(&job, out, &path, tell)?.1,
        Target::File(path) => stream::write_file(&job, &path, tell)?,
        Target::Folder(path) => folder::write(&job, &path, tell)?,
    };
    for lane in reader.lanes(T::JOURNAL)? {
        let unreadable = reader.unreadable(T::JOURNAL, lane)?;
        let name = |segment| format!("{}/lane-{lane:02}/{segment}", T::JOURNAL.name());
        report.unreadable.extend(unreadable.into_iter().map(name));
    }
    Ok(report)
}

/// All that a run needs to know.
struct Job<'a, T: Table, F> {
    reader: &'a Reader,
    options: &'a Options,
    format: &'a F,
    chosen: &'a Chosen<T>,
}

impl<T: Table, F: Format<T>> Job<'_, T, F> {
    /// The segments that may have rows of the wanted time.
    fn segments(&self) -> Result<Vec<Listed>, ExportError> {
        let mut segments = listed::list::<T>(self.reader)?;
        segments.retain(|listed| listed.sealed.is_none_or(|summary| self.options.window.overlaps(&summary)));
        Ok(segments)
    }

    /// Whether a part may have rows of the wanted time.
    fn may_have(&self, part: compactor::Part) -> bool {
        let (first_time, last_time) = (part.first_time, part.last_time);
        self.options.window.overlaps(&Summary { first_time, last_time, ..Summary::default() })
    }

    /// Puts the wanted rows of a group into `block`, and says how many they are.
    fn fill(
        &self,
        source: &compactor::Source<T>,
        (part, group): (compactor::Part, usize),
        block: &mut F::Block,
    ) -> Result<u64, ExportError> {
        let mut rows = 0;
        source.each_row(part, group, |row| {
            if self.chosen.is_wanted(row) {
                self.format.put(row, block);
                rows += 1;
            }
        })?;
        Ok(rows)
    }
}
