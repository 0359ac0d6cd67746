//! What decisions are made by: how one network's postbacks are read and judged.
//!
//! In: what `config` has compiled from the catalog. Out: rules that a request carries with it, so that who decides never
//! looks at a catalog.
//! Not here: who may call (`ingest`), what a rule means (`books`, `key`, `payout`).

use std::time::Duration;

use super::key::{Mode, Scope};
use super::reading::{Mapping, Role};
use crate::event::money::{Micros, Money};

/// How long a postback for a click that nobody knows is looked at again, unless its network says otherwise.
pub const PARK_DEFAULT: Duration = Duration::from_secs(10 * 60);

/// A network, as far as money goes.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its id.
    pub id: Box<str>,
    /// Which of its parameters means what.
    pub mapping: Mapping,
    /// How repeats are treated.
    pub mode: Mode,
    /// Within what a conversion is one.
    pub scope: Scope,
    /// What a postback may pay without being held, in the network's currency (`mapping.currency`).
    pub limits: Limits,
    /// What a postback must say; the click is found by other means where it may be.
    pub required: Vec<Role>,
    /// How long a postback for a click that nobody knows is looked at again; zero is never.
    pub park: Duration,
}

/// Bounds of what counts by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The least.
    pub min: Option<Micros>,
    /// The most.
    pub max: Option<Micros>,
    /// How far from the offer's amount, in hundredths of a percent of it.
    pub tolerance: Option<u32>,
}

impl Limits {
    /// Whether there is any.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What the catalog says of the click that a postback is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long after its click a conversion counts.
    pub window: Duration,
    /// What the offer pays, whatever the postback says; nothing is `auto`.
    pub payout: Option<Money>,
}
