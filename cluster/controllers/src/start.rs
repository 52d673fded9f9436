// SPDX-License-Identifier: Apache-2.0
//! The way in: which controllers run, and as whom.

use crate::certificates::Signer;
use crate::context::Context;
use crate::events::Recorder;
use crate::informers::Informers;
use crate::load_balancer::pool::Range;
use crate::{
    certificates, collector, deployment, disruption, endpoint_slice, endpoints, load_balancer,
    node_ipam, node_lifecycle, pod_gc, replica_set, taint_eviction,
};
use berth_cluster_client::{Api, Clock, events};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Who follows the kinds that all controllers share: the user `system:kube-controller-manager`, not a ServiceAccount.
pub const SHARED: &str = "kube-controller-manager";

/// The controllers that there are, by upstream's names, and the ServiceAccount in `kube-system` that each acts as.
pub const CONTROLLERS: [(&str, &str); 14] = [
    ("replicaset-controller", "replicaset-controller"),
    ("deployment-controller", "deployment-controller"),
    ("endpoints-controller", "endpoint-controller"),
    ("endpointslice-controller", "endpointslice-controller"),
    ("node-lifecycle-controller", "node-controller"),
    ("taint-eviction-controller", "node-controller"),
    ("node-ipam-controller", "node-controller"),
    ("pod-garbage-collector-controller", "pod-garbage-collector"),
    ("service-lb-controller", "service-controller"),
    ("disruption-controller", "disruption-controller"),
    ("garbage-collector-controller", "generic-garbage-collector"),
    ("certificatesigningrequest-approving-controller", "certificate-controller"),
    ("certificatesigningrequest-signing-controller", "certificate-controller"),
    ("certificatesigningrequest-cleaner-controller", "certificate-controller"),
];

/// What controllers are told beside what is in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For so long changes of pods are gathered before slices and Endpoints are written; longer for a Service of many.
    pub endpoints_batch: Duration,
    /// For so long a node may be silent until it is lost.
    pub node_grace: Duration,
    /// Addresses of pods: an address, and the length of the prefix.
    pub cluster_cidr: (Ipv4Addr, u8),
    /// Length of the prefix of what a node gets of it.
    pub node_cidr_bits: u8,
    /// So many pods at their end are kept.
    pub terminated_pods_max: usize,
    /// Addresses for Services of the type LoadBalancer.
    pub load_balancer_pool: Vec<Range>,
    /// The class of load balancers that we are, beside the default.
    pub load_balancer_class: Option<String>,
    /// Who signs certificates; without one they are signed elsewhere.
    pub authority: Option<Signer>,
    /// So many seconds a certificate lasts that is signed, at most.
    pub signing_seconds: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoints_batch: Duration::from_millis(50),
            node_grace: Duration::from_secs(40),
            cluster_cidr: (Ipv4Addr::new(10, 244, 0, 0), 16),
            node_cidr_bits: 24,
            terminated_pods_max: 12_500,
            load_balancer_pool: Vec::new(),
            load_balancer_class: None,
            authority: None,
            // Upstream's.
            signing_seconds: 365 * 24 * 3_600,
        }
    }
}

/// The recorder of a controller's events.
pub type Recorders = Box<dyn Fn(&str) -> Recorder + Send + Sync>;

/// What is needed to start.
pub struct Config {
    /// Which of [`CONTROLLERS`] run.
    pub names: Vec<String>,
    /// The API as a user: [`SHARED`], or a ServiceAccount of [`CONTROLLERS`].
    pub api: Box<dyn Fn(&str) -> Api + Send + Sync>,
    /// Takes down the events of a component; none if they go into the API.
    pub recorder: Option<Recorders>,
    /// What time it is.
    pub clock: Clock,
    /// Decides how long informers wait after failures.
    pub seed: u64,
    /// What else there is to say.
    pub settings: Settings,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("Config");
        fields.field("names", &self.names).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Controllers that run. Dropping stops them at once.
#[derive(Debug)]
pub struct Controllers {
    tasks: Vec<JoinHandle<()>>,
}

impl Controllers {
    /// Starts them.
    pub fn start(config: Config) -> Self {
        let Config { names, api, recorder, clock, seed, settings } = config;
        let informers = Arc::new(Informers::new(api(SHARED), seed));
        let settings = Arc::new(settings);
        let on = |name: &str| names.iter().any(|one| one == name);
        let mut tasks = Vec::new();
        for (name, account) in CONTROLLERS.into_iter().filter(|(name, _)| on(name)) {
            let recorder = match &recorder {
                Some(recorder) => recorder(name),
                None => Arc::new(events::Recorder::start(api(account), name, clock)),
            };
            let context = Context {
                api: api(account),
                informers: Arc::clone(&informers),
                recorder,
                clock,
                settings: Arc::clone(&settings),
            };
            tasks.extend(spawn(name, context));
        }
        Self { tasks }
    }
}

/// Starts a controller.
fn spawn(name: &str, context: Context) -> Option<JoinHandle<()>> {
    Some(match name {
        "replicaset-controller" => tokio::spawn(replica_set::run(context)),
        "deployment-controller" => tokio::spawn(deployment::run(context)),
        "endpoints-controller" => tokio::spawn(endpoints::run(context)),
        "endpointslice-controller" => tokio::spawn(endpoint_slice::run(context)),
        "node-lifecycle-controller" => tokio::spawn(node_lifecycle::run(context)),
        "taint-eviction-controller" => tokio::spawn(taint_eviction::run(context)),
        "node-ipam-controller" => tokio::spawn(node_ipam::run(context)),
        "pod-garbage-collector-controller" => tokio::spawn(pod_gc::run(context)),
        "disruption-controller" => tokio::spawn(disruption::run(context)),
        "garbage-collector-controller" => tokio::spawn(collector::run(context)),
        "certificatesigningrequest-approving-controller" => {
            tokio::spawn(certificates::approve(context))
        }
        "certificatesigningrequest-signing-controller" => tokio::spawn(certificates::sign(context)),
        "certificatesigningrequest-cleaner-controller" => {
            tokio::spawn(certificates::clean(context))
        }
        "service-lb-controller" => tokio::spawn(load_balancer::run(context)),
        _ => return None,
    })
}

impl Drop for Controllers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
