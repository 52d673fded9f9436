// SPDX-License-Identifier: Apache-2.0
//! Connections: accepted within a bound, TLS where asked for, HTTP/2, calls to their services, and an orderly end.

use crate::grpc::Calls;
use berth_proto::DESCRIPTORS;
use berth_proto::balancer::balancer_server::{BalancerServer, SERVICE_NAME};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch as signal;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;

/// Bytes of one message: 100,000 endpoints with all there is to say about them have some 10 MB.
const MESSAGE: usize = 64 << 20;
/// Windows of flow control: how much of a large message is on its way at once.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// Calls at once on a connection, and connections: clients of a control channel are few.
const CALLS: u32 = 64;
const CONNECTIONS: usize = 256;
/// A connection that does not answer a ping in time is dead.
const PING: Duration = Duration::from_secs(20);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
type Route = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// How a connection begins.
#[derive(Clone)]
pub(super) enum Acceptor {
    Plain,
    Tls(TlsAcceptor),
}

/// Everything that is served on one address.
pub(super) struct Serving {
    routes: Arc<Vec<(&'static str, Route)>>,
    reporter: tonic_health::server::HealthReporter,
    acceptor: Acceptor,
    stopping: signal::Receiver<bool>,
}

fn route<S>(service: S) -> Route
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    Arc::new(move |request| Box::pin(service.clone().call(request)))
}

impl Serving {
    pub(super) fn new(calls: Calls, acceptor: Acceptor, stopping: signal::Receiver<bool>) -> Self {
        let balancer = BalancerServer::new(calls).max_decoding_message_size(MESSAGE);
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut routes = vec![("/berth.balancer.v1.Balancer/", route(balancer))];
        routes.push(("/grpc.health.v1.Health/", route(health)));
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Descriptors are checked in and tested; without reflection the service is as good.
        if let Ok(service) = reflection().build_v1() {
            routes.push(("/grpc.reflection.v1.ServerReflection/", route(service)));
        }
        if let Ok(service) = reflection().build_v1alpha() {
            routes.push(("/grpc.reflection.v1alpha.ServerReflection/", route(service)));
        }
        Self { routes: Arc::new(routes), reporter, acceptor, stopping }
    }

    /// Accepts until the service stops, then waits for the connections.
    pub(super) async fn serve(mut self, listener: TcpListener) {
        for service in ["", SERVICE_NAME] {
            let status = tonic_health::ServingStatus::Serving;
            self.reporter.set_service_status(service, status).await;
        }
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = crate::server::stopped(&mut self.stopping) => break,
                accepted = listener.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS => {
                    let routes = Arc::clone(&self.routes);
                    let (acceptor, stopping) = (self.acceptor.clone(), self.stopping.clone());
                    connections.spawn(connection(stream, acceptor, routes, stopping));
                }
                // One too many: it is closed, and the others go on.
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(listener);
        for service in ["", SERVICE_NAME] {
            let status = tonic_health::ServingStatus::NotServing;
            self.reporter.set_service_status(service, status).await;
        }
        while connections.join_next().await.is_some() {}
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: Acceptor,
    routes: Arc<Vec<(&'static str, Route)>>,
    stopping: signal::Receiver<bool>,
) {
    // An answer is not to wait for the next one.
    drop(stream.set_nodelay(true));
    match acceptor {
        Acceptor::Plain => speak(stream, routes, stopping).await,
        Acceptor::Tls(acceptor) => {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Box::pin(speak(stream, routes, stopping)).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

/// Speaks HTTP/2 with a client until one of both ends it.
async fn speak<S>(
    stream: S,
    routes: Arc<Vec<(&'static str, Route)>>,
    mut stopping: signal::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let found = routes.iter().find(|(prefix, _)| request.uri().path().starts_with(prefix));
        let answer = found.map(|(_, route)| route(request));
        async move {
            match answer {
                Some(answer) => answer.await,
                None => Ok(Status::unimplemented("there is no such service").into_http()),
            }
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(CALLS)
        .max_header_list_size(16 << 10)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = crate::server::stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
