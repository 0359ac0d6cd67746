//! `clicklog doctor`: whether this machine, these settings and this catalog will do, before somebody's money depends on it.
//!
//! In: settings as a server would take them. Out: a line for each thing that was looked at: what was found and, where it is
//! not as it should be, what to do; exit 1 if something fails.
//! Keeps: nothing is changed, and nothing is sent to anybody: names of destinations are looked up, no more. What is written
//! to try the disk has no name and is gone at the end.

mod disk;
mod machine;
mod outside;

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{Failure, Format, plain, settings};
use crate::clock::Clock;
use crate::config::{self, Served, Settings};
use crate::dispatcher::destinations::Destinations;
use crate::dispatcher::owed::Destination;

/// Warnings of the catalog that are told; of the others there is a number.
const WARNINGS_MAX: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: settings::Given,
    /// Leave out how fast the disk is, which writes 64 MiB
    #[arg(long)]
    no_disk_speed: bool,
    /// How to print the findings
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Warn,
    Fail,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    /// How it is.
    found: String,
    /// What it means, and what to do about it; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, state: State::Ok, found: found.into(), advice: None }
    }

    fn warn(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, state: State::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    fn fail(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, state: State::Fail, found: found.into(), advice: Some(advice.into()) }
    }
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let findings = arguments.look();
    match arguments.format {
        Format::Text => write(out, &findings)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &findings)?;
            writeln!(out)?;
        }
    }
    let worst = findings.iter().map(|finding| finding.state).max();
    Ok(if worst == Some(State::Fail) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Arguments {
    fn look(&self) -> Vec<Finding> {
        let clock = Clock::System;
        let (mut findings, settings) = match self.settings.load() {
            Ok(loaded) => (vec![Finding::ok("settings", "they can be used")], Some(loaded.settings)),
            Err(problems) => {
                let advice = "nothing starts with them: put right what is said above; the rest is looked at by the defaults";
                (vec![Finding::fail("settings", problems.to_string(), advice)], None)
            }
        };
        let is_given = settings.is_some();
        let settings = settings.unwrap_or_default();
        if is_given {
            findings.extend(catalog(&settings));
        }
        findings.extend(machine::all(&settings, &clock));
        findings.extend(disk::all(&settings, !self.no_disk_speed, &clock));
        findings.extend(outside::ports(&settings));
        findings
    }
}

/// The catalog, its templates, and whether its destinations have addresses.
fn catalog(settings: &Settings) -> Vec<Finding> {
    let served = match settings.load_served(0) {
        Ok(served) => served,
        Err(problems) => {
            let advice = "a server would not start with it; put right what is said above";
            return vec![Finding::fail("catalog", problems.to_string(), advice)];
        }
    };
    let Served { catalog, destinations, .. } = &served;
    let (campaigns, offers) = (catalog.campaigns().len(), catalog.offers().len());
    let mut findings = vec![match settings.catalog_path().as_os_str().is_empty() {
        false => Finding::ok("catalog", format!("{campaigns} campaigns, {offers} offers")),
        true => Finding::warn(
            "catalog",
            "the built-in one, for a first look",
            "name your own with --catalog, or as catalog.path in the settings",
        ),
    }];
    for warning in config::all_warnings(catalog, destinations, WARNINGS_MAX) {
        findings.push(Finding::warn("catalog", warning.to_string(), "see ops/CATALOG.md for the key"));
    }
    let all = all_destinations(destinations);
    findings.push(outside::templates(&all, destinations));
    findings.push(outside::names(&all));
    findings
}

/// Every destination of the catalog, each once.
fn all_destinations(destinations: &Destinations) -> Vec<&Destination> {
    let Destinations { global, by_source, by_campaign, by_offer, .. } = destinations;
    let maps = [by_source, by_campaign, by_offer];
    let mut all: Vec<&Destination> =
        global.iter().chain(maps.iter().flat_map(|map| map.values().flatten())).collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

fn write(out: &mut dyn Write, findings: &[Finding]) -> Result<(), Failure> {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    for Finding { what, state, found, advice } in findings {
        let mut lines = found.lines().map(plain);
        writeln!(out, "{:4}  {what:width$}  {}", state.name(), lines.next().unwrap_or_default())?;
        for line in lines.chain(advice.iter().map(|advice| format!("-> {advice}"))) {
            writeln!(out, "{:width$}{line}", "", width = width + 8)?;
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    writeln!(
        out,
        "{} ok, {} to look at, {} that fail",
        count(State::Ok),
        count(State::Warn),
        count(State::Fail)
    )?;
    Ok(())
}
