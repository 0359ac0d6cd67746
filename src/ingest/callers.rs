//! What is remembered of callers between requests: how often they called, and how many of their refused requests were
//! kept. By the network's id, so that a reload changes nothing about it.
//!
//! Keeps: at most `CALLERS_MAX` ids; with one more all are forgotten, and everybody's count begins anew.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::network::Rate;
use crate::meter::{Allowance, Meter};

/// Ids that are remembered: those of the catalog, and of catalogs before it.
const CALLERS_MAX: usize = 100_000;
/// Refused requests of strangers that are kept, for each network that they name: ten a minute.
const SAMPLES_OF_ONE: Allowance = Allowance { interval: Duration::from_secs(6), burst: 10 };
/// And of all together: sixty a minute.
const SAMPLES_OF_ALL: Allowance = Allowance { interval: Duration::from_secs(1), burst: 60 };

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Callers {
    by_id: RwLock<HashMap<Box<str>, Arc<Caller>>>,
    samples: Meter,
}

#[derive(Debug, Default)]
struct Caller {
    rate: Meter,
    samples: Meter,
}

impl Callers {
    /// Whether a network may call once more; if not, when it may again.
    pub(super) fn admit(&self, network: &str, rate: Rate, now: Duration) -> Result<(), Duration> {
        self.caller(network).rate.take(Allowance::per_second(rate.per_second, rate.burst), now)
    }

    /// Whether one more refused request of a stranger is kept.
    pub(super) fn is_sample(&self, network: &str, now: Duration) -> bool {
        self.caller(network).samples.take(SAMPLES_OF_ONE, now).is_ok()
            && self.samples.take(SAMPLES_OF_ALL, now).is_ok()
    }

    fn caller(&self, id: &str) -> Arc<Caller> {
        if let Some(caller) = self.by_id.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Arc::clone(caller);
        }
        let mut by_id = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        if by_id.len() >= CALLERS_MAX && !by_id.contains_key(id) {
            by_id.clear();
        }
        Arc::clone(by_id.entry(id.into()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(callers: &Callers, network: &str, at: u64, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(callers.is_sample(network, Duration::from_secs(at)))).sum()
    }

    #[test]
    fn samples_are_few_for_each_and_few_for_all() {
        let callers = Callers::default();
        assert_eq!(samples(&callers, "", 0, 1_000), 10);
        assert_eq!(samples(&callers, "", 60, 1_000), 10);
        let all: u32 = (0..100).map(|n| samples(&callers, &n.to_string(), 600, 100)).sum();
        assert_eq!(all, 60);
    }

    #[test]
    fn each_network_has_a_rate_of_its_own() {
        let callers = Callers::default();
        let rate = Rate { per_second: 1, burst: 2 };
        for network in ["a", "b"] {
            let admitted = (0..9).filter(|_| callers.admit(network, rate, Duration::ZERO).is_ok()).count();
            assert_eq!(admitted, 2, "{network}");
        }
    }
}
