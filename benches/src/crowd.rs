// SPDX-License-Identifier: Apache-2.0
//! A queue full of pods that no node takes, beside the ordinary work.

use crate::bench::Bench;
use crate::churn::Churn;
use crate::names::Names;
use berth_scheduler_core::{Decided, QueueSizes};
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_workload::specs::{CPU, MEMORY, labels, plain, requests};
use berth_scheduler_workload::{Row, nodes};
use std::sync::Arc;

/// Serial numbers of waiting pods start here.
const FIRST: u64 = 1 << 36;
/// More milli-CPU than any node has, the one that helps included.
const TOO_MUCH_CPU: i64 = 1_000_000;
/// Longer than any pod backs off, in milliseconds.
const BACKOFF_OVER_MS: u64 = 60_000;

/// Waiting pods of some classes on a cluster that does ordinary work.
#[derive(Debug)]
pub struct Crowd {
    /// The ordinary work, and the engine.
    pub bench: Bench,
    /// What changes meanwhile.
    pub churn: Churn,
    /// The engine's time, in milliseconds.
    pub now: u64,
    /// Pods of the queue that were placed.
    pub placed: u64,
    /// Pods of the queue that were looked at and not placed.
    pub refused: u64,
}

impl Crowd {
    /// `pods` waiting pods of `classes` classes on `nodes` nodes. Half of the classes want a pool of nodes that is not there,
    /// the other half more CPU than any node has.
    #[must_use]
    pub fn new(nodes: usize, pods: usize, classes: usize, seed: u64) -> Self {
        let bench = Bench::new(Row::Basic, nodes, 70, seed);
        let churn = Churn::new(nodes, seed);
        let mut crowd = Self { bench, churn, now: 1, placed: 0, refused: 0 };
        let specs: Vec<Arc<PodSpec>> = (0..classes).map(|i| Arc::new(waiting(i))).collect();
        let mut names = Names::default();
        for i in 0..pods {
            let id = names.of(FIRST + i as u64);
            crowd.bench.engine.enqueue(crowd.now, id, &specs[i % classes]).expect("uids are new");
        }
        crowd.drain();
        crowd
    }

    /// Tries what the queue has to try.
    pub fn drain(&mut self) {
        while let Some(decided) = self.bench.engine.next(self.now) {
            match decided {
                Decided::Placed(_) => self.placed += 1,
                Decided::Waits { .. } => self.refused += 1,
            }
        }
    }

    /// One change from outside, and what the queue makes of it.
    pub fn event(&mut self) {
        let event = self.churn.any();
        self.bench.engine.apply_at(self.now, event);
        self.drain();
    }

    /// Lets every backoff end, and the queue settle again.
    pub fn settle(&mut self) {
        self.now += BACKOFF_OVER_MS;
        self.drain();
        self.now += BACKOFF_OVER_MS;
    }

    /// The node that the waiting pods of class 0 want comes, with room for all of them.
    pub fn help(&mut self, pods: i64) {
        let mut node = nodes::node(0);
        node.name = Str::from("help");
        node.labels = labels(&[("kubernetes.io/hostname", "help"), ("pool", "pool-0")]);
        node.allocatable.cpu = 2 * pods * CPU;
        node.allocatable.memory = 2 * pods * MEMORY;
        node.pods = 2 * pods;
        self.bench.engine.apply_at(self.now, Event::Node(Box::new(node)));
    }

    /// Sizes of the queue's parts.
    #[must_use]
    pub fn sizes(&self) -> QueueSizes {
        self.bench.engine.queue_sizes()
    }
}

fn waiting(class: usize) -> PodSpec {
    let app = format!("waiting-{class}");
    if class.is_multiple_of(2) {
        let pool = format!("pool-{class}");
        return PodSpec { node_selector: labels(&[("pool", &pool)]), ..plain(&[("app", &app)]) };
    }
    let more = i64::try_from(class).expect("few");
    PodSpec { requests: requests(TOO_MUCH_CPU + more, MEMORY), ..plain(&[("app", &app)]) }
}
