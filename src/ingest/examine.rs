//! A postback looked at without anything happening: for tests of a network's set-up, and to read a kept request again.
//!
//! In: a request as somebody tells of it, or as the journal has it. Out: what it would be taken to say.
//! Keeps: nothing is recorded, counted or looked up; the checks are those of the real way, but for how often somebody calls.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, Request};

use super::catalog::Catalog;
use super::entrance::{Said, enter};
use super::evidence::content_type;
use super::fields::{self, Fault};
use super::front;
use super::network::Network;
use super::postback::entry;
use super::visit::{Fields, Visit};
use crate::apply::claim::{Claim, Evidence, Refusal};
use crate::clock::Timestamp;

/// A request as somebody tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path and query.
    pub target: &'a str,
    /// Its headers, Host among them.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Its body.
    pub body: &'a [u8],
    /// From where it comes.
    pub address: IpAddr,
    /// Whether it comes over TLS.
    pub is_https: bool,
    /// Whether a right client certificate was shown.
    pub has_client_certificate: bool,
    /// When.
    pub time: Timestamp,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// By which check.
    pub refusal: Refusal,
    /// Why, for whoever sent it.
    pub message: String,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { refusal: fault.refusal, message: fault.message }
    }
}

/// What was found about a request.
#[derive(Clone, Debug)]
pub struct Examined {
    /// As it would be kept.
    pub evidence: Evidence,
    /// Its network, if one could be told.
    pub network: Option<Arc<Network>>,
    /// The checks that it passed, and what they found.
    pub passed: Vec<(&'static str, String)>,
    /// What it says, or the first check that it failed.
    pub claim: Result<Claim, Refused>,
}

/// Looks at a request; nothing if it is none that gets as far as the conversion routes.
pub fn examine(catalog: &Catalog, told: &Told<'_>) -> Option<Examined> {
    let headers = told.headers.iter();
    let request = Request::builder().method(told.method).uri(told.target);
    let request = headers.fold(request, |request, (name, value)| request.header(*name, *value));
    let (parts, ()) = request.body(()).ok()?.into_parts();
    if !matches!(parts.method, Method::GET | Method::POST) {
        return None;
    }
    let fields = Fields::of(&parts.headers);
    let host = front::check(&parts.method, &parts.uri, parts.version, &fields).ok()?;
    let Told { address, is_https, has_client_certificate, time, .. } = *told;
    let visit = Visit { parts: &parts, fields, host, address, is_https, has_client_certificate, time };
    let body = if parts.method == Method::POST { told.body } else { b"" };
    let said = Said::of(visit.query(), &content_type(&visit), body);
    let entered = enter(catalog, entry(visit.path()), &visit, (&said, body), None);
    let claim = match (entered.fault, entered.network) {
        (None, Some(network)) => fields::read(network, entered.places, &entered.params, None).claim,
        (fault, _) => Err(fault.unwrap_or_else(|| Refusal::UnknownNetwork.into())),
    };
    Some(Examined {
        evidence: entered.evidence,
        network: entered.network.map(Arc::clone),
        passed: entered.passed,
        claim: claim.map_err(Refused::from),
    })
}

/// What a kept request says by a network's mapping of today. `found` is its click's id where that was found by other means
/// than a parameter, which the request does not show any more.
///
/// # Errors
/// What is missing or malformed.
pub fn reread(
    catalog: &Catalog,
    network: &Network,
    evidence: &Evidence,
    found: Option<&str>,
) -> Result<Claim, Refused> {
    let said = Said::of(&evidence.query, &evidence.content_type, &evidence.body);
    if let Some(bad) = said.bad() {
        return Err(Fault::from(bad).into());
    }
    let params = said.merged(network.query_first);
    let read = fields::read(network, catalog.masks().of(Some(network)), &params, found);
    read.claim.map_err(Refused::from)
}
