//! Pages that take long, in front of whatever else operators ask.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use clicklog::admin::console::{
    CampaignPage, CampaignRow, Facts, Listed, NetworkPage, NetworkRow, Overview, Requests, Setting, Storage,
    Wanted, WantedDeliveries,
};
use clicklog::admin::{
    self, ApiError, ApiResult, Check, Operations, Options, Pause, PostbackTest, Replay, Token,
};
use clicklog::metrics::Page;
use clicklog::store::Position;

use crate::process::{ask_whole, connect};

/// A daemon whose overview takes until it is let go.
struct Slow {
    begun: SyncSender<()>,
    go: Mutex<Receiver<()>>,
}

fn no() -> ApiError {
    ApiError::Unavailable("nobody is there".to_owned())
}

impl Facts for Slow {
    fn overview(&self) -> Result<Overview, ApiError> {
        self.begun.send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        Ok(Overview::default())
    }

    fn campaigns(&self, _: &Wanted) -> Result<Listed<CampaignRow>, ApiError> {
        Err(no())
    }

    fn campaign(&self, _: &str, _: Option<&str>) -> Result<CampaignPage, ApiError> {
        Err(no())
    }

    fn networks(&self, _: &Wanted) -> Listed<NetworkRow> {
        Listed { rows: Vec::new(), found: 0, all: 0, unread: None }
    }

    fn network(&self, _: &str, _: Option<&str>) -> Result<NetworkPage, ApiError> {
        Err(no())
    }

    fn strangers(&self) -> Result<Requests, ApiError> {
        Err(no())
    }

    fn deliveries(&self, _: &WantedDeliveries) -> ApiResult {
        Err(no())
    }

    fn delivery(&self, _: &str, _: u32) -> ApiResult {
        Err(no())
    }

    fn held(&self, _: u32) -> ApiResult {
        Ok("no JSON".to_owned())
    }

    fn look_up(&self, _: &str, _: u32) -> ApiResult {
        Err(no())
    }

    fn network_ids(&self) -> Vec<String> {
        Vec::new()
    }

    fn settings(&self) -> Vec<Setting> {
        Vec::new()
    }

    fn storage(&self) -> Result<Storage, ApiError> {
        Err(no())
    }
}

impl Operations for Slow {
    fn write_metrics(&self, _: &mut Page) {}

    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }

    fn reload(&self) -> Result<String, String> {
        Err(String::new())
    }

    fn roll(&self) -> String {
        String::new()
    }

    fn drain(&self) -> String {
        String::new()
    }

    fn log_level(&self, _: &str) -> Result<String, String> {
        Err(String::new())
    }

    fn aliases(&self) -> ApiResult {
        Err(no())
    }

    fn postbacks(&self, _: &str) -> ApiResult {
        Err(no())
    }

    fn settle(&self, _: Position, _: bool) -> ApiResult {
        Err(no())
    }

    fn import_clicks(&self, _: &str, _: &[u8]) -> ApiResult {
        Err(no())
    }

    fn import_conversions(&self, _: &str, _: &[u8]) -> ApiResult {
        Err(no())
    }

    fn import_costs(&self, _: &str, _: &[u8]) -> ApiResult {
        Err(no())
    }

    fn test_postback(&self, _: &PostbackTest) -> ApiResult {
        Err(no())
    }

    fn replay(&self, _: &Replay) -> ApiResult {
        Err(no())
    }

    fn destinations(&self) -> ApiResult {
        Err(no())
    }

    fn pause_destination(&self, _: &Pause) -> ApiResult {
        Err(no())
    }

    fn resume_destination(&self, _: &str) -> ApiResult {
        Err(no())
    }

    fn replay_deliveries(&self, _: Vec<(String, Position)>) -> ApiResult {
        Err(no())
    }
}

fn open() -> (admin::Admin, Receiver<()>, SyncSender<()>) {
    let (begun, has_begun) = sync_channel(64);
    let (let_go, go) = sync_channel(64);
    let options = Options {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        hosts: Vec::new(),
        token: Token::new("token"),
        inherited: None,
    };
    let slow = Arc::new(Slow { begun, go: Mutex::new(go) });
    (admin::start(options, slow).unwrap(), has_begun, let_go)
}

fn get(address: SocketAddr, target: &str) -> (String, String) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ask_whole(&mut connect(address), &request).unwrap()
}

#[test]
fn pages_that_take_long_keep_neither_health_nor_numbers_from_being_told() {
    let (admin, has_begun, let_go) = open();
    let address = admin.address();
    let pages: Vec<_> = (0..6).map(|_| std::thread::spawn(move || get(address, "/console"))).collect();
    // As many as may be made at a time.
    for _ in 0..2 {
        has_begun.recv().unwrap();
    }
    assert!(has_begun.try_recv().is_err(), "a third is made meanwhile");
    for target in ["/healthz", "/metrics", "/readyz"] {
        let (head, _) = get(address, target);
        assert!(head.starts_with("HTTP/1.1 200"), "{target}: {head}");
    }
    for _ in 0..6 {
        let_go.send(()).unwrap();
    }
    for page in pages {
        let (head, _) = page.join().unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    admin.stop();
}

#[test]
fn pages_that_take_long_keep_nobody_from_what_is_told_at_once_nor_from_pausing() {
    let (admin, has_begun, let_go) = open();
    let address = admin.address();
    let pages: Vec<_> = (0..2).map(|_| std::thread::spawn(move || get(address, "/console"))).collect();
    for _ in 0..2 {
        has_begun.recv().unwrap();
    }
    for target in ["/console/settings", "/console/networks", "/console/test"] {
        let (head, _) = get(address, target);
        assert!(head.starts_with("HTTP/1.1 200"), "{target}: {head}");
    }
    for (target, form) in [("deliveries/pause", "destination=d"), ("deliveries/resume", "destination=d")] {
        let request = format!(
            "POST /console/{target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let (head, text) = ask_whole(&mut connect(address), &request).unwrap();
        assert!(text.contains("Nobody is there"), "it was asked: {head}{text}");
    }
    for page in pages {
        let_go.send(()).unwrap();
        drop(page);
    }
    admin.stop();
}

#[test]
fn what_cannot_be_told_is_said_on_a_page() {
    let (admin, ..) = open();
    for (target, status, part) in [
        ("/console/storage", 503, "Nobody is there."),
        ("/console/held", 503, "The answer cannot be read"),
        ("/console/settings", 200, "Settings in force"),
    ] {
        let (head, text) = get(admin.address(), target);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")) && text.contains(part),
            "{target}: {head}{text}"
        );
    }
    admin.stop();
}
