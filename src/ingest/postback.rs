//! A conversion that somebody reports, from its request to its answer.
//!
//! In: a request at one of the conversion routes, its body read. Out: its answer, once what it led to is on disk.
//! Keeps: the order of the checks is body, network, who calls (`entrance`), how often, what is missing or malformed
//! (`fields`), the click (`look_up`), the owner of the books; HEAD and prefetching browsers leave no trace. A refused request
//! of a caller who showed who it is goes to the owner whole, and is answered after the sync too; of others only
//! samples are kept, and nobody waits for those.
//! Not here: what is decided (`apply`), how an answer looks (`answer`, `pixel`).

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::address::AddressPolicy;
use super::answer::{self, Finding, RESULT, Step};
use super::catalog::Catalog;
use super::counts::Counts;
use super::doors::Entry;
use super::entrance::{Entered, Said, enter};
use super::evidence::content_type;
use super::fields::{self, Fault};
use super::look_up::{self, Busy};
use super::network::{DoorKind, Network};
use super::outcome::{Class, Outcome};
use super::pixel::{self, Fired};
use super::recent::Recent;
use super::reply::Reply;
use super::route::{Route, other_tracker, route};
use super::visit::{CLICK_COOKIE, Visit};
use super::worker::{Shared, Worker};
use crate::apply::claim::{Claim, Effect, Refusal, Request, Subject, Submission};
use crate::apply::explain;
use crate::apply::ledger::Ruling;
use crate::apply::reading::{Mapping, Role, is_placeholder};
use crate::event::params::{Params, Source};
use crate::store::space::Room;

/// Marks a conversion whose click was found by nothing but its address.
const BY_ADDRESS: &str = "_by_address";

/// How a request at this path came to be about a conversion.
pub(super) fn entry(path: &str) -> Entry<'_> {
    match route(path) {
        Route::Postback(name) => Entry::Postback(name),
        Route::Pixel(kind) => Entry::Pixel(kind),
        _ => Entry::Door,
    }
}

/// Whether a request at a path that is not ours is for one of the networks' doors; a body may still say so.
pub(super) fn is_at_a_door(catalog: &Catalog, visit: &Visit<'_>) -> bool {
    let doors = catalog.doors_at(visit.path());
    if doors.is_empty() || visit.parts.method == Method::POST {
        return !doors.is_empty();
    }
    let query = Params::parse(visit.query().as_bytes(), Source::Query);
    doors.iter().any(|doorway| doorway.is_open_to(&[&query]))
}

/// The answer to a HEAD, which reports nothing.
pub(super) fn head(kind: DoorKind) -> Reply {
    match kind {
        DoorKind::Postback => Reply::text(Outcome::Head, StatusCode::OK, ""),
        kind => pixel::head(kind),
    }
}

/// An answer that is the same on all routes, marked as one of a conversion route.
pub(super) fn refusal(outcome: Outcome) -> Reply {
    let mut reply = Reply::refusal(outcome);
    if let Ok(name) = http::HeaderValue::try_from(format!("rejected:{}", outcome.label())) {
        reply.headers().insert(RESULT, name);
    }
    reply
}

/// The answer to a request at this path that is refused before anybody looks what it is about.
pub(super) fn refused(path: &str, outcome: Outcome) -> Reply {
    match entry(path) {
        Entry::Postback(_) | Entry::Pixel(_) => refusal(outcome),
        Entry::Door => Reply::refusal(outcome),
    }
}

/// Answers a request whose body, if it has one, is `body`.
pub(super) async fn answer(worker: &Worker, visit: &Visit<'_>, body: &[u8]) -> Reply {
    let shared = &*worker.shared;
    // Held across waits, so not a guard: a reload must not wait for whoever waits for the disk.
    let catalog = shared.catalog.load_full();
    let entry = entry(visit.path());
    let said = Said::of(visit.query(), &content_type(visit), body);
    if entry == Entry::Door && !is_open(&catalog, visit.path(), &said) {
        let is_click = other_tracker(&catalog, visit.path(), visit.query()).is_some();
        return Reply::refusal(if is_click { Outcome::Method } else { Outcome::NotFound });
    }
    let mut entered = enter(&catalog, entry, visit, (&said, body), None);
    if entered.kind != DoorKind::Postback {
        if visit.is_prefetch() {
            return Reply::refusal(Outcome::Prefetch);
        }
        if is_unknown(&entered) {
            match network_of_click(shared, &catalog, entry, visit, &entered.params).await {
                Ok(Some(id)) => entered = enter(&catalog, entry, visit, (&said, body), Some(&id)),
                Ok(None) => {}
                Err(Busy) => {
                    return Road { worker, catalog: &catalog, visit }.done(
                        &entered,
                        &Finding::Unavailable,
                        None,
                    );
                }
            }
        }
    }
    Road { worker, catalog: &catalog, visit }.go(entered).await
}

/// Whether a body turned out to be for a door: its parameters may be what a door asks for.
fn is_open(catalog: &Catalog, path: &str, said: &Said) -> bool {
    let doors = catalog.doors_at(path);
    doors.iter().any(|doorway| said.is_bad() || doorway.is_open_to(&said.both()))
}

fn is_unknown(entered: &Entered<'_>) -> bool {
    entered.fault.as_ref().is_some_and(|fault| fault.refusal == Refusal::UnknownNetwork)
}

/// The network that a browser's pixel can only be for: that of the click's offer, or the only one that takes pixels.
async fn network_of_click(
    shared: &Shared,
    catalog: &Catalog,
    entry: Entry<'_>,
    visit: &Visit<'_>,
    params: &Params,
) -> Result<Option<String>, Busy> {
    let generic = Mapping::generic();
    let names = generic.names(Role::ClickId).iter();
    let mut said = names.filter_map(|name| params.get_ignore_case(name)).map(str::trim);
    let said = said.find(|id| !id.is_empty() && !is_placeholder(id));
    if let Some(id) = said.or_else(|| visit.cookie(CLICK_COOKIE)) {
        let subject = look_up::look_up(&shared.clicks, &shared.look_ups, id).await?;
        if let Some(network) = look_up::network(catalog, &subject).filter(|id| catalog.network(id).is_some())
        {
            return Ok(Some(network.to_owned()));
        }
    }
    if entry == Entry::Door {
        return Ok(None);
    }
    let mut takers = catalog.networks().iter().filter(|network| network.access.takes_pixels);
    let only = takers.next().filter(|_| takers.next().is_none());
    Ok(only.map(|network| network.rules.id.to_string()))
}

/// One request on its way.
struct Road<'a> {
    worker: &'a Worker,
    catalog: &'a Catalog,
    visit: &'a Visit<'a>,
}

impl Road<'_> {
    async fn go(&self, mut entered: Entered<'_>) -> Reply {
        let Some(network) = entered.network.filter(|_| entered.fault.is_none()) else {
            let fault = entered.fault.take().unwrap_or_else(|| Refusal::UnknownNetwork.into());
            return self.refuse(entered, fault, None).await;
        };
        let shared = self.shared();
        if let Some(rate) = network.access.rate {
            let now = shared.clock.monotonic();
            if let Err(wait) = shared.callers.admit(&network.rules.id, rate, now) {
                return self.refuse(entered, Refusal::RateLimit.into(), Some(wait)).await;
            }
            entered.note("rate", || "not used up".to_owned());
        }
        let found = match self.found_elsewhere(network, &entered).await {
            Ok(found) => found,
            Err(Busy) => return self.done(&entered, &Finding::Unavailable, None),
        };
        let found_id = found.as_ref().map(|found| found.click_id.as_str());
        let read = fields::read(network, entered.places, &entered.params, found_id);
        self.counts().placeholders(read.placeholders);
        let mut claim = match read.claim {
            Ok(claim) => claim,
            Err(fault) => return self.refuse(entered, fault, None).await,
        };
        if found.is_some_and(|found| found.by_address && found.click_id == claim.click_id) {
            claim.params.push(BY_ADDRESS, "1");
        }
        entered.note("fields", || shown(&claim));
        match look_up::look_up(&shared.clicks, &shared.look_ups, &claim.click_id).await {
            Ok(subject) => self.submit(entered, network, claim, subject).await,
            Err(Busy) => self.done(&entered, &Finding::Unavailable, None),
        }
    }

    /// The click of a browser that does not say which: by its cookie, else by its address where that is wanted.
    async fn found_elsewhere(&self, network: &Network, entered: &Entered<'_>) -> Result<Option<Found>, Busy> {
        if entered.kind == DoorKind::Postback {
            return Ok(None);
        }
        if let Some(id) = self.visit.cookie(CLICK_COOKIE).filter(|id| !id.is_empty()) {
            return Ok(Some(Found { click_id: id.to_owned(), by_address: false }));
        }
        let (shared, window) = (self.shared(), network.address_window);
        let is_said = network.rules.mapping.read(&entered.params).click_id.is_some();
        if window.is_zero() || is_said {
            return Ok(None);
        }
        let Some(place) = shared.last_clicks.find(self.visit.address) else { return Ok(None) };
        let found = look_up::find_at(&shared.clicks, &shared.look_ups, place).await?;
        let found = found.filter(|found| {
            let click = found.click();
            click.is_some_and(|click| self.visit.time.since(click.time) <= window)
        });
        let id = found.map(|found| shared.clicks.id_of(found.place).to_text().as_str().to_owned());
        Ok(id.map(|click_id| Found { click_id, by_address: true }))
    }

    async fn submit(
        &self,
        mut entered: Entered<'_>,
        network: &Arc<Network>,
        claim: Claim,
        subject: Subject,
    ) -> Reply {
        let campaign = look_up::campaign(self.catalog, &subject);
        if entered.kind != DoorKind::Postback {
            let policy = campaign.map_or(AddressPolicy::Truncated, |campaign| campaign.address);
            entered.evidence.address = policy.keep(self.visit.address);
        }
        entered.note("click", || explain::subject(&subject));
        let fired = campaign
            .filter(|campaign| pixel::is_printed(entered.kind, campaign))
            .map(|campaign| Fired::new(campaign, network, &subject, &claim, self.visit.time));
        let effect = if entered.is_test { Effect::Test } else { Effect::Counts };
        let (terms, offer) = look_up::terms(self.catalog, &network.rules.id, &subject);
        let submission = Submission {
            evidence: entered.evidence.clone(),
            claim,
            network: Arc::clone(&network.rules),
            terms,
            offer,
            subject,
            effect,
        };
        let finding = match self.decide(Request::Postback(Box::new(submission))).await {
            Some(ruling) if entered.is_test => {
                entered.note("decision", || explain::ruling(&ruling));
                Finding::Tested(ruling)
            }
            Some(ruling) => Finding::Ruled(ruling),
            None => Finding::Unavailable,
        };
        self.done(&entered, &finding, fired.as_ref())
    }

    async fn refuse(&self, entered: Entered<'_>, fault: Fault, wait: Option<Duration>) -> Reply {
        let shared = self.shared();
        self.counts().refused(fault.refusal);
        let network = entered.evidence.network.as_str();
        let keep = || Request::Refused(Box::new(entered.evidence.clone()), fault.refusal);
        let mut is_kept = true;
        if entered.is_known && fault.refusal.is_of_a_known_caller() {
            is_kept = self.decide(keep()).await.is_some();
        } else if shared.room.room() != Room::Critical
            && shared.callers.is_sample(network, shared.clock.monotonic())
        {
            // Nobody waits for it, and nobody misses it where there is no room.
            let _sample = shared.books.submit(keep());
        }
        let finding = if is_kept { Finding::Refused(fault, wait) } else { Finding::Unavailable };
        self.done(&entered, &finding, None)
    }

    /// Asks the owner of the books; nothing if it could not be kept.
    async fn decide(&self, request: Request) -> Option<Ruling> {
        let shared = self.shared();
        if shared.room.room() == Room::Critical {
            return None;
        }
        let reply = shared.books.submit(request).ok()?;
        Some(reply.await.ok()?.into_inner())
    }

    /// The answer, and a note of it.
    fn done(&self, entered: &Entered<'_>, finding: &Finding, fired: Option<&Fired>) -> Reply {
        let steps = entered.is_test.then(|| steps(entered, finding));
        // A refusal quotes what it refuses.
        let reason = entered.places.masked(finding.message().unwrap_or(finding.reason()));
        let nearest = match finding {
            Finding::Refused(fault, _) => fault.nearest.as_deref().map(|name| entered.places.masked(name)),
            _ => None,
        };
        let recent = Recent::new(&entered.evidence, finding.name(), reason, nearest);
        self.shared().recents.note(&entered.evidence.network, entered.evidence.time, recent);
        let network = entered.network.map(AsRef::as_ref);
        match (entered.kind, &steps) {
            (DoorKind::Postback, _) => answer::reply(finding, network, &entered.params, steps.as_deref()),
            // Who tests looks at the answer, but an image is one for whoever put it into a page.
            (DoorKind::Page | DoorKind::Script, Some(steps)) => {
                answer::reply(finding, network, &entered.params, Some(steps)).of(Class::Pixel)
            }
            (kind, _) => pixel::reply(kind, finding, fired, self.visit).of(Class::Pixel),
        }
    }

    fn shared(&self) -> &Shared {
        &self.worker.shared
    }

    fn counts(&self) -> &Counts {
        self.worker.as_ref()
    }
}

/// A click that was found by other means than a parameter.
struct Found {
    click_id: String,
    by_address: bool,
}

fn steps(entered: &Entered<'_>, finding: &Finding) -> Vec<Step> {
    let passed = entered.passed.iter();
    let mut steps: Vec<_> = passed.map(|(step, found)| Step { step, found: found.clone() }).collect();
    if let Some(message) = finding.message() {
        steps.push(Step { step: "refused", found: format!("{}: {message}", finding.reason()) });
    }
    steps
}

/// What a claim says, for whoever tests.
fn shown(claim: &Claim) -> String {
    let payout = claim.payout.map_or_else(|| "none".to_owned(), |payout| payout.to_string());
    format!("{}, payout {payout} {}", explain::claim(claim), claim.currency)
}
