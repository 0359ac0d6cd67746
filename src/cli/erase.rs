//! `clicklog erase`: forgets clicks and all that followed from them; the daemon may run or not.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::progress::Progress;
use super::{Failure, Format, plain};
use crate::batch::erase::{self, Found, Sought};
use crate::clock::{Clock, Timestamp};
use crate::store::erasures;
use crate::store::reader::Reader;

/// What is not known is shown so often at most; `--format json` has all of it.
const SHOWN_MAX: usize = 20;

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
    let reader = super::data::open(&arguments.data)?;
    let mut progress = Progress::new("reading");
    let since = Clock::System.now();
    let found = erase::find(&reader, &sought, &mut |done, of| progress.tick(done, of, ""));
    progress.end();
    let found = found?;
    let (is_empty, text) = (found.is_empty(), told(&found, arguments.dry_run));
    tell_unknown(&found.unknown, sought.len());
    let json = serde_json::to_vec_pretty(&found)?;
    // Before anything is printed: whoever has read enough of that has asked for all of this.
    if !is_empty && !arguments.dry_run {
        write_down(&reader, &sought, found, since)?;
    }
    if arguments.format == Format::Json {
        out.write_all(&json)?;
        writeln!(out)?;
    }
    if arguments.format == Format::Text {
        writeln!(out, "{text}")?;
    }
    Ok(if is_empty { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whoever has a list to erase has to know what of it is not.
fn tell_unknown(unknown: &[String], of: usize) {
    if unknown.is_empty() || of == 1 {
        return;
    }
    let shown = unknown.iter().take(SHOWN_MAX).map(|one| format!("  {}\n", plain(one)));
    let text =
        format!("nothing is known of {} of {of}, among them\n{}", unknown.len(), shown.collect::<String>());
    // What is found is to be forgotten, whether this can be said or not.
    let _unsaid = io::stderr().write_all(text.as_bytes());
}

fn write_down(reader: &Reader, sought: &[Sought], found: Found, since: Timestamp) -> Result<(), Failure> {
    let erasure = erase::erasure(reader, sought, found, (since, Clock::System.now()))?;
    Ok(erasures::ask(reader.directory(), &erasure)?)
}

fn told(found: &Found, is_dry: bool) -> String {
    if found.is_empty() {
        return "nothing is known of it".to_owned();
    }
    let Found { clicks, postbacks, decisions, .. } = found;
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
        let param = param(text).ok_or_else(|| Failure::usage(format!("{text:?} is not NAME=VALUE")))?;
        sought.push(param);
    }
    if let Some(path) = &arguments.file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::system(format!("cannot read {}", path.display()), &error))?;
        sought.extend(list(&text));
    }
    if sought.iter().any(|one| matches!(one, Sought::Click(id) if id.is_empty())) {
        return Err(Failure::usage("an id is empty".to_owned()));
    }
    Ok(sought)
}

/// What the lines of a list mean.
fn list(text: &str) -> Vec<Sought> {
    // Editors leave a mark at the front of a file.
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
    let mut sought = Vec::new();
    for line in lines {
        let param = param(line);
        // Ids of other trackers may end so, as base64 does.
        if param.is_none() || line.ends_with('=') {
            sought.push(Sought::Click(line.to_owned()));
        }
        sought.extend(param);
    }
    sought
}

/// An empty value would stand for everybody who has none.
fn param(text: &str) -> Option<Sought> {
    let (name, value) = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty())?;
    Some(Sought::Param { name: name.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_whichever_editor_has_written_it() {
        let click = |id: &str| Sought::Click(id.to_owned());
        let param =
            |name: &str, value: &str| Sought::Param { name: name.to_owned(), value: value.to_owned() };
        assert_eq!(
            list("\u{feff}first\r\n  second \r\n\r\nemail=a=b@example.com\nYWJj==\nYWI=\n=x\n"),
            [
                click("first"),
                click("second"),
                param("email", "a=b@example.com"),
                click("YWJj=="),
                param("YWJj", "="),
                click("YWI="),
                click("=x"),
            ]
        );
    }
}
