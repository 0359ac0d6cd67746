//! Signals, and the end.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::operations::{State, log_reload};
use super::{Daemon, ServeError, system};

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// In order.
    Stopped,
    /// Where it stood: a second signal came. The next start recovers.
    Now,
}

struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
        }
    }

    async fn stop(&mut self) -> &'static str {
        loop {
            if let Asked::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}

/// What a signal asks for.
enum Asked {
    Reload,
    Stop(&'static str),
}

/// Runs a daemon until a signal, or its store, ends it: SIGHUP reloads, SIGTERM and SIGINT stop it in order, a second
/// one now. `ready` is told once that is so, and not before: whoever hears of it may send a signal.
///
/// # Errors
/// What `Daemon::stop` says.
pub fn run(daemon: Daemon, ready: impl FnOnce(&Daemon)) -> Result<Ended, ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system("listen for signals"))?;
    let ended = runtime.block_on(until_ended(daemon, ready));
    runtime.shutdown_background();
    ended
}

async fn until_ended(daemon: Daemon, ready: impl FnOnce(&Daemon)) -> Result<Ended, ServeError> {
    let mut signals = Signals::listen().map_err(system("listen for signals"))?;
    let mut poisoned = watch_poison(daemon.state()).map_err(system("start a thread"))?;
    ready(&daemon);
    daemon.supervisor.ready();
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop(name) => {
                    tracing::info!("{name}: stopping; a second one stops at once");
                    break;
                }
                // A stop that is asked for meanwhile waits for it.
                Asked::Reload => reload(&daemon),
            },
            cause = &mut poisoned => {
                if let Ok(cause) = cause {
                    tracing::error!("the store cannot be written any more: {cause}");
                }
                break;
            }
        }
    }
    let stopping = tokio::task::spawn_blocking(move || daemon.stop());
    tokio::select! {
        stopped = stopping => match stopped {
            Ok(stopped) => stopped.map(|()| Ended::Stopped),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        },
        name = signals.stop() => {
            tracing::warn!("{name} again: stopping at once; the next start recovers");
            Ok(Ended::Now)
        }
    }
}

fn reload(daemon: &Daemon) {
    daemon.supervisor.reloading();
    let done = daemon.reload().map_err(|problems| problems.to_string());
    log_reload(&done);
    match &done {
        Ok(what) => daemon.supervisor.reloaded(what),
        Err(_) => daemon.supervisor.reloaded("the last reload was refused, nothing has changed"),
    }
}

/// Hears of the store's poison, with its cause; of nothing if the store is closed before.
fn watch_poison(state: Arc<State>) -> std::io::Result<oneshot::Receiver<String>> {
    let (tell, told) = oneshot::channel();
    let poison = state.store().poison().clone();
    drop(state);
    std::thread::Builder::new().name("poison-watch".to_owned()).spawn(move || {
        if let Some(cause) = poison.wait() {
            let _nobody_waits = tell.send(cause.to_owned());
        }
    })?;
    Ok(told)
}
