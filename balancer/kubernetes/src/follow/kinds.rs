// SPDX-License-Identifier: Apache-2.0
//! The kinds that are followed, and their changes together.

use crate::source::Settings;
use crate::view::{Node, Pod, Service, Slice};
use berth_cluster_client::{Api, Change, Informer, Resource, Subscription, View};
use std::future::pending;
use std::time::Duration;
use tokio::select;
use tokio::time::timeout;

/// Changes that are taken at a time.
const MANY: usize = 256;
/// How long nodes and pods are waited for at the beginning: without the right to list them, Services are served all the same.
const PATIENCE: Duration = Duration::from_secs(2);
/// Services and slices with these labels are not for this proxy.
const SELECTOR: &str = "labelSelector=%21service.kubernetes.io%2Fheadless\
    %2C%21service.kubernetes.io%2Fservice-proxy-name";

/// Informers of all kinds.
#[derive(Debug)]
pub(super) struct Kinds {
    pub(super) services: Informer<Service>,
    slices: Informer<Slice>,
    pub(super) nodes: Informer<Node>,
    pods: Option<Informer<Pod>>,
}

impl Kinds {
    /// Begins to follow all.
    pub(super) fn start(api: &Api, settings: &Settings) -> Self {
        let seed = settings.seed;
        let mut services = Resource::new("", "v1", "services");
        let mut slices = Resource::new("discovery.k8s.io", "v1", "endpointslices");
        SELECTOR.clone_into(&mut services.query);
        SELECTOR.clone_into(&mut slices.query);
        let mut pods = Resource::new("", "v1", "pods");
        pods.query = format!("fieldSelector=spec.nodeName%3D{}", settings.node);
        let nodes = Resource::new("", "v1", "nodes");
        Self {
            services: start(api, services, seed),
            slices: start(api, slices, seed.wrapping_add(1)),
            nodes: start(api, nodes, seed.wrapping_add(2)),
            pods: settings.host_ports.then(|| start(api, pods, seed.wrapping_add(3))),
        }
    }

    /// All changes from now on, and before them what is there.
    pub(super) fn subscribe(&self) -> Subscribed {
        Subscribed {
            services: self.services.subscribe(),
            slices: self.slices.subscribe(),
            nodes: self.nodes.subscribe(),
            pods: self.pods.as_ref().map(Informer::subscribe),
        }
    }

    /// Waits until all is known that there is no going on without, and a while for the rest.
    pub(super) async fn synced(&self) {
        self.services.synced().await;
        self.slices.synced().await;
        let rest = async {
            self.nodes.synced().await;
            if let Some(pods) = &self.pods {
                pods.synced().await;
            }
        };
        if timeout(PATIENCE, rest).await.is_err() {
            tracing::warn!(
                "nodes or pods are not told yet: without them zones and ports of pods are not known"
            );
        }
    }
}

fn start<V: View>(api: &Api, resource: Resource, seed: u64) -> Informer<V> {
    Informer::start(api.clone(), resource, seed)
}

/// Changes of all kinds.
pub(super) struct Subscribed {
    services: Subscription<Service>,
    slices: Subscription<Slice>,
    nodes: Subscription<Node>,
    pods: Option<Subscription<Pod>>,
}

/// Changes that are to be carried over.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) services: Vec<Change<Service>>,
    pub(super) slices: Vec<Change<Slice>>,
    pub(super) nodes: Vec<Change<Node>>,
    pub(super) pods: Vec<Change<Pod>>,
}

impl Subscribed {
    /// Waits for changes of any kind, and takes all that are there.
    pub(super) async fn next(&mut self, some: &mut Changes) -> bool {
        let pods = async {
            match &mut self.pods {
                Some(from) => from.next_many(&mut some.pods, MANY).await,
                None => pending().await,
            }
        };
        let count = select! { biased;
            count = self.slices.next_many(&mut some.slices, MANY) => count,
            count = self.services.next_many(&mut some.services, MANY) => count,
            count = pods => count,
            count = self.nodes.next_many(&mut some.nodes, MANY) => count,
        };
        self.rest(some);
        count > 0
    }

    /// Takes what is there.
    pub(super) fn rest(&mut self, some: &mut Changes) {
        some.services.extend(std::iter::from_fn(|| self.services.try_next()));
        some.slices.extend(std::iter::from_fn(|| self.slices.try_next()));
        some.nodes.extend(std::iter::from_fn(|| self.nodes.try_next()));
        if let Some(pods) = &mut self.pods {
            some.pods.extend(std::iter::from_fn(|| pods.try_next()));
        }
    }
}
