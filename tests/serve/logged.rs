//! What the log says and what it does not: its level, its count, and none of the secrets and addresses that went through.

use std::io::Write;

use rustix::process::Signal;

use crate::process::{Process, ask_whole, connect};

const ADMIN_TOKEN: &str = "operators-0123456789abcdef";
const SECRET: &str = "networks-fedcba9876543210";
const ADDRESS: &str = "203.0.113.77";

fn operate(process: &Process, line: &str, token: &str) -> (String, String) {
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    );
    ask_whole(&mut connect(process.operators), &request).unwrap()
}

#[test]
fn the_level_changes_with_the_token_only_and_records_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("CLICKLOG_ADMIN_TOKEN", ADMIN_TOKEN), ("CLICKLOG_LOG__LEVEL", "error")];
    let process = Process::start_with(folder.path(), &[], &environment);
    let (head, _) = operate(&process, "POST /-/log-level?level=info", "wrong");
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    let (_, before) = operate(&process, "GET /metrics", "");
    assert!(before.contains("clicklog_log_records_total{level=\"info\"} 0\n"), "{before}");
    let (head, told) = operate(&process, "POST /-/log-level?level=loud", ADMIN_TOKEN);
    assert!(head.starts_with("HTTP/1.1 400") && told.contains("must be error, warn"), "{told}");
    let (head, _) = operate(&process, "POST /-/log-level?level=info", ADMIN_TOKEN);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    operate(&process, "POST /-/drain", ADMIN_TOKEN);
    let (_, after) = operate(&process, "GET /metrics", "");
    assert!(after.contains("clicklog_log_records_total{level=\"info\"} 1\n"), "{after}");
    // A reload goes back to what the settings say.
    operate(&process, "POST /-/reload", ADMIN_TOKEN);
    process.signal(Signal::TERM);
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("\"message\":\"not ready any more") && said.contains("\"level\":\"info\""),
        "{said}"
    );
}

#[test]
fn no_secret_and_no_full_address_is_in_the_log_whatever_fails() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("catalog.toml");
    let demo = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/catalog.toml")).unwrap();
    let guarded = format!("{demo}\n[[network]]\nid = \"guarded\"\nsecret = {{ env = \"GUARDED\" }}\n");
    std::fs::write(&catalog, &guarded).unwrap();
    let environment = [
        ("CLICKLOG_ADMIN_TOKEN", ADMIN_TOKEN),
        ("CLICKLOG_LOG__LEVEL", "trace"),
        ("CLICKLOG_EDGE__TRUSTED_PROXIES", "127.0.0.0/8"),
        ("GUARDED", SECRET),
    ];
    let process = Process::start_with(folder.path(), &["--catalog", "catalog.toml"], &environment);
    for target in [
        "/c/demo?zoneid=7",
        "/c/nowhere",
        &format!("/postback/guarded?secret={SECRET}&click_id=unknown&payout=1"),
        &format!("/postback/guarded?secret={SECRET}x&payout=-1"),
        &format!("/postback/demo-network?token={SECRET}&payout=nonsense"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {ADDRESS}\r\n\r\n");
        ask_whole(&mut connect(process.visitors), &request).unwrap();
    }
    let mut rude = connect(process.visitors);
    rude.write_all(format!("NONSENSE {SECRET} {ADDRESS}\r\n\r\n").as_bytes()).unwrap();
    operate(&process, "POST /-/reload", "wrong");
    std::fs::write(&catalog, guarded.replace("demo-lander", "\u{1}")).unwrap();
    let (head, _) = operate(&process, "POST /-/reload", ADMIN_TOKEN);
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    process.signal(Signal::TERM);
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("reload refused"), "the failure is told: {said}");
    for hidden in [ADMIN_TOKEN, SECRET, ADDRESS] {
        assert!(!said.contains(hidden), "{hidden} is in the log: {said}");
    }
    for line in said.lines() {
        let record: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(record["time"].is_string() && record["message"].is_string(), "{line}");
    }
}

#[test]
fn a_postback_that_could_not_be_taken_has_one_name_in_its_answer_and_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("CLICKLOG_LOG__LEVEL", "warn"),
        ("CLICKLOG_EDGE__TRUSTED_PROXIES", "127.0.0.0/8"),
        // No disk has as much: nothing can be taken.
        ("CLICKLOG_STORE__LOW_FREE", "1024TiB"),
        ("CLICKLOG_STORE__CRITICAL_FREE", "1024TiB"),
    ];
    let process = Process::start_with(folder.path(), &[], &environment);
    let asked = |headers: &str| {
        let request = format!(
            "GET /postback/demo-network?click_id=a&transaction_id=1 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {ADDRESS}\r\n{headers}\r\n"
        );
        let (head, _) = ask_whole(&mut connect(process.visitors), &request).unwrap();
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
        head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().to_owned()
    };
    let named = asked("X-Request-Id: balancer-77\r\n");
    assert_eq!(named, "balancer-77");
    process.signal(Signal::TERM);
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    let record = said.lines().find(|line| line.contains("left to be sent again")).unwrap();
    let record: serde_json::Value = serde_json::from_str(record).unwrap();
    assert_eq!((&record["request_id"], &record["status"]), (&named.into(), &503.into()), "{record}");
    assert!(!said.contains(ADDRESS), "{said}");
}
