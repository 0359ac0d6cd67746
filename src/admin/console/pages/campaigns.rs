//! Campaigns, and one with all that is to be pasted somewhere.

use maud::{Markup, html};

use super::overview::{charts, numbers};
use super::parts::{base, base_field, facts, links, nothing, pager, search, wanted};
use super::{Page, Params};
use crate::admin::console::text;
use crate::admin::console::view::{CampaignPage, CampaignRow};
use crate::admin::{ApiError, Operations};

/// Campaigns on a page.
const PAGE_ROWS: usize = 50;
/// Characters of a list of offers in a row.
const OFFERS_CHARS_MAX: usize = 80;

pub(super) fn list(does: &dyn Operations, query: &Params) -> Result<Page, ApiError> {
    let wanted = wanted(query, PAGE_ROWS);
    let listed = does.campaigns(&wanted)?;
    let path = text::path(&["campaigns"]);
    let main = html! {
        (search(&path, "Id, alias, source or offer", &wanted))
        @if let Some(why) = &listed.unread { p.worries { "Sums cannot be told: " (why) "." } }
        @if listed.rows.is_empty() { (nothing("No campaign is called so.")) } @else {
            section.card {
                div.wide tabindex="0" role="region" aria-label="Campaigns" {
                    table {
                        caption { "Sums are of the last 24 hours" }
                        thead { tr {
                            th scope="col" { "Campaign" } th.spare scope="col" { "Source" } th.spare scope="col" { "Offers" }
                            th.n scope="col" { "Clicks" } th.n scope="col" { "Net" } th.n scope="col" { "Conversions" }
                            th.n scope="col" { "Rate" } th.n scope="col" { "Revenue" }
                        } }
                        tbody { @for row in &listed.rows { (campaign(row)) } }
                    }
                }
            }
        }
        (pager(&["campaigns"], &wanted, listed.rows.len(), listed.found))
        @if listed.found < listed.all { p.hint { "There are " (text::count(listed.all as u64)) " campaigns in all." } }
    };
    Ok(Page::new("Campaigns", main))
}

fn campaign(row: &CampaignRow) -> Markup {
    html! { tr {
        th scope="row" {
            a href=(text::path(&["campaigns", &row.id])) { (row.id) }
            @if !row.aliases.is_empty() { small { " " (text::shortened(&row.aliases.join(", "), OFFERS_CHARS_MAX)) } }
        }
        td.spare { (row.source) }
        td.spare { (text::shortened(&row.offers.join(", "), OFFERS_CHARS_MAX)) }
        @match &row.sums {
            Some(sums) => { (numbers(sums, &row.currencies)) }
            None => { td colspan="5" {} }
        }
    } }
}

pub(super) fn show(does: &dyn Operations, id: &str, query: &Params) -> Result<Page, ApiError> {
    let page = does.campaign(id, base(query))?;
    let path = text::path(&["campaigns", &page.row.id]);
    let main = html! {
        @for warning in &page.warnings { p.worries { "Warning: " (warning) } }
        @if let Some(week) = &page.week {
            @for note in &week.notes { p.hint { "Note: " (note) } }
            h2.span { "Last 7 days" span.soft { "by the day, UTC" } }
            div.charts { (charts(week)) }
        }
        h2.span { "Links" }
        (base_field(&path, &page.base))
        (pasted(&page))
        section.card { div.head { h2 { "How it is set" } } (facts(&page.facts)) }
    };
    Ok(Page::new(format!("Campaign {}", page.row.id), main))
}

fn pasted(page: &CampaignPage) -> Markup {
    html! {
        section.card { (links("own", &page.links)) }
        @for (at, (network, of)) in page.networks.iter().enumerate() {
            section.card {
                div.head { h2 { "Network " a href=(text::path(&["networks", network])) { (network) } } }
                (links(&format!("network-{at}"), of))
            }
        }
        @if page.outgoing.is_empty() {
            p.hint { "No postback leaves for conversions of this campaign." }
        } @else {
            section.card {
                div.head { h2 { "Whom its conversions are told to" } a href=(text::path(&["deliveries"])) { "Deliveries" } }
                (links("outgoing", &page.outgoing))
            }
        }
    }
}
