//! Fills a store with made-up clicks and conversions, for a first look: `fill [DIR] [CLICKS]`.
//!
//! Until the daemon listens, this is how a store comes by its records.
#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;

use clicklog::clock::{Clock, Timestamp};
use clicklog::event::click::{Click, KeptAddress};
use clicklog::event::codec::Encoder;
use clicklog::event::conversion::{Conversion, Status};
use clicklog::event::decision::Decision;
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::event::params::{Params, ParamsRef, Source};
use clicklog::event::postback::Postback;
use clicklog::store::{self, Journal, LaneWriter, Options, Store};

/// One click in this many converts.
const CLICKS_PER_CONVERSION: u32 = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().unwrap_or_else(|| "clicklog-data".to_owned());
    let clicks: u32 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let clock = Clock::System;
    let store = Store::open(Options::new(&data))?;
    let (Some(mut writer), Some(mut journal)) =
        (store.click_writer(0), store.journal_writer(Journal::Postbacks))
    else {
        return Err("the lanes were handed out before".into());
    };
    let mut encoder = Encoder::default();
    let mut query = Vec::new();
    let mut last = None;
    for n in 0..clicks {
        let raw = format!("visitor_id=v{n}&zoneid={}&bannerid={}", n % 97, n % 13);
        query.clear();
        Params::parse(raw.as_bytes(), Source::Query).encode_into(&mut query);
        let external_id = format!("v{n}");
        let click = Click {
            time: clock.now(),
            campaign: "spring",
            source: "propeller",
            offer: if n % 10 < 7 { "diet-42" } else { "diet-43" },
            cost: Some(Money { amount: Micros::new(12_000), currency: Currency::USD }),
            address: Some(KeptAddress::full([203, 0, 113, u8::try_from(n % 250)?].into())),
            external_id: &external_id,
            host: "trk.example.com",
            user_agent: "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36",
            language: "en-US,en;q=0.9",
            params: ParamsRef::check(&query)?,
            ..Click::default()
        };
        let recorded = loop {
            match writer.append(&click) {
                Err(store::Error::NoRoom { .. }) => std::thread::yield_now(), // faster than segments are made
                done => break done?,
            }
        };
        if n % CLICKS_PER_CONVERSION == 0 {
            convert(&mut journal, &mut encoder, recorded.click_id.to_text().as_str(), n, clock.now())?;
        }
        last = Some(recorded);
    }
    if let Some(last) = last {
        println!("{clicks} clicks, {} conversions in {data}", clicks.div_ceil(CLICKS_PER_CONVERSION));
        println!("the last click's id: {}", last.click_id);
    }
    writer.close();
    journal.close();
    store.close()?;
    Ok(())
}

/// Writes a postback and the decision on it.
fn convert(
    journal: &mut LaneWriter,
    encoder: &mut Encoder,
    click_id: &str,
    n: u32,
    time: Timestamp,
) -> Result<(), Box<dyn Error>> {
    let transaction_id = format!("t{n}");
    let query = format!("cid={click_id}&payout=3.50&txid={transaction_id}");
    let postback = Postback {
        time,
        network: "revboost",
        method: "GET",
        path: "/postback/revboost",
        query: &query,
        ..Postback::default()
    };
    let written = journal.append(&encoder.postback(&postback)?)?;
    let payout = Money { amount: Micros::parse("3.50")?.amount, currency: Currency::USD };
    let conversion = Conversion {
        network: "revboost",
        click_id,
        transaction_id: &transaction_id,
        status: Status::Approved,
        original_status: "1",
        payout: Some(payout),
        ..Conversion::default()
    };
    let decision = Decision {
        time,
        postback: written.position().to_u64(),
        conversion,
        entry: payout.amount,
        dedupe_key: transaction_id.as_bytes(),
        ..Decision::default()
    };
    journal.append(&encoder.decision(&decision)?)?;
    Ok(())
}
