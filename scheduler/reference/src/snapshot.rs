// SPDX-License-Identifier: Apache-2.0
//! The nodes with their pods, and the same with some pods of one node taken away or added ("what if").

use crate::state::State;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::Labels;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::pod::Pod;
use std::collections::BTreeMap;

/// A node with the pods on it.
#[derive(Debug, Clone)]
pub(crate) struct NodeInfo<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pods: Vec<&'a Pod>,
    /// The pods that are there in truth, where `pods` is what if.
    pub(crate) original: Vec<&'a Pod>,
}

/// All nodes, by name.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot<'a> {
    pub(crate) state: &'a State,
    pub(crate) nodes: Vec<NodeInfo<'a>>,
    /// Pods without a node.
    pub(crate) waiting: Vec<&'a Pod>,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn of(state: &'a State) -> Self {
        let mut bound: BTreeMap<&Str, Vec<&Pod>> = BTreeMap::new();
        let mut waiting = Vec::new();
        for pod in state.pods.values() {
            match &pod.node {
                Some(node) => bound.entry(node).or_default().push(pod),
                None => waiting.push(pod),
            }
        }
        let nodes = state.nodes.values().map(|node| {
            let pods = bound.remove(&node.name).unwrap_or_default();
            NodeInfo { node, original: pods.clone(), pods }
        });
        Self { state, nodes: nodes.collect(), waiting }
    }

    /// The same with other pods on one node.
    pub(crate) fn with_pods(&self, at: usize, pods: Vec<&'a Pod>) -> Self {
        let mut changed = self.clone();
        changed.nodes[at].pods = pods;
        changed
    }

    /// All pods with the node they are on.
    pub(crate) fn pods(&self) -> impl Iterator<Item = (&'a Node, &'a Pod)> {
        self.nodes.iter().flat_map(|info| info.pods.iter().map(|pod| (info.node, *pod)))
    }

    /// Labels of a namespace, if it exists.
    pub(crate) fn namespace(&self, name: &Str) -> Option<&'a Labels> {
        self.state.namespaces.get(name)
    }
}

impl<'a> NodeInfo<'a> {
    /// The value of a label of the node.
    pub(crate) fn label(&self, key: &str) -> Option<&'a Str> {
        self.node.labels.get(key)
    }
}
