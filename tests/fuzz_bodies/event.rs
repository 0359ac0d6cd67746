//! Bodies for `event` and what lies below it: texts and payloads that strangers send, or that a disk gives back.

use clicklog::clock::Timestamp;
use clicklog::event::click::{Click, ClickKind, Labels};
use clicklog::event::click_id::{ClickId, Keys, Place};
use clicklog::event::codec::{Encoder, Event, SCHEMA_MAX, decode, time_of};
use clicklog::event::money::{Currency, Micros};
use clicklog::event::params::{Limits, Params, ParamsRef, Source};
use rkyv::util::AlignedVec;
use std::str::from_utf8;

use super::Bytes;

/// 10000-01-01T00:00:00Z in microseconds: the first moment whose year needs five digits.
const YEAR_10000: i64 = 253_402_300_800_000_000;

/// Any `i64` can be written, and from 1970 to 9999 it takes 27 characters that sort as the moments do.
pub(crate) fn timestamp(data: &[u8]) {
    let micros = i64::from_le_bytes(Bytes(data).take());
    let text = Timestamp::from_micros(micros).to_string();
    if (0..YEAR_10000).contains(&micros) {
        assert_eq!(text.len(), 27, "{micros} is written as {text}");
        if micros > 0 {
            let before = Timestamp::from_micros(micros - 1).to_string();
            assert!(before < text, "{before} sorts before {text}");
        }
    }
}

/// Any query and form become text within the limits, and their stored form reads back as it is. Bytes that
/// claim to be a stored form are refused, or are exactly what storing their pairs gives.
pub(crate) fn params(data: &[u8]) {
    for source in [Source::Query, Source::Form] {
        let params = Params::parse(data, source);
        let mut stored = Vec::new();
        params.encode_into(&mut stored);
        assert_eq!(stored.len(), params.encoded_bytes());
        assert!(stored.len() <= Limits::default().encoded_bytes_max(), "{} bytes stored", stored.len());
        let read = ParamsRef::check(&stored).expect("what was stored is read");
        assert!(read.iter().eq(params.iter()), "{params:?} reads back as {read:?}");
    }
    if let Ok(read) = ParamsRef::check(data) {
        let mut params = Params::new(Limits {
            params_max: u16::MAX,
            name_bytes_max: u16::MAX,
            value_bytes_max: u16::MAX,
            total_bytes_max: u32::MAX,
        });
        read.iter().for_each(|(name, value)| params.push(name, value));
        let mut stored = Vec::new();
        params.encode_into(&mut stored);
        assert_eq!(stored, data, "one set of pairs has one stored form");
    }
}

/// An amount that is read from any text writes itself as a text that means the same, and so does any amount;
/// so does a currency.
pub(crate) fn money(data: &[u8]) {
    let amount = Micros::new(i64::from_le_bytes(Bytes(data).take()));
    let parsed = from_utf8(data).ok().and_then(|text| Micros::parse(text).ok());
    for amount in [Some(amount), parsed.map(|parsed| parsed.amount)].into_iter().flatten() {
        let text = amount.to_string();
        let again = Micros::parse(&text).expect("an amount's text is read");
        assert_eq!((again.amount, again.rounded), (amount, false), "{text}");
        assert_eq!(amount.checked_percent(10_000), Some(amount), "all of {text}");
    }
    if let Ok(currency) = Currency::from_code(Bytes(data).take()) {
        assert_eq!(currency.as_str().parse(), Ok(currency));
        assert!(currency.minor_digits() <= 4, "{currency}");
    }
}

/// Any text is an id or refused, and an id writes itself as a text that names it. An id is opened only to a
/// place that gives it again, and any place is found again, by its own key and after the key's retirement.
pub(crate) fn click_id(data: &[u8]) {
    let (old_key, new_key) = ((3, [7; 16]), (4, [9; 16]));
    let old = Keys::new(3, [old_key]).expect("version 3 has a key");
    let both = Keys::new(4, [old_key, new_key]).expect("version 4 has a key");

    let from_text = from_utf8(data).ok().and_then(|text| text.parse::<ClickId>().ok());
    for id in [Some(ClickId::from_bytes(Bytes(data).take())), from_text].into_iter().flatten() {
        assert_eq!(id.to_text().as_str().parse(), Ok(id));
        if let Some(place) = both.decode(&id) {
            assert!(id == both.encode(place) || id == old.encode(place), "{id} is not the id of {place:?}");
        }
    }

    let mut bytes = Bytes(data);
    let place = Place::new(
        bytes.u16() & Place::NODE_MAX,
        bytes.u8() & Place::LANE_MAX,
        bytes.u32() & Place::SEGMENT_MAX,
        bytes.u32() & Place::ORDINAL_MAX,
        bytes.u32(),
    );
    let place = place.expect("every number is masked to its bits");
    for keys in [&old, &both] {
        assert_eq!(both.decode(&keys.encode(place)), Some(place));
    }
}

/// Any bytes, as a payload of any kind and schema, are refused or are an event that writes itself as bytes of
/// the same meaning; and so does a click made of any texts.
pub(crate) fn codec(data: &[u8]) {
    let mut payload = AlignedVec::<16>::new();
    payload.extend_from_slice(data);
    for (kind, schema) in (0..=8).flat_map(|kind| (0..=SCHEMA_MAX + 1).map(move |schema| (kind, schema))) {
        if let Ok(event) = decode(kind, schema, &payload) {
            assert!((1..=SCHEMA_MAX).contains(&schema), "this build knows no schema {schema}");
            assert_eq!(time_of(kind, schema, &payload), Ok(event.time()));
            reads_back(&event);
        }
    }
    // From an address that suits no archive there is an answer as well, for no bytes at all too.
    if let Some(shifted) = payload.get(1..) {
        for (kind, schema) in (1..=7).flat_map(|kind| (1..=SCHEMA_MAX).map(move |schema| (kind, schema))) {
            let _refused = decode(kind, schema, shifted);
            let _time = time_of(kind, schema, shifted);
        }
    }
    click_reads_back(data);
}

fn click_reads_back(data: &[u8]) {
    let mut bytes = Bytes(data);
    let kinds = [ClickKind::Redirect, ClickKind::Script, ClickKind::Through, ClickKind::Imported];
    let fixed = Click {
        time: Timestamp::from_micros(i64::from_le_bytes(bytes.take())),
        kind: kinds[usize::from(bytes.u8() % 4)],
        labels: Labels::from_bits(bytes.u32()),
        asn: bytes.u32(),
        country: bytes.take(),
        ..Click::default()
    };
    let params = Params::parse(bytes.0, Source::Query);
    let mut stored = Vec::new();
    params.encode_into(&mut stored);
    let mut texts = bytes.0.split(|&byte| byte == 0).map(|text| from_utf8(text).unwrap_or_default());
    let mut text = || texts.next().unwrap_or_default();
    reads_back(&Event::Click(Click {
        campaign: text(),
        source: text(),
        offer: text(),
        external_id: text(),
        foreign_id: text(),
        referrer: text(),
        user_agent: text(),
        client_hints: text(),
        params: ParamsRef::check(&stored).expect("what was stored is read"),
        ..fixed
    }));
}

/// What an event writes is that event. A click may hold more text than its layout can say: then nothing is written.
fn reads_back(event: &Event<'_>) {
    let mut encoder = Encoder::default();
    let encoded = match event {
        Event::Click(click) => encoder.click(click),
        Event::Postback(postback) => encoder.postback(postback),
        Event::Decision(decision) => encoder.decision(decision),
        Event::DeliveryOutcome(outcome) => encoder.outcome(outcome),
        Event::Destination(event) => encoder.destination(event),
        Event::CostUpdate(update) => encoder.cost_update(update),
    };
    match encoded {
        Ok(encoded) => {
            assert_eq!(encoded.time, event.time());
            assert_eq!(decode(encoded.kind.code(), encoded.schema, encoded.payload).as_ref(), Ok(event));
        }
        Err(too_long) => assert!(too_long.bytes > usize::from(u16::MAX), "{too_long}"),
    }
}
