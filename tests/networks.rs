//! Networks of a catalog, from outside: what each profile reads and answers, what a network may say otherwise, and what
//! whoever wrote a wrong one is told.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::time::Duration;

use clicklog::apply::claim::Refusal;
use clicklog::apply::key::{Mode, Scope};
use clicklog::apply::reading::{Mapping, Role};
use clicklog::apply::rules::PARK_DEFAULT;
use clicklog::config::{Problems, catalog, warnings};
use clicklog::event::conversion::Status;
use clicklog::event::money::{Currency, Micros};
use clicklog::event::params::{Params, Source};
use clicklog::ingest::{Answer, Catalog, Door, DoorKind, Network, Rate, SignaturePlace};

const PROFILES: &[&str] = &[
    "generic",
    "voluum",
    "bemob",
    "peerclick",
    "redtrack",
    "keitaro",
    "binom",
    "cpvlab",
    "prosper202",
    "tune",
    "everflow",
    "cake",
    "affise",
    "revboost",
];

/// Secrets are called after where they come from.
fn parse(text: &str) -> Result<Catalog, Problems> {
    catalog::parse("c.toml", text, 1, &|name| (name != "NOT_THERE").then(|| format!("hush-{name}")))
}

/// The network `n` with these lines.
fn network(lines: &str) -> Network {
    let catalog = parse(&format!("[[network]]\nid = \"n\"\n{lines}\n"));
    let catalog = catalog.unwrap_or_else(|problems| panic!("{lines}\n{problems}"));
    catalog.network("n").unwrap().as_ref().clone()
}

fn of_profile(profile: &str) -> Network {
    network(&format!("profile = \"{profile}\""))
}

/// The first door that fits.
fn door<'a>(network: &'a Network, path: &str, params: &Params) -> Option<&'a Door> {
    let is_there = |name: &str, value: Option<&str>| {
        let found = params.get_ignore_case(name);
        found.is_some_and(|found| value.is_none_or(|value| value == found))
    };
    let fits = |door: &&Door| {
        let mut segments = door.path.split('/').zip(path.split('/'));
        door.path.split('/').count() == path.split('/').count()
            && segments.all(|(ours, theirs)| ours == "{secret}" || ours == theirs)
            && door.when.iter().all(|(name, value)| is_there(name, value.as_deref()))
    };
    network.doors.iter().find(fits)
}

fn answer<'a>(network: &'a Network, names: &[&str]) -> Option<&'a Answer> {
    let all = &network.answers.by_result;
    names.iter().find_map(|name| all.iter().find(|(result, _)| **result == **name).map(|(_, answer)| answer))
}

#[test]
fn every_profile_says_what_each_of_its_parameters_is() {
    let shown = parse("[[network]]\nid = \"n\"\nprofile = \"?\"").unwrap_err().to_string();
    assert!(shown.ends_with(&format!("allowed: {}", PROFILES.join(", "))), "{shown}");
    let shipped = include_str!("../config/networks.toml");
    for part in shipped.split("[[network]]").skip(1) {
        for role in Role::ALL {
            assert!(part.contains(&format!("\n{} = [", role.name())), "{}: {part}", role.name());
        }
        for key in ["\nsecret =", "allow_ips", "\ndomains", "rate_limit", "\nprofile"] {
            assert!(!part.contains(key), "{key} is of one network alone: {part}");
        }
    }
    assert_eq!(shipped.matches("[[network]]").count(), PROFILES.len());
    for profile in PROFILES {
        let network = of_profile(profile);
        assert!(!network.rules.mapping.names(Role::ClickId).is_empty(), "{profile}");
        assert_eq!(network.doors[0].kind, DoorKind::Postback, "{profile}: links shows the first");
        assert!(!network.access.secret_params.is_empty(), "{profile}");
        assert!(!network.access.secret_headers.is_empty(), "{profile}");
    }
}

#[test]
fn the_generic_profile_is_what_a_network_without_one_gets_and_what_the_code_calls_generic() {
    for network in [of_profile("generic"), network("")] {
        for role in Role::ALL {
            assert_eq!(network.rules.mapping.names(role), Mapping::generic().names(role), "{role:?}");
        }
        assert_eq!((network.rules.mode, network.rules.scope), (Mode::ByTransaction, Scope::Network));
        assert_eq!(network.rules.mapping.default_status, Status::Approved);
        assert_eq!((network.rules.park, network.address_window), (PARK_DEFAULT, Duration::ZERO));
        assert!(network.rules.limits.are_none() && network.rules.required.is_empty());
        assert!(network.answers.by_result.is_empty() && network.answers.echo.is_none());
        assert!(network.access.takes_pixels && !network.access.requires_https && !network.query_first);
        assert!(network.access.secrets.is_empty() && network.access.signature.is_none());
    }
}

/// Profile, the vendor's own URL with all that it prints of it = kind of door, click, transaction, event, status, payout,
/// currency; `-` is none.
const VENDORS: &str = "
generic    /postback?click_id=c1&payout=1.5&txid=t1&status=pending&cur=eur = Postback c1 t1 - pending 1.5 EUR
voluum     /postback?cid=c1&payout=1.5&txid=t1&et=ftd&currency=EUR&param1=x = Postback c1 t1 ftd approved 1.5 EUR
voluum     /conversion.gif?c=c1&p=2&txid=OPTIONAL&payout=OPTIONAL&et= = Image c1 - - approved 2 USD
bemob      /postback?cid=c1&payout=2&txid=t1&status=Rejected&_=1 = Postback c1 t1 - reversed 2 USD
bemob      /conversion.gif?cid=c1&txid=&payout= = Image c1 - - approved - USD
peerclick  /postback?cid=c1&payout=2&txid=t1&status=New&currency=GBP&event1=5 = Postback c1 t1 - pending 2 GBP
redtrack   /postback?clickid=c1&sum=2&rdtk_event_id=t1&type=Deposit&status=declined = Postback c1 t1 Deposit reversed 2 USD
redtrack   /postback?clickid=c1&payout=2&status=other = Postback c1 - - unknown 2 USD
keitaro    /k3y/postback?subid=c1&payout=2&tid=t1&status=lead&currency=eur = Postback c1 t1 - pending 2 EUR
keitaro    /k3y/postback?subid=c1&status=paid&sale_status=confirmed,paid&revenue=2 = Postback c1 - - approved 2 USD
keitaro    /k3y/postback?sub_id=c1&status=lead&lead_status=hold&sale_status=lead&payout=2 = Postback c1 - - approved 2 USD
keitaro    /k3y/postback?subid=c1&status=sale&rejected_status=sale = Postback c1 - - reversed - USD
keitaro    /postback.php?click_id=c1&profit=2&status=rebill = Postback c1 - - approved 2 USD
binom      /click.php?cnv_id=c1&payout=2&cnv_status=Hold&cnv_currency=EUR&event1=3 = Postback c1 - - pending 2 EUR
binom      /click?cnv_id=OPTIONAL&uclick=c1&payout=2 = Postback c1 - - approved 2 USD
cpvlab     /adclick.php?subid=c1&revenue=2 = Postback c1 - - approved 2 USD
cpvlab     /adclick? = Image - - - approved - USD
prosper202 /tracking202/static/gpb.php?sid=7&amount=2&txid=&orderid=t1&cid=4 = Postback 7 t1 - approved 2 USD
prosper202 /tracking202/static/gpx.php?cid=4&subid=7&amount=&txid=t1 = Image 7 t1 - approved - USD
prosper202 /tracking202/static/upx.php?subid=7 = Page 7 - - approved - USD
prosper202 /tracking202/static/pb.php?acip=3&subid=7 = Postback 7 - - approved - USD
prosper202 /tracking202/static/px.php?acip=3 = Image - - - approved - USD
tune       /aff_lsr?transaction_id=c1&amount=2&adv_sub=x&status=rejected&currency=EUR = Postback c1 - - reversed 2 EUR
tune       /aff_goal?a=lsr&goal_id=9&transaction_id=c1 = Postback c1 - 9 approved - USD
tune       /aff_l?offer_id=5&amount=2 = Image - - - approved 2 USD
everflow   /?nid=12&transaction_id=c1&amount=2&order_id=t1&event_id=3 = Postback c1 t1 3 approved 2 USD
everflow   /?nid=12&oid=4&amount=2 = Image - - - approved 2 USD
cake       /p.ashx?f=pb&r=c1&t=t1&p=2&e=3&o=4 = Postback c1 t1 3 approved 2 USD
cake       /p.ashx?f=img&r=c1&t=t1 = Image c1 t1 - approved - USD
cake       /p.ashx?f=js&r=c1&t=t1 = Script c1 t1 - approved - USD
cake       /p.ashx?r=c1&t=t1 = Page c1 t1 - approved - USD
affise     /postback?clickid=c1&sum=2&action_id=t1&goal=reg&status=5 = Postback c1 t1 reg pending 2 USD
affise     /postback?CLICK_ID=c1&status=3 = Postback c1 - - reversed - USD
affise     /postback?click_id=c1&status=1&comment=x = Postback c1 - - approved - USD
revboost   /api/postback?click_id=c1&payout=2&tx_id=t1&status=reversed&offer_id=3 = Postback c1 t1 - reversed 2 USD
revboost   /postback?click_id=c1&transaction_id=t1&status=approved = Postback c1 t1 - approved - USD
";

#[test]
fn each_profile_reads_its_vendor_s_own_url() {
    for line in VENDORS.lines().filter(|line| !line.is_empty()) {
        let (request, expected) = line.rsplit_once(" = ").unwrap();
        let (profile, url) = request.split_once(' ').unwrap();
        let (path, query) = url.trim().split_once('?').unwrap();
        let network = of_profile(profile);
        let params = Params::parse(query.as_bytes(), Source::Query);
        let kind = door(&network, path, &params).map(|door| format!("{:?}", door.kind)).unwrap_or_default();
        let reading = network.rules.mapping.read(&params);
        let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let read = [
            kind,
            or_none(reading.click_id.unwrap_or_default()),
            or_none(reading.transaction_id.unwrap_or_default()),
            or_none(reading.event),
            reading.status.name().to_owned(),
            reading.payout.map_or("-".to_owned(), |payout| payout.unwrap().to_string()),
            reading.currency.unwrap().to_string(),
        ];
        assert_eq!(read.join(" "), expected, "{line}");
        assert!(!reading.is_ignored, "{line}");
    }
    assert!(PROFILES.iter().all(|profile| VENDORS.contains(&format!("\n{profile} "))));
    // These paths serve clicks as well.
    let clicks = Params::parse(b"key=abc&camp_id=1&nid=1", Source::Query);
    for (profile, path) in [("binom", "/click.php"), ("binom", "/click"), ("everflow", "/")] {
        assert_eq!(door(&of_profile(profile), path, &clicks), None, "{profile} {path}");
    }
    let keitaro = of_profile("keitaro");
    let ping = Params::parse(b"subid=c1&status=ping&ignore_status=test,ping", Source::Query);
    assert!(keitaro.rules.mapping.read(&ping).is_ignored);
}

#[test]
fn each_profile_answers_as_its_vendor_does() {
    let cases: &[(&str, &[&str], Option<u16>, &str)] = &[
        ("keitaro", &["accepted", "ok"], None, "{result}"),
        ("keitaro", &["rejected:ignored_status", "rejected"], Some(200), "{message}"),
        (
            "prosper202",
            &["updated", "ok"],
            Some(202),
            r#"{"error":false,"code":202,"msg":"Postback successful"}"#,
        ),
        (
            "prosper202",
            &["unmatched", "ok"],
            Some(404),
            r#"{"error":true,"code":404,"msg":"SubID not found"}"#,
        ),
        (
            "prosper202",
            &["rejected:missing_click_id"],
            Some(404),
            r#"{"error":true,"code":404,"msg":"SubID not found"}"#,
        ),
        ("tune", &["accepted", "ok"], Some(200), "success=true;"),
        ("tune", &["duplicate", "ok"], Some(200), "success=false; err_msg=Duplicate conversion;"),
        ("tune", &["rejected:secret", "rejected"], Some(200), "success=false; err_msg={message};"),
        ("everflow", &["rejected:address", "rejected"], Some(200), "{message}"),
        ("cake", &["accepted", "ok"], None, "SUCCESS"),
        ("affise", &["accepted", "ok"], Some(200), r#"{"status":1}"#),
    ];
    for (profile, names, status, body) in cases {
        let network = of_profile(profile);
        let found = answer(&network, names).unwrap();
        assert_eq!((found.status, &*found.body), (*status, *body), "{profile} {names:?}");
        let is_json = body.starts_with("{\"");
        let content_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
        assert_eq!(&*found.content_type, content_type, "{profile} {names:?}");
    }
    assert_eq!(of_profile("keitaro").answers.echo.as_deref(), Some("return"));
    assert!(of_profile("prosper202").query_first);
}

/// A request that was refused for its rate is not kept: with a 200 it would be gone for good.
#[test]
fn whoever_calls_too_often_is_told_to_come_again_whatever_else_is_answered_200() {
    let own = "answers = { rejected = { status = 200, body = \"fine\" } }";
    let mut networks: Vec<Network> = PROFILES.iter().map(|profile| of_profile(profile)).collect();
    networks.push(network(own));
    for network in &networks {
        let answer = answer(network, &["rejected:rate_limit", "rejected"]);
        assert_eq!(answer.and_then(|answer| answer.status), None, "{:?}", network.answers);
    }
    let named =
        network("answers = { rejected = { status = 200 }, \"rejected:rate_limit\" = { status = 503 } }");
    assert_eq!(answer(&named, &["rejected:rate_limit"]).unwrap().status, Some(503));
}

#[test]
fn repeats_are_treated_as_the_platform_treats_them() {
    for (profile, mode, scope) in [
        ("voluum", Mode::ByTransaction, Scope::Click),
        ("keitaro", Mode::ByTransaction, Scope::Click),
        ("binom", Mode::Replace, Scope::Click),
        ("cpvlab", Mode::Replace, Scope::Click),
        ("prosper202", Mode::ByTransaction, Scope::Click),
        ("tune", Mode::FirstWins, Scope::ClickEvent),
        ("everflow", Mode::ByTransaction, Scope::ClickEvent),
        ("affise", Mode::ByTransaction, Scope::OfferEvent),
        ("revboost", Mode::ByTransaction, Scope::Network),
    ] {
        let rules = of_profile(profile).rules;
        assert_eq!((rules.mode, rules.scope), (mode, scope), "{profile}");
    }
}

/// All keys of a network.
const EVERYTHING: &str = r##"
profile = "keitaro"
secret = [{ env = "A" }, { env = "B" }]
secret_params = ["pass"]
secret_headers = ["X-Pass"]
signature = { secret = { env = "C" }, header = "X-Signature", time = "X-Time", tolerance = "2m" }
allow_ips = ["203.0.113.0/24", "2001:db8::1"]
require_https = true
require_client_certificate = true
rate_limit = { per_second = 5 }
pixels = true
address_window = "24h"
paths = ["/own", { path = "/own.gif", kind = "image", when = { oid = "*", f = "i" } }, "/p/{secret}"]
domains = ["PB.Example.com."]
match = { nid = "12" }
params = { transaction_id = ["order"], event = ["goal"], status = [] }
query_first = true
required = ["transaction_id", "payout"]
status_map = { "7" = "reversed", SALE = "pending" }
status_params = { approved = ["yes"], ignored = [] }
default_status = "pending"
dedupe = { mode = "each" }
payout = { min = "0.5", max = "500", tolerance = "2.5%" }
currency = "EUR"
park = "0"
answers = { accepted = { status = 201, type = "application/json", body = '{"id": "{conversion_id}", "r": "{reason}"}' }, ok = { body = "OK" } }
echo = "say"
"##;

#[test]
fn a_network_may_say_otherwise_about_anything() {
    let made = network(EVERYTHING);
    let rules = &made.rules;
    let mapping = &rules.mapping;
    assert_eq!(mapping.names(Role::ClickId)[0].as_ref(), "subid", "what is not said is as in the profile");
    assert_eq!(mapping.names(Role::TransactionId), ["order".into()]);
    assert!(mapping.names(Role::Status).is_empty());
    assert_eq!((mapping.default_status, mapping.currency.to_string()), (Status::Pending, "EUR".to_owned()));
    assert_eq!((rules.mode, rules.scope), (Mode::Each, Scope::Click), "each part of dedupe by itself");
    assert_eq!(rules.limits.min, Some(Micros::new(500_000)));
    assert_eq!((rules.limits.max, rules.limits.tolerance), (Some(Micros::new(500_000_000)), Some(250)));
    assert_eq!(rules.required, [Role::TransactionId, Role::Payout]);
    assert_eq!((rules.park, made.address_window), (Duration::ZERO, Duration::from_secs(86_400)));
    let paths: Vec<&str> = made.doors.iter().map(|door| &*door.path).collect();
    assert_eq!(paths, ["/own", "/own.gif", "/p/{secret}", "/{secret}/postback", "/postback.php"]);
    assert_eq!(made.doors[1].kind, DoorKind::Image);
    assert_eq!(made.doors[1].when, [("f".into(), Some("i".into())), ("oid".into(), None)]);
    assert_eq!((made.domains[0].as_ref(), made.query_first), ("pb.example.com", true));
    assert_eq!(made.matches, [("nid".into(), "12".into())]);
    let access = &made.access;
    assert_eq!((access.secrets.len(), access.allow.len()), (2, 2));
    assert_eq!(
        (&access.secret_params[..], &access.secret_headers[..]),
        (&["pass".into()][..], &["X-Pass".into()][..])
    );
    assert_eq!(access.rate, Some(Rate { per_second: 5, burst: 5 }));
    assert!(access.takes_pixels && access.requires_https && access.requires_client_certificate);
    let signature = access.signature.as_ref().unwrap();
    assert_eq!(signature.place, SignaturePlace::Header("X-Signature".into()));
    assert_eq!((&*signature.time, signature.tolerance), ("X-Time", Duration::from_secs(120)));
    assert_eq!(answer(&made, &["accepted"]).unwrap().status, Some(201));
    assert_eq!(&*answer(&made, &["ok"]).unwrap().body, "OK");
    assert_eq!(&*answer(&made, &["rejected"]).unwrap().body, "{message}");
    assert_eq!(made.answers.echo.as_deref(), Some("say"));
}

/// Whoever adds a key adds it here, and to the test above.
#[test]
fn a_key_that_is_not_there_is_told_with_all_that_are() {
    let shown = parse("[[network]]\nid = \"n\"\nnothing = 1\n").unwrap_err().to_string();
    let keys: Vec<&str> = EVERYTHING.lines().filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    for key in std::iter::once("id").chain(keys.iter().copied()) {
        assert!(shown.contains(&format!(" {key},")) || shown.ends_with(key), "{key} in {shown}");
    }
    let allowed = shown.split_once("allowed: ").unwrap().1;
    assert_eq!(allowed.split(", ").count(), keys.len() + 1, "{allowed}");
}

#[test]
fn the_words_of_a_network_come_before_those_of_its_profile() {
    let made = network(
        "profile = \"keitaro\"\nstatus_map = { SALE = \"pending\" }\nstatus_params = { approved = [\"yes\"] }",
    );
    for (query, status, is_ignored) in [
        ("status=sale", Status::Pending, false),
        ("status=lead", Status::Pending, false),
        ("status=x&yes=x", Status::Approved, false),
        ("status=x&sale_status=x", Status::Unknown, false),
        ("status=x&rejected_status=x", Status::Reversed, false),
        ("status=x&yes=x&ignore_status=x", Status::Unknown, true),
    ] {
        let params = Params::parse(query.as_bytes(), Source::Query);
        let reading = made.rules.mapping.read(&params);
        if !is_ignored {
            assert_eq!(reading.status, status, "{query}");
        }
        assert_eq!(reading.is_ignored, is_ignored, "{query}");
    }
}

#[test]
fn a_network_takes_pixels_unless_it_asks_for_what_a_browser_cannot_show() {
    for (lines, takes) in [
        ("", true),
        ("secret = { env = \"A\" }", false),
        ("allow_ips = [\"10.0.0.0/8\"]", false),
        ("signature = { secret = { env = \"A\" }, param = \"sig\", time = \"ts\" }", false),
        ("secret = { env = \"A\" }\npixels = true", true),
        ("pixels = false", false),
    ] {
        assert_eq!(network(lines).access.takes_pixels, takes, "{lines}");
    }
}

#[test]
fn no_secret_of_a_network_is_ever_shown() {
    let text = format!("[[network]]\nid = \"n\"\n{EVERYTHING}");
    let catalog = parse(&text).unwrap();
    assert!(!format!("{catalog:?} {catalog:#?}").contains("hush"));
    let wrong = parse(&text.replace("\"keitaro\"", "\"kietaro\"")).unwrap_err();
    assert!(!format!("{wrong} {wrong:?}").contains("hush"), "{wrong}");
}

/// Lines of a network, parted by ` ; ` => the problem => its hint.
const WRONG: &str = r##"
profile = "tuna" => 3:11: no profile "tuna" => did you mean "tune"?
pixel = true => 3:1: unknown key "pixel" => did you mean "pixels"?
secret = "hush" => 3:10: expected { env = "NAME" } => ^
secret = [] => 3:10: a network has one secret, or two => ^^
secret = { env = "NOT_THERE" } => 3:10: the environment variable NOT_THERE is not set => ^
secret_params = [""] => 3:18: a name has 1 to 256 bytes => ^^
secret_headers = ["X Pass"] => 3:19: must be a header's name like "X-Secret" => ^^^^^^^^
signature = { secret = { env = "A" }, header = "S", time = "a time" } => must be a header's name => ^
signature = { secret = { env = "A" }, param = "s" } => 3:13: missing field `time` => ^
signature = { secret = { env = "A" }, time = "t" } => 3:13: a signature is in a param or in a header => ^
signature = { secret = { env = "A" }, param = "s", header = "S", time = "t" } => in a param or in a header => ^
signature = { secret = { env = "A" }, param = "s", time = "t", tolerance = "2d" } => must be a duration like => up to "1d"
signature = { secret = { env = "NOT_THERE" }, param = "s", time = "t" } => 3:24: the environment => ^
signature = { secret = { env = "A" }, parm = "s", time = "t" } => unknown key "parm" => did you mean "param"?
pixels = "yes" => 3:10: invalid type: string "yes", expected a boolean => ^
address_window = "31d" => 3:18: must be a duration => up to "30d"
pixels = false ; address_window = "1d" => 4:18: only pixels look for a click by its address => ^
paths = ["go"] => 3:10: must be a path like "/pb.php" => ^^^^
paths = ["/a?b=1"] => 3:10: must be a path => ^
paths = ["/{secret}/{secret}"] => 3:10: must be a path => ^
paths = ["/x{secret}"] => 3:10: must be a path => ^
paths = ["/{secret}/x"] => 3:10: a {secret} stands in it, and the network has none => ^
paths = ["/c/x"] => 3:10: "/c/x" is where something else is already => ^
paths = ["/pixel.gif"] => 3:10: "/pixel.gif" is where => ^
paths = [{ path = "/a", kind = "imag" }] => unknown value "imag" => did you mean "image"?
paths = [{ path = "/a", wenn = { a = "1" } }] => 3:25: unknown key "wenn" => did you mean "when"?
paths = [{ kind = "image" }] => missing field `path` => ^
paths = [7] => expected a path like "/pb.php" or { path => ^
domains = ["https://a.example"] => 3:12: must be a host like => ^
domains = ["a.example:80"] => 3:12: must be a host like => ^
domains = ["a.example", "A.example."] => 3:25: network "n" has this domain already => ^
match = { nid = 12 } => 3:17: invalid type: integer `12`, expected a string => ^
params = { clickid = ["a"] } => 3:12: unknown value "clickid" => did you mean "click_id"?
params = { click_id = [] } => 2:6: params.click_id needs at least one name => ^
required = ["payot"] => unknown value "payot" => did you mean "payout"?
params = { event = [] } ; required = ["event"] => 4:12: no parameter of this network says its event => ^
status_map = { x = "aproved" } => unknown value "aproved" => did you mean "approved"?
status_map = { x = "approved", X = "pending" } => "x" is empty, or stands here twice => ^
status_map = { "" = "approved" } => 3:16: "" is empty => ^
status_params = { ignore = ["x"] } => unknown value "ignore" => did you mean "ignored"?
default_status = "paid" => 3:18: unknown value "paid" => allowed: pending, approved, reversed
dedupe = { mode = "first" } => unknown value "first" => first_wins
dedupe = { scope = "click+offer" } => unknown value "click+offer" => offer+event
payout = { min = "5", max = "1" } => 3:29: must be at least min, which is 5 => ^^^
payout = { min = "a" } => 3:18:  => ^^^
payout = { tolerance = "20" } => 3:24: must be a share like "20%" => ^^^^
rate_limit = { per_second = 5, burst = 0 } => 3:40: must be at least 1 => ^
currency = "euro" => 3:12:  => ^
park = "25h" => 3:8: must be a duration => up to "1d"
answers = { okay = { body = "" } } => 3:13: no result "okay" => did you mean "ok"?
answers = { "rejected:secrets" = { body = "" } } => no result => did you mean "rejected:secret"?
answers = { ok = { status = 302 } } => 3:29: must be 200 to 299 or 400 to 599 => ^^^
answers = { ok = { type = "json" } } => 3:27: must be a type like => ^
answers = { ok = { type = "text/plain\r\nX: y" } } => 3:27: must be a type like => ^
answers = { ok = { body = "id {conversionid}" } } => 3:31: no gap is called {conversionid} => did you mean {conversion_id}?
answers = { ok = { text = "" } } => unknown key "text" => allowed: status, type, body
echo = "" => 3:8: a name has 1 to 256 bytes => ^
"##;

#[test]
fn what_is_wrong_with_a_network_is_shown_with_its_place_and_a_way_out() {
    let many: String = (0..300).map(|n| format!("\"p{n}\",")).collect();
    let many = format!("params = {{ payout = [{many}] }} => there are at most 256 names => ^");
    for line in WRONG.lines().chain([many.as_str()]).filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.split(" => ").collect();
        let [lines, what, hint] = parts[..] else { panic!("{line}") };
        let lines = lines.replace(" ; ", "\n");
        let shown = parse(&format!("[[network]]\nid = \"n\"\n{lines}\n")).unwrap_err().to_string();
        assert!(shown.contains(what) && shown.contains(hint), "{lines}\n---\n{shown}");
        assert!(shown.starts_with("c.toml:"), "{lines}\n---\n{shown}");
    }
}

#[test]
fn a_domain_belongs_to_one_network() {
    let text = "[[network]]\nid = \"a\"\ndomains = [\"x.example\"]\n[[network]]\nid = \"b\"\ndomains = [\"X.EXAMPLE\"]\n";
    let shown = parse(text).unwrap_err().to_string();
    assert!(shown.contains("c.toml:6:12: network \"a\" has this domain already"), "{shown}");
}

#[test]
fn every_refusal_and_verdict_can_be_answered_by_its_name() {
    for refusal in Refusal::ALL {
        network(&format!("answers = {{ \"rejected:{}\" = {{ status = 400 }} }}", refusal.name()));
    }
    let verdicts = "accepted updated duplicate held unmatched orphan late test rejected ok";
    for name in verdicts.split(' ') {
        network(&format!("answers = {{ {name} = {{ body = \"{{result}} {{}} {{A}} {{\" }} }}"));
    }
}

#[test]
fn a_short_secret_is_warned_of() {
    let catalog = catalog::parse(
        "c.toml",
        "[[network]]\nid = \"n\"\nsecret = { env = \"A\" }\n[[network]]\nid = \"m\"\nsecret = { env = \"LONG\" }\n",
        1,
        &|name| Some(if name == "A" { "1234567".to_owned() } else { "12345678".to_owned() }),
    );
    let told = warnings(&catalog.unwrap(), 9);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("network \"n\"") && !told[0].contains("1234567"), "{told:?}");
}

#[test]
fn a_campaign_has_pixels_of_third_parties() {
    let catalog = parse(
        r#"
[secrets]
k = { env = "K" }
[[campaign]]
id = "c"
fallback_url = "https://f.example/"
[[campaign.pixel]]
kind = "script"
url = "https://p.example/?v={payout}&t={transaction_id}&x={postback.adv1}"
on = ["approved", "pending"]
[[campaign.pixel]]
url = "https://p.example/i?c={click_id}"
"#,
    );
    let catalog = catalog.unwrap();
    let pixels = &catalog.campaign("c").unwrap().pixels;
    assert_eq!(pixels.len(), 2);
    assert_eq!(pixels[0].on, [Status::Approved, Status::Pending]);
    assert_eq!(
        (pixels[0].kind, pixels[1].kind),
        (clicklog::ingest::PixelKind::Script, clicklog::ingest::PixelKind::Image)
    );
    assert!(pixels[1].on.is_empty());
    let with = |pixel: &str| {
        let text = format!("[secrets]\nk = {{ env = \"K\" }}\n[[campaign]]\nid = \"c\"\n{pixel}");
        parse(&text).unwrap_err().to_string()
    };
    for (pixel, what, hint) in [
        ("[[campaign.pixel]]\nurl = \"https://p.example/?s={secret:k}\"\n", "6:", "secret"),
        ("[[campaign.pixel]]\nurl = \"https://p.example/?s={payot}\"\n", "6:29: ", "did you mean {payout}?"),
        ("[[campaign.pixel]]\nurl = \"javascript:x\"\n", "6:", "^"),
        (
            "[[campaign.pixel]]\nkind = \"imag\"\nurl = \"https://p.example/\"\n",
            "unknown value \"imag\"",
            "\"image\"?",
        ),
        (
            "[[campaign.pixel]]\nurl = \"https://p.example/\"\non = [\"sale\"]\n",
            "unknown value \"sale\"",
            "allowed",
        ),
        (
            &"[[campaign.pixel]]\nurl = \"https://p.example/\"\n".repeat(17),
            "4:6: a campaign has at most 16 pixels",
            "^",
        ),
    ] {
        let shown = with(pixel);
        assert!(shown.contains(what) && shown.contains(hint), "{pixel}\n---\n{shown}");
    }
}

#[test]
fn the_demo_s_network_takes_postbacks_and_pixels_from_anybody() {
    let catalog = catalog::load(std::path::Path::new(""), 1, &|_| None).unwrap();
    let demo = catalog.network("demo-network").unwrap();
    assert!(demo.access.takes_pixels && demo.access.secrets.is_empty() && demo.access.allow.is_empty());
    assert_eq!(demo.rules.mapping.currency, Currency::USD);
    assert_eq!(catalog.networks().len(), 1);
}
