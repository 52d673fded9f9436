// SPDX-License-Identifier: Apache-2.0
//! Leader election by a Lease: of several processes that could do a work, one does it.
//!
//! No clock but the own one is believed. Still, who was stopped for a while may go on where it was after another has taken over: what it
//! writes has to carry [`Leading::fence`], where the API has one.

mod lease;
mod state;

use crate::api::{Api, CallError, Media};
use crate::clock::Clock;
use http::{HeaderValue, Method};
use http_body_util::BodyExt;
use lease::Lease;
use state::{Came, State, Step};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// The header that binds a write to a leader's epoch.
pub const FENCE: &str = "berth-fence";

/// How the leader is chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who this is. Two with one identity are one contender: it has to differ from that of every other process.
    pub identity: String,
    /// After how long without a change others take the Lease.
    pub lease_duration: Duration,
    /// After how long without a renewal a leader stops. Has to be shorter than `lease_duration`.
    pub renew_deadline: Duration,
    /// How often the Lease is renewed, and looked at by those that do not lead. Has to be shorter than `renew_deadline`.
    pub retry_period: Duration,
    /// The Lease is given back when the [`Election`] is dropped, so that the next one need not wait.
    pub release_on_cancel: bool,
    /// For the times in the Lease.
    pub clock: Clock,
}

impl Options {
    /// With kube-scheduler's times.
    pub fn new(namespace: &str, name: &str, identity: &str) -> Self {
        let [namespace, name, identity] = [namespace, name, identity].map(str::to_owned);
        Self {
            namespace,
            name,
            identity,
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            release_on_cancel: true,
            clock: Clock::Machine,
        }
    }

    /// What cannot work.
    pub fn check(&self) -> Result<(), String> {
        if self.identity.is_empty() {
            return Err("the identity is empty".to_owned());
        }
        if self.lease_duration <= self.renew_deadline {
            return Err("the lease duration has to be longer than the renew deadline".to_owned());
        }
        // client-go's factor: a contender waits up to 2.2 periods, a leader has to be able to fail once.
        if self.renew_deadline <= self.retry_period.mul_f64(1.2) || self.retry_period.is_zero() {
            return Err("the renew deadline has to be longer than 1.2 retry periods".to_owned());
        }
        Ok(())
    }
}

/// What the task tells.
#[derive(Debug, Clone, Default)]
struct Status {
    /// How often it has led.
    term: u64,
    /// It leads, until then at least.
    until: Option<Instant>,
    fence: Option<HeaderValue>,
}

/// What the task is told.
#[derive(Debug, Clone, Copy)]
struct Wish {
    /// It is to lead so often.
    term: u64,
    /// The Lease is to be given back at the end.
    release: bool,
}

/// A contender.
#[derive(Debug)]
pub struct Election {
    wish: watch::Sender<Wish>,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

/// A term as the leader.
#[derive(Debug, Clone)]
pub struct Leading {
    /// What a write of the leader says in the header `Berth-Fence`; none where the API has no epochs.
    pub fence: Option<HeaderValue>,
    term: u64,
    status: watch::Receiver<Status>,
}

impl Leading {
    /// Waits for the end: at the latest `renew_deadline` after the last renewal that was granted was asked for, whatever the API or the
    /// network does.
    pub async fn lost(&self) {
        let mut status = self.status.clone();
        loop {
            let Some(until) = self.until(&status.borrow_and_update()) else { return };
            tokio::select! {
                biased;
                // The task's own clock may be late where this one is not.
                () = sleep_until(until) => if !self.leads() { return },
                changed = status.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Whether it leads still.
    pub fn leads(&self) -> bool {
        // A sender that is gone will renew nothing.
        let until = self.until(&self.status.borrow());
        self.status.has_changed().is_ok() && until.is_some_and(|until| Instant::now() < until)
    }

    fn until(&self, status: &Status) -> Option<Instant> {
        status.until.filter(|_| status.term == self.term)
    }

    /// The API, for writes that hold only as long as this leads.
    #[must_use]
    pub fn fenced(&self, api: Api) -> Api {
        match &self.fence {
            Some(fence) => api.with_header(http::HeaderName::from_static(FENCE), fence.clone()),
            None => api,
        }
    }
}

impl Election {
    /// Begins to contend. Has to be called within a runtime; the options are taken as they are ([`Options::check`]).
    pub fn start(api: Api, options: Options) -> Self {
        let (wish, wished) = watch::channel(Wish { term: 1, release: options.release_on_cancel });
        let (tell, status) = watch::channel(Status::default());
        let task = tokio::spawn(Contender::new(api, options, tell).run(wished));
        Self { wish, status, task }
    }

    /// Waits until it leads. After a term is lost, it contends anew when this is called again.
    pub async fn elected(&mut self) -> Leading {
        let now = self.status.borrow().clone();
        if now.until.is_none_or(|until| until <= Instant::now()) {
            self.wish.send_modify(|wish| wish.term = now.term + 1);
        }
        loop {
            let status = self.status.borrow_and_update().clone();
            if status.until.is_some_and(|until| Instant::now() < until) {
                let Status { term, fence, .. } = status;
                return Leading { fence, term, status: self.status.clone() };
            }
            if self.status.changed().await.is_err() {
                // Only the end of the runtime ends the task.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends it, and gives the Lease back if it has it. Whatever is done as the leader has to have ended before.
    pub async fn release(self) {
        let Self { wish, status, task } = self;
        wish.send_modify(|wish| wish.release = true);
        drop((wish, status));
        // It ends by itself within `renew_deadline`.
        task.await.unwrap_or_default();
    }
}

/// The task.
struct Contender {
    api: Api,
    options: Options,
    state: State,
    path: String,
    tell: watch::Sender<Status>,
    term: u64,
    fence: Option<HeaderValue>,
}

impl Contender {
    fn new(api: Api, options: Options, tell: watch::Sender<Status>) -> Self {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", options.namespace);
        let state = State::new(options.clone(), Instant::now());
        Self { api, options, state, path, tell, term: 0, fence: None }
    }

    async fn run(mut self, mut wished: watch::Receiver<Wish>) {
        let mut step = Step::Wait(Instant::now());
        loop {
            let until = self.state.until();
            // After a term it waits until another one is wanted.
            let contends = until.is_some() || wished.borrow().term > self.term;
            tokio::select! {
                biased;
                changed = wished.changed() => if changed.is_err() { break },
                () = at(until) => {
                    self.state.lose();
                    step = Step::Wait(Instant::now());
                }
                came = self.perform(&step), if contends => step = self.take(came),
            }
            self.told();
        }
        self.state.lose();
        self.told();
        if wished.borrow().release {
            // If it is lost or late, the others wait the Lease out.
            drop(timeout(self.options.renew_deadline, self.give_back()).await);
        }
    }

    /// Gives the Lease back, if it is this one's.
    async fn give_back(&mut self) {
        while let Some(lease) = self.state.free(self.options.clock.micros()) {
            // A renewal that was under way may have arrived.
            let Came::Conflict = self.call(Method::PUT, Some(lease)).await.0 else { return };
            let Came::Read(lease) = self.call(Method::GET, None).await.0 else { return };
            self.state.see(Instant::now(), lease);
        }
    }

    /// Does what the state wants.
    async fn perform(&self, step: &Step) -> (Came, Option<HeaderValue>) {
        match step {
            Step::Wait(until) => {
                sleep_until(*until).await;
                (Came::Due, None)
            }
            Step::Read => self.call(Method::GET, None).await,
            Step::Create(lease) => self.call(Method::POST, Some(lease.clone())).await,
            Step::Update(lease) => self.call(Method::PUT, Some(lease.clone())).await,
        }
    }

    /// One call about the Lease, within the time in which another one can be tried before the deadline.
    async fn call(
        &self,
        method: Method,
        lease: Option<bytes::Bytes>,
    ) -> (Came, Option<HeaderValue>) {
        let path = match method {
            Method::POST => self.path.clone(),
            _ => format!("{}/{}", self.path, self.options.name),
        };
        let reads = method == Method::GET;
        let answer = async {
            let body = lease.map(|lease| (Media::Json, lease));
            let answer = self.api.open(method.clone(), &path, body).await?;
            let fence = answer.headers().get(FENCE).cloned();
            let body = answer.into_body().collect().await;
            let lost = |source| CallError::Lost { method, path, source: Box::new(source) };
            Ok((body.map_err(lost)?.to_bytes(), fence))
        };
        let read = |json: &[u8]| Lease::read(json);
        let failed = |error: &dyn std::fmt::Display| {
            tracing::info!(lease = self.options.name, %error, "a lease could not be seen to");
            (Came::Failed, None)
        };
        match timeout(self.options.renew_deadline / 2, answer).await {
            Err(_) => failed(&"no answer in time"),
            Ok(Err(CallError::Refused { code: 404, .. })) if reads => (Came::Missing, None),
            Ok(Err(CallError::Refused { code: 409, .. })) => (Came::Conflict, None),
            Ok(Err(error)) => failed(&error),
            Ok(Ok((json, fence))) => match read(&json) {
                Ok(lease) if reads => (Came::Read(lease), None),
                Ok(lease) => (Came::Written(lease), fence),
                Err(error) => failed(&error),
            },
        }
    }

    fn take(&mut self, (came, fence): (Came, Option<HeaderValue>)) -> Step {
        let written = matches!(came, Came::Written(_));
        let led = self.state.until().is_some();
        let step = self.state.next(Instant::now(), self.options.clock.micros(), came);
        if written {
            if led && self.fence.is_some() && fence != self.fence {
                // Another one with this identity has held it in between: what this one writes is refused.
                self.state.lose();
            }
            self.fence = fence;
        }
        if led && self.state.until().is_none() {
            // What comes next belongs to another term.
            return Step::Wait(Instant::now());
        }
        step
    }

    /// Tells what has changed.
    fn told(&mut self) {
        let until = self.state.until();
        let before = self.tell.borrow().until;
        if before == until {
            return;
        }
        let (lease, identity) = (&self.options.name, &self.options.identity);
        match (before, until) {
            (None, Some(_)) => {
                self.term += 1;
                tracing::info!(lease, identity, "leads");
            }
            // That is how it was to be.
            (Some(_), None) if self.tell.is_closed() => {
                tracing::info!(lease, identity, "leads no more");
            }
            (Some(_), None) => tracing::warn!(lease, identity, "does not lead any more"),
            _ => {}
        }
        let fence = self.fence.clone();
        self.tell.send_replace(Status { term: self.term, until, fence });
    }
}

/// Waits until then; for ever if there is no such moment.
async fn at(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
