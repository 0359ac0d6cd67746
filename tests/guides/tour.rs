//! The tour of the README, taken: its files written, its commands typed, and what these print compared with what stands there.
//!
//! Its blocks are marked as those of guides are, and besides: `<!-- source -->` begins the traffic source, `<!-- source says -->`
//! is the line that it writes, `<!-- yours -->` is the click id that the first click was answered with, and `<!-- run until -->`
//! is typed again until it prints what stands there, because something else must have come first. Addresses are those of the
//! daemon and the source; ids, times and how long things took are not compared, nor how many blanks there are.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use crate::process::{PATIENCE, Process};
use crate::{Block, blocks, path_with_ours, without_ids};
use clicklog::clock::Clock;

/// Where the README says that they are.
const VISITORS: &str = "127.0.0.1:8080";
const OPERATORS: &str = "127.0.0.1:9101";
const SOURCE: &str = "127.0.0.1:8000";

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The part of the README under this heading.
fn section<'a>(readme: &'a str, heading: &str) -> &'a str {
    let (_, rest) =
        readme.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading:?}"));
    rest.split("\n## ").next().unwrap()
}

/// `python3 -m http.server`, at a port of its own, and what it writes.
struct Source {
    _child: Killed,
    address: String,
    lines: Receiver<String>,
}

impl Source {
    fn start(command: &str, folder: &Path) -> Self {
        let (_, port) = SOURCE.rsplit_once(':').unwrap();
        let words: Vec<&str> =
            command.split_whitespace().map(|word| if word == port { "0" } else { word }).collect();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .env("PYTHONUNBUFFERED", "1")
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split(" port ").nth(1).and_then(|rest| rest.split(' ').next());
        let address = format!("127.0.0.1:{}", port.unwrap_or_else(|| panic!("{line}")));
        let (tell, lines) = sync_channel(1024);
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || said.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { _child: Killed(child), address, lines }
    }
}

/// What is the same each time of what is printed.
fn masked(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let words = without_ids(line.trim_end()).split_whitespace().map(masked_word).collect::<Vec<_>>();
        match &words[..] {
            [head, ..] if head == "date:" => "date: TIME".to_owned(),
            _ => masked_milliseconds(words).join(" "),
        }
    });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn masked_word(word: &str) -> String {
    let digits: String =
        word.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    match digits.find("0000-00-00") {
        Some(at) => format!("{}TIME", &word[..at]),
        None if digits.starts_with("00:00") => "TIME".to_owned(),
        None if digits.starts_with("[00/") => "[TIME".to_owned(),
        None if word.starts_with("curl/") => "curl/8".to_owned(),
        None => word.to_owned(),
    }
}

/// How long something took.
fn masked_milliseconds(mut words: Vec<String>) -> Vec<String> {
    for at in 1..words.len() {
        if words[at] == "ms" && words[at - 1].bytes().all(|byte| byte.is_ascii_digit()) {
            "N".clone_into(&mut words[at - 1]);
        }
    }
    words
}

#[test]
fn who_takes_the_tour_of_the_readme_sees_what_it_shows() {
    for tool in ["curl", "python3"] {
        if Command::new(tool).arg("--version").output().is_err() {
            eprintln!("skipped: there is no {tool}, which the tour uses");
            return;
        }
    }
    let readme = readme();
    let blocks = blocks(section(&readme, "A five-minute tour"));
    let folder = tempfile::tempdir().unwrap();
    let begins = blocks.iter().find(|block| block.what == "source").unwrap();
    let source = Source::start(&begins.text, folder.path());
    let mut daemon: Option<Process> = None;
    let (mut id, mut compared) = (None, 0);
    let mut blocks = blocks.into_iter().peekable();
    while let Some(Block { what, text, line }) = blocks.next() {
        let here = daemon.as_ref().map(|daemon| (daemon.visitors, daemon.operators));
        let ours = |text: &str| to_ours(text, here, &source.address);
        match &*what {
            "source" => {}
            "serve" => {
                let words: Vec<&str> = text.split_whitespace().skip(2).collect();
                // With one worker a record's place is told, and what is printed of it.
                daemon = Some(Process::start_with(folder.path(), &words, &[("CLICKLOG_EDGE__WORKERS", "1")]));
            }
            "source says" => {
                let said = source.lines.recv_timeout(PATIENCE).unwrap();
                assert_eq!(masked(&said), masked(&text), "tour, line {line}");
                compared += 1;
            }
            "yours" => assert!(text.starts_with("CLICK_ID=") && id.is_some(), "tour, line {line}: {text}"),
            "run" | "run until" => {
                let expected =
                    blocks.next_if(|block| block.what == "prints").map(|block| masked(&block.text));
                let until = Clock::System.monotonic() + PATIENCE;
                let said = loop {
                    let said = typed(&ours(&text), folder.path(), here, id.as_deref());
                    let shown = masked(&to_theirs(&said, here, &source.address));
                    let is_it = expected.as_ref().is_none_or(|expected| *expected == shown);
                    if what == "run" || is_it || Clock::System.monotonic() > until {
                        break said;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                };
                if let Some(expected) = expected {
                    let shown = to_theirs(&said, here, &source.address);
                    assert_eq!(masked(&shown), expected, "tour, line {line}, prints:\n{shown}");
                    compared += 1;
                }
                id = id.or_else(|| id_in(&said));
            }
            file => {
                let file = file.strip_prefix("file: ").unwrap_or_else(|| panic!("tour, line {line}: {file}"));
                std::fs::write(folder.path().join(file), ours(&text)).unwrap();
            }
        }
    }
    assert!(compared >= 8, "{compared} blocks were compared");
}

/// Runs it as a shell would that was left open; what it prints, on either way out.
fn typed(text: &str, folder: &Path, here: Option<(SocketAddr, SocketAddr)>, id: Option<&str>) -> String {
    let mut shell = Command::new("bash");
    shell.args(["-uo", "pipefail", "-c", &format!("{{ {text}\n}} 2>&1")]).current_dir(folder);
    shell.env("PATH", path_with_ours()).env_remove("CLICKLOG_CONFIG").env_remove("CLICKLOG_ADMIN_TOKEN");
    shell.envs(id.map(|id| ("CLICK_ID", id)));
    shell.envs(here.map(|(_, operators)| ("CLICKLOG_ADMIN__LISTEN", operators.to_string())));
    String::from_utf8(shell.output().unwrap().stdout).unwrap()
}

fn to_ours(text: &str, here: Option<(SocketAddr, SocketAddr)>, source: &str) -> String {
    let text = text.replace(SOURCE, source);
    match here {
        Some((visitors, operators)) => {
            text.replace(VISITORS, &visitors.to_string()).replace(OPERATORS, &operators.to_string())
        }
        None => text,
    }
}

fn to_theirs(text: &str, here: Option<(SocketAddr, SocketAddr)>, source: &str) -> String {
    let text = text.replace(source, SOURCE);
    match here {
        Some((visitors, operators)) => {
            text.replace(&visitors.to_string(), VISITORS).replace(&operators.to_string(), OPERATORS)
        }
        None => text,
    }
}

/// The first click id in a text.
fn id_in(text: &str) -> Option<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.into_iter().find(|word| without_ids(word) == "CLICK_ID").map(str::to_owned)
}

#[test]
fn what_a_daemon_says_when_it_starts_is_what_the_readme_shows() {
    let readme = readme();
    let (_, behind) = readme.split_once("cargo run --release -- serve\n```\n").unwrap();
    let shown = behind.split_once("```text\n").unwrap().1.split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_clicklog"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .current_dir(folder.path())
        .env_remove("CLICKLOG_CONFIG")
        .env_remove("CLICKLOG_ADMIN_TOKEN")
        .env("CLICKLOG_STORE__LOW_FREE", "0B")
        .env("CLICKLOG_STORE__CRITICAL_FREE", "0B")
        .env("CLICKLOG_STORE__RESERVE", "0B")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut daemon = Killed(child);
    let (mut said, mut here) = (String::new(), Vec::new());
    for line in BufReader::new(daemon.0.stdout.take().unwrap()).lines().map(Result::unwrap) {
        let address = ["visitors", "operators"].iter().find_map(|name| line.trim().strip_prefix(name));
        here.extend(
            address.map(|url| url.trim().trim_start_matches("http://").parse::<SocketAddr>().unwrap()),
        );
        said.push_str(&line);
        said.push('\n');
        if line.contains("/-/reload") {
            break;
        }
    }
    let here = Some((here[0], here[1]));
    assert_eq!(masked(&to_theirs(&said, here, SOURCE)), masked(shown));
}

/// A process that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
