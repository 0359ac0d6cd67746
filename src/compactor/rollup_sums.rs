//! Sums of what happened, by hour and by what a report asks for most.
//!
//! In: clicks and decisions, in any order. Out: for each hour, campaign, offer, source, network, lander, country and
//! currency how many there were of what, what they cost and what they brought.
//! Keeps: every number is a plain sum of whole numbers, so sums of parts are the sum of the whole, in any order.
//! A row is of the hour in which it was recorded: a click of its own, a conversion of its decision, not of its click. A cost
//! update is of the hour that it is about, and adds to what the clicks of that hour say themselves.
//! Not here: files (`rollup_file`), ratios and what is shown of them (`batch::report`).
//!
//! What a click of a redirect, of a script or of another tracker is counted as: `clicks`, and, by its labels, `net`,
//! `unique`, `bots`, … A way through a lander is counted as `through` alone: its visitor was counted with the first click,
//! and so was what it cost, which old records of ways say once more.

use std::collections::HashMap;

use crate::event::click::{Click, Labels};
use crate::event::codec::Event;
use crate::event::conversion::Status;
use crate::event::cost::CostUpdate;
use crate::event::decision::{Decision, Verdict};

use super::shared;

/// Parts of a key that are texts, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum Part {
    /// Campaign id.
    Campaign = 0,
    /// Offer id.
    Offer = 1,
    /// Source id.
    Source = 2,
    /// Network id. Clicks have none.
    Network = 3,
    /// Lander, as its place in the campaign's list. A way through it has that of its first click; in old records none.
    Lander = 4,
    /// Country of the visitor.
    Country = 5,
    /// Currency of cost and revenue; empty where there are neither.
    Currency = 6,
}

/// How many parts there are.
pub const PARTS: usize = 7;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $label:literal;)*) => {
        /// What is counted. The numbers are places in files: new ones come last, with a new version of those.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum Count {
            $($(#[$doc])* $name = $code,)*
        }

        impl Count {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

counts! {
    /// Clicks, gross: by redirect, by script, or brought over from another tracker.
    Clicks = 0, "clicks";
    /// Clicks that nothing is held against.
    Net = 1, "net";
    /// Clicks that are no repeat of the same visitor's.
    Unique = 2, "unique";
    /// Ways from a lander to an offer.
    Through = 3, "through";
    /// Clicks that are labelled as of a bot.
    Bots = 4, "bots";
    /// Clicks from a data centre.
    DataCentre = 5, "data_centre";
    /// Clicks that repeat one of the same visitor.
    Repeats = 6, "repeats";
    /// Clicks without a user agent.
    NoUserAgent = 7, "no_user_agent";
    /// Conversions: decisions that accepted a new one.
    Conversions = 8, "conversions";
    /// Decisions by which one came to be pending.
    Pending = 9, "pending";
    /// Decisions by which one came to be approved.
    Approved = 10, "approved";
    /// Decisions by which one was taken back.
    Reversed = 11, "reversed";
    /// Decisions whose word for the status nobody knows.
    Unknown = 12, "unknown";
    /// Postbacks that said nothing new.
    Duplicates = 13, "duplicates";
    /// Payouts that were set aside for a person.
    Held = 14, "held";
    /// Postbacks whose click nobody knows.
    Unmatched = 15, "unmatched";
    /// Postbacks whose click is lost.
    Orphans = 16, "orphans";
    /// Postbacks after the attribution window.
    Late = 17, "late";
    /// Postbacks that were refused after they were understood.
    Rejected = 18, "rejected";
}

/// How many counts there are.
pub const COUNTS: usize = Count::ALL.len();

/// Sums over some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// By `Count`.
    pub counts: [u64; COUNTS],
    /// What clicks cost and what updates add to that, in millionths.
    pub cost: i128,
    /// What entries of the books come to, in millionths.
    pub revenue: i128,
}

impl Sums {
    /// How often that was.
    pub const fn count(&self, count: Count) -> u64 {
        self.counts[count as usize]
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.counts.iter_mut().zip(other.counts) {
            *sum = sum.saturating_add(more);
        }
        self.cost = self.cost.saturating_add(other.cost);
        self.revenue = self.revenue.saturating_add(other.revenue);
    }

    /// Whether there is nothing to add.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    fn bump(&mut self, count: Count) {
        self.counts[count as usize] += 1;
    }

    fn of_click(click: &Click<'_>) -> Self {
        let mut sums = Self::default();
        if click.is_through() {
            sums.bump(Count::Through);
            return sums;
        }
        let has = |label| click.labels.contains(label);
        for (count, is_so) in [
            (Count::Clicks, true),
            (Count::Net, click.labels.is_net()),
            (Count::Unique, !has(Labels::DUPLICATE)),
            (Count::Bots, has(Labels::BOT)),
            (Count::DataCentre, has(Labels::DATA_CENTRE)),
            (Count::Repeats, has(Labels::DUPLICATE)),
            (Count::NoUserAgent, has(Labels::NO_USER_AGENT)),
        ] {
            if is_so {
                sums.bump(count);
            }
        }
        sums.cost = click.cost.map_or(0, |cost| cost.amount.get().into());
        sums
    }

    fn of_decision(decision: &Decision<'_>) -> Self {
        let mut sums = Self::default();
        let count = match decision.verdict {
            Verdict::Accepted | Verdict::Updated => {
                sums.bump(match decision.conversion.status {
                    Status::Pending => Count::Pending,
                    Status::Approved => Count::Approved,
                    Status::Reversed => Count::Reversed,
                    Status::Unknown => Count::Unknown,
                });
                // Every entry of the books is of such a decision.
                sums.revenue = decision.entry.get().into();
                (decision.verdict == Verdict::Accepted).then_some(Count::Conversions)
            }
            Verdict::Duplicate => Some(Count::Duplicates),
            Verdict::Held => Some(Count::Held),
            Verdict::Unmatched => Some(Count::Unmatched),
            Verdict::Orphan => Some(Count::Orphans),
            Verdict::Late => Some(Count::Late),
            Verdict::Rejected => Some(Count::Rejected),
            // A test counts nowhere.
            Verdict::Test => None,
        };
        if let Some(count) = count {
            sums.bump(count);
        }
        sums
    }
}

/// An event as far as it is summed up.
#[derive(Clone, Copy, Debug)]
pub struct Fact<'a> {
    /// Whole hours since 1970, UTC.
    pub hour: i64,
    /// By `Part`.
    pub texts: [&'a str; PARTS],
    /// What it adds.
    pub sums: Sums,
}

impl<'a> Fact<'a> {
    /// What is summed up of an event; nothing for one that is in no sum.
    pub fn of(event: &'a Event<'a>) -> Option<Self> {
        let fact = match event {
            Event::Click(click) => Self::of_click(click),
            Event::Decision(decision) => Self::of_decision(decision),
            Event::CostUpdate(update) => Self::of_cost(update),
            Event::Postback(_) | Event::DeliveryOutcome(_) | Event::Destination(_) => return None,
        };
        (!fact.sums.is_zero()).then_some(fact)
    }

    fn of_click(click: &'a Click<'a>) -> Self {
        let country = shared::country(&click.country);
        let currency = if click.is_through() { "" } else { shared::currency(&click.cost) };
        Self {
            hour: click.time.hour(),
            texts: [click.campaign, click.offer, click.source, "", click.lander, country, currency],
            sums: Sums::of_click(click),
        }
    }

    fn of_cost(update: &'a CostUpdate<'a>) -> Self {
        Self {
            hour: update.time.hour(),
            texts: [update.campaign, update.offer, update.source, "", "", "", update.cost.currency.as_str()],
            sums: Sums { cost: update.entry.get().into(), ..Sums::default() },
        }
    }

    fn of_decision(decision: &'a Decision<'a>) -> Self {
        let conversion = &decision.conversion;
        // That of the books first: what a postback says may be in another one than what it changes.
        let currency = match (&decision.standing.currency, &conversion.payout) {
            (Some(currency), _) => currency.as_str(),
            (None, Some(payout)) => payout.currency.as_str(),
            (None, None) => "",
        };
        let country = shared::country(&decision.country);
        Self {
            hour: decision.time.hour(),
            texts: [
                decision.campaign,
                decision.offer,
                decision.source,
                conversion.network,
                decision.lander,
                country,
                currency,
            ],
            sums: Sums::of_decision(decision),
        }
    }
}

/// Texts, each with a number.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    texts: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
}

impl Texts {
    /// The number of this text, which is given one if it has none.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        assert!(number < u32::MAX, "a segment has fewer records than there are numbers");
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    /// The text of a number.
    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |text| text)
    }

    /// All of them, by their numbers.
    pub fn all(&self) -> &[Box<str>] {
        &self.texts
    }
}

/// What sums are kept by: the hour, and a number for each text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Whole hours since 1970, UTC.
    pub hour: i64,
    /// By `Part`.
    pub parts: [u32; PARTS],
}

impl Key {
    /// Whole days since 1970, UTC.
    pub const fn day(&self) -> i64 {
        self.hour.div_euclid(24)
    }
}

/// Sums by key.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    texts: Texts,
    rows: HashMap<Key, Sums>,
}

impl Tally {
    /// Takes in an event.
    pub fn take(&mut self, event: &Event<'_>) {
        if let Some(fact) = Fact::of(event) {
            self.add(fact.hour, fact.texts, &fact.sums);
        }
    }

    /// Adds sums to those of a key.
    pub fn add(&mut self, hour: i64, texts: [&str; PARTS], sums: &Sums) {
        let parts = texts.map(|text| self.texts.number(text));
        self.add_to(Key { hour, parts }, sums);
    }

    /// The number of a text, as keys of this tally have it.
    pub fn number(&mut self, text: &str) -> u32 {
        self.texts.number(text)
    }

    /// Adds sums to those of a key with numbers of this tally.
    pub fn add_to(&mut self, key: Key, sums: &Sums) {
        self.rows.entry(key).or_default().add(sums);
    }

    /// The texts of its keys.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// All sums, in no order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&Key, &Sums)> {
        self.rows.iter()
    }

    /// Days that there are sums of, in order.
    pub fn days(&self) -> Vec<i64> {
        let mut days: Vec<i64> = self.rows.keys().map(Key::day).collect();
        days.sort_unstable();
        days.dedup();
        days
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::click::ClickKind;
    use crate::event::conversion::{Conversion, Standing};
    use crate::event::money::{Currency, Micros, Money};

    fn usd(micros: i64) -> Option<Money> {
        Some(Money { amount: Micros::new(micros), currency: Currency::USD })
    }

    #[test]
    fn a_way_through_a_lander_is_no_second_click_and_costs_nothing() {
        let first = Click { cost: usd(12), ..Click::default() };
        let through = Click { kind: ClickKind::Through, ..first };
        let imported = Click { kind: ClickKind::Imported, labels: Labels::THROUGH, ..first };
        let mut tally = Tally::default();
        tally.take(&Event::Click(first));
        tally.take(&Event::Click(through));
        tally.take(&Event::Click(imported));
        let mut sums = Sums::default();
        tally.rows().for_each(|(_, more)| sums.add(more));
        let counts = [Count::Clicks, Count::Net, Count::Unique, Count::Through].map(|it| sums.count(it));
        assert_eq!((counts, sums.cost), ([1, 1, 1, 2], 12));
        assert!(imported.labels.is_net());
    }

    #[test]
    fn labels_take_a_click_out_of_net_and_a_repeat_out_of_unique() {
        let counted = |labels: Labels| {
            let sums = Sums::of_click(&Click { labels, ..Click::default() });
            [Count::Clicks, Count::Net, Count::Unique, Count::Bots, Count::Repeats].map(|it| sums.count(it))
        };
        assert_eq!(counted(Labels::default()), [1, 1, 1, 0, 0]);
        assert_eq!(counted(Labels::BOT), [1, 0, 1, 1, 0]);
        assert_eq!(counted(Labels::DUPLICATE), [1, 0, 0, 0, 1]);
        assert_eq!(counted(Labels::from_bits(1 << 20)), [1, 0, 1, 0, 0]);
    }

    #[test]
    fn a_decision_counts_by_its_verdict_and_only_the_books_bring_money() {
        for (verdict, count, revenue) in [
            (Verdict::Accepted, Some(Count::Conversions), 7),
            (Verdict::Updated, Some(Count::Approved), 7),
            (Verdict::Duplicate, Some(Count::Duplicates), 0),
            (Verdict::Held, Some(Count::Held), 0),
            (Verdict::Unmatched, Some(Count::Unmatched), 0),
            (Verdict::Orphan, Some(Count::Orphans), 0),
            (Verdict::Late, Some(Count::Late), 0),
            (Verdict::Rejected, Some(Count::Rejected), 0),
            (Verdict::Test, None, 0),
        ] {
            let decision = Decision { verdict, entry: Micros::new(7), ..Decision::default() };
            let sums = Sums::of_decision(&decision);
            assert_eq!(sums.revenue, revenue, "{verdict:?}");
            assert_eq!(count.map_or(1, |count| sums.count(count)), 1, "{verdict:?}");
        }
    }

    #[test]
    fn an_entry_is_in_the_currency_of_the_books_not_in_that_of_the_postback() {
        let euros = Money { amount: Micros::new(5), currency: "EUR".parse().unwrap() };
        let decision = Decision {
            time: Timestamp::from_seconds(7200),
            conversion: Conversion { payout: Some(euros), ..Conversion::default() },
            standing: Standing { currency: Some(Currency::USD), ..Standing::default() },
            ..Decision::default()
        };
        let event = Event::Decision(decision);
        let fact = Fact::of(&event).unwrap();
        assert_eq!((fact.hour, fact.texts[Part::Currency as usize]), (2, "USD"));
    }
}
