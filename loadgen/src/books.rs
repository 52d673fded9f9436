// SPDX-License-Identifier: Apache-2.0
//! The client's own books: which pod is on which node by the service's answers, and whether each answer was allowed.
//!
//! Every placement is checked when it is booked: room for CPU, memory, storage, extended resources, pods and ports; node
//! affinity and taints; hard spread; required affinity and anti-affinity, both ways. All of it is arithmetic on arrays that
//! are kept up with each placement and release, so that the check costs some tens of nanoseconds.
//!
//! The rules are Kubernetes', written down here a second time. Scores are not checked: they are no promise of an answer.

mod class;
mod counter;
mod labels;
mod nodes;
#[cfg(test)]
mod tests;
mod violation;

pub use nodes::{NodeIx, Room};
pub use violation::{Rule, Violations};

use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::pod::PodSpec;
use class::Class;
use counter::{Counter, CounterKey};
use nodes::Nodes;
use std::sync::Arc;

/// Index of a spec that was made ready.
pub type ClassIx = u32;

/// Index of a pod.
pub type PodIx = u32;

/// The pod is on no node.
const NO_NODE: NodeIx = NodeIx::MAX;

/// A pod that is on its way or on a node.
#[derive(Debug, Clone, Copy)]
struct Pod {
    serial: u64,
    class: ClassIx,
    node: NodeIx,
}

/// The books.
#[derive(Debug)]
pub struct Books {
    nodes: Nodes,
    classes: Vec<Option<Class>>,
    free_classes: Vec<ClassIx>,
    counters: Vec<Counter>,
    pods: Vec<Pod>,
    free_pods: Vec<PodIx>,
    on_nodes: u64,
    /// Counts changes: a verdict holds for one state.
    state: u64,
    violations: Violations,
}

impl Books {
    /// Books of these nodes, all empty.
    pub fn new(nodes: &[Node]) -> Self {
        Self {
            nodes: Nodes::new(nodes),
            classes: Vec::new(),
            free_classes: Vec::new(),
            counters: Vec::new(),
            pods: Vec::new(),
            free_pods: Vec::new(),
            on_nodes: 0,
            state: 0,
            violations: Violations::default(),
        }
    }

    /// Makes a spec ready that comes again and again.
    pub fn class(&mut self, namespace: &str, spec: &Arc<PodSpec>) -> ClassIx {
        self.add_class(namespace, spec, true)
    }

    /// Makes a spec ready that is forgotten with the last of its pods.
    pub fn class_once(&mut self, namespace: &str, spec: &Arc<PodSpec>) -> ClassIx {
        self.add_class(namespace, spec, false)
    }

    fn add_class(&mut self, namespace: &str, spec: &Arc<PodSpec>, keep: bool) -> ClassIx {
        let mut class = Class::new(&self.nodes, namespace, spec);
        class.keep = keep;
        for (index, counter) in (0..).zip(&self.counters) {
            class.meet(index, counter);
        }
        let ix = self.free_classes.pop().unwrap_or_else(|| {
            self.classes.push(None);
            index(self.classes.len() - 1)
        });
        if class.is_plain() {
            self.classes[ix as usize] = Some(class);
            return ix;
        }
        let known = self.counters.len();
        let counters = &mut self.counters;
        class.prepare(&mut self.nodes, |nodes, key| find_counter(counters, nodes, key));
        self.classes[ix as usize] = Some(class);
        for index in known..self.counters.len() {
            self.introduce(index);
        }
        ix
    }

    /// Tells all classes of a new counter, and counts the pods that are there.
    fn introduce(&mut self, index: usize) {
        let counter = &mut self.counters[index];
        let index = u32::try_from(index).expect("few counters");
        for class in self.classes.iter_mut().flatten() {
            class.meet(index, counter);
        }
        for pod in self.pods.iter().filter(|pod| pod.node != NO_NODE) {
            let class = self.classes[pod.class as usize].as_ref().expect("a pod's class is there");
            if class.counted_by.contains(&index) {
                counter.add(self.nodes.columns(), pod.node);
            }
        }
    }

    /// The spec of a class.
    pub fn spec(&self, class: ClassIx) -> &Arc<PodSpec> {
        &self.known(class).spec
    }

    /// Notes a pod that is on its way. `serial` is the caller's own number for it, not 0.
    pub fn admit(&mut self, class: ClassIx, serial: u64) -> PodIx {
        let pod = Pod { serial, class, node: NO_NODE };
        self.known_mut(class).pods += 1;
        if let Some(ix) = self.free_pods.pop() {
            self.pods[ix as usize] = pod;
            return ix;
        }
        self.pods.push(pod);
        index(self.pods.len() - 1)
    }

    /// Checks and books a placement. The pod is booked also where a rule is broken: the service thinks it is there.
    /// `None`: the node is not known, the pod is nowhere.
    pub fn place(&mut self, pod: PodIx, node: &str) -> Option<NodeIx> {
        let Some(ix) = self.nodes.find(node) else {
            self.violations.add(Rule::UnknownNode, || format!("{node:?}"));
            return None;
        };
        let class = self.pods[pod as usize].class;
        if let Err(rule) = self.allowed(class, ix) {
            self.tell(rule, class, ix);
        }
        self.put(pod, ix);
        Some(ix)
    }

    /// Books a pod that was put on a node by somebody else, unchecked.
    pub fn put_on(&mut self, pod: PodIx, node: &str) {
        if let Some(ix) = self.nodes.find(node) {
            self.put(pod, ix);
        }
    }

    fn put(&mut self, pod: PodIx, node: NodeIx) {
        let record = &mut self.pods[pod as usize];
        record.node = node;
        let class = known_in(&mut self.classes, record.class);
        if let Some(needs) = &class.needs {
            self.nodes.book(node, needs, true);
        }
        for counter in &class.counted_by {
            self.counters[*counter as usize].add(self.nodes.columns(), node);
        }
        self.on_nodes += 1;
        self.state += 1;
    }

    /// Takes a pod off its node, if it is on one, and forgets it.
    pub fn release(&mut self, pod: PodIx) {
        let Pod { class: ix, node, .. } = self.pods[pod as usize];
        let class = known_in(&mut self.classes, ix);
        class.pods -= 1;
        let forget = class.pods == 0 && !class.keep;
        if node != NO_NODE {
            if let Some(needs) = &class.needs {
                self.nodes.book(node, needs, false);
            }
            for counter in &class.counted_by {
                self.counters[*counter as usize].remove(self.nodes.columns(), node);
            }
            self.on_nodes -= 1;
            self.state += 1;
        }
        self.pods[pod as usize] = Pod { serial: 0, class: ix, node: NO_NODE };
        self.free_pods.push(pod);
        if forget {
            self.classes[ix as usize] = None;
            self.free_classes.push(ix);
        }
    }

    /// Checks a refusal: true, and no violation, if no node would take a pod of the class.
    pub fn refuse(&mut self, class: ClassIx) -> bool {
        match self.taker(class) {
            None => true,
            Some(node) => {
                self.tell(Rule::WrongRefusal, class, node);
                false
            }
        }
    }

    /// Whether a node would take one more pod of the class.
    pub fn has_room(&mut self, class: ClassIx) -> bool {
        self.taker(class).is_some()
    }

    /// A node that would take one more pod of the class.
    fn taker(&mut self, class: ClassIx) -> Option<NodeIx> {
        if self.known(class).refused_at == self.state {
            return None;
        }
        let taker = self.nodes.indices().find(|node| self.allowed(class, *node).is_ok());
        if taker.is_none() {
            let state = self.state;
            self.known_mut(class).refused_at = state;
        }
        taker
    }

    /// Whether the node may take one more pod of the class.
    #[inline]
    fn allowed(&self, class: ClassIx, node: NodeIx) -> Result<(), Rule> {
        let class = self.known(class);
        match &class.needs {
            Some(needs) => self.nodes.fits(node, needs)?,
            None => return Err(Rule::Extended),
        }
        if !class.allows(node) {
            return Err(class.excluded_by(&self.nodes, node));
        }
        class.check(&self.counters, self.nodes.columns(), node)
    }

    #[cold]
    fn tell(&mut self, rule: Rule, class: ClassIx, node: NodeIx) {
        let spec = &self.known(class).spec;
        let request = &spec.requests.plain;
        let text = format!(
            "a pod of {}m CPU, {} B memory, labels {}; {}",
            request.cpu,
            request.memory,
            spec.labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","),
            self.nodes.tell(node),
        );
        self.violations.add(rule, || text);
    }

    fn known(&self, class: ClassIx) -> &Class {
        self.classes[class as usize].as_ref().expect("the caller's class is there")
    }

    fn known_mut(&mut self, class: ClassIx) -> &mut Class {
        known_in(&mut self.classes, class)
    }

    /// Notes that something else was broken.
    pub fn violate(&mut self, rule: Rule, tell: impl FnOnce() -> String) {
        self.violations.add(rule, tell);
    }

    /// What was broken so far.
    pub fn violations(&self) -> &Violations {
        &self.violations
    }

    /// The caller's number of a pod.
    pub fn serial(&self, pod: PodIx) -> u64 {
        self.pods[pod as usize].serial
    }

    /// The class of a pod.
    pub fn class_of(&self, pod: PodIx) -> ClassIx {
        self.pods[pod as usize].class
    }

    /// The node that a pod is on.
    pub fn node_of(&self, pod: PodIx) -> Option<&Str> {
        let node = self.pods[pod as usize].node;
        (node != NO_NODE).then(|| &self.nodes.traits[node as usize].name)
    }

    /// Number of pods that are on nodes.
    pub fn pods_on_nodes(&self) -> u64 {
        self.on_nodes
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// What the nodes have, and what is left of it, in all.
    pub fn totals(&self) -> (Room, Room) {
        let mut sum = (Room::default(), Room::default());
        for (node, left) in (0..).zip(&self.nodes.room) {
            add(&mut sum.0, self.nodes.capacity(node));
            add(&mut sum.1, *left);
        }
        sum
    }

    /// What is taken of a node.
    pub fn taken(&self, node: &str) -> Option<Room> {
        let ix = self.nodes.find(node)?;
        let (all, left) = (self.nodes.capacity(ix), self.nodes.room[ix as usize]);
        Some(Room {
            cpu: all.cpu - left.cpu,
            memory: all.memory - left.memory,
            ephemeral: all.ephemeral - left.ephemeral,
            pods: all.pods - left.pods,
        })
    }
}

fn index(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^32")
}

fn known_in(classes: &mut [Option<Class>], class: ClassIx) -> &mut Class {
    classes[class as usize].as_mut().expect("the caller's class is there")
}

fn add(sum: &mut Room, room: Room) {
    sum.cpu += room.cpu;
    sum.memory += room.memory;
    sum.ephemeral += room.ephemeral;
    sum.pods += room.pods;
}

fn find_counter(counters: &mut Vec<Counter>, nodes: &Nodes, key: CounterKey) -> u32 {
    let at = counters.iter().position(|counter| counter.key == key).unwrap_or_else(|| {
        let column = &nodes.columns()[key.column];
        counters.push(Counter::new(key, column));
        counters.len() - 1
    });
    u32::try_from(at).expect("few counters")
}
