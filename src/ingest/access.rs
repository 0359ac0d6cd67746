//! Whether a caller is who it says: by certificate, by secret, by signature, by address.
//!
//! In: a request, and what its network asks for. Out: yes, or the first refusal in the order of the checks: https, pixels,
//! certificate, secret, signature, address.
//! Keeps: every secret that is shown is compared with every one that is right, and a comparison takes as long whatever is
//! compared; lengths are hidden too, because hashes are compared.
//! Not here: which network it is (`doors`), how often it may call (`rate`).

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::network::{Access, DoorKind, Network};
use super::signature;
use super::visit::Visit;
use crate::apply::claim::Refusal;
use crate::event::params::Params;

/// Where a caller may show a secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    /// Of the query and of the body.
    pub(super) params: &'a [&'a Params],
    pub(super) headers: &'a HeaderMap,
    /// What stands where the path has it.
    pub(super) segment: Option<&'a str>,
}

/// How far the checks have come, for whoever tests.
pub(super) type Passed = Vec<(&'static str, String)>;

/// Checks a request whose query says `query`. What it has passed is added to `passed`.
pub(super) fn check(
    network: &Network,
    kind: DoorKind,
    visit: &Visit<'_>,
    shown: Shown<'_>,
    (query, body): (&Params, &[u8]),
    passed: &mut Passed,
) -> Result<(), Refusal> {
    let access = &network.access;
    if access.requires_https && !visit.is_https {
        return Err(Refusal::RequireHttps);
    }
    if kind != DoorKind::Postback {
        // A browser calls: it knows no secret, and its address is the visitor's.
        return if access.takes_pixels { Ok(()) } else { Err(Refusal::Pixel) };
    }
    if access.requires_client_certificate {
        if !visit.has_client_certificate {
            return Err(Refusal::ClientCertificate);
        }
        passed.push(("client certificate", "shown".to_owned()));
    }
    match is_shown(access, shown) {
        Some(false) => return Err(Refusal::Secret),
        Some(true) => passed.push(("secret", "right".to_owned())),
        None => passed.push(("secret", "none is asked for".to_owned())),
    }
    if let Some(asked) = &access.signature {
        signature::check(asked, query, visit.headers(), body, visit.time)?;
        passed.push(("signature", "right".to_owned()));
    }
    if !access.allow.is_empty() {
        if !access.allow.iter().any(|net| net.contains(&visit.address)) {
            return Err(Refusal::Address);
        }
        passed.push(("address", format!("{} is on the list", visit.address)));
    }
    Ok(())
}

/// Whether a right secret is shown; nothing if none is asked for.
pub(super) fn is_shown(access: &Access, shown: Shown<'_>) -> Option<bool> {
    if access.secrets.is_empty() {
        return None;
    }
    let mut is_right = Choice::from(0);
    let mut compare = |given: &[u8]| {
        let given = Sha256::digest(given);
        for secret in &access.secrets {
            is_right |= given.as_slice().ct_eq(Sha256::digest(secret.reveal().as_bytes()).as_slice());
        }
    };
    if let Some(segment) = shown.segment {
        compare(&percent_decode_str(segment).collect::<Vec<u8>>());
    }
    for name in &access.secret_params {
        let given = shown.params.iter().filter_map(|params| params.get_ignore_case(name));
        given.for_each(|given| compare(given.as_bytes()));
    }
    for name in &access.secret_headers {
        for value in shown.headers.get_all(name.as_ref()) {
            compare(bare(value.as_bytes()));
        }
    }
    Some(is_right.into())
}

/// Without `Bearer `.
fn bare(value: &[u8]) -> &[u8] {
    match value.split_at_checked("Bearer ".len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"Bearer ") => rest.trim_ascii(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::Secret;
    use super::*;
    use crate::event::params::Source;

    fn shows(query: &str, headers: &[(&'static str, &str)], segment: Option<&str>) -> Option<bool> {
        let access = Access {
            secrets: vec![Secret::new("first secret"), Secret::new("2nd")],
            secret_params: vec!["secret".into(), "token".into()],
            secret_headers: vec!["authorization".into(), "X-Secret".into()],
            ..Access::default()
        };
        let params = Params::parse(query.as_bytes(), Source::Query);
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(name, value)| {
            map.append(*name, value.parse().unwrap());
        });
        is_shown(&access, Shown { params: &[&params], headers: &map, segment })
    }

    #[test]
    fn either_secret_is_right_in_any_of_its_places() {
        for secret in ["first secret", "2nd"] {
            let encoded = secret.replace(' ', "%20");
            assert_eq!(shows(&format!("a=1&SECRET={encoded}"), &[], None), Some(true));
            assert_eq!(shows(&format!("token={encoded}&secret=wrong"), &[], None), Some(true));
            assert_eq!(shows("", &[("authorization", &format!("bearer  {secret}"))], None), Some(true));
            assert_eq!(shows("", &[("authorization", secret)], None), Some(true));
            assert_eq!(shows("", &[("x-secret", secret)], None), Some(true));
            assert_eq!(shows("", &[], Some(&encoded)), Some(true));
        }
    }

    #[test]
    fn anything_else_is_wrong_or_missing() {
        for secret in ["", "first", "first secret ", "First secret", "2n", "2nd2nd"] {
            let encoded = secret.replace(' ', "%20");
            assert_eq!(
                shows(&format!("secret={encoded}"), &[("x-secret", secret)], Some(&encoded)),
                Some(false)
            );
        }
        assert_eq!(shows("other=2nd", &[("x-other", "2nd")], None), Some(false));
        let open = Access::default();
        let map = HeaderMap::new();
        assert_eq!(is_shown(&open, Shown { params: &[], headers: &map, segment: None }), None);
    }
}
