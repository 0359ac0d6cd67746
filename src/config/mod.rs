//! Configuration: what an operator writes, turned into what the actors need. The only place that knows TOML.
//!
//! In: settings (a file, the environment, flags) and the catalog (a file or a folder). Out: valid values of the actors'
//! own types; or every problem with its place.
//! Keeps: what is not understood is refused, not passed over; a reload is all or nothing.
//! Not here: when to reload (`serve`).

mod acme;
mod blocks;
pub mod catalog;
pub mod certificates;
mod checks;
mod destinations;
mod file;
mod lists;
mod load;
mod networks;
mod outbound;
mod postback;
mod presets;
mod problem;
mod profiles;
mod route;
mod secret;
mod settings;
mod value;
mod warnings;

pub use acme::{Authority, FOLDER as ACME_FOLDER};
pub use lists::load as load_lists;
pub use load::{ENVIRONMENT_PREFIX, Flag, Loaded, Origin, load};
pub use problem::{Line, PROBLEMS_MAX, Problem, Problems};
pub use route::Egress;
pub use secret::{Environment, Secret, SecretError, SecretRef};
pub use settings::{
    Acme, Admin, Catalog, Compactor, Dispatcher, Edge, Entry, Labels, Log, Retention, Settings, Store,
    default_file,
};
pub use value::{Bytes, Listen, ListenTls, duration};
pub use warnings::{all as all_warnings, offer as offer_warning, warnings};

use std::path::Path;
#[cfg(feature = "parquet")]
use std::time::Duration;

use crate::clock::Clock;
#[cfg(feature = "parquet")]
use crate::compactor;
use crate::dispatcher::destinations::Destinations;
use crate::{dispatcher, ingest, store};

/// The process's own environment.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// All of the process's environment that is text.
pub fn variables() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The variable that holds the admin token, if no setting says where it is.
pub const ADMIN_TOKEN_VARIABLE: &str = "CLICKLOG_ADMIN_TOKEN";

/// What is served, and what a reload changes.
#[derive(Debug)]
pub struct Served {
    /// For the way in.
    pub catalog: ingest::Catalog,
    /// For the way out, of the same version.
    pub destinations: Destinations,
    /// What is held against clicks.
    pub lists: ingest::Lists,
}

impl Settings {
    /// What changes on the admin listener must show, if that was said anywhere.
    ///
    /// # Errors
    /// The setting leads nowhere.
    pub fn admin_token(&self, environment: Environment<'_>) -> Result<Option<Secret>, Problems> {
        let variable = SecretRef::Env(ADMIN_TOKEN_VARIABLE.to_owned());
        match &self.admin.token {
            Some(reference) => reference
                .fetch(environment)
                .map(Some)
                .map_err(|error| Problem::at("admin.token", error.to_string()).into()),
            None => Ok(variable.fetch(environment).ok()),
        }
    }

    /// How many workers that is, on a machine with so many processors.
    pub fn workers(&self, processors: usize) -> u8 {
        match self.edge.workers {
            0 => u8::try_from(processors).unwrap_or(u8::MAX).clamp(1, 64),
            workers => workers,
        }
    }

    /// What the store is to be.
    pub fn store_options(&self, workers: u8, clock: Clock) -> store::Options {
        let given = &self.store;
        let bytes = |bytes: Bytes| u32::try_from(bytes.0).unwrap_or(u32::MAX);
        let mut options = store::Options::new(&given.data);
        options.node = given.node;
        options.lanes = workers;
        options.click_segment_bytes = bytes(given.click_segment);
        options.journal_segment_bytes = bytes(given.journal_segment);
        options.click_sync_interval = given.click_sync_interval;
        options.click_sync_bytes = bytes(given.click_sync_bytes);
        options.marks.low_bytes = given.low_free.0;
        options.marks.critical_bytes = given.critical_free.0;
        options.marks.reserve_bytes = given.reserve.0;
        options.dedupe_entries_max = given.transactions_max;
        options.open_files_max = given.open_files_max;
        options.clock = clock;
        options
    }

    /// What the dispatcher is to be; nothing if nothing is to be sent.
    pub fn dispatcher_options(&self, clock: Clock) -> Option<dispatcher::start::Options> {
        let given = &self.dispatcher;
        // Proxies and certificates are part of every destination's route.
        let client = dispatcher::client::Options { clock, ..dispatcher::client::Options::default() };
        given.enabled.then_some(dispatcher::start::Options {
            attempts_max: given.attempts_max,
            attempts_per_host_max: given.attempts_per_host_max,
            drain: given.drain_timeout,
            client,
        })
    }

    /// What is published and where; nothing if nothing is.
    #[cfg(feature = "parquet")]
    pub fn publisher_options(&self, clock: Clock) -> Option<compactor::publisher::Options> {
        let given = &self.compactor;
        let folder = if given.folder.as_os_str().is_empty() { &self.store.data } else { &given.folder };
        let reader = store::reader::Reader::open(&self.store.data);
        let folder = compactor::folder::Folder::new(folder);
        let options = compactor::publisher::Options::new(reader, folder, clock);
        let keep_replaced = given.keep_replaced;
        given.enabled.then_some(compactor::publisher::Options { keep_replaced, ..options })
    }

    /// What was published while the compactor was on, if it is off now and all of that is still there: nobody erases in it or
    /// lets it go.
    #[cfg(feature = "parquet")]
    pub fn unkept_export(&self) -> Option<std::path::PathBuf> {
        let given = &self.compactor;
        let folder = if given.folder.as_os_str().is_empty() { &self.store.data } else { &given.folder };
        let export = compactor::folder::Folder::new(folder).export();
        (!given.enabled && export.is_dir()).then_some(export)
    }

    /// What is forgotten with age, by these settings and this catalog.
    #[cfg(feature = "parquet")]
    pub fn forgetting_rules(&self, catalog: &ingest::Catalog) -> compactor::rewrite::Rules {
        let given = &self.retention;
        let age = |time: Duration| (!time.is_zero()).then_some(time);
        let campaigns = catalog.campaigns().iter();
        compactor::rewrite::Rules {
            personal: age(given.personal),
            personal_params: given.personal_params.clone(),
            clicks: age(given.clicks),
            postbacks: age(given.postbacks),
            deliveries: age(given.deliveries),
            campaigns: campaigns.filter_map(|one| Some((one.id.to_string(), one.retention?))).collect(),
        }
    }

    /// A conversion that counts yet must find its click, and a repeat of it what was decided.
    fn check_retention(&self, catalog: &ingest::Catalog) -> Result<(), Problems> {
        let Some(longest) = catalog.campaigns().iter().max_by_key(|campaign| campaign.window) else {
            return Ok(());
        };
        let mut problems = Problems::default();
        let given = [("clicks", self.retention.clicks), ("postbacks", self.retention.postbacks)];
        for (key, _) in given.iter().filter(|(_, time)| !time.is_zero() && *time < longest.window) {
            let days = longest.window.as_secs().div_ceil(24 * 3600);
            let what = format!(
                "must be \"0\", or \"{days}d\" at least: so long conversions of the campaign \"{}\" count",
                longest.id
            );
            problems.add(Problem::at(format!("retention.{key}"), what));
        }
        problems.unless_any(())
    }

    /// What the edge is to be.
    pub fn edge_options(&self, workers: u8) -> ingest::Options {
        let given = &self.edge;
        let listener = |listen: &Listen| ingest::Listener {
            has_proxy_header: listen.proxy_protocol,
            is_https: listen.is_https(),
            ..ingest::Listener::http(listen.address)
        };
        let mut options = ingest::Options::new(given.listen.iter().map(listener).collect());
        options.workers = workers;
        options.timeouts = ingest::Timeouts {
            handshake: given.handshake_timeout,
            head: given.head_timeout,
            idle: given.idle_timeout,
            write: given.write_timeout,
        };
        options.body_timeout = given.body_timeout;
        options.connections_max = given.connections_max;
        options.connections_per_address_max = given.connections_per_address_max;
        options.requests_per_connection_max = given.requests_per_connection_max;
        options.trusted_proxies = given.trusted_proxies.clone();
        options.drain_timeout = given.drain_timeout;
        options.visitors = given.visitors;
        options
    }

    /// Loads the catalog.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load_catalog(&self, version: u64) -> Result<ingest::Catalog, Problems> {
        catalog::load(self.catalog_path(), version, &environment)
    }

    /// Loads everything that a reload may change: the catalog and the lists.
    ///
    /// # Errors
    /// All that is wrong with the first of them that is.
    pub fn load_served(&self, version: u64) -> Result<Served, Problems> {
        let egress = Egress::of(&self.dispatcher)?;
        let snapshot = catalog::load_all(self.catalog_path(), version, &environment, &egress)?;
        let catalog::Snapshot { catalog, destinations } = snapshot;
        self.check_retention(&catalog)?;
        Ok(Served { catalog, destinations, lists: load_lists(&self.labels)? })
    }

    /// Where the catalog is.
    pub fn catalog_path(&self) -> &Path {
        &self.catalog.path
    }
}
