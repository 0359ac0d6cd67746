//! Two days of clicks, postbacks, decisions and deliveries: of each visitor one, with a text of its own in every field.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clicklog::clock::{Clock, ManualClock, Timestamp};
use clicklog::compactor::rewrite::{Alone, Pass, Report, Rules};
use clicklog::event::click::{Click, ClickKind, KeptAddress};
use clicklog::event::click_id::ClickId;
use clicklog::event::codec::{Encoder, Event, decode};
use clicklog::event::conversion::Conversion;
use clicklog::event::decision::Decision;
use clicklog::event::delivery::{DeliveryOutcome, DestinationEvent};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::event::params::{Params, ParamsRef, Source};
use clicklog::event::postback::Postback;
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::{Journal, Options, Position, Store};

use crate::support::append;

pub(crate) const VISITORS: u32 = 600;
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// 2026-11-20T07:00:00Z.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_seconds(1_795_158_000)
}

/// When visitor `n` came: the last one two days after the first.
pub(crate) fn time_of(n: u32) -> Timestamp {
    start().plus(2 * DAY * n / VISITORS)
}

/// What stands in every field of visitor `n` that is about him.
pub(crate) fn marker(n: u32) -> String {
    format!("PRIVATE-{n:04}-END")
}

/// The id of the click of visitor `n` in another tracker; every third was imported.
pub(crate) fn foreign_id(n: u32) -> String {
    if n.is_multiple_of(3) { format!("FOREIGN-{n:04}-END") } else { String::new() }
}

/// A store on the day after the last visitor came.
pub(crate) fn options(data: &Path) -> Options {
    options_at(data, time_of(VISITORS))
}

fn options_at(data: &Path, now: Timestamp) -> Options {
    Options { clock: Clock::Manual(ManualClock::at(now)), ..crate::support::options(data) }
}

/// Fills a folder, and closes it. Gives the ids of the clicks.
pub(crate) fn filled(data: &Path) -> Vec<ClickId> {
    filled_at(data, time_of(VISITORS))
}

/// As `filled`, at some time after all of it happened.
pub(crate) fn filled_at(data: &Path, now: Timestamp) -> Vec<ClickId> {
    let store = Store::open(options_at(data, now)).unwrap();
    let mut clicks = store.click_writer(0).unwrap();
    let mut postbacks = store.journal_writer(Journal::Postbacks).unwrap();
    let mut deliveries = store.journal_writer(Journal::Deliveries).unwrap();
    let mut encoder = Encoder::default();
    let mut ids = Vec::new();
    let began =
        DestinationEvent { time: start(), destination: "propeller-s2s", ..DestinationEvent::default() };
    append(|| deliveries.append(&encoder.destination(&began).unwrap()));
    for n in 0..VISITORS {
        let (marker, foreign_id, time) = (marker(n), foreign_id(n), time_of(n));
        let mut params = Vec::new();
        let query = format!("email={marker}&sub1=zone-{n}");
        Params::parse(query.as_bytes(), Source::Query).encode_into(&mut params);
        let params = ParamsRef::check(&params).unwrap();
        let click = Click {
            time,
            kind: if foreign_id.is_empty() { ClickKind::Redirect } else { ClickKind::Imported },
            cost: Some(money(10)),
            address: Some(KeptAddress::full([203, 0, 113, 7].into())),
            campaign: if n % 2 == 0 { "spring" } else { "autumn" },
            external_id: &marker,
            foreign_id: &foreign_id,
            host: "trk.example.com",
            referrer: &marker,
            user_agent: &marker,
            language: &marker,
            client_hints: &marker,
            params,
            ..Click::default()
        };
        let recorded = append(|| clicks.append(&click));
        let own = recorded.click_id.to_string();
        let click_id = if foreign_id.is_empty() { &own } else { &foreign_id };
        let query = format!("cid={click_id}&payout=3.50&txid=t{n}&email={marker}");
        let body = format!("{{\"email\":\"{marker}\"}}");
        let postback = Postback {
            time,
            network: "revboost",
            method: "POST",
            query: &query,
            headers: &marker,
            body: body.as_bytes(),
            ..Postback::default()
        };
        let postback = append(|| postbacks.append(&encoder.postback(&postback).unwrap())).position();
        let place = store.clicks().decode(&recorded.click_id).unwrap();
        let (key, transaction_id) = (format!("revboost {click_id}"), format!("t{n}"));
        let decision = Decision {
            time,
            postback: postback.to_u64(),
            click: place.packed(),
            conversion: Conversion {
                network: "revboost",
                click_id,
                transaction_id: &transaction_id,
                payout: Some(money(3_500)),
                ..Conversion::default()
            },
            entry: Micros::new(3_500),
            external_id: &marker,
            dedupe_key: key.as_bytes(),
            click_params: params,
            postback_params: params,
            user_agent: &marker,
            referrer: &marker,
            language: &marker,
            ..Decision::default()
        };
        let decision = append(|| postbacks.append(&encoder.decision(&decision).unwrap())).position();
        let outcome = DeliveryOutcome {
            time,
            decision: decision.to_u64(),
            attempt: 1,
            is_final: true,
            destination: "propeller-s2s",
            detail: marker.as_bytes(),
            ..DeliveryOutcome::default()
        };
        append(|| deliveries.append(&encoder.outcome(&outcome).unwrap()));
        ids.push(recorded.click_id);
    }
    clicks.close();
    postbacks.close();
    deliveries.close();
    store.close().unwrap();
    ids
}

pub(crate) fn money(micros: i64) -> Money {
    Money { amount: Micros::new(micros), currency: Currency::USD }
}

/// Every file of a folder with its bytes.
fn files(folder: &Path, all: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else {
            let bytes = fs::read(&path).unwrap();
            all.push((path, bytes));
        }
    }
}

/// The first file of the folder that has this text anywhere.
pub(crate) fn who_has(data: &Path, text: &str) -> Option<PathBuf> {
    let mut all = Vec::new();
    files(data, &mut all);
    all.into_iter()
        .find(|(_, bytes)| memchr::memmem::find(bytes, text.as_bytes()).is_some())
        .map(|(path, _)| path)
}

/// What counts: how many of each kind, what clicks cost, and what conversions paid.
pub(crate) fn books(data: &Path) -> BTreeMap<&'static str, i64> {
    let mut books = BTreeMap::new();
    let reader = Reader::open(data);
    for (journal, lane) in reader.directory().lanes().unwrap() {
        let take = |_: Position, record: &clicklog::store::record::Record<'_>| {
            let (name, amount) = match decode(record.kind, record.schema, record.payload).unwrap() {
                Event::Click(click) => ("cost", click.cost.unwrap().amount.get()),
                Event::Postback(_) => ("postbacks", 1),
                Event::Decision(decision) => ("paid", decision.entry.get()),
                Event::DeliveryOutcome(_) => ("deliveries", 1),
                Event::Destination(_) => ("destinations", 1),
                Event::CostUpdate(update) => ("costs", update.entry.get()),
            };
            *books.entry(name).or_default() += amount;
            ControlFlow::Continue(())
        };
        reader.read(journal, lane, Cursor::default(), take).unwrap();
    }
    books
}

/// One pass over an open store.
pub(crate) fn pass(store: &Store, rules: &Rules, now: Timestamp) -> Report {
    let mut pass = Pass::new(store.rewriter(), store.directory());
    pass.run(rules, Position::START, now, &mut Alone).unwrap()
}
