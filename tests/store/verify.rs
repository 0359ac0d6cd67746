//! `verify` finds what is damaged, and nothing else; the commands say so and exit accordingly.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{options, record};
use clicklog::store::Store;
use clicklog::store::directory::Directory;
use clicklog::store::verify::{Severity, Verified, verify};

/// A cleanly closed store of 2,000 clicks, and the file of its first segment.
fn filled(data: &Path) -> PathBuf {
    let store = Store::open(options(data)).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    (0..2_000).for_each(|n| {
        record(&mut writer, n);
    });
    writer.close();
    store.close().unwrap();
    data.join("clicks/lane-00/0000000-0.seg")
}

fn walk(data: &Path) -> Verified {
    verify(&Directory::new(data), &mut |_, _| {}).unwrap()
}

fn flip(path: &Path, at: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn a_healthy_store_is_sound_also_while_it_is_written() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path());
    let closed = walk(root.path());
    assert_eq!((closed.records, closed.findings.as_slice()), (2_000, [].as_slice()));

    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    record(&mut writer, 0);
    let open = walk(root.path());
    assert!(open.is_sound(), "{open}");
    assert_eq!(open.records, 2_001);
    assert!(open.open_segments > 0);
}

#[test]
fn each_kind_of_damage_is_named_and_a_lost_index_is_only_a_note() {
    let root = tempfile::tempdir().unwrap();
    let segment = filled(root.path());
    std::fs::remove_file(segment.with_extension("idx")).unwrap();
    let noted = walk(root.path());
    assert!(noted.is_sound());
    assert_eq!(noted.findings.len(), 1, "{noted}");
    assert_eq!(noted.findings[0].severity, Severity::Note);

    flip(&segment, 5_000);
    let damaged = walk(root.path());
    assert!(!damaged.is_sound());
    assert!(damaged.findings.iter().any(|found| found.what.contains("no valid record")), "{damaged}");
    assert!(damaged.findings.iter().any(|found| found.what.contains("whole body")), "{damaged}");

    std::fs::remove_file(&segment).unwrap();
    let gone = walk(root.path());
    assert!(gone.findings.iter().any(|found| found.what == "the file is gone"), "{gone}");
}

fn clicklog(arguments: &[&str], data: &Path) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_clicklog"))
        .args(arguments)
        .arg("--data")
        .arg(data)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

#[test]
fn the_commands_speak_to_people_and_programs() {
    let root = tempfile::tempdir().unwrap();
    let segment = filled(root.path());
    let (code, text, _) = clicklog(&["verify"], root.path());
    assert_eq!(code, 0);
    assert!(text.starts_with("2000 records"), "{text}");
    assert!(text.ends_with("sound\n"));

    let (_, text, _) = clicklog(&["inspect", "--limit", "2", "--kind", "clicks"], root.path());
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains(r#"external_id="external-1""#), "{text}");

    flip(&segment, 5_000);
    let (code, text, _) = clicklog(&["verify", "--format", "json"], root.path());
    assert_eq!(code, 1);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["findings"][0]["severity"], "damage");

    let (code, _, error) = clicklog(&["verify"], &root.path().join("nowhere"));
    assert_eq!(code, 1);
    assert!(error.contains("there is no store in"), "{error}");
    let usage = Command::new(env!("CARGO_BIN_EXE_clicklog")).arg("bogus").output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
