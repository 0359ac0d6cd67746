//! What the placeholders of a delivery stand for: a decision, and the attempt that tells of it.
//!
//! In: a decision, what its destination is told of it, the secrets of the catalog. Out: `Values`, for the templates of a
//! request; and for what surrounds a batch those that are the same for all in it.
//! Keeps: ids and the address become text once for all gaps of a request.
//!
//! `{payout}` and `{revenue}` are what the item says, after the cut. For a reversal that is how much is taken back, without
//! a sign: `{status}` says which way it goes, as at every traffic source that hears of both. Whoever wants a sign
//! writes `{payout|mul:-1}`.

use std::cell::OnceCell;

use super::outbound::Secrets;
use super::request::{Item, Moment};
use crate::event::click::first_language;
use crate::event::conversion::Status;
use crate::event::hex_digits;
use crate::event::money::Micros;
use crate::event::template::{Known, Name, Value, Values};

/// Between the random numbers of a batch's items: an odd number whose multiples are all different.
const RANDOM_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// An id of 16 bytes as it is written, in lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdText([u8; 32]);

impl IdText {
    pub(super) fn of(id: [u8; 16]) -> Self {
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(id) {
            pair.copy_from_slice(&hex_digits(byte));
        }
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What is the same for all deliveries of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common<'a> {
    /// Of the one delivery, or of the batch.
    pub(super) id: &'a IdText,
    pub(super) secrets: &'a Secrets,
    pub(super) moment: Moment,
}

impl Values for Common<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        Some(match name {
            Name::Secret(name) => Value::Text(self.secrets.get(name)?),
            Name::Known(Known::DeliveryId) => Value::Text(self.id.as_str()),
            Name::Known(Known::Now) => Value::Time(self.moment.now),
            Name::Known(Known::Random) => Value::Number(self.moment.random),
            Name::Known(_) | Name::Param(_) | Name::Postback(_) => return None,
        })
    }
}

/// One delivery.
#[derive(Debug)]
pub(super) struct ItemValues<'a> {
    item: &'a Item<'a>,
    common: Common<'a>,
    conversion_id: OnceCell<IdText>,
    address: OnceCell<String>,
}

impl<'a> ItemValues<'a> {
    /// `number` is its place in the request.
    pub(super) fn new(item: &'a Item<'a>, common: Common<'a>, number: u64) -> Self {
        let random = common.moment.random.wrapping_add(number.wrapping_mul(RANDOM_STEP));
        let moment = Moment { random, ..common.moment };
        let common = Common { moment, ..common };
        Self { item, common, conversion_id: OnceCell::new(), address: OnceCell::new() }
    }

    fn address(&self) -> Option<&str> {
        let kept = self.item.decision.address?;
        Some(self.address.get_or_init(|| kept.address.to_string()))
    }

    fn payout(&self) -> Option<Micros> {
        let amount = self.item.payout?.amount;
        match self.item.decision.conversion.status {
            Status::Reversed => Some(Micros::new(amount.get().saturating_abs())),
            Status::Pending | Status::Approved | Status::Unknown => Some(amount),
        }
    }

    fn currency(&self) -> Option<&str> {
        let money = self.item.payout.as_ref().or(self.item.decision.cost.as_ref())?;
        Some(money.currency.as_str())
    }
}

impl Values for ItemValues<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        let decision = self.item.decision;
        let said = &decision.conversion;
        let known = match name {
            Name::Param(name) => return decision.click_params.get(name).map(Value::Text),
            Name::Postback(name) => return decision.postback_params.get_ignore_case(name).map(Value::Text),
            Name::Secret(_) => return self.common.value(name),
            Name::Known(known) => *known,
        };
        Some(Value::Text(match known {
            Known::DeliveryId | Known::Now | Known::Random => return self.common.value(name),
            Known::ClickId => said.click_id,
            Known::Campaign => decision.campaign,
            Known::Offer => decision.offer,
            Known::Lander => decision.lander,
            Known::Source => decision.source,
            Known::Network => said.network,
            Known::ExternalId => decision.external_id,
            Known::Cost => return decision.cost.map(|cost| Value::Decimal(cost.amount)),
            Known::Currency => self.currency()?,
            Known::Payout | Known::Revenue => return self.payout().map(Value::Decimal),
            Known::TransactionId => said.transaction_id,
            Known::Event => said.event,
            Known::Status => said.status.name(),
            Known::OriginalStatus => said.original_status,
            Known::ConversionId => {
                self.conversion_id.get_or_init(|| IdText::of(decision.conversion_id)).as_str()
            }
            Known::Ip => self.address()?,
            Known::UserAgent => decision.user_agent,
            Known::Referrer => decision.referrer,
            Known::Language => first_language(decision.language),
            Known::Country if decision.country == [0; 2] => return None,
            Known::Country => std::str::from_utf8(&decision.country).ok()?,
            Known::ClickTime => return decision.click_time.map(Value::Time),
            Known::ConversionTime => return Some(Value::Time(decision.time)),
        }))
    }
}
