// SPDX-License-Identifier: Apache-2.0
//! The engine: the tables, the events that change them, and the decisions made on them.

use crate::Slot;
use crate::class::{Class, ClassId, Inputs, Lanes, fresh};
use crate::columns::Columns;
use crate::decide::{Choice, Decision};
use crate::groups::{Groups, Replaced};
use crate::hash::{Hasher, Table};
use crate::images::Images;
use crate::intern::Interner;
use crate::labels::LabelKeys;
use crate::log::Log;
use crate::nodes::Nodes;
use crate::options::Options;
use crate::outcome::{Outcome, Placement, PodId, Refusal, Survey};
use crate::parallel::Parallel;
use crate::peers::{PeerId, Peers};
use crate::pods::{NO_SLOT, PodIx, PodState, Pods};
use crate::preempt::Lower;
use crate::queue::{Hint, Queue, Tick};
use crate::rules::ProfileRules;
use crate::sig::{Sig, SigId};
use crate::specs::{SpecIx, Specs};
use crate::terms::Namespaces;
use crate::ties::{TIE_MAX, Ties};
use crate::uids::UidHash;
use crate::vector::Vector;
use crate::volumes::{Binding, Storage};
use crate::whatif::{Asking, Change, Ground};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::{DisruptionBudget, Event};
use berth_scheduler_model::pod::{Pod, PodSpec};
use berth_scheduler_model::rules::Plugin;

/// The pod that a decision is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) uid: &'a str,
    /// The node it is nominated to, `NO_SLOT` if none.
    pub(crate) nominated: Slot,
}

/// An evaluation of all groups, and what it was made from.
pub(crate) struct Found<'a> {
    pub(crate) decision: &'a mut Decision,
    pub(crate) lanes: &'a mut Lanes,
    pub(crate) inputs: Inputs<'a>,
    nominated: Option<Slot>,
}

impl Found<'_> {
    /// The node to take: the nominated one if it will do, whatever the scores, else the best.
    fn choose(&mut self) -> Option<Choice> {
        let nominated = self.nominated.and_then(|slot| self.decision.on(self.lanes, slot));
        nominated.or_else(|| self.decision.best(self.lanes, self.inputs))
    }
}

/// Takes a pod out of the list it is in, if it is in one.
fn drop_from(lists: &mut BTreeMap<Str, Vec<PodIx>>, pod: PodIx) {
    lists.retain(|_, pods| {
        pods.retain(|other| *other != pod);
        !pods.is_empty()
    });
}

fn refusal(decision: &Decision) -> Refusal {
    Refusal { nodes: decision.refused, no_profile: false }
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
    pub(crate) class_budget: usize,
    /// Lanes of no class, for one that is seen for the first time.
    pub(crate) spare_lanes: Option<Box<Lanes>>,
    pub(crate) images: Images,
    pub(crate) storage: Storage,
    pub(crate) budgets: BTreeMap<(Str, Str), DisruptionBudget>,
    /// Changes when a budget may make another pod's eviction a violation, or no violation.
    pub(crate) budget_epoch: u64,
    /// Room for the pods of a node, reused.
    pub(crate) lower_pods: Vec<Lower>,
    pub(crate) strict_budgets: bool,
    /// Pods on nodes by priority.
    pub(crate) priorities: BTreeMap<i32, u32>,
    /// What was decided about claims of pods that are assumed.
    pub(crate) bindings: BTreeMap<PodIx, Vec<Binding>>,
    /// Nodes that pods are nominated to.
    pub(crate) nominated_nodes: Vec<Slot>,
    pub(crate) queue: Queue,
    pub(crate) hints: Vec<Hint>,
    /// Parked classes as of an epoch of the queue's.
    pub(crate) parked: (u64, Vec<crate::pending::Parked>),
    ties: Ties,
    /// By tie label: the slot.
    by_tie: Vec<Slot>,
    decision: Decision,
    image_scores: Vec<(Slot, i64)>,
    /// Pods that are to be put on their nodes by `seat_all`.
    pub(crate) unseated: Vec<(Slot, PodIx)>,
    /// Pods whose node is not there, by its name.
    pub(crate) ghosts: BTreeMap<Str, Vec<PodIx>>,
    /// Pods nominated to a node that is not there, by its name: they count when it comes.
    pub(crate) awaiting: BTreeMap<Str, Vec<PodIx>>,
    pub(crate) listed: usize,
    pub(crate) vector: Vector,
    pub(crate) parallel: Option<Arc<dyn Parallel>>,
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
            images: Images::new(hasher.clone()),
            storage: Storage::new(),
            budgets: BTreeMap::new(),
            budget_epoch: 1,
            lower_pods: Vec::new(),
            strict_budgets: options.strict_budgets,
            priorities: BTreeMap::new(),
            bindings: BTreeMap::new(),
            nominated_nodes: Vec::new(),
            queue: Queue::new(options.backoff),
            hints: Vec::new(),
            parked: (0, Vec::new()),
            ties: Ties::default(),
            by_tie: vec![NO_SLOT; TIE_MAX as usize + 1],
            decision: Decision::default(),
            image_scores: Vec::new(),
            unseated: Vec::new(),
            ghosts: BTreeMap::new(),
            awaiting: BTreeMap::new(),
            listed: options.listed,
            vector: options.vector,
            parallel: options.parallel,
            decisions: 0,
            recent: vec![None; RECENT],
            hasher,
        }
    }

    /// Takes in a change of the cluster's state.
    pub fn apply(&mut self, event: Event) {
        self.apply_at(0, event);
    }

    /// As `apply`, at a time: pending pods wait from then on.
    pub fn apply_at(&mut self, now: Tick, event: Event) {
        self.hint_event(&event);
        match event {
            Event::Node(node) => self.set_node(node),
            Event::NodeGone(name) => self.remove_node(&name),
            Event::Pod(pod) => self.set_pod(now, &pod),
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
                if let Replaced::Was(old) = self.groups.set(&group, &mut self.namespaces) {
                    let newly = self.label_keys.add_selector(group.selector.as_ref());
                    self.label_keys.remove_selector(old.as_ref());
                    self.split_peers(&newly);
                }
            }
            Event::GroupGone { kind, namespace, name } => {
                let change = self.groups.remove(kind, &namespace, &name, &mut self.namespaces);
                if let Replaced::Was(old) = change {
                    self.label_keys.remove_selector(old.as_ref());
                }
            }
            Event::Budget(budget) => self.set_budget(budget),
            Event::BudgetGone { namespace, name } => {
                if self.budgets.remove(&(namespace, name)).is_some() {
                    self.budget_epoch += 1;
                }
            }
            Event::Volume(_)
            | Event::VolumeGone(_)
            | Event::Claim(_)
            | Event::ClaimGone { .. }
            | Event::Class(_)
            | Event::ClassGone(_)
            | Event::CsiNode(_)
            | Event::CsiNodeGone(_)
            | Event::CsiDriver(_)
            | Event::CsiDriverGone(_)
            | Event::Capacity(_)
            | Event::CapacityGone { .. }
            | Event::Attachment(_)
            | Event::AttachmentGone(_) => self.storage.apply(event),
        }
    }

    /// Decides on a pod at once. A pod that is refused is forgotten again.
    pub fn place(&mut self, id: PodId<'_>, spec: &Arc<PodSpec>) -> Outcome {
        let hash = self.pods.hasher().hash(id.uid);
        if let Some(known) = self.pods.find_hashed(hash, id.uid) {
            return Outcome::Known(known);
        }
        let ix = self.intern(id.namespace, spec);
        match self.decide(ix, Subject { uid: id.uid, nominated: NO_SLOT }) {
            Ok(choice) => {
                let node = self.by_tie[choice.tie as usize];
                let pod = self.pods.insert_hashed(hash, id.uid, id.name, ix);
                self.specs.retain(ix);
                self.assume(pod, node);
                Outcome::Placed(Placement {
                    pod,
                    node,
                    total: choice.total,
                    feasible: choice.feasible,
                })
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Puts a pod on the node chosen for it, with what its claims need.
    pub(crate) fn assume(&mut self, pod: PodIx, node: Slot) {
        let entry = self.specs.get(self.pods.get(pod).spec);
        if !entry.spec.volumes.is_empty() {
            let wants = crate::volumes::Wants {
                namespace: self.namespaces.ids.name(entry.namespace),
                spec: &entry.spec,
                uid: self.pods.uid(pod),
            };
            let bindings = self.storage.assume(wants, self.nodes.node(node));
            if !bindings.is_empty() {
                self.bindings.insert(pod, bindings);
            }
        }
        self.put_on(pod, node, PodState::Assumed);
    }

    /// The slot of the node that was chosen.
    pub(crate) fn slot_of(&self, choice: Choice) -> Slot {
        self.by_tie[choice.tie as usize]
    }

    /// What was decided about the claims of an assumed pod.
    pub fn bindings(&self, pod: PodIx) -> &[Binding] {
        self.bindings.get(&pod).map_or(&[], Vec::as_slice)
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
        let hash = self.pods.hasher().hash(uid);
        match self.pods.find_hashed(hash, uid) {
            Some(ix) => {
                self.forget_hashed(ix, hash);
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

    /// What names a pod.
    pub fn pod_id(&self, pod: PodIx) -> PodId<'_> {
        let entry = self.specs.get(self.pods.get(pod).spec);
        PodId {
            uid: self.pods.uid(pod),
            namespace: self.namespaces.ids.name(entry.namespace),
            name: self.pods.name(pod),
        }
    }

    /// The name of a node.
    pub fn node_name(&self, slot: Slot) -> &Str {
        &self.nodes.node(slot).name
    }

    /// Finds the best node for a spec.
    pub(crate) fn decide(&mut self, ix: SpecIx, subject: Subject<'_>) -> Result<Choice, Refusal> {
        let Some(class) = self.class_of(ix) else {
            return Err(Refusal { nodes: [0; Plugin::FILTERS], no_profile: true });
        };
        self.evaluate(class, subject, false, |mut found| {
            found.choose().ok_or_else(|| refusal(found.decision))
        })
    }

    /// Where a pod could go now: what a placement decides by, without placing anything.
    pub fn survey(&mut self, pod: &Pod) -> Survey {
        let ix = self.intern(&pod.namespace, &pod.spec);
        let Some(class) = self.class_of(ix) else {
            let refusal = Refusal { nodes: [0; Plugin::FILTERS], no_profile: true };
            return Survey { totals: Vec::new(), choice: None, refusal };
        };
        let nominated = pod.nominated.as_ref().and_then(|name| self.nodes.find(name));
        let subject = Subject { uid: &pod.uid, nominated: nominated.unwrap_or(NO_SLOT) };
        let (totals, choice, refusal) = self.evaluate(class, subject, true, |mut found| {
            let mut totals = Vec::new();
            found.decision.totals(found.lanes, |slot, total| totals.push((slot, total)));
            (totals, found.choose(), refusal(found.decision))
        });
        let choice = choice.map(|c| (self.by_tie[c.tie as usize], c.total));
        Survey { totals, choice, refusal }
    }

    /// Brings a class up to date, evaluates its groups, and calls `then` with the result; `whole`: it looks at single lanes.
    pub(crate) fn evaluate<R>(
        &mut self,
        id: ClassId,
        subject: Subject<'_>,
        whole: bool,
        then: impl FnOnce(Found<'_>) -> R,
    ) -> R {
        let (sig_id, keep) = self.begin_decision(id);
        let class = self.class_mut(id);
        let own = class.lanes.take();
        let mut lanes = own.or_else(|| self.spare_lanes.take()).unwrap_or_else(fresh);
        let mut sig = self.take_sig(sig_id);
        let profile = &self.profiles[sig.key.profile as usize];
        let class = self.classes[id.0 as usize].as_ref().expect("checked above");
        if lanes.owner != id {
            lanes.give_to(id);
        }
        if lanes.image_epoch != self.images.epoch() {
            lanes.image_epoch = self.images.epoch();
            let weight = profile.local.image_weight;
            let found = &mut self.image_scores;
            self.images.scores(&class.key.images, class.key.containers, self.nodes.live(), found);
            for (_, score) in found.iter_mut() {
                *score *= weight;
            }
            found.retain(|(_, score)| *score != 0);
            if *found != lanes.images {
                lanes.images.clone_from(found);
                lanes.forget();
            }
        }
        let ground = Ground {
            nodes: &self.nodes,
            pods: &self.pods,
            specs: &self.specs,
            peers: &self.peers,
            namespaces: &self.namespaces,
            storage: &self.storage,
        };
        let asking = Asking { sig: &sig, class, profile, uid: subject.uid };
        let has_volumes = !sig.key.spec.volumes.is_empty();
        if has_volumes && lanes.volume_epoch != self.storage.epoch() {
            lanes.volume_epoch = self.storage.epoch();
            lanes.forget();
        }
        let volumes = |slot: Slot| {
            let refusals = ground.volume_refusals(asking, slot, Change::default());
            refusals.first().map(|(plugin, ..)| *plugin)
        };
        let inputs = Inputs {
            nodes: &self.nodes,
            log: &self.log,
            sig: &sig,
            rules: &profile.local,
            shape: &class.shape,
            filters_ports: profile.filters(Plugin::NodePorts),
            volumes: has_volumes.then_some(&volumes),
            vector: self.vector,
            listed: self.listed,
            parallel: self.parallel.as_deref(),
        };
        let result = if let Some((plugin, _)) = asking.pre_filter(ground) {
            self.decision.refuse_all(plugin, self.nodes.live());
            let decision = &mut self.decision;
            then(Found { decision, lanes: &mut lanes, inputs, nominated: None })
        } else {
            let whole = whole || !self.nominated_nodes.is_empty() || subject.nominated != NO_SLOT;
            lanes.catch_up(inputs, whole, self.decision.room());
            for slot in &self.nominated_nodes {
                let on = ground.nominees(asking, *slot);
                if on.is_empty() {
                    continue;
                }
                if let Some((plugin, _)) =
                    ground.refusal(asking, *slot, Change { off: &[], on: &on })
                {
                    lanes.suppress(*slot, plugin);
                }
            }
            let members = lanes.members(&sig);
            self.decision.evaluate(&sig, profile, &lanes.refused, members);
            let nominated = (subject.nominated != NO_SLOT).then_some(subject.nominated);
            let decision = &mut self.decision;
            let result = then(Found { decision, lanes: &mut lanes, inputs, nominated });
            for slot in &self.nominated_nodes {
                lanes.mend(*slot, inputs);
            }
            result
        };
        self.account_sig(&mut sig);
        self.sigs[sig_id.0 as usize] = Some(sig);
        if keep {
            self.keep_lanes(id, lanes);
        } else {
            self.spare_lanes = Some(lanes);
        }
        result
    }

    /// Counts a use of a class: its signature, and whether its lanes are worth keeping.
    fn begin_decision(&mut self, id: ClassId) -> (SigId, bool) {
        self.decisions += 1;
        let decisions = self.decisions;
        let class = self.class_mut(id);
        class.uses += 1;
        class.last_used = decisions;
        (class.key.sig, class.uses > 1)
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
        self.log.push(&self.nodes, slot, peer, 1, terms);
        self.hint_pod(slot, peer, true);
        self.count(spec, true);
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
        self.log.push(&self.nodes, slot, peer, -1, terms);
        self.hint_pod(slot, peer, false);
        self.hurry_nominees(slot);
        self.count(spec, false);
        let record = self.pods.get_mut(ix);
        record.slot = NO_SLOT;
        record.peer = PeerId::NONE;
        self.peers.release(peer);
    }

    /// A pod of a spec came onto or went off a node: counts that are not kept by node.
    fn count(&mut self, spec: SpecIx, came: bool) {
        let entry = self.specs.get(spec);
        self.storage.count_users(self.namespaces.ids.name(entry.namespace), &entry.spec, came);
        let pods = self.priorities.entry(entry.spec.priority).or_insert(0);
        if came {
            *pods += 1;
        } else {
            *pods -= 1;
            if *pods == 0 {
                self.priorities.remove(&entry.spec.priority);
            }
        }
    }

    /// Room came free on a node: pods that wait for it there are tried at once.
    fn hurry_nominees(&mut self, slot: Slot) {
        for at in 0..self.nodes.entry(slot).nominees.len() {
            let pod = self.nodes.entry(slot).nominees[at];
            self.queue.hurry(pod);
        }
    }

    /// A budget is there, or changed. So many evictions as no node has pods make no difference to any candidate.
    fn set_budget(&mut self, budget: DisruptionBudget) {
        let most =
            self.nodes.iter().map(|(slot, _)| self.nodes.entry(slot).pods).max().unwrap_or(0);
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let key = (budget.namespace.clone(), budget.name.clone());
        let same = self.budgets.get(&key).is_some_and(|old| {
            old.selector == budget.selector
                && old.disrupted == budget.disrupted
                && old.allowed.min(most) == budget.allowed.min(most)
        });
        if !same {
            self.budget_epoch += 1;
        }
        self.budgets.insert(key, budget);
    }

    /// Nodes that pods are nominated to.
    pub(crate) fn nominated_nodes(&self) -> &[Slot] {
        &self.nominated_nodes
    }

    /// A pending pod is nominated to a node (`NO_SLOT`: to none).
    pub(crate) fn nominate(&mut self, pod: PodIx, slot: Slot) {
        drop_from(&mut self.awaiting, pod);
        let old = core::mem::replace(&mut self.pods.get_mut(pod).nominated, slot);
        self.queue.set_apart(pod, slot != NO_SLOT);
        if old != NO_SLOT {
            // Room that was held for it may do for others.
            self.queue.hint(Hint::Node(old));
            let nominees = &mut self.nodes.entry_mut(old).nominees;
            nominees.retain(|other| *other != pod);
            if nominees.is_empty() {
                self.nominated_nodes.retain(|s| *s != old);
            }
        }
        if slot != NO_SLOT {
            let nominees = &mut self.nodes.entry_mut(slot).nominees;
            if nominees.is_empty() {
                self.nominated_nodes.push(slot);
            }
            nominees.push(pod);
        }
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

    pub(crate) fn forget(&mut self, ix: PodIx) {
        let hash = self.pods.hasher().hash(self.pods.uid(ix));
        self.forget_hashed(ix, hash);
    }

    pub(crate) fn forget_hashed(&mut self, ix: PodIx, hash: UidHash) {
        self.unqueue(ix);
        if self.pods.get(ix).slot == NO_SLOT {
            drop_from(&mut self.ghosts, ix);
        }
        self.take_off(ix);
        self.nominate(ix, NO_SLOT);
        let spec = self.pods.get(ix).spec;
        if let Some(bindings) = self.bindings.remove(&ix) {
            let namespace = self.namespaces.ids.name(self.specs.get(spec).namespace);
            self.storage.let_go(namespace, &bindings, self.pods.uid(ix));
        }
        self.pods.remove(ix, hash);
        self.specs.release(spec);
    }

    fn set_node(&mut self, node: Box<Node>) {
        let name = node.name.clone();
        if let Some(slot) = self.nodes.find(&name) {
            self.images.update(slot, &self.nodes.node(slot).images, &node.images);
            self.nodes.replace(slot, node, &mut self.resources);
            self.columns.update(slot, Some(&self.nodes.node(slot).labels));
            self.log.push_static(&self.nodes, slot);
            self.queue.hint(Hint::Node(slot));
            return;
        }
        let slot = self.nodes.insert(node, &mut self.resources);
        self.images.nodes_changed();
        self.images.update(slot, &[], &self.nodes.node(slot).images);
        self.columns.grow(self.nodes.slots());
        self.log.grow(self.nodes.slots());
        self.columns.update(slot, Some(&self.nodes.node(slot).labels));
        let hash = self.nodes.tie_hash(&name);
        let moved = self.ties.insert(hash, &name, slot, &mut self.nodes.tie);
        for other in moved {
            self.by_tie[self.nodes.tie[other as usize] as usize] = other;
            self.log.push(&self.nodes, other, PeerId::NONE, 0, false);
        }
        self.by_tie[self.nodes.tie[slot as usize] as usize] = slot;
        self.log.push_static(&self.nodes, slot);
        self.queue.hint(Hint::Node(slot));
        for pod in self.ghosts.remove(&name).unwrap_or_default() {
            let state = self.pods.get(pod).state;
            self.put_on(pod, slot, state);
        }
        for pod in self.awaiting.remove(&name).unwrap_or_default() {
            self.nominate(pod, slot);
        }
    }

    fn remove_node(&mut self, name: &Str) {
        let Some(slot) = self.nodes.find(name) else { return };
        let pods: Vec<PodIx> = self.pods.on_node(self.nodes.entry(slot).first_pod).collect();
        for pod in &pods {
            self.take_off(*pod);
        }
        let nominees = self.nodes.entry(slot).nominees.clone();
        for pod in &nominees {
            self.nominate(*pod, NO_SLOT);
        }
        if !nominees.is_empty() {
            self.awaiting.insert(name.clone(), nominees);
        }
        if !pods.is_empty() {
            self.ghosts.insert(name.clone(), pods);
        }
        self.columns.update(slot, None);
        self.images.update(slot, &self.nodes.node(slot).images, &[]);
        self.images.nodes_changed();
        self.ties.remove(self.nodes.tie_hash(name), name);
        self.nodes.remove(slot);
        self.log.push_static(&self.nodes, slot);
        // Domains went: the least loaded one may be another.
        self.queue.hint(Hint::Node(slot));
    }

    /// Notes events that may help pods that wait; those of pods and nodes are noted where they take effect.
    fn hint_event(&mut self, event: &Event) {
        match event {
            Event::Pod(_) | Event::PodGone { .. } | Event::Node(_) | Event::NodeGone(_) => {}
            _ => self.queue.hint(Hint::Other),
        }
    }

    /// Whether a pod that is known is just confirmed where it was assumed.
    fn confirms(&self, old: PodIx, pod: &Pod) -> bool {
        let record = self.pods.get(old);
        let at = pod.node.as_ref().and_then(|name| self.nodes.find(name));
        record.slot != NO_SLOT
            && at == Some(record.slot)
            && record.terminating == pod.terminating
            && record.preempted == pod.preempted
            && *self.specs.get(record.spec).spec == *pod.spec
    }

    fn set_pod(&mut self, now: Tick, pod: &Pod) {
        let namespace = self.namespaces.ids.intern_str(&pod.namespace);
        let mut bindings = None;
        if let Some(old) = self.pods.find(&pod.uid) {
            if self.confirms(old, pod) {
                let record = self.pods.get_mut(old);
                record.state = PodState::Bound;
                let started = pod.started.unwrap_or(crate::pods::NOT_STARTED);
                let slot = record.slot;
                if core::mem::replace(&mut record.started, started) != started {
                    // Whom preemption would choose may change.
                    self.log.push(&self.nodes, slot, PeerId::NONE, 0, false);
                }
                return;
            }
            // Its claims keep what was assumed for them while it has a node.
            if pod.node.is_some() {
                bindings = self.bindings.remove(&old);
            }
            self.forget(old);
        }
        let spec = self.spec_of(namespace, &pod.spec);
        self.specs.retain(spec);
        let ix = self.pods.insert(&pod.uid, &pod.name, spec);
        if let Some(bindings) = bindings {
            self.bindings.insert(ix, bindings);
        }
        let record = self.pods.get_mut(ix);
        record.state = if pod.node.is_some() { PodState::Bound } else { PodState::Pending };
        record.terminating = pod.terminating;
        record.preempted = pod.preempted;
        record.started = pod.started.unwrap_or(crate::pods::NOT_STARTED);
        match &pod.node {
            Some(node) => match self.nodes.find(node) {
                Some(slot) => self.put_on(ix, slot, PodState::Bound),
                None => self.ghosts.entry(node.clone()).or_default().push(ix),
            },
            None => {
                self.wait(now, ix);
                if let Some(name) = &pod.nominated {
                    match self.nodes.find(name) {
                        Some(slot) => self.nominate(ix, slot),
                        None => self.awaiting.entry(name.clone()).or_default().push(ix),
                    }
                }
            }
        }
    }

    pub(crate) fn class(&self, id: ClassId) -> &Class {
        self.classes[id.0 as usize].as_ref().expect("a referenced class is there")
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
}
