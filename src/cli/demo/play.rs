//! The play: visitors who click, and the networks that report what came of it.
//!
//! In: how many clicks, how fast, a seed. Out: requests, and a `Tally` of what was sent and what was answered.
//! Keeps: who comes and when is told by the seed alone; what a conversion goes through is told by its number, so that even a
//! short demo shows each kind. What waits to be sent is bounded by the rate and the longest delay.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::wire::{Answer, Wire};
use super::world::{CAMPAIGNS, SECRET};
use crate::clock::Clock;
use crate::event::percent_encoded;
use crate::load::visitor::{Chance, VISITORS_MAX, Visitors};
use crate::shutdown::{Shutdown, Woken};

/// Visitors like these are no people.
const BOTS: [&str; 3] = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "curl/8.5.0",
];
/// What browsers ask for.
const LANGUAGES: [&str; 5] =
    ["en-US,en;q=0.9", "de-DE,de;q=0.9", "pt-BR,pt;q=0.9", "es-MX,es;q=0.8", "hi-IN,hi;q=0.9"];
/// Of a hundred people so many buy.
const BUYERS: u32 = 20;
/// Each so many clicks a network sends something wrong.
const MISTAKE_EVERY: u64 = 20;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) clicks: u64,
    pub(super) rate: u32,
    pub(super) seed: u64,
}

/// What was sent and what it was answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Requests of any kind that were answered.
    pub(super) requests: u64,
    /// Clicks that were sent on.
    pub(super) clicks: u64,
    /// What of those was no ordinary click, by what it was.
    pub(super) odd: BTreeMap<&'static str, u64>,
    /// Postbacks by what the network meant and what `X-Clicklog-Result` said.
    pub(super) postbacks: BTreeMap<(&'static str, String), u64>,
    /// Deliveries that their source is owed.
    pub(super) owed: u64,
}

/// What a conversion goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Story {
    Approved,
    PendingFirst,
    SentTwice,
    Reversed,
    TooMuch,
    PayoutLeftOut,
    PayoutLiteral,
}

/// In turns: most are as they should be.
const STORIES: [Story; 12] = [
    Story::Approved,
    Story::SentTwice,
    Story::Approved,
    Story::PendingFirst,
    Story::Approved,
    Story::Reversed,
    Story::Approved,
    Story::PayoutLiteral,
    Story::Approved,
    Story::PayoutLeftOut,
    Story::Approved,
    Story::TooMuch,
];

/// What happens later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// From the landing page to an offer.
    Through {
        click: String,
        visitor: u32,
    },
    Conversion(Conversion),
    /// What follows the first word on it.
    Sequel(Conversion),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Conversion {
    click: String,
    story: Story,
    network: &'static str,
    transaction: u64,
    cents: u32,
}

/// What a visitor's browser has after a click.
#[derive(Debug)]
struct Clicked {
    id: String,
    /// The offer that the other network pays for.
    offer_is_a_puzzle: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Play {
    plan: Plan,
    asked: Shutdown,
    clock: Clock,
    visitors: Visitors,
    browsers: Wire,
    networks: Wire,
    later: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    events: u64,
    conversions: u64,
    tally: Tally,
}

impl Play {
    /// It ends early where `asked` is tripped.
    pub(super) fn new(plan: Plan, edge: SocketAddr, asked: Shutdown) -> Self {
        Self {
            plan,
            asked,
            clock: Clock::System,
            visitors: Visitors { count: VISITORS_MAX, seed: plan.seed },
            browsers: Wire::new(edge),
            networks: Wire::new(edge),
            later: BinaryHeap::new(),
            events: 0,
            conversions: 0,
            tally: Tally::default(),
        }
    }

    /// Plays all of it; `tick` is told of each click.
    ///
    /// # Errors
    /// The daemon does not answer as it should; `Interrupted` where somebody wants it to end.
    pub(super) fn run(mut self, tick: &mut dyn FnMut(u64)) -> io::Result<Tally> {
        let began = self.clock.monotonic();
        let mut number = 0;
        while self.tally.clicks < self.plan.clicks {
            let due = began + Duration::from_secs(self.tally.clicks) / self.plan.rate.max(1);
            self.until(due)?;
            self.visit(number)?;
            number += 1;
            if number % MISTAKE_EVERY == 1 {
                self.mistake(number / MISTAKE_EVERY)?;
            }
            tick(self.tally.clicks);
        }
        while let Some(Reverse((due, ..))) = self.later.peek() {
            let due = *due;
            self.until(due)?;
        }
        self.tally.requests = self.browsers.answered + self.networks.answered;
        Ok(self.tally)
    }

    /// Does all that is due before a moment, and waits for it.
    fn until(&mut self, moment: Duration) -> io::Result<()> {
        loop {
            let next = self.later.peek().map(|Reverse((due, ..))| *due).filter(|due| *due <= moment);
            let left = next.unwrap_or(moment).saturating_sub(self.clock.monotonic());
            let is_asked = match left.is_zero() {
                true => self.asked.is_tripped(),
                false => self.asked.pause(left) == Woken::Stopped,
            };
            if is_asked {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if next.is_none() {
                return Ok(());
            }
            if let Some(Reverse((_, _, event))) = self.later.pop() {
                self.happen(event)?;
            }
        }
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.events += 1;
        self.later.push(Reverse((self.clock.monotonic() + delay, self.events, event)));
    }

    /// Somebody comes.
    fn visit(&mut self, number: u64) -> io::Result<()> {
        let mut chance = Chance::of(self.plan.seed, number);
        let visitor = chance.below(VISITORS_MAX);
        let (campaign, _, has_lander) = campaign(chance.below(100));
        let (kind, pick) = (chance.below(100), chance.draw());
        let cost = chance.below(40) + 5;
        let zone = chance.below(9) + 1;
        let target = format!("/c/{campaign}?zoneid={zone}&visitor_id=v{number}x{visitor}&cost=0.{cost:02}");
        let bot = (kind < 6).then(|| BOTS.get(chance.below(3) as usize).copied().unwrap_or_default());
        if (6..9).contains(&kind) {
            let answer = self.browse(&target, visitor, None, &[("Sec-Purpose", "prefetch")])?;
            self.odd(if answer.status == 503 { "prefetch, no click" } else { "prefetch" });
        }
        let clicked = self.click(&target, visitor, bot)?;
        if bot.is_some() {
            self.odd("by a bot");
            return Ok(());
        }
        if (9..13).contains(&kind) && self.tally.clicks < self.plan.clicks {
            self.click(&target, visitor, None)?;
            self.odd("a second time by the same visitor");
        }
        let pause = Duration::from_millis(100 + pick % 400);
        if has_lander {
            self.after(pause, Event::Through { click: clicked.id.clone(), visitor });
        }
        if chance.below(100) < BUYERS {
            self.buys(clicked, &mut chance);
        }
        Ok(())
    }

    /// The visitor of a click will buy something.
    fn buys(&mut self, clicked: Clicked, chance: &mut Chance) {
        let turn = usize::try_from(self.conversions).unwrap_or(0) % STORIES.len();
        let story = STORIES.get(turn).copied().unwrap_or(Story::Approved);
        self.conversions += 1;
        let network = if clicked.offer_is_a_puzzle { "clickpeak" } else { "revboost" };
        let conversion = Conversion {
            click: clicked.id,
            story,
            network,
            transaction: self.conversions,
            cents: 100 + chance.below(900),
        };
        let delay = Duration::from_millis(600 + u64::from(chance.below(900)));
        self.after(delay, Event::Conversion(conversion));
    }

    fn happen(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Through { click, visitor } => {
                self.browse(&format!("/out?click_id={click}"), visitor, None, &[])?;
                self.odd("from a landing page to an offer");
            }
            Event::Conversion(conversion) => {
                let meant = match conversion.story {
                    Story::PendingFirst => ("pending first", "pending"),
                    Story::TooMuch => ("a payout of 250", "approved"),
                    Story::PayoutLeftOut => ("without its payout", "approved"),
                    Story::PayoutLiteral => ("with {payout} unfilled", "approved"),
                    _ => ("approved", "approved"),
                };
                self.report(&conversion, meant)?;
                if matches!(conversion.story, Story::PendingFirst | Story::SentTwice | Story::Reversed) {
                    self.after(Duration::from_millis(500), Event::Sequel(conversion));
                }
            }
            Event::Sequel(conversion) => {
                let meant = match conversion.story {
                    Story::PendingFirst => ("approved after all", "approved"),
                    Story::Reversed => ("taken back", "reversed"),
                    _ => ("the same again", "approved"),
                };
                self.report(&conversion, meant)?;
            }
        }
        Ok(())
    }

    /// A network reports a conversion.
    fn report(&mut self, of: &Conversion, (meant, status): (&'static str, &str)) -> io::Result<()> {
        let payout = match of.story {
            Story::TooMuch => "&payout=250".to_owned(),
            Story::PayoutLeftOut => String::new(),
            Story::PayoutLiteral => format!("&payout={}", percent_encoded("{payout}")),
            _ => format!("&payout={}.{:02}", of.cents / 100, of.cents % 100),
        };
        let Conversion { click, network, transaction, .. } = of;
        let query = format!("click_id={click}&txid=t{transaction}&status={status}{payout}&secret={SECRET}");
        let result = self.postback(&format!("/postback/{network}?{query}"), meant)?;
        if status == "approved" && matches!(result.as_str(), "accepted" | "updated") {
            self.tally.owed += 1;
        }
        Ok(())
    }

    /// A network sends what it should not.
    fn mistake(&mut self, turn: u64) -> io::Result<()> {
        let (meant, target) = match turn % 4 {
            0 => ("a wrong secret", "/postback/revboost?click_id=x&payout=1&secret=wrong".to_owned()),
            1 => (
                "a click that nobody knows",
                format!("/postback/clickpeak?click_id=nobody-{turn}&txid=m{turn}&payout=1"),
            ),
            2 => ("no click at all", format!("/postback/clickpeak?txid=m{turn}&payout=1")),
            _ => ("a network that nobody knows", "/postback/nobody?click_id=x&payout=1".to_owned()),
        };
        self.postback(&target, meant).map(drop)
    }

    fn postback(&mut self, target: &str, meant: &'static str) -> io::Result<String> {
        let answer = self.networks.get(target, &[("User-Agent", "network/1.0")])?;
        let result = answer.header("x-clicklog-result").unwrap_or("nothing").to_owned();
        *self.tally.postbacks.entry((meant, result.clone())).or_insert(0) += 1;
        Ok(result)
    }

    /// Clicks.
    fn click(&mut self, target: &str, visitor: u32, bot: Option<&str>) -> io::Result<Clicked> {
        let answer = self.browse(target, visitor, bot, &[])?;
        if answer.status != 302 {
            return Err(io::Error::other(format!("a click was answered {}", answer.status)));
        }
        self.tally.clicks += 1;
        let cookie = answer.header("set-cookie").and_then(|value| value.strip_prefix("cl_cid="));
        let id = cookie.and_then(|value| value.split(';').next());
        let id = id.ok_or_else(|| io::Error::other("a click was answered without its cookie"))?.to_owned();
        let offer_is_a_puzzle = answer.header("location").is_some_and(|to| to.contains("/puzzle"));
        Ok(Clicked { id, offer_is_a_puzzle })
    }

    /// Asks as a visitor's browser does.
    fn browse(
        &mut self,
        target: &str,
        number: u32,
        bot: Option<&str>,
        more: &[(&str, &str)],
    ) -> io::Result<Answer> {
        let visitor = self.visitors.visitor(number);
        let language = LANGUAGES.get(number as usize % LANGUAGES.len()).copied().unwrap_or_default();
        let address = visitor.address.to_string();
        let mut headers = vec![
            ("X-Forwarded-For", address.as_str()),
            ("User-Agent", bot.unwrap_or(visitor.agent)),
            ("Accept-Language", language),
        ];
        headers.extend(more);
        self.browsers.get(target, &headers)
    }

    fn odd(&mut self, what: &'static str) {
        *self.tally.odd.entry(what).or_insert(0) += 1;
    }
}

/// The campaign that somebody comes by, with a draw below a hundred.
fn campaign(draw: u32) -> (&'static str, u32, bool) {
    let mut left = draw;
    for campaign in CAMPAIGNS {
        if left < campaign.1 {
            return campaign;
        }
        left -= campaign.1;
    }
    CAMPAIGNS[0]
}
