//! From a lander to an offer, and clicks that a landing page announces.

use clicklog::event::click::ClickKind;
use clicklog::ingest::Outcome;

use crate::server::{CATALOG, Server};

#[test]
fn a_visitor_goes_through_a_lander_to_an_offer_under_the_id_of_that_way() {
    let server = Server::start(CATALOG);
    let landed = server.get("/c/landing?zoneid=9");
    let id = landed.cookie().unwrap();
    assert_eq!(landed.location(), format!("https://lp.example/a?cid={id}"));
    let ways = [
        server.get_with(
            "/out/1",
            &format!("User-Agent: Mozilla/5.0 Firefox/131.0\r\nCookie: a=b; cl_cid={id}\r\n"),
        ),
        server.get(&format!("/out/1?click_id={id}")),
        server.get(&format!("/out/1?cid={}", id.to_uppercase())),
    ];
    let mut ids = vec![id.to_owned()];
    for answer in &ways {
        let rest = answer.location().strip_prefix("https://offer.example/land?s2=").unwrap();
        ids.push(rest.strip_suffix("&zone=9").unwrap().to_owned());
    }
    let second = server.get(&format!("/out/2?click_id={id}&from=button"));
    ids.push(second.location().strip_prefix("https://other.example/?c=").unwrap().to_owned());
    // Each way has an id of its own, so that a conversion says which offer it was for.
    let different: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!((different.len(), ids.iter().all(|id| id.len() == 26)), (5, true), "{ids:?}");
    let clicks = server.clicks();
    let through: Vec<_> = clicks.iter().filter(|click| click.kind == ClickKind::Through).collect();
    assert_eq!((clicks.len(), through.len()), (5, 4));
    assert!(through.iter().all(|click| click.parent != 0 && click.parent == through[0].parent));
    assert!(through.iter().any(|click| click.path[2] == "other" && click.param("from") == Some("button")));
    let first = clicks.iter().find(|click| click.kind == ClickKind::Redirect).unwrap();
    assert_eq!(first.path, ["landing", "propeller", "", "1"]);
    // None of the four is held against the visitor, and none is a click of its own.
    assert!(through.iter().all(|click| click.labels == Default::default()), "{through:?}");
    assert_eq!((server.totals().gross, server.totals().net), (1, 1));
    server.stop();
}

#[test]
fn a_way_through_a_lander_costs_nothing_more_and_names_the_lander() {
    let catalog = CATALOG.replace(
        "landers = [{ url = \"https://lp.example/a?cid={click_id}\" }]",
        "landers = [{ url = \"https://lp.example/a\", weight = 0 }, { url = \"https://lp.example/b\" }]",
    );
    let fixed = catalog.replace(
        "id = \"landing\"",
        "id = \"landing\"\ncost = { model = \"cpc\", amount = \"0.012\", currency = \"EUR\" }",
    );
    for (catalog, cost) in [(fixed, "0.012 EUR"), (catalog, "0.03 USD")] {
        let server = Server::start(&catalog);
        let id = server.get("/c/landing?cost=0.03").cookie().unwrap().to_owned();
        assert_eq!(server.get(&format!("/out/1?click_id={id}&cost=0.03")).status, 302);
        // Who was announced by the page itself came from no lander of ours.
        let announced = server.get("/track?campaign=landing&cost=0.03").cookie().unwrap().to_owned();
        assert_eq!(server.get(&format!("/out/1?click_id={announced}")).status, 302);
        let clicks = server.clicks();
        let mut ways: Vec<_> = clicks.iter().map(|click| (click.kind as u8, &*click.path[3])).collect();
        ways.sort_unstable();
        assert_eq!(ways, [(0, "2"), (1, ""), (2, ""), (2, "2")]);
        let costs: Vec<_> =
            clicks.iter().filter_map(|click| click.cost).map(|cost| cost.to_string()).collect();
        assert_eq!(costs, [cost, cost], "each visitor is paid for once");
        assert!(clicks.iter().all(|click| click.cost.is_none() == (click.kind == ClickKind::Through)));
        server.stop();
    }
}

#[test]
fn a_click_id_that_is_none_leads_nowhere_and_is_counted() {
    let server = Server::start(CATALOG);
    for target in ["/out", "/out?click_id=0000000000000000000000zzzz", "/out/7?click_id=x", "/out?click_id="]
    {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    assert_eq!(server.count(Outcome::ThroughUnknown), 4);
    assert_eq!(server.clicks().len(), 0);
    server.stop();
}

#[test]
fn a_click_is_found_again_once_its_segment_is_sealed() {
    let server = Server::start(CATALOG);
    let id = server.get("/c/landing?zoneid=9").cookie().unwrap().to_owned();
    server.daemon().edge().roll();
    // Another click in each lane, so that both have rolled for certain.
    while std::fs::read_dir(server.data().join("clicks/lane-00")).unwrap().count() < 3 {
        server.get("/c/landing");
    }
    let answer = server.get(&format!("/out/1?click_id={id}"));
    assert!(answer.location().starts_with("https://offer.example/land?s2="), "{answer:?}");
    assert!(answer.location().ends_with("&zone=9"), "{answer:?}");
    server.stop();
}

#[test]
fn a_landing_page_announces_its_clicks() {
    let server = Server::start(CATALOG);
    let script = server.get("/t.js");
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert!(script.text().contains("/track"));
    let answer = server.get_with("/track?campaign=landing&zoneid=4", "Origin: https://lp.example\r\n");
    let id = answer.cookie().unwrap();
    assert_eq!(answer.text(), format!("{{\"click_id\":\"{id}\"}}\n"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://lp.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("vary"), Some("origin"));
    let body = "campaign=landing&zoneid=5";
    let post = format!(
        "POST /track HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(server.connect().send(post).receive().unwrap().status, 200);
    let chunked = "POST /track?campaign=landing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nzonei\r\n3\r\nd=6\r\n0\r\n\r\n";
    assert_eq!(server.connect().send(chunked).receive().unwrap().status, 200);
    let clicks = server.clicks();
    let mut zones: Vec<_> = clicks.iter().map(|click| click.param("zone").unwrap()).collect();
    zones.sort_unstable();
    assert_eq!(zones, ["4", "5", "6"]);
    assert!(clicks.iter().all(|click| click.kind == ClickKind::Script && click.path[0] == "landing"));
    // The announced click is the one that a conversion or a way to an offer will name.
    let out = server.get(&format!("/out/1?click_id={id}"));
    assert!(out.location().ends_with("&zone=4"), "{out:?}");
    server.stop();
}

#[test]
fn a_browser_may_ask_first_and_an_unknown_campaign_is_refused() {
    let server = Server::start(CATALOG);
    let preflight = "OPTIONS /track HTTP/1.1\r\nHost: a\r\nOrigin: https://lp.example\r\n\
                     Access-Control-Request-Method: POST\r\n\r\n";
    let answer = server.connect().send(preflight).receive().unwrap();
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, OPTIONS"));
    assert_eq!(server.get("/track").status, 404);
    assert_eq!(server.get("/track?campaign=none").status, 404);
    assert_eq!((server.count(Outcome::Options), server.count(Outcome::UnknownCampaign)), (1, 2));
    server.stop();
}
