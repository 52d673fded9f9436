// SPDX-License-Identifier: Apache-2.0
//! Whether a node takes a pod that was bound to it: upstream's kubelet looks once more, for who binds may be wrong or late. Pure.

use berth_cluster_files::NodeAmounts;
use k8s_openapi::api::core::v1::{Container, NodeSelectorRequirement, NodeSelectorTerm, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::{BTreeMap, BTreeSet};

/// Resources that are counted, in the order in which upstream names what is lacking.
const CPU: &str = "cpu";
const MEMORY: &str = "memory";
const DISK: &str = "ephemeral-storage";

/// What a pod asks for: thousandths of a core, bytes, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amounts {
    cpu_milli: i64,
    memory: i64,
    disk: i64,
}

/// What the pods of a node ask for together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Load {
    amounts: Amounts,
    pods: u32,
    /// Protocol, address and port on the host.
    ports: BTreeSet<(String, String, i32)>,
}

/// The node.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: &'a BTreeMap<String, String>,
    pub(crate) amounts: NodeAmounts,
    pub(crate) pods_max: u32,
}

impl Load {
    /// One more pod.
    pub(crate) fn add(&mut self, pod: &Pod) {
        let asks = requests(pod);
        self.amounts = plus(self.amounts, asks);
        self.pods += 1;
        self.ports.extend(host_ports(pod));
    }
}

/// Why the node does not take a pod beside its load: reason and message of the pod's status.
pub(crate) fn refusal(pod: &Pod, load: &Load, room: &Room<'_>) -> Option<(String, String)> {
    let lacking = |name: &str, asked: i64, used: i64, capacity: i64| {
        let message = format!(
            "Pod was rejected: Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {capacity}"
        );
        Some((format!("OutOf{name}"), message))
    };
    if load.pods >= room.pods_max {
        return lacking("pods", 1, load.pods.into(), room.pods_max.into());
    }
    let (asked, used) = (requests(pod), load.amounts);
    let rows = [
        (CPU, asked.cpu_milli, used.cpu_milli, room.amounts.cpu_milli),
        (MEMORY, asked.memory, used.memory, room.amounts.memory_bytes),
        (DISK, asked.disk, used.disk, room.amounts.ephemeral_storage_bytes),
    ];
    for (name, asked, used, capacity) in rows {
        if asked > 0 && asked > capacity.saturating_sub(used) {
            return lacking(name, asked, used, capacity);
        }
    }
    if !is_selected(pod, room) {
        let message = "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return Some(("NodeAffinity".to_owned(), message.to_owned()));
    }
    let taken = |(protocol, address, port): &(String, String, i32)| {
        load.ports.iter().any(|(other, at, number)| {
            let overlap = address == at || address == "0.0.0.0" || at == "0.0.0.0";
            (protocol, port) == (other, number) && overlap
        })
    };
    if host_ports(pod).iter().any(taken) {
        let message = "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return Some(("NodePorts".to_owned(), message.to_owned()));
    }
    None
}

fn plus(a: Amounts, b: Amounts) -> Amounts {
    Amounts {
        cpu_milli: a.cpu_milli.saturating_add(b.cpu_milli),
        memory: a.memory.saturating_add(b.memory),
        disk: a.disk.saturating_add(b.disk),
    }
}

fn most(a: Amounts, b: Amounts) -> Amounts {
    Amounts {
        cpu_milli: a.cpu_milli.max(b.cpu_milli),
        memory: a.memory.max(b.memory),
        disk: a.disk.max(b.disk),
    }
}

/// What a pod asks for: its containers and sidecars together, or an init container with the sidecars before it, and the overhead.
pub(crate) fn requests(pod: &Pod) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::default() };
    let (mut sidecars, mut init) = (Amounts::default(), Amounts::default());
    for container in spec.init_containers.iter().flatten() {
        let asked = of_container(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = plus(sidecars, asked);
            init = most(init, sidecars);
        } else {
            init = most(init, plus(sidecars, asked));
        }
    }
    let running = spec.containers.iter().map(of_container).fold(sidecars, plus);
    let asked = most(init, running);
    plus(asked, amounts(spec.overhead.as_ref()))
}

fn of_container(container: &Container) -> Amounts {
    amounts(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()))
}

fn amounts(list: Option<&BTreeMap<String, Quantity>>) -> Amounts {
    let of = |name: &str, scale: i64| {
        let text = list.and_then(|list| list.get(name));
        text.and_then(|text| quantity(&text.0, scale)).unwrap_or(0)
    };
    Amounts { cpu_milli: of(CPU, 1_000), memory: of(MEMORY, 1), disk: of(DISK, 1) }
}

/// A quantity in parts of one by `scale`, rounded up.
pub(crate) fn quantity(text: &str, scale: i64) -> Option<i64> {
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1_024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        "Ei" => 1_152_921_504_606_846_976.0,
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_f64.powi(power)
        }
    };
    // Below 2^53 each whole number is a double; what is above has no node.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "saturates")]
    let amount = (number * factor * scale as f64 - 1e-6).ceil() as i64;
    Some(amount)
}

fn host_ports(pod: &Pod) -> Vec<(String, String, i32)> {
    let spec = pod.spec.as_ref();
    let ports = spec.into_iter().flat_map(|spec| &spec.containers);
    let ports = ports.flat_map(|container| container.ports.iter().flatten());
    let on_host = ports.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        let address = port.host_ip.clone().filter(|address| !address.is_empty());
        Some((protocol, address.unwrap_or_else(|| "0.0.0.0".to_owned()), number))
    });
    on_host.collect()
}

/// Whether the pod's selector and its required affinity mean this node.
fn is_selected(pod: &Pod, room: &Room<'_>) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let mut selector = spec.node_selector.iter().flatten();
    if !selector.all(|(key, value)| room.labels.get(key) == Some(value)) {
        return false;
    }
    let affinity = spec.affinity.as_ref().and_then(|all| all.node_affinity.as_ref());
    let required =
        affinity.and_then(|all| all.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|all| all.node_selector_terms.iter().any(|term| is_meant(term, room)))
}

fn is_meant(term: &NodeSelectorTerm, room: &Room<'_>) -> bool {
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if labels.is_empty() && fields.is_empty() {
        return false;
    }
    let by_label = |one: &NodeSelectorRequirement| holds(one, room.labels.get(&one.key));
    let name = room.name.to_owned();
    let by_field =
        |one: &NodeSelectorRequirement| holds(one, (one.key == "metadata.name").then_some(&name));
    labels.iter().all(by_label) && fields.iter().all(by_field)
}

fn holds(one: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = one.values.as_deref().unwrap_or_default();
    let compared = |is: fn(i64, i64) -> bool| {
        let (own, other) = (value.and_then(|v| v.parse().ok()), values.first());
        own.zip(other.and_then(|v| v.parse().ok())).is_some_and(|(own, other)| is(own, other))
    };
    match one.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(|own, other| own > other),
        "Lt" => compared(|own, other| own < other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        let mut spec = spec;
        if spec.get("containers").is_none() {
            spec["containers"] = json!([{"name": "c"}]);
        }
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn asks(cpu: &str, memory: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    fn check(pod: &Pod, load: &Load) -> Option<String> {
        let labels = BTreeMap::from([
            ("disk".to_owned(), "ssd".to_owned()),
            ("n".to_owned(), "7".to_owned()),
        ]);
        let amounts = NodeAmounts {
            cpu_milli: 2_000,
            memory_bytes: 1 << 30,
            ephemeral_storage_bytes: 1 << 30,
        };
        let room = Room { name: "n1", labels: &labels, amounts, pods_max: 3 };
        refusal(pod, load, &room).map(|(reason, message)| {
            assert!(message.starts_with("Pod was rejected: "), "{message}");
            reason
        })
    }

    #[test]
    fn what_does_not_fit_is_refused_by_the_name_of_what_lacks() {
        let mut load = Load::default();
        load.add(&pod(json!({"containers": [asks("1500m", "512Mi")]})));
        let of = |cpu, memory| check(&pod(json!({"containers": [asks(cpu, memory)]})), &load);
        assert_eq!((of("500m", "512Mi"), of("0", "0")), (None, None));
        assert_eq!(of("501m", "1"), Some("OutOfcpu".into()));
        assert_eq!(of("0.5", "513Mi"), Some("OutOfmemory".into()));
        load.add(&pod(json!({})));
        load.add(&pod(json!({})));
        assert_eq!(check(&pod(json!({})), &load), Some("OutOfpods".into()));
    }

    #[test]
    fn init_containers_and_sidecars_count_as_upstream_counts_them() {
        let side = |cpu: &str| {
            let mut one = asks(cpu, "0");
            one["restartPolicy"] = "Always".into();
            one
        };
        let of = |init: Value, cpu| {
            requests(&pod(json!({"initContainers": init, "containers": [asks(cpu, "0")]})))
                .cpu_milli
        };
        assert_eq!(of(json!([asks("700m", "0")]), "500m"), 700);
        assert_eq!(of(json!([side("100m"), asks("700m", "0")]), "500m"), 800);
        assert_eq!(of(json!([asks("200m", "0"), side("300m")]), "500m"), 800);
    }

    #[test]
    fn selectors_and_ports_are_looked_at() {
        let none = Load::default();
        let expression = |key: &str, operator: &str, values: Value| {
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
                [{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]}}}})
        };
        for (spec, fits) in [
            (json!({"nodeSelector": {"disk": "ssd"}}), true),
            (json!({"nodeSelector": {"disk": "hdd"}}), false),
            (expression("disk", "In", json!(["ssd", "x"])), true),
            (expression("disk", "NotIn", json!(["ssd"])), false),
            (expression("none", "NotIn", json!(["ssd"])), true),
            (expression("n", "Gt", json!(["6"])), true),
            (expression("n", "Lt", json!(["6"])), false),
            (expression("none", "Exists", json!([])), false),
            (expression("none", "DoesNotExist", json!([])), true),
        ] {
            let refused = check(&pod(spec.clone()), &none);
            assert_eq!(refused, (!fits).then(|| "NodeAffinity".to_owned()), "{spec}");
        }
        let port = |port: i32, address: &str| {
            pod(
                json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": port, "hostIP": address}]}]}),
            )
        };
        let mut load = Load::default();
        load.add(&port(80, "10.0.0.1"));
        assert_eq!(check(&port(80, ""), &load), Some("NodePorts".into()));
        assert_eq!(
            (check(&port(80, "10.0.0.2"), &load), check(&port(81, ""), &load)),
            (None, None)
        );
    }

    #[test]
    fn quantities_are_read_in_all_their_forms() {
        for (text, scale, amount) in [
            ("1", 1_000, 1_000),
            ("100m", 1_000, 100),
            ("0.5", 1_000, 500),
            ("1Gi", 1, 1 << 30),
            ("1k", 1, 1_000),
            ("1e3", 1, 1_000),
            ("1n", 1_000, 1),
            ("128974848", 1, 128_974_848),
        ] {
            assert_eq!(quantity(text, scale), Some(amount), "{text}");
        }
        assert_eq!((quantity("x", 1), quantity("1Qi", 1)), (None, None));
    }
}
