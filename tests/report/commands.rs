//! The commands themselves: what they print, and how they end.

use std::path::Path;
use std::process::{Command, Output};

use crate::events::{Chance, Written};

fn run(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    command.args(arguments).arg("--data").arg(data).output().unwrap()
}

fn store() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut written = Written::new(folder.path());
    written.some(&mut Chance(3), 400, 2);
    written.close();
    folder
}

const PERIOD: [&str; 4] = ["--from", "2026-11-20", "--to", "2026-11-21"];

#[test]
fn a_report_is_printed_in_each_format() {
    let folder = store();
    let report = |more: &[&str]| {
        let done = run(folder.path(), &[&["report"], &PERIOD[..], more].concat());
        assert!(done.status.success(), "{more:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let table = report(&["--by", "campaign,sub1", "--limit", "2", "--sort", "revenue_usd"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].contains("2026-11-20 until 2026-11-22, UTC"), "{table}");
    assert!(lines[1].starts_with("CAMPAIGN") && lines[1].contains("REVENUE USD"), "{table}");
    assert!(lines[4].starts_with("TOTAL") && lines[5].ends_with("more rows are in the total"), "{table}");
    let json: serde_json::Value =
        serde_json::from_str(&report(&["--format", "json", "--by", "day"])).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), 2);
    let csv = report(&["--format", "csv", "--by", "campaign", "--campaign", "=2+2", "--spreadsheet-safe"]);
    assert_eq!(csv.lines().nth(1).unwrap().split(',').next(), Some("'=2+2"));
    assert!(report(&["--format", "html", "--time-zone", "-05:00"]).starts_with("<!doctype html>"));
    let where_sub = report(&["--format", "csv", "--by", "sub1", "--where", "sub1=b", "--currency", "EUR"]);
    assert!(where_sub.lines().count() == 2 && !where_sub.contains("revenue_usd"), "{where_sub}");
    assert!(folder.path().join("rollups/clicks").is_dir(), "roll-ups are left behind");
}

/// Commands that take a time, with what else they need.
const TIMED: [&[&str]; 7] = [
    &["report", "--by", "day"],
    &["export", "clicks", "--columns", "time"],
    &["lookup", "spring"],
    &["reconcile", "network.csv", "--network", "revboost"],
    &["held", "list"],
    &["deliveries", "list"],
    &["replay", "--network", "revboost", "--dry-run"],
];

#[test]
fn every_command_reads_a_time_by_the_same_rule() {
    let folder = store();
    for command in TIMED {
        for (from, to, refused) in [
            ("2026-11-20", "2026-11-21", ""),
            ("2026-11-20T07:00:00Z", "2026-11-20T09:00:00+02:00", "before it begins"),
            ("2026-11-20T07:00:00+02:00", "2026-11-20", ""),
            ("2026-11-21", "2026-11-20", "before it begins"),
            (
                "2026-11-20T07:00:00",
                "2026-11-20",
                "it has no offset from UTC: add Z or +00:00; give a moment",
            ),
            ("20.11.2026", "2026-11-20", "or a day, as 2026-11-20"),
            (
                "2026-11-20",
                "2026-11-31",
                "there is no such date or time; give a moment, as 2026-11-20T07:00:00Z",
            ),
        ] {
            let done = run(folder.path(), &[command, &["--from", from, "--to", to]].concat());
            let text = String::from_utf8_lossy(&done.stderr);
            let is_understood = !["before it begins", "give a moment"].iter().any(|part| text.contains(part));
            assert_eq!(is_understood, refused.is_empty(), "{command:?} {from} {to}: {text}");
            assert!(text.contains(refused), "{command:?} {from} {to}: {text}");
        }
    }
}

#[test]
fn of_days_that_follow_one_another_each_row_is_in_one() {
    let folder = store();
    let rows = |from: &str, to: &str| {
        let arguments = ["export", "clicks", "--columns", "time", "--from", from, "--to", to];
        String::from_utf8(run(folder.path(), &arguments).stdout).unwrap().lines().skip(1).count()
    };
    let (first, second) = (rows("2026-11-20", "2026-11-20"), rows("2026-11-21", "2026-11-21"));
    assert!(first > 0 && second > 0);
    assert_eq!(rows("2026-11-20", "2026-11-21"), first + second);
    assert_eq!(rows("2026-11-20T00:00:00Z", "2026-11-21T02:00:00+02:00"), first);
    let table = run(
        folder.path(),
        &["report", "--time-zone", "-05:00", "--from", "2026-11-20", "--to", "2026-11-20"],
    );
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("2026-11-20 until 2026-11-21, UTC-05:00"), "{table}");
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let folder = store();
    for (arguments, code, said) in [
        (&["report", "--by", "colour"][..], 2, "no dimension"),
        (&["report", "--where", "sub1"], 2, "DIMENSION=VALUE"),
        (&["report", "--from", "yesterday"], 2, "or a day, as 2026-11-20"),
        (&["report", "--from", "2026-11-21", "--to", "2026-11-20T07:00:00Z"], 2, "before it begins"),
        (&["report", "--sort", "colour"], 1, "no column \"colour\""),
        (&["reconcile", "nowhere.csv", "--network", "revboost"], 1, "cannot open nowhere.csv"),
        (&["reconcile", "x.csv", "--network", "revboost", "--status", "3=good"], 2, "approved, pending or"),
        (&["reconcile", "x.csv", "--network", "revboost", "--tolerance", "1y"], 2, "a number and a unit"),
    ] {
        let done = run(folder.path(), arguments);
        let text = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
    let nowhere = run(&folder.path().join("nowhere"), &["report"]);
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("there is no store"));
}

#[test]
fn a_reconciliation_ends_by_its_threshold() {
    let folder = store();
    let file = folder.path().join("network.csv");
    std::fs::write(&file, "txid;payout;status;date\nx1;1,50;approved;2026-11-20\n").unwrap();
    let file = file.to_str().unwrap();
    let with =
        |more: &[&str]| run(folder.path(), &[&["reconcile", file, "--network", "revboost"], more].concat());
    let beyond = with(&[]);
    let text = String::from_utf8(beyond.stdout).unwrap();
    assert_eq!(beyond.status.code(), Some(1), "{text}");
    assert!(
        text.contains("1 missing here") && text.contains("discrepancy 100.00 %, threshold 3.00 %"),
        "{text}"
    );
    assert!(with(&["--threshold", "100%"]).status.success());
    let json: serde_json::Value =
        serde_json::from_slice(&with(&["--format", "json", "--all"]).stdout).unwrap();
    assert_eq!(json["counts"]["missing"], 1);
    let csv = String::from_utf8(with(&["--format", "csv"]).stdout).unwrap();
    assert!(csv.lines().nth(1).unwrap().starts_with("missing,2,x1,"), "{csv}");
    assert_eq!(clicklog::batch::reconcile::state::read(folder.path()).len(), 1);
}

/// A pipe that nobody reads is no failure, and another broken one is.
#[test]
fn a_failure_is_one_whatever_words_are_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let done = run(&folder.path().join("Broken pipe"), &["report"]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("there is no store"), "{said}");
}
