//! Clicks of another tracker, conversions and costs: every form of a file, what is wrong with lines, interruptions, and a daemon that has the store.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod costs;
#[expect(dead_code, reason = "other test files use the rest of it")]
#[path = "../support/mod.rs"]
mod support;
mod wrong;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use clicklog::batch::import::{Counts, DryRun, Importer, Options, Report, run};
use clicklog::clock::{Clock, ManualClock, Timestamp};
use clicklog::event::click::ClickKind;
use clicklog::event::codec::{Event, decode};
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::{Journal, Lookup, Store};
use rustix::process::{Pid, Signal, kill_process};
use support::options;

/// 2026-11-20T07:00:00Z, and a while.
const NOW: u32 = 1_795_158_000 + 100_000;

/// A store and a folder beside it for files.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.open().close().unwrap();
        place
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn open(&self) -> Store {
        Store::open(options(&self.data())).unwrap()
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Imports by way of the library, into the store itself.
    fn import(&self, given: &Options) -> Result<Report, String> {
        let store = self.open();
        let clock = Clock::Manual(ManualClock::at(Timestamp::from_seconds(NOW)));
        let mut importer = Importer::new(&store, clock).unwrap();
        let report = run(given, Some(&self.data()), &mut importer, &mut |_, _, _| {});
        importer.close();
        store.close().unwrap();
        report.map_err(|error| error.to_string())
    }

    fn states(&self) -> usize {
        let names = std::fs::read_dir(self.data()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".state")).count()
    }
}

fn given(file: &Path) -> Options {
    Options {
        file: file.to_owned(),
        renames: Vec::new(),
        skipped: Vec::new(),
        delimiter: None,
        offset: "Z".parse().unwrap(),
        currency: "USD".parse().unwrap(),
        bad_file: None,
    }
}

fn counts(imported: u64, known: u64, bad: u64) -> Counts {
    Counts { imported, known, bad }
}

/// Foreign ids of all imported clicks on disk, in their order.
fn imported(data: &Path) -> Vec<String> {
    let reader = Reader::open(data);
    let mut ids = Vec::new();
    for lane in reader.lanes(Journal::Clicks).unwrap() {
        let each = |_, record: &clicklog::store::record::Record<'_>| {
            if let Ok(Event::Click(click)) = decode(record.kind, record.schema, record.payload)
                && click.kind == ClickKind::Imported
            {
                ids.push(click.foreign_id.to_owned());
            }
            ControlFlow::Continue(())
        };
        reader.read(Journal::Clicks, lane, Cursor::default(), each).unwrap();
    }
    ids
}

#[test]
fn every_column_is_kept_as_what_it_is() {
    let place = Place::new();
    let file = place.file(
        "voluum.csv",
        "\u{feff}Click ID;Visit timestamp;Campaign ID;Traffic source;Offer;External ID;Cost;Currency;Country;\
         User agent;Referrer;ip;Placement;Custom 2\n\
         w1;2026-11-20 09:00:00;spring;propeller;diet;v-1;0,012;eur;de;Mozilla/5.0 (X11);https://a.example/;\
         192.0.2.1;\"top; left\";\n",
    );
    let mut given = given(&file);
    given.renames = vec!["sub1=Placement".parse().unwrap()];
    given.offset = "+02:00".parse().unwrap();
    let report = place.import(&given).unwrap();
    assert_eq!((report.counts, report.shown.len()), (counts(1, 0, 0), 0), "{report:?}");
    assert!(report.columns.contains(&("ip".to_owned(), "left out".to_owned())));
    let store = place.open();
    let Lookup::Found(found) = store.clicks().find_foreign("w1") else { panic!("it is not found") };
    let click = found.click().unwrap();
    assert_eq!((click.kind, click.time), (ClickKind::Imported, Timestamp::from_seconds(1_795_158_000)));
    assert_eq!((click.campaign, click.source, click.offer), ("spring", "propeller", "diet"));
    assert_eq!((click.external_id, click.cost.unwrap().to_string()), ("v-1", "0.012 EUR".to_owned()));
    assert_eq!((click.country, click.user_agent), (*b"DE", "Mozilla/5.0 (X11)"));
    assert_eq!((click.referrer, click.address), ("https://a.example/", None));
    assert_eq!(click.params.iter().collect::<Vec<_>>(), [("sub1", "top; left")]);
}

#[test]
fn each_bad_line_is_passed_by_told_and_can_be_mended() {
    let place = Place::new();
    let long = "x".repeat(5_000);
    let lines = [
        ("a1,1795158000,0.1,de,x", ""),
        (",1795158000,,,", "it has no id"),
        ("a2,,,,", "it has no time"),
        ("a3,yesterday,,,", "its time \"yesterday\": not a date and a time"),
        ("a4,1795158000,a lot,,", "its cost \"a lot\": amount has"),
        ("a5,1795158000", "it has 2 fields, and the first line has 5"),
        ("a6,2031-01-01T00:00:00Z,,,", "is not in the past"),
        ("a7,1795158000,,1x,", "its country is no code"),
        (&format!("a8,1795158000,,,{long}"), "than a click can keep"),
        (&format!("{long},1795158000,,,"), "its id is longer than 256 bytes"),
        ("a9,1795158000000,,Germany,y", ""),
    ];
    let mut text = "id,time,cost,country,sub1\n".as_bytes().to_vec();
    for (line, _) in lines {
        text.extend(line.as_bytes());
        text.push(b'\n');
    }
    text.extend(b"b1,1795158000,,,\xff\xfe\n");
    let mut given = given(&place.file("clicks.csv", text));
    let bad_file = place.folder.path().join("bad.csv");
    given.bad_file = Some(bad_file.clone());
    let report = place.import(&given).unwrap();
    assert_eq!(report.counts, counts(2, 0, 10), "{report:?}");
    let expected = (2..).zip(lines).filter(|(_, (_, why))| !why.is_empty());
    for ((line, (_, why)), shown) in expected.zip(&report.shown) {
        assert_eq!(shown.line, line, "{shown:?}");
        assert!(shown.reason.contains(why), "line {line}: {} for {why}", shown.reason);
    }
    assert_eq!(report.shown.last().unwrap().reason, "it is not UTF-8");
    let bad = std::fs::read(&bad_file).unwrap();
    let bad = String::from_utf8_lossy(&bad);
    assert!(
        bad.starts_with(
            "id,time,cost,country,sub1,import_line,import_reason\n,1795158000,,,,3,it has no id\n"
        ),
        "{bad}"
    );
    // What was mended there is imported, the rest is as bad as it was. `b1` is text by now.
    let mended = place.file("mended.csv", bad.replace("a3,yesterday", "a3,1795158001"));
    let report = place.import(&Options { bad_file: None, file: mended, ..given }).unwrap();
    assert_eq!(report.counts.imported, 2, "{report:?}");
    let mut ids = imported(&place.data());
    ids.sort();
    assert_eq!(ids, ["a1", "a3", "a9", "b1"]);
}

#[test]
fn an_id_is_imported_once_however_often_it_comes() {
    let place = Place::new();
    let mut given = given(&place.file("a.csv", "id,time\na,1795158000\nb,1795158001\na,1795158002\n"));
    assert_eq!(place.import(&given).unwrap().counts, counts(2, 1, 0));
    assert_eq!(place.import(&given).unwrap().counts, counts(0, 3, 0), "all of it again");
    given.file = place.file("b.csv", "subid|timestamp\nb|1795158000\nc|1795158000\n");
    assert_eq!(place.import(&given).unwrap().counts, counts(1, 1, 0), "from another file");
    assert_eq!(imported(&place.data()), ["a", "b", "c"]);
    assert_eq!(place.states(), 0, "nothing is left to go on with");
}

/// Months of clicks, in order: a segment each hour would be thousands.
#[test]
fn old_clicks_do_not_get_a_segment_for_each_hour_and_a_store_without_any_gets_no_lane() {
    let place = Place::new();
    assert!(!place.data().join("clicks/lane-01").exists());
    let lines: String = (0..300u32).map(|n| format!("c{n},{}\n", 1_790_000_000 + n * 3_700)).collect();
    let given = given(&place.file("a.csv", format!("id,time\n{lines}")));
    assert_eq!(place.import(&given).unwrap().counts, counts(300, 0, 0));
    let files = Reader::open(place.data()).directory().segments(Journal::Clicks, 1).unwrap();
    assert!(files.len() <= 2, "{files:?}");
}

#[test]
fn a_dry_run_counts_and_stores_nothing() {
    let place = Place::new();
    let file = place.file("a.csv", "id,time\na,1795158000\n,1\n");
    let report =
        run::<clicklog::batch::import::Row>(&given(&file), None, &mut DryRun::default(), &mut |_, _, _| {})
            .unwrap();
    assert_eq!(report.counts, counts(1, 0, 1));
    assert!(imported(&place.data()).is_empty());
}

/// A seed, and numbers below a bound that follow from it.
fn chance() -> (u64, impl FnMut(u64) -> u64) {
    let seed = Clock::System.now().micros().unsigned_abs() | 1;
    let mut state = seed;
    let random = move |below: u64| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    (seed, random)
}

/// Killed at any moment and run again until it ends, the report counts each line once, and each id is there once.
#[test]
fn killed_again_and_again_an_import_neither_loses_nor_doubles() {
    let (seed, mut random) = chance();
    let place = Place::new();
    let (ids, mut lines) = (60_000u64, String::from("id,time,sub1\n"));
    let (mut doubled, mut bad) = (0, 0);
    for n in 0..ids {
        lines.push_str(&format!("id-{n},{},{}\n", 1_795_000_000 + n, n * 7));
        if random(50) == 0 {
            doubled += 1;
            lines.push_str(&format!("id-{},{},again\n", random(n + 1), 1_795_000_000));
        }
        if random(80) == 0 {
            bad += 1;
            lines.push_str(&format!("bad-{n},never,\n"));
        }
    }
    let file = place.file("clicks.csv", &lines);
    let bad_file = place.folder.path().join("bad.csv");
    let arguments = [
        "--format",
        "json",
        "--bad",
        bad_file.to_str().unwrap(),
        "--data",
        place.folder.path().join("data").to_str().unwrap(),
    ]
    .map(str::to_owned);
    let mut kills = 0;
    let report = loop {
        let mut child = import_command(&file, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let pause = Duration::from_millis(random(400));
        std::thread::sleep(pause);
        let is_killed = child.try_wait().unwrap().is_none() && kills < 12;
        if is_killed {
            kills += 1;
            // It may have ended just now.
            let _gone = child.kill();
        }
        let output = child.wait_with_output().unwrap();
        if output.status.code().is_some() {
            assert!(output.status.success(), "seed {seed}: {output:?}");
            break String::from_utf8(output.stdout).unwrap();
        }
        assert!(is_killed, "seed {seed}: it came to an end by itself: {output:?}");
    };
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let counted = ["imported", "known", "bad"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(counted, [ids, doubled, bad], "seed {seed}, {kills} kills: {report}");
    let mut found = imported(&place.data());
    found.sort();
    found.dedup();
    assert_eq!(
        (found.len() as u64, imported(&place.data()).len() as u64),
        (ids, ids),
        "seed {seed}, {kills} kills"
    );
    let written = std::fs::read_to_string(&bad_file).unwrap().lines().count() as u64;
    assert_eq!(written, bad + 1, "seed {seed}: each bad line is written once");
    assert_eq!(place.states(), 0, "seed {seed}");
    eprintln!("seed {seed}: {kills} kills");
}

/// Answers as a store does, and forgets to after some chunks: the process was killed between the two.
#[test]
fn a_chunk_that_was_stored_and_not_written_down_is_counted_as_imported() {
    struct Forgetful(Importer, u32);
    impl clicklog::batch::import::Sink<clicklog::batch::import::Row> for Forgetful {
        fn take(
            &mut self,
            mark: u64,
            rows: &[clicklog::batch::import::Row],
        ) -> Result<clicklog::batch::import::Taken, clicklog::batch::import::ImportError> {
            let taken = self.0.take(mark, rows)?;
            self.1 -= 1;
            if self.1 == 0 {
                return Err(clicklog::batch::import::ImportError::Daemon("it is gone".to_owned()));
            }
            Ok(taken)
        }

        fn end(&mut self) -> Result<(), clicklog::batch::import::ImportError> {
            self.0.end()
        }
    }
    let place = Place::new();
    let lines: String = (0..25_000).map(|n| format!("c{n},1795158000\nc{n},1795158000\n")).collect();
    let given = given(&place.file("a.csv", format!("id,time\n{lines}")));
    for chunk in 1..=3 {
        let store = place.open();
        let mut sink = Forgetful(Importer::new(&store, Clock::System).unwrap(), chunk);
        run(&given, Some(&place.data()), &mut sink, &mut |_, _, _| {}).unwrap_err();
        sink.0.close();
        store.close().unwrap();
    }
    let report = place.import(&given).unwrap();
    assert_eq!(report.counts, counts(25_000, 25_000, 0));
    assert!(report.resumed_at_line.is_some());
    assert_eq!(imported(&place.data()).len(), 25_000);
}

/// A daemon in a process of its own.
struct Daemon {
    child: Child,
    operators: SocketAddr,
}

impl Daemon {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    fn start_with(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = settings(&mut Command::new(env!("CARGO_BIN_EXE_clicklog")))
            .envs(environment.iter().copied())
            .current_dir(folder)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "data"])
            .env("CLICKLOG_EDGE__WORKERS", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let operators = lines
            .map(Result::unwrap)
            .find_map(|line| line.trim().strip_prefix("operators").map(|url| url.trim().to_owned()))
            .unwrap();
        let operators = operators.strip_prefix("http://").unwrap().parse().unwrap();
        Self { child, operators }
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Of a test that has failed; otherwise it is gone already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn settings(command: &mut Command) -> &mut Command {
    command
        .env("CLICKLOG_STORE__CLICK_SEGMENT", "1MiB")
        .env("CLICKLOG_STORE__LOW_FREE", "0B")
        .env("CLICKLOG_STORE__CRITICAL_FREE", "0B")
        .env("CLICKLOG_STORE__RESERVE", "0B")
        .env_remove("CLICKLOG_ADMIN_TOKEN")
        .env_remove("CLICKLOG_CONFIG")
}

fn import_command(file: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    settings(&mut command).args(["import", "clicks"]).arg(file).args(arguments);
    command
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn beside_a_running_daemon_clicks_go_through_it_and_are_found() {
    let place = Place::new();
    let daemon = Daemon::start(place.folder.path());
    let lines: String = (0..30_000).map(|n| format!("c{n},{},\u{e9}\"\"{n}\n", 1_795_000_000 + n)).collect();
    let file = place.file("a.csv", format!("id,time,sub1\n{lines},1\n"));
    let data = place.data().to_str().unwrap().to_owned();
    let arguments = ["--data".to_owned(), data.clone(), "--admin".to_owned(), daemon.operators.to_string()];
    let (code, said, error) = output(&mut import_command(&file, &arguments));
    assert_eq!(code, Some(0), "{said}{error}");
    assert!(said.ends_with("30000 imported, 0 known already, 1 bad\n"), "{said}");
    let (_, said, error) = output(&mut import_command(&file, &arguments));
    assert!(said.ends_with("0 imported, 30000 known already, 1 bad\n"), "{said}{error}");
    // A look-up beside the daemon that has just stored it.
    let (code, life, _) =
        output(Command::new(env!("CARGO_BIN_EXE_clicklog")).args(["lookup", "c777", "--data", &data]));
    assert_eq!(code, Some(0), "{life}");
    assert!(life.contains("a click id of another tracker"), "{life}");
    let token = place.file("token", "not-this-one");
    let held = ["held", "release", "0:4096", "--token-file", token.to_str().unwrap()];
    let (code, _, error) = output(Command::new(env!("CARGO_BIN_EXE_clicklog")).args(held).args(&arguments));
    assert_eq!(code, Some(1));
    assert!(error.contains("does not take this token"), "{error}");
    daemon.stop();
    let store = place.open();
    assert!(store.report().was_clean);
    for id in ["c0", "c14999", "c29999"] {
        assert!(matches!(store.clicks().find_foreign(id), Lookup::Found(_)), "{id}");
    }
    assert_eq!(imported(&place.data()).len(), 30_000);
}

#[test]
fn a_click_of_a_campaign_by_its_old_name_is_of_that_campaign_and_its_source() {
    let place = Place::new();
    let catalog = place.file(
        "catalog.toml",
        "[[source]]\nid = \"propeller\"\n[[offer]]\nid = \"o\"\nurl = \"https://offer.example/\"\n\
         [[campaign]]\nid = \"spring\"\naliases = [\"6c9d\"]\nsource = \"propeller\"\noffers = [{ id = \"o\" }]\n",
    );
    let catalog = catalog.to_str().unwrap();
    let with_catalog = |command: &mut Command| output(command.env("CLICKLOG_CATALOG__PATH", catalog));
    let data = ["--data".to_owned(), place.data().to_str().unwrap().to_owned()];
    let lines = |run: &str| {
        format!(
            "id,time,campaign,source\n{run}-old,1795158000,6c9d,\n{run}-new,1795158000,spring,\n\
             {run}-own,1795158000,6c9d,other\n{run}-unknown,1795158000,7,\n"
        )
    };
    let alone = place.file("alone.csv", lines("alone"));
    let (code, _, error) = with_catalog(&mut import_command(&alone, &data));
    assert_eq!(code, Some(0), "{error}");
    let daemon = Daemon::start_with(place.folder.path(), &[("CLICKLOG_CATALOG__PATH", catalog)]);
    let beside = place.file("beside.csv", lines("beside"));
    let there = [&data[..], &["--admin".to_owned(), daemon.operators.to_string()]].concat();
    let (code, _, error) = output(&mut import_command(&beside, &there));
    assert_eq!(code, Some(0), "{error}");
    daemon.stop();
    let mut export = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    let (_, said, error) =
        output(export.args(["export", "clicks", "--columns", "foreign_id,campaign,source"]).args(&data));
    let mut rows: Vec<&str> = said.lines().skip(1).collect();
    rows.sort_unstable();
    let expected = |run: &str| {
        ["new,spring,propeller", "old,spring,propeller", "own,spring,other", "unknown,7,"]
            .map(|row| format!("{run}-{row}"))
    };
    assert_eq!(rows, [expected("alone"), expected("beside")].concat(), "{error}");
}

#[test]
fn what_keeps_an_import_from_beginning_is_said() {
    let place = Place::new();
    let data = |data: &Path| ["--data".to_owned(), data.to_str().unwrap().to_owned()];
    let good = place.file("good.csv", "id,time\na,1795158000\n");
    let bad = place.file("bad.csv", "id,time\na,never\n");
    let mixed = place.file("mixed.csv", "id,time\nm,1795158000\na,never\n");
    let strange = place.file("strange.csv", "name,when\na,1795158000\n");
    let empty = place.folder.path().join("empty");
    let with = |more: &[&str]| {
        let more = more.iter().map(|text| (*text).to_owned());
        data(&place.data()).into_iter().chain(more).collect::<Vec<_>>()
    };
    for (file, arguments, code, part) in [
        (&bad, with(&[]), 1, "0 imported, 0 known already, 1 bad"),
        (&mixed, with(&["--strict"]), 1, "1 imported, 0 known already, 1 bad"),
        (&mixed, with(&[]), 0, "0 imported, 1 known already, 1 bad"),
        (&strange, with(&[]), 1, "--map id=COLUMN: there are name, when"),
        (&strange, with(&["--map", "id=name", "--map", "time=when", "--dry-run"]), 0, "1 could be imported"),
        (&good, data(&empty).to_vec(), 1, "there is no store in"),
        (&empty, with(&[]), 1, "cannot read"),
        (&good, with(&["--delimiter", "ab"]), 2, "one character"),
        (&good, with(&["--time-zone", "CET"]), 2, "not an offset"),
        (&good, with(&["--time-zone", "-05:30", "--delimiter", "tab"]), 1, "no column"),
    ] {
        let (found, said, error) = output(&mut import_command(file, &arguments));
        let said = said + &error;
        assert_eq!(found, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {part} in {said}");
    }
    assert!(!empty.exists());
}

/// What `export conversions` tells of each: transaction, verdict, time and what it adds.
fn decided(data: &str) -> Vec<String> {
    let columns = "transaction_id,verdict,time,entry";
    let mut export = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    let (code, said, error) =
        output(export.args(["export", "conversions", "--columns", columns, "--data", data]));
    assert_eq!(code, Some(0), "{error}");
    said.lines().skip(1).map(str::to_owned).collect()
}

fn import_conversions(file: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    settings(&mut command).args(["import", "conversions"]).arg(file).args(arguments);
    let (code, said, error) = output(&mut command);
    (code, said + &error)
}

#[test]
fn conversions_of_a_file_are_decided_on_as_postbacks_are_and_count_once() {
    let place = Place::new();
    let data = place.data().to_str().unwrap().to_owned();
    let clicks = place.file("clicks.csv", "id,time,campaign\nold1,2026-01-02T07:00:00Z,demo\n");
    assert_eq!(place.import(&given(&clicks)).unwrap().counts, counts(1, 0, 0));
    let file = place.file(
        "conversions.csv",
        "Click ID;Date;Order ID;Revenue;Status;Placement\n\
         old1;2026-01-03 08:00:00;T1;3,50;approved;a\n\
         old1;2026-01-03 09:00:00;T1;3,50;approved;b\n\
         old1;2026-01-03 10:00:00;T2;1.25;approved;\n\
         nobody;2026-01-03 11:00:00;T3;1;approved;\n\
         old1;2026-01-03 12:00:00;T4;much;approved;\n\
         ;2026-01-03 12:00:00;T5;1;approved;\n\
         old1;2126-01-03 12:00:00;T6;1;approved;\n",
    );
    let alone = ["--network", "demo-network", "--data", &data];
    let expected = [
        "T1,accepted,2026-01-03T08:00:00.000000Z,3.5",
        "T1,duplicate,2026-01-03T09:00:00.000000Z,0",
        "T2,accepted,2026-01-03T10:00:00.000000Z,1.25",
        "T3,unmatched,2026-01-03T11:00:00.000000Z,0",
    ];
    let (code, said) = import_conversions(&file, &alone);
    assert!(said.ends_with("3 imported, 1 known already, 3 bad\n"), "{said}");
    assert_eq!((code, decided(&data)), (Some(0), expected.map(str::to_owned).to_vec()), "{said}");
    let (_, said) = import_conversions(&file, &alone);
    assert!(said.ends_with("0 imported, 4 known already, 3 bad\n"), "{said}");

    // Beside a daemon too, and what is new is new.
    let daemon = Daemon::start(place.folder.path());
    let operators = daemon.operators.to_string();
    let beside = [&alone[..], &["--admin", &operators]].concat();
    let (_, said) = import_conversions(&file, &beside);
    assert!(said.ends_with("0 imported, 4 known already, 3 bad\n"), "{said}");
    let more = place.file(
        "more.csv",
        "click_id,time,txid,amount,status\nold1,2026-01-04T08:00:00Z,T7,2,approved\n\
         old1,2026-01-03T10:00:00Z,T2,1.25,reversed\n",
    );
    let (_, said) = import_conversions(&more, &beside);
    assert!(said.ends_with("2 imported, 0 known already, 0 bad\n"), "{said}");
    let (code, said) =
        import_conversions(&more, &["--network", "no-such", "--data", &data, "--admin", &operators]);
    assert!(code == Some(1) && said.contains("no network \"no-such\""), "{said}");
    daemon.stop();
    let (_, said) = import_conversions(&more, &alone);
    assert!(said.ends_with("0 imported, 2 known already, 0 bad\n"), "{said}");
    let all = decided(&data);
    assert_eq!(all.len(), 6);
    assert!(all.contains(&"T7,accepted,2026-01-04T08:00:00.000000Z,2".to_owned()), "{all:?}");
    assert!(all.contains(&"T2,updated,2026-01-03T10:00:00.000000Z,-1.25".to_owned()), "{all:?}");
}

/// With a segment for each hour, a year of them would make 8,760.
#[cfg(feature = "parquet")]
#[test]
fn conversions_of_hours_that_are_past_share_a_segment_and_are_published_under_their_days() {
    let place = Place::new();
    let data = place.data().to_str().unwrap().to_owned();
    let clicks = place.file("clicks.csv", "id,time,campaign\nold1,2026-01-02T07:00:00Z,demo\n");
    assert_eq!(place.import(&given(&clicks)).unwrap().counts, counts(1, 0, 0));
    // From 2026-01-03T00:30:00Z on, an hour apart.
    let times = (0..60_u32).map(|n| (n, Timestamp::from_seconds(1_767_400_200 + n * 3_600)));
    let lines: String = times.map(|(n, time)| format!("old1,{time},T{n},1,approved\n")).collect();
    let file = place.file("conversions.csv", format!("click_id,time,txid,amount,status\n{lines}"));
    let (_, said) = import_conversions(&file, &["--network", "demo-network", "--data", &data]);
    assert!(said.ends_with("60 imported, 0 known already, 0 bad\n"), "{said}");

    let reader = Reader::open(place.data());
    let segments = reader.files(Journal::Postbacks, 0).unwrap();
    assert!(segments.len() <= 2, "one, or two around a full hour: {segments:?}");
    let mut days = std::collections::BTreeMap::new();
    for file in segments {
        let folder = clicklog::compactor::folder::Folder::new(place.data());
        let published = clicklog::compactor::publish::publish::<clicklog::compactor::conversions::Conversions>(
            &folder,
            &reader,
            (0, file.segment),
            |_| ControlFlow::Continue(()),
        );
        for file in published.unwrap().files {
            *days.entry(file.day().unwrap().to_string()).or_default() += file.rows;
        }
    }
    let expected = [("2026-01-03", 24), ("2026-01-04", 24), ("2026-01-05", 12)];
    assert_eq!(days, expected.map(|(day, rows)| (day.to_owned(), rows)).into());
}

/// Such a network has nothing by which the books could tell a repeat; the import does.
#[test]
fn a_network_whose_every_postback_counts_counts_each_line_of_a_file_once() {
    let place = Place::new();
    let data = place.data().to_str().unwrap().to_owned();
    let clicks = place.file("clicks.csv", "id,time\nold1,2026-01-02T07:00:00Z\n");
    place.import(&given(&clicks)).unwrap();
    let catalog = place.file(
        "catalog.toml",
        "[[network]]\nid = \"each\"\ncurrency = \"USD\"\ndedupe = { mode = \"each\" }\n",
    );
    let file = place.file(
        "a.csv",
        "click_id,time,payout\nold1,2026-01-03T08:00:00Z,1\nold1,2026-01-03T09:00:00Z,1\n\
         old1,2026-01-03T09:00:00Z,1\n",
    );
    for (imported, known) in [(2, 1), (0, 3)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
        let command = settings(&mut command).env("CLICKLOG_CATALOG__PATH", &catalog);
        let command =
            command.args(["import", "conversions", "--network", "each", "--data", &data]).arg(&file);
        let (_, said, error) = output(command);
        let expected = format!("{imported} imported, {known} known already, 0 bad\n");
        assert!(said.ends_with(&expected), "{said}{error}");
    }
    assert_eq!(decided(&data).len(), 2);
}
