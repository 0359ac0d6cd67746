//! A segment made anew: everything that stays is found where it was, and a death at any step leaves one of both.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clicklog::event::click::Click;
use clicklog::event::click_id::ClickId;
use clicklog::event::codec::{Encoder, Event, decode};
use clicklog::store::directory::Directory;
use clicklog::store::manifest::ManifestFile;
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::record::{BODY_OFFSET, Record};
use clicklog::store::rewrite::{Changes, Editor, Fate, Outcome, SegmentAt, Step};
use clicklog::store::sealed::read_footer;
use clicklog::store::verify::verify;
use clicklog::store::{Error, Journal, Lookup, Position, Store};

use crate::support::{append, click_at, options};

/// How many clicks there are: some three segments.
const CLICKS: u32 = 1_000;

/// What becomes of click `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Stays,
    /// Its user agent is empty afterwards.
    Shorter,
    Goes,
}

/// Runs and single ones of each; user agents of click `n` have `n % 97` bytes, so that every difference comes up.
fn mixed(n: u32) -> Wish {
    match n % 50 {
        0..20 => Wish::Stays,
        20..30 => Wish::Goes,
        n if n % 3 == 0 => Wish::Goes,
        n if n % 3 == 1 => Wish::Shorter,
        _ => Wish::Stays,
    }
}

fn user_agent(n: u32) -> String {
    "u".repeat(n as usize % 97)
}

fn number(click: &Click<'_>) -> u32 {
    click.external_id.strip_prefix("external-").unwrap().parse().unwrap()
}

/// Does to each click as it is wished.
struct Wishes {
    wish: fn(u32) -> Wish,
    stop_after: Option<Step>,
    /// Bytes to pass before it breaks.
    bytes_left: u64,
    encoder: Encoder,
}

impl Wishes {
    fn new(wish: fn(u32) -> Wish) -> Self {
        Self { wish, stop_after: None, bytes_left: u64::MAX, encoder: Encoder::default() }
    }
}

impl Editor for Wishes {
    fn fate(&mut self, _position: Position, record: &Record<'_>) -> Fate<'_> {
        let Ok(Event::Click(click)) = decode(record.kind, record.schema, record.payload) else {
            panic!("{record:?} is no click")
        };
        match (self.wish)(number(&click)) {
            Wish::Stays => Fate::Keep,
            Wish::Goes => Fate::Drop,
            Wish::Shorter if click.user_agent.is_empty() => Fate::Keep,
            Wish::Shorter => Fate::Becomes(self.encoder.click(&Click { user_agent: "", ..click }).unwrap()),
        }
    }

    fn passed(&mut self, bytes: u64) -> ControlFlow<()> {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        if self.bytes_left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn after(&mut self, step: Step) -> ControlFlow<()> {
        if self.stop_after == Some(step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// A cleanly closed store, and the ids of its clicks.
fn filled(data: &Path) -> Vec<ClickId> {
    let store = Store::open(options(data)).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let ids = (0..CLICKS).map(|n| {
        let (external_id, user_agent) = (format!("external-{n}"), user_agent(n));
        let click = Click { external_id: &external_id, user_agent: &user_agent, ..click_at(n) };
        append(|| writer.append(&click)).click_id
    });
    let ids = ids.collect();
    writer.close();
    store.close().unwrap();
    ids
}

/// The sealed segments of the lane of clicks.
fn segments(store: &Store) -> Vec<SegmentAt> {
    let of_clicks = store.rewriter().sealed().into_iter().filter(|footer| footer.summary.records > 0);
    of_clicks
        .map(|footer| footer.identity)
        .map(|of| SegmentAt { journal: of.journal, lane: of.lane, segment: of.segment })
        .collect()
}

/// Makes every segment anew.
fn rewrite_all(store: &Store, wish: fn(u32) -> Wish) -> Changes {
    let mut sum = Changes::default();
    for at in segments(store) {
        if let Outcome::Rewritten(changes) = store.rewriter().rewrite(at, &mut Wishes::new(wish)).unwrap() {
            sum.records += changes.records;
            sum.changed += changes.changed;
            sum.dropped += changes.dropped;
        }
    }
    sum
}

/// What an id leads to: the user agent of its click, and nothing where it is gone.
fn found(store: &Store, n: u32, id: &ClickId) -> Option<String> {
    match store.clicks().find(id) {
        Lookup::Found(found) => {
            let click = found.click().unwrap();
            assert_eq!(number(&click), n, "the id leads to its own click");
            assert_eq!(click.campaign, "spring");
            Some(click.user_agent.to_owned())
        }
        Lookup::Absent => None,
        other => panic!("click {n}: {other:?}"),
    }
}

fn wished(wish: Wish, n: u32) -> Option<String> {
    match wish {
        Wish::Stays => Some(user_agent(n)),
        Wish::Shorter => Some(String::new()),
        Wish::Goes => None,
    }
}

fn assert_as_wished(store: &Store, ids: &[ClickId], wish: fn(u32) -> Wish) {
    for (n, id) in (0..).zip(ids) {
        assert_eq!(found(store, n, id), wished(wish(n), n), "click {n}");
    }
}

fn assert_sound(data: &Path, records: u64) {
    let verified = verify(&Directory::new(data), &mut |_, _| {}).unwrap();
    assert!(verified.is_sound(), "{verified}");
    assert_eq!((verified.records, verified.findings.as_slice()), (records, [].as_slice()), "{verified}");
}

fn files(data: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(data.join("clicks/lane-00")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Every record of lane 0, by where it lies.
fn positions(data: &Path) -> BTreeMap<Position, u32> {
    let mut all = BTreeMap::new();
    let give = |position, record: &Record<'_>| {
        let Ok(Event::Click(click)) = decode(record.kind, record.schema, record.payload) else { panic!() };
        all.insert(position, number(&click));
        ControlFlow::Continue(())
    };
    Reader::open(data).read(Journal::Clicks, 0, Cursor::default(), give).unwrap();
    all
}

#[test]
fn what_stays_is_found_by_its_id_beside_a_rewrite_after_it_and_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    assert_as_wished(&store, &ids, |_| Wish::Stays);
    let changes = rewrite_all(&store, mixed);
    let of = |wish| u64::from((0..CLICKS).map(|n| u32::from(mixed(n) == wish)).sum::<u32>());
    assert_eq!(changes.dropped, of(Wish::Goes));
    assert!(changes.changed > 0 && changes.changed <= of(Wish::Shorter), "an empty text gets no shorter");
    assert_as_wished(&store, &ids, mixed);
    assert_eq!(rewrite_all(&store, mixed), Changes::default(), "a second time there is nothing to do");
    let generations: Vec<_> = store.rewriter().sealed().iter().map(|one| one.identity.generation).collect();
    assert_eq!(generations, vec![1; generations.len()]);
    assert_eq!(files(root.path()).len(), 2 * generations.len() + 1, "a segment, an index, one prepared");
    store.close().unwrap();
    assert_sound(root.path(), changes.records);

    let store = Store::open(options(root.path())).unwrap();
    assert_eq!(store.report().recovered_segments, 0);
    assert_as_wished(&store, &ids, mixed);
    rewrite_all(&store, |n| if n % 2 == 0 { Wish::Goes } else { mixed(n) });
    for (n, id) in (0..).zip(&ids) {
        let wish = if n % 2 == 0 { Wish::Goes } else { mixed(n) };
        assert_eq!(found(&store, n, id), wished(wish, n), "click {n}, rewritten twice");
    }
}

#[test]
fn an_index_that_is_made_again_and_a_footer_that_is_lost_say_the_same() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let changes = rewrite_all(&store, mixed);
    store.close().unwrap();
    for file in files(root.path()) {
        if file.extension().unwrap() == "idx" {
            fs::remove_file(file).unwrap();
        } else {
            let file = fs::OpenOptions::new().write(true).open(file).unwrap();
            let footer_at = file.metadata().unwrap().len() - 4096;
            file.write_all_at(&[0; 128], footer_at).unwrap();
        }
    }
    let store = Store::open(options(root.path())).unwrap();
    assert_eq!(store.report().recovered_records, changes.records);
    assert_eq!(store.report().corrupt_segments, 0);
    assert_as_wished(&store, &ids, mixed);
    store.close().unwrap();
    assert_sound(root.path(), changes.records);
}

#[test]
fn a_death_at_any_step_leaves_the_old_or_the_new_and_nothing_else() {
    for step in Step::ALL {
        let root = tempfile::tempdir().unwrap();
        let ids = filled(root.path());
        let store = Store::open(options(root.path())).unwrap();
        let all = segments(&store);
        let mut editor = Wishes { stop_after: Some(step), ..Wishes::new(mixed) };
        assert_eq!(store.rewriter().rewrite(all[0], &mut editor).unwrap(), Outcome::Stopped);
        // Readers outside, before anybody tidies up: they find the one or the other, whole.
        let is_new = matches!(step, Step::Listed | Step::Shown | Step::Removed);
        let stay = |n: &u32| !is_new || found_in_first(&ids, &store, *n) || mixed(*n) != Wish::Goes;
        let read: Vec<_> = positions(root.path()).into_values().collect();
        assert_eq!(read, (0..CLICKS).filter(stay).collect::<Vec<_>>(), "{step:?}");
        drop(store);

        let store = Store::open(options(root.path())).unwrap();
        for (n, id) in (0..).zip(&ids) {
            let is_in_first = store.clicks().decode(id).unwrap().segment() == all[0].segment;
            let wish = if is_new && is_in_first { mixed(n) } else { Wish::Stays };
            assert_eq!(found(&store, n, id), wished(wish, n), "{step:?}, click {n}");
        }
        let names: Vec<_> = files(root.path());
        let of_first = format!("{:07}-{}", all[0].segment, u32::from(is_new));
        let is_of_first = |path: &&PathBuf| name(path).starts_with(&format!("{:07}", all[0].segment));
        for path in names.iter().filter(is_of_first) {
            assert!(name(path).starts_with(&of_first), "{step:?}: {names:?}");
        }
        assert!(!names.iter().any(|path| name(path).ends_with(".new")), "{step:?}: {names:?}");
        // The next one does the rest.
        rewrite_all(&store, mixed);
        assert_as_wished(&store, &ids, mixed);
        store.close().unwrap();
    }
}

/// Whether a click is in another segment than the first.
fn found_in_first(ids: &[ClickId], store: &Store, n: u32) -> bool {
    store.clicks().decode(&ids[n as usize]).unwrap().segment() != 0
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_place_from_before_is_a_place_to_read_from_after() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path());
    let before = positions(root.path());
    let store = Store::open(options(root.path())).unwrap();
    rewrite_all(&store, mixed);
    let after = positions(root.path());
    let stays: BTreeMap<_, _> =
        before.iter().filter(|(_, n)| mixed(**n) != Wish::Goes).map(|(at, n)| (*at, *n)).collect();
    assert_eq!(after, stays, "what stays is where it was");
    let reader = Reader::open(root.path());
    let view = Arc::clone(&store.lane(Journal::Clicks, 0).unwrap().view());
    for (at, n) in &before {
        let is_there = mixed(*n) != Wish::Goes;
        let looked = reader.record((Journal::Clicks, 0), *at, |_| ()).unwrap();
        assert_eq!(looked, if is_there { Lookup::Found(()) } else { Lookup::Absent }, "{at}");
        let is_record = view.with_record(*at, |record| !record.is_gap());
        assert_eq!(is_record, Some(is_there), "{at}");
        let from = Cursor { segment: at.segment(), offset: at.offset() };
        let mut next = None;
        let give = |position, _: &Record<'_>| {
            next = Some(position);
            ControlFlow::Break(())
        };
        reader.read(Journal::Clicks, 0, from, give).unwrap();
        assert_eq!(next, stays.range(at..).next().map(|(at, _)| *at), "reading on from {at}");
        let mut next = None;
        let sealed = view.sealed(at.segment()).unwrap();
        sealed
            .for_each(at.offset(), |record| {
                if next.is_none() && !record.is_gap() {
                    next = Some(record.offset);
                }
            })
            .unwrap();
        let in_segment = stays.range(at..).next().filter(|(next, _)| next.segment() == at.segment());
        assert_eq!(next, in_segment.map(|(at, _)| at.offset()), "the rest of the segment from {at}");
    }
}

#[test]
fn an_old_file_goes_with_its_last_reader_and_not_before() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let (rewriter, at) = (store.rewriter(), segments(&store)[0]);
    let held = Arc::clone(&store.lane(Journal::Clicks, 0).unwrap().view());
    assert!(matches!(rewriter.rewrite(at, &mut Wishes::new(mixed)).unwrap(), Outcome::Rewritten(_)));
    let old = held.sealed(at.segment).unwrap().path().to_owned();
    assert!(old.exists() && rewriter.sweep().unwrap() == 1);
    assert!(held.with_record(Position::new(at.segment, BODY_OFFSET), |_| ()).is_some(), "it is still read");
    drop(held);
    assert_eq!(rewriter.sweep().unwrap(), 0);
    assert!(!old.exists() && !old.with_extension("idx").exists());
}

#[test]
fn blocks_of_which_nothing_is_left_go_back_to_the_file_system() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let blocks = |generation: u32| {
        let path = Directory::new(root.path()).segment(Journal::Clicks, 0, 0, generation);
        fs::metadata(path).unwrap().blocks() * 512
    };
    let before = blocks(0);
    let store = Store::open(options(root.path())).unwrap();
    rewrite_all(&store, |n| if n < 5 { Wish::Stays } else { Wish::Goes });
    assert!(blocks(1) * 4 < before, "{} of {before} bytes are left", blocks(1));
    assert_eq!(found(&store, 4, &ids[4]), Some(user_agent(4)));
    rewrite_all(&store, |_| Wish::Goes);
    assert_as_wished(&store, &ids, |_| Wish::Goes);
    store.close().unwrap();
    assert_sound(root.path(), 0);
}

/// The bytes under a gap of recovery are those of the record that it stands for.
#[test]
fn nothing_of_what_went_is_left_in_the_file_nor_of_damage_before_it() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let path = Directory::new(root.path()).segment(Journal::Clicks, 0, 0, 0);
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let segment_bytes = file.metadata().unwrap().len();
    // An unsealed segment with a record, that of click 0, whose first byte was lost.
    file.write_all_at(&[0; 128], segment_bytes - 4096).unwrap();
    file.write_all_at(&[0xff], u64::from(BODY_OFFSET) + 4).unwrap();
    drop(file);
    let store = Store::open(options(root.path())).unwrap();
    assert_eq!(store.report().corrupt_segments, 1);
    assert!(has(&path, b"external-0"));
    rewrite_all(&store, mixed);
    let path = Directory::new(root.path()).segment(Journal::Clicks, 0, 0, 1);
    for (n, id) in (1..100).zip(&ids[1..]) {
        let is_gone = mixed(n) == Wish::Goes;
        let text = format!("external-{n}trk.example.com");
        assert_eq!(has(&path, text.as_bytes()), !is_gone, "click {n}");
        assert_eq!(found(&store, n, id), wished(mixed(n), n), "click {n}");
    }
    assert!(!has(&path, b"external-0"), "damage is not carried over");
    assert!(matches!(store.clicks().find(&ids[0]), Lookup::Unavailable), "what was lost stays lost");
}

fn has(path: &Path, text: &[u8]) -> bool {
    fs::read(path).unwrap().windows(text.len()).any(|window| window == text)
}

#[test]
fn whoever_breaks_off_or_asks_for_more_than_fits_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let (rewriter, at, before) = (store.rewriter(), segments(&store)[0], files(root.path()));

    struct Longer(Encoder);
    impl Editor for Longer {
        fn fate(&mut self, _: Position, _: &Record<'_>) -> Fate<'_> {
            let user_agent = "u".repeat(500);
            let click = Click { user_agent: &user_agent, ..click_at(0) };
            Fate::Becomes(self.0.click(&click).unwrap())
        }
    }
    let refused = rewriter.rewrite(at, &mut Longer(Encoder::default()));
    assert!(matches!(refused, Err(Error::RecordLength { .. })), "{refused:?}");
    assert_eq!(files(root.path()), before);
    let nowhere = SegmentAt { segment: 4_000, ..at };
    assert_eq!(rewriter.rewrite(nowhere, &mut Wishes::new(mixed)).unwrap(), Outcome::NotSealed);
    assert_eq!(rewriter.rewrite(at, &mut Wishes::new(|_| Wish::Stays)).unwrap(), Outcome::Unchanged);
    for bytes_left in [1, 10_000] {
        let mut editor = Wishes { bytes_left, ..Wishes::new(mixed) };
        assert_eq!(rewriter.rewrite(at, &mut editor).unwrap(), Outcome::Stopped, "after {bytes_left} bytes");
    }
    assert_eq!(files(root.path()), before);
    assert_as_wished(&store, &ids, |_| Wish::Stays);
}

#[test]
fn dropped_segments_are_gone_for_good_and_the_newest_stays() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let all: Vec<u32> = segments(&store).iter().map(|at| at.segment).collect();
    let last = *all.last().unwrap();
    let leftover = root.path().join("clicks/lane-00/0000000-0.seg");
    let copy = fs::read(&leftover).unwrap();
    let gone = store.rewriter().drop_segments(Journal::Clicks, 0, &all).unwrap();
    assert_eq!(gone.len(), all.len() - 1);
    let check = |store: &Store| {
        for (n, id) in (0..).zip(&ids) {
            let stays = store.clicks().decode(id).unwrap().segment() == last;
            assert_eq!(found(store, n, id).is_some(), stays, "click {n}");
        }
    };
    check(&store);
    assert_eq!(Reader::open(root.path()).unreadable(Journal::Clicks, 0).unwrap(), [0_u32; 0]);
    store.close().unwrap();
    // Killed after the manifest forgot it and before its file went.
    fs::write(&leftover, copy).unwrap();
    let store = Store::open(options(root.path())).unwrap();
    assert!(!leftover.exists());
    check(&store);
    assert_eq!(store.report().missing_segments, 0);
}

#[test]
fn a_rewritten_segment_says_of_itself_what_is_in_it() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let old = store.rewriter().sealed().into_iter().find(|one| one.summary.records > 0).unwrap();
    rewrite_all(&store, |n| if n < 10 { Wish::Goes } else { Wish::Stays });
    let path = Directory::new(root.path()).segment(Journal::Clicks, 0, old.identity.segment, 1);
    let new = read_footer(&fs::File::open(path).unwrap()).unwrap().unwrap();
    assert_eq!(new.summary.records, old.summary.records - 10);
    assert_eq!((new.summary.end, new.summary.next_ordinal), (old.summary.end, old.summary.next_ordinal));
    assert_eq!(new.summary.first_ordinal, 10);
    assert!(new.summary.first_time > old.summary.first_time);
    assert_eq!((new.summary.last_time, new.sealed), (old.summary.last_time, old.sealed));
}

/// The names of files below this folder that are gone and that this process keeps open, and so on the disk.
fn open_and_gone(data: &Path) -> Vec<PathBuf> {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let gone = links.filter_map(|link| fs::read_link(link.path()).ok());
    gone.filter(|path| path.starts_with(data) && path.to_string_lossy().ends_with("(deleted)")).collect()
}

#[test]
fn whoever_opens_an_old_file_late_does_not_keep_it_on_the_disk() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    let lane = Arc::clone(store.lane(Journal::Clicks, 0).unwrap());
    let view = Arc::clone(&lane.view());
    rewrite_all(&store, mixed);
    // Somebody looked which files there are before they were replaced, and reads only now.
    for old in view.sealed.iter() {
        assert!(old.read(BODY_OFFSET).is_ok());
    }
    assert!(store.rewriter().sweep().unwrap() > 0);
    drop(view);
    assert_eq!(store.rewriter().sweep().unwrap(), 0);
    assert_eq!(open_and_gone(root.path()), [""; 0].map(PathBuf::from));
}

#[test]
fn a_manifest_that_is_older_than_a_rewrite_is_put_right_by_a_start() {
    let root = tempfile::tempdir().unwrap();
    let ids = filled(root.path());
    let store = Store::open(options(root.path())).unwrap();
    rewrite_all(&store, mixed);
    let all = segments(&store);
    store.close().unwrap();
    // As the other slot says, where the newest cannot be read.
    let mut manifest = ManifestFile::load(&Directory::new(root.path())).unwrap().unwrap();
    let older = manifest.update(|manifest| {
        all.iter().for_each(|at| manifest.set_generation(at.journal, at.lane, at.segment, 0));
        Ok(())
    });
    older.unwrap();
    let store = Store::open(options(root.path())).unwrap();
    assert_as_wished(&store, &ids, mixed);
    let reader = Reader::open(root.path());
    assert_eq!(reader.unreadable(Journal::Clicks, 0).unwrap(), [0; 0]);
    store.close().unwrap();
    let manifest = ManifestFile::load(reader.directory()).unwrap().unwrap();
    let generations = all.iter().map(|at| manifest.current().entry(at.journal, at.lane, at.segment));
    assert!(generations.into_iter().all(|entry| entry.unwrap().generation == 1));
}
