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
/// Postbacks a second that are offered where not as many as possible are.
const RATE: u64 = 20_000;

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
    measure(Some(RATE));
    measure(None);
    device();
}

/// With a rate, a waiter asks when its turn has come; without one, as soon as it has its answer.
fn measure(rate: Option<u64>) {
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
            let pause = rate.map(|rate| Duration::from_nanos(1_000_000_000 * CLIENTS as u64 / rate));
            scope.spawn(move || {
                let mine = client(|n| handle.submit(n).ok(), pause);
                total.lock().unwrap().add(mine).unwrap();
            });
        }
    });
    let total = total.into_inner().unwrap();
    let achieved = total.len() as f64 / began.elapsed().as_secs_f64();
    let asked = rate.map_or("as many as they can".to_owned(), |rate| format!("{rate}/s"));
    println!("{WAITERS} waiters, {asked}: {achieved:.0} durable postbacks/s");
    print_ns("  answer", &total);
    owner.stop();
    store.close().unwrap();
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

/// Keeps its share of the waiters waiting until the time is up. An answer's time counts from when it was due, so
/// that a stall is seen by everybody who came during it.
fn client(submit: impl Fn(u64) -> Option<Reply<u64>>, pause: Option<Duration>) -> Histogram<u64> {
    let bell = Arc::new(Bell { thread: std::thread::current(), rung: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    let mut times = histogram();
    let mut waiting: Vec<Option<(Reply<u64>, Instant)>> = (0..WAITERS / CLIENTS).map(|_| None).collect();
    let mut due = Instant::now();
    let end = due + Duration::from_secs(SECONDS);
    let mut n = 0;
    while Instant::now() < end {
        for place in &mut waiting {
            heard(place, &mut context, &mut times);
            let now = Instant::now();
            if place.is_none() && pause.is_none_or(|_| due <= now) {
                n += 1;
                let began = if pause.is_some() { due } else { now };
                due += pause.unwrap_or_default();
                *place = submit(n).map(|reply| (reply, began));
                // Asked once, so that it knows whom to wake.
                heard(place, &mut context, &mut times);
            }
        }
        let is_full = waiting.iter().all(Option::is_some);
        while !bell.rung.swap(false, Ordering::AcqRel)
            && (is_full || pause.is_none_or(|_| due > Instant::now()))
        {
            let patience = pause.filter(|_| !is_full).map(|_| due.saturating_duration_since(Instant::now()));
            std::thread::park_timeout(patience.unwrap_or(Duration::from_millis(10)));
        }
    }
    times
}

/// Takes the answer, if it is there.
fn heard(place: &mut Option<(Reply<u64>, Instant)>, context: &mut Context<'_>, times: &mut Histogram<u64>) {
    if let Some((reply, began)) = place
        && let Poll::Ready(answer) = Pin::new(reply).poll(context)
    {
        answer.unwrap();
        times.record(nanos(began.elapsed())).unwrap();
        *place = None;
    }
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
