//! What is published is as it is written down, or `verify` names it; what is on its way is not taken for damage.

use std::path::{Path, PathBuf};

use clicklog::compactor::folder::Folder;
use clicklog::compactor::verify::{Derived, verify};
use clicklog::store::reader::Reader;
use clicklog::store::verify::Severity;

use crate::days::{MORNING, evening, round};
use crate::events::{EVENING, store_decisions, store_outcomes};
use crate::files::below;
use crate::rounds::{clicks, copy, list, rewrite, round_at, store_in_lane};

fn look(data: &Path) -> Derived {
    verify(&Reader::open(data), &Folder::new(data), &mut |_, _| {}).unwrap()
}

/// Each file that something is wrong with, and what.
fn wrong(data: &Path) -> Vec<(String, String)> {
    let findings = look(data).findings.into_iter();
    findings
        .map(|found| {
            assert_eq!(found.severity, Severity::Damage);
            (found.file, found.what)
        })
        .collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Two days of clicks, of which the first is merged, with decisions and deliveries.
fn published(data: &Path) {
    store_in_lane(data, 0, &clicks(40, 1, EVENING));
    store_in_lane(data, 1, &clicks(40, 2, MORNING));
    store_decisions(data, 3, 100);
    store_outcomes(data, 60);
    round(data, usize::MAX).0.unwrap();
}

#[test]
fn of_each_published_file_a_changed_byte_a_cut_and_its_absence_are_named() {
    let root = tempfile::tempdir().unwrap();
    published(root.path());
    let whole = look(root.path());
    let files = below(&root.path().join("export"));
    assert_eq!((whole.findings.len(), whole.published_files), (0, files.len() as u64));
    assert!(list(&evening(root.path())).iter().any(|name| name.contains("-day-r1-")) && files.len() > 3);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let name = file.strip_prefix(root.path()).unwrap().display().to_string();
        let is_told = |expected: &str| match &wrong(root.path())[..] {
            [(path, what)] => assert!(*path == name && what.contains(expected), "{name}: {path}: {what}"),
            other => panic!("{name}: {other:?}"),
        };
        flip(&file, bytes.len() / 2);
        is_told("its checksum is not that of what was published: delete it and start the daemon again");
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        is_told(&format!("it has {} bytes, and {} were published", bytes.len() - 1, bytes.len()));
        std::fs::remove_file(&file).unwrap();
        is_told("the published file is gone: start the daemon again");
        // What is told to be done, is of use.
        round(root.path(), usize::MAX).0.unwrap();
        assert_eq!(wrong(root.path()), [], "{name}");
        let again = std::fs::read(&file);
        assert!(again.is_err() || again.unwrap() == bytes, "{name}");
    }
}

#[test]
fn what_is_written_down_and_cannot_be_read_is_named() {
    let root = tempfile::tempdir().unwrap();
    published(root.path());
    let of_files = |path: &PathBuf| !path.ends_with("schema.json");
    for record in below(&root.path().join("export-meta")).into_iter().filter(of_files) {
        let bytes = std::fs::read(&record).unwrap();
        flip(&record, 0);
        let name = record.strip_prefix(root.path()).unwrap().display().to_string();
        match &wrong(root.path())[..] {
            [(path, what)] => assert!(*path == name && what.starts_with("it cannot be read"), "{what}"),
            other => panic!("{name}: {other:?}"),
        }
        std::fs::write(&record, bytes).unwrap();
    }
    assert_eq!(wrong(root.path()), []);
}

#[test]
fn wherever_publishing_stops_nothing_is_taken_for_damage() {
    let root = tempfile::tempdir().unwrap();
    let original = root.path().join("original");
    store_in_lane(&original, 0, &clicks(30, 1, EVENING));
    store_in_lane(&original, 1, &clicks(10, 2, EVENING));
    round_at(EVENING, &original, usize::MAX).0.unwrap();
    // A rewritten segment, and then a day that is merged.
    rewrite(&original, (0, 0), &clicks(20, 1, EVENING));
    for steps in 0.. {
        let data = root.path().join(format!("after-{steps}"));
        copy(&original, &data);
        let is_done = round(&data, steps).0.is_ok();
        assert_eq!(wrong(&data), [], "after {steps} steps");
        if is_done {
            assert!(steps > 5, "{steps} steps");
            return;
        }
    }
}
