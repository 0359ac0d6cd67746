//! Over which kind of connection a destination is reached, and what it is shown there: addresses, certificates, proxies,
//! tokens.
//!
//! In: the keys of a postback that say so, and what the settings say for all. Out: a `Route`, the same one for equal ones;
//! a `TokenSource`.
//! Keeps: a file is read once for all that name it, and neither a key nor a secret is shown.
//! Refuses: addresses that are not public where they are written in a URL and not allowed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Uri;
use ipnet::IpNet;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use toml::Spanned;

use super::checks::Checks;
use super::file::Text;
use super::postback::{Grant, Oauth, Postback};
use super::problem::{Problem, Problems};
use super::profiles::bound;
use super::secret::{Environment, SecretRef};
use super::settings::Dispatcher;
use super::value::Value;
use crate::dispatcher::guard;
use crate::dispatcher::host::{Host, host_of};
use crate::dispatcher::outbound::{Route, TokenSource, site_of};

/// Bytes of a PEM file.
const PEM_BYTES_MAX: u64 = 4 << 20;
/// What a proxy looks like.
const PROXY: &str = "must be a proxy like \"http://proxy.example:3128\"";

/// What holds for all destinations that say nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// The proxy that is asked for connections.
    pub proxy: Option<Uri>,
    /// Certificates of further authorities that are believed, DER.
    pub roots: Vec<Vec<u8>>,
}

impl Egress {
    /// What the settings say.
    ///
    /// # Errors
    /// The proxy is none, or the file cannot be read.
    pub fn of(settings: &Dispatcher) -> Result<Self, Problems> {
        let proxy = match settings.proxy.as_str() {
            "" => None,
            text => Some(proxy_uri(text).ok_or_else(|| {
                Problem::at("dispatcher.proxy", format!("\"{text}\" is no proxy: {PROXY}"))
            })?),
        };
        let roots = match settings.ca.as_os_str().is_empty() {
            true => Vec::new(),
            false => certificates(&settings.ca).map_err(|what| Problem::at("dispatcher.ca", what))?,
        };
        Ok(Self { proxy, roots })
    }
}

/// Routes that were made and files that were read so far.
#[derive(Debug, Default)]
pub(super) struct Routes {
    made: HashSet<Arc<Route>>,
    certificates: HashMap<PathBuf, Result<Vec<Vec<u8>>, String>>,
    keys: HashMap<PathBuf, Result<Vec<u8>, String>>,
}

impl Routes {
    /// The route of a postback.
    pub(super) fn route(&mut self, checks: &mut Checks<'_>, item: &Postback, egress: &Egress) -> Arc<Route> {
        let allow = allowed(checks, item);
        let mut roots = egress.roots.clone();
        roots.extend(item.ca.as_ref().map_or_else(Vec::new, |path| self.certificates(checks, path)));
        let (certificates, key) = match (&item.certificate, &item.key) {
            (Some(certificate), Some(key)) => (self.certificates(checks, certificate), self.key(checks, key)),
            (None, None) => Default::default(),
            (Some(alone), None) | (None, Some(alone)) => {
                checks.wrong(alone.span(), "a certificate and its key go together: one of them is missing");
                Default::default()
            }
        };
        let proxy = match &item.proxy {
            Some(text) if text.get_ref().is_empty() => None,
            Some(text) => proxy(checks, text, &allow),
            None => egress.proxy.clone(),
        };
        let route = Route { allow, http2: item.http2.unwrap_or(false), roots, certificates, key, proxy };
        if let Some(made) = self.made.get(&route) {
            return Arc::clone(made);
        }
        let made = Arc::new(route);
        self.made.insert(Arc::clone(&made));
        made
    }

    fn certificates(&mut self, checks: &mut Checks<'_>, path: &Text) -> Vec<Vec<u8>> {
        let file = PathBuf::from(path.get_ref());
        let read = self.certificates.entry(file).or_insert_with_key(|file| certificates(file));
        noted(checks, path, read)
    }

    fn key(&mut self, checks: &mut Checks<'_>, path: &Text) -> Vec<u8> {
        let file = PathBuf::from(path.get_ref());
        let read = self.keys.entry(file).or_insert_with_key(|file| key(file));
        noted(checks, path, read)
    }
}

fn noted<T: Clone + Default>(checks: &mut Checks<'_>, path: &Text, read: &Result<T, String>) -> T {
    match read {
        Ok(read) => read.clone(),
        Err(what) => {
            checks.wrong(path.span(), what.as_str());
            T::default()
        }
    }
}

fn allowed(checks: &mut Checks<'_>, item: &Postback) -> Vec<IpNet> {
    let given = item.allow_addresses.as_deref().unwrap_or_default();
    if let Some(first) = given.first() {
        bound(checks, first, "allow_addresses", given.len());
    }
    let mut allow = Vec::new();
    for net in given {
        match IpNet::from_text(net.get_ref()) {
            Some(net) => allow.push(net),
            None => checks.wrong(net.span(), format!("must be {}", IpNet::WHAT)),
        }
    }
    // Routes that allow the same are the same.
    allow.sort();
    allow.dedup();
    allow
}

/// The site of a URL, which may have placeholders behind its host. Nothing if it must not be called.
pub(super) fn site(checks: &mut Checks<'_>, url: &Text, allow: &[IpNet]) -> Option<Box<str>> {
    let text = url.get_ref();
    if !has_port(text) {
        checks.wrong(url.span(), "a port is 1 to 65535");
        return None;
    }
    let Some(site) = site_of(text) else {
        checks.wrong(url.span(), "the host of this URL cannot be read");
        return None;
    };
    let host = site.parse().map_err(|_| "the host of this URL cannot be read".to_owned());
    match host.and_then(|uri: Uri| host_of(&uri).map_err(|error| error.to_string())) {
        Err(what) => checks.wrong(url.span(), what),
        Ok(Host::Name(_)) => return Some(site),
        Ok(Host::Address(address)) => match guard::check(address, allow) {
            Ok(()) => return Some(site),
            Err(forbidden) => {
                let problem = checks.source.problem(url.span(), forbidden.to_string());
                checks.problems.add(problem.with_hint(format!("allow_addresses = [\"{address}\"]")));
            }
        },
    }
    None
}

/// Whether a URL names no port, or one that is.
fn has_port(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let behind = authority.rsplit_once(']').map_or(authority, |(_, behind)| behind);
    behind.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn proxy(checks: &mut Checks<'_>, text: &Text, allow: &[IpNet]) -> Option<Uri> {
    let uri = proxy_uri(text.get_ref());
    if uri.is_none() {
        checks.wrong(text.span(), PROXY);
    }
    site(checks, text, allow).and(uri)
}

fn proxy_uri(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let is_proxy = uri.scheme_str() == Some("http")
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none();
    is_proxy.then_some(uri)
}

/// The bytes of a PEM file, or what is wrong with it.
fn pem(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    // A pipe or a device may have no end.
    if !metadata.is_file() || metadata.len() > PEM_BYTES_MAX {
        return Err(format!("{} is no file, or has more than 4 MiB", path.display()));
    }
    std::fs::read(path).map_err(unreadable)
}

pub(super) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let bytes = pem(path)?;
    let read = CertificateDer::pem_slice_iter(&bytes);
    let read: Result<Vec<_>, _> = read.map(|found| found.map(|found| found.as_ref().to_vec())).collect();
    match read {
        Ok(found) if found.is_empty() => Err(format!("there is no certificate in {}", path.display())),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{} is no PEM file: {error}", path.display())),
    }
}

pub(super) fn key(path: &Path) -> Result<Vec<u8>, String> {
    // What is wrong with it is not told: that could show some of it.
    let found = PrivateKeyDer::from_pem_slice(&pem(path)?);
    let found = found.map_err(|_| format!("there is no private key in {}", path.display()))?;
    Ok(found.secret_der().to_vec())
}

/// Where the token of a postback comes from.
pub(super) fn token(
    checks: &mut Checks<'_>,
    item: &Postback,
    allow: &[IpNet],
    environment: Environment<'_>,
) -> Option<Arc<TokenSource>> {
    let given = item.oauth.as_ref()?;
    if let Some(file) = &given.file {
        let others = [&given.url, &given.client_id, &given.scope].into_iter().flatten().next();
        if let Some(other) = others {
            checks.wrong(other.span(), "with a file, somebody else asks for the token");
        }
        return Some(Arc::new(TokenSource::File(PathBuf::from(file.get_ref()))));
    }
    let Some(url) = &given.url else {
        let span = item.id.as_ref().map_or(0..0, Spanned::span);
        checks.wrong(span, "oauth needs a file, or a url that gives tokens");
        return None;
    };
    let uri =
        url.get_ref().parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    if uri.is_none() {
        checks.wrong(url.span(), "not an absolute http or https URL");
    }
    let form = form(checks, given, url, environment);
    site(checks, url, allow)?;
    Some(Arc::new(TokenSource::Call { url: uri?, form }))
}

fn form(
    checks: &mut Checks<'_>,
    given: &Oauth,
    url: &Text,
    environment: Environment<'_>,
) -> Vec<(String, String)> {
    let mut form = Vec::new();
    let mut put = |name: &str, value: String| form.push((name.to_owned(), value));
    let is_refresh = match (&given.grant, &given.refresh_token) {
        (Some(grant), token) => {
            let is_refresh = *grant.get_ref() == Grant::RefreshToken;
            if is_refresh != token.is_some() {
                let what = "a refresh_token belongs to the grant \"refresh_token\", and that needs one";
                checks.wrong(grant.span(), what);
            }
            is_refresh
        }
        (None, token) => token.is_some(),
    };
    put("grant_type", if is_refresh { "refresh_token" } else { "client_credentials" }.to_owned());
    if !is_refresh && (given.client_id.is_none() || given.client_secret.is_none()) {
        checks.wrong(url.span(), "the grant \"client_credentials\" needs a client_id and a client_secret");
    }
    for (name, text) in [("client_id", &given.client_id), ("scope", &given.scope)] {
        text.iter().for_each(|text| put(name, text.get_ref().clone()));
    }
    let secrets = [("client_secret", &given.client_secret), ("refresh_token", &given.refresh_token)];
    for (name, reference) in secrets {
        let secret = reference.as_ref().and_then(|reference| secret(checks, reference, environment));
        secret.into_iter().for_each(|secret| put(name, secret));
    }
    form
}

fn secret(
    checks: &mut Checks<'_>,
    reference: &Spanned<SecretRef>,
    environment: Environment<'_>,
) -> Option<String> {
    match reference.get_ref().fetch(environment) {
        Ok(secret) => Some(secret.reveal().to_owned()),
        Err(error) => {
            checks.wrong(reference.span(), error.to_string());
            None
        }
    }
}
