//! The guides for those who come from another tracker, and the tour of the README (`tour`), played: their files written, their
//! commands run by a shell against a daemon, and what these print compared with what the guide says.
//!
//! A block of a guide is played where the line above it says so: `<!-- file: NAME -->`, `<!-- serve -->`, `<!-- run -->`, and behind
//! that `<!-- prints -->`. The guide's domain is the daemon's address, its 20 November 2026 is yesterday, and ids that are made
//! anew each time are `CLICK_ID` and `CONVERSION_ID`.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![expect(clippy::print_stderr, reason = "a test that cannot run says so")]

#[expect(dead_code, reason = "other test files use the rest of it")]
#[path = "../support/process.rs"]
mod process;
mod tour;

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use clicklog::clock::{Clock, Timestamp};
use process::Process;

const DOMAIN: &str = "https://trk.example.com";
/// The day of the guides, and its first second.
const DAY: &str = "2026-11-20";
const DAY_SECONDS: u32 = 1_795_132_800;

struct Block {
    what: String,
    text: String,
    line: usize,
}

/// The blocks that are played, in order.
fn blocks(guide: &str) -> Vec<Block> {
    let mut lines = guide.lines().enumerate();
    let mut found = Vec::new();
    while let Some((at, line)) = lines.next() {
        let Some(what) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let fence = lines.next().map_or("", |(_, line)| line);
        assert!(fence.starts_with("```"), "line {}: a marker without a block", at + 1);
        let text: String = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").fold(
            String::new(),
            |mut text, line| {
                text.push_str(line);
                text.push('\n');
                text
            },
        );
        found.push(Block { what: what.to_owned(), text, line: at + 1 });
    }
    found
}

/// What was made anew by name, where it stands.
fn without_ids(text: &str) -> String {
    let is_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut said = String::new();
    let mut rest = text;
    while let Some(start) = rest.bytes().position(is_id) {
        let (before, from) = rest.split_at(start);
        let length = from.bytes().position(|byte| !is_id(byte)).unwrap_or(from.len());
        let (word, behind) = from.split_at(length);
        said.push_str(before);
        said.push_str(match length {
            26 => "CLICK_ID",
            32 if word.bytes().all(|byte| byte.is_ascii_hexdigit()) => "CONVERSION_ID",
            _ => word,
        });
        rest = behind;
    }
    said + rest
}

/// A text of the guide as of now: yesterday is its day, and seconds of that day are of yesterday.
fn of_now(text: &str) -> String {
    let now = Clock::System.now().micros() / 1_000_000;
    let yesterday = u32::try_from(now - now.rem_euclid(86_400) - 86_400).unwrap();
    let date = Timestamp::from_seconds(yesterday).to_string();
    let mut text = text.replace(DAY, &date[..10]);
    for seconds in (DAY_SECONDS..DAY_SECONDS + 86_400).map(|seconds| seconds.to_string()) {
        if text.contains(&seconds) {
            let moved = seconds.parse::<u32>().unwrap() - DAY_SECONDS + yesterday;
            text = text.replace(&seconds, &moved.to_string());
        }
    }
    text
}

/// The shell's search path with our own binary in front.
fn path_with_ours() -> OsString {
    let ours = Path::new(env!("CARGO_BIN_EXE_clicklog")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([ours].into_iter().chain(std::env::split_paths(&path))).unwrap()
}

fn play(name: &str) {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl, which the guides use");
        return;
    }
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/migrate").join(name);
    let guide = std::fs::read_to_string(guide).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = None;
    let mut printed: Option<String> = None;
    let mut compared = 0;
    for Block { what, text, line } in blocks(&guide) {
        match &*what {
            "serve" => {
                let words: Vec<&str> = text.split_whitespace().skip(2).collect();
                daemon = Some(Process::start(folder.path(), &words));
            }
            "run" => {
                let address = daemon.as_ref().map(|daemon: &Process| (daemon.visitors, daemon.operators));
                let base =
                    address.map_or_else(|| DOMAIN.to_owned(), |(visitors, _)| format!("http://{visitors}"));
                let mut shell = Command::new("bash");
                shell.args(["-euo", "pipefail", "-c", &of_now(&text).replace(DOMAIN, &base)]);
                if let Some((_, operators)) = address {
                    shell.env("CLICKLOG_ADMIN__LISTEN", operators.to_string());
                }
                shell.env("PATH", path_with_ours()).env_remove("CLICKLOG_CONFIG").current_dir(folder.path());
                let output = shell.output().unwrap();
                let said = String::from_utf8(output.stdout).unwrap();
                let error = String::from_utf8(output.stderr).unwrap();
                assert!(output.status.success(), "{name}, line {line}: {said}{error}");
                printed = Some(said);
            }
            "prints" => {
                let said = printed.take().unwrap_or_else(|| panic!("{name}, line {line}: nothing was run"));
                assert_eq!(without_ids(&said), text, "{name}, line {line}");
                compared += 1;
            }
            file => {
                let file =
                    file.strip_prefix("file: ").unwrap_or_else(|| panic!("{name}, line {line}: {file}"));
                std::fs::write(folder.path().join(file), of_now(&text)).unwrap();
            }
        }
        assert!(printed.is_none() || what == "run", "{name}, line {line}: what was run prints something");
    }
    assert!(compared >= 4, "{name}: {compared} blocks were compared");
}

#[test]
fn who_comes_from_voluum_has_old_urls_and_clicks_work() {
    play("voluum.md");
}

#[test]
fn who_comes_from_keitaro_has_old_urls_and_clicks_work() {
    play("keitaro.md");
}

#[test]
fn who_comes_from_cpv_lab_has_old_urls_and_clicks_work() {
    play("cpvlab.md");
}

#[test]
fn who_comes_from_prosper202_has_old_urls_and_clicks_work() {
    play("prosper202.md");
}

#[test]
fn raw_postbacks_can_be_handed_on_to_the_old_tracker() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/migrate/README.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [Block { text, .. }] = &blocks(&guide)[..] else { panic!("the plan has one block") };
    std::fs::write(folder.path().join("hand-on.toml"), text).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    let output = check.args(["check-config", "--catalog"]).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
