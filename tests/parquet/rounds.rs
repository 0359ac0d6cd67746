//! What is published of which segments, round by round, and what becomes of it when a segment is rewritten.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use clicklog::clock::{Clock, ManualClock, Timestamp};
use clicklog::compactor::folder::Folder;
use clicklog::compactor::publish::Step;
use clicklog::compactor::publisher::{News, Options, Publisher, Watcher};
use clicklog::compactor::{Error, Result};
use clicklog::event::codec::Encoder;
use clicklog::store::directory::SegmentFile;
use clicklog::store::layout::Identity;
use clicklog::store::manifest::ManifestFile;
use clicklog::store::reader::Reader;
use clicklog::store::recovery::{Expected, recover};
use clicklog::store::segment::{Plan, prepare};
use clicklog::store::space::Disk;
use clicklog::store::{Journal, Store};

use crate::events::{
    Chance, EVENING, MIDNIGHT, MadeClick, roomy, store_clicks, store_decisions, store_outcomes,
};
use crate::files::{below, rows, sum};
use crate::support::append;

/// Looks on, and ends it after so many steps.
pub(crate) struct Looking {
    pub(crate) steps_left: usize,
    pub(crate) steps: Vec<Step>,
    pub(crate) failed: Vec<String>,
    pub(crate) published: usize,
}

impl Looking {
    pub(crate) fn until(steps_left: usize) -> Self {
        Self { steps_left, steps: Vec::new(), failed: Vec::new(), published: 0 }
    }
}

impl Watcher for Looking {
    fn step(&mut self, step: Step) -> ControlFlow<()> {
        if matches!(step, Step::Read { .. }) {
            return ControlFlow::Continue(());
        }
        self.steps.push(step);
        if self.steps_left == 0 {
            return ControlFlow::Break(());
        }
        self.steps_left -= 1;
        ControlFlow::Continue(())
    }

    fn told(&mut self, news: &News<'_>) {
        match news {
            News::Published { .. } => self.published += 1,
            News::Failed { what, error, .. } => self.failed.push(format!("{what}: {error}")),
            _ => {}
        }
    }
}

/// A clock that shows this moment.
pub(crate) fn clock_at(micros: i64) -> (ManualClock, Clock) {
    let manual = ManualClock::at(Timestamp::from_micros(micros));
    (manual.clone(), Clock::Manual(manual))
}

/// Before any day is complete.
fn clock() -> (ManualClock, Clock) {
    clock_at(EVENING)
}

pub(crate) fn options(data: &Path, clock: Clock) -> Options {
    Options::new(Reader::open(data), Folder::new(data), clock)
}

fn round(data: &Path, steps: usize) -> (Result<()>, Looking) {
    round_at(EVENING, data, steps)
}

/// One round of a publisher that was just started, at this moment.
pub(crate) fn round_at(micros: i64, data: &Path, steps: usize) -> (Result<()>, Looking) {
    let mut looking = Looking::until(steps);
    let opened = Publisher::open(options(data, clock_at(micros).1));
    let done = opened.and_then(|mut publisher| publisher.round(&mut looking));
    (done, looking)
}

/// How many rows readers see of a table, and what a column comes to.
pub(crate) fn totals(data: &Path, table: &str, column: &str) -> (usize, i128) {
    let files = below(&data.join("export").join(table));
    let rows: Vec<_> = files.iter().flat_map(|file| rows(file)).collect();
    (rows.len(), sum(&rows, column))
}

pub(crate) fn clicks(count: i64, seed: u64, first: i64) -> Vec<MadeClick> {
    let mut chance = Chance(seed);
    (0..count).map(|n| MadeClick::random(&mut chance, first + n)).collect()
}

pub(crate) fn cost(clicks: &[MadeClick]) -> i128 {
    clicks.iter().filter_map(|made| made.click.cost).map(|cost| i128::from(cost.amount.get())).sum()
}

/// Stores clicks in a lane of a worker.
pub(crate) fn store_in_lane(data: &Path, lane: u8, clicks: &[MadeClick]) {
    let store = Store::open(clicklog::store::Options { lanes: 2, ..roomy(data) }).unwrap();
    let mut writer = store.click_writer(lane).unwrap();
    for click in clicks {
        append(|| writer.append(&click.view()));
    }
    writer.close();
    store.close().unwrap();
}

/// Makes the next generation of a sealed segment of clicks, with these.
pub(crate) fn rewrite(data: &Path, (lane, segment): (u8, u32), clicks: &[MadeClick]) {
    let directory = clicklog::store::directory::Directory::new(data);
    let mut manifest = ManifestFile::load(&directory).unwrap().unwrap();
    let (store, node) = (manifest.current().store, manifest.current().node);
    let journal = Journal::Clicks;
    let generation = manifest.current().lanes[&(journal, lane)].segments[&segment].generation + 1;
    let identity = Identity { store, journal, node, lane, segment, generation };
    let created = Timestamp::from_micros(EVENING);
    let plan = Plan { identity, segment_bytes: 1024 * 1024, created, click_key: 0 };
    let (mut appender, mut encoder) =
        (prepare(&directory, &Disk::System, &plan).unwrap(), Encoder::default());
    for click in clicks {
        appender.append(&encoder.click(&click.view()).unwrap());
    }
    drop(appender);
    let file =
        SegmentFile { segment, generation, path: directory.segment(journal, lane, segment, generation) };
    recover(&directory, &file, &Expected { store, node, journal, lane }, false, created).unwrap();
    let named = manifest.update(|manifest| {
        let lane = manifest.lanes.get_mut(&(journal, lane)).unwrap();
        lane.segments.get_mut(&segment).unwrap().generation = generation;
        Ok(())
    });
    named.unwrap();
    let before = directory.segment(journal, lane, segment, generation - 1);
    std::fs::remove_file(before).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for file in below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, target).unwrap();
    }
}

#[test]
fn a_round_publishes_all_that_is_sealed_of_all_journals_and_the_next_finds_nothing_to_do() {
    let root = tempfile::tempdir().unwrap();
    let (one, other) = (clicks(300, 1, EVENING), clicks(200, 2, EVENING + 7));
    store_in_lane(root.path(), 0, &one);
    store_in_lane(root.path(), 1, &other);
    let entries = store_decisions(root.path(), 3, 100);
    store_outcomes(root.path(), 60);
    let (done, looking) = round(root.path(), usize::MAX);
    done.unwrap();
    assert_eq!((looking.published, looking.failed), (4, vec![]));
    assert_eq!(totals(root.path(), "clicks", "cost"), (500, cost(&one) + cost(&other)));
    assert_eq!(totals(root.path(), "conversions", "entry"), (100, entries));
    assert_eq!(totals(root.path(), "deliveries", "cost").0, 60);
    assert_eq!(round(root.path(), 0).1.steps, []);
}

#[test]
fn what_cannot_be_published_stops_itself_only_and_is_tried_again_later_and_later() {
    let root = tempfile::tempdir().unwrap();
    let bad = {
        store_clicks(root.path(), &clicks(50, 1, EVENING));
        let folder = clicklog::store::directory::Directory::new(root.path()).lane(Journal::Clicks, 1);
        below(&folder).into_iter().find(|path| path.extension().is_some_and(|it| it == "seg")).unwrap()
    };
    let good = std::fs::read(&bad).unwrap();
    let mut broken = good.clone();
    broken[4096 + 20] ^= 1;
    std::fs::write(&bad, broken).unwrap();
    store_outcomes(root.path(), 60);
    let (manual, clock) = clock();
    let mut publisher = Publisher::open(options(root.path(), clock)).unwrap();
    let mut failures = Vec::new();
    for minute in 0..60 {
        let mut looking = Looking::until(usize::MAX);
        publisher.round(&mut looking).unwrap();
        assert_eq!(looking.published, usize::from(minute == 0));
        if !looking.failed.is_empty() {
            failures.push(minute);
        }
        manual.advance(Duration::from_secs(60));
    }
    assert_eq!(failures, [0, 1, 2, 4, 8, 16, 32], "each time after twice as long");
    std::fs::write(&bad, good).unwrap();
    manual.advance(Duration::from_secs(3600));
    let mut looking = Looking::until(usize::MAX);
    publisher.round(&mut looking).unwrap();
    assert_eq!((looking.published, looking.failed), (1, vec![]));
    assert_eq!(totals(root.path(), "clicks", "cost").0, 50);
}

#[test]
fn what_an_earlier_run_left_half_written_is_removed() {
    let root = tempfile::tempdir().unwrap();
    store_clicks(root.path(), &clicks(50, 1, EVENING));
    let stale = Folder::new(root.path()).staging().join("clicks/v1/dt=2026-11-20/half.parquet");
    std::fs::create_dir_all(stale.parent().unwrap()).unwrap();
    std::fs::write(&stale, "PAR1").unwrap();
    round(root.path(), usize::MAX).0.unwrap();
    assert!(!stale.exists());
    assert_eq!(below(&Folder::new(root.path()).staging()), [""; 0].map(PathBuf::from));
}

/// Two days' clicks in one segment, and of another what stays as it is; then fewer of one day and none of the other.
fn before_a_rewrite(data: &Path) -> (Vec<MadeClick>, Vec<MadeClick>) {
    let whole = [clicks(30, 1, MIDNIGHT - 1_000), clicks(20, 2, MIDNIGHT)].concat();
    let stays = clicks(10, 3, MIDNIGHT - 500);
    store_in_lane(data, 0, &whole);
    store_in_lane(data, 1, &stays);
    (whole[..13].to_vec(), stays)
}

#[test]
fn a_rewritten_segment_takes_the_place_of_what_it_was_whatever_step_it_stops_at() {
    let made = tempfile::tempdir().unwrap();
    let (kept, stays) = before_a_rewrite(made.path());
    round(made.path(), usize::MAX).0.unwrap();
    assert_eq!(totals(made.path(), "clicks", "cost").0, 60);
    rewrite(made.path(), (0, 0), &kept);
    for stop in 0.. {
        let root = tempfile::tempdir().unwrap();
        copy(made.path(), root.path());
        let (done, _) = round(root.path(), stop);
        let seen = totals(root.path(), "clicks", "cost").0;
        assert!([60, 43, 23].contains(&seen), "{seen} rows after step {stop}");
        let is_over = done.is_ok();
        assert!(is_over || matches!(done, Err(Error::Stopped)), "{done:?}");
        round(root.path(), usize::MAX).0.unwrap();
        assert_eq!(
            totals(root.path(), "clicks", "cost"),
            (23, cost(&kept) + cost(&stays)),
            "after step {stop}"
        );
        let names: Vec<_> = below(&root.path().join("export")).iter().map(|file| name(file)).collect();
        let expected =
            ["clicks-20261120T235959Z-n0-l00-s0000000-g1.parquet", "clicks-20261120T235959Z-n0-l01"];
        assert!(
            names.len() == 2 && names[0] == expected[0] && names[1].starts_with(expected[1]),
            "{names:?}"
        );
        assert!(!root.path().join("export/clicks/v1/dt=2026-11-21").exists(), "a day without rows");
        assert_eq!(round(root.path(), 0).1.steps, [], "after step {stop}");
        if is_over {
            assert!(stop > 3);
            return;
        }
    }
}

#[test]
fn what_was_replaced_is_kept_for_those_who_are_reading_it_and_then_removed() {
    let root = tempfile::tempdir().unwrap();
    let whole = clicks(20, 1, EVENING);
    store_in_lane(root.path(), 0, &whole);
    let (manual, clock) = clock();
    let mut publisher = Publisher::open(options(root.path(), clock)).unwrap();
    let mut round = || publisher.round(&mut Looking::until(usize::MAX)).unwrap();
    let count = || below(&root.path().join("export-old")).len();
    round();
    rewrite(root.path(), (0, 0), &whole[1..]);
    round();
    manual.advance(Duration::from_secs(1800));
    rewrite(root.path(), (0, 0), &whole[2..]);
    round();
    assert_eq!(count(), 2);
    manual.advance(Duration::from_secs(1800));
    round();
    assert_eq!(count(), 1, "the first is gone");
    manual.advance(Duration::from_secs(1800));
    round();
    assert_eq!(count(), 0);
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The names that a reader finds in a day's folder.
pub(crate) fn list(day: &Path) -> BTreeSet<String> {
    std::fs::read_dir(day).unwrap().map(|entry| name(&entry.unwrap().path())).collect()
}

/// Waits until whoever counts there has done so twice: once it began no earlier than now.
pub(crate) fn wait_for_more<T>(done: &AtomicUsize, by: &ScopedJoinHandle<'_, T>) {
    let enough = done.load(Ordering::Relaxed) + 2;
    while done.load(Ordering::Relaxed) < enough && !by.is_finished() {
        std::thread::yield_now();
    }
}

#[test]
fn whoever_lists_a_day_while_a_segment_is_replaced_sees_one_generation_of_it() {
    let root = tempfile::tempdir().unwrap();
    let whole = clicks(20, 1, EVENING);
    store_in_lane(root.path(), 0, &whole);
    store_in_lane(root.path(), 1, &clicks(5, 2, EVENING));
    round(root.path(), usize::MAX).0.unwrap();
    let day = root.path().join("export/clicks/v1/dt=2026-11-20");
    let (is_over, listed) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let listing = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                let names = list(&day);
                let of_first = names.iter().filter(|name| name.contains("-l00-")).count();
                assert_eq!((names.len(), of_first), (2, 1), "{names:?}");
                seen.extend(names);
                listed.fetch_add(1, Ordering::Relaxed);
            }
            seen
        });
        for generation in 1..20 {
            rewrite(root.path(), (0, 0), &whole[generation..]);
            round(root.path(), usize::MAX).0.unwrap();
            wait_for_more(&listed, &listing);
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(listing.join().unwrap().len() >= 20, "it was listed all the while");
    });
}
