//! A conversion: the fact that a postback carries.

use super::money::{Currency, Micros, Money};

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

/// How a conversion stands after a decision: all that the next decision on it must know. What it means for the money is
/// in `apply::books`. The default is a conversion that nobody has told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Something was told of it that counts.
    pub was_told: bool,
    /// It was said to be pending.
    pub was_pending: bool,
    /// A word was said that no map knows.
    pub was_unknown: bool,
    /// It was approved, and pays this.
    pub approved: Option<Micros>,
    /// It was taken back.
    pub reversed: Option<Reversal>,
    /// This waits for a person.
    pub held: Option<Micros>,
    /// The currency of all of these.
    pub currency: Option<Currency>,
}

/// How much was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reversal {
    /// All of it.
    Whole,
    /// This much.
    Part(Micros),
}

/// A standing as numbers: approved, reversed, held, currency, and which of them are there.
pub(super) type StandingParts = (i64, i64, i64, [u8; 3], u8);

impl Standing {
    const TOLD: u8 = 1;
    const PENDING: u8 = 1 << 1;
    const UNKNOWN: u8 = 1 << 2;
    const APPROVED: u8 = 1 << 3;
    const REVERSED: u8 = 1 << 4;
    const PARTLY: u8 = 1 << 5;
    const HELD: u8 = 1 << 6;

    pub(super) fn to_parts(self) -> StandingParts {
        let part = match self.reversed {
            Some(Reversal::Part(part)) => Some(part),
            Some(Reversal::Whole) | None => None,
        };
        let bits = [
            (Self::TOLD, self.was_told),
            (Self::PENDING, self.was_pending),
            (Self::UNKNOWN, self.was_unknown),
            (Self::APPROVED, self.approved.is_some()),
            (Self::REVERSED, self.reversed.is_some()),
            (Self::PARTLY, part.is_some()),
            (Self::HELD, self.held.is_some()),
        ];
        let flags = bits.into_iter().filter(|(_, is_set)| *is_set).fold(0, |flags, (bit, _)| flags | bit);
        let number = |amount: Option<Micros>| amount.unwrap_or_default().get();
        let currency = self.currency.map_or([0; 3], |currency| currency.code());
        (number(self.approved), number(part), number(self.held), currency, flags)
    }

    /// Nothing for bits or a currency that this build does not know.
    pub(super) fn from_parts((approved, part, held, currency, flags): StandingParts) -> Option<Self> {
        let has = |bit: u8| flags & bit != 0;
        let amount = |bit: u8, number: i64| has(bit).then_some(Micros::new(number));
        let reversed = match (has(Self::REVERSED), has(Self::PARTLY)) {
            (true, true) => Some(Reversal::Part(Micros::new(part))),
            (true, false) => Some(Reversal::Whole),
            (false, false) => None,
            (false, true) => return None,
        };
        if flags >> 7 != 0 {
            return None;
        }
        let currency = match currency {
            [0, 0, 0] => None,
            code => Some(Currency::from_code(code).ok()?),
        };
        Some(Self {
            was_told: has(Self::TOLD),
            was_pending: has(Self::PENDING),
            was_unknown: has(Self::UNKNOWN),
            approved: amount(Self::APPROVED, approved),
            reversed,
            held: amount(Self::HELD, held),
            currency,
        })
    }
}
