//! A cost update: what the clicks of one hour cost, as their source says it later.
//!
//! Keeps: what it adds to the sums is written in it (`entry`), so that whoever sums up needs none but this one.

use super::money::{Micros, Money};
use super::params::ParamsRef;
use crate::clock::Timestamp;

/// One hour, UTC, of one key: campaign, source, offer, parameters and currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostUpdate<'a> {
    /// The beginning of the hour.
    pub time: Timestamp,
    /// The chunk of the import that brought it.
    pub import: u64,
    /// What the hour costs from now on, beside what its clicks say themselves.
    pub cost: Money,
    /// What that adds to what the update of this hour and key before it had set; negative if it was more.
    pub entry: Micros,
    /// Campaign id.
    pub campaign: &'a str,
    /// Source id; empty for all.
    pub source: &'a str,
    /// Offer id; empty for all.
    pub offer: &'a str,
    /// Parameters that the clicks have in common.
    pub params: ParamsRef<'a>,
}
