// SPDX-License-Identifier: Apache-2.0
//! From what is observed of a Deployment to what is to be done.

use super::conditions;
use super::hash;
use super::limits;
use super::revision::{self, REVISION};
use super::scale;
use super::sets::{Set, Sets};
use crate::view::workload::{DeploymentStatus, ReplicaSetStatus};
use crate::view::{Deployment, Micros, ReplicaSet, Texts};
use berth_cluster_client::Item;
use std::sync::Arc;
use std::time::Duration;

/// What is observed.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The Deployment.
    pub deployment: Arc<Item<Deployment>>,
    /// Its ReplicaSets.
    pub sets: Vec<Arc<Item<ReplicaSet>>>,
    /// Uids of those that have pods which have not come to their end.
    pub running: Vec<String>,
    /// The time.
    pub now: Micros,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// A ReplicaSet is made.
    pub create: Option<Set>,
    /// ReplicaSets change.
    pub update: Vec<Set>,
    /// ReplicaSets that nobody goes back to are deleted.
    pub delete: Vec<Arc<Item<ReplicaSet>>>,
    /// Its status, if it changes.
    pub status: Option<DeploymentStatus>,
    /// Its revision, if that changes.
    pub revision: Option<String>,
    /// When to look again, though nothing happens.
    pub after: Option<Duration>,
}

struct Rollout<'a> {
    deployment: &'a Deployment,
    name: &'a str,
    sets: Sets,
    status: DeploymentStatus,
    now: Micros,
    delete: Vec<Arc<Item<ReplicaSet>>>,
}

/// Whether the selector of a Deployment takes everything: then nothing is done.
pub fn selects_all(deployment: &Deployment) -> bool {
    deployment.spec.selector.is_everything()
}

/// Decides.
pub fn plan(observed: &Observed) -> Plan {
    let deployment = &observed.deployment.view;
    let mut rollout = Rollout {
        deployment,
        name: &observed.deployment.id.name,
        sets: Sets::new(&observed.sets, &deployment.spec.template),
        status: deployment.status.clone(),
        now: observed.now,
        delete: Vec::new(),
    };
    if selects_all(deployment) {
        rollout.status.observed_generation = deployment.metadata.generation;
        return rollout.end();
    }
    let spec = &deployment.spec;
    rollout.renew();
    if deployment.metadata.deleted() {
        rollout.count();
        return rollout.end();
    }
    conditions::pause(spec, &mut rollout.status, observed.now);
    if spec.paused || scale::is_event(&rollout.sets, spec) {
        scale::follow(&mut rollout.sets, spec, deployment.status.replicas);
        if spec.paused {
            rollout.clean();
        }
        rollout.count();
    } else if limits::rolls(spec) {
        rollout.roll();
        rollout.report();
    } else {
        rollout.recreate(&observed.running);
        rollout.report();
    }
    rollout.end()
}

impl Rollout<'_> {
    fn count(&mut self) {
        conditions::count(self.deployment, &self.sets, &mut self.status, self.now);
    }

    /// How it goes.
    fn report(&mut self) {
        self.count();
        conditions::progress(self.deployment, &self.sets, &mut self.status, self.now);
        conditions::failures(&self.sets, &mut self.status, self.now);
    }

    /// The ReplicaSet of the template, if there is one, is the newest.
    fn renew(&mut self) {
        let Deployment { metadata, spec, .. } = self.deployment;
        revision::renew(&mut self.sets, &metadata.annotations, spec);
        if let Some(new) = &self.sets.new {
            conditions::found(spec, &mut self.status, new, self.now);
        }
    }

    /// There is a ReplicaSet of the template.
    fn make(&mut self) {
        if self.sets.new.is_some() {
            return;
        }
        let spec = &self.deployment.spec;
        let hash = hash::hash(&spec.template, self.deployment.status.collision_count);
        self.sets.new = Some(Set {
            item: None,
            name: format!("{}-{hash}", self.name),
            replicas: 0,
            annotations: Texts::new(),
            min_ready_seconds: spec.min_ready_seconds,
            status: ReplicaSetStatus::default(),
            told: None,
        });
        let size = scale::newest(&self.sets, spec);
        if let Some(new) = &mut self.sets.new
            && size > 0
        {
            new.replicas = size;
            new.told = Some(format!("Scaled up replica set {} from 0 to {size}", new.name));
        }
        self.renew();
    }

    fn roll(&mut self) {
        let fresh = self.sets.new.is_none();
        self.make();
        let spec = &self.deployment.spec;
        // One kind of step at a time: the next looks at what came of it.
        if fresh || scale::grow(&mut self.sets, spec) || scale::shrink(&mut self.sets, spec) {
            return;
        }
        self.clean_if_complete();
    }

    fn recreate(&mut self, running: &[String]) {
        let spec = &self.deployment.spec;
        if scale::empty(&mut self.sets, spec) {
            return;
        }
        let uid = |set: &Set| set.item.as_ref().map(|item| item.id.uid.clone());
        let new = self.sets.new.as_ref().and_then(uid);
        let left = self.sets.old.iter().any(|set| set.status.replicas > 0)
            || running.iter().any(|uid| new.as_ref() != Some(uid));
        if left {
            return;
        }
        let fresh = self.sets.new.is_none();
        self.make();
        if !fresh && !scale::grow(&mut self.sets, spec) {
            self.clean_if_complete();
        }
    }

    fn clean_if_complete(&mut self) {
        if conditions::complete(self.deployment, &self.deployment.status) {
            self.clean();
        }
    }

    /// Of old ReplicaSets without pods the oldest go, but for as many as are kept.
    fn clean(&mut self) {
        let limit = self.deployment.spec.revision_history_limit;
        let Some(limit) = limit.filter(|limit| *limit != i64::from(i32::MAX)) else { return };
        let items =
            self.sets.old.iter().filter_map(|set| Some((set.revision(), set, set.item.as_ref()?)));
        let mut alive: Vec<_> =
            items.filter(|(_, _, item)| !item.view.metadata.deleted()).collect();
        alive.sort_by(|a, b| (a.0, a.1.age()).cmp(&(b.0, b.1.age())));
        let surplus = alive.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        let unused = |set: &Set, item: &Item<ReplicaSet>| {
            set.replicas == 0
                && set.status.replicas == 0
                && item.view.metadata.generation <= set.status.observed_generation
        };
        let gone = alive.into_iter().take(surplus).filter(|(_, set, item)| unused(set, item));
        self.delete = gone.map(|(_, _, item)| Arc::clone(item)).collect();
    }

    fn end(self) -> Plan {
        let Self { deployment, sets, status, now, delete, .. } = self;
        let mut plan = Plan { delete, ..Plan::default() };
        let goes = |set: &Set| {
            let uid = set.item.as_ref().map(|item| &item.id.uid);
            plan.delete.iter().any(|item| Some(&item.id.uid) == uid)
        };
        let revision = sets.new.as_ref().and_then(|set| set.annotations.get(REVISION)).cloned();
        plan.update = sets
            .all()
            .filter(|set| set.item.is_some() && set.changed() && !goes(set))
            .cloned()
            .collect();
        plan.create = sets.new.filter(|set| set.item.is_none());
        plan.revision = revision
            .filter(|one| deployment.metadata.annotations.get(REVISION) != Some(one))
            .map(String::from);
        plan.after = conditions::left(deployment, &status, now);
        plan.status = (status != deployment.status).then_some(status);
        plan
    }
}
