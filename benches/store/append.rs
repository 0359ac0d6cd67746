//! Question: how long does an append take at 200,000 clicks a second, with syncs every 50 ms and segments
//! rolling and being sealed; and how many go in flat out, from one thread and from two?

use std::hint::{black_box, spin_loop};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use clicklog::clock::Clock;
use clicklog::event::codec::Encoder;
use clicklog::store::{Error, Options, Store};

use crate::support::{Folder, Texts, append, histogram, nanos, options, print_ns};

const RATE: u64 = 200_000;
const PACED_SECONDS: u64 = 15;
/// Records of a lane that a 128 MiB segment holds.
const BURST: u32 = 350_000;
const RECORD_BYTES: usize = 288;
const SUSTAINED: u32 = 1_500_000;

pub(crate) fn run() {
    paced();
    for (what, count) in
        [("into pages that are there", BURST), ("with pages made and synced beside it", SUSTAINED)]
    {
        // One after the other and again, since machines are noisy: the best of five.
        let (mut one, mut two) = (0.0, 0.0);
        for _ in 0..5 {
            one = flat_out(1, count).max(one);
            two = flat_out(2, count).max(two);
        }
        println!("flat out, {what}: one lane {one:.0}/s, two lanes {two:.0}/s: {:.2} times", two / one);
    }
    let (mut one, mut two) = (0.0, 0.0);
    for _ in 0..5 {
        one = compute(1).max(one);
        two = compute(2).max(two);
    }
    println!(
        "  this machine: encoding the click and copying it into plain memory scales {:.2} times",
        two / one
    );
}

/// What two threads of this machine are worth to work that shares nothing, and writes as many bytes as fast.
fn compute(threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let rates: Vec<f64> = std::thread::scope(|scope| {
        let encode = || {
            let (texts, mut encoder) = (Texts::new(), Encoder::default());
            let click = texts.click(Clock::System.now());
            let mut memory = vec![1; BURST as usize * RECORD_BYTES];
            barrier.wait();
            let began = Instant::now();
            for record in memory.chunks_mut(RECORD_BYTES) {
                let payload = encoder.click(black_box(&click)).unwrap().payload;
                record[..payload.len()].copy_from_slice(payload);
            }
            black_box(&memory);
            f64::from(BURST) / began.elapsed().as_secs_f64()
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(encode)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    rates.iter().sum()
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

/// Clicks a second over all lanes. What is measured is appending, so each lane's segment holds all that it
/// writes. `BURST` fits what was faulted in before and is synced after it: then the lanes alone are at work. More
/// than that has the kernel clear pages and write them out on the same cores.
fn flat_out(lanes: u8, count: u32) -> f64 {
    let folder = Folder::new("flat");
    let options = match count {
        BURST => Options {
            click_segment_bytes: 128 * 1024 * 1024,
            populate_bytes: 128 * 1024 * 1024,
            click_sync_bytes: u32::MAX,
            click_sync_interval: Duration::from_secs(60),
            ..options(&folder)
        },
        _ => Options { click_segment_bytes: 512 * 1024 * 1024, ..options(&folder) },
    };
    let options = Options { lanes, ..options };
    let store = Store::open(options).unwrap();
    let barrier = Barrier::new(lanes.into());
    let rates: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..lanes)
            .map(|lane| {
                let mut writer = store.click_writer(lane).unwrap();
                let barrier = &barrier;
                scope.spawn(move || {
                    let (texts, now) = (Texts::new(), Clock::System.now());
                    let click = texts.click(now);
                    // The pages of a lane's first segment are faulted in once it is in use.
                    append(&mut writer, &click);
                    std::thread::sleep(Duration::from_millis(500));
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
