//! `clicklog import`: live clicks of another tracker, so that their conversions still attribute; and conversions and costs
//! of a file.
//!
//! The store has one owner: a daemon that runs is sent the rows, else this process opens the store itself.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::lookup::open;
use super::progress::Progress;
use super::{Failure, Format, client};
use crate::batch::import::{
    CHUNK_BYTES_MAX, Conversion, Cost, Counts, DryRun, Form, ImportError, Importer, Offset, Options, Rename,
    Report, Row, Sink, Taken, run as run_import,
};
use crate::clock::Clock;
use crate::config::Settings;
use crate::event::money::Currency;
use crate::event::percent_encoded;
use crate::serve::{Alone, AloneWithCosts, ServeError};
use crate::store::{self, Store};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Clicks from a CSV file with a first line of names; run it again after an interruption and it goes on. Exit 1 if
    /// nothing was imported
    Clicks(Clicks),
    /// Conversions from a CSV file, decided on as if their network had reported them; a line that was imported before, or
    /// whose transaction was told, counts no more. Sources are told of them as of all others. Exit 1 if nothing was imported
    Conversions(Conversions),
    /// What clicks cost by day, hour or other period, from a CSV file. It adds to what clicks say themselves, spread evenly
    /// over the hours of the period that have begun; a later line for the same hours, campaign, source, offer, parameters
    /// and currency takes the place of an earlier one. Exit 1 if nothing was imported
    Costs(Costs),
}

#[derive(Debug, Args)]
pub(super) struct Costs {
    /// What a column holds that is not called so: time (a day, or a moment of an hour), hour, from, to, campaign, source,
    /// offer, cost, currency, or the name of a parameter, as sub1 or zone. Columns that are neither are left out
    #[arg(long = "map", value_name = "OUR=COLUMN")]
    renames: Vec<Rename>,
    #[command(flatten)]
    given: Common,
    /// Currency of costs that do not say
    #[arg(long, value_name = "CODE", default_value = "USD")]
    currency: Currency,
}

#[derive(Debug, Args)]
pub(super) struct Conversions {
    /// The network that they are of, as the catalog calls it
    #[arg(long, value_name = "ID")]
    network: String,
    /// What a column holds that is not called so: click_id, time, transaction_id, payout, currency, status, event, or the
    /// name of a parameter. Every other column becomes a parameter under its own name
    #[arg(long = "map", value_name = "OUR=COLUMN")]
    renames: Vec<Rename>,
    #[command(flatten)]
    given: Common,
}

#[derive(Debug, Args)]
pub(super) struct Clicks {
    /// What a column holds that is not called so: id, time, campaign, source, offer, external_id, cost, currency, referrer,
    /// user_agent, country, or the name of a parameter. Every other column becomes a parameter under its own name
    #[arg(long = "map", value_name = "OUR=COLUMN")]
    renames: Vec<Rename>,
    #[command(flatten)]
    given: Common,
    /// Currency of costs that do not say
    #[arg(long, value_name = "CODE", default_value = "USD")]
    currency: Currency,
}

/// What is the same for all that is imported.
#[derive(Debug, Args)]
struct Common {
    /// The file
    file: PathBuf,
    /// Leave this column out; addresses are left out unless they are mapped
    #[arg(long = "skip", value_name = "COLUMN")]
    skipped: Vec<String>,
    /// What stands between fields; `tab` for a tab [default: told from the first line]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// How far ahead of UTC times are that do not say, as +02:00
    #[arg(long, value_name = "OFFSET", default_value = "Z", allow_hyphen_values = true)]
    time_zone: Offset,
    /// Write lines that cannot be understood to this file, with number and reason, so that they can be mended and imported
    #[arg(long, value_name = "FILE")]
    bad: Option<PathBuf>,
    /// Exit 1 if any line could not be understood; the others are imported all the same
    #[arg(long)]
    strict: bool,
    /// Read everything and import nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    daemon: client::Given,
    /// How to print the report
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(command: &Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let (given, report) = match command {
        Command::Clicks(clicks) => (&clicks.given, clicks.import()?),
        Command::Conversions(conversions) => (&conversions.given, conversions.import()?),
        Command::Costs(costs) => (&costs.given, costs.import()?),
    };
    match given.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
        Format::Text => write_text(out, &report, given)?,
    }
    let Counts { imported, known, bad } = report.counts;
    let failed = imported + known == 0 || (given.strict && bad > 0);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Common {
    fn options(&self, renames: &[Rename], currency: Currency) -> Options {
        Options {
            file: self.file.clone(),
            renames: renames.to_vec(),
            skipped: self.skipped.clone(),
            delimiter: self.delimiter,
            offset: self.time_zone,
            currency,
            bad_file: self.bad.clone(),
        }
    }

    /// What is wrong with the file is told before a store is opened.
    fn check(&self) -> Result<Settings, Failure> {
        let settings = self.daemon.settings()?;
        std::fs::metadata(&self.file)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", self.file.display())))?;
        // A new store made in a wrong place would never be asked for what is imported.
        open(&settings.store.data)?;
        Ok(settings)
    }

    fn remote(&self, settings: &Settings, target: String) -> Result<Remote, Failure> {
        Ok(Remote { client: self.daemon.client(settings)?, target, mark: 0 })
    }
}

impl Clicks {
    fn import(&self) -> Result<Report, Failure> {
        let options = self.given.options(&self.renames, self.currency);
        if self.given.dry_run {
            return import_into::<Row>(&options, &mut DryRun, None);
        }
        let settings = self.given.check()?;
        let data = settings.store.data.clone();
        match Store::open(store_options(&settings)) {
            Ok(store) => {
                let Some(mut importer) = Importer::new(&store, Clock::System) else {
                    return Err(Failure::new("the store has no lane for imports"));
                };
                let imported = import_into(&options, &mut importer, Some(data));
                importer.close();
                store.close()?;
                imported
            }
            Err(store::Error::Locked { .. }) => {
                let mut remote = self.given.remote(&settings, "/api/import/clicks?".to_owned())?;
                import_into::<Row>(&options, &mut remote, Some(data))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Conversions {
    fn import(&self) -> Result<Report, Failure> {
        // Amounts are read as the network's postbacks are.
        let options = self.given.options(&self.renames, Currency::USD);
        if self.given.dry_run {
            return import_into::<Conversion>(&options, &mut DryRun, None);
        }
        let settings = self.given.check()?;
        let data = settings.store.data.clone();
        match Alone::open(&settings, &self.network, Clock::System) {
            Ok(mut alone) => {
                let imported = import_into(&options, &mut alone, Some(data));
                alone.close()?;
                imported
            }
            Err(ServeError::Store(store::Error::Locked { .. })) => {
                let network = percent_encoded(&self.network);
                let target = format!("/api/import/conversions?network={network}&");
                let mut remote = self.given.remote(&settings, target)?;
                import_into::<Conversion>(&options, &mut remote, Some(data))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Costs {
    fn import(&self) -> Result<Report, Failure> {
        let options = self.given.options(&self.renames, self.currency);
        if self.given.dry_run {
            return import_into::<Cost>(&options, &mut DryRun, None);
        }
        let settings = self.given.check()?;
        let data = settings.store.data.clone();
        match AloneWithCosts::open(&settings, Clock::System) {
            Ok(mut alone) => {
                let imported = import_into(&options, &mut alone, Some(data));
                alone.close()?;
                imported
            }
            Err(ServeError::Store(store::Error::Locked { .. })) => {
                let mut remote = self.given.remote(&settings, "/api/import/costs?".to_owned())?;
                import_into::<Cost>(&options, &mut remote, Some(data))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn import_into<R: Form>(
    options: &Options,
    sink: &mut dyn Sink<R>,
    folder: Option<PathBuf>,
) -> Result<Report, Failure> {
    let mut progress = Progress::new("importing");
    let mut tell = |done: u64, of: u64, counts: &Counts| {
        let Counts { imported, known, bad } = counts;
        progress.tick(done, of, &format!("{imported} imported, {known} known, {bad} bad"));
    };
    let report = run_import(options, folder.as_deref(), sink, &mut tell);
    progress.end();
    Ok(report?)
}

/// The store is opened for one lane of its own: those of the workers stay as they are.
fn store_options(settings: &Settings) -> store::Options {
    settings.store_options(1, Clock::System)
}

pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ if text == "tab" || text == "\\t" => Ok(b'\t'),
        _ => Err("it is one character, or `tab`".to_owned()),
    }
}

/// A daemon that has the store.
struct Remote {
    client: client::Client,
    /// Where chunks go.
    target: String,
    /// Of the last chunk.
    mark: u64,
}

impl Remote {
    fn send(&self, target: &str, body: &[u8]) -> Result<Taken, ImportError> {
        let told =
            self.client.expect("POST", target, body).map_err(|failure| ImportError::Daemon(failure.text))?;
        let strange = |error| ImportError::Daemon(format!("the daemon's answer cannot be read: {error}"));
        serde_json::from_str(&told).map_err(strange)
    }
}

impl<R: Form> Sink<R> for Remote {
    fn take(&mut self, mark: u64, rows: &[R]) -> Result<Taken, ImportError> {
        let mut body = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut body, row)
                .map_err(|error| ImportError::Daemon(format!("a row cannot be sent: {error}")))?;
            body.push(b'\n');
        }
        assert!(body.len() <= CHUNK_BYTES_MAX, "a chunk fits a request");
        self.mark = mark;
        self.send(&format!("{}chunk={mark}", self.target), &body)
    }

    fn end(&mut self) -> Result<(), ImportError> {
        // A chunk of nothing, after which what was imported is sealed.
        self.send(&format!("{}chunk={}&last=1", self.target, self.mark), &[]).map(|_| ())
    }
}

fn write_text(out: &mut dyn Write, report: &Report, given: &Common) -> std::io::Result<()> {
    if let Some(line) = report.resumed_at_line {
        writeln!(out, "went on at line {line}, where an earlier run had stopped")?;
    }
    if given.dry_run {
        for (column, used) in &report.columns {
            writeln!(out, "column {column:?}: {used}")?;
        }
    }
    for bad in &report.shown {
        writeln!(out, "line {}: {}", bad.line, bad.reason)?;
    }
    let Counts { imported, known, bad } = report.counts;
    let what = if given.dry_run { "could be imported" } else { "imported" };
    writeln!(out, "{imported} {what}, {known} known already, {bad} bad")
}
