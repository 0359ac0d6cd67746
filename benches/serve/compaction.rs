//! Does publishing Parquet beside the clicks move their latency? All of the server is on one processor, so it is not
//! hidden on another; and it has a backlog to publish all the time, as after a long outage.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clicklog::load::Limit;

use super::contender::{Contender, folder};

const RATE: u32 = 20_000;
const SEGMENTS: (&str, &str) = ("CLICKLOG_STORE__CLICK_SEGMENT", "16MiB");
const OFF: (&str, &str) = ("CLICKLOG_COMPACTOR__ENABLED", "false");

pub(crate) fn run() {
    let folder = folder("compaction");
    let filled = {
        let contender = Contender::clicklog_at(&folder, &[SEGMENTS, OFF]);
        let mut plan = contender.plan();
        plan.limit = Limit::Time(Duration::from_secs(20));
        contender.run(&plan).report.sent
    };
    println!("{RATE} clicks/s for 12 s beside a backlog of {filled} clicks; latency in µs");
    for round in 1..=3 {
        for (name, settings) in [("not publishing", &[SEGMENTS, OFF][..]), ("publishing", &[SEGMENTS])] {
            forget_published(&folder);
            let contender = Contender::clicklog_at(&folder, settings);
            let mut plan = contender.plan();
            plan.rate = Some(RATE);
            plan.limit = Limit::Time(Duration::from_secs(12));
            let cost = contender.run(&plan);
            let latency: Vec<String> =
                cost.report.latency.values_us.iter().map(|(name, us)| format!("{name} {us}")).collect();
            let published = bytes_in(&folder.join("clicklog-data/export")) / 1024;
            println!("round {round}, {name:14} {}, {published} KiB published", latency.join("  "));
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

fn forget_published(folder: &Path) {
    for name in ["export", "export-meta", "export-old", "export-staging", "rollups"] {
        let _absent = fs::remove_dir_all(folder.join("clicklog-data").join(name));
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_in(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}
