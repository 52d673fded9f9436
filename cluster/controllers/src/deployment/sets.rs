// SPDX-License-Identifier: Apache-2.0
//! A Deployment's ReplicaSets, as they are to be.

use super::hash;
use crate::view::workload::ReplicaSetStatus;
use crate::view::{Micros, ReplicaSet, Texts, value};
use berth_cluster_client::Item;
use serde_json::Value;
use std::sync::Arc;

/// A ReplicaSet of a Deployment.
#[derive(Debug, Clone)]
pub struct Set {
    /// As it is; none if it is to be made.
    pub item: Option<Arc<Item<ReplicaSet>>>,
    /// Its name.
    pub name: String,
    /// Pods that it is to have.
    pub replicas: i64,
    /// Annotations that it is to have.
    pub annotations: Texts,
    /// Seconds that a pod of it is to be ready.
    pub min_ready_seconds: i64,
    /// How it is.
    pub status: ReplicaSetStatus,
    /// What is to be told of the change of its size.
    pub told: Option<String>,
}

impl Set {
    pub(super) fn new(item: &Arc<Item<ReplicaSet>>) -> Self {
        Self {
            name: item.id.name.to_string(),
            replicas: item.view.replicas,
            annotations: item.view.metadata.annotations.clone(),
            min_ready_seconds: item.view.min_ready_seconds,
            status: item.view.status.clone(),
            told: None,
            item: Some(Arc::clone(item)),
        }
    }

    /// Whether it is to be other than it is.
    pub(super) fn changed(&self) -> bool {
        self.item.as_ref().is_none_or(|item| {
            self.replicas != item.view.replicas
                || self.annotations != item.view.metadata.annotations
                || self.min_ready_seconds != item.view.min_ready_seconds
        })
    }

    /// Pods that can be used, after all that is decided: none that is on its way out, and none that is to come.
    pub(super) fn available(&self) -> i64 {
        if self.is_stale() { 0 } else { self.status.available_replicas.min(self.replicas) }
    }

    /// Pods that cannot be used, as far as is known.
    pub(super) fn useless(&self) -> i64 {
        if self.is_stale() { 0 } else { self.replicas - self.available() }
    }

    /// Its status is from before a change of its size. Upstream believes it then, and takes one pod too many away when a rollout is turned
    /// back at the wrong moment.
    pub(super) fn is_stale(&self) -> bool {
        self.item
            .as_ref()
            .is_some_and(|item| self.status.observed_generation < item.view.metadata.generation)
    }

    /// When it was made, and its name: oldest first. One that is to be made is the youngest.
    pub(super) fn age(&self) -> (Micros, &str) {
        let created = self.item.as_ref().map(|item| item.view.metadata.created());
        (created.unwrap_or(Micros(i64::MAX)), &self.name)
    }

    /// The revision that it says.
    pub(super) fn revision(&self) -> i64 {
        self.annotations
            .get(super::revision::REVISION)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }
}

/// All of a Deployment's.
#[derive(Debug, Clone, Default)]
pub struct Sets {
    /// That of the template.
    pub new: Option<Set>,
    /// The others, oldest first.
    pub old: Vec<Set>,
}

impl Sets {
    /// Divides them: that of the template (the oldest, should there be more), and all others.
    pub(super) fn new(items: &[Arc<Item<ReplicaSet>>], template: &Value) -> Self {
        let mut old: Vec<Set> = items.iter().map(Set::new).collect();
        old.sort_by(|a, b| a.age().cmp(&b.age()));
        let new = old.iter().position(|set| {
            let json = set.item.as_ref().map(|item| value(&item.view.json));
            json.is_some_and(|json| hash::same(&json["spec"]["template"], template))
        });
        let new = new.map(|at| old.remove(at));
        Self { new, old }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(self.new.as_ref())
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Set> {
        self.old.iter_mut().chain(self.new.as_mut())
    }

    /// Pods that all are to have.
    pub(super) fn replicas(&self) -> i64 {
        self.all().map(|set| set.replicas).sum()
    }

    /// Pods that all have or are to have: those that are told to go are there until their set says that they are not. Upstream does not
    /// count them, and has more pods than `maxSurge` allows for a moment.
    pub(super) fn pods(&self) -> i64 {
        self.all().map(|set| set.replicas.max(set.status.replicas)).sum()
    }
}
