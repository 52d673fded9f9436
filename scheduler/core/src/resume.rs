// SPDX-License-Identifier: Apache-2.0
//! What a service needs that keeps books beside the engine's, and comes back after a restart: records by number, names of nodes
//! that are gone, and decisions put back as they were.

use crate::engine::Engine;
use crate::pods::{NO_SLOT, PodIx};
use crate::queue::QueuePart;
use crate::volumes::Binding;
use alloc::vec::Vec;
use berth_scheduler_model::Str;

impl Engine {
    /// The number of pod records, those of pods that are gone included: `pod_at` finds a pod below it.
    pub fn pod_records(&self) -> u32 {
        self.pods.records()
    }

    /// The pod whose [`PodIx::index`] this is.
    pub fn pod_at(&self, index: u32) -> Option<PodIx> {
        self.pods.at(index)
    }

    /// The name of the node that a pod was put on, also while that node is not there.
    pub fn node_name_of(&self, pod: PodIx) -> Option<&Str> {
        let slot = self.pods.get(pod).slot;
        if slot != NO_SLOT {
            return Some(self.node_name(slot));
        }
        self.ghosts.iter().find(|(_, pods)| pods.contains(&pod)).map(|(name, _)| name)
    }

    /// Where in the queue a pod waits.
    pub fn queue_part(&self, pod: PodIx) -> Option<QueuePart> {
        self.queue.part_of(pod)
    }

    /// A pod of the queue loses its nomination; it is tried again at once.
    pub fn clear_nomination(&mut self, pod: PodIx) {
        self.nominate(pod, NO_SLOT);
        self.queue.hurry(pod);
        if let Some(class) = self.queue.class_of(pod) {
            self.queue.wake(class);
        }
    }

    /// A pod of the queue is nominated to a node, there or not, as it was before a restart.
    pub fn renominate(&mut self, pod: PodIx, node: &Str) {
        match self.nodes.find(node) {
            Some(slot) => self.nominate(pod, slot),
            None => {
                self.nominate(pod, NO_SLOT);
                self.awaiting.entry(node.clone()).or_default().push(pod);
            }
        }
    }

    /// A pod on a node has to go so that another gets its room (it counts as terminating), or need not go after all.
    pub fn mark_preempted(&mut self, pod: PodIx, preempted: bool) {
        let record = self.pods.get_mut(pod);
        record.terminating = preempted;
        record.preempted = preempted;
        self.repeer(pod);
    }

    /// Puts back what was decided before a restart about the claims of a pod that is on its node again.
    pub fn rebind_claims(&mut self, pod: PodIx, bindings: Vec<Binding>) {
        let record = self.pods.get(pod);
        if bindings.is_empty() || record.slot == NO_SLOT {
            return;
        }
        let namespace = self.namespaces.ids.name(self.specs.get(record.spec).namespace);
        let node = &self.nodes.node(record.slot).name;
        self.storage.assume_again(namespace, node, &bindings, self.pods.uid(pod));
        self.bindings.insert(pod, bindings);
    }
}
