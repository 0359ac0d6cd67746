//! What the daemon publishes while it works: all of it, once, whatever happens to the process.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use clicklog::compactor::rollup::Rollups;
use clicklog::event::click_id::ClickId;
use clicklog::store::Journal;
use clicklog::store::reader::{Cursor, Reader};
use rustix::process::Signal;

use crate::ballast::Ballast;
use crate::disk::{Disk, skipped};
use crate::files::{Cell, below, rows};
use crate::lifecycle::{click_until, wait_for};
use crate::malice::Random;
use crate::process::{Process, ask_whole, connect};
use crate::told::wait_until;

/// How many clicks the journals have.
fn recorded(data: &Path) -> usize {
    let (reader, mut count) = (Reader::open(data), 0);
    for lane in reader.lanes(Journal::Clicks).unwrap() {
        let read = reader.read(Journal::Clicks, lane, Cursor::default(), |_, _| {
            count += 1;
            ControlFlow::Continue(())
        });
        read.unwrap();
    }
    count
}

/// How often each click is in the files that readers see, by its id.
fn published(data: &Path) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    for row in below(&data.join("export/clicks")).iter().flat_map(|file| rows(file)) {
        let Some(Cell::Text(id)) = row.get("click_id") else { panic!("a click without an id: {row:?}") };
        *found.entry(id.clone()).or_insert(0) += 1;
    }
    found
}

/// The sum of a metric over its tables, as operators are told.
fn metric(process: &Process, name: &str) -> u64 {
    let mut stream = connect(process.operators);
    let page = ask_whole(&mut stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap().1;
    let samples = page.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    samples.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

#[test]
fn killed_while_it_publishes_beside_load_every_click_is_published_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("clicklog-data");
    let seed = u64::from(std::process::id());
    let (mut random, mut ids): (_, Vec<ClickId>) = (Random(seed), Vec::new());
    for _ in 0..5 {
        let process = Process::start(folder.path(), &[]);
        let answered = click_until(&process, |answered| {
            wait_for(answered, 2_000 + random.below(6_000));
            process.signal(Signal::KILL);
        });
        ids.extend(answered);
        process.end();
    }
    // The next start seals what the killed ones have left open, and publishes it.
    let process = Process::start(folder.path(), &[]);
    wait_until("everything is published", || published(&data).len() == recorded(&data));
    let rollups = || Rollups::open(&Reader::open(&data)).unwrap().unwrap();
    wait_until("everything is summed up", || rollups().missing().unwrap().is_empty());
    assert_eq!(metric(&process, "clicklog_compactor_failures_total"), 0);
    process.signal(Signal::TERM);
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    let published = published(&data);
    assert!(published.values().all(|count| *count == 1), "seed {seed}");
    for id in ids {
        assert!(published.contains_key(id.to_text().as_str()), "{} of seed {seed}", id.to_text().as_str());
    }
}

#[test]
fn a_stop_does_not_wait_for_what_is_not_published_yet() {
    let folder = tempfile::tempdir().unwrap();
    // Nor does it stand back, however slow others make the requests.
    let slowly =
        [("CLICKLOG_COMPACTOR__BYTES_PER_SECOND", "64KiB"), ("CLICKLOG_COMPACTOR__STAND_BACK", "1h")];
    let process = Process::start_with(folder.path(), &[], &slowly);
    let waiting = || metric(&process, "clicklog_compactor_waiting_segments");
    click_until(&process, |answered| {
        wait_for(answered, 20_000);
        wait_until("some of it waits", || waiting() >= 1);
        process.signal(Signal::TERM);
    });
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    // To publish what 20,000 clicks fill at this rate takes more than a minute, and so the test's patience.
    let data = folder.path().join("clicklog-data");
    assert!(published(&data).len() < recorded(&data));
}

#[test]
fn a_full_disk_for_files_is_told_and_hurts_no_click_and_with_room_all_is_published_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk = match Disk::make(folder.path(), 16 << 20) {
        Ok(disk) => disk,
        Err(reason) => return skipped(&format!("no small disk can be mounted here: {reason}")),
    };
    let (data, files) = (folder.path().join("clicklog-data"), disk.point());
    let ballast = Ballast::leaving(files, 64 << 10);
    let elsewhere = [("CLICKLOG_COMPACTOR__FOLDER", files.to_str().unwrap())];
    let process = Process::start_with(folder.path(), &[], &elsewhere);
    let failures = || metric(&process, "clicklog_compactor_failures_total{reason=\"disk\"}");
    click_until(&process, |answered| {
        wait_until("it is counted", || failures() > 0);
        let so_far = answered.lock().unwrap().len();
        wait_for(answered, so_far + 1_000);
        process.signal(Signal::TERM);
    });
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("tried again later") && said.contains("No space left"), "{said}");
    assert!(published(files).is_empty(), "no half of a file is seen");

    drop(ballast);
    let process = Process::start_with(folder.path(), &[], &elsewhere);
    wait_until("everything is published", || published(files).len() == recorded(&data));
    assert_eq!(metric(&process, "clicklog_compactor_failures_total"), 0);
    process.signal(Signal::TERM);
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(published(files).values().all(|count| *count == 1));
}

#[test]
fn with_the_compactor_switched_off_nothing_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let off = [("CLICKLOG_COMPACTOR__ENABLED", "false")];
    let process = Process::start_with(folder.path(), &[], &off);
    click_until(&process, |answered| {
        wait_for(answered, 100);
        process.signal(Signal::TERM);
    });
    assert_eq!(process.end().0, Some(0));
    assert!(!folder.path().join("clicklog-data/export").exists());
}
