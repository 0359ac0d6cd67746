//! Question: how long does an append take at 200,000 clicks a second, with syncs every 50 ms and segments
//! rolling and being sealed; and how many go in flat out, from one thread and from two?

use std::hint::spin_loop;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use clicklog::clock::Clock;
use clicklog::store::{Error, Options, Store};

use crate::support::{Folder, Texts, append, histogram, nanos, options, print_ns};

const RATE: u64 = 200_000;
const PACED_SECONDS: u64 = 15;
const FLAT_OUT: u32 = 3_000_000;

pub(crate) fn run() {
    paced();
    // One after the other and again, since machines are noisy: the better of three.
    let best = |lanes| (0..3).map(|_| flat_out(lanes)).fold(0.0, f64::max);
    let (one, two) = (best(1), best(2));
    println!("flat out: one lane {one:.0}/s, two lanes {two:.0}/s: {:.2} times", two / one);
}

fn paced() {
    let folder = Folder::new("append");
    let store = Store::open(options(&folder)).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let (texts, clock) = (Texts::new(), Clock::System);
    let (mut service, mut since_due) = (histogram(), histogram());
    let mut refused = 0;
    let first = append(&mut writer, &texts.click(clock.now()));
    let second = append(&mut writer, &texts.click(clock.now()));
    let bytes = second.appended.position().offset() - first.appended.position().offset();
    let start = Instant::now();
    for n in 0..RATE * PACED_SECONDS {
        let due = start + Duration::from_nanos(n * 1_000_000_000 / RATE);
        let mut now = Instant::now();
        while now < due {
            spin_loop();
            now = Instant::now();
        }
        // Reading the clock for the record is not part of the append.
        let click = texts.click(clock.now());
        let began = Instant::now();
        match writer.append(&click) {
            Ok(_) => {}
            Err(Error::NoRoom { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        let done = Instant::now();
        service.record(nanos(done - began).max(1)).unwrap();
        since_due.record(nanos(done - due).max(1)).unwrap();
    }
    let sealed = store.counters().sealed.load(std::sync::atomic::Ordering::Relaxed);
    println!(
        "paced {RATE}/s for {PACED_SECONDS} s, {bytes} B records, {sealed} segments sealed, {refused} refused"
    );
    print_ns("  append", &service);
    print_ns("  since it was due", &since_due);
    let mut clock_cost = histogram();
    for _ in 0..100_000 {
        let began = Instant::now();
        clock_cost.record(nanos(Instant::now() - began).max(1)).unwrap();
    }
    print_ns("  of which reading the time", &clock_cost);
    writer.close();
    store.close().unwrap();
}

/// Clicks a second over all lanes. What is measured is appending: where a lane has to wait for a segment, the
/// disk is measured instead, so each lane's segments hold all that it writes.
fn flat_out(lanes: u8) -> f64 {
    let folder = Folder::new("flat");
    let options = Options { lanes, click_segment_bytes: 512 * 1024 * 1024, ..options(&folder) };
    let store = Store::open(options).unwrap();
    let barrier = Barrier::new(lanes.into());
    let count = FLAT_OUT / 2;
    let rates: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..lanes)
            .map(|lane| {
                let mut writer = store.click_writer(lane).unwrap();
                let barrier = &barrier;
                scope.spawn(move || {
                    let (texts, now) = (Texts::new(), Clock::System.now());
                    let click = texts.click(now);
                    barrier.wait();
                    let began = Instant::now();
                    for _ in 0..count {
                        append(&mut writer, &click);
                    }
                    f64::from(count) / began.elapsed().as_secs_f64()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    rates.iter().sum()
}
