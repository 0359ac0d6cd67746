//! Clicks that another tracker made are found by that tracker's ids.

use clicklog::event::click::{Click, ClickKind};
use clicklog::store::clicks::Clicks;
use clicklog::store::{Error, Lookup, Store};

use crate::support::{click_at, options, record};

fn import(store: &Store, from: u32, to: u32) {
    let mut writer = store.click_writer(0).unwrap();
    for n in from..to {
        let foreign_id = format!("w{n:04}OLDTRACKERID");
        let click = Click { kind: ClickKind::Imported, foreign_id: &foreign_id, ..click_at(n) };
        loop {
            match writer.append(&click) {
                Ok(_) => break,
                Err(Error::NoRoom { .. }) => std::thread::yield_now(),
                Err(error) => panic!("click {n}: {error}"),
            }
        }
        record(&mut writer, n);
    }
    writer.close();
}

fn all_are_found(clicks: &Clicks, count: u32) {
    for n in 0..count {
        let Lookup::Found(found) = clicks.find_foreign(&format!("w{n:04}OLDTRACKERID")) else {
            panic!("foreign click {n} is found")
        };
        assert_eq!(found.click().unwrap().time, click_at(n).time);
    }
    assert!(matches!(clicks.find_foreign("w9999OLDTRACKERID"), Lookup::Absent));
    assert!(matches!(clicks.find_foreign(""), Lookup::Absent));
}

/// More than the smallest table holds, so that it grows while it is filled.
#[test]
fn imported_clicks_are_found_by_their_old_ids_before_and_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    import(&store, 0, 1_500);
    all_are_found(&store.clicks(), 1_500);
    store.close().unwrap();

    let store = Store::open(options(root.path())).unwrap();
    all_are_found(&store.clicks(), 1_500);
    import(&store, 1_500, 1_600);
    all_are_found(&store.clicks(), 1_600);
}

/// Whoever imports the same click again wants the later record, and no answer may depend on a restart.
#[test]
fn an_id_that_was_imported_twice_means_the_later_import_also_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    for (second, foreign_id) in [(1, "w1"), (2, "w1"), (3, "")] {
        let click = Click { kind: ClickKind::Imported, foreign_id, ..click_at(second) };
        writer.append(&click).unwrap();
    }
    let check = |store: &Store| {
        let clicks = store.clicks();
        let Lookup::Found(found) = clicks.find_foreign("w1") else { panic!("it is found") };
        assert_eq!(found.click().unwrap().time, click_at(2).time);
        assert!(matches!(clicks.find_foreign(""), Lookup::Absent), "no id is nobody's id");
    };
    check(&store);
    writer.close();
    store.close().unwrap();
    check(&Store::open(options(root.path())).unwrap());
}
