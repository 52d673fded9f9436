// SPDX-License-Identifier: Apache-2.0
//! The control channel: `proto/berth/balancer/v1/balancer.proto` over the control plane. `read` makes messages what is wanted, `write`
//! the other way round.

mod read;
mod watch;
mod write;

pub use read::update;
pub(crate) use write::owner;

use crate::control::{Control, NotTaken, Taken};
use crate::observe::Observer;
use crate::problem::Problems;
use berth_balancer_data::memory::give_back;
use berth_proto::balancer as pb;
use berth_proto::balancer::balancer_server::Balancer;
use prost::Message;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch as signal;
use tonic::{Request, Response, Status};

/// Bytes of a message that leaves much behind.
const LARGE: usize = 1 << 20;
/// Services of one page, if nothing else is said, and at most.
const PAGE: u32 = 100;
const PAGE_MAX: u32 = 1_000;

/// The calls.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    control: Control,
    observer: Observer,
    stopping: signal::Receiver<bool>,
}

impl Calls {
    pub(crate) fn new(
        control: Control,
        observer: Observer,
        stopping: signal::Receiver<bool>,
    ) -> Self {
        Self { control, observer, stopping }
    }

    /// A configuration file is read first: what it names is not a client's to take.
    fn open(&self) -> Result<(), Status> {
        if self.control.shared().is_open() {
            return Ok(());
        }
        Err(Status::unavailable("the configuration file has not been read yet; try again"))
    }
}

/// What stands in an answer of its own, or a status.
fn outcome(taken: Result<Taken, NotTaken>) -> Result<Result<pb::Applied, pb::Refused>, Status> {
    match taken {
        Ok(taken) => Ok(Ok(write::applied(&taken))),
        Err(NotTaken::Refused(problems)) => Ok(Err(write::refused(&problems))),
        Err(other) => Err(status(&other)),
    }
}

fn status(why: &NotTaken) -> Status {
    let text = why.to_string();
    match why {
        NotTaken::Overloaded => Status::resource_exhausted(text),
        NotTaken::Refused(_) => Status::invalid_argument(text),
        NotTaken::Stopping | NotTaken::NoDataPlane(_) => Status::unavailable(text),
    }
}

#[tonic::async_trait]
impl Balancer for Calls {
    async fn apply(
        &self,
        request: Request<pb::ApplyRequest>,
    ) -> Result<Response<pb::ApplyResponse>, Status> {
        let received = Instant::now();
        self.open()?;
        let request = request.into_inner();
        let large = request.encoded_len() >= LARGE;
        let taken = match update(request) {
            Ok(update) => self.control.update(update, received).await,
            Err(problems) => Err(NotTaken::Refused(problems)),
        };
        if large {
            give_back();
        }
        let outcome = match outcome(taken)? {
            Ok(applied) => pb::apply_response::Outcome::Applied(applied),
            Err(refused) => pb::apply_response::Outcome::Refused(refused),
        };
        Ok(Response::new(pb::ApplyResponse { outcome: Some(outcome) }))
    }

    async fn plan(
        &self,
        request: Request<pb::ApplyRequest>,
    ) -> Result<Response<pb::PlanResponse>, Status> {
        let planned = match update(request.into_inner()) {
            Ok(update) => self.control.plan(update).await,
            Err(problems) => Err(NotTaken::Refused(problems)),
        };
        let wrong = |problems: &Problems| pb::PlanResponse {
            problems: write::problems(problems),
            more_problems: problems.more as u64,
            ..pb::PlanResponse::default()
        };
        let answer = match planned {
            Ok(planned) => pb::PlanResponse {
                summary: Some(write::summary(&planned.summary)),
                services: planned.services.iter().map(ToString::to_string).collect(),
                ..pb::PlanResponse::default()
            },
            Err(NotTaken::Refused(problems)) => wrong(&problems),
            Err(other) => return Err(status(&other)),
        };
        Ok(Response::new(answer))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let name = request.into_inner().name;
        let asked = name.clone();
        let found = self.control.look(move |state| state.entry(&asked).map(Arc::clone)).await;
        let Some(entry) = found.map_err(|why| status(&why))? else {
            return Err(Status::not_found(format!("no service is called \"{name}\"")));
        };
        let stats = self.observer.stats().await.ok();
        let view = write::view(&entry, false, stats.as_deref());
        Ok(Response::new(pb::GetResponse { service: Some(view) }))
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let pb::ListRequest { page_size, page_token, brief } = request.into_inner();
        let size = if page_size == 0 { PAGE } else { page_size.min(PAGE_MAX) } as usize;
        let found = self.control.look(move |state| {
            let entries = state.entries();
            let page = match page_token.as_str() {
                "" => entries.range::<str, _>((Bound::Unbounded, Bound::Unbounded)),
                last => entries.range::<str, _>((Bound::Excluded(last), Bound::Unbounded)),
            };
            let page: Vec<_> = page.take(size + 1).map(|(_, entry)| Arc::clone(entry)).collect();
            (page, entries.len())
        });
        let (mut page, total) = found.await.map_err(|why| status(&why))?;
        let more = page.len() > size;
        page.truncate(size);
        let last = page.last().map(|entry| entry.service.name.to_string());
        let answer = pb::ListResponse {
            services: page.iter().map(|entry| write::view(entry, brief, None)).collect(),
            next_page_token: last.filter(|_| more).unwrap_or_default(),
            total: u32::try_from(total).unwrap_or(u32::MAX),
        };
        Ok(Response::new(answer))
    }

    async fn drain(
        &self,
        request: Request<pb::DrainRequest>,
    ) -> Result<Response<pb::DrainResponse>, Status> {
        let pb::DrainRequest { service, endpoints, undo } = request.into_inner();
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        let taken = self.control.drain(service.into(), endpoints, !undo).await;
        let outcome = match outcome(taken)? {
            Ok(applied) => pb::drain_response::Outcome::Applied(applied),
            Err(refused) => pb::drain_response::Outcome::Refused(refused),
        };
        Ok(Response::new(pb::DrainResponse { outcome: Some(outcome) }))
    }

    async fn status(
        &self,
        _: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let stats = self.observer.stats().await.ok();
        Ok(Response::new(write::status(self.control.shared(), stats.as_deref())))
    }

    type WatchStream = watch::Watching;

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (observer, stopping) = (self.observer.clone(), self.stopping.clone());
        Ok(Response::new(watch::begin(request.into_inner(), observer, stopping)?))
    }
}
