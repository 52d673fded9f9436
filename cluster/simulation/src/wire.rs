// SPDX-License-Identifier: Apache-2.0
//! A way to the server as a network is one: calls and answers are late, and get lost; and what was sent arrives, though who sent it is gone.

use crate::Random;
use berth_cluster_apiserver::{Answer, Body, Server};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower_service::Service;

/// How bad it is: of 1,000 calls so many.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trouble {
    /// Are refused.
    pub refused: u32,
    /// Are carried out, and who asked is told that the connection was lost.
    pub lost: u32,
    /// Are late by up to a second and a half, or their answers are.
    pub late: u32,
    /// Bindings that are late by up to 40 s: longer than anybody leads who is not heard of.
    pub adrift: u32,
}

/// A way to a server.
#[derive(Debug, Clone)]
pub struct Wire {
    server: Server,
    random: Arc<Mutex<Random>>,
    trouble: Trouble,
    /// Until then nothing about leases gets through.
    cut: Arc<Mutex<Instant>>,
}

/// What becomes of a call.
struct Fate {
    before: Duration,
    after: Duration,
    refused: bool,
    lost: bool,
}

impl Wire {
    /// The way to a server.
    pub fn new(server: Server, trouble: Trouble, seed: u64) -> Self {
        let (random, cut) =
            (Arc::new(Mutex::new(Random(seed))), Arc::new(Mutex::new(Instant::now())));
        Self { server, random, trouble, cut }
    }

    /// The way of somebody else to the same server.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { cut: Arc::new(Mutex::new(Instant::now())), ..self.clone() }
    }

    /// For so long nothing about leases gets through: who leads is not heard of, and goes on all the same.
    pub fn cut(&self, time: Duration) {
        *self.cut.lock().expect("a cluster of a test") = Instant::now() + time;
    }

    fn fate(&self, binds: bool) -> Fate {
        let Trouble { refused, lost, late, adrift } = self.trouble;
        let mut random = self.random.lock().expect("a cluster of a test");
        let mut hits = |of: u32| random.below(1_000) < of;
        let [refused, lost, early, later, adrift] =
            [hits(refused), hits(lost), hits(late / 2), hits(late / 2), binds && hits(adrift)];
        let mut up_to = |millis: u32| Duration::from_millis(u64::from(1 + random.below(millis)));
        let (mut before, mut after) = (up_to(5), up_to(5));
        if early {
            before += up_to(1_500);
        }
        if later {
            after += up_to(1_500);
        }
        if adrift {
            before += up_to(40_000);
        }
        Fate { before, after, refused, lost }
    }
}

fn refusal() -> Answer {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "a fault on purpose", "reason": "ServiceUnavailable", "code": 503,
    });
    let mut answer = Response::new(Body::Whole(Bytes::from(status.to_string())));
    *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    answer
}

impl<B> Service<Request<B>> for Wire
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Debug,
{
    type Response = Answer;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut server = self.server.clone();
        let binds = request.method() == Method::POST && request.uri().path().ends_with("/binding");
        let mut fate = self.fate(binds);
        if request.uri().path().contains("/leases") {
            fate.refused |= Instant::now() < *self.cut.lock().expect("a cluster of a test");
        }
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a body in memory").to_bytes();
            let request = Request::from_parts(head, Full::new(body));
            // On its own: nobody calls back what is on its way.
            let arrives = tokio::spawn(async move {
                tokio::time::sleep(fate.before).await;
                if fate.refused { Ok(refusal()) } else { server.call(request).await }
            });
            let answer = arrives.await.map_err(std::io::Error::other)?;
            tokio::time::sleep(fate.after).await;
            if fate.lost {
                return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
            }
            answer.map_err(|never| match never {})
        })
    }
}
