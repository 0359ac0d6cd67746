//! What the console asks of the daemon, told from the catalog, the journals and the actors.
//!
//! Keeps: whatever reads the journals reads them from outside, as batch jobs do, and takes no lock; what it reads has a bound,
//! and what is beyond is said. Sums of the overview are kept for `SUMS_KEPT`, so that it does not matter how many look on.

mod catalog;
mod disk;
mod sums;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{State, as_json, unavailable};
use crate::admin::console::{
    CampaignPage, CampaignRow, Facts, Listed, NetworkPage, NetworkRow, Overview, Requests, Setting, Storage,
    Wanted, WantedDeliveries,
};
use crate::admin::{ApiError, ApiResult};
use crate::batch::deliveries::{self, Filter};
use crate::batch::held;
use crate::batch::lookup::{self, Window};
use crate::batch::newest::{self, Extent};
use crate::clock::Timestamp;
use crate::config::Settings;
use crate::dispatcher::request::{Moment, show_now};
use crate::store::described;
use crate::store::reader::{Reader, Shown};

/// How long sums of the overview are good for.
const SUMS_KEPT: Duration = Duration::from_secs(10);
/// Bytes of sealed segments that are read for the newest requests or attempts.
const TAIL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Held payouts that are kept in mind for a page.
const HELD_MAX: usize = 10_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The overview, and when it was made by the clock that only goes forward.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Option<(Duration, Arc<Overview>)>>);

impl State {
    fn reader(&self) -> Reader {
        Reader::open(self.store.directory().root())
    }

    /// What is not older than so many days; everything for none.
    fn since(&self, days: u32) -> Window {
        let from = self.clock.now().minus(DAY.saturating_mul(days));
        Window { from: Some(from).filter(|_| days > 0), to: None }
    }

    fn listens(&self) -> Vec<String> {
        self.addresses.iter().map(|address| address.to_string()).collect()
    }

    fn overview_now(&self) -> Overview {
        let (reader, now) = (self.reader(), self.clock.now());
        let unread = |error: ApiError| Overview { unread: Some(error.to_string()), ..Overview::default() };
        let sums = sums::overview(&reader, now).unwrap_or_else(unread);
        let since = Timestamp::from_micros((now.hour() - 23) * 3_600_000_000);
        // What is damaged costs what it was about, and not the page.
        let (attempts, attempts_cut, attempts_unread) = match newest::attempts(&reader, since, TAIL_BYTES_MAX)
        {
            Ok((attempts, extent)) => (attempts, (!extent.is_all).then_some(extent.bytes), None),
            Err(error) => (BTreeMap::new(), None, Some(described(&error))),
        };
        Overview {
            as_of: now,
            attempts: sums::hours(since, now, &attempts),
            attempts_cut,
            attempts_unread,
            listens: self.listens(),
            ..sums
        }
    }

    /// Of a network, or of none under the empty name.
    fn last_requests(&self, network: &str) -> Requests {
        let (kept, extent, unread) = match newest::requests(&self.reader(), network, TAIL_BYTES_MAX) {
            Ok((kept, extent)) => (kept, extent, None),
            Err(error) => (Vec::new(), Extent::default(), Some(described(&error))),
        };
        let rows = catalog::requests(self.edge.recent(network), kept);
        Requests { rows, read_bytes: extent.bytes, read_all: extent.is_all, unread }
    }

    /// The request of a delivery as it would be made now, or why there is none.
    fn request_of(&self, reader: &Reader, row: &deliveries::Row) -> Result<serde_json::Value, ApiError> {
        let shown = Shown::load(reader).map_err(unavailable)?;
        let (now, destinations) = (self.clock.now(), self.destinations.load());
        let moment = Moment { now, random: now.micros().unsigned_abs() };
        let decision = row.decision.parse().unwrap_or_default();
        let made = deliveries::decision(reader, &shown, decision, |decision| {
            show_now(&destinations, decision, &row.destination, moment)
        });
        let why_not = match made.map_err(unavailable)? {
            Some(Some(Ok(request))) => return Ok(serde_json::json!({ "request": request })),
            Some(Some(Err(unmade))) => unmade.to_string(),
            Some(None) => "the catalog names this destination no more for its conversion".to_owned(),
            None => "its decision cannot be read".to_owned(),
        };
        Ok(serde_json::json!({ "no_request": why_not }))
    }
}

impl Facts for State {
    fn overview(&self) -> Result<Overview, ApiError> {
        // Held while it is made: who comes meanwhile wants the same.
        let mut kept = self.overview.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        if let Some((made, overview)) = &*kept
            && now.saturating_sub(*made) < SUMS_KEPT
        {
            return Ok((**overview).clone());
        }
        let overview = self.overview_now();
        *kept = Some((self.clock.monotonic(), Arc::new(overview.clone())));
        Ok(overview)
    }

    fn campaigns(&self, wanted: &Wanted) -> Result<Listed<CampaignRow>, ApiError> {
        let mut listed = catalog::campaigns(&self.catalog(), wanted);
        let added = sums::add(&self.reader(), self.clock.now(), &mut listed.rows);
        listed.unread = added.err().map(|error| error.to_string());
        Ok(listed)
    }

    fn campaign(&self, id: &str, base: Option<&str>) -> Result<CampaignPage, ApiError> {
        let (snapshot, destinations) = (self.catalog(), self.destinations.load());
        let base = self.base(base);
        let mut page = catalog::campaign(&snapshot, &destinations, id, base)?;
        match sums::week(&self.reader(), self.clock.now(), &page.row.id) {
            Ok(week) => page.week = week,
            Err(error) => page.warnings.push(format!("sums cannot be told: {error}")),
        }
        Ok(page)
    }

    fn networks(&self, wanted: &Wanted) -> Listed<NetworkRow> {
        catalog::networks(&self.catalog(), wanted, &self.edge)
    }

    fn network(&self, id: &str, base: Option<&str>) -> Result<NetworkPage, ApiError> {
        let page = catalog::network(&self.catalog(), id, self.base(base))?;
        Ok(NetworkPage { last: self.last_requests(id), ..page })
    }

    fn strangers(&self) -> Result<Requests, ApiError> {
        Ok(self.last_requests(""))
    }

    fn deliveries(&self, wanted: &WantedDeliveries) -> ApiResult {
        let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let filter = Filter {
            destination: named(&wanted.destination),
            state: deliveries::State::ALL.into_iter().find(|state| state.name() == wanted.state),
            about: named(&wanted.about),
            window: self.since(wanted.days),
            ..Filter::default()
        };
        let found = deliveries::list(&self.reader(), &filter, wanted.count, &mut |_, _| {});
        as_json(&found.map_err(unavailable)?)
    }

    fn delivery(&self, id: &str, days: u32) -> ApiResult {
        let reader = self.reader();
        let unknown = || ApiError::Unknown(format!("there is no attempt at a delivery \"{id}\""));
        let bytes = deliveries::delivery_id(id).ok_or_else(unknown)?;
        let whole =
            deliveries::show(&reader, bytes, self.since(days), &mut |_, _| {}).map_err(unavailable)?;
        let whole = whole.ok_or_else(unknown)?;
        let mut told = serde_json::to_value(&whole).map_err(unavailable)?;
        if let (Some(told), serde_json::Value::Object(request)) =
            (told.as_object_mut(), self.request_of(&reader, &whole.delivery)?)
        {
            told.extend(request);
        }
        as_json(&told)
    }

    fn held(&self, days: u32) -> ApiResult {
        let oldest = held::oldest(&self.reader(), self.since(days), HELD_MAX, &mut |_, _| {});
        let (held, has_more) = oldest.map_err(unavailable)?;
        as_json(&serde_json::json!({ "held": held, "has_more": has_more }))
    }

    fn look_up(&self, text: &str, days: u32) -> ApiResult {
        let life = lookup::look_up(&self.reader(), text, self.since(days), &mut |_, _| {});
        as_json(&life.map_err(unavailable)?)
    }

    fn network_ids(&self) -> Vec<String> {
        self.catalog().networks().iter().map(|network| network.rules.id.to_string()).collect()
    }

    fn settings(&self) -> Vec<Setting> {
        let defaults = Settings::default().entries();
        let setting = |(now, default): (crate::config::Entry, crate::config::Entry)| Setting {
            section: now.section,
            key: now.key,
            is_default: now.value == default.value,
            value: without_password(&now.value),
            doc: now.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "),
        };
        self.settings.entries().into_iter().zip(defaults).map(setting).collect()
    }

    fn storage(&self) -> Result<Storage, ApiError> {
        disk::storage(self)
    }
}

/// A URL in a setting (a proxy's) without who logs in there.
fn without_password(value: &str) -> String {
    let hidden = value.split_once("://").and_then(|(scheme, rest)| {
        let (_, host) = rest.rsplit_once('@')?;
        Some(format!("{scheme}://***@{host}"))
    });
    hidden.unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        for (value, shown) in [
            ("\"http://user:hush@proxy:3128\"", "\"http://***@proxy:3128\""),
            ("\"http://proxy:3128\"", "\"http://proxy:3128\""),
            ("[\"127.0.0.1:8080\"]", "[\"127.0.0.1:8080\"]"),
            ("\"a@b\"", "\"a@b\""),
        ] {
            assert_eq!(without_password(value), shown);
        }
    }
}
