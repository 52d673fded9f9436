// SPDX-License-Identifier: Apache-2.0
//! Looking at the engine's state, and putting it back after a restart.

use crate::Slot;
use crate::engine::Engine;
use crate::outcome::PodId;
use crate::pods::{NO_SLOT, NOT_STARTED, PodIx, PodState};
use crate::specs::SpecIx;
use alloc::sync::Arc;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_model::requests::Resources;

/// Everything about a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodView<'a> {
    /// What names it.
    pub id: PodId<'a>,
    /// What replicas share.
    pub spec: &'a Arc<PodSpec>,
    /// Its spec's index.
    pub spec_ix: SpecIx,
    /// The node it counts on; `None` while pending, or while its node is not there.
    pub node: Option<Slot>,
    /// The node it is nominated to.
    pub nominated: Option<Slot>,
    /// Where it stands.
    pub state: PodState,
    /// Start time, microseconds since the Unix epoch.
    pub started: Option<i64>,
    /// Is being deleted.
    pub terminating: bool,
}

/// A class with what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassView<'a> {
    /// Its number; reused after it is gone.
    pub id: u32,
    /// Namespace.
    pub namespace: &'a Str,
    /// The spec without what does not matter to other rules than requests.
    pub spec: &'a PodSpec,
    /// Priority.
    pub priority: i32,
    /// Milli-CPU requested.
    pub cpu: i64,
    /// Bytes of memory requested.
    pub memory: i64,
    /// Decisions so far.
    pub decisions: u64,
    /// Bytes of its lanes; 0 where none are held.
    pub bytes: usize,
}

/// Why a pod was not put on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindError {
    /// The uid is known, and on this or no node.
    Known(PodIx),
    /// No node has that slot.
    NoNode,
}

impl Engine {
    /// Puts a pod on a node without deciding: what was decided before a restart, or by others.
    pub fn bind(
        &mut self,
        id: PodId<'_>,
        spec: &Arc<PodSpec>,
        node: Slot,
        state: PodState,
    ) -> Result<PodIx, BindError> {
        if let Some(known) = self.pods.find(id.uid) {
            return Err(BindError::Known(known));
        }
        if self.nodes.get(node).is_none() {
            return Err(BindError::NoNode);
        }
        let ix = self.intern(id.namespace, spec);
        let pod = self.pods.insert(id.uid, id.name, ix);
        self.specs.retain(ix);
        self.put_on(pod, node, state);
        Ok(pod)
    }

    /// An assumed pod is bound for good. `false`: no pod of that uid is on a node.
    pub fn confirm(&mut self, uid: &str) -> bool {
        match self.pods.find(uid) {
            Some(pod) if self.pods.get(pod).slot != NO_SLOT => {
                self.pods.get_mut(pod).state = PodState::Bound;
                true
            }
            _ => false,
        }
    }

    /// The pod of that uid.
    pub fn find_pod(&self, uid: &str) -> Option<PodIx> {
        self.pods.find(uid)
    }

    /// Everything about a pod.
    pub fn pod(&self, pod: PodIx) -> PodView<'_> {
        let record = self.pods.get(pod);
        let some = |slot: Slot| (slot != NO_SLOT).then_some(slot);
        PodView {
            id: self.pod_id(pod),
            spec: &self.specs.get(record.spec).spec,
            spec_ix: record.spec,
            node: some(record.slot),
            nominated: some(record.nominated),
            state: record.state,
            started: (record.started != NOT_STARTED).then_some(record.started),
            terminating: record.terminating,
        }
    }

    /// All pods, in the order of their records.
    pub fn pods_iter(&self) -> impl Iterator<Item = PodIx> {
        self.pods.iter().map(|(ix, _)| ix)
    }

    /// The pending pods that are nominated to a node.
    pub fn nominees(&self, node: Slot) -> &[PodIx] {
        &self.nodes.entry(node).nominees
    }

    /// The pods of a node, the latest first.
    pub fn pods_on(&self, node: Slot) -> impl Iterator<Item = PodIx> {
        self.pods.on_node(self.nodes.entry(node).first_pod)
    }

    /// The slot of the node of that name.
    pub fn find_node(&self, name: &str) -> Option<Slot> {
        self.nodes.find(name)
    }

    /// A node as it was told.
    pub fn node(&self, slot: Slot) -> Option<&Node> {
        self.nodes.get(slot)
    }

    /// All nodes, by slot.
    pub fn nodes_iter(&self) -> impl Iterator<Item = (Slot, &Node)> {
        self.nodes.iter()
    }

    /// What the pods of a node request in all, and how many they are.
    #[expect(clippy::cast_possible_truncation, reason = "columns hold whole numbers below 2^53")]
    pub fn usage_of(&self, slot: Slot) -> (Resources, u32) {
        let at = self.at(slot);
        let used = at.entry.scalars.iter().filter(|s| s.used != 0);
        let mut scalars: Vec<(Str, i64)> =
            used.map(|s| (self.resources.name(s.resource).clone(), s.used)).collect();
        scalars.sort_unstable();
        let resources = Resources {
            cpu: at.block.cpu_used[at.lane] as i64,
            memory: at.block.memory_used[at.lane] as i64,
            ephemeral: at.entry.ephemeral_used,
            scalars,
        };
        (resources, at.entry.pods)
    }

    /// All classes.
    pub fn classes(&self) -> impl Iterator<Item = ClassView<'_>> {
        (0_u32..).zip(&self.classes).filter_map(|(id, class)| {
            let class = class.as_ref()?;
            let sig = self.sig(class.key.sig);
            Some(ClassView {
                id,
                namespace: self.namespaces.ids.name(sig.key.namespace),
                spec: &sig.key.spec,
                priority: class.key.priority,
                cpu: class.key.usage.cpu,
                memory: class.key.usage.memory,
                decisions: class.uses,
                bytes: class.lanes.as_ref().map_or(0, |lanes| lanes.accounted),
            })
        })
    }

    /// Bytes held by the tables: nodes, pods, label columns.
    pub fn table_bytes(&self) -> usize {
        let costs = self.classes.iter().flatten().filter_map(|class| class.costs.as_ref());
        self.nodes.resident()
            + self.pods.resident()
            + self.columns.resident()
            + costs.map(|costs| costs.resident()).sum::<usize>()
    }

    /// Bytes that lanes of classes and counts of signatures take now.
    pub fn class_bytes(&self) -> usize {
        self.class_bytes
    }
}
