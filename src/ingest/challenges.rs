//! Answers to an authority that asks whether a name is ours, before it gives a certificate for it.
//!
//! In: what an authority that was asked for a certificate wants to find (`serve::acme`). Out: it, to whoever asks: over HTTP
//! at a path (RFC 8555, 8.3), over TLS in a certificate for this purpose (RFC 8737). All listeners answer.
//! Keeps: an answer is there as long as its `Posted`, and each of them was made for one name that was configured.
//! Not here: what authorities are asked for, and when.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{Error, ServerConfig};

/// What an authority speaks, and nobody else (RFC 8737, 6.2).
pub(super) const ALPN: &[u8] = b"acme-tls/1";

/// See the module. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Challenges(Arc<Board>);

#[derive(Debug, Default)]
struct Board {
    held: Mutex<Held>,
    answered_http: AtomicU64,
    answered_tls: AtomicU64,
}

#[derive(Default)]
struct Held {
    /// By token.
    http: HashMap<Box<str>, Box<str>>,
    /// By name.
    tls: HashMap<Box<str>, Arc<ServerConfig>>,
}

/// An answer that is there until this is dropped.
#[derive(Debug)]
pub struct Posted {
    board: Arc<Board>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Http(Box<str>),
    Tls(Box<str>),
}

impl Challenges {
    /// Answers this text at `/.well-known/acme-challenge/TOKEN`.
    pub fn over_http(&self, token: &str, text: &str) -> Posted {
        self.0.held().http.insert(token.into(), text.into());
        Posted { board: Arc::clone(&self.0), place: Place::Http(token.into()) }
    }

    /// Shows this certificate, DER, to an authority that asks for this name.
    ///
    /// # Errors
    /// They cannot be shown.
    pub fn over_tls(&self, name: &str, certificate: Vec<u8>, key: Vec<u8>) -> Result<Posted, Error> {
        let key = PrivateKeyDer::try_from(key).map_err(|what| Error::General(what.to_owned()))?;
        let provider = default_provider();
        let key = provider.key_provider.load_private_key(key)?;
        // Unchecked: the library does not know the extension that this certificate is for, which is critical.
        let shown = CertifiedKey::new(vec![CertificateDer::from(certificate)], key);
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        let name: Box<str> = name.to_ascii_lowercase().into();
        self.0.held().tls.insert(name.clone(), Arc::new(config));
        Ok(Posted { board: Arc::clone(&self.0), place: Place::Tls(name) })
    }

    /// How often an authority was answered, over HTTP and over TLS.
    pub fn answered(&self) -> [(&'static str, u64); 2] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("http-01", read(&self.0.answered_http)), ("tls-alpn-01", read(&self.0.answered_tls))]
    }

    /// What is answered for this token, if anything is.
    pub(super) fn for_token(&self, token: &str) -> Option<Box<str>> {
        let found = self.0.held().http.get(token).cloned();
        if found.is_some() {
            self.0.answered_http.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// How to shake hands with an authority that asks for this name, if one is to ask.
    pub(super) fn for_name(&self, name: &str) -> Option<Arc<ServerConfig>> {
        self.0.held().tls.get(name.to_ascii_lowercase().as_str()).cloned()
    }

    /// An authority has seen what it asked for.
    pub(super) fn note_seen(&self) {
        self.0.answered_tls.fetch_add(1, Ordering::Relaxed);
    }
}

impl Board {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        let mut held = self.board.held();
        match &self.place {
            Place::Http(token) => drop(held.http.remove(token)),
            Place::Tls(name) => drop(held.tls.remove(name)),
        }
    }
}

/// Without what is answered.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("http", &self.http.len())
            .field("tls", &self.tls.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, KeyPair};

    use super::*;

    #[test]
    fn an_answer_is_there_as_long_as_somebody_waits_for_the_authority() {
        let challenges = Challenges::default();
        assert_eq!(challenges.for_token("t"), None);
        let posted = challenges.over_http("t", "t.thumb");
        assert_eq!(challenges.for_token("t").as_deref(), Some("t.thumb"));
        assert_eq!(challenges.for_token("other"), None);
        drop(posted);
        assert_eq!(challenges.for_token("t"), None);
        assert_eq!(challenges.answered()[0], ("http-01", 1));
    }

    #[test]
    fn a_name_is_shown_in_any_case_of_its_letters() {
        let challenges = Challenges::default();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["trk.example".to_owned()]).unwrap();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(&[7; 32])];
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        let posted = challenges.over_tls("TRK.example", certificate.clone(), key.serialize_der()).unwrap();
        assert!(challenges.for_name("trk.EXAMPLE").is_some() && challenges.for_name("example").is_none());
        assert!(challenges.over_tls("x.example", certificate, b"no key".to_vec()).is_err());
        drop(posted);
        assert!(challenges.for_name("trk.example").is_none());
    }
}
