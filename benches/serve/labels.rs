//! What the lists cost a click.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use clicklog::config::{Labels, load_lists};

const ROUNDS: u32 = 200_000;

pub(crate) fn run() {
    let lists = load_lists(&Labels::default()).unwrap();
    let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36";
    let address: IpAddr = "198.51.100.7".parse().unwrap();
    let time = |name: &str, work: &dyn Fn()| {
        work();
        let began = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        println!("{name}: {:.0} ns", began.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    };
    time("user agent of a browser and address", &|| {
        black_box(lists.labels(black_box(agent), black_box(address)));
    });
    time("address alone", &|| {
        black_box(lists.labels("", black_box(address)));
    });
    if cfg!(feature = "geo") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/geo/places.mmdb");
        let lists = load_lists(&Labels { geo: vec![path.into()], ..Labels::default() }).unwrap();
        time("country and network of an address, in a small database", &|| {
            black_box(lists.place(black_box(address)));
        });
    }
}
