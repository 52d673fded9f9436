// SPDX-License-Identifier: Apache-2.0
//! Starting and stopping an agent.

use crate::host;
use crate::node::{self, Teller};
use crate::pods::{Ending, Pods};
use crate::serving::Board;
use crate::settings::{Settings, StartError, Stop};
use crate::shared::{Parts, Shared, WholePod};
use berth_cluster_agent_network::{AddressBook, Opened};
use berth_cluster_agent_serve::{CertificateError, Options, Server, Serving};
use berth_cluster_client::events::Recorder;
use berth_cluster_client::{Informer, Resource};
use berth_cluster_docker::{Agent as AgentName, Engine, EngineInfo, NetworkSpec};
use berth_cluster_files::{Facts, Resolver, Root};
use berth_cluster_stream::Times;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// How long the end may take beyond the grace of pods.
const LAST: Duration = Duration::from_mins(1);
/// What informers wait with after failures, so that not all come back at once.
const SEED: u64 = 0x5eed;

/// Agents of nodes.
#[derive(Debug, Clone, Copy)]
pub struct Agent;

/// An agent that runs. Dropping it ends its tasks; containers go on.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    stop: mpsc::Sender<Ending>,
    tasks: JoinSet<()>,
    serving: Option<Serving>,
}

impl Agent {
    /// Starts one: waits for the engine, takes over what an earlier agent of this name left there, registers the node, and goes on until it
    /// is stopped.
    pub async fn start(settings: Settings) -> Result<Running, StartError> {
        let name = AgentName::new(&settings.node).map_err(StartError::Name)?;
        let told = |error: &_| tracing::warn!(%error, "waiting for the engine");
        let engine = Box::pin(Engine::wait(&settings.engine, name, told)).await;
        let engine = engine.map_err(StartError::Engine)?;
        let info = engine.info().await.map_err(StartError::Engine)?;
        let root = open(&settings)?;
        let book = addresses(&settings)?;
        let network = NetworkSpec {
            subnet: settings.range.first(),
            prefix: settings.range.prefix(),
            gateway: book.gateway(),
            bridge: settings.bridge.clone(),
            mtu: settings.mtu,
        };
        engine.ensure_network(&network).await.map_err(StartError::Network)?;
        let facts = facts(&settings, &info);
        let api = settings.api.clone();
        let recorder = Recorder::start(api.clone(), "kubelet", settings.clock);
        let services = Informer::start(api.clone(), Resource::new("", "v1", "services"), SEED);
        let own = Informer::start(api.clone(), own_node(&settings.node), SEED + 1);
        let pods = Informer::start(api, own_pods(&settings.node), SEED + 2);
        let parts = Parts { settings, engine, info, root, book, facts, recorder, services, own };
        let shared = Arc::new(Shared::new(parts));
        Self::run(shared, pods).await
    }

    async fn run(shared: Arc<Shared>, pods: Informer<WholePod>) -> Result<Running, StartError> {
        let events = shared.engine.events(None);
        let taken_at = shared.now();
        let found = shared.engine.list().await.map_err(StartError::Engine)?;
        let mut tasks = JoinSet::new();
        let serving = Box::pin(serve(&shared)).await?;
        if let Some(network) = shared.settings.host.clone() {
            tasks.spawn(host::keep(Arc::clone(&shared), network));
        }
        let teller = Box::pin(Teller::register(Arc::clone(&shared))).await?;
        tasks.spawn(teller.run());
        tasks.spawn(node::renew(Arc::clone(&shared)));
        let (stop, ending) = mpsc::channel(1);
        let pods = Pods::new(Arc::clone(&shared), pods, found, taken_at);
        tasks.spawn(pods.run(events, ending));
        Ok(Running { shared, stop, tasks, serving })
    }
}

impl Running {
    /// Ends the agent, and its containers if they are not to go on.
    pub async fn stop(mut self, how: Stop) {
        let grace = match how {
            Stop::Leave => Duration::ZERO,
            Stop::Remove { grace } => grace,
        };
        let (told, ended) = oneshot::channel();
        let end = async {
            if self.stop.send((how, told)).await.is_ok() {
                // If the task is gone, nothing is left to be waited for.
                drop(ended.await);
            }
        };
        if tokio::time::timeout(grace + LAST, end).await.is_err() {
            tracing::warn!("the agent did not end in time");
        }
        if let Some(serving) = self.serving.take() {
            serving.stop().await;
        }
        self.shared.recorder.flush().await;
        self.tasks.shutdown().await;
        if how != Stop::Leave && self.shared.settings.host.is_some() {
            let shared = Arc::clone(&self.shared);
            let remove = move || {
                let Settings { node, hands, .. } = &shared.settings;
                host::remove(node, hands.as_deref());
            };
            // What is left is told there.
            drop(tokio::task::spawn_blocking(remove).await);
        }
    }

    /// Where the agent's own server listens, if there is one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.serving.as_ref().map(Serving::address)
    }

    /// Shows another certificate from now on, with its key, both PEM. Says why not, if it does not.
    pub fn show(&self, certificate: &str, key: &str) -> Result<(), CertificateError> {
        match &self.serving {
            Some(serving) => serving.certificate().swap(certificate, key),
            None => Ok(()),
        }
    }

    /// The name of the node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.shared.settings.node
    }
}

/// The agent's own server, which answers from now on.
async fn serve(shared: &Arc<Shared>) -> Result<Option<Serving>, StartError> {
    let Some(serve) = shared.settings.serve.clone() else { return Ok(None) };
    let options = Options {
        address: serve.address,
        node: shared.settings.node.clone(),
        certificate: serve.certificate,
        key: serve.key,
        client_ca: serve.client_ca,
        times: Times::default(),
    };
    let pods = Arc::new(Board(Arc::clone(shared)));
    let (engine, api) = (shared.engine.clone(), shared.settings.api.clone());
    let server = Server::bind(options, pods, engine, api).await.map_err(StartError::Serve)?;
    // It is set once.
    let _ = shared.port.set(server.address().port());
    Ok(Some(server.run()))
}

fn open(settings: &Settings) -> Result<Root, StartError> {
    Root::open(&settings.root).map_err(StartError::Files)
}

fn addresses(settings: &Settings) -> Result<AddressBook, StartError> {
    let path = settings.root.join("addresses");
    let (book, opened) = AddressBook::open(&path, settings.range).map_err(StartError::Addresses)?;
    match opened {
        Opened::New | Opened::Kept => {}
        Opened::OtherRange(range) => {
            tracing::warn!(%range, "pods had addresses of another range before");
        }
        Opened::Unreadable(why) => tracing::warn!(why, "the addresses of pods were not readable"),
    }
    Ok(book)
}

fn facts(settings: &Settings, info: &EngineInfo) -> Facts {
    let text = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    Facts {
        node: settings.node.clone(),
        addresses: vec![settings.address.to_string()],
        allocatable: node::amounts(settings, info),
        memory_capacity_bytes: info.memory_bytes,
        pids_max: settings.pids_max,
        cluster_dns: settings.cluster_dns.clone(),
        cluster_domain: settings.cluster_domain.clone(),
        resolver: Resolver::parse(&text("/etc/resolv.conf")),
        hosts: text("/etc/hosts"),
    }
}

fn own_pods(node: &str) -> Resource {
    let query = format!("fieldSelector=spec.nodeName%3D{node}");
    Resource { query, ..Resource::new("", "v1", "pods") }
}

fn own_node(node: &str) -> Resource {
    let query = format!("fieldSelector=metadata.name%3D{node}");
    Resource { query, ..Resource::new("", "v1", "nodes") }
}
