//! What another tracker's files call our campaigns.
//!
//! In: rows of clicks and costs, whose campaigns may go by an alias. Out: the same rows, of our campaigns.
//! Keeps: what no campaign is called stays as it is, and a source that a row names itself.
//! Why here and not where it is read: then reports have one line for a campaign, before the move and after it, and the
//! campaign's source is told of conversions of clicks that were made before.

use crate::batch::import::{Cost, ImportError, Importer, Names, Row, Sink, Taken};
use crate::clock::Clock;
use crate::config::{Problems, Settings};
use crate::ingest::Catalog;
use crate::store::Store;

/// Gives a click the campaign that it is of, and the source of that.
pub(super) fn settle_click(catalog: &Catalog, row: &mut Row) {
    let Some(campaign) = catalog.campaign(&row.campaign) else { return };
    campaign.id.as_ref().clone_into(&mut row.campaign);
    if let Some(source) = catalog.source(campaign).filter(|_| row.source.is_empty()) {
        source.id.as_ref().clone_into(&mut row.source);
    }
}

/// Gives a cost the campaign that it is of.
pub(super) fn settle_cost(catalog: &Catalog, row: &mut Cost) {
    if let Some(campaign) = catalog.campaign(&row.campaign) {
        campaign.id.as_ref().clone_into(&mut row.campaign);
    }
}

/// What campaigns are called beside their ids.
pub(super) fn names(catalog: &Catalog) -> Names {
    let campaigns = catalog.campaigns().iter();
    let named =
        campaigns.flat_map(|campaign| campaign.aliases.iter().map(|alias| (alias.as_ref(), &campaign.id)));
    named.map(|(alias, id)| (alias.to_owned(), id.to_string())).collect()
}

/// The same, of the catalog of these settings.
///
/// # Errors
/// What is wrong with the catalog.
pub fn campaign_names(settings: &Settings) -> Result<Names, Problems> {
    Ok(names(&settings.load_catalog(1)?))
}

/// A store that no daemon has, for as long as an import of clicks goes.
#[derive(Debug)]
pub struct AloneWithClicks {
    store: Store,
    importer: Importer,
    catalog: Catalog,
}

impl AloneWithClicks {
    /// Opens it, with one lane of its own: those of the workers stay as they are. Nothing is listened at.
    ///
    /// # Errors
    /// What is wrong with the catalog; what opening the store says, `Locked` if a daemon has it.
    pub fn open(settings: &Settings, clock: Clock) -> Result<Self, super::ServeError> {
        let catalog = settings.load_catalog(1)?;
        let store = Store::open(settings.store_options(1, clock.clone()))?;
        let importer = Importer::new(&store, clock).ok_or(super::ServeError::NoLane)?;
        Ok(Self { store, importer, catalog })
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// What closing the store says.
    pub fn close(self) -> Result<(), super::ServeError> {
        self.importer.close();
        Ok(self.store.close()?)
    }
}

impl Sink<Row> for AloneWithClicks {
    fn take(&mut self, mark: u64, rows: &[Row]) -> Result<Taken, ImportError> {
        let mut rows = rows.to_vec();
        rows.iter_mut().for_each(|row| settle_click(&self.catalog, row));
        self.importer.take(mark, &rows)
    }

    fn end(&mut self) -> Result<(), ImportError> {
        self.importer.end()
    }
}
