//! The names of requests, as whoever asks sees them.

use crate::bare::{Bare, open, parts, result};
use crate::client::Answer;

fn id(answer: &Answer) -> String {
    let mut ids = answer.headers.iter().filter(|(name, _)| name == "x-request-id");
    let (_, id) = ids.next().unwrap_or_else(|| panic!("no id in {answer:?}"));
    assert_eq!(ids.next(), None, "{answer:?}");
    id.clone()
}

fn is_made_up(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

const POSTBACK: &str = "GET /postback/boost?click_id=a&transaction_id=1";

#[test]
fn what_a_trusted_proxy_calls_a_request_stands_in_its_answer() {
    let server = Bare::start(parts(vec![open("boost"), open("rival")]));
    let longest = "a".repeat(64);
    for name in ["7b1f-A_9.x", "1", &longest] {
        let answer = server.send(POSTBACK, &format!("X-Request-Id: {name}\r\n"), "");
        assert_eq!((answer.status, id(&answer).as_str()), (200, name));
    }
    let answer = server.send("POST /postback/boost", "x-request-id: form\r\n", "click_id=a&transaction_id=2");
    assert_eq!(id(&answer), "form");
    // Also where it is refused, and where a browser asks.
    let refused = server.send("GET /postback/boost?payout=x", "X-Request-Id: bad\r\n", "");
    assert_eq!((refused.status, id(&refused).as_str()), (400, "bad"));
    let unknown = server.send("GET /postback/nobody?click_id=a", "X-Request-Id: lost\r\n", "");
    assert_eq!((unknown.status, id(&unknown).as_str()), (404, "lost"));
    let pixel = server.send("GET /pixel.gif?network=boost&click_id=a", "X-Request-Id: seen\r\n", "");
    assert_eq!(id(&pixel), "seen");
    server.stop();
}

#[test]
fn what_is_no_plain_name_is_replaced_and_reaches_no_answer() {
    let server = Bare::start(parts(vec![open("boost"), open("rival")]));
    let long = "a".repeat(65);
    let mut all = Vec::new();
    for name in ["", "a b", "a\tb", "a;b", "<script>", "a=b\"", "é", "../x", "a%0d%0aX:y", &long] {
        let answer = server.send(POSTBACK, &format!("X-Request-Id: {name}\r\n"), "");
        assert!(is_made_up(&id(&answer)), "{name:?}: {answer:?}");
        all.push(id(&answer));
    }
    for headers in ["", "X-Request-Id: a b\r\nX-Request-Id: c\r\n"] {
        all.push(id(&server.send(POSTBACK, headers, "")));
        assert!(is_made_up(all.last().unwrap()), "{all:?}");
    }
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "each has its own: {all:?}");
    server.stop();
}

#[test]
fn a_stranger_names_no_request() {
    let server = Bare::with(parts(vec![open("boost"), open("rival")]), |options| {
        options.trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
    });
    let answer = server.send(POSTBACK, "X-Request-Id: mine\r\nX-Forwarded-For: 192.0.2.7\r\n", "");
    assert!(is_made_up(&id(&answer)), "{answer:?}");
    assert_eq!(result(&answer), "unmatched");
    server.stop();
}
