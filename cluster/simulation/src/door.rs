// SPDX-License-Identifier: Apache-2.0
//! A way to the server that writes down who asks for what and when, and on which things go wrong for as long as a test wants.

use crate::Random;
use crate::cluster::{Cluster, component};
use berth_cluster_apiserver::{Caller, Server};
use berth_cluster_auth::user::User;
use berth_cluster_client::{Api, Clock};
use berth_cluster_controllers::events::Recorder;
use berth_cluster_controllers::{Config, Controllers, Recorders, Settings};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tower_service::Service;

/// How calls fare.
#[derive(Debug, Clone, Default)]
pub enum Weather {
    /// They go through.
    #[default]
    Fair,
    /// Of a hundred so many are refused before anything is done, each with one of these codes.
    Foul {
        /// Of a hundred.
        percent: u32,
        /// The codes.
        codes: &'static [u16],
    },
    /// All that is to change something is refused.
    Deaf,
    /// All of these calls are refused.
    Against {
        /// The method.
        method: Method,
        /// What the path has in it; of a watch it ends in `?watch`.
        path: &'static str,
        /// The code.
        code: u16,
    },
    /// Of the pods of the namespace `default` there may be so many, as a ResourceQuota would have it.
    Quota(usize),
}

/// Who asks, and for what.
pub type Caught = (String, String);

#[derive(Debug)]
struct State {
    weather: Weather,
    random: Random,
    calls: BTreeMap<Caught, Vec<Instant>>,
}

/// A way to a cluster's server.
#[derive(Debug, Clone)]
pub struct Door {
    cluster: Cluster,
    state: Arc<Mutex<State>>,
    /// Pods are counted and made by one at a time, where they are counted.
    counted: Arc<tokio::sync::Mutex<()>>,
    /// Ends what streams.
    cut: watch::Sender<()>,
}

impl Door {
    /// The way to a cluster.
    pub fn new(cluster: &Cluster, seed: u64) -> Self {
        let state = State { weather: Weather::Fair, random: Random(seed), calls: BTreeMap::new() };
        Self {
            cluster: cluster.clone(),
            state: Arc::new(Mutex::new(state)),
            counted: Arc::default(),
            cut: watch::channel(()).0,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a cluster of a test")
    }

    /// The weather changes, and all watches end with it.
    pub fn turn(&self, weather: Weather) {
        self.state().weather = weather;
        self.cut.send_replace(());
    }

    /// The API, for a component.
    pub fn component(&self, name: &str) -> Api {
        Api::within(self.clone(), component(name))
    }

    /// The API, for a scheduler.
    pub fn scheduler(&self) -> Api {
        let user = User::authenticated("system:kube-scheduler", "", Vec::new());
        Api::within(self.clone(), Caller(user))
    }

    /// Starts controllers before this door, by the cluster's clock.
    pub fn control(&self, names: &[&str]) -> Controllers {
        self.control_by(names, self.cluster.clock)
    }

    /// Starts controllers before this door, by a clock of their own.
    pub fn control_by(&self, names: &[&str], clock: Clock) -> Controllers {
        let told = self.cluster.told.clone();
        let recorder: Recorders = Box::new(move |_| Arc::new(told.clone()) as Recorder);
        self.start(names, clock, Some(recorder), Settings::default())
    }

    /// Starts controllers before this door, whose events go into the API.
    pub fn control_and_record(&self, names: &[&str], settings: Settings) -> Controllers {
        self.start(names, self.cluster.clock, None, settings)
    }

    fn start(
        &self,
        names: &[&str],
        clock: Clock,
        recorder: Option<Recorders>,
        settings: Settings,
    ) -> Controllers {
        let (door, names) = (self.clone(), names.iter().map(|&name| name.to_owned()).collect());
        let api = Box::new(move |name: &str| door.component(name));
        Controllers::start(Config { names, api, recorder, clock, seed: 1, settings })
    }

    /// When somebody called for something since a moment; what and who by parts of their names.
    pub fn calls(&self, who: &str, what: &str, since: Instant) -> Vec<Duration> {
        let state = self.state();
        let wanted = state
            .calls
            .iter()
            .filter(|(caught, _)| caught.0.contains(who) && caught.1.contains(what));
        let mut all: Vec<_> = wanted
            .flat_map(|(_, at)| at.iter().filter(|at| **at >= since).map(|at| *at - since))
            .collect();
        all.sort_unstable();
        all
    }

    /// Who called for something more than `most` times within some time since a moment, and how often.
    pub fn hot(&self, since: Instant, window: Duration, most: usize) -> Vec<(Caught, usize)> {
        let state = self.state();
        let busiest = |at: &[Instant]| {
            let at: Vec<_> = at.iter().filter(|at| **at >= since).collect();
            let within = |from: usize| at[from..].partition_point(|one| **one < *at[from] + window);
            (0..at.len()).map(within).max().unwrap_or(0)
        };
        let all = state.calls.iter().map(|(caught, at)| (caught.clone(), busiest(at)));
        all.filter(|(_, count)| *count > most).collect()
    }

    /// How many calls there were since a moment.
    pub fn count(&self, since: Instant) -> usize {
        self.state().calls.values().flatten().filter(|at| **at >= since).count()
    }

    /// Writes a call down; the answer, if it is refused.
    fn judge(&self, who: String, call: &Call) -> Option<Answer> {
        let mut state = self.state();
        state.calls.entry((who, call.target())).or_default().push(Instant::now());
        let State { weather, random, .. } = &mut *state;
        match weather {
            Weather::Foul { percent, codes } if random.below(100) < *percent => {
                let count = u32::try_from(codes.len()).expect("a few codes");
                Some(refusal(codes[random.below(count) as usize], call))
            }
            Weather::Deaf if call.method != Method::GET => Some(refusal(500, call)),
            Weather::Against { method, path, code }
                if call.method == *method && call.path.contains(*path) =>
            {
                Some(refusal(*code, call))
            }
            Weather::Fair
            | Weather::Foul { .. }
            | Weather::Deaf
            | Weather::Against { .. }
            | Weather::Quota(_) => None,
        }
    }

    fn quota(&self) -> Option<usize> {
        match self.state().weather {
            Weather::Quota(limit) => Some(limit),
            Weather::Fair | Weather::Foul { .. } | Weather::Deaf | Weather::Against { .. } => None,
        }
    }
}

/// What is asked.
struct Call {
    method: Method,
    path: String,
    body: Value,
}

impl Call {
    fn makes_pod(&self) -> bool {
        self.method == Method::POST && self.path == "/api/v1/namespaces/default/pods"
    }

    /// The object that it is about: of a status, a binding or an event the one that has it.
    fn target(&self) -> String {
        let text = |path: &str| self.body.pointer(path).and_then(Value::as_str);
        if self.path.contains("/events") {
            let of = ["/regarding", "/involvedObject"];
            let name = of.iter().find_map(|of| text(&format!("{of}/name")));
            // The name of an event is that of its object, and a number.
            let last = self.path.rsplit('/').next().unwrap_or_default();
            let own = last.rsplit_once('.').map_or(last, |(name, _)| name);
            return format!("events of {}", name.unwrap_or(own));
        }
        let inner = ["/status", "/binding"].iter().find_map(|end| self.path.strip_suffix(end));
        let path = inner.unwrap_or(&self.path);
        let made = text("/metadata/name").or_else(|| text("/metadata/generateName"));
        match made.filter(|_| self.method == Method::POST && inner.is_none()) {
            Some(name) => format!("{path}/{name}"),
            None => path.to_owned(),
        }
    }
}

type Answer = Response<Piece>;

/// The body of an answer, which ends when it is cut.
pub struct Piece {
    body: berth_cluster_apiserver::Body,
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece").field("body", &self.body).finish_non_exhaustive()
    }
}

impl http_body::Body for Piece {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        if let Some(cut) = &mut self.cut
            && cut.as_mut().poll(context).is_ready()
        {
            self.cut = None;
            self.body = berth_cluster_apiserver::Body::Whole(Bytes::new());
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}

/// A refusal in the words of an apiserver.
fn refusal(code: u16, call: &Call) -> Answer {
    let (reason, message) = match code {
        409 if call.method == Method::POST => {
            ("AlreadyExists", "a fault on purpose: it already exists")
        }
        409 => ("Conflict", "a fault on purpose: the object has been modified"),
        504 => ("Timeout", "a fault on purpose: too large resource version"),
        410 => ("Expired", "a fault on purpose: the resourceVersion is too old"),
        429 => ("TooManyRequests", "a fault on purpose: too many requests, please try again later"),
        _ => ("InternalError", "a fault on purpose: Internal error occurred"),
    };
    refused(code, reason, message)
}

fn refused(code: u16, reason: &str, message: &str) -> Answer {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    let body = berth_cluster_apiserver::Body::Whole(Bytes::from(status.to_string()));
    let mut answer = Response::new(Piece { body, cut: None });
    *answer.status_mut() = code.try_into().expect("a code");
    if code == 429 {
        answer.headers_mut().insert(http::header::RETRY_AFTER, 1.into());
    }
    answer
}

impl<B> Service<Request<B>> for Door
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
        let door = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a body in memory").to_bytes();
            let call = Call {
                method: head.method.clone(),
                path: match head.uri.query() {
                    Some(query) if query.contains("watch=true") => {
                        format!("{}?watch", head.uri.path())
                    }
                    Some(_) | None => head.uri.path().to_owned(),
                },
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let who = head.extensions.get::<Caller>().map(|Caller(user)| user.name.clone());
            if let Some(refusal) = door.judge(who.unwrap_or_default(), &call) {
                return Ok(refusal);
            }
            let quota = door.quota().filter(|_| call.makes_pod());
            let _alone = match quota {
                Some(_) => Some(door.counted.lock().await),
                None => None,
            };
            if let Some(limit) = quota {
                let used = door.cluster.list("/api/v1/namespaces/default/pods").await.len();
                if used >= limit {
                    let text = format!(
                        "pods \"{}x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods={used}, limited: pods={limit}",
                        call.body["metadata"]["generateName"].as_str().unwrap_or_default()
                    );
                    return Ok(refused(403, "Forbidden", &text));
                }
            }
            let mut cut = door.cut.subscribe();
            let mut server: Server = door.cluster.server.clone();
            let answer = server.call(Request::from_parts(head, Full::new(body))).await?;
            Ok(answer.map(|body| {
                let cut: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
                    if cut.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                });
                Piece { body, cut: Some(cut) }
            }))
        })
    }
}
