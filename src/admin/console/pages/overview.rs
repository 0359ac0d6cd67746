//! What an operator sees first: what is wrong, how the last day and fortnight went.

use maud::{Markup, html};
use serde::Deserialize;

use super::parts::told;
use super::{Frame, Page};
use crate::admin::console::chart::{Chart, Series, whole};
use crate::admin::console::layout::{capital, ticked};
use crate::admin::console::text;
use crate::admin::console::view::{Attempts, Overview, Period, Sums};
use crate::admin::{ApiError, Health, Operations};

/// Currencies that are drawn.
const CURRENCIES_MAX: usize = 3;
/// Destinations that are named because they are not as they should be.
const DESTINATIONS_MAX: usize = 20;

#[derive(Debug, Deserialize)]
struct Destinations {
    destinations: Vec<Destination>,
}

#[derive(Debug, Deserialize)]
struct Destination {
    destination: String,
    state: String,
    why: Option<String>,
}

pub(super) fn show(does: &dyn Operations, frame: &Frame) -> Result<Page, ApiError> {
    let overview = does.overview()?;
    let main = html! {
        (frame.worries(ailing(does).as_ref()))
        (state(frame, &overview))
        @match (&overview.day, &overview.fortnight) {
            (Some(day), Some(fortnight)) => {
                @for note in day.notes.iter().chain(&fortnight.notes) { p.hint { "Note: " (note) } }
                h2.span { "Last 24 hours" span.soft { "by the hour, UTC" } }
                div.charts { (charts(day)) (attempts(&overview)) }
                (top(&overview, &day.currencies))
                h2.span { "Last 14 days" span.soft { "by the day, UTC" } }
                div.charts { (charts(fortnight)) }
            }
            _ => {
                @if let Some(why) = &overview.unread {
                    p.worries { "Clicks and conversions cannot be told: " (why) "." }
                } @else {
                    p.hint { "This build keeps no sums: it is without the feature parquet." }
                }
                div.charts { (attempts(&overview)) }
            }
        }
        p.hint { "Read at " (text::moment(overview.as_of)) " UTC. Net leaves out clicks that are labelled: bots, repeats, data centres. A conversion is of the moment at which it was decided." }
    };
    Ok(Page::new("Overview", main).fresh())
}

/// Destinations that nothing is sent to now.
fn ailing(does: &dyn Operations) -> Option<Markup> {
    let all: Destinations = told(does.destinations()).ok()?;
    let mut ailing = all.destinations;
    ailing.retain(|one| one.state == "failing" || one.state == "paused");
    let more = ailing.len().saturating_sub(DESTINATIONS_MAX);
    ailing.truncate(DESTINATIONS_MAX);
    let items = html! {
        @for one in &ailing {
            li {
                "Destination "
                a href=(text::link(&["deliveries"], &[("destination", &one.destination)])) { (one.destination) }
                " is " (one.state)
                @if let Some(why) = &one.why { ": " (why) }
            }
        }
        @if more > 0 { li { "… and " (more) " more" } }
    };
    (!ailing.is_empty()).then_some(items)
}

/// How the parts of the daemon are, in words.
fn state(frame: &Frame, overview: &Overview) -> Markup {
    html! {
        dl.state {
            @for check in &frame.checks {
                div { dt { (capital(check.name)) } dd.sound[check.health == Health::Good] { (ticked(&check.detail)) } }
            }
            @if !overview.listens.is_empty() {
                div { dt { "Visitors" } dd.sound { "at " (overview.listens.join(", ")) } }
            }
        }
    }
}

/// What was clicked, converted and earned.
pub(super) fn charts(period: &Period) -> Markup {
    let clicks = Chart {
        title: "Clicks".to_owned(),
        total: html! { (text::count(period.total.clicks)) small { (text::count(period.total.net)) " net" } },
        series: vec![Series::new("Net", "one"), Series::new("Labelled", "two")],
        points: points(period, |sums| vec![sums.net.into(), sums.clicks.saturating_sub(sums.net).into()]),
        write: whole,
    };
    let total = &period.total;
    let conversions = Chart {
        title: "Conversions".to_owned(),
        total: html! { (text::count(total.conversions)) small { (text::percent(total.conversions, total.net)) } },
        series: vec![Series::new("Conversions", "three")],
        points: points(period, |sums| vec![sums.conversions.into()]),
        write: whole,
    };
    html! {
        (clicks.draw())
        (conversions.draw())
        @for (at, code) in period.currencies.iter().enumerate().take(CURRENCIES_MAX) { (revenue(period, at, code)) }
        @if period.currencies.is_empty() { (revenue(period, 0, "")) }
        @if period.currencies.len() > CURRENCIES_MAX {
            p.hint { "There is money in " (period.currencies.len()) " currencies; the first " (CURRENCIES_MAX) " are drawn." }
        }
    }
}

fn revenue(period: &Period, at: usize, code: &str) -> Markup {
    let of = |amounts: &[i128]| amounts.get(at).copied().unwrap_or_default();
    let (revenue, cost) = (of(&period.total.revenue), of(&period.total.cost));
    let chart = Chart {
        title: if code.is_empty() { "Revenue".to_owned() } else { format!("Revenue, {code}") },
        total: html! {
            (text::money(revenue))
            @if cost != 0 { small { (text::money(revenue.saturating_sub(cost))) " profit" } }
        },
        series: vec![Series::new("Revenue", "four")],
        points: points(period, |sums| vec![of(&sums.revenue)]),
        write: text::money,
    };
    chart.draw()
}

fn points(period: &Period, of: impl Fn(&Sums) -> Vec<i128>) -> Vec<(&str, Vec<i128>)> {
    period.points.iter().map(|(label, sums)| (&**label, of(sums))).collect()
}

fn attempts(overview: &Overview) -> Markup {
    if let Some(why) = &overview.attempts_unread {
        return html! { p.worries { "Deliveries cannot be told: " (why) "." } };
    }
    let sum = |of: fn(&Attempts) -> u64| overview.attempts.iter().map(of).sum::<u64>();
    let (ok, failed, dead) = (sum(|of| of.ok), sum(|of| of.failed), sum(|of| of.dead));
    let chart = Chart {
        title: "Deliveries".to_owned(),
        total: html! {
            (text::count(ok))
            @if failed > 0 { small { (text::count(failed)) " retried" } }
            @if dead > 0 { small.bad { (text::count(dead)) " dead" } }
        },
        series: vec![
            Series::new("Delivered", "three"),
            Series::new("Retried", "two"),
            Series::new("Dead", "bad"),
        ],
        points: overview
            .attempts
            .iter()
            .map(|of| (&*of.hour, vec![of.ok.into(), of.failed.into(), of.dead.into()]))
            .collect(),
        write: whole,
    };
    html! {
        (chart.draw())
        @if let Some(bytes) = overview.attempts_cut {
            p.hint { "Deliveries are of the last " (text::bytes(bytes)) " of their journal: there were more." }
        }
    }
}

fn top(overview: &Overview, currencies: &[String]) -> Markup {
    html! {
        @if !overview.top.is_empty() {
            section.card {
                div.head { h2 { "Busiest campaigns" } a href=(text::path(&["campaigns"])) { "All campaigns" } }
                div.wide tabindex="0" role="region" aria-label="Busiest campaigns" {
                    table {
                        caption.away { "The campaigns with the most clicks of the last 24 hours" }
                        thead { tr {
                            th scope="col" { "Campaign" } th.n scope="col" { "Clicks" } th.n scope="col" { "Net" }
                            th.n scope="col" { "Conversions" } th.n scope="col" { "Rate" } th.n scope="col" { "Revenue" }
                        } }
                        tbody { @for (id, sums) in &overview.top { tr {
                            th scope="row" {
                                @if id.is_empty() { span.soft { "without a campaign" } } @else {
                                    a href=(text::path(&["campaigns", id])) { (id) }
                                }
                            }
                            (numbers(sums, currencies))
                        } } }
                    }
                }
            }
        }
    }
}

/// The cells of sums: clicks, net, conversions, rate, revenue.
pub(super) fn numbers(sums: &Sums, currencies: &[String]) -> Markup {
    html! {
        @let amounts = text::amounts(&sums.revenue, currencies);
        @for number in [sums.clicks, sums.net, sums.conversions] { td.n.soft[number == 0] { (text::count(number)) } }
        td.n.soft[sums.conversions == 0] { (text::percent(sums.conversions, sums.net)) }
        td.n { @if amounts.is_empty() { span.soft { "–" } } @for amount in amounts { div { (amount) } } }
    }
}
