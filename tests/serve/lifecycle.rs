//! The daemon as a process: killed, stopped, reloaded by signals, and told nonsense.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use crate::process::{Process, ask, connect};
use clicklog::event::click_id::ClickId;
use clicklog::store::directory::Directory;
use clicklog::store::verify::verify;
use clicklog::store::{Lookup, Options, Store};
use rustix::process::Signal;

fn click(stream: &mut TcpStream) -> Option<ClickId> {
    let head = ask(stream, "GET /c/demo?zoneid=7&visitor_id=a HTTP/1.1\r\nHost: trk.example\r\n\r\n")?;
    let id = head.split("cl_cid=").nth(1).unwrap_or_else(|| panic!("no click id in {head}"));
    Some(ClickId::from_str(id.split(';').next().unwrap()).unwrap())
}

/// Clicks on four connections until `stop` has done its work; every id that was answered.
pub(crate) fn click_until(process: &Process, stop: impl FnOnce(&Mutex<Vec<ClickId>>)) -> Vec<ClickId> {
    let answered = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut stream = connect(process.visitors);
                while let Some(id) = click(&mut stream) {
                    answered.lock().unwrap().push(id);
                }
            });
        }
        stop(&answered);
    });
    answered.into_inner().unwrap()
}

pub(crate) fn wait_for(answered: &Mutex<Vec<ClickId>>, count: usize) {
    while answered.lock().unwrap().len() < count {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn options(data: &Path) -> Options {
    let mut options = Options::new(data);
    (options.lanes, options.click_segment_bytes) = (2, 1 << 20);
    (options.marks.low_bytes, options.marks.critical_bytes, options.marks.reserve_bytes) = (0, 0, 0);
    options
}

/// Opens the folder; each of these clicks must be there, under an id that no other has.
fn every_click_is_there(data: &Path, ids: &[ClickId], was_clean: bool) {
    let store = Store::open(options(data)).unwrap();
    assert_eq!(store.report().was_clean, was_clean);
    let clicks = store.clicks();
    let mut seen = std::collections::HashSet::new();
    for id in ids {
        assert!(seen.insert(id.to_text().as_str().to_owned()), "{id:?} was given twice");
        match clicks.find(id) {
            Lookup::Found(found) => assert_eq!(found.click().unwrap().campaign, "demo"),
            lost => panic!("{} was answered and is {lost:?}", id.to_text().as_str()),
        }
    }
    store.close().unwrap();
}

#[test]
fn killed_under_load_again_and_again_it_loses_no_click_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("clicklog-data");
    let mut all = Vec::new();
    for round in 0..6 {
        let process = Process::start(folder.path(), &[]);
        let ids = click_until(&process, |answered| {
            // A different moment each time, across the ends of segments.
            wait_for(answered, 500 + 1_700 * round);
            process.signal(Signal::KILL);
        });
        assert_eq!(process.end().0, None);
        all.extend(ids);
    }
    every_click_is_there(&data, &all, false);
    let verified = verify(&Directory::new(&data), &mut |_, _| {}).unwrap();
    assert!(verified.is_sound(), "{verified}");
}

#[test]
fn stopped_under_load_it_answers_what_it_has_begun_and_seals_everything() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    let ids = click_until(&process, |answered| {
        wait_for(answered, 3_000);
        process.signal(Signal::TERM);
    });
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("everything is sealed"), "{said}");
    every_click_is_there(&folder.path().join("clicklog-data"), &ids, true);
}

#[test]
fn a_second_signal_ends_it_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &[]);
    let mut said = BufReader::new(process.child.stderr.take().unwrap()).lines();
    let mut stream = connect(process.visitors);
    let id = click(&mut stream).unwrap();
    // Somebody whom the first one waits for.
    let mut slow = connect(process.visitors);
    slow.write_all(b"POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").unwrap();
    let page = |process: &Process| {
        ask_all(process.operators, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    };
    while !page(&process).contains("clicklog_http_requests_received_total 2\n") {
        std::thread::sleep(Duration::from_millis(1));
    }
    process.signal(Signal::TERM);
    assert!(said.next().unwrap().unwrap().contains("SIGTERM: stopping"));
    process.signal(Signal::TERM);
    assert!(said.next().unwrap().unwrap().contains("stopping at once"));
    assert_eq!(process.child.wait().unwrap().code(), Some(1));
    every_click_is_there(&folder.path().join("clicklog-data"), &[id], false);
}

fn ask_all(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_hang_up_reloads_the_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("catalog.toml");
    let demo = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/catalog.toml")).unwrap();
    std::fs::write(&catalog, &demo).unwrap();
    let mut process = Process::start(folder.path(), &["--catalog", "catalog.toml"]);
    let mut said = BufReader::new(process.child.stderr.take().unwrap()).lines();
    let mut stream = connect(process.visitors);
    let request = "GET /c/new HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut status =
        || ask(&mut stream, "HEAD /c/new HTTP/1.1\r\nHost: a\r\n\r\n").unwrap()[9..12].to_owned();
    assert_eq!(status(), "404", "{request}");
    std::fs::write(&catalog, demo.replace("id = \"demo\"\n", "id = \"new\"\n")).unwrap();
    process.signal(Signal::HUP);
    assert!(said.next().unwrap().unwrap().contains("reloaded: catalog "));
    assert_eq!(status(), "302");
    std::fs::write(&catalog, "[[campaign]]\n").unwrap();
    process.signal(Signal::HUP);
    assert!(said.next().unwrap().unwrap().contains("reload refused, nothing has changed"));
    assert_eq!(status(), "302");
    process.signal(Signal::INT);
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_clicklog"))
        .current_dir(folder)
        .args(arguments)
        .env_remove("CLICKLOG_CONFIG")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_bad_configuration_is_told_with_its_place_and_ends_with_78() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.toml"), "[edge]\nworkres = 4\n").unwrap();
    std::fs::write(folder.path().join("c.toml"), "[[campain]]\n").unwrap();
    let cases: [(&[&str], &str); 6] = [
        (&["serve", "--config", "s.toml"], "did you mean \"workers\"?"),
        (&["serve", "--catalog", "c.toml"], "did you mean \"campaign\"?"),
        (&["check-config", "--catalog", "c.toml"], "c.toml:1:3: unknown key \"campain\""),
        (&["check-config", "--listen", "nowhere"], "flag --listen: edge.listen = nowhere: must be"),
        (&["config", "show", "--config", "s.toml"], "s.toml:2:1: unknown key"),
        (&["links", "demo", "--catalog", "none.toml"], "none.toml: cannot be read"),
    ];
    for (arguments, expected) in cases {
        let (code, _, said) = run(folder.path(), arguments);
        assert_eq!(code, Some(78), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert!(!folder.path().join("clicklog-data").exists(), "nothing was opened");
    assert_eq!(run(folder.path(), &["serve", "--what"]).0, Some(2));
}

#[test]
fn settings_and_links_are_shown_to_whoever_asks() {
    let folder = tempfile::tempdir().unwrap();
    let (code, default, _) = run(folder.path(), &["config", "default"]);
    let shipped = include_str!("../../config/clicklog.toml");
    assert_eq!((code, default.as_str()), (Some(0), shipped));
    std::fs::write(folder.path().join("s.toml"), "[admin]\ntoken = { env = \"HUSH\" }\n").unwrap();
    let (code, shown, _) = run(folder.path(), &["config", "show", "--config", "s.toml", "--listen", ":9000"]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("# flag --listen") && shown.contains("# default"), "{shown}");
    assert!(shown.contains("admin.token = { env = \"HUSH\" }") && shown.contains("# s.toml:2"), "{shown}");
    let (code, json, _) = run(folder.path(), &["config", "show", "--format", "json"]);
    assert_eq!(code, Some(0));
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(rows.as_array().unwrap().iter().any(|row| row["key"] == "workers" && row["origin"] == "default"));
    let (code, links, _) = run(folder.path(), &["links", "demo-lander", "--base", "https://trk.example/"]);
    assert_eq!(code, Some(0));
    for line in [
        "https://trk.example/c/demo-lander?visitor_id={visitor_id}&cost={cost}",
        "https://trk.example/out/2   demo-offer-b",
        "<script src=\"https://trk.example/t.js\" data-campaign=\"demo-lander\" async></script>",
        "https://trk.example/postback/demo-network?click_id={click_id}&payout={payout}",
        "<img src=\"https://trk.example/pixel.gif?network=demo-network&amp;payout=OPTIONAL",
    ] {
        assert!(links.contains(line), "{line} in\n{links}");
    }
    let (code, _, said) = run(folder.path(), &["links", "dmo"]);
    assert_eq!((code, said.as_str()), (Some(1), "clicklog: no campaign \"dmo\", did you mean \"demo\"?\n"));
    std::fs::write(folder.path().join("c.toml"), "[[offer]]\nid = \"o\"\nurl = \"https://o.example\"\n")
        .unwrap();
    let (code, said, _) = run(folder.path(), &["check-config", "--catalog", "c.toml"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("warning: offer \"o\" has no {click_id} in its url"), "{said}");
}

#[test]
fn what_was_published_is_not_left_alone_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.toml"), "[compactor]\nenabled = false\n").unwrap();
    let warned = || run(folder.path(), &["check-config", "--config", "s.toml"]).1.contains("is erased");
    assert!(!warned(), "nothing was ever published");
    std::fs::create_dir_all(folder.path().join("clicklog-data/export/clicks/v1")).unwrap();
    assert!(warned());
    let process = Process::start(folder.path(), &["--config", "s.toml"]);
    process.signal(Signal::TERM);
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("nothing in ") && said.contains(" is erased or goes with age"), "{said}");
}

#[test]
fn a_port_or_a_folder_that_is_taken_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    let (code, _, said) = run(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("clicklog-data") && said.contains("in use by another clicklog process"), "{said}");
    let taken = process.operators.to_string();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin", &taken, "--data", "other"];
    let (code, _, said) = run(folder.path(), &arguments);
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("cannot listen at {taken}: ")), "{said}");
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
}
