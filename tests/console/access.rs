//! Who may look, and who may change something.

use crate::desk::{Desk, TOKEN, catalog, pages};

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
    ] {
        let answer = desk.ask("GET", "/console/lookup?id=a", &format!("{LOCAL}{headers}"), "");
        assert_eq!(answer.status, expected, "{headers}");
    }
    let numbers = desk.look("/metrics").text;
    assert!(numbers.contains("clicklog_admin_requests_total{result=\"forbidden\"} 2"), "{numbers}");
}
