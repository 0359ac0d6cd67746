//! The command line: one file per command.
//!
//! In: arguments. Out: text on standard output, an exit code.
//! Exit codes: 0 done, 1 failed, 2 usage (clap's own), 78 bad configuration.

mod check_config;
mod client;
mod config;
mod deliveries;
mod erase;
#[cfg(feature = "parquet")]
mod export;
mod held;
mod import;
mod inspect;
mod links;
mod load;
mod lookup;
mod postback;
mod progress;
#[cfg(feature = "parquet")]
mod reconcile;
mod replay;
#[cfg(feature = "parquet")]
mod report;
mod serve;
mod settings;
mod table;
#[cfg(feature = "parquet")]
mod tail;
mod verify;

use std::fmt::Display;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::dispatcher::request::Shown;

/// Records ad clicks and conversion postbacks.
#[derive(Debug, Parser)]
#[command(name = "clicklog", version, about, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take clicks until a signal: SIGHUP reloads the catalog, SIGTERM stops
    Serve(serve::Arguments),
    /// Check the settings and the catalog as a server would; exit 78 if something is wrong
    CheckConfig(check_config::Arguments),
    /// Show settings
    #[command(subcommand)]
    Config(config::Command),
    /// Print what to paste where, for one campaign
    Links(links::Arguments),
    /// Show the whole life of one click: record, postbacks, decisions, deliveries; exit 1 if nothing is known of it
    Lookup(lookup::Arguments),
    /// Bring over what another tracker knows
    #[command(subcommand)]
    Import(import::Command),
    /// What came of clicks: counts, cost, revenue and ratios, by campaign or whatever else
    #[cfg(feature = "parquet")]
    Report(report::Arguments),
    /// Write clicks, conversions or deliveries to a file, a folder or standard output, as Parquet, CSV or JSON lines
    #[cfg(feature = "parquet")]
    Export(export::Arguments),
    /// Compare what a network says it pays with our books; exit 1 beyond a threshold
    #[cfg(feature = "parquet")]
    Reconcile(reconcile::Arguments),
    /// Payouts that wait for a person
    #[command(subcommand)]
    Held(held::Command),
    /// Postbacks that we owe traffic sources: what became of them, and what is to be done about it
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// Try a network's postback
    #[command(subcommand)]
    Postback(postback::Command),
    /// Decide on raw postbacks once more, by the catalog in use; the daemon must run
    Replay(replay::Arguments),
    /// Print records as they are appended
    #[cfg(feature = "parquet")]
    Tail(tail::Arguments),
    /// Forget clicks and all that followed from them, for good; exit 1 if nothing is known of them
    Erase(erase::Arguments),
    /// Check every record of a data folder; exit 1 if something is damaged
    Verify(verify::Arguments),
    /// Print the records of a data folder, one a line
    Inspect(inspect::Arguments),
    /// Send requests to a server, flat out or at a steady rate; exit 1 if none succeeded
    Load(load::Arguments),
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What a command failed of.
#[derive(Debug)]
struct Failure {
    /// To print.
    text: String,
    code: u8,
}

/// The exit code for a configuration that cannot be used: `EX_CONFIG` of sysexits.h.
const BAD_CONFIGURATION: u8 = 78;

impl Failure {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1 }
    }

    fn configuration(problems: impl Display) -> Self {
        Self { text: problems.to_string(), code: BAD_CONFIGURATION }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(text)
    }
}

/// Runs the command that the arguments name.
pub fn run(arguments: Arguments) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match arguments.command {
        Command::Serve(arguments) => serve::run(arguments, &mut out),
        Command::CheckConfig(arguments) => check_config::run(&arguments, &mut out),
        Command::Config(command) => config::run(&command, &mut out),
        Command::Links(arguments) => links::run(&arguments, &mut out),
        Command::Lookup(arguments) => lookup::run(&arguments, &mut out),
        Command::Import(command) => import::run(&command, &mut out),
        #[cfg(feature = "parquet")]
        Command::Report(arguments) => report::run(&arguments, &mut out),
        #[cfg(feature = "parquet")]
        Command::Export(arguments) => export::run(&arguments, &mut out),
        #[cfg(feature = "parquet")]
        Command::Reconcile(arguments) => reconcile::run(&arguments, &mut out),
        Command::Held(command) => held::run(&command, &mut out),
        Command::Deliveries(command) => deliveries::run(&command, &mut out),
        Command::Postback(command) => postback::run(&command, &mut out),
        Command::Replay(arguments) => replay::run(&arguments, &mut out),
        #[cfg(feature = "parquet")]
        Command::Tail(arguments) => tail::run(&arguments, &mut out),
        Command::Erase(arguments) => erase::run(&arguments, &mut out),
        Command::Verify(arguments) => verify::run(&arguments, &mut out),
        Command::Inspect(arguments) => inspect::run(&arguments, &mut out),
        Command::Load(arguments) => load::run(&arguments, &mut out),
    };
    let flushed = out.flush();
    match (done, flushed) {
        (Ok(code), Ok(())) => code,
        // The reader of a pipe has seen enough: `clicklog inspect | head`.
        (_, Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        (Err(failure), _) if failure.text.contains("Broken pipe") => ExitCode::SUCCESS,
        (Err(failure), _) => fail(&failure),
        (_, Err(error)) => fail(&error.into()),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    // Nothing is left to do if standard error is closed too.
    let _unsaid = writeln!(io::stderr(), "clicklog: {}", failure.text);
    ExitCode::from(failure.code)
}

/// A text for a cell of a table. What a network sends may hold anything; on a terminal it is to do nothing.
fn plain(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// A request that was made for people to see.
fn write_request(out: &mut dyn Write, request: &Shown) -> io::Result<()> {
    writeln!(out, "  {} {}", request.method, plain(&request.url))?;
    request
        .headers
        .iter()
        .try_for_each(|(name, value)| writeln!(out, "  {}: {}", plain(name), plain(value)))?;
    request.body.lines().try_for_each(|line| writeln!(out, "  {}", plain(line)))
}

/// How this machine reaches it.
fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}
