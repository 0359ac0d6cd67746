//! One order: a certificate for one name, whose control is shown in one way.
//!
//! In: an account, a name, a way. Out: chain and key, PEM; or why not.
//! Keeps: what the authority is to find is there before it is told to look, and gone when this ends; a certificate that is
//! not good for the name, or not now, is refused.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::ingest::{Challenges, Identity, Posted};

/// How long an authority may take to look at a name, and to make a certificate.
const PATIENCE: Duration = Duration::from_secs(90);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The authority cannot be called.
    #[error("the authority cannot be called: {0}")]
    Unreachable(String),
    /// It says no.
    #[error("the authority says: {detail} ({kind})")]
    Refused {
        /// A URN (RFC 8555, 6.7).
        kind: String,
        /// In its own words.
        detail: String,
    },
    /// It has looked, and is not convinced.
    #[error("{way}: {why}")]
    Challenge {
        /// How it looked.
        way: &'static str,
        /// What it says.
        why: String,
    },
    /// It was not convinced in any way.
    #[error(
        "the authority did not find us behind {name}: {refused}. Its records in DNS must lead here, and ports 443 and 80 be \
         open to the world"
    )]
    Unconvinced {
        /// Whose name that is.
        name: String,
        /// What it says, by way.
        refused: String,
    },
    /// What it gave is of no use.
    #[error("the authority gave something else than was asked for: {0}")]
    Unusable(String),
    /// It cannot be kept.
    #[error("it cannot be kept: {0}")]
    Kept(String),
}

impl From<Error> for OrderError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::Refused {
                detail: problem.detail.unwrap_or_else(|| "no more than this".to_owned()),
                kind: problem.r#type.unwrap_or_else(|| "about:blank".to_owned()),
            },
            error => Self::Unreachable(error.to_string()),
        }
    }
}

impl From<rcgen::Error> for OrderError {
    fn from(error: rcgen::Error) -> Self {
        Self::Unusable(error.to_string())
    }
}

fn label(way: &ChallengeType) -> &'static str {
    match way {
        ChallengeType::Http01 => "http-01",
        ChallengeType::TlsAlpn01 => "tls-alpn-01",
        _ => "another way",
    }
}

/// Asks for a certificate.
pub(super) async fn certificate(
    account: &Account,
    name: &str,
    way: &ChallengeType,
    challenges: &Challenges,
) -> Result<String, OrderError> {
    let identifiers = [Identifier::Dns(name.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let mut posted = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // What it has seen lately it does not look at again.
        if authorization.status != AuthorizationStatus::Valid {
            posted.push(answer(&mut authorization, name, way, challenges).await?);
        }
    }
    let patience = RetryPolicy::new().timeout(PATIENCE);
    let seen = order.poll_ready(&patience).await;
    drop(posted);
    match seen {
        Ok(OrderStatus::Ready) => {}
        Ok(_) | Err(Error::Api(_)) => return Err(unconvinced(&mut order, way).await),
        Err(error) => return Err(error.into()),
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&patience).await?;
    check(name, &chain, &key)?;
    Ok(format!("{}\n{}", chain.trim_end(), key.serialize_pem()))
}

/// Has the authority look, with what it is to find in its place.
async fn answer<'a>(
    authorization: &'a mut AuthorizationHandle<'a>,
    name: &str,
    way: &ChallengeType,
    challenges: &Challenges,
) -> Result<Posted, OrderError> {
    let no = |why: &str| OrderError::Challenge { way: label(way), why: why.to_owned() };
    if authorization.status != AuthorizationStatus::Pending {
        return Err(no("the authority does not want to look at it now"));
    }
    let mut challenge =
        authorization.challenge(way.clone()).ok_or_else(|| no("the authority does not offer it"))?;
    let wanted = challenge.key_authorization();
    let posted = match way {
        ChallengeType::Http01 => challenges.over_http(&challenge.token, wanted.as_str()),
        _ => {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new([name.to_owned()])?;
            params.custom_extensions = vec![CustomExtension::new_acme_identifier(wanted.digest().as_ref())];
            let certificate = params.self_signed(&key)?.der().to_vec();
            let posted = challenges.over_tls(name, certificate, key.serialize_der());
            posted.map_err(|error| no(&error.to_string()))?
        }
    };
    challenge.set_ready().await?;
    Ok(posted)
}

/// What the authority did not like.
async fn unconvinced(order: &mut Order, way: &ChallengeType) -> OrderError {
    let mut why = "the authority does not say why".to_owned();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(mut authorization) = authorization else { continue };
        let Ok(state) = authorization.refresh().await else { continue };
        let said = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(detail) = said.and_then(|problem| problem.detail.clone()) {
            why = detail;
        }
    }
    OrderError::Challenge { way: label(way), why }
}

/// Whether that is a certificate for this name with this key.
fn check(name: &str, chain: &str, key: &KeyPair) -> Result<(), OrderError> {
    let unusable = |what: String| OrderError::Unusable(what);
    let der = CertificateDer::pem_slice_iter(chain.as_bytes());
    let der: Result<Vec<_>, _> = der.map(|one| one.map(|one| one.as_ref().to_vec())).collect();
    let der = der.map_err(|error| unusable(format!("no PEM: {error}")))?;
    let identity = Identity::new(name, der, key.serialize_der());
    let identity = identity.map_err(|error| unusable(error.to_string()))?;
    if identity.covers(name) { Ok(()) } else { Err(unusable(format!("it is for {}", identity.name()))) }
}
