//! A timer for the schedule.
//!
//! In: how long. Out: the moment after.
//! Keeps: never early.

use std::io;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

/// A timer that is right to microseconds: tokio's own is right to a millisecond, longer than most answers take.
///
/// A timerfd is read as a pipe is; so tokio's pipe can wait for it, and `AsyncFd`, which takes `unsafe`, need not.
#[derive(Debug)]
pub(super) struct Alarm(Receiver);

impl Alarm {
    /// Within a runtime.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Receiver::from_owned_fd_unchecked(timer).map(Self)
    }

    /// Waits for so long, and hardly longer.
    pub(super) async fn wait(&self, time: Duration) -> io::Result<()> {
        // Zero would stop the timer.
        let it_value = Timespec::try_from(time.max(Duration::from_nanos(1))).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        loop {
            self.0.readable().await?;
            // How often it went off, which is once.
            match self.0.try_read(&mut [0; 8]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(|_| ()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn the_alarm_goes_off_each_time_and_never_early() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let alarm = Alarm::new().unwrap();
            for micros in [300, 0, 50] {
                let (time, before) = (Duration::from_micros(micros), Clock::System.monotonic());
                alarm.wait(time).await.unwrap();
                assert!(Clock::System.monotonic() - before >= time);
            }
        });
    }
}
