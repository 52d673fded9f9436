// SPDX-License-Identifier: Apache-2.0
//! Prints placements per second of the rows, quickly and roughly: `cargo run --release --example rows -- [NODES] [ROW...]`.
//!
//! `BERTH_THREADS=2` has the engine use so many threads; rates are then those of the clock on the wall.

use berth_benches::Bench;
use berth_scheduler_core::Options;
use berth_scheduler_workload::Row;
use std::time::{Duration, Instant};

/// The allocator of the binaries: it is part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::cast_precision_loss, reason = "prints rates to a few digits")]
fn main() {
    let mut args = std::env::args().skip(1);
    let nodes: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(5_000);
    let wanted: Vec<String> = args.collect();
    let threads = std::env::var("BERTH_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let parallel = berth_scheduler_host::threads(threads).expect("threads start");
    let began = Instant::now();
    let clock = || if threads > 1 { began.elapsed() } else { on_cpu() };
    for row in Row::ALL.into_iter().chain([Row::Unschedulable]) {
        if !wanted.is_empty() && !wanted.contains(&row.name()) {
            continue;
        }
        let start = Instant::now();
        let options = Options {
            seed: 1,
            vector: berth_scheduler_host::vector(),
            parallel: parallel.clone(),
            ..Options::default()
        };
        let mut bench = Bench::with(row, nodes, 70, options);
        let filled = start.elapsed();
        let (placed, fill_refused) = (bench.placed(), bench.refused);
        bench.refused = 0;
        let mut best = f64::MAX;
        let rounds = if nodes > 20_000 { 20_000 } else { 50_000 };
        for _ in 0..7 {
            let start = clock();
            for _ in 0..rounds {
                bench.turn();
            }
            best = best.min(clock().saturating_sub(start).as_secs_f64());
        }
        println!(
            "{:28} {:>10.0}/s  fill {placed} pods in {:.2}s ({:.0}/s, refused {fill_refused}) refused {}",
            row.name(),
            f64::from(rounds) / best,
            filled.as_secs_f64(),
            placed as f64 / filled.as_secs_f64(),
            bench.refused,
        );
    }
}

/// Time that this thread was on a processor: on a shared machine the clock on the wall tells more of the neighbours.
fn on_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanos)
}
