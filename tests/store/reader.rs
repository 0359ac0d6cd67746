//! Reading from outside: beside a writer, through rolls and seals, over what is missing.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clicklog::event::click::Click;
use clicklog::event::codec::{Encoder, Event, decode};
use clicklog::store::directory::SegmentFile;
use clicklog::store::layout::Identity;
use clicklog::store::manifest::ManifestFile;
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::record::{BODY_OFFSET, FRAME_BYTES, Record};
use clicklog::store::recovery::{Expected, Outcome, recover};
use clicklog::store::segment::{Plan, prepare};
use clicklog::store::space::Disk;
use clicklog::store::{Error, Journal, Result, Store};

use crate::support::{click_at, options, record};

/// The number of the click in a record that `support::record` wrote.
fn number(record: &Record<'_>) -> u32 {
    let Ok(Event::Click(click)) = decode(record.kind, record.schema, record.payload) else {
        panic!("{record:?} is no click")
    };
    click.external_id.strip_prefix("external-").unwrap().parse().unwrap()
}

/// The clicks of lane 0 from `from` on, at most so many, and where to go on.
fn try_read(data: &Path, from: Cursor, records_max: usize) -> Result<(Vec<u32>, Cursor)> {
    let mut found = Vec::new();
    let cursor = Reader::open(data).read(Journal::Clicks, 0, from, |_, record| {
        found.push(number(record));
        if found.len() < records_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok((found, cursor))
}

fn read(data: &Path, from: Cursor) -> (Vec<u32>, Cursor) {
    try_read(data, from, usize::MAX).unwrap()
}

fn all(data: &Path) -> Vec<u32> {
    read(data, Cursor::default()).0
}

/// A cleanly closed store of `count` clicks.
fn filled(data: &Path, count: u32) {
    let store = Store::open(options(data)).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    (0..count).for_each(|n| drop_id(record(&mut writer, n)));
    writer.close();
    store.close().unwrap();
}

fn drop_id<T>(_recorded: T) {}

#[test]
fn a_cursor_follows_a_writer_through_rolls_seals_and_a_restart() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(read(root.path(), Cursor::default()), (vec![], Cursor::default()), "nothing is there yet");
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    assert_eq!(
        read(root.path(), Cursor::default()),
        (vec![], Cursor { segment: 0, offset: BODY_OFFSET }),
        "nothing but a prepared segment"
    );
    let mut cursor = Cursor::default();
    let mut next = 0;
    for step in [1, 1, 10, 500, 1, 700, 3] {
        (next..next + step).for_each(|n| drop_id(record(&mut writer, n)));
        let (found, further) = read(root.path(), cursor);
        assert_eq!(
            found,
            (next..next + step).collect::<Vec<_>>(),
            "whatever is appended is there, and no more"
        );
        assert!(further > cursor);
        assert_eq!(read(root.path(), further), (vec![], further), "nothing twice");
        (cursor, next) = (further, next + step);
        if step == 10 {
            writer.roll_now();
            let lane = store.lane(Journal::Clicks, 0).unwrap();
            while lane.view().sealed.is_empty() {
                thread::yield_now();
            }
            assert_eq!(read(root.path(), cursor), (vec![], cursor), "a seal adds no record");
        }
    }
    drop((writer, store));
    assert_eq!(read(root.path(), cursor), (vec![], cursor), "without a writer it is as it was");
    let store = Store::open(options(root.path())).unwrap();
    assert!(store.report().recovered_segments > 0);
    drop_id(record(&mut store.click_writer(0).unwrap(), next));
    assert_eq!(read(root.path(), cursor).0, [next], "recovery adds no record, and moves none");
    assert_eq!(all(root.path()), (0..=next).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_is_told_to_stop_goes_on_behind_the_last_record() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path(), 1_200);
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    (1_200..1_300).for_each(|n| drop_id(record(&mut writer, n)));
    let (mut found, mut cursor) = (Vec::new(), Cursor::default());
    loop {
        let (few, further) = try_read(root.path(), cursor, 7).unwrap();
        if few.is_empty() {
            break;
        }
        found.extend(few);
        cursor = further;
    }
    assert_eq!(found, (0..1_300).collect::<Vec<_>>());
    let segments = cursor.segment;
    assert!(segments > 1, "sealed ones and an open one");
}

/// A record that is appended to a segment after it was read, and just before the next one is begun, is not passed by.
#[test]
fn beside_a_writer_no_record_is_left_out_nor_out_of_order() {
    const CLICKS: u32 = 5_000;
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..CLICKS {
                record(&mut writer, n);
                if n % 64 == 0 {
                    writer.roll_now();
                }
            }
            is_done.store(true, Ordering::SeqCst);
        });
        let (mut next, mut cursor) = (0, Cursor::default());
        while next < CLICKS {
            let was_done = is_done.load(Ordering::SeqCst);
            let (found, further) = read(root.path(), cursor);
            for n in found {
                assert_eq!(n, next, "reading from {cursor:?}");
                next += 1;
            }
            assert!(!was_done || next == CLICKS, "{next} of {CLICKS} were read");
            cursor = further;
        }
    });
}

/// The lock is the writer's: readers, of this process and of others, need none.
#[test]
fn another_process_reads_what_is_being_written() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    for count in [3, 4] {
        (0..count).for_each(|n| drop_id(record(&mut writer, n)));
    }
    let inspect = Command::new(env!("CARGO_BIN_EXE_clicklog"))
        .args(["inspect", "--kind", "clicks", "--data"])
        .arg(root.path())
        .output()
        .unwrap();
    assert!(inspect.status.success(), "{inspect:?}");
    assert_eq!(String::from_utf8(inspect.stdout).unwrap().lines().count(), 7);
    assert_eq!(all(root.path()), [0, 1, 2, 0, 1, 2, 3]);
}

#[test]
fn records_of_a_sealed_segment_are_read_where_they_lie() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path(), 300);
    let mut bases = BTreeSet::new();
    let read = Reader::open(root.path()).read(Journal::Clicks, 0, Cursor::default(), |at, record| {
        bases.insert(record.payload.as_ptr().addr() - (at.offset() + FRAME_BYTES) as usize);
        ControlFlow::Continue(())
    });
    read.unwrap();
    assert_eq!(bases.len(), 1, "all lie in one mapping, each at its own offset: {bases:?}");
    assert!(bases.iter().all(|base| base.is_multiple_of(4096)), "of the file: {bases:?}");
}

#[test]
fn damage_is_told_with_its_place_and_the_rest_can_be_read() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path(), 1_200);
    let path = root.path().join("clicks/lane-00/0000000-0.seg");
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[BODY_OFFSET as usize + 20] ^= 1;
    fs::write(&path, bytes).unwrap();
    match try_read(root.path(), Cursor::default(), usize::MAX) {
        Err(Error::Corrupt { path: told, offset, .. }) => {
            assert_eq!((told, offset), (path, BODY_OFFSET.into()));
        }
        other => panic!("{other:?}"),
    }
    let (rest, _) = read(root.path(), Cursor { segment: 1, offset: 0 });
    assert!(!rest.is_empty() && rest.last() == Some(&1_199), "{rest:?}");
}

#[test]
fn segments_that_are_dropped_are_passed_by() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path(), 1_200);
    let (first, cursor) = try_read(root.path(), Cursor::default(), 1).unwrap();
    assert_eq!(first, [0]);
    let reader = Reader::open(root.path());
    // As retention does it: the manifest first, then the file.
    let mut manifest = ManifestFile::load(reader.directory()).unwrap().unwrap();
    let forgotten = manifest.update(|manifest| {
        manifest.forget(Journal::Clicks, 0, 0);
        Ok(())
    });
    forgotten.unwrap();
    fs::remove_file(reader.directory().segment(Journal::Clicks, 0, 0, 0)).unwrap();
    let (rest, further) = read(root.path(), cursor);
    assert_eq!(rest.last(), Some(&1_199));
    assert!(rest[0] > 1 && further.segment > 1);
    assert_eq!(reader.unreadable(Journal::Clicks, 0).unwrap(), [0; 0], "nobody misses them");
}

#[test]
fn segments_that_cannot_be_read_are_passed_by_and_told() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    (0..1_800).for_each(|n| drop_id(record(&mut writer, n)));
    let tail = writer.lane().view().open.last().unwrap().number();
    drop((writer, store));
    let reader = Reader::open(root.path());
    assert_eq!(reader.unreadable(Journal::Clicks, 0).unwrap(), [0; 0]);

    let of = |segment| reader.directory().segment(Journal::Clicks, 0, segment, 0);
    let mut bytes = fs::read(of(tail)).unwrap();
    bytes[..2048].fill(0xee);
    fs::write(of(tail), bytes).unwrap();
    let store = Store::open(options(root.path())).unwrap();
    assert_eq!(store.report().quarantined_segments, 1);
    let next = 10_000;
    drop_id(record(&mut store.click_writer(0).unwrap(), next));
    assert_eq!(reader.unreadable(Journal::Clicks, 0).unwrap(), [tail], "in quarantine");
    let found = all(root.path());
    assert_eq!(found.last(), Some(&next), "what came later is read");
    assert!(found.len() > 500 && found.len() < 1_800, "{}", found.len());

    fs::remove_file(of(0)).unwrap();
    assert_eq!(reader.unreadable(Journal::Clicks, 0).unwrap(), [0, tail], "the first is gone");
    assert!(all(root.path())[0] > 0);
    assert_eq!(reader.unreadable(Journal::Postbacks, 0).unwrap(), [0; 0]);
}

/// A sealed generation 1 of the first segment, that holds only `kept`.
fn rewrite(data: &Path, kept: &[u32]) -> SegmentFile {
    let reader = Reader::open(data);
    let store = ManifestFile::load(reader.directory()).unwrap().unwrap().current().store;
    let (journal, node, lane) = (Journal::Clicks, 0, 0);
    let identity = Identity { store, journal, node, lane, segment: 0, generation: 1 };
    let created = click_at(0).time;
    let plan = Plan { identity, segment_bytes: 128 * 1024, created, click_key: 0 };
    let (mut appender, mut encoder) =
        (prepare(reader.directory(), &Disk::System, &plan).unwrap(), Encoder::default());
    for n in kept {
        let external_id = format!("external-{n}");
        let click = Click { external_id: &external_id, ..click_at(*n) };
        appender.append(&encoder.click(&click).unwrap());
    }
    drop(appender);
    let path = reader.directory().segment(journal, lane, 0, 1);
    let file = SegmentFile { segment: 0, generation: 1, path };
    let expected = Expected { store, node, journal, lane };
    let outcome = recover(reader.directory(), &file, &expected, false, created).unwrap();
    assert!(matches!(outcome, Outcome::Recovered { .. }), "{outcome:?}");
    file
}

/// A rewrite that was begun and not published may be half of one.
#[test]
fn a_rewritten_segment_is_read_once_it_is_published_and_not_before() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path(), 1_200);
    let reader = Reader::open(root.path());
    fs::write(reader.directory().segment(Journal::Clicks, 0, 0, 1), [0; 5_000]).unwrap();
    let whole: Vec<_> = (0..1_200).collect();
    assert_eq!(all(root.path()), whole, "half a file");
    fs::remove_file(reader.directory().segment(Journal::Clicks, 0, 0, 1)).unwrap();
    let rewritten = rewrite(root.path(), &[0, 2]);
    assert_eq!(all(root.path()), whole, "a whole one that nobody vouches for");

    let mut manifest = ManifestFile::load(reader.directory()).unwrap().unwrap();
    let published = manifest.update(|manifest| {
        let lane = manifest.lanes.get_mut(&(Journal::Clicks, 0)).unwrap();
        lane.segments.get_mut(&0).unwrap().generation = 1;
        Ok(())
    });
    published.unwrap();
    let erased = all(root.path());
    assert_eq!(erased[..2], [0, 2]);
    assert!(erased[2] > 100 && erased.last() == Some(&1_199));
    fs::remove_file(reader.directory().segment(Journal::Clicks, 0, 0, 0)).unwrap();
    assert_eq!(all(root.path()), erased);
    assert!(rewritten.path.exists());
}
