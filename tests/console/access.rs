//! Who may look, and who may change something.

use std::io::Write;

use crate::desk::{Desk, TOKEN, catalog, pages};
use crate::process::{ask_whole, connect};

const LOCAL: &str = "Host: localhost\r\n";

#[test]
fn at_this_machine_everybody_may_look_and_nobody_else_may() {
    let desk = Desk::open_with(&catalog(0), &[], &[("CLICKLOG_ADMIN__HOSTS", "ops.example")]);
    let click = desk.click("", "");
    let token = format!("Host: ops.example\r\nAuthorization: Bearer {TOKEN}\r\n");
    for page in pages(&click).into_iter().filter(|page| !page.ends_with("/login")) {
        for (headers, expected) in [
            (LOCAL, 200),
            ("Host: 127.0.0.1:9101\r\n", 200),
            ("Host: [::1]\r\n", 200),
            // A name of ours that others may have too, and one that a stranger has led here.
            ("Host: ops.example\r\n", 401),
            ("Host: rebound.example\r\n", 421),
            ("Host: 192.0.2.1\r\n", 401),
            ("Host: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n", 401),
            ("Host: localhost\r\nForwarded: for=192.0.2.1\r\n", 401),
            ("Host: ops.example\r\nAuthorization: Bearer wrong\r\n", 401),
            ("Host: ops.example\r\nCookie: clicklog_session=00\r\n", 401),
            (&token, 200),
        ] {
            let answer = desk.ask("GET", &page, headers, "");
            assert_eq!(answer.status, expected, "{page} with {headers}");
            let shows = answer.text.contains("aria-label=\"Sections\"");
            assert_eq!(shows, expected == 200, "{page} with {headers}: {}", answer.text);
        }
    }
}

#[test]
fn who_is_not_let_in_is_led_back_after_logging_in() {
    let desk = Desk::open_with(&catalog(0), &[], &[("CLICKLOG_ADMIN__HOSTS", "ops.example")]);
    let asked = desk.ask("GET", "/console/networks/n?show=all", "Host: ops.example\r\n", "");
    assert_eq!((asked.status, &*asked.field("next")), (401, "/console/networks/n?show=all"));
    let host = "Host: ops.example\r\n";
    let wrong = desk.ask("POST", "/console/login", host, "token=wrong&next=/console/held");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    let form = format!("token={TOKEN}&next=%2Fconsole%2Fnetworks%2Fn%3Fshow%3Dall");
    let right = desk.ask("POST", "/console/login", host, &form);
    assert_eq!((right.status, right.header("location")), (303, Some("/console/networks/n?show=all")));
    let elsewhere = desk.ask("POST", "/console/login", host, &format!("token={TOKEN}&next=//evil.example"));
    assert_eq!(elsewhere.header("location"), Some("/console"));
    let cookie = right.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let with = format!("{host}Cookie: {cookie}\r\n");
    let page = desk.ask("GET", "/console", &with, "");
    assert_eq!(page.status, 200);
    let out = desk.ask("POST", "/console/logout", &with, &format!("key={}", page.field("key")));
    assert_eq!(out.status, 303);
    assert_eq!(desk.ask("GET", "/console", &with, "").status, 401, "a session that has ended is none");
}

#[test]
fn a_change_needs_a_session_and_a_form_of_it() {
    let desk = Desk::open();
    let session = desk.log_in();
    let key = desk.ask("GET", "/console", &session, "").field("key");
    let other_session = desk.log_in();
    let other = desk.ask("GET", "/console", &other_session, "").field("key");
    let form = "destination=told";
    let with = |more: &str| format!("{session}{more}");
    for (headers, form, expected) in [
        (LOCAL.to_owned(), form.to_owned(), 401),
        (LOCAL.to_owned(), format!("{form}&key={key}"), 401),
        (session.clone(), form.to_owned(), 403),
        (session.clone(), format!("{form}&key={other}"), 403),
        (session.clone(), format!("{form}&key="), 403),
        (with("Origin: http://localhost:3000\r\n"), format!("{form}&key={key}"), 403),
        (with("Origin: https://evil.example\r\n"), format!("{form}&key={key}"), 403),
        (with("Sec-Fetch-Site: cross-site\r\nOrigin: null\r\n"), format!("{form}&key={key}"), 403),
        (with("Sec-Fetch-Site: same-site\r\n"), format!("{form}&key={key}"), 403),
        (session.replace("localhost", "rebound.example"), format!("{form}&key={key}"), 421),
        (session.clone(), format!("key={key}&{}", "a".repeat(40_000)), 413),
        (format!("{LOCAL}Authorization: Bearer wrong\r\n"), form.to_owned(), 401),
    ] {
        for target in ["deliveries/pause", "deliveries/replay", "held/release", "test"] {
            let answer = desk.ask("POST", &format!("/console/{target}"), &headers, &form);
            assert_eq!(answer.status, expected, "{target} with {headers}{}", &form[..form.len().min(99)]);
        }
    }
    let state = desk.look("/api/destinations").text;
    assert!(!state.contains("paused"), "{state}");
    for headers in [
        with("Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n"),
        with("Origin: null\r\nSec-Fetch-Site: same-origin\r\n"),
        with(""),
    ] {
        let paused = desk.ask("POST", "/console/deliveries/pause", &headers, &format!("{form}&key={key}"));
        assert_eq!(paused.header("location"), Some("/console/deliveries?done=paused"), "{}", paused.text);
    }
    let token = format!("{LOCAL}Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(desk.ask("POST", "/console/deliveries/resume", &token, form).status, 303);
}

#[test]
fn a_page_of_somebody_else_cannot_have_pages_made() {
    let desk = Desk::open();
    for (headers, expected) in [
        ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n", 403),
        ("Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", 200),
        ("Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n", 200),
        ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", 200),
        // It would not be shown, and yet be made, as often as there are frames.
        ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n", 403),
        ("Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: embed\r\n", 403),
    ] {
        let answer = desk.ask("GET", "/console/lookup?id=a", &format!("{LOCAL}{headers}"), "");
        assert_eq!(answer.status, expected, "{headers}");
    }
    let numbers = desk.look("/metrics").text;
    assert!(numbers.contains("clicklog_admin_requests_total{result=\"forbidden\"} 4"), "{numbers}");
}

#[test]
fn what_the_api_tells_is_for_who_may_look_at_the_console() {
    let desk = Desk::open_with(&catalog(0), &[], &[("CLICKLOG_ADMIN__HOSTS", "ops.example")]);
    for (headers, expected) in [
        (LOCAL, 200),
        ("Host: 127.0.0.1:9101\r\n", 200),
        ("Host: ops.example\r\n", 401),
        ("Host: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n", 401),
        ("Host: localhost\r\nVia: 1.1 front\r\n", 401),
    ] {
        for target in ["/api/postbacks?network=n", "/api/destinations", "/console/networks/n"] {
            let answer = desk.ask("GET", target, headers, "");
            assert_eq!(answer.status, expected, "{target} with {headers}: {}", answer.text);
        }
        // Numbers and health are for probes, which know no token.
        assert_eq!(desk.ask("GET", "/metrics", headers, "").status, 200, "{headers}");
    }
}

/// A proxy that was told nothing but where to go asks so, and hides whom it asks for.
#[test]
fn a_request_of_an_old_version_of_http_is_not_taken_for_somebody_at_this_machine() {
    let desk = Desk::open();
    for target in ["/console", "/api/destinations"] {
        for (version, expected) in [("1.1", "401"), ("1.0", "401")] {
            let by_proxy = if version == "1.1" { "X-Real-IP: 192.0.2.1\r\n" } else { "" };
            let request = format!("GET {target} HTTP/{version}\r\nHost: localhost\r\n{by_proxy}\r\n");
            let (head, text) = ask_whole(&mut connect(desk.process.operators), &request).unwrap();
            assert_eq!(head.get(9..12), Some(expected), "{target} by {version}: {text}");
        }
    }
}

#[test]
fn who_tries_tokens_does_not_keep_out_who_has_the_right_one() {
    let desk = Desk::open();
    let wrong = "POST /console/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\ntoken=wrong";
    let mut trying: Vec<_> = (0..8).map(|_| connect(desk.process.operators)).collect();
    for stream in &mut trying {
        stream.write_all(wrong.as_bytes()).unwrap();
    }
    let right = desk.ask("POST", "/console/login", LOCAL, &format!("token={TOKEN}"));
    assert_eq!(right.status, 303, "{}", right.text);
    for mut stream in trying {
        let (head, _) = ask_whole(&mut stream, "").unwrap();
        assert!(head.starts_with("HTTP/1.1 401") || head.starts_with("HTTP/1.1 429"), "{head}");
    }
}

#[test]
fn a_cookie_that_another_service_of_this_machine_has_set_hides_no_session() {
    let desk = Desk::open();
    let session = desk.log_in().replace("Cookie: ", "Cookie: clicklog_session=00; ");
    assert!(desk.ask("GET", "/console", &session, "").text.contains("Log out"));
}

#[test]
fn a_browser_that_is_led_to_the_door_is_led_on_to_the_console() {
    let desk = Desk::open();
    for head in [desk.look("/").head, desk.head("/")] {
        assert!(head.starts_with("HTTP/1.1 303") && head.contains("\r\nlocation: /console\r\n"), "{head}");
    }
    assert_eq!(desk.ask("POST", "/", LOCAL, "").status, 405);
    assert_eq!(desk.ask("GET", "/", "Host: rebound.example\r\n", "").status, 421);
}
