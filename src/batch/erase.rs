//! What is to be forgotten, found: clicks, and all that followed from them.
//!
//! In: ids of clicks, ours or another tracker's, and parameters with their values. Out: where the clicks lie, the ways
//! through landers that they began or came by, the requests that name them, and what was decided; and the line that says so
//! (`store::erasures`).
//! Keeps: it takes no lock; what it found is hidden once the line is there, and not before. The line has no value that was
//! looked for, but for a hash of a parameter that only who has the store's keys can make again.
//! Cost: an id of ours leads to its click, and the clicks of `THROUGH_WINDOW` after it are read; anything else reads all
//! clicks. The postbacks journal is read once.
//! Not here: making segments anew (`compactor::rewrite`).

use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::ControlFlow;

use serde::Serialize;

use super::lookup::{THROUGH_WINDOW, names_one_of, place_of, same_id};
use crate::clock::Timestamp;
use crate::event::click::Click;
use crate::event::click_id::{ClickId, Place};
use crate::event::codec::{Event, decode};
use crate::event::decision::Decision;
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
        params: Vec::new(),
        names: BTreeSet::new(),
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
    })
}

/// The line that says of what was found that it is to be forgotten.
///
/// # Errors
/// What reading says.
pub fn erasure(reader: &Reader, sought: &[Sought], found: Found, now: Timestamp) -> Result<Erasure, Error> {
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
    params: Vec<(String, String)>,
    /// Texts that stand for these clicks in a request.
    names: BTreeSet<String>,
    clicks: BTreeSet<u64>,
    times: Vec<Timestamp>,
    postbacks: BTreeSet<Position>,
    decisions: BTreeSet<Position>,
}

impl Search<'_> {
    fn by_ids(&mut self, sought: &[Sought]) -> Result<(), Error> {
        for one in sought {
            match one {
                Sought::Param { name, value } => self.params.push((name.clone(), value.clone())),
                Sought::Click(text) => {
                    self.names.insert(text.clone());
                    let read: Option<ClickId> = text.parse().ok();
                    let place = read.and_then(|id| self.ids.as_ref()?.decode(&id));
                    if let Some(place) = place {
                        self.add(place)?;
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
            self.names.extend((!foreign_id.is_empty()).then_some(foreign_id));
            let id = self.ids.as_ref().and_then(|ids| ids.text(read));
            self.names.extend(id.map(|id| id.as_str().to_owned()));
            next = Place::from_packed(parent);
        }
        Ok(())
    }

    /// Clicks with one of the parameters, and clicks of other trackers with one of the ids.
    fn by_values(&mut self) -> Result<(), Error> {
        let is_foreign = |name: &String| name.parse::<ClickId>().is_err();
        if self.params.is_empty() && !self.names.iter().any(is_foreign) {
            return Ok(());
        }
        let (params, names) = (self.params.clone(), self.names.clone());
        self.scan_clicks(&|_| true, &|click| {
            (!click.foreign_id.is_empty() && names.contains(click.foreign_id))
                || has_param(click.params, &params)
                || is_given(&params, "external_id", click.external_id)
        })
    }

    /// Ways through landers that began with one of the clicks.
    fn family(&mut self) -> Result<(), Error> {
        let (Some(first), Some(last)) = (self.times.iter().min(), self.times.iter().max()) else {
            return Ok(());
        };
        let (first, last) = (*first, last.plus(THROUGH_WINDOW));
        let clicks = self.clicks.clone();
        let wanted = |summary: &Summary| summary.first_time <= last && summary.last_time >= first;
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

fn is_given(params: &[(String, String)], name: &str, value: &str) -> bool {
    params.iter().any(|(wanted, given)| wanted.eq_ignore_ascii_case(name) && given == value)
}

fn has_param(stored: ParamsRef<'_>, params: &[(String, String)]) -> bool {
    !params.is_empty() && stored.iter().any(|(name, value)| is_given(params, name, value))
}

fn is_decision(decision: &Decision<'_>, names: &BTreeSet<String>, params: &[(String, String)]) -> bool {
    names.iter().any(|name| same_id(name, decision.conversion.click_id))
        || has_param(decision.click_params, params)
        || has_param(decision.postback_params, params)
        || is_given(params, "external_id", decision.external_id)
}

fn is_postback(postback: &Postback<'_>, names: &BTreeSet<String>, params: &[(String, String)]) -> bool {
    let has = |raw: &[u8], source| {
        Params::parse(raw, source).iter().any(|(name, value)| is_given(params, name, value))
    };
    (!names.is_empty() && names_one_of(postback, names))
        || (!params.is_empty()
            && (has(postback.query.as_bytes(), Source::Query)
                || has(postback.body, Source::Form)
                || params.iter().any(|(_, value)| is_quoted(postback.body, value))))
}

/// Whether a value stands in JSON, under whatever name.
fn is_quoted(body: &[u8], value: &str) -> bool {
    let quoted = serde_json::to_vec(value).unwrap_or_default();
    memchr::memmem::find(body, &quoted).is_some()
}
