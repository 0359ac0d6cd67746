//! A delivery: an outbound postback that we owe. Its outcome is what one attempt ended in; what happens to a destination
//! besides is an event of its own.

use crate::clock::Timestamp;

/// What an attempt ended in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum OutcomeClass {
    /// Taken.
    #[default]
    Ok = 0,
    /// Nothing was processed over there: DNS, connection refused, TLS.
    Safe = 1,
    /// Told to slow down.
    Throttle = 2,
    /// A fault over there.
    Server = 3,
    /// Sent, no answer: it may or may not have been processed.
    Ambiguous = 4,
    /// Answered with a redirect, which is never followed.
    Redirect = 5,
    /// Refused as wrong.
    Client = 6,
    /// Refused as unauthorised.
    Auth = 7,
    /// Gone for good.
    Gone = 8,
    /// Our own settings do not allow it to be sent.
    Config = 9,
    /// An operator dropped it.
    Dropped = 10,
}

impl OutcomeClass {
    /// All of them, by their codes.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::Safe,
        Self::Throttle,
        Self::Server,
        Self::Ambiguous,
        Self::Redirect,
        Self::Client,
        Self::Auth,
        Self::Gone,
        Self::Config,
        Self::Dropped,
    ];

    /// Its name in listings and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Safe => "safe",
            Self::Throttle => "throttle",
            Self::Server => "server",
            Self::Ambiguous => "ambiguous",
            Self::Redirect => "redirect",
            Self::Client => "client",
            Self::Auth => "auth",
            Self::Gone => "gone",
            Self::Config => "config",
            Self::Dropped => "dropped",
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        if (code as usize) < Self::ALL.len() { Some(Self::ALL[code as usize]) } else { None }
    }
}

/// What one attempt at a delivery ended in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeliveryOutcome<'a> {
    /// When it ended.
    pub time: Timestamp,
    /// hash(conversion, status sequence, destination): the same for every attempt, restart and replay.
    pub delivery_id: [u8; 16],
    /// Where the decision that owes it lies (`store::Position` as a number).
    pub decision: u64,
    /// 1 for the first attempt.
    pub attempt: u16,
    /// What it ended in.
    pub class: OutcomeClass,
    /// Nothing more will be tried: taken, or dead.
    pub is_final: bool,
    /// Status of the answer; 0 when there was none.
    pub http_status: u16,
    /// How long it took.
    pub duration_micros: u32,
    /// When the next attempt is due.
    pub next_attempt: Option<Timestamp>,
    /// Destination id.
    pub destination: &'a str,
    /// The first bytes of the answer, or what went wrong.
    pub detail: &'a [u8],
}

/// What happened to a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DestinationChange {
    /// How far it has come is written down, in `detail`: what is before that need not be read to know it.
    #[default]
    Progress = 0,
    /// Nothing is sent until somebody resumes it.
    Paused = 1,
    /// It goes on.
    Resumed = 2,
    /// A delivery that had ended is to be attempted again.
    Reopened = 3,
}

impl DestinationChange {
    /// Its name in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Progress => "progress",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Reopened => "reopened",
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Progress),
            1 => Some(Self::Paused),
            2 => Some(Self::Resumed),
            3 => Some(Self::Reopened),
            _ => None,
        }
    }
}

/// Something that happened to a destination apart from its attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DestinationEvent<'a> {
    /// When.
    pub time: Timestamp,
    /// What.
    pub change: DestinationChange,
    /// Of a delivery that is reopened: where the decision that owes it lies (`store::Position` as a number).
    pub decision: u64,
    /// Destination id.
    pub destination: &'a str,
    /// Of progress, its bytes (`dispatcher::progress`); of a pause, why.
    pub detail: &'a [u8],
}
