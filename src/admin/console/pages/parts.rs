//! What several pages are made of: things to copy, names with values, ways through a list, what was done.

use maud::{Markup, html};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::admin::console::view::Link;
use crate::admin::console::{Wanted, text};
use crate::admin::{ApiError, ApiResult};
use crate::event::params::Params;

/// The furthest that somebody looks back by days.
const DAYS_MAX: u32 = 3_650;
/// Days that can be chosen.
const DAYS: [u32; 5] = [1, 7, 30, 90, 365];
/// The last page of a list.
const PAGE_MAX: usize = 100_000;
/// Characters of what is looked for in a list.
const SEARCH_CHARS_MAX: usize = 200;

/// An amount, as the journals' readers tell it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Amount {
    amount: String,
    #[serde(default)]
    currency: String,
}

impl Amount {
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.amount, self.currency).trim_end().to_owned()
    }
}

/// A request that would be made.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Request {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

impl Request {
    pub(super) fn show(&self) -> Markup {
        html! {
            pre.code tabindex="0" { (self.method) " " (self.url)
                @for (name, value) in &self.headers { "\n" (name) ": " (value) }
                @if !self.body.is_empty() { "\n\n" (self.body) }
            }
        }
    }
}

/// Reads what is told as JSON.
pub(super) fn told<T: DeserializeOwned>(told: ApiResult) -> Result<T, ApiError> {
    serde_json::from_str(&told?)
        .map_err(|error| ApiError::Unavailable(format!("the answer cannot be read: {error}")))
}

/// The part of a list that a query asks for.
pub(super) fn wanted(query: &Params, count: usize) -> Wanted {
    let page = query.get("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1);
    Wanted {
        text: query.get("q").unwrap_or_default().trim().chars().take(SEARCH_CHARS_MAX).collect(),
        from: page.clamp(1, PAGE_MAX).saturating_sub(1).saturating_mul(count),
        count,
    }
}

/// How far back a query looks.
pub(super) fn days(query: &Params, default: u32) -> u32 {
    query.get("days").and_then(|days| days.parse().ok()).unwrap_or(default).clamp(1, DAYS_MAX)
}

/// A field that says how far.
pub(super) fn days_field(days: u32) -> Markup {
    let other = Some(days).filter(|days| !DAYS.contains(days));
    html! {
        label { "Back"
            select name="days" {
                @for choice in DAYS.into_iter().chain(other) {
                    option value=(choice) selected[choice == days] {
                        @if choice == 1 { "1 day" } @else { (choice) " days" }
                    }
                }
            }
        }
    }
}

/// A field to look for something in a list.
pub(super) fn search(path: &str, what: &str, wanted: &Wanted) -> Markup {
    html! {
        form.bar role="search" method="get" action=(path) {
            label { (what) input type="search" name="q" value=(wanted.text); }
            button { "Search" }
            @if !wanted.text.is_empty() { a.quiet href=(path) { "Show all" } }
        }
    }
}

/// Which part of a list this is, and the way to the others.
pub(super) fn pager(parts: &[&str], wanted: &Wanted, shown: usize, found: usize) -> Markup {
    let page = wanted.from / wanted.count.max(1) + 1;
    let to = |page: usize| text::link(parts, &[("q", &wanted.text), ("page", &page.to_string())]);
    let last = wanted.from.saturating_add(shown);
    html! {
        nav.pager aria-label="Pages" {
            span { @if shown == 0 { "None" } @else { (text::count(wanted.from as u64 + 1)) "–" (text::count(last as u64)) " of " (text::count(found as u64)) } }
            @if page > 1 { a rel="prev" href=(to(page - 1)) { "Earlier" } }
            @if last < found { a rel="next" href=(to(page + 1)) { "Next" } }
        }
    }
}

/// Names with their values.
pub(super) fn facts(all: &[(String, String)]) -> Markup {
    html! { dl.facts { @for (name, value) in all { div { dt { (name) } dd { (value) } } } } }
}

/// The same of those that are not empty.
pub(super) fn filled(all: &[(&str, &str)]) -> Markup {
    html! { dl.facts { @for (name, value) in all.iter().filter(|(_, value)| !value.is_empty()) {
        div { dt { (name) } dd { (value) } }
    } } }
}

/// Things to be pasted somewhere. `key` makes their ids unlike those of other lists of the page.
pub(super) fn links(key: &str, all: &[Link]) -> Markup {
    html! {
        @for (at, link) in all.iter().enumerate() {
            @let id = format!("{key}-{at}");
            div.paste {
                div.name { h3 { (link.name) } button.copy type="button" hidden data-copy=(id) aria-label={ "Copy: " (link.name) } { "Copy" } }
                pre.code id=(id) tabindex="0" { (link.text) }
                @if !link.hint.is_empty() { p.hint { (link.hint) } }
            }
        }
    }
}

/// Where visitors come in, for whoever sees another address than the daemon does.
pub(super) fn base_field(path: &str, base: &str) -> Markup {
    html! {
        form.bar method="get" action=(path) {
            label { "Where visitors reach this tracker" input type="url" name="base" value=(base) pattern="https?://.+" size="32"; }
            button { "Show links with it" }
        }
    }
}

/// What a query says links begin with; only what is the beginning of a URL, and nothing that would be more than that in a page
/// that a link is pasted into.
pub(super) fn base(query: &Params) -> Option<&str> {
    let base = query.get("base")?;
    let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]/%".contains(&byte);
    let has_host = !rest.starts_with('/') && !rest.is_empty();
    (has_host && base.len() <= SEARCH_CHARS_MAX && rest.bytes().all(is_plain)).then_some(base)
}

/// What a form has just done, as its `done` says; what it says is one of these words and no other.
pub(super) fn done(query: &Params) -> Markup {
    let words = match query.get("done") {
        Some("released") => "The payout counts now.",
        Some("dropped") => "The payout was thrown away.",
        Some("replayed") => "It is tried again.",
        Some("replayed-some") => {
            "Those that could be opened are tried again; others were open already or cannot be read."
        }
        Some("replayed-none") => {
            "None was opened: they are open anyway, or the catalog names their destination no more."
        }
        Some("paused") => "Nothing more is sent there.",
        Some("resumed") => "Sending goes on.",
        _ => return html! {},
    };
    html! { p.done role="status" { (words) } }
}

/// A word as a mark, coloured by what it means.
pub(super) fn mark(word: &str) -> Markup {
    let class = match word.split(':').next().unwrap_or_default() {
        "accepted" | "updated" | "approved" | "delivered" | "ok" | "active" | "test" => "good",
        "rejected" | "dead" | "failing" | "reversed" | "orphan" => "bad",
        "client" | "auth" | "gone" | "config" | "redirect" | "dropped" => "bad",
        "server" | "throttle" | "ambiguous" | "safe" => "warn",
        "held" | "unmatched" | "late" | "retrying" | "paused" | "pending" | "reopened" | "absent" => "warn",
        _ => "plain",
    };
    html! { @if !word.is_empty() { span.mark.(class) { (text::words(word)) } } }
}

/// A list that has no rows.
pub(super) fn nothing(what: &str) -> Markup {
    html! { p.nothing { (what) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::params::Source;

    fn query(text: &str) -> Params {
        Params::parse(text.as_bytes(), Source::Query)
    }

    #[test]
    fn what_a_query_asks_for_has_bounds() {
        let of = |text: &str| wanted(&query(text), 50).from;
        assert_eq!((of(""), of("page=0"), of("page=3"), of("page=-1"), of("page=x")), (0, 0, 100, 0, 0));
        assert_eq!(of("page=99999999"), (PAGE_MAX - 1) * 50);
        assert_eq!(wanted(&query(&format!("q={}", "a".repeat(900))), 1).text.len(), SEARCH_CHARS_MAX);
        let of = |text: &str| days(&query(text), 7);
        assert_eq!((of(""), of("days=0"), of("days=30"), of("days=4000000000")), (7, 1, 30, DAYS_MAX));
    }

    #[test]
    fn links_begin_with_a_url_or_with_what_is_known() {
        let of = |text: &str| base(&query(text)).map(str::to_owned);
        assert_eq!(of("base=https://trk.example"), Some("https://trk.example".to_owned()));
        assert_eq!(of("base=http://[::1]:80/t/"), Some("http://[::1]:80/t/".to_owned()));
        for no in [
            "",
            "base=javascript:alert(1)",
            "base=//evil.example",
            "base=https://a b",
            "base=https://",
            "base=https:///a",
            "base=https://a%22><script>",
            "base=https://a'b",
            "base=https://us%40evil.example",
        ] {
            assert_eq!(of(no), None, "{no}");
        }
    }
}
