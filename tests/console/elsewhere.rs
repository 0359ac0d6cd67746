//! Who comes from another machine: in a network namespace, where an address is that nobody else has.

use std::env;
use std::process::Command;

use crate::desk::{Desk, TOKEN, catalog};

/// Says that this process is in it.
const INSIDE: &str = "CLICKLOG_TEST_ELSEWHERE";
const ADDRESS: &str = "192.0.2.7";

/// A command in a network of its own, in which this machine has the address.
fn elsewhere(command: &[&str]) -> Command {
    let script = format!("ip link set lo up && ip address add {ADDRESS}/32 dev lo && exec \"$0\" \"$@\"");
    let mut elsewhere = Command::new("unshare");
    elsewhere.args(["--map-root-user", "--net", "sh", "-c", &script]).args(command);
    elsewhere
}

#[test]
fn who_comes_from_elsewhere_is_told_nothing_but_health_and_numbers_without_the_token() {
    if env::var_os(INSIDE).is_some() {
        for listen in [ADDRESS, "0.0.0.0"] {
            check(listen);
        }
        return;
    }
    match elsewhere(&["true"]).output() {
        Ok(tried) if tried.status.success() => {}
        tried => {
            println!("skipped: there is no network namespace to be had here: {tried:?}");
            return;
        }
    }
    let name = "elsewhere::who_comes_from_elsewhere_is_told_nothing_but_health_and_numbers_without_the_token";
    let own = env::current_exe().unwrap();
    let inside = elsewhere(&[own.to_str().unwrap(), "--exact", name]).env(INSIDE, "1").output().unwrap();
    let said =
        String::from_utf8_lossy(&inside.stdout).into_owned() + &String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
}

/// With the operators' door at this address.
fn check(listen: &str) {
    let admin = format!("{listen}:0");
    let mut desk = Desk::open_with(&catalog(0), &["--admin", &admin], &[]);
    if listen != ADDRESS {
        // It is said as a proxy would have to call it; also who is at this machine comes through all addresses.
        desk.process.operators.set_ip(ADDRESS.parse().unwrap());
    }
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for host in [ADDRESS, "localhost", "127.0.0.1:9101", "[::1]"] {
        let bare = format!("Host: {host}\r\n");
        let wrong = format!("{bare}Authorization: Bearer {TOKEN}x\r\n");
        let right = format!("{bare}{token}");
        for target in ["/console", "/console/networks/n", "/api/postbacks?network=n", "/api/destinations"] {
            for (headers, expected) in [(&bare, 401), (&wrong, 401), (&right, 200)] {
                let answer = desk.ask("GET", target, headers, "");
                assert_eq!(answer.status, expected, "{target} at {listen} with {headers}: {}", answer.text);
            }
        }
        for target in ["/-/reload", "/-/roll", "/api/held/release", "/console/deliveries/pause"] {
            for headers in [&bare, &wrong] {
                assert_eq!(desk.ask("POST", target, headers, "").status, 401, "{target} with {headers}");
            }
        }
        for target in ["/metrics", "/healthz", "/readyz"] {
            assert_eq!(desk.ask("GET", target, &bare, "").status, 200, "{target} at {listen}");
        }
    }
    // By an address that only this machine reaches, at a door that all reach, neither.
    if listen != ADDRESS {
        desk.process.operators.set_ip("127.0.0.1".parse().unwrap());
        assert_eq!(desk.look("/console").status, 401);
        assert_eq!(desk.look("/api/destinations").status, 401);
    }
}
