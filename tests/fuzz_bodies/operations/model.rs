//! Plain maps that say what a store must answer.
//!
//! In: what was appended, where it went, and what a crash took. Out: checks of a store against that.
//! Keeps: an id is known for ever; what was taken once never comes back.
//! Not here: which records a crash may take (`crash`).

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use clicklog::clock::Timestamp;
use clicklog::event::click::{Click, ClickKind};
use clicklog::event::click_id::{ClickId, Place};
use clicklog::event::codec::{Event, decode};
use clicklog::event::decision::Decision;
use clicklog::event::postback::Postback;
use clicklog::store::clicks::{Clicks, FoundClick};
use clicklog::store::dedupe::restore::restore;
use clicklog::store::dedupe::{DedupeKey, Table};
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::sealed::Tried;
use clicklog::store::{Appended, Journal, Lookup, Position, Store};

/// The lanes that are written, in the order of their places.
pub(super) const LANES: [(Journal, u8); 3] =
    [(Journal::Clicks, 0), (Journal::Clicks, 1), (Journal::Postbacks, 0)];
/// Which of them is the journal of postbacks.
pub(super) const POSTBACKS: usize = 2;

/// More than any run has.
const DEDUPE_ENTRIES_MAX: usize = 1_000;
/// Names that imports share, and keys that decisions share; 0 is no name.
const NAMES: u8 = 24;
/// With more text than this a record may be too long for a segment.
const TEXT_BYTES_LONG: usize = 57_000;

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Click,
    /// A click of another tracker, under a name that others may have.
    Import,
    Postback,
    /// Under a dedupe key that others may have.
    Decision,
}

impl What {
    pub(super) fn is_click(self) -> bool {
        matches!(self, Self::Click | Self::Import)
    }

    pub(super) fn has_name(self) -> bool {
        matches!(self, Self::Import | Self::Decision)
    }
}

/// One event, no two alike.
#[derive(Debug)]
pub(super) struct Sample {
    what: What,
    pub(super) time: Timestamp,
    number: String,
    name: String,
    text: String,
}

impl Sample {
    pub(super) fn new(what: What, number: usize, seconds: u32, name: u8, text_bytes: usize) -> Self {
        let letters = ["click ", "Klick ", "clic "][number % 3];
        let text = letters.chars().cycle().take(text_bytes).collect();
        let micros = i64::from(seconds) * 1_000_000 + i64::try_from(number).unwrap();
        let time = Timestamp::from_micros(micros);
        Self { what, time, number: format!("number-{number}"), name: foreign_name(name), text }
    }

    pub(super) fn is_long(&self) -> bool {
        self.text.len() > TEXT_BYTES_LONG
    }

    pub(super) fn event(&self) -> Event<'_> {
        let Self { time, number, name, text, .. } = self;
        let click = Click { time: *time, external_id: number, referrer: text, ..Click::default() };
        let imported = Click { kind: ClickKind::Imported, foreign_id: name, ..click };
        let postback = Postback { time: *time, path: number, body: text.as_bytes(), ..Postback::default() };
        let dedupe_key = name.as_bytes();
        let decision =
            Decision { time: *time, external_id: number, campaign: text, dedupe_key, ..Decision::default() };
        match self.what {
            What::Click => Event::Click(click),
            What::Import => Event::Click(imported),
            What::Postback => Event::Postback(postback),
            What::Decision => Event::Decision(decision),
        }
    }
}

/// The name that a byte stands for: of an import, or the dedupe key of a decision.
pub(super) fn foreign_name(name: u8) -> String {
    match name % NAMES {
        0 => String::new(),
        name => format!("w{name:02}OLDTRACKERID"),
    }
}

/// A record that the store must hold.
#[derive(Debug)]
struct Written {
    sample: Sample,
    appended: Appended,
}

/// A click id that was handed out.
#[derive(Clone, Copy, Debug)]
struct Given {
    id: ClickId,
    lane: usize,
    position: Position,
    place: Place,
}

/// See the module.
#[derive(Default)]
pub(super) struct Model {
    /// What each lane must hold, in order.
    held: [Vec<Written>; LANES.len()],
    /// The last append to each lane, whether it is still there or not.
    last: [Option<Appended>; LANES.len()],
    given: Vec<Given>,
    ids: HashSet<ClickId>,
    count: usize,
}

impl Model {
    /// How many events there ever were.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many records the store must hold.
    pub(super) fn held(&self) -> u64 {
        self.held.iter().map(|lane| lane.len() as u64).sum()
    }

    /// Notes what was appended. Positions only grow and ids are new, over all the lives of the store.
    pub(super) fn note(&mut self, lane: usize, sample: Sample, appended: Appended, id: Option<ClickId>) {
        let position = appended.position();
        let last = self.last[lane].replace(appended);
        let before = last.filter(|last| last.position().segment() == position.segment());
        let follows = before.map_or(0, |last| last.ordinal() + 1);
        assert_eq!(appended.ordinal(), follows, "ordinals of a segment are handed out one by one");
        assert!(last.is_none_or(|last| last.position() < position), "{position} was used before");
        if let Some(id) = id {
            let (number, seconds) = (LANES[lane].1, sample.time.seconds());
            let place = Place::new(0, number, position.segment(), appended.ordinal(), seconds).unwrap();
            assert!(self.ids.insert(id), "the id of the click at {position} was given out before");
            self.given.push(Given { id, lane, position, place });
        }
        self.held[lane].push(Written { sample, appended });
        self.count += 1;
    }

    /// A crash has torn this segment, the last of its lane: what is not whole is lost. Of clicks all others
    /// are kept; postbacks end there.
    pub(super) fn tear(&mut self, lane: usize, segment: u32, is_whole: impl Fn(u32) -> bool) {
        let held = &mut self.held[lane];
        let is_kept = |written: &Written| {
            let position = written.appended.position();
            position.segment() != segment || is_whole(position.offset())
        };
        match lane {
            POSTBACKS => held.truncate(held.iter().take_while(|written| is_kept(written)).count()),
            _ => held.retain(is_kept),
        }
    }

    /// Asks a store for everything.
    pub(super) fn check(&self, store: &Store) {
        let clicks = store.clicks();
        self.given.iter().for_each(|given| self.check_click(&clicks, given));
        (0..NAMES).for_each(|name| self.check_foreign(&clicks, &foreign_name(name)));
        let reader = Reader::open(store.directory().root());
        (0..LANES.len()).for_each(|lane| self.check_lane(&reader, lane));
    }

    /// Some click of all that there ever were.
    pub(super) fn check_some_click(&self, clicks: &Clicks, nth: usize) {
        if !self.given.is_empty() {
            self.check_click(clicks, &self.given[nth % self.given.len()]);
        }
    }

    /// A click is found as it was written, or it was torn away and is absent.
    fn check_click(&self, clicks: &Clicks, given: &Given) {
        assert_eq!(clicks.decode(&given.id), Some(given.place));
        let held = self.written(given.lane, given.position);
        check_found(&clicks.find(&given.id), held, given);
        if let Tried::Done(found) = clicks.try_find(&given.id) {
            check_found(&found, held, given);
        }
    }

    fn written(&self, lane: usize, position: Position) -> Option<&Written> {
        let held = &self.held[lane];
        let index = held.binary_search_by_key(&position, |written| written.appended.position()).ok()?;
        Some(&held[index])
    }

    /// A foreign id means the newest import of its name; of several lanes, that of the last.
    pub(super) fn check_foreign(&self, clicks: &Clicks, name: &str) {
        let named = |written: &&Written| {
            written.sample.what == What::Import && written.sample.name == name && !name.is_empty()
        };
        let newest = self.held.iter().rev().find_map(|lane| lane.iter().rev().find(named));
        check_found(&clicks.find_foreign(name), newest, &name);
    }

    /// A lane reads from outside as it was written, in one go or in two.
    pub(super) fn check_lane(&self, reader: &Reader, lane: usize) {
        let (journal, number) = LANES[lane];
        let held = &self.held[lane];
        let mut read = 0;
        let mut cursor = Cursor::default();
        for until in [held.len() / 2, usize::MAX] {
            let each = |position: Position, record: &clicklog::store::record::Record<'_>| {
                let Some(Written { sample, appended }) = held.get(read) else {
                    panic!("lane {lane} has a record at {position} that nobody appended, or that was lost");
                };
                assert_eq!((position, record.ordinal), (appended.position(), appended.ordinal()));
                assert_eq!(decode(record.kind, record.schema, record.payload), Ok(sample.event()));
                read += 1;
                if read < until { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            cursor = reader.read(journal, number, cursor, each).unwrap();
        }
        assert_eq!(read, held.len(), "lane {lane} lacks what was appended at {:?}", held.get(read));
    }

    /// The dedupe table of a store that was just opened knows the newest decision of each key.
    pub(super) fn check_dedupe(&self, store: &Store) {
        let (journal, number) = LANES[POSTBACKS];
        let lane = store.lane(journal, number).unwrap();
        let (directory, key) = (store.directory(), store.dedupe_key());
        let restored = restore(directory, lane, key, DEDUPE_ENTRIES_MAX).unwrap();
        let entries = |table: &Table| {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_unstable();
            entries
        };
        assert_eq!(entries(&restored.table), entries(&self.dedupe_table(key)), "{:?}", restored.refused);
    }

    /// The newest decision of each key.
    pub(super) fn dedupe_table(&self, key: &DedupeKey) -> Table {
        let mut newest = BTreeMap::new();
        for Written { sample, appended } in &self.held[POSTBACKS] {
            if sample.what == What::Decision && !sample.name.is_empty() {
                newest.insert(&sample.name, appended.position());
            }
        }
        let mut table = Table::new(DEDUPE_ENTRIES_MAX);
        for (name, position) in newest {
            table.insert(key.hash(name.as_bytes()), position).unwrap();
        }
        table
    }
}

/// The answer is the click that is held, or nothing is held and that is said.
fn check_found(found: &Lookup<FoundClick>, held: Option<&Written>, what: &dyn std::fmt::Debug) {
    match (found, held) {
        (Lookup::Found(found), Some(Written { sample, appended })) => {
            assert_eq!(found.click().map(Event::Click), Some(sample.event()), "{what:?}");
            assert_eq!(found.position, appended.position(), "{what:?}");
        }
        (Lookup::Absent, None) => {}
        (Lookup::Found(found), None) => panic!("{what:?} was lost, and is found: {found:?}"),
        (answer, held) => {
            let held = held.map(|held| held.appended);
            panic!("{what:?} is {answer:?}, and the maps say {held:?}");
        }
    }
}
