//! What TLS costs: handshakes, full and resumed, and requests on connections that are kept, beside nginx.
//!
//! The server runs on processor 0 with one worker, the load on processor 1; certificate, cipher (TLS 1.3, AES-128-GCM) and
//! group (X25519) are the same for both. The load may well be what is slower at handshakes: then the server's processor time
//! tells more than the rate.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use bytes::Bytes;
use http::{Request, Version};
use rcgen::{CertificateParams, KeyPair};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::contender::{Contender, folder};

const NAME: &str = "trk.example";
const CLICK: &[u8] =
    b"GET /c/demo?zoneid=4821337&visitor_id=abc HTTP/1.1\r\nHost: trk.example\r\nUser-Agent: bench\r\n\r\n";
const TARGET: &str = "https://trk.example/c/demo?zoneid=4821337&visitor_id=abc";
/// How long each figure is measured, and how often the contenders take turns.
const TIME: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
const CONNECTIONS: usize = 64;
/// Requests at once on one connection over HTTP/2.
const STREAMS: usize = 16;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Full,
    Resumed,
    Kept,
    KeptHttp2,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Full, "full handshakes, one request each"),
    (Way::Resumed, "resumed handshakes, one request each"),
    (Way::Kept, "requests on 64 kept connections"),
    (Way::KeptHttp2, "the same over HTTP/2, 16 at once each"),
];

pub(crate) fn run() {
    let place = folder("tls");
    let root = issue(&place);
    let contenders: Vec<Contender> =
        [Some(Contender::clicklog_tls(&place)), Contender::nginx_tls(&place)].into_iter().flatten().collect();
    println!("{:40} {:24} {:>10} {:>10}", "", "", "median/s", "CPU µs");
    for (way, what) in WAYS {
        let mut figures: Vec<Vec<(f64, f64)>> = vec![Vec::new(); contenders.len()];
        for _ in 0..ROUNDS {
            for (contender, figures) in contenders.iter().zip(&mut figures) {
                let before = contender.cpu_ns();
                let (count, took) = load(contender.address, &root, way);
                let cpu_us = (contender.cpu_ns() - before) / 1e3 / count as f64;
                figures.push((count as f64 / took.as_secs_f64(), cpu_us));
            }
        }
        for (contender, figures) in contenders.iter().zip(&mut figures) {
            figures.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (rate, cpu_us) = figures[ROUNDS / 2];
            println!("{what:40} {:24} {rate:>10.0} {cpu_us:>10.1}", contender.name);
        }
    }
}

/// A certificate with its key, as both servers read it; gives it in DER, to be believed.
fn issue(place: &Path) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = |kind: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> =
            (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
    };
    fs::write(place.join("first.crt"), pem("CERTIFICATE", certificate.der())).unwrap();
    fs::write(place.join("first.key"), pem("PRIVATE KEY", &key.serialize_der())).unwrap();
    certificate.der().to_vec()
}

fn client(root: &[u8], way: Way) -> TlsConnector {
    let provider = CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519],
        ..default_provider()
    };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.to_vec())).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    if way != Way::Resumed {
        config.resumption = Resumption::disabled();
    }
    if way == Way::KeptHttp2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    TlsConnector::from(Arc::new(config))
}

/// Loads a server for a while; gives how often it was asked, and how long that took.
fn load(address: SocketAddr, root: &[u8], way: Way) -> (u64, Duration) {
    let (root, work) = (root.to_vec(), move |root: Vec<u8>| {
        let mut processor = CpuSet::new();
        processor.set(1);
        // On a machine with one processor they share it.
        let _shared = sched_setaffinity(None, &processor);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let began = Instant::now();
            let end = began + TIME;
            let peers: Vec<_> = (0..CONNECTIONS)
                .map(|_| {
                    let client = client(&root, way);
                    spawn_local(async move {
                        match way {
                            Way::Full | Way::Resumed => shake_until(end, address, &client).await,
                            Way::Kept => ask_until(end, address, &client).await,
                            Way::KeptHttp2 => ask_at_once_until(end, address, &client).await,
                        }
                    })
                })
                .collect();
            let mut count = 0;
            for peer in peers {
                count += peer.await.unwrap().unwrap();
            }
            (count, began.elapsed())
        })
    });
    std::thread::spawn(move || work(root)).join().unwrap()
}

async fn connect(address: SocketAddr, client: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    client.connect(ServerName::try_from(NAME).unwrap(), socket).await
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    stream.write_all(CLICK).await?;
    stream.flush().await?;
    let mut answer = [0; 2048];
    let mut there = 0;
    while !answer[..there].ends_with(b"\r\n\r\n") && !answer[..there].ends_with(b"</html>\r\n") {
        match stream.read(&mut answer[there..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => there += read,
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 302 "), "{}", String::from_utf8_lossy(&answer[..there]));
    Ok(())
}

async fn shake_until(end: Instant, address: SocketAddr, client: &TlsConnector) -> io::Result<u64> {
    let mut count = 0;
    while Instant::now() < end {
        ask(&mut connect(address, client).await?).await?;
        count += 1;
    }
    Ok(count)
}

async fn ask_until(end: Instant, address: SocketAddr, client: &TlsConnector) -> io::Result<u64> {
    let mut stream = connect(address, client).await?;
    let mut count = 0;
    while Instant::now() < end {
        ask(&mut stream).await?;
        count += 1;
    }
    Ok(count)
}

async fn ask_at_once_until(end: Instant, address: SocketAddr, client: &TlsConnector) -> io::Result<u64> {
    let (sender, connection) =
        h2::client::handshake(connect(address, client).await?).await.map_err(io::Error::other)?;
    let driver = spawn_local(connection);
    let streams: Vec<_> = (0..STREAMS)
        .map(|_| {
            let sender = sender.clone();
            spawn_local(async move {
                let mut count = 0;
                while Instant::now() < end {
                    let request = Request::get(TARGET).version(Version::HTTP_2).header("user-agent", "bench");
                    let mut ready = sender.clone().ready().await?;
                    let (answer, _) = ready.send_request(request.body(()).unwrap(), true)?;
                    let (head, mut body) = answer.await?.into_parts();
                    assert_eq!(head.status, 302);
                    while let Some(piece) = body.data().await {
                        let bytes: Bytes = piece?;
                        body.flow_control().release_capacity(bytes.len())?;
                    }
                    count += 1;
                }
                Ok::<u64, h2::Error>(count)
            })
        })
        .collect();
    let mut count = 0;
    for stream in streams {
        count += stream.await.unwrap().map_err(io::Error::other)?;
    }
    driver.abort();
    Ok(count)
}
