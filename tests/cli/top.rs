//! `clicklog top` against a daemon that runs, and without one.

use crate::clicklog;
use crate::process::{Process, ask, connect};
use rustix::process::Signal;

#[test]
fn a_daemon_that_runs_is_shown_once_where_there_is_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    let mut visitor = connect(process.visitors);
    for _ in 0..3 {
        let head = ask(&mut visitor, "GET /c/demo HTTP/1.1\r\nHost: trk.example\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 302"), "{head}");
    }
    // As the daemon prints it.
    let admin = format!("http://{}/", process.operators);
    let top = |more: &[&str]| {
        let mut arguments = vec!["top", "--admin", &admin, "--interval", "100ms"];
        arguments.extend(more);
        let said = clicklog(folder.path(), &arguments);
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out
    };
    let text = top(&["--once"]);
    let clicks = text.lines().find(|line| line.starts_with("clicks ")).unwrap();
    assert!(clicks.ends_with(" 3"), "{text}");
    assert!(text.starts_with(concat!("clicklog ", env!("CARGO_PKG_VERSION"), "  ready")), "{text}");
    assert!(text.contains("enough") || text.contains("LOW"), "{text}");
    assert!(!top(&[]).contains('\x1b'));
    let json: serde_json::Value = serde_json::from_str(&top(&["--format", "json"])).unwrap();
    assert_eq!((&json["clicks"]["total"], &json["is_ready"]), (&3.0.into(), &true.into()));
    assert!(json["latencies"][0]["p99"].as_f64().unwrap() > 0.0, "{json:#}");

    let operators = process.operators.to_string();
    process.signal(Signal::TERM);
    assert_eq!(process.end().0, Some(0));
    let said = clicklog(folder.path(), &["top", "--once", "--admin", &operators]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains(&operators) && said.err.contains("is it running"), "{}", said.err);
}
