//! Inbound requests as rows: for whoever looks on. They are not published, because they hold all that anybody sent.
//!
//! In: requests of the postbacks journal. Out: one row for each, refused ones too; secrets are masked as they are on disk.

use std::borrow::Cow;

use crate::apply::claim::Refusal;
use crate::compactor::Origin;
use crate::compactor::shared::{AddressText, Lineage, lineage_fields};
use crate::compactor::table::{Field, Get, Table};
use crate::event::codec::{Event, Kind};
use crate::event::postback::Postback;
use crate::store::record::Record;
use crate::store::{Journal, Position};

type Column = Field<Postbacks>;

/// See the module.
#[derive(Debug)]
pub(super) struct Postbacks;

/// A request, and what is worked out once.
#[derive(Debug)]
pub(super) struct Row<'a> {
    postback: Postback<'a>,
    refused: String,
    body: Cow<'a, str>,
    address: AddressText,
    position: i64,
    from: Lineage,
}

impl Table for Postbacks {
    type Row<'a> = Row<'a>;

    const NAME: &'static str = "postbacks";
    const JOURNAL: Journal = Journal::Postbacks;
    const KINDS: &'static [Kind] = &[Kind::Postback];
    const MONEY: Option<(&'static str, &'static str)> = None;

    fn fields() -> Vec<Column> {
        let mut fields = vec![
            Column::new("time", Get::Time(|row| Some(row.postback.time))).required(),
            Column::new("network", Get::Text(|row| row.postback.network)),
            Column::new("refused", Get::Text(|row| &row.refused)),
            Column::new("method", Get::Text(|row| row.postback.method)),
            Column::new("host", Get::Text(|row| row.postback.host)),
            Column::new("path", Get::Text(|row| row.postback.path)),
            Column::new("query", Get::Text(|row| row.postback.query)),
            Column::new("content_type", Get::Text(|row| row.postback.content_type)),
            Column::new("headers", Get::Text(|row| row.postback.headers)),
            Column::new("body", Get::Text(|row| &row.body)),
            Column::new("address", Get::Text(|row| row.address.as_str())),
            Column::new("address_bits", Get::Int32(|row| row.postback.address.map(|kept| kept.bits.into()))),
            Column::new("config_version", Get::Int64(|row| Some(row.postback.config_version.cast_signed()))),
            Column::new("position", Get::Int64(|row| Some(row.position))),
        ];
        fields.extend(lineage_fields::<Self>());
        fields
    }

    fn lineage<'r>(row: &'r Row<'_>) -> &'r Lineage {
        &row.from
    }

    fn row<'a>(origin: &'a Origin, record: &Record<'_>, event: Event<'a>) -> Option<Row<'a>> {
        let Event::Postback(postback) = event else { return None };
        Some(Row {
            postback,
            refused: refused(postback.refused),
            body: String::from_utf8_lossy(postback.body),
            address: AddressText::of(postback.address),
            position: Position::new(origin.segment, record.offset).to_u64().cast_signed(),
            from: Lineage::of(origin, record),
        })
    }
}

/// Its name, or the number of one that this build does not know; empty for none.
fn refused(code: u16) -> String {
    match code {
        0 => String::new(),
        code => {
            Refusal::from_code(code).map_or_else(|| code.to_string(), |refusal| refusal.name().to_owned())
        }
    }
}
