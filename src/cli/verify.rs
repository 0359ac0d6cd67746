//! `clicklog verify`: walks a data folder, also one in use; and what follows from its journals: the dispatcher's checkpoint, as
//! a start would read it, roll-ups, and published files.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::data::suspect;
use super::progress::Progress;
use super::{Failure, Format};
#[cfg(feature = "parquet")]
use crate::compactor;
use crate::dispatcher::checkpoint;
use crate::store::directory::Directory;
#[cfg(feature = "parquet")]
use crate::store::reader::Reader;
#[cfg(feature = "parquet")]
use crate::store::verify::Verified;
use crate::store::verify::{Finding, Severity, verify};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "clicklog-data")]
    data: PathBuf,
    /// Where export and export-meta are, if that is not the data folder: `compactor.folder`
    #[cfg(feature = "parquet")]
    #[arg(long, value_name = "DIR")]
    published: Option<PathBuf>,
    /// How to print the findings
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let reader = suspect(&arguments.data)?;
    let directory = reader.directory();
    let mut progress = Progress::new("checking segments");
    let verified = verify(directory, &mut |done, of| progress.tick(done, of, ""));
    progress.end();
    let mut verified = verified?;
    verified.findings.extend(checkpoint_finding(directory));
    #[cfg(feature = "parquet")]
    look_at_derived(arguments, &reader, &mut verified)?;
    match arguments.format {
        Format::Text => writeln!(out, "{verified}")?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &verified)?;
            writeln!(out)?;
        }
    }
    Ok(if verified.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Roll-ups and published files.
#[cfg(feature = "parquet")]
fn look_at_derived(arguments: &Arguments, reader: &Reader, verified: &mut Verified) -> Result<(), Failure> {
    let folder = compactor::folder::Folder::new(arguments.published.as_ref().unwrap_or(&arguments.data));
    let mut progress = Progress::new("checking roll-ups and published files");
    let derived = compactor::verify::verify(reader, &folder, &mut |done, of| progress.tick(done, of, ""));
    progress.end();
    let compactor::verify::Derived { rollups, published_files, findings } = derived?;
    (verified.rollups, verified.published_files) = (rollups, published_files);
    verified.findings.extend(findings);
    Ok(())
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
