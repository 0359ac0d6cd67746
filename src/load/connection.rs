//! One connection: sends what is due, reads the answers in order, is opened again when it is lost.
//!
//! In: turns. Out: an end of each request, into the thread's tally.
//! Keeps: a request that was taken ends exactly once; so many are under way at once as the plan says; a peer that
//! refuses or closes at once is left alone for a moment.
//! Refuses: an answer whose head does not fit the buffer.
//!
//! Between two answers there is one write, one read and no allocation. There is no timer for each request: a tick
//! for each connection looks whether the oldest request is late.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::request::Requests;
use super::response::{Answer, Parser};
use super::saved::Saved;
use super::tally::{Fault, Tally};
use super::turns::{Turn, Turns};
use crate::clock::Clock;

/// Bytes of an answer that are read at once; the head of one must fit.
const BUFFER_BYTES: usize = 16 * 1024;
/// Rest after a connection that brought nothing.
const BACKOFF: Duration = Duration::from_millis(10);
/// The longest between two looks for late requests.
const TICK_MAX: Duration = Duration::from_millis(200);

/// What the connections of a thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) address: SocketAddr,
    pub(super) requests: Requests,
    pub(super) turns: Rc<Turns>,
    pub(super) tally: RefCell<Tally>,
    pub(super) saved: Option<RefCell<Saved>>,
    pub(super) timeout: Duration,
    /// Requests under way on one connection.
    pub(super) pipeline: usize,
    pub(super) closes: bool,
    pub(super) is_head: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Rc<Shared>,
    wire: Option<Wire>,
    /// Requests without an answer, the oldest first.
    pending: VecDeque<Pending>,
    /// Requests that are not written yet, from `written` on.
    out: Vec<u8>,
    written: usize,
    /// The first bytes that are not understood yet, up to `filled`.
    buffer: Vec<u8>,
    filled: usize,
    ticks: Interval,
}

/// An open connection.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    parser: Parser,
    has_answered: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    turn: Turn,
    /// When it was written, or when opening a connection for it began.
    sent: Duration,
    /// Its bytes.
    len: usize,
}

/// What woke a connection.
enum Woken {
    /// Bytes were read; none if the peer has closed.
    Read(io::Result<usize>),
    Bell,
    Tick,
}

impl Connection {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        let tick = (shared.timeout / 16).clamp(Duration::from_millis(1), TICK_MAX);
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            wire: None,
            pending: VecDeque::with_capacity(shared.pipeline),
            out: Vec::new(),
            written: 0,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            ticks,
            shared,
        }
    }

    /// Sends until there are no turns left and nothing is under way.
    pub(super) async fn run(mut self) {
        loop {
            self.take_turns();
            if self.pending.is_empty() && self.shared.turns.is_over() {
                return;
            }
            if self.wire.is_none() && !self.pending.is_empty() {
                if let Err(fault) = self.open().await {
                    self.lose(fault, fault).await;
                }
                continue;
            }
            match self.wait().await {
                Woken::Bell => {}
                Woken::Tick => self.look_at_the_time().await,
                Woken::Read(Ok(0)) => self.end_of_stream().await,
                Woken::Read(Ok(len)) => {
                    self.filled += len;
                    self.read_answers().await;
                }
                Woken::Read(Err(_)) => self.lose(Fault::Io, Fault::Io).await,
            }
        }
    }

    /// A connection that is not open takes one: if the peer is away, the others find better ones.
    fn room(&self) -> usize {
        if self.wire.is_some() { self.shared.pipeline } else { 1 }
    }

    fn take_turns(&mut self) {
        while self.pending.len() < self.room()
            && let Some(turn) = self.shared.turns.take()
        {
            if self.written == self.out.len() {
                self.out.clear();
                self.written = 0;
            }
            let before = self.out.len();
            self.shared.requests.write(turn.number, &mut self.out);
            let sent = self.shared.clock.monotonic();
            self.pending.push_back(Pending { turn, sent, len: self.out.len() - before });
            if turn.is_counted {
                let mut tally = self.shared.tally.borrow_mut();
                tally.sent += 1;
                tally.last_sent = sent;
            }
        }
    }

    async fn open(&mut self) -> Result<(), Fault> {
        let mut connecting = std::pin::pin!(TcpStream::connect(self.shared.address));
        let stream = loop {
            tokio::select! {
                biased;
                connected = &mut connecting => break connected.map_err(|_| Fault::Connect)?,
                _ = self.ticks.tick() => late(&self.shared, &self.pending).map_or(Ok(()), Err)?,
            }
        };
        let _slower = stream.set_nodelay(true);
        self.shared.tally.borrow_mut().connections_opened += 1;
        let parser = Parser::new(self.shared.is_head, self.shared.saved.is_some());
        self.wire = Some(Wire { stream, parser, has_answered: false });
        let now = self.shared.clock.monotonic();
        self.pending.iter_mut().for_each(|pending| pending.sent = now);
        Ok(())
    }

    /// Writes and reads, both as far as they go. Also while nothing is under way: so a close is seen in time.
    async fn wait(&mut self) -> Woken {
        let has_room = self.pending.len() < self.room() && !self.shared.turns.is_over();
        let (out, written) = (&self.out, &mut self.written);
        let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let is_open = self.wire.is_some();
        let wire = &mut self.wire;
        tokio::select! {
            biased;
            read = poll_fn(|context| match wire {
                Some(wire) => wire.poll(context, out, written, free),
                None => Poll::Pending,
            }), if is_open => Woken::Read(read),
            () = self.shared.turns.bell(), if has_room => Woken::Bell,
            _ = self.ticks.tick() => Woken::Tick,
        }
    }

    /// Ends every request that `buffer` holds an answer to.
    async fn read_answers(&mut self) {
        let mut start = 0;
        while let Some(wire) = &mut self.wire {
            let rest = self.buffer.get(start..self.filled).unwrap_or_default();
            let Some(oldest) = self.pending.front() else {
                if !rest.is_empty() {
                    // Nobody asked.
                    self.close();
                }
                break;
            };
            let Ok((used, answer)) = wire.parser.take(rest) else {
                return self.lose(Fault::BadResponse, Fault::Io).await;
            };
            start += used;
            if oldest.turn.is_counted {
                self.shared.tally.borrow_mut().bytes_received += used as u64;
            }
            let Some(answer) = answer else { break };
            wire.has_answered = true;
            self.end_oldest(answer);
            if self.shared.closes || !answer.keeps_alive {
                // Requests behind it will get no answer.
                return self.lose(Fault::Io, Fault::Io).await;
            }
        }
        if self.wire.is_some() && start == 0 && self.filled == self.buffer.len() {
            return self.lose(Fault::BadResponse, Fault::Io).await;
        }
        if self.wire.is_some() {
            self.buffer.copy_within(start..self.filled, 0);
            self.filled -= start;
        }
    }

    /// The oldest request is answered.
    fn end_oldest(&mut self, answer: Answer) {
        let now = self.shared.clock.monotonic();
        let location = self.wire.as_ref().and_then(|wire| wire.parser.location());
        if let (Some(saved), Some(location)) = (&self.shared.saved, location)
            && answer.status == 302
        {
            saved.borrow_mut().push(location);
        }
        if let Some(Pending { turn, sent, len }) = self.pending.pop_front()
            && turn.is_counted
        {
            let mut tally = self.shared.tally.borrow_mut();
            tally.answer(answer.status, now.saturating_sub(turn.due), now.saturating_sub(sent));
            tally.last_answer = now;
            tally.bytes_sent += len as u64;
        }
    }

    async fn end_of_stream(&mut self) {
        // An answer without a length is complete now.
        if let Some(wire) = &mut self.wire
            && let Some(answer) = wire.parser.end()
            && !self.pending.is_empty()
        {
            wire.has_answered = true;
            self.end_oldest(answer);
        }
        self.lose(Fault::Io, Fault::Io).await;
    }

    async fn look_at_the_time(&mut self) {
        if let Some(fault) = late(&self.shared, &self.pending) {
            // The answers behind a late one are not coming either.
            self.lose(fault, fault).await;
        }
    }

    /// Closes; the oldest request ends by the `first` fault, the others by the `rest`.
    async fn lose(&mut self, first: Fault, rest: Fault) {
        let was_useful = self.wire.as_ref().is_some_and(|wire| wire.has_answered);
        let was_used = !self.pending.is_empty();
        let faults = std::iter::once(first).chain(std::iter::repeat(rest));
        for (pending, fault) in self.pending.drain(..).zip(faults) {
            if pending.turn.is_counted {
                let mut tally = self.shared.tally.borrow_mut();
                tally.fault(fault);
                // Without a connection they went nowhere.
                tally.bytes_sent += if self.wire.is_some() { pending.len as u64 } else { 0 };
            }
        }
        self.close();
        if was_used && !was_useful && !self.shared.turns.is_over() {
            tokio::time::sleep(BACKOFF).await;
        }
    }

    fn close(&mut self) {
        self.wire = None;
        self.out.clear();
        (self.written, self.filled) = (0, 0);
    }
}

/// Why the oldest request is not waited for any longer, if it is not.
fn late(shared: &Shared, pending: &VecDeque<Pending>) -> Option<Fault> {
    let oldest = pending.front()?;
    if shared.turns.is_interrupted() {
        return Some(Fault::Interrupted);
    }
    let is_late = shared.clock.monotonic().saturating_sub(oldest.sent) >= shared.timeout;
    is_late.then_some(Fault::Timeout)
}

impl Wire {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        out: &[u8],
        written: &mut usize,
        free: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        while let Some(rest) = out.get(*written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(len)) => *written += len,
                // What the peer said before it closed is still to be read.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        let mut read = ReadBuf::new(free);
        match Pin::new(&mut self.stream).poll_read(context, &mut read) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(read.filled().len())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}
