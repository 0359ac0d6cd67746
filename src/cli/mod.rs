//! The command line: one file per command.
//!
//! In: arguments. Out: text on standard output, an exit code.
//! Exit codes: 0 done, 1 failed, 2 usage (clap's own), 78 bad configuration.

mod check_config;
mod client;
mod completions;
mod config;
mod data;
mod deliveries;
mod demo;
mod doctor;
mod erase;
#[cfg(feature = "parquet")]
mod export;
mod failure;
mod held;
mod import;
mod inspect;
mod links;
mod load;
mod lookup;
mod man;
mod postback;
mod progress;
mod reading;
#[cfg(feature = "parquet")]
mod reconcile;
mod replay;
#[cfg(feature = "parquet")]
mod report;
mod serve;
mod settings;
mod signals;
mod surroundings;
mod table;
#[cfg(feature = "parquet")]
mod tail;
mod times;
mod top;
mod verify;
mod version;
#[cfg(feature = "parquet")]
mod whose;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::dispatcher::request::Shown;
use crate::serve::links::{base_of as url, public_base_of as public_url};
use failure::Failure;

/// Records ad clicks and conversion postbacks.
#[derive(Debug, Parser)]
#[command(name = "clicklog", version = version::SHORT, long_version = version::long(), about, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take clicks until a signal: SIGHUP reloads the catalog, SIGTERM stops
    Serve(serve::Arguments),
    /// Serve with everything made up, to look at: visitors, two networks, a traffic source; exit 1 if the books do not add up
    Demo(demo::Arguments),
    /// Check the settings and the catalog as a server would; exit 78 if something is wrong
    CheckConfig(check_config::Arguments),
    /// Look at this machine, the settings and the catalog: what is not as it should be, and what to do; exit 1 if something fails
    Doctor(doctor::Arguments),
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
    /// What came of clicks: counts, cost, revenue and ratios, by campaign or whatever else; of today and the six days before,
    /// unless --from and --to say otherwise
    #[cfg(feature = "parquet")]
    Report(report::Arguments),
    /// Write clicks, conversions or deliveries to a file, a folder or standard output, as Parquet, CSV or JSON lines
    #[cfg(feature = "parquet")]
    Export(export::Arguments),
    /// Compare what a network says it pays with our books; exit 1 beyond a threshold. The period is that of the times in its
    /// file, unless --from and --to say otherwise
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
    /// Check every record of a data folder, its roll-ups and its published files; exit 1 if something is damaged
    Verify(verify::Arguments),
    /// Print the records of a data folder, one a line
    Inspect(inspect::Arguments),
    /// Watch what a running daemon does: rates, latencies, what waits
    Top(top::Arguments),
    /// Send requests to a server, flat out or at a steady rate; exit 1 if none succeeded
    Load(load::Arguments),
    /// Print manual pages, or write all of them into a folder
    Man(man::Arguments),
    /// Print what a shell needs to complete commands and flags
    Completions(completions::Arguments),
    /// Say which build this is, and which formats it writes
    Version(version::Arguments),
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

/// Runs the command that the arguments name.
pub fn run(arguments: Arguments) -> ExitCode {
    let mut out = io::BufWriter::new(Output { inner: io::stdout().lock(), is_broken: false });
    let done = match arguments.command {
        Command::Serve(arguments) => serve::run(arguments, &mut out),
        Command::Demo(arguments) => demo::run(&arguments, &mut out),
        Command::CheckConfig(arguments) => check_config::run(&arguments, &mut out),
        Command::Doctor(arguments) => doctor::run(&arguments, &mut out),
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
        Command::Top(arguments) => top::run(&arguments, &mut out),
        Command::Load(arguments) => load::run(&arguments, &mut out),
        Command::Man(arguments) => man::run(&arguments, &mut out),
        Command::Completions(arguments) => completions::run(&arguments, &mut out),
        Command::Version(arguments) => version::run(&arguments, &mut out),
    };
    let flushed = out.flush();
    match (done, flushed) {
        (Ok(code), Ok(())) => code,
        // The reader of a pipe has seen enough: `clicklog inspect | head`. What was found out stays so.
        (Ok(code), _) if out.get_ref().is_broken => code,
        (Err(_), _) if out.get_ref().is_broken => ExitCode::SUCCESS,
        (Err(failure), _) => fail(&failure),
        (_, Err(error)) => fail(&error.into()),
    }
}

/// Standard output, which knows whether anybody still reads it: other pipes break too, and those are failures.
struct Output<W> {
    inner: W,
    is_broken: bool,
}

impl<W: Write> Output<W> {
    fn noting<T>(&mut self, write: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        let done = write(&mut self.inner);
        self.is_broken |= done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        done
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.noting(|inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.noting(Write::flush)
    }
}

fn fail(failure: &Failure) -> ExitCode {
    // Nothing is left to do if standard error is closed too.
    let _unsaid = writeln!(io::stderr(), "clicklog: {failure}");
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
