//! What a report is broken down by: each dimension with its name, and where its value comes from.
//!
//! In: a name. Out: a dimension, and its value for an event.
//! Keeps: clicks and conversions have the same dimensions, so that one can be set against the other; what one of them has
//! not is empty.

use std::str::FromStr;

use crate::compactor::rollup::Part;
use crate::compactor::shared;
use crate::event::click::{Labels, first_language};
use crate::event::codec::Event;
use crate::event::params::ParamsRef;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// What roll-ups are kept by.
    Part(Part),
    /// The day, as clocks of the report's time zone show it.
    Day,
    /// The hour, likewise.
    Hour,
    /// What only records say.
    Detail(Detail),
}

/// What only records say: a report by it reads them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// A parameter of the click.
    Param(String),
    /// Whether nothing is held against the click.
    IsNet,
    /// Whether it is of a bot.
    IsBot,
    /// How the click came. Conversions have none.
    Kind,
    /// What kind of conversion. Clicks have none.
    Event,
    /// What the visitor reads.
    Language,
}

/// The dimensions with a name of their own. Any other name is that of a parameter.
const NAMED: [(&str, Dimension); 14] = [
    ("campaign", Dimension::Part(Part::Campaign)),
    ("offer", Dimension::Part(Part::Offer)),
    ("source", Dimension::Part(Part::Source)),
    ("network", Dimension::Part(Part::Network)),
    ("lander", Dimension::Part(Part::Lander)),
    ("country", Dimension::Part(Part::Country)),
    ("currency", Dimension::Part(Part::Currency)),
    ("day", Dimension::Day),
    ("hour", Dimension::Hour),
    ("is_net", Dimension::Detail(Detail::IsNet)),
    ("is_bot", Dimension::Detail(Detail::IsBot)),
    ("kind", Dimension::Detail(Detail::Kind)),
    ("event", Dimension::Detail(Detail::Event)),
    ("language", Dimension::Detail(Detail::Language)),
];

/// What stands before the name of any parameter.
const PARAM: &str = "param:";

/// A name that is no dimension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no dimension is called so: there are {NAMES}, sub1 to sub10, zone, creative, keyword, the platforms' click ids, utm_source and so on, and param:NAME for any other parameter"
)]
pub struct DimensionError;

/// For the message.
const NAMES: &str = "campaign, offer, source, network, lander, country, currency, day, hour, is_net, is_bot, kind, event, language";

impl FromStr for Dimension {
    type Err = DimensionError;

    fn from_str(name: &str) -> Result<Self, DimensionError> {
        if let Some((_, dimension)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Ok(dimension.clone());
        }
        let param = match name.strip_prefix(PARAM) {
            Some(param) if !param.is_empty() => param,
            _ if shared::KNOWN.contains(&name) => name,
            _ => return Err(DimensionError),
        };
        Ok(Self::Detail(Detail::Param(param.to_owned())))
    }
}

impl Dimension {
    /// Its name, which reads back as it.
    pub fn name(&self) -> String {
        if let Self::Detail(Detail::Param(param)) = self {
            let is_known = shared::KNOWN.contains(&&**param);
            return if is_known { param.clone() } else { format!("{PARAM}{param}") };
        }
        let known = NAMED.iter().find(|(_, dimension)| dimension == self);
        known.map_or_else(String::new, |(name, _)| (*name).to_owned())
    }
}

impl Detail {
    /// Its value for an event.
    pub(super) fn of<'a>(&self, event: &Event<'a>) -> &'a str {
        if let Event::CostUpdate(update) = event {
            return if let Self::Param(name) = self { param(update.params, name) } else { "" };
        }
        let (params, labels, language) = match event {
            Event::Click(click) => (click.params, click.labels, click.language),
            Event::Decision(decision) => (decision.click_params, decision.labels, decision.language),
            _ => return "",
        };
        match (self, event) {
            (Self::Param(name), _) => param(params, name),
            (Self::IsNet, _) => yes_or_no(labels.is_net()),
            (Self::IsBot, _) => yes_or_no(labels.contains(Labels::BOT)),
            (Self::Language, _) => first_language(language),
            (Self::Kind, Event::Click(click)) => click.kind_name(),
            (Self::Event, Event::Decision(decision)) => decision.conversion.event,
            (Self::Kind | Self::Event, _) => "",
        }
    }
}

/// As the published tables have it: the first value that is not empty.
fn param<'a>(params: ParamsRef<'a>, name: &str) -> &'a str {
    let mut values = params.iter().filter(|(known, _)| *known == name).map(|(_, value)| value);
    values.find(|value| !value.is_empty()).unwrap_or_default()
}

fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dimension_is_read_as_it_is_called() {
        for name in ["campaign", "currency", "day", "is_bot", "sub7", "utm_term", "param:x", "param:café"] {
            assert_eq!(name.parse::<Dimension>().map(|dimension| dimension.name()).as_deref(), Ok(name));
        }
        assert_eq!("param:sub1".parse::<Dimension>(), "sub1".parse(), "one parameter, one dimension");
        for name in ["", "Campaign", "sub11", "param:", "user_agent"] {
            assert_eq!(name.parse::<Dimension>(), Err(DimensionError), "{name}");
        }
        for (name, _) in NAMED {
            assert!(NAMES.split(", ").any(|told| told == name), "{name} is told");
        }
    }
}
