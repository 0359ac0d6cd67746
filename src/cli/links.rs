//! `clicklog links`: what to paste where, for one campaign.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, settings};
use crate::config;
use crate::event::nearest::nearest;
use crate::ingest::{Campaign, Catalog};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Id or alias of the campaign
    campaign: String,
    /// Where visitors reach this tracker [default: the first address that it listens at]
    #[arg(long, value_name = "URL")]
    base: Option<String>,
    #[command(flatten)]
    settings: settings::Given,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let settings = arguments.settings.load().map_err(Failure::configuration)?.settings;
    let catalog = settings.load_catalog(0).map_err(Failure::configuration)?;
    let campaign =
        catalog.campaign(&arguments.campaign).ok_or_else(|| unknown(&arguments.campaign, &catalog))?;
    let listens = settings.edge.listen.first().map(|listen| super::url(listen.address));
    let base = arguments.base.clone().or(listens).unwrap_or_default();
    write(out, base.trim_end_matches('/'), &catalog, campaign)?;
    Ok(ExitCode::SUCCESS)
}

fn unknown(name: &str, catalog: &Catalog) -> Failure {
    let names = catalog.campaigns().iter().map(|campaign| &*campaign.id);
    let hint = nearest(name, names).map_or(String::new(), |near| format!(", did you mean \"{near}\"?"));
    Failure::new(format!("no campaign \"{name}\"{hint}"))
}

fn write(out: &mut dyn Write, base: &str, catalog: &Catalog, campaign: &Campaign) -> Result<(), Failure> {
    let id = &campaign.id;
    writeln!(out, "click URL, for the traffic source (in place of each {{…}} its own token)")?;
    writeln!(out, "  {base}/c/{id}{}", query(catalog, campaign))?;
    if !campaign.landers.is_empty() {
        writeln!(out, "\nlinks to the offers, for the landing page")?;
        writeln!(out, "  {base}/out")?;
        if campaign.offers.len() > 1 {
            for (number, offer) in (1..).zip(campaign.offers.iter()) {
                let name = catalog.offer(*offer).map_or("", |offer| &offer.id);
                writeln!(out, "  {base}/out/{number}   {name}")?;
            }
        }
    }
    writeln!(out, "\nscript, for a landing page that visitors reach without the click URL")?;
    writeln!(out, "  <script src=\"{base}/t.js\" data-campaign=\"{id}\" async></script>")?;
    let offers = campaign.offers.iter().filter_map(|offer| catalog.offer(*offer));
    for warning in offers.filter_map(config::offer_warning) {
        writeln!(out, "\nwarning: {warning}")?;
    }
    Ok(())
}

/// The parameters that the campaign's source can fill.
fn query(catalog: &Catalog, campaign: &Campaign) -> String {
    let Some(source) = catalog.source(campaign) else { return String::new() };
    let picked = [source.external_id.as_deref(), source.cost.as_deref()];
    let renamed = source.params.iter().map(|(theirs, _)| &**theirs);
    let pairs: Vec<String> =
        picked.into_iter().flatten().chain(renamed).map(|name| format!("{name}={{{name}}}")).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}
