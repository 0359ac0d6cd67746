//! However publishing is stopped, readers see whole files, and the next time does the rest.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clicklog::clock::Timestamp;
use clicklog::compactor::clicks::Clicks;
use clicklog::compactor::conversions::Conversions;
use clicklog::compactor::folder::Folder;
use clicklog::compactor::publish::{Publication, Step, publish};
use clicklog::compactor::{Error, Result};
use clicklog::event::codec::Encoder;
use clicklog::event::decision::Decision;
use clicklog::store::reader::Reader;
use clicklog::store::{Journal, Store};

use crate::events::{Chance, MIDNIGHT, MadeClick, roomy, store_clicks};
use crate::files::{below, rows};
use crate::support::append;

/// Clicks of two days, every third of the second.
fn around_midnight(data: &Path) -> u8 {
    let mut chance = Chance(11);
    let time = |n: i64| if n % 3 == 0 { MIDNIGHT + n } else { MIDNIGHT - 1_000 + n };
    let clicks: Vec<_> = (0..600).map(|n| MadeClick::random(&mut chance, time(n))).collect();
    store_clicks(data, &clicks).0
}

/// Publishes up to step `stop`, counted from 0.
fn publish_until(data: &Path, lane: u8, stop: usize) -> (Result<Publication>, Vec<Step>) {
    let mut steps = Vec::new();
    let published = publish::<Clicks>(&Folder::new(data), &Reader::open(data), (lane, 0), |step| {
        if matches!(step, Step::Read { .. }) {
            return ControlFlow::Continue(());
        }
        steps.push(step);
        if steps.len() > stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    (published, steps)
}

/// Names, inodes and bytes of all that readers and writers of manifests see.
fn seen(data: &Path) -> BTreeSet<(PathBuf, u64, Vec<u8>)> {
    let files = ["export", "export-meta"].into_iter().flat_map(|folder| below(&data.join(folder)));
    files.map(|file| (file.clone(), file.metadata().unwrap().ino(), std::fs::read(&file).unwrap())).collect()
}

#[test]
fn a_segment_of_two_days_gives_two_files_whose_names_say_when_and_whence() {
    let root = tempfile::tempdir().unwrap();
    let lane = around_midnight(root.path());
    let (published, steps) = publish_until(root.path(), lane, usize::MAX);
    let names: Vec<_> = published.unwrap().files.into_iter().map(|file| (file.path, file.rows)).collect();
    let expected = [
        ("clicks/v1/dt=2026-11-20/clicks-20261120T235959Z-n0-l01-s0000000-g0.parquet".into(), 400),
        ("clicks/v1/dt=2026-11-21/clicks-20261121T000000Z-n0-l01-s0000000-g0.parquet".into(), 200),
    ];
    assert_eq!(names, expected);
    use Step::{Moved, Named, Recorded, Staged};
    assert_eq!(steps, [Staged, Staged, Moved, Named, Moved, Named, Recorded]);
}

#[test]
fn publishing_again_gives_the_same_names_and_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let lane = around_midnight(root.path());
    let first = publish_until(root.path(), lane, usize::MAX).0.unwrap();
    let before = seen(root.path());
    assert_eq!(before.len(), 3);
    let (second, steps) = publish_until(root.path(), lane, usize::MAX);
    assert_eq!((second.unwrap(), steps), (first, vec![]));
    assert!(seen(root.path()) == before);
    assert_eq!(below(&Folder::new(root.path()).staging()), [""; 0].map(PathBuf::from));
}

#[test]
fn whatever_step_it_stops_at_readers_see_whole_files_and_the_next_time_does_the_rest() {
    let whole = tempfile::tempdir().unwrap();
    let lane = around_midnight(whole.path());
    let steps = publish_until(whole.path(), lane, usize::MAX).1.len();
    // The same store, because each has keys of its own.
    let copy = |to: &Path| {
        for file in below(whole.path()) {
            let relative = file.strip_prefix(whole.path()).unwrap();
            if !relative.starts_with("export") && !relative.starts_with("export-meta") {
                let target = to.join(relative);
                std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                std::fs::copy(&file, target).unwrap();
            }
        }
    };
    let bytes = |root: &Path| -> Vec<_> {
        seen(root)
            .into_iter()
            .map(|(path, _, bytes)| (path.strip_prefix(root).unwrap().to_owned(), bytes))
            .collect()
    };
    for stop in 0..steps {
        let root = tempfile::tempdir().unwrap();
        copy(root.path());
        let (published, _) = publish_until(root.path(), lane, stop);
        assert!(matches!(published, Err(Error::Stopped)), "at step {stop}");
        for file in below(&root.path().join("export")) {
            let count = rows(&file).len();
            assert!(count == 400 || count == 200, "step {stop}: {} has {count} rows", file.display());
        }
        publish_until(root.path(), lane, usize::MAX).0.unwrap();
        assert!(bytes(root.path()) == bytes(whole.path()), "after step {stop}");
    }
}

#[test]
fn a_file_that_was_removed_is_published_again() {
    let root = tempfile::tempdir().unwrap();
    let lane = around_midnight(root.path());
    let first = publish_until(root.path(), lane, usize::MAX).0.unwrap();
    std::fs::remove_file(Folder::new(root.path()).export().join(&first.files[1].path)).unwrap();
    assert_eq!(publish_until(root.path(), lane, usize::MAX).0.unwrap(), first);
    assert_eq!(below(&root.path().join("export")).len(), 2);
}

#[test]
fn a_segment_that_is_still_written_is_not_published() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(roomy(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    append(|| writer.append(&MadeClick::random(&mut Chance(1), MIDNIGHT).view()));
    let published = publish_until(root.path(), 0, usize::MAX).0;
    assert!(matches!(published, Err(Error::NotSealed { segment: 0, .. })));
    writer.close();
    store.close().unwrap();
    assert_eq!(publish_until(root.path(), 0, usize::MAX).0.unwrap().files.len(), 1);
}

#[test]
fn nothing_is_published_of_a_segment_with_a_record_of_a_newer_build() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(roomy(root.path())).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let mut encoder = Encoder::default();
    let decision = Decision { time: Timestamp::from_micros(MIDNIGHT), ..Decision::default() };
    append(|| journal.append(&encoder.decision(&decision).unwrap()));
    let mut newer = encoder.decision(&decision).unwrap();
    newer.schema = 99;
    append(|| journal.append(&newer));
    journal.close();
    store.close().unwrap();
    let folder = Folder::new(root.path());
    let published =
        publish::<Conversions>(&folder, &Reader::open(root.path()), (0, 0), |_| ControlFlow::Continue(()));
    assert!(matches!(published, Err(Error::Record { .. })));
    assert_eq!(below(&folder.export()), [""; 0].map(PathBuf::from));
}
