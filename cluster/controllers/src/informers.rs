// SPDX-License-Identifier: Apache-2.0
//! One informer for each kind, which all controllers share. It begins when the first asks for it.

use crate::place::{
    BUDGETS, CERTIFICATES, DEPLOYMENTS, ENDPOINTS, LEASES, NODES, PODS, Place, REPLICA_SETS,
    SERVICES, SLICES,
};
use crate::view::{
    Budget, CertificateRequest, Deployment, Endpoints, Lease, Node, Pod, ReplicaSet, Service, Slice,
};
use berth_cluster_client::{Api, Informer, Resource, Subscription, View};
use std::sync::OnceLock;

/// The informers of this process's controllers.
#[derive(Debug)]
pub(crate) struct Informers {
    api: Api,
    seed: u64,
    pods: OnceLock<Informer<Pod>>,
    nodes: OnceLock<Informer<Node>>,
    leases: OnceLock<Informer<Lease>>,
    services: OnceLock<Informer<Service>>,
    endpoints: OnceLock<Informer<Endpoints>>,
    slices: OnceLock<Informer<Slice>>,
    replica_sets: OnceLock<Informer<ReplicaSet>>,
    deployments: OnceLock<Informer<Deployment>>,
    budgets: OnceLock<Informer<Budget>>,
    certificates: OnceLock<Informer<CertificateRequest>>,
}

impl Informers {
    pub(crate) fn new(api: Api, seed: u64) -> Self {
        Self {
            api,
            seed,
            pods: OnceLock::new(),
            nodes: OnceLock::new(),
            leases: OnceLock::new(),
            services: OnceLock::new(),
            endpoints: OnceLock::new(),
            slices: OnceLock::new(),
            replica_sets: OnceLock::new(),
            deployments: OnceLock::new(),
            budgets: OnceLock::new(),
            certificates: OnceLock::new(),
        }
    }

    fn start<V: View>(&self, place: Place, namespace: &str) -> Informer<V> {
        let resource = Resource {
            namespace: namespace.to_owned(),
            ..Resource::new(place.group(), place.bare_version(), place.plural)
        };
        // Each kind waits differently long after failures.
        let seed = place
            .plural
            .bytes()
            .fold(self.seed, |seed, byte| seed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
        Informer::start(self.api.clone(), resource, seed)
    }

    pub(crate) fn pods(&self) -> &Informer<Pod> {
        self.pods.get_or_init(|| self.start(PODS, ""))
    }

    pub(crate) fn nodes(&self) -> &Informer<Node> {
        self.nodes.get_or_init(|| self.start(NODES, ""))
    }

    /// The leases of nodes.
    pub(crate) fn leases(&self) -> &Informer<Lease> {
        self.leases.get_or_init(|| self.start(LEASES, "kube-node-lease"))
    }

    pub(crate) fn services(&self) -> &Informer<Service> {
        self.services.get_or_init(|| self.start(SERVICES, ""))
    }

    pub(crate) fn endpoints(&self) -> &Informer<Endpoints> {
        self.endpoints.get_or_init(|| self.start(ENDPOINTS, ""))
    }

    pub(crate) fn slices(&self) -> &Informer<Slice> {
        self.slices.get_or_init(|| self.start(SLICES, ""))
    }

    pub(crate) fn replica_sets(&self) -> &Informer<ReplicaSet> {
        self.replica_sets.get_or_init(|| self.start(REPLICA_SETS, ""))
    }

    pub(crate) fn deployments(&self) -> &Informer<Deployment> {
        self.deployments.get_or_init(|| self.start(DEPLOYMENTS, ""))
    }

    pub(crate) fn certificates(&self) -> &Informer<CertificateRequest> {
        self.certificates.get_or_init(|| self.start(CERTIFICATES, ""))
    }

    pub(crate) fn budgets(&self) -> &Informer<Budget> {
        self.budgets.get_or_init(|| self.start(BUDGETS, ""))
    }
}

/// Changes of a kind, of which the first are all that is there.
pub(crate) async fn begin<V: View>(informer: &Informer<V>) -> Subscription<V> {
    let changes = informer.subscribe();
    informer.synced().await;
    changes
}
