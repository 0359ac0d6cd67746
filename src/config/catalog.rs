//! The catalog: read from a file or a folder of files, checked as a whole, compiled into what the actors need.
//!
//! In: TOML. Out: a snapshot with a version, of what the way in needs and what the way out does; or all that is wrong.
//! Keeps: all or nothing; what is compiled refers to nothing that is not there, and every template in it can be filled.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::blocks::{Block, Kind, cut};
use super::checks::Checks;
pub use super::checks::ID_BYTES_MAX;
use super::destinations::{self, Context, Level};
use super::file::{self, File, Text};
use super::networks;
use super::outbound::missing;
use super::postback::Postback;
use super::presets::{self, Preset};
use super::problem::{Problem, Problems, Source};
use super::profiles::{self, Profile};
use super::route::Egress;
use super::secret::Environment;
use crate::dispatcher::destinations::Destinations;
use crate::dispatcher::outbound::Secrets;
use crate::event::conversion::Status;
use crate::event::money::{Currency, Money};
use crate::event::template::{Names, Target, Template};
use crate::ingest;
use crate::ingest::{AddressPolicy, ClickPath, Cost, Pixel, PixelKind, Redirect, Rotation};

/// Bytes of all files of a catalog together.
pub const CATALOG_BYTES_MAX: u64 = 1 << 30;
/// Bytes of an alias.
pub const ALIAS_BYTES_MAX: usize = 128;
/// Third parties' pixels of a campaign.
pub const PIXELS_MAX: usize = 16;
/// How long a click of a visitor counts as the same again, unless a campaign says otherwise: what the field takes.
pub const DUPLICATE_WINDOW_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// How long after its click a conversion counts, unless a campaign says otherwise.
pub const WINDOW_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest of either window: what the table of visitors can tell apart.
pub const WINDOW_MAX: Duration = Duration::from_secs(180 * 24 * 3600);
/// The shortest time for which a campaign's clicks can be kept: ages are counted in days.
pub const RETENTION_MIN: Duration = Duration::from_secs(24 * 3600);
/// The longest.
pub const RETENTION_MAX: Duration = Duration::from_secs(36_500 * 24 * 3600);

/// The catalog for a first look, which is also the shipped file.
pub const BUILT_IN: &str = include_str!("../../config/catalog.toml");

/// A catalog, compiled for those who serve it.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// For the way in.
    pub catalog: ingest::Catalog,
    /// For the way out, of the same version.
    pub destinations: Destinations,
}

/// Loads the catalog at `path`; an empty path is the built-in one.
///
/// # Errors
/// All that is wrong with it.
pub fn load(path: &Path, version: u64, environment: Environment<'_>) -> Result<ingest::Catalog, Problems> {
    Ok(load_all(path, version, environment, &Egress::default())?.catalog)
}

/// As `load`, with the destinations. `egress` is what holds for those that say nothing else.
///
/// # Errors
/// All that is wrong with it.
pub fn load_all(
    path: &Path,
    version: u64,
    environment: Environment<'_>,
    egress: &Egress,
) -> Result<Snapshot, Problems> {
    if path.as_os_str().is_empty() {
        return parse_all("built-in", BUILT_IN, version, environment, egress);
    }
    compile(sources(path)?, version, environment, egress)
}

/// As `load`, of a text that problems call `name`.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(
    name: &str,
    text: &str,
    version: u64,
    environment: Environment<'_>,
) -> Result<ingest::Catalog, Problems> {
    Ok(parse_all(name, text, version, environment, &Egress::default())?.catalog)
}

/// As `load_all`, of a text that problems call `name`.
///
/// # Errors
/// All that is wrong with it.
pub fn parse_all(
    name: &str,
    text: &str,
    version: u64,
    environment: Environment<'_>,
    egress: &Egress,
) -> Result<Snapshot, Problems> {
    compile(vec![Source::new(Path::new(name), text.to_owned())], version, environment, egress)
}

/// The text of the file, or of each file of the folder, in the order of their names.
fn sources(path: &Path) -> Result<Vec<Source>, Problem> {
    let unreadable = |path: &Path, error: std::io::Error| {
        Problem::at(path.display().to_string(), format!("cannot be read: {error}"))
    };
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|error| unreadable(path, error))?;
        let is_catalog = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
        paths = entries.into_iter().map(|entry| entry.path()).filter(is_catalog).collect();
        paths.sort();
        if paths.is_empty() {
            return Err(Problem::at(path.display().to_string(), "there is no *.toml file in this folder"));
        }
    }
    let mut bytes = 0;
    let mut read = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(&path).map_err(|error| unreadable(&path, error))?;
        bytes += metadata.len();
        if bytes > CATALOG_BYTES_MAX {
            return Err(Problem::at(path.display().to_string(), "a catalog has at most 1 GiB"));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        read.push(Source::new(&path, text));
    }
    Ok(read)
}

/// Checks and compiles what was read: first what others refer to, then those.
fn compile(
    sources: Vec<Source>,
    version: u64,
    environment: Environment<'_>,
    egress: &Egress,
) -> Result<Snapshot, Problems> {
    let mut compiler = Compiler::new(sources, environment, egress)?;
    compiler.each(Kind::Secrets, Compiler::secrets);
    compiler.each(Kind::Source, Compiler::params);
    let params = || compiler.params.iter().map(String::as_str);
    let names = Names::with(params(), compiler.secrets.iter().map(String::as_str));
    let public = Names::with(params(), []);
    (compiler.names, compiler.public) = (names.into(), public.into());
    compiler.each(Kind::Network, Compiler::networks);
    compiler.each(Kind::Source, Compiler::sources);
    compiler.each(Kind::Offer, Compiler::offers);
    // A table that cannot be read would make every reference to it look wrong.
    if !compiler.is_broken {
        compiler.each(Kind::Campaign, Compiler::campaigns);
    }
    compiler.each(Kind::ClickPath, Compiler::click_paths);
    compiler.each(Kind::Postback, |this, source, file| {
        this.postbacks(source, &file.postback, &Level::Global);
    });
    compiler.each(Kind::Host, Compiler::hosts);
    let Compiler { problems, made, destinations, secret_values, .. } = compiler;
    problems.unless_any(())?;
    let Made { sources, offers, campaigns, mut click_paths, networks } = made;
    click_paths.extend(ClickPath::built_in());
    let parts = ingest::Parts { sources, offers, campaigns, click_paths, networks };
    let catalog = ingest::Catalog::new(version, parts);
    let catalog = catalog.map_err(|error| Problem::at("catalog", error.to_string()))?;
    let destinations = destinations.end(version, Secrets::new(secret_values));
    Ok(Snapshot { catalog, destinations })
}

/// Where everything is by its id, and what has been made and found wrong so far.
struct Compiler<'a> {
    files: Vec<(Source, Parts)>,
    environment: Environment<'a>,
    profiles: &'static [Profile],
    presets: &'static [Preset],
    egress: &'a Egress,
    problems: Problems,
    /// Something could not be read.
    is_broken: bool,
    ids: Ids,
    /// For each name of a campaign, its id.
    campaign_names: HashMap<Box<str>, Box<str>>,
    /// For each domain of a network, the network's id.
    domains: HashMap<Box<str>, Box<str>>,
    params: BTreeSet<String>,
    secrets: BTreeSet<String>,
    secret_values: Vec<(Box<str>, Box<str>)>,
    /// What a URL that visitors see may use: no secrets.
    public: Rc<Names>,
    /// What a postback may use.
    names: Rc<Names>,
    made: Made,
    destinations: destinations::Made,
}

/// A file, as far as it has been read.
enum Parts {
    /// All of it.
    Whole(Box<File>),
    /// Nothing: each block is read when its turn comes, and not kept.
    Blocks(Vec<Block>),
}

/// Places of things by kind and id.
#[derive(Default)]
struct Ids {
    networks: HashMap<Box<str>, u32>,
    sources: HashMap<Box<str>, u32>,
    offers: HashMap<Box<str>, u32>,
}

#[derive(Default)]
struct Made {
    sources: Vec<ingest::Source>,
    offers: Vec<ingest::Offer>,
    campaigns: Vec<ingest::Campaign>,
    click_paths: Vec<ClickPath>,
    networks: Vec<ingest::Network>,
}

impl<'a> Compiler<'a> {
    fn new(sources: Vec<Source>, environment: Environment<'a>, egress: &'a Egress) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut files = Vec::with_capacity(sources.len());
        for source in sources {
            let blocks = cut(source.text());
            if !matches!(blocks.as_slice(), [Block { kind: Kind::Whole, .. }]) {
                files.push((source, Parts::Blocks(blocks)));
                continue;
            }
            match toml::from_str(source.text()) {
                Ok(file) => files.push((source, Parts::Whole(Box::new(file)))),
                Err(error) => problems.add(source.unreadable(&error)),
            }
        }
        problems.unless_any(Self {
            files,
            environment,
            profiles: profiles::built_in()?,
            presets: presets::built_in()?,
            egress,
            problems: Problems::default(),
            is_broken: false,
            ids: Ids::default(),
            campaign_names: HashMap::new(),
            domains: HashMap::new(),
            params: BTreeSet::new(),
            secrets: BTreeSet::new(),
            secret_values: Vec::new(),
            public: Rc::default(),
            names: Rc::default(),
            made: Made::default(),
            destinations: destinations::Made::default(),
        })
    }

    /// Reads every block of a kind and gives it to `take`.
    fn each(&mut self, kind: Kind, take: impl Fn(&mut Self, &Source, &File)) {
        let files = std::mem::take(&mut self.files);
        for (source, parts) in &files {
            let blocks = match parts {
                Parts::Whole(file) => {
                    take(self, source, file);
                    continue;
                }
                Parts::Blocks(blocks) => blocks,
            };
            for block in blocks.iter().filter(|block| block.kind == kind) {
                let part = source.from(block.range.start);
                let text = part.text().get(..block.range.len()).unwrap_or_default();
                match toml::from_str(text) {
                    Ok(file) => take(self, &part, &file),
                    Err(error) => {
                        // Sources are read twice.
                        if !self.is_broken || kind != Kind::Source {
                            self.problems.add(part.unreadable(&error));
                        }
                        self.is_broken = true;
                    }
                }
            }
        }
        self.files = files;
    }

    fn secrets(&mut self, source: &Source, file: &File) {
        for (name, reference) in &file.secrets {
            self.secrets.insert(name.clone());
            match reference.get_ref().fetch(self.environment) {
                Ok(secret) => self.secret_values.push((name.as_str().into(), secret.reveal().into())),
                Err(error) => self.wrong(source, reference.span(), format!("secret \"{name}\": {error}")),
            }
        }
    }

    /// The names of ours that sources fill.
    fn params(&mut self, _: &Source, file: &File) {
        self.params.extend(file.source.iter().flat_map(|source| source.params.keys().cloned()));
    }

    /// Notes the id of a thing of a kind.
    fn note(
        &mut self,
        source: &Source,
        id: &Text,
        kind: &str,
        ids: fn(&mut Ids) -> &mut HashMap<Box<str>, u32>,
    ) {
        self.checks(source).id(id);
        let ids = ids(&mut self.ids);
        let index = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        if ids.insert(boxed(id), index).is_some() {
            self.wrong(source, id.span(), format!("two {kind} are called \"{}\"", id.get_ref()));
        }
    }

    fn checks<'b>(&'b mut self, source: &'b Source) -> Checks<'b> {
        Checks { source, problems: &mut self.problems }
    }

    fn wrong(&mut self, source: &Source, span: Range<usize>, what: impl Into<String>) {
        self.checks(source).wrong(span, what);
    }

    fn sources(&mut self, source: &Source, file: &File) {
        for item in &file.source {
            self.note(source, &item.id, "sources", |ids| &mut ids.sources);
            self.postbacks(source, &item.postback, &Level::Source(item.id.get_ref()));
            let params = item.params.iter();
            let made = ingest::Source {
                id: boxed(&item.id),
                external_id: item.external_id.as_deref().map(Into::into),
                cost: item.cost.as_deref().map(Into::into),
                currency: self.checks(source).currency(item.currency.as_ref()).unwrap_or(Currency::USD),
                params: params.map(|(ours, theirs)| (theirs.as_str().into(), ours.as_str().into())).collect(),
            };
            self.made.sources.push(made);
        }
    }

    fn offers(&mut self, source: &Source, file: &File) {
        for item in &file.offer {
            self.note(source, &item.id, "offers", |ids| &mut ids.offers);
            let network = item.network.as_ref();
            if let Some(id) = network {
                self.index(source, id, "network", |ids| &ids.networks);
            }
            let fixed = item.payout.as_ref().filter(|payout| payout.get_ref() != "auto");
            let amount = self.checks(source).money(fixed);
            let currency = self.checks(source).currency(item.currency.as_ref()).unwrap_or(Currency::USD);
            let payout = amount.map(|amount| Money { amount, currency });
            self.postbacks(source, &item.postback, &Level::Offer(item.id.get_ref()));
            if let Some(url) = self.url(source, &item.url, item.missing) {
                let network = network.map_or("", |network| network.get_ref());
                self.made.offers.push(ingest::Offer {
                    id: boxed(&item.id),
                    network: network.into(),
                    url,
                    payout,
                });
            }
        }
    }

    fn networks(&mut self, source: &Source, file: &File) {
        for item in &file.network {
            self.note(source, &item.id, "networks", |ids| &mut ids.networks);
            let mut checks = Checks { source, problems: &mut self.problems };
            let made = networks::network(&mut checks, item, self.profiles, self.environment);
            for (domain, text) in made.domains.iter().zip(&item.domains) {
                if let Some(other) = self.domains.insert(domain.clone(), boxed(&item.id)) {
                    self.wrong(source, text.span(), format!("network \"{other}\" has this domain already"));
                }
            }
            self.made.networks.push(made);
        }
    }

    fn campaigns(&mut self, source: &Source, file: &File) {
        for item in &file.campaign {
            self.checks(source).id(&item.id);
            for name in std::iter::once(&item.id).chain(&item.aliases) {
                let text = name.get_ref().as_str();
                if text.is_empty() || text.len() > ALIAS_BYTES_MAX || text.chars().any(char::is_control) {
                    self.wrong(source, name.span(), "an alias has 1 to 128 bytes that can be seen");
                }
                if let Some(other) = self.campaign_names.insert(boxed(name), boxed(&item.id)) {
                    let what = format!("campaign \"{other}\" goes by \"{text}\" already");
                    self.wrong(source, name.span(), what);
                }
            }
            let made = self.campaign(source, item);
            self.made.campaigns.extend(made);
        }
    }

    fn campaign(&mut self, source: &Source, item: &file::Campaign) -> Option<ingest::Campaign> {
        let from = item.source.as_ref().and_then(|id| self.index(source, id, "source", |ids| &ids.sources));
        let mut offers = Vec::new();
        for choice in &item.offers {
            offers.extend(
                self.index(source, &choice.id, "offer", |ids| &ids.offers)
                    .map(|offer| (offer, choice.weight)),
            );
        }
        let mut landers = Vec::new();
        for lander in &item.landers {
            let url = self.url(source, &lander.url, lander.missing);
            landers.extend(url.map(|url| (url, lander.weight)));
        }
        let fallback = item.fallback_url.as_ref();
        let fallback = fallback.map(|url| self.url(source, url, file::Missing::Empty));
        let window = |this: &mut Self, given: Option<&Text>, default| match given {
            Some(given) => this.checks(source).duration(given, WINDOW_MAX, "180d").unwrap_or(default),
            None => default,
        };
        let conversion_window = window(self, item.window.as_ref(), WINDOW_DEFAULT);
        let duplicate_window = window(self, item.duplicate_window.as_ref(), DUPLICATE_WINDOW_DEFAULT);
        let retention = self.retention(source, item, conversion_window);
        let cost = self.cost(source, item);
        self.postbacks(source, &item.postback, &Level::Campaign(item.id.get_ref()));
        let (Some(offers), Some(landers)) = (Rotation::new(offers), Rotation::new(landers)) else {
            let what = "weights are 0 to 1000000, not all 0, and there are at most 1000 choices";
            self.wrong(source, item.id.span(), what);
            return None;
        };
        Some(ingest::Campaign {
            id: boxed(&item.id),
            aliases: item.aliases.iter().map(boxed).collect(),
            source: from,
            landers,
            offers,
            cost,
            redirect: redirect(item.redirect),
            is_sticky: item.sticky,
            has_cookie: item.cookie,
            fallback: fallback.flatten(),
            address: match item.ip {
                file::IpPolicy::Full => AddressPolicy::Full,
                file::IpPolicy::Truncated => AddressPolicy::Truncated,
                file::IpPolicy::None => AddressPolicy::None,
            },
            duplicate_window,
            window: conversion_window,
            retention,
            pixels: self.pixels(source, item),
        })
    }

    fn retention(&mut self, source: &Source, item: &file::Campaign, window: Duration) -> Option<Duration> {
        let given = item.retention.as_ref()?;
        let retention = self.checks(source).duration(given, RETENTION_MAX, "36500d")?;
        if retention < window.max(RETENTION_MIN) {
            let what = "must be 1d at least, and not below the window: a conversion would not find its click";
            self.wrong(source, given.span(), what);
        }
        Some(retention)
    }

    fn pixels(&mut self, source: &Source, item: &file::Campaign) -> Vec<Pixel> {
        if item.pixel.len() > PIXELS_MAX {
            self.wrong(source, item.id.span(), format!("a campaign has at most {PIXELS_MAX} pixels"));
        }
        let mut pixels = Vec::with_capacity(item.pixel.len());
        for pixel in &item.pixel {
            let kind = match pixel.kind {
                file::PixelKind::Image => PixelKind::Image,
                file::PixelKind::Page => PixelKind::Page,
                file::PixelKind::Script => PixelKind::Script,
            };
            let on = pixel.on.iter().copied().map(Status::from).collect();
            pixels.extend(self.url(source, &pixel.url, pixel.missing).map(|url| Pixel { kind, url, on }));
        }
        pixels
    }

    fn cost(&mut self, source: &Source, item: &file::Campaign) -> Cost {
        let Some(cost) = &item.cost else { return Cost::FromParameter };
        let currency = self.checks(source).currency(cost.currency.as_ref());
        match (cost.model, &cost.amount) {
            (file::CostModel::Parameter, None) => Cost::FromParameter,
            (file::CostModel::Parameter, Some(amount)) => {
                self.wrong(source, amount.span(), "with the model \"parameter\", the source says the amount");
                Cost::FromParameter
            }
            (file::CostModel::Cpc, None) => {
                self.wrong(source, item.id.span(), "the cost model \"cpc\" needs an amount");
                Cost::FromParameter
            }
            (file::CostModel::Cpc, Some(_)) => {
                let amount = self.checks(source).money(cost.amount.as_ref()).unwrap_or_default();
                Cost::Fixed(Money { amount, currency: currency.unwrap_or(Currency::USD) })
            }
        }
    }

    fn click_paths(&mut self, source: &Source, file: &File) {
        for item in &file.click_path {
            let path = item.path.get_ref();
            let stars = path.matches('*').count();
            if !path.starts_with('/') || stars > 1 || stars == 1 && !path.ends_with("/*") {
                self.wrong(source, item.path.span(), "must be a path like \"/go.php\" or \"/go/*\"");
            }
            if (stars == 0) == item.keys.is_empty() {
                let what = "a whole path needs keys that name the campaign, one with a * needs none";
                self.wrong(source, item.path.span(), what);
            }
            let keys = item.keys.iter().map(|key| key.as_str().into()).collect();
            self.made.click_paths.push(ClickPath { path: path.as_str().into(), keys });
        }
    }

    fn postbacks(&mut self, source: &Source, items: &[Postback], level: &Level<'_>) {
        let context = Context {
            names: &self.names,
            secrets: &self.secrets,
            environment: self.environment,
            presets: self.presets,
            egress: self.egress,
        };
        let mut checks = Checks { source, problems: &mut self.problems };
        self.destinations.take(&mut checks, items, level, &context);
    }

    fn hosts(&mut self, source: &Source, file: &File) {
        let mut checks = Checks { source, problems: &mut self.problems };
        self.destinations.take_hosts(&mut checks, &file.host);
    }

    /// A URL that visitors see: of an offer, a lander or a pixel.
    fn url(&mut self, source: &Source, text: &Text, how: file::Missing) -> Option<Template> {
        let names = Rc::clone(&self.public);
        self.checks(source).template(text, Target::Url, &names, missing(how))
    }

    /// The place of what an id refers to.
    fn index(
        &mut self,
        source: &Source,
        id: &Text,
        kind: &str,
        ids: fn(&Ids) -> &HashMap<Box<str>, u32>,
    ) -> Option<u32> {
        let ids = ids(&self.ids);
        let found = ids.get(id.get_ref().as_str()).copied();
        if found.is_none() && !self.is_broken {
            let known: Vec<&str> = ids.keys().map(AsRef::as_ref).collect();
            Checks { source, problems: &mut self.problems }.no_such(id, kind, &known);
        }
        found
    }
}

fn boxed(text: &Text) -> Box<str> {
    text.get_ref().as_str().into()
}

fn redirect(redirect: file::Redirect) -> Redirect {
    match redirect {
        file::Redirect::Found => Redirect::Found,
        file::Redirect::SeeOther => Redirect::SeeOther,
        file::Redirect::Temporary => Redirect::Temporary,
        file::Redirect::Meta => Redirect::Meta,
        file::Redirect::DoubleMeta => Redirect::DoubleMeta,
    }
}
