//! What is exported, imported and exported again is the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use clicklog::batch::export::What;
use clicklog::batch::import::{Counts, Importer, Options, run};
use clicklog::clock::Clock;
use clicklog::store::Store;

use crate::events::{roomy, store_clicks};
use crate::formats::hostile;
use crate::read_back::{CSV, csv_rows, exported, options};

/// What belongs to the store that a click lies in, and is another in each.
const OF_THE_STORE: [&str; 6] = ["click_id", "config_version", "origin_node", "lane", "segment", "ordinal"];
/// What an imported click has otherwise than the one that was recorded. The first click of a way through a lander is a
/// place in the other store, and so has no meaning here.
const OF_THE_KIND: [&str; 6] =
    ["kind", "foreign_id", "parent_node", "parent_lane", "parent_segment", "parent_ordinal"];

type Rows = Vec<BTreeMap<String, String>>;

/// Imports what `from` exports into a new store `to`, and gives what that exports.
fn carried(from: &Path, to: &Path) -> (Rows, Rows) {
    let csv = exported(from, &options(What::Clicks, CSV));
    let file = to.with_extension("csv");
    std::fs::write(&file, &csv).unwrap();
    let store = Store::open(roomy(to)).unwrap();
    let mut importer = Importer::new(&store, Clock::System).unwrap();
    let given = Options {
        file,
        renames: Vec::new(),
        skipped: Vec::new(),
        delimiter: None,
        offset: "Z".parse().unwrap(),
        currency: "EUR".parse().unwrap(),
        bad_file: None,
    };
    let report = run(&given, Some(to), &mut importer, &mut |_, _, _| {}).unwrap();
    importer.close();
    store.close().unwrap();
    let rows = csv_rows(&csv);
    let imported = u64::try_from(rows.len()).unwrap();
    assert_eq!(report.counts, Counts { imported, known: 0, bad: 0 }, "{:?}", report.shown);
    (rows, csv_rows(&exported(to, &options(What::Clicks, CSV))))
}

/// What a report over all times counts of clicks.
fn clicks_of_report(data: &Path) -> [u64; 3] {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    command.args([
        "report",
        "--by",
        "campaign",
        "--from",
        "1971-01-01",
        "--to",
        "2200-01-01",
        "--format",
        "json",
    ]);
    let output = command.arg("--data").arg(data).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    ["clicks", "net", "through"].map(|name| report["total"][name].as_u64().unwrap())
}

fn without(rows: &Rows, columns: &[&[&str]]) -> Rows {
    let mut rows = rows.clone();
    for row in &mut rows {
        row.retain(|name, _| !columns.concat().contains(&&**name));
    }
    rows
}

#[test]
fn clicks_that_are_exported_imported_and_exported_are_the_same() {
    let seed = 20_261_122;
    let root = tempfile::tempdir().unwrap();
    let [first, second, third] = ["a", "b", "c"].map(|name| root.path().join(name));
    let mut clicks = hostile(seed, 700);
    // A line of a file has its bound, and a click of one that is longer is told as bad.
    clicks.iter_mut().for_each(|made| made.external_id.truncate(made.external_id.len().min(20_000)));
    store_clicks(&first, &clicks);
    let (recorded, imported) = carried(&first, &second);
    assert_eq!(recorded.len(), 700);
    let kept = [&OF_THE_STORE[..], &OF_THE_KIND[..]];
    for (n, (before, after)) in without(&recorded, &kept).iter().zip(&without(&imported, &kept)).enumerate() {
        assert_eq!(before, after, "seed {seed}, row {n}");
    }
    for (before, after) in recorded.iter().zip(&imported) {
        // A way through a lander stays one: it is no click more than there was.
        let kind = if before["kind"] == "through" { "through" } else { "imported" };
        assert_eq!((&*after["kind"], &after["foreign_id"]), (kind, &before["click_id"]));
    }
    assert!(recorded.iter().any(|row| row["kind"] == "through"));
    let report = |data: &Path| clicks_of_report(data);
    assert_eq!(report(&first), report(&second), "seed {seed}");
    // From there on not even those differ: the id that networks know stays the first one.
    let (imported, again) = carried(&second, &third);
    assert_eq!(without(&imported, &[&OF_THE_STORE]), without(&again, &[&OF_THE_STORE]), "seed {seed}");
}
