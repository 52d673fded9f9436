// SPDX-License-Identifier: Apache-2.0
//! What a run is made of: how large the cluster is, what pods ask for, which events come, all drawn from the seed.
//!
//! Each seed leaves many features out and lets others come often (swarm testing: Groce et al. 2012), so that a feature is also
//! met without all the others beside it.

use crate::profiles;
use crate::rng::Rng;
use crate::terms;
use berth_scheduler_core::tie_hash;
use berth_scheduler_model::Str;
use berth_scheduler_model::profile::Profile;

/// Something that a pod spec may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Feature {
    /// `nodeSelector`.
    NodeSelector,
    /// Required node affinity.
    NodeRequired,
    /// Preferred node affinity.
    NodePreferred,
    /// Required pod affinity.
    Affinity,
    /// Required pod anti-affinity.
    AntiAffinity,
    /// Preferred pod affinity or anti-affinity.
    Preferences,
    /// Terms that reach into other namespaces.
    Namespaces,
    /// Tolerations.
    Tolerations,
    /// Hard spread constraints.
    SpreadHard,
    /// Soft spread constraints.
    SpreadSoft,
    /// Host ports.
    Ports,
    /// Images.
    Images,
    /// Volumes.
    Volumes,
    /// Extended resources.
    Extended,
    /// Declared features of nodes.
    Declared,
    /// Controllers.
    Owners,
    /// Priorities.
    Priorities,
    /// Labels that are the pod's own.
    OwnLabels,
    /// `spec.nodeName`, match fields, resource claims.
    Rare,
}

impl Feature {
    /// Number of features.
    pub const COUNT: usize = Self::Rare as usize + 1;
}

/// Something that may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Turn {
    /// The scheduler places a pod.
    Place,
    /// Somebody else binds a pod.
    Bind,
    /// A pod is gone.
    Release,
    /// A node changes.
    NodeChange,
    /// A node is gone.
    NodeGone,
    /// A node is there (again).
    NodeNew,
    /// A pod gets other labels.
    Relabel,
    /// A pod is terminating, gets a start time, or moves.
    PodChange,
    /// Services and controllers.
    Group,
    /// Namespaces.
    Namespace,
    /// Volumes, claims and the like.
    Storage,
    /// Pending pods, nominated or not.
    Pending,
    /// Disruption budgets.
    Budget,
    /// A class of pods is replaced by another.
    NewClass,
}

impl Turn {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Place,
        Self::Bind,
        Self::Release,
        Self::NodeChange,
        Self::NodeGone,
        Self::NodeNew,
        Self::Relabel,
        Self::PodChange,
        Self::Group,
        Self::Namespace,
        Self::Storage,
        Self::Pending,
        Self::Budget,
        Self::NewClass,
    ];
}

/// How often each turn comes where nothing is special.
const USUAL: [usize; Turn::ALL.len()] = [20, 12, 20, 10, 4, 4, 4, 4, 4, 4, 4, 4, 1, 4];

/// A run's frame.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed of everything.
    pub seed: u64,
    /// Nodes at the start.
    pub nodes: usize,
    /// Nodes at most.
    pub nodes_max: usize,
    /// Names of all nodes that may ever be there.
    pub names: Vec<Str>,
    /// Pods at most, for each node.
    pub pods_per_node: usize,
    /// Classes of pods.
    pub classes: usize,
    /// Namespaces.
    pub namespaces: usize,
    /// Events.
    pub events: usize,
    /// Values of each label key, at most.
    pub values: usize,
    /// How likely a spec has each feature, in percent.
    pub features: [usize; Feature::COUNT],
    /// How likely each turn is.
    pub turns: [usize; Turn::ALL.len()],
    /// Node labels are often missing or shared where they should be a node's own.
    pub untidy: usize,
    /// Most nodes have the same capacity, so that totals are often equal.
    pub uniform: bool,
    /// How often everything is compared, not only the decision: in thousandths.
    pub full: usize,
    /// How often preemption is compared, in thousandths.
    pub preempt: usize,
    /// The profiles.
    pub profiles: Vec<Profile>,
    /// How likely a pod is terminating when it is first seen, in percent.
    pub terminating: usize,
    /// Something is asked after each so many turns.
    pub every: usize,
    /// Turns in a row after which nothing is asked.
    pub silent: usize,
    /// The engine's budget for what it keeps of classes.
    pub class_bytes: usize,
}

impl Scenario {
    /// A frame for steps that are written down: one default profile.
    #[must_use]
    pub fn plain() -> Self {
        Self { profiles: vec![Profile::default()], class_bytes: 1 << 20, ..Self::new(1) }
    }

    /// The scenario of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = match rng.below(100) {
            0..60 => rng.between(2, 8),
            60..90 => rng.between(5, 20),
            90..98 => rng.between(20, 70),
            _ => rng.between(100, 200),
        };
        let mut features = [0; Feature::COUNT];
        // A few features carry the run; some more are seasoning.
        let crowd = rng.between(1, 4);
        for rate in &mut features {
            *rate = match rng.below(10) {
                at if at < crowd => rng.between(20, 80),
                at if at < crowd + 2 => 8,
                _ => 0,
            };
        }
        features[Feature::Rare as usize] = features[Feature::Rare as usize].min(6);
        let mut turns = [0; Turn::ALL.len()];
        for (usual, weight) in USUAL.iter().zip(&mut turns) {
            *weight = match rng.below(8) {
                0 => 0,
                1 => usual * 4,
                _ => *usual,
            };
        }
        turns[Turn::Place as usize] = turns[Turn::Place as usize].max(10);
        turns[Turn::Release as usize] = turns[Turn::Release as usize].max(10);
        let classes = match rng.below(10) {
            0..3 => rng.between(1, 4),
            3..8 => rng.between(3, 20),
            _ => rng.between(20, 300),
        };
        let scenario = Self {
            seed,
            nodes,
            nodes_max: nodes + nodes / 3 + 2,
            names: Vec::new(),
            pods_per_node: if nodes > 20 { rng.between(1, 4) } else { rng.between(2, 10) },
            classes,
            namespaces: rng.between(1, 4),
            events: if nodes > 70 {
                60
            } else if nodes > 20 {
                150
            } else {
                rng.between(300, 900)
            },
            values: rng.between(1, 5),
            features,
            turns,
            untidy: *rng.pick(&[0, 5, 20, 60]),
            uniform: rng.percent(40),
            full: 60,
            preempt: if features[Feature::Priorities as usize] > 0 { 200 } else { 2 },
            profiles: profiles::draw(&mut rng),
            class_bytes: *rng.pick(&[1 << 14, 1 << 16, 256 << 20, 256 << 20]),
            terminating: 5,
            silent: 0,
            every: 1,
        };
        let scenario = match seed % 400 {
            50 => scenario.long(&mut rng),
            100 | 300 => scenario.silent(&mut rng),
            150 | 350 => scenario.wide(&mut rng),
            200 => scenario.crowded(),
            250 => scenario.contested(&mut rng),
            _ => scenario,
        };
        scenario.named()
    }

    /// A small frame, for bytes to choose in.
    #[must_use]
    pub fn small(rng: &mut Rng) -> Self {
        let nodes = rng.between(1, 4);
        let mut features = [0; Feature::COUNT];
        for rate in &mut features {
            *rate = *rng.pick(&[0, 30, 70]);
        }
        let plain = Self::plain();
        let scenario = Self {
            nodes,
            nodes_max: nodes + 2,
            names: Vec::new(),
            pods_per_node: 4,
            classes: rng.between(1, 4),
            namespaces: rng.between(1, 2),
            values: rng.between(1, 3),
            features,
            turns: USUAL,
            untidy: *rng.pick(&[0, 30]),
            full: 100,
            preempt: 150,
            profiles: profiles::draw(rng),
            class_bytes: *rng.pick(&[1 << 14, 1 << 20]),
            ..plain
        };
        scenario.named()
    }

    /// The same with names for all nodes that there may be.
    #[must_use]
    pub fn named(mut self) -> Self {
        for at in self.names.len()..self.nodes_max {
            self.names.push(terms::node_name(at));
        }
        self
    }

    /// A node's name.
    pub fn some_name(&self, rng: &mut Rng) -> Str {
        rng.pick(&self.names).clone()
    }

    /// Names of nodes lie close together in the tie order, so that there is soon no room between two of them.
    fn crowded(mut self) -> Self {
        let place = |name: &Str| tie_hash(self.seed, name) >> 46;
        let wanted = place(&terms::node_name(0));
        let close = (0..).map(terms::node_name).filter(|name| place(name) == wanted);
        (self.nodes, self.nodes_max) = (30, 40);
        self.names = close.take(self.nodes_max).collect();
        self.uniform = true;
        self.features = [0; Feature::COUNT];
        self.features[Feature::SpreadSoft as usize] = 20;
        self.classes = 3;
        self.events = 1_500;
        self.pods_per_node = 3;
        self.turns[Turn::NodeGone as usize] = 20;
        self.turns[Turn::NodeNew as usize] = 20;
        self
    }

    /// Nodes are full of pods of few priorities, and who may be evicted changes more often than who is there.
    fn contested(mut self, rng: &mut Rng) -> Self {
        (self.nodes, self.nodes_max) = (6, 6);
        self.features = [0; Feature::COUNT];
        self.features[Feature::Priorities as usize] = 90;
        self.classes = rng.between(3, 6);
        self.namespaces = 1;
        self.values = 2;
        self.uniform = true;
        self.turns = [0; Turn::ALL.len()];
        for (turn, weight) in [
            (Turn::Place, 10),
            (Turn::Bind, 10),
            (Turn::Release, 3),
            (Turn::PodChange, 20),
            (Turn::Budget, 20),
            (Turn::NodeChange, 1),
        ] {
            self.turns[turn as usize] = weight;
        }
        (self.full, self.preempt) = (20, 900);
        self.terminating = 0;
        self.class_bytes = 256 << 20;
        self.pods_per_node = 8;
        self.events = 3_000;
        self
    }

    /// Many pods with labels of their own, which selectors read: more kinds of pods than the engine remembers.
    fn long(mut self, rng: &mut Rng) -> Self {
        self.features[Feature::OwnLabels as usize] = 100;
        self.features[Feature::SpreadSoft as usize] = 40;
        self.features[Feature::AntiAffinity as usize] = 20;
        self.features[Feature::Volumes as usize] = 0;
        self.classes = rng.between(2, 10);
        (self.nodes, self.nodes_max) = (5, 7);
        // Each rule that the engine compiles looks at all these kinds, and takes the time that events could: few do.
        self.every = 400;
        self.turns[Turn::Namespace as usize] = 0;
        self.turns[Turn::NewClass as usize] = 0;
        self.turns[Turn::Group as usize] = 0;
        self.turns[Turn::Place as usize] = 1;
        self.turns[Turn::Bind as usize] = 30;
        self.terminating = 60;
        self.class_bytes = 256 << 20;
        self.untidy = 0;
        self.events = 70_000;
        self
    }

    /// For a long time nobody asks: classes fall behind by more than is logged.
    fn silent(mut self, rng: &mut Rng) -> Self {
        self.silent = rng.between(5_000, 90_000);
        self.classes = self.classes.min(10);
        (self.nodes, self.nodes_max) = (6, 9);
        self
    }

    /// Nearly each node is a group of its own.
    fn wide(mut self, rng: &mut Rng) -> Self {
        self.values = 150;
        self.features[Feature::SpreadSoft as usize] = 60;
        self.features[Feature::Preferences as usize] = 60;
        self.untidy = 0;
        self.classes = rng.between(2, 6);
        (self.nodes, self.nodes_max) = (230, 260);
        self.pods_per_node = 3;
        self.events = 700;
        self
    }

    /// Whether a spec is to have a feature.
    pub fn has(&self, feature: Feature, rng: &mut Rng) -> bool {
        rng.percent(self.features[feature as usize])
    }
}
