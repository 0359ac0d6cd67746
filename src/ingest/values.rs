//! What the placeholders of an offer's or lander's URL stand for: a click, new or found again; and those of a pixel's: a
//! click and its conversion.

use std::cell::OnceCell;

use crate::apply::claim::Claim;
use crate::apply::ledger::Ruling;
use crate::clock::Timestamp;
use crate::event::click::{Click, first_language};
use crate::event::click_id::ClickIdText;
use crate::event::hex;
use crate::event::template::{Known, Name, Value, Values};

/// A click as a template sees it.
#[derive(Debug)]
pub(super) struct ClickValues<'a> {
    pub(super) click: &'a Click<'a>,
    /// Nothing where the click was not recorded.
    pub(super) click_id: Option<&'a ClickIdText>,
    pub(super) network: &'a str,
    pub(super) random: u64,
    address: OnceCell<String>,
}

impl<'a> ClickValues<'a> {
    pub(super) fn new(
        click: &'a Click<'a>,
        click_id: Option<&'a ClickIdText>,
        network: &'a str,
        random: u64,
    ) -> Self {
        Self { click, click_id, network, random, address: OnceCell::new() }
    }

    fn address(&self) -> Option<&str> {
        let kept = self.click.address?;
        Some(self.address.get_or_init(|| kept.address.to_string()))
    }
}

impl Values for ClickValues<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        let click = self.click;
        let text = match name {
            Name::Param(name) => click.params.get(name)?,
            // There is no postback yet, and a visitor is told no secrets.
            Name::Postback(_) | Name::Secret(_) => return None,
            Name::Known(known) => match known {
                Known::ClickId => self.click_id?.as_str(),
                Known::Campaign => click.campaign,
                Known::Offer => click.offer,
                Known::Lander => click.lander,
                Known::Source => click.source,
                Known::Network => self.network,
                Known::ExternalId => click.external_id,
                Known::Cost => return click.cost.map(|cost| Value::Decimal(cost.amount)),
                Known::Currency => match &click.cost {
                    Some(cost) => cost.currency.as_str(),
                    None => return None,
                },
                Known::Ip => self.address()?,
                Known::UserAgent => click.user_agent,
                Known::Referrer => click.referrer,
                Known::Language => first_language(click.language),
                Known::Country if click.country != [0; 2] => std::str::from_utf8(&click.country).ok()?,
                Known::ClickTime | Known::Now => return Some(Value::Time(click.time)),
                Known::Random => return Some(Value::Number(self.random)),
                Known::Country
                | Known::Payout
                | Known::Revenue
                | Known::TransactionId
                | Known::Event
                | Known::Status
                | Known::OriginalStatus
                | Known::ConversionId
                | Known::DeliveryId
                | Known::ConversionTime => return None,
            },
        };
        Some(Value::Text(text))
    }
}

/// A conversion as a template sees it.
#[derive(Debug)]
pub(super) struct ConversionValues<'a> {
    click: ClickValues<'a>,
    claim: &'a Claim,
    ruling: &'a Ruling,
    time: Timestamp,
    conversion_id: String,
}

impl<'a> ConversionValues<'a> {
    pub(super) fn new(click: ClickValues<'a>, claim: &'a Claim, ruling: &'a Ruling, time: Timestamp) -> Self {
        Self { click, claim, ruling, time, conversion_id: hex(&ruling.conversion_id) }
    }
}

impl Values for ConversionValues<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        let (claim, ruling) = (self.claim, self.ruling);
        let text = match name {
            Name::Postback(name) => claim.params.get_ignore_case(name)?,
            Name::Param(_) | Name::Secret(_) => return self.click.value(name),
            Name::Known(known) => match known {
                Known::ClickId => &claim.click_id,
                Known::Payout | Known::Revenue => {
                    let payout = ruling.payout.map(|payout| payout.amount).or(claim.payout)?;
                    return Some(Value::Decimal(payout));
                }
                Known::Currency => match &ruling.payout {
                    Some(payout) => payout.currency.as_str(),
                    None => claim.currency.as_str(),
                },
                Known::TransactionId => claim.transaction_id.as_deref()?,
                Known::Event => &claim.event,
                Known::Status => ruling.status.name(),
                Known::OriginalStatus => &claim.original_status,
                Known::ConversionId => &self.conversion_id,
                Known::ConversionTime | Known::Now => return Some(Value::Time(self.time)),
                _ => return self.click.value(name),
            },
        };
        Some(Value::Text(text))
    }
}
