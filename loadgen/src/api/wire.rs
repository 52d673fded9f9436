// SPDX-License-Identifier: Apache-2.0
//! Connections as a raw client has them: hyper over rustls, HTTP/1.1 kept alive, or HTTP/2 where many streams are natural.

use crate::error::Error;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Bytes that may be on their way to us on an HTTP/2 connection, and on a stream of it.
const WINDOW: (u32, u32) = (8 << 20, 1 << 20);

/// Who one is.
#[derive(Clone)]
pub enum Identity {
    /// A bearer token.
    Token(String),
    /// A certificate and its key, as PEM.
    Certificate {
        /// The certificate.
        certificate: Vec<u8>,
        /// The key.
        key: Vec<u8>,
    },
    /// Nobody.
    Nobody,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(..)",
            Self::Certificate { .. } => "Certificate(..)",
            Self::Nobody => "Nobody",
        })
    }
}

/// The protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, kept alive.
    One,
    /// HTTP/2.
    Two,
}

/// Where a server is, and as whom to enter.
#[derive(Debug, Clone)]
pub struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authority: String,
    name: ServerName<'static>,
    one: Arc<ClientConfig>,
    two: Arc<ClientConfig>,
    authorization: Option<HeaderValue>,
}

impl Door {
    /// The server at `authority` (`HOST:PORT`), which shows a certificate of `ca`.
    pub fn new(authority: &str, ca: &[u8], identity: &Identity) -> Result<Self, Error> {
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host)
            .map_err(|error| Error::Api(format!("{authority} is no address: {error}")))?;
        let authorization = match identity {
            Identity::Token(token) => Some(bearer(token)?),
            Identity::Certificate { .. } | Identity::Nobody => None,
        };
        let config = client_config(ca, identity)?;
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(Self(Arc::new(Inner {
            authority: authority.to_owned(),
            name,
            one: speaking(b"http/1.1"),
            two: speaking(b"h2"),
            authorization,
        })))
    }

    /// Opens a connection.
    pub async fn open(&self, protocol: Protocol) -> Result<Wire, Error> {
        let config = match protocol {
            Protocol::One => &self.0.one,
            Protocol::Two => &self.0.two,
        };
        let stream = self.dial(config).await.map_err(|source| {
            let address = self.0.authority.clone();
            Error::Dial { address, source }
        })?;
        let failed = |source| Error::Http {
            what: format!("no HTTP is spoken at {}", self.0.authority),
            source,
        };
        let io = TokioIo::new(stream);
        let sender = match protocol {
            Protocol::One => {
                let (sender, connection) = http1::handshake(io).await.map_err(failed)?;
                tokio::spawn(connection);
                Sender::One(sender)
            }
            Protocol::Two => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.initial_connection_window_size(WINDOW.0);
                builder.initial_stream_window_size(WINDOW.1);
                let (sender, connection) = builder.handshake(io).await.map_err(failed)?;
                tokio::spawn(connection);
                Sender::Two(sender)
            }
        };
        Ok(Wire { sender, door: self.clone() })
    }

    /// Opens so many.
    pub async fn open_all(&self, protocol: Protocol, count: usize) -> Result<Vec<Wire>, Error> {
        let mut wires = Vec::with_capacity(count);
        for _ in 0..count {
            wires.push(self.open(protocol).await?);
        }
        Ok(wires)
    }

    async fn dial(&self, config: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&self.0.authority).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(config));
        connector.connect(self.0.name.clone(), stream).await
    }
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| Error::Api("the token is no text for a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn client_config(ca: &[u8], identity: &Identity) -> Result<ClientConfig, Error> {
    let general = |error: &dyn std::fmt::Display| {
        Error::Tls(tokio_rustls::rustls::Error::General(error.to_string()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        let certificate = certificate.map_err(|error| general(&error))?;
        roots.add(certificate).map_err(Error::Tls)?;
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_root_certificates(roots);
    match identity {
        Identity::Certificate { certificate, key } => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
            let chain = chain.map_err(|error| general(&error))?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| general(&error))?;
            builder.with_client_auth_cert(chain, key).map_err(Error::Tls)
        }
        Identity::Token(_) | Identity::Nobody => Ok(builder.with_no_client_auth()),
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The body, and of which type it is.
    pub body: Option<(&'static str, Bytes)>,
    /// The status that is wanted.
    pub want: StatusCode,
    /// Whether the answer holds many objects; their latencies are kept apart.
    pub many: bool,
}

impl Ask {
    /// Reads one object.
    pub fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: None, want: StatusCode::OK, many: false }
    }

    /// Reads many.
    pub fn list(path: String) -> Self {
        Self { many: true, ..Self::get(path) }
    }

    /// Makes an object.
    pub fn create(path: String, object: Bytes) -> Self {
        let body = Some(("application/json", object));
        Self { method: Method::POST, body, want: StatusCode::CREATED, ..Self::get(path) }
    }

    /// Changes an object.
    pub fn patch(path: String, patch: Bytes) -> Self {
        let body = Some(("application/merge-patch+json", patch));
        Self { method: Method::PATCH, body, ..Self::get(path) }
    }

    /// Removes an object.
    pub fn delete(path: String) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// An open connection.
#[derive(Debug)]
pub struct Wire {
    sender: Sender,
    door: Door,
}

impl Wire {
    /// The same connection once more; of HTTP/2 alone.
    pub fn again(&self) -> Option<Self> {
        match &self.sender {
            Sender::One(_) => None,
            Sender::Two(sender) => {
                Some(Self { sender: Sender::Two(sender.clone()), door: self.door.clone() })
            }
        }
    }

    /// Sends a request, and returns its answer when its head is there. The status is checked.
    pub async fn open(&mut self, ask: &Ask) -> Result<Response<Incoming>, Error> {
        let failed = |source| Error::Http { what: told(ask), source };
        let request = self.request(ask)?;
        let answer = match &mut self.sender {
            Sender::One(sender) => {
                sender.ready().await.map_err(failed)?;
                sender.send_request(request).await
            }
            Sender::Two(sender) => {
                sender.ready().await.map_err(failed)?;
                sender.send_request(request).await
            }
        };
        let answer = answer.map_err(failed)?;
        if answer.status() == ask.want {
            return Ok(answer);
        }
        let status = answer.status();
        let said = answer.into_body().collect().await.map_err(failed)?.to_bytes();
        let said: String = String::from_utf8_lossy(&said).chars().take(400).collect();
        Err(Error::Api(format!("{} was answered by {status}: {said}", told(ask))))
    }

    /// Sends a request and reads the answer whole.
    pub async fn send(&mut self, ask: &Ask) -> Result<Bytes, Error> {
        let answer = self.open(ask).await?;
        let whole = answer.into_body().collect().await;
        whole.map(Collected::to_bytes).map_err(|source| Error::Http { what: told(ask), source })
    }

    /// Sends a request and counts the answer's bytes as they come.
    pub async fn drain(&mut self, ask: &Ask) -> Result<u64, Error> {
        let mut body = self.open(ask).await?.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|source| Error::Http { what: told(ask), source })?;
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(bytes)
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, Error> {
        let door = &self.door.0;
        let builder = Request::builder().method(&ask.method).header(ACCEPT, "application/json");
        let mut builder = match self.sender {
            Sender::One(_) => builder.uri(&ask.path).header(HOST, &door.authority),
            Sender::Two(_) => builder.uri(format!("https://{}{}", door.authority, ask.path)),
        };
        if let Some(value) = &door.authorization {
            builder = builder.header(AUTHORIZATION, value);
        }
        let body = match &ask.body {
            Some((media, bytes)) => {
                builder = builder.header(CONTENT_TYPE, *media);
                bytes.clone()
            }
            None => Bytes::new(),
        };
        let request = builder.body(Full::new(body));
        request.map_err(|error| Error::Api(format!("{} is no request: {error}", told(ask))))
    }
}

/// A request in words.
fn told(ask: &Ask) -> String {
    format!("{} {}", ask.method, ask.path)
}
