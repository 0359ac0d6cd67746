//! Campaigns and networks as the console shows them: how they are set, and what to paste where.
//!
//! In: the catalog and the destinations in use. Out: rows and pages.
//! Keeps: a secret is never shown (`serve::links`).

use std::time::Duration;

use super::State;
use crate::admin::ApiError;
use crate::admin::console::{
    CampaignPage, CampaignRow, Link, Listed, NetworkPage, NetworkRow, RequestRow, Wanted,
};
use crate::apply::key::{Mode, Scope};
use crate::apply::reading::Role;
use crate::apply::rules::Limits;
use crate::batch::newest;
use crate::config::offer_warning;
use crate::dispatcher::destinations::Destinations;
use crate::ingest::{self, Campaign, Catalog, Cost, Network, Recent, Redirect};
use crate::serve::links;

/// Offers of a campaign that are listed with it.
const OFFERS_MAX: usize = 20;

impl State {
    /// What links begin with.
    pub(super) fn base(&self, given: Option<&str>) -> String {
        let listens = self.addresses.iter().zip(&self.settings.edge.listen).next();
        let listens = listens.map(|(address, listen)| links::public_base_of(*address, listen));
        let base = given.map_or_else(|| listens.unwrap_or_default(), str::to_owned);
        base.trim_end_matches('/').to_owned()
    }
}

/// Those of the catalog that are wanted, in its order.
pub(super) fn campaigns(catalog: &Catalog, wanted: &Wanted) -> Listed<CampaignRow> {
    let all = catalog.campaigns();
    let text = wanted.text.to_lowercase();
    let is_wanted = |campaign: &&Campaign| {
        let has = |name: &str| name.to_lowercase().contains(&text);
        let source = catalog.source(campaign).map_or("", |source| &source.id);
        text.is_empty()
            || has(&campaign.id)
            || campaign.aliases.iter().any(|alias| has(alias))
            || has(source)
            || offers(catalog, campaign).any(has)
    };
    let mut found = 0;
    let mut rows = Vec::new();
    for campaign in all.iter().filter(is_wanted) {
        if found >= wanted.from && rows.len() < wanted.count {
            rows.push(row(catalog, campaign));
        }
        found += 1;
    }
    Listed { rows, found, all: all.len(), unread: None }
}

/// One of them; its sums are put in by whoever has them.
pub(super) fn campaign(
    catalog: &Catalog,
    destinations: &Destinations,
    id: &str,
    base: String,
) -> Result<CampaignPage, ApiError> {
    let unknown = || ApiError::Unknown(format!("there is no campaign \"{id}\""));
    let campaign = catalog.campaign(id).ok_or_else(unknown)?;
    let link = |name: &str, hint: &str, text: String| Link { name: name.into(), hint: hint.into(), text };
    let mut own = vec![link(
        "Click URL",
        "For the traffic source; in place of each {…} it puts its own token.",
        links::click_url(&base, catalog, campaign),
    )];
    for (url, offer) in links::through(&base, catalog, campaign) {
        own.push(match &*offer {
            "" => link("Link to the offer", "For the landing page.", url),
            offer => link(&format!("Link to {offer}"), "For the landing page.", url),
        });
    }
    let script = "For a landing page that visitors reach without the click URL.";
    own.push(link("Landing page script", script, links::script(&base, campaign)));
    let networks = links::networks(catalog, campaign)
        .into_iter()
        .map(|network| (network.rules.id.to_string(), of_network(&base, catalog, network)));
    let outgoing = links::outgoing(catalog, destinations, campaign).into_iter().map(|of| Link {
        name: of.destination.id.to_string(),
        hint: match (&*of.offers, level(of.level.name())) {
            ([], who) => format!("Named by the {who}, told of {}.", of.told()),
            (offers, who) => format!("Named by the {who}, told of {}; for {}.", of.told(), offers.join(", ")),
        },
        text: format!("{} {}", of.destination.outbound.method, of.destination.outbound.url_text),
    });
    let offers = campaign.offers.iter().filter_map(|offer| catalog.offer(*offer));
    Ok(CampaignPage {
        row: row(catalog, campaign),
        facts: facts(catalog, campaign),
        links: own,
        networks: networks.collect(),
        outgoing: outgoing.collect(),
        warnings: offers.filter_map(offer_warning).collect(),
        week: None,
        base,
    })
}

/// Those that are wanted, in the catalog's order.
pub(super) fn networks(catalog: &Catalog, wanted: &Wanted, edge: &ingest::Handle) -> Listed<NetworkRow> {
    let text = wanted.text.to_lowercase();
    let all = catalog.networks();
    let of = |network: &Network| {
        let recent = edge.recent(&network.rules.id);
        NetworkRow {
            id: network.rules.id.to_string(),
            shows: shows(network),
            repeats: repeats(network.rules.mode, network.rules.scope),
            recent: recent.len(),
            refused: recent.iter().filter(|request| request.result.starts_with("rejected")).count(),
            last: recent.first().map_or_else(String::new, |request| request.time.clone()),
        }
    };
    let is_wanted = |network: &&Network| network.rules.id.to_lowercase().contains(&text);
    let found = all.iter().map(AsRef::as_ref).filter(is_wanted);
    let rows = found.clone().skip(wanted.from).take(wanted.count).map(of).collect();
    Listed { rows, found: found.count(), all: all.len(), unread: None }
}

/// One of them; its requests are put in by whoever has them.
pub(super) fn network(catalog: &Catalog, id: &str, base: String) -> Result<NetworkPage, ApiError> {
    let unknown = || ApiError::Unknown(format!("there is no network \"{id}\""));
    let network = catalog.network(id).ok_or_else(unknown)?;
    let mapping = &network.rules.mapping;
    let params = Role::ALL.map(|role| {
        let names = mapping.names(role).iter().map(|name| name.to_string()).collect();
        (role.name().to_owned(), names)
    });
    Ok(NetworkPage {
        id: network.rules.id.to_string(),
        facts: network_facts(network),
        params: params.into_iter().collect(),
        links: of_network(&base, catalog, network),
        base,
        ..NetworkPage::default()
    })
}

/// What is in memory, which says most, and then what is only in the journal.
pub(super) fn requests(recent: Vec<Recent>, kept: Vec<newest::Request>) -> Vec<RequestRow> {
    let oldest = recent.last().map(|request| request.time.clone());
    let mut rows: Vec<RequestRow> = Vec::with_capacity(recent.len() + kept.len());
    for Recent { time, method, target, result, reason, nearest } in recent {
        let known = kept.iter().find(|request| request.time == time && request.method == method);
        let reason = match nearest {
            Some(nearest) => format!("{reason}; is \"{nearest}\" meant to be it?"),
            None => reason,
        };
        let (body, about) =
            known.map_or_else(Default::default, |request| (request.body.clone(), about(request)));
        rows.push(RequestRow { time, method, target, body, result, reason, about });
    }
    let is_older = |request: &newest::Request| oldest.as_ref().is_none_or(|oldest| request.time < *oldest);
    for request in kept.into_iter().filter(is_older) {
        let about = about(&request);
        let newest::Request { time, method, target, body, result, reason, .. } = request;
        rows.push(RequestRow { time, method, target, body, result, reason, about });
    }
    rows.truncate(newest::REQUESTS_MAX);
    rows
}

fn about(request: &newest::Request) -> String {
    let texts = [&request.transaction_id, &request.click_id];
    texts.into_iter().find(|text| !text.is_empty()).cloned().unwrap_or_default()
}

fn offers<'a>(catalog: &'a Catalog, campaign: &'a Campaign) -> impl Iterator<Item = &'a str> {
    campaign.offers.iter().filter_map(|offer| catalog.offer(*offer)).map(|offer| &*offer.id)
}

fn row(catalog: &Catalog, campaign: &Campaign) -> CampaignRow {
    CampaignRow {
        id: campaign.id.to_string(),
        aliases: campaign.aliases.iter().map(|alias| alias.to_string()).collect(),
        source: catalog.source(campaign).map_or_else(String::new, |source| source.id.to_string()),
        offers: offers(catalog, campaign).take(OFFERS_MAX).map(str::to_owned).collect(),
        ..CampaignRow::default()
    }
}

fn facts(catalog: &Catalog, campaign: &Campaign) -> Vec<(String, String)> {
    let redirect = match campaign.redirect {
        Redirect::Found => "302",
        Redirect::SeeOther => "303",
        Redirect::Temporary => "307",
        Redirect::Meta => "a page that refreshes itself",
        Redirect::DoubleMeta => "two pages that refresh themselves",
    };
    let cost = match campaign.cost {
        Cost::Fixed(money) => format!("{} {} a click", money.amount, money.currency),
        Cost::FromParameter => "what the source says".to_owned(),
    };
    let landers = match campaign.landers.len() {
        0 => "none: clicks go straight to an offer".to_owned(),
        count => count.to_string(),
    };
    let all = [
        (
            "Source",
            catalog.source(campaign).map_or_else(|| "none".to_owned(), |source| source.id.to_string()),
        ),
        ("Also called", campaign.aliases.join(", ")),
        ("Landing pages", landers),
        ("Offers", offers(catalog, campaign).take(OFFERS_MAX).collect::<Vec<_>>().join(", ")),
        ("Cost", cost),
        ("Redirect", redirect.to_owned()),
        ("Conversions count for", span(campaign.window)),
        ("A second click is a repeat within", span(campaign.duplicate_window)),
        ("Sticky", yes_or_no(campaign.is_sticky)),
        ("Cookie", yes_or_no(campaign.has_cookie)),
        ("Clicks are kept for", campaign.retention.map_or_else(String::new, span)),
    ];
    shown(all)
}

fn network_facts(network: &Network) -> Vec<(String, String)> {
    let rules = &network.rules;
    let rate =
        network.access.rate.map(|rate| format!("{} a second, {} at once", rate.per_second, rate.burst));
    let required: Vec<&str> = rules.required.iter().map(|role| role.name()).collect();
    shown([
        ("Profile", network.profile.to_string()),
        ("Shows who it is by", shows(network)),
        (
            "May call from",
            network.access.allow.iter().map(|net| net.to_string()).collect::<Vec<_>>().join(", "),
        ),
        ("Only over https", yes_or_no(network.access.requires_https)),
        ("Rate", rate.unwrap_or_default()),
        ("Pixels", if network.access.takes_pixels { "taken" } else { "not taken" }.to_owned()),
        ("Own hosts", network.domains.join(", ")),
        ("Own paths", network.doors.iter().map(|door| &*door.path).collect::<Vec<_>>().join(", ")),
        ("Repeats", repeats(rules.mode, rules.scope)),
        ("Must say", required.join(", ")),
        ("Without a status", rules.mapping.default_status.name().to_owned()),
        ("Without a currency", rules.mapping.currency.to_string()),
        ("Payouts are held", limits(rules.limits, &rules.mapping.currency.to_string())),
        ("Looks for an unknown click for", span(rules.park)),
    ])
}

fn shown<const COUNT: usize>(all: [(&str, String); COUNT]) -> Vec<(String, String)> {
    let filled = all.into_iter().filter(|(_, value)| !value.is_empty());
    filled.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn of_network(base: &str, catalog: &Catalog, network: &Network) -> Vec<Link> {
    let postback = links::postback(base, catalog, network);
    let header =
        postback.header.map_or_else(String::new, |header| format!(" It must send the header {header}."));
    let mut all = vec![Link {
        name: "Postback URL".to_owned(),
        hint: format!("For the network; in place of each {{…}} it puts its own token.{header}"),
        text: postback.url,
    }];
    if let Some(pixels) = links::pixels(base, network) {
        let hint = format!(
            "For the page behind a conversion. It finds the click by its cookie; where browsers keep that back, add {}= with \
             the click id.",
            pixels.click
        );
        for (name, text) in
            [("Image pixel", pixels.image), ("Frame pixel", pixels.frame), ("Script pixel", pixels.script)]
        {
            all.push(Link { name: name.to_owned(), hint: hint.clone(), text });
        }
    }
    all
}

fn shows(network: &Network) -> String {
    let access = &network.access;
    let mut all = Vec::new();
    match access.secrets.len() {
        0 => {}
        1 => all.push("a secret"),
        _ => all.push("one of two secrets"),
    }
    if access.signature.is_some() {
        all.push("a signature");
    }
    if !access.allow.is_empty() {
        all.push("its address");
    }
    if all.is_empty() { "nothing: anybody may report its conversions".to_owned() } else { all.join(" and ") }
}

fn repeats(mode: Mode, scope: Scope) -> String {
    let within = match scope {
        Scope::Click => "a click",
        Scope::ClickEvent => "a click and event",
        Scope::OfferEvent => "an offer and event",
        Scope::Network => "the network",
    };
    match mode {
        Mode::ByTransaction => format!("one conversion a transaction, within {within}"),
        Mode::FirstWins => format!("the first counts, within {within}"),
        Mode::Replace => format!("the last counts, within {within}"),
        Mode::Add => format!("all count together, within {within}"),
        Mode::Each => "each is a conversion of its own".to_owned(),
    }
}

fn limits(limits: Limits, currency: &str) -> String {
    let min = limits.min.map(|min| format!("below {min} {currency}"));
    let max = limits.max.map(|max| format!("above {max} {currency}"));
    let off = limits
        .tolerance
        .map(|share| format!("more than {}.{:02} % off what the offer pays", share / 100, share % 100));
    let all: Vec<String> = [min, max, off].into_iter().flatten().collect();
    if all.is_empty() { "never".to_owned() } else { all.join(", ") }
}

/// Who names a destination.
fn level(name: &str) -> &str {
    if name == "global" { "catalog itself" } else { name }
}

fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

/// A time in its largest whole unit.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    match units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit)) {
        None => "never".to_owned(),
        Some((unit, name)) if seconds == unit => format!("1 {name}"),
        Some((unit, name)) => format!("{} {name}s", seconds / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        for (seconds, told) in
            [(0, "never"), (1, "1 second"), (90, "90 seconds"), (3600, "1 hour"), (30 * 86_400, "30 days")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), told);
        }
    }

    #[test]
    fn what_is_in_memory_is_not_shown_again_from_the_journal() {
        let recent = |time: &str, nearest: Option<&str>| Recent {
            time: time.to_owned(),
            method: "GET".to_owned(),
            target: "/postback/n".to_owned(),
            result: "rejected:missing_click_id".to_owned(),
            reason: "nothing says which click".to_owned(),
            nearest: nearest.map(str::to_owned),
        };
        let kept = |time: &str| newest::Request {
            position: "0:64".to_owned(),
            time: time.to_owned(),
            method: "GET".to_owned(),
            target: "/postback/n".to_owned(),
            body: "b".to_owned(),
            result: "accepted".to_owned(),
            reason: String::new(),
            transaction_id: "t".to_owned(),
            click_id: "c".to_owned(),
        };
        let rows = requests(
            vec![recent("3", Some("subid")), recent("2", None)],
            vec![kept("3"), kept("2"), kept("1")],
        );
        let told: Vec<_> =
            rows.iter().map(|row| (&*row.time, &*row.reason, &*row.about, &*row.body)).collect();
        let missing = "nothing says which click";
        assert_eq!(
            told,
            [
                ("3", &*format!("{missing}; is \"subid\" meant to be it?"), "t", "b"),
                ("2", missing, "t", "b"),
                ("1", "", "t", "b")
            ]
        );
    }
}
