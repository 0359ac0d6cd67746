//! Sockets: opened, shared out over the workers, and what is known of each.
//!
//! In: `Listener`s, as the settings name them. Out: for each worker, a socket of its own at the same address, over
//! which the kernel spreads connections (`SO_REUSEPORT`); or sockets that somebody else opened.
//! Not here: accepting (`worker`).

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// One address to listen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where. The unspecified IPv6 address means both families.
    pub address: SocketAddr,
    /// Whether every connection begins with a PROXY header of version 2.
    pub has_proxy_header: bool,
    /// Whether visitors come by https, here or at the proxy in front: cookies are then for https only.
    pub is_https: bool,
}

impl Listener {
    /// Plain http at this address.
    pub fn http(address: SocketAddr) -> Self {
        Self { address, has_proxy_header: false, is_https: false }
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
        let mut listener = *listener;
        for share in &mut shares {
            let socket = open_one(listener.address)?;
            listener.address = socket.local_addr()?;
            share.push(Open { socket, listener });
        }
    }
    Ok(shares)
}

fn open_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
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
}
