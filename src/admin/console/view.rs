//! What the console shows, before it is laid out; and who knows it.
//!
//! In: nothing; the daemon fills these in (`serve::console`). Out: plain values, each as it is: a page escapes what it shows.
//! What `/api/` and the command line tell as JSON comes as that JSON (`ApiResult`) and is read by the page that shows it.

use crate::admin::{ApiError, ApiResult};
use crate::clock::Timestamp;

/// Who knows all this. Any of it may block for seconds: it is asked on threads that may wait.
pub trait Facts: Send + Sync + 'static {
    /// Sums of the last day and fortnight.
    ///
    /// # Errors
    /// What reading says.
    fn overview(&self) -> Result<Overview, ApiError>;
    /// Campaigns whose id, alias, source or offers have this text in them.
    ///
    /// # Errors
    /// What reading says.
    fn campaigns(&self, wanted: &Wanted) -> Result<Listed<CampaignRow>, ApiError>;
    /// One campaign; its links begin with `base`, or with the first address that we listen at.
    ///
    /// # Errors
    /// There is no such campaign.
    fn campaign(&self, id: &str, base: Option<&str>) -> Result<CampaignPage, ApiError>;
    /// Networks whose id has this text in it.
    fn networks(&self, wanted: &Wanted) -> Listed<NetworkRow>;
    /// One network, and its last requests; `base` as for a campaign.
    ///
    /// # Errors
    /// There is no such network.
    fn network(&self, id: &str, base: Option<&str>) -> Result<NetworkPage, ApiError>;
    /// The last requests in which no network was recognised.
    ///
    /// # Errors
    /// What reading says.
    fn strangers(&self) -> Result<Requests, ApiError>;
    /// Deliveries in some state, newest first, as `clicklog deliveries list --format json` prints them.
    ///
    /// # Errors
    /// What reading says.
    fn deliveries(&self, wanted: &WantedDeliveries) -> ApiResult;
    /// One delivery, as `clicklog deliveries show --format json` prints it, by its attempts of the last so many days.
    ///
    /// # Errors
    /// There is no attempt at it in that time.
    fn delivery(&self, id: &str, days: u32) -> ApiResult;
    /// Payouts that were held in the last so many days: the oldest, as `clicklog held list --format json` prints them, in `held`,
    /// and whether there are more, in `has_more`.
    ///
    /// # Errors
    /// What reading says.
    fn held(&self, days: u32) -> ApiResult;
    /// The life of a click, as `clicklog lookup --format json` prints it; nothing older than so many days.
    ///
    /// # Errors
    /// What reading says.
    fn look_up(&self, text: &str, days: u32) -> ApiResult;
    /// Ids of networks, for a form.
    fn network_ids(&self) -> Vec<String>;
    /// Every setting in force.
    fn settings(&self) -> Vec<Setting>;
    /// What is on disk.
    ///
    /// # Errors
    /// What reading says.
    fn storage(&self) -> Result<Storage, ApiError>;
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What is looked for, in any case of its letters.
    pub text: String,
    /// How many are passed by.
    pub from: usize,
    /// How many are shown.
    pub count: usize,
}

/// A part of a list, found.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// That part.
    pub rows: Vec<T>,
    /// How many there are.
    pub found: usize,
    /// How many there would be if nothing was looked for.
    pub all: usize,
    /// Why sums of them could not be read.
    pub unread: Option<String>,
}

/// Which deliveries are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedDeliveries {
    /// To this destination; to any if it is empty.
    pub destination: String,
    /// `dead`, `retrying`, `delivered`, `reopened`; any if it is empty.
    pub state: String,
    /// Of this click, conversion or transaction; of any if it is empty.
    pub about: String,
    /// Attempted in the last so many days.
    pub days: u32,
    /// So many at most.
    pub count: usize,
}

/// Sums over a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Clicks, gross.
    pub clicks: u64,
    /// Clicks that nothing is held against.
    pub net: u64,
    /// New conversions.
    pub conversions: u64,
    /// Revenue in millionths, in the order of the currencies beside it.
    pub revenue: Vec<i128>,
    /// Cost, likewise.
    pub cost: Vec<i128>,
}

/// Sums of a time, and of its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Each hour or day, in order, those in which nothing was too: `2026-11-20` or `2026-11-20 07:00`.
    pub points: Vec<(String, Sums)>,
    /// All of it.
    pub total: Sums,
    /// Codes of the currencies, in order.
    pub currencies: Vec<String>,
    /// What could not be read.
    pub notes: Vec<String>,
}

/// Attempts of one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// As in `Period`.
    pub hour: String,
    /// Those that were taken.
    pub ok: u64,
    /// Those that were not, and are followed by another.
    pub failed: u64,
    /// Those that were not, and were the last.
    pub dead: u64,
}

/// See `Facts::overview`.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// When it was read.
    pub as_of: Timestamp,
    /// Why sums could not be read.
    pub unread: Option<String>,
    /// The last 24 hours; nothing where no sums are kept.
    pub day: Option<Period>,
    /// The last 14 days; likewise.
    pub fortnight: Option<Period>,
    /// The campaigns with the most clicks of the last 24 hours, with the currencies of `day`.
    pub top: Vec<(String, Sums)>,
    /// Attempts at deliveries of the last 24 hours.
    pub attempts: Vec<Attempts>,
    /// How far back attempts were read, if that is not as far as they go.
    pub attempts_cut: Option<u64>,
    /// Why attempts could not be read.
    pub attempts_unread: Option<String>,
    /// Where visitors come in.
    pub listens: Vec<String>,
}

/// A campaign in a list.
#[derive(Clone, Debug, Default)]
pub struct CampaignRow {
    /// Its id.
    pub id: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its source, if it has one.
    pub source: String,
    /// Its offers.
    pub offers: Vec<String>,
    /// The last 24 hours; nothing where no sums are kept.
    pub sums: Option<Sums>,
    /// The currencies of these.
    pub currencies: Vec<String>,
}

/// Something to be pasted somewhere.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// What it is.
    pub name: String,
    /// Where it belongs, and what should be known of it.
    pub hint: String,
    /// Itself.
    pub text: String,
}

/// See `Facts::campaign`.
#[derive(Clone, Debug, Default)]
pub struct CampaignPage {
    /// Itself.
    pub row: CampaignRow,
    /// How it is set, by name.
    pub facts: Vec<(String, String)>,
    /// Its own links.
    pub links: Vec<Link>,
    /// Of each of its networks: its id, and its postback URL and pixels.
    pub networks: Vec<(String, Vec<Link>)>,
    /// Whom its conversions are told to: destination, of what, and how.
    pub outgoing: Vec<Link>,
    /// What is probably wrong with it.
    pub warnings: Vec<String>,
    /// What links begin with.
    pub base: String,
    /// The last 7 days; nothing where no sums are kept.
    pub week: Option<Period>,
}

/// A network in a list.
#[derive(Clone, Debug, Default)]
pub struct NetworkRow {
    /// Its id.
    pub id: String,
    /// How it shows who it is, in words.
    pub shows: String,
    /// How repeats are treated, in words.
    pub repeats: String,
    /// How many requests are kept in memory.
    pub recent: usize,
    /// How many of these were refused.
    pub refused: usize,
    /// When the last of these came.
    pub last: String,
}

/// A request of a network.
#[derive(Clone, Debug, Default)]
pub struct RequestRow {
    /// When it came.
    pub time: String,
    /// Its method.
    pub method: String,
    /// Path and query, without secrets, cut.
    pub target: String,
    /// Its body, without secrets, cut.
    pub body: String,
    /// What became of it, as in `X-Clicklog-Result`.
    pub result: String,
    /// Why.
    pub reason: String,
    /// Its transaction, or its click, if one of them is known: what it can be looked up by.
    pub about: String,
}

/// See `Facts::network`.
#[derive(Clone, Debug, Default)]
pub struct NetworkPage {
    /// Its id.
    pub id: String,
    /// How it is set, by name.
    pub facts: Vec<(String, String)>,
    /// What its parameters mean: the role, and their names in order.
    pub params: Vec<(String, Vec<String>)>,
    /// Its postback URL and pixels.
    pub links: Vec<Link>,
    /// What links begin with.
    pub base: String,
    /// Its last requests.
    pub last: Requests,
}

/// The last requests of a network, or of none.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Newest first.
    pub rows: Vec<RequestRow>,
    /// Bytes of the journal that they were looked for in.
    pub read_bytes: u64,
    /// Whether that is all of it.
    pub read_all: bool,
    /// Why the journal could not be read: then these are what is in memory.
    pub unread: Option<String>,
}

/// One key of the settings.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// `edge`.
    pub section: &'static str,
    /// `workers`.
    pub key: &'static str,
    /// As it stands in a file, without secrets.
    pub value: String,
    /// What it means, and its range.
    pub doc: String,
    /// Whether it is what it would be without being said.
    pub is_default: bool,
}

/// Segments of one lane.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    /// Of which journal.
    pub journal: &'static str,
    /// Its number.
    pub lane: u8,
    /// Those that are immutable.
    pub sealed: usize,
    /// Those that are written to, or made ready.
    pub open: usize,
    /// Those that cannot be read.
    pub unreadable: usize,
    /// What they take on disk.
    pub bytes: u64,
}

/// What became of one table.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Its name.
    pub table: String,
    /// Segments that were published since the start.
    pub segments: u64,
    /// Rows of these.
    pub rows: u64,
    /// Segments that wait.
    pub waiting: u64,
}

/// See `Facts::storage`.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    /// The data folder.
    pub folder: String,
    /// Bytes that are free there.
    pub free_bytes: u64,
    /// Whether that is enough: `enough`, `low`, `critical`.
    pub room: String,
    /// Every lane.
    pub lanes: Vec<Lane>,
    /// Lanes of which not every segment was looked at.
    pub is_cut: bool,
    /// What is published; empty where nothing is.
    pub published: Vec<Published>,
    /// When something was published last since the start.
    pub published_last: Option<Timestamp>,
    /// How often publishing failed since the start.
    pub failures: u64,
    /// After which age things go, by name, in words.
    pub retention: Vec<(String, String)>,
    /// When all that was due was forgotten last since the start.
    pub forgotten_last: Option<Timestamp>,
    /// Erasures that are not out of every segment yet: when they were asked for, and how many records they are about.
    pub erasures: Vec<(String, usize)>,
    /// Erasures of which nothing is left.
    pub erasures_done: usize,
    /// What the last start found, in words.
    pub recovery: String,
}
