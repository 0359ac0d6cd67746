//! Catalogs, from outside: what they mean, and what whoever wrote a wrong one is told.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::path::Path;
use std::time::Duration;

use clicklog::config::catalog::{self, BUILT_IN, CATALOG_BYTES_MAX, load};
use clicklog::config::{PROBLEMS_MAX, Problems, Settings, offer_warning, warnings};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::ingest::{AddressPolicy, Catalog, Cost, Redirect};
use proptest::prelude::*;

const NOBODY: &dyn Fn(&str) -> Option<String> = &|_| None;

fn parse(text: &str) -> Result<Catalog, Problems> {
    catalog::parse("c.toml", text, 7, &|name| (name == "REVBOOST").then(|| "hush-hush".to_owned()))
}

fn wrong(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_design_s_own_example_is_a_catalog() {
    let catalog = parse(
        r#"
[secrets]
boost = { env = "REVBOOST" }
[[network]]
id = "revboost"
profile = "generic"
secret = { env = "REVBOOST" }
allow_ips = ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"]
params = { click_id = ["cid"], payout = ["payout"], transaction_id = ["txid"], status = ["status"], event = ["et"], currency = ["cur"] }
status_map = { "1" = "approved", hold = "pending", chargeback = "reversed" }
default_status = "approved"
dedupe = { mode = "by_transaction", scope = "network" }
payout = { min = "0", max = "500", tolerance = "20%" }
currency = "USD"
rate_limit = { per_second = 500, burst = 1000 }
[[source]]
id = "propeller"
external_id = "visitor_id"
cost = "cost"
currency = "EUR"
params = { zone = "zoneid", creative = "bannerid" }
[[source.postback]]
id = "propeller-s2s"
url = "https://ads.example.net/conv?aid=123&visitor_id={external_id}&value={payout}&s={secret:boost}"
on = ["approved"]
[[offer]]
id = "diet-42"
network = "revboost"
url = "https://offer.example.com/land?s2={click_id}&zone={zone}"
payout = "3.50"
currency = "USD"
[[offer]]
id = "diet-43"
url = "https://offer.example.com/other?s2={click_id}"
payout = "auto"
[[campaign]]
id = "spring"
aliases = ["2", "früh ling"]
source = "propeller"
offers = [{ id = "diet-42", weight = 70 }, { id = "diet-43", weight = 30 }]
landers = [{ url = "https://lp.example.org/a?cid={click_id}", weight = 1 }]
cost = { model = "cpc", amount = "0.012" }
redirect = "307"
sticky = true
cookie = false
ip = "truncated"
window = "30d"
retention = "90d"
duplicate_window = "1h"
fallback_url = "https://example.org/"
[[postback]]
id = "everything"
url = "https://hooks.example.org/"
method = "POST"
headers = { Authorization = "Bearer {secret:boost}" }
json = '{"id": "{click_id}"}'
[[click_path]]
path = "/go.php"
keys = ["id"]
"#,
    )
    .unwrap();
    assert_eq!(catalog.version(), 7);
    let spring = catalog.campaign("spring").unwrap();
    for alias in ["2", "früh ling"] {
        assert!(std::ptr::eq(catalog.campaign(alias).unwrap(), spring));
    }
    assert_eq!(spring.cost, Cost::Fixed(Money { amount: Micros::new(12_000), currency: Currency::USD }));
    assert_eq!((spring.redirect, spring.address), (Redirect::Temporary, AddressPolicy::Truncated));
    assert_eq!((spring.is_sticky, spring.has_cookie), (true, false));
    assert_eq!(spring.duplicate_window, Duration::from_secs(3600));
    assert_eq!(spring.retention, Some(Duration::from_secs(90 * 24 * 3600)));
    assert_eq!((spring.offers.len(), spring.landers.len()), (2, 1));
    let source = catalog.source(spring).unwrap();
    assert_eq!((source.external_id.as_deref(), source.cost.as_deref()), (Some("visitor_id"), Some("cost")));
    assert_eq!(source.currency.to_string(), "EUR");
    assert!(source.params.contains(&("zoneid".into(), "zone".into())), "{:?}", source.params);
    assert_eq!(&*catalog.click_paths()[0].path, "/go.php");
    assert!(warnings(&catalog, 9).is_empty());
}

#[test]
fn the_built_in_catalog_is_the_shipped_file_and_has_nothing_to_warn_of() {
    let built_in = load(Path::new(""), 1, NOBODY).unwrap();
    let shipped = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config/catalog.toml"));
    assert_eq!(std::fs::read_to_string(shipped).unwrap(), BUILT_IN);
    assert_eq!(load(shipped, 1, NOBODY).unwrap().campaigns().len(), built_in.campaigns().len());
    assert!(built_in.campaign("demo").is_some() && built_in.campaign("demo-lander").is_some());
    assert_eq!(warnings(&built_in, 9), Vec::<String>::new());
}

#[test]
fn clicks_and_postbacks_are_kept_as_long_as_conversions_of_any_campaign_count() {
    let day = Duration::from_secs(24 * 3600);
    let told = |clicks: Duration, postbacks: Duration| {
        let mut settings = Settings::default();
        (settings.retention.clicks, settings.retention.postbacks) = (clicks, postbacks);
        settings.load_served(1).err().map(|problems| problems.to_string()).unwrap_or_default()
    };
    assert_eq!(told(Duration::ZERO, Duration::ZERO), "");
    assert_eq!(told(day * 30, day * 30), "");
    let refused = told(day * 29, day * 30);
    assert!(refused.contains("retention.clicks: must be \"0\", or \"30d\" at least"), "{refused}");
    assert!(told(day * 365, day * 7).contains("retention.postbacks: must be"));
}

const OFFER: &str = "[[offer]]\nid = \"o\"\nurl = \"https://o.example/?c={click_id}\"\n";

#[test]
fn what_is_wrong_is_shown_with_file_line_caret_and_a_way_out() {
    let with_offer = |text: &str| format!("{OFFER}{text}");
    let cases = [
        ("[[ofer]]\nid = \"o\"", "c.toml:1:3: unknown key \"ofer\"", "did you mean \"offer\"?"),
        (
            "[[offer]]\nid = \"o\"\nurl = \"https://o.example\"\nnetwrk = \"n\"",
            "4:1: unknown key",
            "\"network\"?",
        ),
        ("[[offer]]\nid = \"o\"", "missing field `url`", "^"),
        ("[[offer]]\nid = \"o o\"\nurl = \"https://o.example\"", "2:6: an id has 1 to 64 letters", "^^^^^"),
        (
            "[[offer]]\nid = \"o\"\nurl = \"https://o.example\"\nnetwork = \"x\"",
            "4:11: no network \"x\"",
            "^^^",
        ),
        (
            "[[offer]]\nid = \"o\"\nurl = \"https://o.example/?x=1&c={clickid2}\"",
            "3:33: ",
            "did you mean {click_id}?",
        ),
        ("[[offer]]\nid = \"o\"\nurl = \"https://o.example/?k={secret:boost}\"", "3:", "secret"),
        ("[[offer]]\nid = \"o\"\nurl = \"javascript:alert(1)\"", "3:", "^"),
        ("[[offer]]\nid = \"o\"\nurl = \"https://{sub1}.example/\"", "3:", "^"),
        (
            "[[offer]]\nid = \"o\"\nurl = \"https://o.example\"\npayout = \"3.1234567\"",
            "4:10: an amount has at most 6",
            "^",
        ),
        ("[[offer]]\nid = \"o\"\nurl = \"https://o.example\"\ncurrency = \"Dollars\"", "4:12: ", "^^^"),
        ("[[campaign]]\nid = \"c\"\noffers = [{ id = \"off\" }]", "3:18: no offer \"off\"", "^^^"),
        ("[[campaign]]\nid = \"c\"\nsource = \"s\"", "3:10: no source \"s\"", "^^^"),
        ("[[campaign]]\nid = \"c\"\nredirect = \"301\"", "3:12: unknown value \"301\"", "302"),
        ("[[campaign]]\nid = \"c\"\nwindow = \"1y\"", "3:10: must be a duration", "^^^^"),
        ("[[campaign]]\nid = \"c\"\nwindow = \"181d\"", "3:10: must be a duration", "180d"),
        (
            "[[campaign]]\nid = \"c\"\nretention = \"29d\"",
            "3:13: must be 1d at least, and not below the window",
            "^",
        ),
        ("[[campaign]]\nid = \"c\"\nwindow = \"1h\"\nretention = \"23h\"", "4:13: must be 1d at least", "^"),
        (
            "[[campaign]]\nid = \"c\"\ncost = { model = \"cpc\" }",
            "2:6: the cost model \"cpc\" needs an amount",
            "^",
        ),
        (
            "[[campaign]]\nid = \"c\"\ncost = { model = \"parameter\", amount = \"1\" }",
            "3:40: with the model \"parameter\"",
            "^^^",
        ),
        ("[[campaign]]\nid = \"c\"\nip = \"none\"\nip = \"full\"", "4:1: duplicate key", "^^"),
        (
            "[[campaign]]\nid = \"a\"\n[[campaign]]\nid = \"b\"\naliases = [\"a\"]",
            "5:12: campaign \"a\" goes by \"a\" already",
            "^^^",
        ),
        ("[[source]]\nid = \"a\"\n[[source]]\nid = \"a\"", "4:6: two sources are called \"a\"", "^^^"),
        ("[[network]]\nid = \"n\"\nsecret = \"hush\"", "3:10: expected { env = \"NAME\" }", "^"),
        (
            "[[network]]\nid = \"n\"\nsecret = { env = \"NOT_THERE\" }",
            "3:10: the environment variable NOT_THERE is not set",
            "^",
        ),
        ("[[network]]\nid = \"n\"\nallow_ips = [\"10.0.0.0/33\"]", "3:14: must be a network", "^^^"),
        ("[[network]]\nid = \"n\"\npayout = { tolerance = \"120%\" }", "3:24: must be a share", "^^^"),
        ("[[network]]\nid = \"n\"\nrate_limit = { per_second = 0 }", "3:29: must be at least 1", "^"),
        (
            "[[network]]\nid = \"n\"\nprofile = \"genric\"",
            "3:11: no profile \"genric\"",
            "did you mean \"generic\"?",
        ),
        (
            "[secrets]\nk = { env = \"NOPE\" }",
            "2:5: secret \"k\": the environment variable NOPE is not set",
            "^",
        ),
        ("[[click_path]]\npath = \"go\"\nkeys = [\"c\"]", "2:8: must be a path like", "^^^^"),
        ("[[click_path]]\npath = \"/go\"", "2:8: a whole path needs keys", "^^^^^"),
        ("[[postback]]\nid = \"p\"\nurl = \"https://p.example/?v={payuot}\"", "3:", "did you mean {payout}?"),
        ("[[offer]\nid = 1", "1:", "^"),
    ];
    for (text, what, hint) in cases {
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let shown = wrong(&text);
            assert!(shown.contains(what) && shown.contains(hint), "{text}\n---\n{shown}");
        }
    }
    let all_zero = with_offer("[[campaign]]\nid = \"c\"\noffers = [{ id = \"o\", weight = 0 }]");
    assert!(wrong(&all_zero).contains("5:6: weights are 0 to 1000000, not all 0"));
}

#[test]
fn all_that_is_wrong_is_told_at_once_up_to_a_bound() {
    let text: String =
        (0..100).map(|n| format!("[[campaign]]\nid = \"c{n}\"\nsource = \"none\"\n")).collect();
    let shown = wrong(&text);
    assert_eq!(shown.matches("no source").count(), PROBLEMS_MAX);
    assert!(shown.contains(&format!("{} more", 100 - PROBLEMS_MAX)), "{shown}");
}

#[test]
fn a_secret_is_never_in_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(
        &path,
        "[secrets]\nk = { env = \"K\" }\n[[postback]]\nid = \"p\"\nurl = \"https://{secret:k}/\"\n",
    )
    .unwrap();
    let problems = load(&path, 1, &|_| Some("tell-nobody".to_owned())).unwrap_err();
    assert!(!format!("{problems} {problems:?}").contains("tell-nobody"), "{problems}");
}

#[test]
fn a_folder_of_files_is_one_catalog_and_each_problem_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    assert!(load(folder.path(), 1, NOBODY).unwrap_err().to_string().contains("no *.toml file"));
    write("20-campaigns.toml", "[[campaign]]\nid = \"c\"\noffers = [{ id = \"o\" }]\n");
    write("10-offers.toml", OFFER);
    write("notes.txt", "not a catalog");
    let catalog = load(folder.path(), 1, NOBODY).unwrap();
    assert_eq!(catalog.campaign("c").unwrap().offers.len(), 1);
    write("30-more.toml", OFFER);
    let shown = load(folder.path(), 1, NOBODY).unwrap_err().to_string();
    assert!(shown.contains("30-more.toml:2:6: two offers are called \"o\""), "{shown}");
    assert!(
        load(Path::new("/nowhere/c.toml"), 1, NOBODY).unwrap_err().to_string().contains("cannot be read")
    );
}

#[test]
fn a_catalog_has_a_largest_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::File::create(&path).unwrap().set_len(CATALOG_BYTES_MAX + 1).unwrap();
    assert!(load(&path, 1, NOBODY).unwrap_err().to_string().contains("at most 1 GiB"));
}

#[test]
fn what_looks_like_a_mistake_is_warned_of() {
    let catalog =
        parse("[[offer]]\nid = \"o\"\nurl = \"https://o.example/\"\n[[campaign]]\nid = \"c\"\n").unwrap();
    let told = warnings(&catalog, 9);
    assert!(
        told[0].contains("offer \"o\" has no {click_id}") && told[1].contains("campaign \"c\""),
        "{told:?}"
    );
    assert_eq!(warnings(&catalog, 1)[1], "and 1 more");
    assert!(offer_warning(&catalog.offers()[0]).is_some());
}

#[test]
fn many_campaigns_are_a_catalog_too() {
    let mut text = String::new();
    for n in 0..10_000 {
        text.push_str(&format!(
            "[[offer]]\nid = \"o{n}\"\nurl = \"https://o{n}.example/?c={{click_id}}\"\n\
             [[campaign]]\nid = \"c{n}\"\naliases = [\"{n}\"]\noffers = [{{ id = \"o{n}\" }}]\n"
        ));
    }
    let catalog = parse(&text).unwrap();
    assert_eq!((catalog.campaigns().len(), catalog.offers().len()), (10_000, 10_000));
    assert_eq!(&*catalog.campaign("9999").unwrap().id, "c9999");
}

proptest! {
    #[test]
    fn no_text_stops_the_process_and_every_refusal_says_something(
        pieces in proptest::collection::vec(prop_oneof![
            Just("[[offer]]\n"), Just("[[campaign]]\n"), Just("[[source]]\n"), Just("[[source.postback]]\n"),
            Just("id = \"a\"\n"), Just("id = \"é{\"\n"), Just("url = \"https://a.example/?x={click_id}\"\n"),
            Just("url = \"https://{{\"\n"), Just("offers = [{ id = \"a\" }]\n"), Just("cost = { model = \"cpc\" }\n"),
            Just("window = \"99999999999999d\"\n"), Just("= \n"), Just("\u{feff}"), Just("# ünd\r\n"),
            Just("[[network]]\n"), Just("[[campaign.pixel]]\n"), Just("profile = \"tune\"\n"),
            Just("paths = [\"/a\", { path = \"/é\", when = { a = \"*\" } }]\n"), Just("status_map = { é = \"pending\" }\n"),
            Just("answers = { ok = { body = \"é{é}{x}{\" } }\n"), Just("params = { payout = [] }\n"),
            Just("[[host]]\nname = \"a.example\"\n"), Just("[[postback]]\n"), Just("preset = \"mgid\"\n"),
            Just("values = { event = \"é<x>{\" }\n"), Just("batch = { wrap = \"{items}\" }\n"), Just("json = '{\"a\":{payout}}'\n"),
            Just("url = \"\"\"\nhttps://a.example/\\\n  {nope}\"\"\"\n"), Just("url = \"https://a\\u00e9/{nope}\"\n"),
        ], 0..12)
    ) {
        let text: String = pieces.concat();
        let in_blocks = parse(&text);
        let rest = text.strip_prefix('\u{feff}').unwrap_or(&text);
        if let Err(problems) = &in_blocks {
            prop_assert!(problems.to_string().contains("c.toml"), "{}", problems);
        }
        // A key in front of all tables has the file read as a whole, which must not change what it means.
        let whole = parse(&format!("postback = []\n{rest}"));
        let names = |catalog: Catalog| {
            let ids = catalog.campaigns().iter().map(|campaign| campaign.id.to_string());
            ids.chain(catalog.offers().iter().map(|offer| offer.id.to_string())).collect::<Vec<_>>()
        };
        prop_assert_eq!(in_blocks.ok().map(names), whole.ok().map(names));
    }
}
