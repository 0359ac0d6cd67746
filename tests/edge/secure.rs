//! Servers with certificates, and clients inside TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use clicklog::config::{Listen, ListenTls, Settings};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::certificates::{Authority, Flaw, Identity};
use crate::client::{Connection, Stream, connect};
use crate::server::{CATALOG, Server};

/// The name that most tests ask for.
pub(crate) const NAME: &str = "trk.example";

/// An authority, and what it has issued, as files.
pub(crate) struct Files {
    pub(crate) authority: Authority,
    folder: TempDir,
}

/// A stream inside TLS.
pub(crate) type Inside = StreamOwned<ClientConnection, TcpStream>;

impl Stream for Inside {
    fn finish(&mut self) {
        self.conn.send_close_notify();
        self.flush().unwrap();
    }
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self { authority: Authority::new(), folder: tempfile::tempdir().unwrap() };
        files.put("first", NAME);
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Issues a certificate for a name, and puts it where the server looks.
    pub(crate) fn put(&self, file: &str, name: &str) -> Identity {
        let identity = self.authority.issue(name, Flaw::None);
        self.write(&format!("{file}.crt"), &pem("CERTIFICATE", &identity.certificate));
        self.write(&format!("{file}.key"), &pem("PRIVATE KEY", &identity.key));
        identity
    }

    /// What is shown by the names in it.
    pub(crate) fn by_name(&self) -> ListenTls {
        ListenTls { folder: self.folder.path().to_owned(), ..ListenTls::default() }
    }

    /// What is shown to everybody.
    pub(crate) fn to_all(&self) -> ListenTls {
        let (certificate, key) = (self.path("first.crt"), self.path("first.key"));
        ListenTls { certificate, key, ..ListenTls::default() }
    }

    /// Who believes this authority.
    pub(crate) fn client(&self) -> ClientConfig {
        self.client_of(&[&TLS12, &TLS13], None)
    }

    pub(crate) fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.der.clone())).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = vec![CertificateDer::from(identity.certificate.clone())];
                let key = PrivateKeyDer::try_from(identity.key.clone()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }

    /// A daemon that shows `tls` on its first listener and speaks plain http on its second.
    pub(crate) fn serve(&self, tls: ListenTls) -> Server {
        self.serve_with(CATALOG, tls, |_| {})
    }

    pub(crate) fn serve_with(
        &self,
        catalog: &str,
        tls: ListenTls,
        change: impl Fn(&mut Settings) + Send + Sync + 'static,
    ) -> Server {
        Server::with(catalog, move |settings| {
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            settings.edge.listen = vec![Listen::https(address, tls.clone()), Listen::http(address)];
            change(settings);
        })
    }

    /// A connection over HTTP/1.1 to a server that shows this name.
    pub(crate) fn open(&self, server: &Server) -> Connection {
        Connection::over(shake(server.address(), NAME, Arc::new(self.client())).unwrap())
    }
}

/// A file's text.
pub(crate) fn pem(kind: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
}

/// Shakes hands, and waits until the server has done so too.
pub(crate) fn shake(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> io::Result<Inside> {
    shake_over(connect(address), name, config)
}

pub(crate) fn shake_over(mut stream: TcpStream, name: &str, config: Arc<ClientConfig>) -> io::Result<Inside> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// What the server refuses a handshake with, early or late.
pub(crate) fn refusal(address: SocketAddr, name: &str, config: ClientConfig) -> String {
    let told = shake(address, name, Arc::new(config)).and_then(|mut inside| inside.read(&mut [0; 16]));
    told.unwrap_err().to_string()
}
