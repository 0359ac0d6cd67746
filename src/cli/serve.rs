//! `clicklog serve`: everything, until a signal.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;

use super::{Failure, public_url, settings, surroundings, url};
use crate::clock::Clock;
use crate::config;
use crate::logs;
use crate::serve::{self, Daemon, Ended, ServeError};

/// Warnings that are told at the start; of the others there is a number.
const WARNINGS_MAX: usize = 5;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: settings::Given,
}

pub(super) fn run(arguments: Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    // Before there is a second thread: it takes variables out of the environment.
    let surroundings = surroundings::take()?;
    let shows_progress = io::stderr().is_terminal();
    let settings = arguments.settings;
    let log = settings.load().map_err(Failure::configuration)?.settings.log;
    logs::start(log.format, log.level, Clock::System);
    let source = Box::new(move || settings.load().map(|loaded| loaded.settings));
    let mut progress = |done: u64, of: u64| {
        if shows_progress && of > 1 {
            // Progress that cannot be shown is not missed.
            let _unseen = write!(
                io::stderr(),
                "\ropened {done} of {of} segments{}",
                if done == of { "\n" } else { "" }
            );
        }
    };
    let daemon = serve::start_in(surroundings, source, Clock::System, &mut progress).map_err(failure)?;
    let ready = |daemon: &Daemon| {
        // Clicks are taken whether or not anybody reads this.
        let _unread = greet(daemon, out).and_then(|()| out.flush());
    };
    match serve::run(daemon, ready).map_err(failure)? {
        Ended::Stopped => {
            tracing::info!("stopped; everything is sealed");
            Ok(ExitCode::SUCCESS)
        }
        Ended::Now => Ok(ExitCode::FAILURE),
    }
}

pub(super) fn failure(error: ServeError) -> Failure {
    match error {
        ServeError::Configuration(problems) => Failure::configuration(problems),
        ServeError::Inherited(error) => Failure::from(error).of_configuration(),
        ServeError::System { ref source, .. } => {
            let advice = match source.kind() {
                io::ErrorKind::AddrInUse => Some(
                    "somebody listens there already (`clicklog doctor` says who): choose others with --listen and --admin",
                ),
                io::ErrorKind::PermissionDenied => Some(
                    "ports below 1024 are for root and who has CAP_NET_BIND_SERVICE (AmbientCapabilities= in a unit): \
                     choose others with --listen and --admin",
                ),
                _ => None,
            };
            let failure = Failure::from(error);
            match advice {
                Some(advice) => failure.advise(advice),
                None => failure,
            }
        }
        error => error.into(),
    }
}

/// Says where it is and what to try.
fn greet(daemon: &Daemon, out: &mut dyn Write) -> io::Result<()> {
    let settings = daemon.settings();
    let data = settings.store.data.display();
    let admin = url(daemon.admin_address());
    writeln!(out, "clicklog {} is ready", env!("CARGO_PKG_VERSION"))?;
    let listeners = daemon.addresses().iter().zip(&settings.edge.listen);
    let visitors: Vec<_> = listeners.map(|(address, listen)| public_url(*address, listen)).collect();
    for url in &visitors {
        writeln!(out, "  visitors   {url}")?;
    }
    writeln!(out, "  operators  {admin}")?;
    writeln!(out, "  data       {data}")?;
    let path = settings.catalog_path();
    let is_built_in = path.as_os_str().is_empty();
    let named =
        if is_built_in { "built-in, for a first look".to_owned() } else { path.display().to_string() };
    writeln!(out, "  catalog    {named}")?;
    let report = daemon.report();
    if !report.was_clean {
        tracing::warn!(
            "the last stop was not clean: {} records recovered from {} segments, {} damaged bytes kept aside",
            report.recovered_records,
            report.recovered_segments,
            report.damaged_bytes
        );
    }
    let catalog = daemon.catalog();
    for warning in config::warnings(&catalog, WARNINGS_MAX) {
        tracing::warn!("{warning}");
    }
    let Some(edge) = visitors.first() else { return Ok(()) };
    writeln!(out, "\ntry")?;
    if let Some(campaign) = catalog.campaigns().first() {
        let example = if is_built_in { "?zoneid=7&visitor_id=abc123&cost=0.01" } else { "" };
        writeln!(out, "  curl -i '{edge}/c/{}{example}'", campaign.id)?;
    }
    if let Some(network) = catalog.networks().first().filter(|_| is_built_in) {
        let query = "click_id=CLICK_ID&payout=3.50&transaction_id=1";
        writeln!(out, "  curl -i '{edge}/postback/{}?{query}'", network.rules.id)?;
    }
    writeln!(out, "  curl {admin}/metrics")?;
    if let Some(file) = daemon.token_file() {
        writeln!(
            out,
            "  curl -X POST -H \"Authorization: Bearer $(cat {})\" {admin}/-/reload",
            file.display()
        )?;
    }
    Ok(())
}
