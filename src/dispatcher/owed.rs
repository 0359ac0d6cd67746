//! Which deliveries a decision calls for.
//!
//! In: a decision, and the destinations that its click's place in the catalog has at four levels. Out: what is owed to
//! whom, from when, with which amount, under an id that never changes.
//! Keeps: a destination id fires at most once for a decision: the most specific level that names it wins, also where its
//! condition then says no, so that an offer can switch off what is global.
//! Not here: what the request looks like (templates), when it is tried again (`schedule`).

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::condition::{Condition, is_news};
use super::outbound::Outbound;
use crate::clock::Timestamp;
use crate::event::conversion::Status;
use crate::event::decision::Decision;
use crate::event::money::Money;

/// The most destinations that one decision can have: ids beyond are left out, the least specific first.
pub const OWED_MAX: usize = 64;

/// Where deliveries go, as one level of the catalog says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// Its id: on several levels it is the same destination.
    pub id: Box<str>,
    /// What it wants to hear of.
    pub condition: Condition,
    /// How much of a payout it is told, in hundredths of a percent.
    pub payout_basis_points: u32,
    /// How long after the decision it is told.
    pub delay: Duration,
    /// After how long it is of no use any more, counted from the decision.
    pub max_age: Option<Duration>,
    /// How it is told.
    pub outbound: Arc<Outbound>,
}

/// The destinations that a decision's campaign, offer and source name, and those for all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Levels<'a> {
    /// For every decision.
    pub global: &'a [Destination],
    /// Of the click's source.
    pub source: &'a [Destination],
    /// Of its campaign.
    pub campaign: &'a [Destination],
    /// Of its offer.
    pub offer: &'a [Destination],
}

/// A place of the catalog that names destinations, the most specific first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The click's offer.
    Offer,
    /// Its campaign.
    Campaign,
    /// Its source.
    Source,
    /// The catalog itself.
    Global,
}

impl Level {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Campaign => "campaign",
            Self::Source => "source",
            Self::Global => "global",
        }
    }
}

/// One delivery that is owed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Owed<'a> {
    /// To whom, as the level that won says it.
    pub destination: &'a Destination,
    /// From when on it is sent.
    pub due: Timestamp,
    /// Until when it is of use.
    pub until: Option<Timestamp>,
    /// The payout that it tells.
    pub payout: Option<Money>,
}

impl<'a> Levels<'a> {
    /// The destinations that are asked about a decision, each with the level that won, the most specific level first.
    pub fn chosen(&self) -> Vec<(Level, &'a Destination)> {
        let levels = [
            (Level::Offer, self.offer),
            (Level::Campaign, self.campaign),
            (Level::Source, self.source),
            (Level::Global, self.global),
        ];
        let mut chosen: Vec<(Level, &Destination)> = Vec::new();
        for (level, named) in levels {
            for destination in named {
                if chosen.len() < OWED_MAX && !chosen.iter().any(|(_, earlier)| earlier.id == destination.id)
                {
                    chosen.push((level, destination));
                }
            }
        }
        chosen
    }

    /// Whether `owed` must be given the earlier decisions on the same conversion: few need them, and to read them takes time.
    pub fn need_earlier(&self, decision: &Decision<'_>) -> bool {
        decision.previous != 0
            && is_news(decision)
            && self.chosen().iter().any(|(_, destination)| destination.condition.first_only)
    }

    /// What this decision calls for. `earlier` are the decisions on its conversion before it, if `need_earlier`.
    pub fn owed(&self, decision: &Decision<'_>, earlier: &[Decision<'_>]) -> Vec<Owed<'a>> {
        if !is_news(decision) {
            return Vec::new();
        }
        let all = self.chosen().into_iter().map(|(_, destination)| destination);
        let wants =
            |destination: &&Destination| destination.condition.holds(decision, earlier, &destination.id);
        all.filter(wants).map(|destination| destination.owes(decision)).collect()
    }
}

impl Destination {
    /// One that is told every approval, all of it and at once.
    pub fn plain(id: &str, outbound: Arc<Outbound>) -> Self {
        Self {
            id: id.into(),
            condition: Condition::default(),
            payout_basis_points: super::condition::WHOLE_BASIS_POINTS,
            delay: Duration::ZERO,
            max_age: None,
            outbound,
        }
    }

    /// What its delivery of a decision is known by.
    pub fn delivery_id(&self, decision: &Decision<'_>) -> [u8; 16] {
        delivery_id(decision.conversion_id, decision.sequence, &self.id)
    }

    /// What it is owed for a decision that it is to hear of, whether or not it wants to.
    pub fn owes(&self, decision: &Decision<'_>) -> Owed<'_> {
        let cut = |money: Money| {
            // More than the whole could not fit; then the whole is told.
            let amount = money.amount.checked_percent(self.payout_basis_points).unwrap_or(money.amount);
            Money { amount, ..money }
        };
        Owed {
            destination: self,
            due: decision.time.plus(self.delay),
            until: self.max_age.map(|age| decision.time.plus(age)),
            payout: paid(decision).map(cut),
        }
    }
}

/// What a decision pays or takes back: as it was said; and of a reversal that does not say how much, what it took from the
/// books.
fn paid(decision: &Decision<'_>) -> Option<Money> {
    let said = decision.conversion.payout.filter(|payout| payout.amount.get() != 0);
    let is_silent = decision.conversion.status == Status::Reversed && said.is_none();
    let taken = decision.entry.checked_neg().filter(|taken| is_silent && taken.get() > 0);
    let taken = taken.zip(decision.standing.currency).map(|(amount, currency)| Money { amount, currency });
    taken.or(decision.conversion.payout)
}

/// What a delivery is known by, over all its attempts, restarts and replays: it is made of nothing that they change.
pub fn delivery_id(conversion_id: [u8; 16], sequence: u32, destination: &str) -> [u8; 16] {
    let mut hasher = Sha256::new();
    // The id comes last, so that no two ids and sequences can make the same bytes.
    hasher.update(b"clicklog delivery 1\0");
    hasher.update(conversion_id);
    hasher.update(sequence.to_le_bytes());
    hasher.update(destination.as_bytes());
    let hash = <[u8; 32]>::from(hasher.finalize());
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dispatcher::condition::Statuses;
    use crate::event::conversion::Conversion;
    use crate::event::decision::Verdict;
    use crate::event::money::{Currency, Micros};

    fn decision() -> Decision<'static> {
        let currency = Currency::from_code(*b"USD").unwrap();
        let payout = Some(Money { amount: Micros::new(3_500_001), currency });
        Decision {
            time: Timestamp::from_seconds(1_000),
            conversion_id: [7; 16],
            sequence: 2,
            previous: 16,
            conversion: Conversion { payout, ..Conversion::default() },
            ..Decision::default()
        }
    }

    fn plain(id: &str) -> Destination {
        Destination::plain(id, Arc::new(Outbound::get("https://ads.example.net/").unwrap()))
    }

    fn named(ids: &[&str]) -> Vec<Destination> {
        ids.iter().map(|id| plain(id)).collect()
    }

    fn ids(owed: &[Owed<'_>]) -> Vec<String> {
        owed.iter().map(|owed| owed.destination.id.to_string()).collect()
    }

    #[test]
    fn the_most_specific_level_that_names_a_destination_wins() {
        let (global, source) = (named(&["a", "b", "c"]), named(&["b", "d"]));
        let (campaign, mut offer) = (named(&["c", "e"]), named(&["c"]));
        offer[0].payout_basis_points = 5_000;
        let levels = Levels { global: &global, source: &source, campaign: &campaign, offer: &offer };
        let owed = levels.owed(&decision(), &[]);
        assert_eq!(ids(&owed), ["c", "e", "b", "d", "a"]);
        assert_eq!(owed[0].payout.unwrap().amount, Micros::new(1_750_000), "half to even, as the offer says");
        assert_eq!(owed[1].payout.unwrap().amount, Micros::new(3_500_001));
    }

    #[test]
    fn a_specific_level_that_says_no_switches_off_what_is_global() {
        let (global, mut offer) = (named(&["a", "b"]), named(&["a"]));
        offer[0].condition.statuses = Statuses::default();
        let levels = Levels { global: &global, offer: &offer, ..Levels::default() };
        assert_eq!(ids(&levels.owed(&decision(), &[])), ["b"]);
    }

    #[test]
    fn nothing_is_owed_for_what_is_no_news() {
        let global = named(&["a"]);
        let levels = Levels { global: &global, ..Levels::default() };
        for verdict in [
            Verdict::Duplicate,
            Verdict::Held,
            Verdict::Test,
            Verdict::Unmatched,
            Verdict::Orphan,
            Verdict::Late,
        ] {
            assert_eq!(levels.owed(&Decision { verdict, ..decision() }, &[]), []);
        }
    }

    #[test]
    fn a_reversal_that_does_not_say_how_much_tells_what_it_took_back() {
        let mut global = named(&["a"]);
        global[0].payout_basis_points = 5_000;
        global[0].condition.statuses = Statuses::of(&[Status::Reversed]);
        let levels = Levels { global: &global, ..Levels::default() };
        let currency = Currency::USD;
        for (said, entry, expected) in [
            (None, -4_000_000, Some(2_000_000)),
            (Some(0), -4_000_000, Some(2_000_000)),
            (Some(3_000_000), -4_000_000, Some(1_500_000)),
            (None, 0, None),
        ] {
            let mut reversal = Decision { entry: Micros::new(entry), ..decision() };
            reversal.conversion.status = Status::Reversed;
            reversal.conversion.payout = said.map(|said| Money { amount: Micros::new(said), currency });
            reversal.standing.currency = Some(currency);
            let told = levels.owed(&reversal, &[])[0].payout;
            assert_eq!(told.map(|told| told.amount.get()), expected, "{said:?}");
        }
    }

    #[test]
    fn delay_and_age_are_counted_from_the_decision() {
        let mut global = named(&["a"]);
        (global[0].delay, global[0].max_age) = (Duration::from_secs(30), Some(Duration::from_secs(90)));
        let levels = Levels { global: &global, ..Levels::default() };
        let owed = levels.owed(&decision(), &[])[0];
        assert_eq!(owed.due, Timestamp::from_seconds(1_030));
        assert_eq!(owed.until, Some(Timestamp::from_seconds(1_090)));
    }

    #[test]
    fn earlier_decisions_are_asked_for_only_where_they_matter() {
        let (mut global, offer) = (named(&["a"]), named(&["a"]));
        global[0].condition.first_only = true;
        let levels = Levels { global: &global, ..Levels::default() };
        assert!(levels.need_earlier(&decision()));
        assert!(!levels.need_earlier(&Decision { previous: 0, ..decision() }));
        assert!(!levels.need_earlier(&Decision { verdict: Verdict::Held, ..decision() }));
        assert!(!Levels { offer: &offer, ..levels }.need_earlier(&decision()), "the offer's wins");
        let mut told = decision();
        assert_eq!(levels.owed(&decision(), &[told]).len(), 0);
        told.conversion.status = Status::Pending;
        assert_eq!(levels.owed(&decision(), &[told]).len(), 1);
    }

    #[test]
    fn a_decision_has_no_more_deliveries_than_the_bound() {
        let many: Vec<_> = (0..OWED_MAX + 10).map(|number| plain(&number.to_string())).collect();
        let offer = named(&["mine"]);
        let levels = Levels { global: &many, offer: &offer, ..Levels::default() };
        let owed = levels.owed(&decision(), &[]);
        assert_eq!((owed.len(), &*owed[0].destination.id), (OWED_MAX, "mine"));
    }

    #[test]
    fn a_delivery_id_is_what_it_has_always_been() {
        let hex: String =
            delivery_id([7; 16], 2, "propeller-s2s").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "1d1d3391b96fdb7cf6b495d4631a7db5");
    }

    proptest! {
        #[test]
        fn deliveries_have_one_id_exactly_if_all_that_makes_them_is_the_same(
            a: ([u8; 16], u32, String), b: ([u8; 16], u32, String),
        ) {
            let of = |(conversion, sequence, destination): &([u8; 16], u32, String)| delivery_id(*conversion, *sequence, destination);
            prop_assert_eq!(of(&a), of(&a.clone()));
            prop_assert_eq!(of(&a) == of(&b), a == b);
            prop_assert_ne!(of(&a), of(&(a.0, a.1.wrapping_add(1), a.2.clone())));
        }

        #[test]
        fn no_destination_fires_twice_for_a_decision(levels in prop::array::uniform4(prop::collection::vec(0u8..6, 0..8))) {
            let [global, source, campaign, offer] =
                levels.map(|ids| ids.iter().map(|id| plain(&id.to_string())).collect::<Vec<_>>());
            let levels = Levels { global: &global, source: &source, campaign: &campaign, offer: &offer };
            let owed = levels.owed(&decision(), &[]);
            let mut ids = ids(&owed);
            ids.sort();
            let all: std::collections::BTreeSet<_> =
                [&global, &source, &campaign, &offer].into_iter().flatten().map(|of| of.id.to_string()).collect();
            prop_assert_eq!(ids, all.into_iter().collect::<Vec<_>>());
        }
    }
}
