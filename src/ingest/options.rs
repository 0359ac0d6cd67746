//! What an edge is to be: filled in by the settings, valid by type.

use std::time::Duration;

use ipnet::IpNet;

use super::challenges::Challenges;
use super::labels::VISITORS_DEFAULT;
use super::listen::Listener;
use super::timed::Timeouts;

/// Bytes of a request's head.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// See the module.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// Threads, each with a lane of the clicks journal.
    pub workers: u8,
    /// How long a peer may take.
    pub timeouts: Timeouts,
    /// How long a body may take from its head on.
    pub body_timeout: Duration,
    /// Connections over all.
    pub connections_max: usize,
    /// Connections from one address.
    pub connections_per_address_max: usize,
    /// Requests on one connection; the answer to the last says that it is closed.
    pub requests_per_connection_max: u32,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Places of the table of visitors, 8 bytes each.
    pub visitors: usize,
    /// How long connections may go on after the edge was told to stop.
    pub drain_timeout: Duration,
    /// What authorities are answered that are asked for certificates.
    pub challenges: Challenges,
}

impl Options {
    /// The defaults, with one worker. Idle is above 60 s because the load balancers of AWS keep connections for that
    /// long and must not be the ones who are surprised.
    pub fn new(listeners: Vec<Listener>) -> Self {
        Self {
            listeners,
            workers: 1,
            timeouts: Timeouts {
                handshake: Duration::from_secs(10),
                head: Duration::from_secs(10),
                idle: Duration::from_secs(75),
                write: Duration::from_secs(30),
            },
            body_timeout: Duration::from_secs(10),
            connections_max: 20_000,
            connections_per_address_max: 2_000,
            requests_per_connection_max: 100_000,
            trusted_proxies: Vec::new(),
            visitors: VISITORS_DEFAULT,
            drain_timeout: Duration::from_secs(10),
            challenges: Challenges::default(),
        }
    }
}
