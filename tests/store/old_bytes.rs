//! A store that version 1 wrote is opened by every later build, and every record of it is found.
//!
//! In: `tests/fixtures/store-v1`: a folder as a kill left it, sealed segments and unsealed tails. Out: the same
//! records, look-ups and dedupe answers as on the day it was written.
//! Keeps: files lie there without their empty pages; `listing.txt` says mode, length, which pages those are, and
//! name. `ids.txt` says which click id names which click.
//! `CLICKLOG_BLESS=1` writes the folder anew; once a release has shipped the format, a new one gets its own folder.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Once;

use clicklog::clock::{Clock, ManualClock, Timestamp};
use clicklog::event::click::{Click, ClickKind};
use clicklog::event::codec::{Encoder, Event, decode};
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::delivery::DeliveryOutcome;
use clicklog::event::postback::Postback;
use clicklog::store::dedupe::checkpoint;
use clicklog::store::dedupe::restore::restore;
use clicklog::store::directory::Directory;
use clicklog::store::layout::SEGMENT_BYTES_MIN;
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::verify::verify;
use clicklog::store::{Journal, LaneWriter, Lookup, Options, Position, Store};

use crate::support::{append, click_at, options, record};

const PAGE_BYTES: usize = 4096;

/// Clicks of lane 0 in its first segment, its second, and its unsealed tail; of lane 1 all are in the tail.
const CLICKS: [u32; 3] = [40, 30, 10];
/// The clicks that were imported: one in a sealed segment, one in a tail. The second takes the id of the first.
const IMPORTED: [u32; 2] = [45, 72];
const FOREIGN_ID: &str = "w7G3K5QOLDTRACKER";
const LANE_1_CLICKS: u32 = 5;
/// Postbacks in the sealed segment, and with those of the tail. Each has a decision, of one in `KEYS` conversions.
const POSTBACKS: [u32; 2] = [20, 24];
const KEYS: u32 = 7;
const OUTCOMES: u32 = 3;

fn options_v1(data: &Path) -> Options {
    let clock = ManualClock::at(Timestamp::from_seconds(1_795_161_000));
    Options {
        lanes: 2,
        click_segment_bytes: SEGMENT_BYTES_MIN,
        journal_segment_bytes: SEGMENT_BYTES_MIN,
        clock: Clock::Manual(clock),
        ..options(data)
    }
}

#[test]
fn a_store_of_version_1_gives_every_record_and_every_answer() {
    let root = restored();
    let ids = read_ids();
    let store = Store::open(options_v1(root.path())).unwrap();
    let report = *store.report();
    assert!(!report.was_clean);
    assert_eq!((report.sealed_segments, report.recovered_segments), (3, 4), "{report:?}");
    assert_eq!((report.damaged_bytes, report.missing_segments, report.undecodable_records), (0, 0, 0));

    let clicks = store.clicks();
    assert_eq!(ids.len(), CLICKS.iter().sum::<u32>() as usize + LANE_1_CLICKS as usize);
    for (id, external_id) in &ids {
        let Lookup::Found(found) = clicks.find(&id.parse().unwrap()) else {
            panic!("{external_id} is found")
        };
        assert_eq!(found.click().unwrap().external_id, external_id);
    }
    let Lookup::Found(found) = clicks.find_foreign(FOREIGN_ID) else { panic!("the import is found") };
    let newest = IMPORTED[1];
    assert_eq!(found.click(), Some(imported(newest, &external_id(0, newest))));

    dedupe_answers_as_it_did(&store);
    let mut writer = store.click_writer(0).unwrap();
    let fresh = record(&mut writer, 0).click_id.to_string();
    assert!(!ids.contains_key(&fresh), "an id is never given out twice");
    writer.close();
    store.close().unwrap();
    is_sound(root.path(), all_records() + 1);
}

#[test]
fn a_reader_and_verify_need_no_recovery_to_read_a_store_of_version_1() {
    let root = restored();
    is_sound(root.path(), all_records());
    let mut encoder = Encoder::default();
    for lane in [0, 1] {
        let expected: Vec<_> = clicks_of(lane).map(|n| external_id(lane, n)).collect();
        let found = events(root.path(), Journal::Clicks, lane, |event| match event {
            Event::Click(click) => click.external_id.to_owned(),
            other => panic!("{other:?} is no click"),
        });
        assert_eq!(found, expected);
    }
    // Whole records, as bytes: what they say is compared field by field.
    let mut expected = Vec::new();
    for n in 0..POSTBACKS[1] {
        expected.push(encoder.postback(&postback(n, &query(n))).unwrap().payload.to_vec());
        expected.push(encoder.decision(&decision(n, &key(n), 0)).unwrap().payload.to_vec());
    }
    let found = events(root.path(), Journal::Postbacks, 0, |event| match event {
        Event::Postback(postback) => encoder.postback(&postback).unwrap().payload.to_vec(),
        Event::Decision(decision) => {
            let unplaced = Decision { postback: 0, ..decision };
            encoder.decision(&unplaced).unwrap().payload.to_vec()
        }
        other => panic!("{other:?} in the postbacks journal"),
    });
    assert_eq!(found, expected);
    let attempts = events(root.path(), Journal::Deliveries, 0, |event| match event {
        Event::DeliveryOutcome(outcome) => u32::from(outcome.attempt),
        other => panic!("{other:?} in the deliveries journal"),
    });
    assert_eq!(attempts, (0..OUTCOMES).collect::<Vec<_>>());
}

/// The newest decision of each conversion is found, from the checkpoint and what came after it.
fn dedupe_answers_as_it_did(store: &Store) {
    let lane = store.lane(Journal::Postbacks, 0).unwrap();
    let restored = restore(store.directory(), lane, store.dedupe_key(), 1_000).unwrap();
    assert_eq!(restored.refused, None);
    assert_eq!(restored.table.len(), KEYS as usize);
    assert_eq!(restored.replayed, u64::from(POSTBACKS[1] - POSTBACKS[0]), "the checkpoint is read");
    let view = lane.view();
    for n in POSTBACKS[1] - KEYS..POSTBACKS[1] {
        let hash = store.dedupe_key().hash(key(n).as_bytes());
        let at = restored.table.find(hash, |_| true).unwrap();
        let copied = view.sealed(at.segment()).unwrap().read(at.offset()).unwrap();
        let record = copied.record();
        let Ok(Event::Decision(found)) = decode(record.kind, record.schema, record.payload) else {
            panic!("a decision lies at {at}")
        };
        assert_eq!(found, decision(n, &key(n), found.postback));
    }
}

fn is_sound(data: &Path, records: u64) {
    let walked = verify(&Directory::new(data), &mut |_, _| {}).unwrap();
    assert!(walked.is_sound(), "{walked}");
    assert_eq!(walked.records, records);
}

fn all_records() -> u64 {
    u64::from(CLICKS.iter().sum::<u32>() + LANE_1_CLICKS + 2 * POSTBACKS[1] + OUTCOMES)
}

/// What `look` makes of each event of a lane.
fn events<T>(data: &Path, journal: Journal, lane: u8, mut look: impl FnMut(Event<'_>) -> T) -> Vec<T> {
    let mut found = Vec::new();
    let read = Reader::open(data).read(journal, lane, Cursor::default(), |at, record| {
        let event = decode(record.kind, record.schema, record.payload);
        found.push(look(event.unwrap_or_else(|error| panic!("{at}: {error}"))));
        ControlFlow::Continue(())
    });
    read.unwrap();
    found
}

// ---- what was written ----

fn clicks_of(lane: u8) -> std::ops::Range<u32> {
    0..if lane == 0 { CLICKS.iter().sum() } else { LANE_1_CLICKS }
}

fn external_id(lane: u8, n: u32) -> String {
    format!("external-{lane}-{n}")
}

fn imported(n: u32, external_id: &str) -> Click<'_> {
    Click { kind: ClickKind::Imported, foreign_id: FOREIGN_ID, external_id, ..click_at(n) }
}

fn query(n: u32) -> String {
    format!("cid=abc&payout=3.50&txid={}", key(n))
}

fn key(n: u32) -> String {
    format!("t{}", n % KEYS)
}

fn postback(n: u32, query: &str) -> Postback<'_> {
    Postback { time: click_at(n).time, network: "revboost", method: "GET", query, ..Postback::default() }
}

fn decision(n: u32, key: &str, postback: u64) -> Decision<'_> {
    let verdict = if n < KEYS { Verdict::Accepted } else { Verdict::Duplicate };
    let (time, dedupe_key) = (click_at(n).time, key.as_bytes());
    Decision { time, postback, verdict, sequence: n / KEYS, dedupe_key, ..Decision::default() }
}

/// Writes the store into `data`, gives the text of `ids.txt`, and leaves everything as a kill would.
fn write_v1(data: &Path) -> String {
    let store = Store::open(options_v1(data)).unwrap();
    let mut ids = String::new();
    let mut writers = [store.click_writer(0).unwrap(), store.click_writer(1).unwrap()];
    for (lane, writer) in (0..).zip(&mut writers) {
        for n in clicks_of(lane) {
            let external_id = external_id(lane, n);
            let plain = Click { external_id: &external_id, ..click_at(n) };
            let is_import = lane == 0 && IMPORTED.contains(&n);
            let click = if is_import { imported(n, &external_id) } else { plain };
            let id = append(|| writer.append(&click)).click_id;
            writeln!(ids, "{id} {external_id}").unwrap();
            if lane == 0 && (n + 1 == CLICKS[0] || n + 1 == CLICKS[0] + CLICKS[1]) {
                writer.roll_now();
            }
        }
    }
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    write_postbacks(&store, &mut journal);
    let mut deliveries = store.journal_writer(Journal::Deliveries).unwrap();
    let mut encoder = Encoder::default();
    for attempt in 0..OUTCOMES {
        let attempt = u16::try_from(attempt).unwrap();
        let outcome = DeliveryOutcome { attempt, destination: "propeller-s2s", ..DeliveryOutcome::default() };
        append(|| deliveries.append(&encoder.outcome(&outcome).unwrap()));
    }
    for lane in [writers[0].lane(), writers[1].lane(), journal.lane(), deliveries.lane()] {
        lane.sync().unwrap();
    }
    drop(store);
    ids
}

/// Postbacks and decisions, a roll, a checkpoint of the dedupe table up to there, and the rest.
fn write_postbacks(store: &Store, journal: &mut LaneWriter) {
    let mut encoder = Encoder::default();
    for n in 0..POSTBACKS[1] {
        if n == POSTBACKS[0] {
            journal.roll_now();
            journal.lane().sync().unwrap();
            while journal.lane().view().sealed.is_empty() {
                std::thread::yield_now();
            }
            let restored = restore(store.directory(), journal.lane(), store.dedupe_key(), 1_000).unwrap();
            let footer = *journal.lane().view().sealed[0].footer();
            let covered = Position::new(footer.identity.segment, footer.summary.end);
            let path = store.directory().dedupe_checkpoint();
            checkpoint::write(&path, &restored.table, store.dedupe_key(), covered).unwrap();
        }
        let at = append(|| journal.append(&encoder.postback(&postback(n, &query(n))).unwrap())).position();
        let key = key(n);
        let decision = decision(n, &key, at.to_u64());
        append(|| journal.append(&encoder.decision(&decision).unwrap()));
    }
}

// ---- the fixture ----

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v1")
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// By id, the external id of its click.
fn read_ids() -> BTreeMap<String, String> {
    let text = String::from_utf8(read(&folder().join("ids.txt"))).unwrap();
    let pairs = text.lines().map(|line| line.split_once(' ').unwrap());
    pairs.map(|(id, external_id)| (id.to_owned(), external_id.to_owned())).collect()
}

/// The data folder as it was, in a place of its own.
fn restored() -> tempfile::TempDir {
    static BLESSED: Once = Once::new();
    if std::env::var_os("CLICKLOG_BLESS").is_some() {
        BLESSED.call_once(bless);
    }
    let root = tempfile::tempdir().unwrap();
    let listing = String::from_utf8(read(&folder().join("listing.txt"))).unwrap();
    for line in listing.lines() {
        let [mode, bytes, pages, name] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(&path).unwrap();
        let mut kept = &*read(&folder().join("data").join(name));
        for page in pages.split(',').filter(|page| *page != "-") {
            let (head, rest) = kept.split_at(PAGE_BYTES.min(kept.len()));
            file.write_all_at(head, page.parse::<u64>().unwrap() * PAGE_BYTES as u64).unwrap();
            kept = rest;
        }
        assert!(kept.is_empty(), "{name}: the listing names every page");
        file.set_len(bytes.parse().unwrap()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap())).unwrap();
    }
    root
}

fn bless() {
    let root = tempfile::tempdir().unwrap();
    let ids = write_v1(root.path());
    if folder().exists() {
        fs::remove_dir_all(folder()).unwrap();
    }
    fs::create_dir_all(folder()).unwrap();
    fs::write(folder().join("ids.txt"), ids).unwrap();
    let mut listing = String::new();
    for name in files_below(root.path()) {
        let (from, to) = (root.path().join(&name), folder().join("data").join(&name));
        let bytes = read(&from);
        let filled =
            bytes.chunks(PAGE_BYTES).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
        let (pages, kept): (Vec<_>, Vec<_>) = filled.map(|(at, page)| (at.to_string(), page)).unzip();
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, kept.concat()).unwrap();
        let mode = fs::metadata(&from).unwrap().permissions().mode() & 0o777;
        let pages = if pages.is_empty() { "-".to_owned() } else { pages.join(",") };
        writeln!(listing, "{mode:04o} {} {pages} {}", bytes.len(), name.display()).unwrap();
    }
    fs::write(folder().join("listing.txt"), listing).unwrap();
}

/// Every file, by its path within `root`, in order.
fn files_below(root: &Path) -> Vec<PathBuf> {
    let (mut pending, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                files.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}
