// SPDX-License-Identifier: Apache-2.0
//! What a service needs that keeps books beside the engine's, and comes back after a restart: records by number, names of nodes
//! that are gone, and decisions put back as they were.

use crate::Slot;
use crate::engine::Engine;
use crate::peers::PeerId;
use crate::pods::{NO_SLOT, PodIx, PodState};
use crate::queue::QueuePart;
use crate::specs::SpecIx;
use crate::uids::{UidHash, UidHasher};
use crate::volumes::Binding;
use alloc::sync::Arc;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::PodSpec;

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

    /// The pods that wait with a pod of the queue, itself included: what is refused to one of them is refused to all.
    pub fn waiting_with(&self, pod: PodIx) -> Vec<PodIx> {
        self.queue.class_of(pod).map(|class| self.queue.of_class(class)).unwrap_or_default()
    }

    /// A pod of the queue loses its nomination; it is tried again at once.
    pub fn clear_nomination(&mut self, pod: PodIx) {
        self.nominate(pod, NO_SLOT);
        self.queue.hurry(pod);
        if let Some(class) = self.queue.class_of(pod) {
            self.queue.wake(class);
        }
    }

    /// A pod that was refused is nominated no longer; it waits on as it does.
    pub fn end_nomination(&mut self, pod: PodIx) {
        self.nominate(pod, NO_SLOT);
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

    /// What hashes uids as this engine does.
    pub fn uid_hasher(&self) -> UidHasher {
        self.pods.hasher().clone()
    }

    /// The hash of a uid.
    pub fn uid_hash(&self, uid: &str) -> UidHash {
        self.pods.hasher().hash(uid)
    }

    /// The pod of a uid whose hash is at hand.
    pub fn find_pod_hashed(&self, hash: UidHash, uid: &str) -> Option<PodIx> {
        self.pods.find_hashed(hash, uid)
    }

    /// The index of a spec in a namespace, which is valid until [`Engine::drop_spec`].
    pub fn hold_spec(&mut self, namespace: &str, spec: &Arc<PodSpec>) -> SpecIx {
        let ix = self.intern(namespace, spec);
        self.specs.retain(ix);
        ix
    }

    /// Ends what [`Engine::hold_spec`] began.
    pub fn drop_spec(&mut self, spec: SpecIx) {
        self.specs.release(spec);
    }

    /// The namespace of a spec.
    pub fn namespace_of(&self, spec: SpecIx) -> &str {
        self.namespaces.ids.name(self.specs.get(spec).namespace)
    }

    /// As [`Engine::bind`], for very many pods: they are known, but count on their nodes only after [`Engine::seat_all`], which has
    /// to come before any decision and before a node goes. The uid must not be known, and the node has to be there.
    pub fn bind_later(
        &mut self,
        (hash, uid): (UidHash, &str),
        name: &str,
        spec: SpecIx,
        (node, state): (Slot, PodState),
    ) -> PodIx {
        let pod = self.pods.insert_hashed(hash, uid, name, spec);
        self.specs.retain(spec);
        let record = self.pods.get_mut(pod);
        record.slot = node;
        record.state = state;
        self.unseated.push((node, pod));
        pod
    }

    /// Puts the pods of [`Engine::bind_later`] on their nodes, node by node.
    pub fn seat_all(&mut self) {
        let mut pods = core::mem::take(&mut self.unseated);
        pods.sort_unstable();
        for (slot, pod) in pods {
            // Its record may be another pod's by now, or no one's.
            if self.pods.at(pod.0).is_some()
                && self.is_unseated(pod)
                && self.pods.get(pod).slot == slot
            {
                let state = self.pods.get(pod).state;
                self.put_on(pod, slot, state);
            }
        }
    }

    /// A pod on a node is part of some peer from the moment on that it counts there.
    fn is_unseated(&self, pod: PodIx) -> bool {
        let record = self.pods.get(pod);
        record.slot != NO_SLOT && record.peer == PeerId::NONE
    }

    /// Forgets a pod that was bound, seated or not.
    pub fn forget_bound(&mut self, hash: UidHash, pod: PodIx) {
        if !self.is_unseated(pod) {
            self.forget_hashed(pod, hash);
            return;
        }
        let spec = self.pods.get(pod).spec;
        self.pods.remove(pod, hash);
        self.specs.release(spec);
    }
}
