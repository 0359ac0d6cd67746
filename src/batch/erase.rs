//! What is to be forgotten, found: clicks, and all that followed from them.
//!
//! In: ids of clicks, ours or another tracker's, and parameters with their values. Out: where the clicks lie, the ways
//! through landers that they began or came by, the requests that name them, and what was decided; and the line that says so
//! (`store::erasures`).
//! Keeps: it takes no lock; what it found is hidden once the line is there, and not before. The line has no value that was
//! looked for, but for a hash of a parameter that only who has the store's keys can make again.
//! Cost: an id of ours leads to its click, and all clicks since then are read, because a browser keeps its cookie for weeks;
//! anything else reads all clicks. The postbacks journal is read once. However many are looked for, a record is looked at once.
//! Not here: making segments anew (`compactor::rewrite`).

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::ops::ControlFlow;

use serde::Serialize;

use super::lookup::place_of;
use crate::clock::Timestamp;
use crate::event::click::Click;
use crate::event::click_id::{ClickId, Place};
use crate::event::codec::{Event, decode};
use crate::event::decision::Decision;
use crate::event::members::{any_quoted, any_value};
use crate::event::params::{Params, ParamsRef, Source};
use crate::event::postback::Postback;
use crate::store::erasures::{Erasure, lane_text, place_text};
use crate::store::layout::Summary;
use crate::store::manifest::Manifest;
use crate::store::reader::{ClickIds, Reader};
use crate::store::{Error, Journal, Lookup, Position, Progress, keys};

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// A click, by our id or another tracker's.
    Click(String),
    /// Every click and postback that came with this parameter.
    Param {
        /// Its name, in any case of its letters.
        name: String,
        /// Its whole value.
        value: String,
    },
}

/// Where it lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Clicks, as `node/lane:segment:ordinal`.
    pub clicks: BTreeSet<String>,
    /// Requests that report conversions.
    pub postbacks: BTreeSet<String>,
    /// What was decided on them.
    pub decisions: BTreeSet<String>,
    /// What was looked for and is nowhere, as it was given.
    pub unknown: Vec<String>,
}

impl Found {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.clicks.is_empty() && self.postbacks.is_empty() && self.decisions.is_empty()
    }
}

/// Finds it. `progress` is told of segments.
///
/// # Errors
/// What reading says.
pub fn find(reader: &Reader, sought: &[Sought], progress: Progress<'_>) -> Result<Found, Error> {
    let node = reader.node()?.unwrap_or_default();
    let mut search = Search {
        reader,
        progress,
        node,
        ids: ClickIds::open(reader, node)?,
        params: Wanted::default(),
        names: Names::default(),
        clicks: BTreeSet::new(),
        times: Vec::new(),
        postbacks: BTreeSet::new(),
        decisions: BTreeSet::new(),
    };
    search.by_ids(sought)?;
    search.by_values()?;
    search.family()?;
    search.postbacks()?;
    let places = search.clicks.iter().filter_map(|packed| Place::from_packed(*packed));
    Ok(Found {
        clicks: places.map(place_text).collect(),
        postbacks: search.postbacks.iter().map(ToString::to_string).collect(),
        decisions: search.decisions.iter().map(ToString::to_string).collect(),
        unknown: sought.iter().filter_map(|one| search.unknown(one)).collect(),
    })
}

/// The line that says of what was found that it is to be forgotten; `since` is when the search began.
///
/// # Errors
/// What reading says.
pub fn erasure(
    reader: &Reader,
    sought: &[Sought],
    found: Found,
    (since, now): (Timestamp, Timestamp),
) -> Result<Erasure, Error> {
    let directory = reader.directory();
    let mut id = String::new();
    for byte in keys::random(directory.root())? {
        // Writing to a string cannot fail.
        let _written = write!(id, "{byte:02x}");
    }
    let key = keys::dedupe_key(directory)?;
    let by = sought.iter().map(|one| match one {
        Sought::Click(_) => "a click".to_owned(),
        Sought::Param { name, value } => {
            format!("the parameter {name}, of hash {:016x}", key.hash(format!("{name}\0{value}").as_bytes()))
        }
    });
    let mut until = std::collections::BTreeMap::new();
    for ((journal, lane), entry) in Manifest::peek(directory)?.into_iter().flat_map(|manifest| manifest.lanes)
    {
        until.insert(lane_text(journal, lane), entry.next_segment);
    }
    let of = |all: BTreeSet<String>| all.into_iter().collect();
    Ok(Erasure {
        id,
        since: since.to_string(),
        at: now.to_string(),
        by: by.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; "),
        clicks: of(found.clicks),
        postbacks: of(found.postbacks),
        decisions: of(found.decisions),
        until,
    })
}

struct Search<'a> {
    reader: &'a Reader,
    progress: Progress<'a>,
    node: u16,
    ids: Option<ClickIds>,
    params: Wanted,
    names: Names,
    clicks: BTreeSet<u64>,
    times: Vec<Timestamp>,
    postbacks: BTreeSet<Position>,
    decisions: BTreeSet<Position>,
}

impl Search<'_> {
    fn by_ids(&mut self, sought: &[Sought]) -> Result<(), Error> {
        for one in sought {
            match one {
                Sought::Param { name, value } => self.params.insert(name, value),
                Sought::Click(text) => {
                    self.names.insert(text);
                    let read: Option<ClickId> = text.parse().ok();
                    let place = read.and_then(|id| self.ids.as_ref()?.decode(&id));
                    if let Some(place) = place {
                        self.add(place)?;
                        if self.clicks.contains(&place.packed()) {
                            self.names.note(text);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds the click at a place and the first one of its visit.
    fn add(&mut self, place: Place) -> Result<(), Error> {
        let mut next = Some(place);
        while let Some(place) = next.filter(|place| !self.clicks.contains(&place.packed())) {
            let at = (place.lane(), place.segment(), place.ordinal());
            let node = self.node;
            let read = self.reader.click(at, |position, record| {
                let place = place_of(node, at.0, position, record)?;
                match decode(record.kind, record.schema, record.payload) {
                    Ok(Event::Click(click)) => Some((place, click.parent, click.foreign_id.to_owned())),
                    _ => None,
                }
            })?;
            let Lookup::Found(Some((read, parent, foreign_id))) = read else { return Ok(()) };
            if place.seconds() != 0 && read.seconds() != place.seconds() {
                return Ok(()); // another click stands there
            }
            self.clicks.insert(read.packed());
            self.times.push(Timestamp::from_seconds(read.seconds()));
            if !foreign_id.is_empty() {
                self.names.insert(&foreign_id);
            }
            if let Some(id) = self.ids.as_ref().and_then(|ids| ids.text(read)) {
                self.names.insert(id.as_str());
            }
            next = Place::from_packed(parent);
        }
        Ok(())
    }

    /// Clicks with one of the parameters, and clicks of other trackers with one of the ids.
    fn by_values(&mut self) -> Result<(), Error> {
        if self.params.is_empty() && !self.names.has_foreign() {
            return Ok(());
        }
        let (params, names) = (self.params.clone(), self.names.clone());
        self.scan_clicks(&|_| true, &|click| {
            (!click.foreign_id.is_empty() && names.has_text(click.foreign_id))
                || params.has_one_of(click.params)
                || params.has("external_id", click.external_id)
        })?;
        self.names.found.get_mut().extend(names.found.into_inner());
        self.params.found.get_mut().extend(params.found.into_inner());
        Ok(())
    }

    /// What was given, if nothing came of it.
    fn unknown(&self, sought: &Sought) -> Option<String> {
        match sought {
            Sought::Click(text) => (!self.names.was_found(text)).then(|| text.clone()),
            Sought::Param { name, value } => {
                let found = self.params.found.borrow();
                let was_found = found.contains(&(name.to_ascii_lowercase(), value.clone()));
                (!was_found).then(|| format!("{name}={value}"))
            }
        }
    }

    /// Ways through landers that began with one of the clicks.
    fn family(&mut self) -> Result<(), Error> {
        let Some(first) = self.times.iter().min().copied() else { return Ok(()) };
        let clicks = self.clicks.clone();
        let wanted = |summary: &Summary| summary.last_time >= first;
        self.scan_clicks(&wanted, &|click| clicks.contains(&click.parent))
    }

    fn scan_clicks(
        &mut self,
        wanted: &dyn Fn(&Summary) -> bool,
        is_meant: &dyn Fn(&Click<'_>) -> bool,
    ) -> Result<(), Error> {
        let mut places = Vec::new();
        for lane in self.reader.lanes(Journal::Clicks)? {
            self.reader.scan((Journal::Clicks, lane), wanted, self.progress, |position, record| {
                if let Ok(Event::Click(click)) = decode(record.kind, record.schema, record.payload)
                    && is_meant(&click)
                {
                    places.extend(place_of(self.node, lane, position, record));
                }
                ControlFlow::Continue(())
            })?;
        }
        places.into_iter().try_for_each(|place| self.add(place))
    }

    fn postbacks(&mut self) -> Result<(), Error> {
        let (postbacks, decisions) = (&mut self.postbacks, &mut self.decisions);
        let (clicks, names, params) = (&self.clicks, &self.names, &self.params);
        self.reader.scan(
            (Journal::Postbacks, 0),
            |_| true,
            self.progress,
            |position, record| {
                match decode(record.kind, record.schema, record.payload) {
                    Ok(Event::Postback(postback)) if is_postback(&postback, names, params) => {
                        postbacks.insert(position);
                    }
                    Ok(Event::Decision(decision)) => {
                        let of = Position::from_u64(decision.postback);
                        let is_of = of.is_some_and(|of| postbacks.contains(&of));
                        if is_of || clicks.contains(&decision.click) || is_decision(&decision, names, params)
                        {
                            decisions.insert(position);
                            postbacks.extend(of);
                        }
                    }
                    _ => {}
                }
                ControlFlow::Continue(())
            },
        )
    }
}

/// Texts that stand for clicks in a request.
#[derive(Clone, Debug, Default)]
struct Names {
    texts: HashSet<String>,
    /// Those of them that are ids of ours: others may write these otherwise.
    ids: HashSet<ClickId>,
    /// Those that something has.
    found: RefCell<HashSet<String>>,
}

impl Names {
    fn insert(&mut self, text: &str) {
        self.ids.extend(text.parse::<ClickId>());
        self.texts.insert(text.to_owned());
    }

    fn has_text(&self, text: &str) -> bool {
        let is_it = self.texts.contains(text);
        if is_it {
            self.note(text);
        }
        is_it
    }

    fn has(&self, text: &str) -> bool {
        let is_id = || text.parse::<ClickId>().ok().filter(|id| self.ids.contains(id));
        self.has_text(text) || is_id().map(|id| self.note(&id.to_string())).is_some()
    }

    fn note(&self, text: &str) {
        if !self.found.borrow().contains(text) {
            self.found.borrow_mut().insert(text.to_owned());
        }
    }

    fn was_found(&self, text: &str) -> bool {
        let found = self.found.borrow();
        found.contains(text) || text.parse::<ClickId>().is_ok_and(|id| found.contains(&id.to_string()))
    }

    /// Whether another tracker may have given one of them.
    fn has_foreign(&self) -> bool {
        self.texts.iter().any(|text| text.parse::<ClickId>().is_err())
    }
}

/// Parameters that are looked for.
#[derive(Clone, Debug, Default)]
struct Wanted {
    /// Names in small letters, by their values: there are few of them for one.
    names: HashMap<String, BTreeSet<String>>,
    /// Those that something has, by name and value.
    found: RefCell<HashSet<(String, String)>>,
}

impl Wanted {
    fn insert(&mut self, name: &str, value: &str) {
        self.names.entry(value.to_owned()).or_default().insert(name.to_ascii_lowercase());
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn has(&self, name: &str, value: &str) -> bool {
        let Some(names) = self.names.get(value) else { return false };
        let name = name.to_ascii_lowercase();
        let is_it = names.contains(&name);
        if is_it {
            self.found.borrow_mut().insert((name, value.to_owned()));
        }
        is_it
    }

    /// Whether a value is looked for, under whatever name.
    fn has_value(&self, value: &str) -> bool {
        let names = self.names.get(value).into_iter().flatten();
        self.found.borrow_mut().extend(names.map(|name| (name.clone(), value.to_owned())));
        self.names.contains_key(value)
    }

    fn has_one_of(&self, params: ParamsRef<'_>) -> bool {
        !self.is_empty() && params.iter().any(|(name, value)| self.has(name, value))
    }
}

fn is_decision(decision: &Decision<'_>, names: &Names, params: &Wanted) -> bool {
    names.has(decision.conversion.click_id)
        || params.has_one_of(decision.click_params)
        || params.has_one_of(decision.postback_params)
        || params.has("external_id", decision.external_id)
}

fn is_postback(postback: &Postback<'_>, names: &Names, params: &Wanted) -> bool {
    let has = |raw: &[u8], source| {
        Params::parse(raw, source).iter().any(|(name, value)| names.has(value) || params.has(name, value))
    };
    has(postback.query.as_bytes(), Source::Query)
        || has(postback.body, Source::Form)
        || any_value(postback.body, &|said| names.has(said) || params.has_value(said))
        || any_quoted(postback.body, &|said| names.has(said) || params.has_value(said))
}
