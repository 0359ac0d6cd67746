//! `clicklog config`: what the settings are and where each comes from, or the file that says the defaults.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::{Failure, Format, settings};
use crate::config::default_file;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print every setting with its value and where that comes from; secrets are shown by where they are kept
    Show(Show),
    /// Print a settings file that says the defaults, to begin one with
    Default,
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    settings: settings::Given,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Row {
    section: &'static str,
    key: &'static str,
    /// As in a file.
    value: String,
    origin: String,
}

pub(super) fn run(command: &Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match command {
        Command::Show(show) => run_show(show, out),
        Command::Default => {
            out.write_all(default_file().as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_show(show: &Show, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let loaded = show.settings.load().map_err(Failure::configuration)?;
    let rows: Vec<Row> = loaded
        .settings
        .entries()
        .into_iter()
        .map(|entry| Row {
            section: entry.section,
            key: entry.key,
            origin: loaded.origin(entry.section, entry.key).to_string(),
            value: entry.value,
        })
        .collect();
    match show.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &rows)?;
            writeln!(out)?;
        }
        Format::Text => {
            let lines: Vec<String> =
                rows.iter().map(|row| format!("{}.{} = {}", row.section, row.key, row.value)).collect();
            // A long list of addresses does not push everybody else's origin off the screen.
            let width = lines.iter().map(String::len).filter(|width| *width <= 72).max().unwrap_or(0);
            for (line, row) in lines.iter().zip(&rows) {
                writeln!(out, "{line:width$}  # {}", row.origin)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
