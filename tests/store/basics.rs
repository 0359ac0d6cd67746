//! Appending, finding, closing, opening again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{click_at, options, record};
use clicklog::event::click::Click;
use clicklog::event::click_id::{ClickId, Place};
use clicklog::event::codec::Encoder;
use clicklog::event::postback::Postback;
use clicklog::store::clicks::{ClickWriter, Clicks};
use clicklog::store::directory::Directory;
use clicklog::store::keys::rotate_click_id_key;
use clicklog::store::layout::SEGMENT_BYTES_MIN;
use clicklog::store::reader::Reader;
use clicklog::store::sealed::Tried;
use clicklog::store::{Error, Journal, Lookup, Options, Store};

#[test]
fn a_click_is_found_by_its_id_before_and_after_sealing_and_restart() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let ids: Vec<_> = (0..3_000).map(|n| record(&mut writer, n).click_id).collect();
    let clicks = store.clicks();
    let finds = |clicks: &Clicks| {
        for (n, id) in (0..).zip(&ids) {
            let Lookup::Found(found) = clicks.find(id) else { panic!("click {n} is found") };
            assert_eq!(found.click().unwrap().external_id, format!("external-{n}"));
        }
    };
    finds(&clicks);
    writer.close();
    store.close().unwrap();

    let store = Store::open(options(root.path())).unwrap();
    assert!(store.report().was_clean);
    assert!(store.report().sealed_segments > 1, "the run was long enough to roll");
    assert_eq!(store.report().recovered_segments, 0);
    finds(&store.clicks());
}

#[test]
fn a_click_is_found_by_where_it_lies_and_gets_its_own_id_again() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let ids: Vec<_> = (0..3_000).map(|n| record(&mut writer, n).click_id).collect();
    let (clicks, another) = (store.clicks(), Place::new(7, 0, 0, 0, 0).unwrap());
    for (n, id) in (0..).zip(&ids) {
        let packed = clicks.decode(id).unwrap().packed();
        let place = Place::from_packed(packed).unwrap();
        let Lookup::Found(found) = clicks.find_at(place) else { panic!("click {n} is found") };
        assert_eq!(found.click().unwrap().external_id, format!("external-{n}"));
        assert_eq!(clicks.id_of(found.place), *id);
        match clicks.try_find_at(place) {
            Tried::Done(Lookup::Found(found)) => assert_eq!(clicks.id_of(found.place), *id),
            Tried::WouldBlock => {}
            Tried::Done(other) => panic!("click {n}: {other:?}"),
        }
    }
    let beyond = Place::new(0, 9, 0, 0, 0).unwrap();
    for place in [another, beyond] {
        assert!(matches!(clicks.find_at(place), Lookup::Absent), "{place:?}");
        assert!(matches!(clicks.try_find_at(place), Tried::Done(Lookup::Absent)), "{place:?}");
    }
    writer.close();
    store.close().unwrap();
}

#[test]
fn a_click_keeps_the_id_it_had_in_its_url_whatever_key_is_current() {
    let root = tempfile::tempdir().unwrap();
    let directory = Directory::new(root.path());
    let mut ids = Vec::new();
    let is_each_its_own = |clicks: &Clicks, ids: &[ClickId]| {
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(clicks.id_of(clicks.decode(id).unwrap()), *id, "click {n}");
        }
    };
    for round in 0..4 {
        let store = Store::open(options(root.path())).unwrap();
        let mut writer = store.click_writer(0).unwrap();
        // One that ends with no click at all is among them.
        let count = if round == 2 { 0 } else { 3_000 };
        ids.extend((0..count).map(|n| record(&mut writer, n).click_id));
        is_each_its_own(&store.clicks(), &ids);
        writer.close();
        store.close().unwrap();
        assert_eq!(rotate_click_id_key(&directory).unwrap(), round + 1);
    }
    // Its neighbours tell of a segment whose header is damaged.
    let second = Reader::open(root.path()).segments(Journal::Clicks, 0).unwrap()[1];
    let file = File::options().write(true).open(directory.segment(Journal::Clicks, 0, second, 0)).unwrap();
    file.write_all_at(&[7; 2048], 0).unwrap();
    is_each_its_own(&Store::open(options(root.path())).unwrap().clicks(), &ids);
    // Of a key that is gone no id is found any more: then one by which the click is.
    let place = Store::open(options(root.path())).unwrap().clicks().decode(&ids[0]).unwrap();
    std::fs::remove_file(root.path().join("keys/click-id-00.key")).unwrap();
    let clicks = Store::open(options(root.path())).unwrap().clicks();
    assert!(matches!(clicks.find(&ids[0]), Lookup::Absent));
    assert!(matches!(clicks.find(&clicks.id_of(place)), Lookup::Found(_)));
}

#[test]
fn an_unclean_stop_loses_nothing_that_was_appended() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let ids: Vec<_> = (0..2_000).map(|n| record(&mut writer, n).click_id).collect();
    drop((writer, store));

    let store = Store::open(options(root.path())).unwrap();
    assert!(!store.report().was_clean);
    assert!(store.report().recovered_segments > 0);
    assert_eq!(store.report().corrupt_segments, 0);
    let clicks = store.clicks();
    assert!(ids.iter().all(|id| matches!(clicks.find(id), Lookup::Found(_))));
    let fresh = record(&mut store.click_writer(0).unwrap(), 0);
    assert!(!ids.contains(&fresh.click_id), "an id is never given out twice");
}

#[test]
fn an_unknown_id_is_answered_and_never_guessed() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let garbage = ClickId::from_bytes([7; 16]);
    assert!(matches!(store.clicks().find(&garbage), Lookup::Absent));
}

#[test]
fn a_lane_is_handed_out_once_and_a_second_process_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let _first = store.click_writer(0).unwrap();
    assert!(store.click_writer(0).is_none());
    assert!(store.click_writer(9).is_none());
    assert!(store.journal_writer(Journal::Postbacks).is_some());
    let refused = Store::open(options(root.path())).unwrap_err();
    assert!(refused.to_string().contains("in use by another"), "{refused}");
}

#[test]
fn a_store_of_another_node_is_refused() {
    let root = tempfile::tempdir().unwrap();
    Store::open(options(root.path())).unwrap().close().unwrap();
    let refused = Store::open(Options { node: 7, ..options(root.path()) }).unwrap_err();
    assert!(refused.to_string().contains("belongs to node 0, but this is node 7"), "{refused}");
}

#[test]
fn deleting_every_derived_file_changes_no_answer() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let ids: Vec<_> = (0..2_000).map(|n| record(&mut writer, n).click_id).collect();
    writer.close();
    store.close().unwrap();
    let folder = root.path().join("clicks/lane-00");
    let mut removed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            std::fs::remove_file(path).unwrap();
            removed += 1;
        }
    }
    assert!(removed > 0);
    let store = Store::open(options(root.path())).unwrap();
    let clicks = store.clicks();
    assert!(ids.iter().all(|id| matches!(clicks.find(id), Lookup::Found(_))));
}

#[test]
fn a_click_that_is_too_long_is_refused_and_nothing_is_written() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let long = "x".repeat(70_000);
    let click = Click { referrer: &long, ..click_at(0) };
    assert!(writer.append(&click).unwrap_err().to_string().contains("must be 1 to 65535"));
    let recorded = record(&mut writer, 1);
    assert_eq!(recorded.appended.ordinal(), 0);
}

/// A payload may be twice as long as the shortest segment: without the bound of its segment, a request could
/// stop the process.
#[test]
fn a_record_that_no_segment_of_its_journal_can_hold_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let least = SEGMENT_BYTES_MIN;
    let options =
        Options { click_segment_bytes: least, journal_segment_bytes: least, ..options(root.path()) };
    let store = Store::open(options).unwrap();
    let long = "x".repeat(60_000);
    let refused = store.click_writer(0).unwrap().append(&Click { referrer: &long, ..click_at(0) });
    assert!(refused.unwrap_err().to_string().contains("must be 1 to 57328"));

    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let mut encoder = Encoder::default();
    let postback = |bytes: usize| Postback { body: &long.as_bytes()[..bytes], ..Postback::default() };
    let overhead = encoder.postback(&postback(0)).unwrap().payload.len();
    let longer = encoder.postback(&postback(57_336 - overhead)).unwrap();
    assert!(matches!(journal.append(&longer), Err(Error::RecordLength { len: 57_336, max: 57_328 })));
    let longest = encoder.postback(&postback(57_328 - overhead)).unwrap();
    assert_eq!(journal.append(&longest).unwrap().ordinal(), 0, "it fills a segment");
}

/// A segment that is begun by the clock, before there is a record for it, is as good as any other.
#[test]
fn a_segment_that_a_tick_began_is_written_until_its_own_hour_is_over() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let hour = |hours: u64| click_at(0).time.plus(Duration::from_secs(hours * 3_600));
    let append = |writer: &mut ClickWriter, hours: u64| {
        let recorded = writer.append(&Click { time: hour(hours), ..click_at(0) });
        recorded.unwrap().appended.position().segment()
    };
    let first = append(&mut writer, 0);
    while store.counters().prepared.load(Ordering::Relaxed) < 4 {
        std::thread::yield_now();
    }
    writer.tick(hour(1)).unwrap();
    let second = append(&mut writer, 2);
    assert!(second > first);
    while store.counters().prepared.load(Ordering::Relaxed) < 5 {
        std::thread::yield_now();
    }
    assert_eq!(append(&mut writer, 2), second);
}

/// tmpfs, among others, does not know `RWF_NOWAIT`.
#[test]
fn where_no_read_goes_without_waiting_a_click_is_not_called_unavailable() {
    let Ok(root) = tempfile::tempdir_in("/dev/shm") else {
        return println!("skipped: there is no tmpfs at /dev/shm");
    };
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let id = record(&mut writer, 0).click_id;
    writer.close();
    store.close().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let clicks = store.clicks();
    assert!(matches!(clicks.find(&id), Lookup::Found(_)));
    let tried = clicks.try_find(&id);
    assert!(matches!(tried, Tried::WouldBlock | Tried::Done(Lookup::Found(_))), "{tried:?}");
}

#[test]
fn every_metric_of_a_store_is_on_the_page() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut page = clicklog::metrics::Page::default();
    store.write_metrics(&mut page);
    let text = page.into_text();
    let is_of_a_store =
        |name: &str| ["clicklog_store_", "clicklog_recovery_"].iter().any(|start| name.starts_with(start));
    for metric in clicklog::metrics::METRICS.iter().filter(|metric| is_of_a_store(metric.name)) {
        assert!(text.contains(&format!("\n{}", metric.name)), "{} is missing", metric.name);
    }
}

/// A kill while a segment is made leaves a file without a header under an id that is only reserved.
#[test]
fn a_segment_that_was_never_finished_is_removed_and_not_quarantined() {
    let root = tempfile::tempdir().unwrap();
    Store::open(options(root.path())).unwrap().close().unwrap();
    let directory = Directory::new(root.path());
    let mut manifest = clicklog::store::manifest::ManifestFile::load(&directory).unwrap().unwrap();
    let segment = manifest.update(|manifest| manifest.reserve(Journal::Clicks, 0)).unwrap();
    let path = directory.segment(Journal::Clicks, 0, segment, 0);
    std::fs::write(&path, vec![0; 128 * 1024]).unwrap();
    let store = Store::open(options(root.path())).unwrap();
    assert_eq!(store.report().quarantined_segments, 0);
    assert!(!path.exists());
    assert!(!directory.quarantine().exists());
}
