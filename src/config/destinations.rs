//! Destinations of a catalog, compiled: what a postback says over its preset, at each of four levels.
//!
//! In: postbacks and hosts as they are written. Out: `Destinations`, or all that is wrong with them.
//! Keeps: what belongs to a destination as a whole (its limits) is the same at whichever level it is said.
//! Not here: requests (`outbound`), connections (`route`), what a preset is (`presets`).

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use super::checks::Checks;
use super::file::{self, RateLimit, Text};
use super::outbound::{outbound, place, time};
use super::postback::Postback;
use super::presets::{Preset, complete};
use super::profiles::LIST_MAX;
use super::route::{Egress, Routes};
use super::secret::Environment;
use crate::dispatcher::concurrency;
use crate::dispatcher::condition::{Condition, PayoutRange, Statuses, WHOLE_BASIS_POINTS};
use crate::dispatcher::destinations::{Destinations, Limits, SiteLimits};
use crate::dispatcher::host::{Host, read};
use crate::dispatcher::outbound::{Body, Secrets, site_of};
use crate::dispatcher::owed::{Destination, OWED_MAX};
use crate::event::conversion::Status;
use crate::event::money::Micros;
use crate::event::template::{Known, Name, Names, Template};
use crate::meter::Allowance;

/// The longest that a destination may be told late.
const DELAY_MAX: Duration = Duration::from_hours(30 * 24);
/// The longest that a delivery may be of use.
const AGE_MAX: Duration = Duration::from_hours(90 * 24);
/// Attempts at once at one host.
const HOST_CONCURRENCY_MAX: u32 = 1_000;
/// Fewer at once cannot be: one is for what was just decided.
const CONCURRENCY_MIN: u32 = 2;

/// What a postback may refer to.
pub(super) struct Context<'a> {
    pub(super) names: &'a Names,
    pub(super) secrets: &'a BTreeSet<String>,
    pub(super) environment: Environment<'a>,
    pub(super) presets: &'static [Preset],
    pub(super) egress: &'a Egress,
}

/// What has been made so far.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) destinations: Destinations,
    routes: Routes,
}

/// To which level postbacks belong.
pub(super) enum Level<'a> {
    Global,
    Source(&'a str),
    Campaign(&'a str),
    Offer(&'a str),
}

impl Made {
    /// Compiles the postbacks of a level.
    pub(super) fn take(
        &mut self,
        checks: &mut Checks<'_>,
        items: &[Postback],
        level: &Level<'_>,
        context: &Context<'_>,
    ) {
        if items.is_empty() {
            return;
        }
        let mut made = Vec::with_capacity(items.len());
        let mut ids: HashSet<&str> = HashSet::new();
        for item in items {
            let Some(id) = &item.id else {
                checks.wrong(place(item), "a postback needs an id");
                continue;
            };
            checks.id(id);
            let is_there = |id: &str| {
                matches!(level, Level::Global) && self.destinations.global.iter().any(|made| *made.id == *id)
            };
            if is_there(id.get_ref()) || !ids.insert(id.get_ref()) {
                checks
                    .wrong(id.span(), format!("two postbacks of this level are called \"{}\"", id.get_ref()));
            }
            if let Some(item) = complete(checks, item, context.presets, context.secrets) {
                self.note_limits(checks, id, &item);
                made.extend(destination(checks, id, &item, context, &mut self.routes));
            }
        }
        let all = &mut self.destinations;
        let list = match level {
            Level::Global => &mut all.global,
            Level::Source(id) => all.by_source.entry((*id).into()).or_default(),
            Level::Campaign(id) => all.by_campaign.entry((*id).into()).or_default(),
            Level::Offer(id) => all.by_offer.entry((*id).into()).or_default(),
        };
        list.append(&mut made);
        if let (true, Some(last)) = (list.len() > OWED_MAX, items.last()) {
            checks.wrong(place(last), format!("a level has at most {OWED_MAX} postbacks"));
        }
    }

    /// Notes what belongs to a destination as a whole.
    fn note_limits(&mut self, checks: &mut Checks<'_>, id: &Text, item: &Postback) {
        let rate = item.rate_limit.as_ref().map(|given| allowance(checks, given));
        let daily = item.daily_cap.as_ref().map(|given| {
            if *given.get_ref() == 0 {
                checks.wrong(given.span(), "must be at least 1");
            }
            *given.get_ref()
        });
        let concurrency = item.concurrency.as_ref();
        let concurrency =
            concurrency.map(|given| within(checks, given, CONCURRENCY_MIN, concurrency::LIMIT_MAX));
        let noted = self.destinations.limits.entry(id.get_ref().as_str().into()).or_default();
        let Limits { rate: rate_so_far, daily: daily_so_far, concurrency: concurrency_so_far } = noted;
        let rate_place = item.rate_limit.as_ref().map(|given| given.per_second.span());
        settle(checks, id, "rate_limit", rate_place, rate, rate_so_far);
        settle(checks, id, "daily_cap", item.daily_cap.as_ref().map(Spanned::span), daily, daily_so_far);
        let place = item.concurrency.as_ref().map(Spanned::span);
        settle(checks, id, "concurrency", place, concurrency, concurrency_so_far);
    }

    /// Notes what hosts take.
    pub(super) fn take_hosts(&mut self, checks: &mut Checks<'_>, items: &[file::Host]) {
        for item in items {
            let rate = item.rate_limit.as_ref().map(|given| allowance(checks, given));
            let concurrency = item.concurrency.as_ref();
            let concurrency = concurrency.map(|given| within(checks, given, 1, HOST_CONCURRENCY_MAX));
            let Some(sites) = sites(item.name.get_ref()) else {
                checks.wrong(
                    item.name.span(),
                    "must be a host like \"ads.example.net\" or \"https://ads.example.net:8443\"",
                );
                continue;
            };
            for site in sites {
                if self.destinations.sites.insert(site, SiteLimits { rate, concurrency }).is_some() {
                    let what = format!("there is another host \"{}\"", item.name.get_ref());
                    checks.wrong(item.name.span(), what);
                    break;
                }
            }
        }
    }

    /// All that was made.
    pub(super) fn end(self, version: u64, secrets: Secrets) -> Destinations {
        Destinations { version, secrets, ..self.destinations }
    }
}

/// Takes a limit over, unless another level says another one.
fn settle<T: PartialEq>(
    checks: &mut Checks<'_>,
    id: &Text,
    key: &str,
    place: Option<std::ops::Range<usize>>,
    said: Option<T>,
    so_far: &mut Option<T>,
) {
    match (said, &so_far, place) {
        (Some(said), Some(other), Some(place)) if said != *other => {
            let what = format!(
                "another level has another {key} for \"{}\": it belongs to the destination as a whole, say it once",
                id.get_ref()
            );
            checks.wrong(place, what);
        }
        (Some(said), None, _) => *so_far = Some(said),
        _ => {}
    }
}

fn destination(
    checks: &mut Checks<'_>,
    id: &Text,
    item: &Postback,
    context: &Context<'_>,
    routes: &mut Routes,
) -> Option<Destination> {
    let condition = condition(checks, item);
    let payout_basis_points = share(checks, item.payout_percent.as_ref());
    let delay = item.delay.as_ref().and_then(|text| checks.duration(text, DELAY_MAX, "30d"));
    let second = Duration::from_secs(1);
    let max_age = item.max_age.as_ref().and_then(|text| time(checks, text, second, AGE_MAX, "90d"));
    if let (Some(delay), Some(age), Some(text)) = (delay, max_age, &item.max_age)
        && age <= delay
    {
        checks.wrong(text.span(), "must be more than the delay, or nothing is ever of use");
    }
    let outbound = outbound(checks, item, context, routes)?;
    Some(Destination {
        id: id.get_ref().as_str().into(),
        condition,
        payout_basis_points,
        delay: delay.unwrap_or_default(),
        max_age,
        outbound: Arc::new(outbound),
    })
}

fn condition(checks: &mut Checks<'_>, item: &Postback) -> Condition {
    let mut condition = Condition::default();
    if let Some(on) = &item.on {
        let statuses: Vec<Status> = on.get_ref().iter().copied().map(Status::from).collect();
        condition.statuses = Statuses::of(&statuses);
    }
    if let Some(events) = &item.events {
        if events.get_ref().len() > LIST_MAX {
            checks.wrong(events.span(), format!("there are at most {LIST_MAX} events"));
        }
        condition.events = events.get_ref().iter().map(|event| event.as_str().into()).collect();
    }
    if let Some(given) = &item.payout {
        let (min, max) = (checks.money(given.min.as_ref()), checks.money(given.max.as_ref()));
        if let (Some(low), Some(high), Some(text)) = (min, max, &given.max)
            && low > high
        {
            checks.wrong(text.span(), format!("must be at least min, which is {low}"));
        }
        condition.payout = PayoutRange { min, max, currency: checks.currency(given.currency.as_ref()) };
    }
    condition.share_basis_points = share(checks, item.percent.as_ref());
    condition.first_only = item.first_only.unwrap_or(false);
    condition
}

/// A share in hundredths of a percent, of `12.5%` or `12.5`; all of it if nothing is said.
fn share(checks: &mut Checks<'_>, text: Option<&Text>) -> u32 {
    let Some(text) = text else { return WHOLE_BASIS_POINTS };
    let number = text.get_ref().trim();
    let parsed =
        Micros::parse(number.strip_suffix('%').unwrap_or(number)).ok().filter(|parsed| !parsed.rounded);
    let micros = parsed.map(|parsed| parsed.amount.get()).filter(|micros| micros % 10_000 == 0);
    let share = micros.and_then(|micros| u32::try_from(micros / 10_000).ok());
    share.filter(|share| *share <= WHOLE_BASIS_POINTS).unwrap_or_else(|| {
        checks.wrong(text.span(), "must be a share like \"12.5%\", of 0 to 100% and in hundredths of one");
        WHOLE_BASIS_POINTS
    })
}

fn allowance(checks: &mut Checks<'_>, given: &RateLimit) -> Allowance {
    let burst = given.burst.as_ref();
    for number in std::iter::once(&given.per_second).chain(burst).filter(|number| *number.get_ref() == 0) {
        checks.wrong(number.span(), "must be at least 1");
    }
    let per_second = *given.per_second.get_ref();
    Allowance::per_second(per_second, burst.map_or(per_second, |burst| *burst.get_ref()))
}

fn within(checks: &mut Checks<'_>, given: &Spanned<u32>, min: u32, max: u32) -> u32 {
    let number = *given.get_ref();
    if !(min..=max).contains(&number) {
        checks.wrong(given.span(), format!("must be {min} to {max}"));
    }
    number
}

/// The sites that a host's name means: where it says no scheme, both.
fn sites(name: &str) -> Option<Vec<Box<str>>> {
    let (schemes, authority): (&[&str], _) = match name.split_once("://") {
        Some(("http", authority)) => (&["http"], authority),
        Some(("https", authority)) => (&["https"], authority),
        Some(_) => return None,
        None => (&["http", "https"], name),
    };
    if authority.contains(['/', '?', '#', '\\', '@']) {
        return None;
    }
    let parsed: http::uri::Authority = authority.parse().ok()?;
    let is_whole = parsed.host() == authority || parsed.port_u16().is_some_and(|port| port > 0);
    let host = read(parsed.host()).ok()?;
    // As a request's URL has it: a name loses nothing, an address must be written as it is called.
    let is_plain = matches!(host, Host::Name(_) | Host::Address(_));
    let of = |scheme: &&str| site_of(&format!("{scheme}://{authority}"));
    (is_whole && is_plain).then(|| schemes.iter().filter_map(of).collect())
}

/// What of destinations is allowed and yet looks like a mistake, a sentence each.
pub(super) fn looks_wrong(destinations: &Destinations) -> impl Iterator<Item = String> {
    let Destinations { global, by_source, by_campaign, by_offer, .. } = destinations;
    let levels = [("source", by_source), ("campaign", by_campaign), ("offer", by_offer)];
    let mut all: Vec<(String, &Destination)> = Vec::new();
    for (kind, by_id) in levels {
        // A table has no order; warnings do.
        let mut lists: Vec<_> = by_id.iter().collect();
        lists.sort_by_key(|(id, _)| *id);
        for (id, list) in lists {
            all.extend(list.iter().map(|item| (format!(" of {kind} \"{id}\""), item)));
        }
    }
    let global = global.iter().map(|item| (String::new(), item)).collect::<Vec<_>>();
    global.into_iter().chain(all).flat_map(|(of, item)| warnings(&of, item))
}

fn warnings(of: &str, destination: &Destination) -> Vec<String> {
    let outbound = &destination.outbound;
    let mut found = Vec::new();
    let mut tell = |what: &str| found.push(format!("postback \"{}\"{of} {what}", destination.id));
    if destination.condition.statuses == Statuses::default() {
        tell("is told of no status (on = []): nothing is ever sent");
    }
    let headers = outbound.headers.iter().map(|(_, template)| template);
    let body: Vec<&Template> = match &outbound.body {
        Body::None => Vec::new(),
        Body::One { template, .. } => vec![template],
        Body::Batch(batch) => vec![&batch.before, &batch.item, &batch.after],
    };
    let all = std::iter::once(&outbound.url).chain(headers).chain(body);
    let has_secret = all.flat_map(Template::names).any(|name| matches!(name, Name::Secret(_)));
    if outbound.site.starts_with("http:") && (has_secret || outbound.token.is_some()) {
        tell("sends a secret over http: whoever is between can read it");
    }
    if outbound.method == http::Method::GET && !outbound.url.names().any(is_identity) {
        tell("names neither the click nor the conversion in its url: who is told cannot know what of");
    }
    found
}

fn is_identity(name: &Name) -> bool {
    match name {
        Name::Known(known) => matches!(
            known,
            Known::ClickId
                | Known::ExternalId
                | Known::TransactionId
                | Known::ConversionId
                | Known::DeliveryId
        ),
        // Which of them carries a click, only whoever named it knows.
        Name::Param(_) | Name::Postback(_) => true,
        Name::Secret(_) => false,
    }
}
