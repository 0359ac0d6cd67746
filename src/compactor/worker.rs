//! A thread that works beside the daemon, behind all others on the processor.
//!
//! In: what it does, until its bell says stop. Out: a bell, and numbers of what it has done since it was started.
//! Not here: what is done (`run`, `forget`).

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::process::setpriority_process;

use crate::metrics::Page;
use crate::shutdown::Shutdown;

/// What a worker counts.
pub trait Numbers: Default + Send + Sync + 'static {
    /// Adds its metrics to a page.
    fn write_metrics(&self, page: &mut Page);
}

/// It, running.
#[derive(Debug)]
pub struct Worker<N> {
    thread: JoinHandle<()>,
    handle: Handle<N>,
}

/// What can be asked of it. Cheap to clone.
#[derive(Debug)]
pub struct Handle<N> {
    pub(super) bell: Shutdown,
    pub(super) numbers: Arc<N>,
}

impl<N> Clone for Handle<N> {
    fn clone(&self) -> Self {
        Self { bell: self.bell.clone(), numbers: Arc::clone(&self.numbers) }
    }
}

/// Starts one.
///
/// # Errors
/// There is no thread for it.
pub(super) fn start<N: Numbers>(
    name: &str,
    work: impl FnOnce(Handle<N>) + Send + 'static,
) -> io::Result<Worker<N>> {
    let handle = Handle { bell: Shutdown::default(), numbers: Arc::default() };
    let own = handle.clone();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Where the system does not allow it, requests are slower now and then.
        let _as_before = setpriority_process(None, 19);
        work(own);
    })?;
    Ok(Worker { thread, handle })
}

impl<N: Numbers> Worker<N> {
    /// For whoever wants to know.
    pub fn handle(&self) -> Handle<N> {
        self.handle.clone()
    }

    /// Tells it to stop, and does not wait for it.
    pub fn announce(&self) {
        self.handle.bell.trip();
    }

    /// Stops it. It has let go of all that it was given then.
    pub fn stop(self) {
        self.announce();
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

impl<N: Numbers> Handle<N> {
    /// There may be something to do.
    pub fn nudge(&self) {
        self.bell.nudge();
    }

    /// Adds its metrics to a page.
    pub fn write_metrics(&self, page: &mut Page) {
        self.numbers.write_metrics(page);
    }
}
