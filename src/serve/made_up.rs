//! A made-up postback: what each step would make of it, for whoever sets a network up.
//!
//! In: a network, a click, parameters. Out: the steps, in the order that a real one takes them, what would be decided, and
//! what would be sent to whom.
//! Keeps: nothing that counts, and nothing is sent. A dry run keeps nothing at all; otherwise the postback and its decision
//! are in the journal as tests.

use serde::Serialize;

use super::would_tell::{self, WouldTell};
use crate::admin::PostbackTest;
use crate::apply::claim::{Effect, Request, Submission};
use crate::apply::reading::Role;
use crate::apply::{explain, ledger};
use crate::clock::Timestamp;
use crate::dispatcher::destinations::Destinations;
use crate::event::percent_encoded;
use crate::event::postback::Postback;
use crate::ingest::{self, Catalog, Network};
use crate::store::Store;

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct MadeUp {
    /// Whether it was kept as a test.
    is_kept: bool,
    steps: Vec<Step>,
    /// What would be concluded; nothing where it would be refused.
    verdict: Option<&'static str>,
    reason: Option<&'static str>,
    /// Whom it would lead to.
    deliveries: Vec<WouldTell>,
}

/// What is asked on the way.
pub(super) struct Means<'a> {
    pub(super) catalog: &'a Catalog,
    /// Nothing where nothing is ever sent.
    pub(super) destinations: Option<&'a Destinations>,
    pub(super) edge: &'a ingest::Handle,
    pub(super) books: &'a ledger::Handle,
    pub(super) store: &'a Store,
}

#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    found: String,
}

fn step(step: &'static str, found: impl Into<String>) -> Step {
    Step { step, found: found.into() }
}

/// Goes through the steps.
///
/// # Errors
/// No network is called that; or it could not be kept.
pub(super) fn go(test: &PostbackTest, means: &Means<'_>, now: Timestamp) -> Result<MadeUp, String> {
    let Means { catalog, edge, books, .. } = means;
    let network = catalog.network(&test.network).ok_or_else(|| format!("no network \"{}\"", test.network))?;
    let query = query(test, network);
    let mut steps = vec![
        step("network", format!("{}, by its name", network.rules.id)),
        step("request", format!("GET /postback/{}?{query}", network.rules.id)),
        step("secret", asked(network)),
    ];
    let path = format!("/postback/{}", network.rules.id);
    let postback = Postback {
        time: now,
        network: &test.network,
        method: ingest::MADE_UP,
        path: &path,
        query: &query,
        ..Postback::default()
    };
    let submission = match edge.read_again(&postback, None) {
        Ok(submission) => submission,
        Err(refusal) => {
            steps.push(step("refused", format!("{}: {refusal}", refusal.name())));
            let deliveries = Vec::new();
            return Ok(MadeUp { is_kept: false, steps, verdict: None, reason: None, deliveries });
        }
    };
    steps.extend(read(&submission));
    let effect = if test.dry_run { Effect::DryRun } else { Effect::Test };
    let submission = Box::new(Submission { effect, ..submission });
    let reply = books.submit(Request::Postback(submission)).map_err(|error| error.to_string())?;
    let ruling = reply.wait().map_err(|error| error.to_string())?.into_inner();
    let (verdict, reason) = ruling.would.unwrap_or((ruling.verdict, ruling.reason));
    steps.push(step("decision", explain::ruling(&ruling)));
    let reason = Some(reason.name()).filter(|reason| !reason.is_empty());
    let deliveries = match (means.destinations, &ruling.imagined) {
        (Some(destinations), Some(imagined)) => would_tell::all(imagined, destinations, means.store, now),
        _ => Vec::new(),
    };
    steps.push(step("deliveries", told(means, &deliveries)));
    let is_kept = ruling.postback.is_some();
    Ok(MadeUp { is_kept, steps, verdict: Some(verdict.name()), reason, deliveries })
}

/// Who would be told, in short.
fn told(means: &Means<'_>, deliveries: &[WouldTell]) -> String {
    let wanted = deliveries.iter().filter(|of| of.is_wanted()).count();
    match (means.destinations, deliveries.len()) {
        (None, _) => "none: dispatcher.enabled is false".to_owned(),
        (Some(_), 0) => "none: no postback is in the catalog for it".to_owned(),
        (Some(_), count) => {
            format!("{wanted} of {count} destinations would be told; for a test nothing is sent")
        }
    }
}

/// As the network would send it, by the first name of each of its parameters.
fn query(test: &PostbackTest, network: &Network) -> String {
    let mapping = &network.rules.mapping;
    let name = |role| mapping.names(role).first().map(AsRef::<str>::as_ref);
    let is_given = |role| {
        let mut names = mapping.names(role).iter();
        names.any(|name| test.params.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)))
    };
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    if let (Some(name), Some(click)) = (name(Role::ClickId), &test.click) {
        pairs.push((name, click));
    }
    if let Some(name) = name(Role::TransactionId).filter(|_| !is_given(Role::TransactionId)) {
        pairs.push((name, "test"));
    }
    pairs.extend(test.params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)))
        .collect();
    pairs.join("&")
}

/// How a real one would have to show who it is.
fn asked(network: &Network) -> String {
    let access = &network.access;
    let mut asked = Vec::new();
    if !access.secrets.is_empty() {
        let params = access.secret_params.iter().map(|name| format!("parameter {name}"));
        let headers = access.secret_headers.iter().map(|name| format!("header {name}"));
        let places: Vec<String> = params.chain(headers).collect();
        asked.push(format!("a secret, as {}", places.join(" or ")));
    }
    if access.signature.is_some() {
        asked.push("a signature".to_owned());
    }
    if !access.allow.is_empty() {
        asked.push(format!("one of {} addresses", access.allow.len()));
    }
    match asked.is_empty() {
        true => "none is asked for".to_owned(),
        false => format!("{}; passed over for a test", asked.join(", ")),
    }
}

fn read(submission: &Submission) -> Vec<Step> {
    let Submission { claim, subject, terms, .. } = submission;
    let payout =
        claim.payout.map_or_else(|| "none".to_owned(), |payout| format!("{payout} {}", claim.currency));
    let pays = terms.payout.map_or_else(
        || "what the postback says".to_owned(),
        |money| format!("{} {}", money.amount, money.currency),
    );
    vec![
        step("fields", format!("{}, payout {payout}", explain::claim(claim))),
        step("click", explain::subject(subject)),
        step(
            "terms",
            format!("the offer pays {pays}, up to {} days after the click", terms.window.as_secs() / 86_400),
        ),
    ]
}
