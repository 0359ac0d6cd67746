//! Waiting for a sync: who is told, when, and what.
//!
//! Keeps: no sync happens here but those that a test asks for, so what is pending is pending for good.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use clicklog::clock::Clock;
use clicklog::event::codec::Encoder;
use clicklog::event::decision::Decision;
use clicklog::store::commit::{Handle, Limits, Owner, Refused, Reply, Stage, Synced, start};
use clicklog::store::{Error, Journal, Lane, LaneWriter, Level, Options, Position, Result, Store};

use crate::support::{click_at, options, record};

/// Counts how often it is rung, and notes if that was before its position was synced.
struct Bell {
    lane: Arc<Lane>,
    position: Position,
    rings: AtomicUsize,
    is_early: AtomicBool,
}

impl Bell {
    fn new(lane: &Arc<Lane>, position: Position) -> Arc<Self> {
        let (rings, is_early) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { lane: Arc::clone(lane), position, rings, is_early })
    }

    fn rings(&self) -> usize {
        self.rings.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.is_early.fetch_or(self.lane.synced() <= self.position, Ordering::SeqCst);
        self.rings.fetch_add(1, Ordering::SeqCst);
    }
}

fn look<F: Future>(future: Pin<&mut F>, bell: &Arc<Bell>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(bell))))
}

/// Polls where nobody listens to the wake-up.
fn peek<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits for as long as it takes.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (mut future, waker) = (pin!(future), Waker::from(Arc::new(Unpark(thread::current()))));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// A store that syncs nothing by itself.
fn quiet(root: &tempfile::TempDir) -> Store {
    let click_sync_interval = Duration::from_secs(3_600);
    Store::open(Options { click_sync_interval, ..options(root.path()) }).unwrap()
}

fn is_poisoned<T>(answer: &Poll<Result<T>>, with: &str) -> bool {
    matches!(answer, Poll::Ready(Err(Error::Poisoned { cause })) if cause == with)
}

#[test]
fn each_level_waits_for_what_it_says() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let mut writer = store.click_writer(0).unwrap();
    let at = record(&mut writer, 0).appended.position();
    let lane = writer.lane();
    let bell = Bell::new(lane, at);

    assert!(matches!(look(pin!(lane.durable(at, Level::Written)), &bell), Poll::Ready(Ok(()))));
    let replicated = look(pin!(lane.durable(at, Level::Replicated)), &bell);
    assert!(matches!(replicated, Poll::Ready(Err(Error::NotReplicated))), "reserved, and says so");
    let mut synced = pin!(lane.durable(at, Level::LocalSync));
    assert!(look(synced.as_mut(), &bell).is_pending());
    assert!(lane.synced() <= at);
    lane.sync().unwrap();
    assert!(matches!(look(synced.as_mut(), &bell), Poll::Ready(Ok(()))));
    assert!(matches!(look(pin!(lane.durable(at, Level::Replicated)), &bell), Poll::Ready(Err(_))));
}

#[test]
fn a_waiter_is_rung_for_its_own_position_and_not_for_an_earlier_one() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let mut writer = store.click_writer(0).unwrap();
    let lane = Arc::clone(writer.lane());
    let near = record(&mut writer, 0).appended.position();
    // Where the next record will lie: nothing is there when the first sync runs.
    let far = {
        let probe = record(&mut writer, 1).appended.position();
        Position::new(probe.segment(), probe.offset() + (probe.offset() - near.offset()))
    };
    let (near_bell, far_bell) = (Bell::new(&lane, near), Bell::new(&lane, far));
    let mut near_wait = pin!(lane.durable(near, Level::LocalSync));
    let mut far_wait = pin!(lane.durable(far, Level::LocalSync));
    assert!(look(near_wait.as_mut(), &near_bell).is_pending());
    assert!(look(far_wait.as_mut(), &far_bell).is_pending());
    lane.sync().unwrap();
    assert_eq!((near_bell.rings(), far_bell.rings()), (1, 0));
    assert!(look(far_wait.as_mut(), &far_bell).is_pending());

    assert_eq!(record(&mut writer, 2).appended.position(), far);
    lane.sync().unwrap();
    assert_eq!((near_bell.rings(), far_bell.rings()), (1, 1));
    assert!(matches!(look(near_wait, &near_bell), Poll::Ready(Ok(()))));
    assert!(matches!(look(far_wait, &far_bell), Poll::Ready(Ok(()))));
}

/// Beside a sync thread at work, over several segments.
#[test]
fn nobody_is_rung_before_its_sync_nor_forgotten() {
    let root = tempfile::tempdir().unwrap();
    let click_sync_interval = Duration::from_millis(1);
    let store = Store::open(Options { click_sync_interval, ..options(root.path()) }).unwrap();
    let mut writer = store.click_writer(0).unwrap();
    let lane = Arc::clone(writer.lane());
    let mut waits = Vec::new();
    for n in 0..2_000 {
        let at = record(&mut writer, n).appended.position();
        let (bell, mut synced) = (Bell::new(&lane, at), Box::pin(lane.durable(at, Level::LocalSync)));
        if look(synced.as_mut(), &bell).is_pending() {
            waits.push((bell, synced));
        }
    }
    for (bell, synced) in waits {
        wait(synced).unwrap();
        assert!(!bell.is_early.load(Ordering::SeqCst), "{} was not synced yet", bell.position);
    }
}

#[test]
fn waiters_are_told_of_poison_and_of_the_end() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let mut writer = store.click_writer(0).unwrap();
    let lane = Arc::clone(writer.lane());
    let synced = record(&mut writer, 0).appended.position();
    lane.sync().unwrap();
    let at = record(&mut writer, 1).appended.position();
    let bell = Bell::new(&lane, at);
    let mut waiting = pin!(lane.durable(at, Level::LocalSync));
    assert!(look(waiting.as_mut(), &bell).is_pending());
    store.poison().throw("the disk is gone");
    assert_eq!(bell.rings(), 1);
    assert!(is_poisoned(&look(waiting, &bell), "the disk is gone"));
    assert!(is_poisoned(&look(pin!(lane.durable(at, Level::LocalSync)), &bell), "the disk is gone"));
    let before = look(pin!(lane.durable(synced, Level::LocalSync)), &bell);
    assert!(matches!(before, Poll::Ready(Ok(()))), "what was synced before is synced");
    assert!(matches!(lane.sync(), Err(Error::Poisoned { .. })), "a failed sync is never tried again");

    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let lane = Arc::clone(store.lane(Journal::Clicks, 0).unwrap());
    let never = Position::new(9, 4096);
    let bell = Bell::new(&lane, never);
    let mut waiting = pin!(lane.durable(never, Level::LocalSync));
    assert!(look(waiting.as_mut(), &bell).is_pending());
    store.close().unwrap();
    assert_eq!(bell.rings(), 1);
    assert!(is_poisoned(&look(waiting, &bell), "the store is closed"));
}

#[test]
fn a_waiter_that_leaves_early_is_not_rung_and_holds_nobody_up() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let mut writer = store.click_writer(0).unwrap();
    let lane = Arc::clone(writer.lane());
    let at = record(&mut writer, 0).appended.position();
    let (left_bell, stays_bell) = (Bell::new(&lane, at), Bell::new(&lane, at));
    let mut stays = pin!(lane.durable(at, Level::LocalSync));
    {
        let mut leaves = pin!(lane.durable(at, Level::LocalSync));
        assert!(look(leaves.as_mut(), &left_bell).is_pending());
        assert!(look(stays.as_mut(), &stays_bell).is_pending());
    }
    lane.sync().unwrap();
    assert_eq!((left_bell.rings(), stays_bell.rings()), (0, 1));
    assert!(matches!(look(stays, &stays_bell), Poll::Ready(Ok(()))));
}

/// Decides each key once, as `apply` does, and stops before each sync until it is told to go on.
struct Conversions {
    clicks: Arc<Lane>,
    encoder: Encoder,
    decided: BTreeMap<&'static str, Position>,
    /// The furthest click that a decision since the last sync refers to.
    refers_to: Option<Position>,
    gate: Option<Gate>,
    idled: Option<SyncSender<()>>,
}

/// The stage's end: says that it is about to sync, and waits for the word.
struct Gate {
    arrived: SyncSender<()>,
    go: Receiver<()>,
}

/// A conversion, and the click it refers to.
struct Ask(&'static str, Option<Position>);

#[derive(Debug, PartialEq)]
enum Decided {
    New(Position),
    Duplicate(Position),
}

impl Stage for Conversions {
    type Request = Ask;
    type Reply = Decided;

    fn apply(&mut self, Ask(key, click): Ask, journal: &mut LaneWriter) -> Result<Decided> {
        if let Some(first) = self.decided.get(key) {
            return Ok(Decided::Duplicate(*first));
        }
        let decision = Decision { time: click_at(0).time, dedupe_key: key.as_bytes(), ..Decision::default() };
        let at = journal.append(&self.encoder.decision(&decision).unwrap())?.position();
        self.decided.insert(key, at);
        self.refers_to = self.refers_to.max(click);
        Ok(Decided::New(at))
    }

    fn before_sync(&mut self) -> Result<()> {
        if let Some(gate) = &self.gate {
            gate.arrived.send(()).unwrap();
            gate.go.recv().unwrap();
        }
        self.refers_to.take().map_or(Ok(()), |click| self.clicks.sync_past(click))
    }

    fn idle(&mut self, _journal: &mut LaneWriter) -> bool {
        // One word is enough for who listens.
        let _heard_already = self.idled.as_ref().map(|idled| idled.try_send(()));
        false
    }
}

/// The test's end of a gate.
struct Held {
    arrived: Receiver<()>,
    go: SyncSender<()>,
}

impl Held {
    fn until_synced(&self) {
        self.arrived.recv().unwrap();
    }

    fn let_go(&self) {
        self.go.send(()).unwrap();
    }
}

fn stage(store: &Store) -> Conversions {
    Conversions {
        clicks: Arc::clone(store.lane(Journal::Clicks, 0).unwrap()),
        encoder: Encoder::default(),
        decided: BTreeMap::new(),
        refers_to: None,
        gate: None,
        idled: None,
    }
}

fn start_stage(
    store: &Store,
    stage: Conversions,
    limits: Limits,
) -> (Handle<Conversions>, Owner<Conversions>) {
    let journal = store.journal_writer(Journal::Postbacks).unwrap();
    start("test-postbacks", stage, journal, limits, Clock::System).unwrap()
}

fn owner(store: &Store) -> (Handle<Conversions>, Owner<Conversions>) {
    start_stage(store, stage(store), Limits::default())
}

fn gated(store: &Store, limits: Limits) -> (Handle<Conversions>, Owner<Conversions>, Held) {
    let ((arrived_in, arrived), (go, go_out)) = (sync_channel(1), sync_channel(1));
    let gate = Some(Gate { arrived: arrived_in, go: go_out });
    let (handle, owner) = start_stage(store, Conversions { gate, ..stage(store) }, limits);
    (handle, owner, Held { arrived, go })
}

fn answer(reply: Reply<Decided>) -> Decided {
    wait(reply).map(Synced::into_inner).unwrap()
}

#[test]
fn a_decision_on_a_click_that_is_not_synced_syncs_that_click_first() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let mut writer = store.click_writer(0).unwrap();
    let click = record(&mut writer, 0).appended.position();
    let (handle, owner) = owner(&store);
    assert!(writer.lane().synced() <= click);
    let reply = handle.submit(Ask("a", Some(click))).unwrap();
    let Decided::New(at) = answer(reply) else { panic!("it is new") };
    assert!(
        writer.lane().synced() > click,
        "power loss cannot take the click of a decision that was answered"
    );
    assert!(store.lane(Journal::Postbacks, 0).unwrap().synced() > at);

    let later = record(&mut writer, 1).appended.position();
    answer(handle.submit(Ask("b", Some(click))).unwrap());
    assert!(writer.lane().synced() <= later, "a click that is synced costs no further sync");
    owner.stop();
}

#[test]
fn a_duplicate_is_answered_only_after_the_sync_of_the_first() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let lane = Arc::clone(store.lane(Journal::Postbacks, 0).unwrap());
    let (handle, owner, held) = gated(&store, Limits::default());
    let before = handle.submit(Ask("before", None)).unwrap();
    held.until_synced();
    let [mut first, mut duplicate] = ["a", "a"].map(|key| handle.submit(Ask(key, None)).unwrap());
    held.let_go();
    answer(before);
    held.until_synced();
    assert!(peek(&mut duplicate).is_pending(), "it is known, but not safe yet");
    assert!(peek(&mut first).is_pending());
    let synced = lane.synced();
    held.let_go();
    let Decided::Duplicate(at) = answer(duplicate) else { panic!("it is a duplicate") };
    assert!((synced..lane.synced()).contains(&at), "{at}, synced from {synced} to {}", lane.synced());
    assert_eq!(answer(first), Decided::New(at));
    owner.stop();
}

#[test]
fn one_sync_answers_all_that_was_queued_and_a_failed_one_refuses_them_all() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let (handle, owner, held) = gated(&store, Limits::default());
    let first = handle.submit(Ask("a", None)).unwrap();
    held.until_synced();
    let queued: Vec<_> = ["b", "c", "b"].map(|key| handle.submit(Ask(key, None)).unwrap()).into();
    held.let_go();
    assert!(matches!(answer(first), Decided::New(_)));
    held.until_synced();
    store.poison().throw("the disk is gone");
    held.let_go();
    for reply in queued {
        let refused = wait(reply);
        assert!(is_poisoned(&Poll::Ready(refused), "the disk is gone"));
    }
    let later = wait(handle.submit(Ask("d", None)).unwrap());
    assert!(is_poisoned(&Poll::Ready(later), "the disk is gone"), "before any sync");
    owner.stop();
}

#[test]
fn a_reply_that_nobody_waits_for_is_decided_all_the_same() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let (handle, owner, held) = gated(&store, Limits::default());
    let mut left = handle.submit(Ask("a", None)).unwrap();
    held.until_synced();
    assert!(peek(&mut left).is_pending());
    drop(left);
    held.let_go();
    let again = handle.submit(Ask("a", None)).unwrap();
    held.until_synced();
    held.let_go();
    assert!(matches!(answer(again), Decided::Duplicate(_)));
    owner.stop();
}

#[test]
fn a_full_queue_is_busy_and_what_is_in_it_is_answered() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let (handle, owner, held) = gated(&store, Limits { queue_max: 2, ..Limits::default() });
    let mut replies = vec![handle.submit(Ask("a", None)).unwrap()];
    held.until_synced();
    replies.extend(["b", "c"].map(|key| handle.submit(Ask(key, None)).unwrap()));
    assert!(matches!(handle.submit(Ask("d", None)), Err(Refused::Busy(2))));
    held.let_go();
    held.until_synced();
    held.let_go();
    replies.into_iter().for_each(|reply| assert!(matches!(answer(reply), Decided::New(_))));
    assert_eq!(owner.stop().decided.len(), 3, "what was refused left no trace");
}

#[test]
fn who_asks_a_stopped_owner_is_told_that_the_store_is_closed() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let (handle, owner) = owner(&store);
    let queued: Vec<_> = ["a", "b", "a"].map(|key| handle.submit(Ask(key, None)).unwrap()).into();
    assert_eq!(owner.stop().decided.len(), 2, "what is queued is finished first");
    for reply in queued {
        answer(reply);
    }
    match handle.submit(Ask("c", None)) {
        Err(Refused::Store(Error::Poisoned { cause })) => assert_eq!(cause, "the store is closed"),
        other => panic!("{other:?}"),
    }
}

#[test]
#[should_panic(expected = "a reply is given once")]
fn a_reply_that_was_taken_is_not_asked_again() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let (handle, owner) = owner(&store);
    let mut reply = handle.submit(Ask("a", None)).unwrap();
    wait(&mut reply).unwrap();
    owner.stop();
    let _panics = peek(&mut reply);
}

/// Checkpoints are written then: under a steady trickle too, and not only after a second of silence.
#[test]
fn an_owner_with_nothing_left_to_do_lets_its_stage_know() {
    let root = tempfile::tempdir().unwrap();
    let store = quiet(&root);
    let (idled, idle) = sync_channel(1);
    let (handle, owner) =
        start_stage(&store, Conversions { idled: Some(idled), ..stage(&store) }, Limits::default());
    for key in ["a", "b", "c"] {
        answer(handle.submit(Ask(key, None)).unwrap());
        idle.recv().unwrap();
    }
    owner.stop();
}
