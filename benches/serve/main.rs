//! How fast is a click, and what does recording it cost over answering alone?
//!
//! The server runs on processor 0, the load on processor 1. Contenders, in turns, in one run: hyper answering a constant
//! 302 and nothing else; clicklog recording everything, with one worker; nginx, if it is installed, answering the same
//! 302 with a buffered access log in JSON.
//! Units: requests per second, µs. Machine: say it beside any figure taken from here.
//! Data lies under `target/bench-data`, on the disk that the checkout is on.
//!
//! `cargo bench --bench serve [-- SECTION...]`, sections: keepalive close steady listeners postbacks
//! deliveries beside compaction memory catalog labels tls restart.
#![expect(clippy::print_stdout, reason = "a bench prints, people judge")]
#![expect(clippy::unwrap_used, reason = "a bench that fails ends")]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

mod bare;
mod catalog;
mod compaction;
mod contender;
mod deliveries;
mod labels;
mod listeners;
mod memory;
mod postbacks;
mod restart;
mod steady;
mod throughput;
mod tls;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if words.first().is_some_and(|word| word == bare::COMMAND) {
        return bare::run(&words[1..]);
    }
    match words.first().map(String::as_str) {
        Some(deliveries::SINKS) => return deliveries::run_sinks(),
        Some(deliveries::WORK) => return deliveries::run_work(&words[1..]),
        _ => {}
    }
    let sections: [(&str, fn()); 13] = [
        ("keepalive", throughput::keepalive),
        ("close", throughput::close),
        ("steady", steady::run),
        ("listeners", listeners::run),
        ("postbacks", postbacks::run),
        ("deliveries", deliveries::run),
        ("beside", deliveries::beside),
        ("compaction", compaction::run),
        ("memory", memory::run),
        ("catalog", catalog::run),
        ("labels", labels::run),
        ("tls", tls::run),
        ("restart", restart::run),
    ];
    for (name, run) in sections {
        if words.is_empty() || words.iter().any(|word| word == name) {
            println!("\n== {name}");
            run();
        }
    }
}
