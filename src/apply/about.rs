//! What a decision says of the click: the facts that a report or a delivery needs, gathered from its records.
//!
//! A visitor who went through a lander has two: the first click, with where it came from and what it cost, and the way
//! through, with the offer. Together they are one click, and the first one's place is its name.

use super::claim::{Subject, Submission};
use super::decide;
use crate::event::click::{Click, ClickKind};

/// A click, and what it is called in keys.
#[derive(Debug)]
pub(super) struct About<'a> {
    /// Nothing where it is lost or unknown, or cannot be read.
    pub(super) click: Option<Click<'a>>,
    /// Its place, packed; 0 where there is none.
    pub(super) place: u64,
    /// Its name in keys: the same however a network came to say it.
    pub(super) name: String,
    /// As a decision sees it; `is_parked` is still open.
    pub(super) known: decide::Click,
}

impl<'a> About<'a> {
    /// Of the click that a submission is about.
    pub(super) fn of(submission: &'a Submission) -> Self {
        let mut about = Self::found(&submission.subject, &submission.claim.click_id);
        if let Some(click) = about.click.as_mut().filter(|click| click.offer.is_empty()) {
            click.offer = &submission.offer;
        }
        about
    }

    /// `said` is the click id as it came.
    fn found(subject: &'a Subject, said: &str) -> Self {
        match subject {
            Subject::Click { click: found, parent } => match found.click() {
                Some(click) => {
                    Self::whole(click, found.place.packed(), parent.as_deref().and_then(|it| it.click()))
                }
                None => Self::without(found.place.packed(), decide::Click::Lost),
            },
            Subject::Lost(place) => Self::without(place.packed(), decide::Click::Lost),
            Subject::Unknown => Self {
                click: None,
                place: 0,
                name: format!("?{said}"),
                known: decide::Click::Unknown { is_parked: false },
            },
        }
    }

    fn without(place: u64, known: decide::Click) -> Self {
        Self { click: None, place, name: format!("{place:x}"), known }
    }

    fn whole(click: Click<'a>, place: u64, parent: Option<Click<'a>>) -> Self {
        let (merged, place) = match (click.kind, parent) {
            (ClickKind::Through, Some(first)) => (
                Click { offer: click.offer, lander: longer(click.lander, first.lander), ..first },
                click.parent,
            ),
            (ClickKind::Through, None) => (click, click.parent),
            _ => (click, place),
        };
        let name = match merged.kind {
            // It may be imported again, and is the same click.
            ClickKind::Imported => format!("@{}", merged.foreign_id),
            _ => format!("{place:x}"),
        };
        Self { click: Some(merged), place, name, known: decide::Click::Known(merged.time) }
    }
}

fn longer<'a>(one: &'a str, other: &'a str) -> &'a str {
    if one.is_empty() { other } else { one }
}
