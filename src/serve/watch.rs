//! The sign of life: it says that the threads that take requests and write them have moved, not that a process is there.
//!
//! In: a number of each thread, and of each loop that accepts, which moves while that does, asked or idle. Out: a ping to
//! the supervisor, in half the time that it waits.
//! Keeps: no ping while one of the numbers is what it was at the ping before; then it is looked at often, so that a thread
//! that was only slow is told of in time. While the daemon stops, pings prove nothing: threads end, and the stop has a
//! time limit of its own.
//! A watchdog needs twice as long as the slowest number: `store.click_sync_interval`, or two seconds. Of a shorter one it is said
//! at the start that it may end a process that is well.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::supervisor::Supervisor;
use crate::clock::Clock;
use crate::shutdown::{Shutdown, Woken};

/// Looks in a watchdog's time, while a thread stands still.
const LOOKS: u32 = 20;

/// The slowest number of a thread that is well, where nothing is set that is slower.
const SLOWEST_BEAT: Duration = Duration::from_secs(2);

/// What is wrong with a supervisor that waits for so long, where clicks are synced so often.
pub(super) fn warning(limit: Duration, click_sync_interval: Duration) -> Option<String> {
    let needed = 2 * SLOWEST_BEAT.max(click_sync_interval);
    (limit < needed).then(|| {
        format!(
            "the supervisor waits for a sign of life for {limit:?} only, and may end a process that is well: set WatchdogSec \
             to {needed:?} at least"
        )
    })
}

/// What moves while a thread does.
#[derive(Debug)]
pub(super) struct Pulse {
    name: String,
    beats: Arc<AtomicU64>,
    /// As of the last ping.
    last: u64,
}

impl Pulse {
    pub(super) fn new(name: impl Into<String>, beats: Arc<AtomicU64>) -> Self {
        let last = beats.load(Ordering::Relaxed);
        Self { name: name.into(), beats, last }
    }

    fn has_moved(&self) -> bool {
        self.beats.load(Ordering::Relaxed) != self.last
    }
}

/// The watch, running if anybody waits for it.
#[derive(Debug)]
pub(super) struct Watch {
    bell: Shutdown,
    is_leaving: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread knows.
struct Guard {
    supervisor: Arc<Supervisor>,
    pulses: Vec<Pulse>,
    is_leaving: Arc<AtomicBool>,
}

impl Watch {
    pub(super) fn start(supervisor: Arc<Supervisor>, pulses: Vec<Pulse>, clock: Clock) -> io::Result<Self> {
        let (bell, is_leaving) = (Shutdown::default(), Arc::<AtomicBool>::default());
        let Some(limit) = supervisor.watchdog() else { return Ok(Self { bell, is_leaving, thread: None }) };
        let guard = Guard { supervisor, pulses, is_leaving: Arc::clone(&is_leaving) };
        let heard = bell.clone();
        let thread = std::thread::Builder::new().name("watchdog".to_owned());
        let thread = thread.spawn(move || guard.run(&heard, limit, &clock))?;
        Ok(Self { bell, is_leaving, thread: Some(thread) })
    }

    /// From now on threads may end.
    pub(super) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
        self.bell.nudge();
    }

    pub(super) fn stop(self) {
        self.bell.trip();
        if let Some(Err(panic)) = self.thread.map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Guard {
    fn run(mut self, bell: &Shutdown, limit: Duration, clock: &Clock) {
        let mut pinged = clock.monotonic();
        let mut is_told = false;
        let mut pause = limit / 2;
        while bell.pause(clock.nap(pause)) != Woken::Stopped {
            let since = clock.monotonic().saturating_sub(pinged);
            if self.look() {
                (pinged, is_told, pause) = (clock.monotonic(), false, limit / 2);
                continue;
            }
            pause = limit / LOOKS;
            if since >= limit / 4 * 3 && !is_told {
                is_told = true;
                let stuck = self.stuck().join(", ");
                tracing::error!(
                    "threads that have not moved for {since:?}: {stuck}; no sign of life is sent"
                );
            }
        }
    }

    /// Pings, if there is reason to; says whether.
    fn look(&mut self) -> bool {
        let is_well = self.is_leaving.load(Ordering::Relaxed) || self.pulses.iter().all(Pulse::has_moved);
        if is_well {
            self.pulses.iter_mut().for_each(|pulse| pulse.last = pulse.beats.load(Ordering::Relaxed));
            self.supervisor.is_well();
        }
        is_well
    }

    fn stuck(&self) -> Vec<&str> {
        self.pulses.iter().filter(|pulse| !pulse.has_moved()).map(|pulse| pulse.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_watchdog_is_warned_of_that_is_shorter_than_two_of_the_slowest_beats() {
        let of = |limit, interval| warning(Duration::from_millis(limit), Duration::from_millis(interval));
        assert_eq!((of(30_000, 50), of(4_000, 50), of(20_000, 10_000)), (None, None, None));
        assert!(
            of(3_999, 50).is_some_and(|told| told.contains("3.999s only") && told.ends_with("4s at least"))
        );
        assert!(of(19_000, 10_000).is_some_and(|told| told.ends_with("20s at least")));
    }

    #[test]
    fn one_thread_that_stands_still_stops_the_pings_until_it_moves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let supervisor = Arc::new(Supervisor::at(path.as_os_str(), None).unwrap());
        let (worker, writer) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let pulses =
            vec![Pulse::new("edge-0", Arc::clone(&worker)), Pulse::new("books", Arc::clone(&writer))];
        let mut guard = Guard { supervisor, pulses, is_leaving: Arc::default() };
        let is_pinged = || listener.recv(&mut [0; 64]).is_ok();

        assert!(!guard.look() && !is_pinged(), "nothing has moved yet");
        worker.fetch_add(1, Ordering::Relaxed);
        assert!(!guard.look() && !is_pinged(), "the writer has not");
        assert_eq!(guard.stuck(), ["books"]);
        writer.fetch_add(1, Ordering::Relaxed);
        assert!(guard.look() && is_pinged());
        assert!(!guard.look() && !is_pinged(), "what moved before the last ping proves nothing");
        assert_eq!(guard.stuck(), ["edge-0", "books"]);
        guard.is_leaving.store(true, Ordering::Relaxed);
        assert!(guard.look() && is_pinged(), "a stop has a limit of its own");
    }
}
