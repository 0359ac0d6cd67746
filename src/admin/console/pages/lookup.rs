//! The life of a click or a transaction, in the order in which it happened.

use maud::{Markup, html};
use serde::Deserialize;

use super::deliveries::link;
use super::parts::{Amount, days, days_field, filled, mark, nothing, told};
use super::{Page, Params};
use crate::admin::console::text;
use crate::admin::{ApiError, Operations};

/// What is shown of a life.
const EVENTS_MAX: usize = 300;
/// How far back is looked.
const DAYS: u32 = 30;
/// Characters of what is looked for.
const ID_CHARS_MAX: usize = 512;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Life {
    query: String,
    found_as: String,
    notes: Vec<String>,
    clicks: Vec<Click>,
    postbacks: Vec<Postback>,
    decisions: Vec<Decision>,
    deliveries: Vec<Delivery>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Click {
    click_id: String,
    kind: String,
    time: String,
    parent: String,
    foreign_id: String,
    campaign: String,
    source: String,
    offer: String,
    lander: String,
    external_id: String,
    cost: Option<Amount>,
    labels: Vec<String>,
    address: String,
    country: String,
    host: String,
    referrer: String,
    user_agent: String,
    language: String,
    params: Vec<(String, String)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Postback {
    time: String,
    network: String,
    refused: String,
    address: String,
    method: String,
    host: String,
    path: String,
    query: String,
    content_type: String,
    headers: String,
    body: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Decision {
    position: String,
    time: String,
    verdict: String,
    reason: String,
    conversion_id: String,
    network: String,
    click_id: String,
    transaction_id: String,
    event: String,
    status: String,
    original_status: String,
    payout: Option<Amount>,
    entry: String,
    standing: Option<Standing>,
    campaign: String,
    offer: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Standing {
    status: String,
    net: String,
    held: Option<String>,
    currency: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delivery {
    time: String,
    delivery_id: String,
    destination: String,
    attempt: u32,
    result: String,
    is_final: bool,
    http_status: u16,
    duration_micros: u64,
    next_attempt: Option<String>,
    detail: String,
}

/// Something that happened.
struct Happened<'a> {
    time: &'a str,
    /// Of those at one time, the cause first.
    rank: u8,
    what: &'static str,
    mark: Markup,
    gist: Markup,
    rest: Markup,
}

pub(super) fn show(does: &dyn Operations, query: &Params) -> Result<Page, ApiError> {
    let id: String = query.get("id").unwrap_or_default().trim().chars().take(ID_CHARS_MAX).collect();
    let days = days(query, DAYS);
    let found = if id.is_empty() { None } else { Some(told::<Life>(does.look_up(&id, days))?) };
    let main = html! {
        form.bar role="search" method="get" action=(text::path(&["lookup"])) {
            label.grow { "Click id, transaction id, or another tracker's click id" input type="search" name="id" value=(id) required autofocus[id.is_empty()]; }
            (days_field(days))
            button.main { "Look up" }
        }
        @match &found {
            None => { p.hint { "A click's own id is found at once; any other is looked for in everything that was reported in that time." } }
            Some(life) => { (story(life, days)) }
        }
    };
    Ok(Page::new("Look-up", main))
}

fn story(life: &Life, days: u32) -> Markup {
    let what = match &*life.found_as {
        "click_id" => "is a click id of ours",
        "transaction_id" => "is a transaction id",
        "foreign_id" => "is a click id of another tracker",
        _ => return nothing(&format!("Nothing is known of {:?} in the last {days} days.", life.query)),
    };
    let mut happened: Vec<Happened<'_>> = Vec::new();
    happened.extend(life.clicks.iter().map(click));
    happened.extend(life.postbacks.iter().map(postback));
    happened.extend(life.decisions.iter().map(decision));
    happened.extend(life.deliveries.iter().map(|of| delivery(of, days)));
    happened.sort_by_key(|one| (one.time, one.rank));
    let cut = happened.len().saturating_sub(EVENTS_MAX);
    happened.truncate(EVENTS_MAX);
    html! {
        p { code { (life.query) } " " (what) "." }
        @for note in &life.notes { p.hint { "Note: " (note) } }
        ol.life {
            @for one in &happened {
                li.(one.what.to_lowercase()) {
                    div.when { time { (text::precise(one.time)) } }
                    div.event {
                        div.gist { strong { (one.what) } " " (one.mark) " " (one.gist) }
                        details { summary { "All of it" } (one.rest) }
                    }
                }
            }
        }
        @if cut > 0 { p.hint { "The first " (EVENTS_MAX) " are shown; " (cut) " more are not: " code { "clicklog lookup" } " prints them all." } }
    }
}

fn click(of: &Click) -> Happened<'_> {
    let cost = of.cost.as_ref().map(Amount::words).unwrap_or_default();
    let labels = of.labels.join(", ");
    Happened {
        time: &of.time,
        rank: 0,
        what: "Click",
        mark: html! { @if labels.is_empty() { span.mark.good { "net" } } @else { span.mark.warn { (text::words(&labels)) } } },
        gist: html! {
            "by " (text::words(&of.kind))
            @if !of.campaign.is_empty() { ", campaign " a href=(text::path(&["campaigns", &of.campaign])) { (of.campaign) } }
            @if !of.offer.is_empty() { ", offer " (of.offer) }
            @if !of.country.is_empty() { ", " (of.country) }
        },
        rest: html! {
            (filled(&[
                ("Click id", &of.click_id), ("First click", &of.parent), ("Foreign id", &of.foreign_id), ("Source", &of.source),
                ("Lander", &of.lander), ("External id", &of.external_id), ("Cost", &cost), ("Address", &of.address),
                ("Host", &of.host), ("Referrer", &of.referrer), ("User agent", &of.user_agent), ("Language", &of.language),
            ]))
            @if !of.params.is_empty() { h3 { "Parameters" } (super::parts::facts(&of.params)) }
        },
    }
}

fn postback(of: &Postback) -> Happened<'_> {
    let refused = if of.refused.is_empty() { String::new() } else { format!("rejected:{}", of.refused) };
    let target = if of.query.is_empty() { of.path.clone() } else { format!("{}?{}", of.path, of.query) };
    Happened {
        time: &of.time,
        rank: 1,
        what: "Postback",
        mark: mark(&refused),
        gist: html! { @if of.network.is_empty() { "of no known network" } @else { "of " a href=(text::path(&["networks", &of.network])) { (of.network) } } },
        rest: html! {
            pre.code tabindex="0" { (of.method) " " (target) @if !of.body.is_empty() { "\n\n" (of.body) } }
            (filled(&[("Host", &of.host), ("From", &of.address), ("Content type", &of.content_type), ("Headers", &of.headers)]))
        },
    }
}

fn decision(of: &Decision) -> Happened<'_> {
    let payout = of.payout.as_ref().map(Amount::words).unwrap_or_default();
    let stands = of.standing.as_ref().map(|standing| {
        let held = standing.held.as_ref().map_or_else(String::new, |held| format!(", {held} held"));
        format!("{}, {} {}{held}", standing.status, standing.net, standing.currency)
    });
    let word = match &*of.original_status {
        "" => of.status.clone(),
        said => format!("{} (said as {said:?})", of.status),
    };
    Happened {
        time: &of.time,
        rank: 2,
        what: "Decision",
        mark: mark(&of.verdict),
        gist: html! {
            @if !of.reason.is_empty() { (text::words(&of.reason)) ", " }
            (of.status) @if !payout.is_empty() { ", " (payout) }
            @if !of.transaction_id.is_empty() { ", transaction " (of.transaction_id) }
        },
        rest: filled(&[
            ("Network", &of.network),
            ("Transaction", &of.transaction_id),
            ("Click id as it came", &of.click_id),
            ("Event", &of.event),
            ("Status", &word),
            ("Payout", &payout),
            ("Adds to the books", &of.entry),
            ("Stands at", &stands.unwrap_or_default()),
            ("Campaign", &of.campaign),
            ("Offer", &of.offer),
            ("Conversion", &of.conversion_id),
            ("Decision", &of.position),
        ]),
    }
}

fn delivery(of: &Delivery, days: u32) -> Happened<'_> {
    let status = if of.http_status == 0 { String::new() } else { of.http_status.to_string() };
    Happened {
        time: &of.time,
        rank: 3,
        what: "Delivery",
        mark: mark(&of.result),
        gist: html! {
            "to " (of.destination) ", attempt " (of.attempt) @if of.is_final && of.result != "ok" { ", the last one" }
        },
        rest: html! {
            (filled(&[
                ("Answer", &status), ("Took", &format!("{} ms", of.duration_micros / 1000)), ("Said", &of.detail),
                ("Next attempt", of.next_attempt.as_deref().unwrap_or_default()),
            ]))
            @if !of.delivery_id.is_empty() { p { a href=(link(&of.delivery_id, days)) { "The delivery" } } }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Stands around what somebody has sent, and nowhere else.
    const EDGE: char = '\u{1}';

    proptest! {
        #[test]
        fn what_a_visitor_or_a_network_sends_is_text_and_whole(sent in "[^\u{1}]{0,40}|[<>&\"'`=/a]{0,40}") {
            let own = || format!("{EDGE}{sent}{EDGE}");
            let life = Life {
                query: own(),
                found_as: "click_id".to_owned(),
                notes: vec![own()],
                clicks: vec![Click {
                    user_agent: own(), referrer: own(), language: own(), campaign: own(), offer: own(),
                    params: vec![(own(), own())], labels: vec![own()], ..Click::default()
                }],
                postbacks: vec![Postback {
                    network: own(), refused: own(), path: own(), query: own(), body: own(), headers: own(),
                    ..Postback::default()
                }],
                decisions: vec![Decision {
                    transaction_id: own(), click_id: own(), reason: own(), event: own(), ..Decision::default()
                }],
                deliveries: vec![Delivery { destination: own(), detail: own(), ..Delivery::default() }],
            };
            let page = story(&life, 7).into_string();
            let escaped = html! { (sent) }.into_string();
            let shown: Vec<&str> = page.split(EDGE).skip(1).step_by(2).collect();
            prop_assert!(shown.len() > 20, "{}", shown.len());
            for shown in shown {
                prop_assert!(!shown.contains(['<', '>', '"']), "{shown:?}");
                // A word of ours in another's place is told with blanks.
                prop_assert!(shown == escaped || shown == text::words(&escaped), "{shown:?}");
            }
        }
    }
}
