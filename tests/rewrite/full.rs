//! A disk that fills up while segments are made anew: they stay what they were, clicks are taken meanwhile, and once there is
//! room all is done, under the names that it would have had.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clicklog::compactor::rewrite::{Alone, Pass};
use clicklog::event::click::Click;
use clicklog::event::click_id::ClickId;
use clicklog::store::directory::Directory;
use clicklog::store::verify::verify;
use clicklog::store::{Lookup, Position, Store};

use crate::ballast::Ballast;
use crate::disk::{Disk, run, skipped};
use crate::retaining::{later, rules};
use crate::support::{click_at, options};
use crate::world::{VISITORS, books, filled, marker, money};

/// From one try to the next.
const MORE_ROOM: usize = 16 * 1024;

/// Segments and their indexes, but for those that are still written.
fn sealed(store: &Store) -> BTreeSet<PathBuf> {
    let names = store.rewriter().sealed().into_iter().map(|footer| {
        let of = footer.identity;
        store.directory().segment(of.journal, of.lane, of.segment, of.generation)
    });
    names.map(|path| path.strip_prefix(store.directory().root()).unwrap().to_owned()).collect()
}

/// Every visitor's click is found, with what it says of him or without.
fn assert_found(store: &Store, ids: &[ClickId], is_old: bool) {
    for n in (0..VISITORS).step_by(13) {
        let Lookup::Found(found) = store.clicks().find(&ids[n as usize]) else { panic!("click {n}") };
        let click = found.click().unwrap();
        assert_eq!(click.external_id, marker(n));
        assert!(!is_old || click.user_agent.is_empty(), "click {n}");
    }
}

/// With the holes of sealed segments, which would fill a small disk.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").args(["-r", "--sparse=always"]).arg(from).arg(to)).unwrap();
}

fn names_of(made: &Path) -> BTreeSet<PathBuf> {
    let store = Store::open(options(made)).unwrap();
    let mut pass = Pass::new(store.rewriter(), store.directory());
    let report = pass.run(&rules(), Position::START, later(30), &mut Alone).unwrap();
    assert!(report.rewritten > 3, "{report:?}");
    sealed(&store)
}

#[test]
fn a_disk_that_fills_up_while_segments_are_made_anew_leaves_them_whole_and_takes_clicks() {
    let root = tempfile::tempdir().unwrap();
    let disk = match Disk::make(root.path(), 24 << 20) {
        Ok(disk) => disk,
        Err(reason) => return skipped(&format!("no small disk can be mounted here: {reason}")),
    };
    let (made, whole, data) =
        (root.path().join("made"), root.path().join("whole"), disk.point().join("data"));
    let ids = filled(&made);
    let before = books(&made);
    copy(&made, &whole);
    let expected = names_of(&whole);
    for room in (0..).step_by(MORE_ROOM) {
        copy(&made, &data);
        let store = Store::open(options(&data)).unwrap();
        let mut writer = store.click_writer(0).unwrap();
        let mut pass = Pass::new(store.rewriter(), store.directory());
        let ballast = Ballast::leaving(disk.point(), room);
        let done = pass.run(&rules(), Position::START, later(30), &mut Alone);
        assert_eq!(store.poison().cause(), None, "with {room} bytes");
        assert_eq!(books(&data), before, "with {room} bytes");
        assert_found(&store, &ids, false);
        // In the segment that was made for it before.
        let click = Click { cost: Some(money(0)), ..click_at(0) };
        let recorded = writer.append(&click).unwrap();
        writer.lane().sync().unwrap();
        if done.as_ref().is_ok_and(|report| report.failed.is_empty()) {
            assert!(room > 0, "there was no room");
            return;
        }

        drop(ballast);
        let report = pass.run(&rules(), Position::START, later(30), &mut Alone).unwrap();
        assert!(report.failed.is_empty(), "after {room} bytes, with room: {report:?}");
        assert_eq!(sealed(&store), expected, "after {room} bytes");
        assert_found(&store, &ids, true);
        assert!(matches!(store.clicks().find(&recorded.click_id), Lookup::Found(_)));
        assert_eq!(books(&data), before);
        writer.close();
        drop(pass);
        store.close().unwrap();
        let checked = verify(&Directory::new(&data), &mut |_, _| {}).unwrap();
        assert!(checked.is_sound(), "after {room} bytes: {checked:?}");
        fs::remove_dir_all(&data).unwrap();
    }
}
