//! The table of conversions: one row for each decision.
//!
//! In: decisions of the postbacks journal. Out: what was told, what was concluded, and the click that it is about.
//! Keeps: the sum of `entry` over all rows of a currency is what the books say, so `currency` is that of the books; a row is of the day on which it was
//! decided, however old its click is.
//! Not here: the raw requests.

use crate::apply::reason::Reason;
use crate::event::click_id::{ClickIdText, Place};
use crate::event::codec::{Event, Kind};
use crate::event::decision::Decision;
use crate::event::hex;
use crate::event::money::Currency;
use crate::store::record::Record;
use crate::store::{Journal, Position};

use super::segment::Origin;
use super::shared::{self, AddressText, Lineage, Params, Unnamed};
use super::table::{Field, Get, Table};

type Column = Field<Conversions>;

/// See the module.
#[derive(Debug)]
pub struct Conversions;

/// A decision, and what is worked out once.
#[derive(Debug)]
pub struct Row<'a> {
    decision: Decision<'a>,
    conversion_id: String,
    reason: String,
    currency: Option<Currency>,
    click_id: Option<ClickIdText>,
    address: AddressText,
    params: Params<'a>,
    position: i64,
    from: Lineage,
}

impl Table for Conversions {
    type Row<'a> = Row<'a>;

    const NAME: &'static str = "conversions";
    const JOURNAL: Journal = Journal::Postbacks;
    const KINDS: &'static [Kind] = &[Kind::Decision];
    const MONEY: Option<(&'static str, &'static str)> = Some(("entry", "currency"));

    fn fields() -> Vec<Field<Self>> {
        let mut fields = vec![
            Column::new("time", Get::Time(|row| Some(row.decision.time))).required().varied(),
            Column::new("conversion_id", Get::Text(|row| &row.conversion_id)).required().varied().looked_up(),
            Column::new("sequence", Get::Int64(|row| Some(row.decision.sequence.into()))).required(),
            Column::new("verdict", Get::Text(|row| row.decision.verdict.name())).required(),
            Column::new("reason", Get::Text(|row| &row.reason)),
            Column::new("network", Get::Text(|row| row.decision.conversion.network)),
            Column::new("transaction_id", Get::Text(|row| row.decision.conversion.transaction_id))
                .varied()
                .looked_up(),
            Column::new("click_id", Get::Text(|row| row.click_id.as_ref().map_or("", ClickIdText::as_str)))
                .varied()
                .looked_up(),
            Column::new("reported_click_id", Get::Text(|row| row.decision.conversion.click_id)).varied(),
            Column::new("event", Get::Text(|row| row.decision.conversion.event)),
            Column::new("status", Get::Text(|row| row.decision.conversion.status.name())).required(),
            Column::new("original_status", Get::Text(|row| row.decision.conversion.original_status)),
            Column::new(
                "payout",
                Get::Money(|row| row.decision.conversion.payout.map(|payout| payout.amount)),
            ),
            Column::new("entry", Get::Money(|row| Some(row.decision.entry))).required(),
            Column::new("currency", Get::Text(|row| row.currency.as_ref().map_or("", Currency::as_str))),
            Column::new("click_time", Get::Time(|row| row.decision.click_time)).varied(),
            Column::new("cost", Get::Money(|row| row.decision.cost.map(|cost| cost.amount))),
            Column::new("cost_currency", Get::Text(|row| shared::currency(&row.decision.cost))),
            Column::new("campaign", Get::Text(|row| row.decision.campaign)),
            Column::new("offer", Get::Text(|row| row.decision.offer)),
            Column::new("source", Get::Text(|row| row.decision.source)),
            Column::new("lander", Get::Text(|row| row.decision.lander)),
            Column::new("external_id", Get::Text(|row| row.decision.external_id)).varied(),
            Column::new("is_net", Get::Bool(|row| row.decision.labels.is_net())).required(),
            Column::new("country", Get::Text(|row| shared::country(&row.decision.country))),
            Column::new("address", Get::Text(|row| row.address.as_str())).varied(),
            Column::new("address_bits", Get::Int32(|row| row.decision.address.map(|kept| kept.bits.into()))),
            Column::new("user_agent", Get::Text(|row| row.decision.user_agent)),
            Column::new("referrer", Get::Text(|row| row.decision.referrer)),
            Column::new("language", Get::Text(|row| row.decision.language)),
        ];
        fields.extend(Params::fields::<Self>(|row, at| row.params.known(at)));
        fields.extend([
            Column::new("params", Get::Pairs(|row| row.params.unnamed())),
            Column::new("postback_params", Get::Pairs(|row| Unnamed::all(row.decision.postback_params))),
            Column::new("config_version", Get::Int64(|row| Some(row.decision.config_version.cast_signed())))
                .required(),
            Column::new("partition", Get::Int32(|row| Some(row.decision.partition.into()))).required(),
            Column::new("position", Get::Int64(|row| Some(row.position))).required().varied(),
            Column::new("postback_position", Get::Int64(|row| Some(row.decision.postback.cast_signed())))
                .required()
                .varied(),
            Column::new("previous_position", Get::Int64(|row| not_zero(row.decision.previous))).varied(),
        ]);
        fields.extend(shared::lineage_fields::<Self>());
        fields
    }

    fn lineage<'r>(row: &'r Row<'_>) -> &'r Lineage {
        &row.from
    }

    fn row<'a>(origin: &'a Origin, record: &Record<'_>, event: Event<'a>) -> Option<Row<'a>> {
        let Event::Decision(decision) = event else { return None };
        Some(Row {
            decision,
            conversion_id: hex(&decision.conversion_id),
            reason: reason(decision.reason),
            // That of the books first: what a postback says may be in another one than what it changes.
            currency: decision.standing.currency.or(decision.conversion.payout.map(|payout| payout.currency)),
            click_id: origin.click_id(click_place(&decision)),
            address: AddressText::of(decision.address),
            params: Params::sort_out(decision.click_params),
            position: Position::new(origin.segment, record.offset).to_u64().cast_signed(),
            from: Lineage::of(origin, record),
        })
    }
}

/// The click's place, with the second that is in its id.
fn click_place(decision: &Decision<'_>) -> Option<Place> {
    let (place, time) = (Place::from_packed(decision.click)?, decision.click_time?);
    Place::new(place.node(), place.lane(), place.segment(), place.ordinal(), time.seconds()).ok()
}

/// Its name, or the number of one that this build does not know.
fn reason(code: u16) -> String {
    Reason::from_code(code).map_or_else(|| code.to_string(), |reason| reason.name().to_owned())
}

fn not_zero(position: u64) -> Option<i64> {
    (position != 0).then(|| position.cast_signed())
}
