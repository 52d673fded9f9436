// SPDX-License-Identifier: Apache-2.0
//! ReplicaSets: so many pods of a template. What is to be done is decided in [`plan`]; here it is done.

pub mod plan;
pub mod rank;
mod status;
mod write;

pub(crate) use status::condition as written_condition;

use crate::context::Context;
use crate::controller::{self, CHANGES};
use crate::expectations::Expectations;
use crate::gather::Gather;
use crate::index::{self, Index};
use crate::informers::begin;
use crate::queue::{Key, Outcome};
use crate::view::{Pod, ReplicaSet, selects};
use berth_cluster_client::{Change, Item};
use std::sync::Arc;
use std::time::Duration;

/// ReplicaSets that are worked on at a time (upstream's number).
const AT_ONCE: usize = 5;

/// What is known.
#[derive(Debug)]
struct State {
    /// By the uid of their controller, or, without one, by namespace.
    pods: Index<Pod>,
    /// By the uid of their controller, and by namespace.
    sets: Index<ReplicaSet>,
    expectations: Expectations,
    gather: Gather,
}

/// Ten times what looking at one pod is taken to cost.
const EACH: Duration = Duration::from_micros(20);

type Controller = controller::Controller<State>;

/// Runs the controller for ever.
pub(crate) async fn run(context: Context) {
    let mut sets = begin(context.informers.replica_sets()).await;
    let mut pods = begin(context.informers.pods()).await;
    let state =
        State {
            pods: Index::new(|pod| {
                vec![pod.view.metadata.controller().map_or_else(
                    || index::orphans(&pod.id.namespace),
                    |owner| index::of(&owner.uid),
                )]
            }),
            sets: Index::new(|set| {
                let owner = set.view.metadata.controller().map(|owner| index::of(&owner.uid));
                owner.into_iter().chain([index::orphans(&set.id.namespace)]).collect()
            }),
            expectations: Expectations::default(),
            gather: Gather::new(EACH),
        };
    let controller = Controller::new(context, state);
    while let Some(change) = sets.try_next() {
        controller.set_changed(&change);
    }
    while let Some(change) = pods.try_next() {
        controller.pod_changed(&change);
    }
    let intake = async {
        let (mut some_sets, mut some_pods) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                biased;
                count = sets.next_many(&mut some_sets, CHANGES) => if count == 0 { return },
                count = pods.next_many(&mut some_pods, CHANGES) => if count == 0 { return },
            }
            some_sets.drain(..).for_each(|change| controller.set_changed(&change));
            some_pods.drain(..).for_each(|change| controller.pod_changed(&change));
        }
    };
    Arc::clone(&controller).run(AT_ONCE, intake, Controller::sync).await;
}

impl Controller {
    fn set_changed(&self, change: &Change<ReplicaSet>) {
        let mut state = self.state();
        state.sets.apply(change);
        let Some(item) = change.after.as_ref().or(change.before.as_ref()) else { return };
        let key = index::key(item);
        if change.after.is_none() {
            state.expectations.forget(&key);
            state.gather.forget(&key);
        }
        drop(state);
        self.work.add(key);
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        let mut state = self.state();
        state.pods.apply(change);
        let leaves = |pod: &Arc<Item<Pod>>| pod.view.metadata.deleted();
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        // The owner that it had hears of it, too.
        if let Some(before) = before
            && let Some(owner) = state.owner(before)
        {
            let last =
                after.is_none_or(leaves) && state.expectations.deleted(&owner, &before.id.uid);
            self.counts_changed(&state, owner, before, last);
        }
        let Some(after) = after else { return };
        if let Some(owner) = state.owner(after) {
            let last = if leaves(after) {
                state.expectations.deleted(&owner, &after.id.uid)
            } else {
                before.is_none() && state.expectations.created(&owner)
            };
            self.counts_changed(&state, owner.clone(), after, last);
            let became_ready = after.view.ready() && !before.is_some_and(|pod| pod.view.ready());
            let min_ready = state.sets.get(&owner).map_or(0, |set| set.view.min_ready_seconds);
            if became_ready && min_ready > 0 {
                // Seconds are cut off of times in objects: one more is enough for sure.
                let seconds = u64::try_from(min_ready).unwrap_or(0).saturating_add(1);
                self.work.add_after(owner, Duration::from_secs(seconds));
            }
        } else if after.view.metadata.controller().is_none() && !leaves(after) {
            for set in state.sets.group(&index::orphans(&after.id.namespace)) {
                if selects(&set.view.selector, &after.view.metadata.labels) {
                    self.work.add(index::key(&set));
                }
            }
        }
    }

    /// A pod of a set is no longer what it was. The last one that the set waits for is not waited for longer.
    fn counts_changed(&self, state: &State, set: Key, pod: &Item<Pod>, last: bool) {
        let owner = pod.view.metadata.controller();
        let pods = owner.map_or(0, |owner| state.pods.count(&index::of(&owner.uid)));
        if last {
            self.work.add(set);
        } else {
            let pause = state.gather.pause(&set, pods, self.work.waiting(), self.work.now());
            self.work.add_after(set, pause);
        }
    }

    async fn sync(self: Arc<Self>, key: Key) -> Outcome {
        let observed = {
            let mut state = self.state();
            let Some(set) = state.sets.get(&key) else { return Outcome::Done };
            state.gather.looked(&key, self.work.now());
            let going = state.expectations.going(&key);
            let settled = state.expectations.satisfied(&key, self.work.now());
            let pods = state.pods.group(&index::of(&set.id.uid));
            let orphans = state.pods.group(&index::orphans(&key.namespace));
            // Which pod goes first is asked only where one has to.
            let wanted = usize::try_from(set.view.replicas).unwrap_or(0);
            let surplus = wanted < pods.len() + orphans.len();
            plan::Observed {
                related: if surplus { state.related(&set) } else { Vec::new() },
                set,
                pods,
                orphans,
                going,
                settled,
                now: self.context.now(),
            }
        };
        self.carry_out(&key, &observed).await
    }
}

impl State {
    /// The ReplicaSet that controls a pod, if it is known by that uid.
    fn owner(&self, pod: &Item<Pod>) -> Option<Key> {
        let owner = pod.view.metadata.controller().filter(|owner| owner.kind == "ReplicaSet")?;
        let key = Key::new(&pod.id.namespace, &owner.name);
        let set = self.sets.get(&key)?;
        (set.id.uid == owner.uid).then_some(key)
    }

    /// The pods of all ReplicaSets that have the same controller.
    fn related(&self, set: &Item<ReplicaSet>) -> Vec<Arc<Item<Pod>>> {
        let Some(owner) = set.view.metadata.controller() else {
            return self.pods.group(&index::of(&set.id.uid));
        };
        let sets = self.sets.group(&index::of(&owner.uid));
        sets.iter().flat_map(|set| self.pods.group(&index::of(&set.id.uid))).collect()
    }
}
