//! A click: recorded, then redirected.
//!
//! In: a request for a campaign. Out: the answer, once the record is in the journal (or there is no room for one, which
//! is counted).
//! Keeps: whatever is wrong with a request's parameters, the click is recorded and the visitor goes somewhere; what the
//! campaign's address policy forbids is gone before the record is written.
//! Not here: how a request is found to be one (`route`), what is inserted where (`event::template`).

use std::time::Duration;

use bytes::{BufMut, Bytes};

use super::address::AddressPolicy;
use super::catalog::{Campaign, Catalog, Cost, Offer, Redirect, Source};
use super::hot::{Hot, mix};
use super::labels::{Agents, Lists};
use super::outcome::Outcome;
use super::reply::Reply;
use super::values::ClickValues;
use super::visit::{CLICK_COOKIE, VISITOR_COOKIE, Visit};
use super::worker::Shared;
use crate::event::click::{Click, ClickKind, Labels};
use crate::event::click_id::ClickIdText;
use crate::event::money::{Micros, Money};
use crate::event::params::{ParamsRef, Source as Raw};
use crate::event::template::Template;

/// What follows a cookie's value: a browser keeps it for 30 days.
const COOKIE_OF_HTTPS: &[u8] = b"; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=None";
const COOKIE_OF_HTTP: &[u8] = b"; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax";

/// Where a click goes.
pub(super) struct Chosen<'a> {
    pub(super) lander: Option<(usize, &'a Template)>,
    pub(super) offer: Option<&'a Offer>,
}

impl<'a> Chosen<'a> {
    fn template(&self) -> Option<&'a Template> {
        self.lander.map(|(_, template)| template).or(self.offer.map(|offer| &offer.url))
    }
}

/// The click that a way through a lander goes on from.
#[derive(Clone, Copy, Default)]
pub(super) struct Parent<'a> {
    /// Where it lies, packed; 0 is none.
    pub(super) place: u64,
    /// The lander that its record names.
    pub(super) lander: &'a str,
}

/// Records a click of a campaign and sends the visitor on.
pub(super) fn click(
    shared: &Shared,
    hot: &mut Hot,
    catalog: &Catalog,
    campaign: &Campaign,
    visit: &Visit<'_>,
) -> Reply {
    if visit.is_prefetch() {
        return Reply::refusal(Outcome::Prefetch);
    }
    hot.params.clear();
    hot.params.parse_into(visit.query().as_bytes(), Raw::Query);
    let visitor = campaign.is_sticky.then(|| visitor(hot, visit));
    let chosen = choose(hot, catalog, campaign, visitor);
    let recorded =
        record(shared, hot, catalog, campaign, visit, &chosen, ClickKind::Redirect, Parent::default());
    let reply = send_on(hot, campaign, &recorded);
    let Some(id) = recorded.click_id.as_ref().filter(|_| campaign.has_cookie) else {
        return reply;
    };
    let reply = reply.with_cookie(cookie(hot, CLICK_COOKIE, id.as_str(), visit.is_https));
    match visitor {
        Some(visitor) => {
            let value = format!("{visitor:016x}");
            reply.with_cookie(cookie(hot, VISITOR_COOKIE, &value, visit.is_https))
        }
        None => reply,
    }
}

/// What a HEAD asks: the answer to a click that did not happen.
pub(super) fn head(hot: &mut Hot, catalog: &Catalog, campaign: &Campaign, visit: &Visit<'_>) -> Reply {
    hot.params.clear();
    hot.params.parse_into(visit.query().as_bytes(), Raw::Query);
    let chosen = choose(hot, catalog, campaign, None);
    let click = Click { time: visit.time, campaign: &campaign.id, ..Click::default() };
    let made = render(hot, campaign, &chosen, &click, None);
    let mut reply = match made {
        Made::Destination => Reply::redirect(Outcome::Head, campaign.redirect, hot.take_url()),
        Made::Fallback => Reply::redirect(Outcome::Head, Redirect::Found, hot.take_url()),
        Made::Nothing => Reply::refusal(Outcome::NoDestination),
    };
    reply.outcome = Outcome::Head;
    reply
}

/// What became of the record, and the URL that was made while its texts were at hand.
pub(super) struct Recorded {
    pub(super) click_id: Option<ClickIdText>,
    pub(super) is_recorded: bool,
    pub(super) made: Made,
}

/// Which URL lies in the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Made {
    Destination,
    Fallback,
    #[default]
    Nothing,
}

/// Lander and offer for a visitor: by chance, or for one who is known always the same.
pub(super) fn choose<'a>(
    hot: &mut Hot,
    catalog: &'a Catalog,
    campaign: &'a Campaign,
    visitor: Option<u64>,
) -> Chosen<'a> {
    let mut number = |salt: u64| match visitor {
        Some(visitor) => mix(visitor ^ mix(salt)),
        None => hot.random(),
    };
    let lander = campaign.landers.choose(number(1));
    // With a lander in front, the offer is chosen when the visitor goes on.
    let offer = match lander {
        Some(_) => None,
        None => campaign.offers.choose(number(2)).and_then(|(_, offer)| catalog.offer(*offer)),
    };
    Chosen { lander, offer }
}

/// The number that a visitor of sticky campaigns is known by; a new one for a new visitor.
fn visitor(hot: &mut Hot, visit: &Visit<'_>) -> u64 {
    let known = visit.cookie(VISITOR_COOKIE).and_then(|text| u64::from_str_radix(text, 16).ok());
    known.unwrap_or_else(|| hot.random())
}

/// Writes the record of a click whose parameters are in `hot.params`, and, if it is one that is redirected, makes its URL
/// while everything is at hand.
#[expect(clippy::too_many_arguments, reason = "a click is made of all of these, once")]
pub(super) fn record(
    shared: &Shared,
    hot: &mut Hot,
    catalog: &Catalog,
    campaign: &Campaign,
    visit: &Visit<'_>,
    chosen: &Chosen<'_>,
    kind: ClickKind,
    parent: Parent<'_>,
) -> Recorded {
    let source = catalog.source(campaign);
    let Picked { external_id, cost } = pick(hot, source);
    let params = std::mem::take(&mut hot.params);
    let external_id = external_id.and_then(|index| params.iter().nth(index)).map_or("", |(_, value)| value);
    let user_agent = visit.user_agent();
    let (referrer, language) = (visit.referrer(), visit.language());
    visit.client_hints(&mut hot.client_hints);
    hot.stored_bytes.clear();
    hot.stored.encode_into(&mut hot.stored_bytes);
    let lander = chosen.lander.map(|(index, _)| (index + 1).to_string());
    let stored_bytes = std::mem::take(&mut hot.stored_bytes);
    let client_hints = std::mem::take(&mut hot.client_hints);
    let lists = shared.lists.load();
    let (country, asn) = lists.place(visit.address);
    let labels = labels(shared, &lists, &mut hot.agents, (campaign, kind), visit, &user_agent);
    let click = Click {
        time: visit.time,
        kind,
        config_version: catalog.version(),
        parent: parent.place,
        cost: match campaign.cost {
            // The visitor was paid for with the first click.
            _ if kind == ClickKind::Through => None,
            Cost::Fixed(money) => Some(money),
            Cost::FromParameter => cost,
        },
        address: campaign.address.keep(visit.address),
        country,
        asn,
        labels,
        global_privacy_control: visit.wants_privacy(),
        campaign: &campaign.id,
        source: source.map_or("", |source| &source.id),
        offer: chosen.offer.map_or("", |offer| &offer.id),
        lander: lander.as_deref().unwrap_or(parent.lander),
        external_id,
        foreign_id: "",
        host: visit.host,
        referrer: &referrer,
        user_agent: &user_agent,
        language: &language,
        client_hints: &client_hints,
        params: ParamsRef::check(&stored_bytes).unwrap_or_default(),
    };
    let appended = hot.writer.append(&click);
    let click_id = appended.as_ref().ok().map(|recorded| recorded.click_id.to_text());
    let made = match kind {
        ClickKind::Redirect => render(hot, campaign, chosen, &click, click_id.as_ref()),
        // Who goes through a lander goes to a URL with the first click in it; who is announced goes nowhere.
        _ => Made::Nothing,
    };
    let is_recorded = appended.is_ok();
    if let Ok(recorded) = &appended
        && !catalog.address_window().is_zero()
        && campaign.address != AddressPolicy::None
        && let Some(place) = shared.clicks.decode(&recorded.click_id)
    {
        shared.last_clicks.note(visit.address, place);
    }
    if is_recorded {
        shared.counts[hot.index].recorded(kind, click.labels);
    }
    drop((user_agent, referrer, language));
    hot.params = params;
    hot.stored_bytes = stored_bytes;
    hot.client_hints = client_hints;
    Recorded { click_id, is_recorded, made }
}

/// What is held against a click.
fn labels(
    shared: &Shared,
    lists: &Lists,
    agents: &mut Agents,
    (campaign, kind): (&Campaign, ClickKind),
    visit: &Visit<'_>,
    user_agent: &str,
) -> Labels {
    let hash = shared.visitors.hash_agent(user_agent);
    let labels = lists.of_address(visit.address).with(agents.labels(lists, hash, user_agent));
    // Of course who goes through a lander has been here: that was the click that this one belongs to.
    let window = if kind == ClickKind::Through { Duration::ZERO } else { campaign.duplicate_window };
    let is_repeat = shared.visitors.is_repeat(&campaign.id, visit.address, hash, visit.time, window);
    if is_repeat { labels.with(Labels::DUPLICATE) } else { labels }
}

/// What was picked out of the parameters.
struct Picked {
    /// Which parameter.
    external_id: Option<usize>,
    cost: Option<Money>,
}

/// Renames the parameters as the source says, and picks out those that are no mere parameters.
fn pick(hot: &mut Hot, source: Option<&Source>) -> Picked {
    let external_name = source.and_then(|source| source.external_id.as_deref()).unwrap_or("external_id");
    let cost_name = source.and_then(|source| source.cost.as_deref()).unwrap_or("cost");
    let mut picked = Picked { external_id: None, cost: None };
    hot.stored.clear();
    for (index, (name, value)) in hot.params.iter().enumerate() {
        if name == external_name && picked.external_id.is_none() {
            picked.external_id = Some(index);
            continue;
        }
        if name == cost_name
            && picked.cost.is_none()
            && let Ok(parsed) = Micros::parse(value)
        {
            let currency = source.map_or(crate::event::money::Currency::USD, |source| source.currency);
            picked.cost = Some(Money { amount: parsed.amount, currency });
            continue;
        }
        let ours = source.and_then(|source| source.params.iter().find(|(theirs, _)| theirs.as_ref() == name));
        hot.stored.push(ours.map_or(name, |(_, ours)| ours), value);
    }
    picked
}

/// Makes the URL that a click goes to, in the worker's buffer.
pub(super) fn render(
    hot: &mut Hot,
    campaign: &Campaign,
    chosen: &Chosen<'_>,
    click: &Click<'_>,
    click_id: Option<&ClickIdText>,
) -> Made {
    let network = chosen.offer.map_or("", |offer| &offer.network);
    let random = hot.random();
    let values = ClickValues::new(click, click_id, network, random);
    hot.url.clear();
    let tries = [(chosen.template(), Made::Destination), (campaign.fallback.as_ref(), Made::Fallback)];
    for (template, made) in tries {
        if template.is_some_and(|template| template.render(&values, &mut hot.url).is_ok()) {
            return made;
        }
    }
    Made::Nothing
}

/// The answer to a click.
fn send_on(hot: &mut Hot, campaign: &Campaign, recorded: &Recorded) -> Reply {
    let (outcome, redirect) = match recorded.made {
        Made::Destination => (Outcome::Redirected, campaign.redirect),
        Made::Fallback => (Outcome::FellBack, Redirect::Found),
        Made::Nothing => (Outcome::NoDestination, Redirect::Found),
    };
    let outcome = if recorded.is_recorded { outcome } else { Outcome::Unrecorded };
    match (recorded.made, redirect, &recorded.click_id) {
        (Made::Nothing, _, _) => {
            let mut reply = Reply::refusal(Outcome::NoDestination);
            reply.outcome = outcome;
            reply
        }
        (_, Redirect::DoubleMeta, Some(id)) => {
            Reply::refresh(outcome, format!("/m?c={}", id.as_str()).as_bytes())
        }
        _ => Reply::redirect(outcome, redirect, hot.take_url()),
    }
}

/// A `Set-Cookie` value. Not `Partitioned`: that would hide it from the advertiser's page (FACTS).
pub(super) fn cookie(hot: &mut Hot, name: &str, value: &str, is_https: bool) -> Bytes {
    let text = &mut hot.text;
    text.put_slice(name.as_bytes());
    text.put_slice(b"=");
    text.put_slice(value.as_bytes());
    text.put_slice(if is_https { COOKIE_OF_HTTPS } else { COOKIE_OF_HTTP });
    text.split().freeze()
}
