//! Labels: what is held against a click, while it goes on all the same.

use std::time::Duration;

use clicklog::event::click::Labels;

use crate::server::{CATALOG, Server};

const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/131.0\r\n";

fn behind_proxy(change: &'static (impl Fn(&mut clicklog::config::Settings) + Sync)) -> Server {
    Server::with(CATALOG, move |settings| {
        settings.edge.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        change(settings);
    })
}

#[test]
fn a_click_is_labelled_and_redirected_all_the_same() {
    let server = behind_proxy(&|_| {});
    let cases = [
        ("1", "198.51.100.1", BROWSER, Labels::default()),
        ("2", "198.51.100.2", "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1)\r\n", Labels::BOT),
        ("3", "198.51.100.3", "", Labels::NO_USER_AGENT),
        ("4", "52.95.110.1", BROWSER, Labels::DATA_CENTRE),
        ("5", "52.95.110.2", "User-Agent: curl/8.5.0\r\n", Labels::BOT.with(Labels::DATA_CENTRE)),
        ("6", "198.51.100.1", BROWSER, Labels::DUPLICATE),
    ];
    for (n, address, agent, expected) in cases {
        let answer =
            server.get_with(&format!("/c/spring?n={n}"), &format!("X-Forwarded-For: {address}\r\n{agent}"));
        assert_eq!(answer.status, 302);
        let clicks = server.clicks();
        let click = clicks.iter().find(|click| click.param("n") == Some(n)).unwrap();
        assert_eq!(click.labels, expected, "click {n}");
    }
    let totals = server.totals();
    assert_eq!((totals.gross, totals.net), (6, 1));
    let labels = [Labels::BOT, Labels::DATA_CENTRE, Labels::DUPLICATE, Labels::NO_USER_AGENT];
    assert_eq!(labels.map(|label| totals.labelled(label)), [2, 2, 1, 1]);
    server.stop();
}

#[test]
fn a_second_click_is_a_duplicate_within_its_campaign_s_window_only() {
    let catalog = "[[campaign]]\nid = \"hour\"\nduplicate_window = \"1h\"\n[[campaign]]\nid = \"never\"\nduplicate_window = \"0s\"\n";
    let server = Server::start(catalog);
    let label = |campaign: &str| {
        server.get(&format!("/c/{campaign}"));
        let mut clicks = server.clicks();
        clicks.sort_by_key(|click| click.time);
        server.clock.advance(Duration::from_secs(1));
        clicks.last().unwrap().labels
    };
    assert_eq!(label("hour"), Labels::default());
    assert_eq!(label("hour"), Labels::DUPLICATE);
    assert_eq!(label("never"), Labels::default());
    assert_eq!(label("never"), Labels::default());
    server.clock.advance(Duration::from_secs(3_700));
    assert_eq!(label("hour"), Labels::default());
    server.stop();
}

#[test]
fn lists_of_the_operator_replace_ours_and_are_reloaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bots.txt");
    std::fs::write(&path, "my-robot\n").unwrap();
    let list = path.clone();
    let server = Server::with(CATALOG, move |settings| settings.labels.bots = list.clone());
    let label = |agent: &str| {
        server.get_with("/c/spring", &format!("User-Agent: {agent}\r\n"));
        let mut clicks = server.clicks();
        clicks.sort_by_key(|click| click.time);
        server.clock.advance(Duration::from_secs(100_000));
        clicks.last().unwrap().labels
    };
    assert_eq!(label("My-Robot/1.0"), Labels::BOT);
    assert_eq!(label("curl/8.5.0"), Labels::default());
    std::fs::write(&path, "curl\n").unwrap();
    server.daemon().reload().unwrap();
    assert_eq!(label("My-Robot/1.0"), Labels::default());
    assert_eq!(label("curl/8.5.0"), Labels::BOT);
    server.stop();
}
