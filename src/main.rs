//! The `clicklog` command: parse the command line, run it, turn the error into an exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    clicklog::cli::run(clicklog::cli::Arguments::parse())
}
