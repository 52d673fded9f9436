// SPDX-License-Identifier: Apache-2.0
//! A way to the server on which one thing goes wrong on purpose: what a component with that bug would do. Checks have to find each.

use berth_cluster_apiserver::{Answer, Body as AnswerBody, Server};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use tower_service::Service;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Each pod is bound to the first node.
    BindsElsewhere,
    /// A binding is believed that was never made.
    BindsInMind,
    /// A set makes each pod twice.
    MakesTwice,
    /// A set believes in pods that it never made.
    MakesInMind,
    /// A set is made larger than its Deployment wants.
    SurgesTooFar,
    /// A rollout takes all old pods away at once.
    TakesAllAway,
    /// The collector takes an owner for what it owns.
    CollectsTheLiving,
    /// The last endpoint of a slice is forgotten.
    ForgetsAnEndpoint,
    /// What a set says of its pods never arrives.
    KeepsSilent,
    /// A Deployment's status is another one each time.
    NeverRests,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::BindsElsewhere,
        Self::BindsInMind,
        Self::MakesTwice,
        Self::MakesInMind,
        Self::SurgesTooFar,
        Self::TakesAllAway,
        Self::CollectsTheLiving,
        Self::ForgetsAnEndpoint,
        Self::KeepsSilent,
        Self::NeverRests,
    ];
}

/// A server, and what goes wrong on the way there.
#[derive(Debug, Clone)]
pub struct Meddler {
    server: Server,
    bug: Option<Bug>,
    /// How many calls there were.
    calls: Arc<AtomicU32>,
}

impl Meddler {
    /// The way to a server.
    pub fn new(server: Server, bug: Option<Bug>) -> Self {
        Self { server, bug, calls: Arc::default() }
    }
}

/// What is asked, as far as bugs look at it.
struct Call {
    method: Method,
    path: String,
    body: Value,
}

/// What is made of it.
enum Fate {
    /// It is carried out as it is, or as it has become.
    Goes,
    /// It is carried out twice.
    GoesTwice,
    /// It is answered as if it was.
    Vanishes,
}

impl Call {
    fn is(&self, method: &Method, part: &str) -> bool {
        self.method == *method && self.path.contains(part)
    }

    /// A write of a status.
    fn tells(&self, kind: &str) -> bool {
        self.is(&Method::PUT, kind) && self.path.ends_with("/status")
    }

    /// A write of sets or of one of them, but not of a status.
    fn writes_set(&self) -> bool {
        [Method::POST, Method::PUT].contains(&self.method)
            && self.path.contains("/replicasets")
            && !self.path.contains("/status")
    }

    fn meddle(&mut self, bug: Bug, nth: u32) -> Fate {
        let replicas = self.body["spec"]["replicas"].as_i64();
        match bug {
            Bug::BindsElsewhere if self.is(&Method::POST, "/binding") => {
                self.body["target"]["name"] = "n0".into();
            }
            Bug::BindsInMind if self.is(&Method::POST, "/binding") => return Fate::Vanishes,
            Bug::MakesTwice if self.method == Method::POST && self.path.ends_with("/pods") => {
                return Fate::GoesTwice;
            }
            Bug::MakesInMind if self.method == Method::POST && self.path.ends_with("/pods") => {
                return Fate::Vanishes;
            }
            Bug::SurgesTooFar if self.writes_set() => {
                if let Some(wanted) = replicas.filter(|wanted| *wanted > 0) {
                    self.body["spec"]["replicas"] = (wanted + 3).into();
                }
            }
            // A set that exists is written with fewer pods than it had only while it is rolled away.
            Bug::TakesAllAway if self.writes_set() && self.method == Method::PUT => {
                let had = self.body["status"]["replicas"].as_i64().unwrap_or(0);
                if replicas.is_some_and(|wanted| wanted < had) {
                    self.body["spec"]["replicas"] = 0.into();
                }
            }
            Bug::CollectsTheLiving if self.is(&Method::DELETE, "/configmaps/") => {
                if let Some((folder, _)) = self.path.rsplit_once('/') {
                    self.path = format!("{folder}/alive");
                    self.body = Value::Null;
                }
            }
            Bug::ForgetsAnEndpoint if self.path.contains("/endpointslices") => {
                if let Some(all) = self.body["endpoints"].as_array_mut() {
                    all.pop();
                }
            }
            Bug::KeepsSilent if self.tells("/replicasets/") => return Fate::Vanishes,
            Bug::NeverRests if self.tells("/deployments/") => {
                self.body["status"]["updatedReplicas"] = (nth % 97 + 10).into();
            }
            _ => {}
        }
        Fate::Goes
    }
}

impl<B> Service<Request<B>> for Meddler
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Debug,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut server, bug) = (self.server.clone(), self.bug);
        let nth = self.calls.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let body = body.collect().await.expect("a body in memory").to_bytes();
            let mut call = Call {
                method: head.method.clone(),
                path: head.uri.path().to_owned(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let fate = bug.map_or(Fate::Goes, |bug| call.meddle(bug, nth));
            let mut sent = body;
            if bug.is_some() && head.method != Method::GET {
                sent = match &call.body {
                    Value::Null => Bytes::new(),
                    body => Bytes::from(body.to_string()),
                };
                let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
                head.uri = format!("{}{query}", call.path).parse().expect("a path");
            }
            let again = || Request::from_parts(head.clone(), Full::new(sent.clone()));
            match fate {
                Fate::Goes => server.call(again()).await,
                Fate::GoesTwice => {
                    drop(server.call(again()).await);
                    server.call(again()).await
                }
                Fate::Vanishes => {
                    let text = match call.body {
                        Value::Null => json!({}).to_string(),
                        body => body.to_string(),
                    };
                    let mut answer = Response::new(AnswerBody::Whole(Bytes::from(text)));
                    *answer.status_mut() = StatusCode::CREATED;
                    Ok(answer)
                }
            }
        })
    }
}
