//! Where an answer ends, and whether the next one can follow on the same connection.
//!
//! In: bytes of a connection as they come, cut anywhere. Out: one `Answer` for each request, in order.
//! Keeps: nothing of a body; it is counted off and dropped. Of the head the `Location`, if that is wanted.
//! Refuses: what is no HTTP/1.x answer, two lengths that differ, a length beside chunks, a switch of protocols.
//! Not here: which request an answer is for; the connection knows their order.

use std::mem::MaybeUninit;

/// Header lines of an answer. More than a sound server sends.
const HEADERS_MAX: usize = 64;

/// What is kept of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The peer will read another request on this connection.
    pub(super) keeps_alive: bool,
}

/// The bytes are not an HTTP/1.x answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads the answers of one connection.
#[derive(Debug)]
pub(super) struct Parser {
    at: At,
    answer: Answer,
    /// Requests are HEAD, whose answers have no body whatever their length says.
    is_head: bool,
    /// The `Location` of a 302, if it is wanted.
    location: Option<Vec<u8>>,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum At {
    Head,
    /// So many bytes, then the answer is complete.
    Body(u64),
    ChunkSize,
    /// So many bytes, then a line end and the next size.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// A body without a length: all until the peer closes.
    Rest,
}

impl Parser {
    pub(super) fn new(is_head: bool, wants_location: bool) -> Self {
        let answer = Answer { status: 0, keeps_alive: false };
        Self { at: At::Head, answer, is_head, location: wants_location.then(Vec::new) }
    }

    /// Where the answer that `take` gave last sends the visitor, if that was a 302 and somebody wants to know.
    pub(super) fn location(&self) -> Option<&[u8]> {
        self.location.as_deref().filter(|location| !location.is_empty())
    }

    /// Takes as much of `bytes` as is understood, up to the end of one answer: how many, and the answer if that is
    /// complete. What was not taken must come again with more behind it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Answer>), Malformed> {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            let step = match self.at {
                At::Head => self.head(rest)?,
                At::Body(0) => {
                    self.at = At::Head;
                    return Ok((used, Some(self.answer)));
                }
                At::Body(left) => self.count_off(rest, left, At::Body),
                At::Chunk(0) => {
                    self.at = At::ChunkEnd;
                    Some(0)
                }
                At::Chunk(left) => self.count_off(rest, left, At::Chunk),
                At::ChunkEnd => self.chunk_end(rest)?,
                At::ChunkSize => self.chunk_size(rest)?,
                At::Trailer => self.trailer(rest),
                At::Rest => (!rest.is_empty()).then_some(rest.len()),
            };
            match step {
                Some(len) => used += len,
                None => return Ok((used, None)),
            }
        }
    }

    /// The peer has closed: the answer that this completes, if it does.
    pub(super) fn end(&self) -> Option<Answer> {
        matches!(self.at, At::Rest).then_some(self.answer)
    }

    fn head(&mut self, rest: &[u8]) -> Result<Option<usize>, Malformed> {
        if rest.is_empty() {
            return Ok(None);
        }
        let mut headers = [MaybeUninit::uninit(); HEADERS_MAX];
        let mut head = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let len = match config.parse_response_with_uninit_headers(&mut head, rest, &mut headers) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed),
        };
        let status = head.code.ok_or(Malformed)?;
        let framing = Framing::read(head.headers, head.version == Some(1))?;
        self.answer = Answer { status, keeps_alive: framing.keeps_alive };
        self.at = match status {
            // Nobody asked for another protocol, and of the others there are none.
            ..100 | 101 | 600.. => return Err(Malformed),
            // An answer before the answer.
            100..=199 => At::Head,
            204 | 304 => At::Body(0),
            _ if self.is_head => At::Body(0),
            _ if framing.is_chunked => At::ChunkSize,
            _ => framing.length.map_or(At::Rest, At::Body),
        };
        if matches!(self.at, At::Rest) {
            self.answer.keeps_alive = false;
        }
        if let Some(kept) = &mut self.location {
            kept.clear();
            let is_it = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case("location");
            let location = head.headers.iter().find(is_it).filter(|_| status == 302);
            kept.extend_from_slice(location.map_or(b"", |header| header.value));
        }
        Ok(Some(len))
    }

    fn count_off(&mut self, rest: &[u8], left: u64, at: fn(u64) -> At) -> Option<usize> {
        let len = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        self.at = at(left - len as u64);
        (len > 0).then_some(len)
    }

    fn chunk_size(&mut self, rest: &[u8]) -> Result<Option<usize>, Malformed> {
        match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((len, size))) => {
                self.at = if size == 0 { At::Trailer } else { At::Chunk(size) };
                Ok(Some(len))
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Err(_) => Err(Malformed),
        }
    }

    fn chunk_end(&mut self, rest: &[u8]) -> Result<Option<usize>, Malformed> {
        if rest.starts_with(b"\r\n") {
            self.at = At::ChunkSize;
            return Ok(Some(2));
        }
        if b"\r\n".starts_with(rest) { Ok(None) } else { Err(Malformed) }
    }

    fn trailer(&mut self, rest: &[u8]) -> Option<usize> {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        if matches!(rest.get(..end), Some(b"" | b"\r")) {
            self.at = At::Body(0);
        }
        Some(end + 1)
    }
}

/// What the headers say of the body and of the connection.
#[derive(Clone, Copy, Debug)]
struct Framing {
    length: Option<u64>,
    is_chunked: bool,
    keeps_alive: bool,
}

impl Framing {
    fn read(headers: &[httparse::Header<'_>], is_http_1_1: bool) -> Result<Self, Malformed> {
        let mut framing = Self { length: None, is_chunked: false, keeps_alive: is_http_1_1 };
        let mut is_encoded = false;
        for header in headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                let length = length(header.value)?;
                if framing.length.is_some_and(|other| other != length) {
                    return Err(Malformed);
                }
                framing.length = Some(length);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                is_encoded = true;
                framing.is_chunked = words(header.value).last().is_some_and(|word| is(word, "chunked"));
            } else if header.name.eq_ignore_ascii_case("connection") {
                for word in words(header.value) {
                    if is(word, "close") {
                        framing.keeps_alive = false;
                    } else if is(word, "keep-alive") {
                        framing.keeps_alive = true;
                    }
                }
            }
        }
        // Two ways to find the end of a body are one too many: a cache before us would take the other.
        if is_encoded && framing.length.is_some() { Err(Malformed) } else { Ok(framing) }
    }
}

fn length(value: &[u8]) -> Result<u64, Malformed> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(Malformed)
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All answers in `stream`, which comes in pieces that end at `cuts`.
    fn read(stream: &[u8], cuts: &[usize], is_head: bool) -> Result<Vec<(u16, bool)>, Malformed> {
        let mut parser = Parser::new(is_head, false);
        let (mut found, mut start) = (Vec::new(), 0);
        for end in cuts.iter().copied().chain([stream.len()]) {
            loop {
                let (used, answer) = parser.take(&stream[start..end.max(start)])?;
                start += used;
                match answer {
                    Some(answer) => found.push((answer.status, answer.keeps_alive)),
                    None => break,
                }
            }
        }
        found.extend(parser.end().map(|answer| (answer.status, answer.keeps_alive)));
        Ok(found)
    }

    #[test]
    fn each_way_to_end_an_answer_is_understood() {
        let cases: &[(&str, &[(u16, bool)])] = &[
            ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", &[(302, true)]),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", &[(200, true)]),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", &[]),
            ("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", &[(200, false)]),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", &[(200, false)]),
            ("HTTP/1.0 200 OK\r\nConnection: x, keep-alive\r\nContent-Length: 1\r\n\r\nx", &[(200, true)]),
            ("HTTP/1.1 204 No Content\r\n\r\n", &[(204, true)]),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", &[(304, true)]),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", &[(200, false)]),
            ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n", &[(204, true)]),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nwiki\r\n0\r\nX: y\r\n\r\n",
                &[(200, true)],
            ),
            (
                "HTTP/1.1 200 A\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 404 B\r\nContent-Length: 0\r\n\r\n",
                &[(200, true), (404, true)],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text.as_bytes(), &[], false).as_deref(), Ok(*expected), "{text}");
        }
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let text =
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(read(text, &[], true), Ok(vec![(200, true), (404, true)]));
    }

    #[test]
    fn only_the_location_of_a_302_is_kept() {
        let mut parser = Parser::new(false, true);
        let cases = [(302, Some("/to?id=1")), (301, None), (302, Some("/to?id=1"))];
        for (status, expected) in cases {
            let text = format!("HTTP/1.1 {status} X\r\nlocation: /to?id=1\r\nContent-Length: 0\r\n\r\n");
            parser.take(text.as_bytes()).unwrap();
            assert_eq!(parser.location(), expected.map(str::as_bytes), "{status}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let cases = [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 099 Odd\r\n\r\n",
            "HTTP/1.1 600 Odd\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
        ];
        for text in cases {
            assert_eq!(read(text.as_bytes(), &[], false), Err(Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_changes_nothing(mut cuts in prop::collection::vec(0usize..260, 0..12)) {
            let stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5\r\npedia\r\n0\r\n\r\n\
                HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 3\r\n\r\nabc\
                HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\nthe rest";
            cuts.sort_unstable();
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(stream.len()));
            prop_assert_eq!(
                read(stream, &cuts, false),
                Ok(vec![(200, true), (302, true), (204, true), (200, false)])
            );
        }

        #[test]
        fn garbage_is_taken_or_refused_and_never_more_than_there_is(
            start in "(HTTP/1\\.1 200 OK\r\n(Transfer-Encoding: chunked|Content-Length: [0-9]{1,3})?\r\n\r\n)?",
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let stream = [start.as_bytes(), &bytes].concat();
            if let Ok((used, _)) = Parser::new(false, false).take(&stream) {
                prop_assert!(used <= stream.len());
            }
        }
    }
}
