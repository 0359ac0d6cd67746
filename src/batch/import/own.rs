//! Clicks of another store of ours, from what `export` writes of them.
//!
//! In: cells of its columns that no other tracker's file has. Out: what an imported click keeps besides.
//! Keeps: all that a click has but for its id, its kind (only whether it was a way through a lander), its parent, its catalog and its place in the journals: those belong
//! to the store that it was recorded in. Texts are taken as they are, blanks at their ends too.

use std::fmt;
use std::net::IpAddr;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::event::click::{KeptAddress, Labels};

/// A column of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// The id that the click had before it came to that store.
    FirstId,
    /// Lander.
    Lander,
    /// Host that was asked.
    Host,
    /// `Accept-Language` header.
    Language,
    /// Client hint headers.
    ClientHints,
    /// Number of the autonomous system.
    Asn,
    /// Where it came from.
    Address,
    /// How much of that was kept.
    AddressBits,
    /// What is known against it.
    Label(Labels),
    /// What kind of click it was.
    Kind,
    /// `Sec-GPC: 1`.
    Privacy,
    /// Parameters as a JSON object.
    Params,
    /// It belongs to the other store, or follows from the rest.
    Left,
}

/// Each by its name.
const COLUMNS: [(&str, Own); 25] = [
    ("foreign_id", Own::FirstId),
    ("lander", Own::Lander),
    ("host", Own::Host),
    ("language", Own::Language),
    ("client_hints", Own::ClientHints),
    ("asn", Own::Asn),
    ("address", Own::Address),
    ("address_bits", Own::AddressBits),
    ("is_bot", Own::Label(Labels::BOT)),
    ("is_data_centre", Own::Label(Labels::DATA_CENTRE)),
    ("is_duplicate", Own::Label(Labels::DUPLICATE)),
    ("no_user_agent", Own::Label(Labels::NO_USER_AGENT)),
    ("global_privacy_control", Own::Privacy),
    ("params", Own::Params),
    ("is_net", Own::Left),
    ("kind", Own::Kind),
    ("parent_node", Own::Left),
    ("parent_lane", Own::Left),
    ("parent_segment", Own::Left),
    ("parent_ordinal", Own::Left),
    ("config_version", Own::Left),
    ("origin_node", Own::Left),
    ("lane", Own::Left),
    ("segment", Own::Left),
    ("ordinal", Own::Left),
];

/// By these columns together a file of ours is known.
const MARKS: [&str; 4] = ["click_id", "foreign_id", "is_net", "origin_node"];

/// Whether these are the names of our own columns.
pub(super) fn is_ours(head: &[String]) -> bool {
    MARKS.iter().all(|mark| head.iter().any(|name| name == mark))
}

/// What a column of such a file is; nothing for one that other files have too, or for a parameter.
pub(super) fn column(name: &str) -> Option<Own> {
    COLUMNS.iter().find(|(known, _)| *known == name).map(|(_, own)| *own)
}

/// What a click of ours has besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct More {
    /// The id that it had before it came to that store.
    #[serde(skip)]
    pub first_id: String,
    /// Lander.
    pub lander: String,
    /// Host that was asked.
    pub host: String,
    /// `Accept-Language` header.
    pub language: String,
    /// Client hint headers.
    pub client_hints: String,
    /// Number of the autonomous system, or 0.
    pub asn: u32,
    /// What is known against it, as bits.
    pub labels: u32,
    /// Whether it carried `Sec-GPC: 1`.
    pub global_privacy_control: bool,
    /// Where it came from.
    pub address: Option<IpAddr>,
    /// How much of that was kept.
    pub address_bits: u8,
}

impl More {
    /// Whether there is nothing.
    pub(super) fn is_none(&self) -> bool {
        *self == Self { first_id: self.first_id.clone(), ..Self::default() }
    }

    /// The address as far as it was kept.
    pub(super) fn kept_address(&self) -> Result<Option<KeptAddress>, String> {
        let Some(address) = self.address else { return Ok(None) };
        let most = if address.is_ipv4() { 32 } else { 128 };
        match self.address_bits {
            bits @ 1.. if bits <= most => Ok(Some(KeptAddress { address, bits })),
            bits => Err(format!("of its address {bits} bits cannot have been kept")),
        }
    }

    /// Takes a cell that is not empty; parameters go to `params`.
    pub(super) fn put(
        &mut self,
        own: Own,
        text: &str,
        params: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        let strange = |what| format!("its {what} {text:?} is none");
        match own {
            Own::Left => {}
            Own::FirstId => text.clone_into(&mut self.first_id),
            Own::Lander => text.clone_into(&mut self.lander),
            Own::Host => text.clone_into(&mut self.host),
            Own::Language => text.clone_into(&mut self.language),
            Own::ClientHints => text.clone_into(&mut self.client_hints),
            Own::Asn => self.asn = text.parse().map_err(|_| strange("asn"))?,
            Own::Address => self.address = Some(text.parse().map_err(|_| strange("address"))?),
            Own::AddressBits => self.address_bits = text.parse().map_err(|_| strange("address_bits"))?,
            Own::Label(label) => {
                let is_so: bool = text.parse().map_err(|_| strange("label"))?;
                let labels = Labels::from_bits(self.labels);
                self.labels = if is_so { labels.with(label) } else { labels }.bits();
            }
            Own::Kind if text == "through" => {
                self.labels = Labels::from_bits(self.labels).with(Labels::THROUGH).bits();
            }
            Own::Kind => {}
            Own::Privacy => {
                self.global_privacy_control = text.parse().map_err(|_| strange("global_privacy_control"))?;
            }
            Own::Params => {
                let Pairs(pairs) = serde_json::from_str(text).map_err(|_| strange("params"))?;
                unnumber(pairs, params);
            }
        }
        Ok(())
    }
}

/// Adds pairs to `params`; a name that an export has numbered, because it came again, is itself again.
fn unnumber(pairs: Vec<(String, String)>, params: &mut Vec<(String, String)>) {
    let start = params.len();
    for (name, value) in pairs {
        let parts =
            name.rsplit_once('#').and_then(|(base, digits)| Some((base, digits.parse::<usize>().ok()?)));
        let before = |base: &str| params[start..].iter().filter(|(known, _)| known == base).count();
        let name = match parts {
            Some((base, number)) if number > 1 && before(base) == number - 1 => base.to_owned(),
            _ => name,
        };
        params.push((name, value));
    }
}

/// A JSON object of texts, in its order.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_names_are_themselves_again_where_an_export_has_numbered_them() {
        let params = |json: &str| {
            let (mut more, mut params) = (More::default(), vec![("x".to_owned(), "column".to_owned())]);
            more.put(Own::Params, json, &mut params).map(|()| {
                params[1..]
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect::<Vec<_>>()
                    .join("&")
            })
        };
        for (json, expected) in [
            (r##"{"b":"1","a":"2","b#2":"3","b#3":""}"##, "b=1&a=2&b=3&b="),
            (r##"{"x#2":"1","y#1":"2","y":"3","#2":"4"}"##, "x#2=1&y#1=2&y=3&#2=4"),
            (r##"{"":"1","#2":"2"}"##, "=1&=2"),
            ("{}", ""),
        ] {
            assert_eq!(params(json).as_deref(), Ok(expected), "{json}");
        }
        for json in ["[]", "{", r##"{"a":1}"##, "x"] {
            assert!(params(json).is_err(), "{json}");
        }
    }
}
