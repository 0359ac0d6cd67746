//! The table of clicks.
//!
//! In: records of the clicks journal. Out: one row for each click, imported ones too.
//! Keeps: `click_id` is the text that stood in URLs, whatever key is current now.

use crate::event::click::{Click, Labels};
use crate::event::click_id::{ClickIdText, Place};
use crate::event::codec::{Event, Kind};
use crate::store::Journal;
use crate::store::record::Record;

use super::segment::Origin;
use super::shared::{self, AddressText, Lineage, Params, int};
use super::table::{Field, Get, Table};

type Column = Field<Clicks>;

/// See the module.
#[derive(Debug)]
pub struct Clicks;

/// A click, and what is worked out once.
#[derive(Debug)]
pub struct Row<'a> {
    click: Click<'a>,
    id: Option<ClickIdText>,
    address: AddressText,
    params: Params<'a>,
    parent: Option<Place>,
    from: Lineage,
}

impl Table for Clicks {
    type Row<'a> = Row<'a>;

    const NAME: &'static str = "clicks";
    const JOURNAL: Journal = Journal::Clicks;
    const KINDS: &'static [Kind] = &[Kind::Click, Kind::ForeignClick];
    const MONEY: Option<(&'static str, &'static str)> = Some(("cost", "cost_currency"));

    fn fields() -> Vec<Field<Self>> {
        let mut fields = vec![
            Column::new("time", Get::Time(|row| Some(row.click.time))).required().varied(),
            Column::new("click_id", Get::Text(|row| row.id.as_ref().map_or("", ClickIdText::as_str)))
                .varied()
                .looked_up(),
            Column::new("kind", Get::Text(|row| row.click.kind_name())).required(),
            Column::new("campaign", Get::Text(|row| row.click.campaign)),
            Column::new("source", Get::Text(|row| row.click.source)),
            Column::new("offer", Get::Text(|row| row.click.offer)),
            Column::new("lander", Get::Text(|row| row.click.lander)),
            Column::new("cost", Get::Money(|row| row.click.cost.map(|cost| cost.amount))),
            Column::new("cost_currency", Get::Text(|row| shared::currency(&row.click.cost))),
            Column::new("external_id", Get::Text(|row| row.click.external_id)).varied(),
            Column::new("foreign_id", Get::Text(|row| row.click.foreign_id)).varied(),
            Column::new("is_net", Get::Bool(|row| row.click.labels.is_net())).required(),
            Column::new("is_bot", Get::Bool(|row| row.click.labels.contains(Labels::BOT))).required(),
            Column::new("is_data_centre", Get::Bool(|row| row.click.labels.contains(Labels::DATA_CENTRE)))
                .required(),
            Column::new("is_duplicate", Get::Bool(|row| row.click.labels.contains(Labels::DUPLICATE)))
                .required(),
            Column::new("no_user_agent", Get::Bool(|row| row.click.labels.contains(Labels::NO_USER_AGENT)))
                .required(),
            Column::new("global_privacy_control", Get::Bool(|row| row.click.global_privacy_control))
                .required(),
            Column::new("country", Get::Text(|row| shared::country(&row.click.country))),
            Column::new("asn", Get::Int64(|row| (row.click.asn != 0).then(|| row.click.asn.into()))),
            Column::new("address", Get::Text(|row| row.address.as_str())).varied(),
            Column::new("address_bits", Get::Int32(|row| row.click.address.map(|kept| kept.bits.into()))),
            Column::new("host", Get::Text(|row| row.click.host)),
            Column::new("referrer", Get::Text(|row| row.click.referrer)),
            Column::new("user_agent", Get::Text(|row| row.click.user_agent)),
            Column::new("language", Get::Text(|row| row.click.language)),
            Column::new("client_hints", Get::Text(|row| row.click.client_hints)),
        ];
        fields.extend(Params::fields::<Self>(|row, at| row.params.known(at)));
        fields.extend([
            Column::new("params", Get::Pairs(|row| row.params.unnamed())),
            Column::new("parent_node", Get::Int32(|row| row.parent.map(|parent| parent.node().into()))),
            Column::new("parent_lane", Get::Int32(|row| row.parent.map(|parent| parent.lane().into()))),
            Column::new("parent_segment", Get::Int32(|row| row.parent.map(|parent| int(parent.segment())))),
            Column::new("parent_ordinal", Get::Int32(|row| row.parent.map(|parent| int(parent.ordinal()))))
                .varied(),
            Column::new("config_version", Get::Int64(|row| Some(row.click.config_version.cast_signed())))
                .required(),
        ]);
        fields.extend(shared::lineage_fields::<Self>());
        fields
    }

    fn lineage<'r>(row: &'r Row<'_>) -> &'r Lineage {
        &row.from
    }

    fn row<'a>(origin: &'a Origin, record: &Record<'_>, event: Event<'a>) -> Option<Row<'a>> {
        let Event::Click(click) = event else { return None };
        let seconds = click.time.seconds();
        let place = Place::new(origin.node, origin.lane, origin.segment, record.ordinal, seconds).ok();
        Some(Row {
            click,
            id: origin.click_id(place),
            address: AddressText::of(click.address),
            params: Params::sort_out(click.params),
            parent: Place::from_packed(click.parent),
            from: Lineage::of(origin, record),
        })
    }
}
