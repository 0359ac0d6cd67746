//! Which networks may call at a path, and which of them does.
//!
//! In: the networks of a catalog, once; then requests. Out: the network that a request is of, and how it reports there.
//! Keeps: a request costs one look-up of its path, and one more for each place at which paths have a secret.
//! Not here: whether the caller may (`access`); that is asked only where several networks share a path and nothing else
//! tells them apart.

use std::collections::HashMap;
use std::sync::Arc;

use super::catalog::Catalog;
use super::network::{Door, DoorKind, Network};
use crate::event::params::Params;

/// The segment of a door's path that is where the secret is.
pub(super) const SECRET_SEGMENT: &str = "{secret}";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Doors {
    /// Places of networks and of their doors, by path.
    by_path: HashMap<Box<str>, Vec<(u32, u32)>>,
    /// At which segments paths have a secret, counted from 0 behind the first slash.
    secret_segments: Vec<usize>,
    by_domain: HashMap<Box<str>, u32>,
}

/// A door at which a request is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doorway<'a> {
    pub(super) network: &'a Arc<Network>,
    pub(super) door: &'a Door,
    /// What stands where its path has the secret.
    pub(super) secret: Option<&'a str>,
}

/// How a request came to be about a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// `/postback`, with what follows it.
    Postback(Option<&'a str>),
    /// Our own pixels.
    Pixel(DoorKind),
    /// A network's own path.
    Door,
}

/// The network that a request is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met<'a> {
    pub(super) network: &'a Arc<Network>,
    pub(super) kind: DoorKind,
    /// What stands where its path has the secret.
    pub(super) secret: Option<&'a str>,
    /// What told it from others.
    pub(super) by: &'static str,
}

impl Doors {
    pub(super) fn new(networks: &[Arc<Network>]) -> Self {
        let mut doors = Self::default();
        for (place, network) in (0..).zip(networks) {
            for (index, door) in (0..).zip(&network.doors) {
                let path = without_slash(&door.path);
                let segment = path.split('/').skip(1).position(|segment| segment == SECRET_SEGMENT);
                if let Some(segment) = segment.filter(|segment| !doors.secret_segments.contains(segment)) {
                    doors.secret_segments.push(segment);
                }
                doors.by_path.entry(path.into()).or_default().push((place, index));
            }
            for domain in &network.domains {
                doors.by_domain.entry(domain.to_ascii_lowercase().into()).or_insert(place);
            }
        }
        doors
    }

    /// The doors at a path, whatever parameters they ask for.
    pub(super) fn at<'a>(&self, networks: &'a [Arc<Network>], path: &'a str) -> Vec<Doorway<'a>> {
        if self.by_path.is_empty() {
            return Vec::new();
        }
        let path = without_slash(path);
        let mut found = Vec::new();
        self.add(networks, path, None, &mut found);
        for segment in &self.secret_segments {
            let mut segments: Vec<&str> = path.split('/').collect();
            if let Some(place) = segments.get_mut(segment + 1).filter(|place| !place.is_empty()) {
                let secret = std::mem::replace(place, SECRET_SEGMENT);
                self.add(networks, &segments.join("/"), Some(secret), &mut found);
            }
        }
        found
    }

    fn add<'a>(
        &self,
        networks: &'a [Arc<Network>],
        path: &str,
        secret: Option<&'a str>,
        found: &mut Vec<Doorway<'a>>,
    ) {
        for (place, index) in self.by_path.get(path).into_iter().flatten() {
            let network = networks.get(*place as usize);
            let doorway = network.and_then(|network| Some((network, network.doors.get(*index as usize)?)));
            found.extend(doorway.map(|(network, door)| Doorway { network, door, secret }));
        }
    }

    fn of_domain<'a>(&self, networks: &'a [Arc<Network>], host: &str) -> Option<&'a Arc<Network>> {
        if self.by_domain.is_empty() {
            return None;
        }
        let host = host.to_ascii_lowercase();
        networks.get(*self.by_domain.get(host.trim_end_matches('.'))? as usize)
    }
}

impl Doorway<'_> {
    /// Whether a request with these parameters is one for this door.
    pub(super) fn is_open_to(&self, params: &[&Params]) -> bool {
        let says = |name: &str, value: Option<&str>| {
            let mut all = params.iter().flat_map(|params| params.iter());
            all.any(|(key, said)| {
                key.eq_ignore_ascii_case(name) && value.is_none_or(|value| said.eq_ignore_ascii_case(value))
            })
        };
        self.door.when.iter().all(|(name, value)| says(name, value.as_deref()))
    }
}

/// The network that a request is of. `is_shown` says whether a network's secret is there.
pub(super) fn meet<'a>(
    catalog: &'a Catalog,
    entry: Entry<'a>,
    (path, host): (&'a str, &str),
    params: &[&Params],
    is_shown: impl Fn(&Doorway<'_>) -> bool,
) -> Result<Met<'a>, DoorKind> {
    let mut open = catalog.doors_at(path);
    open.retain(|doorway| doorway.is_open_to(params));
    let own_kind = match entry {
        Entry::Pixel(kind) => Some(kind),
        Entry::Postback(_) => Some(DoorKind::Postback),
        Entry::Door => None,
    };
    let kind = own_kind.or(open.first().map(|first| first.door.kind)).unwrap_or_default();
    let met = |network: &'a Arc<Network>, by| {
        let own = open.iter().find(|doorway| Arc::ptr_eq(doorway.network, network));
        let kind = own_kind.or(own.map(|own| own.door.kind)).unwrap_or(kind);
        Met { network, kind, secret: own.and_then(|own| own.secret), by }
    };
    if let Entry::Postback(Some(name)) = entry
        && let Some(network) = catalog.network_named(name)
    {
        return Ok(met(network, "the path"));
    }
    let named = params.iter().find_map(|params| params.get_ignore_case("network"));
    if let Some(network) = named.and_then(|name| catalog.network(name)) {
        return Ok(met(network, "the parameter network"));
    }
    if let Some(network) = catalog.doors().of_domain(catalog.networks(), host) {
        return Ok(met(network, "the domain"));
    }
    match told_apart(&open, params, is_shown) {
        Some((doorway, by)) => Ok(met(doorway.network, by)),
        None => Err(kind),
    }
}

/// The one door that a request can only be for.
fn told_apart<'d, 'a>(
    open: &'d [Doorway<'a>],
    params: &[&Params],
    is_shown: impl Fn(&Doorway<'_>) -> bool,
) -> Option<(&'d Doorway<'a>, &'static str)> {
    let says = |name: &str, value: &str| {
        let mut all = params.iter().filter_map(|params| params.get_ignore_case(name));
        all.any(|said| said.eq_ignore_ascii_case(value))
    };
    let fits = |doorway: &Doorway<'_>| doorway.network.matches.iter().all(|(name, value)| says(name, value));
    let fitting = only_one(open.iter().filter(|doorway| fits(doorway)));
    if let Ok(Some(one)) = fitting {
        return Some((one, "the path"));
    }
    // Whoever says something of its own that fits is meant before those that say nothing.
    let distinct = open.iter().filter(|doorway| !doorway.network.matches.is_empty() && fits(doorway));
    match only_one(distinct.clone()) {
        Ok(Some(one)) => return Some((one, "its parameters")),
        Ok(None) => {}
        Err(Several) => {
            let shown = only_one(distinct.filter(|doorway| is_shown(doorway)));
            return shown.ok().flatten().map(|one| (one, "its secret"));
        }
    }
    let rest = open.iter().filter(|doorway| fits(doorway));
    if let Ok(Some(one)) = only_one(rest.clone().filter(|doorway| is_shown(doorway))) {
        return Some((one, "its secret"));
    }
    // The only one that asks for no secret takes what shows none.
    let asks_none = rest.filter(|doorway| doorway.network.access.secrets.is_empty());
    only_one(asks_none).ok().flatten().map(|one| (one, "asking for no secret"))
}

struct Several;

/// The one network that has all of these doors, if it is one; the first of its doors.
fn only_one<'d, 'a: 'd>(
    mut doorways: impl Iterator<Item = &'d Doorway<'a>>,
) -> Result<Option<&'d Doorway<'a>>, Several> {
    let Some(first) = doorways.next() else { return Ok(None) };
    let is_one = doorways.all(|other| Arc::ptr_eq(other.network, first.network));
    if is_one { Ok(Some(first)) } else { Err(Several) }
}

/// A path is the same with a slash behind it.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path)
}
