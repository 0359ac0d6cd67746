//! How long does a restart keep visitors waiting, on a socket that stays open?
//!
//! Time to first accept: from the start of the process to the first answer, over a data folder that was closed in order, and
//! over one whose process was killed. Longest wait: of visitors who come one after the other on connections of their own,
//! through restarts in order; nobody is refused, and none of them tries twice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clicklog::load::Limit;

use super::contender::{Contender, folder};

/// About 600 MiB.
const CLICKS: u64 = 2_000_000;
const RESTARTS: u32 = 5;
const VISITORS: usize = 8;

pub(crate) fn run() {
    let place = folder("restart");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = Contender::clicklog_on(&socket, &place);
    wait(address);
    let mut plan = server.plan();
    plan.limit = Limit::Requests(CLICKS);
    server.run(&plan);

    server.kill();
    drop(server);
    let begun = Instant::now();
    let server = Contender::clicklog_on(&socket, &place);
    wait(address);
    println!("first answer after a kill, {CLICKS} clicks: {:.1} ms", millis(begun.elapsed()));
    // In order.
    drop(server);
    let begun = Instant::now();
    let server = Contender::clicklog_on(&socket, &place);
    wait(address);
    println!("first answer after a stop in order: {:.1} ms", millis(begun.elapsed()));
    under_load(server, &socket, &place);
    std::fs::remove_dir_all(&place).unwrap();
}

fn under_load(server: Contender, socket: &TcpListener, place: &std::path::Path) {
    let address = socket.local_addr().unwrap();
    let is_over = AtomicBool::default();
    let mut server = Some(server);
    let waits: Vec<(Vec<Duration>, u64)> = std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..VISITORS).map(|_| scope.spawn(|| visits(address, &is_over))).collect();
        for _ in 0..RESTARTS {
            std::thread::sleep(Duration::from_secs(1));
            drop(server.take());
            server = Some(Contender::clicklog_on(socket, place));
        }
        std::thread::sleep(Duration::from_secs(1));
        is_over.store(true, Ordering::Relaxed);
        visitors.into_iter().map(|visitor| visitor.join().unwrap()).collect()
    });
    drop(server);
    let failed: u64 = waits.iter().map(|(_, failed)| failed).sum();
    let mut all: Vec<Duration> = waits.into_iter().flat_map(|(waits, _)| waits).collect();
    all.sort_unstable();
    let longest = all.last().copied().unwrap_or_default();
    println!(
        "{RESTARTS} restarts under {VISITORS} visitors: {} connections, {failed} failed; p50 {:.2} ms, longest wait {:.1} ms",
        all.len(),
        millis(all.get(all.len() / 2).copied().unwrap_or_default()),
        millis(longest)
    );
}

/// How long each waited, and how many were not answered.
fn visits(address: SocketAddr, is_over: &AtomicBool) -> (Vec<Duration>, u64) {
    let (mut waits, mut failed) = (Vec::new(), 0);
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match visit(address) {
            Some(()) => waits.push(begun.elapsed()),
            None => failed += 1,
        }
    }
    (waits, failed)
}

fn visit(address: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"GET /c/demo?zoneid=7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let mut head = Vec::new();
    stream.read_to_end(&mut head).ok()?;
    head.starts_with(b"HTTP/1.1 302").then_some(())
}

/// Until it has answered once: the connection waits in the socket's queue.
fn wait(address: SocketAddr) {
    visit(address).unwrap();
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
