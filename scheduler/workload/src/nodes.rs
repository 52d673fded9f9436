// SPDX-License-Identifier: Apache-2.0
//! Nodes of synthetic clusters.

use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::requests::Resources;

/// Milli-CPU of a node.
pub const CPU: i64 = 4_000;
/// Bytes of memory of a node.
pub const MEMORY: i64 = 32 << 30;
/// Places for pods on a node.
pub const PODS: i64 = 110;
/// Zones of a cluster.
pub const ZONES: usize = 3;

/// The name of node `i`.
#[must_use]
pub fn name(i: usize) -> String {
    format!("node-{i:06}")
}

/// Node `i` of a cluster.
#[must_use]
pub fn node(i: usize) -> Node {
    let name = name(i);
    let label = |key: &str, value: &str| (Str::from(key), Str::from(value));
    Node {
        labels: [
            label("kubernetes.io/hostname", &name),
            label("kubernetes.io/os", "linux"),
            label("kubernetes.io/arch", "amd64"),
            label("topology.kubernetes.io/region", "region-1"),
            label("topology.kubernetes.io/zone", &format!("zone-{}", i % ZONES)),
        ]
        .into_iter()
        .collect(),
        allocatable: Resources {
            cpu: CPU,
            memory: MEMORY,
            ephemeral: 100 << 30,
            scalars: Vec::new(),
        },
        pods: PODS,
        ..Node::new(&name)
    }
}
