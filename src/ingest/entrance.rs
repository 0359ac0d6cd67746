//! Who reports a conversion, and whether they may.
//!
//! In: a request with its body. Out: its parameters, its network, the evidence, and the first check that it fails: body,
//! network, and then who it is (`access`). How often, and what is said, come after (`postback`, `fields`).
//! Keeps: pure but for what it is given; whatever is wrong with a request, there is evidence of it, without secrets.

use std::sync::Arc;

use super::access::{self, Passed, Shown};
use super::body::{self, BadBody};
use super::catalog::Catalog;
use super::doors::{self, Doorway, Entry, Met};
use super::evidence::Places;
use super::fields::{Fault, shortened};
use super::network::{DoorKind, Network};
use super::visit::Visit;
use crate::apply::claim::{Evidence, Refusal};
use crate::event::params::{Params, Source};

/// The parameter that makes a postback a test.
const TEST_PARAM: &str = "test";
/// Bytes of a network's name that are shown to whoever called it so.
const NAME_BYTES_MAX: usize = 64;

/// Whether a request with these parameters asks to be only tested.
pub(super) fn is_test(params: &Params) -> bool {
    params.get(TEST_PARAM) == Some("1")
}

/// See the module.
pub(super) struct Entered<'a> {
    pub(super) kind: DoorKind,
    /// Nothing where none could be told.
    pub(super) network: Option<&'a Arc<Network>>,
    /// All of them; of two by one name, the one that counts first.
    pub(super) params: Params,
    pub(super) places: Places<'a>,
    pub(super) evidence: Evidence,
    /// The first check that failed.
    pub(super) fault: Option<Fault>,
    /// Whether the caller has shown who it is: its request is kept whole, whatever else is wrong with it.
    pub(super) is_known: bool,
    /// Whether it asks to be only tested.
    pub(super) is_test: bool,
    pub(super) passed: Passed,
}

impl Entered<'_> {
    /// Notes what one more step has found, for a test: nobody else is told.
    pub(super) fn note(&mut self, step: &'static str, found: impl FnOnce() -> String) {
        if self.is_test {
            self.passed.push((step, found()));
        }
    }
}

/// What a request says, where it says it.
pub(super) struct Said {
    query: Params,
    body: Params,
    bad: Option<BadBody>,
}

impl Said {
    pub(super) fn of(query: &str, content_type: &str, body: &[u8]) -> Self {
        let query = Params::parse(query.as_bytes(), Source::Query);
        let mut in_body = Params::default();
        let bad = body::parse_into(&mut in_body, content_type, body).err();
        Self { query, body: in_body, bad }
    }

    pub(super) fn is_bad(&self) -> bool {
        self.bad.is_some()
    }

    /// All of it, the one that counts first.
    pub(super) fn merged(&self, query_first: bool) -> Params {
        let (first, second) = if query_first { (&self.query, &self.body) } else { (&self.body, &self.query) };
        let mut merged = first.clone();
        for (name, value) in second.iter() {
            merged.push(name, value);
        }
        if second.dropped() > 0 {
            // What was too long there is too long here.
            merged.push(&"x".repeat(usize::from(u16::MAX)), "");
        }
        merged
    }

    /// What is wrong with the body.
    pub(super) fn bad(&self) -> Option<BadBody> {
        self.bad
    }

    /// Of the query and of the body.
    pub(super) fn both(&self) -> [&Params; 2] {
        [&self.query, &self.body]
    }
}

/// Looks at a request, which says this in its query and its body. `preferred` is the network that is meant where the request
/// itself does not say.
pub(super) fn enter<'a>(
    catalog: &'a Catalog,
    entry: Entry<'a>,
    visit: &Visit<'a>,
    (said, body): (&Said, &[u8]),
    preferred: Option<&str>,
) -> Entered<'a> {
    let both = said.both();
    let is_shown = |doorway: &Doorway<'_>| {
        let shown = Shown { params: &both, headers: visit.headers(), segment: doorway.secret };
        access::is_shown(&doorway.network.access, shown) == Some(true)
    };
    let met = doors::meet(catalog, entry, (visit.path(), visit.host), &both, is_shown);
    let met = met.or_else(|kind| {
        let network = preferred.and_then(|id| catalog.network(id)).ok_or(kind)?;
        Ok(Met { network, kind, secret: None, by: "the click" })
    });
    let (network, kind) = match met {
        Ok(met) => (Some(met.network), met.kind),
        Err(kind) => (None, kind),
    };
    let places = catalog.masks().of(network.map(AsRef::as_ref));
    let evidence = places.evidence(visit, (kind, &catalog.doors_at(visit.path())), body, catalog.version());
    let mut passed = Passed::new();
    let checked = match &met {
        Err(_) => Err(Refusal::UnknownNetwork),
        Ok(met) => {
            passed.push(("network", format!("{}, by {}", met.network.rules.id, met.by)));
            let shown = Shown { params: &both, headers: visit.headers(), segment: met.secret };
            access::check(met.network, kind, visit, shown, (&said.query, body), &mut passed)
        }
    };
    let fault = match said.bad {
        // A body that cannot be read comes first, and whether its sender is known decides only what is kept of it.
        Some(bad) => Some(bad.into()),
        None => checked.err().map(|refusal| match (refusal, entry) {
            (Refusal::UnknownNetwork, Entry::Postback(Some(name))) => {
                let name = shortened(name, NAME_BYTES_MAX);
                Fault { message: format!("no network is called \"{name}\""), ..refusal.into() }
            }
            (Refusal::UnknownNetwork, Entry::Postback(None)) => {
                let message = "no network is recognised: say which, as /postback/NETWORK or network=NETWORK";
                Fault { message: message.to_owned(), ..refusal.into() }
            }
            _ => refusal.into(),
        }),
    };
    let params = said.merged(network.is_some_and(|network| network.query_first));
    let is_test = is_test(&params);
    Entered { kind, network, params, places, evidence, fault, is_known: checked.is_ok(), is_test, passed }
}
