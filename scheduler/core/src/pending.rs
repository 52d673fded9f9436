// SPDX-License-Identifier: Apache-2.0
//! Pending pods: into the queue, out of it with a decision, and back when an event may help.

use crate::class::ClassId;
use crate::decide::Choice;
use crate::engine::{Engine, Outcome, Placement, PodId, Refusal, Subject};
use crate::peers::PeerId;
use crate::pods::{NO_SLOT, PodIx, PodState};
use crate::preempt::Eviction;
use crate::queue::{Hint, QueueSizes, Tick};
use alloc::sync::Arc;
use alloc::vec::Vec;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_model::rules::Plugin;

/// What was decided about a pod of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// It has a node.
    Placed(Placement),
    /// No node will do; it waits on.
    Waits {
        /// The pod.
        pod: PodIx,
        /// Why.
        refusal: Refusal,
        /// Whom to evict so that it gets a place; the room is kept for it on that node meanwhile.
        eviction: Option<Eviction>,
    },
}

impl Engine {
    /// Puts a pod into the queue. A pod with scheduling gates waits until an update removes them.
    pub fn enqueue(
        &mut self,
        now: Tick,
        id: PodId<'_>,
        spec: &Arc<PodSpec>,
    ) -> Result<PodIx, PodIx> {
        if let Some(known) = self.pods.find(id.uid) {
            return Err(known);
        }
        let ix = self.intern(id.namespace, spec);
        let pod = self.pods.insert(id.uid, id.name, ix);
        self.specs.retain(ix);
        self.wait(now, pod);
        Ok(pod)
    }

    /// A pending pod starts to wait.
    pub(crate) fn wait(&mut self, now: Tick, pod: PodIx) {
        let ix = self.pods.get(pod).spec;
        let spec = self.specs.get(ix).spec.clone();
        if !spec.gates.is_empty() {
            self.queue.insert_gated(pod);
        } else if let Some(class) = self.class_of(ix) {
            self.hold_class(class);
            self.queue.insert(pod, class, spec.priority, now);
        }
    }

    /// Decides on the next pod of the queue; `None` when there is none to try now.
    pub fn next(&mut self, now: Tick) -> Option<Decided> {
        self.queue.tick(now);
        self.read_hints();
        loop {
            let (pod, class) = self.queue.first(now)?;
            let record = self.pods.get(pod);
            let (ix, nominated) = (record.spec, record.nominated);
            // Labels or Services may have changed what its class is.
            let current = self.class_of(ix)?;
            if current != class {
                self.move_class(class, current);
                continue;
            }
            let decision = self.decide_pending(pod, nominated);
            return Some(match decision {
                Ok(choice) => Decided::Placed(self.settle(pod, class, choice)),
                Err(refusal) => self.leave_waiting(now, pod, refusal),
            });
        }
    }

    fn decide_pending(&mut self, pod: PodIx, nominated: crate::Slot) -> Result<Choice, Refusal> {
        let ix = self.pods.get(pod).spec;
        let uid = alloc::string::String::from(self.pods.uid(pod));
        self.decide(ix, Subject { uid: &uid, nominated })
    }

    /// A pod of the queue goes to its node.
    fn settle(&mut self, pod: PodIx, class: ClassId, choice: Choice) -> Placement {
        let node = self.slot_of(choice);
        self.queue.remove(pod);
        self.release_class(class);
        self.nominate(pod, NO_SLOT);
        // Pods of lower priority no longer have that room (upstream clears their nominations).
        let priority = self.priority(pod);
        let lower: Vec<PodIx> = self
            .nodes
            .entry(node)
            .nominees
            .iter()
            .copied()
            .filter(|other| self.priority(*other) < priority)
            .collect();
        for other in lower {
            self.nominate(other, NO_SLOT);
            self.queue.hurry(other);
        }
        self.assume(pod, node);
        Placement { pod, node, total: choice.total, feasible: choice.feasible }
    }

    fn leave_waiting(&mut self, now: Tick, pod: PodIx, refusal: Refusal) -> Decided {
        let record = self.pods.get(pod);
        let (ix, nominated) = (record.spec, record.nominated);
        let uid = alloc::string::String::from(self.pods.uid(pod));
        let eviction = self.eviction(ix, Subject { uid: &uid, nominated });
        match &eviction {
            Some(eviction) => {
                self.nominate(pod, eviction.node);
                self.queue.nominated(pod, now);
            }
            None => {
                let plugins = (0_u16..).zip(refusal.nodes).filter(|(_, nodes)| *nodes > 0);
                let plugins = plugins.fold(0, |bits, (plugin, _)| bits | 1 << plugin);
                self.queue.refused(pod, now, plugins);
            }
        }
        Decided::Waits { pod, refusal, eviction }
    }

    /// Takes a pending pod out of the queue and forgets it. `false`: no pending pod has that uid.
    pub fn cancel(&mut self, uid: &str) -> bool {
        match self.pods.find(uid) {
            Some(pod) if self.pods.get(pod).state == PodState::Pending => {
                self.forget(pod);
                true
            }
            _ => false,
        }
    }

    /// When `next` should be called again even if nothing happens.
    pub fn next_tick(&self) -> Option<Tick> {
        self.queue.next_tick()
    }

    /// Sizes of the queue's parts.
    pub fn queue_sizes(&self) -> QueueSizes {
        self.queue.sizes()
    }

    /// Takes a pod out of the queue, if it is there.
    pub(crate) fn unqueue(&mut self, pod: PodIx) {
        if self.queue.contains(pod) {
            let class = self.queue.class_of(pod);
            self.queue.remove(pod);
            if let Some(class) = class {
                self.release_class(class);
            }
        }
    }

    /// Pods of a class whose number changed go to the new one.
    fn move_class(&mut self, old: ClassId, new: ClassId) {
        for pod in self.queue.of_class(old) {
            let ix = self.pods.get(pod).spec;
            let Some(class) = self.class_of(ix) else { continue };
            if class != old {
                let priority = self.class(class).key.priority;
                self.hold_class(class);
                self.queue.reclass(pod, class, priority);
                self.release_class(old);
            }
        }
        debug_assert_ne!(old, new);
    }

    /// Wakes the parked classes that something since the last time may help.
    fn read_hints(&mut self) {
        let mut hints = core::mem::take(&mut self.hints);
        let overflow = self.queue.take_hints(&mut hints);
        if !hints.is_empty() || overflow {
            let parked: Vec<(ClassId, u16)> = self.queue.parked().collect();
            for (class, plugins) in parked {
                if overflow || hints.iter().any(|hint| self.may_help(class, plugins, *hint)) {
                    self.try_to_wake(class);
                }
            }
        }
        self.hints = hints;
    }

    /// Wakes a class if a pod of it would now find a place, or may find victims.
    fn try_to_wake(&mut self, class: ClassId) {
        let Some(pod) = self.queue.of_class(class).first().copied() else { return };
        let ix = self.pods.get(pod).spec;
        if self.class_of(ix) != Some(class) || self.decide_pending(pod, NO_SLOT).is_ok() {
            self.queue.wake(class);
            return;
        }
        let priority = self.class(class).key.priority;
        if self.priorities.first_key_value().is_some_and(|(lowest, _)| *lowest < priority) {
            self.queue.wake(class);
        }
    }

    /// Whether something that happened may help a parked class; never says no when it does.
    fn may_help(&self, id: ClassId, plugins: u16, hint: Hint) -> bool {
        let class = self.class(id);
        let sig = self.sig(class.key.sig);
        let peers = plugins
            & (1 << Plugin::PodTopologySpread as u16 | 1 << Plugin::InterPodAffinity as u16)
            != 0;
        let volumes = !sig.key.spec.volumes.is_empty();
        match hint {
            Hint::Other => true,
            Hint::Came(_, peer) => (peers && sig.reads_peer(peer)) || volumes,
            Hint::Left(slot, peer) => {
                volumes || (peers && sig.reads_peer(peer)) || self.fits_alone(id, slot)
            }
            Hint::Node(slot) => peers || volumes || self.fits_alone(id, slot),
        }
    }

    /// Whether a node passes the rules about requests, by itself. Static rules are looked at if they are known.
    fn fits_alone(&self, id: ClassId, slot: crate::Slot) -> bool {
        let class = self.class(id);
        let sig = self.sig(class.key.sig);
        if self.nodes.get(slot).is_none() {
            return false;
        }
        let refused = sig.known_bits(slot, &self.log).is_some_and(|bits| bits != 0);
        let rules = &self.profiles[sig.key.profile as usize].local;
        !refused && crate::local::single(self.at(slot), 0, rules, &class.shape) != 0
    }

    /// One more holder of a class.
    fn hold_class(&mut self, class: ClassId) {
        self.class_mut(class).refs += 1;
    }

    /// Notes that a pod of that peer came or left, for those who wait.
    #[inline]
    pub(crate) fn hint_pod(&mut self, slot: crate::Slot, peer: PeerId, came: bool) {
        self.queue.hint(if came { Hint::Came(slot, peer) } else { Hint::Left(slot, peer) });
    }

    /// Decides on a pod at once; if no node will do, looks for victims, keeps their room and lets the pod wait for it.
    pub fn place_or_preempt(
        &mut self,
        now: Tick,
        id: PodId<'_>,
        spec: &Arc<PodSpec>,
    ) -> (Outcome, Option<(PodIx, Eviction)>) {
        let outcome = self.place(id, spec);
        if !matches!(outcome, Outcome::Refused(_)) {
            return (outcome, None);
        }
        let ix = self.intern(id.namespace, spec);
        let Some(eviction) = self.eviction(ix, Subject { uid: id.uid, nominated: NO_SLOT }) else {
            return (outcome, None);
        };
        let pod = self.pods.insert(id.uid, id.name, ix);
        self.specs.retain(ix);
        self.wait(now, pod);
        self.nominate(pod, eviction.node);
        self.queue.nominated(pod, now);
        (outcome, Some((pod, eviction)))
    }
}
