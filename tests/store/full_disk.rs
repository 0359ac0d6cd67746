//! A disk without room: what waits for it, how often it is asked, and that it ends when there is room.
//!
//! Here the room is rationed, and what has to fail is led to `/dev/full`; `tests/crash.rs` fills a real disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use clicklog::clock::{Clock, ManualClock};
use clicklog::event::click_id::ClickId;
use clicklog::store::clicks::Clicks;
use clicklog::store::space::{Disk, FULL_PAUSE, Ration, Room};
use clicklog::store::{Error, Journal, Lookup, Options, Store};

use crate::support::{click_at, options, record};

fn all_are_found(clicks: &Clicks, ids: &[ClickId]) {
    for (n, id) in ids.iter().enumerate() {
        let Lookup::Found(found) = clicks.find(id) else { panic!("click {n} is found") };
        assert_eq!(found.click().unwrap().external_id, format!("external-{n}"));
    }
}

/// Leads what is staged beside a segment to where nothing can be written.
fn no_room_beside(data: &Path, segment: &str) -> std::path::PathBuf {
    let staged = data.join("clicks/lane-00").join(segment).with_extension("new");
    symlink("/dev/full", &staged).unwrap();
    staged
}

#[test]
fn a_full_disk_is_left_alone_for_a_while_however_many_ask_and_recovers() {
    let root = tempfile::tempdir().unwrap();
    let (hand, ration) = (ManualClock::at(click_at(0).time), Ration::of(u64::MAX));
    let clock = Clock::Manual(hand.clone());
    let disk = Disk::Rationed(ration.clone());
    let store = Store::open(Options { clock, disk, ..options(root.path()) }).unwrap();
    let times_full = || store.counters().full.load(Ordering::Relaxed);
    let mut writer = store.click_writer(0).unwrap();
    ration.set(0);
    while writer.append(&click_at(0)).is_ok() {}
    while times_full() == 0 {
        thread::yield_now();
    }
    for _ in 0..100_000 {
        assert!(matches!(writer.append(&click_at(0)), Err(Error::NoRoom { .. })));
    }
    assert_eq!(times_full(), 1, "no append makes the preparer try again");
    assert_eq!(store.room(), Room::Critical);
    assert!(store.poison().cause().is_none());

    hand.advance(FULL_PAUSE - Duration::from_millis(1));
    assert!(matches!(writer.append(&click_at(0)), Err(Error::NoRoom { .. })));
    assert_eq!(times_full(), 1);
    hand.advance(Duration::from_millis(1));
    while times_full() < 2 {
        thread::yield_now();
    }
    ration.set(u64::MAX);
    hand.advance(FULL_PAUSE);
    let next = record(&mut writer, 1).appended.position().segment();
    assert_eq!(next, 1, "no try used up an id");
    while store.room() != Room::Enough {
        thread::yield_now();
    }
    assert_eq!(times_full(), 2);
    writer.close();
    store.close().unwrap();
    let segments = Store::open(options(root.path())).unwrap().report().sealed_segments;
    assert_eq!(segments, 2, "no try left a file");
}

#[test]
fn a_lane_that_is_full_does_not_keep_another_from_its_segments() {
    let root = tempfile::tempdir().unwrap();
    let (hand, ration) = (ManualClock::at(click_at(0).time), Ration::of(u64::MAX));
    let (clock, disk) = (Clock::Manual(hand.clone()), Disk::Rationed(ration.clone()));
    let unequal = Options { clock, disk, click_segment_bytes: 1 << 20, ..options(root.path()) };
    let store = Store::open(unequal).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    // Room for a postbacks segment, not for one of clicks.
    ration.set(512 * 1024);
    while writer.append(&click_at(0)).is_ok() {}
    let mut encoder = clicklog::event::codec::Encoder::default();
    let postback = clicklog::event::postback::Postback { body: &[7; 60_000], ..Default::default() };
    let mut begun = 0;
    while begun < 3 {
        match journal.append(&encoder.postback(&postback).unwrap()) {
            Ok(appended) => begun = appended.position().segment(),
            Err(Error::NoRoom { .. }) => hand.advance(FULL_PAUSE),
            Err(error) => panic!("{error}"),
        }
        thread::yield_now();
    }
    assert!(matches!(writer.append(&click_at(0)), Err(Error::NoRoom { .. })));
}

#[test]
fn clicks_are_found_though_there_is_no_room_for_their_index() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let ids: Vec<_> = (0..300).map(|n| record(&mut writer, n).click_id).collect();
    writer.close();
    store.close().unwrap();
    let index = root.path().join("clicks/lane-00/0000000-0.idx");
    fs::remove_file(&index).unwrap();
    let staged = no_room_beside(root.path(), "0000000-0.seg");

    let store = Store::open(options(root.path())).unwrap();
    for _ in 0..2 {
        all_are_found(&store.clicks(), &ids);
    }
    assert!(!index.exists(), "it is in memory");
    assert!(store.poison().cause().is_none());
    store.close().unwrap();

    fs::remove_file(staged).unwrap();
    let store = Store::open(options(root.path())).unwrap();
    all_are_found(&store.clicks(), &ids);
    assert!(index.exists(), "once there is room it is made again");
}

/// The sealer looks again after a second of real time at the latest.
#[test]
fn a_seal_that_finds_no_room_is_done_again_when_there_is_some() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let ids: Vec<_> = (0..100).map(|n| record(&mut writer, n).click_id).collect();
    let staged = no_room_beside(root.path(), "0000000-0.seg");
    writer.roll_now();
    while store.counters().full.load(Ordering::Relaxed) == 0 {
        thread::yield_now();
    }
    all_are_found(&store.clicks(), &ids);
    assert!(writer.lane().view().sealed.is_empty());
    fs::remove_file(staged).unwrap();
    while writer.lane().view().sealed.is_empty() {
        thread::yield_now();
    }
    all_are_found(&store.clicks(), &ids);
    writer.close();
    store.close().unwrap();
}
