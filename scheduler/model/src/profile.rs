// SPDX-License-Identifier: Apache-2.0
//! A scheduling profile: which plugins are on, with which weights and arguments. Defaults are those of kube-scheduler v1.36.

use crate::Str;
use crate::labels::{NodeSelector, NodeSelectorTerm};
use crate::pod::SpreadConstraint;
use crate::rules::Plugin;
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A profile, chosen by a pod's `schedulerName`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The `schedulerName` it serves.
    pub name: Str,
    /// Which plugins filter, by [`Plugin`] index.
    pub filters: [bool; Plugin::COUNT],
    /// Weight of each plugin's score, by [`Plugin`] index; 0 where it does not score.
    pub weights: [i64; Plugin::COUNT],
    /// Whether refused pods may preempt (plugin `DefaultPreemption`).
    pub preemption: bool,
    /// How NodeResourcesFit scores.
    pub fit: FitStrategy,
    /// Resources that NodeResourcesFit does not filter: full names.
    pub ignored_resources: Vec<Str>,
    /// As `ignored_resources`, by the part before the slash.
    pub ignored_resource_groups: Vec<Str>,
    /// Resources whose balance NodeResourcesBalancedAllocation scores.
    pub balanced: Vec<Str>,
    /// InterPodAffinity: weight of existing pods' required affinity to the incoming pod, 0..=100.
    pub hard_pod_affinity_weight: i64,
    /// InterPodAffinity: preferences of existing pods do not count.
    pub ignore_preferred_of_existing: bool,
    /// NodeAffinity: what every node must match besides.
    pub added_required: Option<NodeSelector>,
    /// NodeAffinity: what is preferred besides.
    pub added_preferred: Vec<(i32, NodeSelectorTerm)>,
    /// PodTopologySpread: constraints of pods that have none; the selector is filled in per pod.
    pub default_spread: DefaultSpread,
}

/// Where default spread constraints come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefaultSpread {
    /// Hostname with skew 3 and zone with skew 5, both soft, nodes without the labels not ignored.
    System,
    /// These, each without a selector.
    List(Vec<SpreadConstraint>),
}

/// How NodeResourcesFit scores: per resource by name with its weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FitStrategy {
    /// The emptier, the better.
    LeastAllocated(Vec<(Str, i64)>),
    /// The fuller, the better.
    MostAllocated(Vec<(Str, i64)>),
    /// By a curve over utilisation.
    RequestedToCapacityRatio {
        /// Resources.
        resources: Vec<(Str, i64)>,
        /// (utilisation in percent, score 0..=10), by rising utilisation.
        shape: Vec<(i64, i64)>,
    },
}

impl FitStrategy {
    /// The resources that count, with their weights.
    pub fn resources(&self) -> &[(Str, i64)] {
        match self {
            Self::LeastAllocated(resources)
            | Self::MostAllocated(resources)
            | Self::RequestedToCapacityRatio { resources, .. } => resources,
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        let mut filters = [false; Plugin::COUNT];
        for plugin in Plugin::ALL.into_iter().take(Plugin::FILTERS) {
            filters[plugin as usize] = true;
        }
        let mut weights = [0; Plugin::COUNT];
        for (plugin, weight) in [
            (Plugin::TaintToleration, 3),
            (Plugin::NodeAffinity, 2),
            (Plugin::PodTopologySpread, 2),
            (Plugin::InterPodAffinity, 2),
            (Plugin::NodeResourcesFit, 1),
            (Plugin::NodeResourcesBalancedAllocation, 1),
            (Plugin::ImageLocality, 1),
        ] {
            weights[plugin as usize] = weight;
        }
        let cpu_and_memory = vec![(Str::from("cpu"), 1), (Str::from("memory"), 1)];
        Self {
            name: Str::from("default-scheduler"),
            filters,
            weights,
            preemption: true,
            fit: FitStrategy::LeastAllocated(cpu_and_memory),
            ignored_resources: Vec::new(),
            ignored_resource_groups: Vec::new(),
            balanced: vec![Str::from("cpu"), Str::from("memory")],
            hard_pod_affinity_weight: 1,
            ignore_preferred_of_existing: false,
            added_required: None,
            added_preferred: Vec::new(),
            default_spread: DefaultSpread::System,
        }
    }
}
