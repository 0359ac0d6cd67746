//! How fast is the store, and is it faster than what a user might take instead?
//!
//! Units: ns and µs per operation, operations per second, bytes. Machine: say it beside any figure taken from here.
//! Data lies under `target/bench-data`, on the disk that the checkout is on: not in memory.
//!
//! `cargo bench --bench store [-- SECTION...]`, sections: append lookup durable recovery peers
//! transactions parquet report.
#![expect(clippy::print_stdout, reason = "a bench prints, people judge")]
#![expect(clippy::unwrap_used, reason = "a bench that fails ends")]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

mod append;
mod durable;
mod lookup;
#[cfg(feature = "parquet")]
mod parquet;
mod peers;
mod recovery;
#[cfg(feature = "parquet")]
mod report;
mod support;
mod transactions;

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let sections: &[(&str, fn())] = &[
        ("append", append::run),
        ("lookup", lookup::run),
        ("durable", durable::run),
        ("recovery", recovery::run),
        ("peers", peers::run),
        ("transactions", transactions::run),
        #[cfg(feature = "parquet")]
        ("parquet", parquet::run),
        #[cfg(feature = "parquet")]
        ("report", report::run),
    ];
    for (name, run) in sections {
        if chosen.is_empty() || chosen.iter().any(|word| word == *name) {
            println!("\n== {name}");
            run();
        }
    }
}
