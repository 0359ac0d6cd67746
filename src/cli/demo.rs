//! `clicklog demo`: everything in one process, with visitors, two networks and a traffic source that are made up.
//!
//! In: how many clicks, how fast, a seed. Out: what happened, whether the books add up, and what to look at; exit 1 where they
//! do not.
//! Keeps: nothing leaves this machine; what was made up does not stay, unless --data says where.
//! Not here: what is served (`world`), who comes (`play`), who is told of it (`source`).

mod play;
mod source;
mod told;
mod wire;
mod world;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Args;
use rustix::process::{Signal, getpid, kill_process};

use super::progress::Progress;
use super::{Failure, Format, url};
use crate::clock::Clock;
use crate::ingest;
use crate::logs;
use crate::serve::{self, Ended, ServeError};
use play::{Plan, Play, Tally};
use source::Source;
use told::Told;
use world::Folder;

/// How long the source is waited for. A delivery that it refused is tried again within some seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it has heard of everything.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Clicks, up to 1000000
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    clicks: u64,
    /// Clicks a second, at most
    #[arg(long, value_name = "R", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Who comes when; the same number brings the same visitors
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where to keep everything: a folder that is empty or not there yet [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen at for visitors and networks [default: a free port of this machine]
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", hide_default_value = true)]
    listen: String,
    /// Address to listen at for operators [default: a free port of this machine]
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", hide_default_value = true)]
    admin: String,
    /// End when everything is told, instead of serving on
    #[arg(long)]
    exit: bool,
    /// How to print what happened
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The daemon, on a thread of its own.
#[derive(Debug)]
struct Stage {
    edge: ingest::Handle,
    visitors: SocketAddr,
    operators: SocketAddr,
    ended: JoinHandle<Result<Ended, ServeError>>,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    // Refusals are part of the play: only what should not be is said.
    logs::start(logs::Format::Auto, logs::Level::Error, Clock::System);
    let folder = Folder::new(arguments.data.as_deref())?;
    let source = Source::start()?;
    let stage = arguments.start(&folder, &source)?;
    let is_text = arguments.format == Format::Text;
    if is_text {
        writeln!(out, "{} clicks at {} a second, seed {}", arguments.clicks, arguments.rate, arguments.seed)?;
        told::write_addresses(out, &stage)?;
        out.flush()?;
    }
    let played = arguments.play(&stage, &source);
    let tally = match played {
        Ok(tally) => tally,
        // Somebody has stopped it, or it has said why it ended.
        Err(error) => match end(stage.ended)? {
            Ended::Stopped | Ended::Now if is_text => {
                writeln!(out, "stopped before the end: {error}")?;
                return Ok(ExitCode::FAILURE);
            }
            _ => return Err(Failure::new(format!("stopped before the end: {error}"))),
        },
    };
    let told = Told::new(arguments.seed, tally, &stage.edge.totals(), source.heard());
    match arguments.format {
        Format::Text => {
            told.write(out)?;
            told::write_report(out, &folder.path)?;
            told::write_links(out, &stage, &folder, arguments.exit)?;
        }
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &told)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    if arguments.exit {
        // The way out that an operator takes too.
        kill_process(getpid(), Signal::TERM)?;
    }
    match end(stage.ended)? {
        Ended::Stopped if told.adds_up => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}

impl Arguments {
    fn start(&self, folder: &Folder, source: &Source) -> Result<Stage, Failure> {
        let (data, catalog) = (folder.path.clone(), folder.write_catalog(source.address)?);
        let (listen, admin) = (self.listen.clone(), self.admin.clone());
        let settings = Box::new(move || world::settings(&data, &catalog, &listen, &admin));
        let daemon = serve::start(settings, Clock::System, &mut |_, _| {}).map_err(super::serve::failure)?;
        let visitors = daemon.addresses().first().copied().unwrap_or_else(|| daemon.admin_address());
        let (edge, operators) = (daemon.edge(), daemon.admin_address());
        let (tell, ready) = sync_channel(1);
        let ended = std::thread::Builder::new().name("daemon".to_owned()).spawn(move || {
            serve::run(daemon, |_| {
                // Whoever waits for this has ended only if the process has.
                let _unheard = tell.send(());
            })
        })?;
        match ready.recv() {
            Ok(()) => Ok(Stage { edge, visitors, operators, ended }),
            Err(_) => Err(match end(ended) {
                Ok(_) => Failure::new("it was stopped before it began"),
                Err(failure) => failure,
            }),
        }
    }

    /// Plays, and waits until the source has heard of all that it is owed.
    fn play(&self, stage: &Stage, source: &Source) -> io::Result<Tally> {
        let clock = Clock::System;
        let plan = Plan { clicks: self.clicks, rate: self.rate, seed: self.seed };
        let mut progress = Progress::new("playing");
        let played = Play::new(plan, stage.visitors)
            .run(&mut |done| progress.tick(done, self.clicks, &format!("{} deliveries", source.taken())));
        progress.end();
        let tally = played?;
        let mut progress = Progress::new("delivering");
        let until = clock.monotonic() + PATIENCE;
        while source.taken() < tally.owed && clock.monotonic() < until && !stage.ended.is_finished() {
            progress.tick(source.taken(), tally.owed, "what was refused is tried again");
            std::thread::sleep(LOOK_INTERVAL);
        }
        progress.end();
        Ok(tally)
    }
}

fn end(daemon: JoinHandle<Result<Ended, ServeError>>) -> Result<Ended, Failure> {
    match daemon.join() {
        Ok(ended) => ended.map_err(super::serve::failure),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Where a stage is, for whoever looks at it.
impl Stage {
    fn edge_url(&self) -> String {
        url(self.visitors)
    }

    fn admin_url(&self) -> String {
        url(self.operators)
    }
}
