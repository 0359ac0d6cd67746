//! `clicklog postback test`: what the daemon would make of a network's postback, step by step.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::{Failure, Format, client, plain, write_request};
use crate::dispatcher::request::Shown;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Explain step by step what becomes of a postback; nothing that counts is kept; the daemon must run
    Test(Test),
}

#[derive(Debug, Args)]
pub(super) struct Test {
    /// Of this network
    #[arg(long, value_name = "ID")]
    network: String,
    /// About this click
    #[arg(long, value_name = "CLICK_ID")]
    click: Option<String>,
    /// A further parameter, as the network would send it; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    param: Vec<(String, String)>,
    /// Keep nothing at all, not even as a test
    #[arg(long)]
    dry_run: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    daemon: client::Given,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Deserialize)]
struct Told {
    is_kept: bool,
    steps: Vec<Step>,
    verdict: Option<String>,
    #[serde(default)]
    deliveries: Vec<WouldTell>,
}

/// A destination, and what it would be sent.
#[derive(Debug, Deserialize)]
struct WouldTell {
    destination: String,
    level: String,
    delivery_id: String,
    why_not: Option<String>,
    delay_seconds: u64,
    request: Option<Shown>,
    no_request: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Step {
    step: String,
    found: String,
}

pub(super) fn run(command: &Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let Command::Test(test) = command;
    let settings = test.daemon.settings()?;
    let client = test.daemon.client(&settings)?;
    let body = serde_json::json!({
        "network": test.network,
        "click": test.click,
        "params": test.param,
        "dry_run": test.dry_run,
    });
    let answer = client.expect("POST", "/api/postback/test", body.to_string().as_bytes())?;
    let told: Told = serde_json::from_str(&answer)?;
    match test.format {
        Format::Json => writeln!(out, "{answer}")?,
        Format::Text => {
            for Step { step, found } in &told.steps {
                writeln!(out, "{step:10} {found}")?;
            }
            writeln!(
                out,
                "{:10} {}",
                "kept",
                if told.is_kept { "as a test, which counts nowhere" } else { "nothing" }
            )?;
            told.deliveries.iter().try_for_each(|of| write_would_tell(out, of))?;
        }
    }
    if test.click.is_none() && told.verdict.is_none() && matches!(test.format, Format::Text) {
        writeln!(out, "{:10} of which click, says --click CLICK_ID: `clicklog inspect` shows some", "hint")?;
    }
    // A postback that would be refused is what one tests for.
    Ok(if told.verdict.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_would_tell(out: &mut dyn Write, of: &WouldTell) -> Result<(), Failure> {
    let (destination, level) = (plain(&of.destination), &of.level);
    let when = match (&of.why_not, of.delay_seconds) {
        (Some(why_not), _) => format!("would not be told: {why_not}; if it were:"),
        (None, 0) => "would be told at once".to_owned(),
        (None, delay) => format!("would be told after {delay} s"),
    };
    writeln!(out, "\n{destination} ({level}), delivery {}: {}", of.delivery_id, plain(&when))?;
    match (&of.request, &of.no_request) {
        (Some(request), _) => write_request(out, request)?,
        (None, Some(why)) => writeln!(out, "  no request can be made: {}", plain(why))?,
        (None, None) => {}
    }
    Ok(())
}
