//! Sockets: opened, shared out over the workers, and what is known of each.
//!
//! In: `Listener`s, as the settings name them. Out: for each worker, a socket of its own at the same address, over
//! which the kernel spreads connections (`SO_REUSEPORT`). Of one that somebody else opened they all share the one queue: what
//! arrives while nobody accepts waits in it for whoever has it next.
//! Not here: accepting (`worker`).

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use super::tls::Tls;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// One address to listen at.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where. The unspecified IPv6 address means both families.
    pub address: SocketAddr,
    /// Whether every connection begins with a PROXY header of version 2.
    pub has_proxy_header: bool,
    /// Whether visitors come by https, here or at the proxy in front: cookies are then for https only.
    pub is_https: bool,
    /// What is shown where TLS ends here.
    pub tls: Option<Arc<Tls>>,
    /// The socket, where somebody else has opened it already.
    pub inherited: Option<Arc<TcpListener>>,
}

impl Listener {
    /// Plain http at this address.
    pub fn http(address: SocketAddr) -> Self {
        Self { address, has_proxy_header: false, is_https: false, tls: None, inherited: None }
    }
}

/// An open socket of a listener.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) socket: TcpListener,
    pub(super) listener: Listener,
}

/// Opens one socket a worker for each listener. Port 0 is chosen once and is then the same for all.
pub(super) fn open(listeners: &[Listener], workers: usize) -> io::Result<Vec<Vec<Open>>> {
    let mut shares: Vec<Vec<Open>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in listeners {
        let mut listener = listener.clone();
        if listener.inherited.is_none() {
            // Workers share the address with one another, and would with another daemon: each would have half of the visitors.
            drop(bound(listener.address, false)?);
        }
        for share in &mut shares {
            let socket = match &listener.inherited {
                Some(inherited) => shared(inherited)?,
                None => open_one(listener.address)?,
            };
            listener.address = socket.local_addr()?;
            share.push(Open { socket, listener: listener.clone() });
        }
    }
    Ok(shares)
}

fn shared(inherited: &TcpListener) -> io::Result<TcpListener> {
    inherited.set_nonblocking(true)?;
    inherited.try_clone()
}

fn open_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address, true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bound(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_gets_a_socket_at_the_same_port() {
        let shares = open(&[Listener::http("127.0.0.1:0".parse().unwrap())], 3).unwrap();
        let ports: Vec<u16> = shares.iter().map(|share| share[0].listener.address.port()).collect();
        assert_ne!(ports[0], 0);
        assert_eq!(ports, [ports[0]; 3]);
    }

    /// Two daemons at one address would each have half of the visitors, and nobody would be told.
    #[test]
    fn an_address_that_somebody_listens_at_is_not_shared() {
        let first = open(&[Listener::http("127.0.0.1:0".parse().unwrap())], 2).unwrap();
        let address = first[0][0].listener.address;
        let again = open(&[Listener::http(address)], 2).map(|_| ()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        let _there = std::net::TcpStream::connect(address).unwrap();
        let accepted = first.iter().flatten().find_map(|open| open.socket.accept().ok());
        drop(first);
        assert!(accepted.is_some());
        assert!(
            open(&[Listener::http(address)], 2).is_ok(),
            "a connection that is there still listens to nobody"
        );
    }

    #[test]
    fn a_socket_that_was_inherited_is_shared_and_not_opened_anew() {
        let inherited = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = inherited.local_addr().unwrap();
        let listener = Listener { inherited: Some(inherited), ..Listener::http(address) };
        // Another socket could not be opened there: this one does not share its port.
        let shares = open(&[listener], 3).unwrap();
        assert!(shares.iter().all(|share| share[0].socket.local_addr().unwrap() == address));
    }
}
