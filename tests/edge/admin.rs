//! The operators' door.

use clicklog::metrics::METRICS;

use crate::client::{Answer, Connection};
use crate::server::{CATALOG, Server};

fn ask(server: &Server, method: &str, target: &str, headers: &str) -> Answer {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    Connection::open(server.daemon().admin_address()).send(request).receive().unwrap()
}

fn with_token(server: &Server, target: &str) -> Answer {
    let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
    ask(server, "POST", target, &format!("Authorization: Bearer {}\r\n", token.trim()))
}

#[test]
fn the_metrics_page_has_every_metric_and_the_books_on_it() {
    let server = Server::start(CATALOG);
    server.get("/c/spring");
    server.get("/c/none");
    let page = ask(&server, "GET", "/metrics", "");
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = page.text();
    for metric in METRICS {
        assert!(text.contains(&format!("# TYPE {} ", metric.name)), "{} is missing", metric.name);
    }
    for sample in [
        "clicklog_http_requests_received_total 2",
        "clicklog_http_requests_total{outcome=\"redirected\"} 1",
        "clicklog_http_requests_total{outcome=\"unknown_campaign\"} 1",
        "clicklog_http_request_duration_seconds_count{class=\"click\"} 1",
        "clicklog_clicks_total 1",
        "clicklog_clicks_net_total 1",
        "clicklog_catalog_campaigns 2",
        "clicklog_ready 1",
    ] {
        assert!(text.lines().any(|line| line == sample), "{sample} in\n{text}");
    }
    // One block a metric, no sample twice.
    let mut seen = std::collections::HashSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(seen.insert(line.rsplit_once(' ').unwrap().0), "{line} stands there twice");
    }
    server.stop();
}

#[test]
fn health_and_readiness_are_told_apart() {
    let server = Server::start(CATALOG);
    assert_eq!(ask(&server, "GET", "/healthz", "").status, 200);
    assert_eq!(ask(&server, "GET", "/readyz", "").text(), "ready\n");
    let verbose = ask(&server, "GET", "/readyz?verbose", "");
    for line in ["[+] store: ", "[+] disk: ", "[+] edge: ", "[+] catalog: ", "[+] dispatcher: "] {
        assert!(verbose.text().contains(line), "{}", verbose.text());
    }
    assert_eq!(with_token(&server, "/-/drain").status, 200);
    let drained = ask(&server, "GET", "/readyz", "");
    assert_eq!(drained.status, 503);
    assert!(drained.text().starts_with("[-] edge: "), "{}", drained.text());
    assert_eq!(ask(&server, "GET", "/healthz", "").status, 200);
    assert_eq!(server.get("/c/spring").status, 302, "requests are still taken");
    server.stop();
}

#[test]
fn a_refused_reload_is_a_worry_but_no_reason_to_go_elsewhere() {
    let server = Server::start(CATALOG);
    server.rewrite_catalog("[[campaign]]\n");
    let refused = with_token(&server, "/-/reload");
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains("catalog.toml:1:1") && refused.text().contains('^'),
        "{}",
        refused.text()
    );
    let ready = ask(&server, "GET", "/readyz?verbose", "");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("[!] catalog: "), "{}", ready.text());
    assert!(ask(&server, "GET", "/metrics", "").text().contains("\nclicklog_last_reload_success 0\n"));
    server.rewrite_catalog(CATALOG);
    assert_eq!(with_token(&server, "/-/reload").status, 200);
    let page = ask(&server, "GET", "/metrics", "");
    assert!(page.text().contains("\nclicklog_reloads_total{result=\"taken\"} 1\n"));
    assert!(page.text().contains("\nclicklog_reloads_total{result=\"refused\"} 1\n"));
    server.stop();
}

#[test]
fn a_roll_seals_what_is_written() {
    let server = Server::start(CATALOG);
    server.get("/c/spring");
    assert_eq!(with_token(&server, "/-/roll").status, 200);
    let mut tries = 0;
    while !ask(&server, "GET", "/metrics", "").text().contains("\nclicklog_store_segments_sealed_total 1\n") {
        tries += 1;
        assert!(tries < 2_000, "the segment is never sealed");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    server.stop();
}

#[test]
fn changes_show_the_token_and_everybody_asks_by_a_name_of_ours() {
    let server = Server::with(CATALOG, |settings| settings.admin.hosts = vec!["ops.example".to_owned()]);
    for target in ["/-/reload", "/-/roll", "/-/drain"] {
        let bare = ask(&server, "POST", target, "");
        assert_eq!((bare.status, bare.header("www-authenticate")), (401, Some("Bearer")), "{target}");
        assert_eq!(ask(&server, "POST", target, "Authorization: Bearer wrong\r\n").status, 401, "{target}");
        let read = ask(&server, "GET", target, "");
        assert_eq!((read.status, read.header("allow")), (405, Some("POST")), "{target}");
    }
    let post = ask(&server, "POST", "/metrics", "");
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(ask(&server, "GET", "/", "").status, 303);
    assert_eq!(ask(&server, "GET", "/nothing", "").status, 404);
    for (host, status) in [("evil.example", 421), ("ops.example:9101", 200), ("127.0.0.1", 200)] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = Connection::open(server.daemon().admin_address()).send(request).receive().unwrap();
        assert_eq!(answer.status, status, "{host}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let page = ask(&server, "GET", "/metrics", "");
    for sample in [
        "{result=\"unauthorised\"} 6",
        "{result=\"misdirected\"} 1",
        "{result=\"method\"} 4",
        "{result=\"not_found\"} 1",
    ] {
        assert!(
            page.text().contains(&format!("clicklog_admin_requests_total{sample}\n")),
            "{sample}\n{}",
            page.text()
        );
    }
    assert_eq!(ask(&server, "GET", "/readyz", "").status, 200, "nothing of this drained it");
    server.stop();
}

#[test]
fn the_api_takes_changes_only_with_the_token_and_within_its_bounds() {
    let server = Server::start(CATALOG);
    let changes = ["held/release", "held/drop", "import/clicks", "postback/test", "replay"];
    for route in changes {
        let target = format!("/api/{route}");
        assert_eq!(ask(&server, "POST", &target, "").status, 401, "{target}");
        assert_eq!(ask(&server, "GET", &target, "").status, 405, "{target}");
        let empty = with_token(&server, &target);
        assert_eq!((empty.status, empty.header("content-type")), (400, Some("application/json")), "{target}");
        assert!(empty.text().starts_with("{\"error\":\""), "{target}: {}", empty.text());
    }
    assert_eq!(ask(&server, "POST", "/api/postbacks", "").status, 405);
    let post = |target: &str, body: &str| {
        let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
        let (token, len) = (token.trim(), body.len());
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {len}\r\n\r\n{body}"
        );
        Connection::open(server.daemon().admin_address()).send(request).receive().unwrap()
    };
    let row = "{\"id\":\"w1\",\"time\":1795158000000000}\n";
    let taken = post("/api/import/clicks?chunk=1", row);
    assert_eq!((taken.status, taken.text()), (200, "{\"imported\":1,\"known\":0,\"refused\":[]}\n"));
    let again = post("/api/import/clicks?chunk=1", row);
    assert_eq!(again.text(), taken.text(), "the same chunk again");
    let later = post("/api/import/clicks?chunk=2&last=1", row);
    assert_eq!(later.text(), "{\"imported\":0,\"known\":1,\"refused\":[]}\n");
    for (target, body, status, part) in [
        ("/api/import/clicks?chunk=3", "{}\nno json\n", 400, "row 2 of the chunk"),
        ("/api/import/clicks?chunk=3", "{\"id\":\"\"}", 200, "it has no id"),
        ("/api/import/clicks", row, 400, "?chunk="),
        ("/api/held/drop", "{\"decision\":\"1:8\"}", 400, "not a position"),
    ] {
        let answer = post(target, body);
        assert_eq!(answer.status, status, "{target} {body}: {}", answer.text());
        assert!(answer.text().contains(part), "{target} {body}: {}", answer.text());
    }
    let head = format!("Authorization: Bearer x\r\nContent-Length: {}\r\n", 2 * 1024 * 1024);
    assert_eq!(ask(&server, "POST", "/api/import/clicks", &head).status, 401, "its body is not waited for");
    assert_eq!(post("/api/replay", &" ".repeat(65 * 1024)).status, 413);
    assert!(ask(&server, "GET", "/metrics", "").text().contains("_requests_total{result=\"body\"} 1\n"));
    server.stop();
}
