//! The presets: each becomes the request that its vendor prints.

use std::time::Duration;

use clicklog::dispatcher::batch::PerItem;
use clicklog::dispatcher::class::Success;
use clicklog::dispatcher::outbound::{Body, TokenSource};
use clicklog::event::template::RenderError;
use http::Method;
use serde_json::{Value, json};

use super::{ALL, Told, body, moments, parse, postback, text};

/// Every preset, with values that make it whole.
const PRESETS: &[(&str, &str)] = &[
    ("meta-capi", "pixel = \"77\", token = \"secret:token\", page = \"https://shop.example/\""),
    ("tiktok-events", "pixel = \"P1\", token = \"secret:token\""),
    (
        "google-ads-clicks",
        "customer = \"123\", action = \"9\", developer_token = \"secret:token\", login_customer = \"456\"",
    ),
    ("openai-ads", "pixel = \"px\", token = \"secret:token\", page = \"https://shop.example/\""),
    ("propellerads", "aid = \"1\", tid = \"2\""),
    ("taboola", "event = \"lead\""),
    ("outbrain", "event = \"lead\""),
    ("exoclick", "host = \"ads.example.net\", goal = \"g1\""),
    ("zeropark", "account = \"a-b\""),
    ("mgid", "event = \"lead\""),
    ("popads", "aid = \"1\""),
    ("adsterra", "name = \"me\""),
    ("generic", "url = \"https://other.example/postback\""),
];

const OAUTH: &str =
    "oauth = { client_id = \"me\", client_secret = { env = \"S\" }, refresh_token = { env = \"R\" } }";

fn lines(preset: &str) -> String {
    let (_, values) = PRESETS.iter().find(|(name, _)| *name == preset).unwrap();
    let oauth = if preset == "google-ads-clicks" { OAUTH } else { "" };
    format!("preset = \"{preset}\"\nvalues = {{ {values} }}\n{oauth}")
}

fn json_of(preset: &str, deliveries: &[Told<'_>]) -> Value {
    let outbound = postback(&lines(preset)).outbound;
    assert_eq!(outbound.method, Method::POST, "{preset}");
    let body = body(&outbound, deliveries);
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{preset}: {error}\n{body}"))
}

fn header(preset: &str, name: &str) -> String {
    let outbound = postback(&lines(preset)).outbound.clone();
    let found = outbound.headers.iter().find(|(header, _)| header == name);
    text(&found.unwrap_or_else(|| panic!("{preset} has no {name}")).1, &ALL)
}

fn seconds() -> [i64; 2] {
    moments().map(|moment| moment.micros() / 1_000_000)
}

fn judged(preset: &str, status: u16, body: &str) -> Success {
    postback(&lines(preset)).outbound.success.judge(status, body.as_bytes(), true)
}

#[test]
fn every_preset_is_whole_and_every_one_that_is_shipped_is_tried_here() {
    let shipped = include_str!("../../config/destinations.toml");
    let ids: Vec<&str> =
        shipped.lines().filter_map(|line| line.strip_prefix("id = \"")?.strip_suffix('"')).collect();
    assert_eq!(ids, PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let shown = parse("[[postback]]\nid = \"p\"\npreset = \"metacapi\"").unwrap_err().to_string();
    assert!(
        shown.contains("3:10: no preset \"metacapi\"") && shown.contains("did you mean \"meta-capi\"?"),
        "{shown}"
    );
    for (name, _) in PRESETS {
        let destination = postback(&lines(name));
        let url = text(&destination.outbound.url, &ALL);
        assert!(!url.contains(['<', '>', '{', '}']) && !url.contains("%3C"), "{url}");
        assert!(!url.contains("hush"), "a secret has no place in a URL: {url}");
        assert!(body(&destination.outbound, &[ALL]).find("<").is_none(), "{name}");
    }
}

#[test]
fn meta_is_told_in_seconds_and_the_click_in_milliseconds() {
    let [_, conversion] = seconds();
    let event = |agent: &str| {
        json!({
            "event_name": "Purchase",
            "event_time": conversion,
            "event_id": "d0",
            "action_source": "website",
            "event_source_url": "https://shop.example/",
            "user_data": {
                "fbc": "fb.1.1795158000123.click-é",
                "client_ip_address": "203.0.113.9",
                "client_user_agent": agent,
            },
            "custom_data": { "value": 3.5, "currency": "EUR" },
        })
    };
    let expected =
        json!({ "access_token": "hush\"hush", "data": [event("Mozilla \"5\""), event("Mozilla \"5\"")] });
    assert_eq!(json_of("meta-capi", &[ALL, ALL]), expected);
    assert!(expected["data"][0]["event_time"].as_i64().unwrap() < 10_000_000_000, "not milliseconds");
    let meta = postback(&lines("meta-capi"));
    assert_eq!(text(&meta.outbound.url, &ALL), "https://graph.facebook.com/v26.0/77/events");
    assert!(meta.condition.first_only && meta.max_age < Some(Duration::from_hours(7 * 24)));
    assert_eq!(meta.outbound.batch_max(), 1_000);
    assert_eq!(judged("meta-capi", 200, r#"{"events_received":2}"#), Success::Yes);
    assert_eq!(judged("meta-capi", 200, r#"{"error":{"code":190}}"#), Success::No);
}

#[test]
fn what_meta_cannot_match_is_not_made_up() {
    let Body::Batch(batch) = postback(&lines("meta-capi")).outbound.body.clone() else { panic!() };
    let mut out = Vec::new();
    let made = batch.item.render(&Told { without: &["param.fbclid"] }, &mut out);
    assert_eq!(made, Err(RenderError::Missing("param.fbclid".to_owned())));
    // Amount and currency may be missing: a lead often has none.
    let free = json_of("meta-capi", &[Told { without: &["payout", "currency"] }]);
    assert_eq!(free["data"][0]["custom_data"], json!({ "value": 0, "currency": "USD" }));
    // A campaign that keeps no addresses says so.
    let without_ip = lines("meta-capi").replace("pixel =", "ip = \"null\", pixel =");
    let outbound = postback(&without_ip).outbound;
    let made: Value = serde_json::from_str(&body(&outbound, &[Told { without: &["ip"] }])).unwrap();
    assert_eq!(made["data"][0]["user_data"]["client_ip_address"], Value::Null);
}

#[test]
fn tiktok_is_told_in_seconds_and_a_code_in_its_answer_decides() {
    let [_, conversion] = seconds();
    let expected = json!({
        "event_source": "web",
        "event_source_id": "P1",
        "data": [{
            "event": "CompletePayment",
            "event_time": conversion,
            "event_id": "d0",
            "user": { "ttclid": "click-é", "ip": "203.0.113.9", "user_agent": "Mozilla \"5\"" },
            "properties": { "value": 3.5, "currency": "EUR" },
        }],
    });
    assert_eq!(json_of("tiktok-events", &[ALL]), expected);
    assert_eq!(header("tiktok-events", "access-token"), "hush\"hush");
    assert_eq!(judged("tiktok-events", 200, r#"{"code":0,"message":"OK"}"#), Success::Yes);
    assert_eq!(judged("tiktok-events", 200, r#"{"code":40105}"#), Success::No);
}

#[test]
fn google_is_told_whichever_id_there_is_and_names_what_failed() {
    let one = |gclid: Value| {
        json!({
            "gclid": gclid,
            "gbraid": null,
            "wbraid": null,
            "conversionAction": "customers/123/conversionActions/9",
            "conversionDateTime": "2026-11-20 08:30:05+00:00",
            "conversionValue": 3.5,
            "currencyCode": "EUR",
            "orderId": "c0",
        })
    };
    let expected =
        json!({ "conversions": [one(json!("click-é")), one(Value::Null)], "partialFailure": true });
    assert_eq!(json_of("google-ads-clicks", &[ALL, Told { without: &["param.gclid"] }]), expected);
    let google = postback(&lines("google-ads-clicks"));
    let url = text(&google.outbound.url, &ALL);
    assert_eq!(url, "https://googleads.googleapis.com/v25/customers/123:uploadClickConversions");
    assert_eq!(header("google-ads-clicks", "developer-token"), "hush\"hush");
    assert_eq!(header("google-ads-clicks", "login-customer-id"), "456");
    let Some(TokenSource::Call { url, form }) = google.outbound.token.as_deref() else { panic!() };
    assert_eq!(url, "https://oauth2.googleapis.com/token");
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("grant_type", "refresh_token"),
        ("client_id", "me"),
        ("client_secret", "hush-S"),
        ("refresh_token", "hush-R"),
    ];
    assert_eq!(form, expected);
    let Body::Batch(batch) = &google.outbound.body else { panic!() };
    assert_eq!((batch.max, batch.wait), (2_000, Duration::from_secs(5)));
    let rule = batch.per_item.as_ref().unwrap();
    assert!(matches!(rule, PerItem::Failures { .. }));
    let failed = json!({ "partialFailureError": { "details": [{ "errors": [
        { "location": { "fieldPathElements": [{ "fieldName": "conversions", "index": 1 }] } }] }] } });
    assert_eq!(rule.read(failed.to_string().as_bytes(), 2), Some(vec![true, false]));
    assert_eq!(rule.read(br#"{"results":[{},{}]}"#, 2), Some(vec![true, true]));
}

#[test]
fn openai_is_told_in_milliseconds_and_hundredths() {
    let expected = json!({
        "validate_only": false,
        "events": [{
            "id": "d0",
            "type": "order_created",
            "timestamp_ms": 1_795_163_405_500_i64,
            "oppref": "click-é",
            "action_source": "web",
            "source_url": "https://shop.example/",
            "user": { "ip_address": "203.0.113.9", "user_agent": "Mozilla \"5\"" },
            "data": { "type": "contents", "amount": 350, "currency": "EUR" },
        }],
    });
    assert_eq!(json_of("openai-ads", &[ALL]), expected);
    assert_eq!(header("openai-ads", "authorization"), "Bearer hush\"hush");
    assert_eq!(
        text(&postback(&lines("openai-ads")).outbound.url, &ALL),
        "https://bzr.openai.com/v1/events?pid=px"
    );
}

#[test]
fn classic_sources_get_their_own_click_id_back() {
    let table = [
        (
            "propellerads",
            "https://ad.propellerads.com/conversion.php?aid=1&pid=&tid=2&visitor_id=ext%201&payout=3.5",
        ),
        (
            "taboola",
            "https://trc.taboola.com/actions-handler/log/3/s2s-action?click-id=ext%201&name=lead&revenue=3.5&currency=EUR&orderid=c0",
        ),
        (
            "outbrain",
            "https://tr.outbrain.com/unifiedPixel?ob_click_id=ext%201&name=lead&orderValue=3.5&currency=EUR&orderId=c0",
        ),
        ("exoclick", "https://ads.example.net/tag.php?goal=g1&tag=ext%201"),
        ("zeropark", "http://zp-postback.com/zppostback/a-b?cid=ext%201&payout=3.5"),
        ("mgid", "https://a.mgid.com/postback?c=ext%201&e=lead&r=3.5"),
        ("popads", "https://serve.popads.net/cpixel.php?s2s=1&aid=1&id=ext%201&value=3.5"),
        ("adsterra", "https://www.pbterra.com/name/me/at?subid_short=ext%201&atpay=3.5"),
        (
            "generic",
            "https://other.example/postback?click_id=ext%201&payout=3.5&currency=EUR&transaction_id=t0&status=approved&event=lead",
        ),
    ];
    for (preset, expected) in table {
        let destination = postback(&lines(preset));
        assert_eq!(destination.outbound.method, Method::GET, "{preset}");
        assert_eq!(text(&destination.outbound.url, &ALL), expected);
        // Without it there is nobody to tell of.
        let lost = destination.outbound.url.render(&Told { without: &["external_id"] }, &mut Vec::new());
        assert_eq!(lost.is_err(), preset != "generic", "{preset}");
    }
    let own_param = "preset = \"taboola\"\nvalues = { event = \"lead\", click = \"{tblci}\" }";
    assert!(text(&postback(own_param).outbound.url, &ALL).contains("click-id=click-%C3%A9&"));
}

#[test]
fn what_a_postback_says_itself_comes_before_its_preset() {
    let own = format!(
        "{}\nurl = \"https://relay.example/meta\"\non = [\"pending\"]\nfirst_only = false\nmax_age = \"1d\"\n\
         json = '{{\"x\":{{payout}}}}'\nheaders = {{ X-A = \"b\" }}",
        lines("tiktok-events")
    );
    let destination = postback(&own);
    assert_eq!(text(&destination.outbound.url, &ALL), "https://relay.example/meta");
    assert!(!destination.condition.first_only);
    assert_eq!(destination.max_age, Some(Duration::from_hours(24)));
    assert_eq!(
        body(&destination.outbound, &[ALL]),
        r#"{"event_source":"web","event_source_id":"P1","data":[{"x":3.5}]}"#
    );
    let names: Vec<&str> = destination.outbound.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["access-token", "x-a"], "headers are laid over one by one");
    // A body of another kind takes the place of the preset's, and a header of the same name in any case.
    let other =
        postback("preset = \"generic\"\nvalues = { url = \"https://o.example/\" }\nform = \"a={payout}\"");
    assert_eq!(other.outbound.method, Method::POST);
    let shadowed = format!("{}\nheaders = {{ ACCESS-TOKEN = \"x\" }}", lines("tiktok-events"));
    let shadowed = postback(&shadowed);
    assert_eq!(shadowed.outbound.headers.len(), 1);
}
