//! Counts what a store holds, as a batch job would read it: `read [DIR]`, beside a running daemon or without.
//!
//! It needs nothing of the daemon: `cargo run --no-default-features --example read`.
#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;

use clicklog::event::codec::{Event, decode};
use clicklog::store::Journal;
use clicklog::store::reader::{Cursor, Reader};

fn main() -> Result<(), Box<dyn Error>> {
    let data = std::env::args().nth(1).unwrap_or_else(|| "clicklog-data".to_owned());
    std::fs::read_dir(&data).map_err(|error| format!("cannot read {data}: {error}"))?;
    let reader = Reader::open(&data);
    for journal in Journal::ALL {
        let mut counts = BTreeMap::<_, u64>::new();
        for lane in reader.lanes(journal)? {
            // A job that runs again keeps the cursor that this gives, and begins there.
            reader.read(journal, lane, Cursor::default(), |_position, record| {
                let what = match decode(record.kind, record.schema, record.payload) {
                    Ok(Event::Click(click)) if click.labels.is_net() => "net clicks",
                    Ok(Event::Click(_)) => "labelled clicks",
                    Ok(Event::Postback(_)) => "postbacks",
                    Ok(Event::Decision(_)) => "decisions",
                    Ok(Event::DeliveryOutcome(_)) => "attempts",
                    Ok(Event::Destination(_)) => "notes on destinations",
                    Ok(Event::CostUpdate(_)) => "cost updates",
                    Err(_) => "records of a newer build",
                };
                *counts.entry(what).or_default() += 1;
                ControlFlow::Continue(())
            })?;
            for segment in reader.unreadable(journal, lane)? {
                println!("{} lane {lane}: segment {segment} cannot be read", journal.name());
            }
        }
        let counts: Vec<_> = counts.into_iter().map(|(what, count)| format!("{count} {what}")).collect();
        println!(
            "{}: {}",
            journal.name(),
            if counts.is_empty() { "nothing".into() } else { counts.join(", ") }
        );
    }
    Ok(())
}
