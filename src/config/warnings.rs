//! What is allowed and yet looks like a mistake.

use super::destinations::looks_wrong;
use crate::dispatcher::destinations::Destinations;
use crate::event::template::Known;
use crate::ingest::{Catalog, Offer, Secret};

/// Bytes of a secret that is not told to be longer.
const SECRET_BYTES_ENOUGH: usize = 8;

/// What an operator should look at, a sentence each; at most `max` of them, and then how many more there are.
pub fn warnings(catalog: &Catalog, max: usize) -> Vec<String> {
    cut(of_catalog(catalog), max)
}

/// As `warnings`, with those of destinations.
pub fn all(catalog: &Catalog, destinations: &Destinations, max: usize) -> Vec<String> {
    let mut all = of_catalog(catalog);
    all.extend(looks_wrong(destinations));
    cut(all, max)
}

fn cut(mut all: Vec<String>, max: usize) -> Vec<String> {
    let more = all.len().saturating_sub(max);
    if more > 0 {
        all.truncate(max);
        all.push(format!("and {more} more"));
    }
    all
}

fn of_catalog(catalog: &Catalog) -> Vec<String> {
    let offers = catalog.offers().iter().filter_map(offer);
    let campaigns = catalog.campaigns().iter().filter_map(|campaign| {
        let leads_nowhere =
            campaign.offers.is_empty() && campaign.landers.is_empty() && campaign.fallback.is_none();
        leads_nowhere.then(|| {
            format!(
                "campaign \"{}\" has no offer, no lander and no fallback_url: its clicks end at a 404",
                campaign.id
            )
        })
    });
    let networks = catalog.networks().iter().filter_map(|network| {
        let shortest = network.access.secrets.iter().map(Secret::bytes).min()?;
        (shortest < SECRET_BYTES_ENOUGH).then(|| {
            let id = &network.rules.id;
            format!(
                "network \"{id}\" has a secret of {shortest} bytes: fewer than {SECRET_BYTES_ENOUGH} can be guessed"
            )
        })
    });
    offers.chain(campaigns).chain(networks).collect()
}

/// What is wrong with an offer's URL: without the click id in it, no conversion can ever name its click.
pub fn offer(offer: &Offer) -> Option<String> {
    (!offer.url.uses(Known::ClickId)).then(|| {
        format!(
            "offer \"{}\" has no {{click_id}} in its url: its conversions cannot be matched to clicks",
            offer.id
        )
    })
}
