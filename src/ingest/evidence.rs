//! A request as it goes into the journal: whole, but for the secrets in it.
//!
//! In: a request, and where its network's secrets may be. Out: `Evidence`; parameters to be kept.
//! Keeps: what stands where a secret belongs is masked, right or wrong; so is a secret of any network wherever else it
//! stands, as it is or percent-encoded or escaped as in JSON, if it is long enough (`event::mask`). Cookies are
//! left out.
//! Not here: whether the request is kept at all (`postback`).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use aho_corasick::BuildError;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, FORWARDED, HOST, PROXY_AUTHORIZATION};
use percent_encoding::percent_decode;

use super::body::{self, Kind};
use super::doors::{Doorway, SECRET_SEGMENT};
use super::network::{DoorKind, Network, Secret};
use super::visit::Visit;
use crate::apply::claim::Evidence;
use crate::event::click::KeptAddress;
use crate::event::mask::{MASK, MASK_JSON, Mask};
use crate::event::params::Params;
use crate::event::splice::replaced;

/// Bytes from which on a secret is looked for in click ids, transaction ids and the like.
const FIELD_SECRET_BYTES_MIN: usize = 8;
/// Headers in which proxies say for whom they speak: the visitor, where a browser calls.
const FORWARDING: [&str; 4] = ["x-forwarded-for", "x-real-ip", "cf-connecting-ip", "true-client-ip"];

/// The secrets of all networks, and where they may be.
#[derive(Default)]
pub(super) struct Masks {
    secrets: Mask,
    /// Of all networks, in lower case.
    params: HashSet<String>,
    headers: HashSet<String>,
}

/// Not what is in it: an automaton shows its patterns.
impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks").field("params", &self.params).finish_non_exhaustive()
    }
}

/// Which parameters and headers are secrets in one request.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    masks: &'a Masks,
    /// Nothing where it is not known: then those of all networks are meant.
    network: Option<&'a Network>,
}

impl Masks {
    pub(super) fn new(networks: &[Arc<Network>]) -> Result<Self, BuildError> {
        let lower = |name: &str| name.to_ascii_lowercase();
        let accesses = || networks.iter().map(|network| &network.access);
        let keys = accesses().filter_map(|access| access.signature.as_ref()).flat_map(|signed| &signed.keys);
        let secrets = accesses().flat_map(|access| &access.secrets).chain(keys).map(Secret::reveal);
        Ok(Self {
            secrets: Mask::new(secrets)?,
            params: accesses().flat_map(|access| &access.secret_params).map(|name| lower(name)).collect(),
            headers: accesses().flat_map(|access| &access.secret_headers).map(|name| lower(name)).collect(),
        })
    }

    /// The places of secrets in a request of this network, or of nobody knows which.
    pub(super) fn of<'a>(&'a self, network: Option<&'a Network>) -> Places<'a> {
        Places { masks: self, network }
    }
}

impl Places<'_> {
    fn is_param(&self, name: &str) -> bool {
        match self.network {
            Some(network) => {
                network.access.secret_params.iter().any(|secret| secret.eq_ignore_ascii_case(name))
            }
            None => self.masks.params.contains(&name.to_ascii_lowercase()),
        }
    }

    fn is_header(&self, name: &str) -> bool {
        match self.network {
            Some(network) => {
                network.access.secret_headers.iter().any(|secret| secret.eq_ignore_ascii_case(name))
            }
            None => self.masks.headers.contains(name),
        }
    }

    /// The parameters that are kept: without secrets, and without what is one inside others.
    pub(super) fn kept(&self, params: &Params) -> Params {
        let mut kept = Params::default();
        for (name, value) in params.iter().filter(|(name, _)| !self.is_param(name)) {
            kept.push(&self.masks.secrets.hide_text(name), &self.masks.secrets.hide_text(value));
        }
        kept
    }

    /// What a field says, without a secret that does not belong there. Short ones stand in many an id by chance, and an
    /// id that is masked is another.
    pub(super) fn hidden(&self, text: &str) -> String {
        match self.masks.secrets.finds_one_of(text, FIELD_SECRET_BYTES_MIN) {
            true => self.masks.secrets.hide_text(text).into_owned(),
            false => text.to_owned(),
        }
    }

    /// What is said of a request, without the secrets that it quotes.
    pub(super) fn masked(&self, text: &str) -> String {
        self.masks.secrets.hide_text(text).into_owned()
    }

    /// A query without secrets.
    fn query(&self, query: &str) -> String {
        self.masks.secrets.hide_text(&self.pairs(query, &['&', '?'])).into_owned()
    }

    /// A path without what stands in it at the place of a secret.
    fn path(&self, path: &str, doors: &[Doorway<'_>]) -> String {
        let mut segments: Vec<&str> = path.split('/').collect();
        for door in doors.iter().filter(|doorway| doorway.secret.is_some()) {
            let place = door.door.path.split('/').position(|segment| segment == SECRET_SEGMENT);
            if let Some(segment) = place.and_then(|place| segments.get_mut(place)) {
                *segment = MASK;
            }
        }
        self.masks.secrets.hide_text(&segments.join("/")).into_owned()
    }

    /// Pairs of a query or a form, without the values under names of secrets.
    fn pairs(&self, raw: &str, separators: &[char]) -> String {
        let mut masked = String::with_capacity(raw.len());
        for pair in raw.split_inclusive(separators) {
            let (name, rest) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = percent_decode(name.as_bytes()).decode_utf8_lossy().replace('+', " ");
            if rest.is_empty() || !self.is_param(&decoded) {
                masked.push_str(pair);
                continue;
            }
            masked.push_str(name);
            masked.push('=');
            masked.push_str(MASK);
            masked.extend(rest.chars().next_back().filter(|last| separators.contains(last)));
        }
        masked
    }

    /// A body without secrets; JSON stays JSON.
    fn body(&self, content_type: &str, raw: &[u8]) -> Vec<u8> {
        let masked = match body::kind(content_type, raw.trim_ascii()) {
            Ok(Kind::Json) => {
                // A number without some of its digits would be none: such a value is masked whole.
                let has_secret = |value: &str| {
                    !value.starts_with('"')
                        && matches!(self.masks.secrets.hide(value.as_bytes()), Cow::Owned(_))
                };
                let places = body::places(raw, |name, value| self.is_param(name) || has_secret(value));
                replaced(raw, places.into_iter().map(|place| (place, MASK_JSON)).collect())
            }
            _ => match std::str::from_utf8(raw) {
                Ok(form) => self.pairs(form, &['&']).into_bytes(),
                Err(_) => raw.to_vec(),
            },
        };
        self.masks.secrets.hide(&masked).into_owned()
    }

    /// Headers as lines, without cookies, secrets, and what is told elsewhere.
    fn headers(&self, visit: &Visit<'_>, is_visitor: bool) -> String {
        let mut lines = String::new();
        for (name, value) in visit.headers() {
            if matches!(*name, COOKIE | HOST | CONTENT_TYPE)
                || is_visitor && (*name == FORWARDED || FORWARDING.contains(&name.as_str()))
            {
                continue;
            }
            let is_secret =
                matches!(*name, AUTHORIZATION | PROXY_AUTHORIZATION) || self.is_header(name.as_str());
            let value = String::from_utf8_lossy(value.as_bytes());
            lines.extend([name.as_str(), ": ", if is_secret { MASK } else { &value }, "\n"]);
        }
        self.masks.secrets.hide_text(&lines).into_owned()
    }

    /// A request without its secrets. Who a browser calls for is not kept here: that is for the click's campaign to say.
    pub(super) fn evidence(
        &self,
        visit: &Visit<'_>,
        (kind, doors): (DoorKind, &[Doorway<'_>]),
        body: &[u8],
        config_version: u64,
    ) -> Evidence {
        let is_visitor = kind != DoorKind::Postback;
        let content_type = content_type(visit);
        Evidence {
            time: visit.time,
            config_version,
            address: (!is_visitor).then(|| KeptAddress::full(visit.address)),
            network: self.network.map(|network| network.rules.id.to_string()).unwrap_or_default(),
            method: visit.parts.method.to_string(),
            host: self.masks.secrets.hide_text(visit.host).into_owned(),
            path: self.path(visit.path(), doors),
            query: self.query(visit.query()),
            headers: self.headers(visit, is_visitor),
            body: self.body(&content_type, body),
            content_type: self.masks.secrets.hide_text(&content_type).into_owned(),
        }
    }
}

/// What a body is said to be; empty if nothing is said.
pub(super) fn content_type<'a>(visit: &Visit<'a>) -> Cow<'a, str> {
    let value = visit.headers().get(CONTENT_TYPE);
    value.map_or(Cow::Borrowed(""), |value| String::from_utf8_lossy(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::network::Access;
    use super::*;
    use crate::apply::key::{Mode, Scope};
    use crate::apply::reading::Mapping;
    use crate::apply::rules;
    use crate::event::params::Source;

    fn network(id: &str, secrets: &[&str]) -> Arc<Network> {
        let access = Access {
            secrets: secrets.iter().map(|secret| Secret::new(secret)).collect(),
            secret_params: vec!["secret".into(), "my key".into()],
            secret_headers: vec!["x-secret".into()],
            ..Access::default()
        };
        let rules = rules::Network {
            id: id.into(),
            mapping: Mapping::generic(),
            mode: Mode::default(),
            scope: Scope::default(),
            limits: rules::Limits::default(),
            required: Vec::new(),
            park: rules::PARK_DEFAULT,
        };
        Arc::new(Network { access, ..Network::plain(rules) })
    }

    fn masks() -> (Masks, Arc<Network>) {
        let network = network("boost", &["hunter2é \"/\\", "ab", "open sesame"]);
        (Masks::new(std::slice::from_ref(&network)).unwrap(), network)
    }

    #[test]
    fn what_stands_where_a_secret_belongs_is_masked_right_or_wrong() {
        let (masks, network) = masks();
        for network in [None, Some(&*network)] {
            let places = masks.of(network);
            assert_eq!(
                places.query("a=1&SECRET=x=y&secret&my%20key=z&b=2"),
                "a=1&SECRET=***&secret&my%20key=***&b=2"
            );
            assert_eq!(places.query("a=1?secret=x"), "a=1?secret=***");
            let form = places.body("", b"my+key=wrong&a=1?secret=1");
            assert_eq!(form, b"my+key=***&a=1?secret=1");
            let json =
                places.body("application/json", br#" {"secret":"wr\"ong","my key": 12,"a":{"secret":1}}"#);
            assert_eq!(json, br#" {"secret":"***","my key": "***","a":{"secret":1}}"#);
        }
    }

    #[test]
    fn a_body_that_could_be_read_can_be_read_without_its_secrets() {
        let network = network("boost", &["12345678", "a\"b\\c"]);
        let masks = Masks::new(std::slice::from_ref(&network)).unwrap();
        let body = br#"{"secret":12345678,"n":-1123456789,"t":"x12345678","e":"a\"b\\c","l":[12345678]}"#;
        let masked = masks.of(Some(&network)).body("", body);
        let expected = r#"{"secret":"***","n":"***","t":"x***","e":"***","l":["***"]}"#;
        assert_eq!(String::from_utf8(masked).unwrap(), expected);
    }

    #[test]
    fn what_is_kept_of_parameters_has_no_secret_in_it() {
        let (masks, network) = masks();
        let params = Params::parse(b"click_id=1&secret=x&a=open+sesame!&my+key=2", Source::Query);
        let kept = masks.of(Some(&network)).kept(&params);
        assert_eq!(kept.iter().collect::<Vec<_>>(), [("click_id", "1"), ("a", "***!")]);
    }

    #[test]
    fn debug_shows_no_secret() {
        let (masks, network) = masks();
        assert!(!format!("{masks:?} {network:?}").contains("sesame"));
    }
}
