//! `clicklog report`: what came of clicks, beside a running daemon or without one.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::data::open;
use super::progress::Progress;
use super::times::Times;
use super::whose::Whose;
use super::{Failure, plain, table};
use crate::batch::import::Offset;
use crate::batch::report::html::{SHOWN, cell, head, page};
use crate::batch::report::{Column, Dimension, Query, Report, csv, json, report};
use crate::clock::{Clock, Timestamp};
use crate::event::money::Currency;

const HOUR_MICROS: i64 = 3600 * 1_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;
/// Days that a report is of unless it is told: today, and those before.
const DAYS: i64 = 7;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to break it down by: campaign, offer, source, network, lander, country, currency, day, hour; or, read from the
    /// records and so slower, sub1 to sub10, zone, creative, keyword, utm_source, …, is_net, is_bot, kind, event, language,
    /// param:NAME
    #[arg(long, value_name = "DIMENSION,...", value_delimiter = ',', default_value = "campaign")]
    by: Vec<Dimension>,
    #[command(flatten)]
    times: Times,
    /// How far ahead of UTC the clocks are by which days and hours are told, as +02:00
    #[arg(long, value_name = "OFFSET", default_value = "Z", allow_hyphen_values = true)]
    time_zone: Offset,
    #[command(flatten)]
    filters: Filters,
    /// Only money of this currency
    #[arg(long, value_name = "CODE")]
    currency: Option<Currency>,
    /// Sort by this column, as clicks, cr, revenue, profit_eur or a dimension: the greatest first, texts from a on
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// Sort the other way round
    #[arg(long)]
    reverse: bool,
    /// Show so many rows; the total is of all
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "clicklog-data")]
    data: PathBuf,
    /// How to print it: csv has every count there is, html is one page with a chart. csv and json have exact amounts; in
    /// table and html they are rounded, half to even, to what the currency has: 0.01 USD, 1 JPY, four places for a click
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,
    /// In CSV, put an apostrophe before values that a spreadsheet would take for a formula. This changes them
    #[arg(long)]
    spreadsheet_safe: bool,
}

/// What is left out of a report.
#[derive(Debug, Args)]
struct Filters {
    #[command(flatten)]
    whose: Whose,
    /// Only of this country, as DE
    #[arg(long, value_name = "CODE")]
    country: Vec<String>,
    /// Only where any dimension has this value, as sub1=abc
    #[arg(long = "where", value_name = "DIMENSION=VALUE", value_parser = condition)]
    conditions: Vec<(Dimension, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// For people.
    #[default]
    #[value(alias = "text")]
    Table,
    /// For spreadsheets.
    Csv,
    /// For programs.
    Json,
    /// For a browser.
    Html,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let query = arguments.query(Clock::System.now())?;
    let reader = open(&arguments.data)?;
    let mut progress = Progress::new("reading");
    let report = report(&reader, &query, &mut |done, of| progress.tick(done, of, ""));
    progress.end();
    let mut report = report?;
    let by = match &arguments.sort {
        None => None,
        Some(name) => Some(Column::named(&report, name).ok_or_else(|| no_column(&report, name))?),
    };
    report.sort(by.as_ref(), arguments.reverse);
    if let Some(rows) = arguments.limit {
        report.limit(rows);
    }
    match arguments.format {
        ReportFormat::Table => write_table(out, &report)?,
        ReportFormat::Csv => csv(&report, arguments.spreadsheet_safe, out)?,
        ReportFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &json(&report))?;
            writeln!(out)?;
        }
        ReportFormat::Html => out.write_all(page(&report, &title(&report)).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn query(&self, now: Timestamp) -> Result<Query, Failure> {
        let window = self.times.window_by(self.time_zone)?;
        // The hour that has begun is in it, and roll-ups can say all before.
        let to = window.to.unwrap_or_else(|| Timestamp::from_micros((now.hour() + 1) * HOUR_MICROS));
        let offset = i64::from(self.time_zone.seconds()) * 1_000_000;
        let last = (to.micros() - 1 + offset).div_euclid(DAY_MICROS);
        let first = Timestamp::from_micros((last - DAYS + 1) * DAY_MICROS - offset);
        let from = window.from.unwrap_or(first);
        Ok(Query {
            from,
            to,
            offset: self.time_zone,
            by: self.by.clone(),
            filters: self.filters.all()?,
            currency: self.currency,
            leaves: true,
        })
    }
}

impl Filters {
    fn all(&self) -> Result<Vec<(Dimension, String)>, Failure> {
        let countries = self.country.iter().map(|country| ("country", country));
        let mut all = self.conditions.clone();
        for (name, value) in self.whose.all().chain(countries) {
            all.push((name.parse()?, value.clone()));
        }
        Ok(all)
    }
}

fn condition(text: &str) -> Result<(Dimension, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is DIMENSION=VALUE, as sub1=abc")?;
    let dimension = name.parse::<Dimension>().map_err(|error| error.to_string())?;
    Ok((dimension, value.to_owned()))
}

fn no_column(report: &Report, name: &str) -> Failure {
    let columns = Column::all(report, &SHOWN);
    let names: Vec<String> = columns.iter().map(|column| column.name(report)).collect();
    Failure::new(format!("the report has no column {name:?}; there are {}", names.join(", ")))
}

fn title(report: &Report) -> String {
    if report.by.is_empty() { "Report".to_owned() } else { format!("Report by {}", report.by.join(", ")) }
}

fn write_table(out: &mut dyn Write, report: &Report) -> Result<(), Failure> {
    writeln!(out, "{}, {}", title(report), report.period())?;
    report.notes.iter().try_for_each(|note| writeln!(out, "note: {}", plain(note)))?;
    let columns = Column::all(report, &SHOWN);
    let heads = columns.iter().map(|column| head(column, report).to_uppercase()).collect();
    let cells = |row| columns.iter().map(|column| plain(&cell(column, row, report))).collect::<Vec<_>>();
    let mut rows: Vec<Vec<String>> = report.rows.iter().map(cells).collect();
    let mut total = cells(&report.total);
    if let Some(first) = total.first_mut().filter(|_| !report.by.is_empty()) {
        "TOTAL".clone_into(first);
    }
    rows.push(total);
    table::write_numbers(out, heads, rows, report.by.len())?;
    if report.more > 0 {
        writeln!(out, "{} more rows are in the total", report.more)?;
    }
    Ok(())
}
