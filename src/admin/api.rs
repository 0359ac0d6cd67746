//! What operators' programs send to `/api/`, and how they are told what came of it.
//!
//! In: bodies and queries. Out: what they ask for, in types; refusals as JSON.
//! Refuses: bodies that are too long or too slow; keys that are not known.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::clock::Timestamp;
use crate::event::params::{Params, Source};
use crate::store::Position;

/// Bytes of a body.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a body that names deliveries.
pub(super) const DELIVERIES_BYTES_MAX: usize = 512 * 1024;
/// Deliveries that are named at once.
pub(super) const DELIVERIES_MAX: usize = 1_000;
/// Bytes of a body that brings clicks.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// JSON, or why there is none.
pub type ApiResult = Result<String, ApiError>;

/// Why something was not done, for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// It is not understood: 400.
    #[error("{0}")]
    Bad(String),
    /// It is about something that is not there: 404.
    #[error("{0}")]
    Unknown(String),
    /// Things do not stand so that it could be done: 409.
    #[error("{0}")]
    Conflict(String),
    /// It cannot be done now: 503.
    #[error("{0}")]
    Unavailable(String),
}

impl ApiError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::json!({ "error": self.to_string() }).to_string()
    }
}

/// A made-up postback.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostbackTest {
    /// Of this network.
    pub network: String,
    /// About this click; without one about none.
    #[serde(default)]
    pub click: Option<String>,
    /// Only worked out: nothing is kept.
    #[serde(default)]
    pub dry_run: bool,
    /// Further parameters, as the network would send them.
    #[serde(default)]
    pub params: Vec<(String, String)>,
}

/// Which postbacks are decided on once more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Of this network.
    pub network: String,
    /// Not before this.
    #[serde(default, deserialize_with = "moment")]
    pub from: Option<Timestamp>,
    /// Not after this.
    #[serde(default, deserialize_with = "moment")]
    pub to: Option<Timestamp>,
    /// Only shown, not done.
    #[serde(default)]
    pub dry_run: bool,
}

/// A destination to which nothing is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Its id.
    pub destination: String,
    /// Why, for whoever looks later.
    #[serde(default)]
    pub why: Option<String>,
}

/// The destination that is named, as `{"destination": "propeller-s2s"}`.
pub(super) fn destination(body: &[u8]) -> Result<String, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        destination: String,
    }
    parse::<Named>(body).map(|named| named.destination)
}

/// Deliveries, each as `{"destination": "propeller-s2s", "decision": "7:4096"}` in `{"deliveries": […]}`.
pub(super) fn deliveries(body: &[u8]) -> Result<Vec<(String, Position)>, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Delivery {
        destination: String,
        decision: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Deliveries {
        deliveries: Vec<Delivery>,
    }
    let Deliveries { deliveries } = parse(body)?;
    if deliveries.len() > DELIVERIES_MAX {
        return Err(ApiError::Bad(format!("no more than {DELIVERIES_MAX} deliveries at once")));
    }
    let read = |Delivery { destination, decision }| {
        let at = position(&decision)?;
        Ok((destination, at))
    };
    deliveries.into_iter().map(read).collect()
}

fn position(text: &str) -> Result<Position, ApiError> {
    text.parse().map_err(|error| ApiError::Bad(format!("{text:?}: {error}")))
}

fn moment<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

/// Reads a body of JSON.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::Bad(format!("the body cannot be read: {error}")))
}

/// The decision that holds a payout, as `{"decision": "7:4096"}`.
pub(super) fn held(body: &[u8]) -> Result<Position, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Held {
        decision: String,
    }
    let held: Held = parse(body)?;
    position(&held.decision)
}

/// The network that a query names; empty for none.
pub(super) fn network(query: &str) -> String {
    value(query, "network")
}

/// What a query gives for a name; empty for nothing.
pub(super) fn value(query: &str, name: &str) -> String {
    Params::parse(query.as_bytes(), Source::Query).get(name).unwrap_or_default().to_owned()
}

/// What was sent behind a head.
pub(super) enum Body {
    Whole(Bytes),
    Refused(StatusCode),
}

/// Reads a body of at most so many bytes; of none, it is left where it is.
pub(super) async fn body(incoming: Incoming, bytes_max: usize) -> Body {
    if bytes_max == 0 {
        return Body::Whole(Bytes::new());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(incoming, bytes_max).collect()).await {
        Ok(Ok(whole)) => Body::Whole(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Body::Refused(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_broken_off)) => Body::Refused(StatusCode::BAD_REQUEST),
        Err(_late) => Body::Refused(StatusCode::REQUEST_TIMEOUT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_anything_else_is_refused_by_name() {
        assert_eq!(held(br#"{"decision":"7:4096"}"#), Ok(Position::new(7, 4096)));
        assert_eq!(network("a=1&network=rev%20boost"), "rev boost");
        assert_eq!(network(""), "");
        let replay: Replay = parse(br#"{"network":"n","from":"2026-11-20T07:00:00Z"}"#).unwrap();
        assert_eq!(replay.from.map(Timestamp::seconds), Some(1_795_158_000));
        let test: PostbackTest = parse(br#"{"network":"n","params":[["payout","1"]]}"#).unwrap();
        assert_eq!((test.click, test.dry_run, test.params.len()), (None, false, 1));
        let refused = |error: ApiError| (error.status().as_u16(), error.to_json());
        for (error, part) in [
            (held(b"").unwrap_err(), "cannot be read"),
            (held(br#"{"decision":"x"}"#).unwrap_err(), "not a position"),
            (held(br#"{"decision":"7:4096","all":true}"#).unwrap_err(), "unknown field `all`"),
            (parse::<Replay>(br#"{"network":"n","from":"now"}"#).unwrap_err(), "not a date and a time"),
            (parse::<Replay>(b"{}").unwrap_err(), "missing field `network`"),
        ] {
            let (status, json) = refused(error);
            assert_eq!(status, 400);
            assert!(json.contains(part), "{json}");
        }
    }
}
