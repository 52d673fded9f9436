// SPDX-License-Identifier: Apache-2.0
//! Where pods come from: a row's cluster, and the specs that come to it.

use super::names::{NAMESPACE, Name, Uid};
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::{DisruptionBudget, Group};
use berth_scheduler_model::pod::{Pod, PodSpec};
use berth_scheduler_workload::preemption::LOW_PER_NODE;
use berth_scheduler_workload::{Next, Preemption, Rng, Workload};
use std::fmt::Debug;
use std::sync::Arc;

/// A cluster, and what comes to it.
pub trait Source: Debug {
    /// Nodes.
    fn nodes(&self) -> &[Node];
    /// Services and controllers.
    fn groups(&self) -> &[Group];
    /// Disruption budgets.
    fn budgets(&self) -> &[DisruptionBudget];
    /// Pods that are there from the start and stay.
    fn resident(&self) -> &[Pod];
    /// Specs that come again and again.
    fn specs(&self) -> &[Arc<PodSpec>];
    /// Pods that fill the cluster.
    fn fill(&self) -> usize;
    /// The spec of the next pod.
    fn next(&mut self, rng: &mut Rng) -> Next;
}

impl Source for Workload {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn groups(&self) -> &[Group] {
        &self.groups
    }

    fn budgets(&self) -> &[DisruptionBudget] {
        &[]
    }

    fn resident(&self) -> &[Pod] {
        &self.resident
    }

    fn specs(&self) -> &[Arc<PodSpec>] {
        self.specs()
    }

    fn fill(&self) -> usize {
        self.fill
    }

    fn next(&mut self, rng: &mut Rng) -> Next {
        self.next(|n| rng.below(n))
    }
}

/// A row's cluster with its pods on their nodes from the start, evenly: as after a reconnect, when all of them are told.
#[derive(Debug)]
pub struct Crowded {
    workload: Workload,
    resident: Vec<Pod>,
}

impl Crowded {
    /// So many pods on it.
    pub fn new(workload: Workload, pods: u64) -> Self {
        let names: Vec<Str> = workload.nodes.iter().map(|node| node.name.clone()).collect();
        let specs = workload.specs();
        // A run number that no other pods have.
        let pod = |((serial, node), spec): ((u64, &Str), &Arc<PodSpec>)| Pod {
            uid: Uid::new(0, serial).as_str().into(),
            namespace: NAMESPACE.into(),
            name: Name::new(serial).as_str().into(),
            spec: Arc::clone(spec),
            node: Some(node.clone()),
            nominated: None,
            started: None,
            terminating: false,
            preempted: false,
        };
        // The number of classes and that of nodes may have a common divisor: each round begins with another class.
        let rounds = (0..specs.len()).cycle().flat_map(|from| {
            let order = specs[from..].iter().chain(&specs[..from]);
            order.cycle().take(names.len())
        });
        let resident = (0..pods).zip(names.iter().cycle()).zip(rounds).map(pod).collect();
        Self { workload, resident }
    }
}

impl Source for Crowded {
    fn nodes(&self) -> &[Node] {
        &self.workload.nodes
    }

    fn groups(&self) -> &[Group] {
        &self.workload.groups
    }

    fn budgets(&self) -> &[DisruptionBudget] {
        &[]
    }

    fn resident(&self) -> &[Pod] {
        &self.resident
    }

    fn specs(&self) -> &[Arc<PodSpec>] {
        self.workload.specs()
    }

    fn fill(&self) -> usize {
        0
    }

    fn next(&mut self, rng: &mut Rng) -> Next {
        self.workload.next(|n| rng.below(n))
    }
}

/// A cluster that is full of pods of low priority. Who wants one of high priority says so: see [`HIGH`].
#[derive(Debug)]
pub struct Full {
    cluster: Preemption,
    specs: Vec<Arc<PodSpec>>,
}

/// The place of the spec of high priority among the specs of [`Full`].
pub const HIGH: usize = berth_scheduler_workload::preemption::APPS;

impl Full {
    /// Of so many nodes, with budgets or without.
    pub fn new(nodes: usize, budgets: bool) -> Self {
        let cluster = Preemption::new(nodes, budgets);
        let specs = cluster.low.iter().chain([&cluster.high]).cloned().collect();
        Self { cluster, specs }
    }
}

impl Source for Full {
    fn nodes(&self) -> &[Node] {
        &self.cluster.nodes
    }

    fn groups(&self) -> &[Group] {
        &[]
    }

    fn budgets(&self) -> &[DisruptionBudget] {
        &self.cluster.budgets
    }

    fn resident(&self) -> &[Pod] {
        &[]
    }

    fn specs(&self) -> &[Arc<PodSpec>] {
        &self.specs
    }

    fn fill(&self) -> usize {
        self.cluster.nodes.len() * LOW_PER_NODE
    }

    fn next(&mut self, rng: &mut Rng) -> Next {
        Next::Again(rng.below(HIGH))
    }
}
