// SPDX-License-Identifier: Apache-2.0
//! What a ReplicaSet says of its pods.

use crate::replica_set::plan::{KnownPod, Observed};
use crate::view::{Condition, Micros, ReplicaSetStatus};
use berth_cluster_client::clock;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `FailedCreate` or `FailedDelete`.
    pub(crate) reason: &'static str,
    /// What the server said.
    pub(crate) message: String,
}

/// The status, after what is owned. Pods that are told to go are there until they are seen to, but nobody is to count on them.
pub(crate) fn status(
    observed: &Observed,
    owned: &[KnownPod],
    going: &BTreeSet<String>,
    failure: Option<&Failure>,
) -> ReplicaSetStatus {
    let set = &observed.set.view;
    let active = || owned.iter().map(|pod| &pod.view).filter(|pod| pod.active());
    let stays = |pod: &&KnownPod| !going.contains(&pod.id.uid);
    let usable = || owned.iter().filter(stays).map(|pod| &pod.view).filter(|pod| pod.active());
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let labels = &set.template.labels;
    let labelled = active().filter(|pod| {
        labels.iter().all(|(name, value)| pod.metadata.labels.get(name) == Some(value))
    });
    let leaving = owned.iter().filter(|pod| pod.view.metadata.deleted() && !pod.view.terminal());
    let mut conditions = set.status.conditions.clone();
    match failure {
        None => conditions.retain(|one| one.kind != "ReplicaFailure"),
        // What was said first stays until all is well again.
        Some(_) if conditions.iter().any(|one| one.kind == "ReplicaFailure") => {}
        Some(failure) => conditions.push(Condition {
            kind: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: failure.reason.to_owned(),
            message: failure.message.clone(),
            last_transition_time: Some(Micros(observed.now.0 / 1_000_000 * 1_000_000)),
            ..Condition::default()
        }),
    }
    ReplicaSetStatus {
        replicas: count(active().count()),
        fully_labeled_replicas: count(labelled.count()),
        ready_replicas: count(usable().filter(|pod| pod.ready()).count()),
        available_replicas: count(
            usable().filter(|pod| pod.available(set.min_ready_seconds, observed.now)).count(),
        ),
        terminating_replicas: Some(count(leaving.count())),
        observed_generation: set.metadata.generation,
        conditions,
    }
}

/// A status as it is written.
pub(crate) fn written(status: &ReplicaSetStatus) -> Value {
    let mut fields = Map::new();
    fields.insert("replicas".to_owned(), status.replicas.into());
    let counts = [
        ("fullyLabeledReplicas", status.fully_labeled_replicas),
        ("readyReplicas", status.ready_replicas),
        ("availableReplicas", status.available_replicas),
        ("observedGeneration", status.observed_generation),
    ];
    for (name, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
        fields.insert(name.to_owned(), count.into());
    }
    if let Some(leaving) = status.terminating_replicas {
        fields.insert("terminatingReplicas".to_owned(), leaving.into());
    }
    if !status.conditions.is_empty() {
        fields.insert("conditions".to_owned(), status.conditions.iter().map(condition).collect());
    }
    Value::Object(fields)
}

/// A condition as it is written.
pub(crate) fn condition(one: &Condition) -> Value {
    let mut value = json!({ "type": one.kind, "status": one.status });
    for (name, text) in [("reason", &one.reason), ("message", &one.message)] {
        if !text.is_empty() {
            value[name] = text.as_str().into();
        }
    }
    let times = [
        ("lastTransitionTime", one.last_transition_time),
        ("lastUpdateTime", one.last_update_time),
        ("lastHeartbeatTime", one.last_heartbeat_time),
    ];
    for (name, at) in times {
        if let Some(at) = at {
            value[name] = clock::seconds(at.0).into();
        }
    }
    value
}
