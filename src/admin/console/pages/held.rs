//! Payouts that wait for a person, who lets them count or throws them away.

use maud::{Markup, html};
use serde::Deserialize;

use super::parts::{Amount, days, days_field, done, nothing, told};
use super::{Done, Frame, Page, Params};
use crate::admin::console::text;
use crate::admin::{ApiError, Operations};

/// Payouts that are shown.
const ROWS_MAX: usize = 200;
/// How far back is looked.
const DAYS: u32 = 90;

#[derive(Debug, Deserialize)]
struct Found {
    held: Vec<Held>,
    has_more: bool,
}

#[derive(Debug, Deserialize)]
struct Held {
    decision: String,
    time: String,
    network: String,
    transaction_id: String,
    click_id: String,
    reason: String,
    payout: Option<Amount>,
    campaign: String,
    offer: String,
}

pub(super) fn list(does: &dyn Operations, query: &Params, frame: &Frame) -> Result<Page, ApiError> {
    let days = days(query, DAYS);
    let Found { mut held, has_more } = told(does.held(days))?;
    let count = held.len();
    held.truncate(ROWS_MAX);
    let main = html! {
        (done(query))
        form.bar method="get" action=(text::path(&["held"])) { (days_field(days)) button { "Show" } }
        @if held.is_empty() { (nothing("Nothing is held.")) } @else {
            section.card {
                div.wide tabindex="0" role="region" aria-label="Held payouts" {
                    table {
                        caption { "Payouts that wait for a person, oldest first" }
                        thead { tr {
                            th scope="col" { "Held since, UTC" } th scope="col" { "Network" } th scope="col" { "Transaction" }
                            th.n scope="col" { "Payout" } th scope="col" { "Why" } th scope="col" { "Of" } th scope="col" { "Decide" }
                        } }
                        tbody { @for row in &held { (one(row, frame)) } }
                    }
                }
                @if count > ROWS_MAX {
                    p.hint {
                        "The oldest " (ROWS_MAX) " of " @if has_more { "more than " } (text::count(count as u64)) " are shown."
                    }
                }
            }
        }
        p.hint { "A held payout adds nothing to the books until it is released. " code { "clicklog held" } " does the same from a terminal." }
    };
    Ok(Page::new("Held payouts", main))
}

fn one(row: &Held, frame: &Frame) -> Markup {
    let amount = row.payout.as_ref().map(Amount::words).unwrap_or_default();
    let fields = |word: &str, class: &str| {
        html! {
            input type="hidden" name="decision" value=(row.decision);
            button.(class) { (word) }
        }
    };
    let release = frame.form("held/release", &fields("Release it", "main"));
    let drop = frame.form("held/drop", &fields("Drop it", "danger"));
    let about = if row.transaction_id.is_empty() { &row.click_id } else { &row.transaction_id };
    html! { tr {
        td.time { (text::brief(&row.time)) }
        td { a href=(text::path(&["networks", &row.network])) { (row.network) } }
        td { a href=(text::link(&["lookup"], &[("id", about)])) { (about) } }
        td.n { (amount) }
        td { (text::words(&row.reason)) }
        td { (row.campaign) @if !row.offer.is_empty() { small { " " (row.offer) } } }
        td.acts {
            (release.after("Release…", &format!("{amount} will count, and be told to whoever hears of it.")))
            @if frame.may_change() {
                (drop.after("Drop…", "It will never count. That cannot be taken back."))
            }
        }
    } }
}

pub(super) fn settle(does: &dyn Operations, form: &Params, is_release: bool) -> Result<Done, ApiError> {
    let text = form.get("decision").unwrap_or_default();
    let decision = text.parse().map_err(|error| ApiError::Bad(format!("{text:?}: {error}")))?;
    does.settle(decision, is_release)?;
    let word = if is_release { "released" } else { "dropped" };
    Ok(Done::Go(text::link(&["held"], &[("done", word)])))
}
