//! The click that a postback is about, and the terms on which it counts.
//!
//! In: a click id as it came. Out: what is known of that click, or `Busy`.
//! Keeps: a look-up that has to wait for the disk waits on a thread of its own, and no more than `LOOK_UPS_MAX` do at once.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::catalog::{Campaign, Catalog};
use crate::apply::claim::Subject;
use crate::apply::rules::Terms;
use crate::event::click::ClickKind;
use crate::event::click_id::{ClickId, Place};
use crate::store::Lookup;
use crate::store::clicks::{Clicks, FoundClick};
use crate::store::sealed::Tried;

/// Look-ups that may wait for the disk at once; one more is answered 503.
pub(super) const LOOK_UPS_MAX: usize = 256;
/// How long after its click a conversion counts if its campaign is not known.
const WINDOW_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Too many look-ups wait for the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Busy;

/// Look-ups that wait for the disk.
#[derive(Debug, Default)]
pub(super) struct Waiting(Arc<AtomicUsize>);

#[derive(Debug)]
struct Turn(Arc<AtomicUsize>);

impl Waiting {
    fn take(&self) -> Result<Turn, Busy> {
        let turn = Turn(Arc::clone(&self.0));
        // Counted first and looked at then, so that two at once never both take the last turn.
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        if before < LOOK_UPS_MAX { Ok(turn) } else { Err(Busy) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is known of the click with this id, ours or another tracker's.
pub(super) async fn look_up(clicks: &Clicks, waiting: &Waiting, click_id: &str) -> Result<Subject, Busy> {
    if let Some(subject) = try_subject(clicks, click_id) {
        return Ok(subject);
    }
    let (clicks, click_id) = (clicks.clone(), click_id.to_owned());
    wait(waiting, move || subject(&clicks, &click_id)).await
}

/// The click at a place; nothing if there is none.
pub(super) async fn find_at(
    clicks: &Clicks,
    waiting: &Waiting,
    place: Place,
) -> Result<Option<FoundClick>, Busy> {
    let found = match clicks.try_find_at(place) {
        Tried::Done(found) => found,
        Tried::WouldBlock => {
            let clicks = clicks.clone();
            wait(waiting, move || clicks.find_at(place)).await?
        }
    };
    Ok(found_only(found))
}

async fn wait<T: Send + 'static>(
    waiting: &Waiting,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Busy> {
    let turn = waiting.take()?;
    let reading = tokio::task::spawn_blocking(move || {
        let read = read();
        drop(turn);
        read
    });
    // It is only cancelled with the whole runtime.
    reading.await.map_err(|_| Busy)
}

/// What is known without waiting for the disk.
fn try_subject(clicks: &Clicks, click_id: &str) -> Option<Subject> {
    let Some((id, place)) = own(clicks, click_id) else {
        return clicks.foreign().is_empty().then_some(Subject::Unknown);
    };
    let Tried::Done(found) = clicks.try_find(&id) else { return None };
    let Lookup::Found(click) = found else { return Some(Subject::Lost(place)) };
    let parent = match parent_of(&click) {
        None => None,
        Some(place) => match clicks.try_find_at(place) {
            Tried::WouldBlock => return None,
            Tried::Done(parent) => found_only(parent),
        },
    };
    Some(Subject::Click { click: Box::new(click), parent: parent.map(Box::new) })
}

fn subject(clicks: &Clicks, click_id: &str) -> Subject {
    let found = match own(clicks, click_id) {
        Some((id, place)) => match clicks.find(&id) {
            Lookup::Found(click) => click,
            _ => return Subject::Lost(place),
        },
        None => match clicks.find_foreign(click_id) {
            Lookup::Found(click) => click,
            _ => return Subject::Unknown,
        },
    };
    let parent = parent_of(&found).and_then(|place| found_only(clicks.find_at(place)));
    Subject::Click { click: Box::new(found), parent: parent.map(Box::new) }
}

/// An id that we made, and what it says.
fn own(clicks: &Clicks, click_id: &str) -> Option<(ClickId, Place)> {
    let id = ClickId::from_str(click_id).ok()?;
    Some((id, clicks.decode(&id)?))
}

fn parent_of(click: &FoundClick) -> Option<Place> {
    let click = click.click().filter(|click| click.kind == ClickKind::Through)?;
    Place::from_packed(click.parent)
}

fn found_only(found: Lookup<FoundClick>) -> Option<FoundClick> {
    match found {
        Lookup::Found(found) => Some(found),
        _ => None,
    }
}

/// The campaign of a click, where the catalog still has it.
pub(super) fn campaign<'a>(catalog: &'a Catalog, subject: &Subject) -> Option<&'a Campaign> {
    match subject {
        Subject::Click { click, .. } => catalog.campaign(click.click()?.campaign),
        _ => None,
    }
}

/// The network that pays for a click's offer.
pub(super) fn network<'a>(catalog: &'a Catalog, subject: &Subject) -> Option<&'a str> {
    let Subject::Click { click, .. } = subject else { return None };
    Some(&catalog.offer_named(click.click()?.offer)?.network)
}

/// On which terms a conversion of this click counts.
pub(super) fn terms(catalog: &Catalog, network: &str, subject: &Subject) -> Terms {
    let campaign = campaign(catalog, subject);
    let offer = match subject {
        Subject::Click { click, .. } => click.click().map(|click| click.offer),
        _ => None,
    };
    let offer = match offer {
        None => None,
        Some("") => campaign.and_then(|campaign| {
            // A click on a lander has no offer yet: where it could only have been one, it was that.
            let offers = campaign.offers.iter().filter_map(|offer| catalog.offer(*offer));
            let mut of_network = offers.filter(|offer| *offer.network == *network);
            of_network.next().filter(|_| of_network.next().is_none())
        }),
        Some(offer) => catalog.offer_named(offer),
    };
    Terms {
        window: campaign.map_or(WINDOW_DEFAULT, |campaign| campaign.window),
        payout: offer.and_then(|offer| offer.payout),
    }
}
