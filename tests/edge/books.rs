//! The books: whatever comes in, each request ends in exactly one outcome; and each postback that was decided on is in the
//! journal once.

use std::net::SocketAddr;

use clicklog::apply::claim::Refusal;
use clicklog::config::ListenTls;
use clicklog::ingest::{DoorKind, Network, Outcome, Rate, Totals};

use crate::bare::{Bare, door, network, open, parts};
use crate::client::Connection;
use crate::http2::Http2;
use crate::secure::{Files, NAME, shake};
use crate::server::{CATALOG, Server};

/// Pseudo-random numbers (xorshift*), so that a seed is all that a failure needs.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        (usize::try_from(high).unwrap() * bound) >> 32
    }
}

/// Requests of all kinds, and whether the connection goes on after each.
const REQUESTS: &[(&str, bool)] = &[
    ("GET /c/spring?zoneid=1 HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /c/landing?x=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8\r\n\r\n", true),
    ("GET /c/none HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /out?click_id=zzz HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /t.js HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /track?campaign=spring HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\ncampaign=spring", true),
    ("OPTIONS /track HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /c/spring HTTP/1.1\r\nHost: a\r\nSec-Purpose: prefetch\r\n\r\n", true),
    ("PUT /c/spring HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /c/spring HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", true),
    ("GET /c/spring HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
    ("POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n", false),
    ("nonsense\r\n\r\n", false),
];
/// The same of conversions, for the networks of `networks`.
const CONVERSIONS: &[(&str, bool)] = &[
    ("GET /c/spring?sub1=1 HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /postback/boost?cid=a&secret=open+sesame HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /postback/boost?cid=a&secret=open+sesame&test=1 HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /postback/boost?cid=a&secret=wrong HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /postback/none?cid=a HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /postback/limited?cid=a HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("HEAD /postback/limited?cid=a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
    (
        "POST /postback/open HTTP/1.1\r\nHost: a\r\nContent-Length: 22\r\n\r\n{\"cid\":\"a\",\"payout\":1}",
        true,
    ),
    ("POST /postback/open HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{\"cid", true),
    ("POST /postback/open?sid=a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true),
    ("POST /postback/open HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n", false),
    ("GET /postback/open?payout=1 HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /click.php?cnv_id=a&payout={payout} HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /click.php?key=spring HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /pixel.gif?network=open&cid=a HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /pixel?network=boost HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET /pixel.js?network=open HTTP/1.1\r\nHost: a\r\nSec-Purpose: prefetch\r\n\r\n", true),
    ("GET /pixel.gif HTTP/1.1\r\nHost: a\r\nCookie: cl_cid=x\r\n\r\n", true),
];

fn networks() -> Vec<Network> {
    let mut limited = open("limited");
    limited.access.rate = Some(Rate { per_second: 1, burst: 5 });
    let doors = vec![door("/click.php", DoorKind::Postback, &[("cnv_id", None)])];
    vec![network("boost"), open("open"), limited, Network { doors, ..open("binom") }]
}

/// What a peer says before it goes away: each is one request that was begun.
const BEGINNINGS: &[&str] = &[
    "GET",
    "GET /c/spring HTTP/1.1\r\nHost",
    "POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\ncampaign",
    "POST /postback/open HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\ncid=a",
];

/// Sends random requests on random connections; gives how many, and how many clicks were answered.
fn visit(open: impl Fn() -> Connection, requests: &[(&str, bool)], seed: u64) -> (u64, u64) {
    let mut random = Random(seed);
    let (mut sent, mut clicks) = (0, 0);
    for _ in 0..60 {
        let mut connection = open();
        loop {
            if random.below(12) == 0 {
                connection.send(BEGINNINGS[random.below(BEGINNINGS.len())]);
                sent += 1;
                break;
            }
            let (request, goes_on) = requests[random.below(requests.len())];
            sent += 1;
            connection.send(request);
            let answer =
                if request.starts_with("HEAD") { connection.receive_head() } else { connection.receive() };
            let answer = answer.unwrap_or_else(|| panic!("no answer to {request:?}, seed {seed:#x}"));
            clicks += u64::from(answer.cookie().is_some());
            if !goes_on {
                break;
            }
        }
    }
    (sent, clicks)
}

fn new_seed() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) | 1
}

/// Sends random requests at once on random connections over HTTP/2, and takes some of them back, or goes away; gives how
/// many, and how many clicks were answered at least.
fn visit_at_once(open: impl Fn() -> Http2, seed: u64) -> (u64, u64) {
    const TARGETS: [&str; 6] =
        ["/c/spring?x=1", "/c/none", "/t.js", "/track?campaign=spring", "/nothing", "/postback/none?cid=a"];
    let mut random = Random(seed);
    let (mut sent, mut clicks) = (0, 0);
    for _ in 0..20 {
        let mut connection = open();
        for _ in 0..random.below(8) {
            let targets: Vec<&str> =
                (0..=random.below(20)).map(|_| TARGETS[random.below(TARGETS.len())]).collect();
            // A form that never ends is a request too.
            let half = random.below(3);
            sent += (targets.len() + half) as u64;
            let answers = connection.at_once(&targets, half);
            clicks +=
                answers.iter().filter(|answer| answer.headers.contains_key("set-cookie")).count() as u64;
        }
    }
    (sent, clicks)
}

/// Four visitors at a time; gives the sums of what they sent and of the clicks that were answered.
fn visit_all(address: SocketAddr, requests: &'static [(&str, bool)], seed: u64) -> (u64, u64) {
    all(seed, |seed| visit(|| Connection::open(address), requests, seed))
}

fn all(seed: u64, visit: impl Fn(u64) -> (u64, u64) + Sync) -> (u64, u64) {
    let seeds: Vec<u64> = (0..4u64).map(|n| seed.wrapping_add(n.wrapping_mul(0x9e37_79b9) << 1)).collect();
    let visit = &visit;
    std::thread::scope(|scope| {
        let visitors: Vec<_> = seeds.into_iter().map(|seed| scope.spawn(move || visit(seed))).collect();
        let visited = visitors.into_iter().map(|visitor| visitor.join().unwrap());
        visited.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    })
}

/// Waits until all have ended: those who went away are noticed a moment later.
fn settled(totals: impl Fn() -> Totals, sent: u64, seed: u64) -> Totals {
    let mut tries = 0;
    while totals().ended() < sent {
        tries += 1;
        assert!(tries < 10_000, "seed {seed:#x}: {sent} sent, {:?}", totals());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let totals = totals();
    assert_eq!((totals.received, totals.ended()), (sent, sent), "seed {seed:#x}: {totals:?}");
    totals
}

#[test]
fn the_books_balance_after_a_random_mix() {
    let server = Server::start(CATALOG);
    let seed = new_seed();
    println!("seed {seed:#x}");
    let (sent, clicks) = visit_all(server.address(), REQUESTS, seed);
    let totals = settled(|| server.totals(), sent, seed);
    let counted =
        [Outcome::Redirected, Outcome::FellBack, Outcome::Tracked].map(|outcome| totals.count(outcome));
    assert_eq!(counted.iter().sum::<u64>(), clicks, "seed {seed:#x}");
    assert_eq!((totals.gross, server.clicks().len() as u64), (clicks, clicks), "seed {seed:#x}");
    server.stop();
}

#[test]
fn the_books_balance_over_https_in_both_versions_of_http() {
    let files = Files::new();
    let (of_name, of_address) = (files.by_name(), files.to_all());
    files.put("first", "127.0.0.1");
    files.put("named", NAME);
    let server = files.serve(ListenTls { folder: of_name.folder, ..of_address });
    let seed = new_seed();
    println!("seed {seed:#x}");
    // Whoever asks for no name may ask for any host.
    let open = || Connection::over(shake(server.address(), "127.0.0.1", files.client().into()).unwrap());
    let (sent, clicks) = all(seed, |seed| visit(open, REQUESTS, seed));
    let totals = settled(|| server.totals(), sent, seed);
    assert_eq!((totals.gross, server.clicks().len() as u64), (clicks, clicks), "seed {seed:#x}");
    let (at_once, more) = all(seed, |seed| visit_at_once(|| Http2::open(&files, &server), seed));
    let totals = settled(|| server.totals(), sent + at_once, seed);
    assert_eq!(totals.gross, clicks + more, "seed {seed:#x}: {totals:?}");
    server.stop();
}

#[test]
fn the_books_balance_after_a_random_mix_of_conversions() {
    let server = Bare::start(parts(networks()));
    let seed = new_seed();
    println!("seed {seed:#x}");
    let (sent, clicks) = visit_all(server.addresses()[0], CONVERSIONS, seed);
    let totals = settled(|| server.totals(), sent, seed);
    assert_eq!((totals.gross, totals.count(Outcome::Redirected)), (clicks, clicks), "seed {seed:#x}");
    let groups = [Outcome::UnknownNetwork, Outcome::Denied, Outcome::RateLimited, Outcome::Unreadable];
    let refused: u64 = groups.iter().map(|outcome| totals.count(*outcome)).sum();
    let by_reason: u64 = Refusal::ALL.iter().map(|refusal| totals.refused(*refusal)).sum();
    assert_eq!(refused, by_reason, "seed {seed:#x}: {totals:?}");
    let decided: u64 = [
        Outcome::Accepted,
        Outcome::Updated,
        Outcome::Duplicate,
        Outcome::Held,
        Outcome::Unmatched,
        Outcome::Orphan,
        Outcome::Late,
        Outcome::Tested,
    ]
    .map(|outcome| totals.count(outcome))
    .iter()
    .sum();
    assert!(decided > 0 && refused > 0, "seed {seed:#x}: {totals:?}");
    let kept = server.stop_and_read();
    let whole = kept.iter().filter(|kept| kept.refused == 0).count();
    assert_eq!(whole as u64, decided, "seed {seed:#x}: each that was answered is kept once");
}
