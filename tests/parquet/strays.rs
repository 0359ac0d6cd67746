//! Files that nobody vouches for, and a disk that is full: nothing is counted twice, and what was to go goes.

use std::fs::{self, File};

use clicklog::compactor::publisher::{Options, Publisher};
use clicklog::store::Journal;
use clicklog::store::reader::Reader;

use crate::days::{HOUR, MORNING, closed, evening, go, lasting, round};
use crate::dropped::drop_first;
use crate::events::EVENING;
use crate::rounds::{
    Looking, clicks, clock_at, cost, list, options, rewrite, round_at, store_in_lane, totals,
};

#[test]
fn a_day_of_which_nobody_knows_any_more_that_it_was_merged_is_not_counted_twice() {
    let root = tempfile::tempdir().unwrap();
    let made = [clicks(100_000, 1, EVENING), clicks(40_000, 2, EVENING)];
    store_in_lane(root.path(), 0, &made[0]);
    store_in_lane(root.path(), 1, &made[1]);
    let publisher = |file_rows_max| {
        let (_, clock) = clock_at(MORNING);
        Publisher::open(Options { file_rows_max, ..options(root.path(), clock) }).unwrap()
    };
    go(&mut publisher(100_000));
    assert_eq!(list(&evening(root.path())).len(), 2, "two files of the day");
    fs::write(root.path().join("export-meta/clicks/v1/dt=2026-11-20/CLOSED"), "half of it").unwrap();
    let expected = (140_000, made.iter().map(|made| cost(made)).sum::<i128>());
    let mut publisher = publisher(u64::MAX);
    let mut looking = Looking::until(usize::MAX);
    let (_, early) = clock_at(EVENING);
    Publisher::open(options(root.path(), early)).unwrap().round(&mut looking).unwrap();
    assert_eq!(totals(root.path(), "clicks", "cost"), expected, "each segment has its own file again");
    go(&mut publisher);
    assert_eq!(totals(root.path(), "clicks", "cost"), expected);
    let names: Vec<_> = list(&evening(root.path())).into_iter().collect();
    assert_eq!(names, ["clicks-20261120-n0-day-r2-000.parquet"], "a name is not used again");
}

#[test]
fn a_file_of_a_segment_that_was_dropped_before_it_was_written_down_goes_too() {
    let root = tempfile::tempdir().unwrap();
    let new = clicks(10, 2, EVENING + 1_000_000);
    store_in_lane(root.path(), 0, &clicks(20, 1, EVENING));
    store_in_lane(root.path(), 0, &new);
    // It dies when the first file is where readers look, and nothing is known of it.
    let steps = (0..).find(|steps| {
        round_at(EVENING, root.path(), *steps).0.unwrap_err();
        totals(root.path(), "clicks", "cost").0 > 0
    });
    assert!(steps.is_some());
    assert_eq!(list(&root.path().join("export-meta/clicks/v1")).len(), 1, "no more than the schema");
    drop_first(root.path(), 0);
    round_at(EVENING, root.path(), usize::MAX).0.unwrap();
    assert_eq!(totals(root.path(), "clicks", "cost"), (10, cost(&new)));
    assert_eq!(round_at(EVENING, root.path(), 0).1.steps, []);
}

#[test]
fn what_waits_to_be_swapped_is_made_again_if_it_is_not_there_any_more() {
    let root = tempfile::tempdir().unwrap();
    let made = clicks(20, 1, EVENING);
    store_in_lane(root.path(), 0, &made);
    round_at(EVENING, root.path(), usize::MAX).0.unwrap();
    let name = list(&evening(root.path())).pop_first().unwrap();
    let reading = File::open(evening(root.path()).join(name)).unwrap();
    if let Err(error) = clicklog::store::is_open_elsewhere(&reading) {
        println!("skipped: this file system cannot tell who reads: {error}");
        return;
    }
    let (mut publisher, _) = lasting(root.path());
    go(&mut publisher);
    let staged = root.path().join("export-staging/clicks/v1/dt=2026-11-20");
    for name in list(&staged) {
        // As whoever replaces a file of the day, and then cannot, leaves it.
        fs::remove_file(staged.join(name)).unwrap();
    }
    drop(reading);
    go(&mut publisher);
    assert_eq!(totals(root.path(), "clicks", "cost"), (20, cost(&made)));
    assert_eq!(closed(root.path()).rows, 20);
    assert_eq!(round(root.path(), 0).1.steps, []);
}

#[test]
fn what_makes_room_is_done_on_a_full_disk_too() {
    let root = tempfile::tempdir().unwrap();
    let (old, new) = (clicks(20, 1, EVENING), clicks(10, 2, EVENING + 1_000_000));
    store_in_lane(root.path(), 0, &old);
    store_in_lane(root.path(), 0, &new);
    let (manual, clock) = clock_at(EVENING);
    let mut publisher = Publisher::open(options(root.path(), clock)).unwrap();
    go(&mut publisher);
    let newest = *Reader::open(root.path()).segments(Journal::Clicks, 0).unwrap().last().unwrap();
    rewrite(root.path(), (0, newest), &new[1..]);
    go(&mut publisher);
    drop_first(root.path(), 0);
    store_in_lane(root.path(), 1, &clicks(5, 3, EVENING));
    let old = root.path().join("export-old/clicks/v1");
    assert_eq!(list(&old).len(), 1);
    let mut make_room = || publisher.make_room(&mut Looking::until(usize::MAX)).unwrap();
    make_room();
    assert_eq!(totals(root.path(), "clicks", "cost").0, 9, "nothing else is published");
    manual.advance(HOUR);
    make_room();
    assert_eq!(list(&old).len(), 0);
}
