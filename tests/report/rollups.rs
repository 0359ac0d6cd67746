//! Roll-ups come to what the records come to: made by whom and when, deleted, damaged, merged, or not there at all.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use clicklog::compactor::rollup::{COUNTS, Count, Key, Merged, Noted, PARTS, Rollups, Sink, Sums};
use clicklog::store::reader::Reader;

use crate::events::{ByKey, Chance, DAY, HOUR_MICROS, Written, counted, sum};

const BY: [&str; PARTS] = ["campaign", "offer", "source", "network", "lander", "country", "currency"];
/// More than there are events of.
const ALL: Range<i64> = DAY - 10..DAY + 10;

#[derive(Default)]
struct Collected {
    texts: Vec<String>,
    sums: BTreeMap<(i64, Vec<String>), Sums>,
}

impl Sink for Collected {
    fn texts(&mut self, texts: &[&str]) {
        self.texts = texts.iter().map(|text| (*text).to_owned()).collect();
    }

    fn row(&mut self, key: &Key, sums: &Sums) {
        let texts = key.parts.map(|part| self.texts[part as usize].clone()).to_vec();
        self.sums.entry((key.hour, texts)).or_default().add(sums);
    }
}

impl Collected {
    fn named(&self) -> ByKey {
        let named = |sums: &Sums| {
            let counts = Count::ALL.iter().map(|count| (count.name(), i128::from(sums.count(*count))));
            counts.chain([("cost", sums.cost), ("revenue", sums.revenue)]).collect::<BTreeMap<_, _>>()
        };
        self.sums.iter().map(|(key, sums)| (key.clone(), named(sums))).collect()
    }
}

fn read(data: &Path, days: Range<i64>, leaves: bool) -> (ByKey, Noted) {
    let rollups = Rollups::open(&Reader::open(data)).unwrap().unwrap();
    let mut collected = Collected::default();
    let noted = rollups.read(days, leaves, &mut |_, _| {}, &mut collected).unwrap();
    (collected.named(), noted)
}

/// What the records say, as far as roll-ups count it.
fn recount(data: &Path, days: Range<i64>) -> ByKey {
    let mut all = counted(data);
    all.retain(|one| days.contains(&one.time.div_euclid(24 * HOUR_MICROS)));
    let mut sums = sum(&all, &BY, HOUR_MICROS);
    for entry in sums.values_mut() {
        let names = Count::ALL.iter().map(|count| count.name()).chain(["cost", "revenue"]);
        names.for_each(|name| {
            entry.entry(name).or_default();
        });
    }
    sums
}

/// The rules written down in `events` leave some counts out: those are looked at by their unit test.
fn same(data: &Path, days: Range<i64>, leaves: bool, when: &str) -> Noted {
    let (mut found, noted) = read(data, days.clone(), leaves);
    let mut expected = recount(data, days);
    for sums in [&mut found, &mut expected] {
        for entry in sums.values_mut() {
            for name in ["data_centre", "repeats", "no_user_agent"] {
                entry.remove(name);
            }
            entry.retain(|_, sum| *sum != 0);
        }
        sums.retain(|_, entry| !entry.is_empty());
    }
    assert!(found == expected, "{when}: {} rows instead of {}", found.len(), expected.len());
    noted
}

pub(crate) fn files(data: &Path, folder: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(data.join("rollups").join(folder)) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

pub(crate) fn roll_up_all(data: &Path) -> usize {
    let rollups = Rollups::open(&Reader::open(data)).unwrap().unwrap();
    let missing = rollups.missing().unwrap();
    missing.iter().for_each(|id| assert!(rollups.roll_up(*id).unwrap(), "{id:?}"));
    missing.len()
}

pub(crate) fn merge(data: &Path, until: i64) -> Merged {
    let rollups = Rollups::open(&Reader::open(data)).unwrap().unwrap();
    rollups.merge_days(until, || ControlFlow::Continue(())).unwrap()
}

#[test]
fn whatever_is_rolled_up_merged_or_deleted_the_sums_are_those_of_the_records() {
    for seed in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let mut chance = Chance(seed);
        for round in 0..3 {
            let mut written = Written::new(data);
            written.some(&mut chance, 900, 4);
            same(data, ALL, false, &format!("seed {seed}, round {round}, while it is written"));
            written.close();
            for step in 0..6 {
                let when = format!("seed {seed}, round {round}, step {step}");
                match chance.below(5) {
                    0 => drop(roll_up_all(data)),
                    1 => drop(merge(data, DAY + chance.below::<i64>(6))),
                    2 => {
                        let folder = chance.pick(&["clicks", "postbacks", "days"]);
                        let files = files(data, folder);
                        if !files.is_empty() {
                            fs::remove_file(&files[chance.below(files.len())]).unwrap();
                        }
                    }
                    3 => {
                        let folder = chance.pick(&["clicks", "postbacks", "days"]);
                        let files = files(data, folder);
                        if !files.is_empty() {
                            let path = &files[chance.below(files.len())];
                            let mut bytes = fs::read(path).unwrap();
                            let cut = chance.below(bytes.len().max(1));
                            bytes.truncate(cut);
                            fs::write(path, bytes).unwrap();
                        }
                    }
                    _ => {
                        let leaves = chance.below(2) == 0;
                        same(data, ALL, leaves, &when);
                        continue;
                    }
                }
                let from = DAY + chance.below::<i64>(3);
                same(data, from..from + 2, false, &when);
            }
        }
    }
}

#[test]
fn what_is_rolled_up_and_merged_is_not_read_through_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut written = Written::new(data);
    written.some(&mut Chance(7), 2000, 3);
    written.close();
    let segments = roll_up_all(data);
    assert!(segments > 3, "{segments} segments");
    assert_eq!((roll_up_all(data), same(data, ALL, false, "rolled up").scanned), (0, 0));
    // Of the last day nothing is merged, so every segment still has something to say.
    assert_eq!(merge(data, DAY + 2), Merged { days: 2, segments: 0 });
    assert_eq!(same(data, ALL, false, "two days merged").scanned, 0);
    assert_eq!(merge(data, DAY + 3), Merged { days: 1, segments });
    assert_eq!(same(data, ALL, false, "all merged").scanned, 0);
    assert_eq!(merge(data, DAY + 9), Merged::default());
    assert_eq!((files(data, "days").len(), files(data, "clicks"), roll_up_all(data)), (3, vec![], 0));
}

#[test]
fn a_merge_that_stops_anywhere_is_finished_by_the_next() {
    let whole = tempfile::tempdir().unwrap();
    let mut written = Written::new(whole.path());
    written.some(&mut Chance(9), 900, 3);
    written.close();
    roll_up_all(whole.path());
    let expected = recount(whole.path(), ALL);
    let mut stop = 0;
    loop {
        let folder = tempfile::tempdir().unwrap();
        copy(whole.path(), folder.path());
        let rollups = Rollups::open(&Reader::open(folder.path())).unwrap().unwrap();
        let mut left = stop;
        rollups
            .merge_days(DAY + 9, || {
                left -= 1;
                if left < 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        same(folder.path(), ALL, false, &format!("stopped at {stop}"));
        merge(folder.path(), DAY + 9);
        same(folder.path(), ALL, false, &format!("finished after {stop}"));
        assert_eq!(recount(folder.path(), ALL), expected);
        if left >= 0 {
            break;
        }
        stop += 1;
    }
    assert!(stop > 3, "there were steps to stop at");
}

#[test]
fn a_report_leaves_what_it_had_to_make() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut written = Written::new(data);
    written.some(&mut Chance(11), 600, 1);
    written.close();
    assert!(same(data, ALL, false, "leaves nothing").scanned > 0);
    assert_eq!(files(data, "clicks"), [""; 0].map(PathBuf::from));
    assert!(same(data, ALL, true, "leaves them").scanned > 0);
    assert_eq!((same(data, ALL, false, "has them").scanned, roll_up_all(data)), (0, 0));
}

#[test]
fn sums_stay_when_their_segments_are_rewritten_or_gone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut written = Written::new(data);
    written.some(&mut Chance(13), 600, 2);
    written.close();
    roll_up_all(data);
    let before = read(data, ALL, false).0;
    // As if another generation of a segment had been summed up once more.
    let first = &files(data, "clicks")[0];
    fs::copy(first, first.to_str().unwrap().replace("-g0", "-g1")).unwrap();
    assert!(read(data, ALL, false).0 == before, "one segment, two generations");
    for lane in ["lane-00", "lane-01"] {
        for entry in fs::read_dir(data.join("clicks").join(lane)).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    assert!(read(data, ALL, false).0 == before, "without their segments");
    merge(data, DAY + 9);
    assert!(read(data, ALL, false).0 == before, "merged without them");
}

/// The file of a segment goes only when its days' files have all of it, those that were found damaged just now left out.
#[test]
fn a_day_s_file_that_is_damaged_when_more_comes_to_it_takes_no_sums_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    for (seed, until) in [(31, DAY + 1), (32, DAY)] {
        let mut written = Written::new(data);
        written.some(&mut Chance(seed), 900, 2);
        written.close();
        roll_up_all(data);
        merge(data, until);
    }
    let before = read(data, ALL, false).0;
    let day = &files(data, "days")[0];
    let mut bytes = fs::read(day).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    fs::write(day, bytes).unwrap();
    for lane in ["clicks/lane-00", "clicks/lane-01", "postbacks"] {
        for entry in fs::read_dir(data.join(lane)).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    for _round in 0..2 {
        merge(data, DAY + 9);
        assert!(read(data, ALL, false).0 == before, "every segment's file was there yet");
    }
}

#[test]
fn what_cannot_be_counted_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut written = Written::new(data);
    written.some(&mut Chance(17), 300, 1);
    written.close();
    let lane = data.join("clicks/lane-00");
    for entry in fs::read_dir(lane).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let (_, noted) = read(data, ALL, false);
    assert!(!noted.problems.is_empty());
    assert!(noted.problems[0].contains("segment 0 of clicks, lane 0 is not counted"), "{noted:?}");
}

#[test]
fn roll_ups_of_another_store_are_none() {
    let [one, other] = [21, 22].map(|seed| {
        let folder = tempfile::tempdir().unwrap();
        let mut written = Written::new(folder.path());
        written.some(&mut Chance(seed), 300, 1);
        written.close();
        roll_up_all(folder.path());
        folder
    });
    fs::remove_dir_all(one.path().join("rollups")).unwrap();
    copy(&other.path().join("rollups"), &one.path().join("rollups"));
    assert!(same(one.path(), ALL, false, "strangers").scanned > 0);
}

#[test]
fn there_is_a_place_for_each_count_in_a_file() {
    assert_eq!((Count::ALL.len(), COUNTS), (19, 19));
    assert!((0..).zip(Count::ALL).all(|(place, count)| *count as usize == place));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}
