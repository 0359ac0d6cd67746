//! How many postbacks a second are answered once they are on disk, how long does one take, and does that slow clicks?
//!
//! One worker on processor 0, the load on processor 1, 64 kept connections. The device's own fdatasync after 4 KiB is
//! measured in the same run, before and after.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use clicklog::clock::Clock;
use clicklog::load::{Limit, Plan, Report};
use clicklog::shutdown::Shutdown;

use super::contender::Contender;

/// Postbacks a second that are offered where not as many as possible are.
const RATE: u32 = 15_000;
/// Clicks a second, and one postback for twenty of them.
const CLICKS: u32 = 10_000;
const POSTBACKS: u32 = 500;
const TIME: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;

pub(crate) fn run() {
    device();
    for round in 1..=ROUNDS {
        for (name, rate) in [("flat out", None), ("15,000/s", Some(RATE))] {
            settle();
            let contender = Contender::clicklog(&[]);
            let mut plan = postbacks(&contender, 0);
            (plan.rate, plan.limit) = (rate, Limit::Time(TIME));
            let cost = contender.run_for(&plan, 2);
            let per_second = cost.report.sent as f64 / cost.report.elapsed.as_secs_f64();
            let latency = latency(&cost.report);
            println!(
                "round {round}, {name}: {per_second:.0}/s, {:.1} µs CPU, latency in µs {latency}",
                cost.cpu_us
            );
        }
    }
    device();
    for round in 1..=ROUNDS {
        for (name, rate) in [("clicks alone", None), ("with 5 % postbacks", Some(POSTBACKS))] {
            println!("round {round}, {CLICKS} clicks/s, {name}: latency in µs {}", clicks_beside(rate));
        }
    }
}

/// New transactions of one click.
pub(crate) fn postbacks(contender: &Contender, seed: u64) -> Plan {
    let id = click(contender);
    let target = format!("/postback/demo-network?click_id={id}&txid={{random}}&payout=3.50&status=approved");
    let mut plan = Plan::new(vec![format!("http://{}{target}", contender.address).parse().unwrap()]);
    (plan.cpu, plan.seed) = (Some(1), plan.seed ^ seed);
    plan
}

fn click(contender: &Contender) -> String {
    let mut stream = TcpStream::connect(contender.address).unwrap();
    stream.write_all(b"GET /c/demo HTTP/1.1\r\nHost: trk.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split("cl_cid=").nth(1).unwrap().split(';').next().unwrap().to_owned()
}

/// The latency of clicks at a steady rate, with so many postbacks a second beside them.
fn clicks_beside(rate: Option<u32>) -> String {
    settle();
    let contender = Contender::clicklog(&[]);
    let mut clicks = contender.plan();
    (clicks.rate, clicks.limit) = (Some(CLICKS), Limit::Time(TIME));
    let is_over = Shutdown::default();
    std::thread::scope(|scope| {
        if let Some(rate) = rate {
            let mut plan = postbacks(&contender, 1);
            (plan.rate, plan.connections, plan.limit) = (Some(rate), 8, Limit::Time(4 * TIME));
            let is_over = is_over.clone();
            scope.spawn(move || {
                let report = clicklog::load::run(&plan, &Clock::System, &is_over).unwrap();
                assert_eq!(report.class(2), report.sent, "{report:?}");
            });
        }
        let cost = contender.run(&clicks);
        is_over.trip();
        latency(&cost.report)
    })
}

/// Where blocks that are given up are discarded (a mount option), the commit that does so holds every sync up: here
/// what the turn before left behind, for 40 ms.
fn settle() {
    let _synced = Command::new("sync").status();
    std::thread::sleep(Duration::from_secs(6));
}

fn latency(report: &Report) -> String {
    let values = report.latency.values_us.iter().map(|(name, us)| format!("{name} {us}"));
    values.collect::<Vec<_>>().join("  ")
}

/// The device itself: 4 KiB written over blocks that exist, then fdatasync.
fn device() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-data/device");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path).unwrap();
    file.write_all_at(&vec![1; 1 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let mut times: Vec<u128> = (0..20_000u64)
        .map(|n| {
            let began = Instant::now();
            file.write_all_at(&[2; 4096], n % 256 * 4096).unwrap();
            file.sync_data().unwrap();
            began.elapsed().as_micros()
        })
        .collect();
    times.sort_unstable();
    let [p50, p99, p999, max] = [10_000, 19_800, 19_980, 19_999].map(|at| times[at]);
    println!("the device's fdatasync after 4 KiB: p50 {p50} µs, p99 {p99} µs, p99.9 {p999} µs, max {max} µs");
    std::fs::remove_file(path).unwrap();
}
