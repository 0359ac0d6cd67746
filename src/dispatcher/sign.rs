//! Signatures of deliveries, as the Standard Webhooks specification (1.0.0) has them: `v1`, HMAC-SHA256.
//!
//! In: a delivery's id, the time of the attempt, the body as it is sent. Out: the values of `webhook-id`,
//! `webhook-timestamp` and `webhook-signature`.
//! Keeps: a key is never shown. While keys are changed, both sign, so that the receiver may change at any time between.
//! Refuses: keys of other lengths than the specification allows; ids with a full stop, which would let one request be
//! read as another.
//! Not here: `v1a` (ed25519), for which the tree has no dependency.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::clock::Timestamp;
use crate::event::hex;

/// Names of the headers, lower case as HTTP/2 wants them.
pub const ID_HEADER: &str = "webhook-id";
/// See `ID_HEADER`.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// See `ID_HEADER`.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// The fewest bytes of a key.
pub const KEY_BYTES_MIN: usize = 24;

/// The most bytes of a key.
pub const KEY_BYTES_MAX: usize = 64;

/// The most keys that sign at once.
pub const KEYS_MAX: usize = 2;

/// A key that is shared with a receiver. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Box<[u8]>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not base64.
    #[error("the signing secret is not base64 behind whsec_")]
    Form,
    /// It is too short to be safe, or longer than receivers take.
    #[error("the signing secret has {0} bytes: must be {KEY_BYTES_MIN} to {KEY_BYTES_MAX}")]
    Length(usize),
}

impl Key {
    /// Reads `whsec_` and base64; the prefix may be missing.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix("whsec_").unwrap_or(text);
        let bytes = STANDARD.decode(encoded).map_err(|_| KeyError::Form)?;
        match bytes.len() {
            KEY_BYTES_MIN..=KEY_BYTES_MAX => Ok(Self(bytes.into())),
            length => Err(KeyError::Length(length)),
        }
    }
}

/// The values of the three headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Of `webhook-id`.
    pub id: String,
    /// Of `webhook-timestamp`: of this attempt, in Unix seconds.
    pub timestamp: String,
    /// Of `webhook-signature`: one for each key, with blanks between.
    pub signature: String,
}

/// Signs a request. With more than `KEYS_MAX` keys the first ones do.
pub fn sign(keys: &[Key], delivery_id: [u8; 16], attempted: Timestamp, body: &[u8]) -> Signed {
    let (id, timestamp) = (hex(&delivery_id), attempted.seconds().to_string());
    let one = |key: &Key| signature(key, &id, &timestamp, body);
    let signature = keys.iter().take(KEYS_MAX).filter_map(one).collect::<Vec<_>>().join(" ");
    Signed { id, timestamp, signature }
}

/// Nothing for an id with a full stop, which is what stands between the parts.
fn signature(key: &Key, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    if id.contains('.') {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).ok()?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The vector that the libraries of the specification share.
    #[test]
    fn the_specifications_vector_is_signed_as_it_says() {
        let (id, timestamp) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
        let key = Key::parse(SECRET).unwrap();
        let signed = signature(&key, id, timestamp, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    /// The content of the specification's example, signed by another implementation (Python's `hmac`).
    #[test]
    fn the_specifications_example_is_signed_as_elsewhere() {
        let body = concat!(
            r#"{"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z","#,
            r#""data":{"id":"1f81eb52-5198-4599-803e-771906343485"}}"#
        );
        let of = |secret| {
            let key = Key::parse(secret).unwrap();
            signature(&key, "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", "1674087231", body.as_bytes()).unwrap()
        };
        assert_eq!(of(SECRET), "v1,ARw42xaAApl/nxRo+iPGYwSaMQaOwMo2eyH5JBRA+bQ=");
        let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        assert_eq!(of(other), "v1,Inw/unYkpAh6Njpdz4O+hnN82xYMXQ6NjnZIQN/mzIQ=");
    }

    #[test]
    fn while_keys_are_changed_both_sign_the_same_request() {
        let (old, new) = (Key::parse(SECRET).unwrap(), Key::parse(&STANDARD.encode([7; 32])).unwrap());
        let at = Timestamp::from_seconds(1_614_265_330);
        let signed = sign(&[new.clone(), old.clone()], [0xab; 16], at, b"body");
        let id = "ab".repeat(16);
        assert_eq!((&signed.id, signed.timestamp.as_str()), (&id, "1614265330"));
        let both = [new, old].map(|key| signature(&key, &id, "1614265330", b"body").unwrap()).join(" ");
        assert_eq!(signed.signature, both);
    }

    #[test]
    fn a_retry_keeps_its_id_and_has_a_time_and_a_signature_of_its_own() {
        let keys = [Key::parse(SECRET).unwrap()];
        let of = |seconds| sign(&keys, [1; 16], Timestamp::from_seconds(seconds), b"{}");
        assert_eq!(of(1).id, of(2).id);
        assert_ne!(of(1).signature, of(2).signature);
    }

    #[test]
    fn what_is_no_key_is_refused_and_no_key_is_shown() {
        assert_eq!(Key::parse("whsec_?"), Err(KeyError::Form));
        for length in [0, KEY_BYTES_MIN - 1, KEY_BYTES_MAX + 1] {
            assert_eq!(Key::parse(&STANDARD.encode(vec![1; length])), Err(KeyError::Length(length)));
        }
        assert_eq!(format!("{:?}", Key::parse(SECRET).unwrap()), "Key(***)");
        let key = Key::parse(SECRET).unwrap();
        assert_eq!(signature(&key, "a.b", "1", b""), None, "it could be read as another id and time");
    }
}
