// SPDX-License-Identifier: Apache-2.0
//! Pages for machines: `/metrics`, `/livez`, `/readyz`.

use super::inbox::Inbox;
use super::metrics::{Scrape, Shared, page};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch as signal;
use tokio::sync::{Semaphore, TryAcquireError};

/// Connections at once; a scraper needs one.
const CONNECTIONS: usize = 64;
/// How long a request's head may take, and an answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Pages {
    inbox: Inbox,
    shared: Arc<Shared>,
    stopping: signal::Receiver<bool>,
}

impl Pages {
    pub(super) fn new(inbox: Inbox, shared: Arc<Shared>, stopping: signal::Receiver<bool>) -> Self {
        Self { inbox, shared, stopping }
    }

    pub(super) async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut stopping = self.stopping.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = super::stopped(&mut stopping) => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors, most likely: others need the next ones more.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let pages = self.clone();
                    tokio::spawn(async move {
                        pages.connection(stream).await;
                        drop(place);
                    });
                }
                Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => drop(stream),
            }
        }
    }

    async fn connection(self, stream: TcpStream) {
        let mut stopping = self.stopping.clone();
        let service = service_fn(move |request| {
            let pages = self.clone();
            async move { Ok::<_, Infallible>(pages.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(16 << 10)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            biased;
            () = super::stopped(&mut stopping) => {}
            // What goes wrong with a scraper's connection is the scraper's to see.
            _ = connection => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n".into());
        }
        match request.uri().path() {
            "/metrics" => match self.scrape().await {
                Some(scrape) => text(StatusCode::OK, page(&scrape, &self.shared)),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "the scheduler is busy\n".into()),
            },
            "/livez" if self.shared.is_alive() => text(StatusCode::OK, "ok\n".into()),
            "/livez" => text(StatusCode::INTERNAL_SERVER_ERROR, "the scheduler has ended\n".into()),
            "/readyz" => self.ready().await,
            "/" => text(StatusCode::OK, "/metrics\n/livez\n/readyz\n".into()),
            _ => text(StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n".into()),
        }
    }

    async fn ready(&self) -> Response<Full<Bytes>> {
        let unready = |why: String| text(StatusCode::SERVICE_UNAVAILABLE, why);
        if *self.stopping.borrow() {
            return unready("stopping\n".into());
        }
        let asked =
            self.inbox.ask(|core, _| Ok(core.not_accepted().map(|why| why.message.clone())));
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(None)) => text(StatusCode::OK, "ok\n".into()),
            Ok(Ok(Some(why))) => unready(format!("{why}\n")),
            Ok(Err(status)) => unready(format!("{}\n", status.message())),
            Err(_) => unready("the scheduler is busy\n".into()),
        }
    }

    async fn scrape(&self) -> Option<Scrape> {
        let (inbox, overloaded) = (self.inbox.len(), self.inbox.overloaded());
        let asked = self.inbox.ask(move |core, _| {
            Ok(Scrape {
                stats: core.stats(),
                counts: core.counts().clone(),
                queue: core.queue_sizes(),
                unschedulable: core.unschedulable(),
                inbox,
                overloaded,
            })
        });
        tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
