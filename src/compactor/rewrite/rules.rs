//! What becomes of an event: pure, by its age, its campaign, and what was asked to be erased.
//!
//! | | leaves its record | loses who it was about | is dropped with its segment |
//! |---|---|---|---|
//! | click | older than its campaign's retention | older than `personal` | all of it older than `clicks` |
//! | postback, decision | never | older than `personal` | all of it older than `postbacks`, and nobody needs it |
//! | cost update | never | never: it is of nobody | as a postback |
//! | outcome of a delivery | older than `deliveries` | older than `personal` | nothing is left in it |
//! | what happened to a destination | never: a start must know it | never: it is of nobody | never |
//!
//! Keeps: ages are counted in whole days, UTC, so that a segment whose records grow old one by one is made anew once a
//! day and not with every look; what is due is done at most a day later.
//! A postback is as old as what it tells of, or as its segment, if that was sealed later: one may tell of long ago. Of one that
//! is lost to damage the same holds: as long as its segment is there, nobody takes its transaction for a new one.
//! It is needed as long as a delivery of it may be tried, and its transaction is known as long as its newest
//! decision is there: after `postbacks` a repeat would be a new conversion, if its click is still there and in its window.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::codec::Event;
use crate::store::Journal;
use crate::store::layout::Summary;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long what is kept. Nothing set means: for ever, as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// After which age events no longer say who they are about.
    pub personal: Option<Duration>,
    /// Parameters that are personal too, in any case of their letters.
    pub personal_params: Vec<String>,
    /// After which age clicks go.
    pub clicks: Option<Duration>,
    /// After which age postbacks and decisions go. Longer than any network takes to repeat or reverse.
    pub postbacks: Option<Duration>,
    /// After which age outcomes of deliveries go. Longer than a delivery is tried for.
    pub deliveries: Option<Duration>,
    /// By campaign, after which age its clicks go, where that is sooner.
    pub campaigns: BTreeMap<String, Duration>,
}

/// What an age asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// It is to lose who it is about.
    Strip,
    /// It is to go.
    Drop,
}

/// The rules, at one moment.
#[derive(Clone, Debug)]
pub struct At<'r> {
    rules: &'r Rules,
    now: Timestamp,
}

impl Rules {
    /// What they ask for at this moment.
    pub fn at(&self, now: Timestamp) -> At<'_> {
        At { rules: self, now }
    }

    /// Another number for other rules.
    pub fn fingerprint(&self) -> u32 {
        crc32c::crc32c(format!("{self:?}").as_bytes())
    }
}

impl At<'_> {
    /// What is older than this was older than `age` when the day began.
    fn cutoff(&self, age: Duration) -> Timestamp {
        let day = i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX);
        let micros = self.now.micros();
        // The day first: an age may have hours too, and nothing is to grow old within a day.
        Timestamp::from_micros(micros - micros.rem_euclid(day)).minus(age)
    }

    fn is_older(&self, time: Timestamp, age: Option<Duration>) -> bool {
        age.is_some_and(|age| time < self.cutoff(age))
    }

    /// What its age asks of an event.
    pub fn due(&self, event: &Event<'_>) -> Due {
        let rules = self.rules;
        let goes = match event {
            Event::Click(click) => {
                !rules.campaigns.is_empty()
                    && self.is_older(click.time, rules.campaigns.get(click.campaign).copied())
            }
            Event::DeliveryOutcome(outcome) => self.is_older(outcome.time, rules.deliveries),
            Event::Postback(_) | Event::Decision(_) => false,
            Event::Destination(_) | Event::CostUpdate(_) => return Due::Nothing,
        };
        if goes {
            Due::Drop
        } else if self.is_older(event.time(), rules.personal) {
            Due::Strip
        } else {
            Due::Nothing
        }
    }

    /// Whether a whole segment that was sealed at this moment is too old. Conversions and costs of long ago may have been
    /// imported just now: who forgets that they were counts them twice.
    pub fn drops(&self, journal: Journal, summary: &Summary, sealed: Timestamp) -> bool {
        let is_empty = summary.records == 0;
        match journal {
            Journal::Clicks => is_empty || self.is_older(summary.last_time, self.rules.clicks),
            // Also one without records: they may have been lost.
            Journal::Postbacks => self.is_older(summary.last_time.max(sealed), self.rules.postbacks),
            // Who reads what happened to a destination cannot do without.
            Journal::Deliveries => is_empty,
        }
    }

    /// Whether anything in a segment is old enough to be looked at.
    pub fn touches(&self, journal: Journal, summary: &Summary) -> bool {
        summary.records > 0 && self.ages(journal).any(|age| summary.first_time < self.cutoff(age))
    }

    /// Whether all that age will ever ask of a segment is due: once it is done it need not be looked at again.
    pub fn settles(&self, journal: Journal, summary: &Summary) -> bool {
        summary.records == 0 || self.ages(journal).all(|age| summary.last_time < self.cutoff(age))
    }

    /// Whether clicks of a segment go one by one.
    pub fn thins(&self, journal: Journal, summary: &Summary) -> bool {
        let is_older = |age: &Duration| summary.first_time < self.cutoff(*age);
        journal == Journal::Clicks && summary.records > 0 && self.rules.campaigns.values().any(is_older)
    }

    /// Whether bytes of this journal that were put by at a moment hold what should be gone by now.
    pub fn outlives(&self, journal: Journal, time: Timestamp) -> bool {
        let rules = self.rules;
        let whole = match journal {
            Journal::Clicks => rules.clicks,
            Journal::Postbacks => rules.postbacks,
            Journal::Deliveries => rules.deliveries,
        };
        self.is_older(time, whole) || self.is_older(time, rules.personal)
    }

    fn ages(&self, journal: Journal) -> impl Iterator<Item = Duration> {
        let rules = self.rules;
        let of_journal = match journal {
            Journal::Deliveries => rules.deliveries,
            Journal::Clicks | Journal::Postbacks => None,
        };
        let campaigns = (journal == Journal::Clicks).then(|| rules.campaigns.values().copied());
        rules.personal.into_iter().chain(of_journal).chain(campaigns.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::click::Click;
    use crate::event::decision::Decision;
    use crate::event::delivery::{DeliveryOutcome, DestinationEvent};

    const NOW: u32 = 1_795_158_000;

    fn days(days: u64) -> Duration {
        DAY * u32::try_from(days).unwrap()
    }

    fn before(age: Duration) -> Timestamp {
        Timestamp::from_seconds(NOW).minus(age)
    }

    fn rules() -> Rules {
        Rules {
            personal: Some(days(30)),
            deliveries: Some(days(90)),
            campaigns: [("short".to_owned(), days(7))].into(),
            clicks: Some(days(365)),
            ..Rules::default()
        }
    }

    #[test]
    fn each_kind_goes_by_its_own_age_and_destinations_by_none() {
        let rules = rules();
        let at = rules.at(Timestamp::from_seconds(NOW));
        let click =
            |campaign, age| at.due(&Event::Click(Click { campaign, time: before(age), ..Click::default() }));
        assert_eq!(click("spring", days(29)), Due::Nothing);
        assert_eq!(click("spring", days(32)), Due::Strip);
        assert_eq!(click("short", days(6)), Due::Nothing);
        assert_eq!(click("short", days(9)), Due::Drop);
        let decision = Decision { time: before(days(5_000)), campaign: "short", ..Decision::default() };
        assert_eq!(at.due(&Event::Decision(decision)), Due::Strip, "money is never dropped by campaign");
        let outcome = |age| DeliveryOutcome { time: before(age), ..DeliveryOutcome::default() };
        assert_eq!(at.due(&Event::DeliveryOutcome(outcome(days(89)))), Due::Strip);
        assert_eq!(at.due(&Event::DeliveryOutcome(outcome(days(92)))), Due::Drop);
        let destination = DestinationEvent { time: before(days(5_000)), ..DestinationEvent::default() };
        assert_eq!(at.due(&Event::Destination(destination)), Due::Nothing);
        let nothing = Rules::default();
        let event = Event::Click(Click { time: before(days(5_000)), ..Click::default() });
        assert_eq!(nothing.at(Timestamp::from_seconds(NOW)).due(&event), Due::Nothing);
    }

    #[test]
    fn what_is_due_is_done_within_a_day_and_once_a_day() {
        let rules = rules();
        for hours in 0..72 {
            let age = days(30) + Duration::from_secs(hours * 3600);
            let event = Event::Click(Click { time: before(age), ..Click::default() });
            let is_due = rules.at(Timestamp::from_seconds(NOW)).due(&event) == Due::Strip;
            assert!(is_due || hours <= 24, "{hours} hours late");
        }
    }

    #[test]
    fn a_segment_is_looked_at_from_its_first_record_on_until_its_last_is_old() {
        let rules = rules();
        let at = rules.at(Timestamp::from_seconds(NOW));
        let of = |first, last| Summary {
            records: 1,
            first_time: before(days(first)),
            last_time: before(days(last)),
            ..Summary::default()
        };
        let looks = |summary: Summary| {
            let journal = Journal::Postbacks;
            (at.touches(journal, &summary), at.settles(journal, &summary))
        };
        assert_eq!(looks(of(29, 1)), (false, false));
        assert_eq!(looks(of(40, 1)), (true, false));
        assert_eq!(looks(of(40, 32)), (true, true));
        assert!(at.touches(Journal::Clicks, &of(9, 1)), "a campaign may be sooner");
        assert!(!at.settles(Journal::Clicks, &of(12, 9)), "others are not so soon");
        let drops = |journal, summary: Summary| at.drops(journal, &summary, summary.last_time);
        assert!(drops(Journal::Clicks, of(400, 367)) && !drops(Journal::Clicks, of(400, 300)));
        assert!(!drops(Journal::Deliveries, of(400, 399)));
        assert!(!drops(Journal::Postbacks, of(4_000, 3_990)), "no age is set");
    }
}
