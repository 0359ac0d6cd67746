//! Settings: how this machine runs clicklog. What it serves is in the catalog.
//!
//! One list says for each key its meaning, type, default and range; the file, the environment, `config show`, `config
//! default` and the shipped `config/clicklog.toml` are all read off it.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::secret::SecretRef;
use super::value::{Bytes, Given, Listen, Value, read};
use crate::logs;

/// One key, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `edge`.
    pub section: &'static str,
    /// `workers`.
    pub key: &'static str,
    /// Meaning and range, in lines.
    pub doc: &'static [&'static str],
    /// As it stands in a file.
    pub value: String,
}

/// Why a key cannot be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unset {
    /// No such section.
    Section,
    /// No such key in it.
    Key,
    /// Not that value.
    Value(String),
}

macro_rules! settings {
    ($($(#[doc = $section_doc:literal])* $section:ident: $Section:ident {
        $($(#[doc = $doc:literal])* $key:ident: $type:ty = $default:expr $(, $check:expr)?;)*
    })*) => {
        $(
            $(#[doc = $section_doc])*
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Section {
                $($(#[doc = $doc])* pub $key: $type,)*
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($key: $default,)* }
                }
            }
        )*

        /// All settings.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Settings {
            $($(#[doc = $section_doc])* pub $section: $Section,)*
        }

        impl Settings {
            /// Sets one key.
            pub(super) fn set(&mut self, section: &str, key: &str, given: Given<'_>) -> Result<(), Unset> {
                match section {
                    $(stringify!($section) => match key {
                        $(stringify!($key) => {
                            let value: $type = read(given).map_err(Unset::Value)?;
                            $(let check: Check<$type> = $check; check(&value).map_err(Unset::Value)?;)?
                            self.$section.$key = value;
                            Ok(())
                        })*
                        _ => Err(Unset::Key),
                    },)*
                    _ => Err(Unset::Section),
                }
            }

            /// Every key, in the order of the file.
            pub fn entries(&self) -> Vec<Entry> {
                vec![$($(Entry {
                    section: stringify!($section),
                    key: stringify!($key),
                    doc: &[$($doc),*],
                    value: self.$section.$key.to_toml(),
                },)*)*]
            }

            /// Every section with its meaning, in the order of the file.
            pub(super) const SECTIONS: &[(&str, &[&str])] =
                &[$((stringify!($section), &[$($section_doc),*]),)*];
        }
    };
}

/// Says what is wrong with a value, if anything is.
type Check<T> = &'static dyn Fn(&T) -> Result<(), String>;

fn within<T: Value + PartialOrd + Display>(range: &RangeInclusive<T>, value: &T) -> Result<(), String> {
    if range.contains(value) {
        return Ok(());
    }
    Err(format!("must be {} to {}", range.start(), range.end()))
}

fn bytes_within(start: u64, end: u64, value: Bytes) -> Result<(), String> {
    if (start..=end).contains(&value.0) {
        return Ok(());
    }
    Err(format!("must be {} to {}", Bytes(start).to_toml(), Bytes(end).to_toml()))
}

fn time_within(start: Duration, end: Duration, value: Duration) -> Result<(), String> {
    if (start..=end).contains(&value) {
        return Ok(());
    }
    Err(format!("must be {} to {}", start.to_toml(), end.to_toml()))
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;

settings! {
    /// Where visitors and networks come in.
    edge: Edge {
        /// Addresses to listen at: "ADDRESS:PORT", ":PORT" for all addresses of both families, or
        /// { address = "…", proxy_protocol = true, https = true, tls = { … } }. With proxy_protocol, each connection must
        /// begin with a PROXY header of version 2. With https, a proxy in front ends TLS, and cookies are for https only.
        /// With tls, it ends here: tls = { certificate = "FILE", key = "FILE" } is shown to everybody, tls = { folder = "DIR" }
        /// to whoever asks for a name in a certificate there (NAME.crt or NAME.pem with NAME.key, or NAME/fullchain.pem with
        /// NAME/privkey.pem); with both, the first is for all other names; acme = true shows what the section acme gets, too.
        /// client_ca = "FILE" asks for client certificates of its authorities, require_client_certificate = true insists.
        /// Files are looked at again every 10s.
        listen: Vec<Listen> = vec![Listen::http(SocketAddr::from(([127, 0, 0, 1], 8080)))], &|list| if list.is_empty() { Err("must name an address".to_owned()) } else { Ok(()) };
        /// Threads, each with a lane of the clicks journal, 1 to 64; 0 is one for each processor.
        workers: u8 = 0, &|n| within(&(0..=64), n);
        /// Proxies, as networks, whose X-Forwarded-For, X-Forwarded-Proto or Forwarded header is believed.
        trusted_proxies: Vec<IpNet> = Vec::new();
        /// For the handshake of a TLS connection, 1s to 1h.
        handshake_timeout: Duration = 10 * SECOND, &|time| time_within(SECOND, HOUR, *time);
        /// From the first byte of a request's head to its last, 1s to 1h.
        head_timeout: Duration = 10 * SECOND, &|time| time_within(SECOND, HOUR, *time);
        /// Between two requests of a connection, 1s to 1h. The load balancers of AWS keep connections for 60s and must
        /// not be the ones who are surprised.
        idle_timeout: Duration = 75 * SECOND, &|time| time_within(SECOND, HOUR, *time);
        /// From a request's head to the last byte of its body, 1s to 1h.
        body_timeout: Duration = 10 * SECOND, &|time| time_within(SECOND, HOUR, *time);
        /// For a peer that takes nothing of an answer, 1s to 1h.
        write_timeout: Duration = 30 * SECOND, &|time| time_within(SECOND, HOUR, *time);
        /// Connections over all, 1 to 1000000; one more is answered 503. Each takes a file descriptor.
        connections_max: usize = 20_000, &|n| within(&(1..=1_000_000), n);
        /// Connections from one IPv4 address or IPv6 /64, 1 to 1000000; trusted proxies and listeners with
        /// proxy_protocol are exempt.
        connections_per_address_max: usize = 2_000, &|n| within(&(1..=1_000_000), n);
        /// Requests on one connection, 1 to 4000000000; the last answer closes it.
        requests_per_connection_max: u32 = 100_000, &|n| within(&(1..=4_000_000_000), n);
        /// How long a stop goes on taking connections while it says that it is not ready, 0 to 1h: for load balancers, which
        /// need a moment to notice.
        announce_time: Duration = Duration::ZERO, &|time| time_within(Duration::ZERO, HOUR, *time);
        /// How long connections may go on after that, 0 to 1h.
        drain_timeout: Duration = 10 * SECOND, &|time| time_within(Duration::ZERO, HOUR, *time);
        /// Visitors that are remembered to tell a second click from a first, 1024 to 1073741824; 8 bytes each. Full, the
        /// table forgets the oldest.
        visitors: usize = 1_048_576, &|n| within(&(1024..=1_073_741_824), n);
    }
    /// Certificates from an authority that speaks ACME (RFC 8555), such as Let's Encrypt: asked for, shown by listeners with
    /// tls = { acme = true }, and renewed when a third of their time is left. They are kept in the data folder, in acme/.
    acme: Acme {
        /// Names that a certificate is asked for, for each its own. The authority must reach this daemon by them: at port 443
        /// by a listener with acme = true, or at port 80 by one without TLS. A reload takes new ones over.
        domains: Vec<String> = Vec::new(), &|names| names.iter().try_for_each(|name| domain(name));
        /// Whether you agree to the authority's terms of service: it gives nothing to whoever does not.
        agree_to_terms: bool = false;
        /// Mail addresses that the authority may write to.
        contact: Vec<String> = Vec::new(), &|all| all.iter().try_for_each(|one| mail_address(one));
        /// The authority's directory, at https.
        directory: String = "https://acme-v02.api.letsencrypt.org/directory".to_owned(), &|url| directory(url);
        /// A PEM file with certificates of further authorities that are believed when this one is called; "" is none.
        ca: PathBuf = PathBuf::new();
    }
    /// Where everything is kept.
    store: Store {
        /// The data folder; made if it is not there.
        data: PathBuf = "clicklog-data".into();
        /// Number of this machine among those that share a catalog, 0 to 1023; part of every click ID.
        node: u16 = 0, &|n| within(&(0..=1023), n);
        /// Length of a segment of clicks, 64KiB to 512MiB, a multiple of 4KiB.
        click_segment: Bytes = Bytes(256 * MIB), &|n| segment(*n);
        /// The same for postbacks and deliveries.
        journal_segment: Bytes = Bytes(64 * MIB), &|n| segment(*n);
        /// How long a click may wait until it survives a power cut, 1ms to 10s.
        click_sync_interval: Duration = 50 * MS, &|time| time_within(MS, 10 * SECOND, *time);
        /// Written by one worker, so much is synced sooner, 64KiB to 512MiB.
        click_sync_bytes: Bytes = Bytes(4 * MIB), &|n| bytes_within(64 * KIB, 512 * MIB, *n);
        /// With less room than this on the disk, an alarm; 0 to 1024TiB.
        low_free: Bytes = Bytes(4 * GIB), &|n| bytes_within(0, 1024 * TIB, *n);
        /// With less room than this, postbacks are answered 503 and clicks still go on; 0 to 1024TiB, at most low_free.
        critical_free: Bytes = Bytes(GIB), &|n| bytes_within(0, 1024 * TIB, *n);
        /// A file that keeps this much room, to start with on a full disk, 0 to 1TiB.
        reserve: Bytes = Bytes(64 * MIB), &|n| bytes_within(0, TIB, *n);
        /// Transactions that the dedupe table holds, 1000 to 1000000000; about 20 bytes each. They go with the postbacks that
        /// they are from (retention.postbacks), so it must be more than come in that time; where postbacks are kept for ever
        /// the table fills up. When it is full, new transactions are answered 503.
        transactions_max: usize = 100_000_000, &|n| within(&(1_000..=1_000_000_000), n);
        /// Files of sealed segments that are kept open, 8 to 100000.
        open_files_max: usize = 256, &|n| within(&(8..=100_000), n);
    }
    /// Campaigns, offers, networks and sources.
    catalog: Catalog {
        /// A file, or a folder of *.toml files; "" is a built-in catalog for a first look.
        path: PathBuf = PathBuf::new();
    }
    /// What is held against a click. Nothing is dropped: a labelled click counts gross, not net.
    labels: Labels {
        /// A file with what the user agents of bots contain, a line each, or the IAB's list of spiders and robots; "" is the
        /// built-in list.
        bots: PathBuf = PathBuf::new();
        /// A file with what clears a user agent that is on the list of bots; "" is none.
        bot_exceptions: PathBuf = PathBuf::new();
        /// A file with what the user agents of browsers contain, or the IAB's list of valid browsers: what matches none is
        /// labelled as a bot; "" is no such list.
        browsers: PathBuf = PathBuf::new();
        /// A file with the networks of data centres, one a line; "" is the built-in list.
        data_centres: PathBuf = PathBuf::new();
        /// MaxMind databases (.mmdb) with countries or autonomous systems; the first that knows an address decides. Needs a
        /// build with the feature "geo".
        geo: Vec<PathBuf> = Vec::new();
    }
    /// Where conversions are told on: the catalog says to whom.
    dispatcher: Dispatcher {
        /// Whether anything is sent. What is owed meanwhile is sent once it is.
        enabled: bool = true;
        /// Attempts at once over all destinations, 1 to 10000. Each takes a connection.
        attempts_max: u32 = 256, &|n| within(&(1..=10_000), n);
        /// Attempts at once at one host, unless the catalog says otherwise of it, 1 to 1000.
        attempts_per_host_max: u32 = 64, &|n| within(&(1..=1_000), n);
        /// How long a stop waits for attempts, 0 to 1h. Those that are cut off are made again after the next start.
        drain_timeout: Duration = 10 * SECOND, &|time| time_within(Duration::ZERO, HOUR, *time);
        /// An HTTP proxy like `http://proxy.example:3128` that is asked for each connection, unless a destination has its
        /// own; "" is none.
        proxy: String = String::new();
        /// A PEM file with certificates of further authorities that are believed, by every destination; "" is none.
        ca: PathBuf = PathBuf::new();
    }
    /// What is recorded, as Parquet files that analysts open.
    compactor: Compactor {
        /// Whether anything is published. What is recorded meanwhile is published once it is. What was published before is left
        /// alone meanwhile: nothing in it is erased or goes with age.
        enabled: bool = true;
        /// The folder of export, export-meta, export-old and export-staging, on one file system; "" is the data folder.
        folder: PathBuf = PathBuf::new();
        /// What is read of the journals in a second, 64KiB to 1TiB.
        bytes_per_second: Bytes = Bytes(64 * MIB), &|n| bytes_within(64 * KIB, TIB, *n);
        /// Whether it works only while a processor has nothing else to do. Where none ever has, false has it take a small
        /// share all the same (nice 19), and slow requests are somewhat slower.
        only_idle: bool = true;
        /// How long files that were replaced are kept in export-old, for whoever is reading them, 1s to 24h.
        keep_replaced: Duration = HOUR, &|time| time_within(SECOND, 24 * HOUR, *time);
        /// It stands back while more than one in a hundred of the last requests took longer, 1ms to 1h.
        stand_back: Duration = 25 * MS, &|time| time_within(MS, HOUR, *time);
    }
    /// What is forgotten with age; what `clicklog erase` asks for is forgotten in any case. Ages are in whole days, UTC, and "0"
    /// is for ever.
    retention: Retention {
        /// After which clicks go, 0 or 1d to 36500d, not below the longest window of a campaign. A campaign may have a
        /// retention of its own in the catalog, where that is sooner.
        clicks: Duration = Duration::ZERO, &|time| kept(DAY, *time);
        /// After which postbacks and what was decided on them go, once nobody is owed anything of it; 0 or 7d to 36500d, not
        /// below the longest window of a campaign: a repeat that comes later would count again. Their transactions are
        /// forgotten with them, which makes room for others (store.transactions_max).
        postbacks: Duration = Duration::ZERO, &|time| kept(7 * DAY, *time);
        /// After which outcomes of deliveries go, 0 or 7d to 36500d.
        deliveries: Duration = Duration::ZERO, &|time| kept(7 * DAY, *time);
        /// After which nothing says whom it was about, 0 or 1d to 36500d: counts and money stay.
        personal: Duration = Duration::ZERO, &|time| kept(DAY, *time);
        /// Parameters that are personal too, in any case of their letters.
        personal_params: Vec<String> = Vec::new();
        /// How often it is looked whether something has become old enough, 1s to 24h.
        interval: Duration = HOUR, &|time| time_within(SECOND, 24 * HOUR, *time);
        /// What is read and written for it in a second, 64KiB to 1TiB.
        rewrite_bytes_per_second: Bytes = Bytes(32 * MIB), &|n| bytes_within(64 * KIB, TIB, *n);
    }
    /// Health, metrics and changes, for operators only.
    admin: Admin {
        /// Address to listen at.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9101));
        /// Host names that it may be asked by, beside addresses and localhost: a page of a stranger cannot then reach it
        /// through a name of its own.
        hosts: Vec<String> = Vec::new();
        /// What changes must show, as { env = "NAME" } or { file = "PATH" }; "" is CLICKLOG_ADMIN_TOKEN, or else one that is
        /// made and kept in the data folder as admin-token.
        token: Option<SecretRef> = None;
    }
    /// What is said on standard error.
    log: Log {
        /// "json", a line each; "text"; or "auto", which is text on a terminal and JSON off one.
        format: logs::Format = logs::Format::Auto;
        /// How much: "error", "warn", "info", "debug" or "trace". A reload takes it over, and POST /-/log-level changes it until
        /// then.
        level: logs::Level = logs::Level::Info;
    }
}

/// For ever, or so long at least.
fn kept(least: Duration, time: Duration) -> Result<(), String> {
    if time.is_zero() { Ok(()) } else { time_within(least, 36_500 * DAY, time) }
}

/// What an authority can be asked for: a name, in full, of which it looks at the machine behind it.
fn domain(name: &str) -> Result<(), String> {
    if name.starts_with("*.") {
        return Err(format!("\"{name}\" needs a record in DNS that clicklog cannot make: name each domain"));
    }
    let is_label = |label: &str| {
        let is_plain = label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        (1..=63).contains(&label.len()) && is_plain && !label.starts_with('-') && !label.ends_with('-')
    };
    // Nothing in DNS ends in a number: that is an address.
    let is_name = name.rsplit('.').next().is_some_and(|last| last.bytes().any(|byte| !byte.is_ascii_digit()));
    if is_name && name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!("\"{name}\" is no domain name like \"trk.example.com\", in small letters, IDN as xn--…"))
}

fn mail_address(text: &str) -> Result<(), String> {
    let parts = text.split_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b':' | b'?'));
    match parts.filter(|(_, host)| is_plain && !host.contains('@')) {
        Some(_) => Ok(()),
        None => Err(format!("\"{text}\" is no mail address like \"ops@example.com\"")),
    }
}

fn directory(url: &str) -> Result<(), String> {
    let is_one = url.parse::<http::Uri>().is_ok_and(|url| {
        url.scheme() == Some(&http::uri::Scheme::HTTPS) && url.host().is_some_and(|host| !host.is_empty())
    });
    if is_one { Ok(()) } else { Err("must be a URL like \"https://acme.example/directory\"".to_owned()) }
}

fn segment(bytes: Bytes) -> Result<(), String> {
    bytes_within(64 * KIB, 512 * MIB, bytes)?;
    if bytes.0.is_multiple_of(4 * KIB) { Ok(()) } else { Err("must be a multiple of \"4KiB\"".to_owned()) }
}

/// The settings file that says what is the default anyway: what `config/clicklog.toml` is.
pub fn default_file() -> String {
    let mut text = String::from(
        "# Settings of clicklog: this file says what is so without it. Sizes are like \"64MiB\", times like \"10s\";\n\
         # each key may also be given as an environment variable, CLICKLOG_EDGE__WORKERS=4 for edge.workers.\n",
    );
    let entries = Settings::default().entries();
    for (section, doc) in Settings::SECTIONS {
        text.push('\n');
        doc.iter().for_each(|line| text.push_str(&format!("#{line}\n")));
        text.push_str(&format!("[{section}]\n"));
        for entry in entries.iter().filter(|entry| entry.section == *section) {
            entry.doc.iter().for_each(|line| text.push_str(&format!("#{line}\n")));
            text.push_str(&format!("{} = {}\n", entry.key, entry.value));
        }
    }
    text
}
