//! Any value of any kind is read back as it was written.

use std::net::{Ipv4Addr, Ipv6Addr};

use clicklog::clock::Timestamp;
use clicklog::event::click::{Click, ClickKind, KeptAddress, Labels};
use clicklog::event::codec::{Event, decode};
use clicklog::event::conversion::{Conversion, Reversal, Standing, Status};
use clicklog::event::cost::CostUpdate;
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::delivery::{DeliveryOutcome, DestinationChange, DestinationEvent, OutcomeClass};
use clicklog::event::money::{Currency, Micros, Money};
use clicklog::event::params::{Params, ParamsRef};
use clicklog::event::postback::Postback;
use proptest::array::{uniform4, uniform16};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::encoded;

/// More texts than any event has; each event takes what it needs, in order.
const TEXTS: usize = 13;

const CURRENCIES: [[u8; 3]; 5] = [*b"USD", *b"EUR", *b"JPY", *b"KWD", *b"CLF"];
const CLICK_KINDS: [ClickKind; 4] =
    [ClickKind::Redirect, ClickKind::Script, ClickKind::Through, ClickKind::Imported];
const STATUSES: [Status; 4] = [Status::Pending, Status::Approved, Status::Reversed, Status::Unknown];
const VERDICTS: [Verdict; 9] = [
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
const CLASSES: [OutcomeClass; 11] = [
    OutcomeClass::Ok,
    OutcomeClass::Safe,
    OutcomeClass::Throttle,
    OutcomeClass::Server,
    OutcomeClass::Ambiguous,
    OutcomeClass::Redirect,
    OutcomeClass::Client,
    OutcomeClass::Auth,
    OutcomeClass::Gone,
    OutcomeClass::Config,
    OutcomeClass::Dropped,
];

proptest! {
    #[test]
    fn a_click_is_read_back(
        texts in texts(), stored in stored(), numbers: (u64, u64, u32, u32, bool), kind in select(&CLICK_KINDS),
        time in time(), cost in money(), address in address(), country: [u8; 2],
    ) {
        let [campaign, source, offer, lander, external_id, foreign_id, host, referrer, user_agent, language, client_hints, ..] =
            slices(&texts);
        let (config_version, parent, asn, labels, global_privacy_control) = numbers;
        reads_back(&Event::Click(Click {
            time, kind, config_version, parent, cost, address, country, asn,
            labels: Labels::from_bits(labels), global_privacy_control,
            campaign, source, offer, lander, external_id, foreign_id, host, referrer, user_agent, language,
            client_hints, params: ParamsRef::check(&stored).unwrap(),
        }))?;
    }

    #[test]
    fn a_postback_is_read_back(
        texts in texts(), body in vec(any::<u8>(), 0..300), numbers: (u64, u8, u16), time in time(),
        address in address(),
    ) {
        let [network, method, host, path, query, content_type, headers, ..] = slices(&texts);
        let (config_version, partition, refused) = numbers;
        reads_back(&Event::Postback(Postback {
            time, config_version, address, partition, refused, network, method, host, path, query, content_type,
            headers, body: &body,
        }))?;
    }

    #[test]
    fn a_decision_is_read_back(
        texts in texts(), stored in (stored(), stored()), dedupe_key in vec(any::<u8>(), 0..40),
        numbers: (u64, u64, u16, u8, u32, i64), conversion_id in uniform16(any::<u8>()),
        verdict in select(&VERDICTS), status in select(&STATUSES), times in (time(), proptest::option::of(time())),
        moneys in (money(), money()), standings in (standing(), standing()), later: (u64, u64, u32, [u8; 2]),
        part_key in vec(any::<u8>(), 0..40), address in address(),
    ) {
        let [
            network, click_id, transaction_id, event, original_status, campaign, offer, source, lander, external_id,
            user_agent, referrer, language,
        ] = slices(&texts);
        let (previous, click, labels, country) = later;
        let (postback, config_version, reason, partition, sequence, entry) = numbers;
        let (payout, cost) = moneys;
        let conversion =
            Conversion { network, click_id, transaction_id, event, status, original_status, payout };
        reads_back(&Event::Decision(Decision {
            time: times.0, postback, config_version, verdict, reason, partition, conversion_id, sequence, conversion,
            entry: Micros::new(entry), click_time: times.1, cost, campaign, offer, source, lander, external_id,
            dedupe_key: &dedupe_key, click_params: ParamsRef::check(&stored.0).unwrap(),
            postback_params: ParamsRef::check(&stored.1).unwrap(),
            previous, click, labels: Labels::from_bits(labels), country, address, user_agent, referrer, language,
            standing: standings.0, part: standings.1, part_key: &part_key,
        }))?;
    }

    #[test]
    fn an_outcome_is_read_back(
        destination in ".{0,40}", detail in vec(any::<u8>(), 0..300), numbers: (u64, u16, bool, u16, u32),
        delivery_id in uniform16(any::<u8>()), class in select(&CLASSES),
        times in (time(), proptest::option::of(time())),
    ) {
        let (decision, attempt, is_final, http_status, duration_micros) = numbers;
        reads_back(&Event::DeliveryOutcome(DeliveryOutcome {
            time: times.0, delivery_id, decision, attempt, class, is_final, http_status, duration_micros,
            next_attempt: times.1, destination: &destination, detail: &detail,
        }))?;
    }

    #[test]
    fn what_happened_to_a_destination_is_read_back(
        destination in ".{0,40}", detail in vec(any::<u8>(), 0..300), decision: u64, time in time(),
        change in select(&[
            DestinationChange::Progress, DestinationChange::Paused, DestinationChange::Resumed,
            DestinationChange::Reopened,
        ][..]),
    ) {
        let event = DestinationEvent { time, change, decision, destination: &destination, detail: &detail };
        reads_back(&Event::Destination(event))?;
    }

    #[test]
    fn a_cost_update_is_read_back(
        texts in texts(), stored in stored(), import: u64, amounts: (i64, i64), time in time(),
        code in select(&CURRENCIES),
    ) {
        let [campaign, source, offer, ..] = slices(&texts);
        let (amount, entry) = (Micros::new(amounts.0), Micros::new(amounts.1));
        let cost = Money { amount, currency: Currency::from_code(code).unwrap() };
        let params = ParamsRef::check(&stored).unwrap();
        reads_back(&Event::CostUpdate(CostUpdate { time, import, cost, entry, campaign, source, offer, params }))?;
    }
}

fn reads_back(event: &Event<'_>) -> Result<(), TestCaseError> {
    let written = encoded(event);
    let read = decode(written.kind.code(), written.schema, &written.payload);
    prop_assert_eq!(read.as_ref(), Ok(event));
    Ok(())
}

fn standing() -> impl Strategy<Value = Standing> {
    let amount = || proptest::option::of(any::<i64>().prop_map(Micros::new));
    let reversed =
        proptest::option::of(amount().prop_map(|part| part.map_or(Reversal::Whole, Reversal::Part)));
    let currency =
        proptest::option::of(select(&CURRENCIES[..]).prop_map(|code| Currency::from_code(code).unwrap()));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, amount(), reversed, amount(), currency).prop_map(|(flags, approved, reversed, held, currency)| {
        Standing {
            was_told: flags.0,
            was_pending: flags.1,
            was_unknown: flags.2,
            approved,
            reversed,
            held,
            currency,
        }
    })
}

fn slices(texts: &[String]) -> [&str; TEXTS] {
    std::array::from_fn(|index| texts[index].as_str())
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(".{0,40}", TEXTS)
}

/// Parameters in their stored form.
fn stored() -> impl Strategy<Value = Vec<u8>> {
    vec((".{0,12}", ".{0,40}"), 0..6).prop_map(|pairs| {
        let (mut params, mut stored) = (Params::default(), Vec::new());
        pairs.iter().for_each(|(name, value)| params.push(name, value));
        params.encode_into(&mut stored);
        stored
    })
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

fn money() -> impl Strategy<Value = Option<Money>> {
    proptest::option::of((any::<i64>(), select(&CURRENCIES)).prop_map(|(amount, code)| Money {
        amount: Micros::new(amount),
        currency: Currency::from_code(code).unwrap(),
    }))
}

/// Any address but the two that have no form of their own on disk: of IPv6, one with no bits kept is no address,
/// and one that is a mapped IPv4 address is that.
fn address() -> impl Strategy<Value = Option<KeptAddress>> {
    let v4 = (uniform4(any::<u8>()), 0..=32_u8)
        .prop_map(|(octets, bits)| KeptAddress { address: Ipv4Addr::from(octets).into(), bits });
    let v6 = (uniform16(any::<u8>()), 1..=128_u8)
        .prop_filter("IPv4", |(octets, _)| Ipv6Addr::from(*octets).to_ipv4_mapped().is_none())
        .prop_map(|(octets, bits)| KeptAddress { address: Ipv6Addr::from(octets).into(), bits });
    proptest::option::of(prop_oneof![v4, v6])
}
