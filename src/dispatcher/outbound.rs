//! How the deliveries of a destination are sent, and what an answer means: as the catalog says it, checked and compiled.
//!
//! Keeps: secrets are never shown; the scheme, the host and the port of a URL have no gaps, so where a delivery goes is
//! known before it is made.
//! Not here: which deliveries are owed (`owed`), requests (`request`), connections (`client`).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, Uri};
use ipnet::IpNet;

use super::batch::PerItem;
use super::schedule::Patience;
use super::sign::Key;
use super::success::Rule;
use crate::event::template::Template;

/// How long an attempt takes at most, unless its destination says otherwise: from the look-up of the name to the last
/// byte of the answer.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// The longest that a destination may say.
pub const TIMEOUT_MAX: Duration = Duration::from_mins(2);

/// The most deliveries in one request.
pub const BATCH_MAX: usize = 2_000;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Outbound {
    /// GET, POST or PUT.
    pub method: Method,
    /// Where to. Its scheme, host and port are plain text.
    pub url: Template,
    /// The same as it is written, secrets by their names: for people.
    pub url_text: Box<str>,
    /// Scheme, host and port, lower case: whatever is called under the same name has one host's limits.
    pub site: Box<str>,
    /// In their order. Those that the client makes itself (Host, Content-Length, Connection, …) are not among them.
    pub headers: Box<[(HeaderName, Template)]>,
    /// What is behind the head.
    pub body: Body,
    /// When it was taken.
    pub success: Rule,
    /// For how long it is tried.
    pub patience: Patience,
    /// For one attempt.
    pub timeout: Duration,
    /// Sign it as Standard Webhooks has it; with none nothing is signed.
    pub keys: Box<[Key]>,
    /// What is shown as `Authorization: Bearer`, if anything is.
    pub token: Option<Arc<TokenSource>>,
    /// Over which kind of connection.
    pub route: Arc<Route>,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// None.
    None,
    /// One delivery.
    One {
        /// Of its `Content-Type`.
        content_type: Box<str>,
        /// What it says.
        template: Template,
    },
    /// Several deliveries, with commas between.
    Batch(Box<Batch>),
}

/// Several deliveries in one request of JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// What is in front of them.
    pub before: Template,
    /// Each of them.
    pub item: Template,
    /// What is behind them.
    pub after: Template,
    /// No more than this many, 1 to `BATCH_MAX`.
    pub max: usize,
    /// How long the first waits for others.
    pub wait: Duration,
    /// How an answer says which were taken; without it the request is taken or refused as a whole.
    pub per_item: Option<PerItem>,
}

/// Where an OAuth2 token comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// This file, which somebody else keeps fresh. It is read again when it has changed.
    File(std::path::PathBuf),
    /// A call (RFC 6749, sections 4.4 and 6), repeated before what it gave expires.
    Call {
        /// Where to, as a POST of a form.
        url: Uri,
        /// The form: names and values, the secrets among them.
        form: Vec<(String, String)>,
    },
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Call { url, .. } => f.debug_struct("Call").field("url", url).finish_non_exhaustive(),
        }
    }
}

/// A kind of connection. Destinations with equal ones share their connections, and no others do: what one is allowed to
/// reach is not open to another.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Route {
    /// Addresses that may be connected to besides public ones.
    pub allow: Vec<IpNet>,
    /// Whether HTTP/2 is agreed on, where the other side has it.
    pub http2: bool,
    /// Certificates of further authorities that are believed, DER.
    pub roots: Vec<Vec<u8>>,
    /// What we show of ourselves: the chain, DER, ours first; empty for nothing.
    pub certificates: Vec<Vec<u8>>,
    /// The key of the first of them, DER (PKCS #8, PKCS #1 or SEC1).
    pub key: Vec<u8>,
    /// An HTTP proxy that is asked for connections by CONNECT. It may stand at any address, at the metadata service of a cloud
    /// only if that is allowed.
    pub proxy: Option<Uri>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("allow", &self.allow)
            .field("http2", &self.http2)
            .field("roots", &self.roots.len())
            .field("certificates", &self.certificates.len())
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// The secrets that templates may name. Never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(HashMap<Box<str>, Box<str>>);

impl Secrets {
    /// Of names and values.
    pub fn new(secrets: impl IntoIterator<Item = (Box<str>, Box<str>)>) -> Self {
        Self(secrets.into_iter().collect())
    }

    /// The one with this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(AsRef::as_ref)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Outbound {
    /// A GET of this URL, which any 2xx takes; nothing if it is no template of one.
    pub fn get(url: &str) -> Option<Self> {
        use crate::event::template::{Missing, Names, Target};
        let names = Names::with([], []);
        let template = Template::parse(url, Target::Url, &names, Missing::Empty).ok()?;
        Some(Self { site: site_of(url)?, url_text: url.into(), ..Self::plain(template) })
    }

    /// A GET of this URL with no settings but the defaults, no site and no text.
    pub fn plain(url: Template) -> Self {
        Self {
            method: Method::GET,
            url,
            url_text: Box::default(),
            site: Box::default(),
            headers: Box::default(),
            body: Body::None,
            success: Rule::default(),
            patience: Patience::default(),
            timeout: TIMEOUT_DEFAULT,
            keys: Box::default(),
            token: None,
            route: Arc::default(),
        }
    }

    /// How many deliveries go into one request at most.
    pub fn batch_max(&self) -> usize {
        match &self.body {
            Body::Batch(batch) => batch.max,
            Body::None | Body::One { .. } => 1,
        }
    }
}

/// Scheme, host and port of a URL, lower case, the port always said; nothing if it has none.
pub fn site_of(url: &str) -> Option<Box<str>> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let scheme = scheme.to_ascii_lowercase();
    let port = if scheme == "https" { 443 } else { 80 };
    let authority: http::uri::Authority = rest.get(..end)?.to_ascii_lowercase().parse().ok()?;
    let port = authority.port_u16().unwrap_or(port);
    Some(format!("{scheme}://{}:{port}", authority.host()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_the_same_however_it_is_written() {
        for (url, site) in [
            ("https://Ads.Example.net/conv?x=1", "https://ads.example.net:443"),
            ("HTTP://ads.example.net:8080?x", "http://ads.example.net:8080"),
            ("http://[::1]:81/", "http://[::1]:81"),
            ("http://h", "http://h:80"),
        ] {
            assert_eq!(site_of(url).as_deref(), Some(site));
        }
        assert_eq!(site_of("ads.example.net"), None);
    }

    #[test]
    fn no_secret_is_shown() {
        let secrets = Secrets::new([("a".into(), "hidden".into())]);
        let call = TokenSource::Call {
            url: Uri::from_static("https://t.example/"),
            form: vec![("client_secret".to_owned(), "hidden".to_owned())],
        };
        let route = Route { key: b"hidden".to_vec(), ..Route::default() };
        let shown = format!("{secrets:?} {call:?} {route:?}");
        assert!(!shown.contains("hidden") && !shown.contains("104, 105"), "{shown}");
    }
}
