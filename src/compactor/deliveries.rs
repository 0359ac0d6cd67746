//! The table of deliveries: one row for each attempt, and for each that was given up.
//!
//! In: outcomes of the deliveries journal. Out: what became of each. `decision_position` is the `position` of a conversion.
//! Not here: what happens to a destination besides.

use std::borrow::Cow;

use crate::event::codec::{Event, Kind};
use crate::event::delivery::DeliveryOutcome;
use crate::event::hex;
use crate::store::Journal;
use crate::store::record::Record;

use super::segment::Origin;
use super::shared::{self, Lineage};
use super::table::{Field, Get, Table};

type Column = Field<Deliveries>;

/// See the module.
#[derive(Debug)]
pub struct Deliveries;

/// An outcome, and what is worked out once.
#[derive(Debug)]
pub struct Row<'a> {
    outcome: DeliveryOutcome<'a>,
    delivery_id: String,
    detail: Cow<'a, str>,
    from: Lineage,
}

impl Table for Deliveries {
    type Row<'a> = Row<'a>;

    const NAME: &'static str = "deliveries";
    const JOURNAL: Journal = Journal::Deliveries;
    const KINDS: &'static [Kind] = &[Kind::DeliveryOutcome];
    const MONEY: Option<(&'static str, &'static str)> = None;

    fn fields() -> Vec<Field<Self>> {
        let mut fields = vec![
            Column::new("time", Get::Time(|row| Some(row.outcome.time))).required().varied(),
            Column::new("delivery_id", Get::Text(|row| &row.delivery_id)).required().varied().looked_up(),
            Column::new("destination", Get::Text(|row| row.outcome.destination)),
            Column::new("decision_position", Get::Int64(|row| Some(row.outcome.decision.cast_signed())))
                .required()
                .varied(),
            Column::new("attempt", Get::Int32(|row| Some(row.outcome.attempt.into()))).required(),
            Column::new("class", Get::Text(|row| row.outcome.class.name())).required(),
            Column::new("is_final", Get::Bool(|row| row.outcome.is_final)).required(),
            Column::new("http_status", Get::Int32(|row| http_status(row.outcome.http_status))),
            Column::new("duration_micros", Get::Int64(|row| Some(row.outcome.duration_micros.into())))
                .required()
                .varied(),
            Column::new("next_attempt", Get::Time(|row| row.outcome.next_attempt)).varied(),
            Column::new("detail", Get::Text(|row| &row.detail)),
        ];
        fields.extend(shared::lineage_fields::<Self>());
        fields
    }

    fn lineage<'r>(row: &'r Row<'_>) -> &'r Lineage {
        &row.from
    }

    fn row<'a>(origin: &'a Origin, record: &Record<'_>, event: Event<'a>) -> Option<Row<'a>> {
        let Event::DeliveryOutcome(outcome) = event else { return None };
        Some(Row {
            outcome,
            delivery_id: hex(&outcome.delivery_id),
            detail: String::from_utf8_lossy(outcome.detail),
            from: Lineage::of(origin, record),
        })
    }
}

/// None is 0 in a record.
fn http_status(status: u16) -> Option<i32> {
    (status != 0).then(|| status.into())
}
