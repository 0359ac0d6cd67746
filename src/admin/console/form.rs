//! Forms that change something.
//!
//! Keeps: each carries the key of its session, so that no page of somebody else can send it; who is not logged in is shown how
//! to be instead. What cannot be taken back is behind a second step, which needs no script.

use maud::{Markup, html};

/// What a form shows that it is ours by.
pub(super) enum Key {
    /// The session's.
    Of(String),
    /// The request had the token: it needs none.
    None,
    /// There is no session: where to begin one.
    LogIn(String),
}

/// See the module.
pub(super) struct Form {
    target: String,
    key: Key,
    fields: Markup,
}

impl Form {
    /// One that goes to a path below `/console/`.
    pub(super) fn new(target: &str, key: Key, fields: &Markup) -> Self {
        Self { target: target.to_owned(), key, fields: fields.clone() }
    }

    pub(super) fn into_markup(self) -> Markup {
        let Self { target, key, fields } = self;
        html! {
            @match &key {
                Key::LogIn(target) => { a.log-in href=(target) { "Log in to do this" } }
                _ => {
                    form method="post" action={ "/console/" (target) } {
                        @if let Key::Of(key) = &key { input type="hidden" name="key" value=(key); }
                        (fields)
                    }
                }
            }
        }
    }

    /// With a step before: `first` opens it, `what` says what will happen.
    pub(super) fn after(self, first: &str, what: &str) -> Markup {
        html! {
            @if let Key::LogIn(_) = &self.key { (self.into_markup()) } @else {
                details.confirm {
                    summary { (first) }
                    div { p { (what) } (self.into_markup()) }
                }
            }
        }
    }
}
