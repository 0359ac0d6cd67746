//! What systemd hands to a process that it starts: sockets, and where it wants to hear how it is.
//!
//! In: `LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`, `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`. Out: open sockets with
//! their names, a supervisor.
//! Keeps: what is meant for another process is left alone; sockets are taken once, and no child inherits them.
//! Refuses: what is no TCP socket, since connections to it would wait for ever.

use std::env;
use std::ffi::OsStr;
use std::time::Duration;

use listenfd::ListenFd;

use super::Failure;
use crate::serve::{Inherited, Supervisor, Surroundings};

/// The first of them; see sd_listen_fds(3).
const FIRST_SOCKET: usize = 3;

/// Takes it all. To be called while there is one thread.
pub(super) fn take() -> Result<Surroundings, Failure> {
    // Names first: of what has none, systemd says so itself.
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut open = ListenFd::from_env();
    let mut sockets = Vec::new();
    let mut names = names.split(':');
    for index in 0..open.len() {
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned();
        match open.take_tcp_listener(index) {
            Ok(Some(socket)) => sockets.push(Inherited { name, socket }),
            Ok(None) => {}
            Err(error) => {
                let number = FIRST_SOCKET + index;
                let what =
                    format!("the inherited socket \"{name}\" (descriptor {number}) cannot be used: {error}");
                return Err(Failure::configuration(what));
            }
        }
    }
    let socket = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty());
    let supervisor = socket.map_or_else(|| Ok(Supervisor::default()), |path| at(&path))?;
    Ok(Surroundings { sockets, supervisor })
}

fn at(path: &OsStr) -> Result<Supervisor, Failure> {
    let supervisor = Supervisor::at(path, watchdog(&|name| env::var(name).ok()));
    supervisor.map_err(|error| {
        Failure::system(format!("cannot reach the NOTIFY_SOCKET {}", path.display()), &error)
    })
}

/// How long the watchdog of this process waits.
fn watchdog(variable: &dyn Fn(&str) -> Option<String>) -> Option<Duration> {
    let is_ours = |pid: String| pid.parse() == Ok(std::process::id());
    let micros: u64 = variable("WATCHDOG_USEC")?.parse().ok()?;
    (micros > 0 && variable("WATCHDOG_PID").is_none_or(is_ours)).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_of_another_process_is_not_ours() {
        let own = std::process::id().to_string();
        let told = |micros: &'static str, pid: Option<&str>| {
            let pid = pid.map(str::to_owned);
            watchdog(&move |name| match name {
                "WATCHDOG_USEC" => Some(micros.to_owned()),
                _ => pid.clone(),
            })
        };
        assert_eq!(told("30000000", Some(&own)), Some(Duration::from_secs(30)));
        assert_eq!(told("30000000", None), Some(Duration::from_secs(30)));
        assert_eq!(told("30000000", Some("1")), None);
        assert_eq!(told("0", None), None);
        assert_eq!(told("soon", None), None);
    }
}
