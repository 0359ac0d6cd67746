//! `clicklog erase`: forgets clicks and all that followed from them; the daemon may run or not.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::progress::Progress;
use super::{Failure, Format};
use crate::batch::erase::{self, Found, Sought};
use crate::clock::Clock;
use crate::store::erasures;
use crate::store::reader::Reader;

#[derive(Debug, Args)]
#[group(id = "sought", required = true, multiple = true, args = ["click", "param", "file"])]
pub(super) struct Arguments {
    /// A click, by its id or the id that another tracker gave it
    #[arg(long, value_name = "ID")]
    click: Vec<String>,
    /// Every click and postback that came with this parameter
    #[arg(long, value_name = "NAME=VALUE")]
    param: Vec<String>,
    /// A list of ids and of NAME=VALUE, one a line
    #[arg(long, value_name = "LIST")]
    file: Option<PathBuf>,
    /// Say what would be forgotten, and forget nothing
    #[arg(long)]
    dry_run: bool,
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "clicklog-data")]
    data: PathBuf,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let sought = sought(arguments)?;
    let reader = super::lookup::open(&arguments.data)?;
    let mut progress = Progress::new("reading");
    let found = erase::find(&reader, &sought, &mut |done, of| progress.tick(done, of, ""));
    progress.end();
    let found = found?;
    let (is_empty, text) = (found.is_empty(), told(&found, arguments.dry_run));
    if arguments.format == Format::Json {
        serde_json::to_writer_pretty(&mut *out, &found)?;
        writeln!(out)?;
    }
    if !is_empty && !arguments.dry_run {
        write_down(&reader, &sought, found)?;
    }
    if arguments.format == Format::Text {
        writeln!(out, "{text}")?;
    }
    Ok(if is_empty { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn write_down(reader: &Reader, sought: &[Sought], found: Found) -> Result<(), Failure> {
    let erasure = erase::erasure(reader, sought, found, Clock::System.now())?;
    Ok(erasures::ask(reader.directory(), &erasure)?)
}

fn told(found: &Found, is_dry: bool) -> String {
    if found.is_empty() {
        return "nothing is known of it".to_owned();
    }
    let Found { clicks, postbacks, decisions } = found;
    let what =
        format!("{} clicks, {} postbacks, {} decisions", clicks.len(), postbacks.len(), decisions.len());
    if is_dry {
        return format!("{what} would be forgotten");
    }
    format!(
        "{what} are hidden from now on; the daemon takes them out of the files once their segments are sealed, and \
         erasures.jsonl says when that is done"
    )
}

fn sought(arguments: &Arguments) -> Result<Vec<Sought>, Failure> {
    let mut sought: Vec<Sought> = arguments.click.iter().cloned().map(Sought::Click).collect();
    for text in &arguments.param {
        let param = param(text).ok_or_else(|| Failure::new(format!("{text:?} is not NAME=VALUE")))?;
        sought.push(param);
    }
    if let Some(path) = &arguments.file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        sought.extend(lines.map(|line| param(line).unwrap_or_else(|| Sought::Click(line.to_owned()))));
    }
    if sought.iter().any(|one| matches!(one, Sought::Click(id) if id.is_empty())) {
        return Err(Failure::new("an id is empty".to_owned()));
    }
    Ok(sought)
}

/// An empty value would stand for everybody who has none.
fn param(text: &str) -> Option<Sought> {
    let (name, value) = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty())?;
    Some(Sought::Param { name: name.to_owned(), value: value.to_owned() })
}
