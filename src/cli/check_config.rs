//! `clicklog check-config`: whether a server would take these settings and this catalog; nothing is changed or opened.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, settings};
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
    let config::Served { catalog, destinations, .. } = &served;
    for warning in config::all_warnings(catalog, destinations, WARNINGS_MAX) {
        writeln!(out, "warning: {warning}")?;
    }
    let (campaigns, offers) = (catalog.campaigns().len(), catalog.offers().len());
    writeln!(out, "settings, lists and catalog are good: {campaigns} campaigns, {offers} offers")?;
    Ok(ExitCode::SUCCESS)
}
