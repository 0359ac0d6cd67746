//! From a lander to an offer, and the second page of a double meta refresh: requests that begin from a click that was
//! recorded before.
//!
//! In: a request with a click's id in its query or its cookie, and that click once it is found. Out: the answer; for
//! a way to an offer a record of its own, which names the click.
//! Keeps: the id in the offer's URL is that of this record, so that a conversion says which offer converted; the record
//! leads back to the click, which has the rest of the story: what it cost is there alone. Where there was no room for it, the id is the click's.

use std::str::FromStr;

use super::catalog::{Campaign, Catalog, Redirect};
use super::click::{Chosen, Made, Parent, choose, record, render};
use super::hot::Hot;
use super::outcome::Outcome;
use super::reply::Reply;
use super::visit::{CLICK_COOKIE, Visit};
use super::worker::Shared;
use crate::event::click::{Click, ClickKind};
use crate::event::click_id::ClickId;
use crate::event::params::{Params, Source};
use crate::store::clicks::FoundClick;

/// Names under which landers pass a click's id on.
const ID_PARAMS: &[&str] = &["click_id", "clickid", "cid", "c", "subid", "sub_id"];

/// The click that a request names: in its query, else in its cookie.
pub(super) fn click_id(visit: &Visit<'_>) -> Option<ClickId> {
    let params = Params::parse(visit.query().as_bytes(), Source::Query);
    let named =
        ID_PARAMS.iter().find_map(|name| params.get(name).and_then(|text| ClickId::from_str(text).ok()));
    named.or_else(|| visit.cookie(CLICK_COOKIE).and_then(|text| ClickId::from_str(text).ok()))
}

/// Sends a visitor on to the offer at `place`, or to one by chance.
pub(super) fn out(
    shared: &Shared,
    hot: &mut Hot,
    catalog: &Catalog,
    visit: &Visit<'_>,
    place: Option<usize>,
    found: Option<(&ClickId, &FoundClick)>,
) -> Reply {
    let Some((id, found)) = found else {
        return Reply::refusal(Outcome::ThroughUnknown);
    };
    let first = found.click();
    let Some((first, campaign)) = first.and_then(|first| Some((first, catalog.campaign(first.campaign)?)))
    else {
        return Reply::refusal(Outcome::ThroughUnknown);
    };
    let offer = match place {
        Some(place) => campaign.offers.get(place).copied(),
        None => campaign.offers.choose(hot.random()).map(|(_, offer)| *offer),
    };
    let chosen = Chosen { lander: None, offer: offer.and_then(|offer| catalog.offer(offer)) };
    hot.params.clear();
    hot.params.parse_into(visit.query().as_bytes(), Source::Query);
    let parent = Parent { place: found.place.packed(), lander: first.lander };
    let recorded = record(shared, hot, catalog, campaign, visit, &chosen, ClickKind::Through, parent);
    // What goes into the URL is the click as it was, with the offer of now.
    let click = Click { offer: chosen.offer.map_or("", |offer| &offer.id), ..first };
    let made = render(hot, campaign, &chosen, &click, recorded.click_id.as_ref().or(Some(&id.to_text())));
    let outcome = if recorded.is_recorded { Outcome::WentThrough } else { Outcome::Unrecorded };
    match made {
        Made::Destination | Made::Fallback => {
            Reply::redirect(outcome, through(campaign.redirect), hot.take_url())
        }
        Made::Nothing => {
            let mut reply = Reply::refusal(Outcome::NoDestination);
            reply.outcome = outcome;
            reply
        }
    }
}

/// The visitor has been on a page of the campaign already: there is no first address left to hide.
fn through(redirect: Redirect) -> Redirect {
    if redirect == Redirect::DoubleMeta { Redirect::Meta } else { redirect }
}

/// The second page of a double meta refresh: on to where the click was to go. Nothing is recorded again.
pub(super) fn meta(hot: &mut Hot, catalog: &Catalog, found: Option<(&ClickId, &FoundClick)>) -> Reply {
    let first = found.and_then(|(id, found)| Some((id, found.click()?)));
    let Some((id, first, campaign)) =
        first.and_then(|(id, first)| Some((id, first, catalog.campaign(first.campaign)?)))
    else {
        return Reply::refusal(Outcome::ThroughUnknown);
    };
    let chosen = as_recorded(hot, catalog, campaign, &first);
    match render(hot, campaign, &chosen, &first, Some(&id.to_text())) {
        Made::Nothing => Reply::refusal(Outcome::ThroughUnknown),
        Made::Destination | Made::Fallback => Reply::refresh(Outcome::SecondPage, &hot.url),
    }
}

/// The lander and offer that the record names; others if the catalog no longer has them.
fn as_recorded<'a>(
    hot: &mut Hot,
    catalog: &'a Catalog,
    campaign: &'a Campaign,
    click: &Click<'_>,
) -> Chosen<'a> {
    let lander = click.lander.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let lander = lander.and_then(|index| Some((index, campaign.landers.get(index)?)));
    let offers = campaign.offers.iter().filter_map(|offer| catalog.offer(*offer));
    let offer = offers.into_iter().find(|offer| *offer.id == *click.offer);
    match (lander, offer) {
        (None, None) => choose(hot, catalog, campaign, None),
        (lander, offer) => Chosen { lander, offer },
    }
}
