//! `clicklog reconcile`: a network's file against our books.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::data::open;
use super::progress::Progress;
use super::reading::{Amounts, Reading};
use super::times::Times;
use super::{Failure, plain, table};
use crate::batch::import::Rename;
use crate::batch::reconcile::{Options, Pair, Reconciliation, csv, reconcile, state};
use crate::batch::report::exact::decimal;
use crate::clock::Clock;
use crate::config::catalog::Snapshot;
use crate::config::{self, Egress};
use crate::event::conversion::Status;
use crate::event::money::Micros;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What the network has exported, with a first line of names
    file: PathBuf,
    /// The network
    #[arg(long, value_name = "ID")]
    network: String,
    /// What a column holds that is not called so: transaction_id, click_id, time, event, status, payout, currency
    #[arg(long = "map", value_name = "OUR=COLUMN")]
    renames: Vec<Rename>,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    amounts: Amounts,
    /// What a word of the network means: approved, pending or reversed
    #[arg(long = "status", value_name = "WORD=STATUS", value_parser = word)]
    words: Vec<(String, Status)>,
    /// Where a conversion stands whose line does not say
    #[arg(long, value_name = "STATUS", value_parser = status, default_value = "approved")]
    default_status: Status,
    #[command(flatten)]
    times: Times,
    /// How long before the period we may have heard of what is in the file, as 36h or 1d
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1d")]
    tolerance: Duration,
    /// Up to this much an amount is not taken to differ
    #[arg(long, value_name = "AMOUNT", value_parser = amount, default_value = "0")]
    payout_tolerance: Micros,
    /// Beyond which discrepancy to exit 1: of counts, of the money of a currency, or of lines that nobody understands
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "3%")]
    threshold: i128,
    /// Print what both sides have alike too
    #[arg(long)]
    all: bool,
    /// Lines of differences that the table shows
    #[arg(long, value_name = "ROWS", default_value_t = 50)]
    limit: usize,
    /// The catalog, which knows networks that nobody has heard of yet
    #[arg(long, value_name = "FILE|DIR")]
    catalog: Option<PathBuf>,
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "clicklog-data")]
    data: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: ReconcileFormat,
    /// In CSV, put an apostrophe before ids that a spreadsheet would take for formulas. This changes them
    #[arg(long)]
    spreadsheet_safe: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ReconcileFormat {
    /// For people.
    #[default]
    #[value(alias = "text")]
    Table,
    /// One line for each difference.
    Csv,
    /// For programs.
    Json,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let options = arguments.options()?;
    let reader = open(&arguments.data)?;
    let mut progress = Progress::new("reading");
    let done = reconcile(&reader, &options, arguments.all, &mut |done, of| progress.tick(done, of, ""));
    progress.end();
    let done = done?;
    if let Err(error) = state::write(&arguments.data, &done, Clock::System.now()) {
        let failure = Failure::from(error);
        // What was found out is worth more than that it is remembered.
        let _unsaid = writeln!(std::io::stderr(), "the metrics will not show this: {}", failure.text);
    }
    match arguments.format {
        ReconcileFormat::Table => write_table(out, &done, arguments)?,
        ReconcileFormat::Csv => csv(&done, arguments.spreadsheet_safe, out)?,
        ReconcileFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &done)?;
            writeln!(out)?;
        }
    }
    let is_beyond = done.discrepancy > arguments.threshold;
    Ok(if is_beyond { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Arguments {
    fn options(&self) -> Result<Options, Failure> {
        let window = self.times.window_by(self.reading.time_zone)?;
        Ok(Options {
            network: self.network.clone(),
            known_networks: self.known_networks()?,
            file: self.file.clone(),
            renames: self.renames.clone(),
            delimiter: self.reading.delimiter,
            offset: self.reading.time_zone,
            currency: self.amounts.currency,
            words: self.words.clone(),
            default_status: self.default_status,
            from: window.from,
            to: window.to,
            tolerance: self.tolerance,
            payout_tolerance: self.payout_tolerance,
        })
    }
}

impl Arguments {
    fn known_networks(&self) -> Result<Vec<String>, Failure> {
        let Some(path) = &self.catalog else { return Ok(Vec::new()) };
        // Over which connections postbacks leave does not show.
        let snapshot = config::catalog::load_all(path, 0, &config::environment, &Egress::default());
        let Snapshot { catalog, .. } = snapshot.map_err(Failure::configuration)?;
        Ok(catalog.networks().iter().map(|network| network.rules.id.to_string()).collect())
    }
}

fn word(text: &str) -> Result<(String, Status), String> {
    let (word, meaning) = text.split_once('=').ok_or("it is WORD=STATUS, as 3=approved")?;
    Ok((word.to_owned(), status(meaning)?))
}

fn status(text: &str) -> Result<Status, String> {
    let known = [Status::Approved, Status::Pending, Status::Reversed];
    let found = known.into_iter().find(|status| status.name() == text);
    found.ok_or_else(|| "it is approved, pending or reversed".to_owned())
}

fn amount(text: &str) -> Result<Micros, String> {
    let amount = Micros::parse(text).map_err(|error| error.to_string())?.amount;
    if amount.get() < 0 { Err("it is not below zero".to_owned()) } else { Ok(amount) }
}

/// Millionths of a whole, from percent.
fn percent(text: &str) -> Result<i128, String> {
    let amount = amount(text.trim_end().trim_end_matches('%'))?;
    Ok(i128::from(amount.get()) / 100)
}

fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let parts = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)));
    let (digits, seconds) = parts.ok_or("it is a number and a unit, as 1d, 36h or 30m")?;
    let number: u64 = digits.trim().parse().map_err(|_| "it is a whole number and a unit, as 36h")?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "it is too long".to_owned())
}

fn write_table(out: &mut dyn Write, done: &Reconciliation, arguments: &Arguments) -> Result<(), Failure> {
    let percent = |millionths: i128| format!("{} %", decimal(millionths, 4, 2));
    writeln!(out, "{} from {} until {}", plain(&done.network), done.from, done.to)?;
    for (column, used) in done.columns.iter().filter(|(_, used)| used != "left out") {
        writeln!(out, "  column {:?} is the {used}", plain(column))?;
    }
    done.bad_lines.iter().try_for_each(|bad| writeln!(out, "line {}: {}", bad.line, plain(&bad.reason)))?;
    let counts = done.counts;
    writeln!(
        out,
        "{} matched, {} missing here, {} extra here, {} with another payout, {} with another status; {} doubled, {} bad",
        counts.matched,
        counts.missing,
        counts.extra,
        counts.payout_differs,
        counts.status_differs,
        counts.doubled,
        counts.bad
    )?;
    for sums in &done.sums {
        writeln!(
            out,
            "{}: theirs {}, ours {}, difference {}, {}",
            sums.currency,
            sums.theirs,
            sums.ours,
            sums.difference,
            percent(sums.discrepancy)
        )?;
    }
    let (is, threshold) = (percent(done.discrepancy), percent(arguments.threshold));
    writeln!(out, "discrepancy {is}, threshold {threshold}")?;
    if done.pairs.is_empty() {
        return Ok(());
    }
    let heads = ["CLASS", "LINE", "TRANSACTION", "CLICK", "TIME", "THEIRS", "OURS", "CONVERSION"];
    table::write(out, heads, done.pairs.iter().take(arguments.limit).map(cells).collect())?;
    let more = done.pairs.len().saturating_sub(arguments.limit);
    if more > 0 {
        writeln!(out, "{more} more: --limit, --format csv")?;
    }
    Ok(())
}

fn cells(pair: &Pair) -> [String; 8] {
    let side = |status: &str, amount: &str, currency: &str| {
        plain(&format!("{status} {amount} {currency}")).trim().to_owned()
    };
    [
        pair.class.name().to_owned(),
        pair.line.map_or_else(String::new, |line| line.to_string()),
        plain(&pair.transaction_id),
        plain(&pair.click_id),
        pair.time.clone(),
        side(&pair.their_status, &pair.their_amount, &pair.their_currency),
        side(&pair.our_status, &pair.our_amount, &pair.our_currency),
        pair.conversion_id.clone(),
    ]
}
