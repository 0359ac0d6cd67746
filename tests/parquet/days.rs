//! A day that is complete: merged into files of the whole day, and again when something of it comes late.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clicklog::clock::ManualClock;
use clicklog::compactor::clicks::Clicks;
use clicklog::compactor::closed::Closed;
use clicklog::compactor::folder::{Day, Folder};
use clicklog::compactor::publisher::{Options, Publisher};
use clicklog::compactor::{Error, Result};
use clicklog::event::click::{Click, ClickKind};
use clicklog::store::Store;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::events::{EVENING, MIDNIGHT, MadeClick, roomy, store_clicks, store_decisions, store_outcomes};
use crate::files::{Cell, below, rows};
use crate::rounds::{
    Looking, clicks, clock_at, copy, cost, list, options, rewrite, round_at, store_in_lane, totals,
    wait_for_more,
};
use crate::support::append;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// When the evening's day is complete.
pub(crate) const MORNING: i64 = MIDNIGHT + 7_200_000_000;

pub(crate) fn round(data: &Path, steps: usize) -> (Result<()>, Looking) {
    round_at(MORNING, data, steps)
}

/// A publisher that goes on, and its clock.
pub(crate) fn lasting(data: &Path) -> (Publisher, ManualClock) {
    let (manual, clock) = clock_at(MORNING);
    (Publisher::open(options(data, clock)).unwrap(), manual)
}

pub(crate) fn go(publisher: &mut Publisher) -> Looking {
    let mut looking = Looking::until(usize::MAX);
    publisher.round(&mut looking).unwrap();
    looking
}

pub(crate) fn evening(data: &Path) -> PathBuf {
    data.join("export/clicks/v1/dt=2026-11-20")
}

pub(crate) fn closed(data: &Path) -> Closed {
    Closed::read::<Clicks>(&Folder::new(data), Day::parse("2026-11-20").unwrap()).unwrap().unwrap()
}

/// Clicks of two lanes in turns, some of the next day, in several segments.
pub(crate) fn two_lanes(data: &Path) -> Vec<MadeClick> {
    let (mut all, mut seed) = (Vec::new(), 0);
    for lane in [0, 1, 0, 1] {
        seed += 1;
        let made = clicks(40, seed, MIDNIGHT - 30 - i64::try_from(seed).unwrap());
        store_in_lane(data, lane, &made);
        all.extend(made);
    }
    all
}

#[test]
fn a_complete_day_is_one_sorted_file_of_all_its_rows() {
    let root = tempfile::tempdir().unwrap();
    let all = two_lanes(root.path());
    let entries = store_decisions(root.path(), 3, 100);
    store_outcomes(root.path(), 60);
    round(root.path(), usize::MAX).0.unwrap();
    let names: Vec<_> = list(&evening(root.path())).into_iter().collect();
    assert_eq!(names, ["clicks-20261120-n0-day-r1-000.parquet"]);
    let found = rows(&evening(root.path()).join(&names[0]));
    let key = |row: &crate::files::Cells| match (&row["time"], &row["lane"], &row["segment"], &row["ordinal"])
    {
        (Cell::Number(time), Cell::Number(lane), Cell::Number(segment), Cell::Number(ordinal)) => {
            (*time, *lane, *segment, *ordinal)
        }
        other => panic!("{other:?}"),
    };
    assert!(found.iter().map(key).is_sorted_by(|a, b| a < b));
    let of_day: Vec<_> = all.iter().filter(|made| made.click.time.micros() < MIDNIGHT).cloned().collect();
    let closed = closed(root.path());
    assert_eq!((found.len(), closed.rows, closed.segments.len()), (of_day.len(), of_day.len() as u64, 4));
    let sum = cost(&of_day);
    let amount =
        format!("{}{}.{:06}", if sum < 0 { "-" } else { "" }, sum.abs() / 1_000_000, sum.abs() % 1_000_000);
    let sums: Vec<_> = closed.sums.iter().map(|sum| (&*sum.column, &*sum.currency, &*sum.amount)).collect();
    assert_eq!(sums, [("cost", "USD", &*amount)]);
    assert_eq!(totals(root.path(), "clicks", "cost"), (160, cost(&all)), "the next day's are beside");
    assert_eq!(totals(root.path(), "conversions", "entry"), (100, entries));
    assert_eq!(below(&root.path().join("export/conversions")).len(), 1);
    assert_eq!(totals(root.path(), "deliveries", "").0, 60);
    assert_eq!(round(root.path(), 0).1.steps, [], "the next run finds nothing to do");
}

#[test]
fn whatever_step_a_merge_stops_at_each_row_is_seen_once_and_the_next_run_finishes_it() {
    let made = tempfile::tempdir().unwrap();
    let all = two_lanes(made.path());
    let expected = (160, cost(&all));
    for stop in 0.. {
        let root = tempfile::tempdir().unwrap();
        copy(made.path(), root.path());
        // First what there is by segments, so that each later step is one of the merge.
        round_at(EVENING, root.path(), usize::MAX).0.unwrap();
        assert_eq!(list(&evening(root.path())).len(), 4);
        let (done, _): (Result<()>, _) = round(root.path(), stop);
        assert_eq!(totals(root.path(), "clicks", "cost"), expected, "after step {stop}");
        let is_over = done.is_ok();
        assert!(is_over || matches!(done, Err(Error::Stopped)), "{done:?}");
        round(root.path(), usize::MAX).0.unwrap();
        assert_eq!(totals(root.path(), "clicks", "cost"), expected, "after step {stop} and another run");
        let names: Vec<_> = list(&evening(root.path())).into_iter().collect();
        assert_eq!(names, ["clicks-20261120-n0-day-r1-000.parquet"], "after step {stop}");
        assert_eq!((closed(root.path()).revision, closed(root.path()).segments.len()), (1, 4));
        assert_eq!(round(root.path(), 0).1.steps, [], "after step {stop}");
        if is_over {
            assert!(stop > 3);
            return;
        }
    }
}

#[test]
fn a_day_is_not_complete_while_a_lane_is_still_writing_it() {
    let root = tempfile::tempdir().unwrap();
    let made = clicks(20, 1, EVENING);
    store_in_lane(root.path(), 0, &made);
    let store = Store::open(clicklog::store::Options { lanes: 2, ..roomy(root.path()) }).unwrap();
    let mut writer = store.click_writer(1).unwrap();
    append(|| writer.append(&made[0].view()));
    let (mut publisher, manual) = lasting(root.path());
    go(&mut publisher);
    manual.advance(HOUR * 48);
    go(&mut publisher);
    assert!(list(&evening(root.path())).iter().all(|name| !name.contains("-day-")));
    writer.close();
    store.close().unwrap();
    go(&mut publisher);
    assert_eq!(closed(root.path()).rows, 21);
}

/// A click of another tracker.
fn imported(made: &MadeClick) -> Click<'_> {
    Click { kind: ClickKind::Imported, foreign_id: "theirs", ..made.view() }
}

#[test]
fn clicks_of_another_tracker_keep_no_day_open_and_what_is_late_is_merged_in_later() {
    let root = tempfile::tempdir().unwrap();
    let (made, late) = (clicks(20, 1, EVENING), clicks(7, 2, EVENING));
    store_in_lane(root.path(), 0, &made);
    let store = Store::open(roomy(root.path())).unwrap();
    let mut writer = store.import_writer().unwrap();
    append(|| writer.append(&imported(&late[0])));
    let (mut publisher, manual) = lasting(root.path());
    go(&mut publisher);
    assert_eq!((closed(root.path()).revision, closed(root.path()).rows), (1, 20));
    writer.close();
    store.close().unwrap();
    store_clicks(root.path(), &late[1..]);
    go(&mut publisher);
    assert_eq!((closed(root.path()).revision, list(&evening(root.path())).len()), (1, 3), "it lies beside");
    let expected = (27, cost(&made) + cost(&late));
    assert_eq!(totals(root.path(), "clicks", "cost"), expected);
    manual.advance(HOUR);
    go(&mut publisher);
    let names: Vec<_> = list(&evening(root.path())).into_iter().collect();
    assert_eq!(names, ["clicks-20261120-n0-day-r2-000.parquet"]);
    assert_eq!((closed(root.path()).revision, closed(root.path()).rows), (2, 27));
    assert_eq!(totals(root.path(), "clicks", "cost"), expected);
}

#[test]
fn a_day_is_merged_again_without_what_a_rewrite_took_out_of_it() {
    let root = tempfile::tempdir().unwrap();
    let (one, other) = (clicks(20, 1, EVENING), clicks(10, 2, EVENING));
    store_in_lane(root.path(), 0, &one);
    store_in_lane(root.path(), 1, &other);
    let (mut publisher, manual) = lasting(root.path());
    go(&mut publisher);
    assert_eq!(closed(root.path()).rows, 30);
    rewrite(root.path(), (0, 0), &one[..3]);
    go(&mut publisher);
    assert_eq!(totals(root.path(), "clicks", "cost").0, 30, "until it is merged again");
    manual.advance(HOUR);
    go(&mut publisher);
    let closed = closed(root.path());
    assert_eq!((closed.revision, closed.rows, closed.segments[0].generation), (2, 13, 1));
    assert_eq!(totals(root.path(), "clicks", "cost"), (13, cost(&one[..3]) + cost(&other)));
    assert_eq!(round(root.path(), 0).1.steps, [], "a later run knows it all");
}

#[test]
fn a_large_day_is_several_files_one_after_the_other() {
    let root = tempfile::tempdir().unwrap();
    let made = clicks(300_000, 1, EVENING);
    store_clicks(root.path(), &made);
    let (_, clock) = clock_at(MORNING);
    let options = Options { file_rows_max: 200_000, ..options(root.path(), clock) };
    go(&mut Publisher::open(options).unwrap());
    let closed = closed(root.path());
    let counts: Vec<_> = closed.files.iter().map(|file| file.rows).collect();
    assert_eq!(counts, [262_144, 37_856], "a row group is not cut");
    assert!(closed.files[0].last_time < closed.files[1].first_time);
    assert_eq!(totals(root.path(), "clicks", "cost"), (300_000, cost(&made)));
}

#[test]
fn a_swap_is_put_off_for_whoever_is_reading_but_not_for_ever() {
    let root = tempfile::tempdir().unwrap();
    two_lanes(root.path());
    round_at(EVENING, root.path(), usize::MAX).0.unwrap();
    let listed = list(&evening(root.path()));
    let reading = File::open(evening(root.path()).join(listed.first().unwrap())).unwrap();
    if let Err(error) = clicklog::store::is_open_elsewhere(&reading) {
        println!("skipped: this file system cannot tell who reads: {error}");
        return;
    }
    let (mut publisher, manual) = lasting(root.path());
    go(&mut publisher);
    assert_eq!(list(&evening(root.path())), listed);
    manual.advance(HOUR / 2);
    go(&mut publisher);
    assert_eq!(list(&evening(root.path())), listed);
    manual.advance(HOUR / 2);
    go(&mut publisher);
    assert_eq!(list(&evening(root.path())).len(), 1);
    drop(reading);
}

/// What a query does: lists, opens all, reads. Nothing if a file was gone before it was opened: then it is run again.
fn query(day: &Path) -> Option<i64> {
    let files: Vec<File> =
        list(day).iter().map(|name| File::open(day.join(name)).ok()).collect::<Option<_>>()?;
    let count = |file| SerializedFileReader::new(file).unwrap().metadata().file_metadata().num_rows();
    Some(files.into_iter().map(count).sum())
}

#[test]
fn whoever_queries_a_day_while_it_is_merged_never_counts_twice_or_too_little() {
    let root = tempfile::tempdir().unwrap();
    store_in_lane(root.path(), 0, &clicks(20, 1, EVENING));
    let (mut publisher, manual) = lasting(root.path());
    go(&mut publisher);
    let (day, is_over, queried) = (evening(root.path()), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let querying = scope.spawn(|| {
            let (mut seen, mut last) = (BTreeSet::new(), 0);
            while !is_over.load(Ordering::Relaxed) {
                let Some(count) = query(&day) else { continue };
                assert!(count >= last && count % 5 == 0, "{count} rows after {last}");
                last = count;
                seen.insert(count);
                queried.fetch_add(1, Ordering::Relaxed);
            }
            seen
        });
        for round in 1..12_u64 {
            store_in_lane(root.path(), u8::try_from(round % 2).unwrap(), &clicks(5, round, EVENING));
            go(&mut publisher);
            // No query takes as long as what is replaced is kept.
            wait_for_more(&queried, &querying);
            manual.advance(HOUR * 2);
            go(&mut publisher);
            wait_for_more(&queried, &querying);
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(querying.join().unwrap().len() > 2, "it was queried all the while");
    });
    // While somebody reads, swaps are put off, and what came late meanwhile is in the next.
    manual.advance(HOUR * 2);
    go(&mut publisher);
    assert_eq!(totals(root.path(), "clicks", "cost").0, 75);
    let closed = closed(root.path());
    assert!((2..=12).contains(&closed.revision) && closed.rows == 75, "{closed:?}");
}
