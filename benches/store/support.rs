//! What the sections share: a folder, a click, and how latencies are printed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clicklog::clock::{Clock, Timestamp};
use clicklog::event::click::{Click, KeptAddress};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::event::params::{Params, ParamsRef, Source};
use clicklog::store::clicks::{ClickWriter, Recorded};
use clicklog::store::space::Marks;
use clicklog::store::{Error, Options};
use hdrhistogram::Histogram;

/// A fresh folder on the disk of the checkout, removed when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-data").join(name);
        let _absent = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

/// The defaults, without the marks that depend on the machine's free space.
pub(crate) fn options(folder: &Folder) -> Options {
    let marks = Marks { low_bytes: 0, critical_bytes: 0, reserve_bytes: 0 };
    Options { marks, ..Options::new(folder.path()) }
}

/// The texts of a click whose record is about 300 bytes long, frame included.
pub(crate) struct Texts {
    params: Vec<u8>,
}

impl Texts {
    pub(crate) fn new() -> Self {
        let mut params = Vec::new();
        let raw = b"visitor_id=8f14e45fceea167a&zoneid=4821337&bannerid=99201";
        Params::parse(raw, Source::Query).encode_into(&mut params);
        Self { params }
    }

    pub(crate) fn click(&self, time: Timestamp) -> Click<'_> {
        Click {
            time,
            campaign: "spring",
            source: "propeller",
            offer: "diet-42",
            cost: Some(Money { amount: Micros::new(12_000), currency: Currency::USD }),
            address: Some(KeptAddress::full([203, 0, 113, 7].into())),
            external_id: "8f14e45fceea167a",
            host: "trk.example.com",
            user_agent: "Mozilla/5.0 (Linux; Android 14) Chrome/130.0 Mobile",
            language: "en-US",
            params: ParamsRef::check(&self.params).unwrap(),
            ..Click::default()
        }
    }
}

/// Appends, waiting where the writer is faster than segments are made.
pub(crate) fn append(writer: &mut ClickWriter, click: &Click<'_>) -> Recorded {
    loop {
        match writer.append(click) {
            Ok(recorded) => return recorded,
            Err(Error::NoRoom { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Appends `count` clicks, one second apart in their time every 100,000.
pub(crate) fn fill(writer: &mut ClickWriter, count: u32) -> Vec<Recorded> {
    let (texts, start) = (Texts::new(), Clock::System.now());
    (0..count)
        .map(|n| append(writer, &texts.click(start.plus(Duration::from_micros((n / 100).into())))))
        .collect()
}

/// Nanoseconds, up to a minute.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap()
}

pub(crate) fn print_ns(what: &str, histogram: &Histogram<u64>) {
    let at = |quantile| histogram.value_at_quantile(quantile);
    println!(
        "{what}: p50 {} ns, p99 {} ns, p99.9 {} ns, max {} ns ({} samples)",
        at(0.5),
        at(0.99),
        at(0.999),
        histogram.max(),
        histogram.len()
    );
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Resident bytes of this process.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse::<u64>().unwrap() * 1024
    };
    field("RssAnon:")
}
