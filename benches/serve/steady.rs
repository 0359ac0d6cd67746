//! At a steady rate, with latencies from when each request was due: does p99 move while segments roll and sync?

use std::time::Duration;

use clicklog::load::Limit;

use super::contender::Contender;

const RATE: u32 = 20_000;

pub(crate) fn run() {
    println!("{RATE} clicks/s for 15 s, 64 connections; latency in µs");
    for round in 1..=2 {
        // About 7 MB a second: the one never rolls, the other twice a second.
        for (name, segment) in [("256 MiB segments", "256MiB"), ("4 MiB segments", "4MiB")] {
            let contender = Contender::clicklog(&[("CLICKLOG_STORE__CLICK_SEGMENT", segment)]);
            let mut plan = contender.plan();
            plan.rate = Some(RATE);
            plan.limit = Limit::Time(Duration::from_secs(15));
            let report = contender.run(&plan).report;
            let latency: Vec<String> =
                report.latency.values_us.iter().map(|(name, us)| format!("{name} {us}")).collect();
            println!("round {round}, {name:18} {}", latency.join("  "));
        }
    }
}
