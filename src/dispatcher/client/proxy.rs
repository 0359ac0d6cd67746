//! An HTTP proxy: asked by CONNECT for a connection, for http as for https.
//!
//! Keeps: the proxy's answer is bounded, and nothing behind it is taken for the other side's. What the proxy says in words
//! is not repeated: it may name the URL.
//! Refuses: proxies that speak TLS themselves, and SOCKS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ClientError;
use super::connect::NoConnection;
use crate::dispatcher::class::Fault;
use crate::dispatcher::host::{self, Host};

/// The longest head of a proxy's answer.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// The most headers in it.
const HEADERS_MAX: usize = 64;

/// Any address: who names a proxy means it, wherever it stands. The metadata services of clouds are none that a range
/// allows (`guard`).
const ANY: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::UNSPECIFIED, 0)),
];

/// Where a proxy may stand.
pub(super) fn allowed(route: &[IpNet]) -> Vec<IpNet> {
    ANY.iter().chain(route).copied().collect()
}

/// Whether this is a proxy that can be asked.
pub(super) fn check(proxy: &Uri) -> Result<(), ClientError> {
    let is_one = proxy.scheme_str() == Some("http") && host::read(proxy.host().unwrap_or_default()).is_ok();
    if is_one { Ok(()) } else { Err(ClientError::Proxy) }
}

/// The host of a proxy, whose URL may have a user name.
pub(super) fn host(proxy: &Uri) -> Result<Host, NoConnection> {
    host::read(proxy.host().unwrap_or_default())
        .map_err(|error| NoConnection::new(Fault::Unmade, format!("the proxy: {error}")))
}

/// Asks for a connection to `host`.
pub(super) async fn ask(
    mut tcp: TcpStream,
    proxy: &Uri,
    host: &Host,
    port: u16,
) -> Result<TcpStream, NoConnection> {
    tcp.write_all(request(proxy, host, port).as_bytes()).await.map_err(failed)?;
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX {
            return Err(NoConnection::new(Fault::Connect, "the proxy's answer is too long"));
        }
        // Byte by byte, so that nothing is taken of what comes behind it. The answer is short.
        head.push(tcp.read_u8().await.map_err(failed)?);
    }
    match status(&head) {
        Some(200..=299) => Ok(tcp),
        Some(status) => {
            Err(NoConnection::new(Fault::Connect, format!("the proxy answered {status} to CONNECT")))
        }
        None => Err(NoConnection::new(Fault::Connect, "the proxy's answer is no HTTP")),
    }
}

fn request(proxy: &Uri, host: &Host, port: u16) -> String {
    let target = match host {
        Host::Address(std::net::IpAddr::V6(v6)) => format!("[{v6}]:{port}"),
        Host::Address(v4) => format!("{v4}:{port}"),
        Host::Name(name) => format!("{name}:{port}"),
    };
    let authorization = proxy
        .authority()
        .and_then(|authority| authority.as_str().rsplit_once('@'))
        .map(|(user, _)| {
            let user: Vec<u8> = percent_encoding::percent_decode_str(user).collect();
            format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(user))
        })
        .unwrap_or_default();
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n")
}

fn status(head: &[u8]) -> Option<u16> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    answer.parse(head).ok()?;
    answer.code
}

fn failed(error: std::io::Error) -> NoConnection {
    NoConnection::new(Fault::Connect, "the proxy broke off").with(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_asked_for_a_host_and_a_port_and_shown_who_asks() {
        let host = host::read("ads.example.net").unwrap();
        let plain = request(&Uri::from_static("http://proxy.example:3128"), &host, 443);
        assert_eq!(plain, "CONNECT ads.example.net:443 HTTP/1.1\r\nHost: ads.example.net:443\r\n\r\n");
        let known = request(
            &Uri::from_static("http://a:p%40ss@proxy.example"),
            &Host::Address("2606:4700::1111".parse().unwrap()),
            80,
        );
        assert!(known.starts_with("CONNECT [2606:4700::1111]:80 HTTP/1.1\r\n"), "{known}");
        assert!(known.contains(&format!("Basic {}\r\n", STANDARD.encode("a:p@ss"))), "{known}");
    }

    #[test]
    fn only_http_proxies_are_taken() {
        for (proxy, is_one) in [
            ("http://proxy.example:3128", true),
            ("http://a:b@10.0.0.1:3128/", true),
            ("https://proxy.example", false),
            ("socks5://proxy.example", false),
            ("proxy.example:3128", false),
            ("http://1.2.3.4.5/", false),
        ] {
            assert_eq!(check(&proxy.parse().unwrap()).is_ok(), is_one, "{proxy}");
        }
    }
}
