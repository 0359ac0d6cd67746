//! The compactor beside the daemon: who publishes, unless that is switched off, and who forgets. Neither where it is not
//! built in.
//!
//! Keeps: others are in a hurry while more than one in a hundred of the requests since the last look took longer than the
//! setting says. That is what visitors and networks notice, whatever it is that is short; who needs the disk to answer,
//! postbacks, counts among them.

use std::io;
use std::sync::Arc;
#[cfg(feature = "parquet")]
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Clock;
#[cfg(feature = "parquet")]
use crate::compactor::{forget, run};
use crate::config::Settings;
use crate::dispatcher;
use crate::ingest;
#[cfg(feature = "parquet")]
use crate::ingest::Class;
use crate::metrics::Page;
#[cfg(feature = "parquet")]
use crate::store::Position;
use crate::store::Store;

/// How often it looks whether a segment was sealed.
#[cfg(feature = "parquet")]
const POLL: Duration = Duration::from_secs(2);

/// Whom it works beside.
#[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "then there is nobody beside them"))]
pub(super) struct Beside {
    pub(super) edge: ingest::Handle,
    /// Nobody where nothing is sent.
    pub(super) dispatcher: Option<dispatcher::start::Handle>,
    pub(super) catalog: Arc<ArcSwap<ingest::Catalog>>,
    /// Ends the segments that are written to.
    pub(super) roll: Box<dyn Fn() + Send>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    #[cfg(feature = "parquet")]
    running: Option<run::Compactor>,
    #[cfg(feature = "parquet")]
    forgetting: Option<forget::Forgetting>,
}

/// What operators may ask of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Handle {
    #[cfg(feature = "parquet")]
    running: Option<run::Handle>,
    #[cfg(feature = "parquet")]
    forgetting: Option<forget::Handle>,
}

#[cfg(feature = "parquet")]
impl Compaction {
    pub(super) fn start(
        settings: &Settings,
        store: &Store,
        beside: Beside,
        clock: Clock,
    ) -> io::Result<Self> {
        let mut started = Self::default();
        if let Some(publisher) = settings.publisher_options(clock.clone()) {
            started.running = Some(run::start(run::Options {
                publisher,
                bytes_per_second: settings.compactor.bytes_per_second.0,
                only_idle: settings.compactor.only_idle,
                poll: POLL,
                room: store.room_watch(),
                is_pressed: pressure(settings, &beside),
            })?);
        }
        if let Some(export) = settings.unkept_export() {
            let export = export.display();
            tracing::warn!(
                "compactor.enabled is false: nothing in {export} is erased or goes with age; remove it by hand"
            );
        }
        match forget::start(forgetting(settings, store, beside, clock)) {
            Ok(forgetting) => started.forgetting = Some(forgetting),
            Err(error) => {
                started.stop();
                return Err(error);
            }
        }
        Ok(started)
    }

    pub(super) fn handle(&self) -> Handle {
        Handle {
            running: self.running.as_ref().map(run::Compactor::handle),
            forgetting: self.forgetting.as_ref().map(forget::Forgetting::handle),
        }
    }

    /// Tells it to stop, and does not wait for it.
    pub(super) fn announce(&self) {
        self.running.iter().for_each(run::Compactor::announce);
        self.forgetting.iter().for_each(forget::Forgetting::announce);
    }

    pub(super) fn stop(self) {
        self.announce();
        self.running.into_iter().for_each(run::Compactor::stop);
        self.forgetting.into_iter().for_each(forget::Forgetting::stop);
    }
}

#[cfg(feature = "parquet")]
fn forgetting(settings: &Settings, store: &Store, beside: Beside, clock: Clock) -> forget::Options {
    let is_pressed = pressure(settings, &beside);
    let Beside { dispatcher, catalog, roll, .. } = beside;
    let by = settings.clone();
    forget::Options {
        rewriter: store.rewriter(),
        directory: store.directory().clone(),
        // A campaign's own is in the catalog, which may change.
        rules: Box::new(move || by.forgetting_rules(&catalog.load())),
        // Where nothing is sent, what is owed waits in the log.
        needed: Box::new(move || dispatcher.as_ref().map_or(Position::START, |handle| handle.needed())),
        roll,
        interval: settings.retention.interval,
        bytes_per_second: settings.retention.rewrite_bytes_per_second.0,
        room: store.room_watch(),
        is_pressed,
        clock,
    }
}

#[cfg(feature = "parquet")]
fn pressure(settings: &Settings, beside: &Beside) -> run::IsPressed {
    let edge = beside.edge.clone();
    let mut pressure = Pressure { edge, longest: settings.compactor.stand_back, before: (0, 0) };
    Box::new(move || pressure.look())
}

#[cfg(feature = "parquet")]
impl Handle {
    pub(super) fn write_metrics(&self, page: &mut Page) {
        self.running.iter().for_each(|running| running.write_metrics(page));
        self.forgetting.iter().for_each(|forgetting| forgetting.write_metrics(page));
    }

    /// Something may have been sealed.
    pub(super) fn nudge(&self) {
        self.running.iter().for_each(run::Handle::nudge);
        self.forgetting.iter().for_each(forget::Handle::nudge);
    }
}

#[cfg(not(feature = "parquet"))]
impl Compaction {
    pub(super) fn start(settings: &Settings, _: &Store, _: Beside, _: Clock) -> io::Result<Self> {
        if settings.retention != Default::default() {
            tracing::warn!("nothing is forgotten with age: this build is without the feature \"parquet\"");
        }
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
