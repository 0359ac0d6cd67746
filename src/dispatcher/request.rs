//! Requests: what is sent for a delivery, or for several at once.
//!
//! In: how a destination is called, the deliveries, secrets, the moment of the attempt. Out: the request; or the same for
//! a person to see, with `***` for every secret, token and signature.
//! Keeps: it goes where `Outbound::site` says, whatever the values are; a delivery has the same id in every attempt
//! (`Idempotency-Key`, `webhook-id`, `{delivery_id}`), and a batch the hash of those in it, in their order.
//! Refuses: what lacks a value that it must not lack, and what is too long. A delivery that cannot be made is named, so
//! that the others of its batch can go without it.
//! Not here: what is owed (`owed`), sending (`client`).
//!
//! What surrounds the items of a batch, its URL and its headers are no single delivery's: there `{delivery_id}` is the
//! batch's, `{now}`, `{random}` and secrets are what they always are, and nothing else has a value.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::destinations::Destinations;
use super::mask::Mask;
use super::outbound::{Batch, Body, Outbound, Secrets};
use super::sign;
use super::values::{Common, IdText, ItemValues};
use crate::clock::Timestamp;
use crate::event::decision::Decision;
use crate::event::mask::MASK;
use crate::event::money::Money;
use crate::event::template::{Name, RENDERED_BYTES_MAX, RenderError, Template, Values};

/// The most bytes of a batch's body.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

const _: () = assert!(3 * RENDERED_BYTES_MAX < BODY_BYTES_MAX, "a batch of one always fits");

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const WEBHOOK_ID: HeaderName = HeaderName::from_static(sign::ID_HEADER);
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static(sign::TIMESTAMP_HEADER);
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static(sign::SIGNATURE_HEADER);
const AGENT: HeaderValue = HeaderValue::from_static(concat!("clicklog/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One delivery of a request.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// What it tells of.
    pub decision: &'a Decision<'a>,
    /// See `owed::delivery_id`.
    pub delivery_id: [u8; 16],
    /// The payout that it tells, after the cut.
    pub payout: Option<Money>,
}

/// Of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// What `{random}` is.
    pub random: u64,
}

/// Why there is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmade {
    /// Its destination wants a value that the delivery does not have, or a part of it is too long.
    #[error(transparent)]
    Template(#[from] RenderError),
    /// The URL is none that can be called.
    #[error("the URL is none that can be called")]
    Url,
    /// What it would say in this header no header can hold.
    #[error("the header {0} has a value that no header can hold")]
    Header(HeaderName),
    /// The token has characters that no header can hold.
    #[error("the token has characters that no header can hold")]
    Token,
    /// These items of a batch, by their numbers, cannot be made. The others can.
    #[error("{} of the deliveries cannot be made", .0.len())]
    Items(Vec<(usize, RenderError)>),
    /// Only so many of the items of a batch fit into one request, at least one: send those first.
    #[error("only {0} of the deliveries fit")]
    TooMany(usize),
}

/// Makes the request. `items` has one element unless the body is a `Body::Batch`; `token` is the bearer token, if the
/// outbound wants one.
///
/// # Errors
/// Why there is none.
///
/// # Panics
/// Without items, or with more than one for a body that holds one.
pub fn make(
    outbound: &Outbound,
    items: &[Item<'_>],
    secrets: &Secrets,
    token: Option<&str>,
    moment: Moment,
) -> Result<Request<Bytes>, Unmade> {
    let maker = Maker { outbound, secrets, moment, is_shown: false };
    maker.request(items, token)
}

/// A request as a person may see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// GET, POST or PUT.
    pub method: String,
    /// Where to.
    pub url: String,
    /// In no particular order.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

/// What `make` would make, as a person may see it: every secret, token and signature, and what is made with one, is `***`.
/// Nobody need know the token to be shown that there is one.
///
/// # Errors
/// As `make`.
///
/// # Panics
/// As `make`.
pub fn show(
    outbound: &Outbound,
    items: &[Item<'_>],
    secrets: &Secrets,
    token: Option<&str>,
    moment: Moment,
) -> Result<Shown, Unmade> {
    let maker = Maker { outbound, secrets, moment, is_shown: true };
    let is_authorised = token.is_some() || outbound.token.is_some();
    let (head, body) = maker.request(items, is_authorised.then_some(MASK))?.into_parts();
    let (mask, token) = (Mask::new(secrets), token.map(Mask::of_token));
    let text = |bytes: &[u8]| String::from_utf8_lossy(&mask.hide(bytes, token.as_ref())).into_owned();
    let headers = head.headers.iter().map(|(name, value)| {
        let is_secret = matches!(*name, AUTHORIZATION | PROXY_AUTHORIZATION | COOKIE);
        let value = if is_secret { MASK.to_owned() } else { text(value.as_bytes()) };
        (name.as_str().to_owned(), value)
    });
    Ok(Shown {
        method: head.method.to_string(),
        url: text(head.uri.to_string().as_bytes()),
        headers: headers.collect(),
        body: text(&body),
    })
}

/// What a destination would be sent for a decision now, as a person may see it, alone also where it takes batches; nothing if
/// the catalog does not name it any more.
pub fn show_now(
    destinations: &Destinations,
    decision: &Decision<'_>,
    destination: &str,
    moment: Moment,
) -> Option<Result<Shown, Unmade>> {
    let found = destinations.find(decision, destination)?;
    let owed = found.owes(decision);
    let item = Item { decision, delivery_id: found.delivery_id(decision), payout: owed.payout };
    Some(show(&owed.destination.outbound, &[item], &destinations.secrets, None, moment))
}

/// What a request is known by over all its attempts: as its one delivery, or as its batch.
pub fn request_id(items: &[Item<'_>]) -> [u8; 16] {
    if let [only] = items {
        return only.delivery_id;
    }
    let mut hasher = Sha256::new();
    hasher.update(b"clicklog batch 1\0");
    items.iter().for_each(|item| hasher.update(item.delivery_id));
    let mut id = [0; 16];
    id.iter_mut().zip(hasher.finalize()).for_each(|(to, byte)| *to = byte);
    id
}

struct Maker<'a> {
    outbound: &'a Outbound,
    secrets: &'a Secrets,
    moment: Moment,
    is_shown: bool,
}

impl Maker<'_> {
    fn request(&self, items: &[Item<'_>], token: Option<&str>) -> Result<Request<Bytes>, Unmade> {
        assert!(!items.is_empty(), "a request tells of something");
        assert!(
            items.len() <= self.outbound.batch_max(),
            "{} deliveries in a request for {}",
            items.len(),
            self.outbound.batch_max()
        );
        let id = request_id(items);
        let id_text = IdText::of(id);
        let common = Common { id: &id_text, secrets: self.secrets, moment: self.moment };
        let (mut request, body) = match (&self.outbound.body, items) {
            (Body::Batch(batch), _) => (self.head(&common)?, self.batch(batch, items, common)?),
            (body, [item, ..]) => {
                let values = ItemValues::new(item, common, 0);
                (self.head(&values)?, self.one(body, &values)?)
            }
            (_, []) => (Request::default(), Bytes::new()),
        };
        self.add_ours(request.headers_mut(), &id_text, token)?;
        self.add_signature(request.headers_mut(), id, &body);
        Ok(request.map(|()| body))
    }

    fn fill(&self, template: &Template, values: &impl Values, out: &mut Vec<u8>) -> Result<(), RenderError> {
        if self.is_shown { template.show(values, out) } else { template.render(values, out) }
    }

    /// Method, URL, and the headers that the destination says.
    fn head(&self, values: &impl Values) -> Result<Request<()>, Unmade> {
        let mut url = Vec::with_capacity(256);
        self.fill(&self.outbound.url, values, &mut url)?;
        let mut request = Request::new(());
        *request.method_mut() = self.outbound.method.clone();
        *request.uri_mut() = Uri::from_maybe_shared(Bytes::from(url)).map_err(|_| Unmade::Url)?;
        let mut text = Vec::new();
        for (name, template) in &self.outbound.headers {
            text.clear();
            self.fill(template, values, &mut text)?;
            let mut value = HeaderValue::from_bytes(&text).map_err(|_| Unmade::Header(name.clone()))?;
            // So that whoever prints a request, prints no secret.
            value.set_sensitive(template.names().any(|name| matches!(name, Name::Secret(_))));
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }

    /// The body of one delivery.
    fn one(&self, body: &Body, values: &impl Values) -> Result<Bytes, Unmade> {
        let mut bytes = Vec::new();
        if let Body::One { template, .. } = body {
            self.fill(template, values, &mut bytes)?;
        }
        Ok(bytes.into())
    }

    fn batch(&self, batch: &Batch, items: &[Item<'_>], common: Common<'_>) -> Result<Bytes, Unmade> {
        let (mut bytes, mut unmade, mut full) = (Vec::new(), Vec::new(), None);
        self.fill(&batch.before, &common, &mut bytes)?;
        let start = bytes.len();
        // What is behind them may be as long as any template may become.
        let end_max = BODY_BYTES_MAX - RENDERED_BYTES_MAX;
        for ((number, item), nth) in items.iter().enumerate().zip(0..) {
            let before = bytes.len();
            if before > start {
                bytes.push(b',');
            }
            if let Err(why) = self.fill(&batch.item, &ItemValues::new(item, common, nth), &mut bytes) {
                bytes.truncate(before);
                unmade.push((number, why));
            }
            if bytes.len() > end_max {
                full = Some(number);
                break;
            }
        }
        match full {
            _ if !unmade.is_empty() => return Err(Unmade::Items(unmade)),
            Some(count) => return Err(Unmade::TooMany(count)),
            None => {}
        }
        self.fill(&batch.after, &common, &mut bytes)?;
        Ok(bytes.into())
    }

    /// What is said with every request, unless the destination says it itself.
    fn add_ours(&self, headers: &mut HeaderMap, id: &IdText, token: Option<&str>) -> Result<(), Unmade> {
        let unfit = |name: HeaderName| move |_| Unmade::Header(name);
        headers.entry(USER_AGENT).or_insert(AGENT);
        headers.entry(ACCEPT).or_insert(ANYTHING);
        let id = HeaderValue::from_str(id.as_str()).map_err(unfit(IDEMPOTENCY_KEY))?;
        headers.entry(IDEMPOTENCY_KEY).or_insert(id);
        let content_type = match &self.outbound.body {
            Body::None => None,
            Body::One { content_type, .. } => {
                Some(HeaderValue::from_str(content_type).map_err(unfit(CONTENT_TYPE))?)
            }
            Body::Batch(_) => Some(JSON),
        };
        if let Some(content_type) = content_type {
            headers.entry(CONTENT_TYPE).or_insert(content_type);
        }
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Unmade::Token)?;
            value.set_sensitive(true);
            headers.entry(AUTHORIZATION).or_insert(value);
        }
        Ok(())
    }

    fn add_signature(&self, headers: &mut HeaderMap, id: [u8; 16], body: &[u8]) {
        if self.outbound.keys.is_empty() {
            return;
        }
        let mut signed = sign::sign(&self.outbound.keys, id, self.moment.now, body);
        if self.is_shown {
            MASK.clone_into(&mut signed.signature);
        }
        let ours = [
            (WEBHOOK_ID, signed.id),
            (WEBHOOK_TIMESTAMP, signed.timestamp),
            (WEBHOOK_SIGNATURE, signed.signature),
        ];
        for (name, value) in ours {
            // Digits, letters and base64: every header can hold them.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.entry(name).or_insert(value);
            }
        }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
