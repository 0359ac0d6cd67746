//! A network as the way in needs it: where it calls, how it shows who it is, what it is answered.
//!
//! In: what `config` has compiled from a profile and the catalog. Out: an immutable part of the catalog.
//! Not here: what its postbacks mean (`apply::rules`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::apply::rules;

/// See the module.
#[derive(Clone, Debug)]
pub struct Network {
    /// What its postbacks mean.
    pub rules: Arc<rules::Network>,
    /// The profile that it began as; empty for none.
    pub profile: Box<str>,
    /// Paths of its own, besides `/postback/{id}` and the pixels; in this order.
    pub doors: Vec<Door>,
    /// Hosts that are its alone.
    pub domains: Vec<Box<str>>,
    /// Parameters that tell it from others on the same path, with their values.
    pub matches: Vec<(Box<str>, Box<str>)>,
    /// How a caller shows to be this network.
    pub access: Access,
    /// Whether a parameter of the query comes before one of the body by the same name; else the body's does.
    pub query_first: bool,
    /// What it is answered.
    pub answers: Answers,
    /// A pixel without a click id or cookie counts for the last click of the same address within this time; zero is never.
    pub address_window: Duration,
}

impl Network {
    /// One that shows nothing and is answered as the generic profile says.
    pub fn plain(rules: rules::Network) -> Self {
        Self {
            rules: Arc::new(rules),
            profile: Box::default(),
            doors: Vec::new(),
            domains: Vec::new(),
            matches: Vec::new(),
            access: Access::default(),
            query_first: false,
            answers: Answers::default(),
            address_window: Duration::ZERO,
        }
    }
}

/// A path at which a network calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The whole path. One segment may be `{secret}`, which then is where the secret is.
    pub path: Box<str>,
    /// Only for requests with these parameters, each with this value, or with any.
    pub when: Vec<(Box<str>, Option<Box<str>>)>,
    /// How a conversion is reported there.
    pub kind: DoorKind,
}

/// How a conversion is reported, and with what it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DoorKind {
    /// A server calls.
    #[default]
    Postback,
    /// A browser loads an image.
    Image,
    /// A browser loads a page into a frame.
    Page,
    /// A browser runs a script.
    Script,
}

/// How a caller shows to be a network. Each part that is there must be right.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Any one of these; none are asked for if there are none.
    pub secrets: Vec<Secret>,
    /// Parameters that may hold it, the first before the others.
    pub secret_params: Vec<Box<str>>,
    /// Headers that may hold it; after `Authorization`, `Bearer ` is left out.
    pub secret_headers: Vec<Box<str>>,
    /// A signature that must be right.
    pub signature: Option<Signature>,
    /// Addresses that may call; all may if there are none.
    pub allow: Vec<IpNet>,
    /// How often it may call.
    pub rate: Option<Rate>,
    /// Whether pixels are taken, which can show no secret that stays one.
    pub takes_pixels: bool,
    /// Whether a request must have come over TLS.
    pub requires_https: bool,
    /// Whether whoever reports without a browser must have shown a certificate to a listener that asks for one.
    pub requires_client_certificate: bool,
}

/// A shared password. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// This one.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// How long it is.
    pub fn bytes(&self) -> usize {
        self.reveal().len()
    }

    /// The secret itself, to be compared or to be masked.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// HMAC-SHA256 over the time, the query without the signature, and the body: `TIME "\n" QUERY "\n" BODY`, the query's
/// pairs sorted by name and then value, each percent-encoded but for unreserved characters (RFC 3986), joined by `&`.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Keys, any one of which may have been used.
    pub keys: Vec<Secret>,
    /// Where it is.
    pub place: SignaturePlace,
    /// Where the time is, in Unix seconds: a parameter, or a header if the signature is in one.
    pub time: Box<str>,
    /// How far that time may be from ours.
    pub tolerance: Duration,
}

/// Where a signature is: 64 hexadecimal digits, perhaps behind `sha256=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignaturePlace {
    /// In this parameter.
    Param(Box<str>),
    /// In this header.
    Header(Box<str>),
}

/// How often somebody may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// On average.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// What a network is answered.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// For results, named as in `X-Clicklog-Result` (`duplicate`, `rejected:secret`) or together (`ok`, `rejected`): the
    /// most exact name counts. What is not here is answered as the generic profile does.
    pub by_result: Vec<(Box<str>, Answer)>,
    /// A parameter whose value is the body of whatever is answered 200.
    pub echo: Option<Box<str>>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status; nothing is the generic one.
    pub status: Option<u16>,
    /// Its `Content-Type`.
    pub content_type: Box<str>,
    /// Its body, with gaps: `{result}`, `{reason}`, `{message}`, `{conversion_id}`.
    pub body: Box<str>,
}
