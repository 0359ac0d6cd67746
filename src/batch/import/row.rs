//! One imported click on its way to the store: read and checked, and, for a daemon, a line of JSON.

use serde::{Deserialize, Serialize};

use super::form::{Column, Form, How};
use super::own::{self, More, Own};
use super::time::parse;
use crate::clock::Timestamp;
use crate::event::click::{Click, ClickKind, Labels};
use crate::event::money::{Currency, Micros, Money};
use crate::event::params::{Params, ParamsRef};

/// Bytes of an id.
pub(super) const ID_BYTES_MAX: usize = 256;

/// See the module. Texts that are absent are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Row {
    /// The id that the other tracker gave it.
    pub id: String,
    /// When it happened, in microseconds since 1970.
    pub time: i64,
    /// Campaign id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub campaign: String,
    /// Source id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Offer id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub offer: String,
    /// The source's own id of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_id: String,
    /// What it cost, in millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<i64>,
    /// Of this currency.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub currency: String,
    /// `Referer` header.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub referrer: String,
    /// `User-Agent` header.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
    /// ISO 3166-1 alpha-2.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub country: String,
    /// What a click of another store of ours has besides.
    #[serde(skip_serializing_if = "More::is_none")]
    pub more: More,
    /// Everything else that is known of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<(String, String)>,
}

impl Row {
    /// Gives `take` the click that this is, or says what is wrong with it. Clicks after `latest` are none.
    pub(super) fn with_click<T>(
        &self,
        mark: u64,
        latest: Timestamp,
        take: impl FnOnce(&Click<'_>) -> T,
    ) -> Result<T, String> {
        if self.id.is_empty() {
            return Err("it has no id".to_owned());
        }
        if self.id.len() > ID_BYTES_MAX {
            return Err(format!("its id is longer than {ID_BYTES_MAX} bytes"));
        }
        if self.time < 0 || self.time > latest.micros() {
            return Err(format!("its time, {}, is not in the past", Timestamp::from_micros(self.time)));
        }
        let mut params = Params::default();
        self.params.iter().for_each(|(name, value)| params.push(name, value));
        if params.dropped() > 0 {
            return Err("it has more columns, or longer ones, than a click can keep".to_owned());
        }
        let mut encoded = Vec::new();
        params.encode_into(&mut encoded);
        let params = ParamsRef::check(&encoded).map_err(|error| error.to_string())?;
        let country = match self.country.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                [a.to_ascii_uppercase(), b.to_ascii_uppercase()]
            }
            [] => [0; 2],
            _ => return Err("its country is no code of two letters".to_owned()),
        };
        Ok(take(&Click {
            time: Timestamp::from_micros(self.time),
            kind: ClickKind::Imported,
            config_version: mark,
            cost: self.money()?,
            country,
            campaign: &self.campaign,
            source: &self.source,
            offer: &self.offer,
            external_id: &self.external_id,
            foreign_id: &self.id,
            referrer: &self.referrer,
            user_agent: &self.user_agent,
            params,
            parent: 0,
            address: self.more.kept_address()?,
            asn: self.more.asn,
            labels: Labels::from_bits(self.more.labels),
            global_privacy_control: self.more.global_privacy_control,
            lander: &self.more.lander,
            host: &self.more.host,
            language: &self.more.language,
            client_hints: &self.more.client_hints,
        }))
    }

    fn money(&self) -> Result<Option<Money>, String> {
        let Some(cost) = self.cost else { return Ok(None) };
        let currency: Currency =
            self.currency.parse().map_err(|_| format!("{:?} is no currency", self.currency))?;
        Ok(Some(Money { amount: Micros::new(cost), currency }))
    }
}

/// What a column can hold, beside parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The click's id.
    Id,
    /// When it happened.
    Time,
    /// Campaign id.
    Campaign,
    /// Source id.
    Source,
    /// Offer id.
    Offer,
    /// The source's own id of it.
    ExternalId,
    /// What it cost.
    Cost,
    /// In which currency.
    Currency,
    /// `Referer` header.
    Referrer,
    /// `User-Agent` header.
    UserAgent,
    /// Two letters.
    Country,
    /// Of one of our own exports.
    Own(Own),
}

impl Form for Row {
    type Field = Field;

    const NAME: &'static str = "click";
    const COLUMNS: &'static [Column<Field>] = &[
        (Field::Id, "id", &["id", "clickid", "subid", "cid", "visitid"]),
        (
            Field::Time,
            "time",
            &[
                "time",
                "timestamp",
                "clicktime",
                "clicktimestamp",
                "visittimestamp",
                "datetime",
                "date",
                "createdat",
            ],
        ),
        (Field::Campaign, "campaign", &["campaignid", "campaign"]),
        (Field::Source, "source", &["sourceid", "source", "trafficsourceid", "trafficsource"]),
        (Field::Offer, "offer", &["offerid", "offer"]),
        (Field::ExternalId, "external_id", &["externalid", "extid"]),
        (Field::Cost, "cost", &["cost", "cpc"]),
        (Field::Currency, "currency", &["currency", "costcurrency"]),
        (Field::Referrer, "referrer", &["referrer", "referer"]),
        (Field::UserAgent, "user_agent", &["useragent", "ua"]),
        (Field::Country, "country", &["countrycode", "country"]),
    ];
    const NEEDED: &'static [&'static str] = &["id", "time"];

    fn own_column(name: &str) -> Option<Field> {
        // The click's own id is its id here; the first one that it had is beside it.
        own::column(name).map(Field::Own)
    }

    fn is_ours(head: &[String]) -> bool {
        own::is_ours(head)
    }

    fn is_left_out(field: Field) -> bool {
        field == Field::Own(Own::Left)
    }

    fn put(&mut self, field: Field, text: &str, how: &How) -> Result<(), String> {
        let place = match field {
            Field::Time => {
                let time = parse(text, how.offset).map_err(|error| format!("its time {text:?}: {error}"))?;
                self.time = time.micros();
                return Ok(());
            }
            Field::Cost => {
                let cost = Micros::parse(text).map_err(|error| format!("its cost {text:?}: {error}"))?;
                self.cost = Some(cost.amount.get());
                return Ok(());
            }
            Field::Currency => {
                let currency: Currency = text.parse().map_err(|_| format!("{text:?} is no currency"))?;
                self.currency = currency.to_string();
                return Ok(());
            }
            // A name in full, say, is no code: it is kept, as what it is.
            Field::Country if text.len() != 2 => {
                self.put_param("country", text);
                return Ok(());
            }
            Field::Own(own) => return self.more.put(own, text, &mut self.params),
            Field::Id => &mut self.id,
            Field::Campaign => &mut self.campaign,
            Field::Source => &mut self.source,
            Field::Offer => &mut self.offer,
            Field::ExternalId => &mut self.external_id,
            Field::Referrer => &mut self.referrer,
            Field::UserAgent => &mut self.user_agent,
            Field::Country => &mut self.country,
        };
        text.clone_into(place);
        Ok(())
    }

    fn put_param(&mut self, name: &str, text: &str) {
        self.params.push((name.to_owned(), text.to_owned()));
    }

    fn complete(&mut self, how: &How) -> Result<(), String> {
        if !self.more.first_id.is_empty() {
            self.id = std::mem::take(&mut self.more.first_id);
        }
        if self.id.is_empty() {
            return Err("it has no id".to_owned());
        }
        if self.time == i64::default() {
            return Err("it has no time".to_owned());
        }
        if self.cost.is_some() && self.currency.is_empty() {
            self.currency = how.currency.to_string();
        }
        Ok(())
    }
}
