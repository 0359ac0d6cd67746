//! The beginning of a TLS connection, up to where requests can come.
//!
//! In: an accepted stream, and what its listener shows. Out: the stream inside TLS, which version of HTTP was agreed on, and
//! what there is to know about the peer; or nothing, counted by its reason.
//! Keeps: one deadline over all of it; a name that nobody serves is refused as such before any signature is made; whoever
//! speaks plain HTTP is told so.
//! Not here: which certificate is whose (`tls`), whether a request asks for the name that was shown (`worker`).

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::rustls::{self, HandshakeKind, ProtocolVersion};
use tokio_rustls::server::TlsStream;

use super::challenges::{self, Challenges};
use super::connection::farewell;
use super::counts::Ticket;
use super::opening::{Unopened, open};
use super::outcome::Outcome;
use super::tls::{Identity, Tls};
use super::worker::{Word, Worker};

/// `unrecognized_name`, fatal (RFC 6066, 3). The library's own refusal would be a general one.
const UNKNOWN_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
const PLAIN_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 24\r\nconnection: close\r\n\r\nthis port speaks https.\n";
const ALPN_HTTP2: &[u8] = b"h2";

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// What is known of a peer behind TLS.
#[derive(Debug)]
pub(super) struct Secured {
    /// The name that it asked for.
    name: Option<Box<str>>,
    /// What it was shown.
    identity: Arc<Identity>,
    /// Whether it showed a certificate, which was then a right one.
    pub(super) has_certificate: bool,
}

impl Secured {
    /// Whether requests for this host may come here: for the name that was asked for, and others of its certificate, because
    /// browsers use one connection for all of them (RFC 9113, 9.1.1). Whoever asked for no name contradicts nothing.
    pub(super) fn serves(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let Some(name) = &self.name else { return true };
        name.eq_ignore_ascii_case(host) || self.identity.covers(host)
    }
}

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// Why a handshake failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Failure {
            $($(#[$doc])* $name,)*
        }

        impl Failure {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in metrics.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

failures! {
    /// It was not complete in time.
    Timeout = "timeout",
    /// It made room for somebody else before it was complete.
    GivenUp = "given_up",
    /// The peer went away, or had said nothing yet when the edge stopped.
    Closed = "closed",
    /// The peer spoke HTTP without TLS.
    PlainHttp = "plain_http",
    /// What came is no TLS.
    Garbled = "garbled",
    /// The peer asked for a name that nobody serves.
    UnknownName = "unknown_name",
    /// There is no version, cipher or protocol that both know.
    Incompatible = "incompatible",
    /// The peer's certificate is missing or wrong.
    ClientCertificate = "client_certificate",
    /// The peer did not like what it was shown.
    Refused = "refused",
    /// Something else.
    Other = "other",
}

/// Shakes hands.
pub(super) async fn shake(
    worker: &Rc<Worker>,
    stream: TcpStream,
    tls: &Tls,
    word: watch::Receiver<Word>,
) -> Option<(TlsStream<TcpStream>, Protocol, Secured)> {
    let options = &worker.shared.options;
    let has_spoken = Cell::new(false);
    let work = try_shake(stream, tls, &options.challenges, &has_spoken);
    let shaken = open(worker, word, options.timeouts.handshake, &has_spoken, work).await;
    let (failure, plain) = match shaken {
        // It has seen what it came for.
        Ok(Ok(None)) => return None,
        Ok(Ok(Some((stream, secured)))) => {
            let (_, connection) = stream.get_ref();
            let is_new = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
            let is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
            worker.counts().shaken(is_new, is_resumed);
            let is_http2 = connection.alpn_protocol() == Some(ALPN_HTTP2);
            let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
            return Some((stream, protocol, secured));
        }
        Ok(Err((failure, plain))) => (failure, plain),
        Err(Unopened::Late) => (Failure::Timeout, None),
        Err(Unopened::GivenUp) => (Failure::GivenUp, None),
        Err(Unopened::Stopped) => (Failure::Closed, None),
    };
    worker.counts().not_shaken(failure);
    if let Some(plain) = plain {
        // It is a request, if no good one.
        Ticket::take(Rc::clone(worker)).end(Outcome::Malformed);
        farewell(&worker.shared.clock, plain, PLAIN_ANSWER).await;
    }
    None
}

/// Why it failed, and the stream of whoever is to be told without TLS.
type Failed = (Failure, Option<TcpStream>);

/// Nothing for an authority, which only wants to see a certificate.
async fn try_shake(
    stream: TcpStream,
    tls: &Tls,
    challenges: &Challenges,
    has_spoken: &Cell<bool>,
) -> Result<Option<(TlsStream<TcpStream>, Secured)>, Failed> {
    let failed = |error: io::Error| (reason(&error), None);
    let mut first = [0];
    if stream.peek(&mut first).await.map_err(failed)? == 0 {
        return Err((Failure::Closed, None));
    }
    has_spoken.set(true);
    if first[0].is_ascii_alphabetic() {
        return Err((Failure::PlainHttp, Some(stream)));
    }
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(failed)?;
    // A full stop behind it says no more (RFC 6066, 3).
    let bare = |name: &str| Box::from(name.strip_suffix('.').unwrap_or(name));
    let name: Option<Box<str>> = start.client_hello().server_name().map(bare);
    let is_challenge =
        start.client_hello().alpn().is_some_and(|mut all| all.any(|one| one == challenges::ALPN));
    let challenge = name.as_deref().filter(|_| is_challenge).and_then(|name| challenges.for_name(name));
    if let Some(config) = challenge {
        let mut stream = start.into_stream(config).await.map_err(failed)?;
        challenges.note_seen();
        let _closed = stream.shutdown().await;
        return Ok(None);
    }
    let Some(site) = tls.site(name.as_deref()) else {
        let _told = start.io.write_all(&UNKNOWN_NAME).await;
        let _closed = start.io.shutdown().await;
        return Err((Failure::UnknownName, None));
    };
    let stream = start.into_stream(site.config).await.map_err(failed)?;
    let has_certificate = stream.get_ref().1.peer_certificates().is_some();
    Ok(Some((stream, Secured { name, identity: site.identity, has_certificate })))
}

fn reason(error: &io::Error) -> Failure {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return Failure::Closed;
    };
    match error {
        rustls::Error::AlertReceived(_) => Failure::Refused,
        rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_) => {
            Failure::ClientCertificate
        }
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Failure::Incompatible,
        rustls::Error::InvalidMessage(_)
        | rustls::Error::InappropriateMessage { .. }
        | rustls::Error::InappropriateHandshakeMessage { .. }
        | rustls::Error::PeerMisbehaved(_)
        | rustls::Error::PeerSentOversizedRecord
        | rustls::Error::DecryptError => Failure::Garbled,
        _ => Failure::Other,
    }
}
