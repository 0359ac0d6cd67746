//! Somebody who is told of conversions, and what he thinks of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::desk::{Desk, catalog};

pub(crate) struct Destination {
    port: u16,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    status: AtomicU16,
    heard: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl State {
    fn answer(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut bytes = [0; 4096];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(read) => head.extend_from_slice(&bytes[..read]),
            }
        }
        let head = String::from_utf8(head).unwrap();
        self.heard.lock().unwrap().push(head.lines().next().unwrap().to_owned());
        let status = self.status.load(Ordering::SeqCst);
        let answer = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        // Who asked may be gone.
        let _gone = stream.write_all(answer.as_bytes());
    }
}

impl Destination {
    /// One that answers so.
    pub(crate) fn open(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { status: status.into(), ..State::default() });
        let theirs = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.is_over.load(Ordering::SeqCst) {
                    return;
                }
                theirs.answer(stream.unwrap());
            }
        });
        Self { port, state, thread: Some(thread) }
    }

    /// A daemon whose conversions it is told of, under the name `told`.
    pub(crate) fn desk(&self) -> Desk {
        let at = format!("http://127.0.0.1:{}/", self.port);
        Desk::open_with(&catalog(0).replace("http://127.0.0.1:9/", &at), &[], &[])
    }

    pub(crate) fn answers_from_now_on(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    /// How often it was told of this transaction.
    pub(crate) fn heard_of(&self, transaction: &str) -> usize {
        let named = format!("t={transaction} ");
        self.state.heard.lock().unwrap().iter().filter(|line| line.contains(&named)).count()
    }

    /// Waits until it was told of a transaction so often.
    pub(crate) fn wait(&self, transaction: &str, times: usize) {
        while self.heard_of(transaction) < times {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}
