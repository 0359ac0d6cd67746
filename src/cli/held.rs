//! `clicklog held`: payouts that wait for a person.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::data::open;
use super::lookup::money;
use super::progress::Progress;
use super::times::Times;
use super::{Failure, Format, client, plain, table};
use crate::batch::held::{self, HeldRow};
use crate::batch::lookup::Window;
use crate::store::Position;
use crate::store::reader::Reader;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print what waits, oldest first; the daemon need not run
    List(List),
    /// Let a held payout count from now on; the daemon must run
    Release(Settle),
    /// Throw a held payout away: it will never count; the daemon must run
    Drop(Settle),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "clicklog-data")]
    data: PathBuf,
    /// Only of this network
    #[arg(long, value_name = "ID")]
    network: Option<String>,
    #[command(flatten)]
    times: Times,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Settle {
    /// The decision or the conversion, as `held list` shows them
    id: String,
    #[command(flatten)]
    daemon: client::Given,
}

pub(super) fn run(command: &Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match command {
        Command::List(list) => run_list(list, out),
        Command::Release(settle) => run_settle(settle, "release", out),
        Command::Drop(settle) => run_settle(settle, "drop", out),
    }
}

fn run_list(list: &List, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let mut rows = rows(&open(&list.data)?, list.times.window()?)?;
    rows.retain(|row| list.network.as_ref().is_none_or(|network| *network == row.network));
    match list.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &rows)?;
            writeln!(out)?;
        }
        Format::Text => write_text(out, &rows)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(reader: &Reader, window: Window) -> Result<Vec<HeldRow>, Failure> {
    let mut progress = Progress::new("reading");
    let rows = held::list(reader, window, &mut |done, of| progress.tick(done, of, ""));
    progress.end();
    Ok(rows?)
}

fn write_text(out: &mut dyn Write, rows: &[HeldRow]) -> Result<(), Failure> {
    if rows.is_empty() {
        writeln!(out, "nothing is held")?;
        return Ok(());
    }
    let heads = ["DECISION", "TIME", "NETWORK", "TRANSACTION", "PAYOUT", "REASON", "OFFER", "CONVERSION"];
    table::write(out, heads, rows.iter().map(cells).collect())?;
    Ok(())
}

fn cells(row: &HeldRow) -> [String; 8] {
    [
        row.decision.clone(),
        row.time.clone(),
        plain(&row.network),
        plain(&row.transaction_id),
        money(row.payout.as_ref()),
        row.reason.clone(),
        plain(&row.offer),
        row.conversion_id.clone(),
    ]
}

fn run_settle(settle: &Settle, what: &str, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let settings = settle.daemon.settings()?;
    let decision = match settle.id.parse::<Position>() {
        Ok(position) => position.to_string(),
        Err(_) => by_conversion(&settle.id, &open(&settings.store.data)?)?,
    };
    let client = settle.daemon.client(&settings)?;
    let body = serde_json::json!({ "decision": decision }).to_string();
    let told = client.expect("POST", &format!("/api/held/{what}"), body.as_bytes())?;
    writeln!(out, "{}", told.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// The decision that holds a payout of this conversion.
fn by_conversion(id: &str, reader: &Reader) -> Result<String, Failure> {
    let rows = rows(reader, Window::default())?;
    let found = rows.into_iter().find(|row| row.conversion_id.eq_ignore_ascii_case(id));
    let row = found.ok_or_else(|| {
        Failure::new(format!("{id:?} is neither a decision, as 7:4096, nor a conversion that is held"))
    })?;
    Ok(row.decision)
}
