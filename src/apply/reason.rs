//! Why a decision is as it is: a code in the record, a word in answers.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $label:literal;)*) => {
        /// See the module. Codes and names are kept for good.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Reason {
            $($(#[$doc])* $name = $code,)*
        }

        impl Reason {
            /// All of them, by code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its number in a record.
            pub const fn code(self) -> u16 {
                self as u16
            }

            /// Its name in answers and reports; empty for none.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

reasons! {
    /// There is nothing to explain.
    #[default]
    None = 0, "";
    /// The payout is below zero.
    PayoutNegative = 1, "payout_negative";
    /// It is below the network's `min`.
    PayoutBelowMin = 2, "payout_below_min";
    /// It is above the network's `max`.
    PayoutAboveMax = 3, "payout_above_max";
    /// It is too far from what the offer pays.
    PayoutOffOffer = 4, "payout_off_offer";
    /// Its currency is not the one that the bounds are in.
    CurrencyUnexpected = 5, "currency_unexpected";
    /// The conversion was paid in another currency before.
    CurrencyChanged = 6, "currency_changed";
    /// Nobody knows the click.
    ClickUnknown = 16, "click_unknown";
    /// Nobody knows the click yet; it is looked for again for a while.
    Parked = 17, "parked";
    /// The click was ours, and is lost.
    ClickLost = 18, "click_lost";
    /// The attribution window was over.
    AfterWindow = 19, "after_window";
    /// Everything in it was told before.
    AlreadyTold = 20, "already_told";
    /// The status is a word that no map knows.
    StatusUnknown = 21, "status_unknown";
    /// A person let a held payout count.
    Released = 32, "released";
    /// A person threw a held payout away.
    Dropped = 33, "dropped";
    /// It was held, and is no more.
    NotHeld = 34, "not_held";
    /// Decided again, by another mapping or rule.
    Reapplied = 35, "reapplied";
    /// What was decided before on the same postback no longer counts.
    Withdrawn = 36, "withdrawn";
    /// The click came after its postback.
    ClickCame = 37, "click_came";
    /// Decided again, and nothing is different.
    Unchanged = 38, "unchanged";
    /// It was only a test.
    Test = 48, "test";
}

impl Reason {
    /// The one with this number; none if this build does not know it.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}
