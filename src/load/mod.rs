//! A load generator for HTTP/1.1 on the same machine: clicks of many visitors, flat out or at a steady rate.
//!
//! In: a `Plan`. Out: a `Report`.
//! Keeps: the books balance: what was sent is what was answered plus what failed, each way counted. With a rate,
//! latencies count from when a request was due (see `turns`).
//! Refuses: https, URLs at different addresses, a plan out of bounds.
//! Not here: the command line (`cli`). No TLS, no HTTP/2, no redirects followed: those would measure something else.
//!
//! Each thread runs a runtime of its own, and shares nothing with the others but the plan.

mod alarm;
mod connection;
mod plan;
mod report;
mod request;
mod response;
mod saved;
mod tally;
mod target;
mod turns;
pub(crate) mod visitor;

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::runtime::{Builder, LocalOptions};

use self::alarm::Alarm;
use self::connection::{Connection, Shared};
use self::request::Requests;
use self::saved::Saved;
use self::tally::Tally;
use self::turns::{Part, Times, Turns};
use crate::clock::Clock;
use crate::shutdown::Shutdown;

pub use self::plan::{
    CONNECTIONS_MAX, Limit, LoadError, PIPELINE_MAX, Plan, RATE_MAX, TARGETS_MAX, THREADS_MAX, TIME_MAX,
};
pub use self::report::{Quantiles, Report};
pub use self::tally::Fault;
pub use self::target::{Header, Target, TargetError, WEIGHT_MAX};
pub use self::visitor::VISITORS_MAX;

/// How often a thread looks whether somebody wants it to stop.
const LOOK: Duration = Duration::from_millis(25);
/// How long an address may take to prove that it is the right one of several.
const PROBE: Duration = Duration::from_secs(1);

/// Follows the plan to its end, or until `shutdown` is tripped: then the report is of what was so far.
///
/// # Errors
/// If the plan cannot be followed. A server that is away or refuses is no error: that stands in the report.
pub fn run(plan: &Plan, clock: &Clock, shutdown: &Shutdown) -> Result<Report, LoadError> {
    plan.check()?;
    let address = address(&plan.targets)?;
    let times = Times::new(plan, clock.monotonic());
    let parts = (0..plan.threads).map(|index| Part { index, of: plan.threads });
    let ended: Vec<Result<Ended, LoadError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .map(|part| {
                let thread = Thread { plan, times, part, address, clock, shutdown };
                std::thread::Builder::new().name(format!("load-{}", part.index)).spawn_scoped(
                    scope,
                    move || {
                        let ended = thread.run();
                        if ended.is_err() {
                            // Half a load is not the one that was asked for.
                            shutdown.trip();
                        }
                        ended
                    },
                )
            })
            .collect();
        let join = |thread: io::Result<std::thread::ScopedJoinHandle<'_, _>>| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(error) => {
                shutdown.trip();
                Err(LoadError::Thread(error))
            }
        };
        threads.into_iter().map(join).collect()
    });
    let (mut tally, mut unsent) = (Tally::new(), 0);
    for ended in ended {
        let ended = ended?;
        tally.add(&ended.tally);
        unsent += ended.unsent;
    }
    let ended = Ended { tally, unsent };
    Ok(Report::new(plan, times, ended, clock.monotonic(), shutdown.is_tripped()))
}

/// What a thread leaves, or all of them.
#[derive(Debug)]
struct Ended {
    tally: Tally,
    /// Requests of the schedule that were never sent.
    unsent: u64,
}

/// What a thread begins with.
#[derive(Clone, Copy, Debug)]
struct Thread<'a> {
    plan: &'a Plan,
    times: Times,
    part: Part,
    address: SocketAddr,
    clock: &'a Clock,
    shutdown: &'a Shutdown,
}

impl Thread<'_> {
    fn run(self) -> Result<Ended, LoadError> {
        self.pin()?;
        let path = self.plan.save_ids.as_deref();
        let failed = |source| {
            let path = path.map(PathBuf::from).unwrap_or_default();
            LoadError::SaveIds { path, source }
        };
        let saved = path.map(Saved::open).transpose().map_err(failed)?;
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = runtime.map_err(LoadError::Thread)?;
        let shared = Rc::new(self.shared(saved));
        runtime.block_on(self.drive(&shared)).map_err(LoadError::Thread)?;
        // Drops the tasks, and with them all that holds `shared`.
        drop(runtime);
        let Some(shared) = Rc::into_inner(shared) else { unreachable!("all tasks have been dropped") };
        if let Some(saved) = shared.saved {
            saved.into_inner().finish().map_err(failed)?;
        }
        Ok(Ended { tally: shared.tally.into_inner(), unsent: shared.turns.untaken() })
    }

    fn pin(&self) -> Result<(), LoadError> {
        let Some(first) = self.plan.cpu else { return Ok(()) };
        let cpu = first.saturating_add(self.part.index);
        let failed = |source| LoadError::Processor { cpu, source };
        let mut set = CpuSet::new();
        let index = usize::try_from(cpu).unwrap_or(usize::MAX);
        if index >= CpuSet::MAX_CPU {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        set.set(index);
        sched_setaffinity(None, &set).map_err(|error| failed(error.into()))
    }

    fn shared(&self, saved: Option<Saved>) -> Shared {
        let plan = self.plan;
        Shared {
            clock: self.clock.clone(),
            address: self.address,
            requests: Requests::new(plan),
            turns: Rc::new(Turns::new(plan, self.times, self.part, self.clock.clone())),
            tally: RefCell::new(Tally::new()),
            saved: saved.map(RefCell::new),
            timeout: plan.timeout,
            pipeline: usize::try_from(plan.pipeline).unwrap_or(1),
            closes: plan.closes,
            is_head: plan.method() == Method::HEAD,
        }
    }

    /// Runs this thread's connections until each has come to its end.
    async fn drive(&self, shared: &Rc<Shared>) -> io::Result<()> {
        tokio::task::spawn_local(Rc::clone(&shared.turns).keep_pace(Alarm::new()?));
        let (turns, shutdown) = (Rc::clone(&shared.turns), self.shutdown.clone());
        tokio::task::spawn_local(async move {
            loop {
                if shutdown.is_tripped() {
                    turns.interrupt();
                }
                turns.end_in_time();
                tokio::time::sleep(LOOK).await;
            }
        });
        let connections = 0..self.part.share(self.plan.connections.into());
        let run = |_| tokio::task::spawn_local(Connection::new(Rc::clone(shared)).run());
        let connections: Vec<_> = connections.map(run).collect();
        for connection in connections {
            connection.await.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// The one address of all URLs. Of several (`localhost` may be two) the first that takes a connection.
fn address(targets: &[Target]) -> Result<SocketAddr, LoadError> {
    let mut common: Option<(&Target, Vec<SocketAddr>)> = None;
    for target in targets {
        let found = resolve(target)?;
        match &mut common {
            None => common = Some((target, found)),
            Some((first, addresses)) => {
                addresses.retain(|address| found.contains(address));
                if addresses.is_empty() {
                    return Err(LoadError::Apart(first.to_string(), target.to_string()));
                }
            }
        }
    }
    let addresses = common.map(|(_, addresses)| addresses).unwrap_or_default();
    let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, PROBE).is_ok();
    let found = match addresses.as_slice() {
        [only] => Some(only),
        // A server that is away shows in the report.
        several => several.iter().find(answers).or(several.first()),
    };
    match found {
        Some(address) => Ok(*address),
        None => unreachable!("a plan that was checked has a URL, and each is at some address"),
    }
}

fn resolve(target: &Target) -> Result<Vec<SocketAddr>, LoadError> {
    let authority = &target.authority;
    let unresolved = |source| LoadError::Unresolved { authority: authority.to_string(), source };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(80);
    let found: Vec<_> = (host, port).to_socket_addrs().map_err(unresolved)?.collect();
    if found.is_empty() { Err(unresolved(io::ErrorKind::NotFound.into())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(urls: &[&str]) -> Vec<Target> {
        urls.iter().map(|url| url.parse().unwrap()).collect()
    }

    #[test]
    fn urls_of_one_run_are_at_one_address() {
        let at_one = targets(&["http://127.0.0.1/a", "http://127.0.0.1:80/b"]);
        assert_eq!(address(&at_one).unwrap().to_string(), "127.0.0.1:80");
        let apart = targets(&["http://127.0.0.1/a", "http://[::1]/b"]);
        let message = address(&apart).unwrap_err().to_string();
        assert!(message.starts_with("http://127.0.0.1/a and http://[::1]/b are not"), "{message}");
    }
}
