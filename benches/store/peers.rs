//! Question: the same work, a million clicks appended and found again, beside what a user might take instead?
//!
//! All three keep what they were given when the process dies, and lose at most what was not yet synced when the
//! power does: clicklog through its mapping with a sync every 50 ms, fjall through its journal flushed to the
//! system at each insert (`PersistMode::Buffer`), the plain file through a flush of its buffer at each append. The second
//! plain file flushes only when 64 KiB are full, and would lose those with the process: it is here to be seen.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use clicklog::clock::Clock;
use clicklog::event::codec::Encoder;
use clicklog::store::{Lookup, Store};
use hashbrown::HashMap;

use crate::support::{Folder, Texts, append, options, resident_bytes};

const CLICKS: usize = 1_000_000;

pub(crate) fn run() {
    clicklog();
    fjall();
    plain("BufWriter flushed each time + hashbrown", true);
    plain("BufWriter of 64 KiB + hashbrown (loses 64 KiB with the process)", false);
}

struct Timed {
    appends: f64,
    finds: f64,
}

fn print(what: &str, timed: &Timed, folder: &Path, rss_before: u64) {
    println!(
        "{what}: {:.0} appends/s, {:.0} finds/s, {} MiB on disk, {} MiB of memory",
        timed.appends,
        timed.finds,
        disk_bytes(folder) >> 20,
        resident_bytes().saturating_sub(rss_before) >> 20
    );
}

fn rate(began: Instant) -> f64 {
    CLICKS as f64 / began.elapsed().as_secs_f64()
}

/// The same scattered order for all.
fn scattered() -> impl Iterator<Item = usize> {
    (0..CLICKS).map(|n| n * 7_368_787 % CLICKS)
}

fn clicklog() {
    let (folder, before) = (Folder::new("peer-clicklog"), resident_bytes());
    let store = Store::open(options(&folder)).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let (texts, clock) = (Texts::new(), Clock::System);
    let mut ids = Vec::with_capacity(CLICKS);
    let began = Instant::now();
    for _ in 0..CLICKS {
        ids.push(append(&mut writer, &texts.click(clock.now())).click_id);
    }
    let appends = rate(began);
    let clicks = store.clicks();
    let began = Instant::now();
    for n in scattered() {
        assert!(matches!(black_box(clicks.find(&ids[n])), Lookup::Found(_)));
    }
    let finds = rate(began);
    writer.close();
    store.close().unwrap();
    print("clicklog", &Timed { appends, finds }, folder.path(), before);
}

/// What the others store: the same payload, under a random 16-byte id that they are given.
fn payload(encoder: &mut Encoder, texts: &Texts, clock: &Clock) -> Vec<u8> {
    encoder.click(&texts.click(clock.now())).unwrap().payload.to_vec()
}

fn id(n: usize) -> [u8; 16] {
    (n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes()
}

fn fjall() {
    let (folder, before) = (Folder::new("peer-fjall"), resident_bytes());
    let database = fjall::Database::builder(folder.path()).open().unwrap();
    let clicks = database.keyspace("clicks", fjall::KeyspaceCreateOptions::default).unwrap();
    let (texts, clock, mut encoder) = (Texts::new(), Clock::System, Encoder::default());
    let began = Instant::now();
    for n in 0..CLICKS {
        let bytes = payload(&mut encoder, &texts, &clock);
        clicks.insert(id(n), bytes).unwrap();
        database.persist(fjall::PersistMode::Buffer).unwrap();
    }
    let appends = rate(began);
    let began = Instant::now();
    for n in scattered() {
        assert!(black_box(clicks.get(id(n)).unwrap()).is_some());
    }
    let finds = rate(began);
    print("fjall", &Timed { appends, finds }, folder.path(), before);
}

fn plain(what: &str, flushes: bool) {
    let (folder, before) = (Folder::new("peer-plain"), resident_bytes());
    let path = folder.path().join("log");
    let mut file = BufWriter::with_capacity(64 * 1024, File::create(&path).unwrap());
    let mut index: HashMap<[u8; 16], (u64, u32)> = HashMap::new();
    let (texts, clock, mut encoder) = (Texts::new(), Clock::System, Encoder::default());
    let mut offset = 0;
    let began = Instant::now();
    for n in 0..CLICKS {
        let bytes = payload(&mut encoder, &texts, &clock);
        file.write_all(&bytes).unwrap();
        if flushes {
            file.flush().unwrap();
        }
        index.insert(id(n), (offset, u32::try_from(bytes.len()).unwrap()));
        offset += bytes.len() as u64;
    }
    let appends = rate(began);
    file.flush().unwrap();
    let read = File::open(&path).unwrap();
    let mut bytes = Vec::new();
    let began = Instant::now();
    for n in scattered() {
        let (offset, len) = index[&id(n)];
        bytes.resize(len as usize, 0);
        read.read_exact_at(&mut bytes, offset).unwrap();
        black_box(&bytes);
    }
    let finds = rate(began);
    print(what, &Timed { appends, finds }, folder.path(), before);
}

fn disk_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { disk_bytes(&path) } else { path.metadata().unwrap().blocks() * 512 })
        .sum()
}
