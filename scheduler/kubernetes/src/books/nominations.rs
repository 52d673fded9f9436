// SPDX-License-Identifier: Apache-2.0
//! Nominations: which node a pod waits for, when that ends, and that its status says so (kube-scheduler v1.36: `PostFilter` of plugin
//! defaultpreemption, `getLowerPriorityNominatedPods`, and what its failure handler does with `NominatingInfo`).

use super::Books;
use super::tell::{Nomination, asked};
use berth_scheduler_core::{Eviction, Ineligible, PodIx};
use berth_scheduler_model::Str;

impl Books {
    /// Somebody else says where a pod that waits is to go, or that it is not to go there any more: how it was and is nominated.
    pub(super) fn renominate(&mut self, [before, after]: &[Option<Str>; 2], uid: &str) {
        let Some(ix) = self.engine.find_pod(uid) else { return };
        let own = self.engine.pod(ix).nominated.map(|slot| self.engine.node_name(slot));
        if own == after.as_ref() {
            return;
        }
        match after {
            Some(node) => self.engine.renominate(ix, &node.clone()),
            // What was never shown is on its way, and not taken back.
            None if before.is_some() => self.engine.clear_nomination(ix),
            None => {}
        }
    }

    /// What becomes of the nomination of a pod that was refused just now. One that waits for its victims keeps it, and so does one that
    /// may not preempt; where evicting does not help any more, it ends.
    pub(super) fn nominated(&mut self, pod: PodIx, eviction: Option<&Eviction>) -> Nomination {
        if let Some(eviction) = eviction {
            return Nomination::To(self.engine.node_name(eviction.node).clone());
        }
        let Some(known) = self.pods.get(self.engine.pod_id(pod).uid) else {
            return Nomination::AsItIs;
        };
        let said = known.nominated.is_some() || known.shown.view.0.pod.nominated.is_some();
        if !said && self.engine.pod(pod).nominated.is_none() {
            return Nomination::AsItIs;
        }
        let asked = asked(&self.engine, pod);
        match self.engine.explain_preemption(&asked).ineligible {
            Some(Ineligible::Never | Ineligible::Waiting) => Nomination::AsItIs,
            None => {
                self.engine.end_nomination(pod);
                Nomination::Nothing
            }
        }
    }

    /// Somebody makes room on a node: pods of lower priority that were to go there look for another place.
    pub(super) fn take_nominations(&mut self, by: PodIx, eviction: &Eviction) {
        // Upstream leaves them alone where all victims are on their way out already.
        let leaves = |pod: &PodIx| {
            let known = self.pods.get(self.engine.pod_id(*pod).uid);
            known.is_some_and(|known| known.shown.view.0.pod.terminating)
        };
        if eviction.victims.iter().all(leaves) {
            return;
        }
        let priority = self.engine.pod(by).spec.priority;
        let lower = |pod: &PodIx| self.engine.pod(*pod).spec.priority < priority;
        let nominees: Vec<PodIx> =
            self.engine.nominees(eviction.node).iter().copied().filter(lower).collect();
        for pod in nominees {
            self.engine.clear_nomination(pod);
            self.tell(pod, None, Nomination::Nothing, false);
        }
    }
}
