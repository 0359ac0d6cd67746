//! Bodies for the way out: hosts and answers of strangers, checkpoints from a disk, and requests of what strangers sent.

use std::net::IpAddr;
use std::str::from_utf8;
use std::sync::OnceLock;
use std::time::Duration;

use clicklog::clock::Timestamp;
use clicklog::dispatcher::guard;
use clicklog::dispatcher::host::{self, Host};
use clicklog::dispatcher::outbound::{Batch, Body, Outbound, Secrets};
use clicklog::dispatcher::progress::{Begun, Progress};
use clicklog::dispatcher::request::{Item, Moment, Unmade, make, show};
use clicklog::dispatcher::retry_after::{RETRY_AFTER_MAX, RETRY_AFTER_MIN, wait};
use clicklog::event::conversion::Conversion;
use clicklog::event::decision::Decision;
use clicklog::event::template::{Missing, Names, Target, Template};
use clicklog::store::Position;
use serde_json::Value;

use super::Bytes;

const SECRET: &str = "op\u{e9}n \"s&same/";

/// A host is refused, an address that is checked as one, or a name that nobody else takes for an address.
pub(crate) fn host(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    match host::read(text) {
        Ok(Host::Name(name)) => {
            assert!(text.parse::<IpAddr>().is_err() && name.parse::<IpAddr>().is_err(), "{text:?}");
            assert_eq!(host::read(&name), Ok(Host::Name(name.clone())), "{text:?}");
            assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
        }
        Ok(Host::Address(address)) => {
            let _checked = guard::check(address, &[]);
            let again = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            assert_eq!(host::read(&again), Ok(Host::Address(address)), "{text:?}");
            if let Ok(plain) = text.parse::<IpAddr>() {
                assert_eq!(plain, address);
            }
        }
        Err(_) => {}
    }
}

/// Whatever a server says, we neither wait for ever nor come back at once.
pub(crate) fn retry_after(data: &[u8]) {
    let mut bytes = Bytes(data);
    let now = Timestamp::from_seconds(bytes.u32());
    if let Some(asked) = wait(bytes.0, now) {
        assert!((RETRY_AFTER_MIN..=RETRY_AFTER_MAX).contains(&asked), "{asked:?}");
    }
}

/// Bytes are no progress, or one that writes itself as bytes of the same meaning, and that can be gone on with.
pub(crate) fn progress(data: &[u8]) {
    let whole = |front: &[u8]| {
        let mut bytes = b"CLDP\x01\0\0\0".to_vec();
        bytes.extend_from_slice(front);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    };
    for bytes in [data.to_vec(), whole(data)] {
        let Ok((mut progress, rest)) = Progress::decode(&bytes) else { continue };
        let mut written = Vec::new();
        progress.encode_into(&mut written);
        assert_eq!(written.len() + rest.len(), bytes.len());
        assert_eq!(Progress::decode(&written), Ok((progress.clone(), &[][..])));
        assert!(progress.low() <= progress.head());
        let open: Vec<Position> = progress.open().collect();
        assert!(open.iter().all(|at| progress.end(*at)), "what is open can be ended");
        assert_eq!(progress.open_count(), 0);
        let at = progress.head();
        let begun = progress.begin(at);
        assert!(matches!(begun, Begun::Open | Begun::Ended), "{begun:?} at the head {at}");
    }
}

/// How requests are made: a URL, a form, JSON, a batch.
fn outbounds() -> &'static [Outbound; 4] {
    static OUTBOUNDS: OnceLock<[Outbound; 4]> = OnceLock::new();
    OUTBOUNDS.get_or_init(|| {
        let template = |text: &str, target| {
            Template::parse(text, target, &Names::with([], ["key"]), Missing::Empty).expect("a template")
        };
        let url =
            "https://ads.example.net:8443/a/{click_id}/b?c={click_id}&e={external_id}&k={secret:key}#{event}";
        let get = Outbound::plain(template(url, Target::Url));
        let one = |target, text| {
            let body = Body::One { content_type: "text/plain".into(), template: template(text, target) };
            let header = "a {user_agent} {secret:key}";
            let headers = [("x-a".parse().expect("a name"), template(header, Target::Header))];
            Outbound { body, headers: headers.into(), ..get.clone() }
        };
        let item = r#"{"c":{click_id},"e":"a{external_id}b","n":{payout}}"#;
        let batch = Batch {
            before: template(r#"{"k":{secret:key},"data":["#, Target::Json),
            item: template(item, Target::Json),
            after: template("]}", Target::Json),
            max: 9,
            wait: Duration::ZERO,
            per_item: None,
        };
        let batch = Outbound { body: Body::Batch(Box::new(batch)), ..get.clone() };
        [get.clone(), one(Target::Form, "c={click_id}&e={external_id}"), one(Target::Json, item), batch]
    })
}

/// Whatever texts a decision has, a request goes to where it should, has as many parts as it should, and says what was
/// meant; and what a person is shown of it has no secret in it.
pub(crate) fn delivery(data: &[u8]) {
    let all = String::from_utf8_lossy(data);
    let mut texts = all.split('\n').chain(std::iter::repeat(""));
    let mut text = || texts.next().unwrap_or_default();
    let conversion = Conversion { click_id: text(), event: text(), ..Conversion::default() };
    let (external_id, user_agent) = (text(), text());
    let decision = Decision { conversion, external_id, user_agent, ..Decision::default() };
    let items = [Item { decision: &decision, delivery_id: [7; 16], payout: None }; 3];
    let secrets = Secrets::new([("key".into(), SECRET.into())]);
    let moment = Moment { now: Timestamp::from_seconds(1_795_158_000), random: 7 };
    for (number, (outbound, count)) in outbounds().iter().zip([1, 1, 1, 3]).enumerate() {
        match make(outbound, &items[..count], &secrets, None, moment) {
            Ok(request) => {
                check_url(&request.uri().to_string());
                for value in request.headers().values() {
                    assert!(value.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte)), "{value:?}");
                }
                check_body(outbound, request.body(), &decision, count);
            }
            Err(Unmade::Template(_) | Unmade::Items(_)) => assert!(data.len() > 2_000, "{data:?}"),
            Err(other) => panic!("{other}"),
        }
        // To make an automaton takes a hundred times as long as all else.
        let is_shown = number == data.len() % outbounds().len();
        if is_shown && let Ok(shown) = show(outbound, &items[..count], &secrets, None, moment) {
            let text = format!("{} {} {:?}", decoded(&shown.url), decoded(&shown.body), shown.headers);
            assert!(!text.contains(SECRET), "{text}");
        }
    }
}

/// It leads where its template does, and has no more parts.
fn check_url(url: &str) {
    assert!(url.starts_with("https://ads.example.net:8443/a/"), "{url}");
    let (path, query) = url.split_once('?').expect("it has a query");
    let segments: Vec<&str> = path.split('/').collect();
    assert_eq!((segments.len(), segments[5]), (6, "b"), "{url}");
    assert!(!matches!(segments[4], "." | ".."), "{url}");
    assert_eq!((query.matches('&').count(), query.matches('#').count()), (2, 0), "{url}");
    assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url}");
}

fn check_body(outbound: &Outbound, body: &[u8], decision: &Decision<'_>, count: usize) {
    let (click_id, external_id) = (decision.conversion.click_id, decision.external_id);
    let check = |item: &Value| {
        let click_id = if click_id.is_empty() { Value::Null } else { click_id.into() };
        assert_eq!(item.as_object().expect("an object").len(), 3);
        assert_eq!((&item["c"], &item["n"]), (&click_id, &Value::Null));
        assert_eq!(item["e"], format!("a{external_id}b"));
    };
    let json = || serde_json::from_slice::<Value>(body).expect("it is JSON");
    match &outbound.body {
        Body::None => assert!(body.is_empty()),
        Body::One { .. } if body.starts_with(b"{") => check(&json()),
        Body::One { .. } => {
            let text = from_utf8(body).expect("a form is text");
            let pairs: Vec<_> = text.split('&').filter_map(|pair| pair.split_once('=')).collect();
            let expected = [("c", click_id), ("e", external_id)];
            assert!(
                pairs
                    .iter()
                    .map(|(name, value)| (*name, decoded(value)))
                    .eq(expected.map(|(n, v)| (n, v.to_owned())))
            );
        }
        Body::Batch(_) => {
            let document = json();
            let data = document["data"].as_array().expect("a list");
            assert_eq!((data.len(), document.as_object().expect("an object").len()), (count, 2));
            data.iter().for_each(check);
        }
    }
}

/// A text without its percent escapes.
fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digits = [ahead.next().unwrap_or(b'x'), ahead.next().unwrap_or(b'x')];
        match from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) if byte == b'%' => {
                plain.push(escaped);
                bytes = ahead;
            }
            _ => plain.push(byte),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
