//! `clicklog demo`, and whether what it tells is so.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::disk::Disk;
use crate::{Said, clicklog};

fn demo(folder: &Path, more: &[&str]) -> Said {
    let mut arguments = vec!["demo", "--rate", "400", "--exit", "--data", "data"];
    arguments.extend(more);
    clicklog(folder, &arguments)
}

fn json(said: &Said) -> Value {
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn a_demo_ends_with_books_that_add_up_and_what_it_tells_is_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let told = json(&demo(folder.path(), &["--clicks", "300", "--format", "json"]));
    assert_eq!(told["adds_up"], true, "{told:#}");
    let sent = told["requests"]["sent"].as_u64().unwrap();
    let ended = told["requests"]["outcomes"].as_array().unwrap().iter();
    assert_eq!(ended.map(|of| of["count"].as_u64().unwrap()).sum::<u64>(), sent);
    assert_eq!((&told["requests"]["received"], &told["clicks"]["recorded"]), (&sent.into(), &300.into()));
    let deliveries = &told["deliveries"];
    assert!(deliveries["owed"].as_u64().unwrap() > 20, "{deliveries}");
    assert_eq!(deliveries["owed"], deliveries["taken"]);
    assert_eq!(deliveries["taken_twice"], 0);
    assert!(deliveries["failed"].as_u64().unwrap() > 0 && deliveries["throttled"].as_u64().unwrap() > 0);

    let answered = |meant: &str| {
        let rows = told["postbacks"].as_array().unwrap().iter();
        let of: Vec<&str> =
            rows.filter(|row| row["meant"] == meant).map(|row| row["answered"].as_str().unwrap()).collect();
        of.join(", ")
    };
    for (meant, expected) in [
        ("approved", "accepted"),
        ("approved after all", "updated"),
        ("the same again", "duplicate"),
        ("taken back", "updated"),
        ("a payout of 250", "held"),
        ("with {payout} unfilled", "accepted"),
        ("a wrong secret", "rejected:secret"),
        ("a click that nobody knows", "unmatched"),
    ] {
        assert_eq!(answered(meant), expected, "{meant}");
    }
    assert!(answered("no click at all").starts_with("rejected:"), "{told:#}");
    assert!(answered("a network that nobody knows").starts_with("rejected:"), "{told:#}");

    let report = json(&clicklog(folder.path(), &["report", "--data", "data", "--format", "json"]));
    assert_eq!(report["total"]["clicks"], 300, "{report:#}");
    assert_eq!(report["total"]["net"], told["clicks"]["net"], "{report:#}");
    let verified = clicklog(folder.path(), &["verify", "--data", "data"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.out, verified.err);
}

#[test]
fn a_demo_for_people_shows_report_and_links_and_the_same_seed_brings_the_same_visitors() {
    let folder = tempfile::tempdir().unwrap();
    let said = demo(folder.path(), &["--clicks", "40", "--seed", "7"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    for part in [
        "seed 7",
        "visitors   http://127.0.0.1:",
        "yes  requests: ",
        "clicklog report --by campaign",
        "TOTAL",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in {}", said.out);
    }
    let again = demo(folder.path(), &["--clicks", "40"]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("data is not empty") && again.err.contains("--data"), "{}", again.err);

    let clicks = |data: &str| {
        let told = clicklog(
            folder.path(),
            &[
                "demo", "--clicks", "40", "--rate", "400", "--seed", "7", "--exit", "--format", "json",
                "--data", data,
            ],
        );
        json(&told)["clicks"].clone()
    };
    assert_eq!(clicks("b"), clicks("c"));
}

/// A demo whose temporary files are in this folder, and the first lines of what it says.
fn started(folder: &Path, more: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_clicklog"))
        .current_dir(folder)
        .arg("demo")
        .args(more)
        .env("TMPDIR", folder.join("tmp"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// How it ended, and what it said to the end.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_demo_that_is_stopped_while_it_plays_says_how_far_it_was_and_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let tmp = folder.path().join("tmp");
    fs::create_dir(&tmp).unwrap();
    // Nobody waits for so many.
    for (signal, more, left) in [
        (Signal::INT, &[][..], "nothing is left of it"),
        (Signal::TERM, &["--data", "kept"], "what was recorded stays in kept"),
        (Signal::HUP, &["--format", "json"], "nothing is left of it"),
    ] {
        let (child, mut lines) = started(folder.path(), &[&["--clicks", "1000000"], more].concat());
        match more.contains(&"json") {
            // Its folder is there, so it has begun.
            true => {
                while entries(&tmp).is_empty() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            false => assert!(lines.any(|line| line.unwrap().contains("operators"))),
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let (code, said) = ended(child);
        assert_eq!(code, Some(1), "{signal:?}: {said}");
        assert!(said.contains("stopped before ") || said.contains("it began"), "{signal:?}: {said}");
        assert!(said.contains(left) || said.contains("nothing is left of it"), "{signal:?}: {said}");
        assert_eq!(entries(&tmp), [] as [PathBuf; 0], "{signal:?}");
    }
    let kept = clicklog(folder.path(), &["verify", "--data", "kept"]);
    assert_eq!(kept.code, Some(0), "{}{}", kept.out, kept.err);
}

#[test]
fn a_demo_that_serves_on_ends_when_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tmp")).unwrap();
    let (child, mut lines) = started(folder.path(), &["--clicks", "20", "--rate", "1000"]);
    assert!(lines.any(|line| line.unwrap().contains("it goes on serving until ctrl-C")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(lines.any(|line| line.unwrap() == "stopped; nothing is left of it: its folder is removed"));
    assert_eq!(ended(child), (Some(0), String::new()));
    assert_eq!(entries(&folder.path().join("tmp")), [] as [PathBuf; 0]);
}

#[test]
fn a_demo_that_nobody_reads_any_more_ends_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tmp")).unwrap();
    let (child, mut lines) = started(folder.path(), &["--clicks", "20", "--rate", "1000"]);
    assert!(lines.next().unwrap().unwrap().starts_with("20 clicks"));
    // As `| head -1` does.
    drop(lines);
    assert_eq!(ended(child).0, Some(0));
    assert_eq!(entries(&folder.path().join("tmp")), [] as [PathBuf; 0]);
}

#[test]
fn a_demo_that_cannot_begin_leaves_the_folder_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    for data in ["empty", "new"] {
        let said = clicklog(folder.path(), &["demo", "--listen", &address, "--data", data]);
        assert_eq!(said.code, Some(1), "{}", said.err);
        assert!(said.err.contains(&address) && said.err.contains("--listen"), "{}", said.err);
    }
    assert!(entries(&folder.path().join("empty")).is_empty());
    assert!(!folder.path().join("new").exists());
}

#[test]
fn a_demo_on_a_disk_that_is_full_says_so_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let disk = match Disk::make(folder.path(), 24 << 20) {
        Ok(disk) => disk,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let data = disk.point().join("data");
    let said = clicklog(folder.path(), &["demo", "--exit", "--data", data.to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    assert!(said.err.contains("-> make room"), "{}", said.err);
    assert!(!data.exists());
}
