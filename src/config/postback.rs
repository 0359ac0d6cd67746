//! A destination as it is written: the keys of a `[[postback]]`, of a catalog or of a preset.
//!
//! Keeps: every text that can be wrong knows where it stands. What a postback does not say, its preset does (`over`); in a
//! preset, `<name>` is filled by the postback's `values`, and from then on stands where the postback names its preset, so
//! that a mistake in it is shown there.
//! Not here: what the keys mean together (`destinations`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::file::{Missing, RateLimit, Secrets, Status, Text};
use super::secret::SecretRef;

/// What fills the `<name>`s of a preset, and where the result stands.
#[derive(Debug, Default)]
pub(super) struct Fill {
    pub(super) values: BTreeMap<String, String>,
    pub(super) at: Range<usize>,
    /// Names that were met and have no value.
    pub(super) missing: RefCell<BTreeSet<String>>,
}

/// A part of a preset, filled.
pub(super) trait Filled {
    fn filled(&self, fill: &Fill) -> Self;
}

/// Something that says what another does not.
trait Over {
    /// Key by key, this one's or else the other's.
    fn over(self, below: Self) -> Self;
}

macro_rules! written {
    ($($(#[doc = $name_doc:literal])* $name:ident { $($(#[doc = $doc:literal])* $key:ident: $type:ty,)* })*) => {$(
        $(#[doc = $name_doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[doc = $doc])* pub(super) $key: Option<$type>,)*
        }

        impl Filled for $name {
            fn filled(&self, fill: &Fill) -> Self {
                Self { $($key: self.$key.filled(fill),)* }
            }
        }

        impl Over for $name {
            fn over(self, below: Self) -> Self {
                Self { $($key: self.$key.or(below.$key),)* }
            }
        }
    )*};
}

written! {
    /// A delivery that conversions call for.
    Postback {
        /// Its id, under which limits, pauses and dead letters are kept. A more specific level that says the same id takes
        /// its place: offer before campaign before source before all.
        id: Text,
        /// A preset that says what is not said here.
        preset: Text,
        /// What fills the preset's `<name>`s; `secret:NAME` is one of `[secrets]`.
        values: BTreeMap<Text, Text>,
        /// Where to.
        url: Text,
        /// Of which statuses it is told; `["approved"]`.
        on: Spanned<Vec<Status>>,
        /// Of which events; all.
        events: Spanned<Vec<String>>,
        /// GET, POST or PUT; GET without a body, POST with one.
        method: Spanned<Method>,
        /// Headers, as templates.
        headers: BTreeMap<Text, Text>,
        /// A body of JSON.
        json: Text,
        /// A body of a form.
        form: Text,
        /// A body of plain text.
        text: Text,
        /// What becomes of placeholders without a value: `empty`, `drop` or `fail`.
        missing: Missing,
        /// What a conversion must pay.
        payout: Payout,
        /// So many of all conversions: `"12.5%"`.
        percent: Text,
        /// Only of the first decision on a conversion.
        first_only: bool,
        /// So much of the payout is told: `"80%"`.
        payout_percent: Text,
        /// How long after the decision it is told; `"0"`, up to 30d.
        delay: Text,
        /// After how long it is of no use, counted from the decision; 1s to 90d, none.
        max_age: Text,
        /// For how long it is tried, 1s to 72h, which is the default.
        horizon: Text,
        /// For one attempt, 1s to 2m; 10s.
        timeout: Text,
        /// Whether it is tried again where the answer was lost; true.
        repeat_ambiguous: bool,
        /// Which answers mean that it was taken; any 2xx.
        success: Success,
        /// Several deliveries in one request.
        batch: Batch,
        /// So often.
        rate_limit: RateLimit,
        /// So many attempts in a day of UTC.
        daily_cap: Spanned<u64>,
        /// So many attempts at once, 2 to 64; found out otherwise.
        concurrency: Spanned<u32>,
        /// Networks that are not public and that it may be at.
        allow_addresses: Vec<Text>,
        /// Whether HTTP/2 is agreed on; false.
        http2: bool,
        /// A PEM file with certificates of further authorities.
        ca: Text,
        /// A PEM file with our certificate, and those that vouch for it.
        certificate: Text,
        /// A PEM file with its key.
        key: Text,
        /// An HTTP proxy; `""` is none, whatever the settings say.
        proxy: Text,
        /// The key, or two while they change, that it is signed with as Standard Webhooks has it.
        sign: Spanned<Secrets>,
        /// A token that is shown as `Authorization: Bearer`.
        oauth: Oauth,
    }
    /// Between which amounts, in which currency.
    Payout {
        /// The least.
        min: Text,
        /// The most.
        max: Text,
        /// In this currency only.
        currency: Text,
    }
    /// All of what it says must hold.
    Success {
        /// `204`, `"200-299"`.
        status: Spanned<Vec<Spanned<StatusRange>>>,
        /// What the body says as JSON.
        json: Spanned<JsonRule>,
        /// What stands somewhere in the body.
        contains: Text,
    }
    /// A place in a JSON document, and one of what must be there.
    JsonRule {
        /// RFC 6901: `/code`.
        pointer: Text,
        /// Just this.
        equals: serde_json::Value,
        /// Anything.
        present: bool,
        /// Nothing.
        absent: bool,
    }
    /// Several deliveries in one request of JSON.
    Batch {
        /// At most so many, 1 to 2000.
        max: Spanned<usize>,
        /// How long the first waits for others, up to 5m; 1s.
        wait: Text,
        /// What stands around them, with `{items}` where they go; `[{items}]`.
        wrap: Text,
        /// The answer has one result for each.
        results: Spanned<Results>,
        /// The answer names those that failed.
        failures: Spanned<Failures>,
    }
    /// One result for each, in their order.
    Results {
        /// Where the list of them is.
        list: Text,
        /// What is in a result of one that was taken.
        taken: Spanned<JsonRule>,
    }
    /// Those that failed.
    Failures {
        /// What the answer says where none has.
        none: Spanned<JsonRule>,
        /// Where the list of them is.
        list: Text,
        /// Where an element of it has the number of the delivery, from 0.
        number: Text,
    }
    /// Where a token comes from: a file that somebody else keeps fresh, or a call.
    Oauth {
        /// A file that has it; or what follows.
        file: Text,
        /// Whom to ask.
        url: Text,
        /// How: `refresh_token` or `client_credentials`.
        grant: Spanned<Grant>,
        /// Who asks.
        client_id: Text,
        /// His secret.
        client_secret: Spanned<SecretRef>,
        /// What he has, of `refresh_token`.
        refresh_token: Spanned<SecretRef>,
        /// What for.
        scope: Text,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    Get,
    Post,
    Put,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Grant {
    RefreshToken,
    ClientCredentials,
}

/// Statuses as they are written: a number, or two with a dash between.
#[derive(Clone, Debug)]
pub(super) struct StatusRange(pub(super) String);

/// Not `untagged`: that one forgets where it stands.
impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = StatusRange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status like 204, or several like \"200-299\"")
            }

            fn visit_i64<E>(self, number: i64) -> Result<StatusRange, E> {
                Ok(StatusRange(number.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<StatusRange, E> {
                Ok(StatusRange(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Postback {
    /// This one over its preset, filled. What is named one by one is laid over one by one; of bodies only one is there.
    pub(super) fn over_preset(self, mut below: Self) -> Self {
        if self.json.is_some() || self.form.is_some() || self.text.is_some() {
            (below.json, below.form, below.text) = (None, None, None);
        }
        let headers = match (self.headers.clone(), below.headers.take()) {
            (Some(own), Some(mut below)) => {
                below.retain(|name, _| {
                    !own.keys().any(|own| own.get_ref().eq_ignore_ascii_case(name.get_ref()))
                });
                below.extend(own);
                Some(below)
            }
            (own, below) => own.or(below),
        };
        let oauth = match (self.oauth.clone(), below.oauth.take()) {
            (Some(own), Some(below)) if own.file.is_none() => Some(own.over(below)),
            (own, below) => own.or(below),
        };
        Self { headers, oauth, ..self.over(below) }
    }
}

/// The `<name>`s of a text, and where they stand.
pub(super) fn gaps(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    text.match_indices('<').filter_map(|(start, _)| {
        let (name, _) = text.get(start + 1..)?.split_once('>')?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_name.then_some((start..start + name.len() + 2, name))
    })
}

impl Filled for String {
    /// A gap without a value stays, and is noted.
    fn filled(&self, fill: &Fill) -> Self {
        let (mut filled, mut end) = (String::with_capacity(self.len()), 0);
        for (at, name) in gaps(self) {
            let Some(value) = fill.values.get(name) else {
                fill.missing.borrow_mut().insert(name.to_owned());
                continue;
            };
            filled.push_str(self.get(end..at.start).unwrap_or_default());
            filled.push_str(value);
            end = at.end;
        }
        filled.push_str(self.get(end..).unwrap_or_default());
        filled
    }
}

impl<T: Filled> Filled for Spanned<T> {
    fn filled(&self, fill: &Fill) -> Self {
        Spanned::new(fill.at.clone(), self.get_ref().filled(fill))
    }
}

impl<T: Filled> Filled for Option<T> {
    fn filled(&self, fill: &Fill) -> Self {
        self.as_ref().map(|value| value.filled(fill))
    }
}

impl<T: Filled> Filled for Vec<T> {
    fn filled(&self, fill: &Fill) -> Self {
        self.iter().map(|value| value.filled(fill)).collect()
    }
}

impl<K: Filled + Ord, V: Filled> Filled for BTreeMap<K, V> {
    fn filled(&self, fill: &Fill) -> Self {
        self.iter().map(|(key, value)| (key.filled(fill), value.filled(fill))).collect()
    }
}

impl Filled for RateLimit {
    fn filled(&self, fill: &Fill) -> Self {
        Self { per_second: self.per_second.filled(fill), burst: self.burst.filled(fill) }
    }
}

macro_rules! without_gaps {
    ($($type:ty)*) => {$(
        impl Filled for $type {
            fn filled(&self, _: &Fill) -> Self {
                self.clone()
            }
        }
    )*};
}

without_gaps!(bool u32 u64 usize serde_json::Value Status Missing Method Grant StatusRange Secrets SecretRef);
