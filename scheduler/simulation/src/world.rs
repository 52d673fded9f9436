// SPDX-License-Identifier: Apache-2.0
//! The random cluster: what is there, and what happens next.

use crate::nodes;
use crate::rng::Rng;
use crate::scenario::{Feature, Scenario, Turn};
use crate::specs;
use crate::step::{Question, Step};
use crate::storage;
use crate::terms::{self, text};
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::{DisruptionBudget, Event, Group, GroupKind, Namespace};
use berth_scheduler_model::pod::{Pod, PodSpec};
use std::sync::Arc;

/// A kind of pods that come again and again.
#[derive(Debug, Clone)]
pub struct PodClass {
    /// Their namespace.
    pub namespace: Str,
    /// Their spec.
    pub spec: Arc<PodSpec>,
}

/// The cluster as its generator knows it.
#[derive(Debug)]
pub struct World {
    /// The frame.
    pub scenario: Scenario,
    rng: Rng,
    /// Nodes that are there.
    pub nodes: Vec<Node>,
    /// Pods that are bound, also those on nodes that are gone.
    pub bound: Vec<Pod>,
    /// Pods that wait.
    pub pending: Vec<Pod>,
    /// Kinds of pods.
    pub classes: Vec<PodClass>,
    serial: usize,
}

impl World {
    /// An empty world with its classes.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let rng = Rng::new(scenario.seed ^ 0x005e_ed0f_e7e4);
        Self::with_choices(scenario, rng)
    }

    /// An empty world with its classes, in which `rng` chooses.
    #[must_use]
    pub fn with_choices(scenario: Scenario, mut rng: Rng) -> Self {
        let classes = (0..scenario.classes).map(|_| class(&scenario, &mut rng)).collect();
        Self {
            scenario,
            rng,
            nodes: Vec::new(),
            bound: Vec::new(),
            pending: Vec::new(),
            classes,
            serial: 0,
        }
    }

    /// Whether nothing is left to choose by.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.rng.is_spent()
    }

    /// What is there before the first turn.
    pub fn start(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for at in 0..self.scenario.namespaces {
            if self.rng.percent(80) {
                events.push(self.namespace(at));
            }
        }
        for at in 0..self.scenario.nodes {
            events.push(self.add_node(self.scenario.names[at].clone()));
        }
        let groups = self.scenario.features[Feature::Owners as usize] > 0;
        for _ in 0..if groups { 6 } else { self.rng.below(2) } {
            events.push(self.group());
        }
        if self.scenario.features[Feature::Volumes as usize] > 0 {
            for _ in 0..60 {
                events.push(storage::event(&self.scenario, &mut self.rng));
            }
        }
        events
    }

    /// What happens next.
    ///
    /// # Panics
    /// Never: placing always has a weight.
    pub fn turn(&mut self) -> Step {
        let places = self.nodes.len() * self.scenario.pods_per_node;
        let full = self.bound.len() >= places;
        let mut weights = self.scenario.turns;
        if full {
            weights[Turn::Place as usize] /= 4;
            weights[Turn::Bind as usize] = 0;
        } else if self.bound.len() * 3 < places {
            weights[Turn::Release as usize] /= 3;
        }
        if self.nodes.len() >= self.scenario.nodes_max {
            weights[Turn::NodeNew as usize] = 0;
        }
        if self.nodes.len() * 2 < self.scenario.nodes {
            weights[Turn::NodeGone as usize] = 0;
            weights[Turn::NodeNew as usize] += 8;
        }
        if self.rng.percent(5) {
            return Step::Settle;
        }
        let at = self.rng.weighed(&weights).expect("placing has a weight");
        match Turn::ALL[at] {
            Turn::Place => Step::Place(self.new_pod()),
            turn => Step::Apply(self.event(turn)),
        }
    }

    fn event(&mut self, turn: Turn) -> Event {
        let event = match turn {
            Turn::Place | Turn::Bind => Some(self.bind()),
            Turn::Release => self.release(),
            Turn::NodeChange => self.change_node(),
            Turn::NodeGone => self.remove_node(),
            Turn::NodeNew => {
                let name = self.scenario.some_name(&mut self.rng);
                Some(self.add_node(name))
            }
            Turn::Relabel => self.relabel(),
            Turn::PodChange => self.change_pod(),
            Turn::Group => Some(self.group()),
            Turn::Namespace => {
                let at = self.rng.below(self.scenario.namespaces);
                Some(self.namespace(at))
            }
            Turn::Storage => {
                let volumes = self.scenario.features[Feature::Volumes as usize] > 0;
                volumes.then(|| storage::event(&self.scenario, &mut self.rng))
            }
            Turn::Pending => Some(self.pend()),
            Turn::Budget => Some(self.budget()),
            Turn::NewClass => {
                let at = self.rng.below(self.classes.len());
                self.classes[at] = class(&self.scenario, &mut self.rng);
                None
            }
        };
        // Where the turn finds nothing to do, a node sends its heartbeat.
        event.or_else(|| self.change_node()).unwrap_or_else(|| Event::NodeGone(text("nobody")))
    }

    /// A pod was placed on a node.
    pub fn placed(&mut self, mut pod: Pod, node: Str) {
        pod.node = Some(node);
        self.bound.push(pod);
    }

    /// What to ask after a turn.
    pub fn question(&mut self) -> Step {
        let waiting = !self.pending.is_empty() && self.rng.percent(15);
        let mut pod = if waiting {
            self.rng.pick(&self.pending).clone()
        } else {
            let class = self.rng.pick(&self.classes).clone();
            pod(text("ask"), class)
        };
        if self.rng.percent(3) && !self.nodes.is_empty() {
            pod.nominated = Some(self.rng.pick(&self.nodes).name.clone());
        }
        let at = self.rng.below(1_000);
        let choose = !waiting && pod.nominated.is_none() && self.rng.percent(40);
        let question = if at < self.scenario.full {
            Question::Verdict
        } else if at < self.scenario.full + self.scenario.preempt {
            if !waiting {
                self.prefer_important(&mut pod);
            }
            Question::Preemption
        } else if choose {
            Question::Choice
        } else {
            Question::Decision
        };
        Step::Ask(pod, question)
    }

    /// Important pods have more to evict.
    fn prefer_important(&mut self, pod: &mut Pod) {
        for _ in 0..3 {
            let class = self.rng.pick(&self.classes);
            if class.spec.priority > pod.spec.priority {
                (pod.namespace, pod.spec) = (class.namespace.clone(), class.spec.clone());
            }
        }
    }

    fn new_pod(&mut self) -> Pod {
        self.serial += 1;
        let mut class = self.rng.pick(&self.classes).clone();
        if self.scenario.has(Feature::OwnLabels, &mut self.rng) {
            let labels = specs::labels(&self.scenario, &mut self.rng);
            class.spec = Arc::new(PodSpec { labels, ..(*class.spec).clone() });
        }
        pod(Str::from(format!("p{}", self.serial)), class)
    }

    /// A node that is there; seldom one that is not.
    fn some_node(&mut self) -> Str {
        if self.nodes.is_empty() || self.rng.percent(2) {
            return self.scenario.some_name(&mut self.rng);
        }
        self.rng.pick(&self.nodes).name.clone()
    }

    fn started(&mut self) -> Option<i64> {
        self.rng.percent(85).then(|| self.rng.amount(0, 20))
    }

    fn bind(&mut self) -> Event {
        let mut pod = self.new_pod();
        pod.node = Some(self.some_node());
        pod.started = self.started();
        pod.terminating = self.rng.percent(self.scenario.terminating);
        self.bound.push(pod.clone());
        Event::Pod(Box::new(pod))
    }

    fn release(&mut self) -> Option<Event> {
        if self.rng.percent(1) {
            return Some(Event::PodGone { uid: text("unknown") });
        }
        let pods = if self.bound.is_empty() || self.rng.percent(4) {
            &mut self.pending
        } else {
            &mut self.bound
        };
        if pods.is_empty() {
            return None;
        }
        let at = self.rng.below(pods.len());
        Some(Event::PodGone { uid: pods.swap_remove(at).uid })
    }

    fn change_node(&mut self) -> Option<Event> {
        if self.nodes.is_empty() {
            return None;
        }
        let at = self.rng.below(self.nodes.len());
        let node = nodes::change(&self.scenario, &mut self.rng, &self.nodes[at]);
        self.nodes[at] = node.clone();
        Some(Event::Node(Box::new(node)))
    }

    fn remove_node(&mut self) -> Option<Event> {
        if self.nodes.is_empty() {
            return None;
        }
        let at = self.rng.below(self.nodes.len());
        Some(Event::NodeGone(self.nodes.swap_remove(at).name))
    }

    fn add_node(&mut self, name: Str) -> Event {
        let node = nodes::draw(&self.scenario, &mut self.rng, &name);
        self.nodes.retain(|have| have.name != name);
        self.nodes.push(node.clone());
        Event::Node(Box::new(node))
    }

    fn relabel(&mut self) -> Option<Event> {
        if self.bound.is_empty() {
            return None;
        }
        let at = self.rng.below(self.bound.len());
        let labels = specs::labels(&self.scenario, &mut self.rng);
        let pod = &mut self.bound[at];
        pod.spec = Arc::new(PodSpec { labels, ..(*pod.spec).clone() });
        Some(Event::Pod(Box::new(pod.clone())))
    }

    fn change_pod(&mut self) -> Option<Event> {
        if self.bound.is_empty() {
            return None;
        }
        let at = self.rng.below(self.bound.len());
        let started = self.started();
        let node = self.some_node();
        let pod = &mut self.bound[at];
        match self.rng.below(10) {
            0..4 => {
                pod.terminating = true;
                pod.preempted = self.rng.percent(50);
            }
            4..8 => pod.started = started,
            8 => {}
            // No API server does this; a resync after a lost watch may look like it.
            _ => pod.node = Some(node),
        }
        Some(Event::Pod(Box::new(pod.clone())))
    }

    fn group(&mut self) -> Event {
        let kinds = [
            GroupKind::Service,
            GroupKind::Service,
            GroupKind::ReplicaSet,
            GroupKind::ReplicaSet,
            GroupKind::StatefulSet,
            GroupKind::ReplicationController,
        ];
        let kind = *self.rng.pick(&kinds);
        let namespace = terms::namespace(self.rng.below(self.scenario.namespaces));
        let name = Str::from(format!("g{}", self.rng.below(4)));
        if self.rng.percent(25) {
            return Event::GroupGone { kind, namespace, name };
        }
        let values = self.scenario.values;
        let selector = match kind {
            GroupKind::Service | GroupKind::ReplicationController => {
                terms::map_selector(&mut self.rng, values)
            }
            _ => terms::maybe_selector(&mut self.rng, &terms::POD_KEYS, values),
        };
        Event::Group(Group { kind, namespace, name, selector })
    }

    fn namespace(&mut self, at: usize) -> Event {
        let name = terms::namespace(at);
        if self.rng.percent(20) {
            return Event::NamespaceGone(name);
        }
        let labels = terms::labels(&mut self.rng, &terms::NAMESPACE_KEYS, 50, 2);
        Event::Namespace(Namespace { name, labels })
    }

    /// A pod that waits, with or without a node nominated for it; or one that waited is bound.
    fn pend(&mut self) -> Event {
        if self.pending.len() >= 6 || (!self.pending.is_empty() && self.rng.percent(40)) {
            let at = self.rng.below(self.pending.len());
            if self.rng.percent(40) {
                return Event::PodGone { uid: self.pending.swap_remove(at).uid };
            }
            let nominated = self.some_node();
            if self.rng.percent(50) {
                let pod = &mut self.pending[at];
                pod.nominated = Some(nominated);
                return Event::Pod(Box::new(pod.clone()));
            }
            let mut pod = self.pending.swap_remove(at);
            pod.node = pod.nominated.clone().or(Some(nominated));
            self.bound.push(pod.clone());
            return Event::Pod(Box::new(pod));
        }
        let mut pod = self.new_pod();
        if self.rng.percent(85) {
            pod.nominated = Some(self.some_node());
        }
        self.pending.push(pod.clone());
        Event::Pod(Box::new(pod))
    }

    fn budget(&mut self) -> Event {
        let namespace = terms::namespace(self.rng.below(self.scenario.namespaces));
        let name = Str::from(format!("b{}", self.rng.below(4)));
        if self.rng.percent(20) {
            return Event::BudgetGone { namespace, name };
        }
        let selector = terms::maybe_selector(&mut self.rng, &terms::POD_KEYS, self.scenario.values);
        let allowed = i32::try_from(self.rng.amount(0, 2)).expect("small");
        let disrupted = match self.bound.len() {
            0 => Vec::new(),
            pods => vec![self.bound[self.rng.below(pods)].name.clone()],
        };
        Event::Budget(DisruptionBudget { namespace, name, selector, allowed, disrupted })
    }
}

fn pod(uid: Str, class: PodClass) -> Pod {
    Pod {
        name: uid.clone(),
        uid,
        namespace: class.namespace,
        spec: class.spec,
        node: None,
        nominated: None,
        started: None,
        terminating: false,
        preempted: false,
    }
}

fn class(scenario: &Scenario, rng: &mut Rng) -> PodClass {
    let namespace = terms::namespace(rng.below(scenario.namespaces));
    let spec = Arc::new(specs::draw(scenario, rng, &namespace));
    PodClass { namespace, spec }
}
