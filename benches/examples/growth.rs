// SPDX-License-Identifier: Apache-2.0
//! The slowest decisions while the number of pods grows: `cargo run --release -p berth-benches --example growth -- [NODES] [PODS]`.
//!
//! A table that moves all its pods when it is full would be seen here. Times are the thread's own: on a shared machine the clock
//! on the wall tells more of the neighbours.

use berth_benches::Names;
use berth_scheduler_core::{Engine, Options, Outcome};
use berth_scheduler_model::objects::Event;
use berth_scheduler_workload::{Rng, Row, Workload};
use rustix::time::{ClockId, clock_gettime};

/// The allocator of the binaries: it is part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// So many of the slowest are shown.
const SHOWN: usize = 8;

fn main() {
    let mut args = std::env::args().skip(1).map(|n| n.parse().expect("arguments are numbers"));
    let nodes = args.next().unwrap_or(100_000);
    let pods = args.next().unwrap_or(3_000_000);
    let vector = berth_scheduler_host::vector();
    let mut engine = Engine::new(Options { seed: 1, vector, ..Options::default() });
    let mut workload = Workload::new(Row::Basic, nodes, 0);
    for node in workload.nodes.drain(..) {
        engine.apply(Event::Node(Box::new(node)));
    }
    let (mut rng, mut names) = (Rng::new(1), Names::default());
    let mut slowest: Vec<(u64, usize)> = Vec::new();
    let began = micros();
    for serial in 0..pods {
        let spec = workload.next_spec(|n| rng.below(n));
        let id = names.of(serial as u64);
        let before = micros();
        let outcome = engine.place(id, &spec);
        let took = micros() - before;
        assert!(matches!(outcome, Outcome::Placed(_)), "there is room for all of them");
        slowest.push((took, serial));
        if slowest.len() == 2 * SHOWN {
            slowest.sort_unstable_by(|a, b| b.cmp(a));
            slowest.truncate(SHOWN);
        }
    }
    slowest.sort_unstable_by(|a, b| b.cmp(a));
    println!(
        "{pods} pods on {nodes} nodes in {} ms; the slowest decisions:",
        (micros() - began) / 1_000
    );
    for (took, serial) in slowest.iter().take(SHOWN) {
        println!("{took:8} us  with {serial} pods");
    }
}

/// Microseconds that this thread was on a processor.
fn micros() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    (time.tv_sec * 1_000_000 + time.tv_nsec / 1_000).unsigned_abs()
}
