// SPDX-License-Identifier: Apache-2.0
//! Requests, from their heads to their answers.

use crate::answer::{Answer, Refused};
use crate::gate::Gate;
use crate::limits::{LOGS, SESSIONS};
use crate::metrics::Counts;
use crate::pods::{Pod, Pods};
use crate::route::{self, Nothing, Route, Target};
use crate::{forward, logs, page, session};
use berth_cluster_auth::user::User;
use berth_cluster_client::Api;
use berth_cluster_docker::Engine;
use berth_cluster_stream::{Refused as StreamRefused, Times};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) pods: Arc<dyn Pods>,
    pub(crate) engine: Engine,
    pub(crate) times: Times,
    pub(crate) logs: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
    gate: Gate,
    counts: Arc<Counts>,
    sessions: Arc<Semaphore>,
}

/// A session's place among those that there may be.
#[derive(Debug)]
pub(crate) struct Place {
    counts: Arc<Counts>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inner {
    pub(crate) fn new(
        pods: Arc<dyn Pods>,
        engine: Engine,
        (api, node): (Api, &str),
        times: Times,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            pods,
            engine,
            times,
            logs: Arc::new(Semaphore::new(LOGS)),
            stopping,
            gate: Gate::new(api, node),
            counts: Arc::new(Counts::default()),
            sessions: Arc::new(Semaphore::new(SESSIONS as usize)),
        }
    }

    /// Answers a request of who the certificate named.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        peer: Option<Arc<User>>,
        request: Request<Incoming>,
    ) -> Answer {
        let route = route::find(request.method(), request.uri().path());
        let answer = match self.handle(peer, request, &route).await {
            Ok(answer) => answer,
            Err(refused) => refused.answer(),
        };
        self.counts.answered(route.as_ref().ok(), answer.status());
        answer
    }

    async fn handle(
        self: &Arc<Self>,
        peer: Option<Arc<User>>,
        mut request: Request<Incoming>,
        route: &Result<Route, Nothing>,
    ) -> Result<Answer, Refused> {
        // Whoever may not learns nothing, not even which paths there are.
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let headers = request.headers().clone();
        self.gate.pass(peer, (&method, uri.path()), &headers).await?;
        let route = match route {
            Ok(route) => route,
            Err(Nothing::NoSuchPath) => {
                return Err(Refused::new(StatusCode::NOT_FOUND, "404 page not found"));
            }
            Err(Nothing::Method) => {
                let words = "405: Method Not Allowed";
                return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, words));
            }
        };
        match route {
            Route::Logs(target) => {
                let query = uri.query().unwrap_or_default();
                Box::pin(logs::serve(self, &self.find(target)?, target, query)).await
            }
            Route::Exec(target) => session::exec(self, &mut request, &self.find(target)?, target),
            Route::Attach(target) => {
                session::attach(self, &mut request, &self.find(target)?, target)
            }
            Route::Forward(target) => forward::serve(self, &mut request, &self.find(target)?),
            Route::Pods => Ok(page::pods(&*self.pods)),
            Route::Health => Ok(page::health(&*self.pods)),
            Route::Metrics => page::metrics(&*self.pods, &self.counts),
        }
    }

    fn find(&self, target: &Target) -> Result<Pod, Refused> {
        let Target { namespace, pod, uid, .. } = target;
        self.pods.find(namespace, pod, uid.as_deref()).ok_or_else(|| {
            Refused::new(StatusCode::NOT_FOUND, format!("pod {pod:?} does not exist"))
        })
    }

    /// A place for a session.
    pub(crate) fn place(&self) -> Result<Place, Refused> {
        let busy = |_| Refused::new(StatusCode::TOO_MANY_REQUESTS, "too many sessions are open");
        let permit = Arc::clone(&self.sessions).try_acquire_owned().map_err(busy)?;
        self.counts.sessions.fetch_add(1, Ordering::Relaxed);
        Ok(Place { counts: Arc::clone(&self.counts), _permit: permit })
    }

    /// Waits until all sessions have ended.
    pub(crate) async fn all_ended(&self) {
        // It is never closed.
        drop(self.sessions.acquire_many(SESSIONS).await);
    }
}

/// What the streams' side says of a request, with the headers that it wants.
pub(crate) fn refused(refused: StreamRefused) -> Refused {
    Refused { status: refused.status, words: String::new(), given: Some(Box::new(refused)) }
}

/// Waits until it is said that the server stops; a sender that is gone says it, too.
pub(crate) async fn told(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}
