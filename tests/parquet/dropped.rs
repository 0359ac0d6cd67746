//! What is published of a segment goes with it.

use std::path::Path;

use clicklog::store::layout::Footer;
use clicklog::store::{Journal, Options as StoreOptions, Store};

use crate::days::{HOUR, closed, evening, go, lasting, round};
use crate::events::{EVENING, roomy};
use crate::rounds::{clicks, copy, cost, store_in_lane, totals};

/// As retention does it. The newest sealed segment stays.
pub(crate) fn drop_first(data: &Path, lane: u8) {
    let store = Store::open(StoreOptions { lanes: 2, ..roomy(data) }).unwrap();
    let rewriter = store.rewriter();
    let of_lane = |one: &&Footer| (one.identity.journal, one.identity.lane) == (Journal::Clicks, lane);
    let first = rewriter.sealed().iter().find(of_lane).unwrap().identity.segment;
    let gone = rewriter.drop_segments(Journal::Clicks, lane, &[first]).unwrap();
    assert_eq!(gone.len(), 1, "segment {first}");
    drop(rewriter);
    store.close().unwrap();
}

#[test]
fn of_a_segment_that_the_journals_dropped_no_file_is_left_whatever_step_it_stops_at() {
    let root = tempfile::tempdir().unwrap();
    let (old, new) = (clicks(20, 1, EVENING), clicks(10, 2, EVENING + 1_000_000));
    let original = root.path().join("original");
    store_in_lane(&original, 0, &old);
    store_in_lane(&original, 0, &new);
    // The next day is far: nothing is merged.
    let (done, looking) = crate::rounds::round_at(EVENING, &original, usize::MAX);
    done.unwrap();
    assert_eq!((looking.published, totals(&original, "clicks", "cost").0), (2, 30));
    drop_first(&original, 0);
    for steps in 0.. {
        let data = root.path().join(format!("after-{steps}"));
        copy(&original, &data);
        let (done, _) = crate::rounds::round_at(EVENING, &data, steps);
        let (again, _) = crate::rounds::round_at(EVENING, &data, usize::MAX);
        again.unwrap();
        assert_eq!(totals(&data, "clicks", "cost"), (10, cost(&new)), "after {steps} steps");
        let (_, looking) = crate::rounds::round_at(EVENING, &data, usize::MAX);
        assert_eq!(looking.steps, [], "it is done after {steps} steps");
        if done.is_ok() {
            assert!(steps > 2);
            break;
        }
    }
}

#[test]
fn a_merged_day_is_merged_again_without_what_was_dropped_and_goes_with_the_last_of_it() {
    let root = tempfile::tempdir().unwrap();
    let (old, other) = (clicks(20, 1, EVENING), clicks(10, 2, EVENING + 1_000_000));
    store_in_lane(root.path(), 0, &old);
    store_in_lane(root.path(), 1, &other);
    // What comes later keeps each lane's newest segment.
    for lane in [0, 1] {
        store_in_lane(root.path(), lane, &clicks(1, 3, crate::days::MORNING));
    }
    let (mut publisher, manual) = lasting(root.path());
    go(&mut publisher);
    assert_eq!(closed(root.path()).rows, 30);
    drop_first(root.path(), 0);
    go(&mut publisher);
    manual.advance(HOUR);
    let looking = go(&mut publisher);
    assert_eq!(looking.failed, [""; 0]);
    assert_eq!((closed(root.path()).revision, closed(root.path()).rows), (2, 10));
    assert_eq!(totals(root.path(), "clicks", "cost").0, 10 + 2);
    drop_first(root.path(), 1);
    // Another run knows it from what is written down.
    let (mut publisher, manual) = lasting(root.path());
    go(&mut publisher);
    manual.advance(HOUR);
    let looking = go(&mut publisher);
    assert_eq!((looking.failed, evening(root.path()).exists()), (Vec::new(), false));
    assert_eq!(totals(root.path(), "clicks", "cost").0, 2);
    assert_eq!(round(root.path(), 0).1.steps, [], "a later run knows it all");
}
