// SPDX-License-Identifier: Apache-2.0
//! Connections: TLS, HTTP/1.1, and who the client's certificate names.

use crate::certificate::{Certificate, CertificateError, config};
use crate::limits::{CONNECTIONS, DRAIN, HANDSHAKE, HEAD, HEAD_MAX, KEEP_ALIVE};
use crate::pods::Pods;
use crate::server::{Inner, told};
use berth_cluster_auth::certificate;
use berth_cluster_client::Api;
use berth_cluster_docker::Engine;
use berth_cluster_stream::Times;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// How the server is reached, and as what.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; a kubelet at port 10250. Port 0 takes a free one.
    pub address: SocketAddr,
    /// The node's name: rights are rights on its subresources.
    pub node: String,
    /// The certificate that is shown: PEM, for the node's addresses and names.
    pub certificate: String,
    /// Its key: PEM.
    pub key: String,
    /// The CA of clients' certificates: PEM.
    pub client_ca: String,
    /// How long sessions may take.
    pub times: Times,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Its certificates do not do.
    #[error(transparent)]
    Certificate(CertificateError),
    /// The address cannot be had.
    #[error("the agent's server cannot listen at {address}")]
    Address {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// A server that has its place, and takes connections once it is told to.
#[derive(Debug)]
pub struct Server {
    socket: TcpListener,
    address: SocketAddr,
    tls: Arc<ServerConfig>,
    certificate: Arc<Certificate>,
    inner: Arc<Inner>,
    stop: watch::Sender<bool>,
}

/// A server that runs. Dropped, it stops without waiting for anybody.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    certificate: Arc<Certificate>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Takes its place. Rights and tokens are looked up in the API, which needs rights to create `SubjectAccessReviews` and `TokenReviews`:
    /// nodes have them.
    pub async fn bind(
        options: Options,
        pods: Arc<dyn Pods>,
        engine: Engine,
        api: Api,
    ) -> Result<Self, BindError> {
        let Options { address, node, certificate, key, client_ca, times } = options;
        let certificate = Certificate::new(&certificate, &key).map_err(BindError::Certificate)?;
        let certificate = Arc::new(certificate);
        let tls = config(Arc::clone(&certificate), &client_ca).map_err(BindError::Certificate)?;
        let failed = |source| BindError::Address { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let (stop, stopping) = watch::channel(false);
        let inner = Arc::new(Inner::new(pods, engine, (api, &node), times, stopping));
        Ok(Self { socket, address, tls: Arc::new(tls), certificate, inner, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is stopped.
    #[must_use]
    pub fn run(self) -> Serving {
        let Self { socket, address, tls, certificate, inner, stop } = self;
        let task = tokio::spawn(accept(socket, TlsAcceptor::from(tls), inner));
        Serving { address, certificate, stop, task }
    }
}

impl Serving {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that it shows, which can be swapped.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Takes no new connection, ends sessions with their commands, lets other requests end, and returns when all are gone, or the time for
    /// it is over.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the agent's server did not end well");
        }
    }
}

async fn accept(socket: TcpListener, tls: TlsAcceptor, inner: Arc<Inner>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let mut stopping = inner.stopping.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = told(&mut stopping) => break,
            accepted = socket.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, mostly: others have to go first.
                tracing::warn!(%error, "the agent's server cannot take a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("too many connections to the agent's server: one is refused");
            continue;
        };
        let (tls, inner) = (tls.clone(), Arc::clone(&inner));
        tokio::spawn(async move {
            let _place = place;
            let _ = stream.set_nodelay(true);
            let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
            let _ = SockRef::from(&stream).set_tcp_keepalive(&keep_alive);
            match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => Box::pin(connection(stream, inner)).await,
                Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                Err(_) => tracing::debug!("a handshake took too long"),
            }
        });
    }
    drop(socket);
    let ended = async {
        inner.all_ended().await;
        // It is never closed.
        drop(places.acquire_many(CONNECTIONS).await);
    };
    if tokio::time::timeout(DRAIN, ended).await.is_err() {
        tracing::warn!("requests to the agent's server are cut off that would not end");
    }
}

async fn connection(stream: TlsStream<TcpStream>, inner: Arc<Inner>) {
    let peer = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let peer = peer.and_then(|der| certificate::user(der)).map(Arc::new);
    let mut stopping = inner.stopping.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (inner, peer) = (Arc::clone(&inner), peer.clone());
        async move { Ok::<_, Infallible>(inner.answer(peer, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = told(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the agent's server ended");
    }
}
