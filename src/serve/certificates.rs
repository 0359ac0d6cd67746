//! What https listeners show, kept up to date with the files.
//!
//! In: the settings' listeners, a running edge, the clock. Out: the edge shows what the files hold, some seconds after they
//! have stopped changing, or at once when somebody asks for it.
//! Keeps: a file that cannot be taken leaves what was shown before, is told once and counted; nothing is looked at where no
//! listener has TLS.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::certificates::{self, Places, Shown, Stamps};
use crate::config::{Problem, Problems, Settings};
use crate::ingest;
use crate::metrics::{self, Page};
use crate::shutdown::{Shutdown, Woken};

/// How often the files are looked at.
const ROUND: Duration = Duration::from_secs(10);

/// The thread that looks at files.
#[derive(Debug)]
pub(super) struct Certificates {
    handle: Handle,
    /// Nobody where nothing is shown.
    thread: Option<JoinHandle<()>>,
}

/// What can be asked of it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Handle(Arc<Keeper>);

#[derive(Debug)]
struct Keeper {
    edge: ingest::Handle,
    clock: Clock,
    bell: Shutdown,
    held: Mutex<Held>,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Held {
    /// Listeners are as started: other ones need a restart.
    places: Places,
    shown: Shown,
    /// Of the files when they were last taken, and when they were last looked at.
    taken: Stamps,
    seen: Stamps,
    /// What is wrong with them, and was said.
    told: Vec<Problem>,
}

/// What was read, and as which files, to be shown.
#[derive(Debug)]
pub(super) struct Loaded {
    places: Places,
    shown: Shown,
    stamps: Stamps,
}

impl Certificates {
    /// What was loaded is what the edge shows already.
    pub(super) fn start(
        Loaded { places, shown, stamps }: Loaded,
        edge: ingest::Handle,
        clock: Clock,
    ) -> io::Result<Self> {
        for problem in certificates::untimely(&shown, clock.now()) {
            tracing::warn!("{problem}");
        }
        let has_tls = places.has_tls();
        let held = Mutex::new(Held { places, shown, taken: stamps.clone(), seen: stamps, told: Vec::new() });
        let (bell, refused) = (Shutdown::default(), AtomicU64::new(0));
        let handle = Handle(Arc::new(Keeper { edge, clock, bell, held, refused }));
        let own = handle.clone();
        let work = move || own.run();
        let named = || std::thread::Builder::new().name("certificates".to_owned());
        let thread = if has_tls { Some(named().spawn(work)?) } else { None };
        Ok(Self { handle, thread })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(super) fn stop(self) {
        drop(self);
    }
}

/// A start that fails further on leaves nobody behind who holds on to the edge.
impl Drop for Certificates {
    fn drop(&mut self) {
        self.handle.0.bell.trip();
        // Where a panic aborts, there is none to be told.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

impl Handle {
    /// Reads all files, of names by these settings; nothing is shown yet.
    ///
    /// # Errors
    /// Each file that cannot be taken, with why; one that has expired is not, where what is shown has not.
    pub(super) fn load(&self, settings: &Settings) -> Result<Loaded, Problems> {
        let (held, now) = (self.hold(), self.0.clock.now());
        let places = held.places.clone().with_names_of(settings);
        let stamps = Stamps::of(&places);
        Ok(Loaded { shown: certificates::load_all_again(&places, &held.shown, now)?, places, stamps })
    }

    /// Shows what was loaded.
    pub(super) fn show(&self, Loaded { places, shown, stamps }: Loaded) {
        let mut held = self.hold();
        *held = Held { places, shown, taken: stamps.clone(), seen: stamps, told: Vec::new() };
        self.hand_on(&held.shown);
    }

    /// Takes what has changed at once: whoever has changed it has done so whole.
    #[cfg(feature = "acme")]
    pub(super) fn look_now(&self) {
        let mut held = self.hold();
        held.seen = Stamps::of(&held.places);
        self.take(&mut held);
    }

    pub(super) fn write_metrics(&self, page: &mut Page) {
        let refused = self.0.refused.load(Ordering::Relaxed);
        page.sample(&metrics::TLS_CERTIFICATES_REFUSED, &[], refused);
    }

    fn run(&self) {
        let Keeper { clock, bell, .. } = &*self.0;
        let mut next = clock.monotonic() + ROUND;
        loop {
            let left = next.saturating_sub(clock.monotonic());
            if left.is_zero() {
                self.look();
                next = clock.monotonic() + ROUND;
                continue;
            }
            if bell.pause(clock.nap(left)) == Woken::Stopped {
                return;
            }
        }
    }

    /// Takes what has changed, once it has not changed for a round: whoever writes a certificate writes its key next.
    fn look(&self) {
        let mut held = self.hold();
        let now = Stamps::of(&held.places);
        let has_settled = held.seen == now;
        held.seen = now;
        if has_settled {
            self.take(&mut held);
        }
    }

    fn take(&self, held: &mut Held) {
        if held.taken == held.seen {
            return;
        }
        held.taken = held.seen.clone();
        let (shown, problems) = certificates::load_again(&held.places, &held.shown, self.0.clock.now());
        for problem in problems.iter().filter(|problem| !held.told.contains(problem)) {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            tracing::error!("{problem}; what was shown before is shown still");
        }
        if problems.is_empty() {
            tracing::info!("certificates were read again");
        }
        (held.shown, held.told) = (shown, problems);
        self.hand_on(&held.shown);
    }

    fn hand_on(&self, shown: &Shown) {
        for (place, certificates) in shown.iter().enumerate() {
            let Some(certificates) = certificates else { continue };
            if let Err(error) = self.0.edge.show(place, certificates) {
                tracing::error!("certificates cannot be shown: {error}");
            }
        }
    }

    fn hold(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what is to be shown from a start on.
///
/// # Errors
/// Each file that cannot be taken, with why.
pub(super) fn load(places: Places) -> Result<Loaded, Problems> {
    // Before anything is read: what is written meanwhile is another state.
    let stamps = Stamps::of(&places);
    Ok(Loaded { shown: certificates::load(&places)?, places, stamps })
}

/// Has the listeners show these from their start on.
///
/// # Errors
/// What the library says.
pub(super) fn dress(options: &mut ingest::Options, loaded: &Loaded, clock: &Clock) -> io::Result<()> {
    for (listener, certificates) in options.listeners.iter_mut().zip(&loaded.shown) {
        let Some(certificates) = certificates else { continue };
        let tls = ingest::Tls::new(certificates, clock.clone());
        listener.tls = Some(Arc::new(tls.map_err(io::Error::other)?));
    }
    Ok(())
}
