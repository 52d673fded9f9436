// SPDX-License-Identifier: Apache-2.0
//! The engine under a row's load, in process: shared by the criterion benches, the instruction-count gate and their tests.
#![forbid(unsafe_code)]

use berth_scheduler_core::{Engine, Options, Outcome, PodId};
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_workload::{Rng, Row, Workload, rows};
use std::fmt::Write;
use std::sync::Arc;

/// An engine filled with a row's pods, ready to place one pod and release another, again and again.
#[derive(Debug)]
pub struct Bench {
    /// The engine.
    pub engine: Engine,
    workload: Workload,
    rng: Rng,
    /// Serial numbers of the pods that are placed.
    placed: Vec<u64>,
    serial: u64,
    uid: String,
    name: String,
    /// Pods refused so far.
    pub refused: u64,
}

impl Bench {
    /// Fills a cluster of `nodes` nodes to `percent` of its CPU.
    #[must_use]
    pub fn new(row: Row, nodes: usize, percent: usize, seed: u64) -> Self {
        let mut workload = Workload::new(row, nodes, percent);
        let options = Options { seed, vector: berth_scheduler_host::vector(), ..Options::default() };
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
            rng: Rng::new(seed),
            placed: Vec::with_capacity(fill + 1),
            serial: 0,
            uid: String::new(),
            name: String::new(),
            refused: 0,
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
        let spec = self.next_spec();
        self.serial += 1;
        write_uid(&mut self.uid, self.serial);
        self.name.clear();
        write!(self.name, "app-{:09}", self.serial).expect("writing to a string");
        let id = PodId { uid: &self.uid, namespace: rows::namespace(), name: &self.name };
        let placed = matches!(self.engine.place(id, &spec), Outcome::Placed(_));
        if placed {
            self.placed.push(self.serial);
        } else {
            self.refused += 1;
        }
        placed
    }

    /// Releases a pod drawn uniformly at random.
    pub fn release(&mut self) {
        let at = self.rng.below(self.placed.len());
        let serial = self.placed.swap_remove(at);
        write_uid(&mut self.uid, serial);
        let released = self.engine.release(&self.uid);
        assert!(released, "a placed pod is known");
    }

    /// Number of pods placed now.
    #[must_use]
    pub fn placed(&self) -> usize {
        self.placed.len()
    }
}

/// A uid of the usual length that tells the serial number.
fn write_uid(uid: &mut String, serial: u64) {
    uid.clear();
    let scattered = serial.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (a, b) = (scattered >> 32, scattered & 0xffff_ffff);
    write!(uid, "{a:08x}-{:04x}-4{:03x}-8{:03x}-{serial:012x}", b >> 16, b >> 4 & 0xfff, b & 0xfff)
        .expect("writing to a string");
}
