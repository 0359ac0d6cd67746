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
    /// Secrets that several things refer to, by name: `{ env = "NAME" }` or `{ file = "PATH" }`.
    pub(super) secrets: BTreeMap<String, Spanned<SecretRef>>,
    /// Where conversions come from.
    pub(super) network: Vec<Network>,
    /// Where clicks come from, and deliveries go to.
    pub(super) source: Vec<Source>,
    /// Where visitors are sent.
    pub(super) offer: Vec<Offer>,
    /// A link.
    pub(super) campaign: Vec<Campaign>,
    /// Whom all conversions are told.
    pub(super) postback: Vec<Postback>,
    /// What a host takes, of all destinations that are there.
    pub(super) host: Vec<Host>,
    /// Another tracker's click URL that is not built in.
    pub(super) click_path: Vec<ClickPath>,
}

/// A network: where conversions come from. The built-in profiles are written the same way.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    /// Its id, at which it may call too: `/postback/ID`.
    pub(super) id: Text,
    /// What it runs on, which says what is not said here: a `[[network]]` of `config/networks.toml`; `generic`.
    #[serde(default)]
    pub(super) profile: Option<Text>,
    /// What it shows, `{ env = "NAME" }` or `{ file = "PATH" }`; a list of two while one takes the place of the other.
    #[serde(default)]
    pub(super) secret: Option<Spanned<Secrets>>,
    /// Parameters that it may show its secret in.
    #[serde(default)]
    pub(super) secret_params: Option<Vec<Text>>,
    /// Headers that it may show its secret in.
    #[serde(default)]
    pub(super) secret_headers: Option<Vec<Text>>,
    /// A signature that its requests must have.
    #[serde(default)]
    pub(super) signature: Option<Spanned<Signature>>,
    /// Networks that it may call from, as `203.0.113.0/24`; anywhere.
    #[serde(default)]
    pub(super) allow_ips: Vec<Text>,
    /// Whether a request that did not come over https is refused; false.
    #[serde(default)]
    pub(super) require_https: bool,
    /// Whether a request without a client certificate of the listener's authorities is refused; false.
    #[serde(default)]
    pub(super) require_client_certificate: bool,
    /// How many requests it may send; more are answered 429.
    #[serde(default)]
    pub(super) rate_limit: Option<RateLimit>,
    /// Whether browsers may report for it; where it has a secret, a signature or `allow_ips` they may not.
    #[serde(default)]
    pub(super) pixels: Option<bool>,
    /// For how long a pixel without a click finds the last click of its address, up to 30d; `"0"`, never.
    #[serde(default)]
    pub(super) address_window: Option<Text>,
    /// Where it calls, besides `/postback/ID`: a path, or a table. `/{secret}/pb` has the secret in the path.
    #[serde(default)]
    pub(super) paths: Vec<Spanned<Door>>,
    /// Hosts that are its own: whatever calls there at `/postback` is of it.
    #[serde(default)]
    pub(super) domains: Vec<Text>,
    /// What parameters must be to be of this network, where several share a path.
    #[serde(default, rename = "match")]
    pub(super) matches: BTreeMap<Text, Text>,
    /// What its parameters are called, for each of ours; the first that is there counts. Those of the profile come
    /// behind them.
    #[serde(default)]
    pub(super) params: BTreeMap<Role, Vec<Text>>,
    /// Whether the query counts before the body; false.
    #[serde(default)]
    pub(super) query_first: Option<bool>,
    /// What must be there besides the click.
    #[serde(default)]
    pub(super) required: Option<Spanned<Vec<Role>>>,
    /// What its words mean: `pending`, `approved`, `reversed`.
    #[serde(default)]
    pub(super) status_map: BTreeMap<Text, Status>,
    /// Parameters in which a request says itself what its words mean.
    #[serde(default)]
    pub(super) status_params: BTreeMap<Meaning, Vec<Text>>,
    /// What a request without a status means; `approved`.
    #[serde(default)]
    pub(super) default_status: Option<Status>,
    /// What is a repeat.
    #[serde(default)]
    pub(super) dedupe: Dedupe,
    /// Which payouts count at once; others wait for a person.
    #[serde(default)]
    pub(super) payout: Option<PayoutLimits>,
    /// In which currency amounts are that do not say; `USD`.
    #[serde(default)]
    pub(super) currency: Option<Text>,
    /// How much later than its postback a click may come, up to 1d; 10m.
    #[serde(default)]
    pub(super) park: Option<Text>,
    /// What it is answered, by result: `ok`, `duplicate`, `rejected`, `rejected:secret`.
    #[serde(default)]
    pub(super) answers: BTreeMap<Text, Answer>,
    /// A parameter whose value is the answer.
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
    /// The key, or two while they change.
    pub(super) secret: Spanned<Secrets>,
    /// The parameter that has it.
    #[serde(default)]
    pub(super) param: Option<Text>,
    /// The header that has it; one of the two.
    #[serde(default)]
    pub(super) header: Option<Text>,
    /// The parameter or header that has the moment of signing.
    pub(super) time: Text,
    /// How far that may be from ours, up to 1d; 5m.
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
    /// The path.
    path: String,
    /// How it is answered: `postback`, `image`, `page`, `script`; `postback`.
    #[serde(default)]
    kind: DoorKind,
    /// Parameters that must be there, each with its value; `*` is any.
    #[serde(default)]
    when: BTreeMap<String, String>,
}

/// What a network is answered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// The code; that of the result.
    #[serde(default)]
    pub(super) status: Option<Spanned<u16>>,
    /// Its content type.
    #[serde(default, rename = "type")]
    pub(super) content_type: Option<Text>,
    /// Its body, with `{result}`, `{message}`, `{conversion_id}`.
    #[serde(default)]
    pub(super) body: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dedupe {
    /// What becomes of a repeat: `by_transaction`, `first_wins`, `replace`, `add`, `each`; `by_transaction`.
    #[serde(default)]
    pub(super) mode: Option<Mode>,
    /// Within what: `click`, `click+event`, `offer+event`, `network`; `network`.
    #[serde(default)]
    pub(super) scope: Option<Scope>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PayoutLimits {
    /// The least.
    #[serde(default)]
    pub(super) min: Option<Text>,
    /// The most.
    #[serde(default)]
    pub(super) max: Option<Text>,
    /// How far from the offer's payout, as `20%`.
    #[serde(default)]
    pub(super) tolerance: Option<Text>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimit {
    /// So many in a second.
    pub(super) per_second: Spanned<u32>,
    /// So many at once; as many as in a second.
    #[serde(default)]
    pub(super) burst: Option<Spanned<u32>>,
}

/// A source: where clicks come from, and deliveries go to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    /// Its id.
    pub(super) id: Text,
    /// Its parameter that has its own id of a click, which it wants back.
    #[serde(default)]
    pub(super) external_id: Option<String>,
    /// Its parameter that has the price of a click.
    #[serde(default)]
    pub(super) cost: Option<String>,
    /// In which currency that is; `USD`.
    #[serde(default)]
    pub(super) currency: Option<Text>,
    /// Our name, and its parameter.
    #[serde(default)]
    pub(super) params: BTreeMap<String, String>,
    /// Whom conversions of its clicks are told.
    #[serde(default)]
    pub(super) postback: Vec<Postback>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Offer {
    /// Its id.
    pub(super) id: Text,
    /// The network that pays for it.
    #[serde(default)]
    pub(super) network: Option<Text>,
    /// Where visitors are sent, as a template: `{click_id}`, `{external_id}`, any parameter of the click.
    pub(super) url: Text,
    /// What becomes of placeholders without a value: `empty`, `drop` the parameter, `fail` over to the fallback;
    /// `empty`.
    #[serde(default)]
    pub(super) missing: Missing,
    /// What a conversion is worth, or `auto`: what the postback says; `auto`.
    #[serde(default)]
    pub(super) payout: Option<Text>,
    /// In which currency; that of the network.
    #[serde(default)]
    pub(super) currency: Option<Text>,
    /// Whom its conversions are told.
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
    /// Its id: the link is `/c/ID`.
    pub(super) id: Text,
    /// Ids that it had in another tracker: links and files that name them are of this campaign.
    #[serde(default)]
    pub(super) aliases: Vec<Text>,
    /// Where its clicks come from.
    #[serde(default)]
    pub(super) source: Option<Text>,
    /// Where they go, in turns by weight.
    #[serde(default)]
    pub(super) offers: Vec<WeightedOffer>,
    /// Landing pages in front of the offers, in turns by weight; their links are `/out`.
    #[serde(default)]
    pub(super) landers: Vec<Lander>,
    /// What a click costs; what the source's parameter says.
    #[serde(default)]
    pub(super) cost: Option<Cost>,
    /// How visitors are sent on: `"302"`, `"303"`, `"307"`, `"meta"`, `"double_meta"`; `"302"`.
    #[serde(default)]
    pub(super) redirect: Redirect,
    /// Whether a visitor who comes back gets the same lander and offer; false.
    #[serde(default)]
    pub(super) sticky: bool,
    /// Whether a cookie keeps the click id; true.
    #[serde(default = "yes")]
    pub(super) cookie: bool,
    /// How much of an address is kept: `full`, `truncated` (/24, /56), `none`; `full`.
    #[serde(default)]
    pub(super) ip: IpPolicy,
    /// How long after its click a conversion counts, up to 180d; 30d.
    #[serde(default)]
    pub(super) window: Option<Text>,
    /// Within which time a second click of a visitor is labelled a duplicate, up to 180d; 1d.
    #[serde(default)]
    pub(super) duplicate_window: Option<Text>,
    /// After which age its clicks go, at least 1d and not below `window`; as the settings say.
    #[serde(default)]
    pub(super) retention: Option<Text>,
    /// Where visitors go when nothing else will do.
    #[serde(default)]
    pub(super) fallback_url: Option<Text>,
    /// Whom its conversions are told.
    #[serde(default)]
    pub(super) postback: Vec<Postback>,
    /// Third parties' pixels, printed on the answer to a conversion pixel.
    #[serde(default)]
    pub(super) pixel: Vec<Pixel>,
}

/// A third party's pixel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pixel {
    /// What it is: `image`, `page`, `script`; `image`.
    #[serde(default)]
    pub(super) kind: PixelKind,
    /// Its URL, as a template.
    pub(super) url: Text,
    /// As of an offer.
    #[serde(default)]
    pub(super) missing: Missing,
    /// Of which statuses; all.
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
    /// Which offer.
    pub(super) id: Text,
    /// Its share among the others; 1.
    #[serde(default = "one")]
    pub(super) weight: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lander {
    /// Its URL, as a template.
    pub(super) url: Text,
    /// Its share among the others; 1.
    #[serde(default = "one")]
    pub(super) weight: u32,
    /// As of an offer.
    #[serde(default)]
    pub(super) missing: Missing,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cost {
    /// `cpc`: the same for each click; `parameter`: what the source's parameter says.
    pub(super) model: CostModel,
    /// How much, of `cpc`.
    #[serde(default)]
    pub(super) amount: Option<Text>,
    /// In which currency; the source's.
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
    /// So often.
    #[serde(default)]
    pub(super) rate_limit: Option<RateLimit>,
    /// So many attempts at once.
    #[serde(default)]
    pub(super) concurrency: Option<Spanned<u32>>,
}

/// Another tracker's click URL.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClickPath {
    /// A path like `/go.php`, or `/go/*` where the campaign stands in it.
    pub(super) path: Text,
    /// Parameters that name the campaign, of a whole path.
    #[serde(default)]
    pub(super) keys: Vec<String>,
}
