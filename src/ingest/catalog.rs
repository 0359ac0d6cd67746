//! The catalog as the way in needs it: campaigns by name, and where their clicks may go.
//!
//! In: what `config` has read and checked. Out: an immutable snapshot with a version; a reload swaps it whole.
//! Keeps: every reference leads somewhere; a rotation has at least one choice whose weight is not zero.
//! Not here: TOML (`config`), what a template is (`event::template`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::address::AddressPolicy;
use super::doors::{Doors, Doorway};
use super::evidence::Masks;
use super::network::Network;
use crate::event::conversion::Status;
use crate::event::money::{Currency, Money};
use crate::event::template::Template;

/// Parameters that name a campaign at another tracker's `/click`.
pub(super) const CAMPAIGN_PARAMS: &[&str] = &["key", "camp_id", "offer_id"];

/// See the module.
#[derive(Debug, Default)]
pub struct Catalog {
    version: u64,
    campaigns: Vec<Campaign>,
    offers: Vec<Offer>,
    sources: Vec<Source>,
    /// Ids and aliases.
    names: HashMap<Box<str>, u32>,
    click_paths: Vec<ClickPath>,
    networks: Vec<Arc<Network>>,
    /// Places of networks by id.
    network_ids: HashMap<Box<str>, u32>,
    /// Places of offers by id.
    offer_ids: HashMap<Box<str>, u32>,
    doors: Doors,
    masks: Masks,
    address_window: Duration,
}

/// What a catalog is put together from.
#[derive(Debug, Default)]
pub struct Parts {
    /// Sources; campaigns name them by their places.
    pub sources: Vec<Source>,
    /// Offers; campaigns name them by their places.
    pub offers: Vec<Offer>,
    /// Campaigns.
    pub campaigns: Vec<Campaign>,
    /// Other trackers' click URLs.
    pub click_paths: Vec<ClickPath>,
    /// Networks; offers name them by their ids.
    pub networks: Vec<Network>,
}

/// Where traffic comes from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its id.
    pub id: Box<str>,
    /// Its parameter that carries its own id of a click.
    pub external_id: Option<Box<str>>,
    /// Its parameter that carries the price of a click.
    pub cost: Option<Box<str>>,
    /// The currency of that price.
    pub currency: Currency,
    /// Its names of parameters, and ours.
    pub params: Vec<(Box<str>, Box<str>)>,
}

/// What is advertised.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its id.
    pub id: Box<str>,
    /// The network that pays for it.
    pub network: Box<str>,
    /// Where it is.
    pub url: Template,
    /// What a conversion pays, whatever the postback says; nothing is what the postback says.
    pub payout: Option<Money>,
}

/// A third party's pixel, printed on the answer to a conversion pixel.
#[derive(Clone, Debug)]
pub struct Pixel {
    /// How it is printed.
    pub kind: PixelKind,
    /// Its URL.
    pub url: Template,
    /// For conversions of these statuses; for all if there are none.
    pub on: Vec<Status>,
}

/// How a third party's pixel is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PixelKind {
    /// `<img>`.
    #[default]
    Image,
    /// `<iframe>`.
    Page,
    /// `<script>`.
    Script,
}

/// A campaign: a link that visitors follow.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Its id.
    pub id: Box<str>,
    /// Names that it had elsewhere.
    pub aliases: Vec<Box<str>>,
    /// Its source, as a place in the catalog's list.
    pub source: Option<u32>,
    /// Landing pages; with none, clicks go straight to an offer.
    pub landers: Rotation<Template>,
    /// Its offers, as places in the catalog's list.
    pub offers: Rotation<u32>,
    /// What a click costs.
    pub cost: Cost,
    /// How visitors are sent on.
    pub redirect: Redirect,
    /// Whether a visitor who comes back gets the same lander and offer.
    pub is_sticky: bool,
    /// Whether a cookie keeps the click id.
    pub has_cookie: bool,
    /// Where clicks go when nothing else will do.
    pub fallback: Option<Template>,
    /// How much of an address is kept.
    pub address: AddressPolicy,
    /// Within this time, a second click of the same visitor is a duplicate; zero never.
    pub duplicate_window: Duration,
    /// How long after its click a conversion counts.
    pub window: Duration,
    /// After which age its clicks go, if that is said.
    pub retention: Option<Duration>,
    /// Third parties' pixels.
    pub pixels: Vec<Pixel>,
}

/// What a click costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cost {
    /// Always the same.
    Fixed(Money),
    /// What the source's parameter says, if it is there.
    #[default]
    FromParameter,
}

/// How a visitor is sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirect {
    /// 302.
    #[default]
    Found,
    /// 303.
    SeeOther,
    /// 307.
    Temporary,
    /// A page that refreshes itself to the destination, and says not to tell from where.
    Meta,
    /// The same by way of a second such page of ours, so that not even our first address is told.
    DoubleMeta,
}

/// Things to choose from, each with a weight.
#[derive(Clone, Debug)]
pub struct Rotation<T> {
    choices: Vec<T>,
    /// For each choice, the sum of the weights so far.
    sums: Vec<u32>,
}

impl<T> Default for Rotation<T> {
    fn default() -> Self {
        Self { choices: Vec::new(), sums: Vec::new() }
    }
}

impl<T> Rotation<T> {
    /// The largest weight.
    pub const WEIGHT_MAX: u32 = 1_000_000;
    /// Choices in one rotation.
    pub const CHOICES_MAX: usize = 1_000;

    /// Choices with their weights; nothing if there are too many, or a weight is too large, or all are zero.
    pub fn new(weighted: Vec<(T, u32)>) -> Option<Self> {
        if weighted.len() > Self::CHOICES_MAX || weighted.iter().any(|(_, weight)| *weight > Self::WEIGHT_MAX)
        {
            return None;
        }
        let is_empty = weighted.is_empty();
        let (mut choices, mut sums) =
            (Vec::with_capacity(weighted.len()), Vec::with_capacity(weighted.len()));
        let mut sum = 0;
        for (choice, weight) in weighted {
            sum += weight;
            choices.push(choice);
            sums.push(sum);
        }
        (is_empty || sum > 0).then_some(Self { choices, sums })
    }

    /// Chooses by a number that may be any: each choice is as likely as its weight says. Gives its place too.
    pub fn choose(&self, number: u64) -> Option<(usize, &T)> {
        let total = u64::from(*self.sums.last()?);
        // The high half of the product is below `total` and as even as 64 bits allow (Lemire).
        let point = u64::try_from((u128::from(number) * u128::from(total)) >> 64).unwrap_or(0);
        let index = self.sums.partition_point(|sum| u64::from(*sum) <= point);
        Some((index, self.choices.get(index)?))
    }

    /// The choice at this place.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.choices.get(index)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.choices.len()
    }

    /// Whether there is nothing to choose from.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// The choices.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.choices.iter()
    }
}

/// Another tracker's click URL: a path, and the parameters of which the first that is there names the campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickPath {
    /// The whole path; or, with a `*` at its end, everything in front of one last segment that names the campaign.
    pub path: Box<str>,
    /// Parameters that name the campaign, where the path does not.
    pub keys: Vec<Box<str>>,
}

impl ClickPath {
    /// What other trackers use (COMPAT section 2, row 1, and section 3, row 1).
    pub fn built_in() -> Vec<Self> {
        let all: &[(&str, &[&str])] = &[
            ("/click.php", &["key", "camp_id"]),
            ("/click", CAMPAIGN_PARAMS),
            ("/base.php", &["c"]),
            ("/base", &["c"]),
            ("/tracking202/redirect/dl.php", &["t202id"]),
            ("/tracking202/redirect/rtr.php", &["t202id"]),
            ("/aff_c", &["offer_id"]),
            ("/go/*", &[]),
            ("/*", &[]),
        ];
        let keys = |keys: &[&str]| keys.iter().map(|key| Box::from(*key)).collect();
        all.iter().map(|(path, names)| Self { path: (*path).into(), keys: keys(names) }).collect()
    }
}

/// Why a list of things is no catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Two campaigns with one name.
    #[error("two campaigns are called \"{0}\"")]
    Twice(String),
    /// Two networks with one id.
    #[error("two networks are called \"{0}\"")]
    NetworkTwice(String),
    /// More secrets than can be looked for at once.
    #[error("the networks have more secrets than can be looked for at once")]
    Secrets,
    /// An offer or source that is not there.
    #[error("campaign \"{0}\" refers to something that is not there")]
    Dangling(String),
}

impl Catalog {
    /// Puts a catalog together.
    ///
    /// # Errors
    /// A name that is given twice; a reference that leads nowhere.
    pub fn new(version: u64, parts: Parts) -> Result<Self, CatalogError> {
        let Parts { sources, offers, campaigns, click_paths, networks } = parts;
        let mut names = HashMap::with_capacity(campaigns.len());
        for (index, campaign) in (0..).zip(&campaigns) {
            let is_there = |index: u32, len: usize| (index as usize) < len;
            if !campaign.offers.iter().all(|offer| is_there(*offer, offers.len()))
                || !campaign.source.is_none_or(|source| is_there(source, sources.len()))
            {
                return Err(CatalogError::Dangling(campaign.id.to_string()));
            }
            for name in std::iter::once(&campaign.id).chain(&campaign.aliases) {
                if names.insert(name.clone(), index).is_some_and(|other| other != index) {
                    return Err(CatalogError::Twice(name.to_string()));
                }
            }
        }
        let networks: Vec<Arc<Network>> = networks.into_iter().map(Arc::new).collect();
        let mut network_ids = HashMap::with_capacity(networks.len());
        for (index, network) in (0..).zip(&networks) {
            if network_ids.insert(network.rules.id.clone(), index).is_some() {
                return Err(CatalogError::NetworkTwice(network.rules.id.to_string()));
            }
        }
        let offer_ids = (0..).zip(&offers).map(|(index, offer)| (offer.id.clone(), index)).collect();
        let doors = Doors::new(&networks);
        let masks = Masks::new(&networks).map_err(|_| CatalogError::Secrets)?;
        let address_window = networks.iter().map(|network| network.address_window).max().unwrap_or_default();
        Ok(Self {
            version,
            campaigns,
            offers,
            sources,
            names,
            click_paths,
            networks,
            network_ids,
            offer_ids,
            doors,
            masks,
            address_window,
        })
    }

    /// The network with this id.
    pub fn network(&self, id: &str) -> Option<&Arc<Network>> {
        self.networks.get(*self.network_ids.get(id)? as usize)
    }

    /// The network that a part of a path names: as it stands, or percent-encoded.
    pub(super) fn network_named(&self, name: &str) -> Option<&Arc<Network>> {
        self.network(name).or_else(|| self.network(&percent_decode_str(name).decode_utf8().ok()?))
    }

    /// Where networks call.
    pub(super) fn doors(&self) -> &Doors {
        &self.doors
    }

    /// The networks' own doors at a path.
    pub(super) fn doors_at<'a>(&'a self, path: &'a str) -> Vec<Doorway<'a>> {
        self.doors.at(&self.networks, path)
    }

    /// What must not be written down.
    pub(super) fn masks(&self) -> &Masks {
        &self.masks
    }

    /// For how long a click is to be found by its address: as long as any network wants it.
    pub(super) fn address_window(&self) -> Duration {
        self.address_window
    }

    /// All networks.
    pub fn networks(&self) -> &[Arc<Network>] {
        &self.networks
    }

    /// Which snapshot this is: each has a higher number than the one before.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The campaign of this id or alias.
    pub fn campaign(&self, name: &str) -> Option<&Campaign> {
        self.campaigns.get(*self.names.get(name)? as usize)
    }

    /// All campaigns.
    pub fn campaigns(&self) -> &[Campaign] {
        &self.campaigns
    }

    /// An offer by its place.
    pub fn offer(&self, index: u32) -> Option<&Offer> {
        self.offers.get(index as usize)
    }

    /// The offer with this id.
    pub fn offer_named(&self, id: &str) -> Option<&Offer> {
        self.offer(*self.offer_ids.get(id)?)
    }

    /// All offers.
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// The source of a campaign.
    pub fn source(&self, campaign: &Campaign) -> Option<&Source> {
        self.sources.get(campaign.source? as usize)
    }

    /// Other trackers' click URLs.
    pub fn click_paths(&self) -> &[ClickPath] {
        &self.click_paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_as_likely_as_its_weight() {
        let rotation = Rotation::new(vec![("a", 70), ("never", 0), ("b", 30)]).unwrap();
        let mut counts = [0u32; 3];
        for n in 0..1000u64 {
            let (index, _) = rotation.choose(n * (u64::MAX / 1000)).unwrap();
            counts[index] += 1;
        }
        assert!(counts[0].abs_diff(700) <= 1 && counts[1] == 0 && counts[2].abs_diff(300) <= 1, "{counts:?}");
        assert_eq!(rotation.choose(u64::MAX).unwrap().1, &"b");
        assert_eq!(rotation.choose(0).unwrap().1, &"a");
    }

    #[test]
    fn weights_have_bounds() {
        assert!(Rotation::<u8>::new(vec![]).unwrap().choose(7).is_none());
        assert!(Rotation::new(vec![("a", 0)]).is_none());
        assert!(Rotation::new(vec![("a", Rotation::<&str>::WEIGHT_MAX + 1)]).is_none());
        assert!(Rotation::new(vec![("a", 1); Rotation::<&str>::CHOICES_MAX + 1]).is_none());
    }
}
