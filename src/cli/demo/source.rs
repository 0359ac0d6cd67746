//! A traffic source that is told of conversions, and does not always take them at once.
//!
//! In: postbacks of ours, on a port of its own. Out: which deliveries it took, and how often it made trouble.
//! Keeps: a delivery that it refused or was slow with, it takes at the next attempt; so all that is owed arrives.
//! Its threads end with the process.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Connections at a time; one more is closed.
const CONNECTIONS_MAX: usize = 256;
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Of so many deliveries one is refused with 500, one with 429, and one is answered slowly.
const TROUBLE_EVERY: u64 = 16;
/// What is slow.
const SLOW: Duration = Duration::from_millis(400);

/// What it was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// Requests of any kind.
    pub(super) requests: u64,
    /// Answered 500.
    pub(super) failed: u64,
    /// Answered 429.
    pub(super) throttled: u64,
    /// Answered late.
    pub(super) slow: u64,
    /// How often each delivery was taken.
    taken: HashMap<String, u64>,
}

impl Heard {
    /// Deliveries that were taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken.len() as u64
    }

    /// Those that were taken more than once.
    pub(super) fn twice(&self) -> u64 {
        self.taken.values().filter(|times| **times > 1).count() as u64
    }
}

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Takes,
    TakesLate,
    Fails,
    Throttles,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) address: SocketAddr,
    heard: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    heard: Heard,
    /// Attempts by delivery; those of which nothing was refused are not in it for long.
    attempts: HashMap<String, u64>,
}

impl Source {
    /// Listens at any free port of this machine.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        let source = Self { address: listener.local_addr()?, heard: Arc::default() };
        let (at_door, open) = (source.clone(), Arc::new(AtomicUsize::new(0)));
        std::thread::Builder::new().name("source".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                    open.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (source, left) = (at_door.clone(), Arc::clone(&open));
                let spawned = std::thread::Builder::new().name("source-peer".to_owned()).spawn(move || {
                    // A connection that breaks is one that the sender opens again.
                    let _broken = source.answer_all(stream);
                    left.fetch_sub(1, Ordering::Relaxed);
                });
                if spawned.is_err() {
                    open.fetch_sub(1, Ordering::Relaxed);
                }
            }
        })?;
        Ok(source)
    }

    pub(super) fn heard(&self) -> Heard {
        self.known(|known| known.heard.clone())
    }

    /// Deliveries that were taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.known(|known| known.heard.taken())
    }

    fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer_all(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = bytes.drain(..end + 4).collect();
                let mood = self.known(|known| known.note(&delivery(&String::from_utf8_lossy(&head))));
                if mood == Mood::TakesLate {
                    std::thread::sleep(SLOW);
                }
                stream.write_all(answer(mood).as_bytes())?;
            }
            match stream.read(&mut piece)? {
                0 => return Ok(()),
                _ if bytes.len() > HEAD_BYTES_MAX => return Ok(()),
                read => bytes.extend_from_slice(piece.get(..read).unwrap_or_default()),
            }
        }
    }
}

impl Known {
    /// Notes an attempt, and says what is made of it. Each kind of trouble comes once per delivery.
    fn note(&mut self, delivery: &str) -> Mood {
        let number = self.attempts.len() as u64;
        let attempts = self.attempts.entry(delivery.to_owned()).or_insert(0);
        *attempts += 1;
        let mood = match (*attempts, number % TROUBLE_EVERY) {
            (1, 3) => Mood::Fails,
            (1, 7) => Mood::Throttles,
            (1, 11) => Mood::TakesLate,
            _ => Mood::Takes,
        };
        self.heard.requests += 1;
        match mood {
            Mood::Fails => self.heard.failed += 1,
            Mood::Throttles => self.heard.throttled += 1,
            Mood::TakesLate => self.heard.slow += 1,
            Mood::Takes => {}
        }
        if matches!(mood, Mood::Takes | Mood::TakesLate) {
            *self.heard.taken.entry(delivery.to_owned()).or_insert(0) += 1;
        }
        mood
    }
}

/// Which delivery a request is an attempt of: its URL says so.
fn delivery(head: &str) -> String {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let id = target.split(['?', '&']).find_map(|pair| pair.strip_prefix("id="));
    id.unwrap_or_default().to_owned()
}

fn answer(mood: Mood) -> &'static str {
    match mood {
        Mood::Takes | Mood::TakesLate => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Mood::Fails => "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        Mood::Throttles => "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_comes_once_and_then_a_delivery_is_taken() {
        let mut known = Known::default();
        let first: Vec<Mood> = (0..16).map(|number| known.note(&number.to_string())).collect();
        assert_eq!((first[3], first[7], first[11]), (Mood::Fails, Mood::Throttles, Mood::TakesLate));
        assert_eq!((known.note("3"), known.note("7")), (Mood::Takes, Mood::Takes));
        assert_eq!((known.heard.taken(), known.heard.twice(), known.heard.requests), (16, 0, 18));
        assert_eq!(known.note("3"), Mood::Takes);
        assert_eq!(known.heard.twice(), 1);
    }

    #[test]
    fn the_delivery_is_told_from_the_url() {
        assert_eq!(delivery("GET /a?visitor_id=7&id=abc&value=1 HTTP/1.1\r\n"), "abc");
        assert_eq!(delivery(""), "");
    }
}
