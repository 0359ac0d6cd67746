//! The dedupe table after a restart: the same with its checkpoint, without it, and with a damaged one.

use crate::support::{click_at, options};
use clicklog::event::codec::Encoder;
use clicklog::event::decision::Decision;
use clicklog::store::dedupe::restore::{Restored, restore};
use clicklog::store::dedupe::{Table, checkpoint};
use clicklog::store::{Error, Journal, LaneWriter, Position, Store};

const ENTRIES_MAX: usize = 100_000;

/// Writes a decision with this dedupe key, waiting for a segment where the preparer is behind.
fn decide(journal: &mut LaneWriter, encoder: &mut Encoder, n: u32, key: &str) -> Position {
    let decision = Decision { time: click_at(n).time, dedupe_key: key.as_bytes(), ..Decision::default() };
    let encoded = encoder.decision(&decision).unwrap();
    loop {
        match journal.append(&encoded) {
            Ok(appended) => return appended.position(),
            Err(Error::NoRoom { .. }) => std::thread::yield_now(),
            Err(error) => panic!("decision {n}: {error}"),
        }
    }
}

fn restored(store: &Store) -> Restored {
    let lane = store.lane(Journal::Postbacks, 0).unwrap();
    restore(store.directory(), lane, store.dedupe_key(), ENTRIES_MAX).unwrap()
}

fn entries(table: &Table) -> Vec<(u64, Position)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_unstable();
    entries
}

#[test]
fn a_missing_damaged_or_foreign_checkpoint_changes_no_answer() {
    let root = tempfile::tempdir().unwrap();
    let mut encoder = Encoder::default();
    let store = Store::open(options(root.path())).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    for n in 0..1_000 {
        decide(&mut journal, &mut encoder, n, &format!("t{}", n % 700));
    }
    journal.close();
    store.close().unwrap();

    let store = Store::open(options(root.path())).unwrap();
    let first = restored(&store);
    assert_eq!((first.table.len(), first.replayed), (700, 1_000), "the newest of each key");
    let lane = store.lane(Journal::Postbacks, 0).unwrap();
    let covered = {
        let view = lane.view();
        let footer = *view.sealed.last().unwrap().footer();
        Position::new(footer.identity.segment, footer.summary.end)
    };
    let path = store.directory().dedupe_checkpoint();
    checkpoint::write(&path, &first.table, store.dedupe_key(), covered).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let newest = decide(&mut journal, &mut encoder, 0, "t5");
    journal.close();
    store.close().unwrap();

    let store = Store::open(options(root.path())).unwrap();
    let with = restored(&store);
    assert_eq!(with.replayed, 1, "only what came after the checkpoint is read");
    let hash = store.dedupe_key().hash(b"t5");
    assert_eq!(with.table.find(hash, |_| true), Some(newest));

    let whole = std::fs::read(&path).unwrap();
    for damage in [None, Some(whole.len() / 2), Some(3)] {
        match damage {
            None => std::fs::remove_file(&path).unwrap(),
            Some(at) => {
                let mut bytes = whole.clone();
                bytes[at] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
        }
        let without = restored(&store);
        assert_eq!(without.refused.is_some(), damage.is_some(), "{:?}", without.refused);
        assert_eq!(without.replayed, 1_001);
        assert_eq!(entries(&without.table), entries(&with.table));
    }
}

#[test]
fn a_checkpoint_ahead_of_the_journal_is_left_aside() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let path = store.directory().dedupe_checkpoint();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut table = Table::new(ENTRIES_MAX);
    table.insert(1, Position::new(9, 4096)).unwrap();
    checkpoint::write(&path, &table, store.dedupe_key(), Position::new(10, 4096)).unwrap();
    let restored = restored(&store);
    assert!(restored.refused.unwrap().contains("more than the journal holds"));
    assert!(restored.table.is_empty());
}
