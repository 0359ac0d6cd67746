//! The last requests of each network, and of nobody: what they sent, and what became of it.
//!
//! Keeps: in memory only, `REQUESTS_MAX` for each and `NETWORKS_MAX` networks (one more takes the place of the one that
//! was silent for longest); secrets are masked before anything gets here.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::fields::shortened;
use crate::apply::claim::Evidence;
use crate::clock::Timestamp;

/// Requests that are kept of one network.
const REQUESTS_MAX: usize = 50;
/// Networks of which any are kept.
const NETWORKS_MAX: usize = 1_000;
/// Bytes of a request's path and query that are kept.
const TARGET_BYTES_MAX: usize = 1024;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recent {
    /// When it came, in RFC 3339.
    pub time: String,
    /// Its method.
    pub method: String,
    /// Path and query, without secrets, cut.
    pub target: String,
    /// What became of it, as in `X-Clicklog-Result`.
    pub result: String,
    /// Why, for a person.
    pub reason: String,
    /// For a missing field, the parameter that may be meant to be it.
    pub nearest: Option<String>,
}

/// The last requests of all networks.
#[derive(Debug, Default)]
pub(super) struct Recents(Mutex<HashMap<String, Requests>>);

#[derive(Debug, Default)]
struct Requests {
    newest: Timestamp,
    all: VecDeque<Recent>,
}

impl Recent {
    pub(super) fn new(evidence: &Evidence, result: String, reason: String, nearest: Option<String>) -> Self {
        let mut target = evidence.path.clone();
        if !evidence.query.is_empty() {
            target.extend(["?", &evidence.query]);
        }
        target.truncate(shortened(&target, TARGET_BYTES_MAX).len());
        Self {
            time: evidence.time.to_string(),
            method: evidence.method.clone(),
            target,
            result,
            reason,
            nearest,
        }
    }
}

impl Recents {
    /// Notes a request of the network by this id; of none if it is empty.
    pub(super) fn note(&self, network: &str, time: Timestamp, recent: Recent) {
        let mut all = self.hold();
        if all.len() >= NETWORKS_MAX && !all.contains_key(network) {
            let silent = all.iter().min_by_key(|(_, requests)| requests.newest);
            if let Some(silent) = silent.map(|(id, _)| id.clone()) {
                all.remove(&silent);
            }
        }
        let requests = match all.get_mut(network) {
            Some(requests) => requests,
            None => all.entry(network.to_owned()).or_default(),
        };
        requests.newest = time;
        if requests.all.len() >= REQUESTS_MAX {
            requests.all.pop_front();
        }
        requests.all.push_back(recent);
    }

    /// The requests of a network, the newest first.
    pub(super) fn of(&self, network: &str) -> Vec<Recent> {
        self.hold()
            .get(network)
            .map_or_else(Vec::new, |requests| requests.all.iter().rev().cloned().collect())
    }

    /// Never held across a wait.
    fn hold(&self) -> MutexGuard<'_, HashMap<String, Requests>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(recents: &Recents, network: &str, second: u32) {
        let time = Timestamp::from_seconds(second);
        let evidence =
            Evidence { time, path: "/postback".into(), query: "é".repeat(1_000), ..Evidence::default() };
        let recent = Recent::new(&evidence, "accepted".into(), String::new(), None);
        recents.note(network, time, recent);
    }

    #[test]
    fn the_last_requests_of_each_are_kept_the_newest_first() {
        let recents = Recents::default();
        (0..200).for_each(|second| noted(&recents, "boost", second));
        noted(&recents, "", 7);
        let kept = recents.of("boost");
        assert_eq!((kept.len(), recents.of("").len(), recents.of("other").len()), (REQUESTS_MAX, 1, 0));
        assert_eq!(kept[0].time, "1970-01-01T00:03:19.000000Z");
        assert!(kept[0].target.len() <= TARGET_BYTES_MAX && kept[0].target.starts_with("/postback?é"));
    }

    #[test]
    fn one_network_too_many_takes_the_place_of_the_silent_one() {
        let recents = Recents::default();
        for n in 0..u32::try_from(NETWORKS_MAX).unwrap() {
            noted(&recents, &n.to_string(), n);
        }
        noted(&recents, "0", 5_000);
        noted(&recents, "new", 5_001);
        assert_eq!((recents.of("0").len(), recents.of("1").len(), recents.of("new").len()), (2, 0, 1));
        assert_eq!(recents.hold().len(), NETWORKS_MAX);
    }
}
