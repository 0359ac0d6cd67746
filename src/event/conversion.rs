//! A conversion: the fact that a postback carries.

use super::money::Money;

/// Where a conversion stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// Reported, not yet confirmed: no money.
    Pending = 0,
    /// Confirmed: money.
    #[default]
    Approved = 1,
    /// Taken back: the money is taken back too.
    Reversed = 2,
    /// A word that no map knows. Kept as it came in `original_status`, and counted.
    Unknown = 3,
}

impl Status {
    /// Its name in templates, reports and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Reversed => "reversed",
            Self::Unknown => "unknown",
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Pending),
            1 => Some(Self::Approved),
            2 => Some(Self::Reversed),
            3 => Some(Self::Unknown),
            _ => None,
        }
    }
}

/// What one postback says, after its network's parameter names and status words are applied.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conversion<'a> {
    /// Network id.
    pub network: &'a str,
    /// The click id as it came: ours, or another tracker's.
    pub click_id: &'a str,
    /// The network's own id of the conversion; empty when it has none.
    pub transaction_id: &'a str,
    /// What kind of conversion; empty when the network does not say.
    pub event: &'a str,
    /// Where it stands.
    pub status: Status,
    /// The network's word for that.
    pub original_status: &'a str,
    /// What it pays.
    pub payout: Option<Money>,
}
