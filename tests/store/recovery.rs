//! Recovery under every cut and every flipped bit: a prefix, or a subset with no wrong record.

use std::fs;
use std::path::{Path, PathBuf};

use clicklog::event::codec::Encoder;
use clicklog::event::postback::Postback;
use clicklog::store::layout::{Header, Identity};
use clicklog::store::manifest::ManifestFile;
use clicklog::store::record::{BODY_OFFSET, Found, read_at};
use clicklog::store::recovery::examine;
use clicklog::store::scan::{Scan, Tail};
use clicklog::store::verify::verify;
use clicklog::store::{Journal, Lookup, Store, directory::Directory};

use crate::support::{click_at, options, record};

/// A segment that nobody sealed: its bytes, its records, and how far it was synced.
struct Image {
    bytes: Vec<u8>,
    identity: Identity,
    /// Start, end, payload of each record.
    records: Vec<(u32, u32, Vec<u8>)>,
    synced: u32,
}

impl Image {
    /// Eight postbacks, of which the first four were synced: written by a store that was then left as it was.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(options(root.path())).unwrap();
        let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
        let mut encoder = Encoder::default();
        for n in 0..8 {
            let query = format!("cid=abc&payout=3.50&txid=t{n}{}", "x".repeat(n * 3));
            let postback = Postback { time: click_at(0).time, query: &query, ..Postback::default() };
            journal.append(&encoder.postback(&postback).unwrap()).unwrap();
            if n == 3 {
                journal.lane().sync().unwrap();
            }
        }
        let synced = journal.lane().synced().offset();
        let path = store.directory().segment(Journal::Postbacks, 0, 0, 0);
        let bytes = fs::read(path).unwrap();
        let identity = Header::from_front(&bytes).unwrap().identity;
        let mut records = Vec::new();
        let mut offset = BODY_OFFSET;
        while let Found::Record(found) = read_at(&bytes, identity.seed(), offset) {
            records.push((offset, found.end(), found.payload.to_vec()));
            offset = found.end();
        }
        assert_eq!(records.len(), 8);
        assert_eq!(synced, records[3].1);
        Self { bytes, identity, records, synced }
    }

    fn end(&self) -> u32 {
        self.records[7].1
    }

    /// Which of the records a scan of these bytes finds, each with its own payload.
    fn survivors(&self, bytes: &[u8], found: &Scan, what: &str) -> Vec<usize> {
        let mut survivors = Vec::new();
        for (ordinal, units) in
            found.slots.iter().enumerate().filter(|(_, units)| !matches!(**units, 0 | u32::MAX))
        {
            let Found::Record(record) = read_at(bytes, self.identity.seed(), units * 16) else {
                panic!("{what}: slot {ordinal} leads to a record")
            };
            assert_eq!(record.offset, self.records[ordinal].0, "{what}: it is where it was");
            assert_eq!(record.payload, self.records[ordinal].2, "{what}: it says what it said");
            survivors.push(ordinal);
        }
        assert_eq!(survivors.len(), found.summary.records as usize, "{what}");
        survivors
    }
}

fn is_prefix(survivors: &[usize]) -> bool {
    survivors.iter().enumerate().all(|(index, ordinal)| index == *ordinal)
}

#[test]
fn every_cut_keeps_each_whole_record_and_nothing_else() {
    let image = Image::new();
    for cut in 0..=image.end() + 32 {
        let bytes = &image.bytes[..cut as usize];
        let what = format!("cut at byte {cut}");
        for tail in [Tail::Cut, Tail::Salvage] {
            let Some((_, _, found)) = examine(bytes, &image.identity, tail) else {
                assert!(cut < 1152, "{what}: the header or its copy is there");
                continue;
            };
            let survivors = image.survivors(bytes, &found, &what);
            let whole = image.records.iter().filter(|(_, end, _)| *end <= cut).count();
            // A payload that ends in the padding is whole before its padding is.
            assert!(survivors.len() == whole || survivors.len() == whole + 1, "{what}: {survivors:?}");
            assert!(is_prefix(&survivors), "{what}");
            if cut + 16 < image.synced && cut > 4096 {
                assert!(found.is_corrupt(), "{what}: synced bytes are missing, and that is said");
            }
            if cut >= image.synced {
                assert!(!found.is_corrupt(), "{what}: nothing that was promised is missing");
            }
        }
    }
}

/// A file that ends before the padding of its last record does: cut so by a crash, or by a copy.
#[test]
fn a_file_that_ends_within_its_last_padding_is_opened() {
    for text_bytes in 0..16 {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(options(root.path())).unwrap();
        let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
        let path = store.directory().segment(Journal::Postbacks, 0, 0, 0);
        let mut encoder = Encoder::default();
        let query = "x".repeat(text_bytes);
        let postback = Postback { time: click_at(0).time, query: &query, ..Postback::default() };
        let appended = journal.append(&encoder.postback(&postback).unwrap()).unwrap();
        drop((journal, store));
        let len = encoder.postback(&postback).unwrap().payload.len() as u64;
        let payload_end = u64::from(appended.position().offset()) + 16 + len;
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(payload_end).unwrap();
        let store = Store::open(options(root.path())).unwrap();
        assert_eq!((store.report().recovered_records, store.report().damaged_bytes), (1, 0), "{payload_end}");
        store.close().unwrap();
        let walked = verify(&Directory::new(root.path()), &mut |_, _| {}).unwrap();
        assert!(walked.is_sound(), "{walked}");
    }
}

#[test]
fn every_flipped_bit_loses_at_most_its_own_record_or_what_was_never_promised() {
    let image = Image::new();
    let pages = (0..128).chain(512..520).chain(1024..1152).chain(BODY_OFFSET..image.end() + 64);
    let footer = 128 * 1024 - 4096;
    for byte in pages.chain(footer..footer + 128) {
        for bit in 0..8 {
            let mut bytes = image.bytes.clone();
            bytes[byte as usize] ^= 1 << bit;
            let what = format!("byte {byte}, bit {bit}");
            let hit = image.records.iter().position(|(start, end, _)| (*start..*end).contains(&byte));
            for tail in [Tail::Cut, Tail::Salvage] {
                let Some((_, _, found)) = examine(&bytes, &image.identity, tail) else {
                    panic!("{what}: one good header is enough");
                };
                let survivors = image.survivors(&bytes, &found, &what);
                let lost: Vec<_> = (0..8).filter(|ordinal| !survivors.contains(ordinal)).collect();
                match hit {
                    None => assert!(lost.is_empty(), "{what}: {lost:?}"),
                    Some(hit) if byte < image.synced || tail == Tail::Salvage => {
                        assert!(lost.is_empty() || lost == [hit], "{what}: {lost:?}");
                        assert_eq!(found.is_corrupt(), byte < image.synced && !lost.is_empty(), "{what}");
                    }
                    Some(hit) => {
                        assert!(is_prefix(&survivors), "{what}");
                        assert!(survivors.len() >= hit, "{what}: what came before is kept");
                        assert!(!found.is_corrupt(), "{what}");
                    }
                }
            }
        }
    }
}

/// A store of clicks in several segments, stopped uncleanly; gives its newest segment with records, unsealed.
fn stopped_uncleanly(data: &Path) -> (Vec<clicklog::event::click_id::ClickId>, PathBuf) {
    let store = Store::open(options(data)).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let ids: Vec<_> = (0..2_000).map(|n| record(&mut writer, n).click_id).collect();
    writer.lane().sync().unwrap();
    let newest = writer.lane().synced().segment();
    let path = store.directory().segment(Journal::Clicks, 0, newest, 0);
    drop((writer, store));
    (ids, path)
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn recovering_twice_changes_nothing_and_the_pristine_bytes_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let (ids, segment) = stopped_uncleanly(root.path());
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4096 + 100] ^= 0x40;
    fs::write(&segment, &bytes).unwrap();

    let store = Store::open(options(root.path())).unwrap();
    assert_eq!(store.report().corrupt_segments, 1);
    let lost: Vec<_> =
        (0..).zip(&ids).filter(|(_, id)| !matches!(store.clicks().find(id), Lookup::Found(_))).collect();
    assert_eq!(lost.len(), 1, "only the damaged record is lost");
    assert!(matches!(store.clicks().find(lost[0].1), Lookup::Unavailable), "it was promised");
    let kept = fs::read_dir(root.path().join("quarantine")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read(kept).unwrap(), bytes, "as it was found");
    store.close().unwrap();

    let folder = root.path().join("clicks/lane-00");
    let before = files(&folder);
    Store::open(options(root.path())).unwrap().close().unwrap();
    assert!(files(&folder) == before, "a second recovery finds nothing to do");
}

#[test]
fn an_unreadable_header_costs_its_segment_and_no_other() {
    let root = tempfile::tempdir().unwrap();
    let (ids, segment) = stopped_uncleanly(root.path());
    let mut bytes = fs::read(&segment).unwrap();
    bytes[..2048].fill(0xee);
    fs::write(&segment, bytes).unwrap();
    let store = Store::open(options(root.path())).unwrap();
    assert_eq!(store.report().quarantined_segments, 1);
    let clicks = store.clicks();
    let answers: Vec<_> = ids.iter().map(|id| clicks.find(id)).collect();
    let found = answers.iter().filter(|answer| matches!(answer, Lookup::Found(_))).count();
    assert!(found > 1_000, "the other segments keep serving");
    assert!(answers.iter().all(|answer| matches!(answer, Lookup::Found(_) | Lookup::Unavailable)));
    assert!(found < ids.len());
}

#[test]
fn a_segment_that_is_gone_is_reported_and_its_ids_are_unavailable() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let ids: Vec<_> = (0..2_000).map(|n| record(&mut writer, n).click_id).collect();
    writer.close();
    store.close().unwrap();
    fs::remove_file(root.path().join("clicks/lane-00/0000000-0.seg")).unwrap();
    for _ in 0..2 {
        let store = Store::open(options(root.path())).unwrap();
        assert_eq!(store.report().missing_segments, 1);
        assert!(matches!(store.clicks().find(&ids[0]), Lookup::Unavailable));
        assert!(matches!(store.clicks().find(&ids[1_999]), Lookup::Found(_)));
    }
}

#[test]
fn a_torn_tail_was_never_promised_and_its_ids_are_absent() {
    let root = tempfile::tempdir().unwrap();
    let (ids, segment) = stopped_uncleanly(root.path());
    let bytes = fs::read(&segment).unwrap();
    // As if the last sync had not been: the mark goes back to the beginning, and the second half is lost.
    let mut torn = bytes.clone();
    torn[512..520].fill(0);
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    torn[(4096 + end) / 2..].fill(0);
    fs::write(&segment, torn).unwrap();
    let store = Store::open(options(root.path())).unwrap();
    assert_eq!((store.report().corrupt_segments, store.report().quarantined_segments), (0, 0));
    let clicks = store.clicks();
    assert!(matches!(clicks.find(&ids[0]), Lookup::Found(_)));
    assert!(matches!(clicks.find(&ids[1_999]), Lookup::Absent));
}

/// Nothing is left that a later segment could be told from, and still nobody is told to wait for the click.
#[test]
fn an_id_whose_whole_segment_was_torn_away_is_absent_before_anything_is_written() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(options(root.path())).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let id = record(&mut writer, 0).click_id;
    drop((writer, store));
    let segment = root.path().join("clicks/lane-00/0000000-0.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[512..520].fill(0);
    bytes[BODY_OFFSET as usize..].fill(0);
    fs::write(segment, bytes).unwrap();

    let store = Store::open(options(root.path())).unwrap();
    let found = store.clicks().find(&id);
    assert!(matches!(found, Lookup::Absent), "{found:?}");
}

#[test]
fn without_a_readable_manifest_nothing_is_opened_and_nothing_is_touched() {
    let root = tempfile::tempdir().unwrap();
    stopped_uncleanly(root.path());
    for slot in ["manifest-a", "manifest-b"] {
        fs::write(root.path().join(slot), "gone").unwrap();
    }
    let before = files(&root.path().join("clicks/lane-00"));
    let refused = Store::open(options(root.path())).unwrap_err().to_string();
    assert!(refused.contains("neither slot of the manifest"), "{refused}");
    assert!(files(&root.path().join("clicks/lane-00")) == before);
    assert!(ManifestFile::load(&Directory::new(root.path())).is_err());
}
