//! Question: how long does a report over 90 days of roll-ups take, and how much room do those need?
//!
//! 50 campaigns with 20 offers each convert in every hour: 24,000 rows a day, which is more than most have.

use std::time::{Duration, Instant};

use clicklog::batch::report::{Query, report};
use clicklog::clock::Timestamp;
use clicklog::compactor::rollup::{COUNTS, Count, Sums, Tally, encode};
use clicklog::store::Store;
use clicklog::store::manifest::Manifest;
use clicklog::store::reader::Reader;

use crate::support::{Folder, options};

const DAYS: i64 = 90;
const CAMPAIGNS: u64 = 50;
const OFFERS: u64 = 20;
/// 2026-08-23T00:00:00Z.
const FIRST_DAY: i64 = 20_688;

pub(crate) fn run() {
    let folder = Folder::new("report");
    let store = Store::open(options(&folder)).unwrap();
    store.close().unwrap();
    let reader = Reader::open(folder.path());
    let id = Manifest::peek(reader.directory()).unwrap().unwrap().store;
    let days = folder.path().join("rollups/days");
    std::fs::create_dir_all(&days).unwrap();
    let mut bytes = 0;
    let began = Instant::now();
    for day in FIRST_DAY..FIRST_DAY + DAYS {
        let encoded = encode(id, &[], &tally(day));
        bytes += encoded.len();
        let date = moment(day).to_string();
        std::fs::write(days.join(format!("{}.rollup", &date[..10])), encoded).unwrap();
    }
    let rows = u64::try_from(DAYS).unwrap() * 24 * CAMPAIGNS * OFFERS;
    println!(
        "{DAYS} days, {rows} rows: {:.1} MB, {:.1} B a row, summed and written in {:.1} s",
        bytes as f64 / 1e6,
        bytes as f64 / rows as f64,
        began.elapsed().as_secs_f64()
    );
    for by in [&["campaign"][..], &["campaign", "offer"], &["day"], &["campaign", "offer", "day"], &["hour"]]
    {
        let query = query(by);
        let mut best = Duration::MAX;
        let mut found = 0;
        for _ in 0..5 {
            let began = Instant::now();
            let made = report(&reader, &query, &mut |_, _| {}).unwrap();
            best = best.min(began.elapsed());
            found = made.rows.len();
            assert_eq!(made.total.count(Count::Conversions), rows, "every row is counted");
        }
        println!("by {}: {:.0} ms, {found} rows", by.join(", "), best.as_secs_f64() * 1e3);
    }
}

fn moment(day: i64) -> Timestamp {
    Timestamp::from_micros(day * 86_400 * 1_000_000)
}

fn query(by: &[&str]) -> Query {
    Query {
        from: moment(FIRST_DAY),
        to: moment(FIRST_DAY + DAYS),
        offset: "Z".parse().unwrap(),
        by: by.iter().map(|name| name.parse().unwrap()).collect(),
        filters: Vec::new(),
        currency: None,
        leaves: false,
    }
}

/// A day as it comes to be: rows of clicks, and rows of conversions, which have a network.
fn tally(day: i64) -> Tally {
    let mut tally = Tally::default();
    for hour in day * 24..(day + 1) * 24 {
        for number in 0..CAMPAIGNS * OFFERS {
            let (campaign, offer) = (number / OFFERS, number % OFFERS);
            let source = format!("source-{}", campaign % 5);
            let (campaign, offer) = (format!("campaign-{campaign}"), format!("offer-{offer}"));
            let mut sums = Sums { cost: 1_234_567, revenue: 9_876_543, ..Sums::default() };
            sums.counts = [0; COUNTS];
            for (count, value) in [
                (Count::Clicks, 1000 + number),
                (Count::Net, 900 + number),
                (Count::Unique, 950),
                (Count::Bots, 50),
                (Count::Conversions, 1),
                (Count::Approved, 1),
            ] {
                sums.counts[count as usize] = value;
            }
            tally.add(hour, [&campaign, &offer, &source, "boost", "1", "DE", "USD"], &sums);
        }
    }
    tally
}
