//! What to do: all that can be chosen, with its bounds, and why it cannot be done.
//!
//! In: options. Out: a `Plan`, checked before it is followed.
//! Refuses: what is out of bounds, or does not go together.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http::Method;

use super::target::{Header, Target};
use super::visitor::VISITORS_MAX;

/// Connections of a run.
pub const CONNECTIONS_MAX: u32 = 60_000;
/// Threads of a run.
pub const THREADS_MAX: u32 = 256;
/// Requests under way on one connection.
pub const PIPELINE_MAX: u32 = 1024;
/// Requests per second.
pub const RATE_MAX: u32 = 10_000_000;
/// URLs of a run.
pub const TARGETS_MAX: usize = 1000;
/// The longest run, warm-up, or wait for an answer.
pub const TIME_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// URLs at one address, by weight.
    pub targets: Vec<Target>,
    /// In every request; one of a name that the generator writes itself replaces that.
    pub headers: Vec<Header>,
    /// Without one GET, or POST if there is a body.
    pub method: Option<Method>,
    /// Sent with each request.
    pub body: Vec<u8>,
    /// Open at once, over all threads.
    pub connections: u32,
    /// Each with a runtime of its own.
    pub threads: u32,
    /// When the run ends.
    pub limit: Limit,
    /// Requests per second over all threads; without it each is sent as soon as there is room.
    pub rate: Option<u32>,
    /// Requests under way on one connection.
    pub pipeline: u32,
    /// A connection for each request.
    pub closes: bool,
    /// Visitors that are told apart.
    pub visitors: u32,
    /// Decides who comes when, and what `{random}` is.
    pub seed: u64,
    /// Requests of the beginning do not count.
    pub warm_up: Duration,
    /// For connection and answer.
    pub timeout: Duration,
    /// A file to which the `Location` of each 302 is appended.
    pub save_ids: Option<PathBuf>,
    /// The first thread runs on this processor only, the next one on the next.
    pub cpu: Option<u32>,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After this time, warm-up apart.
    Time(Duration),
    /// After so many requests, warm-up apart.
    Requests(u64),
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A plan that cannot be followed.
    #[error("{what} must be {least} to {most}")]
    OutOfBounds {
        /// Which part.
        what: &'static str,
        /// Its least value.
        least: u64,
        /// Its greatest value.
        most: u64,
    },
    /// A thread would have nothing to do.
    #[error("{threads} threads need at least as many connections, not {connections}")]
    IdleThreads {
        /// Wanted threads.
        threads: u32,
        /// Wanted connections.
        connections: u32,
    },
    /// A connection for each request, with several requests on it.
    #[error("a connection that is closed after each request cannot be pipelined")]
    PipelineOfClosed,
    /// No address for a host.
    #[error("cannot look up {authority}")]
    Unresolved {
        /// Host and port.
        authority: String,
        /// Why.
        source: io::Error,
    },
    /// URLs lead to different servers.
    #[error(
        "{0} and {1} are not at one address: load them in runs of their own, or name the host by a header"
    )]
    Apart(String, String),
    /// The thread could not begin.
    #[error("cannot start a load thread")]
    Thread(#[source] io::Error),
    /// There is no such processor, or it is not ours.
    #[error("cannot run on processor {cpu}")]
    Processor {
        /// Its number.
        cpu: u32,
        /// Why.
        source: io::Error,
    },
    /// The file for the locations.
    #[error("cannot append to {path}")]
    SaveIds {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Plan {
    /// 64 connections of one thread, flat out for 10 s after 1 s of warm-up.
    pub fn new(targets: Vec<Target>) -> Self {
        Self {
            targets,
            headers: Vec::new(),
            method: None,
            body: Vec::new(),
            connections: 64,
            threads: 1,
            limit: Limit::Time(Duration::from_secs(10)),
            rate: None,
            pipeline: 1,
            closes: false,
            visitors: 1_000_000,
            seed: 0,
            warm_up: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            save_ids: None,
            cpu: None,
        }
    }

    pub(super) fn method(&self) -> Method {
        let usual = || if self.body.is_empty() { Method::GET } else { Method::POST };
        self.method.clone().unwrap_or_else(usual)
    }

    pub(super) fn check(&self) -> Result<(), LoadError> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (what, amount, most) = match self.limit {
            Limit::Time(time) => ("the duration in ms", millis(time), millis(TIME_MAX)),
            Limit::Requests(requests) => ("the number of requests", requests, u64::MAX >> 32),
        };
        let bounds = [
            ("the number of URLs", self.targets.len() as u64, 1, TARGETS_MAX as u64),
            ("the number of connections", self.connections.into(), 1, CONNECTIONS_MAX.into()),
            ("the number of threads", self.threads.into(), 1, THREADS_MAX.into()),
            ("the rate", self.rate.unwrap_or(1).into(), 1, RATE_MAX.into()),
            ("the pipeline", self.pipeline.into(), 1, PIPELINE_MAX.into()),
            ("the number of visitors", self.visitors.into(), 1, VISITORS_MAX.into()),
            ("the warm-up in ms", millis(self.warm_up), 0, millis(TIME_MAX)),
            ("the timeout in ms", millis(self.timeout), 1, millis(TIME_MAX)),
            (what, amount, 1, most),
        ];
        if let Some(&(what, _, least, most)) =
            bounds.iter().find(|(_, amount, least, most)| !(least..=most).contains(&amount))
        {
            return Err(LoadError::OutOfBounds { what, least, most });
        }
        if self.threads > self.connections {
            return Err(LoadError::IdleThreads { threads: self.threads, connections: self.connections });
        }
        if self.closes && self.pipeline > 1 {
            return Err(LoadError::PipelineOfClosed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_out_of_bounds_is_refused() {
        let good = Plan::new(vec!["http://127.0.0.1/".parse().unwrap()]);
        assert!(good.check().is_ok());
        let cases = [
            (Plan { targets: Vec::new(), ..good.clone() }, "the number of URLs must be 1 to 1000"),
            (Plan { pipeline: 0, ..good.clone() }, "the pipeline must be 1 to 1024"),
            (Plan { rate: Some(0), ..good.clone() }, "the rate must be 1 to 10000000"),
            (
                Plan { threads: 2, connections: 1, ..good.clone() },
                "2 threads need at least as many connections, not 1",
            ),
            (
                Plan { closes: true, pipeline: 2, ..good.clone() },
                "a connection that is closed after each request cannot be pipelined",
            ),
        ];
        for (plan, expected) in cases {
            assert_eq!(plan.check().unwrap_err().to_string(), expected);
        }
    }
}
