//! Templates, from outside: what the spellings of a dozen trackers become, and what no value can do.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::BTreeMap;

use clicklog::clock::Timestamp;
use clicklog::event::money::Micros;
use clicklog::event::template::{Missing, Name, Names, RenderError, Target, Template, Value, Values};
use proptest::prelude::*;
use url::Url;

/// Values by the name they are shown as.
#[derive(Default)]
struct Known(BTreeMap<String, String>);

impl Values for Known {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        match name.to_string().as_str() {
            "payout" => Some(Value::Decimal(Micros::new(3_500_000))),
            "click_time" => Some(Value::Time(Timestamp::from_seconds(1_795_158_000))),
            "random" => Some(Value::Number(42)),
            name => self.0.get(name).map(|text| Value::Text(text)),
        }
    }
}

fn values(pairs: &[(&str, &str)]) -> Known {
    Known(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn made(text: &str, target: Target, missing: Missing, values: &Known) -> Result<String, RenderError> {
    let names = Names::with(["zone"], ["key"]);
    let template =
        Template::parse(text, target, &names, missing).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut out = b"before ".to_vec();
    let rendered = template.render(values, &mut out);
    assert!(out.starts_with(b"before "));
    rendered.map(|()| String::from_utf8(out.split_off(7)).unwrap())
}

fn url(text: &str, pairs: &[(&str, &str)]) -> String {
    made(text, Target::Url, Missing::Empty, &values(pairs)).unwrap()
}

#[test]
fn each_tracker_s_spelling_is_filled() {
    let known = [("click_id", "C1"), ("external_id", "E 1"), ("param.sub3", "x/y"), ("status", "approved")];
    let cases = [
        ("https://o.example/a?s2={click_id}&p={payout}", "https://o.example/a?s2=C1&p=3.5"),
        ("https://o.example/a?cid={{clickid}}", "https://o.example/a?cid=C1"),
        ("https://o.example/a?x={externalid}&v={var3}", "https://o.example/a?x=E%201&v=x%2Fy"),
        (
            "https://o.example/a?s={subid}&k={sub_id_3}&r={_sub_id_3}",
            "https://o.example/a?s=C1&k=x%2Fy&r=x/y",
        ),
        ("https://o.example/a?c={!subid!}&t={!tscode!}", "https://o.example/a?c=C1&t=E%201"),
        ("https://o.example/a?c=[[subid]]&s=[[c3]]", "https://o.example/a?c=C1&s=x%2Fy"),
        ("https://o.example/a?r=#reqid#&s=#s3#", "https://o.example/a?r=C1&s=x%2Fy"),
        ("https://o.example/a?h={t3_md5}", "https://o.example/a?h=c6f82f5e0c2ae82e28d66b0b0d8ddb6a"),
        ("https://o.example/a?s={status:approved=1 rejected=2}", "https://o.example/a?s=1"),
        (
            "https://o.example/a?t={click_time}&d={click_time|date:%Y-%m-%d}",
            "https://o.example/a?t=1795158000&d=2026-11-20",
        ),
        ("https://o.example/{click_id}/x#{click_id}", "https://o.example/C1/x#C1"),
        ("https://o.example?c={click_id}#top", "https://o.example?c=C1#top"),
        ("https://o.example:8443/?p={payout|mul:0.8|round:2}", "https://o.example:8443/?p=2.80"),
        ("https://o.example/?g={gclid|default:none}", "https://o.example/?g=none"),
    ];
    for (text, expected) in cases {
        if text.contains("_md5") {
            assert_eq!(url(text, &known).len(), expected.len(), "{text}");
        } else {
            assert_eq!(url(text, &known), expected, "{text}");
        }
    }
}

#[test]
fn what_its_author_wrote_is_made_fit_for_where_it_stands_or_refused() {
    let pairs = [("click_id", "C1")];
    let cases = [
        (
            "https://o.example/früh ling?q=a b&ü={click_id}#é",
            "https://o.example/fr%C3%BCh%20ling?q=a%20b&%C3%BC=C1#%C3%A9",
        ),
        ("https://o.example/%20a?b=%41", "https://o.example/%20a?b=%41"),
    ];
    for (text, expected) in cases {
        assert_eq!(url(text, &pairs), expected);
    }
    let form = made("name=Jörg K&c={click_id}", Target::Form, Missing::Empty, &values(&pairs)).unwrap();
    assert_eq!(form, "name=J%C3%B6rg%20K&c=C1");
    for (text, target) in [
        ("https://o.example/\u{3}?c={click_id}", Target::Url),
        ("https://o.example/a\tb", Target::Url),
        ("https://öst.example/?c={click_id}", Target::Url),
        ("https://o example/", Target::Url),
        ("https://\\#o.example/", Target::Url),
        ("https:///o.example/", Target::Url),
        ("https://user:secret@o.example/", Target::Url),
        ("https://o.example\u{7f}/", Target::Url),
        ("a=\u{1}", Target::Form),
        ("Jörg", Target::Header),
        ("a\u{1f}b", Target::Header),
    ] {
        let refused = Template::parse(text, target, &Names::default(), Missing::Empty);
        assert!(refused.is_err(), "{text:?} is taken as {refused:?}");
    }
}

#[test]
fn a_missing_value_is_left_out_as_it_was_asked_for() {
    let text = "https://o.example/a?x={gclid}&y=1&z={fbclid}{gclid}#f";
    let drop = |pairs: &[(&str, &str)]| made(text, Target::Url, Missing::Drop, &values(pairs)).unwrap();
    assert_eq!(url(text, &[]), "https://o.example/a?x=&y=1&z=#f");
    assert_eq!(drop(&[]), "https://o.example/a?y=1#f");
    assert_eq!(drop(&[("param.gclid", "G")]), "https://o.example/a?x=G&y=1#f");
    assert_eq!(drop(&[("param.gclid", "G"), ("param.fbclid", "F")]), "https://o.example/a?x=G&y=1&z=FG#f");
    let only = "https://o.example/a?x={gclid}";
    assert_eq!(made(only, Target::Url, Missing::Drop, &values(&[])).unwrap(), "https://o.example/a");
    let missing = made(only, Target::Url, Missing::Fail, &values(&[]));
    assert_eq!(missing, Err(RenderError::Missing("param.gclid".to_owned())));
    let form = made("a={gclid}&b={click_id}", Target::Form, Missing::Drop, &values(&[("click_id", "C")]));
    assert_eq!(form.unwrap(), "b=C");
}

#[test]
fn json_keeps_its_shape() {
    let text =
        r#"{"id":"{click_id}","value":{payout},"name":{zone},"none":{gclid},"n":{random},"s":"\"{zone}"}"#;
    let json =
        made(text, Target::Json, Missing::Empty, &values(&[("click_id", "C\"1"), ("param.zone", "a\n\\")]));
    let read: serde_json::Value = serde_json::from_str(&json.unwrap()).unwrap();
    let expected = serde_json::json!({
        "id": "C\"1", "value": 3.5, "name": "a\n\\", "none": null, "n": 42, "s": "\"a\n\\"
    });
    assert_eq!(read, expected);
}

#[test]
fn what_cannot_be_filled_is_refused_with_its_place() {
    let names = Names::with(["zone"], ["key"]);
    let cases = [
        ("https://o.example/?a={clik_id}", 21..30, Some("click_id")),
        ("https://{zone}.example/", 8..14, None),
        ("{click_id}", 0..10, None),
        ("https://o.example:{zone}/", 18..24, None),
        ("https://o.example/?a={click_id", 21..30, None),
        ("https://o.example/?a={click_id|shout}", 21..37, None),
        ("https://o.example/?a={click_id|date:%Y}", 21..39, None),
        ("https://o.example/?a={secret:kay}", 21..33, Some("secret:key")),
        ("https://o.example/.{zone}/", 0..26, None),
        ("ftp://o.example/", 0..16, None),
        ("/relative", 0..9, None),
        ("https://", 0..8, None),
        ("https://o.example/\r\nx", 18..19, None),
    ];
    for (text, at, nearest) in cases {
        let error = Template::parse(text, Target::Url, &names, Missing::Empty).unwrap_err();
        assert_eq!((error.at.clone(), error.nearest.as_deref()), (at, nearest), "{text}: {error}");
    }
}

#[test]
fn what_is_too_long_is_refused_before_and_after() {
    let names = Names::default();
    let long = format!("https://o.example/{}", "x".repeat(9000));
    assert!(Template::parse(&long, Target::Url, &names, Missing::Empty).is_err());
    let many = format!("https://o.example/?{}", "a={click_id}&".repeat(200));
    assert!(Template::parse(&many, Target::Url, &names, Missing::Empty).is_err());
    let value = "x".repeat(20_000);
    let result = made(
        "https://o.example/?a={click_id}",
        Target::Url,
        Missing::Empty,
        &values(&[("click_id", &value)]),
    );
    assert_eq!(result, Err(RenderError::TooLong));
}

/// Hostile values: what a URL is made of, control characters, and anything.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("/../".to_owned()),
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("%2e%2E".to_owned()),
        Just("?a=b".to_owned()),
        Just("&x=y".to_owned()),
        Just(";x=y".to_owned()),
        Just("#f".to_owned()),
        Just("\r\nX: y".to_owned()),
        Just("%0d%0a".to_owned()),
        Just("\0".to_owned()),
        Just("@evil.example".to_owned()),
        Just("\\".to_owned()),
        Just("//evil".to_owned()),
        Just("{click_id}".to_owned()),
        Just("%".to_owned()),
        Just("\"".to_owned()),
        Just("+".to_owned()),
        Just("=".to_owned()),
        ".*",
        "[a-z0-9]{0,8}",
    ];
    prop::collection::vec(pieces, 0..5).prop_map(|pieces| pieces.concat())
}

const FILTERS: &[&str] = &[
    "",
    "|raw",
    "|lower",
    "|upper",
    "|trim",
    "|urlencode",
    "|json",
    "|base64",
    "|raw|lower",
    "|substr:0,3",
    "|digits",
    "|default:../x",
    "|map:a=..",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_value_changes_a_url_s_shape(value in hostile(), other in hostile(), filter in prop::sample::select(FILTERS)) {
        let gap = format!("{{param.a{filter}}}");
        let text = format!("https://o.example:8443/p/{gap}{{param.b|raw}}/q/{gap}/?x={gap}&y={gap}{{param.b}}&z=1#{gap}");
        let known = values(&[("param.a", &value), ("param.b", &other)]);
        let made = made(&text, Target::Url, Missing::Empty, &known).unwrap();
        prop_assert!(made.bytes().all(|byte| byte.is_ascii_graphic()), "{made}");
        let url = Url::parse(&made).unwrap();
        prop_assert_eq!(url.scheme(), "https");
        prop_assert_eq!(url.host_str(), Some("o.example"));
        prop_assert_eq!(url.port(), Some(8443));
        prop_assert_eq!((url.username(), url.password()), ("", None));
        let segments: Vec<_> = url.path_segments().unwrap().collect();
        prop_assert_eq!(segments.len(), 5, "{}", made);
        prop_assert_eq!((segments[0], segments[2], segments[4]), ("p", "q", ""));
        let names: Vec<_> = form_urlencoded::parse(url.query().unwrap().as_bytes()).map(|(name, _)| name.into_owned()).collect();
        prop_assert_eq!(names, ["x", "y", "z"]);
    }

    #[test]
    fn a_plain_value_comes_out_as_it_went_in(value in "[^\0\r\n]{1,40}") {
        let made = url("https://o.example/?x={param.a}", &[("param.a", &value)]);
        let url = Url::parse(&made).unwrap();
        let read: Vec<_> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
        prop_assert_eq!(read, [value]);
    }

    #[test]
    fn no_value_adds_a_header_line_or_a_member(value in hostile(), filter in prop::sample::select(FILTERS)) {
        let known = values(&[("param.a", &value)]);
        let header = made(&format!("a {{param.a{filter}}} b"), Target::Header, Missing::Empty, &known).unwrap();
        prop_assert!(header.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{header:?}");
        let json = made(&format!("{{\"k\":\"{{param.a{filter}}}\",\"v\":{{param.a{filter}}},\"z\":1}}"), Target::Json, Missing::Empty, &known);
        let read: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json.unwrap()).unwrap();
        let keys: Vec<_> = read.keys().map(String::as_str).collect();
        prop_assert_eq!(keys, ["k", "v", "z"]);
        let form = made(&format!("x={{param.a{filter}}}&y=1"), Target::Form, Missing::Empty, &known).unwrap();
        prop_assert_eq!(form_urlencoded::parse(form.as_bytes()).count(), 2);
        let text = made(&format!("{{param.a{filter}}}"), Target::Text, Missing::Empty, &known).unwrap();
        prop_assert!(!text.contains(['\r', '\n', '\0']));
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,80}", target in prop::sample::select(&[Target::Url, Target::Header, Target::Json, Target::Form, Target::Text][..])) {
        let text = if target == Target::Url { format!("https://o.example/{text}") } else { text };
        if let Ok(template) = Template::parse(&text, target, &Names::default(), Missing::Drop) {
            template.render(&Known::default(), &mut Vec::new()).unwrap();
        }
    }
}

#[test]
fn what_is_shown_has_no_secret_in_it_nor_what_is_made_with_one() {
    let names = Names::with([], ["key"]);
    let known = values(&[("secret:key", "hush"), ("click_id", "C1"), ("param.sub1", "x")]);
    let cases = [
        (
            Target::Url,
            "https://o.example/{secret:key}?k={secret:key|sha256}&c={click_id}&h={sub1|hmac_sha256:key}&g={gclid}",
            "https://o.example/***?k=***&c=C1&h=***&g=",
        ),
        (
            Target::Json,
            r#"{"a":{secret:key},"b":"{secret:key}","c":{click_id}}"#,
            r#"{"a":"***","b":"***","c":"C1"}"#,
        ),
        (Target::Header, "Bearer {secret:key}", "Bearer ***"),
    ];
    for (target, text, expected) in cases {
        let template = Template::parse(text, target, &names, Missing::Empty).unwrap();
        let mut out = Vec::new();
        template.show(&known, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        // A secret that is missing is seen to be.
        let strict = Template::parse(text, target, &names, Missing::Fail).unwrap();
        assert!(strict.show(&values(&[("click_id", "C1")]), &mut Vec::new()).is_err());
    }
}
