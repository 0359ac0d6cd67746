//! Events at rest: the journals, and the tables that find a record in them.

mod background;
pub mod clicks;
pub mod commit;
pub mod dedupe;
pub mod directory;
mod eras;
pub mod erasures;
mod error;
mod files;
pub mod foreign;
mod handle;
pub mod handoff;
pub mod index_file;
pub mod keys;
pub mod lane;
pub mod layout;
pub mod manifest;
mod mapping;
pub use mapping::{install_sigbus_handler, is_open_elsewhere, run_behind_all};
mod open;
mod options;
pub mod poison;
pub mod position;
pub mod published;
pub mod reader;
pub mod record;
pub mod recovery;
pub mod rewrite;
pub mod scan;
pub mod sealed;
pub mod segment;
pub mod space;
mod sync;
pub mod verify;
pub mod watermark;

pub use background::Counters;
pub use error::{Error, Result, described};
pub use handle::{RoomWatch, Store};
pub use lane::{Appended, Lane, LaneWriter, Level, Lookup};
pub use open::Progress;
pub use options::Options;
pub use position::Position;
pub use recovery::Report;

/// The three ordered logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Journal {
    /// Clicks: one lane per worker thread.
    Clicks = 1,
    /// Postbacks and the decisions on them: one owner.
    Postbacks = 2,
    /// Outcomes of deliveries: one owner.
    Deliveries = 3,
}

impl Journal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Clicks, Self::Postbacks, Self::Deliveries];

    /// Its number on disk.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The journal with this number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Clicks),
            2 => Some(Self::Postbacks),
            3 => Some(Self::Deliveries),
            _ => None,
        }
    }

    /// Its name in paths, messages and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clicks => "clicks",
            Self::Postbacks => "postbacks",
            Self::Deliveries => "deliveries",
        }
    }
}
