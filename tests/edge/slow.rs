//! Peers that take their time. The clock is moved by hand, so none of this takes long.

use std::time::Duration;

use clicklog::ingest::Outcome;

use crate::server::{CATALOG, Server};

/// Until the server has read what was sent, so that moving the clock means what it should.
fn settle(server: &Server) {
    // An answer to somebody else says nothing about this connection, but each worker runs its tasks in turn.
    for _ in 0..20 {
        assert_eq!(server.get("/favicon.ico").status, 204);
    }
}

#[test]
fn a_head_that_is_never_complete_ends_after_its_time() {
    let server = Server::start(CATALOG);
    let mut slow = server.connect();
    slow.send("GET /c/spring HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    settle(&server);
    server.clock.advance(Duration::from_secs(9));
    slow.send("still here");
    settle(&server);
    assert_eq!(server.count(Outcome::HeadTimeout), 0, "ten seconds from its first byte, not from its last");
    server.clock.advance(Duration::from_secs(2));
    assert!(slow.is_closed());
    server.await_count(Outcome::HeadTimeout, 1);
    server.stop();
}

#[test]
fn a_peer_that_says_nothing_is_let_go_and_no_request() {
    let server = Server::start(CATALOG);
    let (mut silent, mut idle) = (server.connect(), server.connect());
    assert_eq!(idle.send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap().status, 302);
    settle(&server);
    server.clock.advance(Duration::from_secs(74));
    settle(&server);
    assert_eq!(idle.send("GET /c/2 HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap().status, 302);
    server.clock.advance(Duration::from_secs(2));
    assert!(silent.is_closed());
    server.clock.advance(Duration::from_secs(75));
    assert!(idle.is_closed());
    let noise = server.count(Outcome::Noise);
    assert_eq!(server.totals().received, 2 + noise);
    server.stop();
}

#[test]
fn a_body_that_drips_is_answered_408() {
    let server = Server::start(CATALOG);
    let mut slow = server.connect();
    slow.send("POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\ncampaign");
    settle(&server);
    server.clock.advance(Duration::from_secs(9));
    slow.send("=sp");
    settle(&server);
    server.clock.advance(Duration::from_secs(2));
    let answer = slow.receive().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    server.await_count(Outcome::BodyTimeout, 1);
    assert_eq!(server.clicks().len(), 0);
    server.stop();
}

#[test]
fn a_peer_that_takes_no_answers_is_let_go() {
    let server = Server::start(CATALOG);
    let mut deaf = server.connect();
    // Answers are longer than requests: at some point nothing fits between the two any more.
    const AT_ONCE: usize = 4_096;
    let request = "GET /t.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(AT_ONCE);
    // More than the buffers of any kernel hold.
    const ROUNDS: usize = 256;
    let sender = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            deaf.send(&request);
        }
        deaf
    });
    let mut last = 0;
    // Until it is stuck: no further script although there are many to hand out.
    loop {
        settle(&server);
        let now = server.count(Outcome::Script);
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    assert!(last < (ROUNDS * AT_ONCE) as u64, "all {last} were taken");
    while server.daemon().edge().connections() > 0 {
        server.clock.advance(Duration::from_secs(31));
        settle(&server);
    }
    drop(sender.join().unwrap());
    server.stop();
}

#[test]
fn a_stop_waits_for_an_answer_but_not_for_ever() {
    let server = Server::with(CATALOG, |settings| settings.edge.drain_timeout = Duration::from_secs(5));
    let mut slow = server.connect();
    slow.send("POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\ncampaign");
    settle(&server);
    let clock = server.clock.clone();
    let stopping = std::thread::spawn(move || server.stop());
    // Nobody else is left to move the clock.
    while !stopping.is_finished() {
        clock.advance(Duration::from_secs(1));
        std::thread::yield_now();
    }
    drop(stopping.join().unwrap());
}
