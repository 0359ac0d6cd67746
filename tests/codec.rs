//! Records as bytes: the layouts that are on disks already, every value there and back, and hostile bytes.
//!
//! In: `tests/fixtures/codec/*.bin`, the payload of one value of each kind and schema, written when its schema
//! shipped. Out: this build writes the same bytes for that value, and reads them as that value.
//! Keeps: a schema that shipped is frozen: a change is a new schema with files of its own, beside the old ones.
//! `CLICKLOG_BLESS=1` writes the files anew: for a new schema, or before the first release.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "codec/round_trip.rs"]
mod round_trip;
#[path = "codec/values.rs"]
mod values;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use clicklog::event::codec::{Encoder, Event, Kind, SCHEMA_MAX, decode, time_of};
use rkyv::util::AlignedVec;
use values::{Golden, golden};

#[test]
fn what_this_build_writes_is_what_shipped() {
    for Golden { name, kind, schema, event } in golden() {
        if schema < kind.schema() {
            continue; // only read any more
        }
        let written = encoded(&event);
        assert_eq!((written.kind, written.schema), (kind, schema), "{name}");
        let shipped = shipped(name);
        assert!(
            shipped[..] == written.payload[..],
            "{name}: this build writes other bytes ({} instead of {}, the first difference at byte {:?}). A schema that \
             shipped is frozen: disks are full of it. Leave the old layout as it was and add a new schema; only \
             before the first release may CLICKLOG_BLESS=1 write these files anew",
            written.payload.len(),
            shipped.len(),
            shipped.iter().zip(written.payload.iter()).position(|(was, is)| was != is),
        );
    }
}

/// What is rewritten stays in its layout: there is no room for another.
#[test]
fn what_was_read_is_written_again_as_it_shipped() {
    for Golden { name, kind, schema, event } in golden() {
        let mut encoder = Encoder::default();
        let again = encoder.again(&event, schema).unwrap();
        assert_eq!((again.kind, again.schema, again.time), (kind, schema, event.time()), "{name}");
        assert!(again.payload == &shipped(name)[..], "{name}");
    }
}

#[test]
fn what_shipped_is_read_as_what_it_meant() {
    for Golden { name, kind, schema, event } in golden() {
        let payload = shipped(name);
        assert_eq!(decode(kind.code(), schema, &payload).as_ref(), Ok(&event), "{name}");
        assert_eq!(time_of(kind.code(), schema, &payload), Ok(event.time()), "{name}");
    }
}

#[test]
fn each_file_has_its_value_and_each_kind_its_files() {
    shipped("click-v1-full");
    let listed = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<_> =
        listed.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let values: BTreeSet<_> = golden().iter().map(|golden| format!("{}.bin", golden.name)).collect();
    assert_eq!(files, values);
    let kinds: BTreeSet<_> = golden().iter().map(|golden| golden.kind).collect();
    let all = [
        Kind::Click,
        Kind::Postback,
        Kind::Decision,
        Kind::DeliveryOutcome,
        Kind::ForeignClick,
        Kind::Destination,
        Kind::CostUpdate,
    ];
    assert_eq!(kinds, BTreeSet::from(all));
    for schema in [0, SCHEMA_MAX + 1, u16::MAX] {
        for kind in all {
            assert!(decode(kind.code(), schema, &shipped("click-v1-full")).is_err(), "{kind:?}, {schema}");
        }
    }
}

/// Cuts each payload at every byte and flips every bit of it, and reads that as every kind: it is refused, or
/// it is an event whose every field can be looked at.
#[test]
fn hostile_bytes_are_refused_or_read_and_never_panic() {
    for Golden { name, .. } in golden() {
        let whole = shipped(name);
        for cut in 0..whole.len() {
            look(&whole[..cut]);
        }
        let mut flipped = whole.clone();
        for bit in 0..whole.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            look(&flipped);
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

fn look(payload: &[u8]) {
    let payload = aligned(payload);
    for kind in 0..=8 {
        for schema in 1..=SCHEMA_MAX {
            if let Ok(event) = decode(kind, schema, &payload) {
                let _every_field = format!("{event:?}");
            }
            let _time = time_of(kind, schema, &payload);
        }
    }
}

/// What an encoder made of an event.
struct Written {
    kind: Kind,
    schema: u16,
    payload: AlignedVec<16>,
}

fn encoded(event: &Event<'_>) -> Written {
    let mut encoder = Encoder::default();
    let encoded = match event {
        Event::Click(click) => encoder.click(click),
        Event::Postback(postback) => encoder.postback(postback),
        Event::Decision(decision) => encoder.decision(decision),
        Event::DeliveryOutcome(outcome) => encoder.outcome(outcome),
        Event::Destination(event) => encoder.destination(event),
        Event::CostUpdate(update) => encoder.cost_update(update),
    };
    let encoded = encoded.unwrap();
    assert_eq!(encoded.time, event.time());
    Written { kind: encoded.kind, schema: encoded.schema, payload: aligned(encoded.payload) }
}

/// The payload in a file.
fn shipped(name: &str) -> AlignedVec<16> {
    static BLESSED: Once = Once::new();
    if std::env::var_os("CLICKLOG_BLESS").is_some() {
        BLESSED.call_once(bless);
    }
    let path = folder().join(format!("{name}.bin"));
    let bytes = fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; CLICKLOG_BLESS=1 writes the files of a new schema", path.display())
    });
    aligned(&bytes)
}

fn bless() {
    fs::create_dir_all(folder()).unwrap();
    for Golden { name, event, .. } in golden().iter().filter(|one| one.schema == one.kind.schema()) {
        fs::write(folder().join(format!("{name}.bin")), &encoded(event).payload).unwrap();
    }
}

/// As records lie in a segment.
fn aligned(bytes: &[u8]) -> AlignedVec<16> {
    let mut aligned = AlignedVec::new();
    aligned.extend_from_slice(bytes);
    aligned
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/codec")
}
