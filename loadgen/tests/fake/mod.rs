// SPDX-License-Identifier: Apache-2.0
//! A service for tests that does one thing wrong: first fit over CPU, memory and pods, on loopback, on a port of its own.
#![allow(dead_code, reason = "each test uses its part")]

use berth_proto::hot::scheduler_server::{Scheduler, SchedulerServer};
use berth_proto::raw::request::{Parts, PodSpans, What};
use berth_proto::raw::{ScheduleRequest, ScheduleResponse, StreamRequest, StreamResponse};
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome;
use berth_scheduler_model::quantity::{milli, units};
use prost::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::Stream;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

/// What the service does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Every seventh message or call is not taken up.
    Overload,
    /// Every seventh unary call fails with RESOURCE_EXHAUSTED.
    OverloadStatus,
    /// All pods go to one node.
    Overcommit,
    /// A node that nobody knows.
    UnknownNode,
    /// Pods that would fit are refused.
    Refuse,
    /// Pods are answered with a conflict.
    Conflict,
    /// Placements are called repetitions.
    Repeated,
    /// Releases are forgotten at once.
    ForgetPods,
    /// The lists miss a pod.
    Lists,
    /// The stream ends in the middle.
    EndStream,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    node: usize,
    cpu: i64,
    memory: i64,
}

#[derive(Debug, Default)]
struct State {
    fault: Fault,
    revision: u64,
    messages: u64,
    nodes: Vec<(v1::Node, [i64; 3])>,
    pods: BTreeMap<String, Taken>,
    templates: Vec<v1::PodSpec>,
    cursor: usize,
}

/// The service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

/// Starts one and gives its address. It runs until the test's runtime ends.
pub(crate) async fn start(fault: Fault) -> SocketAddr {
    let fake = Fake::default();
    fake.lock().fault = fault;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    let server = tonic::transport::Server::builder().add_service(SchedulerServer::new(fake));
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

impl Fake {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the lock")
    }
}

fn amount(spec: &v1::PodSpec, resource: &str, read: fn(&str) -> i64) -> i64 {
    let request = |container: &v1::Container| {
        container.resources.as_ref()?.requests.get(resource).map(|text| read(text))
    };
    spec.containers.iter().filter_map(request).sum()
}

impl State {
    fn overloaded(&mut self) -> bool {
        self.messages += 1;
        self.fault == Fault::Overload && self.messages.is_multiple_of(7)
    }

    fn release(&mut self, uid: &str) -> bool {
        let known = self.pods.remove(uid);
        if let Some(Taken { node, cpu, memory }) = known {
            let left = &mut self.nodes[node].1;
            *left = [left[0] + cpu, left[1] + memory, left[2] + 1];
            self.revision += 1;
        }
        known.is_some()
    }

    fn place(&mut self, message: &[u8], pod: &PodSpans) -> v1::PodResult {
        let spec = match pod.what {
            What::Spec(span) => v1::PodSpec::decode(span.of(message)).expect("a spec"),
            What::Template(number) => self.templates[number as usize - 1].clone(),
            What::Nothing => v1::PodSpec::default(),
        };
        let cpu = amount(&spec, "cpu", |text| milli(text).expect("a quantity"));
        let memory = amount(&spec, "memory", |text| units(text).expect("a quantity"));
        let outcome = self.outcome(pod.uid.text(message), cpu, memory);
        v1::PodResult { revision: self.revision, uid: String::new(), outcome: Some(outcome) }
    }

    fn outcome(&mut self, uid: &str, cpu: i64, memory: i64) -> Outcome {
        match self.fault {
            Fault::Conflict => return Outcome::Conflict(v1::Conflict::default()),
            Fault::Refuse if self.pods.len() > 20 => return self.refused(),
            _ => {}
        }
        let count = self.nodes.len();
        let fits = |left: &[i64; 3]| left[0] >= cpu && left[1] >= memory && left[2] >= 1;
        let first = (0..count).map(|i| (self.cursor + i) % count).find(|i| fits(&self.nodes[*i].1));
        let node = match first {
            _ if self.fault == Fault::Overcommit => 0,
            Some(node) => node,
            None => return self.refused(),
        };
        self.cursor = node + 1;
        self.revision += 1;
        let left = &mut self.nodes[node].1;
        *left = [left[0] - cpu, left[1] - memory, left[2] - 1];
        if self.fault != Fault::ForgetPods || self.pods.len() < 20 {
            self.pods.insert(uid.to_owned(), Taken { node, cpu, memory });
        }
        let name = match self.fault {
            Fault::UnknownNode => "elsewhere".to_owned(),
            _ => self.nodes[node].0.name.clone(),
        };
        let repeated = self.fault == Fault::Repeated;
        Outcome::Placed(v1::Placed { node: name, repeated, ..v1::Placed::default() })
    }

    fn refused(&self) -> Outcome {
        let nodes = u32::try_from(self.nodes.len()).expect("few");
        Outcome::Refused(v1::Refused {
            message: format!("0/{nodes} nodes are available: {nodes} Insufficient cpu."),
            nodes,
            rules: vec![v1::RuleCount { plugin: "NodeResourcesFit".into(), nodes }],
            ..v1::Refused::default()
        })
    }

    fn stream(&mut self, request: &StreamRequest) -> StreamResponse {
        let mut parts = Parts::default();
        request.read(&mut parts).expect("a message");
        let mut answer = v1::StreamResponse { id: parts.id, ..v1::StreamResponse::default() };
        if self.overloaded() {
            answer.not_accepted = Some(v1::NotAccepted::default());
            answer.results = parts.pods.iter().map(|_| self.not_accepted()).collect();
        } else {
            for uid in &parts.release {
                let uid = uid.text(&request.0);
                if !self.release(uid) {
                    answer.unknown.push(uid.to_owned());
                }
            }
            answer.results = parts.pods.iter().map(|pod| self.place(&request.0, pod)).collect();
        }
        answer.revision = self.revision;
        StreamResponse(answer.encode_to_vec().into())
    }

    fn not_accepted(&self) -> v1::PodResult {
        let outcome = Some(Outcome::NotAccepted(v1::NotAccepted::default()));
        v1::PodResult { revision: self.revision, uid: String::new(), outcome }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Scheduler for Fake {
    type ScheduleStreamStream = Pin<Box<dyn Stream<Item = Result<StreamResponse, Status>> + Send>>;
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn schedule(&self, request: Request<ScheduleRequest>) -> Answer<ScheduleResponse> {
        let request = request.into_inner();
        let mut parts = Parts::default();
        request.read(&mut parts).expect("a message");
        let mut state = self.lock();
        let overloaded = state.overloaded();
        if state.fault == Fault::OverloadStatus && state.messages.is_multiple_of(7) {
            return Err(Status::new(Code::ResourceExhausted, "too much"));
        }
        let result = |pod| {
            if overloaded { state.not_accepted() } else { state.place(&request.0, pod) }
        };
        let results = parts.pods.iter().map(result).collect();
        let answer = v1::ScheduleResponse { revision: state.revision, results };
        Ok(Response::new(ScheduleResponse(answer.encode_to_vec().into())))
    }

    async fn schedule_stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Answer<Self::ScheduleStreamStream> {
        let (fake, mut requests) = (self.clone(), request.into_inner());
        let (send, receive) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut messages = 0;
            while let Ok(Some(request)) = requests.message().await {
                messages += 1;
                let answer = fake.lock().stream(&request);
                let ends = fake.lock().fault == Fault::EndStream && messages > 2;
                if ends || send.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn register_template(
        &self,
        request: Request<v1::RegisterTemplateRequest>,
    ) -> Answer<v1::RegisterTemplateResponse> {
        let mut state = self.lock();
        state.templates.push(request.into_inner().spec.expect("a spec"));
        let template = u32::try_from(state.templates.len()).expect("few");
        Ok(Response::new(v1::RegisterTemplateResponse { template, revision: state.revision }))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Answer<v1::ReleaseResponse> {
        let mut state = self.lock();
        if state.fault == Fault::OverloadStatus {
            state.messages += 1;
            if state.messages.is_multiple_of(7) {
                return Err(Status::new(Code::ResourceExhausted, "too much"));
            }
        }
        let mut uids = request.into_inner().uids;
        uids.retain(|uid| !state.release(uid));
        Ok(Response::new(v1::ReleaseResponse { revision: state.revision, unknown: uids }))
    }

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Answer<v1::ApplyResponse> {
        let mut state = self.lock();
        state.revision += 1;
        let applied = u32::try_from(request.into_inner().updates.len()).expect("few");
        let revision = state.revision;
        Ok(Response::new(v1::ApplyResponse { revision, applied, errors: vec![] }))
    }

    async fn sync_nodes(
        &self,
        request: Request<Streaming<v1::SyncNodesRequest>>,
    ) -> Answer<v1::SyncResponse> {
        let mut requests = request.into_inner();
        let mut nodes = Vec::new();
        while let Some(message) = requests.message().await? {
            nodes.extend(message.nodes);
        }
        let read = |node: v1::Node| {
            let all = &node.allocatable;
            let cpu = milli(&all["cpu"]).expect("a quantity");
            let memory = units(&all["memory"]).expect("a quantity");
            let pods = units(&all["pods"]).expect("a quantity");
            (node, [cpu, memory, pods])
        };
        let mut state = self.lock();
        state.nodes = nodes.into_iter().map(read).collect();
        let added_count = u32::try_from(state.nodes.len()).expect("few");
        Ok(Response::new(v1::SyncResponse { added_count, ..v1::SyncResponse::default() }))
    }

    async fn sync_pods(
        &self,
        _: Request<Streaming<v1::SyncPodsRequest>>,
    ) -> Answer<v1::SyncResponse> {
        self.lock().pods.clear();
        Ok(Response::new(v1::SyncResponse::default()))
    }

    async fn list_nodes(&self, _: Request<v1::ListNodesRequest>) -> Answer<v1::ListNodesResponse> {
        let state = self.lock();
        let mut sums = vec![(0, 0, 0); state.nodes.len()];
        for Taken { node, cpu, memory } in state.pods.values() {
            let sum = &mut sums[*node];
            *sum = (sum.0 + cpu, sum.1 + memory, sum.2 + 1);
        }
        let info = |((node, _), (cpu, memory, pods)): (&(v1::Node, [i64; 3]), (i64, i64, u32))| {
            let requested = [("cpu", format!("{cpu}m")), ("memory", memory.to_string())];
            let requested = requested.map(|(name, text)| (name.to_owned(), text)).into();
            v1::NodeInfo { node: Some(node.clone()), requested, pods }
        };
        let nodes = state.nodes.iter().zip(sums).map(info).collect();
        let revision = state.revision;
        let answer = v1::ListNodesResponse { revision, nodes, next_page_token: String::new() };
        Ok(Response::new(answer))
    }

    async fn list_pods(
        &self,
        request: Request<v1::ListPodsRequest>,
    ) -> Answer<v1::ListPodsResponse> {
        // Small pages, so that turning them is tried.
        const PAGE: usize = 50;
        let state = self.lock();
        let from: usize = request.into_inner().page_token.parse().unwrap_or_default();
        let left_out = usize::from(state.fault == Fault::Lists);
        let info = |(uid, taken): (&String, &Taken)| v1::PodInfo {
            uid: uid.clone(),
            node: state.nodes[taken.node].0.name.clone(),
            ..v1::PodInfo::default()
        };
        let pods: Vec<v1::PodInfo> =
            state.pods.iter().skip(from + left_out).take(PAGE).map(info).collect();
        let more = from + PAGE < state.pods.len();
        let next_page_token = if more { (from + PAGE).to_string() } else { String::new() };
        Ok(Response::new(v1::ListPodsResponse { revision: state.revision, pods, next_page_token }))
    }

    async fn stats(&self, _: Request<v1::StatsRequest>) -> Answer<v1::StatsResponse> {
        let state = self.lock();
        let (nodes, pods) = (state.nodes.len(), state.pods.len());
        let small = |count: usize| u32::try_from(count).expect("few");
        let (nodes, pods) = (small(nodes), small(pods));
        Ok(Response::new(v1::StatsResponse { nodes, pods, ..v1::StatsResponse::default() }))
    }

    async fn drop_templates(
        &self,
        _: Request<v1::DropTemplatesRequest>,
    ) -> Answer<v1::DropTemplatesResponse> {
        Ok(Response::new(v1::DropTemplatesResponse::default()))
    }

    async fn confirm(&self, _: Request<v1::ConfirmRequest>) -> Answer<v1::ConfirmResponse> {
        Err(Status::unimplemented("no test needs it"))
    }

    async fn cancel(&self, _: Request<v1::CancelRequest>) -> Answer<v1::CancelResponse> {
        Err(Status::unimplemented("no test needs it"))
    }

    async fn explain(&self, _: Request<v1::ExplainRequest>) -> Answer<v1::ExplainResponse> {
        Err(Status::unimplemented("no test needs it"))
    }

    async fn get_node(&self, _: Request<v1::GetNodeRequest>) -> Answer<v1::GetNodeResponse> {
        Err(Status::unimplemented("no test needs it"))
    }

    async fn get_pod(&self, _: Request<v1::GetPodRequest>) -> Answer<v1::GetPodResponse> {
        Err(Status::unimplemented("no test needs it"))
    }

    async fn list_classes(
        &self,
        _: Request<v1::ListClassesRequest>,
    ) -> Answer<v1::ListClassesResponse> {
        Err(Status::unimplemented("no test needs it"))
    }

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        Err(Status::unimplemented("no test needs it"))
    }
}
