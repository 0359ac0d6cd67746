//! `clicklog replay`: raw postbacks decided on once more, by the catalog in use.
//!
//! What would change is shown first, and done only when that is wanted.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::times::Times;
use super::{Failure, Format, client, plain};
use crate::batch::lookup::Window;

/// How long the daemon may take for a replay.
const TIMEOUT: Duration = Duration::from_secs(3600);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Of this network
    #[arg(long, value_name = "ID")]
    network: String,
    #[command(flatten)]
    times: Times,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Do it without asking
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    daemon: client::Given,
}

#[derive(Debug, Deserialize)]
struct Told {
    postbacks: u64,
    results: BTreeMap<String, u64>,
    money: BTreeMap<String, String>,
    changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Change {
    time: String,
    transaction_id: String,
    before: String,
    now: String,
    adds: String,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let Window { from, to } = arguments.times.window()?;
    let settings = arguments.daemon.settings()?;
    let client = arguments.daemon.client(&settings)?.with_timeout(TIMEOUT);
    let ask = |dry_run: bool| -> Result<String, Failure> {
        let body = serde_json::json!({
            "network": arguments.network,
            "from": from.map(|from| from.to_string()),
            "to": to.map(|to| to.to_string()),
            "dry_run": dry_run,
        });
        client.expect("POST", "/api/replay", body.to_string().as_bytes())
    };
    if !arguments.yes {
        let answer = ask(true)?;
        show(out, arguments.format, &answer, "would change")?;
        let told: Told = serde_json::from_str(&answer)?;
        if arguments.dry_run || told.changes.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        out.flush()?;
        if !is_wanted()? {
            return Ok(ExitCode::FAILURE);
        }
    }
    show(out, arguments.format, &ask(false)?, "changed")?;
    Ok(ExitCode::SUCCESS)
}

fn is_wanted() -> Result<bool, Failure> {
    let mut input = std::io::stdin().lock();
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("nothing was done: say --yes to do it, --dry-run to only look"));
    }
    write!(std::io::stderr(), "do it? [y/N] ")?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn show(out: &mut dyn Write, format: Format, answer: &str, changed: &str) -> Result<(), Failure> {
    if format == Format::Json {
        writeln!(out, "{answer}")?;
        return Ok(());
    }
    let told: Told = serde_json::from_str(answer)?;
    for change in &told.changes {
        let Change { time, transaction_id, before, now, adds } = change;
        writeln!(out, "{time}  {:24}  {before} -> {now}  {adds}", plain(transaction_id))?;
    }
    let results: Vec<String> = told.results.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let gap = if results.is_empty() { "" } else { ": " };
    writeln!(out, "{} postbacks{gap}{}", told.postbacks, results.join(", "))?;
    for (currency, sum) in &told.money {
        writeln!(out, "{changed}: {sum} {currency}")?;
    }
    Ok(())
}
