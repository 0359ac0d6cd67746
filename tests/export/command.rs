//! The command, as somebody runs it.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::events::{Chance, EVENING, MadeClick, store_clicks};
use crate::files::below;
use crate::read_back::csv_rows;

fn stored(data: &Path, count: i64) {
    let mut chance = Chance(31);
    let clicks: Vec<_> = (0..count).map(|n| MadeClick::random(&mut chance, EVENING + n)).collect();
    store_clicks(data, &clicks);
}

fn export(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    command.args(["export", "clicks", "--data"]).arg(data);
    command
}

#[test]
fn standard_output_gets_csv_and_a_reader_that_has_enough_is_no_failure() {
    let root = tempfile::tempdir().unwrap();
    stored(root.path(), 30_000);
    let whole = export(root.path()).output().unwrap();
    assert!(whole.status.success());
    assert_eq!(csv_rows(&whole.stdout).len(), 30_000);
    for format in ["csv", "ndjson", "parquet"] {
        let mut child = export(root.path())
            .args(["--format", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut front = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut front).unwrap();
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && said.is_empty(), "{format}: {said}");
    }
}

#[test]
fn an_export_that_lacks_a_segment_is_a_failure() {
    let root = tempfile::tempdir().unwrap();
    stored(root.path(), 30_000);
    let segments: Vec<_> = below(&root.path().join("clicks"))
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension != "idx"))
        .collect();
    fs::remove_file(&segments[0]).unwrap();
    let ended = export(root.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be read: segments "), "{said}");
}

#[test]
fn a_full_disk_is_told_with_the_file_and_leaves_none_of_that_name() {
    let root = tempfile::tempdir().unwrap();
    stored(root.path(), 3_000);
    let ended = export(root.path()).args(["--out", "/dev/full", "--format", "csv"]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1));
    assert!(said.contains("cannot write /dev/full: No space left on device"), "{said}");
    // The limit stands for the disk: a file may have 64 KiB.
    for name in ["x.csv", "x.ndjson", "x.parquet", "folder/"] {
        let out = root.path().join("out");
        fs::create_dir_all(&out).unwrap();
        let ended = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_clicklog")])
            .args(["export", "clicks", "--data"])
            .arg(root.path())
            .arg("--out")
            .arg(out.join(name))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("cannot write") && said.contains("File too large"), "{name}: {said}");
        let left: Vec<_> = below(&out);
        assert!(left.iter().all(|path| path.starts_with(out.join("folder.export"))), "{name}: {left:?}");
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn the_name_of_the_file_says_the_format_and_a_report_says_what_came_of_it() {
    let root = tempfile::tempdir().unwrap();
    stored(root.path(), 100);
    for (name, front) in
        [("a.csv", "time,"), ("a.ndjson", "{\"time\":"), ("a.parquet", "PAR1"), ("a", "PAR1")]
    {
        let path = root.path().join(name);
        let ended = export(root.path()).arg("--out").arg(&path).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ended.stdout), "100 rows in 1 files\n", "{name}");
        assert!(fs::read(&path).unwrap().starts_with(front.as_bytes()), "{name}");
    }
    let ended = export(root.path()).args(["--where", "campaign", "--columns", "time"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let ended = export(root.path()).args(["--columns", "tiem"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let ended = export(&root.path().join("nowhere")).output().unwrap();
    assert!(String::from_utf8_lossy(&ended.stderr).contains("there is no store in"));
}
