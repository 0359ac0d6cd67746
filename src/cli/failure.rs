//! What a command failed of: what happened and where, what to do about it, and the exit code.
//!
//! In: errors of all floors. Out: a line, and where there is something to be done, a second one behind an arrow.
//! Keeps: a cause is said once. Where an error has its own advice in its text, none is added.

use std::error::Error;
use std::fmt::{self, Display};
use std::io;

use crate::store::described;

/// The exit code for a configuration that cannot be used: `EX_CONFIG` of sysexits.h.
const BAD_CONFIGURATION: u8 = 78;
/// As where the parser of the command line refuses it.
const USAGE: u8 = 2;
/// `EMFILE`: this process has as many files open as it may.
const TOO_MANY_FILES: i32 = 24;

/// See the module.
#[derive(Debug)]
pub(super) struct Failure {
    /// What happened, and where.
    pub(super) text: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
    pub(super) code: u8,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), advice: None, code: 1 }
    }

    /// What was typed cannot be meant.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { code: USAGE, ..Self::new(text) }
    }

    pub(super) fn configuration(problems: impl Display) -> Self {
        Self { code: BAD_CONFIGURATION, ..Self::new(problems.to_string()) }
    }

    /// The same, for what the configuration is to blame for.
    pub(super) fn of_configuration(self) -> Self {
        Self { code: BAD_CONFIGURATION, ..self }
    }

    /// The system's own word on a file, a socket or a thread.
    pub(super) fn system(what: impl Display, error: &io::Error) -> Self {
        Self { advice: advice(error), ..Self::new(format!("{what}: {error}")) }
    }

    /// With what to do about it.
    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.advice.iter().try_for_each(|advice| write!(f, "\n  -> {advice}"))
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let first: &(dyn Error + 'static) = &error;
        let mut causes = std::iter::successors(Some(first), |cause| (*cause).source());
        let advice = causes.find_map(|cause| advice(cause.downcast_ref::<io::Error>()?));
        Self { advice, ..Self::new(described(&error)) }
    }
}

/// What to do where the system says no, as far as its word tells.
fn advice(error: &io::Error) -> Option<String> {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run it as the user that may: `ls -ld` says whose it is, and `sudo -u USER clicklog …` is that user"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room there (`df -h` says how much there is), or have it written elsewhere"
        }
        io::ErrorKind::ReadOnlyFilesystem => "have it written elsewhere, or mount that disk writable",
        io::ErrorKind::NotADirectory => "a file stands where a folder is meant to be: name another place",
        io::ErrorKind::IsADirectory => "a folder stands where a file is meant to be: name a file",
        io::ErrorKind::AddrNotAvailable => {
            "that is no address of this machine (`ip address` lists them); :PORT is all of them"
        }
        _ if error.raw_os_error() == Some(TOO_MANY_FILES) => {
            "let it open more files: `ulimit -n 65536` in this shell, LimitNOFILE= in a unit"
        }
        _ => return None,
    };
    Some(advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    #[test]
    fn a_cause_is_said_once_and_what_to_do_is_beside_it() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let told = full.to_string();
        let failure = Failure::from(store::Error::io("write", "/data/x".as_ref())(full)).to_string();
        assert_eq!(failure.matches(&told).count(), 1, "{failure}");
        assert!(
            failure.starts_with("cannot write /data/x: ") && failure.contains("\n  -> make room"),
            "{failure}"
        );
        let limit = Failure::system("cannot open x", &io::Error::from_raw_os_error(TOO_MANY_FILES));
        assert!(limit.to_string().contains("\n  -> let it open more files"), "{limit}");
        assert_eq!(Failure::from(store::Error::TooManyWaiters).advice, None);
    }
}
