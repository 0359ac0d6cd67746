//! TLS: whom a route believes, and as whom we appear.
//!
//! In: the roots of the machine (or, where it has none, Mozilla's), those of the settings, and what a route has besides.
//! Out: one configuration for each profile, shared by all routes that have it: a list of authorities is large.
//! Keeps: TLS 1.2 and 1.3; sessions are resumed; HTTP/2 is offered only where the route asks for it.
//! Not here: the handshake itself (`connect`).

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;

use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{AlertDescription, ClientConfig, Error, RootCertStore};

use super::ClientError;
use crate::dispatcher::outbound::Route;

/// How many sessions a profile keeps, to resume them.
const SESSIONS_MAX: usize = 1_024;

/// The profiles in use.
pub(super) struct Profiles {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    /// By routes without what TLS does not ask for.
    made: HashMap<Route, Arc<ClientConfig>>,
}

impl Profiles {
    /// None yet. `further` are believed besides those of the machine.
    pub(super) fn new(further: &[Vec<u8>]) -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        // What cannot be read of the machine's is left out: distributions ship certificates that nobody can.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        add(&mut roots, further)?;
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        Ok(Self { provider, roots: Arc::new(roots), made: HashMap::new() })
    }

    /// The configuration of a route.
    pub(super) fn of(&mut self, route: &Route) -> Result<Arc<ClientConfig>, ClientError> {
        let profile = Route { allow: Vec::new(), proxy: None, ..route.clone() };
        if let Some(config) = self.made.get(&profile) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make(&profile)?);
        self.made.insert(profile, Arc::clone(&config));
        Ok(config)
    }

    /// Gives up what no route has any more.
    pub(super) fn forget_unused(&mut self) {
        self.made.retain(|_, config| Arc::strong_count(config) > 1);
    }

    fn make(&self, profile: &Route) -> Result<ClientConfig, ClientError> {
        let mut roots = Arc::clone(&self.roots);
        if !profile.roots.is_empty() {
            add(Arc::make_mut(&mut roots), &profile.roots)?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(ClientError::Tls)?
            .with_root_certificates(roots);
        let mut config = if profile.certificates.is_empty() {
            builder.with_no_client_auth()
        } else {
            let chain = profile.certificates.iter().cloned().map(CertificateDer::from).collect();
            let key = PrivateKeyDer::try_from(profile.key.clone())
                .map_err(|what| ClientError::Certificate(Error::General(what.to_owned())))?;
            builder.with_client_auth_cert(chain, key).map_err(ClientError::Certificate)?
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let protocols: &[&[u8]] = if profile.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

fn add(roots: &mut RootCertStore, certificates: &[Vec<u8>]) -> Result<(), ClientError> {
    for (index, der) in certificates.iter().enumerate() {
        roots
            .add(CertificateDer::from(der.as_slice()))
            .map_err(|source| ClientError::Root { index, source })?;
    }
    Ok(())
}

/// Whether an error, or what caused it, is the other side's refusal of whom we appear as. In TLS 1.3 it comes when we have
/// long begun to send, but nobody has read that: its handshake never came to an end.
pub(super) fn is_refusal(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| {
        let alert = match cause.downcast_ref::<Error>() {
            Some(Error::AlertReceived(alert)) => alert,
            _ => return false,
        };
        matches!(
            alert,
            AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError
                | AlertDescription::HandshakeFailure
        )
    })
}

/// An error and what caused it. What an `io::Error` was made of is among it, which its own `source` leaves out.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| cause_of(*error))
}

fn cause_of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
