//! `clicklog man`: manual pages, made from the command line itself.
//!
//! Out: one page on standard output, to look at with `clicklog man report | man -l -`, or all of them into a folder.
//! Keeps: a page says the version and nothing of the machine or the hour that it was made on.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Of which command, as `report` or `deliveries list` [default: of all of it]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,
    /// Write the page of every command into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    // `help` says what the pages say.
    let mut root = super::Arguments::command().disable_help_subcommand(true);
    root.build();
    match &arguments.dir {
        None => page(named(&root, &arguments.command)?).render(out)?,
        Some(folder) => {
            let written = fs::create_dir_all(folder).and_then(|()| write_all(&root, folder));
            let count = written.map_err(|error| {
                Failure::new(format!(
                    "cannot write manual pages into {}: {error}; choose a folder that you may write to",
                    folder.display()
                ))
            })?;
            writeln!(out, "{count} pages in {}", folder.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The command that these words lead to.
fn named<'a>(root: &'a Command, words: &[String]) -> Result<&'a Command, Failure> {
    words.iter().try_fold(root, |command, word| {
        command.find_subcommand(word).ok_or_else(|| {
            let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            let there_are = match names.is_empty() {
                true => "none".to_owned(),
                false => names.join(", "),
            };
            Failure::new(format!("{} has no command {word:?}; there are {there_are}", command.get_name()))
        })
    })
}

/// Writes the pages of a command and of all below it; how many.
fn write_all(command: &Command, folder: &Path) -> io::Result<usize> {
    page(command).generate_to(folder)?;
    command.get_subcommands().try_fold(1, |count, below| Ok(count + write_all(below, folder)?))
}

fn page(command: &Command) -> Man {
    Man::new(command.clone())
        .source(concat!("clicklog ", env!("CARGO_PKG_VERSION")))
        .manual("clicklog manual")
}
