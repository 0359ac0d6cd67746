//! Conversions that a browser reports: an image, a page, a script.

use std::time::Duration;

use clicklog::event::conversion::Status;
use clicklog::ingest::{Network, Outcome, Parts, Pixel, PixelKind};

use crate::bare::{Bare, network, open, parts, result, template};

#[test]
fn the_image_is_the_same_43_bytes_whatever_is_found() {
    let server = Bare::start(parts(vec![open("boost"), network("rival")]));
    let id = server.click("spring");
    let gif = [
        0x47, 0x49, 0x46, 0x38, 0x39, 0x61, 1, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x21, 0xf9, 4,
        1, 0, 0, 0, 0, 0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0, 0x3b,
    ];
    for (target, expected) in [
        (format!("/pixel.gif?network=boost&click_id={id}"), "accepted"),
        (format!("/pixel.gif?click_id={id}"), "duplicate"),
        ("/pixel.gif?network=boost".to_owned(), "rejected:missing_click_id"),
        (format!("/pixel.gif?network=rival&click_id={id}"), "rejected:pixel"),
        (format!("/pixel.gif?click_id={id}&payout=ten"), "rejected:bad_payout"),
    ] {
        let answer = server.get(&target);
        assert_eq!((answer.status, result(&answer)), (200, expected), "{target}");
        assert_eq!(answer.body, gif, "{target}");
        assert_eq!(answer.header("content-type"), Some("image/gif"));
        assert_eq!(answer.header("cache-control"), Some("no-cache, no-store, max-age=0, must-revalidate"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    }
    let counted =
        [Outcome::Accepted, Outcome::Duplicate, Outcome::Denied].map(|outcome| server.count(outcome));
    assert_eq!(counted, [1, 1, 1]);
    server.stop();
}

#[test]
fn the_click_is_in_a_parameter_or_else_in_the_cookie() {
    let server = Bare::start(parts(vec![open("boost"), open("rival")]));
    let (id, other) = (server.click("spring"), server.click("spring"));
    let cookie = format!("Cookie: x=1; cl_cid={other}\r\n");
    // The network is that of the click's offer, wherever the click's id is.
    for (query, used) in [
        (format!("click_id={id}&"), &id),
        ("click_id={click_id}&".to_owned(), &other),
        (String::new(), &other),
    ] {
        for path in ["/pixel", "/pixel.js"] {
            let answer = server.send(&format!("GET {path}?{query}test=1"), &cookie, "");
            assert_eq!(result(&answer), "test", "{path} {query}");
            let body: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
            let found = body["steps"][1]["found"].as_str().unwrap();
            assert!(found.starts_with(&format!("click {used},")), "{path} {query}: {found}");
        }
        assert_eq!(server.send(&format!("GET /pixel.gif?{query}test=1"), &cookie, "").body.len(), 43);
    }
    let answer = server.send("GET /pixel.gif", "Cookie: cl_cid=nonsense\r\n", "");
    assert_eq!(result(&answer), "rejected:unknown_network");
    let kept = server.postbacks();
    assert!(kept.iter().take(9).all(|kept| kept.network == "boost"), "{kept:?}");
    assert!(kept.iter().all(|kept| !kept.headers.contains("cookie")), "{kept:?}");
    server.stop();
}

#[test]
fn head_and_prefetch_report_nothing() {
    let server = Bare::start(parts(vec![open("boost")]));
    let id = server.click("spring");
    for path in ["/pixel.gif", "/pixel", "/pixel.js"] {
        let target = format!("{path}?click_id={id}");
        assert_eq!(server.send(&format!("HEAD {target}"), "", "").status, 200, "{path}");
        let prefetch = server.send(&format!("GET {target}"), "Sec-Purpose: prefetch;prerender\r\n", "");
        assert_eq!((prefetch.status, prefetch.header("cache-control")), (503, Some("no-store")), "{path}");
    }
    assert_eq!((server.count(Outcome::Head), server.count(Outcome::Prefetch)), (3, 3));
    assert_eq!(server.postbacks(), vec![]);
    server.stop();
}

#[test]
fn a_script_may_be_asked_for_by_any_page() {
    let server = Bare::start(parts(vec![open("boost")]));
    let id = server.click("spring");
    let answer = server.send(&format!("GET /pixel.js?click_id={id}"), "Origin: https://shop.example\r\n", "");
    assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!((answer.status, result(&answer)), (200, "accepted"));
    assert!(answer.text().ends_with("([]);\n"), "{}", answer.text());
    let preflight = server.send("OPTIONS /pixel.js", "Origin: https://shop.example\r\n", "");
    assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, POST, OPTIONS"));
    let page = server.get(&format!("/pixel?click_id={id}"));
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(page.text().starts_with("<!doctype html>") && !page.text().contains("<img"), "{}", page.text());
    server.stop();
}

#[test]
fn pixels_of_third_parties_are_printed_once_and_only_for_what_counts() {
    let mut parts = parts(vec![open("boost")]);
    parts.campaigns[0].pixels = vec![Pixel {
        kind: PixelKind::Image,
        url: template("https://third.example/?c={click_id}&p={payout}&x={sub1}"),
        on: vec![Status::Approved],
    }];
    let server = Bare::start(parts);
    for (path, open, close) in [("/pixel", "src=\"", "\" width"), ("/pixel.js", "\"url\":\"", "\"}")] {
        let id = server.click("spring");
        let target = format!("{path}?click_id={id}&status");
        let url = format!("https://third.example/?c={id}&p=3.5&x=x");
        let url = if path == "/pixel" { url.replace('&', "&amp;") } else { url };
        let printed = format!("{open}{url}{close}");
        for (status, expected, is_printed) in [
            ("pending", "accepted", false),
            ("approved", "updated", true),
            ("approved", "duplicate", false),
            ("reversed", "updated", false),
        ] {
            let answer = server.get(&format!("{target}={status}"));
            assert_eq!(result(&answer), expected, "{target}={status}");
            assert_eq!(answer.text().contains(&printed), is_printed, "{target}={status}: {}", answer.text());
            assert_eq!(answer.text().contains("third.example"), is_printed, "{}", answer.text());
        }
    }
    server.stop();
}

#[test]
fn a_click_is_found_by_its_address_only_where_that_is_wanted_and_only_for_a_while() {
    let within = |window| -> Parts {
        parts(vec![Network { address_window: Duration::from_secs(window), ..open("boost") }])
    };
    let from = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    for (window, wait, address, expected) in [
        (0, 0, "203.0.113.7", "rejected:missing_click_id"),
        (3_600, 3_600, "203.0.113.7", "accepted"),
        (3_600, 3_601, "203.0.113.7", "rejected:missing_click_id"),
        (3_600, 0, "203.0.113.8", "rejected:missing_click_id"),
    ] {
        let server = Bare::start(within(window));
        server.send("GET /c/spring", &from("203.0.113.7"), "");
        server.clock.advance(Duration::from_secs(wait));
        let answer = server.send("GET /pixel.gif", &from(address), "");
        assert_eq!(result(&answer), expected, "{window} s, after {wait} s, from {address}");
        let kept = server.postback();
        // A visitor's address is kept as its click's campaign says; without one, truncated at most.
        let kept_address = kept.address.as_deref();
        assert_eq!(kept_address, (expected == "accepted").then_some("203.0.113.7/32"));
        assert!(!kept.headers.contains("203.0.113"), "{kept:?}");
        // Whoever reads the decision sees by what the click was found.
        let labels = server.decisions().into_iter().map(|params| params.contains("_by_address=1"));
        assert!(
            labels.eq((expected == "accepted").then_some(true)),
            "{window} s, after {wait} s, from {address}"
        );
        server.stop();
    }
}
