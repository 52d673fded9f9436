// SPDX-License-Identifier: Apache-2.0
//! The source as the balancer's control plane starts it.

use crate::around::NodePorts;
use crate::follow::follow;
use crate::rotation::{Rotation, Table};
use crate::stats::Stats;
use berth_balancer_service::control::Control;
use berth_balancer_service::source::{Running, Source};
use berth_balancer_service::wanted::Owner;
use berth_cluster_client::Api;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// What the operator says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's name, as its Node object has it.
    pub node: Arc<str>,
    /// On which of the node's addresses node ports are served.
    pub node_ports: NodePorts,
    /// Services may have `externalIPs`.
    pub external_ips: bool,
    /// Ports of pods on this node are served; needs the right to list pods.
    pub host_ports: bool,
    /// Where `/healthz`, `/metrics` and `/rotation/ADDRESS` are served, and other nodes ask whether an address is out.
    pub health: Option<SocketAddr>,
    /// Decides how long is waited after failures.
    pub seed: u64,
}

impl Settings {
    /// The defaults on a node.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            node_ports: NodePorts::All,
            external_ips: false,
            host_ports: true,
            health: None,
            seed: 0,
        }
    }
}

/// The Services of a Kubernetes cluster, as a source of the balancer.
#[derive(Debug)]
pub struct Kubernetes {
    pub(crate) api: Api,
    /// As whom the Node is changed.
    pub(crate) node_api: Option<Api>,
    pub(crate) settings: Settings,
    pub(crate) table: Arc<Table>,
    pub(crate) stats: Arc<Stats>,
}

impl Kubernetes {
    /// Of the cluster of this API.
    #[must_use]
    pub fn new(api: Api, settings: Settings) -> Self {
        Self { api, node_api: None, settings, table: Arc::default(), stats: Arc::default() }
    }

    /// Writes into the Node where this proxy is asked as somebody else: a node's agent may change its own Node, a service proxy may not.
    #[must_use]
    pub fn announced_by(mut self, api: Api) -> Self {
        self.node_api = Some(api);
        self
    }

    /// Says when addresses are out of rotation.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        let node = Arc::clone(&self.settings.node);
        Rotation::new(Arc::clone(&self.table), node, Arc::clone(&self.stats))
    }

    /// Its counts.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }
}

impl Source for Kubernetes {
    fn owner(&self) -> Owner {
        Owner::Kubernetes
    }

    fn run(self: Box<Self>, control: Control, stopping: watch::Receiver<bool>) -> Running {
        Box::pin(follow(*self, control, stopping))
    }
}
