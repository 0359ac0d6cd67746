//! Question: how much memory does a transaction take that a repeat is told from, and how long does it take to know one?

use std::time::Instant;

use clicklog::store::Position;
use clicklog::store::dedupe::{DedupeKey, Table};

const SIZES: [u32; 4] = [100_000, 1_000_000, 3_000_000, 10_000_000];

pub(crate) fn run() {
    let key = DedupeKey::new(&[7; DedupeKey::LEN_BYTES]);
    let hash = |n: u32| key.hash(format!("network\0t-{n}").as_bytes());
    let at = |n: u32| Position::new(1 + n / 1_000_000, n % 1_000_000 * 16);
    for size in SIZES {
        let mut table = Table::new(usize::try_from(size).unwrap());
        let began = Instant::now();
        for n in 0..size {
            table.insert(hash(n), at(n)).unwrap();
        }
        let filled = began.elapsed();
        let began = Instant::now();
        for n in 0..size {
            assert_eq!(table.find(hash(n), |position| position == at(n)), Some(at(n)));
        }
        let found = began.elapsed();
        let each = |time: std::time::Duration| time.as_nanos() as f64 / f64::from(size);
        println!(
            "{size:>10} transactions: {:.1} B each, {:.0} ns to add, {:.0} ns to know, hash included",
            table.memory_bytes() as f64 / f64::from(size),
            each(filled),
            each(found),
        );
    }
}
