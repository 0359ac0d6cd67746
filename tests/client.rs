//! The dispatcher's client against a destination that misbehaves in every way: what comes of each attempt, and where it goes.
//!
//! Every URL carries a secret in its query: no failure may repeat it.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "support/certificates.rs"]
mod certificates;
#[expect(dead_code, reason = "other test files use the rest of it")]
#[path = "support/faults.rs"]
mod faults;
#[path = "support/frames.rs"]
mod frames;
#[path = "client/unprocessed.rs"]
mod unprocessed;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use certificates::{Authority, Flaw, Identity};
use clicklog::clock::{Clock, ManualClock, Timestamp};
use clicklog::dispatcher::class::Fault;
use clicklog::dispatcher::client::{ClientError, Clients, Failed, Options, Received, Resolver};
use clicklog::dispatcher::outbound::{Route, TokenSource};
use clicklog::dispatcher::success::BODY_BYTES_MAX;
use clicklog::dispatcher::token::{TokenError, Tokens};
use faults::{Faults, Manner};
use http::{Method, Request, Uri};

/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// For those who never answer.
const SHORT: Duration = Duration::from_millis(300);

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Clients for which every name leads to these addresses, and none that begins with `nowhere`.
fn clients_of(addresses: &[&str], options: Options) -> Clients {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let resolver = Resolver::Function(Arc::new(move |name| match name {
        nowhere if nowhere.starts_with("nowhere") => Err(io::Error::other("no such name")),
        _ => Ok(addresses.clone()),
    }));
    Clients::new(Options { resolver, ..options }).unwrap()
}

fn clients() -> Clients {
    clients_of(&["127.0.0.1"], Options::default())
}

/// A route that may reach this machine.
fn home() -> Arc<Route> {
    Arc::new(allowing(&["127.0.0.0/8"]))
}

fn allowing(nets: &[&str]) -> Route {
    Route { allow: nets.iter().map(|net| net.parse().unwrap()).collect(), ..Route::default() }
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(format!("{url}?secret=hidden")).body(Bytes::new()).unwrap()
}

async fn send(clients: &Clients, route: &Arc<Route>, url: &str) -> Result<Received, Failed> {
    send_within(clients, route, get(url), PATIENCE).await
}

async fn send_within(
    clients: &Clients,
    route: &Arc<Route>,
    request: Request<Bytes>,
    timeout: Duration,
) -> Result<Received, Failed> {
    let outcome = clients.send(request, route, timeout).await;
    if let Err(failed) = &outcome {
        assert!(!failed.detail.contains("hidden"), "{failed:?}");
        assert!(!failed.detail.is_empty(), "{failed:?}");
    }
    outcome
}

/// What an attempt came to: a status, or a fault.
async fn outcome(clients: &Clients, route: &Arc<Route>, url: &str) -> Result<u16, Fault> {
    send(clients, route, url).await.map(|received| received.status).map_err(|failed| failed.fault)
}

#[test]
fn every_status_comes_back_as_it_is_and_nothing_is_followed() {
    let server = Faults::plain();
    block_on(async {
        let (clients, route) = (clients(), home());
        for status in [200, 201, 204, 301, 304, 308, 400, 401, 404, 410, 429, 500, 503, 599, 999] {
            let url = server.url(&format!("/status/{status}"));
            let received = send(&clients, &route, &url).await.unwrap();
            assert_eq!((received.status, received.is_whole, received.is_broken), (status, true, false));
        }
        assert_eq!(outcome(&clients, &route, &server.url("/redirect-to-metadata")).await, Ok(302));
    });
    assert_eq!((server.requests(), server.connections()), (16, 1));
}

#[test]
fn a_request_arrives_as_it_was_made() {
    let server = Faults::plain();
    block_on(async {
        let request = Request::builder()
            .method(Method::POST)
            .uri(server.url_at("ads.example", "/echo?a=1"))
            .header("X-Key", "one")
            .body(Bytes::from_static(b"{\"a\":1}"))
            .unwrap();
        let received = send_within(&clients(), &home(), request, PATIENCE).await.unwrap();
        let echo: serde_json::Value = serde_json::from_slice(&received.body).unwrap();
        assert_eq!(echo["target"], "/echo?a=1");
        assert_eq!(echo["body"], "{\"a\":1}");
    });
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.header("x-key")), ("POST", Some("one")));
    assert_eq!(seen.header("host"), Some(format!("ads.example:{}", server.address.port()).as_str()));
    assert_eq!(seen.header("content-length"), Some("7"));
    assert_eq!(seen.headers.len(), 3, "nothing is added: {:?}", seen.headers);
}

#[test]
fn when_to_come_back_is_told_in_both_forms() {
    let server = Faults::plain();
    block_on(async {
        for (path, text) in [("seconds/120", "120"), ("date", "Sat, 21 Nov 2026 00:00:00 GMT")] {
            let url = server.url(&format!("/retry-after/{path}"));
            let received = send(&clients(), &home(), &url).await.unwrap();
            assert_eq!((received.status, received.retry_after.unwrap().to_str().unwrap()), (429, text));
        }
        assert_eq!(send(&clients(), &home(), &server.url("/ok")).await.unwrap().retry_after, None);
    });
}

#[test]
fn an_answer_that_is_none_says_that_the_request_may_have_been_taken() {
    let server = Faults::plain();
    block_on(async {
        let (clients, route) = (clients(), home());
        for path in ["/reset", "/close", "/garbage", "/huge-headers", "/many-headers"] {
            // Twice: also over a connection that was used before.
            for _ in 0..2 {
                let found = outcome(&clients, &route, &server.url(path)).await;
                assert_eq!(found, Err(Fault::SentNoAnswer), "{path}");
                assert_eq!(outcome(&clients, &route, &server.url("/ok")).await, Ok(200));
            }
        }
        let failed = send_within(&clients, &route, get(&server.url("/hang-before-head")), SHORT).await;
        assert_eq!(failed.unwrap_err().fault, Fault::SentNoAnswer);
    });
    assert_eq!(server.requests(), 21, "none of them was repeated");
}

#[test]
fn an_answer_that_comes_in_time_is_waited_for() {
    let server = Faults::plain();
    block_on(async {
        let (clients, route) = (clients(), home());
        let (a, b) = (server.url("/hang-before-head"), server.url("/hang-in-body"));
        let release = async {
            while server.requests() < 2 {
                tokio::task::yield_now().await;
            }
            server.release();
        };
        let (a, b, ()) = tokio::join!(send(&clients, &route, &a), send(&clients, &route, &b), release);
        assert_eq!((a.unwrap().status, &b.unwrap().body[..]), (200, &b"halfhalf"[..]));
    });
}

#[test]
fn an_answer_without_its_end_is_told_as_such() {
    let server = Faults::plain();
    block_on(async {
        let (clients, route) = (clients(), home());
        for path in ["/hang-in-body", "/short-body", "/reset-after-head", "/one-byte-a-second"] {
            let received = send_within(&clients, &route, get(&server.url(path)), SHORT).await.unwrap();
            assert_eq!(
                (received.status, received.is_whole, received.is_broken),
                (200, false, true),
                "{path}"
            );
            assert!(matches!(&received.body[..], b"half" | b"x" | b""), "{path}: {:?}", received.body);
        }
    });
}

#[test]
fn no_more_of_a_body_is_read_than_is_looked_at() {
    let server = Faults::plain();
    block_on(async {
        let (clients, route) = (clients(), home());
        for (path, length, is_whole) in [
            ("/body/0".to_owned(), 0, true),
            (format!("/body/{BODY_BYTES_MAX}"), BODY_BYTES_MAX, true),
            (format!("/body/{}", BODY_BYTES_MAX + 1), BODY_BYTES_MAX, false),
            ("/body/10000000".to_owned(), BODY_BYTES_MAX, false),
            ("/endless-body".to_owned(), BODY_BYTES_MAX, false),
            ("/endless-chunks".to_owned(), BODY_BYTES_MAX, false),
        ] {
            let received = send(&clients, &route, &server.url(&path)).await.unwrap();
            assert_eq!(
                (received.body.len(), received.is_whole, received.is_broken),
                (length, is_whole, false)
            );
        }
    });
}

#[test]
fn what_never_left_is_told_from_what_may_have() {
    // A port that is taken, and at which nobody listens.
    let taken = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    taken.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let closed = taken.local_addr().unwrap().as_socket().unwrap();
    let (at_once, silent) = (Faults::start(Manner::CloseAfterAccept), Faults::start(Manner::Silent));
    let plain = Faults::plain();
    block_on(async {
        let (clients, route) = (clients(), home());
        let port = silent.address.port();
        for (url, expected) in [
            (format!("http://{closed}/"), &[Fault::Refused][..]),
            ("http://nowhere.example/".to_owned(), &[Fault::Dns]),
            (format!("https://127.0.0.1:{port}/"), &[Fault::TimeoutBeforeSent]),
            (format!("http://127.0.0.1:{port}/"), &[Fault::SentNoAnswer]),
            (format!("https://{}/", plain.address), &[Fault::Tls]),
            // Whether anything left before the end was seen is a race; that it is known is not.
            (at_once.url("/"), &[Fault::SentNoAnswer, Fault::Connect]),
        ] {
            let failed = send_within(&clients, &route, get(&url), SHORT).await.unwrap_err();
            assert!(expected.contains(&failed.fault), "{url}: {failed:?}");
        }
    });
}

#[test]
fn a_look_up_that_hangs_is_cut_off_by_the_deadline() {
    let (answer, answers) = mpsc::sync_channel::<()>(0);
    let answers = Mutex::new(answers);
    let resolver = Resolver::Function(Arc::new(move |_| {
        let _ = answers.lock().unwrap().recv();
        Err(io::Error::other("too late"))
    }));
    block_on(async {
        let clients = Clients::new(Options { resolver, ..Options::default() }).unwrap();
        let failed = send_within(&clients, &home(), get("http://slow.example/"), SHORT).await.unwrap_err();
        assert_eq!(failed.fault, Fault::TimeoutBeforeSent, "{failed:?}");
        drop(answer);
    });
}

#[test]
fn what_is_no_request_to_a_host_is_not_made() {
    block_on(async {
        let (clients, route) = (clients(), home());
        for url in ["ftp://a.example/", "http://user:hidden@a.example/", "http://1.2.3.4.5/", "/only-a-path"]
        {
            let failed = send(&clients, &route, url).await.unwrap_err();
            assert_eq!(failed.fault, Fault::Unmade, "{url}: {failed:?}");
        }
        let connect = Request::connect("http://a.example/").body(Bytes::new()).unwrap();
        let failed = send_within(&clients, &route, connect, PATIENCE).await.unwrap_err();
        assert_eq!(failed.fault, Fault::Unmade);
    });
}

#[test]
fn no_spelling_of_an_address_gets_past_the_guard() {
    let server = Faults::plain();
    let port = server.address.port();
    block_on(async {
        let (clients, route) = (clients(), Arc::new(Route::default()));
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "0x7f000001",
            "127.0.0.1.",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "[::127.0.0.1]",
            "0.0.0.0",
            "0",
            "169.254.169.254",
            "localhost",
            "ads.example",
        ] {
            for scheme in ["http", "https"] {
                let found = outcome(&clients, &route, &format!("{scheme}://{host}:{port}/ok")).await;
                assert_eq!(found, Err(Fault::Forbidden), "{scheme}://{host}");
            }
        }
    });
    assert_eq!(server.connections(), 0);
}

#[test]
fn of_a_name_s_addresses_only_the_allowed_ones_are_tried() {
    let server = Faults::plain();
    block_on(async {
        let url = server.url_at("ads.example", "/ok");
        for (addresses, allowed, expected) in [
            (&["169.254.169.254", "10.0.0.1", "127.0.0.1"][..], "127.0.0.0/8", Ok(200)),
            (&["169.254.169.254", "127.0.0.1"], "169.254.0.0/16", Err(Fault::Forbidden)),
            // Nobody listens at the first.
            (&["127.0.0.9", "127.0.0.1"], "127.0.0.0/8", Ok(200)),
            (&["127.0.0.9", "127.0.0.8"], "127.0.0.0/8", Err(Fault::Refused)),
            (&[], "127.0.0.0/8", Err(Fault::Dns)),
        ] {
            let clients = clients_of(addresses, Options::default());
            let route = Arc::new(allowing(&[allowed]));
            assert_eq!(outcome(&clients, &route, &url).await, expected, "{addresses:?}");
        }
    });
}

#[test]
fn a_name_that_comes_to_lead_elsewhere_is_checked_again() {
    let server = Faults::plain();
    let asked = Arc::new(AtomicUsize::new(0));
    let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
    let counted = Arc::clone(&asked);
    let resolver = Resolver::Function(Arc::new(move |_| {
        let addresses = ["127.0.0.1", "169.254.169.254", "10.0.0.1"];
        Ok(vec![addresses[counted.fetch_add(1, Ordering::SeqCst).min(2)].parse().unwrap()])
    }));
    block_on(async {
        let clock_of_clients = Clock::Manual(clock.clone());
        let clients =
            Clients::new(Options { resolver, clock: clock_of_clients, ..Options::default() }).unwrap();
        let route = home();
        let url = server.url_at("rebinding.example", "/connection-close");
        assert_eq!(outcome(&clients, &route, &url).await, Ok(200));
        for _ in 0..2 {
            clock.advance(Duration::from_secs(31));
            assert_eq!(outcome(&clients, &route, &url).await, Err(Fault::Forbidden));
        }
    });
    assert_eq!((asked.load(Ordering::SeqCst), server.requests()), (3, 1));
}

/// The system connects 0.0.0.0 to 127.0.0.1: the one case here in which the peer is another than was asked for.
#[test]
fn the_connected_peer_is_checked_too() {
    let server = Faults::plain();
    block_on(async {
        let route = Arc::new(allowing(&["0.0.0.0/32"]));
        let url = format!("http://0.0.0.0:{}/ok", server.address.port());
        let failed = send(&clients(), &route, &url).await.unwrap_err();
        assert_eq!(failed.fault, Fault::Forbidden);
        assert!(failed.detail.contains("127.0.0.1"), "{}", failed.detail);
    });
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_connection_that_one_route_may_open_serves_no_other() {
    let server = Faults::plain();
    block_on(async {
        let clients = clients();
        let url = server.url("/ok");
        assert_eq!(outcome(&clients, &home(), &url).await, Ok(200));
        assert_eq!(outcome(&clients, &Arc::new(Route::default()), &url).await, Err(Fault::Forbidden));
        assert_eq!(outcome(&clients, &home(), &url).await, Ok(200), "an equal route, elsewhere in memory");
    });
    assert_eq!((server.requests(), server.connections()), (2, 1));
}

#[test]
fn connections_are_kept_and_counted() {
    let (plain, authority) = (Faults::plain(), Authority::new());
    let secure = Faults::start(Manner::Tls(authority.issue("127.0.0.1", Flaw::None).server()));
    block_on(async {
        let clients =
            clients_of(&["127.0.0.1"], Options { roots: vec![authority.der], ..Options::default() });
        let route = home();
        for server in [&plain, &secure] {
            for _ in 0..10 {
                assert_eq!(outcome(&clients, &route, &server.url("/echo")).await, Ok(200));
            }
            assert_eq!(server.connections(), 1);
        }
        let counts = clients.counts();
        assert_eq!((counts.opened, counts.reused, counts.looked_up), (2, 18, 0));
        clients.keep(&[]);
        for _ in 0..2 {
            assert_eq!(outcome(&clients, &route, &plain.url_at("ads.example", "/ok")).await, Ok(200));
            clients.keep(&[]);
        }
        let counts = clients.counts();
        assert_eq!((counts.opened, counts.looked_up, counts.remembered), (4, 1, 1));
    });
    assert_eq!(plain.connections(), 3);
}

/// Where a body comes in a piece of its own, its connection is back in the pool a turn later than the answer is whole.
#[test]
fn those_who_send_one_after_another_open_one_connection_each() {
    let server = Faults::plain();
    let (clients, route, url) = (Arc::new(clients()), home(), server.url("/body/9000"));
    block_on(async {
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (clients, route, url) = (Arc::clone(&clients), Arc::clone(&route), url.clone());
            senders.spawn(async move {
                for _ in 0..20 {
                    assert_eq!(outcome(&clients, &route, &url).await, Ok(200));
                }
            });
        }
        senders.join_all().await;
    });
    assert_eq!((server.requests(), server.connections()), (320, 16));
}

#[test]
fn what_may_have_left_over_a_kept_connection_is_not_sent_again() {
    let server = Faults::plain();
    block_on(async {
        let (clients, route) = (clients(), home());
        let url = server.url("/close-keep-alive");
        for _ in 0..3 {
            assert_eq!(outcome(&clients, &route, &url).await, Ok(200));
            assert_eq!(outcome(&clients, &route, &url).await, Err(Fault::SentNoAnswer));
        }
    });
    assert_eq!(server.requests(), 6, "each attempt arrived once");
}

#[test]
fn a_connection_that_was_closed_while_idle_costs_no_attempt() {
    let server = Faults::plain();
    block_on(async {
        let (clients, route) = (clients(), home());
        for turn in 0..20 {
            let found = outcome(&clients, &route, &server.url("/close-after-answer")).await;
            assert_eq!(found, Ok(200), "turn {turn}");
            // Until the end has come to us, and ours back to it.
            while server.ended() <= turn {
                tokio::task::yield_now().await;
            }
        }
    });
    assert_eq!(server.connections(), 20);
}

#[test]
fn http_2_is_spoken_only_where_it_is_asked_for() {
    let authority = Authority::new();
    let server = Faults::start(Manner::Tls(authority.issue("ads.example", Flaw::None).server()));
    block_on(async {
        let clients =
            clients_of(&["127.0.0.1"], Options { roots: vec![authority.der], ..Options::default() });
        let url = server.url_at("ads.example", "/echo");
        let second = Arc::new(Route { http2: true, ..allowing(&["127.0.0.0/8"]) });
        assert_eq!(outcome(&clients, &home(), &url).await, Ok(200));
        assert_eq!(outcome(&clients, &second, &url).await, Ok(200));
        let (a, b, c) = tokio::join!(
            outcome(&clients, &second, &url),
            outcome(&clients, &second, &url),
            outcome(&clients, &second, &url)
        );
        assert_eq!([a, b, c], [Ok(200); 3]);
        let hanging = get(&server.url_at("ads.example", "/hang-before-head"));
        let failed = send_within(&clients, &second, hanging, SHORT).await.unwrap_err();
        assert_eq!(failed.fault, Fault::SentNoAnswer, "{failed:?}");
    });
    // HTTP/2 has no Host.
    let versions: Vec<bool> = server.seen().iter().map(|seen| seen.header("host").is_none()).collect();
    assert_eq!(versions, [false, true, true, true, true, true]);
    assert_eq!(server.connections(), 2, "those at once share one");
}

#[test]
fn only_certificates_that_hold_are_believed() {
    let authority = Authority::new();
    let ours = || Options { roots: vec![authority.der.clone()], ..Options::default() };
    let of_route = Route { roots: vec![authority.der.clone()], ..allowing(&["127.0.0.0/8"]) };
    let good = authority.issue("ads.example", Flaw::None);
    for (identity, options, route, expected, word) in [
        (&good, ours(), home(), Ok(200), ""),
        (&good, Options::default(), Arc::new(of_route), Ok(200), ""),
        (&good, Options::default(), home(), Err(Fault::Tls), "UnknownIssuer"),
        (&authority.issue("ads.example", Flaw::Expired), ours(), home(), Err(Fault::Tls), "expired"),
        (
            &authority.issue("other.example", Flaw::None),
            ours(),
            home(),
            Err(Fault::Tls),
            "not valid for name",
        ),
        (&Identity::self_signed("ads.example"), ours(), home(), Err(Fault::Tls), "UnknownIssuer"),
    ] {
        let server = Faults::start(Manner::Tls(identity.server()));
        let clients = clients_of(&["127.0.0.1"], options);
        let url = server.url_at("ads.example", "/ok");
        let found = block_on(send(&clients, &route, &url));
        let found = found.map(|received| received.status).map_err(|failed| {
            assert!(failed.detail.contains(word), "{} does not say {word}", failed.detail);
            failed.fault
        });
        assert_eq!((found, server.requests()), (expected, usize::from(expected.is_ok())));
    }
}

#[test]
fn who_wants_to_know_us_is_shown_a_certificate() {
    let authority = Authority::new();
    let identity = authority.issue("ads.example", Flaw::None);
    let server = Faults::start(Manner::Tls(authority.demanding_server(&identity)));
    let client = authority.issue("us.example", Flaw::None);
    let stranger = Identity::self_signed("us.example");
    let route = |identity: Option<&Identity>| {
        let (certificates, key) = match identity {
            Some(identity) => (vec![identity.certificate.clone()], identity.key.clone()),
            None => (Vec::new(), Vec::new()),
        };
        Arc::new(Route { certificates, key, ..allowing(&["127.0.0.0/8"]) })
    };
    block_on(async {
        let options = Options { roots: vec![authority.der.clone()], ..Options::default() };
        let clients = clients_of(&["127.0.0.1"], options);
        let url = server.url_at("ads.example", "/ok");
        assert_eq!(outcome(&clients, &route(Some(&client)), &url).await, Ok(200));
        // The server refuses us after we have begun to send: nobody has read that.
        assert_eq!(outcome(&clients, &route(Some(&stranger)), &url).await, Err(Fault::Tls));
        assert_eq!(outcome(&clients, &route(None), &url).await, Err(Fault::Tls));
        let broken = Route { certificates: vec![client.certificate.clone()], ..allowing(&[]) };
        assert!(matches!(clients.check(&Arc::new(broken)), Err(ClientError::Certificate(_))));
    });
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_proxy_is_asked_for_every_connection() {
    let authority = Authority::new();
    let proxy = Faults::plain();
    let plain = Faults::plain();
    let secure = Faults::start(Manner::Tls(authority.issue("ads.example", Flaw::None).server()));
    let address = |user: &str| Some(format!("http://{user}{}", proxy.address).parse::<Uri>().unwrap());
    block_on(async {
        // The names behind a proxy are not ours to look up.
        let options =
            Options { roots: vec![authority.der], proxy: address("user:pass@"), ..Options::default() };
        let clients = clients_of(&[], options);
        let open = Arc::new(Route::default());
        for server in [&plain, &secure] {
            for _ in 0..2 {
                let url = server.url_at("ads.example", "/ok");
                assert_eq!(outcome(&clients, &open, &url).await, Ok(200));
            }
        }
        let own = Arc::new(Route { proxy: address(""), ..Route::default() });
        assert_eq!(outcome(&clients, &own, &plain.url_at("ads.example", "/ok")).await, Ok(200));
        for (url, expected) in [
            (plain.url("/ok"), Fault::Forbidden),
            ("http://refused.example/".to_owned(), Fault::Connect),
            // Nobody listens there, says the proxy.
            ("http://ads.example:1/".to_owned(), Fault::Connect),
        ] {
            assert_eq!(outcome(&clients, &own, &url).await, Err(expected), "{url}");
        }
        let metadata = Some(Uri::from_static("http://169.254.169.254:3128"));
        let route = Arc::new(Route { proxy: metadata, ..Route::default() });
        assert_eq!(outcome(&clients, &route, "http://ads.example/").await, Err(Fault::Forbidden));
    });
    let asked = proxy.seen();
    assert!(asked.iter().all(|seen| seen.method == "CONNECT"));
    let port = plain.address.port();
    assert_eq!(asked[0].target, format!("ads.example:{port}"));
    assert_eq!(asked[0].header("proxy-authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!((asked[2].header("proxy-authorization"), asked.len()), (None, 5));
    assert_eq!((plain.requests(), secure.requests()), (3, 2));
    assert_eq!(plain.seen()[0].target, "/ok?secret=hidden", "not the form for proxies");
}

#[test]
fn a_token_file_is_read_again_when_it_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
    let tokens = Tokens::new(Clock::Manual(clock.clone()));
    let source = Arc::new(TokenSource::File(path.clone()));
    let (clients, route) = (clients(), home());
    let token = || {
        block_on(tokens.authorization(&source, &clients, &route, PATIENCE))
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert!(matches!(token(), Err(TokenError::File { .. })));
    std::fs::write(&path, "first\n").unwrap();
    assert!(token().is_err(), "it was looked at within the second");
    clock.advance(Duration::from_secs(1));
    assert_eq!(token().unwrap(), "Bearer first");
    std::fs::write(&path, "the-second").unwrap();
    assert_eq!(token().unwrap(), "Bearer first");
    clock.advance(Duration::from_secs(1));
    assert_eq!(token().unwrap(), "Bearer the-second");
    std::fs::write(&path, "two words").unwrap();
    clock.advance(Duration::from_secs(1));
    assert!(token().is_err());
}

#[test]
fn a_token_is_asked_for_once_and_again_before_it_expires() {
    let server = Faults::plain();
    let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
    let tokens = Tokens::new(Clock::Manual(clock.clone()));
    let source = |path: &str| {
        let form = vec![
            ("grant_type".to_owned(), "client_credentials".to_owned()),
            ("client_secret".to_owned(), "hidden+&".to_owned()),
        ];
        Arc::new(TokenSource::Call { url: server.url(path).parse().unwrap(), form })
    };
    block_on(async {
        let (clients, route) = (clients(), home());
        let ask = |source| tokens.authorization(source, &clients, &route, PATIENCE);
        let good = source("/json/%7B%22access_token%22:%22abc%22,%22expires_in%22:100%7D");
        let (a, b) = tokio::join!(ask(&good), ask(&good));
        assert_eq!((a.unwrap(), b.unwrap().to_str().unwrap()), ("Bearer abc".parse().unwrap(), "Bearer abc"));
        for (seconds, requests) in [(79, 1), (1, 2), (79, 2)] {
            clock.advance(Duration::from_secs(seconds));
            ask(&good).await.unwrap();
            assert_eq!(server.requests(), requests, "after {seconds} s more");
        }
        tokens.forget(&good, &"Bearer another".parse().unwrap());
        ask(&good).await.unwrap();
        assert_eq!(server.requests(), 2, "it was another that was refused");
        tokens.forget(&good, &"Bearer abc".parse().unwrap());
        ask(&good).await.unwrap();
        assert_eq!(server.requests(), 3);
        let refused = source("/status/401");
        for _ in 0..2 {
            let error = ask(&refused).await.unwrap_err();
            assert_eq!(error, TokenError::Refused { status: 401, code: "".into() });
        }
        assert_eq!(server.requests(), 4, "nobody asks again at once");
        clock.advance(Duration::from_secs(5));
        assert!(ask(&refused).await.is_err());
        assert_eq!(server.requests(), 5);
    });
    let seen = &server.seen()[0];
    assert_eq!(seen.body, b"grant_type=client_credentials&client_secret=hidden%2B%26");
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
}

#[test]
fn while_a_token_holds_a_failure_to_renew_it_stops_nobody() {
    let server = Faults::plain();
    let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
    let tokens = Tokens::new(Clock::Manual(clock.clone()));
    let url: Uri =
        server.url("/json/%7B%22access_token%22:%22abc%22,%22expires_in%22:100%7D").parse().unwrap();
    let source = Arc::new(TokenSource::Call { url, form: Vec::new() });
    block_on(async {
        let (clients, route) = (clients(), home());
        let limit = PATIENCE;
        tokens.authorization(&source, &clients, &route, limit).await.unwrap();
        drop(server);
        clock.advance(Duration::from_secs(85));
        tokens.authorization(&source, &clients, &route, limit).await.unwrap();
        clock.advance(Duration::from_secs(20));
        let error = tokens.authorization(&source, &clients, &route, limit).await.unwrap_err();
        assert!(matches!(error, TokenError::Call { .. }), "{error}");
    });
}
