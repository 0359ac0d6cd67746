//! Question: how many postbacks a second become durable with 256 waiting for an answer, and how long does one
//! wait, beside what the device's own fdatasync takes in the same run?

use std::future::Future;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use clicklog::clock::Clock;
use clicklog::event::codec::Encoder;
use clicklog::event::postback::Postback;
use clicklog::store::commit::{Limits, Reply, Stage, start};
use clicklog::store::{Error, Journal, LaneWriter, Result, Store};
use hdrhistogram::Histogram;

use crate::support::{Folder, histogram, nanos, options, print_ns};

const CLIENTS: usize = 2;
const WAITERS: usize = 256;
const SECONDS: u64 = 10;

struct Keep {
    encoder: Encoder,
    query: String,
}

impl Stage for Keep {
    type Request = u64;
    type Reply = u64;

    fn apply(&mut self, n: u64, journal: &mut LaneWriter) -> Result<u64> {
        let postback = Postback {
            time: Clock::System.now(),
            network: "revboost",
            method: "GET",
            host: "trk.example.com",
            path: "/postback/revboost",
            query: &self.query,
            headers: "user-agent: Go-http-client/1.1\naccept-encoding: gzip",
            ..Postback::default()
        };
        let Ok(encoded) = self.encoder.postback(&postback) else { unreachable!("it is short") };
        loop {
            match journal.append(&encoded) {
                Ok(_) => return Ok(n),
                Err(Error::NoRoom { .. }) => std::thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
    }
}

pub(crate) fn run() {
    device();
    let folder = Folder::new("durable");
    let store = Store::open(options(&folder)).unwrap();
    let journal = store.journal_writer(Journal::Postbacks).unwrap();
    let stage = Keep {
        encoder: Encoder::default(),
        query: format!("cid={}&payout=3.50&txid={}", "6dhgw59vbvzw5hw7zntksdp97k", "x".repeat(200)),
    };
    let (handle, owner) = start("postbacks", stage, journal, Limits::default(), Clock::System).unwrap();
    let began = Instant::now();
    let total = Mutex::new(histogram());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (handle, total) = (handle.clone(), &total);
            scope.spawn(move || {
                let mine = client(|n| handle.submit(n).ok());
                total.lock().unwrap().add(mine).unwrap();
            });
        }
    });
    let total = total.into_inner().unwrap();
    let rate = total.len() as f64 / began.elapsed().as_secs_f64();
    println!("{WAITERS} waiters: {rate:.0} durable postbacks/s");
    print_ns("  answer", &total);
    owner.stop();
    store.close().unwrap();
    device();
}

/// The device itself: 4 KiB written over blocks that exist, then fdatasync.
fn device() {
    let folder = Folder::new("device");
    let path = folder.path().join("file");
    let file = std::fs::File::create(path).unwrap();
    file.write_all_at(&vec![0; 16 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let mut times = histogram();
    for n in 0..4_000u64 {
        file.write_all_at(&[7; 4096], n * 4096 % (16 << 20)).unwrap();
        let began = Instant::now();
        file.sync_data().unwrap();
        times.record(nanos(began.elapsed())).unwrap();
    }
    print_ns("the device's fdatasync after 4 KiB", &times);
}

/// Keeps its share of the waiters waiting until the time is up.
fn client(submit: impl Fn(u64) -> Option<Reply<u64>>) -> Histogram<u64> {
    let bell = Arc::new(Bell { thread: std::thread::current(), rung: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    let mut times = histogram();
    let mut waiting: Vec<Option<(Reply<u64>, Instant)>> = (0..WAITERS / CLIENTS).map(|_| None).collect();
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let mut n = 0;
    while Instant::now() < end {
        for place in &mut waiting {
            if let Some((reply, began)) = place
                && let Poll::Ready(answer) = Pin::new(reply).poll(&mut context)
            {
                answer.unwrap();
                times.record(nanos(began.elapsed())).unwrap();
                *place = None;
            }
            if place.is_none() {
                n += 1;
                *place = submit(n).map(|reply| (reply, Instant::now()));
                // Asked once, so that it knows whom to wake.
                if let Some((reply, _)) = place {
                    let _early = Pin::new(reply).poll(&mut context).is_ready();
                }
            }
        }
        while !bell.rung.swap(false, Ordering::AcqRel) {
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
    times
}

struct Bell {
    thread: Thread,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}
