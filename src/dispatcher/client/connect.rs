//! Connections: where they go, and that they go nowhere else.
//!
//! In: scheme, host and port. Out: a connection, through a proxy and in TLS where it takes that.
//! Keeps: an address is checked when it is written in the URL, when a name leads to it, and once more as that of the
//! connected peer, each time: what was checked before may have changed. Every step has its bound, because hyper-util may go
//! on with a connection that nobody waits for any more.
//! Refuses: addresses that the route does not allow, hosts that are none, schemes but http and https.
//! Not here: which addresses those are (`guard`), names (`resolve`).

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::resolve::Names;
use super::wire::{Link, Stream};
use super::{Counts, proxy, tls};
use crate::dispatcher::class::Fault;
use crate::dispatcher::guard;
use crate::dispatcher::host::{Host, host_of};
use crate::dispatcher::outbound::Route;

/// How long one address has.
const ADDRESS_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long one address is waited for before the next one is tried beside it (RFC 8305, 5).
const ADDRESS_STAGGER: Duration = Duration::from_millis(250);

/// No more addresses of one name are tried.
const ADDRESSES_MAX: usize = 8;

/// How long the handshake of TLS has, and the answer of a proxy.
pub(super) const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);

/// After how long an idle connection is asked whether it is still there, and how often before it is given up.
const KEEP_ALIVE: socket2::TcpKeepalive = socket2::TcpKeepalive::new()
    .with_time(Duration::from_secs(15))
    .with_interval(Duration::from_secs(5))
    .with_retries(3);

/// There is no connection.
#[derive(Debug)]
pub(super) struct NoConnection {
    /// How far it got.
    pub(super) fault: Fault,
    what: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl NoConnection {
    pub(super) fn new(fault: Fault, what: impl Into<String>) -> Self {
        Self { fault, what: what.into(), source: None }
    }

    pub(super) fn with(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl std::fmt::Display for NoConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for NoConnection {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// An error and what caused it, in one line.
pub(super) fn in_words(error: &(dyn StdError + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in tls::causes(error).map(ToString::to_string) {
        // Some say what caused them, others leave it to their source.
        if !words.last().is_some_and(|last| last.contains(&cause)) {
            words.push(cause);
        }
    }
    words.join(": ")
}

/// Makes the connections of one route.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) route: Arc<Route>,
    pub(super) proxy: Option<Uri>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) names: Arc<Names>,
    pub(super) counts: Arc<Counts>,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NoConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&target).await })
    }
}

impl Connector {
    async fn connect(&self, target: &Uri) -> Result<TokioIo<Link>, NoConnection> {
        let host = host_in(target)?;
        let is_tls = match target.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(NoConnection::new(Fault::Unmade, "the URL is neither http nor https")),
        };
        if let Host::Address(address) = host {
            guard(address, &self.route.allow)?;
        }
        let port = target.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tcp = match &self.proxy {
            Some(proxy) => self.through(proxy, &host, port).await?,
            None => self.to(&host, port, &self.route.allow).await?,
        };
        let stream = if is_tls { self.secured(tcp, &host).await? } else { Stream::Plain(tcp) };
        Counts::count(&self.counts.opened);
        Ok(TokioIo::new(Link::new(stream)))
    }

    /// A connection to the proxy, and on to where it leads. The names behind it are the proxy's to resolve.
    async fn through(&self, proxy: &Uri, host: &Host, port: u16) -> Result<TcpStream, NoConnection> {
        let allowed = proxy::allowed(&self.route.allow);
        let tcp = self.to(&proxy::host(proxy)?, proxy.port_u16().unwrap_or(80), &allowed).await?;
        timeout(HANDSHAKE_WAIT_MAX, proxy::ask(tcp, proxy, host, port)).await.unwrap_or_else(|_| {
            let what = format!("no answer from the proxy within {HANDSHAKE_WAIT_MAX:?}");
            Err(NoConnection::new(Fault::Connect, what))
        })
    }

    async fn to(&self, host: &Host, port: u16, allowed: &[IpNet]) -> Result<TcpStream, NoConnection> {
        let addresses = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.names.addresses(name).await?.to_vec(),
        };
        let mut forbidden = None;
        let mut open = Vec::new();
        for address in addresses {
            match guard(address, allowed) {
                Ok(()) => open.push(SocketAddr::new(address, port)),
                Err(refused) => forbidden = Some(refused),
            }
        }
        let stream = match (open.as_slice(), forbidden) {
            (&[only], _) => one(only).await?,
            ([], Some(forbidden)) => return Err(forbidden),
            _ => first_of(open).await?,
        };
        let peer = stream.peer_addr().map_err(|error| lost(&error))?;
        guard(peer.ip(), allowed)?;
        Ok(stream)
    }

    async fn secured(&self, tcp: TcpStream, host: &Host) -> Result<Stream, NoConnection> {
        let name = match host {
            Host::Address(address) => ServerName::IpAddress((*address).into()),
            Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|error| {
                NoConnection::new(Fault::Unmade, "the host is no name for TLS").with(error)
            })?,
        };
        let handshake = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp);
        match timeout(HANDSHAKE_WAIT_MAX, handshake).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => {
                Err(NoConnection::new(Fault::Tls, format!("no TLS with {}", said(host))).with(error))
            }
            Err(_) => Err(NoConnection::new(
                Fault::Tls,
                format!("no TLS with {} within {HANDSHAKE_WAIT_MAX:?}", said(host)),
            )),
        }
    }
}

fn host_in(uri: &Uri) -> Result<Host, NoConnection> {
    host_of(uri).map_err(|error| NoConnection::new(Fault::Unmade, error.to_string()))
}

fn guard(address: IpAddr, allowed: &[IpNet]) -> Result<(), NoConnection> {
    guard::check(address, allowed).map_err(|error| NoConnection::new(Fault::Forbidden, error.to_string()))
}

fn said(host: &Host) -> String {
    match host {
        Host::Address(address) => address.to_string(),
        Host::Name(name) => name.to_string(),
    }
}

/// Of each family one in turn, each in its order, beginning with that of the first (RFC 8305, 4): a family that leads nowhere
/// delays the other by one address, and does not use up the tries.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let leads_with_6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (leading, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == leads_with_6);
    let mut turns = [leading.into_iter(), other.into_iter()];
    let mut all = Vec::new();
    while turns.iter().any(|left| left.len() > 0) {
        all.extend(turns.iter_mut().filter_map(Iterator::next));
    }
    all
}

/// The first of several addresses that takes a connection: each is tried when the one before has failed, or has taken a
/// while, and goes on beside it.
async fn first_of(addresses: Vec<SocketAddr>) -> Result<TcpStream, NoConnection> {
    let mut waiting = interleaved(addresses).into_iter().take(ADDRESSES_MAX);
    // What is still under way is given up with it.
    let mut tries = JoinSet::new();
    let mut last = NoConnection::new(Fault::Dns, "the name has no address");
    loop {
        match waiting.next() {
            Some(address) => drop(tries.spawn(one(address))),
            None if tries.is_empty() => return Err(last),
            None => {}
        }
        let bound = if waiting.len() > 0 { ADDRESS_STAGGER } else { ADDRESS_WAIT_MAX };
        match timeout(bound, tries.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(refused)))) => last = refused,
            Ok(Some(Err(_)) | None) | Err(_) => {}
        }
    }
}

async fn one(address: SocketAddr) -> Result<TcpStream, NoConnection> {
    match timeout(ADDRESS_WAIT_MAX, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            // Both are hints: a connection without them serves as well, only later.
            let _ = stream.set_nodelay(true);
            let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&KEEP_ALIVE);
            Ok(stream)
        }
        Ok(Err(error)) => {
            let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
            let fault = if is_refused { Fault::Refused } else { Fault::Connect };
            Err(NoConnection::new(fault, format!("no connection to {address}")).with(error))
        }
        Err(_) => Err(NoConnection::new(
            Fault::Connect,
            format!("no connection to {address} within {ADDRESS_WAIT_MAX:?}"),
        )),
    }
}

/// The connection was lost before it was used.
fn lost(error: &io::Error) -> NoConnection {
    NoConnection::new(Fault::Connect, format!("the connection was lost: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_turn(addresses: &[&str]) -> Vec<String> {
        let addresses =
            addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 443)).collect();
        interleaved(addresses).iter().map(|address| address.ip().to_string()).collect()
    }

    #[test]
    fn the_families_of_addresses_take_turns() {
        assert_eq!(
            in_turn(&["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2"]),
            ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"]
        );
        assert_eq!(
            in_turn(&["192.0.2.1", "2001:db8::1", "2001:db8::2", "192.0.2.2", "192.0.2.3"]),
            ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2", "192.0.2.3"]
        );
        assert_eq!(in_turn(&["192.0.2.2", "192.0.2.1"]), ["192.0.2.2", "192.0.2.1"]);
        assert!(in_turn(&[]).is_empty());
    }
}
