//! Exports into a folder: begun, stopped, gone on with; and beside somebody who writes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clicklog::batch::export::{ExportError, Options, Shape, Target, What};
use clicklog::store::Store;

use crate::events::{Chance, EVENING, MIDNIGHT, MadeClick, roomy};
use crate::files::below;
use crate::read_back::{CSV, csv_rows, export_to, options};
use crate::support::{self, append, record};

fn click_ids(out: &Path) -> Vec<String> {
    let files = below(out);
    let rows = files.iter().flat_map(|file| csv_rows(&fs::read(file).unwrap()));
    rows.map(|row| row["click_id"].clone()).collect()
}

/// Names and inodes.
fn seen(out: &Path) -> BTreeSet<(PathBuf, u64)> {
    below(out).into_iter().map(|file| (file.clone(), file.metadata().unwrap().ino())).collect()
}

#[test]
fn run_again_it_adds_what_is_new_and_leaves_the_rest() {
    let root = tempfile::tempdir().unwrap();
    let (data, out) = (root.path().join("data"), root.path().join("out"));
    let target = || Target::Folder(out.clone());
    let csv = options(What::Clicks, CSV);
    let mut chance = Chance(21);
    let mut expected = BTreeSet::new();
    let store = Store::open(roomy(&data)).unwrap();
    let mut writer = store.import_writer().unwrap();
    let mut add = |writer: &mut clicklog::store::clicks::ClickWriter, times: std::ops::Range<i64>| {
        for n in times {
            let click = MadeClick::random(&mut chance, MIDNIGHT + n);
            let recorded = append(|| writer.append(&click.view()));
            expected.insert(recorded.click_id.to_text().as_str().to_owned());
        }
        expected.clone()
    };
    let check = |expected: &BTreeSet<String>| {
        let found = click_ids(&out);
        assert_eq!(found.len(), expected.len());
        assert_eq!(&found.into_iter().collect::<BTreeSet<_>>(), expected);
    };

    // Of two days, and not sealed.
    let all = add(&mut writer, -200..300);
    let report = export_to(&data, &csv, target()).unwrap();
    assert_eq!((report.rows, report.files, report.known_segments), (500, 2, 0));
    check(&all);
    // More, of which some are older than all before: another name for the first day.
    let all = add(&mut writer, -300..-250);
    assert_eq!(export_to(&data, &csv, target()).unwrap().rows, 550);
    check(&all);
    // Now it is sealed, and another begins.
    writer.close();
    store.close().unwrap();
    let store = Store::open(roomy(&data)).unwrap();
    let mut writer = store.import_writer().unwrap();
    let all = add(&mut writer, 300..310);
    export_to(&data, &csv, target()).unwrap();
    check(&all);
    writer.close();
    store.close().unwrap();
    export_to(&data, &csv, target()).unwrap();
    check(&all);
    let before = seen(&out);
    let report = export_to(&data, &csv, target()).unwrap();
    assert_eq!((report.rows, report.files, report.known_segments), (0, 0, 2));
    assert_eq!(seen(&out), before);
    // A file that was lost is made again.
    let lost = below(&out).remove(0);
    fs::remove_file(&lost).unwrap();
    assert_eq!(export_to(&data, &csv, target()).unwrap().known_segments, 1);
    check(&all);
    let json = options(What::Clicks, Shape::Ndjson);
    let refused = export_to(&data, &json, target()).unwrap_err();
    assert!(matches!(refused, ExportError::OtherExport { .. }), "{refused}");
}

/// As if the process had been killed: what it had written down is there, and files are missing, or not yet away.
#[test]
fn an_interrupted_run_is_gone_on_with() {
    let root = tempfile::tempdir().unwrap();
    let (data, out) = (root.path().join("data"), root.path().join("out"));
    let mut chance = Chance(22);
    let clicks: Vec<_> = (0..100).map(|n| MadeClick::random(&mut chance, EVENING + n)).collect();
    let (_, ids) = crate::events::store_clicks(&data, &clicks);
    let csv = options(What::Clicks, CSV);
    export_to(&data, &csv, Target::Folder(out.clone())).unwrap();
    let file = below(&out).remove(0);
    let record = root.path().join("out.export/l01-s0000000.json");
    let done = fs::read_to_string(&record).unwrap();
    let old = "dt=2026-11-20/an-older-name.csv";
    for step in ["recorded", "renamed"] {
        let begun = done
            .replace("\"is_done\": true", "\"is_done\": false")
            .replace("\"obsolete\": []", &format!("\"obsolete\": [\"{old}\"]"));
        assert_ne!(begun, done);
        fs::write(&record, begun).unwrap();
        fs::write(out.join(old), "time\r\n").unwrap();
        if step == "recorded" {
            fs::remove_file(&file).unwrap();
        }
        export_to(&data, &csv, Target::Folder(out.clone())).unwrap();
        assert_eq!(below(&out), std::slice::from_ref(&file), "{step}");
        assert_eq!(click_ids(&out), ids, "{step}");
        assert_eq!(fs::read_to_string(&record).unwrap(), done, "{step}");
    }
}

#[test]
fn two_at_once_do_not_write_to_one_folder() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    fs::create_dir_all(root.path().join("out.export")).unwrap();
    let lock = fs::File::create(root.path().join("out.export/lock")).unwrap();
    lock.lock().unwrap();
    let csv = options(What::Clicks, CSV);
    let refused = export_to(root.path(), &csv, Target::Folder(out)).unwrap_err();
    assert!(matches!(refused, ExportError::Busy { .. }), "{refused}");
}

#[test]
fn two_at_once_do_not_write_into_one_file() {
    let root = tempfile::tempdir().unwrap();
    let (out, aside) = (root.path().join("x.csv"), root.path().join("x.csv.partial"));
    fs::write(&aside, "of another export").unwrap();
    let other = fs::File::open(&aside).unwrap();
    other.lock().unwrap();
    let csv = options(What::Clicks, CSV);
    let refused = export_to(root.path(), &csv, Target::File(out.clone())).unwrap_err();
    assert!(matches!(refused, ExportError::Busy { .. }), "{refused}");
    assert_eq!(fs::read_to_string(&aside).unwrap(), "of another export");
    // One that was killed has left its part behind.
    drop(other);
    export_to(root.path(), &csv, Target::File(out.clone())).unwrap();
    assert!(fs::read_to_string(&out).unwrap().starts_with("time,") && !aside.exists());
}

#[test]
fn beside_a_writer_only_whole_records_are_exported_and_all_that_were_there() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let store = Store::open(support::options(&data)).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let (is_over, written) = (AtomicBool::new(false), std::sync::atomic::AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..20_000 {
                record(&mut writer, n);
                written.store(n + 1, Ordering::Release);
                if is_over.load(Ordering::Acquire) {
                    break;
                }
            }
            writer.close();
        });
        let columns = ["segment", "ordinal", "external_id"].map(str::to_owned).to_vec();
        let csv = Options { columns, ..options(What::Clicks, CSV) };
        for round in 0..12 {
            let before = written.load(Ordering::Acquire);
            let path = root.path().join("x.csv");
            export_to(&data, &csv, Target::File(path.clone())).unwrap();
            let after = written.load(Ordering::Acquire);
            let mut found: Vec<u32> = csv_rows(&fs::read(&path).unwrap())
                .iter()
                .map(|row| row["external_id"].strip_prefix("external-").unwrap().parse().unwrap())
                .collect();
            found.sort_unstable();
            let count = u32::try_from(found.len()).unwrap();
            assert!(found.iter().copied().eq(0..count), "round {round}: each once, and none left out");
            assert!((before..=after + 1).contains(&count), "round {round}: {before}, {count}, {after}");
        }
        is_over.store(true, Ordering::Release);
    });
    store.close().unwrap();
}
