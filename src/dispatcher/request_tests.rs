//! What requests are made of, and what no value can do to one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use http::Method;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::dispatcher::batch::PerItem;
use crate::dispatcher::outbound::TokenSource;
use crate::dispatcher::owed::{Destination, delivery_id};
use crate::dispatcher::sign::Key;
use crate::event::click::KeptAddress;
use crate::event::conversion::{Conversion, Status};
use crate::event::money::{Currency, Micros};
use crate::event::params::{Params, ParamsRef, Source};
use crate::event::template::{Known, Missing, Names, Target};

const SECRET: &str = "s3cret/+ \"é";
const KEY: [u8; 32] = [7; 32];
const SITE: &str = "https://ads.example.net:8443";

fn template(text: &str, target: Target) -> Template {
    Template::parse(text, target, &Names::with(["x"], ["key"]), Missing::Empty).unwrap()
}

fn strict(text: &str, target: Target) -> Template {
    Template::parse(text, target, &Names::with(["x"], ["key"]), Missing::Fail).unwrap()
}

fn get(path: &str) -> Outbound {
    Outbound::plain(template(&format!("{SITE}{path}"), Target::Url))
}

fn post(content_type: &str, template: Template) -> Outbound {
    let body = Body::One { content_type: content_type.into(), template };
    Outbound { method: Method::POST, body, ..get("/events") }
}

fn batch(item: Template) -> Outbound {
    let (before, after) = (r#"{"key":{secret:key},"data":["#, r#"],"id":"{delivery_id}"}"#);
    let batch = Batch {
        before: template(before, Target::Json),
        item,
        after: template(after, Target::Json),
        max: 2_000,
        wait: Duration::ZERO,
        per_item: None::<PerItem>,
    };
    Outbound { method: Method::POST, body: Body::Batch(Box::new(batch)), ..get("/events") }
}

fn signed(outbound: Outbound) -> Outbound {
    Outbound { keys: [Key::parse(&STANDARD.encode(KEY)).unwrap()].into(), ..outbound }
}

fn header(name: &'static str, text: &str) -> (HeaderName, Template) {
    (HeaderName::from_static(name), template(text, Target::Header))
}

fn secrets() -> Secrets {
    Secrets::new([("key".into(), SECRET.into())])
}

fn moment() -> Moment {
    Moment { now: Timestamp::from_seconds(1_795_158_000), random: 42 }
}

fn usd(micros: i64) -> Money {
    Money { amount: Micros::new(micros), currency: Currency::USD }
}

fn decision() -> Decision<'static> {
    let conversion = Conversion {
        network: "boost",
        click_id: "C1",
        transaction_id: "T 1",
        event: "sale",
        status: Status::Approved,
        original_status: "1",
        payout: Some(usd(4_000_000)),
    };
    Decision {
        time: Timestamp::from_seconds(1_795_157_900),
        conversion_id: [0xcd; 16],
        conversion,
        click_time: Some(Timestamp::from_seconds(1_795_150_000)),
        cost: Some(Money { currency: "EUR".parse().unwrap(), ..usd(12_000) }),
        campaign: "spring",
        offer: "diet-42",
        source: "propeller",
        lander: "1",
        external_id: "E1",
        address: Some(KeptAddress::full([203, 0, 113, 7].into())),
        country: *b"DE",
        user_agent: "Mozilla/5.0 (X11)",
        referrer: "https://r.example/",
        language: "en-GB,en;q=0.9",
        ..Decision::default()
    }
}

fn item<'a>(decision: &'a Decision<'a>) -> Item<'a> {
    Item { decision, delivery_id: [0xab; 16], payout: Some(usd(3_500_000)) }
}

fn made(outbound: &Outbound, items: &[Item<'_>]) -> Request<Bytes> {
    make(outbound, items, &secrets(), Some("ya29.token"), moment()).unwrap()
}

fn value<'a>(request: &'a Request<Bytes>, name: &str) -> &'a str {
    let values: Vec<_> = request.headers().get_all(name).iter().collect();
    assert_eq!(values.len(), 1, "{name} in {request:?}");
    values[0].to_str().unwrap()
}

#[test]
fn a_get_is_what_its_template_and_the_decision_say() {
    let decision = decision();
    let outbound = get("/conv?aid=123&visitor_id={external_id}&value={payout}&t={transaction_id}#x");
    let request = made(&outbound, &[item(&decision)]);
    assert_eq!(request.uri(), "https://ads.example.net:8443/conv?aid=123&visitor_id=E1&value=3.5&t=T%201");
    assert_eq!((request.method(), request.body().len()), (&Method::GET, 0));
    assert_eq!(value(&request, "idempotency-key"), "ab".repeat(16));
    assert_eq!(value(&request, "user-agent"), concat!("clicklog/", env!("CARGO_PKG_VERSION")));
    assert_eq!(value(&request, "accept"), "*/*");
    assert_eq!(value(&request, "authorization"), "Bearer ya29.token");
    assert_eq!(request.headers().len(), 4, "nothing else: {request:?}");
    assert!(!format!("{request:?}").contains("ya29"), "a token is not printed");
}

#[test]
fn every_placeholder_has_its_value() {
    let mut params = Vec::new();
    Params::parse(b"sub1=S&x=X", Source::Query).encode_into(&mut params);
    let params = ParamsRef::check(&params).unwrap();
    let decision = Decision { click_params: params, postback_params: params, ..decision() };
    let known = [
        ("click_id", "C1"),
        ("campaign", "spring"),
        ("offer", "diet-42"),
        ("lander", "1"),
        ("source", "propeller"),
        ("network", "boost"),
        ("external_id", "E1"),
        ("cost", "0.012"),
        ("currency", "USD"),
        ("payout", "3.5"),
        ("revenue", "3.5"),
        ("transaction_id", "T 1"),
        ("event", "sale"),
        ("status", "approved"),
        ("original_status", "1"),
        ("conversion_id", "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"),
        ("delivery_id", "abababababababababababababababab"),
        ("ip", "203.0.113.7"),
        ("user_agent", "Mozilla/5.0 (X11)"),
        ("referrer", "https://r.example/"),
        ("language", "en"),
        ("country", "DE"),
        ("click_time", "1795150000"),
        ("conversion_time", "1795157900"),
        ("now", "1795158000"),
        ("random", "42"),
    ];
    assert_eq!(
        known.map(|(name, _)| name).to_vec(),
        Known::ALL.iter().map(|known| known.text()).collect::<Vec<_>>()
    );
    let others = [("sub1", "S"), ("param.x", "X"), ("postback.SUB1", "S"), ("secret:key", SECRET)];
    let of = |name: &str, decision: &Decision<'_>, payout| {
        let outbound = post("text/plain", strict(&format!("{{{name}}}"), Target::Text));
        let item = Item { payout, ..item(decision) };
        let request = make(&outbound, &[item], &secrets(), None, moment())?;
        Ok(String::from_utf8(request.into_body().to_vec()).unwrap())
    };
    for (name, expected) in known.into_iter().chain(others) {
        assert_eq!(of(name, &decision, Some(usd(3_500_000))), Ok(expected.to_owned()), "{name}");
    }
    assert_eq!(of("currency", &decision, None), Ok("EUR".to_owned()), "of the cost, with no payout");
    let nothing = Decision::default();
    for name in
        ["click_id", "cost", "currency", "payout", "ip", "country", "click_time", "sub1", "postback.a"]
    {
        let missing = Unmade::Template(RenderError::Missing(name.replace("sub1", "param.sub1")));
        assert_eq!(of(name, &nothing, None), Err(missing));
    }
}

#[test]
fn a_reversal_says_how_much_and_the_status_which_way() {
    let outbound = get("/?s={status}&p={payout}&n={payout|mul:-1}");
    let mut decision = decision();
    for (status, amount, expected) in [
        (Status::Approved, 2_000_000, "/?s=approved&p=2&n=-2"),
        (Status::Approved, -2_000_000, "/?s=approved&p=-2&n=2"),
        (Status::Reversed, 2_000_000, "/?s=reversed&p=2&n=-2"),
        (Status::Reversed, -2_000_000, "/?s=reversed&p=2&n=-2"),
    ] {
        decision.conversion.status = status;
        let item = Item { payout: Some(usd(amount)), ..item(&decision) };
        assert_eq!(made(&outbound, &[item]).uri().path_and_query().unwrap(), expected);
    }
}

#[test]
fn what_the_destination_says_in_a_header_wins_over_ours() {
    let decision = decision();
    let headers = [
        header("user-agent", "mine"),
        header("accept", "application/json"),
        header("authorization", "Key {secret:key}"),
        header("content-type", "application/vnd.x+json"),
        header("idempotency-key", "\"{delivery_id}\""),
        header("webhook-id", "mine"),
        header("x-a", "1"),
        header("x-a", "2"),
    ];
    let json = template("{}", Target::Json);
    let outbound = signed(Outbound { headers: headers.into(), ..post("application/json", json) });
    let request = made(&outbound, &[item(&decision)]);
    assert_eq!(value(&request, "user-agent"), "mine");
    assert_eq!(value(&request, "accept"), "application/json");
    assert!(value(&request, "authorization").starts_with("Key s3cret"));
    assert_eq!(value(&request, "content-type"), "application/vnd.x+json");
    assert_eq!(value(&request, "idempotency-key"), format!("\"{}\"", "ab".repeat(16)));
    assert_eq!(value(&request, "webhook-id"), "mine");
    assert_eq!(request.headers().get_all("x-a").iter().count(), 2);
    assert!(!format!("{request:?}").contains("s3cret"), "a secret is not printed");
}

#[test]
fn a_batch_is_known_by_all_that_is_in_it_and_one_alone_by_itself() {
    let decision = decision();
    let item = |first| Item { delivery_id: [first; 16], ..item(&decision) };
    let outbound = batch(template(r#"{"id":"{delivery_id}"}"#, Target::Json));
    let of = |ids: &[u8]| {
        let items: Vec<Item<'_>> = ids.iter().map(|id| item(*id)).collect();
        let request = made(&outbound, &items);
        let body: Json = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(body["id"], value(&request, "idempotency-key"));
        assert_eq!(value(&request, "content-type"), "application/json");
        value(&request, "idempotency-key").to_owned()
    };
    assert_eq!(of(&[1]), "01".repeat(16));
    assert_eq!(of(&[1, 2]), of(&[1, 2]));
    assert_eq!(of(&[1, 2]), "a3f35e35671db4f5fc995d57fd075dc2", "what it has always been");
    let all = [of(&[1]), of(&[2]), of(&[1, 2]), of(&[2, 1]), of(&[1, 2, 3])];
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn what_cannot_be_made_does_not_spoil_its_batch() {
    let (good, bad) = (decision(), Decision { external_id: "", ..decision() });
    let long = "x".repeat(RENDERED_BYTES_MAX + 1);
    let long = Decision { external_id: &long, ..decision() };
    let outbound = batch(strict(r#"{"id":{external_id}}"#, Target::Json));
    let items = [&good, &bad, &good, &long, &good].map(item);
    let missing = RenderError::Missing("external_id".to_owned());
    let unmade = make(&outbound, &items, &secrets(), None, moment()).unwrap_err();
    assert_eq!(unmade, Unmade::Items(vec![(1, missing.clone()), (3, RenderError::TooLong)]));
    let rest = [items[0], items[2], items[4]];
    let body: Json = serde_json::from_slice(made(&outbound, &rest).body()).unwrap();
    assert_eq!(body["data"], json!([{ "id": "E1" }, { "id": "E1" }, { "id": "E1" }]));
    let alone = post("application/json", strict(r#"{"id":{external_id}}"#, Target::Json));
    let unmade = make(&alone, &[items[1]], &secrets(), None, moment()).unwrap_err();
    assert_eq!(unmade, Unmade::Template(missing));
}

#[test]
fn what_does_not_fit_waits_for_the_next_request() {
    let text = "x".repeat(10_000);
    let decision = Decision { external_id: &text, ..decision() };
    let outbound = batch(template(r#"{"id":{external_id}}"#, Target::Json));
    let items = vec![item(&decision); 1_000];
    let Err(Unmade::TooMany(fit)) = make(&outbound, &items, &secrets(), None, moment()) else { panic!() };
    assert!(fit > 400, "{fit}");
    let body = made(&outbound, &items[..fit]).into_body();
    assert!(body.len() <= BODY_BYTES_MAX && body.len() > BODY_BYTES_MAX - 3 * RENDERED_BYTES_MAX);
}

#[test]
fn a_token_that_no_header_can_hold_is_refused() {
    let decision = decision();
    let unmade = make(&get("/"), &[item(&decision)], &secrets(), Some("a\r\nX: b"), moment());
    assert_eq!(unmade.unwrap_err(), Unmade::Token);
}

#[test]
fn a_person_is_shown_no_secret() {
    let decision = Decision { user_agent: "quotes ya29.token and s3cret/+ \"é", ..decision() };
    let token = Some(TokenSource::File("/token".into()).into());
    let headers =
        [header("x-key", "{secret:key}"), header("cookie", "a=b"), header("x-agent", "{user_agent}")];
    let json =
        template(r#"{"k":{secret:key},"h":"{click_id|hmac_sha256:key}","c":{click_id}}"#, Target::Json);
    let url = template(&format!("{SITE}/{{secret:key|base64}}?k={{secret:key}}&c={{click_id}}"), Target::Url);
    let outbound = signed(Outbound { url, headers: headers.into(), token, ..post("application/json", json) });
    for token in [None, Some("ya29.token")] {
        let shown = show(&outbound, &[item(&decision)], &secrets(), token, moment()).unwrap();
        assert_eq!(shown.url, format!("{SITE}/***?k=***&c=C1"));
        assert_eq!(shown.body, r#"{"k":"***","h":"***","c":"C1"}"#);
        let value = |name: &str| shown.headers.iter().find(|(of, _)| of == name).unwrap().1.as_str();
        for name in ["x-key", "cookie", "authorization", "webhook-signature"] {
            assert_eq!(value(name), "***", "{name}");
        }
        assert_eq!(value("webhook-id"), "ab".repeat(16));
        assert!(token.is_none() || value("x-agent") == "quotes *** and ***", "{}", value("x-agent"));
    }
}

#[test]
fn what_would_be_sent_now_is_what_the_catalog_says_now() {
    let mut destination = Destination::plain("a", get("/c?v={payout}&d={delivery_id}").into());
    destination.payout_basis_points = 5_000;
    let destinations = Destinations { global: vec![destination], ..Destinations::default() };
    let decision = decision();
    let shown = show_now(&destinations, &decision, "a", moment()).unwrap().unwrap();
    let id = crate::event::hex(&delivery_id(decision.conversion_id, decision.sequence, "a"));
    assert_eq!((shown.method, shown.url), ("GET".to_owned(), format!("{SITE}/c?v=2&d={id}")));
    assert_eq!(show_now(&destinations, &decision, "b", moment()), None);
}

/// Texts that strangers send: any at all, and what has been tried elsewhere.
fn text() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "",
        ".",
        "..",
        "../..",
        "%2e%2e",
        "a/../b",
        "\r\nX-Evil: 1",
        "\0",
        "\"",
        "\\",
        "\\\"",
        "'",
        "%",
        "%00",
        "%zz",
        "&a=b",
        "a=b",
        ";",
        "#",
        "?",
        "{secret:key}",
        "{click_id}",
        "\",\"evil\":\"1",
        "}",
        "]",
        "</script>",
        "\u{2028}",
        "\u{feff}",
        "é",
        "\u{1f600}",
        "@evil.example",
        "//evil.example",
        ":80",
        "1",
        "null",
        " a ",
        "+",
    ]);
    prop_oneof![
        any::<String>(),
        hostile.clone().prop_map(str::to_owned),
        (hostile, any::<String>()).prop_map(|(a, b)| a.to_owned() + &b)
    ]
}

/// All that strangers say of a decision.
#[derive(Clone, Debug)]
struct Said([String; 8]);

impl Said {
    fn params(&self) -> Vec<u8> {
        let mut params = Params::default();
        params.push("x", &self.0[6]);
        let mut stored = Vec::new();
        params.encode_into(&mut stored);
        stored
    }

    fn decision<'a>(&'a self, params: &'a [u8]) -> Decision<'a> {
        let [click_id, transaction_id, event, external_id, user_agent, referrer, _, word] = &self.0;
        let conversion =
            Conversion { click_id, transaction_id, event, original_status: word, ..decision().conversion };
        let params = ParamsRef::check(params).unwrap();
        Decision {
            conversion,
            external_id,
            user_agent,
            referrer,
            click_params: params,
            postback_params: params,
            ..decision()
        }
    }

    /// As they are sent, by the names of their gaps.
    fn pairs(&self) -> [(&'static str, &str); 8] {
        let names = [
            "click_id",
            "transaction_id",
            "event",
            "external_id",
            "user_agent",
            "referrer",
            "x",
            "original_status",
        ];
        std::array::from_fn(|at| (names[at], &*self.0[at]))
    }
}

fn said() -> impl Strategy<Value = Said> {
    prop::array::uniform8(text()).prop_map(Said)
}

/// A template with a gap for each of `Said::pairs`.
fn gaps(each: impl Fn(&str) -> String, between: &str) -> String {
    let names = Said(Default::default()).pairs().map(|(name, _)| each(name));
    names.join(between)
}

/// What a header may hold, and nothing that ends it.
fn check_headers(request: &Request<Bytes>) -> Result<(), TestCaseError> {
    for (name, value) in request.headers() {
        prop_assert!(
            value.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte)),
            "{}: {:?}",
            name,
            value
        );
    }
    prop_assert_eq!(value(request, "webhook-timestamp"), "1795158000");
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    mac.update(format!("{}.1795158000.", value(request, "webhook-id")).as_bytes());
    mac.update(request.body());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    prop_assert_eq!(value(request, "webhook-signature"), expected);
    Ok(())
}

proptest! {
    #[test]
    fn no_value_leads_a_url_elsewhere_or_adds_to_it(said in said()) {
        let query = gaps(|name| format!("{name}={{{name}}}"), "&");
        let path = format!("/a/{{click_id}}/b-{{event}}/c?fixed=1&{query}&k={{secret:key}}#{{referrer}}");
        let headers = [header("x-a", "a {user_agent} b"), header("x-b", "{referrer}{x}")];
        let outbound = signed(Outbound { headers: headers.into(), ..get(&path) });
        let params = said.params();
        let decision = said.decision(&params);
        let Ok(request) = make(&outbound, &[item(&decision)], &secrets(), None, moment()) else {
            prop_assert!(said.0.iter().map(String::len).sum::<usize>() > 1_000);
            return Ok(());
        };
        let start = format!("{SITE}/a/");
        prop_assert!(request.uri().to_string().starts_with(&start));
        let url = url::Url::parse(&request.uri().to_string()).unwrap();
        prop_assert_eq!((url.scheme(), url.host_str(), url.port()), ("https", Some("ads.example.net"), Some(8443)));
        prop_assert_eq!((url.username(), url.password()), ("", None));
        let segments: Vec<&str> = url.path_segments().unwrap().collect();
        prop_assert_eq!((segments.len(), segments[0], segments[3]), (4, "a", "c"), "{}", url);
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let mut expected = vec![("fixed", "1")];
        expected.extend(said.pairs());
        expected.push(("k", SECRET));
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        prop_assert_eq!(pairs, expected);
        prop_assert_eq!(request.headers().len(), 8);
        check_headers(&request)?;
    }

    #[test]
    fn a_form_is_read_as_what_was_meant(said in said()) {
        let body = gaps(|name| format!("{name}={{{name}}}"), "&");
        let form = template(&body, Target::Form);
        let outbound = signed(post("application/x-www-form-urlencoded", form));
        let params = said.params();
        let request = made(&outbound, &[item(&said.decision(&params))]);
        let pairs: Vec<(String, String)> = form_urlencoded::parse(request.body()).into_owned().collect();
        let expected: Vec<_> = said.pairs().iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        prop_assert_eq!(pairs, expected);
        check_headers(&request)?;
    }

    #[test]
    fn json_is_read_as_what_was_meant_each_and_all(all in prop::collection::vec(said(), 1..5)) {
        let body = gaps(|name| format!(r#""{name}":{{{name}}},"in {name}":"a{{{name}}}b\"""#), ",");
        let body = format!(r#"{{"n":{{payout}},{body},"none":{{postback.none}}}}"#);
        let expected = |said: &Said| {
            let mut object = serde_json::Map::from_iter([("n".to_owned(), json!(3.5)), ("none".to_owned(), Json::Null)]);
            for (name, text) in said.pairs() {
                object.insert(name.to_owned(), if text.is_empty() { Json::Null } else { json!(text) });
                object.insert(format!("in {name}"), json!(format!("a{text}b\"")));
            }
            Json::Object(object)
        };
        let params: Vec<_> = all.iter().map(Said::params).collect();
        let decisions: Vec<_> = all.iter().zip(&params).map(|(said, params)| said.decision(params)).collect();
        let items: Vec<_> = decisions.iter().map(item).collect();
        let one = signed(post("application/json", template(&body, Target::Json)));
        let request = made(&one, &items[..1]);
        prop_assert_eq!(serde_json::from_slice::<Json>(request.body()).unwrap(), expected(&all[0]));
        check_headers(&request)?;
        let request = made(&signed(batch(template(&body, Target::Json))), &items);
        let read: Json = serde_json::from_slice(request.body()).unwrap();
        prop_assert_eq!(&read["data"], &Json::Array(all.iter().map(expected).collect()));
        prop_assert_eq!((&read["key"], read.as_object().unwrap().len()), (&json!(SECRET), 3));
        check_headers(&request)?;
    }

    #[test]
    fn whatever_is_shown_to_a_person_has_no_secret_in_it(said in said(), before: String) {
        let outbound = get("/{secret:key}?k={secret:key|sha256}&c={click_id}&r={referrer}");
        let quoting = format!("{before}{SECRET}");
        let params = said.params();
        let decision = Decision { referrer: &quoting, ..said.decision(&params) };
        if let Ok(shown) = show(&outbound, &[item(&decision)], &secrets(), None, moment()) {
            let plain = percent_encoding::percent_decode_str(&shown.url).decode_utf8_lossy();
            prop_assert!(!plain.contains(SECRET), "{}", shown.url);
            let start = format!("{SITE}/***?k=***&c=");
            prop_assert!(shown.url.starts_with(&start));
        }
    }
}
