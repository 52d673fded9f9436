// SPDX-License-Identifier: Apache-2.0
//! The engine: the tables, the events that change them, and the decisions made on them.

use crate::class::{Class, ClassId, Inputs, Lanes, fresh};
use crate::columns::Columns;
use crate::decide::{Choice, Decision};
use crate::groups::{Change, Groups};
use crate::hash::{Hasher, Table};
use crate::intern::Interner;
use crate::labels::LabelKeys;
use crate::log::Log;
use crate::nodes::{Nodes, Usage};
use crate::peers::{PeerId, Peers};
use crate::pods::{NO_SLOT, PodIx, PodState, Pods};
use crate::rules::ProfileRules;
use crate::sig::{Sig, SigId, Tables};
use crate::specs::{SpecIx, Specs};
use crate::terms::Namespaces;
use crate::ties::{TIE_MAX, Ties};
use crate::vector::Vector;
use crate::Slot;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::{Pod, PodSpec};
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::Plugin;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Orders nodes of equal total; two engines with equal seeds and events decide alike.
    pub seed: u64,
    /// Seeds hash tables; changes no decision. Random in a service, against chosen collisions.
    pub hash_seed: u64,
    /// Profiles, chosen by a pod's `schedulerName`.
    pub profiles: Vec<Profile>,
    /// Bytes that lanes of classes and counts of signatures may take before the least recently used are dropped.
    pub class_bytes: usize,
    /// Vector instructions of the machine.
    pub vector: Vector,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            hash_seed: 0,
            profiles: vec![Profile::default()],
            class_bytes: 256 << 20,
            vector: Vector::BASELINE,
        }
    }
}

/// What names a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodId<'a> {
    /// Identity over time.
    pub uid: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
}

/// What became of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has a node; it counts there from now on.
    Placed(Placement),
    /// No node will do.
    Refused(Refusal),
    /// The uid is known: nothing was decided anew.
    Known(PodIx),
}

/// A pod on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The pod.
    pub pod: PodIx,
    /// The node.
    pub node: Slot,
    /// Weighted sum of the scores.
    pub total: i64,
    /// Nodes that would have done.
    pub feasible: u32,
}

/// Why no node will do: nodes by the plugin that refused them first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// By [`Plugin`], filters only.
    pub nodes: [u32; Plugin::FILTERS],
    /// No profile serves the pod's scheduler name.
    pub no_profile: bool,
}

/// The scheduling engine.
#[derive(Debug)]
pub struct Engine {
    pub(crate) hasher: Hasher,
    pub(crate) nodes: Nodes,
    pub(crate) pods: Pods,
    pub(crate) peers: Peers,
    pub(crate) specs: Specs,
    pub(crate) columns: Columns,
    pub(crate) log: Log,
    pub(crate) namespaces: Namespaces,
    pub(crate) resources: Interner,
    pub(crate) profiles: Vec<ProfileRules>,
    pub(crate) groups: Groups,
    pub(crate) label_keys: LabelKeys,
    /// Changes when labels come to be read.
    pub(crate) label_epoch: u32,
    pub(crate) sigs: Vec<Option<Box<Sig>>>,
    pub(crate) sig_ids: Table<SigId>,
    pub(crate) free_sigs: Vec<SigId>,
    pub(crate) classes: Vec<Option<Class>>,
    pub(crate) class_ids: Table<ClassId>,
    pub(crate) free_classes: Vec<ClassId>,
    pub(crate) class_bytes: usize,
    class_budget: usize,
    /// Lanes of no class, for one that is seen for the first time.
    pub(crate) spare_lanes: Option<Box<Lanes>>,
    ties: Ties,
    /// By tie label: the slot.
    by_tie: Vec<Slot>,
    decision: Decision,
    /// Pods whose node is not there, by its name.
    ghosts: BTreeMap<Str, Vec<PodIx>>,
    vector: Vector,
    /// Decisions so far.
    decisions: u64,
    /// Specs recently passed by pointer: (pointer, namespace, spec), each entry holding a reference.
    recent: Vec<Option<(Arc<PodSpec>, u32, SpecIx)>>,
}

/// Places in the cache of specs by pointer.
const RECENT: usize = 1 << 12;

impl Engine {
    /// An engine without nodes.
    pub fn new(options: Options) -> Self {
        let hasher = Hasher::new(options.hash_seed);
        let mut resources = Interner::new(hasher.clone());
        let profiles =
            options.profiles.into_iter().map(|p| ProfileRules::new(p, &mut resources)).collect();
        Self {
            nodes: Nodes::new(hasher.clone(), options.seed),
            pods: Pods::new(hasher.clone()),
            peers: Peers::new(hasher.clone()),
            specs: Specs::new(hasher.clone()),
            columns: Columns::new(hasher.clone()),
            log: Log::new(),
            namespaces: Namespaces::new(Interner::new(hasher.clone())),
            resources,
            profiles,
            groups: Groups::default(),
            label_keys: LabelKeys::new(hasher.clone()),
            label_epoch: 1,
            sigs: Vec::new(),
            sig_ids: Table::new(),
            free_sigs: Vec::new(),
            classes: Vec::new(),
            class_ids: Table::new(),
            free_classes: Vec::new(),
            class_bytes: 0,
            class_budget: options.class_bytes,
            spare_lanes: None,
            ties: Ties::default(),
            by_tie: vec![NO_SLOT; TIE_MAX as usize + 1],
            decision: Decision::default(),
            ghosts: BTreeMap::new(),
            vector: options.vector,
            decisions: 0,
            recent: vec![None; RECENT],
            hasher,
        }
    }

    /// Takes in a change of the cluster's state.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Node(node) => self.set_node(node),
            Event::NodeGone(name) => self.remove_node(&name),
            Event::Pod(pod) => self.set_pod(&pod),
            Event::PodGone { uid } => {
                if let Some(ix) = self.pods.find(&uid) {
                    self.forget(ix);
                }
            }
            Event::Namespace(namespace) => {
                self.namespaces.set(&namespace.name, Some(namespace.labels));
            }
            Event::NamespaceGone(name) => {
                self.namespaces.set(&name, None);
            }
            Event::Group(group) => {
                if let Change::Was(old) = self.groups.set(&group, &mut self.namespaces) {
                    let newly = self.label_keys.add_selector(group.selector.as_ref());
                    self.label_keys.remove_selector(old.as_ref());
                    self.split_peers(&newly);
                }
            }
            Event::GroupGone { kind, namespace, name } => {
                let change = self.groups.remove(kind, &namespace, &name, &mut self.namespaces);
                if let Change::Was(old) = change {
                    self.label_keys.remove_selector(old.as_ref());
                }
            }
            _ => {}
        }
    }

    /// Decides on a pod at once. A pod that is refused is forgotten again.
    pub fn place(&mut self, id: PodId<'_>, spec: &Arc<PodSpec>) -> Outcome {
        if let Some(known) = self.pods.find(id.uid) {
            return Outcome::Known(known);
        }
        let ix = self.intern(id.namespace, spec);
        match self.decide(ix) {
            Ok(choice) => {
                let node = self.by_tie[choice.tie as usize];
                let pod = self.pods.insert(id.uid, id.name, ix);
                self.specs.retain(ix);
                self.put_on(pod, node, PodState::Assumed);
                Outcome::Placed(Placement { pod, node, total: choice.total, feasible: choice.feasible })
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// The index of a spec in a namespace.
    pub fn intern(&mut self, namespace: &str, spec: &Arc<PodSpec>) -> SpecIx {
        let namespace = self.namespaces.ids.intern(namespace);
        let pointer = Arc::as_ptr(spec) as usize;
        let at = (pointer >> 4).wrapping_mul(0x9e37_79b9) % RECENT;
        if let Some((have, ns, ix)) = &self.recent[at]
            && Arc::ptr_eq(have, spec)
            && *ns == namespace
        {
            return *ix;
        }
        let ix = self.spec_of(namespace, spec);
        self.specs.retain(ix);
        if let Some((_, _, old)) = self.recent[at].replace((spec.clone(), namespace, ix)) {
            self.specs.release(old);
        }
        ix
    }

    /// Takes a pod off its node and forgets it. `false`: the uid is not known.
    pub fn release(&mut self, uid: &str) -> bool {
        match self.pods.find(uid) {
            Some(ix) => {
                self.forget(ix);
                true
            }
            None => false,
        }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> u32 {
        self.nodes.live()
    }

    /// Number of pods.
    pub fn pods(&self) -> usize {
        self.pods.len()
    }

    /// The name of a node.
    pub fn node_name(&self, slot: Slot) -> &Str {
        &self.nodes.node(slot).name
    }

    /// Finds the best node for a spec.
    pub(crate) fn decide(&mut self, ix: SpecIx) -> Result<Choice, Refusal> {
        let Some(class) = self.class_of(ix) else {
            return Err(Refusal { nodes: [0; Plugin::FILTERS], no_profile: true });
        };
        self.evaluate(class, |decision, lanes, _| match decision.best(lanes) {
            Some(choice) => Ok(choice),
            None => {
                let mut nodes = lanes.refused;
                for (sum, more) in nodes.iter_mut().zip(decision.refused) {
                    *sum += more;
                }
                Err(Refusal { nodes, no_profile: false })
            }
        })
    }

    /// Brings a class up to date, evaluates its groups, and calls `then` with the result.
    pub(crate) fn evaluate<R>(
        &mut self,
        id: ClassId,
        then: impl FnOnce(&mut Decision, &mut Lanes, &Sig) -> R,
    ) -> R {
        self.decisions += 1;
        let decisions = self.decisions;
        let class = self.class_mut(id);
        class.uses += 1;
        class.last_used = decisions;
        let keep = class.uses > 1;
        let sig_id = class.key.sig;
        let own = class.lanes.take();
        let mut lanes = own.or_else(|| self.spare_lanes.take()).unwrap_or_else(fresh);
        let mut sig = self.sigs[sig_id.0 as usize].take().expect("a class's signature is there");
        let tables = Tables {
            nodes: &self.nodes,
            pods: &self.pods,
            peers: &self.peers,
            log: &self.log,
            namespaces: &self.namespaces,
            profiles: &self.profiles,
        };
        sig.catch_up(tables, &mut self.columns, &self.hasher);
        let profile = &self.profiles[sig.key.profile as usize];
        let class = self.classes[id.0 as usize].as_ref().expect("checked above");
        if lanes.owner != id {
            lanes.forget();
            lanes.owner = id;
        }
        lanes.catch_up(Inputs {
            nodes: &self.nodes,
            log: &self.log,
            sig: &sig,
            rules: &profile.local,
            shape: &class.shape,
            filters_ports: profile.filters(Plugin::NodePorts),
            volumes: None,
            vector: self.vector,
        });
        let members = lanes.live.iter().map(|g| (*g, lanes.groups[*g as usize].members));
        self.decision.evaluate(&sig, profile, members);
        let result = then(&mut self.decision, &mut lanes, &sig);
        self.sigs[sig_id.0 as usize] = Some(sig);
        if keep {
            self.keep_lanes(id, lanes);
        } else {
            self.spare_lanes = Some(lanes);
        }
        result
    }

    fn keep_lanes(&mut self, id: ClassId, mut lanes: Box<Lanes>) {
        let first = lanes.accounted == 0;
        if first {
            lanes.accounted = lanes.resident();
            self.class_bytes += lanes.accounted;
        }
        self.class_mut(id).lanes = Some(lanes);
        if first && self.class_bytes > self.class_budget {
            self.drop_lanes();
        }
    }

    /// Drops the least recently used half of all lanes.
    fn drop_lanes(&mut self) {
        let mut used: Vec<(u64, ClassId)> = (0..)
            .zip(&self.classes)
            .filter_map(|(id, class)| {
                let class = class.as_ref()?;
                class.lanes.as_ref().map(|_| (class.last_used, ClassId(id)))
            })
            .collect();
        used.sort_unstable();
        for (_, id) in &used[..used.len() / 2] {
            if let Some(lanes) = self.class_mut(*id).lanes.take() {
                self.class_bytes -= lanes.accounted;
            }
        }
    }

    /// Puts a pod on a node.
    pub(crate) fn put_on(&mut self, ix: PodIx, slot: Slot, state: PodState) {
        let record = self.pods.get(ix);
        let (spec, terminating) = (record.spec, record.terminating);
        let peer = self.peer_of(spec, terminating);
        let record = self.pods.get_mut(ix);
        record.slot = slot;
        record.state = state;
        record.peer = peer;
        self.pods.link_node(ix, &mut self.nodes.entry_mut(slot).first_pod);
        self.pods.link_peer(ix, &mut self.peers);
        self.nodes.book(slot, &self.specs.get(spec).usage, true);
        let terms = self.peers.get(peer).key.terms.is_some();
        self.log.push(slot, peer, 1, terms);
    }

    /// Takes a pod off its node; it stays known.
    pub(crate) fn take_off(&mut self, ix: PodIx) {
        let record = self.pods.get(ix);
        let (slot, spec, peer) = (record.slot, record.spec, record.peer);
        if slot == NO_SLOT {
            return;
        }
        self.pods.unlink_node(ix, &mut self.nodes.entry_mut(slot).first_pod);
        self.pods.unlink_peer(ix, &mut self.peers);
        self.nodes.book(slot, &self.specs.get(spec).usage, false);
        let terms = self.peers.get(peer).key.terms.is_some();
        self.log.push(slot, peer, -1, terms);
        let record = self.pods.get_mut(ix);
        record.slot = NO_SLOT;
        record.peer = PeerId::NONE;
        self.peers.release(peer);
    }

    /// A bound pod is now another to its peers.
    pub(crate) fn repeer(&mut self, ix: PodIx) {
        let record = self.pods.get(ix);
        let (slot, state) = (record.slot, record.state);
        if slot != NO_SLOT {
            self.take_off(ix);
            self.put_on(ix, slot, state);
        }
    }

    fn forget(&mut self, ix: PodIx) {
        if self.pods.get(ix).slot == NO_SLOT {
            self.leave_ghosts(ix);
        }
        self.take_off(ix);
        let spec = self.pods.get(ix).spec;
        self.pods.remove(ix);
        self.specs.release(spec);
    }

    fn leave_ghosts(&mut self, ix: PodIx) {
        self.ghosts.retain(|_, pods| {
            pods.retain(|pod| *pod != ix);
            !pods.is_empty()
        });
    }

    fn set_node(&mut self, node: Box<Node>) {
        let name = node.name.clone();
        if let Some(slot) = self.nodes.find(&name) {
            self.nodes.replace(slot, node, &mut self.resources);
            self.columns.update(slot, Some(&self.nodes.node(slot).labels));
            self.log.push_static(slot);
            return;
        }
        let slot = self.nodes.insert(node, &mut self.resources);
        self.columns.grow(self.nodes.slots());
        self.log.grow(self.nodes.slots());
        self.columns.update(slot, Some(&self.nodes.node(slot).labels));
        let hash = self.nodes.tie_hash(&name);
        let moved = self.ties.insert(hash, &name, slot, &mut self.nodes.tie);
        for other in moved {
            self.by_tie[self.nodes.tie[other as usize] as usize] = other;
            self.log.push(other, PeerId::NONE, 0, false);
        }
        self.by_tie[self.nodes.tie[slot as usize] as usize] = slot;
        self.log.push_static(slot);
        for pod in self.ghosts.remove(&name).unwrap_or_default() {
            let state = self.pods.get(pod).state;
            self.put_on(pod, slot, state);
        }
    }

    fn remove_node(&mut self, name: &Str) {
        let Some(slot) = self.nodes.find(name) else { return };
        let pods: Vec<PodIx> = self.pods.on_node(self.nodes.entry(slot).first_pod).collect();
        for pod in &pods {
            self.take_off(*pod);
        }
        if !pods.is_empty() {
            self.ghosts.insert(name.clone(), pods);
        }
        self.columns.update(slot, None);
        self.ties.remove(self.nodes.tie_hash(name), name);
        self.nodes.remove(slot);
        self.log.push_static(slot);
    }

    fn set_pod(&mut self, pod: &Pod) {
        if let Some(old) = self.pods.find(&pod.uid) {
            self.forget(old);
        }
        let Some(node) = &pod.node else { return };
        let namespace = self.namespaces.ids.intern_str(&pod.namespace);
        let spec = self.spec_of(namespace, &pod.spec);
        self.specs.retain(spec);
        let ix = self.pods.insert(&pod.uid, &pod.name, spec);
        let record = self.pods.get_mut(ix);
        record.state = PodState::Bound;
        record.terminating = pod.terminating;
        record.preempted = pod.preempted;
        record.started = pod.started.unwrap_or(crate::pods::NOT_STARTED);
        match self.nodes.find(node) {
            Some(slot) => self.put_on(ix, slot, PodState::Bound),
            None => self.ghosts.entry(node.clone()).or_default().push(ix),
        }
    }

    pub(crate) fn class_mut(&mut self, id: ClassId) -> &mut Class {
        self.classes[id.0 as usize].as_mut().expect("a referenced class is there")
    }

    pub(crate) fn sig(&self, id: SigId) -> &Sig {
        self.sigs[id.0 as usize].as_ref().expect("a referenced signature is there")
    }

    pub(crate) fn sig_mut(&mut self, id: SigId) -> &mut Sig {
        self.sigs[id.0 as usize].as_mut().expect("a referenced signature is there")
    }

    /// A spec's usage.
    pub(crate) fn usage(&self, spec: SpecIx) -> &Usage {
        &self.specs.get(spec).usage
    }
}
