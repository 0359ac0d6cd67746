//! A client that sends any bytes there are, and reads answers as they come.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing here takes this long: a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

/// What a connection goes over.
pub(crate) trait Stream: Read + Write + Send {
    /// Says that nothing more will be sent.
    fn finish(&mut self);
}

impl Stream for TcpStream {
    fn finish(&mut self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

/// A socket that does not wait for ever.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::over(connect(address))
    }

    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    /// Sends bytes; a peer that has closed already is no failure, its answer may still be read.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _closed = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) -> &mut Self {
        self.stream.finish();
        self
    }

    /// The next answer; nothing once the peer has closed.
    pub(crate) fn receive(&mut self) -> Option<Answer> {
        self.receive_for(false)
    }

    /// The next answer, to a HEAD.
    pub(crate) fn receive_head(&mut self) -> Option<Answer> {
        self.receive_for(true)
    }

    fn receive_for(&mut self, is_head: bool) -> Option<Answer> {
        let head_end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                assert!(
                    self.unread.is_empty(),
                    "closed in a head: {:?}",
                    String::from_utf8_lossy(&self.unread)
                );
                return None;
            }
        };
        let head: Vec<u8> = self.unread.drain(..head_end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let bytes: usize = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
        let bytes = if is_head { 0 } else { bytes };
        while self.unread.len() < bytes {
            assert!(self.fill(), "closed in a body");
        }
        answer.body = self.unread.drain(..bytes).collect();
        Some(answer)
    }

    /// Waits for the peer to close, without another answer.
    pub(crate) fn is_closed(&mut self) -> bool {
        !self.fill() && self.unread.is_empty()
    }

    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let read = match self.stream.read(&mut bytes) {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => 0,
            Err(error) => panic!("waited for an answer in vain: {error}"),
        };
        self.unread.extend_from_slice(&bytes[..read]);
        read > 0
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no location in {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The click id in its cookie.
    pub(crate) fn cookie(&self) -> Option<&str> {
        let cookies = self.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value);
        cookies.filter_map(|value| value.strip_prefix("cl_cid=")?.split(';').next()).next()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
