// SPDX-License-Identifier: Apache-2.0
//! Connections: TLS, HTTP/2 and HTTP/1.1, and who the client's certificate names.

use crate::guard::{Guarded, Patience};
use crate::identity::Peer;
use crate::server::Server;
use berth_cluster_auth::certificate;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// Requests of one connection at a time; upstream's number.
const STREAMS: u32 = 100;
/// Connections at a time.
const CONNECTIONS: usize = 10_000;
/// How long a stop waits for requests that run.
const DRAIN: Duration = Duration::from_secs(10);

type Stream = TokioIo<Guarded<TlsStream<TcpStream>>>;

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For the handshake, and for the head of a request; an HTTP/1 connection may be idle as long.
    pub head: Duration,
    /// For a frame of a body, and for taking 128 KiB of an answer.
    pub body: Duration,
    /// How often an HTTP/2 connection is asked for a sign of life, and how long it may take for that.
    pub ping: Duration,
}

impl Default for Times {
    /// The first is upstream's number.
    fn default() -> Self {
        let head = Duration::from_secs(32);
        Self { head, body: Duration::from_mins(1), ping: Duration::from_secs(30) }
    }
}

/// A place where connections are taken.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    times: Times,
}

/// A listener that runs.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// Binds an address; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, times: Times::default() })
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// With other times.
    #[must_use]
    pub fn times(mut self, times: Times) -> Self {
        self.times = times;
        self
    }

    /// Serves until it is stopped.
    pub fn serve(self, server: Server, tls: ServerConfig) -> Listening {
        let (stop, stopping) = watch::channel(false);
        let address = self.address;
        let tls = TlsAcceptor::from(Arc::new(tls));
        let task = tokio::spawn(accept(self.socket, server, (tls, self.times), stopping));
        Listening { address, stop, task }
    }
}

impl Listening {
    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new connection, lets running requests end, and returns when all are gone, or the time for it is over.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the listener did not end well");
        }
    }
}

async fn accept(
    socket: TcpListener,
    server: Server,
    (tls, times): (TlsAcceptor, Times),
    mut stopping: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, mostly: others have to go first.
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = told(&mut stopping) => break,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("too many connections: one is refused");
            continue;
        };
        let (server, tls) = (server.clone(), tls.clone());
        let end = End { watcher: graceful.watcher(), stopping: stopping.clone() };
        tokio::spawn(async move {
            let _place = place;
            let _ = stream.set_nodelay(true);
            // One time for both: who is slow with the first byte is not given more for the others.
            let handshake = async {
                match secure(stream).await {
                    Ok(stream) => Some(tls.accept(stream).await),
                    Err(()) => None,
                }
            };
            match tokio::time::timeout(times.head, handshake).await {
                Ok(None) => {}
                Ok(Some(Ok(stream))) => connection(stream, server, times, end).await,
                Ok(Some(Err(error))) => tracing::debug!(%error, "no TLS"),
                Err(_) => tracing::debug!("a handshake took too long"),
            }
        });
    }
    drop(socket);
    server.stop();
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests are cut off that would not end");
    }
}

/// Waits until it is said; a sender that is gone says it, too.
pub(crate) async fn told(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}

/// The stream, if its client begins a handshake. One that speaks plain HTTP is told so.
async fn secure(mut stream: TcpStream) -> Result<TcpStream, ()> {
    const HANDSHAKE: u8 = 0x16;
    const ANSWER: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first == [HANDSHAKE] => Ok(stream),
        Ok(1) => {
            let _ = stream.write_all(ANSWER).await;
            let _ = stream.shutdown().await;
            Err(())
        }
        _ => Err(()),
    }
}

async fn connection(stream: TlsStream<TcpStream>, server: Server, times: Times, end: End) {
    let peer = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let peer = peer.and_then(|der| certificate::user(der)).map(|user| Peer(Arc::new(user)));
    // The version is what was agreed upon, not what the first bytes look like: for those nobody would wait with a clock.
    let new = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let patience = Patience { head: times.head, body: times.body };
    let stream = Guarded::new(stream, patience, new);
    let lasting = stream.lasting();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(lasting.clone());
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        let server = server.clone();
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    let ended = if new {
        let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(times.ping)
            .keep_alive_timeout(times.ping);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        end.watcher.watch(connection.into_owned()).await
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(times.head).max_buf_size(1 << 20);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        Box::pin(end.old(connection.with_upgrades())).await.map_err(Into::into)
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// How a connection hears that the listener stops, and the listener that the connection has ended.
struct End {
    watcher: Watcher,
    stopping: watch::Receiver<bool>,
}

impl End {
    /// Serves a connection that may change its protocol. The library watches none of these that has a clock for its first byte.
    async fn old<S, B>(
        mut self,
        connection: http1::UpgradeableConnection<Stream, S>,
    ) -> hyper::Result<()>
    where
        S: HttpService<Incoming, ResBody = B>,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: http_body::Body + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B::Data: Send,
    {
        tokio::pin!(connection);
        tokio::select! {
            biased;
            ended = &mut connection => return ended,
            () = told(&mut self.stopping) => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }
}
