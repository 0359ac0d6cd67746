//! `clicklog completions`: what a shell needs to complete this command line.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    // Into memory first: the generator panics where it cannot write, as into a pipe that nobody reads.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "clicklog", &mut script);
    out.write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
