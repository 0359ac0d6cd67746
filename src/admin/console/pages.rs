//! Which page shows what, and what its forms do.
//!
//! In: what is asked for, and who knows (`Operations`). Out: the middle of a page, or where to go.
//! Keeps: each list has a bound with a name, and says when it was cut.

mod campaigns;
mod deliveries;
mod held;
mod lookup;
mod networks;
mod overview;
mod parts;
mod settings;
mod storage;
mod test;

use maud::{Markup, html};

use super::layout::Frame;
use super::{Asked, Done};
use crate::admin::{ApiError, Operations};
use crate::event::params::Params;

/// The middle of a page.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) main: Markup,
    /// Whether somebody may want to keep it fresh.
    pub(super) refreshes: bool,
}

impl Page {
    fn new(title: impl Into<String>, main: Markup) -> Self {
        Self { title: title.into(), main, refreshes: false }
    }

    fn fresh(self) -> Self {
        Self { refreshes: true, ..self }
    }
}

/// Makes the page that is asked for.
pub(super) fn read(does: &dyn Operations, asked: &Asked, frame: &Frame) -> Result<Page, ApiError> {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let query = asked.params();
    match &*path {
        [] | [""] => overview::show(does, frame),
        ["campaigns"] => campaigns::list(does, &query),
        ["campaigns", id] => campaigns::show(does, id, &query),
        ["networks"] => networks::list(does, &query),
        ["networks", id] => networks::show(does, id, &query),
        ["strangers"] => networks::strangers(does, &query),
        ["deliveries"] => deliveries::list(does, &query, frame),
        ["deliveries", id] => deliveries::show(does, id, &query, frame),
        ["held"] => held::list(does, &query, frame),
        ["lookup"] => lookup::show(does, &query),
        ["test"] => test::ask(does, &query, frame),
        ["settings"] => settings::show(does),
        ["storage"] => storage::show(does),
        _ => Err(ApiError::Unknown("there is no such page".to_owned())),
    }
}

/// Whether a page is made of what is in memory: it waits for no page that reads.
pub(super) fn reads_no_journal(asked: &Asked) -> bool {
    matches!(asked.path.first().map(String::as_str), Some("settings" | "test" | "networks"))
        && asked.path.len() == 1
}

/// Whether a form has deliveries tried again.
pub(super) fn replays(asked: &Asked) -> bool {
    matches!(&*asked.path, [section, what] if section == "deliveries" && what.starts_with("replay"))
}

/// Does what a form asks for.
pub(super) fn write(does: &dyn Operations, asked: &Asked, form: &Params) -> Result<Done, ApiError> {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    match &*path {
        ["held", "release"] => held::settle(does, form, true),
        ["held", "drop"] => held::settle(does, form, false),
        ["deliveries", "replay"] => deliveries::replay(does, form),
        ["deliveries", "replay-dead"] => deliveries::replay_dead(does, form),
        ["deliveries", "pause"] => deliveries::pause(does, form),
        ["deliveries", "resume"] => deliveries::resume(does, form),
        ["test"] => test::run(does, form).map(Done::Page),
        _ => Err(ApiError::Unknown("there is no such form".to_owned())),
    }
}

/// Why there is none.
pub(super) fn failed(error: &ApiError) -> Page {
    let title = match error {
        ApiError::Bad(_) => "That is not understood",
        ApiError::Unknown(_) => "Not found",
        ApiError::Conflict(_) => "Not done",
        ApiError::Unavailable(_) => "Not now",
    };
    Page::new(title, html! { p.worries role="alert" { (super::layout::capital(&error.to_string())) "." } })
}
