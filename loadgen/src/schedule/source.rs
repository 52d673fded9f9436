// SPDX-License-Identifier: Apache-2.0
//! Where pods come from: a row's cluster, and the specs that come to it.

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
