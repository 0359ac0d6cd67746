//! Sockets that somebody else opened, and holds open through restarts: systemd, by its socket units.
//!
//! In: sockets with their names. Out: each with the listener of the settings that it is of.
//! Keeps: the one called `admin` is the operators', wherever it listens; any other is of the listener at its address, and all
//! that is said of that listener in the settings holds for it. A listener without one is opened as ever.
//! Refuses: a socket of no listener, or a second one of the same: connections to it would wait for ever.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::SockRef;

use crate::admin;
use crate::ingest::Listener;

/// What the operators' is called.
const ADMIN: &str = "admin";

/// A socket that is open already.
#[derive(Debug)]
pub struct Inherited {
    /// What its unit calls it.
    pub name: String,
    /// It.
    pub socket: TcpListener,
}

/// Why a socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It is no listening TCP socket.
    #[error(
        "the socket \"{name}\" cannot be listened at: it must be a stream of IP that accepts connections"
    )]
    NotListening {
        /// What its unit calls it.
        name: String,
    },
    /// No listener is there.
    #[error(
        "the socket \"{name}\" at {address} is of no listener: add its address to edge.listen, or take it out of the socket unit"
    )]
    Stray {
        /// What its unit calls it.
        name: String,
        /// Where it listens.
        address: SocketAddr,
    },
    /// Another one was before it.
    #[error(
        "the socket \"{name}\" at {address} is a second one of the same listener: take one out of the socket unit"
    )]
    Second {
        /// What its unit calls it.
        name: String,
        /// Where it listens.
        address: SocketAddr,
    },
    /// The system.
    #[error("cannot look at the socket \"{name}\"")]
    System {
        /// What its unit calls it.
        name: String,
        /// What it says.
        source: io::Error,
    },
}

/// Gives every listener its socket.
pub(super) fn share_out(
    sockets: Vec<Inherited>,
    listeners: &mut [Listener],
    admin: &mut admin::Options,
) -> Result<(), SocketError> {
    for Inherited { name, socket } in sockets {
        if !matches!(SockRef::from(&socket).is_listener(), Ok(true)) {
            return Err(SocketError::NotListening { name });
        }
        let address = match socket.local_addr() {
            Ok(address) => address,
            Err(source) => return Err(SocketError::System { name, source }),
        };
        let listener = listeners.iter_mut().find(|listener| is_same(listener.address, address));
        let place = match listener {
            _ if name == ADMIN => &mut admin.inherited,
            Some(listener) => &mut listener.inherited,
            None if is_same(admin.address, address) => &mut admin.inherited,
            None => return Err(SocketError::Stray { name, address }),
        };
        if place.is_some() {
            return Err(SocketError::Second { name, address });
        }
        *place = Some(Arc::new(socket));
    }
    Ok(())
}

/// Whether a socket is what the settings mean: all addresses are all addresses, also where the machine has no IPv6.
fn is_same(wanted: SocketAddr, open: SocketAddr) -> bool {
    let are_all = wanted.ip().is_unspecified() && open.ip().is_unspecified();
    wanted.port() == open.port() && (are_all || wanted.ip().to_canonical() == open.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(name: &str) -> Inherited {
        Inherited { name: name.to_owned(), socket: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn operators() -> admin::Options {
        let address = "127.0.0.1:9101".parse().unwrap();
        admin::Options { address, inherited: None, hosts: Vec::new(), token: admin::Token::new("t") }
    }

    #[test]
    fn each_socket_goes_to_its_listener_by_address_and_the_operators_by_name() {
        let (first, second) = (socket("public"), socket("public"));
        let at = |inherited: &Inherited| Listener::http(inherited.socket.local_addr().unwrap());
        let closed = Listener::http("127.0.0.1:1".parse().unwrap());
        let mut listeners = [at(&second), closed, at(&first)];
        let mut admin = operators();
        share_out(vec![first, socket("admin"), second], &mut listeners, &mut admin).unwrap();
        assert_eq!(listeners.each_ref().map(|listener| listener.inherited.is_some()), [true, false, true]);
        for listener in listeners.iter().filter(|listener| listener.inherited.is_some()) {
            assert_eq!(listener.inherited.as_ref().unwrap().local_addr().unwrap(), listener.address);
        }
        assert!(admin.inherited.is_some());
    }

    #[test]
    fn a_socket_that_nobody_would_accept_at_is_refused() {
        let stray = socket("public");
        let address = stray.socket.local_addr().unwrap();
        let mut listeners = [Listener::http("127.0.0.1:1".parse().unwrap())];
        let refused = share_out(vec![stray], &mut listeners, &mut operators()).unwrap_err();
        assert!(
            refused.to_string().contains(&format!("\"public\" at {address} is of no listener")),
            "{refused}"
        );

        let one = socket("public");
        let again = Inherited { name: "public".to_owned(), socket: one.socket.try_clone().unwrap() };
        let mut listeners = [Listener::http(one.socket.local_addr().unwrap())];
        let refused = share_out(vec![one, again], &mut listeners, &mut operators()).unwrap_err();
        assert!(refused.to_string().contains("second one"), "{refused}");

        let idle = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let idle = Inherited { name: "public".to_owned(), socket: idle.into() };
        let refused = share_out(vec![idle], &mut listeners, &mut operators()).unwrap_err();
        assert!(refused.to_string().contains("cannot be listened at"), "{refused}");
    }

    #[test]
    fn all_addresses_are_the_same_in_both_families() {
        let address = |text: &str| text.parse().unwrap();
        for (wanted, open, same) in [
            ("[::]:80", "0.0.0.0:80", true),
            ("[::]:80", "[::]:81", false),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", false),
        ] {
            assert_eq!(is_same(address(wanted), address(open)), same, "{wanted} {open}");
        }
    }
}
