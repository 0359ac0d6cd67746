//! Postbacks: routes, bodies, which network, what is missing, what is answered, what is kept.

use clicklog::apply::claim::Refusal;
use clicklog::apply::reading::Role;
use clicklog::ingest::{Answer as Own, Answers, DoorKind, Network, Outcome, Rate, Secret};

use crate::bare::{Bare, Kept, door, network, open, parts, result};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// A change to the rules of a network, which are shared once it is made.
fn with_rules(mut network: Network, change: impl FnOnce(&mut clicklog::apply::rules::Network)) -> Network {
    change(std::sync::Arc::get_mut(&mut network.rules).unwrap());
    network
}

#[test]
fn a_postback_is_taken_in_each_form_and_kept_as_it_came() {
    let server = Bare::start(parts(vec![network("boost")]));
    let said = "click_id=abc&payout=1.50&txid=t1";
    let answers = [
        server.get(&format!("/postback/boost?secret=open+sesame&{said}")),
        server.get(&format!("/postback/boost/?secret=open%20sesame&{said}")),
        server.get(&format!("/postback?network=boost&secret=open+sesame&{said}")),
        server.post("/postback/boost", FORM, &format!("secret=open+sesame&{said}")),
        server.post("/postback/boost", "", &format!("secret=open+sesame&{said}")),
        server.post("/postback/boost?secret=open+sesame", FORM, said),
        server.post(
            "/postback/boost",
            JSON,
            r#"{"secret":"open sesame","click_id":"abc","payout":1.50,"txid":"t1"}"#,
        ),
        server.post(
            "/postback?network=boost",
            "",
            r#"{"click_id":"abc","payout":1.50,"secret":"open sesame"}"#,
        ),
        server.post("/postback", JSON, r#"{"click_id":"abc","network":"boost","secret":"open sesame"}"#),
        server.send(&format!("GET /postback/boost?{said}"), "X-Secret: open sesame\r\n", ""),
        server.send(&format!("GET /postback/boost?{said}"), "Authorization: Bearer open sesame\r\n", ""),
    ];
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!((answer.status, result(answer)), (200, "unmatched"), "{n}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let body: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
        assert_eq!((&body["result"], &body["reason"]), (&"unmatched".into(), &"parked".into()), "{n}");
        assert_eq!(body["conversion_id"].as_str().map(str::len), Some(32), "{n}");
    }
    assert_eq!(server.count(Outcome::Unmatched), 11);
    let kept = server.postbacks();
    assert_eq!(kept.len(), 11);
    assert!(kept.iter().all(|kept| kept.refused == 0 && kept.network == "boost"), "{kept:?}");
    let first = Kept {
        network: "boost".into(),
        refused: 0,
        method: "GET".into(),
        path: "/postback/boost".into(),
        query: format!("secret=***&{said}"),
        headers: String::new(),
        body: String::new(),
        address: Some("127.0.0.1/32".into()),
    };
    assert_eq!(kept[0], first);
    assert_eq!(kept[3].body, format!("secret=***&{said}"));
    assert_eq!(kept[6].body, r#"{"secret":"***","click_id":"abc","payout":1.50,"txid":"t1"}"#);
    assert_eq!(
        (kept[9].headers.as_str(), kept[10].headers.as_str()),
        ("x-secret: ***\n", "authorization: ***\n")
    );
    server.stop();
}

#[test]
fn head_and_options_report_nothing() {
    let server = Bare::start(parts(vec![open("boost")]));
    for target in ["/postback/boost?click_id=abc", "/postback?network=boost&click_id=abc", "/postback"] {
        assert_eq!(server.send(&format!("HEAD {target}"), "", "").status, 200, "{target}");
        assert_eq!(server.send(&format!("OPTIONS {target}"), "", "").status, 204, "{target}");
    }
    assert_eq!(server.send("PUT /postback/boost", "", "").status, 405);
    assert_eq!((server.count(Outcome::Head), server.count(Outcome::Options)), (3, 3));
    assert_eq!((server.postbacks(), server.edge().recent("boost")), (vec![], vec![]));
    server.stop();
}

#[test]
fn a_body_that_cannot_be_read_is_refused_and_kept_if_its_sender_is_known() {
    let server = Bare::start(parts(vec![network("boost")]));
    for (content_type, body) in [
        (JSON, "{\"click_id\":"),
        (JSON, "[]"),
        ("multipart/form-data; boundary=x", "--x--"),
        ("", "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":1}}}}}"),
    ] {
        let answer = server.post("/postback/boost?secret=open+sesame", content_type, body);
        assert_eq!((answer.status, result(&answer)), (400, "rejected:bad_body"), "{body}");
    }
    let kept = server.postbacks();
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|kept| kept.refused == Refusal::BadBody.code()));
    assert_eq!(kept[0].body, "{\"click_id\":");
    // Whoever does not show who it is gets the same answer, and fills no disk.
    for _ in 0..50 {
        assert_eq!(result(&server.post("/postback/boost?secret=wrong", JSON, "[")), "rejected:bad_body");
    }
    assert_eq!(server.stop_and_read().len(), 4 + 10);
}

#[test]
fn a_body_that_is_too_long_or_too_slow_says_so() {
    let server = Bare::start(parts(vec![open("boost")]));
    let long = format!("click_id={}", "x".repeat(65_536));
    let answer = server.post("/postback/boost", FORM, &long);
    assert_eq!((answer.status, result(&answer)), (413, "rejected:body_too_long"));
    let long = format!("click_id=abc&sub={}", "x".repeat(5_000));
    let answer = server.post("/postback/boost", FORM, &long);
    assert_eq!((answer.status, result(&answer)), (400, "rejected:too_long"));
    assert_eq!(server.postback().refused, Refusal::TooLong.code());
    server.stop();
}

#[test]
fn what_is_refused_at_a_conversion_s_route_before_it_is_looked_at_says_so_too() {
    let server = Bare::start(parts(vec![open("boost")]));
    for path in ["/postback", "/postback/boost", "/pixel.gif", "/pixel", "/pixel.js"] {
        for (line, headers, status, reason) in [
            (format!("PUT {path}"), "", 405, "method"),
            (format!("GET {path}"), "Host: a\r\nHost: b\r\n", 400, "host"),
            (format!("GET {path}?x={}", "y".repeat(9_000)), "", 414, "uri_too_long"),
            (format!("POST {path}"), "Transfer-Encoding: gzip, chunked\r\n", 400, "framing"),
        ] {
            let answer = server.send(&line, headers, "");
            let expected = (status, format!("rejected:{reason}"));
            assert_eq!((answer.status, result(&answer).to_owned()), expected, "{path} {reason}");
        }
    }
    assert!(server.get("/c/spring?x=1").header("x-clicklog-result").is_none());
    server.stop();
}

#[test]
fn a_missing_field_is_named_and_so_is_the_parameter_that_may_be_meant() {
    let required =
        with_rules(open("boost"), |rules| rules.required = vec![Role::TransactionId, Role::Payout]);
    let server = Bare::start(parts(vec![required]));
    let answer = server.get("/postback/boost?clik_id=abc&payotu=1&transactionid=t1");
    assert_eq!((answer.status, result(&answer)), (400, "rejected:missing_click_id"));
    let body: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
    let message = body["message"].as_str().unwrap();
    for part in [
        "missing click_id (as click_id, clickid, cid, subid",
        "perhaps sent as \"clik_id\"",
        "missing payout (as payout,",
        "perhaps sent as \"payotu\"",
        "missing transaction_id (as transaction_id",
        "perhaps sent as \"transactionid\"",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    for (query, expected) in [
        ("click_id=abc&payout=1", "missing_transaction_id"),
        ("click_id=abc&txid=1", "missing_payout"),
        ("click_id=abc&txid={txid}&payout=1", "missing_transaction_id"),
        ("click_id=%23s2%23&txid=1&payout=1", "missing_click_id"),
        ("click_id=abc&txid=1&payout=ten", "bad_payout"),
        ("click_id=abc&txid=1&payout=1&currency=Dollars", "bad_currency"),
    ] {
        assert_eq!(
            server.result(&format!("/postback/boost?{query}")),
            format!("rejected:{expected}"),
            "{query}"
        );
    }
    // All of them are kept: with another mapping they may say something.
    let kept = server.postbacks();
    assert_eq!(kept.len(), 7);
    assert_eq!(kept[0].query, "clik_id=abc&payotu=1&transactionid=t1");
    let totals = server.totals();
    assert_eq!((totals.refused(Refusal::MissingTransactionId), totals.placeholders), (2, 2));
    assert_eq!(totals.count(Outcome::Unreadable), 7);
    let recent = server.edge().recent("boost");
    assert_eq!(recent[6].nearest.as_deref(), Some("clik_id"));
    assert_eq!(recent[0].result, "rejected:bad_currency");
    assert!(recent[0].reason.contains("\"Dollars\""), "{}", recent[0].reason);
    server.stop();
}

#[test]
fn of_two_values_under_one_name_the_body_s_counts_unless_the_network_says_otherwise() {
    let query_first =
        Network { query_first: true, ..with_rules(open("query"), |rules| rules.required = vec![]) };
    let server = Bare::start(parts(vec![open("body"), query_first]));
    let both = |network: &str| {
        server.post(&format!("/postback/{network}?click_id=abc&payout=ten"), FORM, "payout=1")
    };
    assert_eq!(result(&both("body")), "unmatched");
    assert_eq!(result(&both("query")), "rejected:bad_payout");
    server.stop();
}

#[test]
fn networks_that_share_a_path_are_told_apart_by_parameter_domain_and_secret() {
    let at = |id: &str| Network { doors: vec![door("/track/pb", DoorKind::Postback, &[])], ..network(id) };
    let mut by_secret = at("secret");
    by_secret.access.secrets = vec![Secret::new("another one")];
    let mut by_domain = at("domain");
    by_domain.domains = vec!["Pb.Example.NET".into()];
    let mut by_match = at("match");
    by_match.matches = vec![("nid".into(), "12".into())];
    let server = Bare::start(parts(vec![at("boost"), by_secret, by_domain, by_match]));
    let all = "click_id=abc&secret";
    for (line, host, network) in [
        (format!("/track/pb?{all}=another+one"), "trk.example", "secret"),
        (format!("/track/pb?{all}=another+one&network=boost"), "trk.example", ""),
        (format!("/track/pb?{all}=open+sesame&network=boost"), "trk.example", "boost"),
        (format!("/track/pb?{all}=open+sesame"), "PB.example.net:80", "domain"),
        (format!("/track/pb/?{all}=open+sesame&NID=12"), "trk.example", "match"),
        (format!("/postback?{all}=open+sesame"), "pb.example.net.", "domain"),
        (format!("/postback/match?{all}=open+sesame"), "pb.example.net", "match"),
    ] {
        let answer = server.send(&format!("GET {line}"), &format!("Host: {host}\r\n"), "");
        let expected = if network.is_empty() { "rejected:secret" } else { "unmatched" };
        assert_eq!(result(&answer), expected, "{line} at {host}");
        if !network.is_empty() {
            assert_eq!(server.edge().recent(network)[0].result, "unmatched", "{line} at {host}");
        }
    }
    // Two of the four have this secret, and nothing else tells them apart.
    for line in [
        format!("/track/pb?{all}=open+sesame"),
        format!("/track/pb?{all}=wrong"),
        format!("/postback?{all}=x"),
    ] {
        let answer = server.get(&line);
        assert_eq!((answer.status, result(&answer)), (404, "rejected:unknown_network"), "{line}");
    }
    for line in ["/postback", "/postback/none", "/postback?network=none"] {
        assert_eq!(server.result(line), "rejected:unknown_network", "{line}");
    }
    assert_eq!(server.count(Outcome::UnknownNetwork), 6);
    server.stop();
}

#[test]
fn one_path_serves_clicks_and_conversions() {
    let doors = vec![
        door("/click.php", DoorKind::Postback, &[("cnv_id", None)]),
        door("/p.ashx", DoorKind::Image, &[("f", Some("img"))]),
        door("/p.ashx", DoorKind::Postback, &[("f", Some("pb"))]),
    ];
    let server = Bare::start(parts(vec![Network { doors, ..open("binom") }]));
    let click = server.get("/click.php?key=spring&sub1=x");
    assert_eq!(click.status, 302);
    let id = click.cookie().unwrap();
    let (read, posted) = (
        server.get(&format!("/click.php?CNV_ID={id}&payout=2")),
        server.post("/click.php", FORM, &format!("cnv_id={id}&payout=2")),
    );
    assert_eq!((result(&read), result(&posted)), ("accepted", "duplicate"));
    let (none, post) = (server.get("/click.php?key=none"), server.post("/click.php?key=spring", FORM, "x=1"));
    assert_eq!((none.status, post.status), (404, 405));
    assert_eq!(server.send("HEAD /click.php?key=spring", "", "").status, 302);
    assert_eq!(server.send(&format!("HEAD /click.php?cnv_id={id}"), "", "").status, 200);
    let image = server.get(&format!("/p.ashx?f=img&cid={id}"));
    assert_eq!((image.header("content-type"), result(&image)), (Some("image/gif"), "duplicate"));
    assert_eq!(server.result(&format!("/p.ashx?f=PB&cid={id}")), "duplicate");
    assert_eq!(server.get("/p.ashx?f=js").status, 404);
    let counted =
        [Outcome::Redirected, Outcome::Accepted, Outcome::Duplicate].map(|outcome| server.count(outcome));
    assert_eq!(counted, [1, 1, 3]);
    server.stop();
}

#[test]
fn a_network_is_answered_as_it_wants_but_never_told_that_what_was_not_kept_was() {
    let own = |status, content_type: &str, body: &str| Own {
        status,
        content_type: content_type.into(),
        body: body.into(),
    };
    let mut tune = open("tune");
    tune.access.rate = Some(Rate { per_second: 1, burst: 3 });
    tune.answers = Answers {
        by_result: vec![
            ("ok".into(), own(None, "text/plain", "success=true;")),
            ("rejected".into(), own(Some(200), "text/plain", "success=false; err_msg={message};")),
            ("rejected:bad_payout".into(), own(Some(202), "application/json", "{\"why\":\"{message}\"}")),
        ],
        echo: Some("return".into()),
    };
    let server = Bare::start(parts(vec![tune]));
    let ok = server.get("/postback/tune?click_id=abc");
    assert_eq!((ok.status, ok.text(), result(&ok)), (200, "success=true;", "unmatched"));
    assert_eq!(ok.header("content-type"), Some("text/plain"));
    let missing = server.get("/postback/tune?x=%0d%0a");
    assert_eq!((missing.status, result(&missing)), (200, "rejected:missing_click_id"));
    assert!(missing.text().starts_with("success=false; err_msg=missing click_id"), "{missing:?}");
    let bad = server.get("/postback/tune?click_id=abc&payout=a%22b");
    assert_eq!((bad.status, bad.header("content-type")), (202, Some("application/json")));
    let body: serde_json::Value = serde_json::from_str(bad.text()).unwrap();
    assert!(body["why"].as_str().unwrap().contains("\"a\"b\""), "{bad:?}");
    let often = server.get("/postback/tune?click_id=abc&return=OK");
    assert_eq!((often.status, result(&often)), (429, "rejected:rate_limit"));
    assert_eq!(often.header("retry-after"), Some("1"));
    server.clock.advance(std::time::Duration::from_secs(10));
    let echo = server.get("/postback/tune?click_id=abc&Return=%3Cb%3E%0aOK%26");
    assert_eq!((echo.status, echo.text()), (200, "<b>\nOK&"));
    assert_eq!(echo.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(echo.header("x-content-type-options"), Some("nosniff"));
    server.stop();
}

#[test]
fn a_test_explains_each_step_and_is_answered_as_a_test() {
    let server = Bare::start(parts(vec![network("boost")]));
    let id = server.click("spring");
    let answer = server.get(&format!("/postback/boost?click_id={id}&payout=1&secret=open+sesame&test=1"));
    assert_eq!((answer.status, result(&answer)), (200, "test"));
    let body: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
    let steps: Vec<_> =
        body["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["network", "secret", "fields", "click", "decision"], "{body}");
    let click = body["steps"][3]["found"].as_str().unwrap();
    assert!(click.contains("campaign \"spring\", offer \"diet\""), "{click}");
    assert_eq!(server.count(Outcome::Tested), 1);
    let refused = server.get("/postback/boost?click_id=abc&test=1&secret=wrong");
    assert_eq!((refused.status, result(&refused)), (403, "rejected:secret"));
    let body: serde_json::Value = serde_json::from_str(refused.text()).unwrap();
    assert_eq!(body["steps"][1]["step"], "refused");
    server.stop();
}

#[test]
fn a_store_that_takes_nothing_is_answered_503_by_every_profile() {
    let mut tune = open("tune");
    let ok = Own { status: Some(200), content_type: "text/plain".into(), body: "OK".into() };
    tune.answers.by_result = vec![("ok".into(), ok.clone()), ("rejected".into(), ok)];
    tune.answers.echo = Some("return".into());
    let server = Bare::start(parts(vec![tune]));
    assert_eq!(server.get("/postback/tune?click_id=abc").text(), "OK");
    server.poison();
    for target in
        ["/postback/tune?click_id=abc&return=OK", "/postback/tune?nothing=1", "/pixel.gif?network=tune&cid=a"]
    {
        let answer = server.get(target);
        assert_eq!((answer.status, result(&answer)), (503, "rejected:unavailable"), "{target}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{target}");
    }
    assert_eq!(server.count(Outcome::Unavailable), 3);
}
