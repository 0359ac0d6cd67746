//! The daemon as a process, and somebody who asks it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Nothing here takes this long: a test that hangs fails instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon in a process of its own, in the folder that is its working directory.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) visitors: SocketAddr,
    pub(crate) operators: SocketAddr,
}

impl Process {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, &[])
    }

    /// With further variables in its environment.
    pub(crate) fn start_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let admin: &[&str] = if arguments.contains(&"--admin") { &[] } else { &["--admin", "127.0.0.1:0"] };
        let mut child = Command::new(env!("CARGO_BIN_EXE_clicklog"))
            .current_dir(folder)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(admin)
            .args(arguments)
            .env("CLICKLOG_STORE__CLICK_SEGMENT", "1MiB")
            .env("CLICKLOG_STORE__LOW_FREE", "0B")
            .env("CLICKLOG_STORE__CRITICAL_FREE", "0B")
            .env("CLICKLOG_STORE__RESERVE", "0B")
            .env("CLICKLOG_EDGE__WORKERS", "2")
            // Tests that go on at once leave no processor idle, and some wait for what it does.
            .env("CLICKLOG_COMPACTOR__ONLY_IDLE", "false")
            .env_remove("CLICKLOG_ADMIN_TOKEN")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = |what: &str| loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("it ended before it said where its {what} are"))
                .unwrap();
            if let Some(url) = line.trim().strip_prefix(what) {
                break url.trim().strip_prefix("http://").unwrap().parse().unwrap();
            }
        };
        let (visitors, operators) = (address("visitors"), address("operators"));
        Self { child, visitors, operators }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end: its exit code, if it was not killed, and what it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let said = self.said_until_its_end();
        (self.child.wait().unwrap().code(), said)
    }

    /// Hears it out.
    pub(crate) fn said_until_its_end(&mut self) -> String {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of a test that has failed; otherwise it is gone already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks for a target; the head of the answer, or nothing if the server went away.
pub(crate) fn ask(stream: &mut TcpStream, request: &str) -> Option<String> {
    stream.write_all(request.as_bytes()).ok()?;
    let mut head = Vec::new();
    let mut bytes = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return None,
            Ok(read) => head.extend_from_slice(&bytes[..read]),
        }
    }
    Some(String::from_utf8(head).unwrap())
}

/// As `ask`, with the body, of an answer that says how long it is.
pub(crate) fn ask_whole(stream: &mut TcpStream, request: &str) -> Option<(String, String)> {
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, &mut bytes)?;
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    while bytes.len() < head_end + length.unwrap_or(0) {
        read_more(stream, &mut bytes)?;
    }
    Some((head, String::from_utf8(bytes.split_off(head_end)).unwrap()))
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut more = [0; 4096];
    match stream.read(&mut more) {
        Ok(0) | Err(_) => None,
        Ok(read) => {
            bytes.extend_from_slice(&more[..read]);
            Some(())
        }
    }
}
