//! One conversion of another tracker's or a network's file, on its way to the books: it is decided on as if its network had
//! reported it.
//!
//! Keeps: texts as they are in the file: what they mean is up to the network's mapping, as for a postback.

use serde::{Deserialize, Serialize};

use super::form::{Column, Form, How};
use super::time::parse;
use crate::clock::Timestamp;

/// See the module. Texts that are absent are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conversion {
    /// When it happened, in microseconds since 1970; the time of the import if the file does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    /// Which click.
    pub click_id: String,
    /// The network's own id of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub transaction_id: String,
    /// What it pays.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub payout: String,
    /// In which currency.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub currency: String,
    /// Where it stands, in the network's word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// What kind of conversion.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// Whose it is, if the file is of our own making.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// Everything else that is known of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<(String, String)>,
}

/// What a column can hold, beside parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConversionField {
    /// Which click.
    ClickId,
    /// When it happened.
    Time,
    /// The network's own id of it.
    TransactionId,
    /// What it pays.
    Payout,
    /// In which currency.
    Currency,
    /// Where it stands.
    Status,
    /// What kind.
    Event,
    /// Whose.
    Network,
}

/// By these columns together an export of ours is known.
const MARKS: [&str; 4] = ["conversion_id", "verdict", "network", "entry"];

impl Form for Conversion {
    type Field = ConversionField;

    const NAME: &'static str = "conversion";
    const COLUMNS: &'static [Column<ConversionField>] = &[
        (ConversionField::ClickId, "click_id", &["clickid", "subid", "cid"]),
        (
            ConversionField::Time,
            "time",
            &["conversiontime", "conversiontimestamp", "time", "timestamp", "datetime", "date", "createdat"],
        ),
        (
            ConversionField::TransactionId,
            "transaction_id",
            &["transactionid", "txid", "tid", "orderid", "conversionid"],
        ),
        (ConversionField::Payout, "payout", &["payout", "revenue", "amount", "sum"]),
        (ConversionField::Currency, "currency", &["currency", "payoutcurrency"]),
        (ConversionField::Status, "status", &["status", "conversionstatus"]),
        (ConversionField::Event, "event", &["event", "goal", "eventtype"]),
    ];
    const NEEDED: &'static [&'static str] = &["click_id"];

    fn own_column(name: &str) -> Option<ConversionField> {
        (name == "network").then_some(ConversionField::Network)
    }

    fn is_ours(head: &[String]) -> bool {
        MARKS.iter().all(|mark| head.iter().any(|name| name == mark))
    }

    fn put(&mut self, field: ConversionField, text: &str, how: &How) -> Result<(), String> {
        let place = match field {
            ConversionField::Time => {
                let time = parse(text, how.offset).map_err(|error| format!("its time {text:?}: {error}"))?;
                self.time = Some(time.micros());
                return Ok(());
            }
            ConversionField::ClickId => &mut self.click_id,
            ConversionField::TransactionId => &mut self.transaction_id,
            ConversionField::Payout => &mut self.payout,
            ConversionField::Currency => &mut self.currency,
            ConversionField::Status => &mut self.status,
            ConversionField::Event => &mut self.event,
            ConversionField::Network => &mut self.network,
        };
        text.clone_into(place);
        Ok(())
    }

    fn put_param(&mut self, name: &str, text: &str) {
        self.params.push((name.to_owned(), text.to_owned()));
    }

    fn complete(&mut self, _how: &How) -> Result<(), String> {
        if self.click_id.is_empty() { Err("it has no click id".to_owned()) } else { Ok(()) }
    }
}

impl Conversion {
    /// When it happened, or what is wrong with that. `now` if it does not say.
    ///
    /// # Errors
    /// It is not in the past.
    pub fn happened(&self, now: Timestamp) -> Result<Timestamp, String> {
        let time = self.time.map_or(now, Timestamp::from_micros);
        if time.micros() < 0 || time > now {
            Err(format!("its time, {time}, is not in the past"))
        } else {
            Ok(time)
        }
    }
}
