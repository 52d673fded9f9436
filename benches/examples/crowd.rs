// SPDX-License-Identifier: Apache-2.0
//! What a crowd of unschedulable pods costs: `cargo run --release -p berth-benches --example crowd -- [NODES] [PODS]`.
//!
//! Decisions per second with 10,000 changes a second, without waiting pods and with them; then how long it takes to place a
//! thousand of them once a node comes that they want.

use berth_benches::Crowd;
use std::time::{Duration, Instant};

/// The allocator of the binaries: it is part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLASSES: usize = 100;
const EVERY: Duration = Duration::from_micros(100);
const TIME: Duration = Duration::from_secs(3);
/// The engine's time at the start: what was tried while the queue was filled has ended its backoff.
const FROM_MS: u64 = 60_000;

fn main() {
    let mut args = std::env::args().skip(1);
    let nodes: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(5_000);
    let pods: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let alone = rate(&mut Crowd::new(nodes, 0, 1, 1));
    println!("{alone:>10.0} decisions/s without waiting pods, 10,000 changes/s");
    let mut crowd = Crowd::new(nodes, pods, CLASSES, 1);
    let beside = rate(&mut crowd);
    let drop = 100.0 * (1.0 - beside / alone);
    println!(
        "{beside:>10.0} decisions/s beside {pods} waiting pods of {CLASSES} classes: {drop:.1} % fewer"
    );
    println!("           {} of them were tried again in vain, {:?}", crowd.refused, crowd.sizes());

    crowd.settle();
    let each = pods / CLASSES;
    let before = crowd.placed;
    let start = Instant::now();
    crowd.help(i64::try_from(each).expect("small"));
    crowd.drain();
    let took = start.elapsed();
    let placed = crowd.placed - before;
    println!(
        "{:>10.1} ms until the node that {each} of them want has {placed}",
        took.as_secs_f64() * 1e3
    );
    assert_eq!(placed, each as u64, "all of them are placed");
}

#[expect(clippy::cast_precision_loss, reason = "prints rates to a few digits")]
fn rate(crowd: &mut Crowd) -> f64 {
    let start = Instant::now();
    let mut due = start + EVERY;
    let mut turns = 0_u64;
    loop {
        let now = Instant::now();
        if now >= start + TIME {
            return turns as f64 / start.elapsed().as_secs_f64();
        }
        crowd.now = FROM_MS + u64::try_from((now - start).as_millis()).expect("seconds");
        while due <= now {
            crowd.event();
            due += EVERY;
        }
        // A few at a time: reading the clock takes as long as a tenth of a decision.
        for _ in 0..8 {
            crowd.bench.turn();
            turns += 1;
        }
    }
}
