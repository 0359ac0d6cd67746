//! Published ids are those that stood in URLs, whatever became of the keys since.

use std::ops::ControlFlow;
use std::path::Path;

use clicklog::clock::Timestamp;
use clicklog::compactor::clicks::Clicks;
use clicklog::compactor::conversions::Conversions;
use clicklog::compactor::folder::Folder;
use clicklog::compactor::publish::publish;
use clicklog::compactor::table::Table;
use clicklog::event::click_id::Place;
use clicklog::event::codec::Encoder;
use clicklog::event::decision::Decision;
use clicklog::store::directory::Directory;
use clicklog::store::keys::rotate_click_id_key;
use clicklog::store::reader::Reader;
use clicklog::store::{Journal, Store};

use crate::events::{Chance, EVENING, MadeClick, roomy, store_clicks};
use crate::files::{Cell, rows};
use crate::support::append;

/// The click ids of the lane's segment `nth`, published, in the order of their rows; empty where there is none.
fn ids<T: Table>(data: &Path, lane: u8, nth: usize) -> Vec<String> {
    let (folder, reader, segment) =
        (Folder::new(data), Reader::open(data), number(data, T::JOURNAL, lane, nth));
    let published = publish::<T>(&folder, &reader, (lane, segment), |_| ControlFlow::Continue(())).unwrap();
    let rows = published.files.iter().flat_map(|file| rows(&folder.export().join(&file.path)));
    let id = |row: crate::files::Cells| match row.get("click_id") {
        Some(Cell::Text(id)) => id.clone(),
        _ => String::new(),
    };
    rows.map(id).collect()
}

/// Clicks of before and after a new key, in two segments; their ids.
fn clicks_of_two_keys(data: &Path) -> (u8, [Vec<String>; 2]) {
    let mut chance = Chance(5);
    let mut some = || (0..4).map(|n| MadeClick::random(&mut chance, EVENING + n)).collect::<Vec<_>>();
    let (lane, before) = store_clicks(data, &some());
    assert_eq!(rotate_click_id_key(&Directory::new(data)).unwrap(), 1);
    let (_, after) = store_clicks(data, &some());
    (lane, [before, after])
}

/// The number of the lane's segment `nth`. Not every number is used: one that was made ready and not needed is not.
fn number(data: &Path, journal: Journal, lane: u8, nth: usize) -> u32 {
    Reader::open(data).segments(journal, lane).unwrap()[nth]
}

/// A decision for the click with each of these ordinals of both segments.
fn store_decisions_for(data: &Path, lane: u8, ordinals: u32) {
    let segments = [number(data, Journal::Clicks, lane, 0), number(data, Journal::Clicks, lane, 1)];
    let store = Store::open(roomy(data)).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let mut encoder = Encoder::default();
    let all = segments.into_iter().flat_map(|segment| (0..ordinals).map(move |n| (segment, n)));
    for (row, (segment, ordinal)) in (0..).zip(all) {
        let time = Timestamp::from_micros(EVENING + row);
        let click = Place::new(0, lane, segment, ordinal, 0).unwrap().packed();
        // As `MadeClick`s are of one microsecond after the other, all are of one second.
        let click_time = Some(Timestamp::from_micros(EVENING));
        let decision = Decision { time, click, click_time, ..Decision::default() };
        append(|| journal.append(&encoder.decision(&decision).unwrap()));
    }
    journal.close();
    store.close().unwrap();
}

#[test]
fn after_a_new_key_published_ids_are_still_those_that_stood_in_urls() {
    let root = tempfile::tempdir().unwrap();
    let (lane, [before, after]) = clicks_of_two_keys(root.path());
    store_decisions_for(root.path(), lane, 4);
    assert_eq!(ids::<Clicks>(root.path(), lane, 0), before);
    assert_eq!(ids::<Clicks>(root.path(), lane, 1), after);
    assert_eq!(ids::<Conversions>(root.path(), 0, 0), [before, after].concat());
}

#[test]
fn the_click_of_a_conversion_has_its_id_also_when_its_segment_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let (lane, [_, after]) = clicks_of_two_keys(root.path());
    store_decisions_for(root.path(), lane, 4);
    let second = number(root.path(), Journal::Clicks, lane, 1);
    let (_, third) = store_clicks(root.path(), &[MadeClick::random(&mut Chance(6), EVENING)]);
    std::fs::remove_file(Directory::new(root.path()).segment(Journal::Clicks, lane, second, 0)).unwrap();
    assert_eq!(ids::<Clicks>(root.path(), lane, 1), third);
    assert_eq!(ids::<Conversions>(root.path(), 0, 0)[4..], after);
}

#[test]
fn without_the_key_of_its_time_a_click_has_no_id_rather_than_a_wrong_one() {
    let root = tempfile::tempdir().unwrap();
    let (lane, [_, after]) = clicks_of_two_keys(root.path());
    std::fs::remove_file(root.path().join("keys/click-id-00.key")).unwrap();
    assert_eq!(ids::<Clicks>(root.path(), lane, 0), [""; 4]);
    assert_eq!(ids::<Clicks>(root.path(), lane, 1), after);
}
