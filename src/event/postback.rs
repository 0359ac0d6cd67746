//! A postback: the inbound HTTP call that reports a conversion, as it came.
//!
//! It is the evidence: whatever a wrong mapping made of it, the raw request is here to be applied again.
//! Secrets are masked before it gets here.

use super::click::KeptAddress;
use crate::clock::Timestamp;

/// Partitions that postbacks are spread over, so that their decisions can one day be made by several owners.
pub const PARTITIONS: u8 = 64;

/// One inbound request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Postback<'a> {
    /// When the request was read.
    pub time: Timestamp,
    /// Version of the catalog it was read with.
    pub config_version: u64,
    /// Who called.
    pub address: Option<KeptAddress>,
    /// hash(scope, transaction id) mod `PARTITIONS`.
    pub partition: u8,
    /// 0, or why it was refused before it was applied.
    pub refused: u16,
    /// Network id; empty when no network was recognised.
    pub network: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// Host that was asked.
    pub host: &'a str,
    /// Path, as it came.
    pub path: &'a str,
    /// Query, as it came, without the `?`.
    pub query: &'a str,
    /// `Content-Type` header.
    pub content_type: &'a str,
    /// The other headers, one `name: value` a line.
    pub headers: &'a str,
    /// Body, as it came.
    pub body: &'a [u8],
}

impl Postback<'_> {
    /// Whether what it said was erased (`strip`): then it cannot be decided on again. Every request has a method.
    pub fn is_erased(&self) -> bool {
        self.method.is_empty()
    }
}
