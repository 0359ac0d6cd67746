//! All destinations of a catalog: an immutable snapshot, swapped whole by a reload.
//!
//! In: destinations by level, as `config` compiles them. Out: those of a decision, and what belongs to a destination as
//! a whole, whichever level names it.
//! Not here: how far each has come (`progress`), how its deliveries are sent (`outbound`).

use std::collections::HashMap;
use std::sync::Arc;

use super::outbound::{Outbound, Secrets};
use super::owed::{Destination, Levels};
use crate::event::decision::Decision;
use crate::meter::Allowance;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Destinations {
    /// The catalog's version.
    pub version: u64,
    /// For every decision.
    pub global: Vec<Destination>,
    /// By the source that they belong to.
    pub by_source: HashMap<Box<str>, Vec<Destination>>,
    /// By campaign.
    pub by_campaign: HashMap<Box<str>, Vec<Destination>>,
    /// By offer.
    pub by_offer: HashMap<Box<str>, Vec<Destination>>,
    /// What belongs to a destination as a whole, by its id. Every id that is named anywhere is here.
    pub limits: HashMap<Box<str>, Limits>,
    /// What belongs to a site (`outbound::site_of`), where the catalog says something of it.
    pub sites: HashMap<Box<str>, SiteLimits>,
    /// What templates may name.
    pub secrets: Secrets,
}

/// What a destination takes, whichever level names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// So often.
    pub rate: Option<Allowance>,
    /// So many attempts in a day of UTC.
    pub daily: Option<u64>,
    /// So many at once; no more than `concurrency::LIMIT_MAX` count.
    pub concurrency: Option<u32>,
}

/// What a site takes, of all destinations together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteLimits {
    /// So often.
    pub rate: Option<Allowance>,
    /// So many at once, instead of what the settings say for each.
    pub concurrency: Option<u32>,
}

impl Destinations {
    /// The destinations that a decision's place in the catalog has.
    pub fn levels(&self, decision: &Decision<'_>) -> Levels<'_> {
        self.levels_of(decision.source, decision.campaign, decision.offer)
    }

    /// The same, of a place by its names.
    pub fn levels_of(&self, source: &str, campaign: &str, offer: &str) -> Levels<'_> {
        Levels {
            global: &self.global,
            source: self.by_source.get(source).map_or(&[], Vec::as_slice),
            campaign: self.by_campaign.get(campaign).map_or(&[], Vec::as_slice),
            offer: self.by_offer.get(offer).map_or(&[], Vec::as_slice),
        }
    }

    /// How the destination called `id` is told of a decision, as the most specific level says it; nothing if none names
    /// it any more.
    pub fn find(&self, decision: &Decision<'_>, id: &str) -> Option<&Destination> {
        let Levels { global, source, campaign, offer } = self.levels(decision);
        [offer, campaign, source, global].into_iter().flatten().find(|destination| *destination.id == *id)
    }

    /// How all of them are told, over all levels.
    pub fn outbounds(&self) -> impl Iterator<Item = &Arc<Outbound>> {
        let maps = [&self.by_source, &self.by_campaign, &self.by_offer];
        let levels = maps.into_iter().flat_map(HashMap::values);
        std::iter::once(&self.global).chain(levels).flatten().map(|destination| &destination.outbound)
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }
}
