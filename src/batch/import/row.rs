//! One imported click on its way to the store: read and checked, and, for a daemon, a line of JSON.

use std::io;

use serde::{Deserialize, Serialize};

use super::own::More;
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

    /// How long it is as JSON.
    pub(super) fn json_bytes(&self) -> usize {
        let mut count = Count(0);
        // Counting cannot fail, nor can texts and numbers be no JSON.
        let _counted = serde_json::to_writer(&mut count, self);
        count.0
    }
}

/// Counts what is written.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
