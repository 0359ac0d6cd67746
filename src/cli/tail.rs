//! `clicklog tail`: records as they are appended, beside a running daemon or without one.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::data::open;
use super::export::Filters;
use super::{Failure, signals};
use crate::batch::tail::{self, LAST_MAX, Options, What};
use crate::shutdown::{Shutdown, Woken};

/// Between two looks at the journals.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to show
    #[arg(value_enum, default_value_t = Table::Clicks)]
    table: Table,
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "clicklog-data")]
    data: PathBuf,
    /// Go on with what is appended, until a signal
    #[arg(long, short)]
    follow: bool,
    /// So many of those that are there already
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = last)]
    last: usize,
    /// None of those that are there already, and all that come
    #[arg(long, conflicts_with = "last")]
    from_now: bool,
    #[command(flatten)]
    filters: Filters,
    /// Other columns, in this order: those of `export`
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// How to show them
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Table {
    Clicks,
    Postbacks,
    Conversions,
    Deliveries,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: names and values.
    Text,
    /// For programs: a JSON object in each line.
    Ndjson,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let reader = open(&arguments.data)?;
    let options = arguments.options();
    let shutdown = Shutdown::default();
    let follows = arguments.follow || arguments.from_now;
    if follows {
        signals::trip(&shutdown, |_| {})?;
    }
    let mut goes_on = || follows && shutdown.pause(LOOK_INTERVAL) != Woken::Stopped;
    let unreadable = tail::tail(&reader, &options, out, &mut goes_on)?;
    if unreadable > 0 {
        writeln!(io::stderr(), "clicklog: {unreadable} records cannot be read by this version")?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn options(&self) -> Options {
        let what = match self.table {
            Table::Clicks => What::Clicks,
            Table::Postbacks => What::Postbacks,
            Table::Conversions => What::Conversions,
            Table::Deliveries => What::Deliveries,
        };
        let (columns, filters) = (self.columns.clone(), self.filters.all());
        let last = if self.from_now { 0 } else { self.last };
        Options { what, is_json: self.format == Format::Ndjson, columns, filters, last }
    }
}

fn last(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "it is a number of records".to_owned())?;
    if number <= LAST_MAX { Ok(number) } else { Err(format!("{LAST_MAX} is the most")) }
}
