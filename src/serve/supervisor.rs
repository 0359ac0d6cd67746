//! What is told to whoever started the process and wants to know how it is: systemd, over its notification socket.
//!
//! In: how the daemon is. Out: datagrams, `READY=1` and so on, as sd_notify(3) says.
//! Keeps: a supervisor that does not listen is not waited for; nobody to tell is no failure.
//! Own, and not a crate: one `send`; the crates read the environment at each of them, and do not know abstract sockets.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::clock::Clock;

/// How long a datagram may wait: a supervisor that does not listen is not to hold up a restart.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);
/// How much longer a start may take from each sign of progress on.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// How often progress is told.
const STEP_EVERY: Duration = Duration::from_secs(1);

/// See the module. The default is nobody.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// One that listens at `path`, and ends a process from which it has not heard for so long.
    ///
    /// # Errors
    /// What connecting to the socket says.
    pub fn at(path: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        match path.as_bytes().strip_prefix(b"@") {
            Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            None => socket.connect(path)?,
        }
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self { socket: Some(socket), watchdog })
    }

    /// How long it waits for a sign of life, if it does.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some())
    }

    /// Getting ready, at `what`; more time is asked for.
    pub(super) fn starting(&self, what: &str) {
        self.tell(&format!("STATUS=starting: {what}\nEXTEND_TIMEOUT_USEC={}\n", STEP_TIMEOUT.as_micros()));
    }

    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=ready\n");
    }

    pub(super) fn reloading(&self) {
        self.tell("RELOADING=1\nSTATUS=reloading\n");
    }

    /// A reload is over, and came to this.
    pub(super) fn reloaded(&self, what: &str) {
        let first = what.lines().next().unwrap_or_default();
        self.tell(&format!("READY=1\nSTATUS=ready; {first}\n"));
    }

    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining\n");
    }

    pub(super) fn is_well(&self) {
        self.tell("WATCHDOG=1\n");
    }

    fn tell(&self, message: &str) {
        // There is nobody to complain to.
        let _unheard = self.socket.as_ref().map(|socket| socket.send(message.as_bytes()));
    }
}

/// How far opening the store is.
pub(super) struct Recovery<'a> {
    supervisor: &'a Supervisor,
    clock: Clock,
    told: Option<Duration>,
}

impl<'a> Recovery<'a> {
    pub(super) fn new(supervisor: &'a Supervisor, clock: Clock) -> Self {
        Self { supervisor, clock, told: None }
    }

    pub(super) fn opened(&mut self, done: u64, of: u64) {
        let now = self.clock.monotonic();
        if done == of || self.told.is_none_or(|told| now >= told + STEP_EVERY) {
            self.told = Some(now);
            self.supervisor.starting(&format!("opened {done} of {of} segments"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    fn heard(listener: &UnixDatagram) -> Vec<String> {
        listener.set_nonblocking(true).unwrap();
        let mut bytes = [0; 1024];
        let mut all = Vec::new();
        while let Ok(length) = listener.recv(&mut bytes) {
            all.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn it_is_told_at_a_path_or_by_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        Supervisor::at(path.as_os_str(), None).unwrap().ready();
        assert_eq!(heard(&listener), ["READY=1\nSTATUS=ready\n"]);

        let name = format!("clicklog-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        Supervisor::at(OsStr::new(&format!("@{name}")), None).unwrap().stopping();
        assert_eq!(heard(&listener), ["STOPPING=1\nSTATUS=draining\n"]);
    }

    #[test]
    fn a_long_recovery_asks_for_more_time_once_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::at(path.as_os_str(), None).unwrap();
        let clock = ManualClock::at(Timestamp::from_micros(1));
        let mut recovery = Recovery::new(&supervisor, Clock::Manual(clock.clone()));
        for done in 1..=30 {
            recovery.opened(done, 40);
            clock.advance(Duration::from_millis(100));
        }
        let told = heard(&listener);
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(told[1], "STATUS=starting: opened 11 of 40 segments\nEXTEND_TIMEOUT_USEC=60000000\n");
    }
}
