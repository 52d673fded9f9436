// SPDX-License-Identifier: Apache-2.0
//! What a large state takes: `cargo run --release -p berth-benches --example memory -- [NODES] [PLACED] [PENDING] [CLASSES]`.
//!
//! The engine alone, without service and journal. Figures are resident MiB of this process after each part.

use berth_benches::Bench;
use berth_scheduler_core::{Engine, Options, PodId};
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_workload::specs::{MEMORY, labels, plain, requests};
use berth_scheduler_workload::{Row, nodes, rows};
use std::sync::Arc;

/// The allocator of the binaries: it is part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut args = std::env::args().skip(1).map(|n| n.parse().expect("arguments are numbers"));
    let nodes = args.next().unwrap_or(100_000);
    let placed: usize = args.next().unwrap_or(1_000_000);
    let pending = args.next().unwrap_or(100_000);
    let classes = args.next().unwrap_or(1_000);
    show("before anything", &Engine::new(Options::default()));

    // Pods of the row ask for a tenth of a CPU on average.
    let percent = placed * 100 * 100 / (nodes * usize::try_from(nodes::CPU).expect("small"));
    let mut bench = Bench::new(Row::Classes(classes), nodes, percent, 1);
    let what = format!("{nodes} nodes, {} pods of {classes} classes", bench.placed());
    show(&what, &bench.engine);

    let specs: Vec<Arc<PodSpec>> = (0..100).map(|i| Arc::new(waiting(i))).collect();
    for i in 0..pending {
        let uid = format!("4d5f11d0-0000-4000-8000-{i:012x}");
        let name = format!("waiting-{i}");
        let id = PodId { uid: &uid, namespace: rows::namespace(), name: &name };
        bench.engine.enqueue(1, id, &specs[i % specs.len()]).expect("uids are new");
    }
    while bench.engine.next(1).is_some() {}
    show(&format!("and {pending} pods that wait"), &bench.engine);
    for _ in 0..100_000 {
        bench.turn();
    }
    show("after 100,000 placements and releases", &bench.engine);
    assert_eq!(bench.refused, 0, "nothing is refused");
}

fn waiting(class: i64) -> PodSpec {
    let pool = format!("pool-{class}");
    let requests = requests(100 + class, MEMORY);
    PodSpec { requests, node_selector: labels(&[("pool", &pool)]), ..plain(&[("app", "waits")]) }
}

fn show(what: &str, engine: &Engine) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = |line: &str| line.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse().ok();
    let kib: usize = status.lines().find_map(resident).unwrap_or(0);
    println!("{:6} MiB  {what} (classes: {} MiB)", kib >> 10, engine.class_bytes() >> 20);
}
