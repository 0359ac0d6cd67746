//! The campaigns with the most revenue, from the journals, beside a running daemon or without: `top_campaigns [DIR]`.
//!
//! A start for batch jobs of your own; it needs nothing of the daemon: `--no-default-features`.
#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use clicklog::event::codec::{Event, decode};
use clicklog::event::decision::Verdict;
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::{Error, Journal};

fn main() -> Result<(), Error> {
    let reader = Reader::open(std::env::args().nth(1).unwrap_or_else(|| "clicklog-data".to_owned()));
    let mut revenue = BTreeMap::<(String, String), i128>::new();
    for lane in reader.lanes(Journal::Postbacks)? {
        reader.read(Journal::Postbacks, lane, Cursor::default(), |_position, record| {
            // Texts of an event lie where the segment is mapped: what is kept has to be copied.
            if let Ok(Event::Decision(decision)) = decode(record.kind, record.schema, record.payload)
                && matches!(decision.verdict, Verdict::Accepted | Verdict::Updated)
                // Decisions of the first builds do not say in which currency the books have it.
                && let Some(currency) =
                    decision.standing.currency.or(decision.conversion.payout.map(|payout| payout.currency))
            {
                let key = (decision.campaign.to_owned(), currency.as_str().to_owned());
                *revenue.entry(key).or_default() += i128::from(decision.entry.get());
            }
            ControlFlow::Continue(())
        })?;
    }
    let mut top: Vec<_> = revenue.into_iter().collect();
    top.sort_by_key(|(_, millionths)| -millionths);
    for ((campaign, currency), millionths) in top.into_iter().take(10) {
        let (sign, cents) = (if millionths < 0 { "-" } else { "" }, millionths.unsigned_abs() / 10_000);
        println!("{campaign:<20} {:>16} {currency}", format!("{sign}{}.{:02}", cents / 100, cents % 100));
    }
    Ok(())
}
