//! Makes a store with all sorts of events, publishes it as Parquet, and says what a reader must find: `analysts DIR [CLICKS]`.
//!
//! What it says is counted from the journals, not from what was published: `.ci/analysts` compares it with what DuckDB,
//! Polars, PyArrow and ClickHouse find in `DIR/export`. One `name value` a line.
#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;

use clicklog::clock::Timestamp;
use clicklog::compactor::clicks::Clicks;
use clicklog::compactor::conversions::Conversions;
use clicklog::compactor::deliveries::Deliveries;
use clicklog::compactor::folder::Folder;
use clicklog::compactor::publish::publish;
use clicklog::compactor::table::Table;
use clicklog::event::click::{Click, KeptAddress, Labels};
use clicklog::event::codec::{Encoder, Event, decode};
use clicklog::event::conversion::{Conversion, Standing, Status};
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::delivery::{DeliveryOutcome, OutcomeClass};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::event::params::{Params, ParamsRef, Source};
use clicklog::store::manifest::{Manifest, State};
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::{self, Appended, Journal, LaneWriter, Options, Store};

/// 2026-11-20T22:59:00Z: what follows is of two days.
const BEGIN_MICROS: i64 = 1_795_215_540_000_000;
/// Between two clicks: 100,000 of them take three hours and a quarter.
const STEP_MICROS: i64 = 117_003;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().ok_or("which folder?")?;
    let clicks: u32 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    fill(&data, clicks)?;
    let (folder, reader) = (Folder::new(&data), Reader::open(&data));
    publish_all::<Clicks>(&folder, &reader)?;
    publish_all::<Conversions>(&folder, &reader)?;
    publish_all::<Deliveries>(&folder, &reader)?;
    for (name, number) in count(&reader)? {
        println!("{name} {number}");
    }
    println!("a_click_id {}", first_click_id(&reader)?);
    Ok(())
}

fn publish_all<T: Table>(folder: &Folder, reader: &Reader) -> Result<(), Box<dyn Error>> {
    let Some(manifest) = Manifest::peek(reader.directory())? else { return Ok(()) };
    let lanes = manifest.lanes.iter().filter(|((journal, _), _)| *journal == T::JOURNAL);
    for ((_, lane), entry) in lanes {
        let sealed = entry.segments.iter().filter(|(_, entry)| entry.state == State::Sealed);
        for (segment, _) in sealed {
            publish::<T>(folder, reader, (*lane, *segment), |_| ControlFlow::Continue(()))?;
        }
    }
    Ok(())
}

/// Rows and sums, from the journals.
fn count(reader: &Reader) -> Result<BTreeMap<&'static str, i128>, Box<dyn Error>> {
    let mut counts = BTreeMap::<_, i128>::new();
    let mut add = |name, number: i64| *counts.entry(name).or_default() += i128::from(number);
    for journal in Journal::ALL {
        for lane in reader.lanes(journal)? {
            reader.read(journal, lane, Cursor::default(), |_, record| {
                match decode(record.kind, record.schema, record.payload) {
                    Ok(Event::Click(click)) => {
                        add("clicks", 1);
                        add("clicks_net", click.labels.is_net().into());
                        add("clicks_cost", click.cost.map_or(0, |cost| cost.amount.get()));
                        add("clicks_time", click.time.micros() - BEGIN_MICROS);
                        add("clicks_zone_7", (click.params.get("zone") == Some("7")).into());
                        add("clicks_colour_blue", (click.params.get("colour") == Some("blå \"1\"")).into());
                        add("clicks_no_offer", click.offer.is_empty().into());
                    }
                    Ok(Event::Decision(decision)) => {
                        add("conversions", 1);
                        add("conversions_entry", decision.entry.get());
                        add("conversions_with_click", (decision.click != 0).into());
                    }
                    Ok(Event::DeliveryOutcome(outcome)) => {
                        add("deliveries", 1);
                        add("deliveries_final", outcome.is_final.into());
                        add("deliveries_no_status", (outcome.http_status == 0).into());
                    }
                    _ => {}
                }
                ControlFlow::Continue(())
            })?;
        }
    }
    Ok(counts)
}

fn first_click_id(reader: &Reader) -> Result<String, Box<dyn Error>> {
    use clicklog::event::click_id::Place;
    let keys = reader.click_id_keys()?.ok_or("there are no keys")?;
    let mut id = None;
    reader.read(Journal::Clicks, 0, Cursor::default(), |position, record| {
        if let Ok(Event::Click(click)) = decode(record.kind, record.schema, record.payload) {
            let place = Place::new(0, 0, position.segment(), record.ordinal, click.time.seconds());
            id = place.ok().map(|place| keys.encode(place).to_string());
        }
        ControlFlow::Break(())
    })?;
    Ok(id.ok_or("there is no click")?)
}

fn fill(data: impl AsRef<Path>, clicks: u32) -> Result<(), Box<dyn Error>> {
    let store = Store::open(Options { lanes: 2, ..Options::new(data.as_ref()) })?;
    let mut writers = [0, 1].map(|lane| store.click_writer(lane));
    let (Some(mut postbacks), Some(mut deliveries)) =
        (store.journal_writer(Journal::Postbacks), store.journal_writer(Journal::Deliveries))
    else {
        return Err("the journals were handed out before".into());
    };
    let mut encoder = Encoder::default();
    for n in 0..clicks {
        let Some(writer) = writers[(n % 2) as usize].as_mut() else { return Err("there is no lane".into()) };
        let made = MadeClick::new(n)?;
        let click = made.view()?;
        let recorded = wait(|| writer.append(&click))?;
        if n % 20 == 0 {
            convert(&mut postbacks, &mut encoder, &click, recorded.appended, n)?;
            deliver(&mut deliveries, &mut encoder, click.time, n)?;
        }
    }
    writers.into_iter().flatten().for_each(|writer| writer.close());
    postbacks.close();
    deliveries.close();
    store.close()?;
    Ok(())
}

/// Appends, waiting where this is faster than segments are made.
fn wait<T>(mut append: impl FnMut() -> store::Result<T>) -> store::Result<T> {
    loop {
        match append() {
            Err(store::Error::NoRoom { .. }) => std::thread::yield_now(),
            done => return done,
        }
    }
}

struct MadeClick {
    n: u32,
    external_id: String,
    params: Vec<u8>,
}

impl MadeClick {
    fn new(n: u32) -> Result<Self, Box<dyn Error>> {
        let mut params = Vec::new();
        let query = match n % 3 {
            0 => format!("zone={}&colour=bl%C3%A5%20%22{}%22&colour=again", n % 11, n % 2),
            1 => format!("sub1=s{n}&bannerid={}", n % 13),
            _ => String::new(),
        };
        Params::parse(query.as_bytes(), Source::Query).encode_into(&mut params);
        Ok(Self { n, external_id: format!("v{n}"), params })
    }

    fn view(&self) -> Result<Click<'_>, Box<dyn Error>> {
        let n = self.n;
        // 90 million and so many millionths: more than a float of 64 bits holds exactly, once they are added up.
        let cost = Money { amount: Micros::new(90_000_000_000_001 + i64::from(n)), currency: Currency::USD };
        Ok(Click {
            time: Timestamp::from_micros(BEGIN_MICROS + i64::from(n) * STEP_MICROS),
            campaign: if n.is_multiple_of(40) { "autumn" } else { "spring" },
            source: "propeller",
            offer: if n.is_multiple_of(10) { "" } else { "diet-42" },
            cost: (!n.is_multiple_of(7)).then_some(cost),
            address: Some(KeptAddress::full([203, 0, 113, u8::try_from(n % 250)?].into())),
            country: *b"DE",
            labels: if n.is_multiple_of(9) { Labels::BOT } else { Labels::default() },
            external_id: &self.external_id,
            host: "trk.example.com",
            user_agent: "Mozilla/5.0 (Linux; Android 14) Chrome/140.0 Mobile Safari/537.36",
            params: ParamsRef::check(&self.params)?,
            ..Click::default()
        })
    }
}

fn convert(
    journal: &mut LaneWriter,
    encoder: &mut Encoder,
    click: &Click<'_>,
    appended: Appended,
    n: u32,
) -> Result<(), Box<dyn Error>> {
    use clicklog::event::click_id::Place;
    let lane = u8::try_from(n % 2)?;
    let place = Place::new(0, lane, appended.position().segment(), appended.ordinal(), click.time.seconds())?;
    let (transaction_id, sign) = (format!("t{n}"), if n.is_multiple_of(3) { -1 } else { 1 });
    let payout = Money {
        amount: Micros::new(sign * (3_500_001 + i64::from(n))),
        currency: Currency::from_code(*b"EUR")?,
    };
    let has_click = !n.is_multiple_of(100);
    let decision = Decision {
        time: click.time,
        verdict: if has_click { Verdict::Accepted } else { Verdict::Unmatched },
        conversion_id: [u8::try_from(n % 251)?; 16],
        conversion: Conversion {
            network: "revboost",
            transaction_id: &transaction_id,
            status: Status::Approved,
            payout: Some(payout),
            ..Conversion::default()
        },
        entry: payout.amount,
        click: if has_click { place.packed() } else { 0 },
        click_time: has_click.then_some(click.time),
        standing: Standing { currency: Some(payout.currency), ..Standing::default() },
        campaign: if has_click { click.campaign } else { "" },
        offer: if has_click { click.offer } else { "" },
        source: if has_click { click.source } else { "" },
        click_params: click.params,
        ..Decision::default()
    };
    let encoded = encoder.decision(&decision)?;
    wait(|| journal.append(&encoded))?;
    Ok(())
}

fn deliver(
    journal: &mut LaneWriter,
    encoder: &mut Encoder,
    time: Timestamp,
    n: u32,
) -> Result<(), Box<dyn Error>> {
    let is_taken = !n.is_multiple_of(60);
    let outcome = DeliveryOutcome {
        time,
        delivery_id: [u8::try_from(n % 241)?; 16],
        attempt: 1,
        class: if is_taken { OutcomeClass::Ok } else { OutcomeClass::Safe },
        is_final: is_taken,
        http_status: if is_taken { 204 } else { 0 },
        duration_micros: n,
        next_attempt: (!is_taken).then_some(time),
        destination: "propeller-s2s",
        detail: b"it is said",
        ..DeliveryOutcome::default()
    };
    let encoded = encoder.outcome(&outcome)?;
    wait(|| journal.append(&encoded))?;
    Ok(())
}
