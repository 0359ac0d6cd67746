//! The compactor beside the daemon, or nothing where it is switched off or not built in.
//!
//! Keeps: others are in a hurry while more than one in a hundred of the requests since the last look took longer than the
//! setting says. That is what visitors and networks notice, whatever it is that is short; who needs the disk to answer,
//! postbacks, counts among them.

use std::io;
#[cfg(feature = "parquet")]
use std::time::Duration;

use crate::clock::Clock;
#[cfg(feature = "parquet")]
use crate::compactor::run;
use crate::config::Settings;
use crate::ingest;
#[cfg(feature = "parquet")]
use crate::ingest::Class;
use crate::metrics::Page;
use crate::store::Store;

/// How often it looks whether a segment was sealed.
#[cfg(feature = "parquet")]
const POLL: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    #[cfg(feature = "parquet")]
    running: Option<run::Compactor>,
}

/// What operators may ask of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Handle {
    #[cfg(feature = "parquet")]
    running: Option<run::Handle>,
}

#[cfg(feature = "parquet")]
impl Compaction {
    pub(super) fn start(
        settings: &Settings,
        store: &Store,
        edge: ingest::Handle,
        clock: Clock,
    ) -> io::Result<Self> {
        let Some(publisher) = settings.publisher_options(clock) else { return Ok(Self::default()) };
        let mut pressure = Pressure { edge, longest: settings.compactor.stand_back, before: (0, 0) };
        let running = run::start(run::Options {
            publisher,
            bytes_per_second: settings.compactor.bytes_per_second.0,
            poll: POLL,
            room: store.room_watch(),
            is_pressed: Box::new(move || pressure.look()),
        })?;
        Ok(Self { running: Some(running) })
    }

    pub(super) fn handle(&self) -> Handle {
        Handle { running: self.running.as_ref().map(run::Compactor::handle) }
    }

    /// Tells it to stop, and does not wait for it.
    pub(super) fn announce(&self) {
        self.running.iter().for_each(run::Compactor::announce);
    }

    pub(super) fn stop(self) {
        self.running.into_iter().for_each(run::Compactor::stop);
    }
}

#[cfg(feature = "parquet")]
impl Handle {
    pub(super) fn write_metrics(&self, page: &mut Page) {
        self.running.iter().for_each(|running| running.write_metrics(page));
    }

    /// Something may have been sealed.
    pub(super) fn nudge(&self) {
        self.running.iter().for_each(run::Handle::nudge);
    }
}

#[cfg(not(feature = "parquet"))]
impl Compaction {
    pub(super) fn start(_: &Settings, _: &Store, _: ingest::Handle, _: Clock) -> io::Result<Self> {
        Ok(Self::default())
    }

    pub(super) fn handle(&self) -> Handle {
        Handle::default()
    }

    pub(super) fn announce(&self) {}

    pub(super) fn stop(self) {}
}

#[cfg(not(feature = "parquet"))]
impl Handle {
    pub(super) fn write_metrics(&self, _: &mut Page) {}

    pub(super) fn nudge(&self) {}
}

/// How long requests take now.
#[cfg(feature = "parquet")]
#[derive(Debug)]
struct Pressure {
    edge: ingest::Handle,
    longest: Duration,
    /// How many there had been, and how many of those took too long, when it was looked at last.
    before: (u64, u64),
}

#[cfg(feature = "parquet")]
impl Pressure {
    fn look(&mut self) -> bool {
        let totals = self.edge.totals();
        let mut now = (0, 0);
        for class in [Class::Click, Class::Postback] {
            let durations = totals.durations(class);
            let quick = durations.cumulative().take_while(|(edge, _)| *edge <= self.longest.as_secs_f64());
            let quick = quick.last().map_or(0, |(_, count)| count);
            now = (now.0 + durations.count(), now.1 + durations.count().saturating_sub(quick));
        }
        let (all, slow) = (now.0.saturating_sub(self.before.0), now.1.saturating_sub(self.before.1));
        self.before = now;
        slow * 100 > all
    }
}
