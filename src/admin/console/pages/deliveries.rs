//! What is owed to destinations, what became of it, and what is to be done about it.

use maud::{Markup, html};
use serde::Deserialize;

use super::parts::{Amount, Request, days, days_field, done, filled, mark, nothing, told};
use super::{Done, Frame, Page, Params};
use crate::admin::console::WantedDeliveries;
use crate::admin::console::text;
use crate::admin::{ApiError, Operations, Pause};
use crate::store::Position;

/// Deliveries that are shown.
const ROWS_MAX: usize = 100;
/// Dead deliveries that are tried again at once.
const REPLAYED_MAX: usize = 1_000;
/// Attempts of one that are shown.
const ATTEMPTS_MAX: usize = 100;
/// Destinations that are shown.
const DESTINATIONS_MAX: usize = 500;
/// How far back is looked.
const DAYS: u32 = 7;
/// How far it is proposed to look for what is not found so.
const DAYS_FURTHER: u32 = 365;
/// Characters of an answer in a row.
const DETAIL_CHARS_MAX: usize = 90;
/// Characters of a reason to pause.
const WHY_CHARS_MAX: usize = 200;
/// States, and what they are called in the form.
const STATES: [(&str, &str); 5] = [
    ("dead", "Dead letters"),
    ("retrying", "Retrying"),
    ("delivered", "Delivered"),
    ("reopened", "Opened again"),
    ("any", "Any"),
];

#[derive(Debug, Deserialize)]
struct Destinations {
    destinations: Vec<Destination>,
}

#[derive(Debug, Deserialize)]
struct Destination {
    destination: String,
    state: String,
    #[serde(default)]
    why: Option<String>,
    ready: u64,
    waiting: u64,
    in_flight: u64,
    is_behind: bool,
    behind_bytes: u64,
    oldest_seconds: u64,
    concurrency: u32,
}

#[derive(Debug, Deserialize)]
struct Found {
    deliveries: Vec<Row>,
    has_more: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Row {
    time: String,
    delivery_id: String,
    destination: String,
    state: String,
    decision: String,
    conversion_id: String,
    click_id: String,
    transaction_id: String,
    status: String,
    payout: Option<Amount>,
    attempts: u32,
    class: String,
    http_status: u16,
    detail: String,
    next_attempt: Option<String>,
    replays: u32,
}

impl Row {
    /// Another text once anything has happened to it.
    fn seen(&self) -> String {
        format!("{}-{}-{}", self.state, self.attempts, self.replays)
    }
}

#[derive(Debug, Deserialize)]
struct Whole {
    delivery: Row,
    attempts: Vec<Attempt>,
    request: Option<Request>,
    no_request: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    time: String,
    attempt: u32,
    result: String,
    http_status: u16,
    duration_micros: u64,
    #[serde(default)]
    reopened: Option<String>,
    #[serde(default)]
    detail: String,
}

#[derive(Debug, Deserialize)]
struct Reopened {
    opened: u32,
    not_opened: u32,
}

pub(super) fn list(does: &dyn Operations, query: &Params, frame: &Frame) -> Result<Page, ApiError> {
    let state = query.get("state").filter(|state| STATES.iter().any(|(known, _)| known == state));
    let state = state.unwrap_or("dead");
    let wanted = WantedDeliveries {
        destination: query.get("destination").unwrap_or_default().to_owned(),
        state: if state == "any" { String::new() } else { state.to_owned() },
        about: query.get("about").unwrap_or_default().trim().to_owned(),
        days: days(query, DAYS),
        count: ROWS_MAX,
    };
    let found: Found = told(does.deliveries(&wanted))?;
    let main = html! {
        (done(query))
        (destinations(does, frame))
        h2.span { "What was attempted" }
        (filter(&wanted, state))
        (deliveries(&found, &wanted))
        @if state == "dead" && !wanted.destination.is_empty() && !found.deliveries.is_empty() {
            (all_again(&found, &wanted, frame))
        }
    };
    Ok(Page::new("Deliveries", main).fresh())
}

fn destinations(does: &dyn Operations, frame: &Frame) -> Markup {
    let mut all = match told::<Destinations>(does.destinations()) {
        Ok(all) => all.destinations,
        Err(error) => return html! { p.hint { "How destinations stand is not known: " (error) "." } },
    };
    let count = all.len();
    all.truncate(DESTINATIONS_MAX);
    html! {
        section.card {
            div.head { h2 { "Destinations" } }
            @if all.is_empty() { (nothing("No postback is in the catalog.")) } @else {
                div.wide tabindex="0" role="region" aria-label="Destinations" {
                    table {
                        caption.away { "How each destination stands" }
                        thead { tr {
                            th scope="col" { "Destination" } th scope="col" { "State" } th.n scope="col" { "Due" } th.n scope="col" { "Waiting" }
                            th.n.spare scope="col" { "Being sent" } th.n scope="col" { "Oldest" } th.n.spare scope="col" { "Behind" }
                            th.n.spare scope="col" { "At once" } th scope="col" { "Do" }
                        } }
                        tbody { @for one in &all { (destination(one, frame)) } }
                    }
                }
                @if count > DESTINATIONS_MAX { p.hint { "The first " (DESTINATIONS_MAX) " of " (count) " are shown." } }
            }
        }
    }
}

fn destination(one: &Destination, frame: &Frame) -> Markup {
    let named = html! { input type="hidden" name="destination" value=(one.destination); };
    let pause = html! {
        (named)
        label { "Why " input name="why" maxlength=(WHY_CHARS_MAX) placeholder="for whoever looks later"; }
        button.danger { "Pause it" }
    };
    html! { tr {
        th scope="row" { a href=(text::link(&["deliveries"], &[("destination", &one.destination)])) { (one.destination) } }
        td { (mark(&one.state)) @if let Some(why) = &one.why { div.why { (why) } } }
        td.n { (text::count(one.ready)) } td.n { (text::count(one.waiting)) } td.n.spare { (text::count(one.in_flight)) }
        td.n { @if one.oldest_seconds > 0 { (text::seconds(one.oldest_seconds)) } }
        td.n.spare { @if one.is_behind { (text::bytes(one.behind_bytes)) } }
        td.n.spare { (one.concurrency) }
        td.acts {
            @if one.state == "paused" {
                (frame.form("deliveries/resume", &html! { (named) button { "Resume" } }).into_markup())
            } @else if one.state != "absent" {
                (frame.form("deliveries/pause", &pause).after("Pause…", "What is owed waits until it is resumed."))
            }
        }
    } }
}

fn filter(wanted: &WantedDeliveries, state: &str) -> Markup {
    html! {
        form.bar method="get" action=(text::path(&["deliveries"])) {
            label { "State" select name="state" {
                @for (name, words) in STATES { option value=(name) selected[name == state] { (words) } }
            } }
            label { "Destination" input name="destination" value=(wanted.destination); }
            label { "Click, conversion or transaction" input name="about" value=(wanted.about); }
            (days_field(wanted.days))
            button { "Show" }
        }
    }
}

fn deliveries(found: &Found, wanted: &WantedDeliveries) -> Markup {
    if found.deliveries.is_empty() {
        return nothing("There are none.");
    }
    html! {
        section.card {
            div.wide tabindex="0" role="region" aria-label="Deliveries" {
                table {
                    caption { "Newest first, by the last attempt" }
                    thead { tr {
                        th scope="col" { "Last attempt, UTC" } th scope="col" { "Destination" } th scope="col" { "State" }
                        th.n scope="col" { "Tries" } th scope="col" { "Ended in" } th scope="col" { "Transaction" }
                        th.n scope="col" { "Payout" } th scope="col" { "Answer" }
                    } }
                    tbody { @for row in &found.deliveries { tr {
                        td.time { a href=(link(&row.delivery_id, wanted.days)) { (text::brief(&row.time)) } }
                        td { (row.destination) } td { (mark(&row.state)) } td.n { (row.attempts) }
                        td { (ended(&row.class, row.http_status)) } td { (row.transaction_id) }
                        td.n { (row.payout.as_ref().map(Amount::words).unwrap_or_default()) }
                        td.target.long { (text::shortened(&row.detail, DETAIL_CHARS_MAX)) }
                    } } }
                }
            }
            @if found.has_more {
                p.hint { "The newest " (wanted.count) " are shown, and there are more: say which, or ask " code { "clicklog deliveries list" } "." }
            }
        }
    }
}

fn all_again(found: &Found, wanted: &WantedDeliveries, frame: &Frame) -> Markup {
    let fields = html! {
        input type="hidden" name="destination" value=(wanted.destination);
        input type="hidden" name="about" value=(wanted.about);
        input type="hidden" name="days" value=(wanted.days);
        button.main { "Try them again" }
    };
    let count =
        if found.has_more { format!("up to {REPLAYED_MAX}") } else { found.deliveries.len().to_string() };
    let what = format!("{count} dead deliveries to {} will be attempted again.", wanted.destination);
    let what = match &*wanted.about {
        "" => what,
        about => format!("{what} They are those of {about}."),
    };
    frame.form("deliveries/replay-dead", &fields).after("Try all of these again…", &what)
}

/// Where a delivery is shown, looked for as far back as it was found.
pub(super) fn link(id: &str, days: u32) -> String {
    text::link(&["deliveries", id], &[("days", &days.to_string())])
}

pub(super) fn show(does: &dyn Operations, id: &str, query: &Params, frame: &Frame) -> Result<Page, ApiError> {
    let days = days(query, DAYS);
    let Whole { delivery: row, attempts, request, no_request } = whole(does, id, days)?;
    let fields = html! {
        input type="hidden" name="delivery" value=(row.delivery_id);
        input type="hidden" name="days" value=(days);
        input type="hidden" name="seen" value=(row.seen());
        button.main { "Try it again" }
    };
    let what = match &*row.state {
        "delivered" => "It was taken before: whoever takes it must know it by its id.",
        _ => "It will be attempted at once.",
    };
    let about = if row.click_id.is_empty() { &row.transaction_id } else { &row.click_id };
    let main = html! {
        (done(query))
        section.card {
            div.head {
                h2 { (mark(&row.state)) " to " (row.destination) }
                @if matches!(&*row.state, "dead" | "delivered") {
                    (frame.form("deliveries/replay", &fields).after("Try again…", what))
                }
            }
            (filled(&[
                ("Delivery", &row.delivery_id), ("Conversion", &row.conversion_id), ("Transaction", &row.transaction_id),
                ("Click", &row.click_id), ("Tells", &row.status),
                ("Payout", &row.payout.as_ref().map(Amount::words).unwrap_or_default()),
                ("Next attempt", row.next_attempt.as_deref().unwrap_or_default()),
                ("Tried again by hand", &if row.replays > 0 { row.replays.to_string() } else { String::new() }),
                ("Decision", &row.decision),
            ]))
            @if !about.is_empty() { p { a href=(text::link(&["lookup"], &[("id", about)])) { "The life of its click" } } }
        }
        (tries(&attempts, days))
        section.card {
            div.head { h2 { "Its request, as it would be made now" } }
            @if let Some(request) = &request { (request.show()) }
            @if let Some(why) = &no_request { (nothing(&format!("There is none: {why}."))) }
        }
    };
    Ok(Page::new("Delivery", main))
}

fn whole(does: &dyn Operations, id: &str, days: u32) -> Result<Whole, ApiError> {
    let further = |error| match error {
        ApiError::Unknown(what) => {
            let link = link(id, DAYS_FURTHER);
            ApiError::Unknown(format!("{what} in the last {days} days; {link} looks further back"))
        }
        other => other,
    };
    told(does.delivery(id, days)).map_err(further)
}

fn tries(attempts: &[Attempt], days: u32) -> Markup {
    let cut = attempts.len().saturating_sub(ATTEMPTS_MAX);
    html! {
        section.card {
            div.head { h2 { "Attempts" } }
            div.wide tabindex="0" role="region" aria-label="Attempts" {
                table {
                    caption.away { "Attempts, newest first" }
                    thead { tr { th.n scope="col" { "No." } th scope="col" { "Ended, UTC" } th scope="col" { "In" } th.n scope="col" { "Took" } th scope="col" { "Answer" } } }
                    tbody { @for one in attempts.iter().rev().take(ATTEMPTS_MAX) { tr {
                        td.n { (one.attempt) } td.time { (text::brief(&one.time)) }
                        td {
                            (ended(&one.result, one.http_status))
                            @if let Some(time) = &one.reopened { div.why { "opened again at " (text::brief(time)) } }
                        }
                        td.n { (text::count(one.duration_micros / 1000)) " ms" }
                        td.target.long { (one.detail) }
                    } } }
                }
            }
            p.hint {
                @if cut > 0 { (cut) " earlier attempts are not shown. " }
                "Attempts of the last " (days) " days were looked for."
            }
        }
    }
}

fn ended(class: &str, status: u16) -> Markup {
    html! { (mark(class)) @if status > 0 { " " (status) } }
}

pub(super) fn replay(does: &dyn Operations, form: &Params) -> Result<Done, ApiError> {
    let (id, days) = (form.get("delivery").unwrap_or_default(), days(form, DAYS));
    let row = whole(does, id, days)?.delivery;
    // The same form again, or one of a page that somebody has had open for long: by now it may have been taken.
    if form.get("seen") != Some(&*row.seen()) {
        let what = "this delivery has been tried since that page was made: look at how it stands now";
        return Err(ApiError::Conflict(what.to_owned()));
    }
    let at = position(&row.decision)?;
    let told: Reopened = told(does.replay_deliveries(vec![(row.destination, at)]))?;
    let days = days.to_string();
    Ok(Done::Go(text::link(&["deliveries", id], &[("days", &days), ("done", word(&told))])))
}

pub(super) fn replay_dead(does: &dyn Operations, form: &Params) -> Result<Done, ApiError> {
    let destination = form.get("destination").unwrap_or_default();
    if destination.is_empty() {
        return Err(ApiError::Bad("say which destination".to_owned()));
    }
    let wanted = WantedDeliveries {
        destination: destination.to_owned(),
        state: "dead".to_owned(),
        about: form.get("about").unwrap_or_default().to_owned(),
        days: days(form, DAYS),
        count: REPLAYED_MAX,
    };
    let found: Found = told(does.deliveries(&wanted))?;
    // The oldest first, as they were owed.
    let named =
        found.deliveries.iter().rev().map(|row| Ok((row.destination.clone(), position(&row.decision)?)));
    let told: Reopened = told(does.replay_deliveries(named.collect::<Result<_, ApiError>>()?))?;
    Ok(Done::Go(text::link(&["deliveries"], &[("destination", destination), ("done", word(&told))])))
}

pub(super) fn pause(does: &dyn Operations, form: &Params) -> Result<Done, ApiError> {
    let why = form.get("why").map(|why| why.trim().chars().take(WHY_CHARS_MAX).collect::<String>());
    let destination = form.get("destination").unwrap_or_default().to_owned();
    does.pause_destination(&Pause { destination, why: why.filter(|why| !why.is_empty()) })?;
    Ok(Done::Go(text::link(&["deliveries"], &[("done", "paused")])))
}

pub(super) fn resume(does: &dyn Operations, form: &Params) -> Result<Done, ApiError> {
    does.resume_destination(form.get("destination").unwrap_or_default())?;
    Ok(Done::Go(text::link(&["deliveries"], &[("done", "resumed")])))
}

fn position(text: &str) -> Result<Position, ApiError> {
    text.parse().map_err(|error| ApiError::Bad(format!("{text:?}: {error}")))
}

fn word(told: &Reopened) -> &'static str {
    match (told.opened, told.not_opened) {
        (0, _) => "replayed-none",
        (_, 0) => "replayed",
        _ => "replayed-some",
    }
}
