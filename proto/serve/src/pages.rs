// SPDX-License-Identifier: Apache-2.0
//! Plain HTTP pages, for people and scrapers: few connections, short heads, GET alone.

use crate::stopped;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
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

/// Text, as Prometheus wants it to be called.
pub const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page.
pub type Page = Response<Full<Bytes>>;

/// Says what stands at a path.
pub trait Pages: Clone + Send + Sync + 'static {
    /// The page, or one that says what there is.
    fn page(&self, path: &str) -> impl Future<Output = Page> + Send;
}

/// Serves pages until `stopping` is true.
pub async fn serve(pages: impl Pages, listener: TcpListener, mut stopping: signal::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut stopping) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: others need the next ones more.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let (pages, stopping) = (pages.clone(), stopping.clone());
                tokio::spawn(async move {
                    connection(pages, stream, stopping).await;
                    drop(place);
                });
            }
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => drop(stream),
        }
    }
}

async fn connection(pages: impl Pages, stream: TcpStream, mut stopping: signal::Receiver<bool>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = pages.clone();
        async move {
            let page = if request.method() == Method::GET {
                pages.page(request.uri().path()).await
            } else {
                page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is answered here\n")
            };
            Ok::<_, Infallible>(page)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        () = stopped(&mut stopping) => {}
        // What goes wrong with a scraper's connection is the scraper's to see.
        _ = connection => {}
    }
}

/// A page of this text; `kind`: its media type.
#[must_use]
pub fn page(status: StatusCode, kind: &'static str, text: impl Into<String>) -> Page {
    let mut response = Response::new(Full::new(Bytes::from(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
