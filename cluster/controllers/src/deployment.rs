// SPDX-License-Identifier: Apache-2.0
//! Deployments: one template takes the place of another, by ReplicaSets that grow and shrink. What is to be done is decided in [`plan`];
//! here it is done.

mod conditions;
pub(crate) mod hash;
pub(crate) mod limits;
pub mod plan;
mod revision;
mod scale;
pub mod sets;
mod write;

use crate::context::Context;
use crate::controller::{self, CHANGES};
use crate::index::{self, Index};
use crate::informers::begin;
use crate::queue::{Key, Outcome};
use crate::view::{Deployment, Pod, ReplicaSet, selects};
use crate::written::{BEHIND, Written};
use berth_cluster_client::{Change, Item};
use std::sync::Arc;

/// Deployments that are worked on at a time (upstream's number).
const AT_ONCE: usize = 5;

/// What is known.
#[derive(Debug)]
struct State {
    /// By namespace.
    deployments: Index<Deployment>,
    /// By the uid of their controller, or, without one, by namespace.
    sets: Index<ReplicaSet>,
    /// By the uid of their controller.
    pods: Index<Pod>,
    /// ReplicaSets that were written, by Deployment.
    written: Written,
}

type Controller = controller::Controller<State>;

/// Runs the controller for ever.
pub(crate) async fn run(context: Context) {
    let mut deployments = begin(context.informers.deployments()).await;
    let mut sets = begin(context.informers.replica_sets()).await;
    let mut pods = begin(context.informers.pods()).await;
    let state = State {
        deployments: Index::new(index::namespace),
        sets: Index::new(|set| {
            let owner = set.view.metadata.controller();
            vec![
                owner.map_or_else(
                    || index::orphans(&set.id.namespace),
                    |owner| index::of(&owner.uid),
                ),
            ]
        }),
        pods: Index::new(|pod| {
            pod.view.metadata.controller().map(|owner| index::of(&owner.uid)).into_iter().collect()
        }),
        written: Written::default(),
    };
    let controller = Controller::new(context, state);
    while let Some(change) = deployments.try_next() {
        controller.deployment_changed(&change);
    }
    while let Some(change) = sets.try_next() {
        controller.set_changed(&change);
    }
    while let Some(change) = pods.try_next() {
        controller.pod_changed(&change);
    }
    let intake = async {
        let (mut some, mut some_sets, mut some_pods) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            tokio::select! {
                biased;
                count = deployments.next_many(&mut some, CHANGES) => if count == 0 { return },
                count = sets.next_many(&mut some_sets, CHANGES) => if count == 0 { return },
                count = pods.next_many(&mut some_pods, CHANGES) => if count == 0 { return },
            }
            some.drain(..).for_each(|change| controller.deployment_changed(&change));
            some_sets.drain(..).for_each(|change| controller.set_changed(&change));
            some_pods.drain(..).for_each(|change| controller.pod_changed(&change));
        }
    };
    Arc::clone(&controller).run(AT_ONCE, intake, Controller::sync).await;
}

impl Controller {
    fn deployment_changed(&self, change: &Change<Deployment>) {
        let mut state = self.state();
        state.deployments.apply(change);
        let Some(item) = change.after.as_ref().or(change.before.as_ref()) else { return };
        let key = index::key(item);
        if change.after.is_none() {
            state.written.forget(&key);
        }
        drop(state);
        self.work.add(key);
    }

    fn set_changed(&self, change: &Change<ReplicaSet>) {
        let mut state = self.state();
        state.sets.apply(change);
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        for (set, version) in [(before, None), (after, after.map(|set| &set.id.resource_version))] {
            let Some(set) = set else { continue };
            let Some(owner) = state.owner(set) else { continue };
            match version {
                Some(version) => state.written.seen(&owner, &index::key(set), version),
                None if after.is_none() => state.written.gone(&owner, &index::key(set)),
                None => {}
            }
            self.work.add(owner);
        }
        if let Some(set) = after.filter(|set| set.view.metadata.controller().is_none()) {
            for deployment in state.deployments.group(&set.id.namespace) {
                if selects(&deployment.view.spec.selector, &set.view.metadata.labels) {
                    self.work.add(index::key(&deployment));
                }
            }
        }
    }

    /// Pods that end: who starts only when all others have ended waits for them.
    fn pod_changed(&self, change: &Change<Pod>) {
        let mut state = self.state();
        state.pods.apply(change);
        let Some(before) = &change.before else { return };
        if change.after.as_ref().is_some_and(|after| !after.view.terminal()) {
            return;
        }
        let owner = before.view.metadata.controller().filter(|owner| owner.kind == "ReplicaSet");
        let Some(owner) = owner else { return };
        let set = state.sets.get(&Key::new(&before.id.namespace, &owner.name));
        let Some(key) = set.and_then(|set| state.owner(&set)) else { return };
        let recreates = |item: &Arc<Item<Deployment>>| !limits::rolls(&item.view.spec);
        if state.deployments.get(&key).as_ref().is_some_and(recreates) {
            self.work.add(key);
        }
    }

    async fn sync(self: Arc<Self>, key: Key) -> Outcome {
        let deployment = {
            let state = self.state();
            if state.written.behind(&key, self.work.now()) {
                return Outcome::After(BEHIND);
            }
            let Some(deployment) = state.deployments.get(&key) else { return Outcome::Done };
            deployment
        };
        let sets = match self.claim(&deployment).await {
            Ok(sets) => sets,
            Err(error) => return Outcome::failed(&key, &error),
        };
        let running = {
            let state = self.state();
            let runs =
                |uid: &str| state.pods.members(&index::of(uid)).any(|pod| !pod.view.terminal());
            sets.iter().map(|set| set.id.uid.clone()).filter(|uid| runs(uid)).collect()
        };
        let now = self.context.now();
        self.carry_out(&key, &plan::Observed { deployment, sets, running, now }).await
    }
}

impl State {
    /// The Deployment that controls a ReplicaSet, if it is known by that uid.
    fn owner(&self, set: &Item<ReplicaSet>) -> Option<Key> {
        let owner = set.view.metadata.controller().filter(|owner| owner.kind == "Deployment")?;
        let key = Key::new(&set.id.namespace, &owner.name);
        let deployment = self.deployments.get(&key)?;
        (deployment.id.uid == owner.uid).then_some(key)
    }
}
