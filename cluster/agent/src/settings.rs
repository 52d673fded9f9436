// SPDX-License-Identifier: Apache-2.0
//! What an agent is told when it starts.

use berth_cluster_agent_network::{BookError, Range};
use berth_cluster_agent_serve::BindError;
use berth_cluster_client::{Api, Clock};
use berth_cluster_docker::{Address, CallError, NameError, NetworkError};
use berth_cluster_files::VolumeError;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Pods of a node where nothing is said, as upstream has it.
const PODS_MAX: u32 = 110;
/// Processes and threads of a container: a fork bomb is its own pod's trouble. OpenShift has the same number.
const PIDS_MAX: u64 = 4_096;
/// Images that are pulled at a time.
const PULLS_MAX: usize = 4;
/// Sandboxes and containers that are made or started at a time.
const STARTS_MAX: usize = 16;
/// How long it is waited after a pod's end was told in the API, where nobody confirms it.
const LEAVE: Duration = Duration::from_millis(300);

/// What an agent is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's name; what the agent makes on its engine carries it, so several agents can share one.
    pub node: String,
    /// The node's address.
    pub address: IpAddr,
    /// Labels of the node, beside its name, system and processor.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the node.
    pub annotations: BTreeMap<String, String>,
    /// How many pods it takes.
    pub pods_max: u32,
    /// Processes and threads of a container; `None` for no bound.
    pub pids_max: Option<u64>,
    /// Images that are pulled at a time.
    pub pulls_max: usize,
    /// Sandboxes and containers that are made or started at a time: an engine does no more of them with more at once, each only takes longer.
    pub starts_max: usize,
    /// Where the agent keeps its files: pods' volumes, and which pod has which address.
    pub root: PathBuf,
    /// The engine.
    pub engine: Address,
    /// The addresses of the node's pods.
    pub range: Range,
    /// The name of their bridge, of up to 15 signs.
    pub bridge: String,
    /// `None` for 1500.
    pub mtu: Option<u32>,
    /// The addresses of the cluster's DNS servers.
    pub cluster_dns: Vec<String>,
    /// The cluster's domain.
    pub cluster_domain: String,
    /// The agent's own server, for logs, exec and the like; `None` for none.
    pub serve: Option<Serve>,
    /// What the host is told of pods' traffic; `None` leaves the host alone.
    pub host: Option<HostNetwork>,
    /// The socket of a process that does what takes root's rights ([`crate::hands`]); `None` where the agent itself has them, or nobody.
    pub hands: Option<PathBuf>,
    /// The API, as `system:node:NAME`.
    pub api: Api,
    /// How pods leave the rotation of services before they end.
    pub rotation: Arc<dyn Rotation>,
    /// What time it is.
    pub clock: Clock,
    /// When the node is short of something.
    pub pressure: Pressure,
}

impl Settings {
    /// What has to be said; the rest as upstream has it.
    pub fn new(node: &str, address: IpAddr, api: Api, engine: Address, range: Range) -> Self {
        Self {
            node: node.to_owned(),
            address,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            pods_max: PODS_MAX,
            pids_max: Some(PIDS_MAX),
            pulls_max: PULLS_MAX,
            starts_max: STARTS_MAX,
            root: PathBuf::from("/var/lib/berth/agent"),
            engine,
            range,
            bridge: "berth0".to_owned(),
            mtu: None,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            serve: None,
            host: None,
            hands: None,
            api,
            rotation: Arc::new(Pause),
            clock: Clock::Machine,
            pressure: Pressure::default(),
        }
    }
}

/// How the agent's own server is reached, and as what. All of it PEM.
#[derive(Clone)]
pub struct Serve {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// The certificate that is shown, for the node's addresses.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The CA of clients' certificates.
    pub client_ca: String,
}

impl fmt::Debug for Serve {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What the host has to know beside the node's own pods.
#[derive(Debug, Clone, Default)]
pub struct HostNetwork {
    /// The addresses of all pods of the cluster; empty if there are only this node's.
    pub pods: Vec<Range>,
    /// The addresses of services.
    pub services: Vec<Range>,
    /// A door that may list nodes, which an agent may not: for routes to other nodes' pods.
    pub nodes: Option<Api>,
}

/// When the node says that it is short of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// Fewer bytes of memory than that can be had.
    pub memory_bytes: u64,
    /// Less than that part of the disk, in hundredths, is free.
    pub disk_percent: u64,
    /// Fewer processes than that can be started.
    pub pids: u64,
}

impl Default for Pressure {
    /// A kubelet's thresholds.
    fn default() -> Self {
        Self { memory_bytes: 100 << 20, disk_percent: 10, pids: 100 }
    }
}

/// A pod that leaves the rotation of services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// How long it is waited for at most.
    pub limit: Duration,
}

/// Names of nodes that did not confirm in time.
pub type Late<'a> = Pin<Box<dyn Future<Output = Vec<String>> + Send + 'a>>;

/// How it is made sure that no service sends a pod new connections.
pub trait Rotation: fmt::Debug + Send + Sync {
    /// Returns once every data plane has confirmed it, or the limit is over.
    fn leave(&self, pod: Leaving) -> Late<'_>;
}

/// Nobody confirms anything: a moment is waited, in which endpoints usually change.
#[derive(Debug, Clone, Copy)]
pub struct Pause;

impl Rotation for Pause {
    fn leave(&self, pod: Leaving) -> Late<'_> {
        Box::pin(async move {
            tokio::time::sleep(LEAVE.min(pod.limit)).await;
            Vec::new()
        })
    }
}

/// What becomes of the containers when the agent stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// They go on; the next agent of this name takes them over.
    Leave,
    /// All of them end, each within this time and its own grace, and nothing is left on the engine.
    Remove {
        /// How long they have.
        grace: Duration,
    },
}

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The node's name does not do.
    #[error(transparent)]
    Name(NameError),
    /// The engine does not do, or refused.
    #[error(transparent)]
    Engine(CallError),
    /// There is no network for pods.
    #[error(transparent)]
    Network(NetworkError),
    /// The folder cannot be used.
    #[error(transparent)]
    Files(VolumeError),
    /// The books of addresses cannot be used.
    #[error(transparent)]
    Addresses(BookError),
    /// The agent's own server cannot be had.
    #[error(transparent)]
    Serve(BindError),
    /// The node cannot be registered.
    #[error("cannot register the node {node}")]
    Register {
        /// Which.
        node: String,
        /// What the API says.
        #[source]
        source: Box<berth_cluster_client::CallError>,
    },
}
