//! `clicklog export`: clicks, conversions or deliveries as files, beside a running daemon or without one.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Failure;
use super::data::open;
use super::progress::Progress;
use super::times::Times;
use super::whose::Whose;
use crate::batch::export::{self, Filter, Options, Report, Shape, Target, What};

/// Threads that make rows ready, at most: one writes what they make.
const THREADS_MAX: usize = 4;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to export
    #[arg(value_enum)]
    table: Table,
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "clicklog-data")]
    data: PathBuf,
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    filters: Filters,
    /// How to write it [default: as the file is called; csv to standard output, parquet into a folder]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Only these columns, in this order
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// In CSV, put an apostrophe before texts that a spreadsheet would take for formulas: those that begin with = + - @, a
    /// tab or a line's end. This changes data: leave it out for files that programs read
    #[arg(long)]
    spreadsheet_safe: bool,
    /// A file; or a folder (one that is there, or a name that ends in /), which gets a file for each segment and day and is
    /// only added to when the command is run again; `-` is standard output
    #[arg(long, value_name = "PATH", default_value = "-")]
    out: PathBuf,
}

/// Which rows.
#[derive(Debug, Args)]
pub(super) struct Filters {
    #[command(flatten)]
    whose: Whose,
    /// Only with this status
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// Only where this column has this value, as country=DE or is_bot=false
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    wanted: Vec<Filter>,
}

impl Filters {
    pub(super) fn all(&self) -> Vec<Filter> {
        let statuses = self.status.iter().map(|status| ("status", status));
        let named = self.whose.all().chain(statuses);
        let filters = named.map(|(column, value)| Filter { column: column.to_owned(), value: value.clone() });
        filters.chain(self.wanted.iter().cloned()).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Table {
    Clicks,
    Conversions,
    Deliveries,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Parquet,
    Ndjson,
    Csv,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let reader = open(&arguments.data)?;
    let options = arguments.options()?;
    let target = arguments.target()?;
    let is_file = !matches!(target, Target::Open(..));
    let mut progress = Progress::new("exporting");
    let exported = export::export(&reader, &options, target, &mut |done, of, rows| {
        progress.tick(done, of, &format!("{rows} rows"));
    });
    progress.end();
    let report = match exported.map_err(Failure::from) {
        // Whoever reads the pipe has enough. How a library of a format says so is in its text alone.
        Err(failure) if !is_file && failure.text.contains("Broken pipe") => return Ok(ExitCode::SUCCESS),
        exported => exported?,
    };
    if is_file {
        write_report(out, &report)?;
    }
    if !report.unreadable.is_empty() {
        // Standard output may be the export itself.
        let missing = report.unreadable.join(", ");
        writeln!(io::stderr(), "clicklog: not in it, because they cannot be read: segments {missing}")?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn write_report(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let Report { rows, files, known_segments, .. } = report;
    write!(out, "{rows} rows in {files} files")?;
    match known_segments {
        0 => writeln!(out),
        known => writeln!(out, "; {known} segments were there already"),
    }
}

impl Arguments {
    fn options(&self) -> Result<Options, Failure> {
        let shape = match self.format() {
            Format::Parquet => Shape::Parquet,
            Format::Ndjson => Shape::Ndjson,
            Format::Csv => Shape::Csv { is_spreadsheet_safe: self.spreadsheet_safe },
        };
        if self.spreadsheet_safe && !matches!(shape, Shape::Csv { .. }) {
            return Err(Failure::usage("--spreadsheet-safe is for CSV"));
        }
        let what = match self.table {
            Table::Clicks => What::Clicks,
            Table::Conversions => What::Conversions,
            Table::Deliveries => What::Deliveries,
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let (columns, filters, window) = (self.columns.clone(), self.filters.all(), self.times.window()?);
        Ok(Options { what, shape, columns, filters, window, threads })
    }

    fn format(&self) -> Format {
        let named = match self.out.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Some(Format::Csv),
            Some("ndjson" | "jsonl" | "json") => Some(Format::Ndjson),
            Some("parquet") => Some(Format::Parquet),
            _ => None,
        };
        let default = if is_standard_output(&self.out) { Format::Csv } else { Format::Parquet };
        self.format.or(named).unwrap_or(default)
    }

    fn target(&self) -> Result<Target, Failure> {
        let path = &self.out;
        if is_standard_output(path) {
            let out = io::stdout();
            if self.format() == Format::Parquet && out.is_terminal() {
                return Err(Failure::usage("Parquet is nothing for a terminal: say where to with --out"));
            }
            let file = File::from(out.as_fd().try_clone_to_owned()?);
            return Ok(Target::Open(file, PathBuf::from("standard output")));
        }
        let is_folder = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if is_folder {
            return Ok(Target::Folder(path.clone()));
        }
        // A pipe, say, keeps its name.
        if path.exists() && !path.is_file() {
            let file = std::fs::OpenOptions::new().write(true).open(path);
            let file =
                file.map_err(|error| Failure::system(format!("cannot open {}", path.display()), &error))?;
            return Ok(Target::Open(file, path.clone()));
        }
        Ok(Target::File(path.clone()))
    }
}

fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == "-"
}
