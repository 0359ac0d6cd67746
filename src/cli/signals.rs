//! What ends a command that goes on until somebody has enough: ctrl-C, SIGTERM, a terminal that is closed.
//!
//! Keeps: from then on none of them ends the process by itself; whoever asked for this looks at the `Shutdown`.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::shutdown::Shutdown;

/// Trips it at the first of them, and does what is to be done `then`.
///
/// # Errors
/// What the system says.
pub(super) fn trip(shutdown: &Shutdown, then: impl FnOnce(Ending) + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    let shutdown = shutdown.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let ending = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => Ending::Asked,
                _ = terminate.recv() => Ending::Asked,
                _ = hang_up.recv() => Ending::HungUp,
            }
        });
        shutdown.trip();
        then(ending);
    })?;
    Ok(())
}

/// Why it is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Somebody wants it to.
    Asked,
    /// Its terminal is gone.
    HungUp,
}
