//! What the catalog in use says, for whoever decides without a request at hand.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::catalog::Catalog;
use super::look_up;
use crate::apply::key::Mode;
use crate::apply::ledger::Rulebook;
use crate::apply::rules::Terms;
use crate::event::click::Click;

/// The catalog in use, as the owner of the books asks it.
#[derive(Clone, Debug)]
pub struct CatalogRules(Arc<ArcSwap<Catalog>>);

impl CatalogRules {
    /// Of this catalog, and of whatever takes its place.
    pub fn of(catalog: &Arc<ArcSwap<Catalog>>) -> Self {
        Self(Arc::clone(catalog))
    }
}

impl Rulebook for CatalogRules {
    fn terms(&self, click: &Click<'_>, network: &str) -> (Terms, String) {
        look_up::terms_of(&self.0.load(), network, Some(click))
    }

    fn mode(&self, network: &str) -> Mode {
        self.0.load().network(network).map(|network| network.rules.mode).unwrap_or_default()
    }
}
