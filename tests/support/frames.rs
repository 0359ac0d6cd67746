//! An HTTP/2 destination frame by frame: it does with each stream what a test says, also what no library's server would.
//!
//! In: a script, asked when a request is whole. Out: the bodies of the requests that it answered, how many came at all.
//! Keeps: what a script ends is closed without losing what was written before.
//! Not here: what the head of a request says: tests tell their requests apart by the bodies.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// What a connection begins with (RFC 9113, 3.4).
const PREFACE_LEN: usize = 24;

/// In front of every frame (RFC 9113, 4.1).
const HEAD_LEN: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;

/// Of SETTINGS and PING.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status: 200`, by its place in HPACK's table.
const STATUS_200: u8 = 0x88;

/// One of the things to do about a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// 200, and nothing more.
    Answer,
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this last stream and this code.
    GoAway(u32, u32),
    /// The end: of TLS and of the connection.
    End,
    /// The connection is gone, without the end of TLS.
    Break,
}

/// What to do about a stream, by the number of its connection and its own.
type Script = dyn Fn(usize, u32) -> Vec<Act> + Send + Sync;

/// The server. It ends with the runtime on which it was started.
pub(crate) struct Frames {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    answered: Mutex<Vec<String>>,
    connections: AtomicUsize,
    streams: AtomicUsize,
}

impl Frames {
    pub(crate) async fn start(
        tls: Arc<ServerConfig>,
        script: impl Fn(usize, u32) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            answered: Mutex::default(),
            connections: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
        });
        tokio::spawn(accept(listener, TlsAcceptor::from(tls), Arc::clone(&shared)));
        Self { address, shared }
    }

    pub(crate) fn url_at(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.address.port())
    }

    /// The bodies of the requests that were answered, sorted.
    pub(crate) fn answered(&self) -> Vec<String> {
        let mut answered = self.shared.answered.lock().unwrap().clone();
        answered.sort();
        answered
    }

    /// How many requests came, answered or not.
    pub(crate) fn streams(&self) -> usize {
        self.shared.streams.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let Ok((tcp, _)) = listener.accept().await else { continue };
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let tls = acceptor.accept(tcp).await?;
            serve(tls, number, &shared).await
        });
    }
}

/// Until either side ends it.
async fn serve(mut peer: TlsStream<TcpStream>, number: usize, shared: &Shared) -> io::Result<()> {
    peer.read_exact(&mut [0; PREFACE_LEN]).await?;
    peer.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let mut bodies: HashMap<u32, Vec<u8>> = HashMap::new();
    loop {
        let mut head = [0; HEAD_LEN];
        peer.read_exact(&mut head).await?;
        let mut head = &head[..];
        let length = usize::try_from(head.get_uint(3)).unwrap();
        let (kind, flags, stream) = (head.get_u8(), head.get_u8(), head.get_u32());
        let mut payload = vec![0; length];
        peer.read_exact(&mut payload).await?;
        match kind {
            SETTINGS if flags & ACK == 0 => peer.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
            PING if flags & ACK == 0 => peer.write_all(&frame(PING, ACK, 0, &payload)).await?,
            DATA => bodies.entry(stream).or_default().extend(payload),
            _ => {}
        }
        if !matches!(kind, DATA | HEADERS) || flags & END_STREAM == 0 {
            continue;
        }
        shared.streams.fetch_add(1, Ordering::SeqCst);
        let body = bodies.remove(&stream).unwrap_or_default();
        for act in (shared.script)(number, stream) {
            match act {
                Act::Answer => {
                    shared.answered.lock().unwrap().push(String::from_utf8(body.clone()).unwrap());
                    peer.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &[STATUS_200])).await?;
                }
                Act::Reset(code) => peer.write_all(&frame(RESET, 0, stream, &words(&[code]))).await?,
                Act::GoAway(last, code) => {
                    peer.write_all(&frame(GO_AWAY, 0, 0, &words(&[last, code]))).await?;
                }
                Act::End => {
                    peer.shutdown().await?;
                    // To close with bytes unread would send RST, which may overtake what was written.
                    tokio::io::copy(&mut peer, &mut tokio::io::sink()).await?;
                    return Ok(());
                }
                Act::Break => {
                    peer.flush().await?;
                    return Ok(());
                }
            }
        }
        peer.flush().await?;
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_LEN + payload.len());
    bytes.put_uint(u64::try_from(payload.len()).unwrap(), 3);
    bytes.put_u8(kind);
    bytes.put_u8(flags);
    bytes.put_u32(stream);
    bytes.put_slice(payload);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    words.iter().for_each(|word| bytes.put_u32(*word));
    bytes
}
