//! Whom a made-up postback would lead to, and what each of them would be sent.
//!
//! In: the decision that would be made, the destinations in use. Out: for each destination of its place in the catalog, who
//! named it, whether it would be told and if not why, and the request.
//! Keeps: nothing is sent; of a secret, and of what is made with one, `***` is shown.

use serde::Serialize;

use crate::apply::ledger::Imagined;
use crate::clock::Timestamp;
use crate::dispatcher::destinations::Destinations;
use crate::dispatcher::follow;
use crate::dispatcher::kept::Kept;
use crate::dispatcher::owed::{Destination, Level};
use crate::dispatcher::request::{Moment, Shown, show_now};
use crate::event::codec::Kind;
use crate::event::decision::Decision;
use crate::event::hex;
use crate::store::{Journal, Position, Store};

/// The most earlier decisions on a conversion that are looked at.
const EARLIER_MAX: usize = 1_000;

/// One destination.
#[derive(Debug, Serialize)]
pub(super) struct WouldTell {
    destination: String,
    /// Who names it: `offer`, `campaign`, `source`, `global`.
    level: &'static str,
    delivery_id: String,
    is_wanted: bool,
    /// Why it would not be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
    /// How long after the decision.
    delay_seconds: u64,
    /// What it would be sent, or would if it were told.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Shown>,
    /// Why there is no request.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_request: Option<String>,
}

impl WouldTell {
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }
}

/// All destinations of a decision, the most specific first.
pub(super) fn all(
    imagined: &Imagined,
    destinations: &Destinations,
    store: &Store,
    now: Timestamp,
) -> Vec<WouldTell> {
    let kept = Kept::new(Kind::Decision.code(), imagined.schema, &imagined.payload);
    let Some(decision) = kept.decision() else { return Vec::new() };
    let levels = destinations.levels(&decision);
    let earlier = if levels.need_earlier(&decision) { earlier(store, decision.previous) } else { Vec::new() };
    let earlier: Vec<Decision<'_>> = earlier.iter().filter_map(Kept::decision).collect();
    let moment = Moment { now, random: now.micros().unsigned_abs() };
    let tell = |(level, destination): (Level, &Destination)| {
        let why_not = destination.condition.why_not(&decision, &earlier, &destination.id);
        let made = show_now(destinations, &decision, &destination.id, moment);
        let (request, no_request) = match made {
            Some(Ok(request)) => (Some(request), None),
            Some(Err(unmade)) => (None, Some(unmade.to_string())),
            None => (None, None),
        };
        WouldTell {
            destination: destination.id.to_string(),
            level: level.name(),
            delivery_id: hex(&destination.delivery_id(&decision)),
            is_wanted: why_not.is_none(),
            why_not: why_not.map(|why| why.to_string()),
            delay_seconds: destination.delay.as_secs(),
            request,
            no_request,
        }
    };
    levels.chosen().into_iter().map(tell).collect()
}

/// The decisions on the same conversion before, the newest first.
fn earlier(store: &Store, previous: u64) -> Vec<Kept> {
    let mut found = Vec::new();
    let Some(lane) = store.lane(Journal::Postbacks, 0) else { return found };
    let view = lane.view();
    let mut next = Position::from_u64(previous);
    while let Some(at) = next.filter(|at| *at > Position::START && found.len() < EARLIER_MAX)
        && let Some(kept) = follow::decision(&view, at)
    {
        // A log never leads forward.
        next = kept
            .decision()
            .and_then(|decision| Position::from_u64(decision.previous))
            .filter(|earlier| *earlier < at);
        found.push(kept);
    }
    found
}
