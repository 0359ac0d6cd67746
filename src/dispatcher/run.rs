//! The dispatcher's thread: one loop that follows the log, makes requests, and keeps what they came to.
//!
//! | task | waits on | stops | if it fails |
//! |---|---|---|---|
//! | loop | decisions on stable storage, answers, moments, operators | when told; then it drains | with the process |
//! | attempt, one a request | its destination, within its timeout | aborted when the drain is over: then its outcome is ambiguous | |
//! | read, at most one | the disk | with the runtime | tried again after a second |
//!
//! Keeps: nothing is sent of a decision that a power cut could take back, nor anything more while outcomes cannot be
//! written.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::attempt::{Snapshot, Tools, attempt};
use super::command::{Command, Reopenings};
use super::desk::{Desk, Ended, ItemEnded, Job, Past, Reopened, Tried};
use super::destinations::Destinations;
use super::follow::{Batch, decision, decision_of, is_hot, read_cold, walk, written_end};
use super::journal::Outcomes;
use super::keeper::Keep;
use super::kept::Kept;
use super::owed::delivery_id;
use super::schedule::Patience;
use crate::clock::Timestamp;
use crate::event::decision::Decision;
use crate::event::delivery::OutcomeClass;
use crate::store::lane::{Lane, Level, View};
use crate::store::{Error, Position};

/// Decisions that are looked at in one go, before attempts that have ended are.
const DECISIONS_MAX: usize = 256;

/// How often the loop looks around without being rung for.
const AROUND_EVERY: Duration = Duration::from_secs(1);

/// When it is tried again to write what could not be: mostly the next segment is not ready yet.
const UNWRITTEN_PAUSE: Duration = Duration::from_millis(5);

/// How often a checkpoint is made, if anything has changed.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Loop {
    pub(super) desk: Desk,
    pub(super) log: Outcomes,
    pub(super) tools: Rc<Tools>,
    pub(super) snapshot: Rc<Snapshot>,
    pub(super) served: Arc<ArcSwap<Destinations>>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) keep: Arc<Keep>,
    pub(super) drain: Duration,
    pub(super) state: State,
}

/// What the loop knows that the desk does not.
#[derive(Default)]
pub(super) struct State {
    attempts: JoinSet<(u64, Ended)>,
    jobs: HashMap<u64, Job>,
    next_job: u64,
    reading: Option<Reading>,
    /// Reading is tried again then.
    unreadable_until: Duration,
    looked_around: Duration,
    kept: Duration,
    /// What was so when the last checkpoint was made.
    kept_at: (Position, u64, [u64; 3]),
    is_poisoned: bool,
}

/// A part of the log that is being read from the disk.
struct Reading {
    reader: For,
    task: JoinHandle<Result<Batch, Error>>,
}

/// For whom a part of the log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    InStep,
    Behind,
}

impl For {
    /// Shows them a decision. Says whether any of them can make use of the next one.
    fn show(
        self,
        desk: &mut Desk,
        at: Position,
        decision: &Decision<'_>,
        all: &Destinations,
        past: Past<'_>,
        now: Timestamp,
    ) -> bool {
        match self {
            Self::InStep => {
                desk.take(at, decision, all, past, now);
                true
            }
            Self::Behind => desk.take_behind(at, decision, all, past, now),
        }
    }

    /// They have been shown everything before `next`.
    fn reached(self, desk: &mut Desk, next: Position, now: Timestamp) {
        match self {
            Self::InStep => desk.reach(next),
            Self::Behind => desk.reach_behind(next, now),
        }
    }
}

/// Why the loop woke up.
enum Woken {
    Ended(u64, Ended),
    Read(For, Result<Batch, Error>),
    Told(Command),
    Poisoned,
    Stop,
    Around,
}

impl Loop {
    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) {
        loop {
            let (now, monotonic) = self.moment();
            self.look_around(now, monotonic);
            self.desk.wake(now, monotonic);
            let mut is_busy = self.follow(now);
            is_busy |= self.catch_up(now);
            self.launch(now, monotonic);
            let woken = if is_busy {
                // Attempts have their turn, and so have operators.
                tokio::task::yield_now().await;
                self.commands.try_recv().map_or(Woken::Around, Woken::Told)
            } else {
                self.wait().await
            };
            match woken {
                Woken::Ended(job, ended) => self.finish(job, ended),
                Woken::Read(reader, read) => self.take_read(reader, read),
                Woken::Stop | Woken::Told(Command::Stop) => break,
                Woken::Told(command) => self.told(command),
                Woken::Poisoned => self.state.is_poisoned = true,
                Woken::Around => {}
            }
            self.finish_all();
        }
        self.end().await;
    }

    fn moment(&self) -> (Timestamp, Duration) {
        (self.tools.clock.now(), self.tools.clock.monotonic())
    }

    /// How far decisions are on stable storage.
    fn synced(&self) -> Position {
        self.tools.lane.synced()
    }

    // ---- decisions in ----

    /// Looks at decisions that are new; says whether there may be more.
    fn follow(&mut self, now: Timestamp) -> bool {
        let (head, end) = (self.desk.head(), self.synced());
        if head >= end || self.state.reading.is_some() {
            return false;
        }
        if self.snapshot.all.is_empty() && self.desk.is_empty() {
            self.desk.reach(end);
            return false;
        }
        self.look(For::InStep, head, end, now)
    }

    /// Looks at what destinations are behind with; says whether there may be more.
    fn catch_up(&mut self, now: Timestamp) -> bool {
        if self.state.reading.is_some() || !self.is_readable() {
            return false;
        }
        let Some(behind) = self.desk.behind() else { return false };
        self.look(For::Behind, behind.from, behind.to.unwrap_or(self.desk.head()), now)
    }

    /// Whether it is time to read from the disk again, if that failed.
    fn is_readable(&self) -> bool {
        self.tools.clock.monotonic() >= self.state.unreadable_until
    }

    /// Looks at a part of the log, or has it read from the disk; says whether there may be more to look at at once.
    fn look(&mut self, reader: For, from: Position, end: Position, now: Timestamp) -> bool {
        let view = Arc::clone(&self.tools.lane.view());
        if !is_hot(&view, from) {
            if self.is_readable() {
                let lane = Arc::clone(&self.tools.lane);
                let task = tokio::task::spawn_blocking(move || read_cold(&lane.view(), from, end));
                self.state.reading = Some(Reading { reader, task });
            }
            return false;
        }
        let all = Arc::clone(&self.snapshot.all);
        let (desk, mut left, mut goes_on) = (&mut self.desk, DECISIONS_MAX, true);
        let past = |at| decision(&view, at);
        let walked = walk(&view, from, end, |at, record| {
            if let Some(decision) = decision_of(record) {
                left -= 1;
                goes_on = reader.show(desk, at, &decision, &all, &past, now);
            }
            if left > 0 && goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match walked {
            Ok(next) => reader.reached(desk, next, now),
            Err(error) => self.unreadable(&error),
        }
        left == 0 || reader == For::Behind
    }

    /// Looks at what was read from the disk.
    fn take_read(&mut self, reader: For, read: Result<Batch, Error>) {
        let batch = match read {
            Ok(batch) => batch,
            Err(error) => return self.unreadable(&error),
        };
        let now = self.tools.clock.now();
        let (view, all) = (Arc::clone(&self.tools.lane.view()), Arc::clone(&self.snapshot.all));
        let past = |at| decision(&view, at);
        for (at, kept) in &batch.decisions {
            if let Some(decision) = kept.decision()
                && !reader.show(&mut self.desk, *at, &decision, &all, &past, now)
            {
                break;
            }
        }
        reader.reached(&mut self.desk, batch.next, now);
    }

    fn unreadable(&mut self, error: &Error) {
        tracing::error!("the dispatcher cannot read the log of decisions, and waits: {error}");
        self.state.unreadable_until = self.tools.clock.monotonic() + AROUND_EVERY;
    }

    // ---- attempts ----

    fn launch(&mut self, now: Timestamp, monotonic: Duration) {
        self.log.flush();
        // What cannot be written down is better not done.
        while !self.state.is_poisoned
            && self.log.is_written()
            && let Some(job) = self.desk.next(now, monotonic)
        {
            let (tools, snapshot) = (Rc::clone(&self.tools), Rc::clone(&self.snapshot));
            let (number, destination, items) =
                (self.state.next_job, job.destination.clone(), job.items.clone());
            self.state.next_job += 1;
            self.state.jobs.insert(number, job);
            self.state
                .attempts
                .spawn_local(async move { (number, attempt(&tools, &snapshot, &destination, &items).await) });
        }
    }

    fn finish_all(&mut self) {
        while let Some(done) = self.state.attempts.try_join_next() {
            if let Ok((job, ended)) = done {
                self.finish(job, ended);
            }
        }
    }

    fn finish(&mut self, job: u64, ended: Ended) {
        let (now, monotonic) = self.moment();
        if let Some(job) = self.state.jobs.remove(&job) {
            self.desk.ended(job, ended, now, monotonic, &mut self.log);
        }
    }

    // ---- the rest ----

    async fn wait(&mut self) -> Woken {
        let (due, shut) = self.desk.next_wake();
        let (now, monotonic) = self.moment();
        let due = due.map_or(AROUND_EVERY, |due| due.since(now));
        let shut = shut.map_or(AROUND_EVERY, |shut| shut.saturating_sub(monotonic));
        let around = if self.log.is_written() { AROUND_EVERY } else { UNWRITTEN_PAUSE };
        let left = self.tools.clock.nap(due.min(shut).min(around));
        // What cannot be read now is news all the time.
        let (head, is_reading) = (self.desk.head(), self.state.reading.is_some() || !self.is_readable());
        let State { attempts, reading, is_poisoned, .. } = &mut self.state;
        let lane: &Lane = &self.tools.lane;
        tokio::select! {
            biased;
            told = self.commands.recv() => told.map_or(Woken::Stop, Woken::Told),
            Some(done) = attempts.join_next() => match done {
                Ok((job, ended)) => Woken::Ended(job, ended),
                Err(_aborted) => Woken::Around,
            },
            read = finished(reading) => read,
            news = lane.durable(head, Level::LocalSync), if !is_reading && !*is_poisoned => match news {
                Ok(()) => Woken::Around,
                Err(_) => Woken::Poisoned,
            },
            () = tokio::time::sleep(left) => Woken::Around,
        }
    }

    /// What is done once a second.
    fn look_around(&mut self, now: Timestamp, monotonic: Duration) {
        if monotonic < self.state.looked_around + AROUND_EVERY {
            return;
        }
        self.state.looked_around = monotonic;
        // Whoever reloads says so; a word that did not come through is made up for here.
        if !Arc::ptr_eq(&self.served.load(), &self.snapshot.all) {
            self.reload(now);
        }
        self.log.tick(now);
        let view = Arc::clone(&self.tools.lane.view());
        self.desk.give_up_absent(&|at| decision(&view, at), now, &mut self.log);
        self.desk.show(self.synced(), now);
        self.desk.tally.connections(self.tools.clients.counts());
        let made_of = (self.desk.head(), self.desk.tally.begun_count(), self.desk.tally.ended());
        if monotonic >= self.state.kept + CHECKPOINT_EVERY
            && made_of != self.state.kept_at
            && self.log.is_written()
        {
            (self.state.kept, self.state.kept_at) = (monotonic, made_of);
            let bytes = self.desk.checkpoint(self.log.end());
            self.keep.put(bytes, self.desk.needed());
        }
    }

    /// Takes the destinations that are served now.
    fn reload(&mut self, now: Timestamp) {
        let all = self.served.load_full();
        // Those that the catalog did not name hear of what is decided from now on.
        let start = written_end(&self.tools.lane.view());
        self.desk.set_destinations(&all, start, now, &mut self.log);
        self.desk.note_all(now, &mut self.log);
        let outbounds: Vec<_> = all.outbounds().collect();
        let routes: Vec<_> = outbounds.iter().map(|outbound| Arc::clone(&outbound.route)).collect();
        let tokens: Vec<_> = outbounds.iter().filter_map(|outbound| outbound.token.clone()).collect();
        self.tools.clients.keep(&routes);
        self.tools.tokens.keep(&tokens);
        self.snapshot = Rc::new(Snapshot::of(all));
    }

    fn told(&mut self, command: Command) {
        let (now, monotonic) = self.moment();
        match command {
            Command::List(reply) => reply.give(self.desk.list(self.synced(), now, monotonic)),
            Command::Pause { destination, why, reply } => {
                let station = self.desk.station(&destination);
                station.into_iter().for_each(|station| self.desk.pause(station, &why, now, &mut self.log));
                reply.give(station.is_some());
            }
            Command::Resume { destination, reply } => {
                let station = self.desk.station(&destination);
                station.into_iter().for_each(|station| self.desk.resume(station, now, &mut self.log));
                reply.give(station.is_some());
            }
            Command::Reopen { deliveries, reply } => {
                let view = Arc::clone(&self.tools.lane.view());
                let mut done = Reopenings::default();
                for (destination, at) in deliveries {
                    let is_open = self.reopen(&destination, at, &view, now);
                    done.opened += u32::from(is_open);
                    done.not_opened += u32::from(!is_open);
                }
                reply.give(done);
            }
            Command::Reload(reply) => {
                self.reload(now);
                reply.give(());
            }
            Command::Roll => self.log.roll(),
            Command::Stop => {}
        }
    }

    fn reopen(&mut self, destination: &str, at: Position, view: &View, now: Timestamp) -> bool {
        let Some(station) = self.desk.station(destination) else { return false };
        let kept = decision(view, at);
        let Some(decision) = kept.as_ref().and_then(Kept::decision) else { return false };
        let all = Arc::clone(&self.snapshot.all);
        let Some(found) = all.find(&decision, destination) else { return false };
        self.desk.reopen(station, at, &Reopened::of(&decision, found), now, &mut self.log)
    }

    /// Lets attempts end for a while, and says of the others that nobody knows what became of them.
    async fn end(mut self) {
        let until = tokio::time::sleep(self.drain);
        let mut until = std::pin::pin!(until);
        while !self.state.jobs.is_empty() {
            tokio::select! {
                biased;
                Some(done) = self.state.attempts.join_next() => {
                    if let Ok((job, ended)) = done {
                        self.finish(job, ended);
                    }
                }
                () = &mut until => break,
            }
        }
        self.state.attempts.abort_all();
        let view = Arc::clone(&self.tools.lane.view());
        let left: Vec<Job> = self.state.jobs.drain().map(|(_, job)| job).collect();
        for job in left {
            let ended = abandoned(&job, &view, &self.snapshot.all);
            let (now, monotonic) = self.moment();
            self.desk.ended(job, ended, now, monotonic, &mut self.log);
        }
        let now = self.tools.clock.now();
        self.log.tick(now);
        if self.log.is_written() {
            let bytes = self.desk.checkpoint(self.log.end());
            self.keep.put(bytes, self.desk.needed());
        }
        self.log.close();
    }
}

/// What is said of a job whose answer nobody waited for.
fn abandoned(job: &Job, view: &View, all: &Destinations) -> Ended {
    let item = |at: Position| {
        let kept = decision(view, at);
        let decision = kept.as_ref().and_then(Kept::decision);
        let patience = decision
            .as_ref()
            .and_then(|decision| all.find(decision, &job.destination))
            .map_or(Patience::default(), |destination| destination.outbound.patience);
        ItemEnded::Tried(Tried {
            delivery_id: decision.map_or([0; 16], |decision| {
                delivery_id(decision.conversion_id, decision.sequence, &job.destination)
            }),
            class: OutcomeClass::Ambiguous,
            http_status: 0,
            retry_after: None,
            detail: b"the process stopped before an answer came".to_vec(),
            patience,
        })
    };
    Ended { request: None, items: job.items.iter().map(|of| item(of.at)).collect() }
}

/// What was read, once it is; never, where nothing is being read.
async fn finished(reading: &mut Option<Reading>) -> Woken {
    match reading {
        None => std::future::pending().await,
        Some(Reading { reader, task }) => {
            let (reader, read) = (*reader, task.await);
            *reading = None;
            match read {
                Ok(read) => Woken::Read(reader, read),
                Err(_gone) => Woken::Around,
            }
        }
    }
}
