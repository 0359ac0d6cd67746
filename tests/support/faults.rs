//! A destination that does whatever a test asks of it, by the path of the request.
//!
//! | path | does |
//! |---|---|
//! | `/ok`, and any that is not below | 200, in one write |
//! | `/status/NNN` | that status |
//! | `/sequence/500,503,200` | the n-th request the n-th status, later ones the last |
//! | `/shaky` | to the first request for one target in ten (`is_refused_once`) 500; otherwise 200 |
//! | `/json/TEXT` | 200 and that text (escapes undone) as JSON |
//! | `/echo` | 200 and the request as JSON |
//! | `/gone-once` | 410 and the request as JSON; 200 when it is asked again |
//! | `/retry-after/seconds/N`, `/retry-after/date` | 429 and when to come back: then, or on 2026-11-21T00:00:00Z |
//! | `/redirect-to-metadata` | 302 to a cloud's metadata service |
//! | `/slow/MS` | 200 after that many milliseconds |
//! | `/hang-before-head`, `/hang-in-body` | nothing more until `release` |
//! | `/one-byte-a-second` | a body that comes so |
//! | `/endless-body`, `/endless-chunks` | a body without end, of unknown length |
//! | `/body/N` | N bytes |
//! | `/short-body` | fewer bytes than announced, then the end |
//! | `/reset`, `/reset-after-head` | RST instead of an answer, or of its body |
//! | `/close` | the end instead of an answer |
//! | `/connection-close` | 200 with `Connection: close`, then the end |
//! | `/close-after-answer` | 200, then the end without notice: the idle connection is gone |
//! | `/close-keep-alive` | 200; the next request on the connection meets its end |
//! | `/garbage` | something that is no HTTP |
//! | `/huge-headers`, `/many-headers` | 200 with a head of 1 MiB, with 1,000 headers |
//!
//! `CONNECT` makes it a proxy that leads to this machine, whatever the name is. It runs on a thread of its own until it is
//! dropped, and remembers each request.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// Nothing here takes this long: a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest head and body that it reads.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is behind the connection.
pub(crate) enum Manner {
    /// HTTP.
    Plain,
    /// HTTP in TLS, version 2 where the configuration offers it.
    Tls(Arc<ServerConfig>),
    /// Nothing: each is closed as soon as it is there.
    CloseAfterAccept,
    /// Nothing at all: each stays as it is.
    Silent,
}

/// A request, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Counted from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split(['?', '#']).next().unwrap()
    }

    fn json(&self) -> String {
        serde_json::json!({
            "connection": self.connection,
            "method": self.method,
            "target": self.target,
            "headers": self.headers,
            "body": String::from_utf8_lossy(&self.body),
        })
        .to_string()
    }
}

/// The server.
pub(crate) struct Faults {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    arrived: Condvar,
    connections: AtomicUsize,
    requests: AtomicUsize,
    ended: AtomicUsize,
    forgets: AtomicBool,
    turns: Mutex<HashMap<String, usize>>,
    released: watch::Sender<bool>,
}

impl Faults {
    pub(crate) fn plain() -> Self {
        Self::start(Manner::Plain)
    }

    pub(crate) fn start(manner: Manner) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if matches!(manner, Manner::Tls(_)) { "https" } else { "http" };
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(TcpListener::from_std(listener).unwrap(), manner, serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, scheme, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Remembers no more than how many requests there were, for those who send very many.
    pub(crate) fn forgetful(self) -> Self {
        self.shared.forgets.store(true, Ordering::Relaxed);
        self
    }

    /// The URL of a path, by the server's address.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The URL of a path, under a name.
    pub(crate) fn url_at(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.address.port())
    }

    /// All requests so far, in their order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// All requests, as soon as there are so many.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Seen> {
        let seen = self.shared.seen.lock().unwrap();
        let (seen, timeout) =
            self.shared.arrived.wait_timeout_while(seen, PATIENCE, |seen| seen.len() < count).unwrap();
        assert!(!timeout.timed_out(), "{} requests came, not {count}", seen.len());
        seen.clone()
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections the other side has given up after we ended them.
    pub(crate) fn ended(&self) -> usize {
        self.shared.ended.load(Ordering::SeqCst)
    }

    /// Whoever hangs goes on, now and later.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        drop(self.stop.take());
        let thread = self.thread.take().unwrap();
        if thread.join().is_err() && !std::thread::panicking() {
            panic!("the fault server has failed");
        }
    }
}

impl Shared {
    fn note(&self, seen: &Seen) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if !self.forgets.load(Ordering::Relaxed) {
            self.seen.lock().unwrap().push(seen.clone());
            self.arrived.notify_all();
        }
    }

    async fn released(&self) {
        self.released.subscribe().wait_for(|is_released| *is_released).await.unwrap();
    }

    /// How often this was asked before.
    fn turn(&self, target: &str) -> usize {
        let mut turns = self.turns.lock().unwrap();
        let turn = turns.entry(target.to_owned()).or_insert(0);
        *turn += 1;
        *turn - 1
    }
}

async fn accept(listener: TcpListener, manner: Manner, shared: Arc<Shared>) {
    let mut silent = Vec::new();
    loop {
        let Ok((tcp, _)) = listener.accept().await else { continue };
        tcp.set_nodelay(true).unwrap();
        let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        match &manner {
            Manner::Plain => drop(tokio::spawn(serve(tcp, connection, shared))),
            Manner::Tls(config) => drop(tokio::spawn(secure(tcp, Arc::clone(config), connection, shared))),
            Manner::CloseAfterAccept => drop(tcp),
            Manner::Silent => silent.push(tcp),
        }
    }
}

async fn secure(tcp: TcpStream, config: Arc<ServerConfig>, connection: usize, shared: Arc<Shared>) {
    let tls = match TlsAcceptor::from(config).accept(tcp).into_fallible().await {
        Ok(tls) => tls,
        Err((_, mut tcp)) => {
            // With bytes unread, to close sends RST, which would overtake the alert that says why.
            let _ = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await;
            return;
        }
    };
    if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
        return serve(tls, connection, shared).await;
    }
    let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (head, body) = request.into_parts();
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let seen = Seen {
                connection,
                method: head.method.to_string(),
                target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
                headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                body: body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default(),
            };
            shared.note(&seen);
            if seen.path() == "/hang-before-head" {
                shared.released().await;
            }
            Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(seen.json()))))
        }
    });
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = serving.serve_connection(TokioIo::new(tls), service).await;
}

/// The other side of a connection, TLS or not.
trait Peer: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Peer for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Peer for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// What becomes of a connection after an answer.
enum Then {
    Next,
    /// The next request on it meets its end.
    CloseAtNext,
    Close,
    Reset,
}

async fn serve<P: Peer>(mut peer: P, connection: usize, shared: Arc<Shared>) {
    let (mut buffer, mut ends) = (Vec::new(), false);
    while let Some(seen) = request(&mut peer, &mut buffer, connection).await {
        shared.note(&seen);
        if ends {
            return;
        }
        if seen.method == "CONNECT" {
            return tunnel(peer, &seen).await;
        }
        match answer(&mut peer, &seen, &shared).await {
            Ok(Then::Next) => {}
            Ok(Then::CloseAtNext) => ends = true,
            Ok(Then::Reset) => {
                // With nothing to linger for, the system sends RST.
                return socket2::SockRef::from(peer.tcp()).set_linger(Some(Duration::ZERO)).unwrap_or(());
            }
            Ok(Then::Close) | Err(_) => {
                let _ = peer.shutdown().await;
                let _ = tokio::io::copy(&mut peer, &mut tokio::io::sink()).await;
                shared.ended.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }
}

/// The next request; none at the end.
async fn request(peer: &mut impl Peer, buffer: &mut Vec<u8>, connection: usize) -> Option<Seen> {
    loop {
        let head = head(buffer, connection);
        if head.is_err() {
            // TLS, for one.
            let _ = peer.write_all(b"HTTP/1.1 400 No\r\nConnection: close\r\n\r\n").await;
            return None;
        }
        if let Ok(Some((seen, length, body))) = head
            && buffer.len() >= length + body
        {
            let seen = Seen { body: buffer[length..length + body].to_vec(), ..seen };
            buffer.drain(..length + body);
            return Some(seen);
        }
        let read = peer.read_buf(buffer).await.ok()?;
        if read == 0 || buffer.len() > REQUEST_BYTES_MAX {
            return None;
        }
    }
}

/// A head, its length, and that of the body behind it; nothing while it is not whole.
fn head(buffer: &[u8], connection: usize) -> Result<Option<(Seen, usize, usize)>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(buffer)? else { return Ok(None) };
    let seen = Seen {
        connection,
        method: request.method.unwrap().to_owned(),
        target: request.path.unwrap().to_owned(),
        headers: request
            .headers
            .iter()
            .map(|header| {
                (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
            })
            .collect(),
        body: Vec::new(),
    };
    assert_eq!(seen.header("transfer-encoding"), None, "bodies come with their length");
    let body = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    Ok(Some((seen, length, body)))
}

/// Leads to this machine, whatever the name is.
async fn tunnel(mut peer: impl Peer, seen: &Seen) {
    let port = seen.target.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    if seen.target.starts_with("refused.") {
        let _ = peer.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").await;
        return;
    }
    let Ok(mut onward) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        let _ = peer.write_all(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n").await;
        return;
    };
    let _ = peer.write_all(b"HTTP/1.1 200 Yes\r\n\r\n").await;
    let _ = tokio::io::copy_bidirectional(&mut peer, &mut onward).await;
}

type Outcome = std::io::Result<Then>;

async fn answer(peer: &mut impl Peer, seen: &Seen, shared: &Shared) -> Outcome {
    let path = seen.path();
    let (first, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    match first {
        "status" => whole(peer, number(rest), "", b"").await,
        "sequence" => {
            let statuses: Vec<&str> = rest.split(',').collect();
            let turn = shared.turn(&seen.target).min(statuses.len() - 1);
            whole(peer, number(statuses[turn]), "", b"").await
        }
        "shaky" => {
            let is_refused = is_refused_once(&seen.target) && shared.turn(&seen.target) == 0;
            whole(peer, if is_refused { 500 } else { 200 }, "", b"").await
        }
        "json" => {
            let text: Vec<u8> = percent_encoding::percent_decode_str(rest).collect();
            whole(peer, 200, "Content-Type: application/json\r\n", &text).await
        }
        "gone-once" => {
            let status = if shared.turn(&seen.target) == 0 { 410 } else { 200 };
            whole(peer, status, "Content-Type: application/json\r\n", seen.json().as_bytes()).await
        }
        "echo" => whole(peer, 200, "Content-Type: application/json\r\n", seen.json().as_bytes()).await,
        "retry-after" => {
            let when = rest.strip_prefix("seconds/").unwrap_or("Sat, 21 Nov 2026 00:00:00 GMT");
            whole(peer, 429, &format!("Retry-After: {when}\r\n"), b"").await
        }
        "redirect-to-metadata" => {
            whole(peer, 302, "Location: http://169.254.169.254/latest/meta-data/\r\n", b"").await
        }
        "body" => whole(peer, 200, "", &vec![b'x'; rest.parse().unwrap()]).await,
        "slow" => {
            tokio::time::sleep(Duration::from_millis(rest.parse().unwrap())).await;
            whole(peer, 200, "", b"").await
        }
        "huge-headers" => whole(peer, 200, &format!("X-Huge: {}\r\n", "x".repeat(1024 * 1024)), b"").await,
        "many-headers" => whole(peer, 200, &"X-Many: x\r\n".repeat(1_000), b"").await,
        _ => broken(peer, first, shared).await,
    }
}

/// Answers that are none, or that do not end well.
async fn broken(peer: &mut impl Peer, what: &str, shared: &Shared) -> Outcome {
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    match what {
        "hang-before-head" => {
            hang(peer, shared).await?;
            return whole(peer, 200, "", b"").await;
        }
        "hang-in-body" => {
            peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await?;
            hang(peer, shared).await?;
            peer.write_all(b"half").await?;
            return Ok(Then::Next);
        }
        "one-byte-a-second" => {
            peer.write_all(CHUNKED).await?;
            loop {
                peer.write_all(b"1\r\nx\r\n").await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        "endless-body" => {
            peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                peer.write_all(&[b'x'; 16 * 1024]).await?;
            }
        }
        "endless-chunks" => {
            peer.write_all(CHUNKED).await?;
            loop {
                peer.write_all(b"10\r\nxxxxxxxxxxxxxxxx\r\n").await?;
            }
        }
        "short-body" => peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await?,
        "garbage" => peer.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await?,
        "reset" => return Ok(Then::Reset),
        "reset-after-head" => {
            peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await?;
            peer.flush().await?;
            return Ok(Then::Reset);
        }
        "close" => {}
        "connection-close" => {
            whole(peer, 200, "Connection: close\r\n", b"").await?;
        }
        "close-after-answer" => {
            whole(peer, 200, "", b"").await?;
        }
        "close-keep-alive" => {
            whole(peer, 200, "", b"").await?;
            return Ok(Then::CloseAtNext);
        }
        _ => return whole(peer, 200, "", b"").await,
    }
    Ok(Then::Close)
}

/// Waits to be released, or for the other side's end.
async fn hang(peer: &mut impl Peer, shared: &Shared) -> std::io::Result<()> {
    tokio::select! {
        () = shared.released() => Ok(()),
        read = peer.read_u8() => read.map(drop),
    }
}

/// Whether `/shaky` refuses this target once: one in ten, wherever it lies among the others.
pub(crate) fn is_refused_once(target: &str) -> bool {
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    hasher.finish() % 10 == 7
}

fn number(text: &str) -> u16 {
    text.parse().unwrap_or_else(|_| panic!("a status: {text}"))
}

async fn whole(peer: &mut impl Peer, status: u16, headers: &str, body: &[u8]) -> Outcome {
    // 1xx, 204 and 304 have no body, and say nothing of its length.
    let length = match status {
        100..=199 | 204 | 304 => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let mut bytes = format!("HTTP/1.1 {status} Status\r\n{headers}{length}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    peer.write_all(&bytes).await?;
    peer.flush().await?;
    Ok(Then::Next)
}
