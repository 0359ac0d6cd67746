//! What is around every page: head, navigation, what is wrong now, who is logged in.
//!
//! In: a page's title and middle. Out: the whole of it.
//! Keeps: no script, style or handler stands in a page; there is one `main`, and a way to skip to it.

use http::StatusCode;
use maud::{DOCTYPE, Markup, html};

use super::access::Access;
use super::assets::{ICON, SCRIPT, STYLE};
use super::form::{Form, Key};
use super::pages::Page;
use super::{Asked, text};
use crate::admin::{Check, Health, Operations};

/// Sections, with the words that lead to them.
const SECTIONS: [(&str, &str); 9] = [
    ("", "Overview"),
    ("campaigns", "Campaigns"),
    ("networks", "Networks"),
    ("deliveries", "Deliveries"),
    ("held", "Held"),
    ("lookup", "Look-up"),
    ("test", "Test postback"),
    ("storage", "Storage"),
    ("settings", "Settings"),
];
/// Seconds between two loads of a page that is kept fresh.
const REFRESH_SECONDS: u32 = 30;

/// What a page is put into.
pub(super) struct Frame {
    access: Access,
    section: String,
    target: String,
    pub(super) checks: Vec<Check>,
}

impl Frame {
    pub(super) fn new(access: &Access, operations: &dyn Operations, asked: &Asked) -> Self {
        Self {
            access: access.clone(),
            section: asked.path.first().cloned().unwrap_or_default(),
            target: asked.target(),
            checks: operations.checks(),
        }
    }

    /// A form that changes something; in its place, for who may not, how to be one who may.
    pub(super) fn form(&self, target: &str, fields: &Markup) -> Form {
        let key = match &self.access {
            Access::Session(key) => Key::Of(key.clone()),
            Access::Token => Key::None,
            Access::Local | Access::Nobody => Key::LogIn(text::link(&["login"], &[("next", &self.target)])),
        };
        Form::new(target, key, fields)
    }

    pub(super) fn may_change(&self) -> bool {
        self.access.may_change()
    }

    /// The whole page.
    pub(super) fn around(&self, page: &Page) -> String {
        let body = html! {
            a.skip href="#main" { "Skip to the content" }
            header.top {
                a.brand href="/console" { "clicklog" }
                (self.badge())
                div.who { (self.who()) }
            }
            nav aria-label="Sections" {
                ul {
                    @for (name, words) in SECTIONS {
                        li { a href=(text::path(&[name])) aria-current=[(name == self.section_shown()).then_some("page")] { (words) } }
                    }
                }
            }
            main #main {
                div.title {
                    h1 { (page.title) }
                    @if page.refreshes {
                        label.refresh hidden {
                            input #refresh type="checkbox" data-seconds=(REFRESH_SECONDS);
                            " Refresh every " (REFRESH_SECONDS) " s"
                        }
                    }
                }
                @if !self.section.is_empty() { (self.worries(None)) }
                (page.main)
            }
            p #note.away role="status" aria-live="polite" {}
        };
        document(&page.title, &body)
    }

    /// What is not as it should be; `more` are items that a page knows of besides.
    pub(super) fn worries(&self, more: Option<&Markup>) -> Markup {
        let worries: Vec<&Check> = self.checks.iter().filter(|check| check.health != Health::Good).collect();
        html! {
            @if !worries.is_empty() || more.is_some() {
                section.worries role="alert" aria-label="What is wrong" {
                    ul {
                        @for check in worries {
                            li.bad[check.health == Health::Bad] {
                                strong { (capital(check.name)) } ": " (ticked(&check.detail)) ". "
                                @match check.name {
                                    "store" | "disk" => { a href=(text::path(&["storage"])) { "Storage" } }
                                    "dispatcher" => { a href=(text::path(&["deliveries"])) { "Deliveries" } }
                                    _ => {}
                                }
                            }
                        }
                        @if let Some(more) = more { (more) }
                    }
                }
            }
        }
    }

    /// The section that a page belongs to.
    fn section_shown(&self) -> &str {
        if self.section == "strangers" { "networks" } else { &self.section }
    }

    fn badge(&self) -> Markup {
        let is_bad = self.checks.iter().any(|check| check.health == Health::Bad);
        let worries = self.checks.iter().filter(|check| check.health != Health::Good).count();
        html! {
            @if is_bad { span.badge.bad { "Not ready" } }
            @else if worries > 0 { span.badge.warn { "Needs a look" } }
            @else { span.badge.good { "All is well" } }
        }
    }

    fn who(&self) -> Markup {
        match &self.access {
            Access::Session(_) => self.form("logout", &html! { button.quiet { "Log out" } }).into_markup(),
            Access::Token => html! { "With the token" },
            Access::Local | Access::Nobody => html! {
                span.soft { "Read only" } " "
                a href=(text::link(&["login"], &[("next", &self.target)])) { "Log in" }
            },
        }
    }
}

/// Where somebody logs in. `why_again` says what was wrong.
pub(super) fn login(next: &str, why_again: Option<&str>) -> String {
    let body = html! {
        main.narrow #main {
            h1 { "clicklog console" }
            @if let Some(why) = why_again { p.worries role="alert" { (why) } }
            form method="post" action="/console/login" {
                input type="hidden" name="next" value=(next);
                label for="token" { "Admin token" }
                input #token type="password" name="token" autocomplete="current-password" required autofocus;
                p.hint { "It is what admin.token or CLICKLOG_ADMIN_TOKEN says; else it is in the data folder, in the file admin-token." }
                button.main { "Log in" }
            }
        }
    };
    document("Log in", &body)
}

/// A page that only says something.
pub(super) fn bare(status: StatusCode, what: &str) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = html! {
        main.narrow #main {
            h1 { (title) }
            p { (what) }
            p { a href="/console" { "Back to the console" } }
        }
    };
    document(title, &body)
}

/// What the program says, with what stands between backticks as code.
pub(super) fn ticked(said: &str) -> Markup {
    html! {
        @for (at, part) in said.split('`').enumerate() {
            @if at % 2 == 0 { (part) } @else { code { (part) } }
        }
    }
}

/// A name as the first word of a sentence.
pub(super) fn capital(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().collect::<String>());
    first.unwrap_or_default() + letters.as_str()
}

fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · clicklog" }
                link rel="icon" href={ "/console/" (ICON.name) };
                link rel="stylesheet" href={ "/console/" (STYLE.name) };
                script src={ "/console/" (SCRIPT.name) } defer {}
            }
            body { (body) }
        }
    };
    page.into_string()
}
