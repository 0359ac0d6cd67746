//! Question: how long does it take to find one of 10 million clicks, to turn garbage away, and what does the
//! index cost in memory?

use std::hint::black_box;
use std::time::Instant;

use clicklog::event::click_id::ClickId;
use clicklog::store::clicks::Clicks;
use clicklog::store::sealed::Tried;
use clicklog::store::{Lookup, Store};

use crate::support::{Folder, fill, options};

const CLICKS: u32 = 10_000_000;
const LOOKUPS: usize = 2_000_000;
/// Clicks, all over the store, that are asked for again and again: their index entries stay in the cache.
const WARM: usize = 4096;

pub(crate) fn run() {
    let folder = Folder::new("lookup");
    let store = Store::open(options(&folder)).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let ids: Vec<ClickId> = fill(&mut writer, CLICKS).into_iter().map(|recorded| recorded.click_id).collect();
    let clicks = store.clicks();
    // The segment that is still written, then all of them.
    for (which, count) in [("warm", WARM), ("scattered over 100,000", 100_000)] {
        let newest = &ids[ids.len() - count..];
        time(&format!("find in the open segment, record checked, {which}"), newest, |id| {
            assert!(matches!(clicks.try_find(id), Tried::Done(Lookup::Found(_))));
        });
    }
    writer.close();
    store.close().unwrap();

    let began = Instant::now();
    let store = Store::open(options(&folder)).unwrap();
    println!("opening {CLICKS} sealed clicks: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let clicks = store.clicks();
    warm(&clicks, &ids);
    index_bytes();
    let some: Vec<ClickId> = ids.iter().step_by(ids.len() / WARM).copied().collect();
    for (which, ids) in [("warm", &some), ("scattered over all, each a cache miss or two", &ids)] {
        let places: Vec<_> = ids.iter().map(|id| clicks.decode(id).unwrap()).collect();
        time(&format!("locate by place (index only), {which}"), &places, |place| {
            assert!(matches!(clicks.try_locate(*place), Tried::Done(Lookup::Found(_))));
        });
        time(&format!("locate by id (decipher, index), {which}"), ids, |id| {
            let place = clicks.decode(id).unwrap();
            assert!(matches!(clicks.try_locate(place), Tried::Done(Lookup::Found(_))));
        });
        time(&format!("find in sealed segments, record copied and checked, {which}"), ids, |id| {
            black_box(matches!(clicks.try_find(id), Tried::Done(Lookup::Found(_))));
        });
    }
    let garbage: Vec<_> =
        (0..WARM as u128).map(|n| ClickId::from_bytes((n * 0x9e37_79b9_7f4a_7c15).to_le_bytes())).collect();
    time("garbage id", &garbage, |id| assert!(clicks.decode(id).is_none()));
}

/// Touches every index page, and the files, as a running daemon would have.
fn warm(clicks: &Clicks, ids: &[ClickId]) {
    for id in ids.iter().step_by(500) {
        assert!(matches!(clicks.find(id), Lookup::Found(_)));
    }
}

/// What the mapped index files have resident.
fn index_bytes() {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut resident_kib = 0u64;
    let mut is_index = false;
    for line in maps.lines() {
        if line.contains('-') && !line.contains("kB") {
            is_index = line.ends_with(".idx");
        } else if is_index && let Some(rest) = line.strip_prefix("Rss:") {
            resident_kib += rest.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
        }
    }
    let per_click = resident_kib as f64 * 1024.0 / f64::from(CLICKS);
    println!("resident index: {per_click:.2} B a click");
}

/// Goes through `things` in a scattered order, and prints the mean; the loop and the order cost a few ns.
fn time<T>(what: &str, things: &[T], mut each: impl FnMut(&T)) {
    let mut at = 0;
    let step = (7_368_787 % things.len()) | 1;
    let began = Instant::now();
    for _ in 0..LOOKUPS {
        each(black_box(&things[at]));
        at = (at + step) % things.len();
    }
    println!("{what}: {:.1} ns", began.elapsed().as_nanos() as f64 / LOOKUPS as f64);
}
