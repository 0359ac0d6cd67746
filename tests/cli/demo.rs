//! `clicklog demo`, and whether what it tells is so.

use std::path::Path;

use serde_json::Value;

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
