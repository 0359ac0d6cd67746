//! Whether a request was signed by somebody who has the key.
//!
//! In: the query and the body as they came, and where the signature and its time are. Out: yes, or the refusal.
//! Keeps: all keys are tried, and a comparison takes as long whatever is compared.
//! Not here: what is signed and how it is written (`network::Signature`).

use std::fmt::Write;
use std::time::Duration;

use hmac::{Hmac, Mac};
use http::HeaderMap;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::network::{Signature, SignaturePlace};
use crate::apply::claim::Refusal;
use crate::clock::Timestamp;
use crate::event::params::Params;
use crate::event::percent_encoded;

/// Checks a request whose query says `query`.
pub(super) fn check(
    signature: &Signature,
    query: &Params,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(), Refusal> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (given, time, own_name) = match &signature.place {
        SignaturePlace::Param(name) => {
            (query.get_ignore_case(name), query.get_ignore_case(&signature.time), Some(name.as_ref()))
        }
        SignaturePlace::Header(name) => (header(name), header(&signature.time), None),
    };
    let (Some(given), Some(time)) = (given.and_then(digest), time.map(str::trim)) else {
        return Err(Refusal::Signature);
    };
    let signed = canonical(query, own_name);
    let mut is_right = Choice::from(0);
    for key in &signature.keys {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes()) else { continue };
        for part in [time.as_bytes(), b"\n", signed.as_bytes(), b"\n", body] {
            mac.update(part);
        }
        is_right |= mac.finalize().into_bytes().as_slice().ct_eq(&given);
    }
    if !bool::from(is_right) {
        return Err(Refusal::Signature);
    }
    let Ok(time) = time.parse::<u32>().map(Timestamp::from_seconds) else {
        return Err(Refusal::Signature);
    };
    let apart: Duration = now.since(time).max(time.since(now));
    if apart > signature.tolerance { Err(Refusal::Stale) } else { Ok(()) }
}

/// The 32 bytes of 64 hexadecimal digits, perhaps behind `sha256=`.
fn digest(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let hex = text.strip_prefix("sha256=").unwrap_or(text).as_bytes();
    let mut bytes = [0; 32];
    if hex.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}

/// The query without the parameter called `left_out`: pairs in the order of their names and then values, each encoded in
/// the one way that both sides can make.
fn canonical(query: &Params, left_out: Option<&str>) -> String {
    let is_signed = |name: &str| !left_out.is_some_and(|left_out| left_out.eq_ignore_ascii_case(name));
    let mut pairs: Vec<_> = query.iter().filter(|(name, _)| is_signed(name)).collect();
    pairs.sort_unstable();
    let mut text = String::new();
    for (name, value) in pairs {
        let separator = if text.is_empty() { "" } else { "&" };
        let _infallible = write!(text, "{separator}{}={}", percent_encoded(name), percent_encoded(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::network::Secret;
    use super::*;
    use crate::event::hex;
    use crate::event::params::Source;

    const NOW: u32 = 1_795_158_000;

    fn network(place: SignaturePlace) -> Signature {
        Signature {
            keys: vec![Secret::new("old key"), Secret::new("new key")],
            place,
            time: "ts".into(),
            tolerance: Duration::from_secs(300),
        }
    }

    fn sign(key: &str, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        hex(&mac.finalize().into_bytes())
    }

    fn checked(
        signature: &Signature,
        query: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<(), Refusal> {
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(name, value)| {
            map.insert(*name, value.parse().unwrap());
        });
        let query = Params::parse(query.as_bytes(), Source::Query);
        check(signature, &query, &map, body.as_bytes(), Timestamp::from_seconds(NOW))
    }

    #[test]
    fn a_query_is_signed_in_the_order_of_its_names_and_in_one_spelling() {
        let params = Params::parse(b"b=x+y&a=%7e~%2F&SIG=1&a=1&c", Source::Query);
        assert_eq!(canonical(&params, Some("sig")), "a=1&a=~~%2F&b=x%20y&c=");
        assert_eq!(canonical(&Params::default(), None), "");
    }

    #[test]
    fn a_right_signature_by_either_key_is_taken_and_any_other_is_not() {
        let param = network(SignaturePlace::Param("sig".into()));
        let text = format!("{NOW}\ncid=a%20b&ts={NOW}\n{{}}");
        for key in ["old key", "new key"] {
            for prefix in ["", "sha256="] {
                let query = format!("ts={NOW}&sig={prefix}{}&cid=a+b", sign(key, &text));
                assert_eq!(checked(&param, &query, &[], "{}"), Ok(()));
                assert_eq!(checked(&param, &query, &[], "{ }"), Err(Refusal::Signature));
                assert_eq!(checked(&param, &format!("{query}&x=1"), &[], "{}"), Err(Refusal::Signature));
            }
        }
        let wrong = sign("another key", &text);
        for query in [
            format!("ts={NOW}&sig={wrong}&cid=a+b"),
            format!("ts={NOW}&sig={}&cid=a+b", &wrong[1..]),
            format!("ts={NOW}&cid=a+b"),
            format!("sig={wrong}&cid=a+b"),
        ] {
            assert_eq!(checked(&param, &query, &[], "{}"), Err(Refusal::Signature), "{query}");
        }
        let header = network(SignaturePlace::Header("x-signature".into()));
        let signed = sign("new key", &format!("{NOW}\na=1\nbody"));
        let headers = [("x-signature", signed.as_str()), ("ts", &NOW.to_string())];
        assert_eq!(checked(&header, "a=1", &headers, "body"), Ok(()));
        assert_eq!(checked(&header, "a=1", &headers[..1], "body"), Err(Refusal::Signature));
    }

    #[test]
    fn a_right_signature_of_another_time_is_stale() {
        let header = network(SignaturePlace::Header("x-signature".into()));
        for (time, expected) in [
            (NOW - 300, Ok(())),
            (NOW + 300, Ok(())),
            (NOW - 301, Err(Refusal::Stale)),
            (NOW + 301, Err(Refusal::Stale)),
            (0, Err(Refusal::Stale)),
        ] {
            let time = time.to_string();
            let signed = sign("old key", &format!("{time}\n\n"));
            let headers = [("x-signature", signed.as_str()), ("ts", &time)];
            assert_eq!(checked(&header, "", &headers, ""), expected, "{time}");
        }
        let signed = sign("old key", "now\n\n");
        assert_eq!(
            checked(&header, "", &[("x-signature", &signed), ("ts", "now")], ""),
            Err(Refusal::Signature)
        );
    }
}
