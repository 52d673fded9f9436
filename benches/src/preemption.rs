// SPDX-License-Identifier: Apache-2.0
//! Room made for pods of high priority on a full cluster, as in kube-scheduler's benchmark: four pods of low priority to a
//! node (900m each of 4 CPU), and such of high priority that want 3 CPU.
//!
//! One turn is the whole cycle that leaves the cluster as full as it was: a pod of high priority comes and fits nowhere,
//! victims are chosen over all nodes and released, the pod is placed on its room; then one of the earlier ones is released,
//! and pods of low priority fill what it left.

use crate::digest::Digest;
use crate::names::{Names, serial_in};
use berth_scheduler_core::{Decided, Engine, Eviction, Options, Outcome};
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::{DisruptionBudget, Event};
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_workload::specs::{NAMESPACE, plain, requests, selector};
use berth_scheduler_workload::{Rng, nodes};
use std::sync::Arc;

/// Apps of low priority, each with a label of its own.
const APPS: usize = 10;
const LOW_CPU: i64 = 900;
const LOW_PER_NODE: usize = 4;
const HIGH_CPU: i64 = 3_000;
const MEMORY: i64 = 500 << 20;

/// Disruption budgets over the pods of low priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budgets {
    /// None.
    None,
    /// One per app; every second one is used up, so that the choice has to go by them.
    Ten,
}

/// An engine on a full cluster.
#[derive(Debug)]
pub struct Preemption {
    /// The engine.
    pub engine: Engine,
    rng: Rng,
    low: Vec<Arc<PodSpec>>,
    high: Arc<PodSpec>,
    /// Serial numbers of the pods of high priority that are placed.
    placed: Vec<u64>,
    serial: u64,
    names: Names,
    victims: Vec<u64>,
    now: u64,
    /// Pods that found neither a place nor victims.
    pub refused: u64,
    /// All decisions so far.
    pub digest: Digest,
}

impl Preemption {
    /// A full cluster of `nodes` nodes, on a tenth of which room was made already.
    #[must_use]
    pub fn new(nodes: usize, budgets: Budgets, options: Options) -> Self {
        let app = |i: usize| format!("low-{i}");
        let low = |i: usize| PodSpec {
            requests: requests(LOW_CPU, MEMORY),
            ..plain(&[("app", &app(i))])
        };
        let high = PodSpec {
            requests: requests(HIGH_CPU, MEMORY),
            priority: 10,
            ..plain(&[("app", "high")])
        };
        let mut preemption = Self {
            rng: Rng::new(options.seed),
            engine: Engine::new(options),
            low: (0..APPS).map(|i| Arc::new(low(i))).collect(),
            high: Arc::new(high),
            placed: Vec::with_capacity(nodes),
            serial: 0,
            names: Names::default(),
            victims: Vec::new(),
            now: 0,
            refused: 0,
            digest: Digest::default(),
        };
        for node in (0..nodes).map(nodes::node) {
            preemption.engine.apply(Event::Node(Box::new(node)));
        }
        if budgets == Budgets::Ten {
            for i in 0..APPS {
                preemption.engine.apply(Event::Budget(budget(&app(i), i % 2 == 0)));
            }
        }
        preemption.fill(nodes * LOW_PER_NODE);
        for _ in 0..nodes.div_ceil(10) {
            preemption.preempt();
        }
        preemption
    }

    /// One turn.
    pub fn turn(&mut self) {
        let victims = self.preempt();
        let at = self.rng.below(self.placed.len());
        let serial = self.placed.swap_remove(at);
        let released = self.engine.release(self.names.uid(serial));
        assert!(released, "a placed pod is known");
        self.fill(victims);
    }

    /// Makes room for one pod of high priority and places it there. Says how many had to go.
    fn preempt(&mut self) -> usize {
        self.now += 1;
        self.serial += 1;
        let (serial, high) = (self.serial, self.high.clone());
        let (_, found) = self.engine.place_or_preempt(self.now, self.names.of(serial), &high);
        let Some((_, eviction)) = found else {
            self.refused += 1;
            return 0;
        };
        self.evict(&eviction);
        let decided = self.engine.next(self.now);
        let on = eviction.node;
        assert!(
            matches!(decided, Some(Decided::Placed(placement)) if placement.node == on),
            "with the victims gone it goes where room was made for it"
        );
        self.placed.push(serial);
        self.digest.add(u64::from(on));
        eviction.victims.len()
    }

    fn evict(&mut self, eviction: &Eviction) {
        self.victims.clear();
        for victim in &eviction.victims {
            let serial = serial_in(self.engine.pod_id(*victim).uid).expect("uids are ours");
            self.victims.push(serial);
        }
        for at in 0..self.victims.len() {
            let serial = self.victims[at];
            self.digest.add(serial);
            self.engine.release(self.names.uid(serial));
        }
    }

    /// So many pods of low priority come; there is just room for them.
    fn fill(&mut self, pods: usize) {
        for _ in 0..pods {
            self.serial += 1;
            let spec = self.low[self.rng.below(APPS)].clone();
            let outcome = self.engine.place(self.names.of(self.serial), &spec);
            assert!(matches!(outcome, Outcome::Placed(_)), "there is room for what had to go");
        }
    }
}

fn budget(app: &str, used_up: bool) -> DisruptionBudget {
    DisruptionBudget {
        namespace: Str::from(NAMESPACE),
        name: Str::from(app),
        selector: Some(selector(&[("app", app)])),
        allowed: if used_up { 0 } else { 1_000_000 },
        disrupted: Vec::new(),
    }
}
