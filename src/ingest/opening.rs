//! What a connection begins with before any request can come: a PROXY header, a TLS handshake.
//!
//! In: that work. Out: what it gives; or nothing, and why.
//! Keeps: it ends by its deadline; it makes room like a connection that idles (`idle`), since whoever only connects must not
//! keep visitors out; a stop waits no longer than `LINGER` for whoever has said nothing yet.

use std::cell::Cell;
use std::future::{Future, pending};
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::connection::LINGER;
use super::timed::{Pace, Phase, within};
use super::worker::{Word, Worker};

/// Why nothing came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unopened {
    /// It was not complete in time.
    Late,
    /// It made room for somebody else.
    GivenUp,
    /// The edge stops, and nothing had been said.
    Stopped,
}

/// Does the work, which sets `has_spoken` once the peer has said anything.
pub(super) async fn open<T>(
    worker: &Rc<Worker>,
    mut word: watch::Receiver<Word>,
    limit: Duration,
    has_spoken: &Cell<bool>,
    work: impl Future<Output = T>,
) -> Result<T, Unopened> {
    let clock = &worker.shared.clock;
    let phase = Phase::new(clock.clone());
    let weak: Weak<Phase> = Rc::downgrade(&phase);
    let _among_idlers = worker.idlers.enter(weak);
    let stopped = async {
        // Without an edge there is nobody left to say so.
        let _told = word.wait_for(|word| word.is_stop).await;
        // Not by the daemon's clock: a stop is not to wait for one that stands still.
        sleep(LINGER).await;
        if has_spoken.get() {
            pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        done = within(clock, limit, work) => done.ok_or(Unopened::Late),
        () = phase.parting().asked() => Err(Unopened::GivenUp),
        () = stopped => Err(Unopened::Stopped),
    }
}
