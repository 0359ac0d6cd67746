//! The command line: one file per command.
//!
//! In: arguments. Out: text on standard output, an exit code.
//! Exit codes: 0 done, 1 failed, 2 usage (clap's own), 78 bad configuration.

mod inspect;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Records ad clicks and conversion postbacks.
#[derive(Debug, Parser)]
#[command(name = "clicklog", version, about, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every record of a data folder; exit 1 if something is damaged
    Verify(verify::Arguments),
    /// Print the records of a data folder, one a line
    Inspect(inspect::Arguments),
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

/// What a command failed of: a message to print. The exit code is 1.
#[derive(Debug)]
pub struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(text)
    }
}

/// Runs the command that the arguments name.
pub fn run(arguments: Arguments) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match arguments.command {
        Command::Verify(arguments) => verify::run(&arguments, &mut out),
        Command::Inspect(arguments) => inspect::run(&arguments, &mut out),
    };
    let flushed = out.flush();
    match (done, flushed) {
        (Ok(code), Ok(())) => code,
        // The reader of a pipe has seen enough: `clicklog inspect | head`.
        (_, Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        (Err(Failure(text)), _) if text.contains("Broken pipe") => ExitCode::SUCCESS,
        (Err(Failure(text)), _) => fail(&text),
        (_, Err(error)) => fail(&error.to_string()),
    }
}

fn fail(text: &str) -> ExitCode {
    // Nothing is left to do if standard error is closed too.
    let _unsaid = writeln!(io::stderr(), "clicklog: {text}");
    ExitCode::FAILURE
}
