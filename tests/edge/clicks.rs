//! Clicks: what is recorded, where visitors are sent.

use std::str::FromStr;

use clicklog::event::click::{ClickKind, KeptAddress};
use clicklog::event::click_id::ClickId;
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::ingest::Outcome;

use crate::server::{CATALOG, Server};

#[test]
fn a_click_is_recorded_whole_and_redirected_with_its_id() {
    let server = Server::start(CATALOG);
    let answer = server.get_with(
        "/c/spring?zoneid=7%2B1&visitor_id=ext-1&cost=0.0125&sub1=a&sub1=b&gclid=Cj0K_x-9&empty&gdpr=1&gdpr_consent=CPx",
        "User-Agent: Mozilla/5.0 Test\r\nReferer: https://news.example/a?b=c\r\nAccept-Language: de-AT,de;q=0.9\r\n\
         Sec-CH-UA-Platform: \"Android\"\r\nSec-CH-UA-Mobile: ?1\r\nSec-GPC: 1\r\n",
    );
    assert_eq!((answer.status, answer.header("cache-control")), (302, Some("no-store")));
    let click = server.click();
    let id = answer.cookie().unwrap();
    assert_eq!(answer.location(), format!("https://offer.example/land?s2={id}&zone=7%2B1"));
    assert!(ClickId::from_str(id).is_ok() && id.len() == 26);
    assert_eq!(click.kind, ClickKind::Redirect);
    assert_eq!(click.time, server.clock.now());
    assert_eq!(click.path, ["spring", "propeller", "diet", ""]);
    assert_eq!(click.external_id, "ext-1");
    assert_eq!(click.cost, Some(Money { amount: Micros::new(12_500), currency: Currency::USD }));
    assert_eq!(click.address, Some(KeptAddress::full([127, 0, 0, 1].into())));
    assert_eq!(
        click.texts,
        ["trk.example", "https://news.example/a?b=c", "Mozilla/5.0 Test", "de-AT,de;q=0.9"]
    );
    assert!(click.client_hints.contains("sec-ch-ua-platform: \"Android\"\n"), "{}", click.client_hints);
    assert!(click.global_privacy_control);
    assert_eq!((click.country, click.asn), ([0; 2], 0), "nobody has said where addresses are");
    assert_eq!(click.config_version, server.daemon().catalog().version());
    let expected = [
        ("zone", "7+1"),
        ("sub1", "a"),
        ("sub1", "b"),
        ("gclid", "Cj0K_x-9"),
        ("empty", ""),
        ("gdpr", "1"),
        ("gdpr_consent", "CPx"),
    ];
    let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(click.params, expected);
    server.stop();
}

#[test]
fn a_parameter_that_is_malformed_never_loses_its_click() {
    let server = Server::start(CATALOG);
    for query in
        ["?zoneid=1?sub1=x", "?%ZZ=%&zoneid=1", "?&&=&zoneid=1", "?zoneid=1&cost=lots", "?zoneid=1&a=%ff%00"]
    {
        let answer = server.get(&format!("/c/spring{query}"));
        assert!(answer.location().ends_with("&zone=1"), "{query}: {answer:?}");
    }
    let clicks = server.clicks();
    assert_eq!(clicks.len(), 5);
    assert!(clicks.iter().any(|click| click.param("sub1") == Some("x")), "a second ? parts two parameters");
    assert!(clicks.iter().any(|click| click.param("cost") == Some("lots")), "what is no cost is kept");
    server.stop();
}

#[test]
fn a_click_costs_what_the_campaign_or_its_source_says() {
    let fixed = CATALOG.replace(
        "id = \"spring\"",
        "id = \"spring\"\ncost = { model = \"cpc\", amount = \"0.012\", currency = \"EUR\" }",
    );
    for (catalog, query, expected) in [
        (CATALOG, "?cost=1,5", Some((1_500_000, "USD"))),
        (CATALOG, "", None),
        (CATALOG, "?cost=NaN", None),
        (fixed.as_str(), "?cost=9", Some((12_000, "EUR"))),
    ] {
        let server = Server::start(catalog);
        server.get(&format!("/c/spring{query}"));
        let cost = server.click().cost;
        let shown = cost.map(|cost| (cost.amount.get(), cost.currency.to_string()));
        assert_eq!(shown, expected.map(|(amount, currency)| (amount, currency.to_owned())), "{query}");
        server.stop();
    }
}

#[test]
fn no_value_reaches_the_location_unescaped() {
    let server = Server::start(CATALOG);
    let answer = server.get("/c/spring?zoneid=a%0d%0aSet-Cookie:x=1%26admin%3d1%23frag%3Cscript%3E");
    let zone = answer.location().split_once("&zone=").unwrap().1;
    assert_eq!(zone, "a%0D%0ASet-Cookie%3Ax%3D1%26admin%3D1%23frag%3Cscript%3E");
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "set-cookie").count(), 1);
    server.stop();
}

#[test]
fn a_campaign_goes_by_its_aliases_and_by_what_other_trackers_call_it() {
    let server = Server::start(CATALOG);
    let targets = [
        "/c/spring",
        "/c/spring/",
        "/c/2",
        "/c/fr%C3%BCh%20ling",
        "/click.php?key=2",
        "/click.php?camp_id=2",
        "/click?key=2",
        "/base.php?c=2&key=x",
        "/tracking202/redirect/dl.php?t202id=2",
        "/aff_c?offer_id=2&aff_id=9",
        "/go/2",
        "/2",
        "/spring?zoneid=1",
    ];
    for target in targets {
        let answer = server.get(target);
        assert_eq!(answer.status, 302, "{target}: {answer:?}");
    }
    let clicks = server.clicks();
    assert_eq!(clicks.len(), targets.len());
    assert!(clicks.iter().all(|click| click.path[0] == "spring"));
    for (target, outcome) in [
        ("/c/none", Outcome::UnknownCampaign),
        ("/none", Outcome::NotFound),
        ("/", Outcome::NotFound),
        ("/c/", Outcome::NotFound),
        ("/click.php?key=none", Outcome::NotFound),
        ("/c/spring/more", Outcome::UnknownCampaign),
        ("/c/%ff", Outcome::UnknownCampaign),
    ] {
        let before = server.count(outcome);
        assert_eq!(server.get(target).status, 404, "{target}");
        assert_eq!(server.count(outcome), before + 1, "{target}");
    }
    server.stop();
}

fn with_redirect(how: &str) -> String {
    CATALOG.replace("id = \"spring\"", &format!("id = \"spring\"\nredirect = \"{how}\""))
}

#[test]
fn a_visitor_is_sent_on_in_the_way_that_the_campaign_says() {
    for (how, status) in [("302", 302), ("303", 303), ("307", 307)] {
        let server = Server::start(&with_redirect(how));
        let answer = server.get("/c/spring?zoneid=1");
        assert_eq!(answer.status, status);
        assert!(answer.location().starts_with("https://offer.example/"));
        server.stop();
    }
    let server = Server::start(&with_redirect("meta"));
    let answer = server.get("/c/spring?zoneid=1");
    assert_eq!((answer.status, answer.header("location")), (200, None));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let id = answer.cookie().unwrap();
    let refresh = format!("content=\"0;url=https://offer.example/land?s2={id}&amp;zone=1\"");
    assert!(answer.text().contains(&refresh), "{}", answer.text());
    server.stop();
}

#[test]
fn a_double_meta_refresh_goes_by_way_of_a_second_page() {
    let server = Server::start(&with_redirect("double_meta"));
    let answer = server.get("/c/spring?zoneid=1");
    let id = answer.cookie().unwrap();
    assert!(answer.text().contains(&format!("content=\"0;url=/m?c={id}\"")), "{}", answer.text());
    assert!(!answer.text().contains("offer.example"), "the first page does not say where to");
    let second = server.get(&format!("/m?c={id}"));
    let refresh = format!("content=\"0;url=https://offer.example/land?s2={id}&amp;zone=1\"");
    assert!(second.text().contains(&refresh), "{}", second.text());
    assert_eq!(server.clicks().len(), 1);
    assert_eq!(server.count(Outcome::SecondPage), 1);
    assert_eq!(server.get("/m?c=nonsense").status, 404);
    server.stop();
}

#[test]
fn the_cookie_is_for_https_where_visitors_come_by_https() {
    let server = Server::with(CATALOG, |settings| {
        let mut secure = settings.edge.listen[0].clone();
        secure.https = true;
        settings.edge.listen.push(secure);
    });
    let plain = server.get("/c/spring");
    let plain = plain.header("set-cookie").unwrap();
    assert!(plain.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"), "{plain}");
    let mut connection = crate::client::Connection::open(server.daemon().addresses()[1]);
    let answer = connection.send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap();
    let secure = answer.header("set-cookie").unwrap();
    assert!(secure.ends_with("; Secure; HttpOnly; SameSite=None"), "{secure}");
    assert!(!secure.contains("Partitioned"));
    server.stop();
    let without = Server::start(&CATALOG.replace("id = \"spring\"", "id = \"spring\"\ncookie = false"));
    assert_eq!(without.get("/c/spring").header("set-cookie"), None);
    without.stop();
}

#[test]
fn without_an_offer_the_fallback_serves_and_without_that_a_page_and_all_is_recorded() {
    let catalog = "[[campaign]]\nid = \"a\"\nfallback_url = \"https://example.org/?c={click_id}\"\n[[campaign]]\nid = \"b\"\n\
                   [[offer]]\nid = \"o\"\nurl = \"https://o.example/{sub1}\"\nmissing = \"fail\"\n\
                   [[campaign]]\nid = \"c\"\noffers = [{ id = \"o\" }]\nfallback_url = \"https://example.org/\"\n";
    let server = Server::start(catalog);
    let answer = server.get("/c/a");
    assert_eq!(answer.location(), format!("https://example.org/?c={}", answer.cookie().unwrap()));
    let answer = server.get("/c/b");
    assert_eq!((answer.status, answer.header("location")), (404, None));
    assert_eq!(server.get("/c/c?sub1=x").location(), "https://o.example/x");
    assert_eq!(server.get("/c/c").location(), "https://example.org/", "what an offer needs is missing");
    assert_eq!(server.clicks().len(), 4);
    let counts = [Outcome::FellBack, Outcome::NoDestination, Outcome::Redirected].map(|o| server.count(o));
    assert_eq!(counts, [2, 1, 1]);
    server.stop();
}

#[test]
fn what_is_no_click_is_not_recorded() {
    let server = Server::start(CATALOG);
    let mut connection = server.connect();
    let head = connection.send("HEAD /c/spring?zoneid=1 HTTP/1.1\r\nHost: a\r\n\r\n").receive_head().unwrap();
    assert_eq!(head.status, 302);
    assert!(head.location().starts_with("https://offer.example/land?s2="), "{head:?}");
    assert_eq!(head.header("set-cookie"), None);
    for header in [
        "Sec-Purpose: prefetch;prerender\r\n",
        "Sec-Purpose: prefetch\r\n",
        "Purpose: prefetch\r\n",
        "X-Moz: prefetch\r\n",
        "X-Purpose: preview\r\n",
    ] {
        let answer = server.get_with("/c/spring", header);
        assert_eq!((answer.status, answer.header("cache-control")), (503, Some("no-store")), "{header}");
    }
    assert_eq!(server.get("/robots.txt").text(), "User-agent: *\nDisallow: /\n");
    assert_eq!(server.get("/favicon.ico").status, 204);
    assert_eq!(server.clicks().len(), 0);
    let counts = [Outcome::Head, Outcome::Prefetch, Outcome::Noise].map(|outcome| server.count(outcome));
    assert_eq!(counts, [1, 5, 2]);
    server.stop();
}

const ROTATION: &str = r#"
[[offer]]
id = "a"
url = "https://a.example/{click_id}"
[[offer]]
id = "b"
url = "https://b.example/{click_id}"
[[campaign]]
id = "chance"
offers = [{ id = "a", weight = 70 }, { id = "b", weight = 30 }]
[[campaign]]
id = "sticky"
sticky = true
offers = [{ id = "a" }, { id = "b" }]
"#;

#[test]
fn offers_take_turns_by_their_weights() {
    let server = Server::start(ROTATION);
    let mut connection = server.connect();
    const CLICKS: usize = 2_000;
    let mut first = 0;
    for _ in 0..CLICKS {
        let answer = connection.send("GET /c/chance HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap();
        first += usize::from(answer.location().starts_with("https://a.example/"));
    }
    // Eight standard deviations of a binomial distribution on each side.
    assert!((1_236..=1_564).contains(&first), "{first} of {CLICKS}");
    server.stop();
}

#[test]
fn a_sticky_campaign_sends_a_visitor_where_it_was_before() {
    let server = Server::start(ROTATION);
    let mut hosts = std::collections::HashSet::new();
    for _ in 0..40 {
        let first = server.get("/c/sticky");
        let cookies = first.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value);
        let cookies: Vec<&str> = cookies.filter_map(|value| value.split(';').next()).collect();
        let again = server.get_with("/c/sticky", &format!("Cookie: x=1; {}\r\n", cookies.join("; ")));
        let host = |location: &str| location.split('/').nth(2).unwrap().to_owned();
        assert_eq!(host(first.location()), host(again.location()), "{cookies:?}");
        hosts.insert(host(first.location()));
    }
    assert_eq!(hosts.len(), 2, "different visitors go different ways");
    server.stop();
}

#[test]
fn what_is_kept_of_an_address_is_the_campaign_s_to_say() {
    let catalog = "[[campaign]]\nid = \"full\"\n[[campaign]]\nid = \"cut\"\nip = \"truncated\"\n\
                   [[campaign]]\nid = \"none\"\nip = \"none\"\n";
    let server = Server::with(catalog, |settings| {
        settings.edge.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    });
    let v4 = "X-Forwarded-For: 6.6.6.6, 198.51.100.77, 10.1.2.3\r\n";
    let v6 = "Forwarded: for=\"[2001:db8:1:2ff::9]:4711\";proto=https\r\n";
    let cases = [
        ("full", v4, Some(("198.51.100.77", 32))),
        ("cut", v4, Some(("198.51.100.0", 24))),
        ("none", v4, None),
        ("full", v6, Some(("2001:db8:1:2ff::9", 128))),
        ("cut", v6, Some(("2001:db8:1:200::", 56))),
    ];
    for (index, (campaign, header, expected)) in cases.into_iter().enumerate() {
        server.get_with(&format!("/c/{campaign}?n={index}"), header);
        let clicks = server.clicks();
        let click = clicks.iter().find(|click| click.param("n") == Some(&index.to_string())).unwrap();
        let kept = expected.map(|(text, bits)| KeptAddress { address: text.parse().unwrap(), bits });
        assert_eq!(click.address, kept, "{campaign} {header}");
    }
    server.stop();
}

#[test]
fn a_header_of_a_stranger_is_not_believed() {
    let server = Server::start(CATALOG);
    server.get_with("/c/spring", "X-Forwarded-For: 198.51.100.77\r\n");
    assert_eq!(server.click().address, Some(KeptAddress::full([127, 0, 0, 1].into())));
    server.stop();
}

#[test]
fn a_dual_stack_listener_takes_both_families() {
    let server = Server::with(CATALOG, |settings| {
        settings.edge.listen[0].address = "[::]:0".parse().unwrap();
    });
    let port = server.address().port();
    for address in ["127.0.0.1", "[::1]"] {
        let address = format!("{address}:{port}").parse().unwrap();
        let mut connection = crate::client::Connection::open(address);
        let answer = connection.send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n").receive().unwrap();
        assert_eq!(answer.status, 302);
    }
    let mut kept: Vec<_> =
        server.clicks().iter().filter_map(|click| click.address).map(|a| a.address).collect();
    kept.sort();
    assert_eq!(kept, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap(), "::1".parse().unwrap()]);
    server.stop();
}
