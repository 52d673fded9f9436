// SPDX-License-Identifier: Apache-2.0
//! The scheduler's vocabulary as messages: what Get and List answer.

use berth_proto::v1;
use berth_scheduler_model::labels::Labels;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::pod::TaintEffect;
use berth_scheduler_model::requests::Resources;
use std::collections::BTreeMap;

/// A node. Read again, it is the same.
pub fn node(node: &Node) -> v1::Node {
    let mut allocatable = resources(&node.allocatable);
    if node.pods > 0 {
        allocatable.insert("pods".into(), node.pods.to_string());
    }
    let taint = |taint: &berth_scheduler_model::pod::Taint| v1::Taint {
        key: taint.key.as_ref().to_owned(),
        value: taint.value.as_ref().to_owned(),
        effect: effect(taint.effect).to_owned(),
    };
    v1::Node {
        name: node.name.as_ref().to_owned(),
        labels: labels(&node.labels),
        taints: node.taints.iter().map(taint).collect(),
        unschedulable: node.unschedulable,
        allocatable,
        images: node
            .images
            .iter()
            .map(|(name, size_bytes)| v1::ContainerImage {
                names: vec![name.as_ref().to_owned()],
                size_bytes: *size_bytes,
            })
            .collect(),
        declared_features: node.features.iter().map(|name| name.as_ref().to_owned()).collect(),
    }
}

fn effect(effect: TaintEffect) -> &'static str {
    match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    }
}

/// Labels.
pub fn labels(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.as_ref().to_owned(), value.as_ref().to_owned())).collect()
}

/// Amounts by resource; those of nothing are left out.
pub fn resources(resources: &Resources) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    if resources.cpu > 0 {
        map.insert("cpu".to_owned(), cpu(resources.cpu));
    }
    for (name, amount) in [("memory", resources.memory), ("ephemeral-storage", resources.ephemeral)]
    {
        if amount > 0 {
            map.insert(name.to_owned(), amount.to_string());
        }
    }
    for (name, amount) in &resources.scalars {
        map.insert(name.as_ref().to_owned(), amount.to_string());
    }
    map
}

/// Milli-CPU as a quantity.
fn cpu(milli: i64) -> String {
    if milli % 1_000 == 0 { (milli / 1_000).to_string() } else { format!("{milli}m") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert;

    #[test]
    fn a_node_that_is_written_and_read_again_is_the_same() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let message = v1::Node {
            name: "n1".into(),
            labels: map(&[("zone", "a")]),
            taints: vec![v1::Taint {
                key: "gpu".into(),
                value: "x".into(),
                effect: "NoExecute".into(),
            }],
            unschedulable: true,
            allocatable: map(&[
                ("cpu", "1500m"),
                ("memory", "1Gi"),
                ("pods", "110"),
                ("nvidia.com/gpu", "2"),
                ("ephemeral-storage", "10Gi"),
            ]),
            images: vec![v1::ContainerImage { names: vec!["app:1".into()], size_bytes: 7 }],
            declared_features: vec!["A".into()],
        };
        let read = convert::node(&message).unwrap();
        assert_eq!((read.pods, read.allocatable.cpu), (110, 1_500));
        assert_eq!(convert::node(&node(&read)).unwrap(), read);
    }
}
