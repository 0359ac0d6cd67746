//! `clicklog import`: live clicks of another tracker, so that their conversions still attribute; and conversions and costs
//! of a file.
//!
//! The store has one owner: a daemon that runs is sent the rows, else this process opens the store itself.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::data::open;
use super::progress::Progress;
use super::reading::{Amounts, Reading};
use super::serve::failure;
use super::{Failure, Format, client};
use crate::batch::import::{
    CHUNK_BYTES_MAX, Conversion, Cost, Counts, DryRun, Form, ImportError, Names, Options, Rename, Report,
    Row, Sink, Taken, run as run_import,
};
use crate::clock::Clock;
use crate::config::Settings;
use crate::event::money::Currency;
use crate::event::percent_encoded;
use crate::serve::{Alone, AloneWithClicks, AloneWithCosts, ServeError, campaign_names};
use crate::store;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Clicks from a CSV file with a first line of names; run it again after an interruption and it goes on. Exit 1 if
    /// nothing was imported
    Clicks(Clicks),
    /// Conversions from a CSV file, decided on as if their network had reported them; a line that was imported before, or
    /// whose transaction was told, counts no more. Sources are told of them as of all others. Exit 1 if nothing was imported
    Conversions(Conversions),
    /// What clicks cost by day, hour or other period, from a CSV file. It adds to what clicks say themselves, spread evenly
    /// over the hours of the period that have begun. What a later file says of the same hours, campaign, source, offer,
    /// parameters and currency takes the place of what an earlier one said; a file in which two lines say it is refused,
    /// with the column by which it may be broken down. Exit 1 if nothing was imported
    Costs(Costs),
}

#[derive(Debug, Args)]
pub(super) struct Costs {
    /// What a column holds that is not called so: time (a day, or a moment of an hour), hour, from, to, campaign, source,
    /// offer, cost, currency, or the name of a parameter, as sub1 or zone. Columns that are neither are left out, so name
    /// those that the file is broken down by
    #[arg(long = "map", value_name = "OUR=COLUMN")]
    renames: Vec<Rename>,
    #[command(flatten)]
    given: Common,
    #[command(flatten)]
    amounts: Amounts,
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
    #[command(flatten)]
    amounts: Amounts,
}

/// What is the same for all that is imported.
#[derive(Debug, Args)]
struct Common {
    /// The file
    file: PathBuf,
    /// Leave this column out; addresses are left out unless they are mapped
    #[arg(long = "skip", value_name = "COLUMN")]
    skipped: Vec<String>,
    #[command(flatten)]
    reading: Reading,
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
            delimiter: self.reading.delimiter,
            offset: self.reading.time_zone,
            currency,
            bad_file: self.bad.clone(),
        }
    }

    /// What is wrong with the file is told before a store is opened.
    fn check(&self) -> Result<Settings, Failure> {
        let settings = self.daemon.settings()?;
        std::fs::metadata(&self.file)
            .map_err(|error| Failure::system(format!("cannot read {}", self.file.display()), &error))?;
        // A new store made in a wrong place would never be asked for what is imported.
        open(&settings.store.data)?;
        Ok(settings)
    }

    /// Into the store itself, which `open` gives and `close` ends, or, where a daemon has it, by `target` of that.
    fn import<R: Form, A: Sink<R>>(
        &self,
        options: &Options,
        target: &str,
        open: impl FnOnce(&Settings) -> Result<A, ServeError>,
        close: impl FnOnce(A) -> Result<(), ServeError>,
    ) -> Result<Report, Failure> {
        if self.dry_run {
            // A file that is refused is to be refused here too.
            let names = match R::SAME {
                "" => Names::default(),
                _ => campaign_names(&self.daemon.settings()?).map_err(Failure::configuration)?,
            };
            return import_into::<R>(options, &mut DryRun { names }, None);
        }
        let settings = self.check()?;
        let data = Some(settings.store.data.clone());
        match open(&settings) {
            Ok(mut alone) => {
                let imported = import_into(options, &mut alone, data);
                close(alone).map_err(failure)?;
                imported
            }
            Err(ServeError::Store(store::Error::Locked { .. })) => {
                let client = self.daemon.client(&settings)?;
                let mut remote = Remote { client, target: target.to_owned(), mark: 0 };
                import_into::<R>(options, &mut remote, data)
            }
            Err(error) => Err(failure(error)),
        }
    }
}

impl Clicks {
    fn import(&self) -> Result<Report, Failure> {
        let options = self.given.options(&self.renames, self.amounts.currency);
        let open = |settings: &Settings| AloneWithClicks::open(settings, Clock::System);
        self.given.import::<Row, _>(&options, "/api/import/clicks?", open, AloneWithClicks::close)
    }
}

impl Conversions {
    fn import(&self) -> Result<Report, Failure> {
        // Amounts are read as the network's postbacks are.
        let options = self.given.options(&self.renames, Currency::USD);
        let target = format!("/api/import/conversions?network={}&", percent_encoded(&self.network));
        let open = |settings: &Settings| Alone::open(settings, &self.network, Clock::System);
        self.given.import::<Conversion, _>(&options, &target, open, Alone::close)
    }
}

impl Costs {
    fn import(&self) -> Result<Report, Failure> {
        let options = self.given.options(&self.renames, self.amounts.currency);
        let open = |settings: &Settings| AloneWithCosts::open(settings, Clock::System);
        self.given.import::<Cost, _>(&options, "/api/import/costs?", open, AloneWithCosts::close)
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

/// A daemon that has the store.
struct Remote {
    client: client::Client,
    /// Where chunks go.
    target: String,
    /// Of the last chunk.
    mark: u64,
}

/// What the daemon says of its campaigns.
#[derive(Debug, Deserialize)]
struct Told {
    campaigns: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
    aliases: Vec<String>,
}

fn strange(error: serde_json::Error) -> ImportError {
    ImportError::Daemon(format!("the daemon's answer cannot be read: {error}"))
}

impl Remote {
    fn send(&self, target: &str, body: &[u8]) -> Result<Taken, ImportError> {
        let told = self
            .client
            .expect("POST", target, body)
            .map_err(|failure| ImportError::Daemon(failure.to_string()))?;
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

    fn names(&mut self) -> Result<Names, ImportError> {
        let told = self.client.expect("GET", "/api/campaigns", b"");
        let told = told.map_err(|failure| ImportError::Daemon(failure.to_string()))?;
        let told: Told = serde_json::from_str(&told).map_err(strange)?;
        let named = told
            .campaigns
            .into_iter()
            .flat_map(|Named { id, aliases }| aliases.into_iter().map(move |alias| (alias, id.clone())));
        Ok(named.collect())
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
