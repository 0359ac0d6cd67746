//! Every key of a postback lands where the dispatcher looks for it.

use std::net::IpAddr;
use std::time::Duration;

use clicklog::config::catalog::{load_all, parse_all};
use clicklog::config::{Egress, Settings, all_warnings};
use clicklog::dispatcher::batch::PerItem;
use clicklog::dispatcher::condition::Statuses;
use clicklog::dispatcher::destinations::{Limits, SiteLimits};
use clicklog::dispatcher::outbound::{Body, TIMEOUT_DEFAULT, TokenSource};
use clicklog::dispatcher::schedule::{HORIZON_MAX, Patience};
use clicklog::dispatcher::sign::Key;
use clicklog::dispatcher::success::{Expects, JsonRule, Rule, StatusRange};
use clicklog::event::conversion::Status;
use clicklog::event::decision::Decision;
use clicklog::event::money::Micros;
use clicklog::meter::Allowance;
use http::Method;
use serde_json::json;

use super::{ALL, SECRETS, SIGNING_KEY, environment, parse, postback, text};

const URL: &str = "url = \"https://p.example/?c={click_id}\"";

#[test]
fn a_postback_that_says_only_where_to_has_the_defaults() {
    let destination = postback(URL);
    assert_eq!(destination.condition, Default::default());
    assert_eq!(
        (destination.payout_basis_points, destination.delay, destination.max_age),
        (10_000, Duration::ZERO, None)
    );
    let outbound = &destination.outbound;
    assert_eq!(
        (&outbound.method, &outbound.body, outbound.timeout),
        (&Method::GET, &Body::None, TIMEOUT_DEFAULT)
    );
    assert_eq!((&outbound.success, outbound.patience), (&Rule::default(), Patience::default()));
    assert_eq!(&*outbound.site, "https://p.example:443");
    assert!(outbound.headers.is_empty() && outbound.keys.is_empty() && outbound.token.is_none());
    assert_eq!(*outbound.route, Default::default());
}

#[test]
fn conditions_are_what_they_say() {
    let destination = postback(&format!(
        "{URL}\non = [\"pending\", \"reversed\"]\nevents = [\"lead\", \"sale\"]\npercent = \"12.5%\"\nfirst_only = true\n\
         payout = {{ min = \"1\", max = \"9.5\", currency = \"EUR\" }}\npayout_percent = \"80\"\ndelay = \"30s\"\nmax_age = \"7d\""
    ));
    let condition = &destination.condition;
    assert_eq!(condition.statuses, Statuses::of(&[Status::Pending, Status::Reversed]));
    assert_eq!(condition.events, ["lead".into(), "sale".into()]);
    assert_eq!((condition.share_basis_points, condition.first_only), (1_250, true));
    assert_eq!(condition.payout.min, Some(Micros::new(1_000_000)));
    assert_eq!(condition.payout.max, Some(Micros::new(9_500_000)));
    assert_eq!(condition.payout.currency.unwrap().to_string(), "EUR");
    assert_eq!(destination.payout_basis_points, 8_000);
    assert_eq!(
        (destination.delay, destination.max_age),
        (Duration::from_secs(30), Some(Duration::from_hours(7 * 24)))
    );
}

#[test]
fn a_request_is_what_it_says() {
    let destination = postback(
        "url = \"http://P.example:8080/{click_id}\"\nmethod = \"PUT\"\nheaders = { X-Key = \"{secret:token}\", Content-Type = \"application/vnd.x+json\" }\n\
         json = '{\"id\":\"{click_id}\"}'\nmissing = \"fail\"\nhorizon = \"1h\"\ntimeout = \"2m\"\nrepeat_ambiguous = false\n\
         sign = [{ env = \"KEY\" }, { env = \"KEY\" }]",
    );
    let outbound = &destination.outbound;
    assert_eq!((&outbound.method, &*outbound.site), (&Method::PUT, "http://p.example:8080"));
    assert_eq!(outbound.headers.len(), 1);
    assert_eq!(text(&outbound.headers[0].1, &ALL), "hush\"hush");
    let Body::One { content_type, template } = &outbound.body else { panic!() };
    assert_eq!(&**content_type, "application/vnd.x+json");
    assert!(template.render(&ALL, &mut Vec::new()).is_err(), "there is no click id, and missing = fail");
    assert_eq!(outbound.patience, Patience { repeats_ambiguous: false, horizon: Duration::from_hours(1) });
    assert_eq!(outbound.timeout, Duration::from_mins(2));
    assert_eq!(*outbound.keys, [Key::parse(SIGNING_KEY).unwrap(), Key::parse(SIGNING_KEY).unwrap()]);
    for (key, kind) in [("form", "application/x-www-form-urlencoded"), ("text", "text/plain; charset=utf-8")]
    {
        let outbound = postback(&format!("{URL}\n{key} = \"a={{payout}}\"")).outbound;
        assert_eq!(outbound.method, Method::POST);
        assert!(matches!(&outbound.body, Body::One { content_type, .. } if **content_type == *kind));
    }
    assert_eq!(postback(&format!("{URL}\nhorizon = \"72h\"")).outbound.patience.horizon, HORIZON_MAX);
}

#[test]
fn success_is_what_it_says() {
    let rule = |lines: &str| postback(&format!("{URL}\n{lines}")).outbound.success.clone();
    let full = rule(
        "success = { status = [\"200-204\", 409], json = { pointer = \"/code\", equals = 0 }, contains = \"ok\" }",
    );
    assert_eq!(full.statuses, [StatusRange { first: 200, last: 204 }, StatusRange { first: 409, last: 409 }]);
    assert_eq!(full.json, Some(JsonRule { pointer: "/code".into(), expects: Expects::Value(json!(0)) }));
    assert_eq!(full.contains.as_deref(), Some("ok"));
    for (written, expects) in [
        ("present = true", Expects::Presence),
        ("absent = true", Expects::Absence),
        ("equals = \"x\"", Expects::Value(json!("x"))),
        ("equals = true", Expects::Value(json!(true))),
        ("equals = 1.5", Expects::Value(json!(1.5))),
    ] {
        let rule = rule(&format!("success = {{ json = {{ pointer = \"\", {written} }} }}"));
        assert_eq!(rule, Rule { json: Some(JsonRule { pointer: "".into(), expects }), ..Rule::default() });
    }
}

#[test]
fn a_batch_is_cut_at_its_items() {
    let lines = "url = \"https://p.example/?k={secret:token}\"\njson = '{\"c\":\"{click_id}\"}'\n\
                 batch = { max = 7, wait = \"2s\", wrap = '{\"k\":\"{secret:token}\",\"data\":[{items}]}', \
                 results = { list = \"/results\", taken = { pointer = \"/ok\", equals = true } } }";
    let Body::Batch(batch) = postback(lines).outbound.body.clone() else { panic!() };
    assert_eq!((batch.max, batch.wait), (7, Duration::from_secs(2)));
    assert_eq!(text(&batch.before, &ALL), "{\"k\":\"hush\\\"hush\",\"data\":[");
    assert_eq!(text(&batch.after, &ALL), "]}");
    let taken = JsonRule { pointer: "/ok".into(), expects: Expects::Value(json!(true)) };
    assert_eq!(batch.per_item, Some(PerItem::Results { list: "/results".into(), taken }));
    let plain = postback(&format!("{}\njson = \"1\"\nbatch = {{}}", "url = \"https://p.example/\""));
    let Body::Batch(batch) = plain.outbound.body.clone() else { panic!() };
    assert_eq!((text(&batch.before, &ALL), text(&batch.after, &ALL)), ("[".to_owned(), "]".to_owned()));
}

#[test]
fn a_route_has_its_files_and_equal_ones_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let certificate =
        |bytes: &str| format!("-----BEGIN CERTIFICATE-----\n{bytes}\n-----END CERTIFICATE-----\n");
    let ca = file("ca.pem", &(certificate("AQID") + &certificate("BAUG")));
    let own = file("own.pem", &certificate("CQkJ"));
    let key = file("own.key", "-----BEGIN PRIVATE KEY-----\nBwgJ\n-----END PRIVATE KEY-----\n");
    let lines = format!(
        "url = \"https://10.1.2.3:8443/?c={{click_id}}\"\nallow_addresses = [\"10.0.0.0/8\", \"192.168.1.1\"]\nhttp2 = true\n\
         ca = '{ca}'\ncertificate = '{own}'\nkey = '{key}'\nproxy = \"http://10.0.0.1:3128\""
    );
    let text = format!("[[postback]]\nid = \"a\"\n{lines}\n[[postback]]\nid = \"b\"\n{lines}\n");
    let egress = Egress { proxy: Some("http://all.example:1".parse().unwrap()), roots: vec![vec![255]] };
    let all = parse_all("c.toml", &text, 1, &environment, &egress).unwrap().destinations.global;
    let route = &all[0].outbound.route;
    assert!(std::sync::Arc::ptr_eq(route, &all[1].outbound.route));
    assert_eq!(route.roots, [vec![255], vec![1, 2, 3], vec![4, 5, 6]]);
    assert_eq!((&route.certificates, &route.key), (&vec![vec![9, 9, 9]], &vec![7, 8, 9]));
    assert_eq!(route.proxy.as_ref().unwrap(), "http://10.0.0.1:3128");
    assert!(route.http2 && route.allow.iter().any(|net| net.contains(&IpAddr::from([10, 9, 9, 9]))));
    let text = format!("[[postback]]\nid = \"a\"\n{URL}\n[[postback]]\nid = \"b\"\n{URL}\nproxy = \"\"\n");
    let all = parse_all("c.toml", &text, 1, &environment, &egress).unwrap().destinations.global;
    assert_eq!(all[0].outbound.route.proxy, egress.proxy);
    assert_eq!((&all[1].outbound.route.proxy, &all[1].outbound.route.roots), (&None, &egress.roots));
}

#[test]
fn a_token_comes_from_a_file_or_a_call() {
    let token = |oauth: &str| postback(&format!("{URL}\noauth = {oauth}")).outbound.token.clone().unwrap();
    assert_eq!(*token("{ file = \"/run/token\" }"), TokenSource::File("/run/token".into()));
    let call = token(
        "{ url = \"https://t.example/token\", grant = \"client_credentials\", client_id = \"me\", \
         client_secret = { env = \"S\" }, scope = \"a b\" }",
    );
    let TokenSource::Call { url, form } = &*call else { panic!() };
    assert_eq!(url, "https://t.example/token");
    let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = [
        owned("grant_type", "client_credentials"),
        owned("client_id", "me"),
        owned("scope", "a b"),
        owned("client_secret", "hush-S"),
    ];
    assert_eq!(*form, expected);
    assert!(!format!("{call:?}").contains("hush"));
}

#[test]
fn each_level_has_its_own_and_limits_belong_to_the_destination_as_a_whole() {
    let snapshot = parse(&format!(
        "{SECRETS}[[postback]]\nid = \"p\"\n{URL}\nrate_limit = {{ per_second = 5, burst = 9 }}\ndaily_cap = 100\n\
         [[source]]\nid = \"s\"\n[[source.postback]]\nid = \"p\"\n{URL}\npercent = \"50\"\nconcurrency = 4\n\
         [[offer]]\nid = \"o\"\n{URL}\n[[offer.postback]]\nid = \"p\"\n{URL}\non = []\ndaily_cap = 100\n\
         [[campaign]]\nid = \"c\"\nsource = \"s\"\noffers = [{{ id = \"o\" }}]\n[[campaign.postback]]\nid = \"q\"\n{URL}\n\
         [campaign.postback.headers]\nX-A = \"b\"\n\
         [[host]]\nname = \"ads.example.net\"\nrate_limit = {{ per_second = 2 }}\n\
         [[host]]\nname = \"https://P.example:8443\"\nconcurrency = 3\n"
    ))
    .unwrap_or_else(|problems| panic!("{problems}"));
    let destinations = &snapshot.destinations;
    assert_eq!((destinations.version, snapshot.catalog.version()), (7, 7));
    let limits = Limits { rate: Some(Allowance::per_second(5, 9)), daily: Some(100), concurrency: Some(4) };
    assert_eq!((destinations.limits["p"], destinations.limits["q"]), (limits, Limits::default()));
    let decision = Decision { source: "s", campaign: "c", offer: "o", ..Decision::default() };
    let levels = destinations.levels(&decision);
    let counts = [levels.global, levels.source, levels.campaign, levels.offer].map(<[_]>::len);
    assert_eq!(counts, [1, 1, 1, 1]);
    assert_eq!(levels.source[0].condition.share_basis_points, 5_000);
    assert_eq!(
        destinations.find(&decision, "p").unwrap().condition.statuses,
        Statuses::default(),
        "the offer's"
    );
    assert_eq!(levels.campaign[0].outbound.headers.len(), 1);
    let slow = SiteLimits { rate: Some(Allowance::per_second(2, 2)), concurrency: None };
    for site in ["http://ads.example.net:80", "https://ads.example.net:443"] {
        assert_eq!(destinations.sites[site], slow, "{site}");
    }
    let narrow = SiteLimits { rate: None, concurrency: Some(3) };
    assert_eq!(destinations.sites["https://p.example:8443"], narrow);
    assert_eq!((destinations.sites.len(), destinations.secrets.get("token")), (3, Some("hush-TOKEN")));
    assert!(!format!("{destinations:?}").contains("hush"));
}

#[test]
fn what_looks_like_a_mistake_is_warned_of() {
    let snapshot = parse(&format!(
        "{SECRETS}[[postback]]\nid = \"clear\"\nurl = \"http://p.example/?c={{click_id}}&k={{secret:token}}\"\n\
         [[postback]]\nid = \"off\"\n{URL}\non = []\n\
         [[postback]]\nid = \"form\"\nurl = \"http://p.example/\"\nform = \"k={{secret:token}}\"\n\
         [[source]]\nid = \"s\"\n[[source.postback]]\nid = \"blind\"\nurl = \"https://p.example/?v={{payout}}\"\n\
         [[source.postback]]\nid = \"fine\"\nurl = \"https://p.example/?g={{gclid}}\"\n"
    ))
    .unwrap();
    let told = all_warnings(&snapshot.catalog, &snapshot.destinations, 9);
    let expected = [
        "postback \"clear\" sends a secret over http",
        "postback \"off\" is told of no status",
        "postback \"form\" sends a secret over http",
        "postback \"blind\" of source \"s\" names neither the click nor the conversion",
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
    }
    assert_eq!(all_warnings(&snapshot.catalog, &snapshot.destinations, 1)[1], "and 3 more");
}

#[test]
fn the_shipped_files_load_and_tell_nobody() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/catalog.toml");
    let snapshot = load_all(shipped.as_ref(), 1, &|_| None, &Egress::default()).unwrap();
    assert!(snapshot.destinations.is_empty());
    assert!(all_warnings(&snapshot.catalog, &snapshot.destinations, 9).is_empty());
    let served = Settings::default().load_served(3).unwrap();
    assert_eq!((served.catalog.version(), served.destinations.version), (3, 3));
}

#[test]
fn settings_hold_for_all_destinations() {
    let settings = |proxy: &str, ca: &str| {
        let mut settings = Settings::default();
        settings.dispatcher.proxy = proxy.to_owned();
        settings.dispatcher.ca = ca.into();
        settings.load_served(1).err().map(|problems| problems.to_string()).unwrap_or_default()
    };
    assert_eq!(settings("http://proxy.example:3128", ""), "");
    assert!(
        settings("proxy.example:3128", "").contains("dispatcher.proxy: \"proxy.example:3128\" is no proxy")
    );
    assert!(settings("", "/nowhere/ca.pem").contains("dispatcher.ca: cannot read /nowhere/ca.pem"));
}
