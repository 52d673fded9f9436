// SPDX-License-Identifier: Apache-2.0
//! Changes that come from outside while the engine works: of nodes, and of pods that others bind.

use crate::names::Names;
use berth_scheduler_core::Engine;
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::{Pod, PodSpec, Taint, TaintEffect};
use berth_scheduler_workload::specs::{CPU, MEMORY, NAMESPACE, plain, requests};
use berth_scheduler_workload::{Rng, nodes};
use std::collections::VecDeque;
use std::sync::Arc;

/// Serial numbers of pods bound by others start here: far from those of the pods that are placed.
const FIRST: u64 = 1 << 40;
/// So many pods of others are on nodes at a time.
const POOL: usize = 256;

/// A source of changes.
#[derive(Debug)]
pub struct Churn {
    rng: Rng,
    nodes: usize,
    spec: Arc<PodSpec>,
    bound: VecDeque<u64>,
    serial: u64,
    names: Names,
}

impl Churn {
    /// Changes for the cluster of `nodes` nodes that [`crate::Bench`] lays out.
    #[must_use]
    pub fn new(nodes: usize, seed: u64) -> Self {
        let spec = PodSpec { requests: requests(CPU, MEMORY), ..plain(&[("app", "others")]) };
        Self {
            rng: Rng::new(seed),
            nodes,
            spec: Arc::new(spec),
            bound: VecDeque::new(),
            serial: FIRST,
            names: Names::default(),
        }
    }

    /// A node's own fields change: a label that rules read (its zone) or one that none reads, a taint that comes or goes, or
    /// capacity.
    pub fn node(&mut self) -> Event {
        let at = self.rng.below(self.nodes);
        let mut node = nodes::node(at);
        match self.rng.below(8) {
            0 => relabel(&mut node, "topology.kubernetes.io/zone", "zone-0"),
            1 => node.taints.push(Taint {
                key: Str::from("maintenance"),
                value: Str::from(""),
                effect: TaintEffect::PreferNoSchedule,
            }),
            2 => node.allocatable.cpu -= 100,
            3 | 4 => {
                relabel(&mut node, "example.com/heartbeat", &self.rng.below(1_000).to_string());
            }
            // As it was at the start: what an earlier change took away comes back.
            _ => {}
        }
        Event::Node(Box::new(node))
    }

    /// A pod that others bound comes, or one of them goes.
    pub fn pod(&mut self) -> Event {
        if self.bound.len() >= POOL {
            let serial = self.bound.pop_front().expect("there are some");
            return Event::PodGone { uid: Str::from(self.names.uid(serial)) };
        }
        self.serial += 1;
        self.bound.push_back(self.serial);
        let node = nodes::name(self.rng.below(self.nodes));
        let id = self.names.of(self.serial);
        Event::Pod(Box::new(Pod {
            uid: Str::from(id.uid),
            namespace: Str::from(NAMESPACE),
            name: Str::from(id.name),
            spec: self.spec.clone(),
            node: Some(Str::from(node)),
            nominated: None,
            started: None,
            terminating: false,
            preempted: false,
        }))
    }

    /// Any of these, as they come in a cluster: mostly pods.
    pub fn any(&mut self) -> Event {
        if self.rng.percent(20) { self.node() } else { self.pod() }
    }

    /// Applies so many changes of any kind.
    pub fn apply(&mut self, engine: &mut Engine, changes: usize) {
        for _ in 0..changes {
            let event = self.any();
            engine.apply(event);
        }
    }
}

fn relabel(node: &mut Node, key: &str, value: &str) {
    let others = node.labels.iter().filter(|(k, _)| **k != *key);
    let own = (Str::from(key), Str::from(value));
    node.labels = others.map(|(k, v)| (k.clone(), v.clone())).chain([own]).collect();
}
