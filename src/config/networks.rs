//! Networks of a catalog, compiled: a profile, what the network says otherwise, and what is its alone.
//!
//! In: a `[[network]]`, the built-in profiles, where secrets are. Out: what the edge and the books need of it, or all that
//! is wrong with it.
//! Keeps: a secret goes into the `ingest::Secret` that never shows it, and into no message.
//! Not here: what a profile is (`profiles`), whether two networks get into each other's way (`catalog`).

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;

use super::checks::Checks;
use super::file;
use super::profiles::{self, Profile, SECRET_SEGMENT, bound, header, name};
use super::secret::{Environment, SecretRef};
use super::value::Value;
use crate::apply::reading::Role;
use crate::apply::rules::{self, Limits, PARK_DEFAULT};
use crate::event::money::{Currency, Micros};
use crate::ingest;
use crate::ingest::{Access, Rate, Signature, SignaturePlace};

/// How long a postback may wait for its click: each that waits takes memory.
const PARK_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long ago the last click of an address may have been.
const ADDRESS_WINDOW_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// How far a signature's time may be from ours, unless a network says otherwise.
const TOLERANCE_DEFAULT: Duration = Duration::from_secs(5 * 60);
const TOLERANCE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Compiles a network. What is wrong is noted; what comes back then is of no use.
pub(super) fn network(
    checks: &mut Checks<'_>,
    item: &file::Network,
    built_in: &'static [Profile],
    environment: Environment<'_>,
) -> ingest::Network {
    let wanted = item.profile.as_ref();
    let called = wanted.map_or(profiles::DEFAULT, |profile| profile.get_ref());
    let found = profiles::named(built_in, called);
    if let (None, Some(wanted)) = (found, wanted) {
        checks.no_such(wanted, "profile", &profiles::ids(built_in));
    }
    let mut profile = found.cloned().unwrap_or_default();
    profile.take(checks, item);
    let access = access(checks, item, &profile, environment);
    let own_paths = item.paths.iter().filter(|door| door.get_ref().path.contains(SECRET_SEGMENT));
    for door in own_paths.filter(|_| access.secrets.is_empty()) {
        checks.wrong(door.span(), "a {secret} stands in it, and the network has none");
    }
    bound(checks, &item.id, "match", item.matches.len());
    let rules = rules(checks, item, &profile);
    ingest::Network {
        rules: Arc::new(rules),
        profile: called.into(),
        domains: domains(checks, item),
        matches: item
            .matches
            .iter()
            .filter_map(|(param, value)| Some((name(checks, param)?, value.get_ref().as_str().into())))
            .collect(),
        address_window: address_window(checks, item, access.takes_pixels),
        access,
        query_first: profile.query_first,
        answers: profile.answers(),
        doors: profile.doors,
    }
}

fn rules(checks: &mut Checks<'_>, item: &file::Network, profile: &Profile) -> rules::Network {
    if let Some(required) = &item.required {
        // Nobody could ever send it.
        let has_names = |role: &&Role| profile.names.get(role).is_some_and(|names| !names.is_empty());
        for role in required.get_ref().iter().filter(|role| !has_names(role)) {
            let what = format!("no parameter of this network says its {}", role.name());
            checks.wrong(required.span(), what);
        }
    }
    let currency = checks.currency(item.currency.as_ref()).unwrap_or(Currency::USD);
    let park = item.park.as_ref().and_then(|park| checks.duration(park, PARK_MAX, "1d"));
    rules::Network {
        id: item.id.get_ref().as_str().into(),
        mapping: profile.mapping(currency),
        mode: profile.mode,
        scope: profile.scope,
        limits: limits(checks, item.payout.as_ref()),
        required: profile.required.clone(),
        park: park.unwrap_or(PARK_DEFAULT),
    }
}

fn limits(checks: &mut Checks<'_>, given: Option<&file::PayoutLimits>) -> Limits {
    let Some(given) = given else { return Limits::default() };
    let (min, max) = (checks.money(given.min.as_ref()), checks.money(given.max.as_ref()));
    if let (Some(low), Some(high), Some(text)) = (min, max, &given.max)
        && low > high
    {
        checks.wrong(text.span(), format!("must be at least min, which is {low}"));
    }
    let tolerance = given.tolerance.as_ref().and_then(|text| {
        let share = percent(text.get_ref());
        if share.is_none() {
            checks.wrong(text.span(), "must be a share like \"20%\", up to 100%");
        }
        share
    });
    Limits { min, max, tolerance }
}

fn access(
    checks: &mut Checks<'_>,
    item: &file::Network,
    profile: &Profile,
    environment: Environment<'_>,
) -> Access {
    let secrets = item.secret.as_ref().map_or_else(Vec::new, |given| secrets(checks, given, environment));
    let signature = item.signature.as_ref().and_then(|given| signature(checks, given, environment));
    bound(checks, &item.id, "allow_ips", item.allow_ips.len());
    let mut allow = Vec::new();
    for net in &item.allow_ips {
        match IpNet::from_text(net.get_ref()) {
            Some(net) => allow.push(net),
            None => checks.wrong(net.span(), format!("must be {}", IpNet::WHAT)),
        }
    }
    // A browser can show no secret that stays one, and comes from anywhere.
    let is_open = item.secret.is_none() && item.signature.is_none() && item.allow_ips.is_empty();
    Access {
        secrets,
        secret_params: profile.secret_params.clone(),
        secret_headers: profile.secret_headers.clone(),
        signature,
        allow,
        rate: item.rate_limit.as_ref().map(|given| rate(checks, given)),
        takes_pixels: item.pixels.unwrap_or(is_open),
        requires_https: item.require_https,
        requires_client_certificate: item.require_client_certificate,
    }
}

fn secrets(
    checks: &mut Checks<'_>,
    given: &Spanned<file::Secrets>,
    environment: Environment<'_>,
) -> Vec<ingest::Secret> {
    let references = match given.get_ref() {
        file::Secrets::One(reference) => std::slice::from_ref(reference),
        file::Secrets::Several(references) => references,
    };
    if !(1..=2).contains(&references.len()) {
        checks.wrong(given.span(), "a network has one secret, or two while they change");
    }
    let mut fetch = |reference: &SecretRef| match reference.fetch(environment) {
        Ok(secret) => Some(ingest::Secret::new(secret.reveal())),
        Err(error) => {
            checks.wrong(given.span(), error.to_string());
            None
        }
    };
    references.iter().take(2).filter_map(&mut fetch).collect()
}

fn signature(
    checks: &mut Checks<'_>,
    given: &Spanned<file::Signature>,
    environment: Environment<'_>,
) -> Option<Signature> {
    let file::Signature { secret, param, header: in_header, time, tolerance } = given.get_ref();
    let keys = secrets(checks, secret, environment);
    let place = match (param, in_header) {
        (Some(param), None) => name(checks, param).map(SignaturePlace::Param),
        (None, Some(place)) => header(checks, place).map(SignaturePlace::Header),
        _ => {
            checks.wrong(given.span(), "a signature is in a param or in a header: name one of them");
            None
        }
    };
    let time = if in_header.is_some() { header(checks, time) } else { name(checks, time) };
    let tolerance = match tolerance {
        Some(text) => checks.duration(text, TOLERANCE_MAX, "1d"),
        None => Some(TOLERANCE_DEFAULT),
    };
    Some(Signature { keys, place: place?, time: time?, tolerance: tolerance? })
}

fn rate(checks: &mut Checks<'_>, given: &file::RateLimit) -> Rate {
    let burst = given.burst.as_ref();
    for number in std::iter::once(&given.per_second).chain(burst).filter(|number| *number.get_ref() == 0) {
        checks.wrong(number.span(), "must be at least 1");
    }
    let per_second = *given.per_second.get_ref();
    Rate { per_second, burst: burst.map_or(per_second, |burst| *burst.get_ref()) }
}

fn domains(checks: &mut Checks<'_>, item: &file::Network) -> Vec<Box<str>> {
    bound(checks, &item.id, "domains", item.domains.len());
    let mut domains = Vec::new();
    for domain in &item.domains {
        let text = domain.get_ref().trim_end_matches('.').to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if text.len() > 253 || !text.split('.').all(is_label) {
            checks.wrong(domain.span(), "must be a host like \"pb.example.com\", without a port");
        }
        domains.push(text.into());
    }
    domains
}

fn address_window(checks: &mut Checks<'_>, item: &file::Network, takes_pixels: bool) -> Duration {
    let Some(text) = &item.address_window else { return Duration::ZERO };
    if !takes_pixels {
        checks.wrong(text.span(), "only pixels look for a click by its address, and this network takes none");
    }
    checks.duration(text, ADDRESS_WINDOW_MAX, "30d").unwrap_or_default()
}

/// A share in hundredths of a percent, of `20%` or `2.5%`.
fn percent(text: &str) -> Option<u32> {
    let parsed = Micros::parse(text.trim().strip_suffix('%')?).ok()?;
    let basis_points = u32::try_from(parsed.amount.get() / 10_000).ok()?;
    (basis_points <= 10_000).then_some(basis_points)
}
