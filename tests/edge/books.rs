//! The books: whatever comes in, each request ends in exactly one outcome.

use std::net::SocketAddr;

use clicklog::ingest::Outcome;

use crate::client::Connection;
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
/// What a peer says before it goes away: each is one request that was begun.
const BEGINNINGS: &[&str] = &[
    "GET",
    "GET /c/spring HTTP/1.1\r\nHost",
    "POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\ncampaign",
];

/// Sends random requests on random connections; gives how many, and how many clicks were answered.
fn visit(address: SocketAddr, seed: u64) -> (u64, u64) {
    let mut random = Random(seed);
    let (mut sent, mut clicks) = (0, 0);
    for _ in 0..60 {
        let mut connection = Connection::open(address);
        loop {
            if random.below(12) == 0 {
                connection.send(BEGINNINGS[random.below(BEGINNINGS.len())]);
                sent += 1;
                break;
            }
            let (request, goes_on) = REQUESTS[random.below(REQUESTS.len())];
            sent += 1;
            connection.send(request);
            let answer =
                connection.receive().unwrap_or_else(|| panic!("no answer to {request:?}, seed {seed:#x}"));
            clicks += u64::from(answer.cookie().is_some());
            if !goes_on {
                break;
            }
        }
    }
    (sent, clicks)
}

#[test]
fn the_books_balance_after_a_random_mix() {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    let seed = u64::from_le_bytes(bytes) | 1;
    println!("seed {seed:#x}");
    let server = Server::start(CATALOG);
    let address = server.address();
    let visitors: Vec<_> = (0..4u64)
        .map(|n| {
            std::thread::spawn(move || visit(address, seed.wrapping_add(n.wrapping_mul(0x9e37_79b9) << 1)))
        })
        .collect();
    let visited = visitors.into_iter().map(|visitor| visitor.join().unwrap());
    let (sent, clicks) = visited.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    // Those who went away are noticed a moment later.
    let mut tries = 0;
    while server.totals().ended() < sent {
        tries += 1;
        assert!(tries < 10_000, "seed {seed:#x}: {sent} sent, {:?}", server.totals());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let totals = server.totals();
    assert_eq!((totals.received, totals.ended()), (sent, sent), "seed {seed:#x}: {totals:?}");
    let counted =
        [Outcome::Redirected, Outcome::FellBack, Outcome::Tracked].map(|outcome| totals.count(outcome));
    assert_eq!(counted.iter().sum::<u64>(), clicks, "seed {seed:#x}");
    assert_eq!((totals.gross, server.clicks().len() as u64), (clicks, clicks), "seed {seed:#x}");
    server.stop();
}
