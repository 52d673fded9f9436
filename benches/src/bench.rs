// SPDX-License-Identifier: Apache-2.0
//! One pod placed, another released.

use crate::digest::Digest;
use crate::names::Names;
use berth_scheduler_core::{AHEAD, Engine, Options, Outcome};
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_workload::{Rng, Row, Workload, rows};
use std::collections::VecDeque;
use std::sync::Arc;

/// An engine filled with a row's pods, ready to place one pod and release another, again and again.
#[derive(Debug)]
pub struct Bench {
    /// The engine.
    pub engine: Engine,
    workload: Workload,
    /// Draws specs.
    rng: Rng,
    /// Draws pods to be released: apart, so that specs may be drawn ahead.
    leaving: Rng,
    /// Serial numbers of the pods that are placed.
    placed: Vec<u64>,
    serial: u64,
    names: Names,
    /// Specs of the next pods, where the engine prepares for them.
    ahead: VecDeque<Arc<PodSpec>>,
    /// Pods refused so far.
    pub refused: u64,
    /// All decisions so far.
    pub digest: Digest,
}

impl Bench {
    /// Fills a cluster of `nodes` nodes to `percent` of its CPU.
    #[must_use]
    pub fn new(row: Row, nodes: usize, percent: usize, seed: u64) -> Self {
        let vector = berth_scheduler_host::vector();
        Self::with(row, nodes, percent, Options { seed, vector, ..Options::default() })
    }

    /// The same, with an engine set up otherwise.
    #[must_use]
    pub fn with(row: Row, nodes: usize, percent: usize, options: Options) -> Self {
        let mut workload = Workload::new(row, nodes, percent);
        let (rng, leaving) = (Rng::new(options.seed), Rng::new(!options.seed));
        let mut engine = Engine::new(options);
        for group in &workload.groups {
            engine.apply(Event::Group(group.clone()));
        }
        for node in std::mem::take(&mut workload.nodes) {
            engine.apply(Event::Node(Box::new(node)));
        }
        for pod in std::mem::take(&mut workload.resident) {
            engine.apply(Event::Pod(Box::new(pod)));
        }
        let fill = workload.fill;
        let mut bench = Self {
            engine,
            workload,
            rng,
            leaving,
            placed: Vec::with_capacity(fill + 1),
            serial: 0,
            ahead: VecDeque::with_capacity(AHEAD),
            names: Names::default(),
            refused: 0,
            digest: Digest::default(),
        };
        for _ in 0..fill {
            bench.place();
        }
        bench
    }

    /// The next pod's spec.
    fn next_spec(&mut self) -> Arc<PodSpec> {
        let rng = &mut self.rng;
        self.workload.next_spec(|n| rng.below(n))
    }

    /// Places one pod, with its own uid and name.
    pub fn place(&mut self) -> bool {
        let spec = match self.ahead.pop_front() {
            Some(spec) => spec,
            None if self.engine.prepares() => self.look_ahead(),
            None => self.next_spec(),
        };
        self.serial += 1;
        let outcome = self.engine.place(self.names.of(self.serial), &spec);
        if let Outcome::Placed(placement) = outcome {
            self.digest.add(u64::from(placement.node));
            self.placed.push(self.serial);
            true
        } else {
            self.refused += 1;
            false
        }
    }

    /// Draws the next pods and has the engine prepare for them, as a service does for the pods of a message.
    fn look_ahead(&mut self) -> Arc<PodSpec> {
        for _ in 0..AHEAD {
            let spec = self.next_spec();
            self.ahead.push_back(spec);
        }
        let namespace = rows::namespace();
        self.engine.prepare(self.ahead.iter().map(|spec| (namespace, spec)));
        self.ahead.pop_front().expect("filled right above")
    }

    /// Releases a pod drawn uniformly at random.
    pub fn release(&mut self) {
        let at = self.leaving.below(self.placed.len());
        let serial = self.placed.swap_remove(at);
        let released = self.engine.release(self.names.uid(serial));
        assert!(released, "a placed pod is known");
    }

    /// What a row measures: one placement, and the release that makes room again where it took some.
    pub fn turn(&mut self) {
        if self.place() {
            self.release();
        }
    }

    /// Number of classes that come at random.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.workload.classes()
    }

    /// Number of pods placed now.
    #[must_use]
    pub fn placed(&self) -> usize {
        self.placed.len()
    }
}
