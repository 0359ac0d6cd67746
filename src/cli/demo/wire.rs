//! One HTTP client, for visitors and networks alike: a connection that is kept, one request at a time.
//!
//! Keeps: an answer is bounded in size and in time; a connection that the server has closed is opened again.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the daemon may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer, head and body.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Header lines of an answer.
const HEADERS_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Wire {
    address: SocketAddr,
    stream: Option<TcpStream>,
    /// Answers so far.
    pub(super) answered: u64,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    closes: bool,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(of, _)| of.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Wire {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, answered: 0 }
    }

    /// Asks for a target.
    ///
    /// # Errors
    /// What the system says, or that the answer is none.
    pub(super) fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
        let mut request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n", self.address);
        headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
        request.push_str("\r\n");
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                stream
            }
        };
        stream.write_all(request.as_bytes())?;
        let answer = read(&mut stream)?;
        self.answered += 1;
        if !answer.closes {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

fn read(stream: &mut TcpStream) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(answer) = parse(&bytes)? {
            return Ok(answer);
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(piece.get(..read).unwrap_or_default()),
        }
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other("an answer that is too long"));
        }
    }
}

/// The answer, once it is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = head.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
        .collect();
    let mut answer = Answer { status: head.code.unwrap_or(0), headers, closes: false };
    answer.closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let body = answer.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    Ok((bytes.len() >= end.saturating_add(body)).then_some(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_when_it_is_whole() {
        let whole =
            b"HTTP/1.1 302 Found\r\nLocation: /to\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]).unwrap(), None, "cut at {end}");
        }
        let answer = parse(whole).unwrap().unwrap();
        assert_eq!((answer.status, answer.header("location"), answer.closes), (302, Some("/to"), true));
    }
}
