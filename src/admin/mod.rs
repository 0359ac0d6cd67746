//! The operators' door: health, metrics, and changes, on a listener of its own.
//!
//! In: connections, and what the daemon can tell and do (`Operations`). Out: answers.
//! Keeps: whoever changes something shows the token; whoever asks does so by an address or a name that is ours, so that
//! a page of a stranger, in an operator's browser, cannot; all of it runs on one thread that no visitor waits for.
//! Knows nothing about: clicks, settings.

mod api;
pub mod console;
mod guard;
mod route;
mod taken;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

pub use api::{ApiError, ApiResult, CHUNK_BYTES_MAX, Pause, PostbackTest, Replay};
pub use guard::Token;

use crate::metrics::Page;
use crate::store::Position;
use console::Facts;
use route::Door;
use taken::Taken;

/// Connections at a time; further ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 64;
/// From the first byte of a head to its last, and between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long somebody may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long answers may take once the door is to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the door is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen.
    pub address: SocketAddr,
    /// The socket, where somebody else has opened it already.
    pub inherited: Option<Arc<TcpListener>>,
    /// Host names that it may be asked by, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// What changes must show.
    pub token: Token,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Good,
    /// An operator should look; requests are still taken.
    Worrying,
    /// Requests should go elsewhere.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it is.
    pub health: Health,
    /// In words.
    pub detail: String,
}

/// What the daemon can tell and do. All of it may block for a moment.
pub trait Operations: Facts {
    /// Writes every number there is on a page.
    fn write_metrics(&self, page: &mut Page);
    /// Looks at everything that requests depend on.
    fn checks(&self) -> Vec<Check>;
    /// Loads catalog and lists again. What there is now, or why nothing has changed.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    fn reload(&self) -> Result<String, String>;
    /// Ends the segments that are written to, so that they are sealed and published. What was done.
    fn roll(&self) -> String;
    /// Says from now on that requests should go elsewhere, and goes on taking them. What was done.
    fn drain(&self) -> String;
    /// Tells so much in the log from now on. What was done.
    ///
    /// # Errors
    /// It is no level.
    fn log_level(&self, level: &str) -> Result<String, String>;
    /// The last requests of a network, newest first, as JSON; those that named none under the empty name.
    ///
    /// # Errors
    /// There is no such network.
    fn postbacks(&self, network: &str) -> ApiResult;
    /// Lets a held payout count, or throws it away.
    ///
    /// # Errors
    /// It is not held.
    fn settle(&self, held: Position, is_release: bool) -> ApiResult;
    /// Stores a chunk of clicks of another tracker: `query` says which chunk, `rows` are JSON, one a line.
    ///
    /// # Errors
    /// It is no chunk, or there is no room.
    fn import_clicks(&self, query: &str, rows: &[u8]) -> ApiResult;
    /// Brings a chunk of conversions of a file before the owner of the books.
    ///
    /// # Errors
    /// It is no chunk, there is no such network, or there is no room.
    fn import_conversions(&self, query: &str, rows: &[u8]) -> ApiResult;
    /// The campaigns, with the other names that each has, as JSON.
    ///
    /// # Errors
    /// None.
    fn aliases(&self) -> ApiResult;
    /// Keeps a chunk of costs of a file.
    ///
    /// # Errors
    /// It is no chunk, or there is no room.
    fn import_costs(&self, query: &str, rows: &[u8]) -> ApiResult;
    /// Takes a made-up postback through everything, and explains each step.
    ///
    /// # Errors
    /// There is no such network.
    fn test_postback(&self, test: &PostbackTest) -> ApiResult;
    /// Decides once more on postbacks that are in the journal.
    ///
    /// # Errors
    /// There is no such network.
    fn replay(&self, replay: &Replay) -> ApiResult;
    /// How all destinations stand.
    ///
    /// # Errors
    /// Nothing is sent, or nobody answers.
    fn destinations(&self) -> ApiResult;
    /// Sends nothing more to a destination.
    ///
    /// # Errors
    /// As `destinations`; there is no such one.
    fn pause_destination(&self, pause: &Pause) -> ApiResult;
    /// Goes on with a destination.
    ///
    /// # Errors
    /// As `pause_destination`.
    fn resume_destination(&self, destination: &str) -> ApiResult;
    /// Attempts deliveries again, by destination and the place of the decision.
    ///
    /// # Errors
    /// As `destinations`.
    fn replay_deliveries(&self, deliveries: Vec<(String, Position)>) -> ApiResult;
}

/// An open door. Dropped, it closes by itself and nobody waits for it.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Opens it.
///
/// # Errors
/// What opening the socket or starting the thread says.
pub fn start(mut options: Options, operations: Arc<dyn Operations>) -> io::Result<Admin> {
    let listener = match &options.inherited {
        Some(inherited) => inherited.try_clone()?,
        None => TcpListener::bind(options.address)?,
    };
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    // What may be read without the token depends on it.
    options.address = address;
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let door = Arc::new(Door::new(options, operations));
    let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        runtime.block_on(run(listener, door, stopped));
        // A scrape that is in the middle of a blocking call is not waited for.
        runtime.shutdown_background();
    })?;
    Ok(Admin { address, stop, thread })
}

impl Admin {
    /// Where it listens; port 0 has become the one that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes it; what is being answered has a second to end.
    pub fn stop(self) {
        let _told = self.stop.send(());
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

async fn run(listener: TcpListener, door: Arc<Door>, stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => unreachable!("a runtime with sockets takes one: {error}"),
    };
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(&listener, door, &mut connections) => {}
        _ = stopped => {}
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    let _late = tokio::time::timeout(CLOSE_TIMEOUT, ended).await;
}

async fn accept(listener: &tokio::net::TcpListener, door: Arc<Door>, connections: &mut JoinSet<()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let door = Arc::clone(&door);
                connections.spawn(async move {
                    serve(stream, peer.ip(), door).await;
                    drop(place);
                });
            }
            // Without files or memory others need time to end.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, peer: IpAddr, door: Arc<Door>) {
    let service = service_fn(|request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, std::convert::Infallible>(door.answer(request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(16 * 1024)
        .keep_alive(true)
        .serve_connection(TokioIo::new(Taken::new(stream, WRITE_TIMEOUT)), service);
    // An operator who went away is not missed.
    let _ended = connection.await;
}
