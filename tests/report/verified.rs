//! A roll-up that does not say what its segments come to is named by `verify`, and is made again once it is gone.

use std::fs;
use std::path::Path;
use std::process::Command;

use clicklog::compactor::folder::Folder;
use clicklog::compactor::rollup::{Head, PARTS, Sums, Tally, encode};
use clicklog::compactor::verify::{Derived, verify};
use clicklog::store::reader::Reader;

use crate::events::{Chance, DAY, Written};
use crate::rollups::{files, merge, roll_up_all};

fn look(data: &Path) -> Derived {
    verify(&Reader::open(data), &Folder::new(data), &mut |_, _| {}).unwrap()
}

/// What is wrong with this one file.
fn wrong(data: &Path, file: &Path) -> String {
    let name = file.strip_prefix(data).unwrap().display().to_string();
    match &look(data).findings[..] {
        [found] if found.file == name => found.what.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// A store of three days, of which the first is merged.
fn rolled_up(data: &Path) {
    let mut written = Written::new(data);
    written.some(&mut Chance(9), 600, 3);
    written.close();
    roll_up_all(data);
    merge(data, DAY + 1);
}

#[test]
fn one_changed_byte_of_a_roll_up_is_named_and_once_deleted_it_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    rolled_up(data);
    let all = ["clicks", "postbacks", "days"].map(|of| files(data, of)).concat();
    assert_eq!((look(data).findings.len(), look(data).rollups), (0, all.len() as u64));
    let mut chance = Chance(4);
    for file in &all {
        let bytes = fs::read(file).unwrap();
        for _ in 0..8 {
            let mut changed = bytes.clone();
            changed[chance.below(bytes.len())] ^= 1 << chance.below(8);
            fs::write(file, changed).unwrap();
            let what = wrong(data, file);
            assert!(what.contains("delete it; it is made again"), "{what}");
        }
        fs::remove_file(file).unwrap();
        roll_up_all(data);
        merge(data, DAY + 1);
        assert_eq!(look(data).findings, [], "{}", file.display());
    }
}

#[test]
fn sums_that_are_not_those_of_the_segments_are_named_although_the_checksums_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    rolled_up(data);
    let mut more = Tally::default();
    let hour = (DAY * 24) + 3;
    more.add(hour, [""; PARTS], &Sums { cost: 1, ..Sums::default() });
    for (of, expected) in [("clicks", "those of its segment:"), ("days", "those of its segments:")] {
        let file = files(data, of).remove(0);
        let bytes = fs::read(&file).unwrap();
        let head = Head::decode(&bytes).unwrap();
        fs::write(&file, encode(head.store, &head.segments, &more)).unwrap();
        let what = wrong(data, &file);
        assert!(what.contains(expected), "{of}: {what}");
        fs::write(&file, bytes).unwrap();
    }
}

#[test]
fn what_was_dropped_cannot_be_compared_and_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    rolled_up(data);
    let mut written = Written::new(data);
    written.some(&mut Chance(10), 50, 3);
    written.close();
    let reader = Reader::open(data);
    let store = clicklog::store::Store::open(crate::support::options(data)).unwrap();
    let rewriter = store.rewriter();
    let footers: Vec<_> = rewriter.sealed().iter().map(|footer| footer.identity).collect();
    let first = footers.iter().find(|identity| identity.journal == clicklog::store::Journal::Clicks).unwrap();
    let gone = rewriter.drop_segments(first.journal, first.lane, &[first.segment]).unwrap();
    assert_eq!(gone.len(), 1, "of {} segments", footers.len());
    drop(rewriter);
    store.close().unwrap();
    drop(reader);
    assert_eq!(look(data).findings, []);
}

#[test]
fn the_command_counts_what_it_looked_at_and_ends_with_1_for_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    rolled_up(data);
    let run = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
        let done = command.args(["verify", "--format", format, "--data"]).arg(data).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let count = look(data).rollups;
    let (code, text) = run("text");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("{count} roll-ups, 0 published files")), "{text}");
    let file = files(data, "days").remove(0);
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let (code, text) = run("json");
    assert_eq!(code, Some(1), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["rollups"], &json["findings"][0]["severity"]), (&count.into(), &"damage".into()));
    assert!(json["findings"][0]["file"].as_str().unwrap().starts_with("rollups/days/"), "{text}");
}
