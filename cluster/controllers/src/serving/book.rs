// SPDX-License-Identifier: Apache-2.0
//! Services, pods and nodes, so that a change of one finds the Services that it is about.

use super::{listed, takes};
use crate::gather::Gather;
use crate::index::{self, Index};
use crate::queue::Key;
use crate::view::{Node, Pod, Service, Texts};
use berth_cluster_client::{Change, Item};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What is known.
#[derive(Debug)]
pub(crate) struct Book {
    /// By the first label that they select by.
    services: Index<Service>,
    /// By each of their labels, and by node.
    pods: Index<Pod>,
    nodes: BTreeMap<String, Place>,
    gather: Gather,
}

/// Some ten times what one pod costs in a look, with what is written of it, stored and read again (by a profile of the load generator's row
/// `run`).
const EACH: Duration = Duration::from_micros(200);

/// Where a node is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Its zone, if it says one.
    pub zone: Option<String>,
}

/// The group of what has, or selects by, a label.
fn label(namespace: &str, name: &str, value: &str) -> String {
    format!("{namespace}/{name}={value}")
}

/// The group of what is on a node.
fn on(node: &str) -> String {
    format!("on {node}")
}

fn groups_of_service(service: &Item<Service>) -> Vec<String> {
    let namespace = &service.id.namespace;
    let first = |selector: &Texts| match selector.first_key_value() {
        Some((name, value)) => label(namespace, name, value),
        None => label(namespace, "", ""),
    };
    service.view.spec.selector.iter().map(first).collect()
}

fn groups_of_pod(pod: &Item<Pod>) -> Vec<String> {
    let namespace = &pod.id.namespace;
    let labels = pod.view.metadata.labels.iter();
    let labels = labels.map(|(name, value)| label(namespace, name, value));
    labels.chain([label(namespace, "", ""), on(&pod.view.spec.node_name)]).collect()
}

/// What of a pod decides how it is listed.
fn shown(pod: &Pod) -> impl PartialEq + '_ {
    let addresses: Vec<&str> = super::addresses(pod);
    let spec = &pod.spec;
    let names = (&spec.node_name, &spec.hostname, &spec.subdomain);
    let state = (pod.ready(), pod.metadata.deleted(), pod.terminal());
    (&pod.metadata.labels, addresses, names, state)
}

impl Book {
    pub(crate) fn new() -> Self {
        Self {
            services: Index::new(groups_of_service),
            pods: Index::new(groups_of_pod),
            nodes: BTreeMap::new(),
            gather: Gather::until_quiet(EACH),
        }
    }

    pub(crate) fn service(&self, key: &Key) -> Option<Arc<Item<Service>>> {
        self.services.get(key)
    }

    /// The pods that a Service selects and that can be listed.
    pub(crate) fn pods(&self, service: &Item<Service>) -> Vec<Arc<Item<Pod>>> {
        let groups = groups_of_service(service);
        let pods = groups.iter().flat_map(|group| self.pods.members(group));
        pods.filter(|pod| listed(&pod.view, true) && takes(service, pod)).cloned().collect()
    }

    /// How long changes of a Service's pods are gathered, beyond what is set for all.
    pub(crate) fn pause(&self, key: &Key, waiting: usize, now: Duration) -> Duration {
        let service = self.service(key);
        let groups = service.iter().flat_map(|service| groups_of_service(service));
        self.gather.pause(key, groups.map(|group| self.pods.count(&group)).sum(), waiting, now)
    }

    /// A pod of a Service changed, or what is written of it.
    pub(crate) fn changed(&mut self, key: &Key, now: Duration) {
        self.gather.changed(key, now);
    }

    /// A Service is looked at.
    pub(crate) fn looked(&mut self, key: &Key, now: Duration) {
        if self.service(key).is_some() {
            self.gather.looked(key, now);
        }
    }

    /// Where a node is; none if there is no such node.
    pub(crate) fn place(&self, node: &str) -> Option<Place> {
        self.nodes.get(node).cloned()
    }

    /// The Service that changed.
    pub(crate) fn service_changed(&mut self, change: &Change<Service>) -> Option<Key> {
        self.services.apply(change);
        let key =
            change.after.as_ref().or(change.before.as_ref()).map(|service| index::key(service));
        // What the Service itself says is not kept waiting.
        if let Some(key) = &key {
            self.gather.forget(key);
        }
        key
    }

    /// The Services that a change of a pod is about: none, if it was not listed and is not.
    pub(crate) fn pod_changed(&mut self, change: &Change<Pod>) -> BTreeSet<Key> {
        self.pods.apply(change);
        let both = || change.before.iter().chain(&change.after);
        if !both().any(|pod| listed(&pod.view, true)) {
            return BTreeSet::new();
        }
        if let Change { before: Some(before), after: Some(after) } = change
            && shown(&before.view) == shown(&after.view)
        {
            return BTreeSet::new();
        }
        both().flat_map(|pod| self.services_of(pod)).collect()
    }

    fn services_of(&self, pod: &Arc<Item<Pod>>) -> Vec<Key> {
        let groups = groups_of_pod(pod);
        let services = groups.iter().flat_map(|group| self.services.members(group));
        services.filter(|service| takes(service, pod)).map(|service| index::key(service)).collect()
    }

    /// The Services that a change of a node is about: its pods were not listed before it was there, and say its zone.
    pub(crate) fn node_changed(&mut self, change: &Change<Node>) -> BTreeSet<Key> {
        if let Some(after) = &change.after {
            self.nodes.insert(after.id.name.to_string(), Place { zone: zone(&after.view) });
        } else if let Some(before) = &change.before {
            self.nodes.remove(before.id.name.as_str());
        }
        let known = |node: &Option<Arc<Item<Node>>>| node.as_ref().map(|node| zone(&node.view));
        if known(&change.before) == known(&change.after) {
            return BTreeSet::new();
        }
        let Some(node) = change.after.as_ref().or(change.before.as_ref()) else {
            return BTreeSet::new();
        };
        let pods = self.pods.members(&on(&node.id.name));
        pods.flat_map(|pod| self.services_of(pod)).collect()
    }
}

fn zone(node: &Node) -> Option<String> {
    node.metadata.labels.get("topology.kubernetes.io/zone").map(ToString::to_string)
}
