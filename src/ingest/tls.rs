//! What an https listener shows: a certificate for each name, and one for whoever asks for no name that it serves.
//!
//! In: certificates with their keys, DER, now and at every reload. Out: for a name, what TLS needs to shake hands.
//! Keeps: TLS 1.2 and 1.3; a swap touches no connection that is there; sessions are resumed, but not where certificates are
//! asked for: what was verified once would hold for half a day.
//! Refuses: a key that belongs to another certificate, a certificate without a name.
//! Not here: files (`config`), the handshake itself (`handshake`).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
    WebPkiClientVerifier,
};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::clock::{Clock, Timestamp};

/// Sessions of TLS 1.2 that are remembered for clients without tickets; the oldest is forgotten.
const SESSIONS_MAX: usize = 10_000;
/// Tickets that a client of TLS 1.3 is given: browsers open two connections at once.
const TICKETS: usize = 2;

/// A certificate with its chain and its key.
#[derive(Debug)]
pub struct Identity {
    origin: Box<str>,
    /// In lower case; the first label may be `*`. Addresses too, as texts.
    names: Vec<Box<str>>,
    starts: Timestamp,
    expires: Timestamp,
    key: Arc<CertifiedKey>,
}

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none.
    #[error("there is no certificate")]
    Missing,
    /// It is none that can be read.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// It is for nobody.
    #[error("the certificate has no subject alternative name: it is good for no name")]
    Nameless,
    /// There is no key, or of no kind that we know. What is wrong with it is not told: that could show some of it.
    #[error("the private key cannot be read: it must be PKCS #8, PKCS #1 or SEC 1")]
    Key,
    /// Two files that do not belong together.
    #[error("the private key does not belong to the certificate")]
    OtherKey,
}

/// Whose certificates are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAuthorities {
    /// Certificates of the authorities, DER.
    pub roots: Vec<Vec<u8>>,
    /// Whether a handshake without one fails.
    pub is_required: bool,
}

/// What one listener shows.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// By the names in them.
    pub identities: Vec<Arc<Identity>>,
    /// For whoever asks for another name, or for none.
    pub default: Option<Arc<Identity>>,
    /// Nobody is asked for one without.
    pub clients: Option<ClientAuthorities>,
}

/// See the module.
pub struct Tls {
    shown: ArcSwap<Shown>,
    clock: Clock,
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

#[derive(Debug, Default)]
struct Shown {
    /// Those for one name in the order of how long they are good, the longest first.
    by_name: HashMap<Box<str>, Vec<Site>>,
    default: Option<Site>,
    /// Each once.
    identities: Vec<Arc<Identity>>,
}

/// An identity, ready to shake hands.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) identity: Arc<Identity>,
    pub(super) config: Arc<ServerConfig>,
}

impl Identity {
    /// From a chain, its own certificate first, and a key. `origin` tells it from others: where it was read.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(origin: &str, chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self, IdentityError> {
        let own = chain.first().ok_or(IdentityError::Missing)?;
        let unreadable = |error: &dyn fmt::Display| IdentityError::Unreadable(error.to_string());
        let read = Certificate::from_der(own).map_err(|error| unreadable(&error))?;
        let names = names(&read).map_err(|error| unreadable(&error))?;
        if names.is_empty() {
            return Err(IdentityError::Nameless);
        }
        let validity = read.tbs_certificate().validity();
        let moment = |time: x509_cert::time::Time| Timestamp::default().plus(time.to_unix_duration());
        let key = PrivateKeyDer::try_from(key).map_err(|_| IdentityError::Key)?;
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => IdentityError::OtherKey,
            Error::InvalidCertificate(error) => unreadable(&error),
            _ => IdentityError::Key,
        })?;
        Ok(Self {
            origin: origin.into(),
            names,
            starts: moment(validity.not_before),
            expires: moment(validity.not_after),
            key: Arc::new(key),
        })
    }

    /// What tells it from others.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The first of its names.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", |name| name)
    }

    /// From when on it is good.
    pub fn starts(&self) -> Timestamp {
        self.starts
    }

    /// Until when it is good.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    fn is_good(&self, now: Timestamp) -> bool {
        self.starts <= now && now < self.expires
    }

    /// Whether it is good for this host.
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix('*') {
            None => name.eq_ignore_ascii_case(host),
            // One label, and not an empty one.
            Some(parent) => {
                host.find('.').is_some_and(|dot| dot > 0 && host[dot..].eq_ignore_ascii_case(parent))
            }
        })
    }
}

fn names(certificate: &Certificate) -> Result<Vec<Box<str>>, x509_cert::der::Error> {
    let extension = certificate.tbs_certificate().get_extension::<SubjectAltName>()?;
    let all = extension.map_or_else(Vec::new, |(_, SubjectAltName(names))| names);
    let texts = all.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase().into()),
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()).map(|address| address.to_string().into()),
        _ => None,
    });
    Ok(texts.collect())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(octets), _) => Some(octets.into()),
        (_, Ok(octets)) => Some(octets.into()),
        _ => None,
    }
}

impl ClientAuthorities {
    /// Whether they can be asked for.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn check(&self) -> Result<(), Error> {
        self.verifier(Arc::new(default_provider())).map(|_| ())
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let mut roots = RootCertStore::empty();
        for der in &self.roots {
            roots.add(CertificateDer::from(der.as_slice()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = if self.is_required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| Error::General(error.to_string()))
    }
}

impl Tls {
    /// What shows these.
    ///
    /// # Errors
    /// An authority of clients cannot be read; there is no chance to make keys of.
    pub fn new(certificates: &Certificates, clock: Clock) -> Result<Self, Error> {
        let tls = Self {
            shown: ArcSwap::default(),
            clock,
            provider: Arc::new(default_provider()),
            tickets: Ticketer::new()?,
            sessions: ServerSessionMemoryCache::new(SESSIONS_MAX),
        };
        tls.show(certificates)?;
        Ok(tls)
    }

    /// Shows these from now on.
    ///
    /// # Errors
    /// An authority of clients cannot be read; then nothing has changed.
    pub fn show(&self, certificates: &Certificates) -> Result<(), Error> {
        let verifier = match &certificates.clients {
            Some(clients) => Some(clients.verifier(Arc::clone(&self.provider))?),
            None => None,
        };
        let mut shown = Shown::default();
        for identity in certificates.identities.iter().chain(&certificates.default) {
            let config = Arc::new(self.config(identity, verifier.clone())?);
            let site = Site { identity: Arc::clone(identity), config };
            for name in &identity.names {
                shown.by_name.entry(name.clone()).or_default().push(site.clone());
            }
            if certificates.default.as_ref().is_some_and(|default| Arc::ptr_eq(default, identity)) {
                shown.default = Some(site);
            }
            shown.identities.push(Arc::clone(identity));
        }
        for sites in shown.by_name.values_mut() {
            sites.sort_by_key(|site| Reverse(site.identity.expires));
        }
        self.shown.store(Arc::new(shown));
        Ok(())
    }

    /// All that somebody may be shown by now, each once: not one beside which there is a better one for each of its names.
    pub fn identities(&self) -> Vec<Arc<Identity>> {
        let (shown, now) = (self.shown.load(), self.clock.now());
        let is_shown = |identity: &Arc<Identity>| {
            let mut names = identity.names.iter().map(|name| Some(&**name)).chain([None]);
            names.any(|name| shown.site(name, now).is_some_and(|site| Arc::ptr_eq(&site.identity, identity)))
        };
        shown.identities.iter().filter(|identity| is_shown(identity)).cloned().collect()
    }

    /// What is shown to whoever asks for this name; nothing if nobody serves it.
    pub(super) fn site(&self, name: Option<&str>) -> Option<Site> {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
        self.shown.load().site(name.as_deref(), self.clock.now()).cloned()
    }

    fn config(
        &self,
        identity: &Identity,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<ServerConfig, Error> {
        let time = Arc::new(Time(self.clock.clone()));
        let builder = ServerConfig::builder_with_details(Arc::clone(&self.provider), time)
            .with_safe_default_protocol_versions()?;
        let asks = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let resolver = SingleCertAndKey::from(CertifiedKey::clone(&identity.key));
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if asks {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            config.session_storage = Arc::clone(&self.sessions);
            config.ticketer = Arc::clone(&self.tickets);
            config.send_tls13_tickets = TICKETS;
        }
        Ok(config)
    }
}

impl Shown {
    /// The best for a name in lower case: one that is good now, with the very name rather than a wildcard, and for long.
    fn site(&self, name: Option<&str>, now: Timestamp) -> Option<&Site> {
        let of = |name: &str| self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        let wildcard = name.and_then(|name| Some(format!("*.{}", name.split_once('.')?.1)));
        let named = || name.map_or(&[][..], of).iter().chain(wildcard.as_deref().map_or(&[][..], of));
        // What has run out says more about what is wrong than that there is nobody by this name.
        named().find(|site| site.identity.is_good(now)).or_else(|| named().next()).or(self.default.as_ref())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("shown", &self.shown.load()).finish_non_exhaustive()
    }
}

/// The injected clock, as TLS asks for the time.
#[derive(Debug)]
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.now().since(Timestamp::default())))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn identity(origin: &str, names: &[&str]) -> Arc<Identity> {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let chain = vec![certificate.der().to_vec()];
        Arc::new(Identity::new(origin, chain, key.serialize_der()).unwrap())
    }

    fn origin(tls: &Tls, name: Option<&str>) -> Option<String> {
        tls.site(name).map(|site| site.identity.origin().to_owned())
    }

    #[test]
    fn a_name_is_shown_the_certificate_that_has_it() {
        let mut certificates = Certificates {
            identities: vec![
                identity("a", &["a.example", "www.a.example"]),
                identity("b", &["*.B.example", "203.0.113.7"]),
            ],
            ..Certificates::default()
        };
        let tls = Tls::new(&certificates, Clock::System).unwrap();
        for (name, expected) in [
            ("a.example", Some("a")),
            ("A.EXAMPLE", Some("a")),
            ("www.a.example", Some("a")),
            ("a.example.", Some("a")),
            ("x.b.example.", Some("b")),
            ("other.a.example", None),
            ("x.b.example", Some("b")),
            ("b.example", None),
            ("y.x.b.example", None),
            ("", None),
        ] {
            assert_eq!(origin(&tls, Some(name)).as_deref(), expected, "{name}");
        }
        assert_eq!(origin(&tls, None), None);
        certificates.default = Some(identity("c", &["c.example"]));
        tls.show(&certificates).unwrap();
        assert_eq!(origin(&tls, Some("b.example")).as_deref(), Some("c"));
        assert_eq!(origin(&tls, None).as_deref(), Some("c"));
        assert_eq!(tls.identities().len(), 3);
    }

    /// Who lays the next certificate beside the one in use, or a wildcard beside what ran out, wants what is good.
    #[test]
    fn of_several_the_one_that_is_good_now_is_shown() {
        let clock = crate::clock::ManualClock::at(Timestamp::from_seconds(1_795_158_000));
        let of = |origin: &str, name: &str, years: [i32; 2]| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            [params.not_before, params.not_after] = years.map(|year| rcgen::date_time_ymd(year, 1, 1));
            let chain = vec![params.self_signed(&key).unwrap().der().to_vec()];
            Arc::new(Identity::new(origin, chain, key.serialize_der()).unwrap())
        };
        let certificates = Certificates {
            identities: vec![
                of("next", "a.example", [2027, 2029]),
                of("now", "a.example", [2026, 2028]),
                of("short", "a.example", [2026, 2027]),
                of("old", "b.example", [2020, 2021]),
                of("wild", "*.example", [2026, 2028]),
                of("alone", "c.test", [2020, 2021]),
            ],
            ..Certificates::default()
        };
        let tls = Tls::new(&certificates, Clock::Manual(clock.clone())).unwrap();
        let shown = |name| origin(&tls, Some(name)).unwrap();
        assert_eq!(["a.example", "b.example", "x.example"].map(shown), ["now", "wild", "wild"]);
        assert_eq!(shown("c.test"), "alone", "what ran out says more than nothing");
        let all = || -> Vec<_> { tls.identities().iter().map(|one| one.origin().to_owned()).collect() };
        assert_eq!(all(), ["now", "wild", "alone"], "what nobody is shown worries nobody");
        clock.advance(std::time::Duration::from_secs(400 * 24 * 3600));
        assert_eq!(shown("a.example"), "next");
        assert_eq!(all(), ["next", "wild", "alone"]);
    }

    #[test]
    fn a_certificate_covers_what_its_names_say() {
        let wild = identity("b", &["*.b.example", "c.example", "203.0.113.7"]);
        for (host, expected) in [
            ("x.B.example", true),
            ("c.example", true),
            ("203.0.113.7", true),
            ("b.example", false),
            (".b.example", false),
            ("y.x.b.example", false),
            ("d.example", false),
            ("", false),
        ] {
            assert_eq!(wild.covers(host), expected, "{host}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let pair = || {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            (params.self_signed(&key).unwrap().der().to_vec(), key.serialize_der())
        };
        let ((certificate, key), (_, other)) = (pair(), pair());
        let said = |chain: Vec<Vec<u8>>, key: &[u8]| {
            Identity::new("x", chain, key.to_vec()).map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(said(Vec::new(), &key), "there is no certificate");
        assert!(said(vec![b"x".to_vec()], &key).starts_with("the certificate cannot be read"));
        assert!(said(vec![certificate.clone()], b"x").starts_with("the private key cannot be read"));
        assert_eq!(said(vec![certificate], &other), "the private key does not belong to the certificate");
        let key = KeyPair::generate().unwrap();
        let nameless = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        assert!(said(vec![nameless.der().to_vec()], &key.serialize_der()).contains("good for no name"));
    }
}
