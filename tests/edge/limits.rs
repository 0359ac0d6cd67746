//! What is refused, with which answer, and that a refusal harms nobody else.

use std::net::SocketAddr;
use std::time::Duration;

use clicklog::config::Listen;
use clicklog::event::click::KeptAddress;
use clicklog::ingest::{BODY_BYTES_MAX, HEAD_BYTES_MAX, Outcome, URI_BYTES_MAX};
use clicklog::metrics::Page;

use crate::client::Connection;
use crate::server::{CATALOG, Server};

#[test]
fn every_request_that_cannot_be_is_refused_and_counted() {
    let server = Server::start(CATALOG);
    let long = |bytes: usize| "x".repeat(bytes);
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, Outcome::Host),
        ("GET /c/spring HTTP/1.0\r\n\r\n".to_owned(), 400, Outcome::Host),
        ("GET /c/spring HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400, Outcome::Host),
        ("GET /c/spring HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(), 400, Outcome::Host),
        ("GET /c/spring HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), 400, Outcome::Host),
        ("GET /c/spring HTTP/1.1\r\nHost: a:b@c\r\n\r\n".to_owned(), 400, Outcome::Host),
        ("GET /c/spring HTTP/1.1\r\nHost:\r\n\r\n".to_owned(), 400, Outcome::Host),
        ("DELETE /c/spring HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405, Outcome::Method),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405, Outcome::Method),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405, Outcome::Method),
        ("POST /c/spring HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned(), 405, Outcome::Method),
        ("POST /out HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned(), 405, Outcome::Method),
        (
            "POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
            Outcome::Framing,
        ),
        (
            "POST /track HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n".to_owned(),
            400,
            Outcome::Framing,
        ),
        (
            "GET /c/spring HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
            Outcome::Framing,
        ),
        (
            "POST /track HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
            Outcome::Framing,
        ),
        (
            format!("GET /c/spring?{} HTTP/1.1\r\nHost: a\r\n\r\n", long(URI_BYTES_MAX)),
            414,
            Outcome::UriTooLong,
        ),
        (
            format!("GET /c/spring HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long(HEAD_BYTES_MAX)),
            431,
            Outcome::HeadTooLong,
        ),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(64 * 1024)), 431, Outcome::HeadTooLong),
        (
            format!("POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1),
            413,
            Outcome::BodyTooLong,
        ),
        (
            format!(
                "POST /track HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                BODY_BYTES_MAX + 1,
                long(BODY_BYTES_MAX + 1)
            ),
            413,
            Outcome::BodyTooLong,
        ),
        ("GET / HTTP/1.1\nHost a\n\n".to_owned(), 400, Outcome::Malformed),
        ("GET / HTTP/9.1\r\nHost: a\r\n\r\n".to_owned(), 400, Outcome::Malformed),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_owned(), 400, Outcome::Malformed),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03\r\n\r\n".to_owned(), 400, Outcome::Malformed),
        (
            "POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            400,
            Outcome::Malformed,
        ),
        ("POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".to_owned(), 400, Outcome::Malformed),
    ];
    for (request, status, outcome) in &cases {
        let before = server.count(*outcome);
        let shown = &request[..request.len().min(80)];
        let answer = server.connect().send(request).receive();
        let answer = answer.unwrap_or_else(|| panic!("no answer to {shown:?}; {:?}", server.totals()));
        assert_eq!(answer.status, *status, "{shown:?}");
        server.await_count(*outcome, before + 1);
    }
    let allowed = server.connect().send("PUT / HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap();
    assert_eq!(allowed.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
    assert_eq!(server.get("/c/spring").status, 302, "and it goes on");
    assert_eq!(server.clicks().len(), 1);
    assert_eq!(server.totals().received, cases.len() as u64 + 2);
    server.stop();
}

#[test]
fn who_speaks_http_2_without_tls_is_let_go_and_counted() {
    let server = Server::start(CATALOG);
    assert!(server.connect().send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").is_closed());
    server.await_count(Outcome::Malformed, 1);
    server.stop();
}

#[test]
fn the_longest_that_is_allowed_is_taken() {
    let server = Server::start(CATALOG);
    let value = "x".repeat(4_000);
    let target = format!("/c/spring?a={value}&b={value}");
    let target = format!("{target}&c={}", "x".repeat(URI_BYTES_MAX - target.len() - "&c=".len()));
    assert_eq!(server.get(&target).status, 302);
    let body = format!("campaign=spring&b={}", "y".repeat(BODY_BYTES_MAX - "campaign=spring&b=".len()));
    let request = format!("POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(server.connect().send(request).receive().unwrap().status, 200);
    let clicks = server.clicks();
    let is_whole = |name: &str| clicks.iter().any(|click| click.param(name) == Some(value.as_str()));
    assert!(is_whole("a") && is_whole("b"));
    server.stop();
}

#[test]
fn requests_that_come_together_are_answered_in_their_order() {
    let server = Server::start(CATALOG);
    let mut connection = server.connect();
    let batch: String =
        (0..50).map(|n| format!("GET /c/spring?zoneid={n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    connection.send(batch);
    for n in 0..50 {
        let answer = connection.receive().unwrap();
        assert!(answer.location().ends_with(&format!("&zone={n}")), "{n}: {answer:?}");
    }
    assert_eq!(server.clicks().len(), 50);
    server.stop();
}

#[test]
fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let server = Server::start(CATALOG);
    let mut connection = server.connect();
    connection.send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\nGET /c/spr");
    assert_eq!(connection.receive().unwrap().status, 302);
    connection.send("ing HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.receive().unwrap().status, 302);
    server.stop();
}

#[test]
fn no_request_can_be_smuggled_in_the_body_of_another() {
    let server = Server::start(CATALOG);
    let smuggled = "GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        "Transfer-Encoding: chunked\r\nContent-Length: 50\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Content-Length: 99999\r\n\r\n",
    ] {
        let mut connection = server.connect();
        // In one piece, in two, and behind another request.
        let post = format!("POST /track HTTP/1.1\r\nHost: a\r\n{head}");
        connection.send(format!("{post}{smuggled}"));
        assert!(connection.receive().unwrap().status >= 400, "{head}");
        assert!(connection.is_closed(), "{head}");
        let mut connection = server.connect();
        connection.send(format!("GET /favicon.ico HTTP/1.1\r\nHost: a\r\n\r\n{post}{smuggled}"));
        assert_eq!(connection.receive().unwrap().status, 204);
        assert!(connection.receive().unwrap().status >= 400, "{head}");
        assert!(connection.is_closed(), "{head}");
    }
    assert_eq!(server.clicks().len(), 0);
    server.stop();
}

#[test]
fn who_has_said_everything_is_still_answered() {
    let server = Server::start(CATALOG);
    let mut connection = server.connect();
    connection.send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\nGET /c/2 HTTP/1.1\r\nHost: a\r\n\r\n").finish();
    assert_eq!(connection.receive().unwrap().status, 302);
    assert_eq!(connection.receive().unwrap().status, 302);
    assert!(connection.is_closed());
    server.stop();
}

#[test]
fn who_leaves_early_is_counted_once() {
    let server = Server::start(CATALOG);
    server.connect().send("GET /c/spr");
    server.await_count(Outcome::Aborted, 1);
    server.connect().send("POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab");
    server.await_count(Outcome::Aborted, 2);
    // Whoever asks and does not wait has clicked.
    server.connect().send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n");
    server.await_count(Outcome::Redirected, 1);
    // And whoever connects and says nothing has asked for nothing.
    drop(server.connect());
    assert_eq!(server.get("/favicon.ico").status, 204);
    assert_eq!(server.totals().received, 4);
    server.stop();
}

#[test]
fn one_connection_too_many_is_told_so_and_there_is_room_again_afterwards() {
    let server = Server::with(CATALOG, |settings| settings.edge.connections_max = 3);
    let mut held: Vec<Connection> = (0..3).map(|_| server.connect()).collect();
    for connection in &mut held {
        assert_eq!(
            connection.send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap().status,
            302
        );
    }
    let mut late = server.connect();
    let answer = late.send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    late.finish();
    assert!(late.is_closed());
    server.await_count(Outcome::Shed, 1);
    assert_eq!(server.clicks().len(), 3, "what was shed is not recorded");
    drop(held);
    while server.daemon().edge().connections() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(server.get("/c/spring").status, 302);
    server.stop();
}

/// A visitor who comes is more than one who may come back.
#[test]
fn who_has_been_idle_for_longest_makes_room_for_who_comes() {
    let server = Server::with(CATALOG, |settings| {
        settings.edge.connections_max = 3;
        settings.edge.workers = 1;
    });
    let click = "GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut held: Vec<Connection> = (0..3).map(|_| server.connect()).collect();
    for connection in held.iter_mut().rev() {
        server.clock.advance(Duration::from_millis(10));
        assert_eq!(connection.send(click).receive().unwrap().status, 302);
    }
    server.clock.advance(Duration::from_secs(2));
    // The second one is used again, the third has been idle for longest.
    assert_eq!(held[1].send(click).receive().unwrap().status, 302);
    let mut late = server.connect();
    assert_eq!(late.send(click).receive().unwrap().status, 302);
    assert!(held[2].is_closed());
    assert_eq!(held[1].send(click).receive().unwrap().status, 302);
    assert_eq!(server.count(Outcome::Shed), 0);
    let mut page = Page::default();
    server.daemon().edge().write_metrics(&mut page);
    assert!(page.into_text().contains("\nclicklog_http_connections_given_up_total 1\n"));
    server.stop();
}

#[test]
fn one_address_cannot_take_all_the_room_unless_it_is_a_proxy() {
    let server = Server::with(CATALOG, |settings| settings.edge.connections_per_address_max = 1);
    let mut first = server.connect();
    assert_eq!(first.send("GET /c/2 HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap().status, 302);
    assert_eq!(server.get("/c/spring").status, 503);
    server.stop();
    let proxied = Server::with(CATALOG, |settings| {
        settings.edge.connections_per_address_max = 1;
        settings.edge.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let mut first = proxied.connect();
    assert_eq!(first.send("GET /c/2 HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap().status, 302);
    assert_eq!(proxied.get("/c/spring").status, 302);
    proxied.stop();
}

#[test]
fn the_last_request_of_a_connection_says_that_it_is() {
    let server = Server::with(CATALOG, |settings| settings.edge.requests_per_connection_max = 3);
    let mut connection = server.connect();
    for n in 1..=3 {
        let answer = connection.send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap();
        assert_eq!(answer.header("connection") == Some("close"), n == 3, "{n}");
    }
    assert!(connection.is_closed());
    server.stop();
}

#[test]
fn an_old_client_gets_its_answer_and_a_closed_connection() {
    let server = Server::start(CATALOG);
    let mut connection = server.connect();
    assert_eq!(connection.send("GET /c/spring HTTP/1.0\r\nHost: a\r\n\r\n").receive().unwrap().status, 302);
    assert!(connection.is_closed());
    server.stop();
}

fn proxied() -> Server {
    Server::with(CATALOG, |settings| {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.edge.listen = vec![Listen { proxy_protocol: true, ..Listen::http(address) }];
    })
}

#[test]
fn a_proxy_header_says_whose_connection_it_is() {
    let server = proxied();
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let v4 = [198, 51, 100, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
    let header = [&signature[..], &[0x21, 0x11, 0, 12], &v4].concat();
    let mut connection = server.connect();
    connection.send(header).send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.receive().unwrap().status, 302);
    assert_eq!(server.click().address, Some(KeptAddress::full([198, 51, 100, 7].into())));
    // A health check of the balancer's own.
    let local = [&signature[..], &[0x20, 0x00, 0, 0]].concat();
    let mut connection = server.connect();
    connection.send(local).send("GET /favicon.ico HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.receive().unwrap().status, 204);
    server.stop();
}

#[test]
fn a_connection_without_its_proxy_header_is_closed_unanswered() {
    let server = proxied();
    let mut connection = server.connect();
    connection.send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(connection.is_closed());
    server.await_count(Outcome::Malformed, 1);
    let mut connection = server.connect();
    connection.send("PROXY TCP4 198.51.100.7 10.0.0.1 1 2\r\nGET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(connection.is_closed());
    server.await_count(Outcome::Malformed, 2);
    assert_eq!(server.clicks().len(), 0);
    server.stop();
}

/// A sender that keeps its connections would lose its next postback to one that is closed without a word.
#[test]
fn an_answer_that_leaves_a_body_unread_says_that_it_is_the_last() {
    let server = Server::start(CATALOG);
    let body = "Content-Length: 7\r\n\r\na=b&c=d";
    for (request, is_last) in [
        (format!("POST /nothing HTTP/1.1\r\nHost: a\r\n{body}"), true),
        (format!("POST /c/spring HTTP/1.1\r\nHost: a\r\n{body}"), true),
        (format!("GET /c/spring HTTP/1.1\r\nHost: a\r\n{body}"), true),
        (format!("PUT /postback HTTP/1.1\r\nHost: a\r\n{body}"), true),
        (format!("GET /postback/boost?click_id=a HTTP/1.1\r\nHost: a\r\n{body}"), true),
        (format!("POST /postback/boost HTTP/1.1\r\nHost: a\r\n{body}"), false),
        (format!("POST /track HTTP/1.1\r\nHost: a\r\n{body}"), false),
        ("POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned(), false),
        ("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), false),
    ] {
        let mut connection = server.connect();
        let answer = connection.send(&request).receive().unwrap();
        assert_eq!(answer.header("connection"), is_last.then_some("close"), "{request}");
        if !is_last {
            assert!(connection.send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n").receive().is_some());
        }
    }
    server.stop();
}

/// Each of those who are told is a file that is open: whoever connects without end must not use up all there are.
#[test]
fn only_so_many_are_told_at_once_that_there_is_no_room() {
    let server = Server::with(CATALOG, |settings| {
        settings.edge.connections_per_address_max = 1;
        settings.edge.workers = 1;
    });
    let mut inside = server.connect();
    assert_eq!(inside.send("GET /c/2 HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap().status, 302);
    // None of them closes its end, so all that are told are there still.
    let mut outside: Vec<Connection> = (0..300).map(|_| server.connect()).collect();
    let answers = outside.iter_mut().filter_map(Connection::receive);
    assert_eq!(answers.map(|answer| answer.status).collect::<Vec<_>>(), [503; 256]);
    server.await_count(Outcome::Shed, 300);
    // Those who have left make room for others to be told.
    drop(outside);
    let told = || server.connect().send("GET /c/2 HTTP/1.1\r\nHost: a\r\n\r\n").receive();
    assert!((0..10_000).any(|_| told().is_some_and(|answer| answer.status == 503)));
    server.stop();
}

#[test]
fn a_balancer_that_only_looks_whether_somebody_listens_has_asked_for_nothing() {
    let server = proxied();
    drop(server.connect());
    let mut leaving = server.connect();
    assert!(leaving.finish().is_closed());
    let mut silent = server.connect();
    let local = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20, 0x00, 0, 0]].concat();
    let mut connection = server.connect();
    connection.send(local).send("GET /favicon.ico HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.receive().unwrap().status, 204);
    drop(connection);
    server.advance_until(Duration::from_secs(60), || server.daemon().edge().connections() == 0);
    assert!(silent.is_closed());
    assert_eq!((server.totals().received, server.count(Outcome::Noise)), (1, 1));
    server.stop();
}
