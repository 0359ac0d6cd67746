//! `clicklog load`: clicks of many visitors, to see what a server on this machine stands.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;

use super::{Failure, Format};
use crate::clock::Clock;
use crate::config::duration;
use crate::load::{Fault, Header, Limit, Plan, Report, Target, run as run_load};
use crate::shutdown::Shutdown;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to ask for, as `http://host:port/path`, or `WEIGHT*URL` for one of several. Each request fills the gaps
    /// {visitor}, {random} and n in braces, which is its number
    #[arg(required = true, value_name = "URL")]
    targets: Vec<Target>,
    /// Connections, over all threads
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: u32,
    /// Threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: u32,
    /// How long [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// End after so many requests instead
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    requests: Option<u64>,
    /// Requests per second over all threads; latencies then count from when each was due [default: flat out]
    #[arg(long, value_name = "R")]
    rate: Option<u32>,
    /// Requests under way on one connection
    #[arg(long, value_name = "N", default_value_t = 1)]
    pipeline: u32,
    /// Open a connection for each request
    #[arg(long)]
    close: bool,
    /// Visitors, each with an address (X-Forwarded-For) and a browser of its own
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    visitors: u32,
    /// Who comes when; the same number brings the same requests
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A header for every request; it replaces one of ours
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// Method [default: GET, or POST with a body]
    #[arg(long, value_name = "NAME", value_parser = method)]
    method: Option<Method>,
    /// Body of every request
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    body: String,
    /// How long requests do not count at first
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    warm_up: Duration,
    /// How long a request may take
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    timeout: Duration,
    /// Append the Location of each 302 to this file
    #[arg(long, value_name = "FILE")]
    save_ids: Option<PathBuf>,
    /// Run on this processor only; further threads on the next ones
    #[arg(long, value_name = "N")]
    cpu: Option<u32>,
    /// How to print the report
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let shutdown = Shutdown::default();
    trip_at_interrupt(&shutdown)?;
    let report = run_load(&arguments.plan(), &Clock::System, &shutdown)?;
    print(&report, arguments.format, out)?;
    if report.sent > 0 && report.faults(Fault::Connect) == report.sent {
        out.flush()?;
        let failure = Failure::new("no connection could be made, not one");
        return Err(failure.advise("is a server running there? `clicklog serve` prints where it listens"));
    }
    Ok(if report.has_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    match format {
        Format::Text => writeln!(out, "{report}")?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, report)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

impl Arguments {
    fn plan(&self) -> Plan {
        let mut plan = Plan::new(self.targets.clone());
        match (self.requests, self.duration) {
            (Some(requests), _) => plan.limit = Limit::Requests(requests),
            (None, Some(time)) => plan.limit = Limit::Time(time),
            (None, None) => {}
        }
        Plan {
            headers: self.headers.clone(),
            method: self.method.clone(),
            body: self.body.clone().into_bytes(),
            connections: self.connections,
            threads: self.threads,
            rate: self.rate,
            pipeline: self.pipeline,
            closes: self.close,
            visitors: self.visitors,
            seed: self.seed,
            warm_up: self.warm_up,
            timeout: self.timeout,
            save_ids: self.save_ids.clone(),
            cpu: self.cpu,
            ..plan
        }
    }
}

fn method(text: &str) -> Result<Method, String> {
    let method = text.parse().map_err(|_| "not a method".to_owned())?;
    // What follows the answer would not be HTTP.
    if method == Method::CONNECT {
        Err("CONNECT opens a tunnel, it loads nothing".to_owned())
    } else {
        Ok(method)
    }
}

/// The first Ctrl-C ends the load and shows the report; a second one does not wait for that.
fn trip_at_interrupt(shutdown: &Shutdown) -> Result<(), Failure> {
    let shutdown = shutdown.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        runtime.block_on(async {
            // Without a handler the signal ends the process, as it does by itself.
            if tokio::signal::ctrl_c().await.is_ok() {
                shutdown.trip();
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        });
    })?;
    Ok(())
}
