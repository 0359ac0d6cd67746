//! Drop-in: a network of each built-in profile in a catalog, a real click, and then the vendor's own requests over a
//! socket. What comes back is what that vendor answers, and what the journal has is what the request says.

use std::ops::ControlFlow;

use clicklog::event::codec::{Event, decode};
use clicklog::store::Journal;
use clicklog::store::reader::{Cursor, Reader};

use crate::client::Answer;
use crate::server::Server;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// What stands where a secret is asked for.
const SECRET: &str = "k3y-of-the-vendor";
const NOT_FOUND: &str = r#"json {"error":true,"code":404,"msg":"SubID not found"}"#;

/// A vendor's postback, and what comes of it. `{click}` and `{n}` are a click's id and a number that is new each time.
struct Vendor {
    profile: &'static str,
    path: &'static str,
    query: &'static str,
    /// What its decision says: transaction, event, status, payout.
    reads: &'static str,
    /// The answers: to a new one, to the same again, of a click that nobody knows. A status, and then `generic`, or
    /// `text` or `json` and the body.
    answers: [(&'static str, &'static str); 3],
}

const GENERIC: [(&str, &str); 3] =
    [("accepted", "200 generic"), ("duplicate", "200 generic"), ("unmatched", "200 generic")];

const fn generic(
    profile: &'static str,
    path: &'static str,
    query: &'static str,
    reads: &'static str,
) -> Vendor {
    Vendor { profile, path, query, reads, answers: GENERIC }
}

const VENDORS: &[Vendor] = &[
    generic(
        "generic",
        "/postback",
        "click_id={click}&payout=1.5&txid=t{n}&status=approved&cur=eur",
        "t{n} - approved 1.5 EUR",
    ),
    generic(
        "voluum",
        "/postback",
        "cid={click}&payout=1.5&txid=t{n}&et=ftd&currency=EUR&param1=x",
        "t{n} ftd approved 1.5 EUR",
    ),
    generic(
        "bemob",
        "/postback",
        "cid={click}&payout=1.5&txid=t{n}&status=Confirmed&_=1",
        "t{n} - approved 1.5 USD",
    ),
    generic(
        "peerclick",
        "/postback",
        "cid={click}&payout=1.5&txid=t{n}&status=New&currency=GBP&event1=5",
        "t{n} - pending 1.5 GBP",
    ),
    generic(
        "redtrack",
        "/postback",
        "clickid={click}&sum=1.5&rdtk_event_id=t{n}&type=Deposit&status=approved&sub1=a",
        "t{n} Deposit approved 1.5 USD",
    ),
    Vendor {
        profile: "keitaro",
        path: "/k3y-of-the-vendor/postback",
        query: "subid={click}&payout=1.5&tid=t{n}&status=lead&currency=eur&sub_id_1=a",
        reads: "t{n} - pending 1.5 EUR",
        answers: [
            ("accepted", "200 text accepted"),
            ("duplicate", "200 text duplicate"),
            ("unmatched", "200 text unmatched"),
        ],
    },
    generic(
        "binom",
        "/click.php",
        "cnv_id={click}&payout=1.5&cnv_status=Hold&cnv_currency=EUR&event1=3",
        "- - pending 1.5 EUR",
    ),
    generic("binom", "/click", "cnv_id={click}&payout=1.5&cnv_status=sale", "- - approved 1.5 USD"),
    generic("cpvlab", "/adclick.php", "subid={click}&revenue=1.5", "- - approved 1.5 USD"),
    generic("cpvlab", "/adclick", "subid={click}&revenue=1.5", "- - approved 1.5 USD"),
    Vendor {
        profile: "prosper202",
        path: "/tracking202/static/gpb.php",
        query: "subid={click}&amount=1.5&orderid=t{n}&cid=4",
        reads: "t{n} - approved 1.5 USD",
        answers: [
            ("accepted", r#"202 json {"error":false,"code":202,"msg":"Postback successful"}"#),
            ("duplicate", r#"202 json {"error":false,"code":202,"msg":"Postback successful"}"#),
            ("unmatched", r#"404 json {"error":true,"code":404,"msg":"SubID not found"}"#),
        ],
    },
    Vendor {
        profile: "tune",
        path: "/aff_lsr",
        query: "transaction_id={click}&amount=1.5&adv_sub=x&offer_id=9&currency=EUR",
        reads: "- - approved 1.5 EUR",
        answers: TUNE,
    },
    Vendor {
        profile: "tune",
        path: "/aff_goal",
        query: "a=lsr&goal_id=9&transaction_id={click}&amount=1.5&status=approved",
        reads: "- 9 approved 1.5 USD",
        answers: TUNE,
    },
    Vendor {
        profile: "everflow",
        path: "/",
        query: "nid=12&transaction_id={click}&amount=1.5&order_id=t{n}&event_id=3&adv1=x",
        reads: "t{n} 3 approved 1.5 USD",
        answers: [
            ("accepted", "200 text accepted"),
            ("duplicate", "200 text duplicate"),
            ("unmatched", "200 text unmatched"),
        ],
    },
    Vendor {
        profile: "cake",
        path: "/p.ashx",
        query: "f=pb&r={click}&t=t{n}&p=1.5&e=3&o=4",
        reads: "t{n} 3 approved 1.5 USD",
        answers: [
            ("accepted", "200 text SUCCESS"),
            ("duplicate", "200 text SUCCESS"),
            ("unmatched", "200 text SUCCESS"),
        ],
    },
    Vendor {
        profile: "affise",
        path: "/postback",
        query: "clickid={click}&sum=1.5&action_id=t{n}&goal=reg&status=2&custom_field1=x",
        reads: "t{n} reg pending 1.5 USD",
        answers: [
            ("accepted", r#"200 json {"status":1}"#),
            ("duplicate", r#"200 json {"status":1}"#),
            ("unmatched", r#"200 json {"status":1}"#),
        ],
    },
    generic(
        "revboost",
        "/api/postback",
        "click_id={click}&payout=1.5&tx_id=t{n}&status=approved&offer_id=3",
        "t{n} - approved 1.5 USD",
    ),
    generic(
        "revboost",
        "/postback",
        "click_id={click}&payout=1.5&transaction_id=t{n}&status=pending",
        "t{n} - pending 1.5 USD",
    ),
];

const TUNE: [(&str, &str); 3] = [
    ("accepted", "200 text success=true;"),
    ("duplicate", "200 text success=false; err_msg=Duplicate conversion;"),
    ("unmatched", "200 text success=false; err_msg=Invalid Trans. ID;"),
];

/// A daemon, and who asks it.
struct Desk {
    server: Server,
    _secrets: tempfile::TempDir,
}

impl Desk {
    /// With these networks. `{secret}` is where the vendor's secret is, `{other}` where another one is.
    fn open(networks: &str) -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let file = |name: &str, secret: &str| {
            let path = secrets.path().join(name);
            std::fs::write(&path, secret).unwrap();
            format!("{{ file = \"{}\" }}", path.display())
        };
        let networks = networks.replace("{secret}", &file("vendor", SECRET));
        let networks = networks.replace("{other}", &file("other", "k3y-of-another"));
        let catalog = format!(
            "{networks}\n\
             [[offer]]\nid = \"diet\"\nnetwork = \"v\"\nurl = \"https://offer.example/?s={{click_id}}\"\n\
             [[campaign]]\nid = \"spring\"\naliases = [\"77\"]\noffers = [{{ id = \"diet\" }}]\n\
             [[campaign]]\nid = \"landing\"\noffers = [{{ id = \"diet\" }}]\n\
             landers = [{{ url = \"https://lp.example/?cid={{click_id}}\" }}]\n"
        );
        Self { server: Server::start(&catalog), _secrets: secrets }
    }

    /// With one network `v` of a profile.
    fn of(profile: &str, lines: &str) -> Self {
        Self::open(&format!("[[network]]\nid = \"v\"\nprofile = \"{profile}\"\n{lines}\n"))
    }

    fn click(&self) -> String {
        self.server.get("/c/spring?zoneid=1").cookie().unwrap().to_owned()
    }

    fn send(&self, line: &str, headers: &str, body: &str) -> Answer {
        let host = if headers.contains("Host:") { "" } else { "Host: trk.example\r\n" };
        let length = body.len();
        let request = format!("{line} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\n\r\n{body}");
        let answer = self.server.connect().send(request).receive();
        answer.unwrap_or_else(|| panic!("no answer to {line}"))
    }

    fn get(&self, target: &str) -> Answer {
        self.send(&format!("GET {target}"), "", "")
    }

    /// Asks, and checks the answer.
    fn told(&self, target: &str, result: &str, answer: &str) {
        is_answered(&self.get(target), result, answer, target);
    }

    /// What each decision says: verdict, transaction, event, status, payout.
    fn decided(&self) -> Vec<String> {
        let mut all = Vec::new();
        let take = |_, record: &clicklog::store::record::Record<'_>| {
            if let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload) {
                let said = decision.conversion;
                let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
                let payout = said.payout.map_or("-".to_owned(), |payout| payout.to_string());
                all.push(format!(
                    "{} {} {} {} {payout}",
                    decision.verdict.name(),
                    or_none(said.transaction_id),
                    or_none(said.event),
                    said.status.name(),
                ));
            }
            ControlFlow::Continue(())
        };
        let reader = Reader::open(self.server.data());
        reader.read(Journal::Postbacks, 0, Cursor::default(), take).unwrap();
        all
    }

    fn close(self) {
        self.server.stop();
    }
}

/// Checks one answer; see `Vendor::answers`.
fn is_answered(answer: &Answer, result: &str, expected: &str, request: &str) {
    assert_eq!(answer.header("x-clicklog-result"), Some(result), "{request}: {answer:?}");
    let (status, body) = expected.split_once(' ').unwrap();
    assert_eq!(answer.status.to_string(), status, "{request}: {answer:?}");
    let (kind, body) = body.split_once(' ').unwrap_or((body, ""));
    let content_type = match kind {
        "generic" | "json" => JSON,
        "text" => TEXT,
        "gif" => "image/gif",
        "page" => "text/html; charset=utf-8",
        "script" => "text/javascript; charset=utf-8",
        other => panic!("no kind of answer is called {other}"),
    };
    assert_eq!(answer.header("content-type"), Some(content_type), "{request}: {answer:?}");
    match kind {
        "generic" => {
            let line: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
            let (result, reason) = result.split_once(':').unwrap_or((result, ""));
            assert_eq!(line["result"], result, "{request}: {line}");
            assert!(reason.is_empty() || line["reason"] == reason, "{request}: {line}");
        }
        "gif" => assert_eq!((answer.body.len(), &answer.body[..6]), (43, &b"GIF89a"[..]), "{request}"),
        "page" => assert!(answer.text().starts_with("<!doctype html>"), "{request}: {answer:?}"),
        "script" => assert!(answer.text().ends_with("([]);\n"), "{request}: {answer:?}"),
        _ => assert_eq!(answer.text(), body, "{request}"),
    }
}

/// The same pairs as a JSON object; amounts as numbers, as some send them.
fn as_json(query: &str) -> String {
    let pairs = query.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        if value == "1.5" { format!("\"{name}\":1.50") } else { format!("\"{name}\":\"{value}\"") }
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

#[test]
fn each_vendor_s_own_postback_counts_once_in_each_of_its_ways_and_is_answered_as_that_vendor_does() {
    let profiles = include_str!("../../config/networks.toml").matches("[[network]]").count();
    let covered: std::collections::HashSet<_> = VENDORS.iter().map(|vendor| vendor.profile).collect();
    assert_eq!(covered.len(), profiles, "every profile is here");
    for vendor in VENDORS {
        let desk = Desk::of(vendor.profile, "secret = {secret}\npixels = true");
        let mut expected = Vec::new();
        // All of them take the secret as a parameter too, under a name of their own or a common one.
        for n in 0..4 {
            let click = desk.click();
            let ask = |click: &str| {
                let query = vendor.query.replace("{click}", click).replace("{n}", &n.to_string());
                let query = format!("{query}&secret={SECRET}");
                let (path, post) = (vendor.path, |content_type, target: &str, body: &str| {
                    desk.send(&format!("POST {target}"), &format!("Content-Type: {content_type}\r\n"), body)
                });
                match n {
                    0 => desk.get(&format!("{path}?{query}")),
                    1 => post(FORM, path, &query),
                    2 => post(JSON, path, &as_json(&query)),
                    // As some call it: nothing in the body.
                    _ => post(FORM, &format!("{path}?{query}"), ""),
                }
            };
            let shown = format!("{} {} way {n}", vendor.profile, vendor.path);
            // Of one id that nobody made, and of one that was ours but for a letter.
            let damaged = format!("{}{}", &click[..25], if click.ends_with('0') { '1' } else { '0' });
            let asked = [click.as_str(), click.as_str(), "nobody-knows-it", &damaged];
            for (click, at) in asked.into_iter().zip([0, 1, 2, 2]) {
                let (result, answer) = vendor.answers[at];
                is_answered(&ask(click), result, answer, &shown);
                expected.push(format!("{result} {}", vendor.reads.replace("{n}", &n.to_string())));
            }
        }
        assert_eq!(desk.decided(), expected, "{} {}", vendor.profile, vendor.path);
        desk.close();
    }
}

#[test]
fn a_secret_that_is_wrong_or_missing_is_answered_as_the_vendor_does() {
    let fault = "the secret is missing or wrong";
    let generic = ("rejected:secret", "403 generic".to_owned());
    let tune = ("rejected:secret", format!("200 text success=false; err_msg={fault};"));
    let affise = ("rejected:secret", r#"200 json {"status":1}"#.to_owned());
    for (profile, target, name, wrong) in [
        ("generic", "/postback?click_id={click}", "secret", generic.clone()),
        ("voluum", "/postback?cid={click}", "token", generic.clone()),
        ("bemob", "/postback?cid={click}", "token", generic.clone()),
        ("peerclick", "/postback?cid={click}", "token", generic.clone()),
        ("redtrack", "/postback?clickid={click}", "token", generic.clone()),
        ("keitaro", "/postback.php?subid={click}", "key", ("rejected:secret", format!("403 text {fault}"))),
        ("binom", "/click.php?cnv_id={click}", "token", generic.clone()),
        ("cpvlab", "/adclick.php?subid={click}", "token", generic.clone()),
        ("prosper202", "/tracking202/static/gpb.php?subid={click}", "token", generic.clone()),
        ("tune", "/aff_lsr?transaction_id={click}", "security_token", tune.clone()),
        ("tune", "/aff_goal?a=lsr&goal_id=1&transaction_id={click}", "security_token", tune),
        (
            "everflow",
            "/?nid=1&transaction_id={click}",
            "verification_token",
            ("rejected:secret", format!("200 text {fault}")),
        ),
        ("cake", "/p.ashx?f=pb&r={click}", "token", generic.clone()),
        ("affise", "/postback?clickid={click}", "secure", affise),
        ("revboost", "/api/postback?click_id={click}", "secret", generic),
    ] {
        let desk = Desk::of(profile, "secret = [{secret}, {other}]");
        let target = target.replace("{click}", &desk.click());
        for shown in ["", &format!("&{name}=wrong"), &format!("&{name}="), &format!("&other={SECRET}")] {
            desk.told(&format!("{target}{shown}"), wrong.0, &wrong.1);
        }
        assert!(desk.decided().is_empty(), "{profile}");
        let right = desk.get(&format!("{target}&{name}={SECRET}"));
        assert_eq!(right.header("x-clicklog-result"), Some("accepted"), "{profile}: {right:?}");
        let other = desk.get(&format!("{target}&{name}=k3y-of-another"));
        assert_eq!(other.header("x-clicklog-result"), Some("duplicate"), "{profile}: {other:?}");
        desk.close();
    }
}

#[test]
fn a_request_that_says_no_click_or_no_amount_is_answered_as_the_vendor_does() {
    for (profile, target, reason, expected) in [
        ("generic", "/postback?payout=1", "missing_click_id", "400 generic"),
        ("voluum", "/postback?cid=OPTIONAL&payout=1", "missing_click_id", "400 generic"),
        (
            "voluum",
            "/conversion.gif?cid=OPTIONAL&payout=OPTIONAL&txid=OPTIONAL",
            "missing_click_id",
            "200 gif",
        ),
        ("revboost", "/postback?click_id={click_id}", "missing_click_id", "400 generic"),
        ("revboost", "/postback?click_id=a&payout=NaN", "bad_payout", "400 generic"),
        (
            "prosper202",
            "/tracking202/static/gpb.php?amount=1",
            "missing_click_id",
            &format!("404 {NOT_FOUND}"),
        ),
        ("affise", "/postback?clickid=a&sum=1e9", "bad_payout", r#"200 json {"status":1}"#),
        ("cake", "/p.ashx?f=pb&r=%23reqid%23", "missing_click_id", "400 generic"),
    ] {
        let desk = Desk::of(profile, "");
        desk.told(target, &format!("rejected:{reason}"), expected);
        assert!(desk.decided().is_empty(), "{profile}");
        desk.close();
    }
    for (profile, target, begins) in [
        ("tune", "/aff_lsr?amount=1", "success=false; err_msg=missing click_id (as transaction_id)"),
        (
            "tune",
            "/aff_lsr?transaction_id=a&amount=x",
            "success=false; err_msg=the payout \"x\" is no amount",
        ),
        ("everflow", "/?nid=1&transaction_id=%7Btransaction_id%7D", "missing click_id (as transaction_id)"),
    ] {
        let desk = Desk::of(profile, "");
        let answer = desk.get(target);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(TEXT)), "{target}");
        assert!(answer.text().starts_with(begins), "{target}: {answer:?}");
        desk.close();
    }
}

#[test]
fn keitaro_s_key_is_in_its_path_and_what_it_asks_to_hear_is_what_it_hears() {
    let desk = Desk::of("keitaro", "secret = {secret}");
    let click = desk.click();
    let at = |rest: &str| format!("/{SECRET}/postback?subid={click}&{rest}");
    desk.told(&at("status=lead&tid=1&payout=2&return=OK"), "accepted", "200 text OK");
    desk.told(&at("status=sale&tid=1&payout=2&return=a%20b%26%3Cc%3E%0A"), "updated", "200 text a b&<c>\n");
    desk.told(&at("status=sale&tid=1&payout=2&return=OK"), "duplicate", "200 text OK");
    desk.told(&at("status=rebill&tid=2&payout=3&return="), "accepted", "200 text accepted");
    // Without a status it is a sale.
    desk.told(&at("tid=3&payout=1"), "accepted", "200 text accepted");
    desk.told(&at("status=rejected&tid=1"), "updated", "200 text updated");
    // Words that this request alone has a meaning for.
    let maps = "sale_status=paid,ok&lead_status=new-one&rejected_status=Void&ignore_status=ping,test";
    desk.told(&at(&format!("tid=4&payout=4&status=new-one&{maps}")), "accepted", "200 text accepted");
    desk.told(&at(&format!("tid=4&payout=4&status=OK&{maps}")), "updated", "200 text updated");
    desk.told(&at(&format!("tid=4&status=void&{maps}&return=done")), "updated", "200 text done");
    let ignored = "the request asks to pass over its status";
    desk.told(
        &at(&format!("tid=5&status=ping&{maps}")),
        "rejected:ignored_status",
        &format!("200 text {ignored}"),
    );
    desk.told(&at(&format!("tid=5&status=test&{maps}&return=1")), "rejected:ignored_status", "200 text 1");
    desk.told(&at(&format!("tid=6&payout=1&status=strange&{maps}")), "accepted", "200 text accepted");
    let fault = "403 text the secret is missing or wrong";
    for key in ["wrong", "k3y-of-the-vendo", "K3Y-OF-THE-VENDOR"] {
        // What it asks to hear is for those who may call.
        desk.told(&format!("/{key}/postback?subid={click}&tid=7&return=OK"), "rejected:secret", fault);
    }
    assert_eq!(desk.get(&format!("//postback?subid={click}")).status, 404);
    assert_eq!(
        desk.decided(),
        [
            "accepted 1 - pending 2 USD",
            "updated 1 - approved 2 USD",
            "duplicate 1 - approved 2 USD",
            "accepted 2 - approved 3 USD",
            "accepted 3 - approved 1 USD",
            "updated 1 - reversed -",
            "accepted 4 - pending 4 USD",
            "updated 4 - approved 4 USD",
            "updated 4 - reversed -",
            "accepted 6 - unknown 1 USD",
        ]
    );
    desk.close();
}

#[test]
fn binom_s_paths_serve_clicks_ways_through_a_lander_and_conversions() {
    for path in ["/click.php", "/click"] {
        let desk = Desk::of("binom", "");
        let click = desk.get(&format!("{path}?camp_id=landing&key=77&t1=a"));
        assert_eq!(
            (click.status, click.location()),
            (302, &*format!("https://offer.example/?s={}", click.cookie().unwrap()))
        );
        let landed = desk.get(&format!("{path}?key=landing&t1=a"));
        let id = landed.cookie().unwrap();
        assert_eq!(landed.location(), format!("https://lp.example/?cid={id}"));
        let cookie = format!("Cookie: cl_cid={id}\r\n");
        let through = desk.send(&format!("GET {path}?lp=1&event1=5"), &cookie, "");
        assert_eq!(through.status, 302, "{path}: {through:?}");
        let offered = through.location().strip_prefix("https://offer.example/?s=").unwrap();
        assert_eq!((offered.len(), offered == id), (26, false), "the way has an id of its own");
        // A conversion of the way is one of the click: told again, it is updated.
        desk.told(&format!("{path}?cnv_id={offered}&payout=2"), "accepted", "200 generic");
        desk.told(&format!("{path}?cnv_id={id}&payout=2"), "duplicate", "200 generic");
        desk.told(&format!("{path}?cnv_id={id}&payout=3"), "updated", "200 generic");
        desk.told(
            &format!("{path}?cnv_id=OPTIONAL&uclick={id}&payout=3&cnv_status=rejected"),
            "updated",
            "200 generic",
        );
        assert_eq!(
            desk.decided(),
            [
                "accepted - - approved 2 USD",
                "duplicate - - approved 2 USD",
                "updated - - approved 3 USD",
                "updated - - reversed 3 USD",
            ]
        );
        // Nobody's click, and nothing at all.
        assert_eq!(desk.get(&format!("{path}?lp=1")).status, 404);
        assert_eq!(desk.get(&format!("{path}?key=none")).status, 404);
        desk.close();
    }
}

#[test]
fn a_lander_s_link_in_voluum_s_way_leads_on_to_the_offer() {
    let desk = Desk::of("voluum", "");
    let landed = desk.get("/c/landing");
    let cookie = format!("Cookie: cl_cid={}\r\n", landed.cookie().unwrap());
    for target in ["/click", "/click/1", "/click?x=1"] {
        let through = desk.send(&format!("GET {target}"), &cookie, "");
        assert_eq!(through.status, 302, "{target}: {through:?}");
        assert!(through.location().starts_with("https://offer.example/?s="), "{target}: {through:?}");
    }
    for target in ["/click/0", "/click/x", "/clicks"] {
        assert_eq!(desk.send(&format!("GET {target}"), &cookie, "").status, 404, "{target}");
    }
    desk.close();
}

/// Profile, target, result, answer. The browser sends its cookie with each.
const PIXELS: &[(&str, &str, &str, &str)] = &[
    ("voluum", "/conversion.gif?cid=OPTIONAL&payout=OPTIONAL&txid=OPTIONAL&et=", "accepted", "200 gif"),
    ("voluum", "/conversion.gif?cid={click}&payout=2&txid=t1", "accepted", "200 gif"),
    ("voluum", "/conversion.gif?c=nobody-knows-it", "unmatched", "200 gif"),
    ("bemob", "/conversion.gif?cid=&txid=&payout=", "accepted", "200 gif"),
    ("cpvlab", "/adclick.php", "accepted", "200 gif"),
    ("cpvlab", "/adclick", "accepted", "200 gif"),
    ("prosper202", "/tracking202/static/gpx.php?cid=4&subid={click}&amount=&txid=t1", "accepted", "200 gif"),
    ("prosper202", "/tracking202/static/gpx.php?cid=4&subid=7&amount=&txid=t1", "unmatched", "200 gif"),
    ("prosper202", "/tracking202/static/px.php?acip=3", "accepted", "200 gif"),
    ("prosper202", "/tracking202/static/upx.php?subid={click}", "accepted", "200 page"),
    ("tune", "/aff_l?offer_id=5&amount=2&adv_sub=x", "accepted", "200 gif"),
    ("everflow", "/?nid=12&oid=4&amount=2", "accepted", "200 gif"),
    ("cake", "/p.ashx?f=img&r={click}&t=t1&p=2", "accepted", "200 gif"),
    ("cake", "/p.ashx?f=js&r={click}&t=t1&p=2", "accepted", "200 script"),
    ("cake", "/p.ashx?r={click}&t=t1&p=2&o=4", "accepted", "200 page"),
    ("cake", "/p.ashx?f=img&a=1&o=4&t=TRANSACTION_ID", "accepted", "200 gif"),
];

#[test]
fn each_vendor_s_own_pixel_counts_once_and_says_so_to_nobody() {
    for (profile, target, result, expected) in PIXELS {
        let desk = Desk::of(profile, "");
        let click = desk.click();
        let target = target.replace("{click}", &click);
        let cookie = format!("Cookie: cl_cid={click}\r\n");
        let get = |headers: &str| desk.send(&format!("GET {target}"), headers, "");
        let answer = get(&cookie);
        is_answered(&answer, result, expected, &format!("{profile} {target}"));
        let cache = "no-cache, no-store, max-age=0, must-revalidate";
        assert_eq!(answer.header("cache-control"), Some(cache), "{profile} {target}");
        let again = if *result == "accepted" { "duplicate" } else { result };
        is_answered(&get(&cookie), again, expected, &format!("{profile} {target} again"));
        assert_eq!(desk.decided().len(), 2, "{profile} {target}");
        desk.close();
    }
}

#[test]
fn an_image_of_a_vendor_that_asks_for_a_secret_counts_only_where_the_catalog_says_so() {
    for (pixels, result) in [("", "rejected:pixel"), ("pixels = true", "accepted")] {
        let desk = Desk::of("voluum", &format!("secret = {{secret}}\n{pixels}"));
        let click = desk.click();
        desk.told(&format!("/conversion.gif?cid={click}"), result, "200 gif");
        // A server shows its secret whatever pixels may do.
        desk.told(&format!("/postback?cid={click}"), "rejected:secret", "403 generic");
        desk.close();
    }
}

#[test]
fn networks_of_several_vendors_share_a_path_and_are_told_apart() {
    let desk = Desk::open(
        "[[network]]\nid = \"v\"\nprofile = \"voluum\"\nsecret = {secret}\n\
         [[network]]\nid = \"a\"\nprofile = \"affise\"\nsecret = {other}\n\
         [[network]]\nid = \"r\"\nprofile = \"redtrack\"\ndomains = [\"pb.redtrack.example\"]\n\
         [[network]]\nid = \"p\"\nprofile = \"peerclick\"\nmatch = { from = \"peer\" }\n\
         [[network]]\nid = \"e1\"\nprofile = \"everflow\"\nmatch = { nid = \"12\" }\n\
         [[network]]\nid = \"e2\"\nprofile = \"everflow\"\nmatch = { nid = \"13\" }\n\
         [[network]]\nid = \"c\"\nprofile = \"cpvlab\"\n\
         [[network]]\nid = \"c-add\"\nprofile = \"cpvlab\"\nmatch = { cladd = \"true\" }\n\
         dedupe = { mode = \"add\", scope = \"click\" }\n",
    );
    let click = desk.click();
    let at = |rest: &str| rest.replace("{click}", &click);
    let generic = "200 generic";
    desk.told(&at(&format!("/postback?cid={{click}}&txid=v1&token={SECRET}")), "accepted", generic);
    let affise = r#"200 json {"status":1}"#;
    desk.told(
        &at("/postback?clickid={click}&action_id=a1&status=1&secure=k3y-of-another"),
        "accepted",
        affise,
    );
    let own_host = "Host: pb.redtrack.example\r\n";
    let redtrack = desk.send(&at("GET /postback?clickid={click}&rdtk_event_id=r1"), own_host, "");
    is_answered(&redtrack, "accepted", generic, "by its domain");
    desk.told(&at("/postback?cid={click}&txid=p1&from=peer"), "accepted", generic);
    // `network=` says it for any of them, and so does the path.
    desk.told(&at("/postback?clickid={click}&rdtk_event_id=r2&network=r"), "accepted", generic);
    desk.told(&at("/postback/p?cid={click}&txid=p2"), "accepted", generic);
    desk.told(&at("/?nid=12&transaction_id={click}&order_id=e1"), "accepted", "200 text accepted");
    desk.told(&at("/?nid=13&transaction_id={click}&order_id=e1"), "accepted", "200 text accepted");
    assert_eq!(desk.get(&at("/?nid=14&transaction_id={click}")).status, 404);
    desk.told(&at("/adclick.php?subid={click}&revenue=2"), "accepted", generic);
    desk.told(&at("/adclick.php?subid={click}&revenue=2"), "duplicate", generic);
    desk.told(&at("/adclick.php?subid={click}&revenue=2&cladd=true"), "accepted", generic);
    desk.told(&at("/adclick.php?subid={click}&revenue=2&cladd=true"), "updated", generic);
    assert_eq!(desk.decided().len(), 12);
    desk.close();
}
