//! A catalog's file as it is written: names of keys, and nothing about what they mean together.
//!
//! Keeps: every text that can be wrong knows where it stands.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::postback::Postback;
use super::secret::SecretRef;
use crate::apply::key::{Mode, Scope};
use crate::apply::reading::Role;

/// A text, and where it stands.
pub(super) type Text = Spanned<String>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) secrets: BTreeMap<String, Spanned<SecretRef>>,
    pub(super) network: Vec<Network>,
    pub(super) source: Vec<Source>,
    pub(super) offer: Vec<Offer>,
    pub(super) campaign: Vec<Campaign>,
    pub(super) postback: Vec<Postback>,
    pub(super) host: Vec<Host>,
    pub(super) click_path: Vec<ClickPath>,
}

/// A network: where conversions come from. The built-in profiles are written the same way.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    pub(super) id: Text,
    #[serde(default)]
    pub(super) profile: Option<Text>,
    #[serde(default)]
    pub(super) secret: Option<Spanned<Secrets>>,
    #[serde(default)]
    pub(super) secret_params: Option<Vec<Text>>,
    #[serde(default)]
    pub(super) secret_headers: Option<Vec<Text>>,
    #[serde(default)]
    pub(super) signature: Option<Spanned<Signature>>,
    #[serde(default)]
    pub(super) allow_ips: Vec<Text>,
    #[serde(default)]
    pub(super) require_https: bool,
    #[serde(default)]
    pub(super) rate_limit: Option<RateLimit>,
    #[serde(default)]
    pub(super) pixels: Option<bool>,
    #[serde(default)]
    pub(super) address_window: Option<Text>,
    #[serde(default)]
    pub(super) paths: Vec<Spanned<Door>>,
    #[serde(default)]
    pub(super) domains: Vec<Text>,
    #[serde(default, rename = "match")]
    pub(super) matches: BTreeMap<Text, Text>,
    #[serde(default)]
    pub(super) params: BTreeMap<Role, Vec<Text>>,
    #[serde(default)]
    pub(super) query_first: Option<bool>,
    #[serde(default)]
    pub(super) required: Option<Spanned<Vec<Role>>>,
    #[serde(default)]
    pub(super) status_map: BTreeMap<Text, Status>,
    #[serde(default)]
    pub(super) status_params: BTreeMap<Meaning, Vec<Text>>,
    #[serde(default)]
    pub(super) default_status: Option<Status>,
    #[serde(default)]
    pub(super) dedupe: Dedupe,
    #[serde(default)]
    pub(super) payout: Option<PayoutLimits>,
    #[serde(default)]
    pub(super) currency: Option<Text>,
    #[serde(default)]
    pub(super) park: Option<Text>,
    #[serde(default)]
    pub(super) answers: BTreeMap<Text, Answer>,
    #[serde(default)]
    pub(super) echo: Option<Text>,
}

/// One secret, or two while one takes the place of the other.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected { env = \"NAME\" } or { file = \"PATH\" }, or a list of two of these"
)]
pub(super) enum Secrets {
    One(SecretRef),
    Several(Vec<SecretRef>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Pending,
    Approved,
    Reversed,
}

/// What a word of a network's means, where a request says so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Meaning {
    Ignored,
    Approved,
    Pending,
    Reversed,
}

/// A signature that requests must have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    pub(super) secret: Spanned<Secrets>,
    #[serde(default)]
    pub(super) param: Option<Text>,
    #[serde(default)]
    pub(super) header: Option<Text>,
    pub(super) time: Text,
    #[serde(default)]
    pub(super) tolerance: Option<Text>,
}

/// A path at which a network calls: the path alone, or with how and when.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) path: String,
    pub(super) kind: DoorKind,
    /// Parameters that must be there, each with its value; `*` is any.
    pub(super) when: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DoorKind {
    #[default]
    Postback,
    Image,
    Page,
    Script,
}

/// Not `untagged`: that one forgets what is wrong with a table.
impl<'de> Deserialize<'de> for Door {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Door;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path like \"/pb.php\" or { path = \"…\", kind = \"image\", when = { key = \"value\" } }")
            }

            fn visit_str<E>(self, path: &str) -> Result<Door, E> {
                Ok(Door { path: path.to_owned(), kind: DoorKind::default(), when: BTreeMap::new() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Door, A::Error> {
                let DoorTable { path, kind, when } = DoorTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Door { path, kind, when })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DoorTable {
    path: String,
    #[serde(default)]
    kind: DoorKind,
    #[serde(default)]
    when: BTreeMap<String, String>,
}

/// What a network is answered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) status: Option<Spanned<u16>>,
    #[serde(default, rename = "type")]
    pub(super) content_type: Option<Text>,
    #[serde(default)]
    pub(super) body: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dedupe {
    #[serde(default)]
    pub(super) mode: Option<Mode>,
    #[serde(default)]
    pub(super) scope: Option<Scope>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PayoutLimits {
    #[serde(default)]
    pub(super) min: Option<Text>,
    #[serde(default)]
    pub(super) max: Option<Text>,
    #[serde(default)]
    pub(super) tolerance: Option<Text>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimit {
    pub(super) per_second: Spanned<u32>,
    #[serde(default)]
    pub(super) burst: Option<Spanned<u32>>,
}

/// A source: where clicks come from, and deliveries go to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) id: Text,
    #[serde(default)]
    pub(super) external_id: Option<String>,
    #[serde(default)]
    pub(super) cost: Option<String>,
    #[serde(default)]
    pub(super) currency: Option<Text>,
    /// Our name, and its parameter.
    #[serde(default)]
    pub(super) params: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) postback: Vec<Postback>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Offer {
    pub(super) id: Text,
    #[serde(default)]
    pub(super) network: Option<Text>,
    pub(super) url: Text,
    #[serde(default)]
    pub(super) missing: Missing,
    #[serde(default)]
    pub(super) payout: Option<Text>,
    #[serde(default)]
    pub(super) currency: Option<Text>,
    #[serde(default)]
    pub(super) postback: Vec<Postback>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Missing {
    #[default]
    Empty,
    Drop,
    Fail,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Campaign {
    pub(super) id: Text,
    #[serde(default)]
    pub(super) aliases: Vec<Text>,
    #[serde(default)]
    pub(super) source: Option<Text>,
    #[serde(default)]
    pub(super) offers: Vec<WeightedOffer>,
    #[serde(default)]
    pub(super) landers: Vec<Lander>,
    #[serde(default)]
    pub(super) cost: Option<Cost>,
    #[serde(default)]
    pub(super) redirect: Redirect,
    #[serde(default)]
    pub(super) sticky: bool,
    #[serde(default = "yes")]
    pub(super) cookie: bool,
    #[serde(default)]
    pub(super) ip: IpPolicy,
    #[serde(default)]
    pub(super) window: Option<Text>,
    #[serde(default)]
    pub(super) duplicate_window: Option<Text>,
    #[serde(default)]
    pub(super) retention: Option<Text>,
    #[serde(default)]
    pub(super) fallback_url: Option<Text>,
    #[serde(default)]
    pub(super) postback: Vec<Postback>,
    #[serde(default)]
    pub(super) pixel: Vec<Pixel>,
}

/// A third party's pixel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pixel {
    #[serde(default)]
    pub(super) kind: PixelKind,
    pub(super) url: Text,
    #[serde(default)]
    pub(super) missing: Missing,
    #[serde(default)]
    pub(super) on: Vec<Status>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PixelKind {
    #[default]
    Image,
    Page,
    Script,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightedOffer {
    pub(super) id: Text,
    #[serde(default = "one")]
    pub(super) weight: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lander {
    pub(super) url: Text,
    #[serde(default = "one")]
    pub(super) weight: u32,
    #[serde(default)]
    pub(super) missing: Missing,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cost {
    pub(super) model: CostModel,
    #[serde(default)]
    pub(super) amount: Option<Text>,
    #[serde(default)]
    pub(super) currency: Option<Text>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CostModel {
    /// The same for each click.
    Cpc,
    /// What the source's parameter says.
    Parameter,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) enum Redirect {
    #[default]
    #[serde(rename = "302")]
    Found,
    #[serde(rename = "303")]
    SeeOther,
    #[serde(rename = "307")]
    Temporary,
    #[serde(rename = "meta")]
    Meta,
    #[serde(rename = "double_meta")]
    DoubleMeta,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum IpPolicy {
    #[default]
    Full,
    Truncated,
    None,
}

/// A host that deliveries go to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    /// `ads.example.net`; with a scheme or a port in it, only of that.
    pub(super) name: Text,
    #[serde(default)]
    pub(super) rate_limit: Option<RateLimit>,
    #[serde(default)]
    pub(super) concurrency: Option<Spanned<u32>>,
}

/// Another tracker's click URL.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClickPath {
    pub(super) path: Text,
    #[serde(default)]
    pub(super) keys: Vec<String>,
}
