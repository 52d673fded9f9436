// SPDX-License-Identifier: Apache-2.0
//! From the scheduler's vocabulary to the messages of the contract: nodes, groups, and specs of pods.
//!
//! A spec on the wire carries what an API server adds to every pod (default tolerations, the name of the scheduler, limits,
//! ports, the token's volume), so that its size is that of a real one. None of it changes a decision.

use berth_proto::v1;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{
    LabelSelector, Labels, NodeSelector, NodeSelectorTerm, Operator, Requirement,
};
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::{DisruptionBudget, Group, GroupKind};
use berth_scheduler_model::pod::{
    HostPort, Pod, PodAffinityTerm, PodSpec, PreemptionPolicy, Protocol, SpreadConstraint, Taint,
    TaintEffect, Toleration,
};
use berth_scheduler_model::requests::Resources;
use std::collections::BTreeMap;

/// A node.
pub fn node(node: &Node) -> v1::Node {
    let mut allocatable = resources(&node.allocatable);
    allocatable.insert("pods".to_owned(), node.pods.to_string());
    let image = |(name, size): &(Str, i64)| v1::ContainerImage {
        names: vec![name.to_string()],
        size_bytes: *size,
    };
    v1::Node {
        name: node.name.to_string(),
        labels: pairs(&node.labels),
        taints: node.taints.iter().map(taint).collect(),
        unschedulable: node.unschedulable,
        allocatable,
        images: node.images.iter().map(image).collect(),
        declared_features: strings(&node.features),
    }
}

/// A Service or controller.
pub fn group(group: &Group) -> v1::Group {
    let kind = match group.kind {
        GroupKind::Service => "Service",
        GroupKind::ReplicationController => "ReplicationController",
        GroupKind::ReplicaSet => "ReplicaSet",
        GroupKind::StatefulSet => "StatefulSet",
    };
    v1::Group {
        kind: kind.to_owned(),
        namespace: group.namespace.to_string(),
        name: group.name.to_string(),
        selector: group.selector.as_ref().map(label_selector),
    }
}

/// A disruption budget.
pub fn budget(budget: &DisruptionBudget) -> v1::DisruptionBudget {
    v1::DisruptionBudget {
        namespace: budget.namespace.to_string(),
        name: budget.name.to_string(),
        selector: budget.selector.as_ref().map(label_selector),
        disruptions_allowed: budget.allowed,
        disrupted_pods: strings(&budget.disrupted),
    }
}

/// A pod that is on a node.
pub fn bound(pod: &Pod) -> v1::BoundPod {
    v1::BoundPod {
        uid: pod.uid.to_string(),
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        what: Some(v1::bound_pod::What::Spec(spec(&pod.spec))),
        node: pod.node.as_ref().map(ToString::to_string).unwrap_or_default(),
        started_unix_us: pod.started.unwrap_or_default(),
        terminating: pod.terminating,
    }
}

/// A spec. Volumes, gates and other things that no workload here has are not written.
pub fn spec(spec: &PodSpec) -> v1::PodSpec {
    let policy = match spec.preemption {
        PreemptionPolicy::PreemptLowerPriority => "PreemptLowerPriority",
        PreemptionPolicy::Never => "Never",
    };
    let scheduler = spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
    v1::PodSpec {
        labels: pairs(&spec.labels),
        owner: spec.controller.as_ref().map(|owner| v1::OwnerReference {
            api_version: owner.api_version.to_string(),
            kind: owner.kind.to_string(),
            name: owner.name.to_string(),
        }),
        scheduler_name: scheduler.to_owned(),
        priority: spec.priority,
        preemption_policy: policy.to_owned(),
        containers: containers(spec),
        node_name: spec.node_name.as_ref().map(ToString::to_string).unwrap_or_default(),
        node_selector: pairs(&spec.node_selector),
        affinity: affinity(spec),
        tolerations: spec.tolerations.iter().map(toleration).chain(usual_tolerations()).collect(),
        topology_spread_constraints: spec.spread.iter().map(spread).collect(),
        volumes: vec![v1::Volume { name: "kube-api-access-x7k2p".to_owned(), source: None }],
        ..v1::PodSpec::default()
    }
}

/// The first container has the pod's requests, with equal limits; the others have none.
fn containers(spec: &PodSpec) -> Vec<v1::Container> {
    let mut requests = resources(&spec.requests.plain);
    // Named also when nothing is asked for: otherwise scores assume a default.
    requests.entry("cpu".to_owned()).or_insert_with(|| "0".to_owned());
    requests.entry("memory".to_owned()).or_insert_with(|| "0".to_owned());
    let nothing: BTreeMap<String, String> =
        ["cpu", "memory"].map(|name| (name.to_owned(), "0".to_owned())).into();
    let count = (spec.containers as usize).max(spec.images.len()).max(1);
    let container = |at: usize| {
        let requests = if at == 0 { requests.clone() } else { nothing.clone() };
        let limits = requests.clone();
        let plain = [8_080, 9_090].map(|container_port| v1::ContainerPort {
            container_port,
            protocol: "TCP".to_owned(),
            ..v1::ContainerPort::default()
        });
        let host = spec.host_ports.iter().filter(|_| at == 0).map(port);
        v1::Container {
            name: format!("app-{at}"),
            image: spec.images.get(at).map(ToString::to_string).unwrap_or_default(),
            resources: Some(v1::ResourceRequirements { requests, limits }),
            ports: host.chain(plain).collect(),
            restart_policy: String::new(),
        }
    };
    (0..count).map(container).collect()
}

fn resources(amounts: &Resources) -> BTreeMap<String, String> {
    let fixed = [
        ("cpu", amounts.cpu, "m"),
        ("memory", amounts.memory, ""),
        ("ephemeral-storage", amounts.ephemeral, ""),
    ];
    let fixed = fixed.iter().map(|(name, amount, unit)| (*name, *amount, *unit));
    let scalars = amounts.scalars.iter().map(|(name, amount)| (&**name, *amount, ""));
    fixed
        .chain(scalars)
        .filter(|(_, amount, _)| *amount > 0)
        .map(|(name, amount, unit)| (name.to_owned(), format!("{amount}{unit}")))
        .collect()
}

fn affinity(spec: &PodSpec) -> Option<v1::Affinity> {
    let weighted = |terms: &[(i32, PodAffinityTerm)]| {
        let one = |(weight, of): &(i32, PodAffinityTerm)| v1::WeightedPodAffinityTerm {
            weight: *weight,
            pod_affinity_term: Some(term(of)),
        };
        terms.iter().map(one).collect()
    };
    let pods = |required: &[PodAffinityTerm], preferred: &[(i32, PodAffinityTerm)]| {
        let some = !required.is_empty() || !preferred.is_empty();
        some.then(|| v1::PodAffinity {
            required_during_scheduling_ignored_during_execution: required
                .iter()
                .map(term)
                .collect(),
            preferred_during_scheduling_ignored_during_execution: weighted(preferred),
        })
    };
    let preferred = |(weight, term): &(i32, NodeSelectorTerm)| v1::PreferredSchedulingTerm {
        weight: *weight,
        preference: Some(node_term(term)),
    };
    let nodes = spec.node_required.is_some() || !spec.node_preferred.is_empty();
    let whole = v1::Affinity {
        node_affinity: nodes.then(|| v1::NodeAffinity {
            required_during_scheduling_ignored_during_execution: spec
                .node_required
                .as_ref()
                .map(node_selector),
            preferred_during_scheduling_ignored_during_execution: spec
                .node_preferred
                .iter()
                .map(preferred)
                .collect(),
        }),
        pod_affinity: pods(&spec.affinity_required, &spec.affinity_preferred),
        pod_anti_affinity: pods(&spec.anti_affinity_required, &spec.anti_affinity_preferred),
    };
    (whole != v1::Affinity::default()).then_some(whole)
}

fn term(term: &PodAffinityTerm) -> v1::PodAffinityTerm {
    v1::PodAffinityTerm {
        label_selector: term.selector.as_ref().map(label_selector),
        namespaces: strings(&term.namespaces),
        namespace_selector: term.namespace_selector.as_ref().map(label_selector),
        topology_key: term.topology_key.to_string(),
        ..v1::PodAffinityTerm::default()
    }
}

fn spread(constraint: &SpreadConstraint) -> v1::TopologySpreadConstraint {
    let policy = |honor: bool| if honor { "Honor" } else { "Ignore" }.to_owned();
    let what = if constraint.hard { "DoNotSchedule" } else { "ScheduleAnyway" };
    v1::TopologySpreadConstraint {
        max_skew: constraint.max_skew,
        topology_key: constraint.topology_key.to_string(),
        when_unsatisfiable: what.to_owned(),
        label_selector: constraint.selector.as_ref().map(label_selector),
        min_domains: constraint.min_domains.unwrap_or_default(),
        node_affinity_policy: policy(constraint.honor_affinity),
        node_taints_policy: policy(constraint.honor_taints),
        match_label_keys: strings(&constraint.match_label_keys),
    }
}

fn node_selector(selector: &NodeSelector) -> v1::NodeSelector {
    v1::NodeSelector { node_selector_terms: selector.terms.iter().map(node_term).collect() }
}

fn node_term(term: &NodeSelectorTerm) -> v1::NodeSelectorTerm {
    v1::NodeSelectorTerm {
        match_expressions: term.expressions.iter().map(requirement).collect(),
        match_fields: term.fields.iter().map(requirement).collect(),
    }
}

fn label_selector(selector: &LabelSelector) -> v1::LabelSelector {
    // A Service has no other form than labels, and people write the others so too where they can.
    let mut written = v1::LabelSelector::default();
    for one in &selector.requirements {
        let key = one.key.to_string();
        match &one.values[..] {
            [value] if one.operator == Operator::In && !written.match_labels.contains_key(&key) => {
                written.match_labels.insert(key, value.to_string());
            }
            _ => written.match_expressions.push(requirement(one)),
        }
    }
    written
}

fn requirement(requirement: &Requirement) -> v1::Requirement {
    let operator = match requirement.operator {
        Operator::In => "In",
        Operator::NotIn => "NotIn",
        Operator::Exists => "Exists",
        Operator::DoesNotExist => "DoesNotExist",
        Operator::Gt => "Gt",
        Operator::Lt => "Lt",
    };
    v1::Requirement {
        key: requirement.key.to_string(),
        operator: operator.to_owned(),
        values: strings(&requirement.values),
    }
}

fn port(port: &HostPort) -> v1::ContainerPort {
    let protocol = match port.protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    };
    v1::ContainerPort {
        host_port: u32::from(port.port),
        container_port: u32::from(port.port),
        protocol: protocol.to_owned(),
        host_ip: port.ip.to_string(),
    }
}

fn taint(taint: &Taint) -> v1::Taint {
    v1::Taint {
        key: taint.key.to_string(),
        value: taint.value.to_string(),
        effect: effect(taint.effect).to_owned(),
    }
}

fn toleration(toleration: &Toleration) -> v1::Toleration {
    let text = |text: &Option<Str>| text.as_ref().map(ToString::to_string).unwrap_or_default();
    let operator = if toleration.value.is_some() { "Equal" } else { "Exists" };
    v1::Toleration {
        key: text(&toleration.key),
        operator: operator.to_owned(),
        value: text(&toleration.value),
        effect: toleration.effect.map(effect).unwrap_or_default().to_owned(),
    }
}

/// What an API server adds to every pod; no node here has such a taint.
fn usual_tolerations() -> impl Iterator<Item = v1::Toleration> {
    ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].into_iter().map(|key| {
        v1::Toleration {
            key: key.to_owned(),
            operator: "Exists".to_owned(),
            value: String::new(),
            effect: "NoExecute".to_owned(),
        }
    })
}

fn effect(effect: TaintEffect) -> &'static str {
    match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    }
}

fn pairs(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn strings(texts: &[Str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_scheduler_workload::{Row, Workload};
    use prost::Message;

    #[test]
    fn specs_of_all_rows_have_the_size_of_real_ones() {
        for row in Row::ALL.into_iter().chain([Row::Unschedulable]) {
            let mut workload = Workload::new(row, 3, 70);
            for at in 0..workload.classes().min(100) {
                let size = spec(&workload.next_spec(|n| at % n)).encoded_len();
                assert!((300..=2_000).contains(&size), "{}: {size} bytes", row.name());
            }
        }
    }

    #[test]
    fn a_constrained_spec_is_written_whole() {
        let workload = Workload::new(Row::SpreadZoneHostname, 3, 70);
        let written = spec(&workload.specs()[0]);
        let constraint = &written.topology_spread_constraints[0];
        assert_eq!(constraint.topology_key, "topology.kubernetes.io/zone");
        assert_eq!((constraint.max_skew, &*constraint.when_unsatisfiable), (5, "DoNotSchedule"));
        let selector = constraint.label_selector.as_ref().unwrap();
        assert_eq!(selector.match_labels["app"], "app-0");
        let requests = &written.containers[0].resources.as_ref().unwrap().requests;
        assert_eq!((&*requests["cpu"], &*requests["memory"]), ("100m", "524288000"));

        let workload = Workload::new(Row::AntiAffinity(2), 3, 70);
        let written = spec(&workload.specs()[1]).affinity.unwrap();
        assert_eq!((written.node_affinity, written.pod_affinity), (None, None));
        let terms = written.pod_anti_affinity.unwrap();
        let required = terms.required_during_scheduling_ignored_during_execution;
        assert_eq!(required[0].namespaces, ["default"]);
    }

    #[test]
    fn a_node_is_written_with_all_it_has() {
        let written = node(&berth_scheduler_workload::nodes::node(4));
        assert_eq!(written.labels["topology.kubernetes.io/zone"], "zone-1");
        assert_eq!((&*written.allocatable["cpu"], &*written.allocatable["pods"]), ("4000m", "110"));
    }
}
