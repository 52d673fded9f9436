// SPDX-License-Identifier: Apache-2.0
//! Connections: accepted within a bound, TLS where asked for, HTTP/2, calls to their services, and an orderly end.

use crate::cut::{Cuttable, Switch};
use crate::stopped;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch as signal;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::{Code, Status};

/// A connection that does not answer a ping in time is dead.
const PING: Duration = Duration::from_secs(20);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
type Call = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// How a connection begins.
#[derive(Clone)]
pub enum Acceptor {
    /// With HTTP/2 at once.
    Plain,
    /// With a handshake.
    Tls(TlsAcceptor),
}

/// Bounds of a server.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Open connections; further ones are closed at once.
    pub connections: usize,
    /// Calls at once on a connection.
    pub calls: u32,
    /// Bytes that a stream may send before it is read.
    pub stream_window: u32,
    /// Bytes that a connection may send before it is read.
    pub connection_window: u32,
    /// Bytes of answers that HTTP/2 buffers for a stream.
    pub send_buffer: usize,
}

/// A service, by the beginning of its paths.
struct Route {
    prefix: String,
    call: Call,
}

/// Everything that is served on one address: a service, health, and reflection.
pub struct Serving {
    name: &'static str,
    routes: Arc<Vec<Route>>,
    reporter: tonic_health::server::HealthReporter,
    acceptor: Acceptor,
    bounds: Bounds,
    stopping: signal::Receiver<bool>,
}

fn route<S>(service: S) -> Route
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let call: Call = Arc::new(move |request| Box::pin(service.clone().call(request)));
    Route { prefix: format!("/{}/", S::NAME), call }
}

impl Serving {
    /// Serves `service`, described by `descriptors` (an encoded set of file descriptors), until `stopping` is true.
    pub fn new<S>(
        service: S,
        descriptors: &[u8],
        acceptor: Acceptor,
        bounds: Bounds,
        stopping: signal::Receiver<bool>,
    ) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut routes = vec![route(service), route(health)];
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Descriptors are checked in and tested; without reflection the service is as good.
        if let Ok(service) = reflection().build_v1() {
            routes.push(route(service));
        }
        if let Ok(service) = reflection().build_v1alpha() {
            routes.push(route(service));
        }
        Self { name: S::NAME, routes: Arc::new(routes), reporter, acceptor, bounds, stopping }
    }

    async fn report(&self, status: tonic_health::ServingStatus) {
        for service in ["", self.name] {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Accepts until the service stops, says so to health checks, and waits for the connections.
    pub async fn serve(mut self, listener: TcpListener) {
        self.report(tonic_health::ServingStatus::Serving).await;
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => break,
                accepted = listener.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) if connections.len() < self.bounds.connections => {
                    let routes = Arc::clone(&self.routes);
                    let (acceptor, stopping) = (self.acceptor.clone(), self.stopping.clone());
                    let line = Line { routes, bounds: self.bounds, stopping };
                    connections.spawn(line.connection(stream, acceptor));
                }
                // One too many: it is closed, and the others go on.
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        self.report(tonic_health::ServingStatus::NotServing).await;
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}

/// What a connection needs of its server.
struct Line {
    routes: Arc<Vec<Route>>,
    bounds: Bounds,
    stopping: signal::Receiver<bool>,
}

impl Line {
    async fn connection(self, stream: TcpStream, acceptor: Acceptor) {
        // An answer is not to wait for the next one.
        drop(stream.set_nodelay(true));
        match acceptor {
            Acceptor::Plain => self.speak(stream).await,
            Acceptor::Tls(acceptor) => {
                match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => Box::pin(self.speak(stream)).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                }
            }
        }
    }

    /// Speaks HTTP/2 with a client until one of both ends it.
    async fn speak<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { routes, bounds, mut stopping } = self;
        let switch = Arc::new(Switch::default());
        let stream = Cuttable::new(stream, Arc::clone(&switch));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&switch));
            let path = request.uri().path();
            let found = routes.iter().find(|route| path.starts_with(&route.prefix));
            let answer = found.map(|route| (route.call)(request));
            async move {
                match answer {
                    Some(answer) => answer.await.map(oversized_response),
                    None => Ok(Status::unimplemented("there is no such service").into_http()),
                }
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(bounds.stream_window)
            .initial_connection_window_size(bounds.connection_window)
            .max_concurrent_streams(bounds.calls)
            .max_send_buf_size(bounds.send_buffer)
            .max_header_list_size(16 << 10)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = stopped(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

/// tonic calls a message above the limit out of range; gRPC's own word is that a resource is exhausted.
#[must_use]
pub fn oversized(status: Status) -> Status {
    if status.code() == Code::OutOfRange {
        Status::resource_exhausted(status.message())
    } else {
        status
    }
}

/// The same for the answer to a call whose message was above the limit.
fn oversized_response(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    let too_large = headers.get("grpc-status").is_some_and(|code| code == "11")
        && headers
            .get("grpc-message")
            .is_some_and(|text| text.as_bytes().windows(9).any(|part| part == b"too%20lar"));
    if too_large {
        headers.insert("grpc-status", HeaderValue::from_static("8"));
    }
    response
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Tls(_) => "Tls",
        })
    }
}
