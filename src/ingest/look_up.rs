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
use crate::event::click::{Click, ClickKind};
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

/// The click with this id, for a visitor who has to wait for the disk.
pub(super) async fn find(
    clicks: &Clicks,
    waiting: &Waiting,
    id: ClickId,
) -> Result<Lookup<FoundClick>, Busy> {
    let clicks = clicks.clone();
    wait(waiting, move || clicks.find(&id)).await
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

/// As `look_up`, on a thread that may wait for the disk.
pub(super) fn subject(clicks: &Clicks, click_id: &str) -> Subject {
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

/// On which terms a conversion of this click counts, and the offer that it can only have been where the click names none.
pub(super) fn terms(catalog: &Catalog, network: &str, subject: &Subject) -> (Terms, String) {
    let click = match subject {
        Subject::Click { click, .. } => click.click(),
        _ => None,
    };
    terms_of(catalog, network, click.as_ref())
}

/// As `terms`, of a click that is at hand.
pub(super) fn terms_of(catalog: &Catalog, network: &str, click: Option<&Click<'_>>) -> (Terms, String) {
    let campaign = click.and_then(|click| catalog.campaign(click.campaign));
    let offer = match click.map(|click| click.offer) {
        None => None,
        Some("") => campaign.and_then(|campaign| {
            // A click on a lander has no offer yet: where it could only have been one, it was that.
            let offers = campaign.offers.iter().filter_map(|offer| catalog.offer(*offer));
            let mut of_network = offers.filter(|offer| *offer.network == *network);
            of_network.next().filter(|_| of_network.next().is_none())
        }),
        Some(offer) => catalog.offer_named(offer),
    };
    let terms = Terms {
        window: campaign.map_or(WINDOW_DEFAULT, |campaign| campaign.window),
        payout: offer.and_then(|offer| offer.payout),
    };
    (terms, offer.map_or_else(String::new, |offer| offer.id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::address::AddressPolicy;
    use super::super::catalog::{Cost, Offer, Parts, Redirect, Rotation};
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::click::Click;
    use crate::event::money::{Currency, Micros, Money};
    use crate::event::template::{Missing, Names, Target, Template};
    use crate::store::{self, Store};

    fn open(data: &std::path::Path) -> Store {
        let mut options = store::Options::new(data);
        (options.click_segment_bytes, options.journal_segment_bytes) = (1 << 20, 1 << 20);
        (options.marks.low_bytes, options.marks.critical_bytes, options.marks.reserve_bytes) = (0, 0, 0);
        Store::open(options).unwrap()
    }

    fn catalog(windows: &[(&str, u64, &[u32])]) -> Catalog {
        let url =
            Template::parse("https://o.example/", Target::Url, &Names::default(), Missing::Empty).unwrap();
        let offer = |id: &str, network: &str, payout: i64| Offer {
            id: id.into(),
            network: network.into(),
            url: url.clone(),
            payout: (payout > 0).then(|| Money { amount: Micros::new(payout), currency: Currency::USD }),
        };
        let campaign = |(id, window, offers): &(&str, u64, &[u32])| Campaign {
            id: (*id).into(),
            aliases: Vec::new(),
            source: None,
            landers: Rotation::default(),
            offers: Rotation::new(offers.iter().map(|offer| (*offer, 1)).collect()).unwrap(),
            cost: Cost::FromParameter,
            redirect: Redirect::Found,
            is_sticky: false,
            has_cookie: true,
            fallback: None,
            address: AddressPolicy::Full,
            duplicate_window: Duration::ZERO,
            window: Duration::from_secs(*window),
            retention: None,
            pixels: Vec::new(),
        };
        let offers = vec![
            offer("a", "boost", 1),
            offer("b", "boost", 2),
            offer("c", "rival", 3),
            offer("d", "rival", 0),
        ];
        let campaigns = windows.iter().map(campaign).collect();
        Catalog::new(1, Parts { offers, campaigns, ..Parts::default() }).unwrap()
    }

    fn click<'a>(campaign: &'a str, offer: &'a str) -> Click<'a> {
        Click { time: Timestamp::from_seconds(1_795_158_000), campaign, offer, ..Click::default() }
    }

    #[test]
    fn what_is_known_of_a_click_is_said_and_a_way_through_a_lander_leads_to_its_beginning() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let (mut writer, clicks) = (store.click_writer(0).unwrap(), store.clicks());
        let first = writer.append(&click("spring", "")).unwrap().click_id;
        let parent = clicks.decode(&first).unwrap().packed();
        let through = Click { kind: ClickKind::Through, parent, ..click("spring", "diet") };
        let through = writer.append(&through).unwrap().click_id;
        let imported = Click { kind: ClickKind::Imported, foreign_id: "old-7", ..click("spring", "diet") };
        writer.append(&imported).unwrap();
        let text = |id: ClickId| id.to_text().as_str().to_owned();
        let seen = |subject: Subject| match subject {
            Subject::Click { click, parent } => {
                let parent = parent.map(|parent| parent.click().unwrap().kind);
                format!("{:?} from {parent:?}", click.click().unwrap().kind)
            }
            Subject::Lost(_) => "lost".to_owned(),
            Subject::Unknown => "unknown".to_owned(),
        };
        let beyond = Place::new(0, 0, 0, 9_999, 1_795_158_000).unwrap();
        for (id, expected) in [
            (text(first), "Redirect from None"),
            (text(first).to_uppercase(), "Redirect from None"),
            (text(through), "Through from Some(Redirect)"),
            ("old-7".to_owned(), "Imported from None"),
            ("old-8".to_owned(), "unknown"),
            (text(clicks.id_of(beyond)), "lost"),
            (text(ClickId::from_bytes([7; 16])), "unknown"),
        ] {
            assert_eq!(seen(subject(&clicks, &id)), expected, "{id}");
            if let Some(subject) = try_subject(&clicks, &id) {
                assert_eq!(seen(subject), expected, "{id}");
            }
        }
        writer.close();
        store.close().unwrap();
    }

    #[test]
    fn terms_are_those_of_the_campaign_and_of_the_only_offer_that_it_can_have_been() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let (mut writer, clicks) = (store.click_writer(0).unwrap(), store.clicks());
        let catalog = catalog(&[("one", 60, &[0, 2, 3]), ("two", 90, &[0, 1])]);
        let day = 24 * 3600;
        for (campaign, offer, network, window, payout, only) in [
            ("one", "a", "boost", 60, Some(1), "a"),
            ("one", "b", "boost", 60, Some(2), "b"),
            ("one", "", "boost", 60, Some(1), "a"),
            ("one", "", "rival", 60, None, ""),
            ("two", "", "boost", 90, None, ""),
            ("two", "d", "rival", 90, None, "d"),
            ("gone", "c", "rival", 30 * day, Some(3), "c"),
            ("gone", "", "rival", 30 * day, None, ""),
        ] {
            let id = writer.append(&click(campaign, offer)).unwrap().click_id;
            let found = subject(&clicks, id.to_text().as_str());
            let expected = Terms {
                window: Duration::from_secs(window),
                payout: payout.map(|payout| Money { amount: Micros::new(payout), currency: Currency::USD }),
            };
            let expected = (expected, only.to_owned());
            assert_eq!(terms(&catalog, network, &found), expected, "{campaign} {offer} {network}");
        }
        let unknown = Terms { window: WINDOW_DEFAULT, payout: None };
        assert_eq!(terms(&catalog, "boost", &Subject::Unknown), (unknown, String::new()));
        writer.close();
        store.close().unwrap();
    }

    #[test]
    fn no_more_than_so_many_look_ups_wait_at_once() {
        let waiting = Waiting::default();
        let turns: Vec<_> = (0..LOOK_UPS_MAX).map(|_| waiting.take().unwrap()).collect();
        assert!(waiting.take().is_err() && waiting.take().is_err());
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("data"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let id = ClickId::from_str("00000000000000000000000000").unwrap();
        let found = || runtime.block_on(find(&store.clicks(), &waiting, id));
        assert!(found().is_err(), "a visitor waits with all the others");
        drop(turns);
        assert!(waiting.take().is_ok() && found().is_ok());
        store.close().unwrap();
    }
}
