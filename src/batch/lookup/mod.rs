//! The whole life of one click: its record, the postbacks about it, what was decided, who was told.
//!
//! In: a data folder, and a click id, a network's transaction id, or another tracker's click id. Out: a `Life`.
//! Keeps: it reads beside a running daemon, takes no lock and writes nothing; secrets are masked as they are on disk.
//! Cost: a click id leads to its record at once; decisions are found by reading the postbacks journal from the time of
//! the click on, ways through a lander by reading the clicks of `THROUGH_WINDOW` after it, the others by reading all
//! that `Window` allows. Segments outside are passed by, as far as their footers say so. What everybody sends (a click id that
//! a network makes up, say) is read no further than a life has rows.

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use serde::Serialize;

pub(super) use rows::reason_name;
pub use rows::{Amount, ClickRow, DecisionRow, DeliveryRow, PlaceRow, PostbackRow, StandingRow};

use crate::clock::Timestamp;
use crate::event::click::Click;
use crate::event::click_id::{ClickId, Place};
use crate::event::codec::{Event, Kind, decode, time_of};
use crate::event::decision::Decision;
use crate::event::members::{any_quoted, any_value};
use crate::event::params::{Params, Source};
use crate::event::postback::Postback;
use crate::store::layout::Summary;
use crate::store::reader::{ClickIds, Reader, Shown};
use crate::store::record::Record;
use crate::store::{Error, Journal, Lookup, Position, Progress};

/// How long after its click a way through a lander is looked for.
pub const THROUGH_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// How long before its click a postback is looked for: one that came first was kept waiting for it.
pub const EARLY_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Rows of each kind that a life has at most; what is beyond is left out, and said.
pub const ROWS_MAX: usize = 1_000;

/// Which time is read; all of it unless it is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Not before this.
    pub from: Option<Timestamp>,
    /// Up to this, itself not among them: of windows that follow one another nothing is in two.
    pub to: Option<Timestamp>,
}

/// What the given text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundAs {
    /// Nothing that is known here.
    #[default]
    Nothing,
    /// The id of one of our clicks; the click itself may be lost.
    ClickId,
    /// A network's id of a conversion.
    TransactionId,
    /// An id that another tracker gave a click, or that a network sent for one that nobody knows.
    ForeignId,
}

/// What was found. Rows are in the order of their journals.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Life {
    /// What was looked for.
    pub query: String,
    /// What it is.
    pub found_as: FoundAs,
    /// What should be known of all this: a click that is lost, rows that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The click, and its ways through landers.
    pub clicks: Vec<ClickRow>,
    /// Requests about it, refused ones too.
    pub postbacks: Vec<PostbackRow>,
    /// What was concluded from them.
    pub decisions: Vec<DecisionRow>,
    /// Who was told.
    pub deliveries: Vec<DeliveryRow>,
}

impl Life {
    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.found_as == FoundAs::Nothing
    }
}

/// Looks for `text`. `progress` is told of segments: how many of a lane are read, of how many.
///
/// # Errors
/// What reading the store says.
pub fn look_up(reader: &Reader, text: &str, window: Window, progress: Progress<'_>) -> Result<Life, Error> {
    let mut search = Search::new(reader, text, window, progress)?;
    match search.own_place() {
        Some(place) => search.by_click_id(place)?,
        None => search.by_other_id()?,
    }
    search.follow()?;
    Ok(search.into_life())
}

/// What is known so far, and what else is looked for because of it.
struct Search<'a> {
    reader: &'a Reader,
    progress: Progress<'a>,
    window: Window,
    ids: Option<ClickIds>,
    node: u16,
    shown: Shown,
    text: String,
    found_as: FoundAs,
    notes: Vec<String>,
    clicks: BTreeMap<u64, ClickRow>,
    /// The earliest of the clicks: nothing about them is older.
    since: Option<Timestamp>,
    /// Texts that stand for these clicks in a postback.
    names: BTreeSet<String>,
    postbacks: BTreeMap<Position, PostbackRow>,
    decisions: BTreeMap<Position, DecisionRow>,
    deliveries: Vec<DeliveryRow>,
}

impl<'a> Search<'a> {
    fn new(reader: &'a Reader, text: &str, window: Window, progress: Progress<'a>) -> Result<Self, Error> {
        let node = reader.node()?.unwrap_or_default();
        Ok(Self {
            reader,
            progress,
            window,
            ids: ClickIds::open(reader, node)?,
            node,
            shown: Shown::load(reader)?,
            text: text.to_owned(),
            found_as: FoundAs::Nothing,
            notes: Vec::new(),
            clicks: BTreeMap::new(),
            since: None,
            names: BTreeSet::new(),
            postbacks: BTreeMap::new(),
            decisions: BTreeMap::new(),
            deliveries: Vec::new(),
        })
    }

    /// What the text says, if it is the id of one of our clicks.
    fn own_place(&self) -> Option<Place> {
        let id: ClickId = self.text.parse().ok()?;
        self.ids.as_ref()?.decode(&id)
    }

    fn by_click_id(&mut self, place: Place) -> Result<(), Error> {
        self.found_as = FoundAs::ClickId;
        let id = self.id_of(place);
        self.names.insert(id.clone());
        self.since = Some(Timestamp::from_seconds(place.seconds()));
        match self.add_place(place)? {
            Lookup::Found(()) => {}
            Lookup::Absent | Lookup::NotYet => self.notes.push(format!(
                "the id {id} is one of ours, of {}, and its click is not there: it was lost or deleted",
                Timestamp::from_seconds(place.seconds())
            )),
            Lookup::Unavailable => {
                self.notes.push(format!("the click {id} cannot be read: its segment is damaged or missing"));
            }
        }
        Ok(())
    }

    /// A transaction id, or the id that another tracker gave a click.
    fn by_other_id(&mut self) -> Result<(), Error> {
        let text = self.text.clone();
        // Of several imports under one id the last one counts, as for a postback.
        let mut last: Option<Place> = None;
        for lane in self.reader.lanes(Journal::Clicks)? {
            let window = self.window;
            let wanted = |summary: &Summary| summary.foreign > 0 && window.overlaps(summary);
            let (reader, shown) = (self.reader, self.shown.clone());
            reader.scan((Journal::Clicks, lane), wanted, self.progress, |position, record| {
                let is_it = record.kind == Kind::ForeignClick.code()
                    && matches!(shown.event((Journal::Clicks, lane), position, record), Ok(Event::Click(click)) if click.foreign_id == text);
                if is_it && let Some(place) = place_of(self.node, lane, position, record) {
                    last = last.max(Some(place));
                }
                ControlFlow::Continue(())
            })?;
        }
        if let Some(place) = last {
            self.found_as = FoundAs::ForeignId;
            self.add_place(place)?;
            return Ok(());
        }
        self.by_transaction_id(&text)
    }

    fn by_transaction_id(&mut self, text: &str) -> Result<(), Error> {
        let (mut by_transaction, mut by_name) = (false, false);
        let (mut places, mut found) = (Vec::new(), Vec::new());
        self.scan_decisions(self.window, |position, decision| {
            let said = &decision.conversion;
            if said.transaction_id != text && said.click_id != text {
                return ControlFlow::Continue(());
            }
            by_transaction |= said.transaction_id == text;
            by_name |= said.click_id == text;
            places.extend(Place::from_packed(decision.click));
            found.push((position, DecisionRow::of(position, decision), said.click_id.to_owned()));
            enough(found.len())
        })?;
        self.found_as = match (by_transaction, by_name) {
            (true, _) => FoundAs::TransactionId,
            (false, true) => FoundAs::ForeignId,
            (false, false) => return self.by_refused(),
        };
        for (position, row, name) in found {
            self.names.extend((!name.is_empty()).then_some(name.clone()));
            // Version 1 of a decision does not say where its click is; the id does.
            places.extend(name.parse().ok().and_then(|id| self.ids.as_ref()?.decode(&id)));
            self.decisions.insert(position, row);
        }
        places.sort_unstable();
        places.dedup();
        for place in places {
            self.add_place(place)?;
        }
        Ok(())
    }

    /// Nothing was decided on it, but it may have been sent and refused.
    fn by_refused(&mut self) -> Result<(), Error> {
        self.names.insert(self.text.clone());
        self.scan_refused(self.window)?;
        self.names.clear();
        if !self.postbacks.is_empty() {
            self.found_as = FoundAs::TransactionId;
            self.notes.push("it was sent, and every request that names it was refused".to_owned());
        }
        Ok(())
    }

    /// All that follows from the clicks that are known.
    fn follow(&mut self) -> Result<(), Error> {
        if self.is_about_clicks() {
            self.throughs()?;
            self.decisions_on_clicks()?;
        }
        self.postbacks_of_decisions()?;
        self.deliveries_of_decisions()
    }

    fn is_about_clicks(&self) -> bool {
        !self.clicks.is_empty() || !self.names.is_empty()
    }

    /// Ways through a lander that began with one of the clicks.
    fn throughs(&mut self) -> Result<(), Error> {
        let parents: BTreeSet<u64> = self.clicks.keys().copied().collect();
        let (Some(since), false) = (self.since, parents.is_empty()) else { return Ok(()) };
        let window = Window { from: Some(since), to: Some(since.plus(THROUGH_WINDOW)) }.within(self.window);
        let mut places = Vec::new();
        for lane in self.reader.lanes(Journal::Clicks)? {
            let (reader, node) = (self.reader, self.node);
            let wanted = |summary: &Summary| window.overlaps(summary);
            reader.scan((Journal::Clicks, lane), wanted, self.progress, |position, record| {
                if record.kind == Kind::Click.code()
                    && let Some(Event::Click(click)) = event(record)
                    && click.parent != 0
                    && parents.contains(&click.parent)
                {
                    places.extend(place_of(node, lane, position, record));
                }
                enough(places.len())
            })?;
        }
        places.truncate(ROWS_MAX);
        for place in places {
            self.add_place(place)?;
        }
        Ok(())
    }

    fn decisions_on_clicks(&mut self) -> Result<(), Error> {
        let early = i64::try_from(EARLY_WINDOW.as_micros()).unwrap_or(i64::MAX);
        let from = self.since.map(|since| Timestamp::from_micros(since.micros().saturating_sub(early)));
        let window = Window { from, to: None }.within(self.window);
        let places: BTreeSet<u64> = self.clicks.keys().copied().collect();
        let names = self.names.clone();
        let mut found = Vec::new();
        self.scan_decisions(window, |position, decision| {
            let is_named = || names.iter().any(|name| same_id(name, decision.conversion.click_id));
            if places.contains(&decision.click) || is_named() {
                found.push((position, DecisionRow::of(position, decision)));
            }
            enough(found.len())
        })?;
        self.decisions.extend(found);
        self.scan_refused(window)
    }

    fn scan_decisions(
        &mut self,
        window: Window,
        mut each: impl FnMut(Position, &Decision<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let wanted = |summary: &Summary| window.overlaps(summary);
        let shown = self.shown.clone();
        self.reader.scan((Journal::Postbacks, 0), wanted, self.progress, |position, record| {
            if record.kind == Kind::Decision.code()
                && let Ok(Event::Decision(decision)) = shown.event(POSTBACKS, position, record)
                && window.contains(decision.time)
            {
                return each(position, &decision);
            }
            ControlFlow::Continue(())
        })
    }

    /// Refused requests that name one of the ids: there is no decision that would lead to them.
    fn scan_refused(&mut self, window: Window) -> Result<(), Error> {
        let (names, shown, postbacks) = (&self.names, &self.shown, &mut self.postbacks);
        let wanted = |summary: &Summary| window.overlaps(summary);
        self.reader.scan((Journal::Postbacks, 0), wanted, self.progress, |position, record| {
            if record.kind == Kind::Postback.code()
                && let Ok(Event::Postback(postback)) = shown.event(POSTBACKS, position, record)
                && postback.refused != 0
                && window.contains(postback.time)
                && names_one_of(&postback, names)
            {
                postbacks.insert(position, PostbackRow::of(position, &postback));
            }
            enough(postbacks.len())
        })
    }

    fn postbacks_of_decisions(&mut self) -> Result<(), Error> {
        let wanted: BTreeSet<Position> =
            self.decisions.values().filter_map(|row| row.postback.parse().ok()).collect();
        for position in wanted.into_iter().take(ROWS_MAX) {
            let row = self.reader.record(POSTBACKS, position, |record| {
                match self.shown.event(POSTBACKS, position, record) {
                    Ok(Event::Postback(postback)) => Some(PostbackRow::of(position, &postback)),
                    _ => None,
                }
            })?;
            if let Lookup::Found(Some(row)) = row {
                self.postbacks.insert(position, row);
            } else {
                self.notes.push(format!("the postback at {position} cannot be read"));
            }
        }
        Ok(())
    }

    fn deliveries_of_decisions(&mut self) -> Result<(), Error> {
        let decisions: BTreeSet<u64> = self.decisions.keys().map(|position| position.to_u64()).collect();
        let Some(first) = self.decisions.values().next() else { return Ok(()) };
        // A delivery comes after its decision.
        let window = Window { from: first.time.parse().ok(), to: None };
        let (deliveries, wanted) = (&mut self.deliveries, |summary: &Summary| window.overlaps(summary));
        let (shown, of) = (&self.shown, (Journal::Deliveries, 0));
        self.reader.scan(of, wanted, self.progress, |position, record| {
            match shown.event(of, position, record) {
                Ok(Event::DeliveryOutcome(outcome)) if decisions.contains(&outcome.decision) => {
                    deliveries.push(DeliveryRow::of(position, &outcome));
                }
                Ok(Event::Destination(event)) if decisions.contains(&event.decision) => {
                    DeliveryRow::note_reopening(deliveries, &event);
                }
                _ => {}
            }
            enough(deliveries.len())
        })
    }

    /// Adds a click, and the first one of its way through a lander.
    fn add_place(&mut self, place: Place) -> Result<Lookup<()>, Error> {
        let found = self
            .read_click((place.lane(), place.segment(), place.ordinal()), |place, click, id_of| {
                (place, click.parent, click.time, ClickRow::of(click, place, id_of))
            })?;
        let (read, parent, time, mut row) = match found {
            Lookup::Found(Some(found)) if is_same(found.0, place) => found,
            // Another click stands there: the store is older than the id.
            Lookup::Found(Some(_)) | Lookup::Absent => return Ok(Lookup::Absent),
            Lookup::Found(None) | Lookup::Unavailable => return Ok(Lookup::Unavailable),
            Lookup::NotYet => return Ok(Lookup::NotYet),
        };
        self.since = Some(self.since.map_or(time, |since| since.min(time)));
        self.names.insert(row.click_id.clone());
        if !row.foreign_id.is_empty() {
            self.names.insert(row.foreign_id.clone());
        }
        if let Some(parent) = Place::from_packed(parent) {
            let at = (parent.lane(), parent.segment(), parent.ordinal());
            let first = self.read_click(at, |place, click, id_of| {
                (place, click.time, ClickRow::of(click, place, id_of))
            })?;
            if let Lookup::Found(Some((place, time, first))) = first {
                row.parent.clone_from(&first.click_id);
                self.since = Some(self.since.map_or(time, |since| since.min(time)));
                self.names.insert(first.click_id.clone());
                self.clicks.entry(place.packed()).or_insert(first);
            }
        }
        self.clicks.insert(read.packed(), row);
        Ok(Lookup::Found(()))
    }

    /// Reads the click with this lane, segment and ordinal; nothing if this build cannot read its record.
    fn read_click<T>(
        &self,
        at: (u8, u32, u32),
        take: impl Fn(Place, &Click<'_>, &dyn Fn(Place) -> String) -> T,
    ) -> Result<Lookup<Option<T>>, Error> {
        self.reader.click(at, |position, record| {
            let place = place_of(self.node, at.0, position, record)?;
            match self.shown.event((Journal::Clicks, at.0), position, record) {
                Ok(Event::Click(click)) => Some(take(place, &click, &|place| self.id_of(place))),
                _ => None,
            }
        })
    }

    fn id_of(&self, place: Place) -> String {
        let Some(ids) = &self.ids else { return "unknown: the keys are not there".to_owned() };
        let id = ids.text(place);
        id.map_or_else(|| "unknown: the key of its time is gone".to_owned(), |id| id.as_str().to_owned())
    }

    fn into_life(mut self) -> Life {
        let mut clicks: Vec<ClickRow> = self.clicks.into_values().collect();
        clicks.sort_by(|a, b| (&a.time, &a.click_id).cmp(&(&b.time, &b.click_id)));
        let mut life = Life {
            query: self.text,
            found_as: self.found_as,
            clicks,
            postbacks: self.postbacks.into_values().collect(),
            decisions: self.decisions.into_values().collect(),
            deliveries: self.deliveries,
            notes: Vec::new(),
        };
        let lens = [life.clicks.len(), life.postbacks.len(), life.decisions.len(), life.deliveries.len()];
        if lens.into_iter().any(|len| len > ROWS_MAX) {
            self.notes.push(format!("more than {ROWS_MAX} rows of a kind: the others are left out"));
            life.clicks.truncate(ROWS_MAX);
            life.postbacks.truncate(ROWS_MAX);
            life.decisions.truncate(ROWS_MAX);
            life.deliveries.truncate(ROWS_MAX);
        }
        life.notes = self.notes;
        life
    }
}

/// Ends a search that has found more than is told.
fn enough(found: usize) -> ControlFlow<()> {
    if found > ROWS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

impl Window {
    /// Whether a segment may hold something of it.
    pub fn overlaps(&self, summary: &Summary) -> bool {
        self.from.is_none_or(|from| summary.last_time >= from)
            && self.to.is_none_or(|to| summary.first_time < to)
    }

    /// Whether a moment is in it.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }

    /// What both allow.
    fn within(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.into_iter().chain(other.to).min() }
    }
}

fn event<'a>(record: &Record<'a>) -> Option<Event<'a>> {
    decode(record.kind, record.schema, record.payload).ok()
}

/// The one lane of postbacks and decisions.
const POSTBACKS: (Journal, u8) = (Journal::Postbacks, 0);

/// The place of a click whose record lies here.
pub(super) fn place_of(node: u16, lane: u8, position: Position, record: &Record<'_>) -> Option<Place> {
    let time = time_of(record.kind, record.schema, record.payload).ok()?;
    Place::new(node, lane, position.segment(), record.ordinal, time.seconds()).ok()
}

/// Whether a record is the one that was meant; a reference from another record does not say its second.
fn is_same(read: Place, meant: Place) -> bool {
    read == meant || (meant.seconds() == 0 && read.packed() == meant.packed())
}

/// Whether two texts name one click: ours are the same in any case and with look-alikes.
pub(super) fn same_id(name: &str, said: &str) -> bool {
    let same = || Some(name.parse::<ClickId>().ok()? == said.parse::<ClickId>().ok()?);
    name == said || same() == Some(true)
}

/// Whether a request has one of these as the value of any parameter, or in its body as any value of JSON or in quotes.
pub(super) fn names_one_of(postback: &Postback<'_>, names: &BTreeSet<String>) -> bool {
    let has = |raw: &[u8], source| {
        let params = Params::parse(raw, source);
        params.iter().any(|(_, value)| names.iter().any(|name| same_id(name, value)))
    };
    has(postback.query.as_bytes(), Source::Query)
        || has(postback.body, Source::Form)
        || any_value(postback.body, &|said| names.iter().any(|name| same_id(name, said)))
        || any_quoted(postback.body, &|said| names.iter().any(|name| same_id(name, said)))
}
