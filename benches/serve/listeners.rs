//! How workers should get connections: each from a socket of its own, over which the kernel spreads them, or all from one.
//!
//! Two workers of bare hyper on both processors, and the load beside them: figures compare with one another only.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::bare::WAYS;
use super::contender::Contender;
use super::throughput::compare;

/// Connections that are opened to see where they go.
const CONNECTIONS: usize = 64;

pub(crate) fn run() {
    let contenders = WAYS.map(Contender::bare_on_both);
    for contender in &contenders {
        let shares: Vec<String> = (0..5).map(|_| format!("{:?}", spread(contender))).collect();
        println!(
            "{}: {CONNECTIONS} connections to two workers, five times: {}",
            contender.name,
            shares.join(" ")
        );
    }
    for (name, closes) in [("kept", false), ("a connection for each request", true)] {
        println!("{name}:");
        compare(&contenders, closes);
    }
}

/// How many connections each worker got.
fn spread(contender: &Contender) -> [usize; 2] {
    let mut counts = [0; 2];
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(contender.address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer[..read]).into_owned();
        let worker = text.lines().find_map(|line| line.strip_prefix("server: ")).unwrap();
        counts[worker.parse::<usize>().unwrap()] += 1;
        held.push(stream);
    }
    counts
}
