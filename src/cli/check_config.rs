//! `clicklog check-config`: whether a server would take these settings and this catalog; nothing is changed or opened.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, settings};
use crate::clock::Clock;
use crate::config;

/// Warnings that are told; of the others there is a number.
const WARNINGS_MAX: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: settings::Given,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let settings = arguments.settings.load().map_err(Failure::configuration)?.settings;
    let served = settings.load_served(0).map_err(Failure::configuration)?;
    let shown = config::certificates::load(&config::certificates::Places::of(&settings))
        .map_err(Failure::configuration)?;
    settings.authority().map_err(Failure::configuration)?;
    // A server would start with them, rather than not at all; whoever checks can do something about it first.
    config::certificates::check_times(&shown, Clock::System.now()).map_err(Failure::configuration)?;
    let config::Served { catalog, destinations, .. } = &served;
    for warning in config::all_warnings(catalog, destinations, WARNINGS_MAX) {
        writeln!(out, "warning: {warning}")?;
    }
    #[cfg(feature = "parquet")]
    if let Some(export) = settings.unkept_export() {
        let export = export.display();
        writeln!(out, "warning: compactor.enabled is false: nothing in {export} is erased or goes with age")?;
    }
    let (campaigns, offers) = (catalog.campaigns().len(), catalog.offers().len());
    writeln!(out, "settings, lists and catalog are good: {campaigns} campaigns, {offers} offers")?;
    Ok(ExitCode::SUCCESS)
}
