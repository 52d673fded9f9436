// SPDX-License-Identifier: Apache-2.0
//! A cluster behind a listener of the loopback, with a CA of its own, and clients of both versions of HTTP.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it; a connection that cannot be made is a failure of the test"
)]

use crate::kit::Cluster;
use berth_cluster_apiserver::{Builder, Listener, Listening, Times};
use berth_cluster_auth::pki::{Options, Pair, Pki};
use berth_cluster_json::Value;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Far more than anything here takes: without it a test that hangs would hang for ever.
const HANG: Duration = Duration::from_mins(1);
/// Protocols that a client offers.
pub const OLD: &[&[u8]] = &[b"http/1.1"];
pub const NEW: &[&[u8]] = &[b"h2"];

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The real time: certificates are held against it.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A cluster behind a listener, and its CA.
pub struct Place {
    pub cluster: Cluster,
    pub pki: Pki,
    pub folder: tempfile::TempDir,
    pub listening: Listening,
    pub address: SocketAddr,
}

impl Place {
    pub async fn new() -> Self {
        Self::with(Times::default(), |builder| builder).await
    }

    /// One with other times, and of which a test wants something else than the default.
    pub async fn with(times: Times, change: impl FnOnce(Builder) -> Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &Options::default(), now()).unwrap();
        let store = berth_cluster_store::Store::memory(berth_cluster_store::Options::default());
        let cluster = Cluster::with(store, change).await;
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.address();
        let listening =
            listener.times(times).serve(cluster.server.clone(), pki.server_config().unwrap());
        Self { cluster, pki, folder, listening, address }
    }

    pub fn admin(&self) -> Pair {
        self.pki.admin(now()).unwrap()
    }

    /// TLS of a client that trusts this CA, with a certificate or without.
    pub fn client(&self, pair: Option<&Pair>, protocols: &[&[u8]]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pki.ca_pem().as_bytes()).unwrap()).unwrap();
        let provider = tokio_rustls::rustls::crypto::ring::default_provider();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate.unwrap()], key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
        config
    }

    pub async fn connect(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await
    }

    /// One request over a connection of its own: the status, and the answer.
    pub async fn ask(&self, config: ClientConfig, path: &str) -> Result<(u16, Value), Failure> {
        let stream = self.connect(config).await?;
        let mut client = Client::new(stream).await?;
        client.get(path).await
    }

    /// The same, by somebody with this certificate.
    pub async fn status(&self, pair: &Pair, path: &str) -> Result<(u16, Value), Failure> {
        self.ask(self.client(Some(pair), NEW), path).await
    }
}

/// A connection, in the version of HTTP that was agreed upon.
pub enum Client {
    Old(http1::SendRequest<Full<Bytes>>),
    New(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    pub async fn new(stream: TlsStream<TcpStream>) -> Result<Self, Failure> {
        let new = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        Ok(if new {
            let (sender, connection) =
                http2::Builder::new(TokioExecutor::new()).handshake(stream).await?;
            tokio::spawn(connection);
            Self::New(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Self::Old(sender)
        })
    }

    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<http::Response<hyper::body::Incoming>, Failure> {
        let uri = match self {
            Self::Old(_) => path.to_owned(),
            Self::New(_) => format!("https://localhost{path}"),
        };
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_owned())))?;
        Ok(match self {
            Self::Old(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::New(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }

    pub async fn get(&mut self, path: &str) -> Result<(u16, Value), Failure> {
        let answer = self.send("GET", path, "").await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

/// A test with a bound: it may fail, it may not hang.
pub async fn bounded(test: impl Future<Output = ()>) {
    tokio::time::timeout(HANG, test).await.expect("it hangs");
}
