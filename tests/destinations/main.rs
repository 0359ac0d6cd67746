//! Destinations of a catalog, from outside: what each key and each preset makes of a postback, and what whoever wrote a
//! wrong one is told.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod keys;
mod presets;
mod wrong;

use clicklog::clock::Timestamp;
use clicklog::config::catalog::{Snapshot, parse_all};
use clicklog::config::{Egress, Problems};
use clicklog::dispatcher::outbound::{Body, Outbound};
use clicklog::dispatcher::owed::Destination;
use clicklog::event::money::Micros;
use clicklog::event::template::{Known, Name, Template, Value, Values};

/// What the secrets of these tests are called, and what a signing key looks like.
pub(crate) const SECRETS: &str = "[secrets]\ntoken = { env = \"TOKEN\" }\n";
pub(crate) const SIGNING_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Secrets are called after where they come from.
pub(crate) fn environment(name: &str) -> Option<String> {
    match name {
        "NOT_THERE" => None,
        "KEY" => Some(SIGNING_KEY.to_owned()),
        name => Some(format!("hush-{name}")),
    }
}

pub(crate) fn parse(text: &str) -> Result<Snapshot, Problems> {
    parse_all("c.toml", text, 7, &environment, &Egress::default())
}

/// The postback `p` with these lines.
pub(crate) fn postback(lines: &str) -> Destination {
    let snapshot = parse(&format!("{SECRETS}[[postback]]\nid = \"p\"\n{lines}\n"));
    let snapshot = snapshot.unwrap_or_else(|problems| panic!("{lines}\n{problems}"));
    snapshot.destinations.global[0].clone()
}

/// The moment of a click and that of its conversion.
pub(crate) fn moments() -> [Timestamp; 2] {
    ["2026-11-20T07:00:00.123Z", "2026-11-20T08:30:05.5Z"].map(|text| text.parse().unwrap())
}

/// What is known of a conversion, but for what is left out.
pub(crate) struct Told<'a> {
    pub(crate) without: &'a [&'a str],
}

impl Values for Told<'_> {
    fn value(&self, name: &Name) -> Option<Value<'_>> {
        if self.without.contains(&&*name.to_string()) {
            return None;
        }
        let [click, conversion] = moments();
        Some(match name {
            Name::Known(Known::ClickTime) => Value::Time(click),
            Name::Known(Known::ConversionTime | Known::Now) => Value::Time(conversion),
            Name::Known(Known::Payout | Known::Revenue) => Value::Decimal(Micros::new(3_500_000)),
            Name::Known(Known::Currency) => Value::Text("EUR"),
            Name::Known(Known::Ip) => Value::Text("203.0.113.9"),
            Name::Known(Known::UserAgent) => Value::Text("Mozilla \"5\""),
            Name::Known(Known::ExternalId) => Value::Text("ext 1"),
            Name::Known(Known::DeliveryId) => Value::Text("d0"),
            Name::Known(Known::ConversionId) => Value::Text("c0"),
            Name::Known(Known::TransactionId) => Value::Text("t0"),
            Name::Known(Known::Status) => Value::Text("approved"),
            Name::Known(Known::Event) => Value::Text("lead"),
            Name::Known(_) => return None,
            Name::Param(name) if matches!(&**name, "fbclid" | "ttclid" | "gclid" | "oppref" | "tblci") => {
                Value::Text("click-é")
            }
            Name::Param(_) | Name::Postback(_) => return None,
            Name::Secret(_) => Value::Text("hush\"hush"),
        })
    }
}

pub(crate) const ALL: Told<'_> = Told { without: &[] };

pub(crate) fn text(template: &Template, values: &impl Values) -> String {
    let mut out = Vec::new();
    template.render(values, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The whole body of a request with these deliveries.
pub(crate) fn body(outbound: &Outbound, deliveries: &[Told<'_>]) -> String {
    match &outbound.body {
        Body::None => String::new(),
        Body::One { template, .. } => text(template, &deliveries[0]),
        Body::Batch(batch) => {
            let items: Vec<_> = deliveries.iter().map(|told| text(&batch.item, told)).collect();
            text(&batch.before, &ALL) + &items.join(",") + &text(&batch.after, &ALL)
        }
    }
}
