//! What is brought before the owner of the books: a request as it came, and what it is taken to say.
//!
//! Everything here is owned: it crosses from the worker that read a request to the thread that decides.

use std::fmt;
use std::sync::Arc;

use super::reapply::Assumed;
use super::rules::{Network, Terms};
use crate::clock::Timestamp;
use crate::event::click::KeptAddress;
use crate::event::click_id::Place;
use crate::event::conversion::Status;
use crate::event::cost::CostUpdate;
use crate::event::money::{Currency, Micros, Money};
use crate::event::params::{Params, ParamsRef};
use crate::event::postback::Postback;
use crate::store::Position;
use crate::store::clicks::FoundClick;

/// A request as it came, secrets masked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// When it was read.
    pub time: Timestamp,
    /// Version of the catalog it was read with.
    pub config_version: u64,
    /// Who called.
    pub address: Option<KeptAddress>,
    /// Network id; empty when none was recognised.
    pub network: String,
    /// HTTP method.
    pub method: String,
    /// Host that was asked.
    pub host: String,
    /// Path.
    pub path: String,
    /// Query, without the `?`.
    pub query: String,
    /// `Content-Type` header.
    pub content_type: String,
    /// The other headers, one `name: value` a line.
    pub headers: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Evidence {
    /// As it goes into the journal.
    pub(super) fn as_postback(&self, partition: u8, refused: Option<Refusal>) -> Postback<'_> {
        Postback {
            time: self.time,
            config_version: self.config_version,
            address: self.address,
            partition,
            refused: refused.map_or(0, Refusal::code),
            network: &self.network,
            method: &self.method,
            host: &self.host,
            path: &self.path,
            query: &self.query,
            content_type: &self.content_type,
            headers: &self.headers,
            body: &self.body,
        }
    }
}

/// What a request says, read by its network's mapping; all of it could be understood.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The click id as it came; for one found by cookie or address, its own.
    pub click_id: String,
    /// The network's own id of the conversion.
    pub transaction_id: Option<String>,
    /// What kind of conversion; empty for the only one.
    pub event: String,
    /// Where it stands.
    pub status: Status,
    /// The network's word for that.
    pub original_status: String,
    /// What it pays or takes back, if it says.
    pub payout: Option<Micros>,
    /// In which currency.
    pub currency: Currency,
    /// All parameters, secrets left out.
    pub params: Params,
}

/// What is known of the click.
#[derive(Clone, Debug)]
pub enum Subject {
    /// It is here. With a way through a lander, `parent` is the click that began it.
    Click {
        /// The record that the id leads to.
        click: Box<FoundClick>,
        /// For a way through a lander: the first click, where it can still be read.
        parent: Option<Box<FoundClick>>,
    },
    /// The id is one of ours, and its click is lost.
    Lost(Place),
    /// Nobody knows it.
    Unknown,
}

/// What a decision does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// It counts.
    #[default]
    Counts,
    /// It is kept and counts nowhere.
    Test,
    /// It is only worked out: nothing is kept.
    DryRun,
}

/// One postback, ready to be decided.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The request.
    pub evidence: Evidence,
    /// What it says.
    pub claim: Claim,
    /// By which rules.
    pub network: Arc<Network>,
    /// About which click.
    pub subject: Subject,
    /// On which terms.
    pub terms: Terms,
    /// The offer that it can only have been, where the click itself names none; empty if that is not known either.
    pub offer: String,
    /// To which effect.
    pub effect: Effect,
}

/// What is asked of the owner of the books.
#[derive(Debug)]
pub enum Request {
    /// Decide on a postback.
    Postback(Box<Submission>),
    /// Keep a request that was refused.
    Refused(Box<Evidence>, Refusal),
    /// Keep cost updates.
    Costs(Vec<Cost>),
    /// Begin a new segment of the journal, so that what is in the old one can be sealed.
    Roll,
    /// Decide on a held payout.
    Settle {
        /// The decision that holds it.
        held: Position,
        /// Whether it counts from now on; if not, it never will.
        is_release: bool,
        /// When that was asked.
        time: Timestamp,
        /// The newest decision on its conversion, where keys that were erased lead there no more.
        newest: Option<Position>,
    },
    /// Decide once more on a postback that is in the journal, in place of what was decided on it before.
    Reapply {
        /// Where the postback lies.
        postback: Position,
        /// What was decided on it so far, newest last.
        decisions: Vec<Position>,
        /// As it is read today; `evidence` is what the journal has.
        submission: Box<Submission>,
        /// For a dry run: what the steps of it so far would have come to.
        assumed: Option<Arc<Assumed>>,
    },
}

/// A cost update on its way into the journal.
#[derive(Clone, Debug)]
pub struct Cost {
    /// See `CostUpdate`, for all of them.
    pub time: Timestamp,
    /// The chunk that brought it.
    pub import: u64,
    /// What the hour costs.
    pub cost: Money,
    /// What that adds.
    pub entry: Micros,
    /// Of which clicks.
    pub of: Arc<CostKey>,
}

/// Which clicks a cost is of.
#[derive(Clone, Debug)]
pub struct CostKey {
    /// Campaign id.
    pub campaign: String,
    /// Source id, or nothing.
    pub source: String,
    /// Offer id, or nothing.
    pub offer: String,
    /// What else they have in common, in its stored form.
    pub params: Vec<u8>,
}

impl Cost {
    /// As it goes into the journal.
    pub(super) fn as_update(&self) -> CostUpdate<'_> {
        CostUpdate {
            time: self.time,
            import: self.import,
            cost: self.cost,
            entry: self.entry,
            campaign: &self.of.campaign,
            source: &self.of.source,
            offer: &self.of.offer,
            params: ParamsRef::check(&self.of.params).unwrap_or_default(),
        }
    }
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $label:literal, $text:literal;)*) => {
        /// Why a request was refused before it was decided on. Codes and names are kept for good.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Refusal {
            $($(#[$doc])* $name = $code,)*
        }

        impl Refusal {
            /// All of them, by code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its number in a record.
            pub const fn code(self) -> u16 {
                self as u16
            }

            /// Its name in answers, reports and metric labels.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// What is wrong, for whoever sent it.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

refusals! {
    /// No network is called that, or none could be told from the others.
    UnknownNetwork = 1, "unknown_network", "no network is recognised";
    /// A secret is asked for, and the right one was not there.
    Secret = 2, "secret", "the secret is missing or wrong";
    /// A signature is asked for, and the right one was not there.
    Signature = 3, "signature", "the signature is missing or wrong";
    /// The signature's time is too far from ours.
    Stale = 4, "stale", "the signature is too old or from the future";
    /// The caller's address is not on the network's list.
    Address = 5, "address", "this address may not report conversions";
    /// The network's rate is used up.
    RateLimit = 6, "rate_limit", "too many requests";
    /// The network takes conversions over TLS only.
    RequireHttps = 7, "require_https", "this network takes https only";
    /// The network takes no pixels.
    Pixel = 8, "pixel", "this network takes no pixels";
    /// The network's callers show a certificate, and this one did not.
    ClientCertificate = 9, "client_certificate", "this network's callers must show a client certificate";
    /// Nothing says which click.
    MissingClickId = 16, "missing_click_id", "nothing says which click";
    /// The network must send a transaction id, and did not.
    MissingTransactionId = 17, "missing_transaction_id", "there is no transaction id";
    /// The network must send a payout, and did not.
    MissingPayout = 18, "missing_payout", "there is no payout";
    /// The network must send a status, and did not.
    MissingStatus = 19, "missing_status", "there is no status";
    /// The network must send an event, and did not.
    MissingEvent = 20, "missing_event", "there is no event";
    /// The network must send a currency, and did not.
    MissingCurrency = 21, "missing_currency", "there is no currency";
    /// The payout is no amount.
    BadPayout = 22, "bad_payout", "the payout is no amount";
    /// The currency is none.
    BadCurrency = 23, "bad_currency", "the currency is none";
    /// The body cannot be read.
    BadBody = 24, "bad_body", "the body cannot be read";
    /// The request itself says that its status is to be passed over.
    IgnoredStatus = 25, "ignored_status", "the request asks to pass over its status";
    /// A parameter is longer than can be kept.
    TooLong = 26, "too_long", "a parameter is too long";
}

impl Refusal {
    /// The one with this number.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.code() == code)
    }

    /// Whether the caller had shown to be who it says: then the request is kept whole, so that it can be applied again
    /// once the mapping is right. Of the others only samples are.
    pub const fn is_of_a_known_caller(self) -> bool {
        self.code() >= Self::MissingClickId.code()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
