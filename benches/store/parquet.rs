//! Question: how many clicks become Parquet in a second of one core, and how long is one?
//!
//! The clicks are those that `clicklog load` sends to the demo: a million visitors, twenty browsers, a random visitor id,
//! 20,000 a second.

use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use clicklog::clock::{Clock, Timestamp};
use clicklog::compactor::clicks::Clicks;
use clicklog::compactor::folder::Folder as Export;
use clicklog::compactor::publish::publish;
use clicklog::compactor::{Source, write_file};
use clicklog::event::click::{Click, KeptAddress};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::event::params::{Params, ParamsRef, Source as From};
use clicklog::store::Store;
use clicklog::store::reader::Reader;

use crate::support::{Folder, append, options};

const CLICKS: u32 = 1_500_000;

pub(crate) fn run() {
    let folder = Folder::new("parquet");
    fill(&folder);
    let reader = Reader::open(folder.path());
    for level in [1, 2, 3, 4, 6, 9] {
        let source = Source::<Clicks>::open(&reader, 0, 0).unwrap();
        let rows: u64 = source.parts().map(|part| part.rows).sum();
        let (mut bytes, cpu, began) = (0, cpu_ns(), Instant::now());
        for part in source.parts() {
            bytes += write_file(&source, part, Counted(0), level).unwrap().0;
        }
        let (cpu, wall) = ((cpu_ns() - cpu) as f64, began.elapsed().as_secs_f64());
        println!(
            "zstd {level}: {rows} clicks, {:.1} B each, {:.0} ns of processor each, {:.0}/s of a core, {:.0}/s by the clock",
            bytes as f64 / rows as f64,
            cpu / rows as f64,
            rows as f64 / cpu * 1e9,
            rows as f64 / wall
        );
    }
    let cpu = cpu_ns();
    let export = Export::new(folder.path());
    let publication = publish::<Clicks>(&export, &reader, (0, 0), |_| ControlFlow::Continue(())).unwrap();
    let (rows, bytes) =
        publication.files.iter().fold((0, 0), |(rows, bytes), file| (rows + file.rows, bytes + file.bytes));
    println!(
        "published, looked through and synced: {:.0}/s of a core, {:.1} B a click",
        rows as f64 / (cpu_ns() - cpu) as f64 * 1e9,
        bytes as f64 / rows as f64
    );
}

fn fill(folder: &Folder) {
    let store = Store::open(options(folder)).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let hour = Clock::System.now().seconds() / 3600 * 3600;
    let mut params = Vec::new();
    Params::parse(b"zone=4821337&bannerid=99201", From::Query).encode_into(&mut params);
    for n in 0..u64::from(CLICKS) {
        let visitor = mix(n) % 1_000_000;
        let random = mix(n ^ 0x5eed);
        let mixed = mix(visitor).to_le_bytes();
        let external_id = format!("{visitor}-{random:016x}");
        let jitter = Duration::from_micros(n * 50 + mix(n ^ 1) % 40);
        let agent = usize::try_from(mix(visitor ^ 2) % 20).unwrap();
        let click = Click {
            time: Timestamp::from_seconds(hour).plus(jitter),
            campaign: "demo",
            source: "demo-source",
            offer: if mix(n ^ 3) % 10 < 7 { "demo-offer" } else { "demo-offer-b" },
            config_version: 1,
            cost: Some(Money { amount: Micros::new(12_300), currency: Currency::USD }),
            address: Some(KeptAddress::full([64 + mixed[0] % 36, mixed[1], mixed[2], mixed[3]].into())),
            external_id: &external_id,
            host: "127.0.0.1:8080",
            referrer: "https://news.example.org/",
            user_agent: AGENTS[agent % AGENTS.len()],
            language: "en-US,en;q=0.9",
            params: ParamsRef::check(&params).unwrap(),
            ..Click::default()
        };
        append(&mut writer, &click);
    }
    writer.close();
    store.close().unwrap();
}

/// The finaliser of SplitMix64.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Counts what is written to it.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Processor time of this thread: the machine may have other work.
fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

const AGENTS: [&str; 10] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Android 15; Mobile; rv:142.0) Gecko/142.0 Firefox/142.0",
];
