//! Version 1 of every record's layout. Frozen once a release has written it: a change is a `schema_v2`.
//!
//! Only integers, byte arrays and vectors of bytes: no layout here depends on a hash, a pointer or a feature
//! of a dependency. The archived sizes are asserted, because another crate in the tree could switch rkyv's
//! format features for all (golden bytes: `tests/fixtures`).

use rkyv::{Archive, Serialize};

use super::text::Joined;

/// Texts of a click, in order: campaign, source, offer, lander, external id, foreign id, host, referrer,
/// user agent, language, client hints, parameters.
pub(super) const CLICK_TEXTS: usize = 12;
/// Texts of a postback: network, method, host, path, query, content type, headers, body.
pub(super) const POSTBACK_TEXTS: usize = 8;
/// Texts of a decision: network, click id, transaction id, event, original status, campaign, offer, source,
/// lander, external id, dedupe key, click parameters, postback parameters.
pub(super) const DECISION_TEXTS: usize = 13;
/// Texts of an outcome: destination, detail.
pub(super) const OUTCOME_TEXTS: usize = 2;
/// Texts of what happened to a destination: its id, detail.
pub(super) const DESTINATION_TEXTS: usize = 2;
/// Texts of a cost update: campaign, source, offer, parameters.
pub(super) const COST_TEXTS: usize = 4;

#[derive(Archive, Serialize)]
pub(super) struct ClickV1<'a> {
    pub(super) time: i64,
    pub(super) cost: i64,
    pub(super) config_version: u64,
    pub(super) parent: u64,
    pub(super) address: [u8; 16],
    pub(super) labels: u32,
    pub(super) asn: u32,
    pub(super) ends: [u16; CLICK_TEXTS],
    pub(super) currency: [u8; 3],
    pub(super) kind: u8,
    pub(super) country: [u8; 2],
    pub(super) address_bits: u8,
    pub(super) flags: u8,
    pub(super) text: Joined<'a>,
}

#[derive(Archive, Serialize)]
pub(super) struct PostbackV1<'a> {
    pub(super) time: i64,
    pub(super) config_version: u64,
    pub(super) address: [u8; 16],
    pub(super) ends: [u32; POSTBACK_TEXTS],
    pub(super) address_bits: u8,
    pub(super) partition: u8,
    pub(super) refused: u16,
    pub(super) text: Joined<'a>,
}

/// Only read, and written again when one is rewritten: decisions are `DecisionV2`, which takes more room.
#[derive(Archive, Serialize)]
pub(super) struct DecisionV1<'a> {
    pub(super) time: i64,
    pub(super) postback: u64,
    pub(super) config_version: u64,
    pub(super) click_time: i64,
    pub(super) cost: i64,
    pub(super) payout: i64,
    pub(super) entry: i64,
    pub(super) conversion_id: [u8; 16],
    pub(super) sequence: u32,
    pub(super) ends: [u32; DECISION_TEXTS],
    pub(super) cost_currency: [u8; 3],
    pub(super) payout_currency: [u8; 3],
    pub(super) result: u8,
    pub(super) status: u8,
    pub(super) partition: u8,
    pub(super) flags: u8,
    pub(super) reason: u16,
    pub(super) text: Joined<'a>,
}

#[derive(Archive, Serialize)]
pub(super) struct OutcomeV1<'a> {
    pub(super) time: i64,
    pub(super) decision: u64,
    pub(super) next_attempt: i64,
    pub(super) delivery_id: [u8; 16],
    pub(super) duration_micros: u32,
    pub(super) ends: [u32; OUTCOME_TEXTS],
    pub(super) attempt: u16,
    pub(super) http_status: u16,
    pub(super) class: u8,
    pub(super) flags: u8,
    pub(super) text: Joined<'a>,
}

#[derive(Archive, Serialize)]
pub(super) struct DestinationV1<'a> {
    pub(super) time: i64,
    pub(super) decision: u64,
    pub(super) ends: [u32; DESTINATION_TEXTS],
    pub(super) change: u8,
    pub(super) text: Joined<'a>,
}

#[derive(Archive, Serialize)]
pub(super) struct CostV1<'a> {
    pub(super) time: i64,
    pub(super) import: u64,
    pub(super) cost: i64,
    pub(super) entry: i64,
    pub(super) ends: [u32; COST_TEXTS],
    pub(super) currency: [u8; 3],
    pub(super) text: Joined<'a>,
}

const _: () = assert!(size_of::<ArchivedClickV1<'_>>() == 96, "the layout of a click is frozen");
const _: () = assert!(size_of::<ArchivedPostbackV1<'_>>() == 80, "the layout of a postback is frozen");
const _: () = assert!(size_of::<ArchivedDecisionV1<'_>>() == 152, "the layout of a decision is frozen");
const _: () = assert!(size_of::<ArchivedOutcomeV1<'_>>() == 72, "the layout of an outcome is frozen");
const _: () = assert!(size_of::<ArchivedDestinationV1<'_>>() == 40, "the layout of these is frozen");
const _: () = assert!(size_of::<ArchivedCostV1<'_>>() == 64, "the layout of a cost update is frozen");
