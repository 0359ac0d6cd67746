//! An operator's way with postbacks, at the daemon as a process: a wrong mapping put right, a payout released, a network
//! tried out, a click's life looked up.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use crate::process::{Process, ask_whole, connect};
use clicklog::event::codec::{Event, decode};
use clicklog::store::Journal;
use clicklog::store::reader::{Cursor, Reader};
use rustix::process::Signal;

/// A campaign whose network calls the click by `name`, and pays at most 10.
fn catalog(name: &str) -> String {
    format!(
        r#"
        [[network]]
        id = "n"
        secret = {{ env = "N_SECRET" }}
        params = {{ click_id = ["{name}"], payout = ["sum"], transaction_id = ["tx"], status = ["st"] }}
        payout = {{ max = "10" }}
        [[source]]
        id = "s"
        [[offer]]
        id = "o"
        network = "n"
        url = "https://offer.example.com/?s={{click_id}}"
        payout = "auto"
        [[campaign]]
        id = "c"
        source = "s"
        offers = [{{ id = "o" }}]
        "#
    )
}

const SECRET: &str = "a-secret-that-nobody-knows";

struct Desk {
    folder: tempfile::TempDir,
    process: Process,
}

impl Desk {
    fn open(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("catalog.toml"), catalog(name)).unwrap();
        let environment = [("N_SECRET", SECRET)];
        let process = Process::start_with(folder.path(), &["--catalog", "catalog.toml"], &environment);
        Self { folder, process }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("clicklog-data")
    }

    fn get(&self, target: &str) -> (String, String) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: trk.example\r\n\r\n");
        ask_whole(&mut connect(self.process.visitors), &request).unwrap()
    }

    fn click(&self) -> String {
        let (head, _) = self.get("/c/c");
        head.split("cl_cid=").nth(1).unwrap().split(';').next().unwrap().to_owned()
    }

    /// What `X-Clicklog-Result` says.
    fn postback(&self, query: &str) -> String {
        let (head, _) = self.get(&format!("/postback/n?secret={SECRET}&{query}"));
        head.lines().find_map(|line| line.strip_prefix("x-clicklog-result: ")).unwrap().to_owned()
    }

    /// Runs a command that asks the daemon; exit code and what it printed.
    fn command(&self, arguments: &[&str]) -> (i32, String) {
        let operators = self.process.operators.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
        command.current_dir(self.folder.path()).env_remove("CLICKLOG_ADMIN_TOKEN").args(arguments);
        if matches!(arguments, ["replay" | "postback", ..] | ["held", "release" | "drop", ..]) {
            command.args(["--admin", &operators]);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), said)
    }

    fn reload(&self, name: &str) {
        self.reload_with(&catalog(name));
    }

    fn reload_with(&self, catalog: &str) {
        fs::write(self.folder.path().join("catalog.toml"), catalog).unwrap();
        let token = fs::read_to_string(self.data().join("admin-token")).unwrap();
        let request = format!(
            "POST /-/reload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
            token.trim()
        );
        let (head, body) = ask_whole(&mut connect(self.process.operators), &request).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}{body}");
    }
}

/// What the books come to, in micros.
fn sum(data: &Path) -> i64 {
    let mut sum = 0;
    Reader::open(data)
        .read(Journal::Postbacks, 0, Cursor::default(), |_, record| {
            if let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload) {
                sum += decision.entry.get();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    sum
}

#[test]
fn a_wrong_mapping_costs_a_change_of_the_catalog_and_a_replay() {
    let desk = Desk::open("clickid");
    let click = desk.click();
    let query = |n: u32| format!("subid={click}&tx=t-{n}&sum=2.50&st=approved");
    for n in 0..10 {
        assert_eq!(desk.postback(&query(n)), "rejected:missing_click_id");
    }
    desk.reload("subid");
    // One of them comes again before anybody has done anything about the others.
    assert_eq!(desk.postback(&query(3)), "accepted");
    let (code, shown) = desk.command(&["replay", "--network", "n", "--dry-run"]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("would change: 22.5 USD"), "{shown}");
    assert_eq!(sum(&desk.data()), 2_500_000, "a dry run does nothing");
    let (code, refused) = desk.command(&["replay", "--network", "n"]);
    assert!(code == 1 && refused.contains("--yes"), "nobody is there to be asked: {refused}");
    let (code, done) = desk.command(&["replay", "--network", "n", "--yes"]);
    assert_eq!(code, 0, "{done}");
    assert!(done.contains("changed: 22.5 USD"), "{done}");
    assert_eq!(sum(&desk.data()), 25_000_000, "each once");
    let (_, again) = desk.command(&["replay", "--network", "n", "--yes"]);
    assert!(again.contains("11 postbacks: 11 unchanged"), "{again}");
    for n in 0..10 {
        assert_eq!(desk.postback(&query(n)), "duplicate");
    }
    assert_eq!(sum(&desk.data()), 25_000_000);
    let (code, unknown) = desk.command(&["replay", "--network", "m", "--yes"]);
    assert!(code == 1 && unknown.contains("no network"), "{unknown}");
}

#[test]
fn one_replay_puts_right_conversions_that_were_taken_for_one_another() {
    let desk = Desk::open("subid");
    let click = desk.click();
    // What counts the orders stands where their numbers should.
    for (wrong, right) in [(1, 2), (2, 3), (3, 1), (4, 4), (4, 5)] {
        desk.postback(&format!("subid={click}&tx={wrong}&order={right}&sum=2&st=approved"));
    }
    assert_eq!(sum(&desk.data()), 8_000_000);
    desk.reload_with(&catalog("subid").replace("[\"tx\"]", "[\"order\"]"));
    let (_, shown) = desk.command(&["replay", "--network", "n", "--dry-run"]);
    assert!(shown.contains("would change: 2 USD"), "{shown}");
    let (_, done) = desk.command(&["replay", "--network", "n", "--yes"]);
    assert!(done.contains("changed: 2 USD"), "{done}");
    assert_eq!(sum(&desk.data()), 10_000_000, "{done}");
    let (_, again) = desk.command(&["replay", "--network", "n", "--yes"]);
    assert!(again.contains("5 postbacks: 5 unchanged"), "{again}");
}

#[test]
fn a_test_stays_one_when_it_is_replayed() {
    let desk = Desk::open("subid");
    let click = desk.click();
    assert_eq!(desk.postback(&format!("subid={click}&tx=a&sum=2.50&st=approved&test=1")), "test");
    assert_eq!(desk.postback("sum=2.50&tx=b&test=1"), "rejected:missing_click_id");
    let made_up = ["postback", "test", "--network", "n", "--click", &click, "--param", "sum=2.50"];
    let (code, explained) = desk.command(&made_up);
    assert!(code == 0 && explained.contains("as a test, which counts nowhere"), "{explained}");
    let (_, shown) = desk.command(&["replay", "--network", "n", "--dry-run"]);
    assert!(shown.contains("3 postbacks: 1 rejected:missing_click_id, 2 test"), "{shown}");
    let (code, done) = desk.command(&["replay", "--network", "n", "--yes"]);
    assert_eq!((code, sum(&desk.data())), (0, 0), "{done}");
}

#[test]
fn a_held_payout_is_listed_and_released_and_its_click_s_life_looked_up() {
    let desk = Desk::open("subid");
    let click = desk.click();
    assert_eq!(desk.postback(&format!("subid={click}&tx=big&sum=99&st=approved")), "held");
    assert_eq!(sum(&desk.data()), 0);
    let (_, listed) = desk.command(&["held", "list", "--format", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let decision = listed[0]["decision"].as_str().unwrap().to_owned();
    let (code, released) = desk.command(&["held", "release", &decision]);
    assert_eq!(code, 0, "{released}");
    assert_eq!(sum(&desk.data()), 99_000_000);
    let (code, again) = desk.command(&["held", "release", &decision]);
    assert!(code == 1 && again.contains("nothing is held"), "{again}");
    assert_eq!(desk.command(&["held", "list"]).1, "nothing is held\n");
    let (code, life) = desk.command(&["lookup", &click]);
    assert_eq!(code, 0, "{life}");
    for part in ["payout_above_max", "released", "99"] {
        assert!(life.contains(part), "{part} is not in\n{life}");
    }
    assert!(!life.contains(SECRET), "{life}");
    assert_eq!(desk.command(&["lookup", "big"]).0, 0, "by its transaction too");
}

/// The tracker that somebody moves from has clicks whose conversions come here before its file does.
#[test]
fn a_postback_whose_click_is_imported_afterwards_counts_by_itself_and_once() {
    let desk = Desk::open("subid");
    let query = |click: &str, transaction: &str| format!("subid={click}&tx={transaction}&sum=2&st=approved");
    for (click, transaction) in [("old-1", "t-1"), ("old-2", "t-2"), ("old-1", "t-1"), ("old-3", "t-3")] {
        assert_eq!(desk.postback(&query(click, transaction)), "unmatched");
    }
    assert_eq!(sum(&desk.data()), 0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let file = desk.folder.path().join("clicks.csv");
    fs::write(&file, format!("id,time,campaign\nold-1,{now},c\nold-2,{now},c\n")).unwrap();
    let operators = desk.process.operators.to_string();
    let import =
        ["import", "clicks", file.to_str().unwrap(), "--admin", &operators, "--data", "clicklog-data"];
    let (code, said) = desk.command(&import);
    assert_eq!(code, 0, "{said}");
    let mut tries = 0;
    while sum(&desk.data()) < 4_000_000 {
        tries += 1;
        assert!(tries < 10_000, "what waited does not appear: {}", sum(&desk.data()));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // Whoever sends it again hears that it is known; the third one waits on.
    assert_eq!(desk.postback(&query("old-1", "t-1")), "duplicate");
    assert_eq!(desk.postback(&query("old-2", "t-2")), "duplicate");
    assert_eq!(desk.postback(&query("old-3", "t-3")), "unmatched");
    assert_eq!(sum(&desk.data()), 4_000_000);
    let (code, life) = desk.command(&["lookup", "old-1"]);
    assert_eq!(code, 0, "{life}");
    assert!(life.contains("click_came"), "{life}");
}

#[test]
fn a_network_is_tried_out_step_by_step_and_nothing_counts() {
    let desk = Desk::open("subid");
    let click = desk.click();
    let test = |more: &[&str]| {
        let mut arguments = vec!["postback", "test", "--network", "n"];
        arguments.extend(more);
        desk.command(&arguments)
    };
    let (code, told) = test(&["--click", &click, "--param", "sum=3"]);
    assert_eq!(code, 0, "{told}");
    for part in ["a secret, as", "campaign \"c\", offer \"o\"", "accepted", "would add 3 USD", "as a test"] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    assert!(!told.contains(SECRET), "{told}");
    let (_, dry) = test(&["--click", &click, "--dry-run"]);
    assert!(dry.contains("kept       nothing"), "{dry}");
    let (code, refused) = test(&[]);
    assert!(code == 1 && refused.contains("missing_click_id"), "{refused}");
    let (_, held) = test(&["--click", &click, "--param", "sum=50"]);
    assert!(held.contains("held: payout_above_max"), "{held}");
    assert_eq!(sum(&desk.data()), 0);
}

/// The secret goes in with every request, right, wrong, and where it does not belong; it comes out nowhere.
#[test]
fn a_secret_is_in_no_file_log_or_page() {
    let mut desk = Desk::open("subid");
    let click = desk.click();
    for query in [
        format!("secret={SECRET}&subid={click}&tx=1"),
        format!("secret={SECRET}x&subid={click}&tx=2"),
        format!("subid={SECRET}&secret={SECRET}&tx={SECRET}&sub1={SECRET}"),
        format!("secret=%61{}&subid={click}&tx=3", &SECRET[1..]),
        format!("subid={click}&note={SECRET}"),
        format!("secret={SECRET}&subid={click}&tx=4&sum={SECRET}"),
        format!("secret={SECRET}&subid={click}&tx=5&currency={SECRET}"),
        format!("secret={SECRET}&subid={click}&tx=5&sum=1&test=1&et={SECRET}"),
    ] {
        desk.get(&format!("/postback/n?{query}"));
    }
    desk.get(&format!("/postback/{SECRET}?subid={click}"));
    desk.get(&format!("/postback?network={SECRET}&subid={click}"));
    let mut told = String::new();
    for target in ["/metrics", "/readyz?verbose", "/api/postbacks?network=n", "/api/postbacks"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (head, body) = ask_whole(&mut connect(desk.process.operators), &request).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{target}: {head}{body}");
        told += &body;
    }
    assert!(told.contains("***"), "what was masked is shown so");
    told += &desk.command(&["lookup", &click]).1;
    told += &desk.command(&["inspect", "--data", "clicklog-data"]).1;
    desk.process.signal(Signal::TERM);
    told += &desk.process.said_until_its_end();
    assert!(!told.contains(SECRET), "{told}");
    let mut files = 0;
    let mut folders = vec![desk.data()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            files += 1;
            let bytes = fs::read(&entry).unwrap();
            let is_there = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!is_there, "{} holds the secret", entry.display());
        }
    }
    assert!(files > 3, "the folder was looked through");
}
