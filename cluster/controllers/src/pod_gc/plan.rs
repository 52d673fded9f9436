// SPDX-License-Identifier: Apache-2.0
//! Which pods are to be removed.

use crate::view::Pod;
use berth_cluster_client::Item;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long a node has to be gone: it may only have come to be known later than its pods (upstream's number).
const QUARANTINE: Duration = Duration::from_secs(40);

/// Why a pod is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its node is gone.
    NodeGone,
    /// It is to end and never had a node.
    NeverRan,
    /// It has come to its end, as too many have.
    TooMany,
}

/// Nodes that are gone, and since when, by a clock that nobody sets.
#[derive(Debug, Default)]
pub struct Gone(BTreeMap<String, Duration>);

impl Gone {
    /// Looks at all pods; so many at their end are kept. `now`: the time since any fixed moment.
    pub fn look(
        &mut self,
        pods: &[Arc<Item<Pod>>],
        nodes: &BTreeSet<&str>,
        kept: usize,
        now: Duration,
    ) -> Vec<(Arc<Item<Pod>>, Why)> {
        let node = |pod: &Arc<Item<Pod>>| pod.view.spec.node_name.clone();
        let missing: BTreeSet<String> = pods
            .iter()
            .map(node)
            .filter(|node| !node.is_empty() && !nodes.contains(node.as_str()))
            .collect();
        self.0.retain(|node, _| missing.contains(node));
        for node in missing {
            self.0.entry(node).or_insert(now);
        }
        let gone = |node: &str| {
            self.0.get(node).is_some_and(|since| since.saturating_add(QUARANTINE) <= now)
        };
        let mut all = Vec::new();
        let mut ended = Vec::new();
        for pod in pods {
            if gone(&pod.view.spec.node_name) {
                all.push((Arc::clone(pod), Why::NodeGone));
            } else if pod.view.spec.node_name.is_empty() && pod.view.metadata.deleted() {
                all.push((Arc::clone(pod), Why::NeverRan));
            } else if pod.view.terminal() {
                ended.push(pod);
            }
        }
        // Those that are on their way out first, then the oldest.
        ended.sort_by_key(|pod| {
            (
                !pod.view.metadata.deleted(),
                pod.view.metadata.created(),
                &pod.id.namespace,
                &pod.id.name,
            )
        });
        let surplus = ended.len().saturating_sub(kept);
        all.extend(ended.into_iter().take(surplus).map(|pod| (Arc::clone(pod), Why::TooMany)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_cluster_client::{Id, View};
    use serde_json::json;

    fn pod(name: &str, node: &str, phase: &str, created: i64, deleted: bool) -> Arc<Item<Pod>> {
        let mut object = json!({
            "metadata": { "creationTimestamp": berth_cluster_client::clock::seconds(created * 1_000_000) },
            "spec": { "nodeName": node }, "status": { "phase": phase },
        });
        if deleted {
            object["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
        }
        let id = Id { name: name.into(), ..Id::default() };
        Arc::new(Item { id, view: Pod::read(object.to_string().as_bytes()).unwrap() })
    }

    #[test]
    fn pods_are_removed_for_three_reasons() {
        let pods = [
            pod("runs", "n", "Running", 1, false),
            pod("lost", "gone", "Running", 1, false),
            pod("never", "", "Pending", 1, true),
            pod("waits", "", "Pending", 1, false),
            pod("young", "n", "Failed", 9, false),
            pod("old", "n", "Succeeded", 2, false),
            pod("older", "n", "Succeeded", 1, false),
        ];
        let mut gone = Gone::default();
        let mut look = |seconds: u64, kept: usize, nodes: &[&str]| {
            let nodes = nodes.iter().copied().collect();
            let all = gone.look(&pods, &nodes, kept, Duration::from_secs(seconds));
            all.into_iter().map(|(pod, _)| pod.id.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(look(0, 9, &["n"]), ["never"]);
        assert_eq!(look(39, 9, &["n"]), ["never"]);
        assert_eq!(look(40, 1, &["n"]), ["lost", "never", "older", "old"]);
        assert_eq!(look(41, 9, &["n", "gone"]), ["never"]);
        assert_eq!(look(81, 9, &["n"]), ["never"], "it is gone anew");
    }
}
