//! Who may report conversions: the order of the checks, secrets, signatures, addresses, rates; and what is kept of those
//! who may not.

use std::path::Path;
use std::time::Duration;

use clicklog::apply::claim::Refusal;
use clicklog::ingest::{DoorKind, Network, Outcome, Rate, Secret, Signature, SignaturePlace};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::bare::{Bare, door, network, open, parts, result};
use crate::client::Connection;

const NOW: u32 = 1_795_158_000;

/// Asks for everything.
fn strict() -> Network {
    let mut strict = network("strict");
    strict.access.requires_https = true;
    strict.access.allow = vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    strict.access.rate = Some(Rate { per_second: 1, burst: 1 });
    strict.access.signature = Some(Signature {
        keys: vec![Secret::new("signing key")],
        place: SignaturePlace::Header("x-signature".into()),
        time: "x-time".into(),
        tolerance: Duration::from_secs(60),
    });
    strict
}

fn sign(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Each request fails one check and all that come after it, and is told of the first.
#[test]
fn each_failing_check_hides_those_behind_it() {
    let server = Bare::start(parts(vec![strict()]));
    let query = |secret: &str, rest: &str| format!("secret={secret}{rest}");
    let ask = |network: &str, is_https: bool, query: &str, key: &str, age: u32, from: &str, body: &str| {
        let mut pairs: Vec<&str> = query.split('&').collect();
        pairs.sort_unstable();
        let canonical = pairs.join("&");
        let time = NOW - age;
        let signature = sign(key, &format!("{time}\n{canonical}\n{body}"));
        let request = format!(
            "POST /postback/{network}?{query} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             X-Forwarded-For: {from}\r\nX-Signature: sha256={signature}\r\nX-Time: {time}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let address = server.addresses()[usize::from(is_https)];
        let answer = Connection::open(address).send(request).receive().unwrap();
        (answer.status, result(&answer).to_owned())
    };
    let (right, wrong) = (query("open%20sesame", ""), query("wrong", ""));
    let whole = query("open%20sesame", "&click_id=abc");
    let (key, home, six, far) = ("signing key", "203.0.113.9", "2001:db8::9", "198.51.100.1");
    let expect = |found: (u16, String), status: u16, reason: &str| {
        let expected = if reason.is_empty() { "unmatched".to_owned() } else { format!("rejected:{reason}") };
        assert_eq!(found, (status, expected));
    };
    expect(ask("none", false, &wrong, "other", 99, far, "["), 400, "bad_body");
    expect(ask("strict", false, &wrong, "other", 99, far, "["), 400, "bad_body");
    expect(ask("none", false, &wrong, "other", 99, far, "{}"), 404, "unknown_network");
    expect(ask("strict", false, &wrong, "other", 99, far, "{}"), 403, "require_https");
    expect(ask("strict", true, &wrong, "other", 99, far, "{}"), 403, "secret");
    expect(ask("strict", true, &right, "other", 99, far, "{}"), 403, "signature");
    expect(ask("strict", true, &right, key, 99, far, "{}"), 403, "stale");
    expect(ask("strict", true, &right, key, 9, far, "{}"), 403, "address");
    expect(ask("strict", true, &right, key, 9, home, "{}"), 400, "missing_click_id");
    // That one has used the rate up.
    expect(ask("strict", true, &right, key, 9, six, "{}"), 429, "rate_limit");
    server.clock.advance(Duration::from_secs(1));
    expect(
        ask("strict", true, &query("open%20sesame", "&click_id=abc&payout=x"), key, 9, six, ""),
        400,
        "bad_payout",
    );
    server.clock.advance(Duration::from_secs(1));
    expect(ask("strict", true, &whole, key, 9, six, ""), 200, "");
    let totals = server.totals();
    for (refusal, count) in [
        (Refusal::BadBody, 2),
        (Refusal::UnknownNetwork, 1),
        (Refusal::RequireHttps, 1),
        (Refusal::Secret, 1),
        (Refusal::Signature, 1),
        (Refusal::Stale, 1),
        (Refusal::Address, 1),
        (Refusal::RateLimit, 1),
        (Refusal::MissingClickId, 1),
        (Refusal::BadPayout, 1),
    ] {
        assert_eq!(totals.refused(refusal), count, "{}", refusal.name());
    }
    assert_eq!((totals.count(Outcome::Denied), totals.count(Outcome::RateLimited)), (5, 1));
    server.stop();
}

#[test]
fn two_secrets_are_right_while_they_change_and_in_each_place() {
    let mut rotating = network("boost");
    rotating.access.secrets = vec![Secret::new("the old one"), Secret::new("the new one")];
    rotating.doors = vec![door("/{secret}/postback", DoorKind::Postback, &[])];
    let server = Bare::start(parts(vec![rotating]));
    for (secret, expected) in
        [("the%20old%20one", "unmatched"), ("the%20new%20one", "unmatched"), ("the%20newer%20one", "secret")]
    {
        let plain = secret.replace("%20", " ");
        let asks = [
            server.get(&format!("/postback/boost?click_id=a&secret={secret}")),
            server.get(&format!("/{secret}/postback?click_id=a")),
            server.send("GET /postback/boost?click_id=a", &format!("X-Secret: {plain}\r\n"), ""),
            server.send("GET /postback/boost?click_id=a", &format!("Authorization: {plain}\r\n"), ""),
        ];
        let expected = if expected == "secret" { "rejected:secret".to_owned() } else { expected.to_owned() };
        for answer in asks {
            assert_eq!(result(&answer), expected, "{secret}");
        }
    }
    let kept = server.stop_and_read();
    assert!(kept.iter().any(|kept| kept.path == "/***/postback" && kept.refused == 0), "{kept:?}");
    assert!(kept.iter().any(|kept| kept.path == "/***/postback" && kept.refused == Refusal::Secret.code()));
}

#[test]
fn a_rate_lasts_over_a_reload_and_is_each_network_s_own() {
    let limited = |id: &str| {
        let mut network = open(id);
        network.access.rate = Some(Rate { per_second: 2, burst: 4 });
        network
    };
    let networks = || vec![limited("a"), limited("b")];
    let server = Bare::start(parts(networks()));
    let taken = |network: &str| {
        let target = format!("/postback/{network}?click_id=x");
        (0..10).filter(|_| server.result(&target) == "unmatched").count()
    };
    assert_eq!((taken("a"), taken("b")), (4, 4));
    server.reload(parts(networks()));
    assert_eq!(taken("a"), 0);
    server.clock.advance(Duration::from_millis(1_000));
    assert_eq!((taken("a"), taken("b")), (2, 2));
    server.stop();
}

#[test]
fn of_those_who_do_not_show_who_they_are_only_samples_are_kept() {
    let server = Bare::start(parts((0..20).map(|n| network(&format!("n{n}"))).collect()));
    for round in 0..15 {
        for n in 0..20 {
            let answer = server.get(&format!("/postback/n{n}?click_id={round}&secret=wrong"));
            assert_eq!((answer.status, result(&answer)), (403, "rejected:secret"));
        }
    }
    assert_eq!((server.count(Outcome::Denied), server.edge().recent("n3").len()), (300, 15));
    let kept = server.stop_and_read();
    assert_eq!(kept.len(), 60, "60 a minute over all");
    for n in 0..20 {
        let of_one = kept.iter().filter(|kept| kept.network == format!("n{n}")).count();
        assert!(of_one <= 10, "{of_one} of n{n}");
    }
    assert!(kept.iter().all(|kept| kept.query.ends_with("&secret=***")), "{kept:?}");
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(std::fs::read(path).unwrap()) }
    }
}

#[test]
fn a_secret_is_in_no_file_however_it_was_sent() {
    let mut own = network("boost");
    own.doors = vec![door("/{secret}/postback", DoorKind::Postback, &[])];
    let mut other = network("other");
    other.access.secrets = vec![Secret::new("Passw0rd:of-another")];
    let server = Bare::start(parts(vec![own, other]));
    let all = [
        server.get("/postback/boost?click_id=a&secret=open+sesame&sub=open%20sesame&x=Passw0rd%3Aof-another"),
        server.get("/postback/boost?click_id=a&secret=wrong-wrong-wrong&y=open+sesame"),
        server.get("/postback/none?click_id=a&secret=Passw0rd:of-another"),
        server.get("/postback/Passw0rd:of-another?click_id=a"),
        server.get("/open%20sesame/postback?click_id=a&open+sesame=1"),
        server.get("/wrong-wrong-wrong/postback?click_id=a"),
        server.post("/postback/boost?secret=open+sesame", "", r#"{"click_id":"a","note":"\u006fpen sesame!"}"#),
        server.post("/postback/boost", "", r#"{"secret":"wrong-wrong-wrong","note":"Passw0rd:of-another"}"#),
        server.post("/postback/boost?secret=open+sesame", "application/json", "{\"a\": open sesame"),
        server.send(
            "GET /postback/boost?click_id=a",
            "X-Secret: open sesame\r\nReferer: https://x.example/?k=open%20sesame\r\nCookie: k=open sesame\r\n\
             Authorization: Bearer wrong-wrong-wrong\r\nX-Note: Passw0rd:of-another\r\n",
            "",
        ),
        server.send("GET /postback/boost?click_id=a&secret=open+sesame", "Host: Passw0rd.of-another\r\n", ""),
    ];
    assert_eq!(all.iter().filter(|answer| result(answer) == "unmatched").count(), 5, "{all:?}");
    for network in ["boost", "other", ""] {
        let recent = format!("{:?}", server.edge().recent(network));
        for secret in ["sesame", "Passw0rd", "wrong-wrong"] {
            assert!(!recent.contains(secret), "{secret} in {recent}");
        }
    }
    let folder = server.stop();
    let mut found = Vec::new();
    files(folder.path(), &mut found);
    let has = |what: &str| {
        found.iter().any(|bytes| bytes.windows(what.len()).any(|window| window == what.as_bytes()))
    };
    assert!(has("/postback/boost"), "the journal was read");
    for secret in ["sesame", "Passw0rd:", "Passw0rd%3A", "wrong-wrong"] {
        assert!(!has(secret), "{secret}");
    }
}
