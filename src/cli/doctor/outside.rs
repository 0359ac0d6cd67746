//! Who is outside: whom the catalog names, and who holds our ports.
//!
//! Keeps: names are looked up, and nothing is sent to them; a name that takes long is given up after `LOOK_UP_MAX`. A daemon
//! that runs already is asked whether it is ready.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::Finding;
use crate::cli::client::{Client, reachable};
use crate::clock::Timestamp;
use crate::config::Settings;
use crate::dispatcher::destinations::Destinations;
use crate::dispatcher::owed::Destination;
use crate::dispatcher::request::{Item, Moment, show};
use crate::event::conversion::{Conversion, Status};
use crate::event::decision::Decision;
use crate::event::money::{Micros, Money};

/// Names that are looked up at most.
const NAMES_MAX: usize = 50;
/// For all of them together.
const LOOK_UP_MAX: Duration = Duration::from_secs(10);
/// For a daemon that runs.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Destinations that are named where a template cannot be filled.
const NAMED_MAX: usize = 10;

/// Whether every template can be filled for a conversion that has all there can be.
pub(super) fn templates(all: &[&Destination], destinations: &Destinations) -> Finding {
    let what = "templates";
    if all.is_empty() {
        return Finding::ok(what, "nobody is told of conversions");
    }
    let sample = sample();
    let moment = Moment { now: sample.time, random: 7 };
    let unmade: Vec<String> = all
        .iter()
        .filter_map(|destination| {
            let owed = destination.owes(&sample);
            let delivery_id = destination.delivery_id(&sample);
            let item = Item { decision: &sample, delivery_id, payout: owed.payout };
            let made = show(&destination.outbound, &[item], &destinations.secrets, None, moment);
            made.err().map(|why| format!("{}: {why}", destination.id))
        })
        .collect();
    match unmade.is_empty() {
        true => Finding::ok(what, format!("the requests of all {} destinations can be made", all.len())),
        false => Finding::warn(
            what,
            unmade.get(..NAMED_MAX).unwrap_or(&unmade).join("\n"),
            "for a conversion without click parameters; where these are always there it is well, else give the \
             placeholder a default",
        ),
    }
}

/// A conversion of which everything is known that is not a parameter.
fn sample() -> Decision<'static> {
    Decision {
        time: Timestamp::from_micros(1_767_225_600_000_000),
        conversion_id: [7; 16],
        conversion: Conversion {
            click_id: "0123456789abcdefghjkmnpqrs",
            network: "network",
            transaction_id: "transaction",
            event: "sale",
            status: Status::Approved,
            payout: "USD".parse().ok().map(|currency| Money { amount: Micros::new(3_500_000), currency }),
            ..Conversion::default()
        },
        click_time: Some(Timestamp::from_micros(1_767_222_000_000_000)),
        campaign: "campaign",
        offer: "offer",
        source: "source",
        lander: "lander",
        external_id: "external",
        country: *b"DE",
        user_agent: "Mozilla/5.0",
        referrer: "https://news.example.org/",
        language: "de",
        ..Decision::default()
    }
}

/// Whether every host that we call has an address.
pub(super) fn names(all: &[&Destination]) -> Finding {
    let what = "names";
    let direct = all.iter().filter(|destination| destination.outbound.route.proxy.is_none());
    let sites: BTreeSet<&str> = direct.filter_map(|of| host(&of.outbound.site)).collect();
    let looked_up: Vec<String> = sites.iter().take(NAMES_MAX).map(|host| (*host).to_owned()).collect();
    if looked_up.is_empty() {
        return Finding::ok(what, "there is none to look up");
    }
    let missing = look_up(&looked_up);
    if missing.is_empty() {
        return Finding::ok(what, format!("{} hosts of destinations have addresses", looked_up.len()));
    }
    Finding::warn(
        what,
        missing.join("\n"),
        "deliveries to it wait and are tried again; see the URL in the catalog, and /etc/resolv.conf",
    )
}

/// The host of `https://host:port`, if it is a name.
fn host(site: &str) -> Option<&str> {
    let host = site.split_once("://")?.1.rsplit_once(':')?.0;
    let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    (!is_address).then_some(host)
}

/// What cannot be looked up, and why. The system's look-up knows no end: it gets a thread each, and what is left of them
/// ends with the process.
fn look_up(hosts: &[String]) -> Vec<String> {
    let (tell, told) = sync_channel::<(String, Result<(), String>)>(hosts.len());
    for host in hosts {
        let (tell, host) = (tell.clone(), host.clone());
        let look = move || {
            let found = (host.as_str(), 0).to_socket_addrs().map_err(|error| error.to_string());
            let found = found.and_then(|mut all| all.next().map(drop).ok_or("no address".to_owned()));
            // Who has given up does not listen.
            let _unheard = tell.send((host, found));
        };
        // Without a thread it is one of those that did not answer.
        let _unasked = std::thread::Builder::new().name("look-up".to_owned()).spawn(look);
    }
    drop(tell);
    let clock = crate::clock::Clock::System;
    let until = clock.monotonic() + LOOK_UP_MAX;
    let mut waiting: BTreeSet<String> = hosts.iter().cloned().collect();
    let mut missing = Vec::new();
    while let Ok((host, found)) = told.recv_timeout(until.saturating_sub(clock.monotonic())) {
        waiting.remove(&host);
        missing.extend(found.err().map(|why| format!("{host}: {why}")));
    }
    missing
        .extend(waiting.into_iter().map(|host| format!("{host}: no answer in {} s", LOOK_UP_MAX.as_secs())));
    missing.sort();
    missing
}

/// Whether we can listen where we are to, or a daemon of ours does.
pub(super) fn ports(settings: &Settings) -> Vec<Finding> {
    let running = running(settings.admin.listen);
    let mut findings = Vec::new();
    let edge = settings.edge.listen.iter().map(|listen| ("visitors' port", listen.address));
    for (what, address) in edge.chain([("operators' port", settings.admin.listen)]) {
        findings.push(port(what, address, running.is_some()));
    }
    findings.push(match running {
        None => Finding::ok("daemon", format!("none answers at {}", settings.admin.listen)),
        Some((200, body)) => Finding::ok("daemon", format!("it is ready\n{}", body.trim())),
        Some((status, body)) => Finding::fail(
            "daemon",
            format!("it answers {status}\n{}", body.trim()),
            "it takes no requests as it should; see the line that is not well, and its log",
        ),
    });
    findings
}

/// What a daemon that listens there says of itself.
fn running(admin: SocketAddr) -> Option<(u16, String)> {
    let client = Client::new(reachable(admin), String::new()).ok()?.with_timeout(ANSWER_MAX);
    let answer = client.ask("GET", "/readyz?verbose", b"").ok()?;
    // Whoever else listens there says something else.
    let is_ours = matches!(answer.status, 200 | 503) && answer.body.ends_with("ready\n");
    is_ours.then_some((answer.status, answer.body))
}

fn port(what: &'static str, address: SocketAddr, is_running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(what, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_running => {
            Finding::ok(what, format!("{address} is in use, and a daemon runs here"))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::fail(
            what,
            format!("{address} is in use by somebody else"),
            format!("see who with: ss -ltnp 'sport = :{}'; end that, or listen elsewhere", address.port()),
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::fail(
            what,
            format!("{address}: {error}"),
            "ports below 1024 need CAP_NET_BIND_SERVICE: AmbientCapabilities in the unit",
        ),
        Err(error) => Finding::fail(
            what,
            format!("{address}: {error}"),
            "is it an address of this machine? see: ip address",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_host_is_looked_up_if_it_is_a_name() {
        assert_eq!(host("https://ads.example.net:443"), Some("ads.example.net"));
        assert_eq!(host("http://127.0.0.1:80"), None);
        assert_eq!(host("http://[::1]:81"), None);
    }

    #[test]
    fn a_name_that_cannot_be_is_told() {
        let missing = look_up(&["localhost".to_owned(), "nobody.invalid".to_owned()]);
        assert!(missing.len() == 1 && missing[0].starts_with("nobody.invalid: "), "{missing:?}");
    }

    #[test]
    fn a_port_that_is_taken_is_told_apart_by_who_took_it() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        assert_eq!(port("x", address, true).state, State::Ok);
        assert_eq!(port("x", address, false).state, State::Fail);
        drop(held);
        assert_eq!(port("x", address, false).state, State::Ok);
    }
}
