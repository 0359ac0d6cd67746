//! A large catalog: how long it takes to load, and what it takes to hold.

use std::time::Instant;

use clicklog::config::catalog::load;

use super::contender::Contender;

const CAMPAIGNS: usize = 100_000;

pub(crate) fn run() {
    let mut text = String::from(
        "[[source]]\nid = \"propeller\"\nexternal_id = \"visitor_id\"\nparams = { zone = \"zoneid\" }\n",
    );
    for n in 0..CAMPAIGNS {
        text.push_str(&format!(
            "[[offer]]\nid = \"offer-{n}\"\nurl = \"https://offer-{n}.example.com/land?s2={{click_id}}&zone={{zone}}\"\npayout = \"3.50\"\n\
             [[campaign]]\nid = \"campaign-{n}\"\naliases = [\"{n}\"]\nsource = \"propeller\"\n\
             offers = [{{ id = \"offer-{n}\" }}]\ncost = {{ model = \"cpc\", amount = \"0.012\" }}\nfallback_url = \"https://example.org/\"\n"
        ));
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-data/catalog");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("catalog.toml");
    std::fs::write(&path, &text).unwrap();
    for _ in 0..3 {
        let began = Instant::now();
        let catalog = load(&path, 1, &|_| None).unwrap();
        let took = began.elapsed();
        assert!(catalog.campaign("99999").is_some());
        println!("{CAMPAIGNS} campaigns and as many offers, {} MiB of TOML: {took:.2?}", text.len() >> 20);
    }
    let small = Contender::clicklog(&[]).memory_kib("RssAnon:");
    let large =
        Contender::clicklog(&[("CLICKLOG_CATALOG__PATH", path.to_str().unwrap())]).memory_kib("RssAnon:");
    println!(
        "a server that holds it: {large} KiB of its own instead of {small}, {} bytes for a campaign and its offer",
        large.saturating_sub(small) * 1024 / CAMPAIGNS as u64
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
