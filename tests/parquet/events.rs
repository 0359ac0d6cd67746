//! All sorts of events, made of a seed: with everything they can have, and with nothing.

use std::path::Path;

use clicklog::clock::Timestamp;
use clicklog::event::click::{Click, ClickKind, KeptAddress, Labels};
use clicklog::event::click_id::Place;
use clicklog::event::codec::Encoder;
use clicklog::event::conversion::{Conversion, Standing, Status};
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::delivery::{DeliveryOutcome, OutcomeClass};
use clicklog::event::money::{Currency, Money};
use clicklog::event::params::{Params, ParamsRef, Source};
use clicklog::store::{Journal, Options, Store};

pub(crate) use crate::chance::Chance;
use crate::support::{append, options};

/// 2026-11-20T23:00:00Z: an hour before midnight.
pub(crate) const EVENING: i64 = 1_795_215_600_000_000;
/// Midnight.
pub(crate) const MIDNIGHT: i64 = EVENING + 3_600_000_000;

/// A click with its own texts, which a `Click` borrows.
#[derive(Clone)]
pub(crate) struct MadeClick {
    pub(crate) click: Click<'static>,
    pub(crate) external_id: String,
    pub(crate) params: Vec<u8>,
}

impl MadeClick {
    pub(crate) fn random(chance: &mut Chance, time: i64) -> Self {
        let mut params = Vec::new();
        let queries = [
            "",
            "sub1=a&zone=7&other=%C3%A9",
            "sub1=&sub1=late&sub1=later&x=1&x=2",
            "utm_campaign=s&gclid=Cj0K&%22=%7B%7D&=nameless",
            "keyword=caf%C3%A9%20%22x%22",
        ];
        Params::parse(chance.pick(&queries).as_bytes(), Source::Query).encode_into(&mut params);
        let kinds = [ClickKind::Redirect, ClickKind::Script, ClickKind::Through];
        let kind = chance.pick(&kinds);
        let parent = Place::new(0, 1, chance.below(9), chance.below(999), 0).unwrap().packed();
        let cost = Money { amount: chance.amount(), currency: Currency::USD };
        let address = match chance.below(4) {
            0 => None,
            1 => Some(KeptAddress::full([203, 0, 113, 7].into())),
            2 => Some(KeptAddress { address: [198, 51, 100, 0].into(), bits: 24 }),
            _ => Some(KeptAddress::full("2001:db8::ff00:42:8329".parse::<std::net::IpAddr>().unwrap())),
        };
        let click = Click {
            time: Timestamp::from_micros(time),
            kind,
            config_version: chance.draw(),
            parent: if kind == ClickKind::Through { parent } else { 0 },
            cost: (chance.below(3) > 0).then_some(cost),
            address,
            country: if chance.below(2) == 0 { *b"DE" } else { [0; 2] },
            asn: if chance.below(2) == 0 { 4_200_000_000 } else { 0 },
            labels: Labels::from_bits(chance.below(16)),
            global_privacy_control: chance.below(2) == 0,
            campaign: chance.pick(&["spring", "été", ""]),
            source: chance.pick(&["propeller", ""]),
            offer: chance.pick(&["diet-42", "diet-43", ""]),
            lander: chance.pick(&["0", "1", ""]),
            host: "trk.example.com",
            referrer: chance.pick(&["https://news.example.org/?a=\"b\"", ""]),
            user_agent: chance.pick(&["Mozilla/5.0 (X11; Linux x86_64)", ""]),
            language: chance.pick(&["en-US,en;q=0.9", ""]),
            client_hints: chance.pick(&["sec-ch-ua: \"x\";v=1\nsec-ch-ua-mobile: ?1", ""]),
            ..Click::default()
        };
        let external_id = if chance.below(5) == 0 { String::new() } else { format!("v{:x}", chance.draw()) };
        Self { click, external_id, params }
    }

    pub(crate) fn view(&self) -> Click<'_> {
        Click {
            external_id: &self.external_id,
            params: ParamsRef::check(&self.params).unwrap(),
            ..self.click
        }
    }
}

/// Segments that hold many rows.
pub(crate) fn roomy(data: &Path) -> Options {
    Options {
        click_segment_bytes: 128 * 1024 * 1024,
        journal_segment_bytes: 4 * 1024 * 1024,
        ..options(data)
    }
}

/// Stores clicks in the lane of imports, which no hour ends; gives its number, and their ids.
pub(crate) fn store_clicks(data: &Path, clicks: &[MadeClick]) -> (u8, Vec<String>) {
    let store = Store::open(roomy(data)).unwrap();
    let mut writer = store.import_writer().unwrap();
    let recorded = clicks.iter().map(|click| append(|| writer.append(&click.view())));
    let ids = recorded.map(|recorded| recorded.click_id.to_text().as_str().to_owned()).collect();
    writer.close();
    store.close().unwrap();
    (1, ids)
}

/// Stores so many decisions, and says what their entries come to.
pub(crate) fn store_decisions(data: &Path, seed: u64, count: u32) -> i128 {
    let mut chance = Chance(seed);
    let store = Store::open(roomy(data)).unwrap();
    let mut journal = store.journal_writer(Journal::Postbacks).unwrap();
    let mut encoder = Encoder::default();
    let mut sum = 0;
    for n in 0..count {
        let transaction_id = format!("t{n}");
        let payout = Money { amount: chance.amount(), currency: Currency::USD };
        let click = Place::new(0, 0, 3, n, 0).unwrap();
        let has_click = n % 3 == 0;
        let conversion = Conversion {
            network: "revboost",
            click_id: "as-it-came",
            transaction_id: &transaction_id,
            status: Status::Reversed,
            original_status: "chargeback",
            payout: (n % 2 == 0).then_some(payout),
            ..Conversion::default()
        };
        let decision = Decision {
            time: Timestamp::from_micros(EVENING + i64::from(n)),
            verdict: Verdict::Updated,
            reason: if n % 2 == 0 { 35 } else { 0 },
            conversion_id: [u8::try_from(n % 256).unwrap(); 16],
            sequence: n,
            entry: payout.amount,
            standing: Standing { currency: Some(Currency::USD), ..Standing::default() },
            click: if has_click { click.packed() } else { 0 },
            click_time: has_click.then(|| Timestamp::from_micros(EVENING - 5)),
            conversion,
            ..Decision::default()
        };
        sum += i128::from(payout.amount.get());
        append(|| journal.append(&encoder.decision(&decision).unwrap()));
    }
    journal.close();
    store.close().unwrap();
    sum
}

/// Stores outcomes: each third is taken.
pub(crate) fn store_outcomes(data: &Path, count: u16) {
    let store = Store::open(roomy(data)).unwrap();
    let mut journal = store.journal_writer(Journal::Deliveries).unwrap();
    let mut encoder = Encoder::default();
    for n in 0..count {
        let is_taken = n % 3 == 0;
        let time = Timestamp::from_micros(EVENING + i64::from(n));
        let outcome = DeliveryOutcome {
            time,
            delivery_id: [7; 16],
            decision: 4096,
            attempt: n,
            class: if is_taken { OutcomeClass::Ok } else { OutcomeClass::Safe },
            is_final: is_taken,
            http_status: if is_taken { 200 } else { 0 },
            duration_micros: n.into(),
            next_attempt: (!is_taken).then_some(time),
            destination: "propeller-s2s",
            detail: b"caf\xe9",
        };
        append(|| journal.append(&encoder.outcome(&outcome).unwrap()));
    }
    journal.close();
    store.close().unwrap();
}
