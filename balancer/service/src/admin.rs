// SPDX-License-Identifier: Apache-2.0
//! The admin port: the live table for people (`/`) and for machines (`/table`), `/metrics`, `/healthz`, `/readyz`.

mod html;
mod metrics;
mod table;

use crate::control::Control;
use crate::health::Counts;
use crate::observe::Observer;
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
/// How long a request's head may take.
const PATIENCE: Duration = Duration::from_secs(5);

const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const PATHS: &str = "there are / (a page), /table (JSON), /metrics, /healthz and /readyz\n";

#[derive(Clone)]
pub(crate) struct Pages {
    control: Control,
    observer: Observer,
    checks: Arc<Counts>,
    stopping: signal::Receiver<bool>,
}

impl Pages {
    pub(crate) fn new(
        control: Control,
        observer: Observer,
        checks: Arc<Counts>,
        stopping: signal::Receiver<bool>,
    ) -> Self {
        Self { control, observer, checks, stopping }
    }

    pub(crate) async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut stopping = self.stopping.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = crate::server::stopped(&mut stopping) => return,
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
            () = crate::server::stopped(&mut stopping) => {}
            // What goes wrong with a scraper's connection is the scraper's to see.
            _ = connection => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            let text = "only GET is answered here\n".to_owned();
            return response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
        }
        match request.uri().path() {
            "/" => self.table(HTML, html::page).await,
            "/table" => self.table(JSON, table::json).await,
            "/metrics" => {
                let stats = self.observer.stats().await.ok();
                let text = metrics::page(self.control.shared(), &self.checks, stats.as_deref());
                response(StatusCode::OK, PLAIN, text)
            }
            "/healthz" | "/livez" => response(StatusCode::OK, PLAIN, "ok\n".to_owned()),
            "/readyz" => match self.unready() {
                None => response(StatusCode::OK, PLAIN, "ok\n".to_owned()),
                Some(why) => response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why + "\n"),
            },
            _ => response(StatusCode::NOT_FOUND, PLAIN, PATHS.to_owned()),
        }
    }

    fn unready(&self) -> Option<String> {
        if *self.stopping.borrow() {
            return Some("stopping".to_owned());
        }
        let moment = self.control.shared().moment();
        match moment.trouble {
            Some(trouble) => Some(format!("the data plane: {trouble}")),
            None if !moment.ready => Some("no configuration has been taken yet".to_owned()),
            None => None,
        }
    }

    async fn table(
        &self,
        kind: &'static str,
        write: fn(&table::Table) -> String,
    ) -> Response<Full<Bytes>> {
        let entries = self.control.look(|state| state.entries().clone()).await;
        let entries = match entries {
            Ok(entries) => entries,
            Err(why) => {
                return response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n"));
            }
        };
        let stats = self.observer.stats().await;
        let drains = self.observer.drains().await.unwrap_or_default();
        let moment = self.control.shared().moment();
        let table = table::Table::new(entries, moment, stats, drains);
        response(StatusCode::OK, kind, write(&table))
    }
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
