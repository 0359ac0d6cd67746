//! Version 2 of the layout of a decision: what the next decision and every delivery need to know is in it. Frozen as
//! version 1 is (`schema_v1`). Other records have no version 2.

use rkyv::{Archive, Serialize};

use super::text::Joined;

/// Texts of a decision: those of version 1, then part key, user agent, referrer, language.
pub(super) const DECISION_TEXTS: usize = super::schema_v1::DECISION_TEXTS + 4;

#[derive(Archive, Serialize)]
pub(super) struct DecisionV2<'a> {
    pub(super) time: i64,
    pub(super) postback: u64,
    pub(super) previous: u64,
    pub(super) click: u64,
    pub(super) config_version: u64,
    pub(super) click_time: i64,
    pub(super) cost: i64,
    pub(super) payout: i64,
    pub(super) entry: i64,
    pub(super) standing: StandingV2,
    pub(super) part: StandingV2,
    pub(super) conversion_id: [u8; 16],
    pub(super) address: [u8; 16],
    pub(super) sequence: u32,
    pub(super) labels: u32,
    pub(super) ends: [u32; DECISION_TEXTS],
    pub(super) cost_currency: [u8; 3],
    pub(super) payout_currency: [u8; 3],
    pub(super) country: [u8; 2],
    pub(super) address_bits: u8,
    pub(super) result: u8,
    pub(super) status: u8,
    pub(super) partition: u8,
    pub(super) flags: u8,
    pub(super) reason: u16,
    pub(super) text: Joined<'a>,
}

#[derive(Archive, Serialize)]
pub(super) struct StandingV2 {
    pub(super) approved: i64,
    pub(super) reversed: i64,
    pub(super) held: i64,
    pub(super) currency: [u8; 3],
    pub(super) flags: u8,
}

const _: () = assert!(size_of::<ArchivedStandingV2>() == 32, "the layout of a standing is frozen");
const _: () = assert!(size_of::<ArchivedDecisionV2<'_>>() == 272, "the layout of a decision is frozen");
