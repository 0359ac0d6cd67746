//! Question: how long does a start take that has to read 1 GiB of segments that nobody sealed?

use std::time::Instant;

use clicklog::clock::Clock;
use clicklog::store::{Options, Store};

use crate::support::{Folder, Texts, append, options};

const LANES: u8 = 4;
const BYTES: u64 = 1 << 30;

pub(crate) fn run() {
    let folder = Folder::new("recovery");
    let lanes = |folder: &Folder| Options { lanes: LANES, click_segment_bytes: 512 << 20, ..options(folder) };
    let store = Store::open(lanes(&folder)).unwrap();
    let texts = Texts::new();
    let click = texts.click(Clock::System.now());
    let mut records = 0u64;
    for lane in 0..LANES {
        let mut writer = store.click_writer(lane).unwrap();
        let mut offset = 0;
        while offset < BYTES / u64::from(LANES) {
            offset = append(&mut writer, &click).appended.position().offset().into();
            records += 1;
        }
        writer.lane().sync().unwrap();
    }
    drop(store);
    let began = Instant::now();
    let store = Store::open(lanes(&folder)).unwrap();
    let took = began.elapsed();
    let report = store.report();
    assert_eq!(report.recovered_records, records);
    println!(
        "start with {} MiB unsealed, {records} records: {:.3} s",
        report.scanned_bytes >> 20,
        took.as_secs_f64()
    );
}
