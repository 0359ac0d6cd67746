//! The values behind `tests/fixtures/codec`: with every field set, and with nothing set.
//!
//! Keeps: what is here once a schema shipped is never changed, or its file would mean something else.

use clicklog::clock::Timestamp;
use clicklog::event::click::{Click, ClickKind, KeptAddress, Labels};
use clicklog::event::codec::{Event, Kind};
use clicklog::event::conversion::{Conversion, Reversal, Standing, Status};
use clicklog::event::cost::CostUpdate;
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::delivery::{DeliveryOutcome, DestinationChange, DestinationEvent, OutcomeClass};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::event::params::ParamsRef;
use clicklog::event::postback::Postback;

/// A value, and the name of the file that holds its payload.
pub(crate) struct Golden {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) schema: u16,
    pub(crate) event: Event<'static>,
}

/// One of each kind with every field set, and one with none.
pub(crate) fn golden() -> Vec<Golden> {
    let of = |name, kind, event| Golden { name, kind, schema: 1, event };
    let of_2 = |name, kind, event| Golden { name, kind, schema: 2, event };
    let through = Click { kind: ClickKind::Through, parent: 0x0123_4567_89ab_cdef, ..full_click() };
    let imported = Click { kind: ClickKind::Imported, foreign_id: "w7G3K5QOLDTRACKER", ..full_click() };
    vec![
        of("click-v1-full", Kind::Click, Event::Click(full_click())),
        of("click-v1-empty", Kind::Click, Event::Click(Click::default())),
        of("click-v1-through", Kind::Click, Event::Click(through)),
        of("foreign-click-v1-full", Kind::ForeignClick, Event::Click(imported)),
        of("foreign-click-v1-empty", Kind::ForeignClick, Event::Click(empty_import())),
        of("postback-v1-full", Kind::Postback, Event::Postback(full_postback())),
        of("postback-v1-empty", Kind::Postback, Event::Postback(Postback::default())),
        of("decision-v1-full", Kind::Decision, Event::Decision(full_decision())),
        of("decision-v1-empty", Kind::Decision, Event::Decision(Decision::default())),
        of_2("decision-v2-full", Kind::Decision, Event::Decision(full_decision_2())),
        of_2("decision-v2-empty", Kind::Decision, Event::Decision(Decision::default())),
        of("outcome-v1-full", Kind::DeliveryOutcome, Event::DeliveryOutcome(full_outcome())),
        of("outcome-v1-empty", Kind::DeliveryOutcome, Event::DeliveryOutcome(DeliveryOutcome::default())),
        of("destination-v1-full", Kind::Destination, Event::Destination(full_destination())),
        of("destination-v1-empty", Kind::Destination, Event::Destination(DestinationEvent::default())),
        of("cost-v1-full", Kind::CostUpdate, Event::CostUpdate(full_cost())),
        of("cost-v1-least", Kind::CostUpdate, Event::CostUpdate(least_cost())),
    ]
}

fn full_click() -> Click<'static> {
    Click {
        time: Timestamp::from_micros(1_795_158_000_123_456),
        kind: ClickKind::Script,
        config_version: 42,
        parent: 0,
        cost: Some(Money { amount: Micros::new(12_000), currency: Currency::USD }),
        address: Some(KeptAddress { address: [203, 0, 113, 0].into(), bits: 24 }),
        country: *b"DE",
        asn: 64_496,
        labels: Labels::BOT.with(Labels::NO_USER_AGENT),
        global_privacy_control: true,
        campaign: "spring",
        source: "propeller",
        offer: "diet-42",
        lander: "1",
        external_id: "visitor-7",
        foreign_id: "",
        host: "trk.example.com",
        referrer: "https://news.example.org/a?b=c",
        user_agent: "Mozilla/5.0 (X11; Linux x86_64)",
        language: "de-DE,de;q=0.9",
        client_hints: "sec-ch-ua-mobile: ?0",
        params: params(b"\x04\0\x02\0zone97\x05\0\x07\0gclidZ\xc3\xbcrich\x01\0\0\0x"),
    }
}

fn empty_import() -> Click<'static> {
    Click { kind: ClickKind::Imported, ..Click::default() }
}

fn full_postback() -> Postback<'static> {
    Postback {
        time: Timestamp::from_micros(1_795_158_060_000_001),
        config_version: 43,
        address: Some(KeptAddress::full([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into())),
        partition: 63,
        refused: 513,
        network: "revboost",
        method: "POST",
        host: "trk.example.com",
        path: "/postback/revboost",
        query: "cid=03vnnnnqqhfwrkzdnabnew97y4&payout=3.50&txid=t-1",
        content_type: "application/x-www-form-urlencoded",
        headers: "user-agent: revboost/1\naccept: */*",
        body: b"status=1\0\xff",
    }
}

fn full_decision() -> Decision<'static> {
    Decision {
        time: Timestamp::from_micros(1_795_158_060_000_002),
        postback: 0x0000_0007_0000_1000,
        config_version: 43,
        verdict: Verdict::Updated,
        reason: 258,
        partition: 63,
        conversion_id: *b"0123456789abcdef",
        sequence: 2,
        conversion: Conversion {
            network: "revboost",
            click_id: "03vnnnnqqhfwrkzdnabnew97y4",
            transaction_id: "t-1",
            event: "sale",
            status: Status::Reversed,
            original_status: "chargeback",
            payout: Some(Money {
                amount: Micros::new(3_500_000),
                currency: Currency::from_code(*b"EUR").unwrap(),
            }),
        },
        entry: Micros::new(-3_500_000),
        click_time: Some(Timestamp::from_micros(1_795_158_000_123_456)),
        cost: Some(Money { amount: Micros::new(12_000), currency: Currency::USD }),
        campaign: "spring",
        offer: "diet-42",
        source: "propeller",
        lander: "1",
        external_id: "visitor-7",
        dedupe_key: b"revboost\0t-1",
        click_params: params(b"\x04\0\x02\0zone97"),
        postback_params: params(b"\x02\0\x04\0etsale"),
        ..Decision::default()
    }
}

fn full_decision_2() -> Decision<'static> {
    let euro = Currency::from_code(*b"EUR").unwrap();
    Decision {
        previous: 0x0000_0006_0000_2000,
        standing: Standing {
            was_told: true,
            was_pending: true,
            was_unknown: false,
            approved: Some(Micros::new(9_500_000)),
            reversed: Some(Reversal::Part(Micros::new(3_500_000))),
            held: Some(Micros::new(-7)),
            currency: Some(euro),
        },
        part_key: b"revboost\0part\0t-1",
        part: Standing {
            was_told: true,
            was_unknown: true,
            approved: Some(Micros::new(3_500_000)),
            reversed: Some(Reversal::Whole),
            currency: Some(euro),
            ..Standing::default()
        },
        click: 0x8000_0123_4567_89ab,
        labels: Labels::DATA_CENTRE.with(Labels::DUPLICATE),
        address: Some(KeptAddress { address: [203, 0, 113, 0].into(), bits: 24 }),
        country: *b"DE",
        user_agent: "Mozilla/5.0 (X11; Linux x86_64)",
        referrer: "https://news.example.org/a?b=c",
        language: "de-DE,de;q=0.9",
        ..full_decision()
    }
}

fn full_destination() -> DestinationEvent<'static> {
    DestinationEvent {
        time: Timestamp::from_micros(1_795_158_000_123_456),
        change: DestinationChange::Reopened,
        decision: 0x0000_0007_0000_1000,
        destination: "propeller-s2s",
        detail: b"an operator asked for it",
    }
}

fn full_cost() -> CostUpdate<'static> {
    CostUpdate {
        time: Timestamp::from_micros(1_795_158_000_000_000),
        import: 0xfedc_ba98_7654_3210,
        cost: Money { amount: Micros::new(12_500_001), currency: Currency::from_code(*b"EUR").unwrap() },
        entry: Micros::new(-499_999),
        campaign: "spring",
        source: "propeller",
        offer: "diet-42",
        params: params(b"\x04\0\x02\0zone97"),
    }
}

fn least_cost() -> CostUpdate<'static> {
    CostUpdate {
        time: Timestamp::default(),
        import: 0,
        cost: Money { amount: Micros::new(0), currency: Currency::USD },
        entry: Micros::new(0),
        campaign: "",
        source: "",
        offer: "",
        params: ParamsRef::default(),
    }
}

fn full_outcome() -> DeliveryOutcome<'static> {
    DeliveryOutcome {
        time: Timestamp::from_micros(1_795_158_060_250_000),
        delivery_id: *b"fedcba9876543210",
        decision: 0x0000_0007_0000_1100,
        attempt: 3,
        class: OutcomeClass::Throttle,
        is_final: true,
        http_status: 429,
        duration_micros: 84_211,
        next_attempt: Some(Timestamp::from_micros(1_795_158_120_000_000)),
        destination: "propeller-s2s",
        detail: b"slow down\0\xff",
    }
}

fn params(stored: &'static [u8]) -> ParamsRef<'static> {
    ParamsRef::check(stored).unwrap()
}
