// SPDX-License-Identifier: Apache-2.0
//! The taints of a node: those by its conditions, and those that drive pods out.

use crate::view::{Micros, Node, Taint};

pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(crate) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions, their status, and the taint that follows.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];

/// Whether a lost node's pods are driven out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Drive {
    /// Taints that drive pods out stay as they are, but for a node that is well, which has none.
    #[default]
    AsIs,
    /// They are.
    Out,
    /// They are not: all nodes are lost, so rather we are.
    Not,
}

/// Whether a taint is one by a condition.
fn by_condition(taint: &Taint) -> bool {
    let keys = BY_CONDITION.iter().map(|(_, _, key)| *key).chain([UNSCHEDULABLE]);
    taint.effect == "NoSchedule" && keys.into_iter().any(|key| key == taint.key)
}

/// Whether a taint drives pods of a lost node out.
fn drives(taint: &Taint) -> bool {
    taint.effect == "NoExecute" && [NOT_READY, UNREACHABLE].contains(&taint.key.as_str())
}

/// The taint that a lost node's pods are driven out by.
pub(crate) fn driving(node: &Node) -> Option<&'static str> {
    match node.condition("Ready").map(|one| one.status.as_str()) {
        Some("True") | None => None,
        Some("False") => Some(NOT_READY),
        Some(_) => Some(UNREACHABLE),
    }
}

/// Whether a node has the taint that drives its pods out.
pub(crate) fn driven(node: &Node) -> bool {
    node.spec.taints.iter().any(drives)
}

/// The taints that a node is to have; none if it has them.
pub fn wanted(node: &Node, drive: Drive, now: Micros) -> Option<Vec<Taint>> {
    let mut keys: Vec<(&str, &str)> = Vec::new();
    for (kind, status, key) in BY_CONDITION {
        if node.condition(kind).is_some_and(|one| one.status == status) {
            keys.push((key, "NoSchedule"));
        }
    }
    if node.spec.unschedulable {
        keys.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let out = drive == Drive::Out || (drive == Drive::AsIs && driven(node));
    if let Some(key) = driving(node).filter(|_| out) {
        keys.push((key, "NoExecute"));
    }
    let ours = |taint: &&Taint| by_condition(taint) || drives(taint);
    let is =
        |taint: &Taint, (key, effect): (&str, &str)| taint.key == key && taint.effect == effect;
    let taints = &node.spec.taints;
    let stays =
        taints.iter().filter(|taint| !ours(taint) || keys.iter().any(|one| is(taint, *one)));
    let mut all: Vec<Taint> = stays.cloned().collect();
    for (key, effect) in keys {
        if !taints.iter().any(|taint| is(taint, (key, effect))) {
            all.push(Taint {
                key: key.to_owned(),
                value: String::new(),
                effect: effect.to_owned(),
                time_added: Some(Micros(now.0 / 1_000_000 * 1_000_000)),
            });
        }
    }
    (all != *taints).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_cluster_client::View;
    use serde_json::{Value, json};

    fn node(ready: &str, taints: Value, more: Value) -> Node {
        let mut conditions = vec![json!({ "type": "Ready", "status": ready })];
        conditions.extend(more.as_array().unwrap().clone());
        let object =
            json!({ "spec": { "taints": taints }, "status": { "conditions": conditions } });
        Node::read(object.to_string().as_bytes()).unwrap()
    }

    fn keys(node: &Node, drive: Drive) -> Option<Vec<String>> {
        let all = wanted(node, drive, Micros(0))?;
        Some(
            all.iter()
                .map(|one| format!("{}:{}", one.key.rsplit('/').next().unwrap(), one.effect))
                .collect(),
        )
    }

    #[test]
    fn taints_follow_conditions_and_leave_others_alone() {
        let well = node("True", json!([{ "key": "mine", "effect": "NoExecute" }]), json!([]));
        assert_eq!(keys(&well, Drive::AsIs), None);
        let full = json!([{ "type": "DiskPressure", "status": "True" }]);
        assert_eq!(
            keys(&node("True", json!([]), full.clone()), Drive::AsIs).unwrap(),
            ["disk-pressure:NoSchedule"]
        );
        let taints = json!([{ "key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule" }]);
        assert_eq!(keys(&node("True", taints.clone(), full), Drive::AsIs), None);
        assert_eq!(keys(&node("True", taints, json!([])), Drive::AsIs).unwrap(), [""; 0]);
        let lost = node("Unknown", json!([]), json!([]));
        assert_eq!(keys(&lost, Drive::AsIs).unwrap(), ["unreachable:NoSchedule"]);
        assert_eq!(
            keys(&lost, Drive::Out).unwrap(),
            ["unreachable:NoSchedule", "unreachable:NoExecute"]
        );
    }

    #[test]
    fn what_drives_pods_out_changes_with_the_condition_and_ends_with_it() {
        let taints = json!([{ "key": UNREACHABLE, "effect": "NoExecute" }]);
        let swapped = keys(&node("False", taints.clone(), json!([])), Drive::AsIs);
        assert_eq!(swapped.unwrap(), ["not-ready:NoSchedule", "not-ready:NoExecute"]);
        assert_eq!(keys(&node("True", taints.clone(), json!([])), Drive::Out).unwrap(), [""; 0]);
        assert_eq!(
            keys(&node("Unknown", taints, json!([])), Drive::Not).unwrap(),
            ["unreachable:NoSchedule"]
        );
    }
}
