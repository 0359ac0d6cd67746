//! A catalog's file as it is written: names of keys, and nothing about what they mean together.
//!
//! Keeps: every text that can be wrong knows where it stands.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

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
    pub(super) click_path: Vec<ClickPath>,
}

/// A network: where conversions come from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    pub(super) id: Text,
    #[serde(default)]
    pub(super) profile: Option<Text>,
    #[serde(default)]
    pub(super) secret: Option<Spanned<Secrets>>,
    #[serde(default)]
    pub(super) allow_ips: Vec<Text>,
    #[serde(default)]
    pub(super) params: BTreeMap<Role, Vec<String>>,
    #[serde(default, rename = "status_map")]
    pub(super) _status_map: BTreeMap<String, Status>,
    #[serde(default, rename = "default_status")]
    pub(super) _default_status: Option<Status>,
    #[serde(default, rename = "dedupe")]
    pub(super) _dedupe: Option<Dedupe>,
    #[serde(default)]
    pub(super) payout: Option<PayoutLimits>,
    #[serde(default)]
    pub(super) currency: Option<Text>,
    #[serde(default)]
    pub(super) rate_limit: Option<RateLimit>,
}

/// One secret, or two while one takes the place of the other.
#[derive(Debug, Deserialize)]
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dedupe {
    #[serde(default, rename = "mode")]
    pub(super) _mode: Option<Mode>,
    #[serde(default, rename = "scope")]
    pub(super) _scope: Option<Scope>,
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

#[derive(Debug, Deserialize)]
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
    pub(super) fallback_url: Option<Text>,
    #[serde(default)]
    pub(super) postback: Vec<Postback>,
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

/// A delivery that conversions call for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Postback {
    pub(super) id: Text,
    pub(super) url: Text,
    #[serde(default, rename = "on")]
    pub(super) _on: Vec<Status>,
    #[serde(default, rename = "events")]
    pub(super) _events: Vec<String>,
    #[serde(default, rename = "method")]
    pub(super) _method: Method,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Text>,
    #[serde(default)]
    pub(super) json: Option<Text>,
    #[serde(default)]
    pub(super) form: Option<Text>,
    #[serde(default)]
    pub(super) missing: Missing,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    #[default]
    Get,
    Post,
}

/// Another tracker's click URL.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClickPath {
    pub(super) path: Text,
    #[serde(default)]
    pub(super) keys: Vec<String>,
}
