// SPDX-License-Identifier: Apache-2.0
//! Random pod specs.

use crate::profiles;
use crate::rng::Rng;
use crate::scenario::{Feature, Scenario};
use crate::storage;
use crate::terms::{self, POD_KEYS, TOPOLOGY_KEYS, text, word};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::Labels;
use berth_scheduler_model::pod::{
    HostPort, OwnerRef, PodAffinityTerm, PodSpec, PreemptionPolicy, Protocol, SpreadConstraint,
};
use berth_scheduler_model::requests::{
    ContainerRequests, PodLevelRequests, PodResources, Requests, Resources,
};

/// A spec for pods of a namespace.
pub(crate) fn draw(scenario: &Scenario, rng: &mut Rng, namespace: &Str) -> PodSpec {
    let values = scenario.values;
    let has = |feature: Feature, rng: &mut Rng| scenario.has(feature, rng);
    let mut spec = PodSpec {
        labels: labels(scenario, rng),
        requests: requests(rng, has(Feature::Extended, &mut rng.clone())),
        containers: u32::try_from(rng.between(1, 3)).expect("small"),
        ..PodSpec::default()
    };
    if has(Feature::Owners, rng) {
        spec.controller = Some(owner(rng));
    }
    if scenario.profiles.len() > 1 {
        let name = profiles::NAMES[rng.below(scenario.profiles.len())];
        spec.scheduler_name = Some(text(name)).filter(|name| &**name != profiles::NAMES[0]);
    }
    if has(Feature::Priorities, rng) {
        spec.priority = i32::try_from(rng.amount(0, 4)).expect("small") * 10;
        if rng.percent(10) {
            spec.preemption = PreemptionPolicy::Never;
        }
    }
    if has(Feature::NodeSelector, rng) {
        spec.node_selector = terms::labels(rng, &[terms::ZONE, "rack", "disk"], 40, values);
    }
    if has(Feature::NodeRequired, rng) {
        spec.node_required = Some(terms::node_selector(rng, values));
    }
    if has(Feature::NodePreferred, rng) {
        let count = rng.between(1, 3);
        spec.node_preferred =
            (0..count).map(|_| (terms::weight(rng), terms::node_term(rng, values))).collect();
    }
    affinity(scenario, rng, namespace, &mut spec);
    if has(Feature::Tolerations, rng) {
        spec.tolerations = (0..rng.between(1, 4)).map(|_| terms::toleration(rng)).collect();
    }
    for (feature, hard) in [(Feature::SpreadHard, true), (Feature::SpreadSoft, false)] {
        if has(feature, rng) {
            spread(rng, values, hard, &mut spec);
        }
    }
    if has(Feature::Ports, rng) {
        spec.host_ports = (0..rng.between(1, 2)).map(|_| host_port(rng)).collect();
    }
    if has(Feature::Images, rng) {
        spec.images = (0..rng.between(1, 3)).map(|_| image(rng)).collect();
    }
    if has(Feature::Volumes, rng) {
        spec.volumes = (0..rng.between(1, 2)).map(|_| storage::pod_volume(rng)).collect();
    }
    if has(Feature::Declared, rng) {
        spec.needs_features = vec![Str::from(format!("F{}", rng.below(3)))];
    }
    if has(Feature::Rare, rng) {
        match rng.below(4) {
            0 => spec.unsupported = vec![text("spec.resourceClaims")],
            1 | 2 => spec.node_name = Some(scenario.some_name(rng)),
            _ => spec.host_ports.push(host_port(rng)),
        }
    }
    spec
}

/// Labels of a pod.
pub(crate) fn labels(scenario: &Scenario, rng: &mut Rng) -> Labels {
    let mut labels = terms::labels(rng, &POD_KEYS, 60, scenario.values);
    if scenario.has(Feature::OwnLabels, rng) {
        // Some selectors read this key, and nearly nobody shares its values.
        let own = (text("shard"), Str::from(format!("s{}", rng.below(100_000))));
        labels = labels.iter().cloned().chain([own]).collect();
    }
    labels
}

/// An image.
pub(crate) fn image(rng: &mut Rng) -> Str {
    Str::from(format!("registry/i{}:latest", rng.below(5)))
}

/// A port on the host.
pub(crate) fn host_port(rng: &mut Rng) -> HostPort {
    let ip = word(rng, &["", "0.0.0.0", "0.0.0.0", "10.0.0.1", "10.0.0.2"]);
    let protocol = *rng.pick(&[Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    HostPort { ip, protocol, port: 80 + u16::try_from(rng.below(3)).expect("small") }
}

fn owner(rng: &mut Rng) -> OwnerRef {
    let (version, kind) = rng.pick(&[
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "StatefulSet"),
        ("v1", "ReplicationController"),
        ("batch/v1", "Job"),
        ("extensions/v1beta1", "ReplicaSet"),
    ]);
    let name = Str::from(format!("g{}", rng.below(4)));
    OwnerRef { api_version: text(version), kind: text(kind), name }
}

fn container(rng: &mut Rng, extended: bool) -> ContainerRequests {
    let has_cpu = rng.percent(85);
    let has_memory = rng.percent(80);
    let mut resources = Resources::default();
    if has_cpu {
        resources.cpu = *rng.pick(&[0, 50, 100, 100, 200, 333, 500, 1_000]);
    }
    if has_memory {
        resources.memory = rng.amount(0, 16) * 37_000_003;
    }
    if rng.percent(15) {
        resources.ephemeral = rng.amount(0, 5) << 20;
    }
    if extended {
        for name in ["example.com/gpu", "other.io/widget", "hugepages-2Mi"] {
            if rng.percent(40) {
                resources.set_scalar(&text(name), rng.amount(0, 3));
            }
        }
    }
    ContainerRequests { resources, has_cpu, has_memory, sidecar: false }
}

fn requests(rng: &mut Rng, extended: bool) -> Requests {
    let mut pod = PodResources::default();
    for _ in 0..*rng.pick(&[1, 1, 1, 2]) {
        pod.containers.push(container(rng, extended));
    }
    if rng.percent(10) {
        let sidecar = rng.percent(50);
        pod.init_containers.push(ContainerRequests { sidecar, ..container(rng, extended) });
    }
    if rng.percent(6) {
        let cpu = rng.percent(70).then(|| rng.amount(0, 1_000));
        let memory = rng.percent(70).then(|| rng.amount(0, 1 << 30));
        pod.pod_level = Some(PodLevelRequests { cpu, memory, huge_pages: Vec::new() });
    }
    if rng.percent(5) {
        pod.overhead.cpu = 10;
        pod.overhead_has_cpu = true;
    }
    pod.total()
}

fn topology(rng: &mut Rng) -> Str {
    let at = match rng.below(20) {
        0..8 => 0,
        8..14 => 1,
        14..17 => 2,
        17 => 3,
        18 => 4,
        _ => 5,
    };
    text(TOPOLOGY_KEYS[at])
}

fn term(scenario: &Scenario, rng: &mut Rng, namespace: &Str) -> PodAffinityTerm {
    let mut namespaces = Vec::new();
    let mut namespace_selector = None;
    if scenario.has(Feature::Namespaces, rng) {
        if rng.percent(40) {
            namespaces.push(terms::namespace(rng.below(scenario.namespaces + 1)));
        }
        if rng.percent(80) {
            namespace_selector = Some(terms::selector(rng, &terms::NAMESPACE_KEYS, 2));
        }
    }
    if namespaces.is_empty() && namespace_selector.is_none() {
        namespaces.push(namespace.clone());
    }
    PodAffinityTerm {
        selector: terms::maybe_selector(rng, &POD_KEYS, scenario.values),
        namespaces,
        namespace_selector,
        topology_key: topology(rng),
    }
}

fn affinity(scenario: &Scenario, rng: &mut Rng, namespace: &Str, spec: &mut PodSpec) {
    let required = |rng: &mut Rng| -> Vec<PodAffinityTerm> {
        let count = *rng.pick(&[1, 1, 1, 2]);
        (0..count).map(|_| term(scenario, rng, namespace)).collect()
    };
    if scenario.has(Feature::Affinity, rng) {
        spec.affinity_required = required(rng);
    }
    if scenario.has(Feature::AntiAffinity, rng) {
        spec.anti_affinity_required = required(rng);
    }
    if scenario.has(Feature::Preferences, rng) {
        let preferred = |rng: &mut Rng| -> Vec<(i32, PodAffinityTerm)> {
            let count = rng.below(3);
            (0..count).map(|_| (terms::weight(rng), term(scenario, rng, namespace))).collect()
        };
        spec.affinity_preferred = preferred(rng);
        spec.anti_affinity_preferred = preferred(rng);
    }
}

fn spread(rng: &mut Rng, values: usize, hard: bool, spec: &mut PodSpec) {
    for _ in 0..*rng.pick(&[1, 1, 2, 3]) {
        let topology_key = topology(rng);
        // An API server refuses two of one kind on one key.
        if spec.spread.iter().any(|c| c.hard == hard && c.topology_key == topology_key) {
            continue;
        }
        let keys = rng.percent(20).then(|| word(rng, &POD_KEYS));
        spec.spread.push(SpreadConstraint {
            max_skew: i32::try_from(rng.amount(1, 3)).expect("small"),
            topology_key,
            hard,
            selector: terms::maybe_selector(rng, &POD_KEYS, values),
            min_domains: (hard && rng.percent(25))
                .then(|| i32::try_from(rng.amount(1, 4)).expect("small")),
            honor_affinity: rng.percent(75),
            honor_taints: rng.percent(30),
            match_label_keys: keys.into_iter().collect(),
        });
    }
}
