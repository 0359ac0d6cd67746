//! What to paste where: a campaign's links, its networks' postback URLs and pixels, and whom its conversions are told to.
//!
//! In: the catalog and the destinations in use, and where visitors reach this tracker. Out: texts, ready to be pasted; in place
//! of each `{...}` whoever they are for puts its own token.
//! Keeps: a secret is never shown; where one belongs stands `SECRET`, or, in what we send, its name.
//! Not here: how they are printed (`cli`) or laid out (`admin`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::apply::reading::Role;
use crate::config::Listen;
use crate::dispatcher::destinations::Destinations;
use crate::dispatcher::owed::{Destination, Level};
use crate::event::conversion::Status;
use crate::event::percent_encoded;
use crate::ingest::{Campaign, Catalog, Door, DoorKind, Network, SignaturePlace};

/// Where a path has its secret.
const SECRET_SEGMENT: &str = "{secret}";
/// What a network is asked to send, if its profile has a name for it.
const ROLES: [Role; 4] = [Role::ClickId, Role::Payout, Role::TransactionId, Role::Status];
/// What a pixel may carry. Left as it is, it counts as absent.
const PIXEL_ROLES: [Role; 2] = [Role::Payout, Role::TransactionId];

/// What a conversion may be.
const STATUSES: [Status; 4] = [Status::Pending, Status::Approved, Status::Reversed, Status::Unknown];

/// Where a network calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostbackUrl {
    /// With gaps.
    pub url: String,
    /// Headers that it must send, if any.
    pub header: Option<String>,
}

/// What the page behind a conversion may load: one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// What they call the click.
    pub click: String,
    /// As an image.
    pub image: String,
    /// As a frame.
    pub frame: String,
    /// As a script.
    pub script: String,
}

/// A destination that hears of conversions of a campaign, and of which of its offers.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Who names it.
    pub level: Level,
    /// Itself.
    pub destination: &'a Destination,
    /// For these offers; for all if there are none.
    pub offers: Vec<&'a str>,
}

impl Outgoing<'_> {
    /// What it is told of, in words.
    pub fn told(&self) -> String {
        let told = STATUSES.into_iter().filter(|status| self.destination.condition.statuses.has(*status));
        let told: Vec<&str> = told.map(Status::name).collect();
        if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
    }
}

/// A URL of an address at which we listen.
pub fn base_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// As visitors reach a listener that is open at this address; without a proxy that may be in front.
pub fn public_base_of(address: SocketAddr, listen: &Listen) -> String {
    let base = base_of(address);
    if listen.tls.is_some() { base.replacen("http", "https", 1) } else { base }
}

/// Where visitors of a campaign are sent by the traffic source.
pub fn click_url(base: &str, catalog: &Catalog, campaign: &Campaign) -> String {
    format!("{base}/c/{}{}", campaign.id, query(catalog, campaign))
}

/// Links to the offers for the landing page, each with its offer; the first, to whichever is next, with none. Nothing
/// without a landing page.
pub fn through(base: &str, catalog: &Catalog, campaign: &Campaign) -> Vec<(String, String)> {
    if campaign.landers.is_empty() {
        return Vec::new();
    }
    let mut all = vec![(format!("{base}/out"), String::new())];
    if campaign.offers.len() > 1 {
        for (number, offer) in (1..).zip(campaign.offers.iter()) {
            let name = catalog.offer(*offer).map_or("", |offer| &offer.id);
            all.push((format!("{base}/out/{number}"), name.to_owned()));
        }
    }
    all
}

/// For a landing page that visitors reach without the click URL.
pub fn script(base: &str, campaign: &Campaign) -> String {
    format!("<script src=\"{base}/t.js\" data-campaign=\"{}\" async></script>", campaign.id)
}

/// Whom conversions of the campaign are told to, as the source, the campaign, its offers and the catalog itself say.
pub fn outgoing<'a>(
    catalog: &'a Catalog,
    destinations: &'a Destinations,
    campaign: &Campaign,
) -> Vec<Outgoing<'a>> {
    let mut offers: Vec<&str> = Vec::new();
    for offer in campaign.offers.iter().filter_map(|offer| catalog.offer(*offer)) {
        if !offers.contains(&&*offer.id) {
            offers.push(&offer.id);
        }
    }
    let source = catalog.source(campaign).map_or("", |source| &source.id);
    let mut all: Vec<Outgoing<'_>> = Vec::new();
    for offer in &offers {
        for (level, destination) in destinations.levels_of(source, &campaign.id, offer).chosen() {
            match all.iter_mut().find(|known| std::ptr::eq(known.destination, destination)) {
                Some(known) => known.offers.push(offer),
                None => all.push(Outgoing { level, destination, offers: vec![offer] }),
            }
        }
    }
    // As many as there are: nobody has one of its own.
    all.iter_mut().filter(|of| of.offers.len() == offers.len()).for_each(|of| of.offers.clear());
    all.sort_by_key(|outgoing| outgoing.level);
    all
}

/// The networks that the campaign's offers name, each once.
pub fn networks<'a>(catalog: &'a Catalog, campaign: &Campaign) -> Vec<&'a Network> {
    let mut found: Vec<&Network> = Vec::new();
    for offer in campaign.offers.iter().filter_map(|offer| catalog.offer(*offer)) {
        if let Some(network) = catalog.network(&offer.network)
            && !found.iter().any(|other| other.rules.id == network.rules.id)
        {
            found.push(network);
        }
    }
    found
}

/// What the page behind a conversion may load; nothing if the network takes no pixels.
pub fn pixels(base: &str, network: &Network) -> Option<Pixels> {
    let query = network.access.takes_pixels.then(|| pixel_query(network))?;
    Some(Pixels {
        click: pixel_click(network).to_owned(),
        image: format!("<img src=\"{base}/pixel.gif?{query}\" width=\"1\" height=\"1\" alt=\"\">"),
        frame: format!(
            "<iframe src=\"{base}/pixel?{query}\" width=\"1\" height=\"1\" style=\"display:none\"></iframe>"
        ),
        script: format!("<script src=\"{base}/pixel.js?{query}\" async></script>"),
    })
}

/// Where a network calls, and what it must send there.
pub fn postback(base: &str, catalog: &Catalog, network: &Network) -> PostbackUrl {
    let id = &network.rules.id;
    // Every network may call at `/postback`, and is known there by its id; a path segment that nobody compares says nothing.
    let has_secret = !network.access.secrets.is_empty();
    let is_telling =
        |door: &&Door| *door.path != *"/postback" && (has_secret || !door.path.contains(SECRET_SEGMENT));
    let door = network.doors.iter().find(|door| door.kind == DoorKind::Postback).filter(is_telling);
    let mut pairs: Vec<(String, String)> = Vec::new();
    let path = match door {
        None => format!("/postback/{id}"),
        Some(door) => {
            pairs.extend(conditions(network, door));
            if is_shared(catalog, network, door) {
                pairs.push(("network".to_owned(), id.to_string()));
            }
            door.path.replace(SECRET_SEGMENT, "SECRET")
        }
    };
    let asked = network.rules.required.iter().filter(|role| !ROLES.contains(role));
    for role in ROLES.iter().chain(asked).copied() {
        if let Some(name) = network.rules.mapping.names(role).first() {
            pairs.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            pairs.push((name.to_string(), format!("{{{}}}", role.name())));
        }
    }
    let header = shown_secret(network, &path, &mut pairs);
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={value}", encoded(name))).collect();
    PostbackUrl { url: format!("{base}{path}?{}", pairs.join("&")), header }
}

/// What a pixel calls the click.
fn pixel_click(network: &Network) -> &str {
    network.rules.mapping.names(Role::ClickId).first().map_or("click_id", AsRef::as_ref)
}

/// What the request must have for the door to be that one, and the network to be this.
fn conditions(network: &Network, door: &Door) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let own = network.matches.iter().map(|(name, value)| (name, Some(value)));
    let when = door.when.iter().map(|(name, value)| (name, value.as_ref()));
    for (name, value) in own.chain(when) {
        if !pairs.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            pairs.push((name.to_string(), value.map_or(format!("{{{name}}}"), |value| encoded(value))));
        }
    }
    pairs
}

/// Whether another network has the same path, and nothing in this one's URL tells it apart.
fn is_shared(catalog: &Catalog, network: &Network, door: &Door) -> bool {
    let is_other = |other: &&Arc<Network>| other.rules.id != network.rules.id;
    let mut others = catalog.networks().iter().filter(is_other);
    network.matches.is_empty() && others.any(|other| other.doors.iter().any(|its| its.path == door.path))
}

/// Puts in where the secret and the signature go, and gives the header that one of them goes into.
fn shown_secret(network: &Network, path: &str, pairs: &mut Vec<(String, String)>) -> Option<String> {
    let access = &network.access;
    let mut headers = Vec::new();
    if !access.secrets.is_empty() && !path.split('/').any(|segment| segment == "SECRET") {
        match (access.secret_params.first(), access.secret_headers.first()) {
            (Some(param), _) => pairs.push((param.to_string(), "SECRET".to_owned())),
            (None, Some(header)) => headers.push(format!("{header}: SECRET")),
            (None, None) => {}
        }
    }
    if let Some(signature) = &access.signature {
        match &signature.place {
            SignaturePlace::Param(name) => {
                pairs.push((signature.time.to_string(), "UNIX_SECONDS".to_owned()));
                pairs.push((name.to_string(), "SIGNATURE".to_owned()));
            }
            SignaturePlace::Header(name) => {
                headers.push(format!("{}: UNIX_SECONDS", signature.time));
                headers.push(format!("{name}: SIGNATURE"));
            }
        }
    }
    (!headers.is_empty()).then(|| headers.join(", "))
}

/// For an attribute of a page.
fn pixel_query(network: &Network) -> String {
    let mut query = format!("network={}", network.rules.id);
    let names = PIXEL_ROLES.iter().filter_map(|role| network.rules.mapping.names(*role).first());
    for name in names {
        query.push_str(&format!("&amp;{}=OPTIONAL", encoded(name)));
    }
    query
}

fn encoded(text: &str) -> String {
    percent_encoded(text).to_string()
}

/// The parameters that the campaign's source can fill.
fn query(catalog: &Catalog, campaign: &Campaign) -> String {
    let Some(source) = catalog.source(campaign) else { return String::new() };
    let picked = [source.external_id.as_deref(), source.cost.as_deref()];
    let renamed = source.params.iter().map(|(theirs, _)| &**theirs);
    let pairs: Vec<String> =
        picked.into_iter().flatten().chain(renamed).map(|name| format!("{name}={{{name}}}")).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}
