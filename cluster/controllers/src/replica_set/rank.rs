// SPDX-License-Identifier: Apache-2.0
//! Which of a ReplicaSet's pods go first: those whose end costs least.

use crate::view::{Micros, Pod};
use berth_cluster_client::Item;
use std::cmp::Reverse;

/// What a pod's owner says its end costs.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The rank of a pod: lower goes first. Ages count by their magnitude only (a power of two), so that of pods of about one age not always
/// the youngest go, which would lie on the emptiest nodes; among them the uid decides. Where upstream looks at restarts only of pods
/// whose ages are exactly the same, here the magnitude has to be: an order needs that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    assigned: bool,
    phase: u8,
    ready: bool,
    cost: i64,
    beside: Reverse<usize>,
    ready_age: i64,
    restarts: Reverse<i64>,
    age: i64,
    uid: String,
}

/// The rank of a pod that has so many of its kind on its node.
pub fn rank(pod: &Item<Pod>, beside: usize, now: Micros) -> Rank {
    let view = &pod.view;
    let ready_since = view.ready_since();
    let phase = match view.status.phase.as_str() {
        "Pending" | "" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let cost = view.metadata.annotations.get(COST).and_then(|text| text.parse::<i32>().ok());
    let restarts = view.status.container_statuses.iter().map(|one| one.restart_count).max();
    Rank {
        assigned: !view.spec.node_name.is_empty(),
        phase,
        ready: ready_since.is_some(),
        cost: cost.unwrap_or(0).into(),
        beside: Reverse(beside),
        ready_age: ready_since.map_or(0, |since| magnitude(since, now)),
        restarts: Reverse(restarts.unwrap_or(0)),
        age: magnitude(view.metadata.created(), now),
        uid: pod.id.uid.clone(),
    }
}

/// The power of two of an age; what has no time goes before all that has one.
fn magnitude(since: Micros, now: Micros) -> i64 {
    if since.0 == 0 {
        return i64::MIN;
    }
    match u64::try_from(now.0.saturating_sub(since.0)) {
        // ages below a microsecond and from the future are alike
        Ok(age) if age > 0 => i64::from(age.ilog2()),
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_cluster_client::{Id, View};
    use serde_json::{Value, json};

    const NOW: Micros = Micros(1_800_000_000_000_000);

    fn pod(uid: &str, change: impl FnOnce(&mut Value)) -> Item<Pod> {
        let mut object = json!({
            "metadata": { "creationTimestamp": "2027-01-15T07:00:00Z", "annotations": {} },
            "spec": { "nodeName": "n" },
            "status": { "phase": "Running", "containerStatuses": [{ "restartCount": 1 }], "conditions": [
                { "type": "Ready", "status": "True", "lastTransitionTime": "2027-01-15T07:00:10Z" },
            ] },
        });
        change(&mut object);
        let id = Id { uid: uid.to_owned(), ..Id::default() };
        Item { id, view: Pod::read(object.to_string().as_bytes()).unwrap() }
    }

    #[test]
    fn pods_go_in_upstreams_order() {
        let set = |path: &'static str, value: Value| {
            move |object: &mut Value| *object.pointer_mut(path).unwrap() = value
        };
        let cost = |cost: &'static str| {
            move |object: &mut Value| object["metadata"]["annotations"][COST] = cost.into()
        };
        // Each goes before all that follow.
        let ordered = [
            (pod("a", set("/spec/nodeName", json!(""))), 1),
            (pod("b", set("/status/phase", json!("Pending"))), 1),
            (pod("c", set("/status/phase", json!("Unknown"))), 1),
            (pod("d", set("/status/conditions/0/status", json!("False"))), 1),
            (pod("e", cost("-5")), 1),
            (pod("f", |_| {}), 2),
            (pod("g", set("/status/conditions/0/lastTransitionTime", Value::Null)), 1),
            (
                pod(
                    "h",
                    set("/status/conditions/0/lastTransitionTime", json!("2027-01-15T07:59:00Z")),
                ),
                1,
            ),
            (pod("i", set("/status/containerStatuses/0/restartCount", json!(4))), 1),
            (pod("j", set("/metadata/creationTimestamp", json!("2027-01-15T07:59:00Z"))), 1),
            (pod("k", |_| {}), 1),
            (pod("l", |_| {}), 1),
            (pod("m", cost("7")), 9),
        ];
        let ranks: Vec<_> = ordered.iter().map(|(pod, beside)| rank(pod, *beside, NOW)).collect();
        for pair in ranks.windows(2) {
            assert!(pair[0] < pair[1], "{pair:#?}");
        }
        assert_eq!(
            rank(&pod("k", cost("much")), 1, NOW),
            ranks[10],
            "what is no number counts nothing"
        );
    }
}
