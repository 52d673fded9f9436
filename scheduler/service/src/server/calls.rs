// SPDX-License-Identifier: Apache-2.0
//! The calls of the contract, each as far as it can be dealt with before the sequencer: bounds, reading, converting.

use super::Limits;
use super::cut::{Cutter, Readable};
use super::gauge::Gauge;
use super::history::History;
use super::inbox::{Core, Inbox, Size, Work};
use super::metrics::{Shared, journal_message};
use super::status;
use super::stream::Duplex;
use super::watch::{self, Unread};
use crate::convert::{self, Change, SeenSpecs, Violation};
use berth_proto::hot::scheduler_server::Scheduler;
use berth_proto::raw;
use berth_proto::raw::request::{ENTRIES_MAX, Parts};
use berth_proto::v1;
use berth_proto_serve::{Switch, oversized};
use berth_scheduler_model::limits::NODES_MAX;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch as signal;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Pods in one SyncPods.
const PODS_MAX: usize = 4_000_000;
/// Above so many updates, reading them is given to a thread of its own.
const READ_HERE: usize = 64;
/// Messages of a watch on their way.
const WATCH_AHEAD: usize = 2;

/// The service's calls.
#[derive(Clone)]
pub(super) struct Calls {
    inbox: Inbox,
    history: Arc<History>,
    limits: Limits,
    cutter: Cutter,
    stopping: signal::Receiver<bool>,
    shared: Arc<Shared>,
    streams: Gauge,
    watches: Gauge,
}

impl Calls {
    pub(super) fn new(
        inbox: Inbox,
        history: Arc<History>,
        limits: Limits,
        stopping: signal::Receiver<bool>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            inbox,
            history,
            limits,
            cutter: Cutter::default(),
            stopping,
            shared,
            streams: Gauge::default(),
            watches: Gauge::default(),
        }
    }

    pub(super) fn cutter(&self) -> Cutter {
        self.cutter.clone()
    }

    /// Has the sequencer change something, if it takes changes.
    async fn change<T: Send + 'static>(
        &self,
        size: Size,
        work: impl FnOnce(&mut Core, u64) -> Result<T, Status> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let asked = self.inbox.ask(size, move |core, now| match core.not_accepted() {
            Some(why) => Err(status::not_accepted(why)),
            None => work(core, now),
        });
        asked.await.map(Response::new)
    }

    /// Has the sequencer say something.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core, u64) -> Result<T, Status> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        self.inbox.ask(Size::Large, work).await.map(Response::new)
    }
}

fn at_most(field: &str, found: usize, max: usize) -> Result<(), Status> {
    if found > max {
        let message = format!("{found} entries; at most {max} are possible");
        return Err(status::invalid(&Violation::new(field, message)));
    }
    Ok(())
}

/// When the client stops waiting.
fn deadline<T>(request: &Request<T>) -> Option<Instant> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok()?;
    let time = match unit {
        "H" => Duration::from_secs(amount.checked_mul(3_600)?),
        "M" => Duration::from_secs(amount.checked_mul(60)?),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    };
    Instant::now().checked_add(time)
}

fn switch<T>(request: &Request<T>) -> Option<Arc<Switch>> {
    request.extensions().get::<Arc<Switch>>().cloned()
}

type ReadUpdate = Result<(v1::Update, Change), Violation>;

fn read_updates(updates: Vec<v1::Update>) -> Vec<ReadUpdate> {
    let read = |update: v1::Update| Ok((update.clone(), convert::update(update)?));
    updates.into_iter().map(read).collect()
}

#[tonic::async_trait]
impl Scheduler for Calls {
    type ScheduleStreamStream = Duplex;
    type WatchStream = ReceiverStream<Result<v1::WatchResponse, Status>>;

    async fn schedule(
        &self,
        request: Request<raw::ScheduleRequest>,
    ) -> Result<Response<raw::ScheduleResponse>, Status> {
        let deadline = deadline(&request);
        let message = request.into_inner();
        let mut parts = Box::<Parts>::default();
        message.read(&mut parts).map_err(status::malformed)?;
        let (reply, answer) = oneshot::channel();
        let size = Size::of(parts.pods.len());
        self.inbox
            .put(Work::Schedule { message, parts, reply, deadline }, size)
            .map_err(|why| status::not_accepted(&why))?;
        let gone = |_| Err(status::not_accepted(&status::stopping()));
        answer.await.unwrap_or_else(gone).map(Response::new)
    }

    async fn schedule_stream(
        &self,
        request: Request<Streaming<raw::StreamRequest>>,
    ) -> Result<Response<Duplex>, Status> {
        let switch = switch(&request);
        let (duplex, readable) = Duplex::new(
            request.into_inner(),
            self.inbox.clone(),
            &self.limits,
            switch,
            self.stopping.clone(),
            self.streams.open(),
        );
        self.cutter.add(Arc::downgrade(&readable));
        Ok(Response::new(duplex))
    }

    async fn register_template(
        &self,
        request: Request<v1::RegisterTemplateRequest>,
    ) -> Result<Response<v1::RegisterTemplateResponse>, Status> {
        let spec = request.into_inner().spec;
        let spec = spec.ok_or_else(|| status::invalid(&Violation::new("spec", "missing")))?;
        self.change(Size::Large, move |core, _| {
            let template = core.register_template(&spec).map_err(|violation| {
                if violation.field.is_empty() {
                    status::not_accepted(&v1::NotAccepted {
                        reason: v1::not_accepted::Reason::Limit.into(),
                        message: violation.message,
                        retry_after_ms: 0,
                    })
                } else {
                    status::invalid(&violation)
                }
            })?;
            Ok(v1::RegisterTemplateResponse { template, revision: core.revision() })
        })
        .await
    }

    async fn drop_templates(
        &self,
        request: Request<v1::DropTemplatesRequest>,
    ) -> Result<Response<v1::DropTemplatesResponse>, Status> {
        let templates = request.into_inner().templates;
        at_most("templates", templates.len(), ENTRIES_MAX)?;
        self.change(Size::Large, move |core, _| {
            let unknown = templates.into_iter().filter(|number| !core.drop_template(*number));
            let unknown = unknown.collect();
            Ok(v1::DropTemplatesResponse { revision: core.revision(), unknown })
        })
        .await
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseResponse>, Status> {
        let uids = request.into_inner().uids;
        at_most("uids", uids.len(), ENTRIES_MAX)?;
        self.change(Size::of(uids.len()), move |core, _| {
            let mut unknown = Vec::new();
            core.release(uids.iter().map(String::as_str), |uid| unknown.push(uid.to_owned()));
            Ok(v1::ReleaseResponse { revision: core.revision(), unknown })
        })
        .await
    }

    async fn confirm(
        &self,
        request: Request<v1::ConfirmRequest>,
    ) -> Result<Response<v1::ConfirmResponse>, Status> {
        let uids = request.into_inner().uids;
        at_most("uids", uids.len(), ENTRIES_MAX)?;
        self.change(Size::of(uids.len()), move |core, _| {
            let mut unknown = Vec::new();
            core.confirm(uids.iter().map(String::as_str), |uid| unknown.push(uid.to_owned()));
            Ok(v1::ConfirmResponse { revision: core.revision(), unknown })
        })
        .await
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::CancelResponse>, Status> {
        let uids = request.into_inner().uids;
        at_most("uids", uids.len(), ENTRIES_MAX)?;
        self.change(Size::of(uids.len()), move |core, _| {
            let mut unknown = Vec::new();
            core.cancel(uids.iter().map(String::as_str), |uid| unknown.push(uid.to_owned()));
            Ok(v1::CancelResponse { revision: core.revision(), unknown })
        })
        .await
    }

    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        let v1::ApplyRequest { updates, all_or_nothing } = request.into_inner();
        at_most("updates", updates.len(), ENTRIES_MAX)?;
        let changes = if updates.len() <= READ_HERE {
            read_updates(updates)
        } else {
            let reading = tokio::task::spawn_blocking(move || read_updates(updates));
            reading.await.map_err(|error| Status::internal(error.to_string()))?
        };
        self.change(Size::Large, move |core, now| Ok(core.apply(now, changes, all_or_nothing)))
            .await
    }

    async fn sync_nodes(
        &self,
        request: Request<Streaming<v1::SyncNodesRequest>>,
    ) -> Result<Response<v1::SyncResponse>, Status> {
        let mut messages = request.into_inner();
        let mut nodes = Vec::new();
        while let Some(message) = messages.message().await.map_err(oversized)? {
            for node in message.nodes {
                let at = format!("nodes[{}]", nodes.len());
                let read = convert::node(&node);
                nodes.push(read.map_err(|violation| status::invalid(&violation.under(&at)))?);
            }
            at_most("nodes", nodes.len(), NODES_MAX)?;
        }
        self.change(Size::Large, move |core, now| {
            core.sync_nodes(now, nodes).map_err(|violation| status::invalid(&violation))
        })
        .await
    }

    async fn sync_pods(
        &self,
        request: Request<Streaming<v1::SyncPodsRequest>>,
    ) -> Result<Response<v1::SyncResponse>, Status> {
        let mut messages = request.into_inner();
        let mut pods = Vec::new();
        let mut seen = SeenSpecs::default();
        let mut as_of = None;
        while let Some(message) = messages.message().await.map_err(oversized)? {
            as_of.get_or_insert(message.as_of_revision);
            for pod in message.pods {
                let at = format!("pods[{}]", pods.len());
                let read = convert::bound_pod(pod, &mut seen);
                pods.push(read.map_err(|violation| status::invalid(&violation.under(&at)))?);
            }
            at_most("pods", pods.len(), PODS_MAX)?;
        }
        let as_of = as_of.unwrap_or_default();
        self.change(Size::Large, move |core, now| {
            core.sync_pods(now, pods, as_of).map_err(|violation| status::invalid(&violation))
        })
        .await
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let request = request.into_inner();
        at_most("nodes", request.nodes.len(), ENTRIES_MAX)?;
        self.read(move |core, now| {
            let said =
                core.explain(now, &request).map_err(|violation| status::invalid(&violation))?;
            said.ok_or_else(|| Status::not_found("no pod of this uid is known"))
        })
        .await
    }

    async fn get_node(
        &self,
        request: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::GetNodeResponse>, Status> {
        let name = request.into_inner().name;
        self.read(move |core, _| {
            core.get_node(&name).ok_or_else(|| Status::not_found("no node of this name is known"))
        })
        .await
    }

    async fn list_nodes(
        &self,
        request: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        let request = request.into_inner();
        self.read(move |core, _| Ok(core.list_nodes(&request))).await
    }

    async fn get_pod(
        &self,
        request: Request<v1::GetPodRequest>,
    ) -> Result<Response<v1::GetPodResponse>, Status> {
        let uid = request.into_inner().uid;
        self.read(move |core, _| {
            core.get_pod(&uid).ok_or_else(|| Status::not_found("no pod of this uid is known"))
        })
        .await
    }

    async fn list_pods(
        &self,
        request: Request<v1::ListPodsRequest>,
    ) -> Result<Response<v1::ListPodsResponse>, Status> {
        let request = request.into_inner();
        self.read(move |core, _| {
            core.list_pods(&request).map_err(|violation| status::invalid(&violation))
        })
        .await
    }

    async fn list_classes(
        &self,
        request: Request<v1::ListClassesRequest>,
    ) -> Result<Response<v1::ListClassesResponse>, Status> {
        let request = request.into_inner();
        self.read(move |core, _| Ok(core.list_classes(&request))).await
    }

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let unread = Arc::new(Unread::new(switch(&request)));
        let request = request.into_inner();
        at_most("namespaces", request.namespaces.len(), ENTRIES_MAX)?;
        let readable: Arc<dyn Readable> = Arc::clone(&unread) as Arc<dyn Readable>;
        let readable: Weak<dyn Readable> = Arc::downgrade(&readable);
        self.cutter.add(readable);
        let (send, receive) = mpsc::channel(WATCH_AHEAD);
        let (history, stopping) = (Arc::clone(&self.history), self.stopping.clone());
        let open = self.watches.open();
        tokio::spawn(async move {
            watch::run(history, request, send, unread, stopping).await;
            drop(open);
        });
        Ok(Response::new(ReceiverStream::new(receive)))
    }

    async fn stats(
        &self,
        _: Request<v1::StatsRequest>,
    ) -> Result<Response<v1::StatsResponse>, Status> {
        let stats = self.inbox.ask(Size::Large, |core, _| Ok(core.stats())).await?;
        Ok(Response::new(v1::StatsResponse {
            uptime_ms: self.shared.uptime_ms(),
            overloaded_total: self.inbox.overloaded() as u64,
            streams: self.streams.count(),
            watches: self.watches.count(),
            journal: self.shared.journal().as_ref().map(journal_message),
            ..stats
        }))
    }
}
