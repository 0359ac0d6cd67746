//! A store with clicks and decisions of a seed, and the sums of them counted one by one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use clicklog::clock::Timestamp;
use clicklog::event::click::{Click, ClickKind, Labels};
use clicklog::event::codec::{Encoder, Event, decode};
use clicklog::event::conversion::{Conversion, Status};
use clicklog::event::cost::CostUpdate;
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::event::params::{Params, ParamsRef, Source};
use clicklog::store::clicks::ClickWriter;
use clicklog::store::reader::{Cursor, Reader};
use clicklog::store::{Journal, LaneWriter, Store};

pub(crate) use crate::chance::Chance;
use crate::support::{append, options};

/// 2026-11-20T00:00:00Z.
pub(crate) const DAY: i64 = 20_777;
pub(crate) const HOUR_MICROS: i64 = 3_600_000_000;

fn random_money(chance: &mut Chance) -> Option<Money> {
    let amount = chance.amount();
    let currency = chance.pick(&["USD", "EUR", "JPY"]).parse().unwrap();
    (chance.below(4) > 0).then_some(Money { amount, currency })
}

fn random_time(chance: &mut Chance, days: usize) -> Timestamp {
    let micros = chance.below(days * 24) * 3_600_000_000 + chance.below(3_600_000_000);
    Timestamp::from_micros(DAY * 24 * HOUR_MICROS + i64::try_from(micros).unwrap())
}

const CAMPAIGNS: [&str; 4] = ["spring", "=2+2", "été <b>", ""];
const OFFERS: [&str; 3] = ["diet-42", "diet-43", ""];
const COUNTRIES: [[u8; 2]; 3] = [*b"DE", *b"US", [0; 2]];
const SUBS: [&str; 3] = ["sub1=a&zone=7", "sub1=b", ""];

/// A store that is written to.
pub(crate) struct Written {
    pub(crate) store: Store,
    clicks: Vec<ClickWriter>,
    postbacks: LaneWriter,
    encoder: Encoder,
}

impl Written {
    pub(crate) fn new(data: &Path) -> Self {
        let store = Store::open(options(data)).unwrap();
        let clicks = vec![store.click_writer(0).unwrap(), store.import_writer().unwrap()];
        let postbacks = store.journal_writer(Journal::Postbacks).unwrap();
        Self { store, clicks, postbacks, encoder: Encoder::default() }
    }

    /// Appends so many random events of so many days.
    pub(crate) fn some(&mut self, chance: &mut Chance, count: u32, days: usize) {
        for _ in 0..count {
            let mut params = Vec::new();
            Params::parse(chance.pick(&SUBS).as_bytes(), Source::Query).encode_into(&mut params);
            let params = ParamsRef::check(&params).unwrap();
            if chance.below(3) > 0 {
                let click = random_click(chance, days, params);
                let writer = chance.below(2);
                append(|| self.clicks[writer].append(&click));
            } else if chance.below(4) == 0 {
                let update = random_update(chance, days, params);
                append(|| self.postbacks.append(&self.encoder.cost_update(&update).unwrap()));
            } else {
                let decision = random_decision(chance, days, params);
                self.decide(&decision);
            }
        }
    }

    pub(crate) fn click(&mut self, click: &Click<'_>) {
        append(|| self.clicks[0].append(click));
    }

    pub(crate) fn decide(&mut self, decision: &Decision<'_>) {
        append(|| self.postbacks.append(&self.encoder.decision(decision).unwrap()));
    }

    /// Seals everything.
    pub(crate) fn close(self) {
        self.clicks.into_iter().for_each(ClickWriter::close);
        self.postbacks.close();
        self.store.close().unwrap();
    }
}

fn random_click<'a>(chance: &mut Chance, days: usize, params: ParamsRef<'a>) -> Click<'a> {
    let kinds = [ClickKind::Redirect, ClickKind::Script, ClickKind::Through, ClickKind::Imported];
    Click {
        time: random_time(chance, days),
        kind: chance.pick(&kinds),
        labels: Labels::from_bits(u32::try_from(chance.below(8)).unwrap().saturating_sub(3)),
        cost: random_money(chance),
        country: chance.pick(&COUNTRIES),
        campaign: chance.pick(&CAMPAIGNS),
        offer: chance.pick(&OFFERS),
        source: chance.pick(&["propeller", ""]),
        lander: chance.pick(&["1", "2", ""]),
        params,
        ..Click::default()
    }
}

fn random_update<'a>(chance: &mut Chance, days: usize, params: ParamsRef<'a>) -> CostUpdate<'a> {
    let amount = random_money(chance).unwrap_or(Money { amount: Micros::new(1), currency: Currency::USD });
    CostUpdate {
        time: Timestamp::from_micros(random_time(chance, days).hour() * HOUR_MICROS),
        import: 7,
        // What an hour costs says nothing: what that adds does.
        cost: Money { amount: Micros::new(3), ..amount },
        entry: amount.amount,
        campaign: chance.pick(&CAMPAIGNS),
        source: chance.pick(&["propeller", ""]),
        offer: chance.pick(&OFFERS),
        params,
    }
}

fn random_decision<'a>(chance: &mut Chance, days: usize, params: ParamsRef<'a>) -> Decision<'a> {
    let verdicts = [
        Verdict::Accepted,
        Verdict::Accepted,
        Verdict::Updated,
        Verdict::Duplicate,
        Verdict::Held,
        Verdict::Unmatched,
        Verdict::Orphan,
        Verdict::Late,
        Verdict::Test,
        Verdict::Rejected,
    ];
    let statuses = [Status::Pending, Status::Approved, Status::Reversed, Status::Unknown];
    let payout = random_money(chance);
    Decision {
        time: random_time(chance, days),
        verdict: chance.pick(&verdicts),
        entry: payout.map_or(Micros::new(0), |money| money.amount),
        conversion: Conversion {
            network: chance.pick(&["revboost", "other"]),
            status: chance.pick(&statuses),
            payout,
            ..Conversion::default()
        },
        country: chance.pick(&COUNTRIES),
        campaign: chance.pick(&CAMPAIGNS),
        offer: chance.pick(&OFFERS),
        source: chance.pick(&["propeller", ""]),
        lander: chance.pick(&["1", "2", ""]),
        click_params: params,
        ..Decision::default()
    }
}

/// An event as a report may ask for it: by name its dimensions, and what it adds to which column.
pub(crate) struct Counted {
    pub(crate) time: i64,
    pub(crate) dimensions: BTreeMap<&'static str, String>,
    pub(crate) adds: Vec<(&'static str, i128)>,
}

/// Every event in the folder that counts, one by one, by rules that are written down here once more.
pub(crate) fn counted(data: &Path) -> Vec<Counted> {
    let reader = Reader::open(data);
    let mut all = Vec::new();
    for journal in [Journal::Clicks, Journal::Postbacks] {
        for lane in reader.lanes(journal).unwrap() {
            reader
                .read(journal, lane, Cursor::default(), |_, record| {
                    match decode(record.kind, record.schema, record.payload).unwrap() {
                        Event::Click(click) => all.push(of_click(&click)),
                        Event::Decision(decision) => all.push(of_decision(&decision)),
                        Event::CostUpdate(update) => all.push(of_update(&update)),
                        _ => {}
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
        }
    }
    all
}

fn of_click(click: &Click<'_>) -> Counted {
    let mut adds = vec![("through", 1)];
    let mut currency = String::new();
    if click.kind != ClickKind::Through {
        let bits = click.labels.bits();
        adds = vec![
            ("clicks", 1),
            ("net", i128::from(bits == 0)),
            ("unique", i128::from(bits & 4 == 0)),
            ("bots", i128::from(bits & 1)),
        ];
        if let Some(cost) = click.cost {
            adds.push(("cost", cost.amount.get().into()));
            currency = cost.currency.to_string();
        }
    }
    let dimensions = dimensions(
        (click.campaign, click.offer, click.source, "", click.lander),
        (click.country, currency),
        click.params,
    );
    Counted { time: click.time.micros(), dimensions, adds }
}

fn of_update(update: &CostUpdate<'_>) -> Counted {
    let currency = update.cost.currency.to_string();
    let dimensions =
        dimensions((update.campaign, update.offer, update.source, "", ""), ([0; 2], currency), update.params);
    Counted { time: update.time.micros(), dimensions, adds: vec![("cost", update.entry.get().into())] }
}

fn of_decision(decision: &Decision<'_>) -> Counted {
    let mut adds = Vec::new();
    match decision.verdict {
        Verdict::Accepted | Verdict::Updated => {
            adds.push(("conversions", i128::from(decision.verdict == Verdict::Accepted)));
            adds.push((decision.conversion.status.name(), 1));
            adds.push(("revenue", decision.entry.get().into()));
        }
        Verdict::Test => {}
        Verdict::Duplicate => adds.push(("duplicates", 1)),
        Verdict::Orphan => adds.push(("orphans", 1)),
        other => adds.push((other.name(), 1)),
    }
    let currency = decision.conversion.payout.map_or(String::new(), |money| money.currency.to_string());
    let dimensions = dimensions(
        (decision.campaign, decision.offer, decision.source, decision.conversion.network, decision.lander),
        (decision.country, currency),
        decision.click_params,
    );
    Counted { time: decision.time.micros(), dimensions, adds }
}

fn dimensions(
    (campaign, offer, source, network, lander): (&str, &str, &str, &str, &str),
    (country, currency): ([u8; 2], String),
    params: ParamsRef<'_>,
) -> BTreeMap<&'static str, String> {
    let country = if country == [0; 2] { "" } else { str::from_utf8(&country).unwrap() };
    [
        ("campaign", campaign.to_owned()),
        ("offer", offer.to_owned()),
        ("source", source.to_owned()),
        ("network", network.to_owned()),
        ("lander", lander.to_owned()),
        ("country", country.to_owned()),
        ("currency", currency),
        ("sub1", params.get("sub1").unwrap_or_default().to_owned()),
    ]
    .into()
}

/// The sums by hour and by these dimensions.
pub(crate) type ByKey = BTreeMap<(i64, Vec<String>), BTreeMap<&'static str, i128>>;

/// What all of that comes to.
pub(crate) fn sum(counted: &[Counted], by: &[&str], bucket_micros: i64) -> ByKey {
    let mut sums = ByKey::new();
    for one in counted {
        let key = by.iter().map(|name| one.dimensions[name].clone()).collect();
        let entry = sums.entry((one.time.div_euclid(bucket_micros), key)).or_default();
        for (name, more) in &one.adds {
            *entry.entry(name).or_default() += more;
        }
    }
    for entry in sums.values_mut() {
        entry.retain(|_, sum| *sum != 0);
    }
    sums.retain(|_, entry| !entry.is_empty());
    sums
}
