//! Asks a running daemon: one request on its admin listener, one answer.
//!
//! In: where it listens and which token it takes, from the settings or flags. Out: status and body.
//! Keeps: the token goes to that address only and is never shown; what comes back is bounded in size and time.
//! Not here: TLS, redirects, connections that are kept: it is for the loopback.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::clock::Clock;
use crate::config::{self, Flag, Settings};
use crate::serve;

/// How long the daemon may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer, head and body.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Header lines of an answer.
const HEADERS_MAX: usize = 64;
/// Bytes of a token's file: what is longer is some other file.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Where the daemon is, on the command line.
#[derive(Debug, Args)]
pub(super) struct Given {
    /// Settings file
    #[arg(long, value_name = "FILE", env = "CLICKLOG_CONFIG")]
    config: Option<PathBuf>,
    /// Address that it listens at for operators [default: 127.0.0.1:9101]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Data folder [default: clicklog-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// File that holds the admin token [default: CLICKLOG_ADMIN_TOKEN, or admin-token in the data folder]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Given {
    /// What the daemon's settings are, as far as this process can tell.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        // As a server prints it, and people copy it.
        let admin = self.admin.as_deref().map(|text| text.strip_prefix("http://").unwrap_or(text));
        let admin = admin.map(|text| text.trim_end_matches('/').to_owned());
        let given = [("--admin", ("admin", "listen"), &admin), ("--data", ("store", "data"), &self.data)];
        let flags: Vec<Flag> = given
            .into_iter()
            .filter_map(|(name, key, value)| Some(Flag { name, key, value: value.clone()? }))
            .collect();
        let loaded = config::load(self.config.as_deref(), config::variables(), &flags);
        Ok(loaded.map_err(Failure::configuration)?.settings)
    }

    /// Who to ask, and as whom.
    pub(super) fn client(&self, settings: &Settings) -> Result<Client, Failure> {
        let token = match &self.token_file {
            Some(path) => token_in(path)?,
            None => match settings.admin_token(&config::environment).map_err(Failure::configuration)? {
                Some(secret) => secret.reveal().to_owned(),
                None => token_in(&settings.store.data.join(serve::TOKEN_FILE))?,
            },
        };
        Client::new(reachable(settings.admin.listen), token)
    }
}

fn token_in(path: &std::path::Path) -> Result<String, Failure> {
    let read = || {
        let mut text = String::new();
        std::fs::File::open(path)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map(|_| text)
    };
    match read() {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => Err(Failure::new(format!("{} holds no token", path.display()))
            .advise("the daemon makes one there when it starts; --token-file says another place")),
        Err(error) => {
            let failure =
                Failure::system(format!("cannot read the admin token in {}", path.display()), &error);
            Err(match error.kind() {
                std::io::ErrorKind::NotFound => failure.advise(
                    "the daemon makes it in its data folder when it starts (`clicklog serve`): name that folder with --data, \
                     the file with --token-file, or set CLICKLOG_ADMIN_TOKEN",
                ),
                _ => failure,
            })
        }
    }
}

/// How this machine reaches an address that is listened at.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        ip if ip.is_ipv4() => std::net::Ipv4Addr::LOCALHOST.into(),
        _ => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// See the module.
pub(super) struct Client {
    address: SocketAddr,
    token: String,
    timeout: Duration,
    clock: Clock,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What the daemon said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Client {
    pub(super) fn new(address: SocketAddr, token: String) -> Result<Self, Failure> {
        // It goes into a header: nothing in it may end that.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::new("the admin token has characters that no header can hold"));
        }
        Ok(Self { address, token, timeout: TIMEOUT, clock: Clock::System })
    }

    /// The same, with more or less patience.
    pub(super) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Asks, and takes any answer.
    pub(super) fn ask(&self, method: &str, target: &str, body: &[u8]) -> Result<Answer, Failure> {
        self.exchange(method, target, body).map_err(|problem| {
            let advice = "is it running (`clicklog serve`), and is that its operators' address, which it prints at its \
                          start? --admin says another";
            Failure::new(format!("cannot ask the daemon at {}: {problem}", self.address)).advise(advice)
        })
    }

    /// Asks; an answer that is no success is a failure with its text.
    pub(super) fn expect(&self, method: &str, target: &str, body: &[u8]) -> Result<String, Failure> {
        let answer = self.ask(method, target, body)?;
        match answer.status {
            200..=299 => Ok(answer.body),
            401 => Err(Failure::new(format!("the daemon at {} does not take this token", self.address)).advise(
                "it takes the one in admin-token in its data folder, unless it was given another: name that folder with \
                 --data, a file with --token-file, or set CLICKLOG_ADMIN_TOKEN",
            )),
            status => {
                let failure =
                    Failure::new(format!("the daemon at {} answered {status}: {}", self.address, said(&answer.body)));
                // What operators ask for is there, or its refusal is JSON.
                let is_strange = status == 404 && !answer.body.starts_with('{');
                Err(if is_strange {
                    failure.advise("is that its operators' address, which it prints at its start? --admin says another")
                } else {
                    failure
                })
            }
        }
    }

    fn exchange(&self, method: &str, target: &str, body: &[u8]) -> Result<Answer, String> {
        let problem = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => self.late(),
            _ => error.to_string(),
        };
        let began = self.clock.monotonic();
        let mut stream = TcpStream::connect_timeout(&self.address, self.timeout).map_err(problem)?;
        stream.set_write_timeout(Some(self.timeout)).map_err(problem)?;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n",
            self.address,
            self.token,
            body.len()
        );
        stream.write_all(head.as_bytes()).map_err(problem)?;
        // A daemon that refuses the head does not read the body; its answer is there all the same.
        let sent = stream.write_all(body);
        let mut bytes = Vec::new();
        let mut piece = [0; 16 * 1024];
        loop {
            if let Some(answer) = parse(&bytes, false)? {
                return Ok(answer);
            }
            let left = self.timeout.saturating_sub(self.clock.monotonic().saturating_sub(began));
            if left.is_zero() {
                return Err(self.late());
            }
            stream.set_read_timeout(Some(left)).map_err(problem)?;
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => bytes.extend_from_slice(piece.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(sent.err().map_or_else(|| problem(error), |error| error.to_string()));
                }
            }
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(format!("its answer is longer than {ANSWER_BYTES_MAX} bytes"));
            }
        }
        parse(&bytes, true)?.ok_or_else(|| "it closed the connection before its answer was whole".to_owned())
    }

    fn late(&self) -> String {
        format!("it did not answer within {} s", self.timeout.as_secs())
    }
}

/// The answer, once it is whole; `is_ended` is what ends a body that does not say its length.
fn parse(bytes: &[u8], is_ended: bool) -> Result<Option<Answer>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let end = match head.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("its answer is no HTTP: {error}")),
    };
    let named = |name: &str| head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    if named("transfer-encoding").is_some() {
        return Err("its answer is in pieces, which the admin listener never sends".to_owned());
    }
    let body = bytes.get(end..).unwrap_or_default();
    let body = match named("content-length") {
        Some(header) => {
            let len = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
            let len: usize = len.ok_or("its answer has a length that is no number")?;
            match body.get(..len) {
                Some(body) => body,
                None => return Ok(None),
            }
        }
        None if is_ended => body,
        None => return Ok(None),
    };
    let body = String::from_utf8(body.to_vec()).map_err(|_| "its answer is not UTF-8")?;
    Ok(head.code.map(|status| Answer { status, body }))
}

/// The text of a refusal: the `error` of a JSON answer, or all of it.
fn said(body: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let error = json.as_ref().and_then(|json| json.get("error")?.as_str());
    error.unwrap_or(body).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection with these bytes; gives what was asked.
    fn once(answer: &'static str) -> (Client, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = Client::new(listener.local_addr().unwrap(), "hush".to_owned()).unwrap();
        client.timeout = Duration::from_secs(30);
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
            let (mut asked, mut line) = (String::new(), String::new());
            while reader.read_line(&mut line).unwrap() > 2 {
                asked.push_str(&line);
                line.clear();
            }
            let len = asked.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            let mut body = vec![0; len.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            asked.push_str(&String::from_utf8(body).unwrap());
            // In two pieces: an answer need not come whole.
            let (first, second) = answer.as_bytes().split_at(answer.len() / 2);
            stream.write_all(first).unwrap();
            stream.flush().unwrap();
            stream.write_all(second).unwrap();
            asked
        });
        (client, thread)
    }

    #[test]
    fn an_answer_is_taken_by_its_length_or_to_the_end() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay", Ok((200, "ok"))),
            ("HTTP/1.1 404 Not Found\r\n\r\nno such thing\n", Ok((404, "no such thing\n"))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", Err("before its answer was whole")),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok", Err("a length that is no number")),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Err("in pieces")),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", Err("no HTTP")),
            ("", Err("before its answer was whole")),
        ] {
            let (client, thread) = once(answer);
            let answered = client.ask("POST", "/x", b"{}");
            let asked = thread.join().unwrap();
            assert!(asked.starts_with("POST /x HTTP/1.1\r\n") && asked.ends_with("{}"), "{asked}");
            assert!(asked.contains("\r\nAuthorization: Bearer hush\r\n"), "{asked}");
            match (answered, expected) {
                (Ok(answered), Ok((status, body))) => {
                    assert_eq!((answered.status, &*answered.body), (status, body), "{answer}");
                }
                (Err(failure), Err(part)) => {
                    assert!(failure.text.contains(part), "{answer}: {}", failure.text);
                }
                (answered, _) => panic!("{answer}: {answered:?}"),
            }
        }
    }

    #[test]
    fn a_token_that_would_end_its_header_is_refused_and_none_is_ever_shown() {
        let address = "127.0.0.1:1".parse().unwrap();
        assert!(Client::new(address, "a\r\nX: b".to_owned()).is_err());
        let client = Client::new(address, "hush".to_owned()).unwrap();
        assert!(!format!("{client:?}").contains("hush"));
    }

    #[test]
    fn a_refusal_is_told_in_its_own_words() {
        assert_eq!(said("{\"error\":\"it is not held\"}"), "it is not held");
        assert_eq!(said("Not Found\n"), "Not Found");
    }
}
