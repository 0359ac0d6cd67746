//! One worker: a thread with its own runtime, its own lane of the clicks journal and its own sockets.
//!
//! In: sockets, and what all workers share. Out: answers, and records in its lane.
//! Keeps: nothing here is shared with another worker but what `Shared` holds, and that is read-only or a counter.
//!
//! | task | waits on | stops | if it fails |
//! |---|---|---|---|
//! | accept, one a socket | connections | at drain | an error of one connection is passed over; with no files left it pauses |
//! | connection | the peer | drained: after the answer it is at; then at the drain timeout | it is closed |
//! | tick | 1 s | with the runtime | a poisoned store is noticed by the next click |

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Method;
use http::request::Parts;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

use super::address::{by_https, unmapped, visitor};
use super::callers::Callers;
use super::catalog::{Campaign, Catalog};
use super::connection::{serve, shed};
use super::counts::{Counts, Ticket};
use super::front;
use super::guests::Guests;
use super::guests::{Guest, Refused};
use super::hot::Hot;
use super::idle::Idlers;
use super::labels::{Lists, Visitors};
use super::last_click::LastClicks;
use super::listen::{Listener, Open};
use super::look_up::Waiting;
use super::network::DoorKind;
use super::options::Options;
use super::outcome::Outcome;
use super::recent::Recents;
use super::reply::Reply;
use super::route::{Route, campaign, other_lander, other_tracker, route};
use super::seat::Peer;
use super::timed::within;
use super::visit::{Fields, Visit};
use super::{click, postback, through, track};
use crate::apply::ledger;
use crate::clock::Clock;
use crate::event::click_id::ClickId;
use crate::store::clicks::{Clicks, FoundClick};
use crate::store::sealed::Tried;
use crate::store::space::Room;
use crate::store::{Lookup, RoomWatch, clicks::ClickWriter};

/// Bytes of a click's record: its texts come from a head, and a form's parameters have a bound too.
const CLICK_BYTES_MAX: u32 = 40 * 1024;

/// Those of a socket who are told at once that there is no room: each is a connection above all bounds. Others are closed
/// without a word.
const TOLD_MAX: usize = 256;

/// Turns of the runtime that one who comes waits for one who leaves.
const LEAVE_TURNS: usize = 4;

/// What all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) catalog: Arc<ArcSwap<Catalog>>,
    pub(super) lists: Arc<ArcSwap<Lists>>,
    pub(super) visitors: Visitors,
    pub(super) clicks: Clicks,
    pub(super) room: RoomWatch,
    pub(super) clock: Clock,
    pub(super) guests: Guests,
    pub(super) counts: Vec<Counts>,
    /// Of each worker: moves while its runtime does.
    pub(super) beats: Vec<Arc<AtomicU64>>,
    /// The owner of the books.
    pub(super) books: ledger::Handle,
    pub(super) callers: Callers,
    pub(super) recents: Recents,
    pub(super) last_clicks: LastClicks,
    /// Look-ups of clicks that wait for the disk.
    pub(super) look_ups: Waiting,
}

/// What all workers are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// No new connections; those that are there end after the answer they are at.
    pub(super) is_stop: bool,
    /// How often the lanes were to begin a new segment.
    pub(super) rolls: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    index: usize,
    hot: RefCell<Hot>,
    pub(super) idlers: Idlers,
}

/// How a request goes on once its head has been looked at.
pub(super) enum Step {
    /// It is answered.
    Done(Reply),
    /// Its click must be read from the disk.
    Find(ClickId, Wanted),
    /// Its body must be read.
    Body,
    /// It reports a conversion, which is answered when that is on disk.
    Conversion,
    /// There is no room for a record, and soon there will be some.
    Wait,
}

/// Why a click is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    Out(Option<usize>),
    Meta,
}

impl AsRef<Counts> for Worker {
    fn as_ref(&self) -> &Counts {
        &self.shared.counts[self.index]
    }
}

/// Runs a worker until it is told to stop and its connections have ended; gives its lane back.
pub(super) fn run(
    shared: Arc<Shared>,
    index: usize,
    writer: ClickWriter,
    seed: u64,
    sockets: Vec<Open>,
    word: watch::Receiver<Word>,
) -> std::io::Result<ClickWriter> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let worker = Rc::new(Worker {
        shared,
        index,
        hot: RefCell::new(Hot::new(writer, index, seed)),
        idlers: Idlers::default(),
    });
    let local = LocalSet::new();
    local.block_on(&runtime, worker.clone().work(sockets, word))?;
    // Connections that outlast the drain are dropped with the runtime.
    drop(local);
    drop(runtime);
    match Rc::try_unwrap(worker) {
        Ok(worker) => Ok(worker.hot.into_inner().writer),
        Err(_) => unreachable!("every task of this worker has been dropped"),
    }
}

/// What a conversion route does with a request. HEAD reports nothing.
fn conversion(method: &Method, kind: DoorKind) -> Step {
    if method == Method::HEAD { Step::Done(postback::head(kind)) } else { Step::Conversion }
}

impl Worker {
    async fn work(
        self: Rc<Self>,
        sockets: Vec<Open>,
        mut word: watch::Receiver<Word>,
    ) -> std::io::Result<()> {
        // Each connection holds a sender; once the last is gone, `ended` says so.
        let (alive, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        let mut accepting = Vec::new();
        for Open { socket, listener } in sockets {
            let socket = TcpListener::from_std(socket)?;
            let accept = self.clone().accept(socket, listener, word.clone(), alive.clone());
            accepting.push(spawn_local(accept));
        }
        let tick = spawn_local(self.clone().tick());
        let mut rolls = 0;
        // The sender is gone only with the edge itself, which is as good as a word to stop.
        while word.changed().await.is_ok() {
            let told = *word.borrow_and_update();
            if told.rolls != rolls {
                rolls = told.rolls;
                self.hot.borrow_mut().writer.roll_now();
            }
            if told.is_stop {
                break;
            }
        }
        for task in accepting {
            task.abort();
        }
        drop(alive);
        let drained = within(&self.shared.clock, self.shared.options.drain_timeout, ended.recv());
        let _late = drained.await;
        tick.abort();
        Ok(())
    }

    async fn tick(self: Rc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.shared.clock.now();
            let _told_by_the_next_click = self.hot.borrow_mut().writer.tick(now);
            self.shared.beats[self.index].fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn accept(
        self: Rc<Self>,
        socket: TcpListener,
        listener: Listener,
        word: watch::Receiver<Word>,
        alive: tokio::sync::mpsc::Sender<()>,
    ) {
        let listener = Rc::new(listener);
        // One more for each who is being told that there is no room.
        let told = Rc::new(());
        loop {
            let (stream, peer) = match socket.accept().await {
                Ok(accepted) => accepted,
                // A connection that is gone already. With no files or memory left, all the others need time to end.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let address = unmapped(peer.ip());
            let proxies = &self.shared.options.trusted_proxies;
            let is_proxy = listener.has_proxy_header || proxies.iter().any(|net| net.contains(&address));
            let Some(guest) = self.admit(address, is_proxy).await else {
                Ticket::take(Rc::clone(&self)).end(Outcome::Shed);
                // Who expects TLS would not understand.
                if listener.tls.is_none() && Rc::strong_count(&told) <= TOLD_MAX {
                    let (worker, told) = (self.clone(), Rc::clone(&told));
                    spawn_local(async move {
                        shed(&worker.shared.clock, stream).await;
                        drop(told);
                    });
                }
                continue;
            };
            let _slower = stream.set_nodelay(true);
            let peer = Peer { address, is_https: listener.is_https, secured: None };
            let (worker, word, alive) = (self.clone(), word.clone(), alive.clone());
            let listener = Rc::clone(&listener);
            spawn_local(async move {
                serve(worker, stream, &listener, peer, word).await;
                drop((guest, alive));
            });
        }
    }

    /// Lets one in, if there is room or whoever has been idle for longest makes some.
    async fn admit(&self, address: IpAddr, is_proxy: bool) -> Option<Guest> {
        let guests = &self.shared.guests;
        let mut guest = guests.admit(address, is_proxy);
        let is_welcome = guest.as_ref().err() != Some(&Refused::Address);
        if is_welcome && guests.is_crowded() && self.idlers.give_up(self.shared.clock.monotonic()) {
            guests.note_given_up();
            for _ in 0..LEAVE_TURNS {
                if guest.is_ok() {
                    break;
                }
                tokio::task::yield_now().await;
                guest = guests.admit(address, is_proxy);
            }
        }
        guest.ok()
    }

    /// Its own.
    pub(super) fn counts(&self) -> &Counts {
        self.as_ref()
    }

    /// The request as the routes see it.
    pub(super) fn visit<'a>(&self, parts: &'a Parts, peer: &Peer) -> Result<Visit<'a>, Outcome> {
        let fields = Fields::of(&parts.headers);
        let host = front::check(&parts.method, &parts.uri, parts.version, &fields)?;
        let proxies = &self.shared.options.trusted_proxies;
        let address = visitor(peer.address, proxies, &fields, &parts.headers);
        let is_https = by_https(peer.address, proxies, &fields, &parts.headers).unwrap_or(peer.is_https);
        let mut has_client_certificate = false;
        if let Some(secured) = &peer.secured {
            if !secured.serves(host) {
                return Err(Outcome::Misdirected);
            }
            has_client_certificate = secured.has_certificate;
        }
        let time = self.shared.clock.now();
        Ok(Visit { parts, fields, host, address, is_https, has_client_certificate, time })
    }

    /// Whether a click should wait a little. A segment that is being made is there in some milliseconds; without any
    /// left on a full disk, waiting would only slow the visitor down.
    pub(super) fn is_behind(&self) -> bool {
        self.hot.borrow().writer.is_behind(CLICK_BYTES_MAX) && self.shared.room.room() != Room::Critical
    }

    /// Answers what can be answered at once.
    pub(super) fn start(&self, parts: &Parts, peer: &Peer) -> Step {
        if self.is_behind() { Step::Wait } else { self.go(parts, peer) }
    }

    /// As `start`, for a request that has waited for room.
    pub(super) fn go(&self, parts: &Parts, peer: &Peer) -> Step {
        let visit = match self.visit(parts, peer) {
            Ok(visit) => visit,
            Err(outcome) => return Step::Done(postback::refused(parts.uri.path(), outcome)),
        };
        let catalog = self.shared.catalog.load();
        let method = &parts.method;
        let wanted = match route(visit.path()) {
            _ if method == Method::OPTIONS => return Step::Done(track::preflight(visit.headers())),
            Route::Click(name) => return Step::Done(self.click(&catalog, campaign(&catalog, name), &visit)),
            Route::Out(place) => Wanted::Out(place),
            Route::Meta => Wanted::Meta,
            Route::Script => return Step::Done(track::script()),
            Route::Track if method == Method::POST => return Step::Body,
            Route::Track => return Step::Done(self.track(&visit, b"")),
            Route::Robots => {
                let robots = "User-agent: *\nDisallow: /\n";
                return Step::Done(Reply::text(Outcome::Noise, http::StatusCode::OK, robots));
            }
            Route::Favicon => {
                return Step::Done(Reply::new(Outcome::Noise, http::StatusCode::NO_CONTENT, ""));
            }
            Route::Challenge(token) => return Step::Done(self.challenge(token)),
            Route::Postback(_) => return conversion(method, DoorKind::Postback),
            Route::Pixel(kind) => return conversion(method, kind),
            // Before other trackers' clicks: a path may serve both.
            Route::Other if postback::is_at_a_door(&catalog, &visit) => {
                return conversion(method, DoorKind::Postback);
            }
            Route::Other => {
                if let Some(campaign) = other_tracker(&catalog, visit.path(), visit.query()) {
                    return Step::Done(self.click(&catalog, Some(campaign), &visit));
                }
                match other_lander(visit.path(), visit.query()) {
                    Some(place) => Wanted::Out(place),
                    None => return Step::Done(Reply::refusal(Outcome::NotFound)),
                }
            }
        };
        if method == Method::POST {
            return Step::Done(Reply::refusal(Outcome::Method));
        }
        let Some(id) = through::click_id(&visit) else {
            return Step::Done(self.found(&visit, wanted, None));
        };
        match self.shared.clicks.try_find(&id) {
            Tried::WouldBlock => Step::Find(id, wanted),
            Tried::Done(Lookup::Found(found)) => Step::Done(self.found(&visit, wanted, Some((&id, &found)))),
            Tried::Done(_) => Step::Done(self.found(&visit, wanted, None)),
        }
    }

    fn challenge(&self, token: &str) -> Reply {
        match self.shared.options.challenges.for_token(token) {
            Some(text) => {
                let body = Bytes::from(text.into_boxed_bytes());
                Reply::new(Outcome::Challenged, http::StatusCode::OK, body)
            }
            None => Reply::refusal(Outcome::NotFound),
        }
    }

    fn click(&self, catalog: &Catalog, campaign: Option<&Campaign>, visit: &Visit<'_>) -> Reply {
        let Some(campaign) = campaign else {
            return Reply::refusal(Outcome::UnknownCampaign);
        };
        let hot = &mut *self.hot.borrow_mut();
        match visit.parts.method {
            Method::GET => click::click(&self.shared, hot, catalog, campaign, visit),
            Method::HEAD => click::head(hot, catalog, campaign, visit),
            _ => Reply::refusal(Outcome::Method),
        }
    }

    /// Answers what had to wait for its click to be found.
    pub(super) fn found(
        &self,
        visit: &Visit<'_>,
        wanted: Wanted,
        found: Option<(&ClickId, &FoundClick)>,
    ) -> Reply {
        let catalog = self.shared.catalog.load();
        let hot = &mut *self.hot.borrow_mut();
        match wanted {
            _ if visit.is_prefetch() => Reply::refusal(Outcome::Prefetch),
            _ if visit.parts.method == Method::HEAD => {
                let mut reply = Reply::refusal(Outcome::NotFound);
                reply.outcome = Outcome::Head;
                reply
            }
            Wanted::Out(place) => through::out(&self.shared, hot, &catalog, visit, place, found),
            Wanted::Meta => through::meta(hot, &catalog, found),
        }
    }

    /// Answers what had to wait for its body.
    pub(super) fn track(&self, visit: &Visit<'_>, form: &[u8]) -> Reply {
        let catalog = self.shared.catalog.load();
        if visit.parts.method == Method::HEAD {
            return Reply::new(Outcome::Head, http::StatusCode::OK, "");
        }
        track::track(&self.shared, &mut self.hot.borrow_mut(), &catalog, visit, form)
    }
}
