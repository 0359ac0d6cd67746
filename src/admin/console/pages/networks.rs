//! Networks, and one with its last requests and why they were refused.

use maud::{Markup, html};

use super::parts::{base, base_field, facts, links, mark, nothing, pager, search, wanted};
use super::{Page, Params};
use crate::admin::console::text;
use crate::admin::console::view::{NetworkPage, RequestRow, Requests};
use crate::admin::{ApiError, Operations};

/// Networks on a page.
const PAGE_ROWS: usize = 50;
/// Requests that are shown first.
const FEW: usize = 20;

pub(super) fn list(does: &dyn Operations, query: &Params) -> Result<Page, ApiError> {
    let wanted = wanted(query, PAGE_ROWS);
    let listed = does.networks(&wanted);
    let main = html! {
        (search(&text::path(&["networks"]), "Id", &wanted))
        @if listed.rows.is_empty() { (nothing("No network is called so.")) } @else {
            section.card {
                div.wide tabindex="0" role="region" aria-label="Networks" {
                    table {
                        caption { "Requests are the last few since the start" }
                        thead { tr {
                            th scope="col" { "Network" } th scope="col" { "Shows who it is by" } th.spare scope="col" { "Repeats" }
                            th.n scope="col" { "Requests" } th.n scope="col" { "Refused" } th scope="col" { "Last" }
                        } }
                        tbody { @for row in &listed.rows { tr {
                            th scope="row" { a href=(text::path(&["networks", &row.id])) { (row.id) } }
                            td { (row.shows) } td.spare { (row.repeats) }
                            td.n { (row.recent) }
                            td.n.bad[row.refused > 0] { (row.refused) }
                            td.time { (text::brief(&row.last)) }
                        } } }
                    }
                }
            }
        }
        p { a href=(text::path(&["strangers"])) { "Requests of no known network" } }
        (pager(&["networks"], &wanted, listed.rows.len(), listed.found))
        @if listed.found < listed.all { p.hint { "There are " (text::count(listed.all as u64)) " networks in all." } }
    };
    Ok(Page::new("Networks", main).fresh())
}

pub(super) fn show(does: &dyn Operations, id: &str, query: &Params) -> Result<Page, ApiError> {
    let page = does.network(id, base(query))?;
    let path = text::path(&["networks", &page.id]);
    let test = text::link(&["test"], &[("network", &page.id)]);
    let main = html! {
        (requests(&page.last, &["networks", &page.id], query, &test))
        h2.span { "What to paste" }
        (base_field(&path, &page.base))
        section.card { (links("own", &page.links)) }
        div.two {
            section.card { div.head { h2 { "How it is set" } } (facts(&page.facts)) }
            section.card { div.head { h2 { "Its parameters" } } (params(&page)) }
        }
    };
    Ok(Page::new(format!("Network {}", page.id), main).fresh())
}

fn params(page: &NetworkPage) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label="Parameters" {
            table {
                caption { "Of several names for one thing the first that has a value counts" }
                thead { tr { th scope="col" { "Means" } th scope="col" { "Called" } } }
                tbody { @for (role, names) in &page.params { tr {
                    th scope="row" { (text::words(role)) }
                    td { @if names.is_empty() { span.soft { "nothing" } } @else { code { (names.join(", ")) } } }
                } } }
            }
        }
    }
}

/// Requests that called, and named no network that is known: a mistake in somebody's URL, or noise.
pub(super) fn strangers(does: &dyn Operations, query: &Params) -> Result<Page, ApiError> {
    let last = does.strangers()?;
    let main = html! {
        p.hint { "They were refused: nothing in them says which network they are of. Look for a network's name, path or host that is misspelt." }
        (requests(&last, &["strangers"], query, &text::path(&["networks"])))
    };
    Ok(Page::new("Requests of no known network", main).fresh())
}

/// The last requests, with a way to all of them at `parts`; `further` is where else to go.
fn requests(last: &Requests, parts: &[&str], query: &Params, further: &str) -> Markup {
    let only = query.get("show").unwrap_or_default();
    let is_refused = |row: &&RequestRow| row.result.starts_with("rejected");
    let refused = last.rows.iter().filter(is_refused).count();
    let all = last.rows.iter().filter(|row| only != "refused" || is_refused(row));
    let shown: Vec<&RequestRow> = all.take(if only.is_empty() { FEW } else { usize::MAX }).collect();
    let to = |show: &str| text::link(parts, &[("show", show)]);
    html! {
        section.card {
            div.head {
                h2 { "Last postbacks" }
                a href=(further) { @if parts.len() == 1 { "Networks" } @else { "Test postback" } }
            }
            p {
                @for (show, words, count) in
                    [("", "Newest", FEW.min(last.rows.len())), ("all", "All", last.rows.len()), ("refused", "Refused", refused)]
                {
                    a.choice href=(to(show)) aria-current=[(only == show).then_some("true")] { (words) " " small { (count) } } " "
                }
            }
            @if shown.is_empty() { (nothing("There are none.")) } @else {
                div.wide tabindex="0" role="region" aria-label="Last postbacks" {
                    table.requests {
                        caption.away { "The last postbacks of this network, newest first" }
                        thead { tr { th scope="col" { "Time, UTC" } th scope="col" { "Result" } th scope="col" { "Request" } } }
                        tbody { @for row in &shown { (request(row)) } }
                    }
                }
            }
            @if let Some(why) = &last.unread {
                p.worries { "The journal cannot be read, and these are only those in memory: " (why) "." }
            }
            p.hint {
                @if last.unread.is_some() { "Of what is in memory" }
                @else if last.read_all { "Of the whole journal and of what is in memory" }
                @else { "Of the last " (text::bytes(last.read_bytes)) " of the journal and of what is in memory" }
                " the last " (last.rows.len()) ". Secrets are masked."
            }
        }
    }
}

fn request(row: &RequestRow) -> Markup {
    html! { tr {
        td.time {
            @if row.about.is_empty() { (text::brief(&row.time)) } @else {
                a href=(text::link(&["lookup"], &[("id", &row.about)])) title="Look up its click" { (text::brief(&row.time)) }
            }
        }
        td { (mark(&row.result)) @if !row.reason.is_empty() { div.why { (text::words(&row.reason)) } } }
        td.target {
            code { (row.method) " " (row.target) }
            @if !row.body.is_empty() { pre.code { (row.body) } }
        }
    } }
}
