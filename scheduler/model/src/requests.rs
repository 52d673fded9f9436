// SPDX-License-Identifier: Apache-2.0
//! What a pod requests in all, from what its containers request.
//!
//! Source: component-helpers `resource.PodRequests` (KEP-753 sidecars, KEP-2837 pod-level resources, KEP-1287 in-place resize)
//! and the scheduler's "non-zero" defaults.

use crate::Str;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// CPU assumed for scoring of a container that requests none, in milli-CPU.
pub const DEFAULT_MILLI_CPU: i64 = 100;
/// Memory assumed for scoring of a container that requests none, in bytes (200 MiB).
pub const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts per resource; a resource that is absent counts as zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resources {
    /// Milli-CPU.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral: i64,
    /// Extended resources and huge pages, by name, units; sorted by name.
    pub scalars: Vec<(Str, i64)>,
}

impl Resources {
    /// The amount of the extended resource `name`.
    pub fn scalar(&self, name: &str) -> i64 {
        match self.scalars.binary_search_by(|(n, _)| (**n).cmp(name)) {
            Ok(at) => self.scalars[at].1,
            Err(_) => 0,
        }
    }

    /// Sets the amount of the extended resource `name`.
    pub fn set_scalar(&mut self, name: &Str, amount: i64) {
        match self.scalars.binary_search_by(|(n, _)| n.cmp(name)) {
            Ok(at) => self.scalars[at].1 = amount,
            Err(at) => self.scalars.insert(at, (name.clone(), amount)),
        }
    }

    /// Adds `other`, saturating.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    /// Takes the larger of both, resource by resource.
    pub fn raise(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, with: impl Fn(i64, i64) -> i64) {
        self.cpu = with(self.cpu, other.cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral = with(self.ephemeral, other.ephemeral);
        for (name, amount) in &other.scalars {
            let sum = with(self.scalar(name), *amount);
            self.set_scalar(name, sum);
        }
    }

    /// Whether nothing is asked for.
    pub fn is_zero(&self) -> bool {
        self.cpu == 0
            && self.memory == 0
            && self.ephemeral == 0
            && self.scalars.iter().all(|s| s.1 == 0)
    }
}

/// A pod's requests: what filters compare, and what scoring assumes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Requests {
    /// What the pod requests in all.
    pub plain: Resources,
    /// Milli-CPU that NodeResourcesFit's score assumes of the incoming pod: with the default for containers that request none,
    /// and *without* requests of the pod as a whole (v1.36 leaves those out there; its filter and the balance do not).
    pub non_zero_cpu: i64,
    /// As `non_zero_cpu`, for bytes of memory.
    pub non_zero_memory: i64,
    /// Milli-CPU that NodeResourcesFit's score assumes of the pod once it counts on its node. Here requests of the pod as a
    /// whole count; a pod that has any gets the default only if nothing at all names CPU.
    pub usage_cpu: i64,
    /// As `usage_cpu`, for memory.
    pub usage_memory: i64,
}

/// What one container requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContainerRequests {
    /// Its requests.
    pub resources: Resources,
    /// Whether CPU is named at all (an explicit zero counts as named, and gets no default).
    pub has_cpu: bool,
    /// Whether memory is named at all.
    pub has_memory: bool,
    /// An init container that restarts always, and so runs beside the others (KEP-753).
    pub sidecar: bool,
}

impl ContainerRequests {
    fn with_defaults(&self, cpu: bool, memory: bool) -> Resources {
        let mut resources = self.resources.clone();
        if cpu && !self.has_cpu {
            resources.cpu = DEFAULT_MILLI_CPU;
        }
        if memory && !self.has_memory {
            resources.memory = DEFAULT_MEMORY;
        }
        resources
    }
}

/// Requests set for the pod as a whole (KEP-2837): they replace the containers' sum.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PodLevelRequests {
    /// Milli-CPU, if named.
    pub cpu: Option<i64>,
    /// Bytes, if named.
    pub memory: Option<i64>,
    /// Huge pages that are named, in bytes.
    pub huge_pages: Vec<(Str, i64)>,
}

/// Everything of a pod that makes up its requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PodResources {
    /// In order.
    pub init_containers: Vec<ContainerRequests>,
    /// In order.
    pub containers: Vec<ContainerRequests>,
    /// Requests of the pod as a whole.
    pub pod_level: Option<PodLevelRequests>,
    /// What the runtime class adds.
    pub overhead: Resources,
    /// Whether `overhead` names CPU, be it zero.
    pub overhead_has_cpu: bool,
    /// Whether `overhead` names memory, be it zero.
    pub overhead_has_memory: bool,
}

impl PodResources {
    /// The requests in all.
    pub fn total(&self) -> Requests {
        let plain = self.sum(false, false);
        let incoming = Self { pod_level: None, ..self.clone() }.sum(true, true);
        let usage = match &self.pod_level {
            None => incoming.clone(),
            Some(level) => {
                let named = |has: fn(&ContainerRequests) -> bool| {
                    self.init_containers.iter().chain(&self.containers).any(has)
                };
                let cpu = level.cpu.is_some() || self.overhead_has_cpu || named(|c| c.has_cpu);
                let memory =
                    level.memory.is_some() || self.overhead_has_memory || named(|c| c.has_memory);
                self.sum(!cpu, !memory)
            }
        };
        Requests {
            plain,
            non_zero_cpu: incoming.cpu,
            non_zero_memory: incoming.memory,
            usage_cpu: usage.cpu,
            usage_memory: usage.memory,
        }
    }

    fn sum(&self, default_cpu: bool, default_memory: bool) -> Resources {
        let mut total = Resources::default();
        for container in &self.containers {
            total.add(&container.with_defaults(default_cpu, default_memory));
        }
        // An init container runs beside the sidecars started before it.
        let mut sidecars = Resources::default();
        let mut peak = Resources::default();
        for container in &self.init_containers {
            let mut now = container.with_defaults(default_cpu, default_memory);
            if container.sidecar {
                total.add(&now);
                sidecars.add(&now);
                now = sidecars.clone();
            } else {
                now.add(&sidecars);
            }
            peak.raise(&now);
        }
        total.raise(&peak);
        if let Some(level) = &self.pod_level {
            total.cpu = level.cpu.unwrap_or(total.cpu);
            total.memory = level.memory.unwrap_or(total.memory);
            for (name, amount) in &level.huge_pages {
                total.set_scalar(name, *amount);
            }
        }
        total.add(&self.overhead);
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn container(cpu: i64, memory: i64) -> ContainerRequests {
        ContainerRequests {
            resources: Resources { cpu, memory, ..Resources::default() },
            has_cpu: cpu > 0,
            has_memory: memory > 0,
            sidecar: false,
        }
    }

    #[test]
    fn an_init_container_runs_beside_the_sidecars_before_it() {
        let sidecar = ContainerRequests { sidecar: true, ..container(100, 10) };
        let pod = PodResources {
            init_containers: vec![container(700, 1), sidecar.clone(), container(650, 1), sidecar],
            containers: vec![container(500, 5)],
            ..PodResources::default()
        };
        let total = pod.total();
        // Containers and sidecars: 700; before them 700, 100, 750, 200.
        assert_eq!((total.plain.cpu, total.plain.memory), (750, 25));
    }

    #[test]
    fn defaults_are_assumed_per_container_and_not_for_an_explicit_zero() {
        let zero = ContainerRequests { has_cpu: true, ..ContainerRequests::default() };
        let pod =
            PodResources { containers: vec![container(300, 0), zero], ..PodResources::default() };
        let total = pod.total();
        assert_eq!((total.plain.cpu, total.plain.memory), (300, 0));
        assert_eq!((total.non_zero_cpu, total.non_zero_memory), (300, 2 * DEFAULT_MEMORY));
        assert_eq!((total.usage_cpu, total.usage_memory), (300, 2 * DEFAULT_MEMORY));
    }

    #[test]
    fn requests_of_the_pod_as_a_whole_count_on_the_node_and_not_for_the_incoming_score() {
        let pod = PodResources {
            containers: vec![container(0, 7), container(0, 0)],
            pod_level: Some(PodLevelRequests { cpu: Some(900), ..PodLevelRequests::default() }),
            overhead: Resources { cpu: 50, ..Resources::default() },
            overhead_has_cpu: true,
            ..PodResources::default()
        };
        let total = pod.total();
        assert_eq!((total.plain.cpu, total.plain.memory), (950, 7));
        assert_eq!((total.non_zero_cpu, total.non_zero_memory), (250, 7 + DEFAULT_MEMORY));
        // One container names memory, so no default is assumed for the other.
        assert_eq!((total.usage_cpu, total.usage_memory), (950, 7));
    }
}
