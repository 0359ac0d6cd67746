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
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Args;
use rustix::process::{Signal, getpid, kill_process};

use super::progress::Progress;
use super::signals::{self, Ending};
use super::{Failure, Format, url};
use crate::clock::Clock;
use crate::ingest;
use crate::logs;
use crate::serve::{self, Ended, ServeError};
use crate::shutdown::{Shutdown, Woken};
use play::{Plan, Play, Tally};
use source::Source;
use told::Told;
use world::Folder;

/// How long the source is waited for. A delivery that it refused is tried again within some seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it has heard of everything.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long a daemon that does not listen any more is waited for.
const LAST_WORDS_MAX: Duration = Duration::from_secs(10);

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
    let asked = Shutdown::default();
    // Before anything is made that is to be taken away again.
    signals::trip(&asked, |ending| {
        // The daemon would take it for a wish to reload, and serve for ever though nobody looks.
        if ending == Ending::HungUp {
            terminate();
        }
    })?;
    let folder = Folder::new(arguments.data.as_deref())?;
    let source = Source::start()?;
    let stage = match arguments.start(&folder, &source, &asked) {
        Ok(stage) => stage,
        Err(failure) => {
            folder.clear();
            return Err(failure);
        }
    };
    let shown = arguments.show(&stage, &folder, &source, &asked, out);
    if arguments.exit || shown.is_err() {
        stage.stop(&asked);
    }
    match (shown, end(stage.ended)) {
        (_, Err(failure)) => Err(failure.advise(folder.left())),
        (Err(failure), Ok(_)) => Err(failure.advise(folder.left())),
        (Ok(adds_up), Ok(ended)) => {
            if arguments.format == Format::Text && !arguments.exit {
                writeln!(out, "\nstopped; {}", folder.left())?;
            }
            Ok(if adds_up && ended == Ended::Stopped { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// The way out that an operator takes too.
fn terminate() {
    // A process can always tell itself.
    let _told = kill_process(getpid(), Signal::TERM);
}

impl Arguments {
    fn start(&self, folder: &Folder, source: &Source, asked: &Shutdown) -> Result<Stage, Failure> {
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
        let is_ready = ready.recv().is_ok();
        let stage = Stage { edge, visitors, operators, ended };
        if is_ready && !asked.is_tripped() {
            return Ok(stage);
        }
        if is_ready {
            // It may have been asked for before the daemon could hear it.
            terminate();
        }
        end(stage.ended)?;
        Err(Failure::new("it was stopped before it began; nothing is left of it"))
    }

    /// Plays, and says what came of it: whether it adds up.
    fn show(
        &self,
        stage: &Stage,
        folder: &Folder,
        source: &Source,
        asked: &Shutdown,
        out: &mut dyn Write,
    ) -> Result<bool, Failure> {
        if self.format == Format::Text {
            writeln!(out, "{} clicks at {} a second, seed {}", self.clicks, self.rate, self.seed)?;
            told::write_addresses(out, stage)?;
            out.flush()?;
        }
        let tally = self.play(stage, source, asked)?;
        let told = Told::new(self.seed, tally, &stage.edge.totals(), source.heard());
        match self.format {
            Format::Text => {
                told.write(out)?;
                told::write_report(out, &folder.path)?;
                told::write_links(out, stage, folder, self.exit)?;
            }
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, &told)?;
                writeln!(out)?;
            }
        }
        out.flush()?;
        Ok(told.adds_up)
    }

    /// Plays, and waits until the source has heard of all that it is owed.
    fn play(&self, stage: &Stage, source: &Source, asked: &Shutdown) -> Result<Tally, Failure> {
        let clock = Clock::System;
        let plan = Plan { clicks: self.clicks, rate: self.rate, seed: self.seed };
        let (mut progress, mut clicks) = (Progress::new("playing"), 0);
        let played = Play::new(plan, stage.visitors, asked.clone()).run(&mut |done| {
            clicks = done;
            progress.tick(done, self.clicks, &format!("{} deliveries", source.taken()));
        });
        progress.end();
        let stopped = || {
            let of = format!("{clicks} of {} clicks, {} deliveries", self.clicks, source.taken());
            Failure::new(format!("stopped before the end, after {of}"))
        };
        let tally = match played {
            Ok(tally) => tally,
            // A signal interrupts a read before anybody else hears of it.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                asked.pause(LAST_WORDS_MAX);
                return Err(stopped());
            }
            Err(_) if asked.is_tripped() => return Err(stopped()),
            Err(error) => return Err(Failure { text: format!("{}: {error}", stopped().text), ..stopped() }),
        };
        let mut progress = Progress::new("delivering");
        let until = clock.monotonic() + PATIENCE;
        while source.taken() < tally.owed && clock.monotonic() < until && !stage.ended.is_finished() {
            progress.tick(source.taken(), tally.owed, "what was refused is tried again");
            if asked.pause(LOOK_INTERVAL) == Woken::Stopped {
                break;
            }
        }
        progress.end();
        if source.taken() < tally.owed && (asked.is_tripped() || stage.ended.is_finished()) {
            return Err(stopped());
        }
        Ok(tally)
    }
}

fn end(daemon: JoinHandle<Result<Ended, ServeError>>) -> Result<Ended, Failure> {
    match daemon.join() {
        Ok(ended) => ended.map_err(super::serve::failure),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

impl Stage {
    /// Has the daemon end, unless it is told so already or does so by itself, as where it cannot write any more.
    fn stop(&self, asked: &Shutdown) {
        let clock = Clock::System;
        let until = clock.monotonic() + LAST_WORDS_MAX;
        let is_alone = |stage: &Self| !asked.is_tripped() && !stage.ended.is_finished();
        // One that cannot be reached may be about to say why.
        while is_alone(self) && TcpStream::connect(self.visitors).is_err() && clock.monotonic() < until {
            asked.pause(LOOK_INTERVAL);
        }
        if is_alone(self) {
            terminate();
        }
    }

    // Where it is, for whoever looks at it.

    fn edge_url(&self) -> String {
        url(self.visitors)
    }

    fn admin_url(&self) -> String {
        url(self.operators)
    }
}
