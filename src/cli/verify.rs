//! `clicklog verify`: walks a data folder, also one in use; and reads the dispatcher's checkpoint, as a start would.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, Format};
use crate::dispatcher::checkpoint;
use crate::store::directory::Directory;
use crate::store::verify::{Finding, Severity, verify};

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
    let directory = Directory::new(&arguments.data);
    let mut verified = verify(&directory, &mut progress)?;
    verified.findings.extend(checkpoint_finding(&directory));
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

/// What is wrong with the dispatcher's checkpoint, if there is one. Nothing is lost with it.
fn checkpoint_finding(directory: &Directory) -> Option<Finding> {
    let path = directory.dispatcher_checkpoint();
    let wrong = match std::fs::read(&path) {
        Ok(bytes) => checkpoint::decode(&bytes).err()?.to_string(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => format!("it cannot be read: {error}"),
    };
    Some(Finding {
        severity: Severity::Note,
        file: path.strip_prefix(directory.root()).unwrap_or(&path).display().to_string(),
        offset: 0,
        what: format!(
            "{wrong}: the next start reads the journal of deliveries instead, which only takes longer"
        ),
    })
}
