// SPDX-License-Identifier: Apache-2.0
//! Pending pods: into the queue, out of it with a decision, and back when an event may help.

use crate::Slot;
use crate::class::ClassId;
use crate::decide::Choice;
use crate::engine::{Engine, Subject};
use crate::outcome::{Outcome, Placement, PodId, Refusal};
use crate::peers::PeerId;
use crate::pods::{NO_SLOT, PodIx, PodState};
use crate::preempt::Eviction;
use crate::queue::{Hint, QueueSizes, Tick};
use crate::specs::SpecIx;
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

/// A parked class, while hints are read.
#[derive(Debug)]
pub(crate) struct Parked {
    id: ClassId,
    plugins: u16,
    waits_for: WaitsFor,
    /// Milli-CPU requested.
    cpu: i64,
    helped: bool,
    /// A node came to pass all rules but those about room.
    meets_room: bool,
}

/// What may help a parked class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WaitsFor {
    /// Nodes that change, and room on those that there are.
    Room,
    /// Nodes that change.
    Nodes,
    /// Pods that come or leave, too.
    Anything,
}

/// The plugins that refused nodes, a bit each.
fn refusing(refusal: &Refusal) -> u16 {
    let plugins = (0_u16..).zip(refusal.nodes).filter(|(_, nodes)| *nodes > 0);
    plugins.fold(0, |bits, (plugin, _)| bits | 1 << plugin)
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

    fn decide_pending(&mut self, pod: PodIx, nominated: Slot) -> Result<Choice, Refusal> {
        let ix = self.pods.get(pod).spec;
        let uid = alloc::string::String::from(self.pods.uid(pod));
        if let Some(choice) = self.nominated_first(ix, &uid, nominated) {
            return Ok(choice);
        }
        self.decide(ix, Subject { uid: &uid, nominated })
    }

    /// The node that room was made on, if it takes the pod: no other is looked at then, and none is scored.
    fn nominated_first(&mut self, ix: SpecIx, uid: &str, slot: Slot) -> Option<Choice> {
        self.nodes.get(slot)?;
        let id = self.class_of(ix)?;
        let sig_id = self.class(id).key.sig;
        let mut sig = self.take_sig(sig_id);
        self.account_sig(&mut sig);
        self.sigs[sig_id.0 as usize] = Some(sig);
        let (ground, asking) = (self.ground(), self.asking(id, uid));
        let refused = asking.pre_filter(ground).is_some()
            || ground.refusal_with_nominees(asking, slot, &[]).is_some();
        (!refused).then(|| Choice { tie: self.nodes.tie[slot as usize], total: 0, feasible: 1 })
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
                self.queue.refused(pod, now, refusing(&refusal));
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
        let apart = self.queue.apart_of_class(old);
        for pod in self.queue.of_class(old).into_iter().chain(apart) {
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
            let (seen, mut parked) = core::mem::take(&mut self.parked);
            let epoch = self.queue.parked_epoch();
            if seen == epoch {
                for class in &mut parked {
                    (class.helped, class.meets_room) = (false, false);
                }
            } else {
                self.sort_parked(&mut parked);
            }
            if overflow {
                for class in &mut parked {
                    class.helped = true;
                }
            } else {
                for hint in &hints {
                    self.find_helped(*hint, &mut parked);
                }
            }
            for class in &parked {
                if class.helped {
                    self.try_to_wake(class.id);
                } else if class.meets_room {
                    self.queue.widen(class.id, 1 << Plugin::NodeResourcesFit as u16);
                }
            }
            self.parked = (epoch, parked);
        }
        self.hints = hints;
    }

    /// The parked classes, those first that a pod that leaves may help by its room alone, by the CPU they need.
    fn sort_parked(&self, parked: &mut Vec<Parked>) {
        parked.clear();
        parked.extend(self.queue.parked().map(|(id, plugins)| {
            let class = self.class(id);
            let bit = |plugin: Plugin| plugins >> plugin as u16 & 1 != 0;
            let volumes = !self.sig(class.key.sig).key.spec.volumes.is_empty();
            let peers = bit(Plugin::PodTopologySpread) || bit(Plugin::InterPodAffinity);
            let waits_for = if peers || volumes || bit(Plugin::NodePorts) {
                WaitsFor::Anything
            } else if bit(Plugin::NodeResourcesFit) {
                WaitsFor::Room
            } else {
                WaitsFor::Nodes
            };
            let cpu = class.shape.usage.cpu;
            Parked { id, plugins, waits_for, cpu, helped: false, meets_room: false }
        }));
        parked.sort_unstable_by_key(|class| (class.waits_for, class.cpu, class.id));
    }

    /// Marks the classes that something that happened may help.
    fn find_helped(&self, hint: Hint, parked: &mut [Parked]) {
        let room = parked.partition_point(|class| class.waits_for == WaitsFor::Room);
        let nodes = parked.partition_point(|class| class.waits_for != WaitsFor::Anything);
        let check = |classes: &mut [Parked]| {
            for class in classes.iter_mut().filter(|class| !class.helped) {
                class.helped = self.may_help(class.id, class.plugins, hint);
            }
        };
        match hint {
            Hint::Other => check(parked),
            Hint::Came(..) => check(&mut parked[nodes..]),
            Hint::Left(slot, _) => {
                // Nothing that needs more CPU than is free can be helped: not even looked at.
                let free = self.free_cpu(slot).max(0);
                let small = parked[..room].partition_point(|class| class.cpu <= free);
                check(&mut parked[..small]);
                check(&mut parked[nodes..]);
            }
            Hint::Node(slot) => {
                for class in parked.iter_mut().filter(|class| !class.helped) {
                    class.helped = self.may_help(class.id, class.plugins, hint);
                    // It is only room that is lacking now: from here on a pod that leaves may help as well.
                    class.meets_room |= !class.helped && self.allows(class.id, slot);
                }
            }
        }
    }

    /// Wakes a class if a pod of it would now find a place, or may find victims.
    fn try_to_wake(&mut self, class: ClassId) {
        let Some(pod) = self.queue.of_class(class).first().copied() else { return };
        let ix = self.pods.get(pod).spec;
        if self.class_of(ix) != Some(class) {
            self.queue.wake(class);
            return;
        }
        match self.decide_pending(pod, NO_SLOT) {
            Ok(_) => {
                self.queue.wake(class);
                return;
            }
            // What keeps it from nodes now may be something else than before.
            Err(refusal) => self.queue.widen(class, refusing(&refusal)),
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

    /// Whether a node passes static rules and those about requests, by itself.
    fn fits_alone(&self, id: ClassId, slot: Slot) -> bool {
        if self.nodes.get(slot).is_none() {
            return false;
        }
        let class = self.class(id);
        let rules = &self.profiles[self.sig(class.key.sig).key.profile as usize].local;
        crate::local::single(self.at(slot), 0, rules, &class.shape) != 0 && self.allows(id, slot)
    }

    /// Whether a node passes static rules.
    fn allows(&self, id: ClassId, slot: Slot) -> bool {
        let Some(node) = self.nodes.get(slot) else { return false };
        let sig = self.sig(self.class(id).key.sig);
        let bits = sig.known_bits(slot, &self.log).unwrap_or_else(|| {
            let taints = self.nodes.taint_set(self.nodes.entry(slot).taint_set);
            let (untolerated, _) = crate::rules::taints(&sig.key.spec, taints);
            let profile = &self.profiles[sig.key.profile as usize];
            sig.rules.refusals(&sig.key, profile, node, untolerated)
        });
        bits == 0
    }

    #[expect(clippy::cast_possible_truncation, reason = "columns hold whole numbers below 2^53")]
    fn free_cpu(&self, slot: Slot) -> i64 {
        let at = self.at(slot);
        (at.block.cpu[at.lane] - at.block.cpu_used[at.lane]) as i64
    }

    /// One more holder of a class.
    fn hold_class(&mut self, class: ClassId) {
        self.class_mut(class).refs += 1;
    }

    /// Notes that a pod of that peer came or left, for those who wait.
    #[inline]
    pub(crate) fn hint_pod(&mut self, slot: Slot, peer: PeerId, came: bool) {
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
