//! A new catalog, while visitors come.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::client::Connection;
use crate::server::{CATALOG, Server};

fn going_to(host: &str) -> String {
    format!(
        "[[offer]]\nid = \"o\"\nurl = \"https://{host}.example/?c={{click_id}}\"\n\
         [[campaign]]\nid = \"spring\"\noffers = [{{ id = \"o\" }}]\n"
    )
}

#[test]
fn a_reload_under_load_loses_no_request_and_each_record_says_which_catalog_it_was() {
    let server = Server::start(&going_to("v0"));
    let address = server.address();
    let is_over = AtomicBool::new(false);
    let answered: usize = std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Connection::open(address);
                    let mut answered = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        connection.send("GET /c/spring HTTP/1.1\r\nHost: a\r\n\r\n");
                        assert_eq!(connection.receive().unwrap().status, 302);
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        for n in 1..=20 {
            server.rewrite_catalog(&going_to(&format!("v{n}")));
            server.daemon().reload().unwrap();
            let location = server.get("/c/spring").location().to_owned();
            assert!(location.starts_with(&format!("https://v{n}.example/")), "{location} after reload {n}");
        }
        is_over.store(true, Ordering::Relaxed);
        visitors.into_iter().map(|visitor| visitor.join().unwrap()).sum()
    });
    let clicks = server.clicks();
    assert_eq!(clicks.len(), answered + 20);
    let versions: std::collections::BTreeSet<u64> = clicks.iter().map(|click| click.config_version).collect();
    // The clock stands still, and every version is higher than the one before all the same.
    let first = u64::try_from(server.clock.now().micros()).unwrap();
    assert!(versions.iter().all(|version| (first..=first + 20).contains(version)), "{versions:?}");
    assert!(versions.len() >= 20);
    server.stop();
}

#[test]
fn a_broken_file_changes_nothing_and_says_why() {
    let server = Server::start(CATALOG);
    let version = server.daemon().catalog().version();
    server.rewrite_catalog(&CATALOG.replace("offers = [{ id = \"diet\" }]", "offers = [{ id = \"diot\" }]"));
    let told = server.daemon().reload().unwrap_err().to_string();
    assert!(told.contains("catalog.toml:") && told.contains("no offer \"diot\""), "{told}");
    assert!(told.contains("did you mean \"diet\"?"), "{told}");
    assert_eq!(server.daemon().catalog().version(), version);
    assert_eq!(server.get("/c/spring").status, 302);
    server.rewrite_catalog("");
    server.daemon().reload().unwrap();
    assert_eq!(server.get("/c/spring").status, 404);
    server.stop();
}

#[test]
fn a_restart_is_asked_for_only_where_a_reload_does_not_do() {
    let loads = AtomicU32::new(0);
    let server = Server::with(&going_to("v0"), move |settings| {
        let is_first = loads.fetch_add(1, Ordering::Relaxed) == 0;
        if !is_first {
            settings.dispatcher.proxy = "http://127.0.0.1:3128".to_owned();
            settings.dispatcher.attempts_max = 7;
            settings.edge.idle_timeout = std::time::Duration::from_secs(7);
        }
    });
    let told = server.daemon().reload().unwrap();
    let (_, waiting) = told.split_once("; a restart is needed for ").unwrap();
    assert_eq!(waiting, "edge.idle_timeout, dispatcher.attempts_max", "the proxy is in use already");
    server.stop();
}

#[test]
fn a_visitor_of_an_older_catalog_still_finds_a_way() {
    let server = Server::start(CATALOG);
    let id = server.get("/c/landing").cookie().unwrap().to_owned();
    // The campaign goes on without its lander and its second offer.
    server.rewrite_catalog(&going_to("new").replace("id = \"spring\"", "id = \"landing\""));
    server.daemon().reload().unwrap();
    let out = server.get(&format!("/out/1?click_id={id}"));
    assert!(out.location().starts_with("https://new.example/?c="), "{out:?}");
    assert_eq!(server.get(&format!("/out/2?click_id={id}")).status, 404, "recorded, with nowhere to go");
    server.rewrite_catalog("");
    server.daemon().reload().unwrap();
    assert_eq!(server.get(&format!("/out/1?click_id={id}")).status, 404);
    server.stop();
}
