//! HTTP/2: the same answers, and a peer that breaks its rules in every way.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use clicklog::config::Settings;
use clicklog::ingest::Outcome;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Version};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::client::{Connection, connect};
use crate::secure::{Files, Inside, NAME, shake};
use crate::server::{CATALOG, Server};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What a peer is told that calls too often (RFC 9113, 7).
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A client that keeps the rules.
pub(crate) struct Http2 {
    runtime: tokio::runtime::Runtime,
    sender: SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Http2 {
    pub(crate) fn open(files: &Files, server: &Server) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut config = files.client();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let address = server.address();
        let (sender, connection) = runtime.block_on(async {
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from(NAME).unwrap();
            let inside = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
            assert_eq!(inside.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let (sender, connection) = h2::client::handshake(inside).await.unwrap();
            (sender, tokio::spawn(connection))
        });
        Self { runtime, sender, connection }
    }

    pub(crate) fn ask(&mut self, request: Request<Bytes>) -> Result<Answer, h2::Error> {
        let (mut head, body) = request.into_parts();
        head.version = Version::HTTP_2;
        self.runtime.block_on(async {
            let mut sender = self.sender.clone().ready().await?;
            let is_whole = body.is_empty();
            let (answer, mut stream) = sender.send_request(Request::from_parts(head, ()), is_whole)?;
            if !is_whole {
                stream.send_data(body, true)?;
            }
            let (head, mut rest) = answer.await?.into_parts();
            let mut body = Vec::new();
            while let Some(piece) = rest.data().await {
                let piece = piece?;
                rest.flow_control().release_capacity(piece.len())?;
                body.extend(piece);
            }
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        })
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        let request = Request::get(format!("https://{NAME}{target}"));
        self.ask(request.body(Bytes::new()).unwrap()).unwrap()
    }

    /// Asks for all of these before it waits for any answer, and begins so many forms that it never ends.
    pub(crate) fn at_once(&mut self, targets: &[&str], half: usize) -> Vec<Answer> {
        let Self { runtime, sender, .. } = self;
        runtime.block_on(async {
            let mut forms = Vec::new();
            for _ in 0..half {
                let request = Request::post(format!("https://{NAME}/track")).version(Version::HTTP_2);
                let mut ready = sender.clone().ready().await.unwrap();
                forms.push(ready.send_request(request.body(()).unwrap(), false).unwrap());
            }
            let mut answers = Vec::new();
            for target in targets {
                let request = Request::get(format!("https://{NAME}{target}")).version(Version::HTTP_2);
                let mut ready = sender.clone().ready().await.unwrap();
                answers.push(ready.send_request(request.body(()).unwrap(), true).unwrap().0);
            }
            let mut all = Vec::new();
            for answer in answers {
                let (head, _) = answer.await.unwrap().into_parts();
                all.push(Answer { status: head.status.as_u16(), headers: head.headers, body: Vec::new() });
            }
            // Dropped, they are taken back; before anything was answered they might not even have been sent.
            drop(forms);
            all
        })
    }

    /// Waits for the other side to end it.
    fn ended(self) -> Result<(), h2::Error> {
        drop(self.sender);
        self.runtime.block_on(self.connection).unwrap()
    }
}

/// A client that keeps none.
struct Raw(Inside);

/// A frame that was received.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Raw {
    /// A connection after its preface.
    fn open(files: &Files, server: &Server) -> Self {
        let mut raw = Self::silent(files, server);
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send(&frame(SETTINGS, 0, 0, b""));
        raw
    }

    fn silent(files: &Files, server: &Server) -> Self {
        let mut config = files.client();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self(shake(server.address(), NAME, Arc::new(config)).unwrap())
    }

    /// A peer that has closed already is no failure; what it said may still be read.
    fn send(&mut self, bytes: &[u8]) -> &mut Self {
        let _closed = self.0.write_all(bytes).and_then(|()| self.0.flush());
        self
    }

    /// The next frame; nothing once the peer has closed.
    fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let mut head = &head[..];
        let length = usize::try_from(head.get_uint(3)).unwrap();
        let (kind, _flags, stream) = (head.get_u8(), head.get_u8(), head.get_u32());
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).ok()?;
        Some(Frame { kind, stream, payload })
    }

    /// The next frame of this kind; nothing if none comes any more.
    fn receive_a(&mut self, kind: u8) -> Option<Frame> {
        std::iter::from_fn(|| self.receive()).find(|frame| frame.kind == kind)
    }

    /// Waits until the server has read all that was sent before.
    fn settle(&mut self) {
        self.send(&frame(PING, 0, 0, b"settled?"));
        let answered = |frame: &Frame| frame.kind == PING && frame.payload == b"settled?";
        assert!(std::iter::from_fn(|| self.receive()).any(|frame| answered(&frame)));
    }
}

impl Frame {
    /// The reason of one that ends something.
    fn reason(&self) -> u32 {
        let at = if self.kind == GO_AWAY { 4 } else { 0 };
        (&self.payload[at..]).get_u32()
    }

    /// The last stream that a GOAWAY says was looked at.
    fn last_stream(&self) -> u32 {
        (&self.payload[..]).get_u32()
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_uint(u64::try_from(payload.len()).unwrap(), 3);
    bytes.put_u8(kind);
    bytes.put_u8(flags);
    bytes.put_u32(stream);
    bytes.put_slice(payload);
    bytes
}

/// Fields as HPACK writes them when it compresses nothing (RFC 7541, 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            number(&mut bytes, text.len());
            bytes.extend(text.bytes());
        }
    }
    bytes
}

/// A length below a prefix of seven bits (RFC 7541, 5.1).
fn number(bytes: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return bytes.push(u8::try_from(length).unwrap());
    }
    bytes.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", NAME), (":path", "/c/spring")];

/// A whole request without a body.
fn request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields))
}

fn serve(files: &Files) -> Server {
    serve_with(files, |_| {})
}

fn serve_with(files: &Files, change: impl Fn(&mut Settings) + Send + Sync + 'static) -> Server {
    files.serve_with(CATALOG, files.by_name(), change)
}

/// Waits until so many requests have come and ended.
fn await_ended(server: &Server, count: u64) {
    let mut tries = 0;
    while server.totals().ended() < count {
        tries += 1;
        assert!(tries < 10_000, "waited in vain for {count}: {:?}", server.totals());
        std::thread::sleep(Duration::from_millis(1));
    }
    let totals = server.totals();
    assert_eq!((totals.received, totals.ended()), (count, count), "{totals:?}");
}

#[test]
fn a_click_a_script_and_a_postback_come_over_one_connection() {
    let files = Files::new();
    let server = serve(&files);
    let mut client = Http2::open(&files, &server);
    let click = client.get("/c/spring?zoneid=7");
    let cookie = click.headers["set-cookie"].to_str().unwrap();
    assert!(click.status == 302 && cookie.ends_with("; Secure; HttpOnly; SameSite=None"), "{click:?}");
    assert!(click.headers.get("connection").is_none());
    let id = cookie.strip_prefix("cl_cid=").and_then(|rest| rest.split(';').next()).unwrap().to_owned();
    let form = Request::post(format!("https://{NAME}/track")).body("campaign=spring".into()).unwrap();
    assert_eq!(client.ask(form).unwrap().status, 200);
    let target = format!("https://{NAME}/postback/boost");
    let body = format!("click_id={id}&transaction_id=1&payout=2");
    let postback = client.ask(Request::post(target).body(body.into()).unwrap()).unwrap();
    assert_eq!((postback.status, postback.headers["x-clicklog-result"].to_str().unwrap()), (200, "accepted"));
    let clicks = server.clicks();
    assert_eq!((clicks.len(), clicks[0].param("zone"), &*clicks[0].texts[0]), (2, Some("7"), NAME));
    let long = "x".repeat(64 * 1024 + 1);
    let refused = client.ask(Request::post(format!("https://{NAME}/track")).body(long.into()).unwrap());
    assert_eq!(refused.unwrap().status, 413);
    assert_eq!(client.get("/nothing").status, 404);
    let tried = Request::put(format!("https://{NAME}/c/spring")).body(Bytes::new()).unwrap();
    assert_eq!(client.ask(tried).unwrap().status, 405);
    assert_eq!(client.get("/out/x").body, b"not found\n");
    drop(client);
    await_ended(&server, 7);
    server.stop();
}

#[test]
fn the_front_check_holds() {
    let files = Files::new();
    let server = serve(&files);
    let mut client = Http2::open(&files, &server);
    let ask = |client: &mut Http2, target: &str, hosts: &[&str]| {
        let build = Request::get(target);
        let build = hosts.iter().fold(build, |build, host| build.header("host", *host));
        client.ask(build.body(Bytes::new()).unwrap()).unwrap().status
    };
    let target = format!("https://{NAME}/c/spring");
    assert_eq!(ask(&mut client, &target, &[NAME]), 302);
    assert_eq!(ask(&mut client, &target, &["TRK.example"]), 302);
    assert_eq!(ask(&mut client, &target, &["other.example"]), 400);
    assert_eq!(ask(&mut client, &target, &[NAME, NAME]), 400);
    assert_eq!(ask(&mut client, "https://other.example/c/spring", &[]), 421);
    assert_eq!(server.count(Outcome::Host), 2);
    let long = format!("https://{NAME}/c/spring?{}", "x".repeat(8 * 1024));
    assert_eq!(ask(&mut client, &long, &[]), 414);
    drop(client);
    // A proxy that speaks HTTP/1.1 in front may pass on the field alone.
    let mut raw = Raw::open(&files, &server);
    let [method, scheme, _, path] = GET;
    raw.send(&request(1, &[method, scheme, path, ("host", NAME)]));
    assert!(raw.receive_a(HEADERS).is_some());
    raw.send(&request(3, &[method, scheme, path]));
    assert!(raw.receive_a(HEADERS).is_some());
    server.await_count(Outcome::Host, 3);
    server.await_count(Outcome::Redirected, 3);
    drop(raw);
    server.stop();
}

#[test]
fn a_head_that_is_too_long_is_refused_and_counted() {
    let files = Files::new();
    let server = serve(&files);
    let mut client = Http2::open(&files, &server);
    for bytes in [17, 24, 40, 60] {
        let request = Request::get(format!("https://{NAME}/c/spring")).header("x", "y".repeat(bytes * 1024));
        let answer = client.ask(request.body(Bytes::new()).unwrap()).unwrap();
        assert_eq!(answer.status, 431, "{bytes} KiB");
    }
    assert_eq!(client.get("/c/spring").status, 302, "the connection goes on");
    drop(client);
    server.await_count(Outcome::HeadTooLong, 4);
    server.stop();
}

#[test]
fn requests_that_no_service_sees_are_counted_when_the_connection_has_ended() {
    let files = Files::new();
    let server = serve(&files);
    let mut raw = Raw::open(&files, &server);
    let [method, scheme, authority, path] = GET;
    let wrong: [&[(&str, &str)]; 5] = [
        &[method, scheme, authority, path, ("connection", "close")],
        &[method, scheme, authority, path, ("transfer-encoding", "chunked")],
        &[method, scheme, authority, path, path],
        &[scheme, authority, path],
        &[method, scheme, authority, path, ("te", "gzip")],
    ];
    for (n, fields) in (0..).zip(wrong) {
        raw.send(&request(2 * n + 1, fields));
        let reset = raw.receive_a(RESET).unwrap_or_else(|| panic!("no reset for {fields:?}"));
        assert_eq!((reset.stream, reset.reason()), (2 * n + 1, 1), "{fields:?}");
    }
    raw.send(&request(101, &GET));
    assert_eq!(raw.receive_a(HEADERS).unwrap().stream, 101);
    assert_eq!(server.totals().received, 1);
    drop(raw);
    await_ended(&server, 6);
    assert_eq!(server.count(Outcome::Malformed), 5);
    server.stop();
}

#[test]
fn what_breaks_the_rules_of_all_ends_the_connection_and_no_other() {
    let files = Files::new();
    let server = serve(&files);
    let mut good = Http2::open(&files, &server);
    let empty = block(&[]);
    let upper = [GET[0], GET[1], GET[2], GET[3], ("X-Upper", "a")];
    let cases: [(&str, Vec<u8>, u64); 7] = [
        ("a name in upper case", request(1, &upper), 1),
        ("a stream of an even number", request(2, &GET), 1),
        ("a block that is none", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80, 0xff, 0xff]), 1),
        ("data on no stream", frame(DATA, 0, 0, b"x"), 0),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &empty), 0),
        ("a frame that is too long", [&[0x10, 0, 0, DATA, 0, 0, 0, 0, 1][..], &[0; 1024]].concat(), 0),
        ("settings of a wrong length", frame(SETTINGS, 0, 0, b"x"), 0),
    ];
    let mut requests = 0;
    for (what, bytes, count) in cases {
        let mut raw = Raw::open(&files, &server);
        raw.send(&bytes);
        assert!(raw.receive_a(GO_AWAY).is_some(), "{what}");
        assert_eq!(raw.receive_a(HEADERS), None, "{what}");
        requests += count;
        server.await_count(Outcome::Malformed, requests);
    }
    let mut raw = Raw::silent(&files, &server);
    raw.send(b"GET /c/spring HTTP/1.1\r\nHost: trk.example\r\n\r\n");
    assert_eq!(raw.receive_a(HEADERS), None, "what was agreed on was HTTP/2");
    assert_eq!(good.get("/c/spring").status, 302);
    drop((good, raw));
    await_ended(&server, requests + 1);
    server.stop();
}

#[test]
fn a_flood_of_requests_that_are_taken_back_is_stopped_while_others_are_served() {
    let files = Files::new();
    let server = serve(&files);
    let mut good = Http2::open(&files, &server);
    let mut flood = Raw::open(&files, &server);
    let mut pair = |n: u32| {
        let stream = 2 * n + 1;
        [request(stream, &GET), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat()
    };
    // As much as is read at once: what is unread when a connection is closed would take the answer away.
    flood.send(&(0..60).flat_map(&mut pair).collect::<Vec<u8>>());
    let told = flood.receive_a(GO_AWAY).unwrap();
    assert_eq!(told.reason(), ENHANCE_YOUR_CALM);
    assert_eq!(flood.receive_a(HEADERS), None);
    let mut longer = Raw::open(&files, &server);
    longer.send(&(0..20_000).flat_map(&mut pair).collect::<Vec<u8>>());
    assert_eq!(longer.receive_a(HEADERS), None);
    drop((flood, longer));
    for _ in 0..10 {
        assert_eq!(good.get("/favicon.ico").status, 204);
    }
    drop(good);
    // How far the flood was read before it was stopped, nobody can say; what was read is in the books.
    server.stop();
}

#[test]
fn a_flood_of_heads_without_an_end_is_stopped() {
    let files = Files::new();
    let server = serve(&files);
    let mut flood = Raw::open(&files, &server);
    flood.send(&frame(HEADERS, END_STREAM, 1, &block(&GET)));
    let piece = frame(CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(8_000))]));
    for _ in 0..200 {
        flood.send(&piece);
    }
    assert_eq!(flood.receive_a(HEADERS), None);
    drop(flood);
    await_ended(&server, 1);
    server.stop();
}

#[test]
fn no_more_streams_are_open_at_once_than_the_bound_says() {
    let files = Files::new();
    let server = serve(&files);
    let mut raw = Raw::open(&files, &server);
    let [_, scheme, authority, _] = GET;
    let fields = block(&[(":method", "POST"), scheme, authority, (":path", "/track")]);
    // Heads of requests whose bodies never come.
    for n in 0..150u32 {
        raw.send(&frame(HEADERS, END_HEADERS, 2 * n + 1, &fields));
    }
    for n in 128..150u32 {
        let refused = raw.receive_a(RESET).unwrap();
        assert_eq!((refused.stream, refused.reason()), (2 * n + 1, REFUSED_STREAM));
    }
    raw.send(&frame(DATA, END_STREAM, 1, b"campaign=spring"));
    assert_eq!(raw.receive_a(HEADERS).unwrap().stream, 1, "those that are open are served");
    assert_eq!(server.totals().received, 128);
    drop(raw);
    await_ended(&server, 150);
    assert_eq!((server.count(Outcome::Tracked), server.count(Outcome::Aborted)), (1, 127));
    server.stop();
}

#[test]
fn a_connection_that_idles_or_never_ends_its_head_is_let_go() {
    let files = Files::new();
    let server = serve(&files);
    let mut idle = Raw::open(&files, &server);
    idle.settle();
    server.clock.advance(Duration::from_secs(70));
    idle.send(&request(1, &GET));
    assert!(idle.receive_a(HEADERS).is_some());
    idle.settle();
    server.clock.advance(Duration::from_secs(70));
    // To be there is not to ask for anything.
    idle.settle();
    server.clock.advance(Duration::from_secs(6));
    assert_eq!(idle.receive_a(HEADERS), None);

    let mut slow = Raw::open(&files, &server);
    slow.send(&frame(HEADERS, END_STREAM, 1, &block(&GET[..2])));
    let mut begun = Raw::silent(&files, &server);
    begun.send(b"PRI * HTTP");
    // Whatever was sent before is read before the next connection is served; on each of two workers.
    (0..20).for_each(|_| assert_eq!(server_is_there(&files, &server), 204));
    server.clock.advance(Duration::from_secs(9));
    (0..20).for_each(|_| assert_eq!(server_is_there(&files, &server), 204));
    assert_eq!(server.count(Outcome::HeadTimeout), 0);
    server.advance_until(Duration::from_secs(50), || server.count(Outcome::HeadTimeout) == 1);
    assert_eq!(slow.receive_a(HEADERS), None);
    assert_eq!(begun.receive_a(HEADERS), None);
    server.stop();
}

fn server_is_there(files: &Files, server: &Server) -> u16 {
    files
        .open(server)
        .send("GET /favicon.ico HTTP/1.1\r\nHost: trk.example\r\n\r\n")
        .receive()
        .unwrap()
        .status
}

#[test]
fn a_peer_that_opens_no_window_for_answers_is_let_go() {
    let files = Files::new();
    let server = serve(&files);
    let mut deaf = Raw::open(&files, &server);
    // SETTINGS_INITIAL_WINDOW_SIZE is 4.
    deaf.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    let [method, scheme, authority, _] = GET;
    for stream in [1, 3, 5] {
        deaf.send(&request(stream, &[method, scheme, authority, (":path", "/t.js")]));
        assert_eq!(deaf.receive_a(HEADERS).unwrap().stream, stream, "a head needs no window");
    }
    deaf.settle();
    server.clock.advance(Duration::from_secs(76));
    assert_eq!(deaf.receive_a(DATA), None);
    await_ended(&server, 3);
    assert_eq!(server.count(Outcome::Script), 3);
    server.stop();
}

#[test]
fn a_body_that_drips_is_answered_408() {
    let files = Files::new();
    let server = serve(&files);
    let mut slow = Raw::open(&files, &server);
    let [_, scheme, authority, _] = GET;
    let fields = block(&[(":method", "POST"), scheme, authority, (":path", "/track")]);
    slow.send(&frame(HEADERS, END_HEADERS, 1, &fields)).send(&frame(DATA, 0, 1, b"campaign"));
    server.advance_until(Duration::from_secs(60), || server.count(Outcome::BodyTimeout) == 1);
    assert!(slow.receive_a(HEADERS).is_some());
    drop(slow);
    server.stop();
}

#[test]
fn the_last_request_of_a_connection_says_so() {
    let files = Files::new();
    let server = serve_with(&files, |settings| settings.edge.requests_per_connection_max = 3);
    let mut client = Http2::open(&files, &server);
    for _ in 0..3 {
        assert_eq!(client.get("/c/spring").status, 302);
    }
    // What the client says for its part may meet a connection that is closed.
    assert!(client.ended().err().is_none_or(|error| error.is_io()));
    assert_eq!(server.clicks().len(), 3);
    server.stop();
}

#[test]
fn a_stop_lets_requests_end_and_takes_no_more() {
    let files = Files::new();
    let server = serve(&files);
    let mut idle = Raw::open(&files, &server);
    idle.settle();
    let mut busy = Raw::open(&files, &server);
    let [_, scheme, authority, _] = GET;
    let fields = block(&[(":method", "POST"), scheme, authority, (":path", "/track")]);
    busy.send(&frame(HEADERS, END_HEADERS, 1, &fields));
    busy.settle();
    let stopping = std::thread::spawn(move || server.stop());
    for raw in [&mut idle, &mut busy] {
        assert_eq!(raw.receive_a(GO_AWAY).unwrap().reason(), 0);
    }
    // The library asks whether that has arrived before it names the last stream.
    for raw in [&mut idle, &mut busy] {
        let asked = raw.receive_a(PING).unwrap();
        raw.send(&frame(PING, ACK, 0, &asked.payload));
    }
    busy.send(&frame(DATA, END_STREAM, 1, b"campaign=spring"));
    assert!(busy.receive_a(HEADERS).is_some(), "what was begun is answered");
    let folder = stopping.join().unwrap();
    assert_eq!(crate::server::clicks(&folder.path().join("data")).len(), 1);
}

#[test]
fn who_agrees_on_no_protocol_speaks_the_old_one_and_who_knows_neither_is_refused() {
    let files = Files::new();
    let server = serve(&files);
    let mut old = files.client();
    old.alpn_protocols = vec![b"http/1.1".to_vec()];
    for client in [files.client(), old] {
        let inside = shake(server.address(), NAME, Arc::new(client)).unwrap();
        let mut connection = Connection::over(inside);
        let answer = connection.send("GET /c/spring HTTP/1.1\r\nHost: trk.example\r\n\r\n").receive();
        assert_eq!(answer.unwrap().status, 302);
    }
    let mut neither = files.client();
    neither.alpn_protocols = vec![b"spdy/3".to_vec()];
    assert!(shake(server.address(), NAME, Arc::new(neither)).is_err());
    // Nobody upgrades on a plain port, nor is HTTP/2 understood there.
    let mut plain = connect(server.daemon().addresses()[1]);
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut told = Vec::new();
    plain.read_to_end(&mut told).unwrap();
    assert_eq!(String::from_utf8_lossy(&told), "");
    server.await_count(Outcome::Malformed, 1);
    server.stop();
}

/// Whether its peer has closed it; one that does neither close nor say anything for long has not.
pub(crate) fn is_closed(stream: &mut impl Read) -> bool {
    let mut said = Vec::new();
    let ended = stream.read_to_end(&mut said);
    ended.err().is_none_or(|error| !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// A visitor who comes is more than a connection that idles, but a request that is on the road is not lost to it.
#[test]
fn who_makes_room_for_a_visitor_is_told_so_and_loses_no_request() {
    let files = Files::new();
    let server = serve_with(&files, |settings| {
        settings.edge.connections_max = 20;
        settings.edge.workers = 1;
    });
    let mut idle = Raw::open(&files, &server);
    idle.settle();
    let others: Vec<Raw> = (0..17).map(|_| Raw::open(&files, &server)).collect();
    server.clock.advance(Duration::from_secs(2));
    let mut visitor = Http2::open(&files, &server);
    assert_eq!(visitor.get("/c/spring").status, 302);
    // Asked to leave by now, and has not heard of it when it sends these.
    let [_, scheme, authority, _] = GET;
    let postback = "/postback/boost?click_id=a&transaction_id=1";
    let report = [(":method", "GET"), scheme, authority, (":path", postback)];
    idle.send(&request(1, &GET)).send(&request(3, &report));
    let first = idle.receive_a(GO_AWAY).unwrap();
    assert_eq!((first.reason(), first.last_stream()), (0, u32::MAX >> 1));
    let asked = idle.receive_a(PING).unwrap();
    idle.send(&frame(PING, ACK, 0, &asked.payload));
    let told: Vec<Frame> = std::iter::from_fn(|| idle.receive()).collect();
    let answered: BTreeSet<u32> =
        told.iter().filter(|frame| frame.kind == HEADERS).map(|frame| frame.stream).collect();
    assert_eq!(answered, BTreeSet::from([1, 3]), "{told:?}");
    let last = told.iter().rfind(|frame| frame.kind == GO_AWAY).unwrap();
    assert_eq!((last.reason(), last.last_stream()), (0, 3), "what would have come later was not looked at");
    assert_eq!((server.count(Outcome::Redirected), server.count(Outcome::Unmatched)), (2, 1));
    assert_eq!(server.count(Outcome::Aborted), 0);
    drop((others, visitor));
    server.stop();
}

#[test]
fn who_makes_room_and_says_nothing_is_let_go_all_the_same() {
    let files = Files::new();
    let server = serve_with(&files, |settings| {
        settings.edge.connections_max = 20;
        settings.edge.workers = 1;
    });
    let mut gone = Raw::open(&files, &server);
    gone.settle();
    let others: Vec<Raw> = (0..17).map(|_| Raw::open(&files, &server)).collect();
    server.clock.advance(Duration::from_secs(2));
    let _visitor = Http2::open(&files, &server);
    server.advance_until(Duration::from_secs(10), || server.daemon().edge().connections() == 18);
    assert!(is_closed(&mut gone.0));
    drop(others);
    server.stop();
}

#[test]
fn a_stop_does_not_wait_for_a_peer_that_is_gone() {
    let files = Files::new();
    let server = serve(&files);
    let mut gone = Raw::open(&files, &server);
    gone.settle();
    // Its clock stands still: whoever waited for the end of the drain would wait for ever.
    let stopping = std::thread::spawn(move || server.stop());
    assert!(is_closed(&mut gone.0));
    drop(stopping.join().unwrap());
}

#[test]
fn each_frame_has_its_own_time_however_the_bytes_are_cut() {
    let files = Files::new();
    let server = serve(&files);
    let mut busy = Raw::open(&files, &server);
    busy.settle();
    let ping = frame(PING, 0, 0, b"settled?");
    busy.send(&ping[..5]);
    for _ in 0..5 {
        // The rest of one with the beginning of the next.
        (0..20).for_each(|_| assert_eq!(server_is_there(&files, &server), 204));
        server.clock.advance(Duration::from_secs(6));
        busy.send(&[&ping[5..], &ping[..5]].concat());
        assert!(busy.receive_a(PING).is_some(), "it is slow, but none of it took ten seconds");
    }
    drop(busy);
    server.stop();
}
