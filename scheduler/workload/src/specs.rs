// SPDX-License-Identifier: Apache-2.0
//! Pod specs of synthetic workloads.

use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{
    LabelSelector, Labels, NodeSelector, NodeSelectorTerm, Operator, Requirement,
};
use berth_scheduler_model::objects::{Group, GroupKind};
use berth_scheduler_model::pod::{OwnerRef, PodAffinityTerm, PodSpec, SpreadConstraint};
use berth_scheduler_model::requests::{Requests, Resources};

/// Milli-CPU that a pod requests unless its row says otherwise.
pub const CPU: i64 = 100;
/// Bytes of memory that a pod requests unless its row says otherwise.
pub const MEMORY: i64 = 500 << 20;
/// The namespace of all pods.
pub const NAMESPACE: &str = "default";
/// Host name label.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// Zone label.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// Labels from pairs.
#[must_use]
pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| (Str::from(*k), Str::from(*v))).collect()
}

/// A selector of all the given pairs.
#[must_use]
pub fn selector(pairs: &[(&str, &str)]) -> LabelSelector {
    LabelSelector { requirements: pairs.iter().map(|(k, v)| is_in(k, &[v])).collect() }
}

fn is_in(key: &str, values: &[&str]) -> Requirement {
    let values = values.iter().map(|v| Str::from(*v)).collect();
    Requirement { key: Str::from(key), operator: Operator::In, values }
}

/// Requests of CPU and memory alone.
#[must_use]
pub fn requests(cpu: i64, memory: i64) -> Requests {
    let plain = Resources { cpu, memory, ..Resources::default() };
    Requests {
        plain,
        non_zero_cpu: cpu,
        non_zero_memory: memory,
        usage_cpu: cpu,
        usage_memory: memory,
    }
}

/// A pod that only has labels and requests.
#[must_use]
pub fn plain(pairs: &[(&str, &str)]) -> PodSpec {
    PodSpec {
        labels: labels(pairs),
        requests: requests(CPU, MEMORY),
        images: vec![Str::from("registry.k8s.io/pause:3.10")],
        containers: 1,
        ..PodSpec::default()
    }
}

/// The same, owned by the ReplicaSet of that name.
#[must_use]
pub fn owned(spec: PodSpec, replica_set: &str) -> PodSpec {
    let controller = OwnerRef {
        api_version: Str::from("apps/v1"),
        kind: Str::from("ReplicaSet"),
        name: Str::from(replica_set),
    };
    PodSpec { controller: Some(controller), ..spec }
}

/// A Service or ReplicaSet that selects by one label.
#[must_use]
pub fn group(kind: GroupKind, name: &str, key: &str, value: &str) -> Group {
    Group {
        kind,
        namespace: Str::from(NAMESPACE),
        name: Str::from(name),
        selector: Some(selector(&[(key, value)])),
    }
}

/// Only nodes of these zones.
#[must_use]
pub fn in_zones(spec: PodSpec, zones: &[&str]) -> PodSpec {
    let term = NodeSelectorTerm { expressions: vec![is_in(ZONE, zones)], fields: Vec::new() };
    PodSpec { node_required: Some(NodeSelector { terms: vec![term] }), ..spec }
}

/// A hard spread constraint over the pods with one label.
#[must_use]
pub fn spread(key: &str, max_skew: i32, pair: (&str, &str)) -> SpreadConstraint {
    SpreadConstraint {
        max_skew,
        topology_key: Str::from(key),
        hard: true,
        selector: Some(selector(&[pair])),
        min_domains: None,
        honor_affinity: true,
        honor_taints: false,
        match_label_keys: Vec::new(),
    }
}

/// An affinity term over the pods with one label, in the pod's own namespace.
#[must_use]
pub fn term(key: &str, pair: (&str, &str)) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: Some(selector(&[pair])),
        namespaces: vec![Str::from(NAMESPACE)],
        namespace_selector: None,
        topology_key: Str::from(key),
    }
}

/// An affinity term over the pods whose label has one of the values, in the pod's own namespace.
#[must_use]
pub fn term_of(key: &str, label: &str, values: impl Iterator<Item = String>) -> PodAffinityTerm {
    let values: Vec<String> = values.collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    PodAffinityTerm {
        selector: Some(LabelSelector { requirements: vec![is_in(label, &values)] }),
        namespaces: vec![Str::from(NAMESPACE)],
        namespace_selector: None,
        topology_key: Str::from(key),
    }
}
