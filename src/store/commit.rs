//! Group commit: one thread owns a journal, and one sync serves everybody who waited for it.
//!
//! In: requests, from any thread, through a bounded queue. Out: replies, each only after the sync that made
//! what it says durable.
//! Keeps: requests are applied one at a time, in the order they were queued; a reply is a `Synced`, which only
//! this file can make; after a failed sync nobody is told that anything worked.
//! Refuses: a request when the queue is full (`Busy`), or the store is poisoned or closed.
//! Not here: what a request means (`Stage`, in `apply` and the dispatcher).

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use super::error::described;
use super::error::{Error, Result};
use super::lane::LaneWriter;
use crate::clock::Clock;

/// What the owner of a journal does with a request.
pub trait Stage: Send + 'static {
    /// What is asked.
    type Request: Send + 'static;
    /// What is answered.
    type Reply: Send + 'static;

    /// Appends what the request calls for, and gives the reply to be sent once that is durable.
    ///
    /// # Errors
    /// What appending says; the requester is told at once.
    fn apply(&mut self, request: Self::Request, journal: &mut LaneWriter) -> Result<Self::Reply>;

    /// Called before each sync of the journal: brings to stable storage what the records appended since the
    /// last one refer to elsewhere. The default refers to nothing.
    ///
    /// # Errors
    /// `Poisoned`; then nobody is answered.
    fn before_sync(&mut self) -> Result<()> {
        Ok(())
    }

    /// Called whenever the queue is found empty: at the start, after a sync, and after each second in which
    /// nothing came. Says whether it appended anything, which is then synced. The default does nothing.
    fn idle(&mut self, _journal: &mut LaneWriter) -> bool {
        false
    }
}

/// Bounds of a journal's owner.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests that may wait to be applied.
    pub queue_max: usize,
    /// Requests that one sync serves at most.
    pub batch_max: usize,
    /// How long to go on collecting after the first request; zero = only what is there already.
    pub linger: Duration,
}

impl Default for Limits {
    /// 8,192 waiting, 1,024 a batch, no lingering: at 20,000 requests a second the queue is 0.4 s deep.
    fn default() -> Self {
        Self { queue_max: 8192, batch_max: 1024, linger: Duration::ZERO }
    }
}

/// A reply whose consequences are on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced<T>(T);

impl<T> Synced<T> {
    /// The reply.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// Why a request got no reply.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The queue is full: shed.
    #[error("{0} requests are waiting already")]
    Busy(usize),
    /// The journal could not take it, or could not make it durable.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Sends requests to the owner of a journal. Cheap to clone.
#[derive(Debug)]
pub struct Handle<S: Stage> {
    queue: SyncSender<Message<S>>,
    queue_max: usize,
    beats: Arc<AtomicU64>,
}

impl<S: Stage> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), queue_max: self.queue_max, beats: Arc::clone(&self.beats) }
    }
}

/// The owner's thread. Dropping it leaves the owner running; `stop` ends it.
#[derive(Debug)]
pub struct Owner<S: Stage> {
    thread: JoinHandle<S>,
    queue: SyncSender<Message<S>>,
}

enum Message<S: Stage> {
    Request(S::Request, Answer<S::Reply>),
    Stop,
}

/// Starts the owner of `journal`.
///
/// # Errors
/// If no thread can be started.
pub fn start<S: Stage>(
    name: &str,
    stage: S,
    journal: LaneWriter,
    limits: Limits,
    clock: Clock,
) -> std::io::Result<(Handle<S>, Owner<S>)> {
    let (queue, requests) = sync_channel(limits.queue_max);
    let beats = Arc::<AtomicU64>::default();
    let handle = Handle { queue: queue.clone(), queue_max: limits.queue_max, beats: Arc::clone(&beats) };
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || Work { stage, journal, limits, clock, batch: Vec::new(), beats }.run(&requests))?;
    Ok((handle, Owner { thread, queue }))
}

impl<S: Stage> Handle<S> {
    /// A number that moves at least once in two seconds while the owner does, asked or not.
    pub fn beats(&self) -> &Arc<AtomicU64> {
        &self.beats
    }

    /// Queues a request. The reply resolves once it is durable; dropping it does not take the request back.
    ///
    /// # Errors
    /// `Busy` at once when the queue is full.
    pub fn submit(&self, request: S::Request) -> std::result::Result<Reply<S::Reply>, Refused> {
        let slot = Arc::new(Slot::default());
        let message = Message::Request(request, Answer(Arc::clone(&slot)));
        match self.queue.try_send(message) {
            Ok(()) => Ok(Reply(slot)),
            Err(TrySendError::Full(_)) => Err(Refused::Busy(self.queue_max)),
            Err(TrySendError::Disconnected(_)) => Err(closed().into()),
        }
    }
}

impl<S: Stage> Owner<S> {
    /// Lets the owner finish what is queued, ends its lane and gives the stage back.
    ///
    /// # Panics
    /// If the owner's thread did.
    pub fn stop(self) -> S {
        // A full queue is waited for; an owner that is gone already needs no word.
        let _gone = self.queue.send(Message::Stop);
        match self.thread.join() {
            Ok(stage) => stage,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// The owner's own state.
struct Work<S: Stage> {
    stage: S,
    journal: LaneWriter,
    limits: Limits,
    clock: Clock,
    batch: Vec<(Answer<S::Reply>, S::Reply)>,
    beats: Arc<AtomicU64>,
}

impl<S: Stage> Work<S> {
    fn run(mut self, requests: &Receiver<Message<S>>) -> S {
        let mut is_stopping = false;
        while !is_stopping {
            let message = requests.try_recv().or_else(|_empty| {
                if self.stage.idle(&mut self.journal) {
                    // Nobody waits for it; a failure is told to the next who does.
                    let _told_later = self.stage.before_sync().and_then(|()| self.journal.lane().sync());
                }
                requests.recv_timeout(Duration::from_secs(1))
            });
            match message {
                Ok(message) => is_stopping = self.collect(message, requests),
                Err(RecvTimeoutError::Timeout) => {
                    // A poisoned store is told of by the next request.
                    let _told_later = self.journal.tick(self.clock.now());
                }
                Err(RecvTimeoutError::Disconnected) => is_stopping = true,
            }
            self.commit();
            self.beats.fetch_add(1, Ordering::Relaxed);
        }
        self.journal.close();
        self.stage
    }

    /// Applies the first message and those that follow, up to a batch. Says whether to stop.
    fn collect(&mut self, first: Message<S>, requests: &Receiver<Message<S>>) -> bool {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Stop => return true,
                Message::Request(request, answer) => match self.stage.apply(request, &mut self.journal) {
                    Ok(reply) => self.batch.push((answer, reply)),
                    Err(error) => answer.give(Err(error)),
                },
            }
            next = if self.batch.len() >= self.limits.batch_max {
                None
            } else if self.limits.linger.is_zero() {
                requests.try_recv().ok()
            } else {
                requests.recv_timeout(self.limits.linger).ok()
            };
        }
        false
    }

    /// One sync for the whole batch, and only then the answers.
    fn commit(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let synced = self.stage.before_sync().and_then(|()| self.journal.lane().sync());
        match synced {
            Ok(()) => self.batch.drain(..).for_each(|(answer, reply)| answer.give(Ok(Synced(reply)))),
            Err(error) => {
                // Not a cause within a cause: whoever is told adds that the store is poisoned.
                let cause = match error {
                    Error::Poisoned { cause } => cause,
                    other => described(&other),
                };
                for (answer, _never_said) in self.batch.drain(..) {
                    answer.give(Err(Error::Poisoned { cause: cause.clone() }));
                }
            }
        }
    }
}

/// A reply that will come, once.
///
/// # Panics
/// If it is polled after it was ready, as an `async fn` does: the answer is gone, and any other would be a lie.
#[derive(Debug)]
pub struct Reply<T>(Arc<Slot<T>>);

/// The duty to fill a reply: dropping it unfilled says that the store is closed.
#[derive(Debug)]
struct Answer<T>(Arc<Slot<T>>);

#[derive(Debug)]
struct Slot<T>(Mutex<Filling<T>>);

#[derive(Debug)]
enum Filling<T> {
    Empty(Option<Waker>),
    Full(Result<Synced<T>>),
    Taken,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(Filling::Empty(None)))
    }
}

impl<T> Reply<T> {
    /// Waits for it on this thread.
    ///
    /// # Errors
    /// What the reply says.
    pub fn wait(self) -> Result<Synced<T>> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut reply = std::pin::pin!(self);
        loop {
            match reply.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T> Slot<T> {
    fn hold(&self) -> MutexGuard<'_, Filling<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, answer: Result<Synced<T>>) {
        let before = std::mem::replace(&mut *self.hold(), Filling::Full(answer));
        if let Filling::Empty(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Answer<T> {
    fn give(self, answer: Result<Synced<T>>) {
        self.0.fill(answer);
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        let is_empty = matches!(*self.0.hold(), Filling::Empty(_));
        // `give` drops its answer too, filled: only an abandoned one is empty here, and then nobody else fills it.
        if is_empty && Arc::strong_count(&self.0) > 1 {
            self.0.fill(Err(closed()));
        }
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<Synced<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut filling = self.0.hold();
        assert!(!matches!(*filling, Filling::Taken), "a reply is given once");
        match std::mem::replace(&mut *filling, Filling::Taken) {
            Filling::Full(answer) => Poll::Ready(answer),
            Filling::Empty(_) | Filling::Taken => {
                *filling = Filling::Empty(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

fn closed() -> Error {
    Error::Poisoned { cause: "the store is closed".to_owned() }
}
