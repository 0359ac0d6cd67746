//! `clicklog verify`: walks a data folder, also one in use.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, Format};
use crate::store::directory::Directory;
use crate::store::verify::verify;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "clicklog-data")]
    data: PathBuf,
    /// How to print the findings
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let shows_progress = io::stderr().is_terminal();
    let mut progress = |done, total| {
        if shows_progress {
            // Progress that cannot be shown is not missed.
            let _unseen = write!(io::stderr(), "\r{done} of {total} segments");
        }
    };
    let verified = verify(&Directory::new(&arguments.data), &mut progress)?;
    if shows_progress {
        let _unseen = writeln!(io::stderr());
    }
    match arguments.format {
        Format::Text => writeln!(out, "{verified}")?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &verified)?;
            writeln!(out)?;
        }
    }
    Ok(if verified.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
