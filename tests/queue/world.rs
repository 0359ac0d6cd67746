//! A world to run a desk in: a log of decisions, destinations that answer as a test says, a clock that leaps.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use clicklog::clock::Timestamp;
use clicklog::dispatcher::checkpoint::decode;
use clicklog::dispatcher::desk::{Desk, Ended, ItemEnded, Job, Log, Options, Tried};
use clicklog::dispatcher::destinations::{Destinations, Limits};
use clicklog::dispatcher::kept::Kept;
use clicklog::dispatcher::outbound::{Batch, Body, Outbound};
use clicklog::dispatcher::owed::{Destination, delivery_id};
use clicklog::dispatcher::progress::Behind;
use clicklog::dispatcher::restore::Restored;
use clicklog::dispatcher::schedule::{Patience, Seed};
use clicklog::event::codec::Encoder;
use clicklog::event::conversion::{Conversion, Standing, Status};
use clicklog::event::decision::{Decision, Verdict};
use clicklog::event::delivery::{DeliveryOutcome, DestinationChange, DestinationEvent, OutcomeClass};
use clicklog::store::Position;
use clicklog::store::record::PAYLOAD_BYTES_MAX;

pub(crate) const START: u32 = 1_795_158_000;

/// How a destination answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) class: OutcomeClass,
    pub(crate) took: Duration,
    pub(crate) retry_after: Option<Duration>,
}

pub(crate) const fn answer(class: OutcomeClass, millis: u64) -> Answer {
    Answer { class, took: Duration::from_millis(millis), retry_after: None }
}

/// Says how a destination answers: its id, how long the world has run, how many it got before.
pub(crate) type Answers = Box<dyn Fn(&str, Duration, usize) -> Answer>;

/// What arrived at a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) after: Duration,
    pub(crate) destination: String,
    pub(crate) at: u64,
    pub(crate) class: OutcomeClass,
}

/// A record of the journal of deliveries.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Outcome {
        time: Timestamp,
        at: u64,
        class: OutcomeClass,
        attempt: u16,
        is_final: bool,
        next: Option<Timestamp>,
        took: u32,
        to: String,
    },
    Event {
        time: Timestamp,
        change: DestinationChange,
        at: u64,
        to: String,
        detail: Vec<u8>,
    },
}

/// The journal; full after so many entries, which is when the process dies.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) entries: Vec<Entry>,
    pub(crate) entries_max: usize,
    pub(crate) is_dead: bool,
}

impl Journal {
    fn push(&mut self, entry: Entry) {
        self.is_dead |= self.entries.len() >= self.entries_max;
        if !self.is_dead {
            self.entries.push(entry);
        }
    }
}

impl Log for Journal {
    fn outcome(&mut self, of: &DeliveryOutcome<'_>) {
        self.push(Entry::Outcome {
            time: of.time,
            at: of.decision,
            class: of.class,
            attempt: of.attempt,
            is_final: of.is_final,
            next: of.next_attempt,
            took: of.duration_micros,
            to: of.destination.to_owned(),
        });
    }

    fn event(&mut self, of: &DestinationEvent<'_>) {
        let bytes = Encoder::default().destination(of).unwrap().payload.len();
        assert!(bytes <= PAYLOAD_BYTES_MAX as usize, "a note of {bytes} bytes is no record");
        self.push(Entry::Event {
            time: of.time,
            change: of.change,
            at: of.decision,
            to: of.destination.to_owned(),
            detail: of.detail.to_vec(),
        });
    }
}

#[derive(Debug)]
struct InFlight {
    job: Job,
    answer: Answer,
}

/// See the module.
pub(crate) struct World {
    pub(crate) desk: Desk,
    pub(crate) all: Destinations,
    pub(crate) now: Duration,
    pub(crate) decisions: BTreeMap<u64, (Duration, Kept)>,
    pub(crate) arrived: Vec<Arrived>,
    pub(crate) journal: Journal,
    /// Requests that were made: of a batch one.
    pub(crate) requests: usize,
    /// How far the clock was set back; time itself goes on.
    pub(crate) set_back: Duration,
    answers: Answers,
    counts: BTreeMap<String, usize>,
    running: BinaryHeap<Reverse<(Duration, u64)>>,
    jobs: BTreeMap<u64, InFlight>,
    next_job: u64,
}

pub(crate) fn at(after: Duration) -> Timestamp {
    Timestamp::from_seconds(START).plus(after)
}

pub(crate) fn named(ids: &[&str]) -> Destinations {
    let outbound = |id: &str| Arc::new(Outbound::get(&format!("https://{id}.example/")).unwrap());
    let global = ids.iter().map(|id| Destination::plain(id, outbound(id))).collect();
    let limits = ids.iter().map(|id| ((*id).into(), Limits::default())).collect();
    Destinations { global, limits, ..Destinations::default() }
}

/// The same destination, told in requests of as many as `max`.
pub(crate) fn batched(destination: &mut Destination, max: usize, wait: Duration) {
    use clicklog::event::template::{Missing, Names, Target, Template};
    let part =
        |text: &str| Template::parse(text, Target::Json, &Names::with([], []), Missing::Empty).unwrap();
    let batch = Batch {
        before: part("["),
        item: part("{\"t\":\"{transaction_id}\"}"),
        after: part("]"),
        max,
        wait,
        per_item: None,
    };
    let outbound = Outbound { body: Body::Batch(Box::new(batch)), ..Outbound::clone(&destination.outbound) };
    destination.outbound = Arc::new(outbound);
}

pub(crate) const OPTIONS: Options =
    Options { attempts_max: 256, attempts_per_host_max: 64, seed: Seed(7, 9) };

impl World {
    pub(crate) fn new(all: Destinations, answers: Answers) -> Self {
        let mut world = Self {
            desk: Desk::new(OPTIONS, Position::START),
            all,
            now: Duration::ZERO,
            decisions: BTreeMap::new(),
            arrived: Vec::new(),
            journal: Journal { entries: Vec::new(), entries_max: usize::MAX, is_dead: false },
            requests: 0,
            set_back: Duration::ZERO,
            answers,
            counts: BTreeMap::new(),
            running: BinaryHeap::new(),
            jobs: BTreeMap::new(),
            next_job: 0,
        };
        world.desk.set_destinations(&world.all, Position::START, at(Duration::ZERO), &mut world.journal);
        world
    }

    /// Adds an approval of a conversion of its own.
    pub(crate) fn approve(&mut self, number: u32, after: Duration) -> u64 {
        self.decide(number, 0, Status::Approved, 0, after)
    }

    /// Adds a decision; where it lies.
    pub(crate) fn decide(
        &mut self,
        conversion: u32,
        sequence: u32,
        status: Status,
        previous: u64,
        after: Duration,
    ) -> u64 {
        let place = 1_u64 << 32 | (4096 + self.decisions.len() as u64 * 4096);
        let mut id = [0; 16];
        id[..4].copy_from_slice(&conversion.to_le_bytes());
        let decision = Decision {
            time: at(after),
            verdict: if sequence == 0 { Verdict::Accepted } else { Verdict::Updated },
            conversion_id: id,
            sequence,
            previous,
            conversion: Conversion { status, ..Conversion::default() },
            standing: Standing::default(),
            ..Decision::default()
        };
        let mut encoder = Encoder::default();
        let encoded = encoder.decision(&decision).unwrap();
        let kept = Kept::new(encoded.kind.code(), encoded.schema, encoded.payload);
        self.decisions.insert(place, (after, kept));
        place
    }

    /// What the clock shows.
    pub(crate) fn wall(&self) -> Timestamp {
        let set_back = i64::try_from(self.set_back.as_micros()).unwrap();
        Timestamp::from_micros(at(self.now).micros() - set_back)
    }

    /// Another catalog is served.
    pub(crate) fn reload(&mut self, all: Destinations) {
        self.all = all;
        let start = Position::from_u64(self.end()).unwrap();
        let now = self.wall();
        self.desk.set_destinations(&self.all, start, now, &mut self.journal);
        self.desk.note_all(now, &mut self.journal);
    }

    /// Where the log ends now.
    fn end(&self) -> u64 {
        let written = self.decisions.iter().filter(|(_, (after, _))| *after <= self.now);
        written.map(|(at, _)| at + 16).max().unwrap_or_default()
    }

    /// Gives up what waits for destinations that are named no more.
    pub(crate) fn give_up_absent(&mut self) {
        let decisions = &self.decisions;
        let past = |at: Position| decisions.get(&at.to_u64()).map(|(_, kept)| kept.clone());
        self.desk.give_up_absent(&past, at(self.now), &mut self.journal);
    }

    /// How many attempts are under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.jobs.len()
    }

    /// How many deliveries are in these.
    pub(crate) fn in_flight_items(&self) -> usize {
        self.jobs.values().map(|in_flight| in_flight.job.items.len()).sum()
    }

    /// Runs until then, or until the process dies.
    pub(crate) fn run_until(&mut self, end: Duration) {
        loop {
            self.round();
            if self.journal.is_dead {
                return;
            }
            let Some(next) = self.next_moment().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            while let Some(Reverse((when, number))) = self.running.peek().copied()
                && when <= self.now
                && !self.journal.is_dead
            {
                self.running.pop();
                let InFlight { job, answer } = self.jobs.remove(&number).unwrap();
                self.answered(job, answer);
            }
        }
        self.now = end;
    }

    fn answered(&mut self, job: Job, answer: Answer) {
        let items = job.items.iter().map(|item| {
            let (_, kept) = &self.decisions[&item.at.to_u64()];
            let decision = kept.decision().unwrap();
            ItemEnded::Tried(Tried {
                delivery_id: delivery_id(decision.conversion_id, decision.sequence, &job.destination),
                class: answer.class,
                http_status: 0,
                retry_after: answer.retry_after,
                detail: Vec::new(),
                patience: Patience::default(),
            })
        });
        let ended = Ended { request: Some(answer.class), items: items.collect() };
        let now = self.wall();
        self.desk.ended(job, ended, now, self.now, &mut self.journal);
    }

    fn next_moment(&self) -> Option<Duration> {
        let (due, shut) = self.desk.next_wake();
        let due = due.map(|due| due.since(at(Duration::ZERO)) + self.set_back);
        let head = self.desk.head().to_u64();
        let decision = self.decisions.range(head..).map(|(_, (after, _))| *after).next();
        let running = self.running.peek().map(|Reverse((when, _))| *when);
        [due, shut, decision, running].into_iter().flatten().min()
    }

    fn round(&mut self) {
        let (now, monotonic) = (self.wall(), self.now);
        self.desk.wake(now, monotonic);
        let decisions = &self.decisions;
        let past = |at: Position| decisions.get(&at.to_u64()).map(|(_, kept)| kept.clone());
        let head = self.desk.head().to_u64();
        for (place, (after, kept)) in decisions.range(head..) {
            if *after > self.now {
                break;
            }
            let place = Position::from_u64(*place).unwrap();
            self.desk.take(place, &kept.decision().unwrap(), &self.all, &past, now);
            self.desk.reach(Position::from_u64(place.to_u64() + 16).unwrap());
        }
        while let Some(Behind { from, to }) = self.desk.behind() {
            let to = to.unwrap_or(self.desk.head());
            let mut next = to;
            for (count, (place, (_, kept))) in decisions.range(from.to_u64()..to.to_u64()).enumerate() {
                next = Position::from_u64(*place).unwrap();
                if count == 100 {
                    break;
                }
                let decision = kept.decision().unwrap();
                let has_room = self.desk.take_behind(next, &decision, &self.all, &past, now);
                next = to;
                if !has_room {
                    break;
                }
            }
            self.desk.reach_behind(next, now);
        }
        while let Some(job) = self.desk.next(now, monotonic) {
            self.send(job);
        }
    }

    fn send(&mut self, job: Job) {
        self.requests += 1;
        let count = self.counts.entry(job.destination.to_string()).or_default();
        let answer = (self.answers)(&job.destination, self.now, *count);
        *count += 1;
        for item in &job.items {
            self.arrived.push(Arrived {
                after: self.now,
                destination: job.destination.to_string(),
                at: item.at.to_u64(),
                class: answer.class,
            });
        }
        self.running.push(Reverse((self.now + answer.took, self.next_job)));
        self.jobs.insert(self.next_job, InFlight { job, answer });
        self.next_job += 1;
    }

    /// What the journal says, from this entry on.
    pub(crate) fn restored(&self, mut restored: Restored, from: usize) -> Restored {
        for entry in &self.journal.entries[from..] {
            match entry {
                Entry::Outcome { time, at, class, attempt, is_final, next, took, to } => {
                    restored.outcome(&DeliveryOutcome {
                        time: *time,
                        decision: *at,
                        class: *class,
                        attempt: *attempt,
                        is_final: *is_final,
                        next_attempt: *next,
                        duration_micros: *took,
                        destination: to,
                        ..DeliveryOutcome::default()
                    });
                }
                Entry::Event { time, change, at, to, detail } => restored.event(&DestinationEvent {
                    time: *time,
                    change: *change,
                    decision: *at,
                    destination: to,
                    detail,
                }),
            }
        }
        restored.settle();
        restored
    }

    /// A checkpoint as of now, as a start reads it.
    pub(crate) fn checkpoint(&mut self) -> Restored {
        let checkpoint = decode(&self.desk.checkpoint(Position::START)).unwrap();
        let (head, destinations) = (Some(checkpoint.head), checkpoint.destinations);
        Restored { head, destinations, ..Restored::default() }
    }

    /// The process dies, and another begins with what is known.
    pub(crate) fn restart(&mut self, restored: Restored) {
        (self.journal.is_dead, self.journal.entries_max) = (false, usize::MAX);
        self.running.clear();
        self.jobs.clear();
        let head = restored.head.unwrap_or(Position::START);
        self.desk = Desk::new(OPTIONS, head);
        let decisions = &self.decisions;
        let past = |at: Position| decisions.get(&at.to_u64()).map(|(_, kept)| kept.clone());
        let now = self.wall();
        self.desk.remember(restored, &self.all, &past, now, &mut self.journal);
        let end = Position::from_u64(self.end()).unwrap();
        self.desk.set_destinations(&self.all, end.max(head), now, &mut self.journal);
    }

    /// The process dies, and another begins with the journal alone, or with a checkpoint as of just now.
    pub(crate) fn die(&mut self, has_checkpoint: bool) {
        let restored = if has_checkpoint { self.checkpoint() } else { self.restored(Restored::default(), 0) };
        self.restart(restored);
    }

    /// What was taken, by destination and place, with how often.
    pub(crate) fn taken(&self) -> BTreeMap<(String, u64), usize> {
        let mut taken = BTreeMap::new();
        for arrived in self.arrived.iter().filter(|arrived| arrived.class == OutcomeClass::Ok) {
            *taken.entry((arrived.destination.clone(), arrived.at)).or_default() += 1;
        }
        taken
    }
}
