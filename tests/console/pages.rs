//! What every page is: whole, under its policy, and text wherever somebody else has written.

use std::os::unix::fs::FileExt;

use clicklog::store::Journal;
use clicklog::store::directory::Directory;
use clicklog::store::record::BODY_OFFSET;

use crate::desk::{Desk, HOSTILE, SECRET, TOKEN, catalog, pages};

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A daemon that was sent nothing good; one of its clicks.
fn attacked() -> (Desk, String) {
    let desk = Desk::open();
    let hostile = encoded(HOSTILE);
    let headers = format!(
        "User-Agent: Mozilla {HOSTILE}\r\nReferer: https://e.example/{HOSTILE}\r\nAccept-Language: {HOSTILE}\r\n"
    );
    let click = desk.click(&format!("sub1={hostile}&visitor={hostile}&{hostile}={hostile}"), &headers);
    assert_eq!(
        desk.postback(&format!("subid={click}&tx={hostile}&sum=2&st=approved&et={hostile}")),
        "accepted"
    );
    assert_eq!(desk.postback(&format!("subid={click}&tx=held-{hostile}&sum=99")), "held");
    assert_eq!(desk.postback(&format!("subid={click}&tx=b&sum={hostile}")), "rejected:bad_payout");
    assert_eq!(desk.postback(&format!("{hostile}={hostile}&tx={hostile}")), "rejected:missing_click_id");
    desk.visit(&format!("/postback/{hostile}?tx={hostile}"), &headers);
    (desk, click)
}

#[test]
fn every_page_is_whole_and_under_its_policy() {
    let (desk, click) = attacked();
    for target in pages(&click) {
        let page = desk.look(&target);
        assert_eq!(page.status, 200, "{target}: {}", page.text);
        let policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", policy),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(page.header(name), Some(value), "{name} of {target}");
        }
        assert!(page.text.starts_with("<!DOCTYPE html>") && page.text.ends_with("</html>"), "{target}");
        assert_eq!(page.text.matches("<main").count(), 1, "{target}");
        for never in [" style=\"", "<style", " onclick", "javascript:", "http-equiv"] {
            assert!(!page.text.contains(never), "{never} in {target}");
        }
        assert_eq!(page.text.matches("<script").count(), 1, "{target}");
        let head = desk.head(&target);
        assert!(head.starts_with("HTTP/1.1 200"), "HEAD {target}: {head}");
    }
}

#[test]
fn whatever_somebody_sends_is_text() {
    let (desk, click) = attacked();
    let mut seen = 0;
    let hostile = encoded(HOSTILE);
    let mut targets = pages(&click);
    for page in [
        "campaigns?q=",
        "networks?q=",
        "deliveries?state=any&about=",
        "lookup?id=",
        "test?network=n&params=",
        "login?next=",
    ] {
        targets.push(format!("/console/{page}{hostile}"));
    }
    for page in ["campaigns", "networks", "deliveries", ""] {
        targets.push(format!("/console/{page}/{hostile}"));
    }
    for target in targets {
        let page = desk.look(&target);
        assert!(page.status == 200 || page.status == 404, "{target}: {}", page.status);
        assert!(!page.text.contains("<script>") && !page.text.contains("<img"), "{target}: {}", page.text);
        seen += page.text.matches("&lt;script&gt;hacked()").count();
    }
    assert!(seen > 20, "only {seen} of what was sent were shown");
}

#[test]
fn no_page_shows_a_secret() {
    let (desk, click) = attacked();
    let session = desk.log_in();
    for target in pages(&click) {
        for headers in ["Host: localhost\r\n", &session] {
            let page = desk.ask("GET", &target, headers, "");
            assert!(!page.text.contains(SECRET) && !page.text.contains(TOKEN), "{target}");
        }
    }
}

#[test]
fn what_pages_load_is_kept_for_good_and_named_by_what_it_holds() {
    let desk = Desk::open();
    let page = desk.look("/console").text;
    for (start, content_type) in [
        ("/console/style-", "text/css; charset=utf-8"),
        ("/console/script-", "text/javascript; charset=utf-8"),
        ("/console/icon-", "image/svg+xml"),
    ] {
        let name = page.split('"').find(|part| part.starts_with(start)).unwrap();
        // Who is not let in yet sees the login as it is meant to be.
        for headers in ["Host: localhost\r\n", "Host: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n"] {
            let file = desk.ask("GET", name, headers, "");
            assert_eq!((file.status, file.header("content-type")), (200, Some(content_type)), "{name}");
            assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
            assert!(!file.text.is_empty());
        }
        assert_eq!(desk.look(&name.replace("-", "-0")).status, 404, "another content has another name");
    }
    let elsewhere = page.split('"').filter(|part| part.contains("://") || part.starts_with("//"));
    assert_eq!(elsewhere.collect::<Vec<_>>(), [""; 0], "nothing is loaded from elsewhere");
}

#[test]
fn paths_and_methods_that_are_none_are_said_to_be_none() {
    let desk = Desk::open();
    let session = desk.log_in();
    let key = desk.ask("GET", "/console", &session, "").field("key");
    for (method, target, form, expected) in [
        ("GET", "/console/", "", 200),
        ("GET", "/console/none", "", 404),
        ("GET", "/console/campaigns/none", "", 404),
        ("GET", "/console/campaigns/c/more", "", 404),
        ("GET", "/console/networks/none", "", 404),
        ("GET", "/console/deliveries/none", "", 404),
        ("GET", "/console/deliveries/00000000000000000000000000000000", "", 404),
        ("GET", "/console/%2e%2e/%2e%2e/etc/passwd", "", 404),
        ("GET", "/console/held/release", "", 404),
        ("POST", "/console/none", "", 404),
        ("POST", "/console/held/release", "decision=7", 400),
        ("POST", "/console/held/release", "decision=7:4096", 409),
        ("POST", "/console/deliveries/pause", "destination=none", 404),
        ("POST", "/console/deliveries/replay-dead", "", 400),
        ("POST", "/console/test", "network=none", 404),
        ("POST", "/console/test", "network=n&params=no-pair", 400),
        ("PUT", "/console", "", 405),
        ("DELETE", "/console/held", "", 405),
    ] {
        let answer = desk.ask(method, target, &session, &format!("key={key}&{form}"));
        assert_eq!(answer.status, expected, "{method} {target}: {}", answer.text);
        assert!(answer.text.contains("<h1>"), "{method} {target} says nothing");
    }
}

#[test]
fn a_long_list_is_shown_in_parts_and_searched() {
    let desk = Desk::open_with(&catalog(3_000), &[], &[]);
    let first = desk.look("/console/campaigns").text;
    assert!(first.contains("1–50 of 3,002") && first.contains("rel=\"next\""), "{first}");
    assert_eq!(first.matches("/console/campaigns/").count(), 50);
    let last = desk.look("/console/campaigns?page=61").text;
    assert!(last.contains("3,001–3,002 of 3,002") && !last.contains("rel=\"next\""), "{last}");
    let found = desk.look("/console/campaigns?q=MORE-299").text;
    assert!(found.contains("1–11 of 11") && found.contains("3,002 campaigns in all"), "{found}");
    for (query, count) in [("q=also", 1), ("q=nothing-of-the-kind", 0), ("page=1000000", 0)] {
        let page = desk.look(&format!("/console/campaigns?{query}")).text;
        assert_eq!(page.matches("/console/campaigns/").count(), count, "{query}");
    }
}

#[test]
fn a_page_says_what_to_paste_and_what_was_refused() {
    let (desk, click) = attacked();
    let campaign = desk.look("/console/campaigns/also?base=https://trk.example/").text;
    for part in [
        "https://trk.example/c/c?visitor={visitor}&amp;z={z}",
        "https://trk.example/postback/n?subid={click_id}&amp;sum={payout}",
        "secret=SECRET",
        "http://127.0.0.1:9/?c={click_id}&amp;t={transaction_id}",
    ] {
        assert!(campaign.contains(part), "{part} in {campaign}");
    }
    let lander = desk.look("/console/campaigns/lander").text;
    for part in [
        "/out/2",
        "has no {click_id} in its url",
        "/pixel.gif?network=open",
        "data-campaign=&quot;lander&quot;",
    ] {
        assert!(lander.contains(part), "{part} in {lander}");
    }
    let network = desk.look("/console/networks/n").text;
    for part in ["rejected:bad payout", "rejected:missing click id", "held", "payout above max", "secret=***"]
    {
        assert!(network.contains(part), "{part} in {network}");
    }
    let refused = desk.look("/console/networks/n?show=refused").text;
    assert!(refused.contains("missing click id") && !refused.contains(">accepted<"), "{refused}");
    let strangers = desk.look("/console/strangers").text;
    assert!(
        strangers.contains("rejected:unknown network")
            && strangers.contains("aria-current=\"page\">Networks")
    );
    let life = desk.look(&format!("/console/lookup?id={click}")).text;
    for part in [
        "is a click id of ours",
        "<strong>Click</strong>",
        "<strong>Decision</strong>",
        "/console/campaigns/c",
    ] {
        assert!(life.contains(part), "{part} in {life}");
    }
    let settings = desk.look("/console/settings").text;
    assert!(
        settings.contains("{ env = &quot;TOKEN&quot; }") && settings.contains("click_segment"),
        "{settings}"
    );
    let storage = desk.look("/console/storage").text;
    assert!(storage.contains("postbacks") && storage.contains("for ever"), "{storage}");
}

/// A segment that cannot be read any more costs what lies in it, and no page that shows other things too.
#[test]
fn what_is_damaged_is_said_and_the_rest_is_shown() {
    let (desk, _) = attacked();
    desk.look_until("/console/deliveries?state=any", "<a href=\"/console/deliveries/");
    let session = desk.log_in();
    let token = format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
    assert_eq!(desk.ask("POST", "/-/roll", &token, "").status, 200);
    desk.look_until("/metrics", "clicklog_store_segments_sealed_total 3\n");
    for journal in [Journal::Deliveries, Journal::Postbacks] {
        let path = Directory::new(desk.data()).segment(journal, 0, 0, 0);
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&[0xa5; 64], u64::from(BODY_OFFSET) + 16).unwrap();
    }
    for (target, parts) in [
        ("/console", ["Visitors", "Deliveries cannot be told"]),
        ("/console/campaigns", ["/console/campaigns/lander", "Sums are of the last 24 hours"]),
        ("/console/campaigns/c", ["Click URL", "How it is set"]),
        ("/console/networks/n", ["What to paste", "The journal cannot be read"]),
        ("/console/strangers", ["unknown network", "The journal cannot be read"]),
    ] {
        let page = desk.ask("GET", target, &session, "");
        assert_eq!(page.status, 200, "{target}: {}", page.text);
        for part in parts {
            assert!(page.text.contains(part), "{part} in {target}: {}", page.text);
        }
    }
}
