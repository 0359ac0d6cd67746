//! The process that the crash tests kill: it writes to a store and says what the store promised.
//!
//! In: a data folder and the first number to use, from the environment; the end of standard input means stop.
//! Out, one line each on standard output, which outlives the process in the pipe:
//! - `c N ID`: click N was appended and has this id;
//! - `s N`: click N is on stable storage;
//! - `p N`: postback N is;
//! - `r N`: postback N was refused, because the store is poisoned;
//! - `n JOURNAL ROOM FULL`: an append found no room; the store's judgement, and how often the disk was full.
//!
//! Exit status: 0 after a clean stop, 3 once the store is poisoned.

use std::fmt::Display;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use clicklog::clock::{Clock, Timestamp};
use clicklog::event::click::Click;
use clicklog::event::codec::Encoder;
use clicklog::event::postback::Postback;
use clicklog::store::clicks::ClickWriter;
use clicklog::store::commit::{Handle, Limits, Refused, Stage, start};
use clicklog::store::space::Marks;
use clicklog::store::{Error, Journal, LaneWriter, Level, Options, Store, install_sigbus_handler};

/// Name of the variable with the data folder; whoever has it set is the child.
pub(crate) const FOLDER: &str = "CLICKLOG_CRASH_FOLDER";
/// Name of the variable with the first number.
pub(crate) const FIRST: &str = "CLICKLOG_CRASH_FIRST";
/// Name of the variable that asks for the segment to be cut behind the store's back.
pub(crate) const CUT: &str = "CLICKLOG_CRASH_CUT";
/// Exit status of a child whose store was poisoned.
pub(crate) const POISONED: i32 = 3;

/// Threads that append clicks, each to its own lane.
const LANES: u8 = 2;
/// Threads that ask for postbacks, so that one sync has several waiters.
pub(crate) const ASKERS: u8 = 4;
/// So often each asks a store that refuses: one that is poisoned stays so.
pub(crate) const REFUSALS: usize = 3;
/// One click in so many waits for its sync.
const SYNCED_EVERY: u32 = 32;
/// A child that lives longer hangs: it ends itself, and its test fails.
const LIFE: Duration = Duration::from_secs(60);

/// How often the disk is tried again when there was no room.
const PAUSE: Duration = Duration::from_millis(2);

/// Small segments, so that every crash has some of each state; marks that a tiny disk reaches.
pub(crate) fn options(data: &Path) -> Options {
    Options {
        lanes: LANES,
        click_segment_bytes: 64 * 1024,
        journal_segment_bytes: 64 * 1024,
        populate_bytes: 16 * 1024,
        click_sync_interval: Duration::from_millis(5),
        marks: Marks { low_bytes: 2 << 20, critical_bytes: 1 << 20, reserve_bytes: 256 << 10 },
        ..Options::new(data)
    }
}

/// What tells click `n` from every other.
pub(crate) fn external_id(n: u32) -> String {
    format!("external-{n}")
}

/// Which of the askers asked for postback `n`.
pub(crate) fn asker(n: u32) -> u32 {
    n % u32::from(ASKERS)
}

/// Does what the environment asks for, and never returns; unless it does not ask.
pub(crate) fn run() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    thread::spawn(|| {
        thread::sleep(LIFE);
        std::process::abort();
    });
    // The test harness has begun a line of its own.
    say(format_args!(""));
    let first = std::env::var(FIRST).ok().and_then(|first| first.parse().ok()).unwrap_or(0);
    let store = match Store::open(options(&folder)) {
        Ok(store) => store,
        Err(error) => fail(&error),
    };
    if std::env::var_os(CUT).is_some() {
        cut_the_segment_being_written(&store);
    }
    write_until_told(store, first);
}

fn write_until_told(store: Store, first: u32) -> ! {
    let is_stopping = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let is_stopping = Arc::clone(&is_stopping);
        move || {
            let _ended_or_broken = std::io::stdin().read_to_end(&mut Vec::new());
            is_stopping.store(true, Ordering::Relaxed);
        }
    });
    let watch = thread::spawn({
        let poison = store.poison().clone();
        move || poison.wait().map(str::to_owned)
    });
    let journal = store.journal_writer(Journal::Postbacks).unwrap();
    let (handle, owner) =
        start("postbacks", Postbacks::default(), journal, Limits::default(), Clock::System).unwrap();
    let work = Work { store: &store, first, is_stopping: &is_stopping };
    thread::scope(|scope| {
        for lane in 0..LANES {
            scope.spawn(move || work.append_clicks(lane));
        }
        for asker in 0..ASKERS {
            let handle = handle.clone();
            scope.spawn(move || work.ask_for_postbacks(asker, &handle));
        }
    });
    owner.stop();
    if store.poison().cause().is_some() {
        match watch.join() {
            Ok(Some(cause)) => eprintln!("poisoned: {cause}"),
            _ => exit(1),
        }
        exit(POISONED);
    }
    match store.close() {
        Ok(()) => exit(0),
        Err(error) => fail(&error),
    }
}

#[derive(Clone, Copy)]
struct Work<'a> {
    store: &'a Store,
    first: u32,
    is_stopping: &'a AtomicBool,
}

impl Work<'_> {
    fn append_clicks(self, lane: u8) {
        let mut writer = self.store.click_writer(lane).unwrap();
        let mut n = self.first + u32::from(lane);
        while !self.is_stopping.load(Ordering::Relaxed) {
            match self.append_click(&mut writer, n) {
                Ok(()) => n += u32::from(LANES),
                Err(Error::NoRoom { journal, .. }) => self.wait_for_room(journal),
                Err(Error::Poisoned { .. }) => return,
                Err(error) => fail(&error),
            }
        }
        writer.close();
    }

    fn append_click(self, writer: &mut ClickWriter, n: u32) -> Result<(), Error> {
        let external_id = external_id(n);
        let time = Timestamp::from_seconds(1_795_158_000 + n % 3_000);
        let recorded = writer.append(&Click {
            time,
            campaign: "spring",
            external_id: &external_id,
            ..Click::default()
        })?;
        say(format_args!("c {n} {}", recorded.click_id));
        if (n / u32::from(LANES)).is_multiple_of(SYNCED_EVERY) {
            wait_for(writer.lane().durable(recorded.appended.position(), Level::LocalSync))?;
            say(format_args!("s {n}"));
        }
        Ok(())
    }

    fn ask_for_postbacks(self, asker: u8, handle: &Handle<Postbacks>) {
        let mut n = self.first + u32::from(asker);
        let mut refused = 0;
        while !self.is_stopping.load(Ordering::Relaxed) && refused < REFUSALS {
            let answer = handle
                .submit(n)
                .and_then(|reply| wait_for(reply).map(|synced| synced.into_inner()).map_err(Refused::Store));
            match answer {
                Ok(n) => say(format_args!("p {n}")),
                Err(Refused::Store(Error::NoRoom { journal, .. })) => self.wait_for_room(journal),
                Err(Refused::Store(Error::Poisoned { .. })) => {
                    say(format_args!("r {n}"));
                    refused += 1;
                }
                Err(error) => fail(&error),
            }
            n += u32::from(ASKERS);
        }
    }

    fn wait_for_room(self, journal: &str) {
        let full = self.store.counters().full.load(Ordering::Relaxed);
        say(format_args!("n {journal} {} {full}", self.store.room().name()));
        thread::sleep(PAUSE);
    }
}

/// Appends a postback for each number.
#[derive(Default)]
struct Postbacks(Encoder);

impl Stage for Postbacks {
    type Request = u32;
    type Reply = u32;

    fn apply(&mut self, n: u32, journal: &mut LaneWriter) -> Result<u32, Error> {
        let path = n.to_string();
        let time = Timestamp::from_seconds(1_795_158_000);
        let postback = self.0.postback(&Postback { time, path: &path, ..Postback::default() });
        journal.append(&postback.unwrap())?;
        Ok(n)
    }
}

/// What nobody may do to a data folder: the next append meets a hole in its mapping.
fn cut_the_segment_being_written(store: &Store) -> ! {
    install_sigbus_handler().unwrap();
    let mut writer = store.click_writer(1).unwrap();
    let mut append = || writer.append(&Click { campaign: "spring", ..Click::default() });
    let segment = append().unwrap().appended.position().segment();
    let path = store.directory().segment(Journal::Clicks, 1, segment, 0);
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    say(format_args!("cut {segment}"));
    let survived = append();
    eprintln!("appended to a segment without a file: {survived:?}");
    exit(1);
}

/// One whole line, in one write.
fn say(line: std::fmt::Arguments<'_>) {
    // Nobody listens any more only if the test is gone, and then nobody counts on this either.
    let _unheard = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}

fn fail(error: &dyn std::error::Error) -> ! {
    fn tell(what: &dyn Display) {
        eprintln!("{what}");
    }
    tell(&error);
    let mut source = error.source();
    while let Some(cause) = source {
        tell(&cause);
        source = cause.source();
    }
    exit(1);
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait_for<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
