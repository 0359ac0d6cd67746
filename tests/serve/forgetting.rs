//! A visitor who asks to be forgotten, beside a daemon at work: hidden at once, soon in no file, and the books as they were.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clicklog::clock::Clock;
use clicklog::store::directory::Directory;
use clicklog::store::verify::verify;
use rustix::process::Signal;
use serde_json::Value;

use crate::faults::Faults;
use crate::files::{below, rows};
use crate::process::{ask, ask_whole, connect};
use crate::told::{Daemon, catalog, postback, wait_until};

/// What stands in all that the visitor sent.
const MARKER: &str = "PRIVATE-visitor-END";

/// Clicks, and postbacks that were taken.
#[derive(Debug, Default)]
struct Load {
    clicks: AtomicU64,
    conversions: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    /// One click and one conversion after the other, until it is over.
    fn run(&self, daemon: &Daemon) {
        let mut stream = connect(daemon.process.visitors);
        while !self.is_over.load(Ordering::Relaxed) {
            click(&mut stream, "somebody");
            let number = self.clicks.fetch_add(1, Ordering::Relaxed);
            let result = daemon.report_on(&mut stream, &format!("t-{number}"), "approved");
            if result.as_deref() == Some("accepted") {
                self.conversions.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A click of somebody; its id.
fn click(stream: &mut TcpStream, who: &str) -> String {
    let request = format!(
        "GET /c/c?email={who}&sub1={who} HTTP/1.1\r\nHost: trk.example\r\nUser-Agent: {who}\r\n\
         Referer: https://ads.example/{who}\r\nAccept-Language: {who}\r\n\r\n"
    );
    let head = ask(stream, &request).unwrap();
    head.split("cl_cid=").nth(1).unwrap().split(';').next().unwrap().to_owned()
}

/// A conversion of this click; its request names the visitor too.
fn convert(stream: &mut TcpStream, click: &str, transaction: &str) {
    let request = format!(
        "GET /postback/n?click_id={click}&txid={transaction}&payout=1.00&status=approved&email={MARKER} \
         HTTP/1.1\r\nHost: trk.example\r\nUser-Agent: {MARKER}\r\n\r\n"
    );
    let (head, _) = ask_whole(stream, &request).unwrap();
    assert!(head.contains("x-clicklog-result: accepted"), "{head}");
}

/// The first file below that has the text, or may have it: what is being written cannot be read before it is whole.
fn who_has(folder: &Path, text: &str) -> Option<PathBuf> {
    below(folder).into_iter().find(|path| is_staged(path) || has(path, text))
}

/// As `who_has`, without what a stop left half written: the next start begins it anew.
fn who_still_has(folder: &Path, text: &str) -> Option<PathBuf> {
    below(folder).into_iter().find(|path| !is_staged(path) && has(path, text))
}

/// Whether a file has the text, compressed in columns or as it is. One that goes meanwhile has nothing.
fn has(path: &Path, text: &str) -> bool {
    let Ok(file) = File::open(path) else { return false };
    // Under this name it is there as long as it is open.
    let path_of_open = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if path.extension().is_some_and(|end| end == "parquet") {
        return rows(&path_of_open).iter().any(|row| format!("{row:?}").contains(text));
    }
    memchr::memmem::find(&fs::read(path_of_open).unwrap(), text.as_bytes()).is_some()
}

fn is_staged(path: &Path) -> bool {
    path.iter().any(|part| part == "export-staging")
}

/// A command beside the daemon, or after it; what it printed.
fn command(data: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    let output = command.args(arguments).arg("--data").arg(data).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn assert_report(data: &Path, clicks: u64, conversions: u64) {
    let told: Value = serde_json::from_str(&command(data, &["report", "--format", "json"])).unwrap();
    let total = &told["total"];
    assert_eq!(
        (total["clicks"].as_u64(), total["approved"].as_u64()),
        (Some(clicks), Some(conversions)),
        "{total}"
    );
    assert_eq!(total["money"]["USD"]["revenue"], conversions.to_string(), "{total}");
}

/// Begins new segments until the number is reached: what was written when it was asked for is sealed then.
fn roll_until(daemon: &Daemon, metric: &str, number: u64) {
    let mut looks = 0_u32;
    wait_until(metric, || {
        if looks.is_multiple_of(25) {
            daemon.operator("POST", "/-/roll", "");
        }
        looks += 1;
        daemon.metric(metric) >= number
    });
}

#[test]
fn who_is_erased_beside_load_is_hidden_at_once_and_soon_in_no_file_and_the_books_stay() {
    let (folder, told) = (tempfile::tempdir().unwrap(), Faults::plain());
    let catalog = catalog(&postback("campaign.postback", "d", &told, "/ok", ""));
    let daemon = Daemon::start_with(folder.path(), &catalog, &[("CLICKLOG_COMPACTOR__KEEP_REPLACED", "1s")]);
    let (data, load) = (daemon.data(), Load::default());
    let id = std::thread::scope(|scope| {
        scope.spawn(|| load.run(&daemon));
        let mut stream = connect(daemon.process.visitors);
        let id = click(&mut stream, MARKER);
        convert(&mut stream, &id, "private");
        wait_until("the delivery", || told.seen().iter().any(|seen| seen.target.contains("tx=private")));
        roll_until(&daemon, "clicklog_compactor_segments_total{table=\"conversions\"}", 1);
        for table in ["clicks", "conversions"] {
            let published = || who_has(&data.join("export").join(table), MARKER).is_some();
            wait_until("he is published", published);
        }
        assert!(command(&data, &["lookup", &id]).contains(MARKER));

        command(&data, &["erase", "--click", &id]);
        assert!(!command(&data, &["lookup", &id]).contains(MARKER));
        roll_until(&daemon, "clicklog_erasures_total", 1);
        wait_until("he is in no file", || who_has(&data, MARKER).is_none());
        load.is_over.store(true, Ordering::Relaxed);
        id
    });
    assert_eq!(daemon.metric("clicklog_erasures_pending"), 0);
    assert_eq!(daemon.metric("clicklog_forgetting_failures_total"), 0);
    assert!(daemon.metric("clicklog_forgetting_records_total{did=\"strip\"}") >= 3);
    // The first click is the one that the load reports conversions of.
    let clicks = load.clicks.into_inner() + 2;
    let conversions = load.conversions.into_inner() + 1;
    assert_report(&data, clicks, conversions);
    daemon.process.signal(Signal::TERM);
    let (code, said) = daemon.process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 erasures are done"), "{said}");
    assert_eq!(who_still_has(&data, MARKER), None);
    assert!(!command(&data, &["lookup", &id]).contains(MARKER));
    assert_report(&data, clicks, conversions);
    assert!(verify(&Directory::new(&data), &mut |_, _| {}).unwrap().is_sound());
}

#[test]
fn a_stop_does_not_wait_for_what_is_not_forgotten_yet() {
    let folder = tempfile::tempdir().unwrap();
    let slowly = [("CLICKLOG_RETENTION__REWRITE_BYTES_PER_SECOND", "64KiB")];
    let daemon = Daemon::start_with(folder.path(), &catalog(""), &slowly);
    let data = daemon.data();
    let mut stream = connect(daemon.process.visitors);
    let id = click(&mut stream, MARKER);
    let long = "x".repeat(1_500);
    (0..500).for_each(|_| drop(click(&mut stream, &long)));
    daemon.operator("POST", "/-/roll", "");
    wait_until("his segment is sealed", || daemon.metric("clicklog_store_segments_sealed_total") > 0);
    command(&data, &["erase", "--click", &id]);
    // To go through the segment takes many seconds at this rate.
    wait_until("it has begun", || daemon.metric("clicklog_erasures_pending") == 1);
    daemon.process.signal(Signal::TERM);
    let (code, said) = daemon.process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(who_still_has(&data, "\"erased\"").is_none() && who_still_has(&data, MARKER).is_some());
    assert!(!command(&data, &["lookup", &id]).contains(MARKER));
    // The next one goes on with it.
    let daemon = Daemon::start(folder.path(), &catalog(""));
    wait_until("it is forgotten", || daemon.metric("clicklog_erasures_total") == 1);
    assert_eq!(who_has(&data.join("clicks"), MARKER), None);
}

/// Nobody comes after him whose click or conversion would end a segment.
#[test]
fn who_is_erased_is_soon_in_no_file_also_where_nobody_else_comes() {
    let folder = tempfile::tempdir().unwrap();
    let daemon =
        Daemon::start_with(folder.path(), &catalog(""), &[("CLICKLOG_COMPACTOR__KEEP_REPLACED", "1s")]);
    let data = daemon.data();
    let mut stream = connect(daemon.process.visitors);
    let id = click(&mut stream, MARKER);
    convert(&mut stream, &id, "private");
    drop(stream);
    for journal in ["clicks", "postbacks"] {
        assert!(who_has(&data.join(journal), MARKER).is_some(), "{journal}");
    }
    command(&data, &["erase", "--click", &id]);
    wait_until("he is in no file", || who_has(&data, MARKER).is_none());
    wait_until("that is said", || daemon.metric("clicklog_erasures_total") == 1);
    assert_eq!(daemon.metric("clicklog_erasures_pending"), 0);
    assert!(!command(&data, &["lookup", &id]).contains(MARKER));
    // The click of the daemon's start is the other.
    assert_report(&data, 2, 1);
}

/// What waits for a person, by transaction.
fn held(data: &Path) -> Vec<(String, String)> {
    let listed: Value = serde_json::from_str(&command(data, &["held", "list", "--format", "json"])).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = listed.as_array().unwrap().iter();
    rows.map(|row| {
        assert_eq!(row["click_id"], "", "{row}");
        (text(row, "transaction_id"), text(row, "decision"))
    })
    .collect()
}

/// The network's transactions of a click add up, and what each is told by says the click, which is another tracker's: with
/// the click's id the books lose how they found them.
#[test]
fn payouts_that_wait_are_released_and_dropped_also_when_their_click_is_erased() {
    for scope in ["click", "network"] {
        let (folder, now) = (tempfile::tempdir().unwrap(), Clock::System.now());
        let adds = format!(
            "profile = \"generic\"\ndedupe = {{ mode = \"add\", scope = \"{scope}\" }}\npayout = {{ max = \"5\" }}"
        );
        let catalog = catalog("").replace("profile = \"generic\"", &adds);
        let daemon = Daemon::start(folder.path(), &catalog);
        let data = daemon.data();
        let file = folder.path().join("clicks.csv");
        fs::write(&file, format!("id,time,campaign,offer\nFOREIGN-{MARKER},{now},c,o\n")).unwrap();
        let admin = daemon.process.operators.to_string();
        command(&data, &["import", "clicks", file.to_str().unwrap(), "--admin", &admin]);
        let mut stream = connect(daemon.process.visitors);
        let mut tell = |transaction: &str, payout: &str| {
            let request = format!(
                "GET /postback/n?click_id=FOREIGN-{MARKER}&txid={transaction}&payout={payout}&status=approved \
                 HTTP/1.1\r\nHost: trk.example\r\n\r\n"
            );
            ask_whole(&mut stream, &request).unwrap().0
        };
        for (transaction, payout, result) in
            [("t1", "1", "accepted"), ("t2", "9", "held"), ("t3", "8", "held"), ("t4", "2", "updated")]
        {
            let head = tell(transaction, payout);
            assert!(head.contains(&format!("x-clicklog-result: {result}")), "{transaction}: {head}");
        }
        let id = format!("FOREIGN-{MARKER}");
        let erased = command(&data, &["erase", "--click", &id]);
        assert!(erased.starts_with("1 clicks, 4 postbacks, 4 decisions"), "{erased}");
        let waiting = held(&data);
        assert_eq!(waiting.iter().map(|(transaction, _)| &**transaction).collect::<Vec<_>>(), ["t2", "t3"]);
        roll_until(&daemon, "clicklog_erasures_total", 1);
        assert_eq!(held(&data), waiting, "{scope}: gone from the disk, they wait yet");
        let settle = |daemon: &Daemon, what: &str, decision: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
            let admin = daemon.process.operators.to_string();
            command.args(["held", what, decision, "--admin", &admin, "--data"]).arg(daemon.data());
            let output = command.output().unwrap();
            (
                output.status.success(),
                String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr),
            )
        };
        let (is_done, said) = settle(&daemon, "release", &waiting[0].1);
        assert!(is_done, "{scope}: {said}");
        assert_eq!(held(&data), waiting[1..], "{scope}");
        let (is_done, said) = settle(&daemon, "release", &waiting[0].1);
        assert!(!is_done && said.contains("nothing is held"), "{scope}: once: {said}");
        drop(stream);
        daemon.process.signal(Signal::TERM);
        let (code, said) = daemon.process.end();
        assert_eq!(code, Some(0), "{said}");
        let daemon = Daemon::start(folder.path(), &catalog);
        let (is_done, said) = settle(&daemon, "drop", &waiting[1].1);
        assert!(is_done, "{scope}: {said}");
        assert_eq!(held(&data), [], "{scope}");
        let told: Value = serde_json::from_str(&command(&data, &["report", "--format", "json"])).unwrap();
        assert_eq!(told["total"]["money"]["USD"]["revenue"], "12", "{scope}: {told}");
    }
}
