//! Events to payloads and back.
//!
//! In: a view of an event. Out: kind, schema and bytes of a payload; and the way back, checked.
//! Keeps: what `Encoder` writes, `decode` reads; any other bytes are refused, never misread or out of bounds.
//! Not here: the layouts (`schema_v1`, `schema_v2`), the frame around a payload (`store::record`).

use rkyv::api::low::to_bytes_in_with_alloc;
use rkyv::rancor::Failure;
use rkyv::ser::allocator::SubAllocator;
use rkyv::util::AlignedVec;

use super::click::{Click, ClickKind, KeptAddress, Labels};
use super::conversion::{Conversion, Status};
use super::cost::CostUpdate;
use super::decision::{Decision, Verdict};
use super::delivery::{DeliveryOutcome, DestinationChange, DestinationEvent, OutcomeClass};
use super::money::Micros;
use super::params::ParamsRef;
use super::parts::{money, money_parts, standing, standing_parts, strings};
use super::postback::Postback;
use super::schema_v1::{
    ArchivedClickV1, ArchivedCostV1, ArchivedDecisionV1, ArchivedDestinationV1, ArchivedOutcomeV1,
    ArchivedPostbackV1, ClickV1, CostV1, DecisionV1, DestinationV1, OutcomeV1, PostbackV1,
};
use super::schema_v2::{ArchivedDecisionV2, DecisionV2};
use super::text::{Joined, ends, split};
use crate::clock::Timestamp;

/// What a payload is. The numbers are on disk: they are never given to anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Kind {
    /// `Click`.
    Click = 1,
    /// `Postback`.
    Postback = 2,
    /// `Decision`.
    Decision = 3,
    /// `DeliveryOutcome`.
    DeliveryOutcome = 4,
    /// `Click` that was brought over from another tracker. A kind of its own, so that a start knows from a
    /// segment's footer whether it has to be read for foreign ids.
    ForeignClick = 5,
    /// `DestinationEvent`.
    Destination = 6,
    /// `CostUpdate`.
    CostUpdate = 7,
}

impl Kind {
    /// The number in a record's frame.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The schema that this build writes. It reads all from 1 on.
    pub const fn schema(self) -> u16 {
        match self {
            Self::Decision => 2,
            Self::Click | Self::Postback | Self::DeliveryOutcome => 1,
            Self::ForeignClick | Self::Destination | Self::CostUpdate => 1,
        }
    }
}

/// The highest schema of any kind.
pub const SCHEMA_MAX: u16 = 2;

/// Any event, as read from a record.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a view that lives on the stack, one at a time")]
pub enum Event<'a> {
    /// See `Click`.
    Click(Click<'a>),
    /// See `Postback`.
    Postback(Postback<'a>),
    /// See `Decision`.
    Decision(Decision<'a>),
    /// See `DeliveryOutcome`.
    DeliveryOutcome(DeliveryOutcome<'a>),
    /// See `DestinationEvent`.
    Destination(DestinationEvent<'a>),
    /// See `CostUpdate`.
    CostUpdate(CostUpdate<'a>),
}

impl Event<'_> {
    /// When it happened.
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Click(click) => click.time,
            Self::Postback(postback) => postback.time,
            Self::Decision(decision) => decision.time,
            Self::DeliveryOutcome(outcome) => outcome.time,
            Self::Destination(event) => event.time,
            Self::CostUpdate(update) => update.time,
        }
    }
}

/// Why a payload could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Written by a newer build.
    #[error("kind {kind}, schema {schema} is unknown to this build")]
    Unknown {
        /// Kind in the frame.
        kind: u16,
        /// Schema in the frame.
        schema: u16,
    },
    /// Not what its kind and schema say.
    #[error("the payload is not a valid {0:?}")]
    Malformed(Kind),
    /// Not even an archive of its kind.
    #[error("the payload is no archive of kind {kind}")]
    Unreadable {
        /// Kind in the frame.
        kind: u16,
    },
}

/// Why an event could not be written: its texts are together longer than its layout can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the texts of the event are too long: {bytes} bytes")]
pub struct TooLong {
    /// All of them together.
    pub bytes: usize,
}

/// One event as bytes, ready to be framed.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    /// What it is.
    pub kind: Kind,
    /// Which layout.
    pub schema: u16,
    /// When it happened.
    pub time: Timestamp,
    /// The archive.
    pub payload: &'a [u8],
}

/// Turns events into payloads, in a buffer that it keeps: once warm it does not allocate.
#[derive(Default)]
pub struct Encoder {
    bytes: AlignedVec,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Archives `$row` into the encoder's buffer and gives it as an `Encoded`.
macro_rules! archived {
    ($self:ident, $row:expr, $kind:expr, $time:expr) => {{
        $self.bytes.clear();
        // Only a full buffer, a shared pointer or a wish for scratch memory can make serialisation fail: a row
        // of integers and bytes has none of them.
        let scratch = SubAllocator::empty();
        let written = to_bytes_in_with_alloc::<_, _, Failure>(&$row, &mut $self.bytes, scratch);
        assert!(written.is_ok(), "a row can be archived");
        Encoded { kind: $kind, schema: $kind.schema(), time: $time, payload: &$self.bytes }
    }};
}

impl Encoder {
    /// A click as bytes.
    ///
    /// # Errors
    /// If its texts are together longer than 65,535 bytes.
    pub fn click(&mut self, click: &Click<'_>) -> Result<Encoded<'_>, TooLong> {
        let fields = [
            click.campaign.as_bytes(),
            click.source.as_bytes(),
            click.offer.as_bytes(),
            click.lander.as_bytes(),
            click.external_id.as_bytes(),
            click.foreign_id.as_bytes(),
            click.host.as_bytes(),
            click.referrer.as_bytes(),
            click.user_agent.as_bytes(),
            click.language.as_bytes(),
            click.client_hints.as_bytes(),
            click.params.as_bytes(),
        ];
        let ends = ends(&fields).ok_or_else(|| too_long(&fields))?;
        let (cost, currency) = money_parts(click.cost);
        let (address, address_bits) = KeptAddress::to_parts(click.address);
        let row = ClickV1 {
            time: click.time.micros(),
            config_version: click.config_version,
            parent: click.parent,
            labels: click.labels.bits(),
            asn: click.asn,
            kind: click.kind as u8,
            country: click.country,
            flags: u8::from(click.global_privacy_control),
            cost,
            currency,
            address,
            address_bits,
            ends,
            text: Joined(&fields),
        };
        let kind = if click.kind == ClickKind::Imported { Kind::ForeignClick } else { Kind::Click };
        Ok(archived!(self, row, kind, click.time))
    }

    /// A postback as bytes.
    ///
    /// # Errors
    /// If its texts are together longer than 4 GiB.
    pub fn postback(&mut self, postback: &Postback<'_>) -> Result<Encoded<'_>, TooLong> {
        let fields = [
            postback.network.as_bytes(),
            postback.method.as_bytes(),
            postback.host.as_bytes(),
            postback.path.as_bytes(),
            postback.query.as_bytes(),
            postback.content_type.as_bytes(),
            postback.headers.as_bytes(),
            postback.body,
        ];
        let ends = ends(&fields).ok_or_else(|| too_long(&fields))?;
        let (address, address_bits) = KeptAddress::to_parts(postback.address);
        let row = PostbackV1 {
            time: postback.time.micros(),
            config_version: postback.config_version,
            partition: postback.partition,
            refused: postback.refused,
            address,
            address_bits,
            ends,
            text: Joined(&fields),
        };
        Ok(archived!(self, row, Kind::Postback, postback.time))
    }

    /// A decision as bytes.
    ///
    /// # Errors
    /// If its texts are together longer than 4 GiB.
    pub fn decision(&mut self, decision: &Decision<'_>) -> Result<Encoded<'_>, TooLong> {
        let conversion = &decision.conversion;
        let fields = [
            conversion.network.as_bytes(),
            conversion.click_id.as_bytes(),
            conversion.transaction_id.as_bytes(),
            conversion.event.as_bytes(),
            conversion.original_status.as_bytes(),
            decision.campaign.as_bytes(),
            decision.offer.as_bytes(),
            decision.source.as_bytes(),
            decision.lander.as_bytes(),
            decision.external_id.as_bytes(),
            decision.dedupe_key,
            decision.click_params.as_bytes(),
            decision.postback_params.as_bytes(),
            decision.part_key,
            decision.user_agent.as_bytes(),
            decision.referrer.as_bytes(),
            decision.language.as_bytes(),
        ];
        let ends = ends(&fields).ok_or_else(|| too_long(&fields))?;
        let (cost, cost_currency) = money_parts(decision.cost);
        let (payout, payout_currency) = money_parts(conversion.payout);
        let (address, address_bits) = KeptAddress::to_parts(decision.address);
        let row = DecisionV2 {
            time: decision.time.micros(),
            postback: decision.postback,
            previous: decision.previous,
            click: decision.click,
            standing: standing_parts(decision.standing),
            part: standing_parts(decision.part),
            labels: decision.labels.bits(),
            address,
            address_bits,
            country: decision.country,
            config_version: decision.config_version,
            entry: decision.entry.get(),
            conversion_id: decision.conversion_id,
            sequence: decision.sequence,
            result: decision.verdict as u8,
            status: conversion.status as u8,
            partition: decision.partition,
            reason: decision.reason,
            flags: u8::from(decision.click_time.is_some()),
            click_time: decision.click_time.unwrap_or_default().micros(),
            cost,
            cost_currency,
            payout,
            payout_currency,
            ends,
            text: Joined(&fields),
        };
        Ok(archived!(self, row, Kind::Decision, decision.time))
    }

    /// Any event as bytes, in the layout that it had: it is never longer than it was, if its texts are not.
    ///
    /// # Errors
    /// As of its kind.
    pub fn again(&mut self, event: &Event<'_>, schema: u16) -> Result<Encoded<'_>, TooLong> {
        match event {
            Event::Click(click) => self.click(click),
            Event::Postback(postback) => self.postback(postback),
            Event::Decision(decision) if schema == 1 => self.decision_v1(decision),
            Event::Decision(decision) => self.decision(decision),
            Event::DeliveryOutcome(outcome) => self.outcome(outcome),
            Event::Destination(event) => self.destination(event),
            Event::CostUpdate(update) => self.cost_update(update),
        }
    }

    /// A decision as it was written first; what came later is left out.
    fn decision_v1(&mut self, decision: &Decision<'_>) -> Result<Encoded<'_>, TooLong> {
        let conversion = &decision.conversion;
        let fields = [
            conversion.network.as_bytes(),
            conversion.click_id.as_bytes(),
            conversion.transaction_id.as_bytes(),
            conversion.event.as_bytes(),
            conversion.original_status.as_bytes(),
            decision.campaign.as_bytes(),
            decision.offer.as_bytes(),
            decision.source.as_bytes(),
            decision.lander.as_bytes(),
            decision.external_id.as_bytes(),
            decision.dedupe_key,
            decision.click_params.as_bytes(),
            decision.postback_params.as_bytes(),
        ];
        let ends = ends(&fields).ok_or_else(|| too_long(&fields))?;
        let (cost, cost_currency) = money_parts(decision.cost);
        let (payout, payout_currency) = money_parts(conversion.payout);
        let row = DecisionV1 {
            time: decision.time.micros(),
            postback: decision.postback,
            config_version: decision.config_version,
            click_time: decision.click_time.unwrap_or_default().micros(),
            cost,
            payout,
            entry: decision.entry.get(),
            conversion_id: decision.conversion_id,
            sequence: decision.sequence,
            ends,
            cost_currency,
            payout_currency,
            result: decision.verdict as u8,
            status: conversion.status as u8,
            partition: decision.partition,
            flags: u8::from(decision.click_time.is_some()),
            reason: decision.reason,
            text: Joined(&fields),
        };
        let encoded = archived!(self, row, Kind::Decision, decision.time);
        Ok(Encoded { schema: 1, ..encoded })
    }

    /// An outcome as bytes.
    ///
    /// # Errors
    /// If its texts are together longer than 4 GiB.
    pub fn outcome(&mut self, outcome: &DeliveryOutcome<'_>) -> Result<Encoded<'_>, TooLong> {
        let fields = [outcome.destination.as_bytes(), outcome.detail];
        let ends = ends(&fields).ok_or_else(|| too_long(&fields))?;
        let row = OutcomeV1 {
            time: outcome.time.micros(),
            decision: outcome.decision,
            delivery_id: outcome.delivery_id,
            duration_micros: outcome.duration_micros,
            attempt: outcome.attempt,
            http_status: outcome.http_status,
            class: outcome.class as u8,
            flags: u8::from(outcome.is_final) | u8::from(outcome.next_attempt.is_some()) << 1,
            next_attempt: outcome.next_attempt.unwrap_or_default().micros(),
            ends,
            text: Joined(&fields),
        };
        Ok(archived!(self, row, Kind::DeliveryOutcome, outcome.time))
    }

    /// What happened to a destination as bytes.
    ///
    /// # Errors
    /// If its texts are together longer than 4 GiB.
    pub fn destination(&mut self, event: &DestinationEvent<'_>) -> Result<Encoded<'_>, TooLong> {
        let fields = [event.destination.as_bytes(), event.detail];
        let ends = ends(&fields).ok_or_else(|| too_long(&fields))?;
        let row = DestinationV1 {
            time: event.time.micros(),
            decision: event.decision,
            change: event.change as u8,
            ends,
            text: Joined(&fields),
        };
        Ok(archived!(self, row, Kind::Destination, event.time))
    }

    /// A cost update as bytes.
    ///
    /// # Errors
    /// If its texts are together longer than 4 GiB.
    pub fn cost_update(&mut self, update: &CostUpdate<'_>) -> Result<Encoded<'_>, TooLong> {
        let fields = [
            update.campaign.as_bytes(),
            update.source.as_bytes(),
            update.offer.as_bytes(),
            update.params.as_bytes(),
        ];
        let ends = ends(&fields).ok_or_else(|| too_long(&fields))?;
        let row = CostV1 {
            time: update.time.micros(),
            import: update.import,
            cost: update.cost.amount.get(),
            entry: update.entry.get(),
            ends,
            currency: update.cost.currency.code(),
            text: Joined(&fields),
        };
        Ok(archived!(self, row, Kind::CostUpdate, update.time))
    }
}

/// Reads a payload. `payload` must lie at an address that is a multiple of 16, as records in a segment do.
///
/// # Errors
/// If the kind or schema is unknown, or the bytes are not what they say.
pub fn decode(kind: u16, schema: u16, payload: &[u8]) -> Result<Event<'_>, Undecodable> {
    let malformed = |kind| move || Undecodable::Malformed(kind);
    match (kind, schema) {
        (1 | 5, 1) => click_v1(payload).map(Event::Click).ok_or_else(malformed(Kind::Click)),
        (2, 1) => postback_v1(payload).map(Event::Postback).ok_or_else(malformed(Kind::Postback)),
        (3, 1) => decision_v1(payload).map(Event::Decision).ok_or_else(malformed(Kind::Decision)),
        (3, 2) => decision_v2(payload).map(Event::Decision).ok_or_else(malformed(Kind::Decision)),
        (4, 1) => {
            outcome_v1(payload).map(Event::DeliveryOutcome).ok_or_else(malformed(Kind::DeliveryOutcome))
        }
        (6, 1) => destination_v1(payload).map(Event::Destination).ok_or_else(malformed(Kind::Destination)),
        (7, 1) => cost_v1(payload).map(Event::CostUpdate).ok_or_else(malformed(Kind::CostUpdate)),
        _ => Err(Undecodable::Unknown { kind, schema }),
    }
}

/// When the event in a payload happened, without reading its texts. As `decode`, but for bytes at any address.
///
/// # Errors
/// As `decode`.
pub fn time_of(kind: u16, schema: u16, payload: &[u8]) -> Result<Timestamp, Undecodable> {
    let mut aligned = AlignedVec::<16>::new();
    let payload = if payload.as_ptr().addr().is_multiple_of(AlignedVec::<16>::ALIGNMENT) {
        payload
    } else {
        aligned.extend_from_slice(payload);
        &aligned
    };
    let time = match (kind, schema) {
        (1 | 5, 1) => rkyv::access::<ArchivedClickV1<'_>, Failure>(payload).map(|row| row.time),
        (2, 1) => rkyv::access::<ArchivedPostbackV1<'_>, Failure>(payload).map(|row| row.time),
        (3, 1) => rkyv::access::<ArchivedDecisionV1<'_>, Failure>(payload).map(|row| row.time),
        (3, 2) => rkyv::access::<ArchivedDecisionV2<'_>, Failure>(payload).map(|row| row.time),
        (4, 1) => rkyv::access::<ArchivedOutcomeV1<'_>, Failure>(payload).map(|row| row.time),
        (6, 1) => rkyv::access::<ArchivedDestinationV1<'_>, Failure>(payload).map(|row| row.time),
        (7, 1) => rkyv::access::<ArchivedCostV1<'_>, Failure>(payload).map(|row| row.time),
        _ => return Err(Undecodable::Unknown { kind, schema }),
    };
    time.map(|time| Timestamp::from_micros(time.to_native())).map_err(|_| Undecodable::Unreadable { kind })
}

fn click_v1(payload: &[u8]) -> Option<Click<'_>> {
    let row = rkyv::access::<ArchivedClickV1<'_>, Failure>(payload).ok()?;
    let fields = split(row.text.as_slice(), row.ends.map(|end| end.to_native()))?;
    let [texts @ .., params] = fields;
    let [
        campaign,
        source,
        offer,
        lander,
        external_id,
        foreign_id,
        host,
        referrer,
        user_agent,
        language,
        client_hints,
    ] = strings(texts)?;
    Some(Click {
        time: Timestamp::from_micros(row.time.to_native()),
        kind: ClickKind::from_code(row.kind)?,
        config_version: row.config_version.to_native(),
        parent: row.parent.to_native(),
        cost: money(row.cost.to_native(), row.currency)?,
        address: KeptAddress::from_parts(row.address, row.address_bits)?,
        country: row.country,
        asn: row.asn.to_native(),
        labels: Labels::from_bits(row.labels.to_native()),
        global_privacy_control: row.flags & 1 != 0,
        campaign,
        source,
        offer,
        lander,
        external_id,
        foreign_id,
        host,
        referrer,
        user_agent,
        language,
        client_hints,
        params: ParamsRef::check(params).ok()?,
    })
}

fn postback_v1(payload: &[u8]) -> Option<Postback<'_>> {
    let row = rkyv::access::<ArchivedPostbackV1<'_>, Failure>(payload).ok()?;
    let fields = split(row.text.as_slice(), row.ends.map(|end| end.to_native()))?;
    let [texts @ .., body] = fields;
    let [network, method, host, path, query, content_type, headers] = strings(texts)?;
    Some(Postback {
        time: Timestamp::from_micros(row.time.to_native()),
        config_version: row.config_version.to_native(),
        address: KeptAddress::from_parts(row.address, row.address_bits)?,
        partition: row.partition,
        refused: row.refused.to_native(),
        network,
        method,
        host,
        path,
        query,
        content_type,
        headers,
        body,
    })
}

/// What both layouts of a decision hold, of a row of either and the texts that both have.
macro_rules! decision_of {
    ($row:ident, $texts:expr) => {{
        let [texts @ .., dedupe_key, click_params, postback_params] = $texts;
        let [
            network,
            click_id,
            transaction_id,
            event,
            original_status,
            campaign,
            offer,
            source,
            lander,
            external_id,
        ] = strings(texts)?;
        let has_click = $row.flags & 1 != 0;
        Decision {
            time: Timestamp::from_micros($row.time.to_native()),
            postback: $row.postback.to_native(),
            config_version: $row.config_version.to_native(),
            verdict: Verdict::from_code($row.result)?,
            reason: $row.reason.to_native(),
            partition: $row.partition,
            conversion_id: $row.conversion_id,
            sequence: $row.sequence.to_native(),
            conversion: Conversion {
                network,
                click_id,
                transaction_id,
                event,
                status: Status::from_code($row.status)?,
                original_status,
                payout: money($row.payout.to_native(), $row.payout_currency)?,
            },
            entry: Micros::new($row.entry.to_native()),
            click_time: has_click.then(|| Timestamp::from_micros($row.click_time.to_native())),
            cost: money($row.cost.to_native(), $row.cost_currency)?,
            campaign,
            offer,
            source,
            lander,
            external_id,
            dedupe_key,
            click_params: ParamsRef::check(click_params).ok()?,
            postback_params: ParamsRef::check(postback_params).ok()?,
            ..Decision::default()
        }
    }};
}

fn decision_v1(payload: &[u8]) -> Option<Decision<'_>> {
    let row = rkyv::access::<ArchivedDecisionV1<'_>, Failure>(payload).ok()?;
    let fields = split(row.text.as_slice(), row.ends.map(|end| end.to_native()))?;
    Some(decision_of!(row, fields))
}

fn decision_v2(payload: &[u8]) -> Option<Decision<'_>> {
    let row = rkyv::access::<ArchivedDecisionV2<'_>, Failure>(payload).ok()?;
    let fields = split(row.text.as_slice(), row.ends.map(|end| end.to_native()))?;
    let [first @ .., part_key, user_agent, referrer, language] = fields;
    let [user_agent, referrer, language] = strings([user_agent, referrer, language])?;
    Some(Decision {
        previous: row.previous.to_native(),
        standing: standing(&row.standing)?,
        part_key,
        part: standing(&row.part)?,
        click: row.click.to_native(),
        labels: Labels::from_bits(row.labels.to_native()),
        address: KeptAddress::from_parts(row.address, row.address_bits)?,
        country: row.country,
        user_agent,
        referrer,
        language,
        ..decision_of!(row, first)
    })
}

fn outcome_v1(payload: &[u8]) -> Option<DeliveryOutcome<'_>> {
    let row = rkyv::access::<ArchivedOutcomeV1<'_>, Failure>(payload).ok()?;
    let [destination, detail] = split(row.text.as_slice(), row.ends.map(|end| end.to_native()))?;
    let has_next = row.flags & 2 != 0;
    Some(DeliveryOutcome {
        time: Timestamp::from_micros(row.time.to_native()),
        delivery_id: row.delivery_id,
        decision: row.decision.to_native(),
        attempt: row.attempt.to_native(),
        class: OutcomeClass::from_code(row.class)?,
        is_final: row.flags & 1 != 0,
        http_status: row.http_status.to_native(),
        duration_micros: row.duration_micros.to_native(),
        next_attempt: has_next.then(|| Timestamp::from_micros(row.next_attempt.to_native())),
        destination: std::str::from_utf8(destination).ok()?,
        detail,
    })
}

fn destination_v1(payload: &[u8]) -> Option<DestinationEvent<'_>> {
    let row = rkyv::access::<ArchivedDestinationV1<'_>, Failure>(payload).ok()?;
    let [destination, detail] = split(row.text.as_slice(), row.ends.map(|end| end.to_native()))?;
    Some(DestinationEvent {
        time: Timestamp::from_micros(row.time.to_native()),
        change: DestinationChange::from_code(row.change)?,
        decision: row.decision.to_native(),
        destination: std::str::from_utf8(destination).ok()?,
        detail,
    })
}

fn cost_v1(payload: &[u8]) -> Option<CostUpdate<'_>> {
    let row = rkyv::access::<ArchivedCostV1<'_>, Failure>(payload).ok()?;
    let [texts @ .., params] = split(row.text.as_slice(), row.ends.map(|end| end.to_native()))?;
    let [campaign, source, offer] = strings(texts)?;
    Some(CostUpdate {
        time: Timestamp::from_micros(row.time.to_native()),
        import: row.import.to_native(),
        cost: money(row.cost.to_native(), row.currency)??,
        entry: Micros::new(row.entry.to_native()),
        campaign,
        source,
        offer,
        params: ParamsRef::check(params).ok()?,
    })
}

fn too_long<const N: usize>(fields: &[&[u8]; N]) -> TooLong {
    TooLong { bytes: fields.iter().map(|field| field.len()).sum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_payload_has_no_time_at_any_address() {
        let bytes = [0; 32];
        for at in 0..16 {
            assert_eq!(time_of(1, 1, &bytes[at..at]), Err(Undecodable::Unreadable { kind: 1 }));
        }
    }
}
