// SPDX-License-Identifier: Apache-2.0
//! A hot loop for a counter of instructions: `instructions ROW PLACEMENTS`. `.ci/instructions` runs it under valgrind.
//!
//! Only instructions that every machine has, since valgrind does not know the newest ones, and seeds that never change.

use berth_benches::Bench;
use berth_scheduler_core::{Options, Vector};
use berth_scheduler_workload::Row;

const NODES: usize = 1_000;
/// Placements before the count begins: classes are compiled, buffers have grown.
const WARM_UP: usize = 2_000;

fn main() {
    let mut args = std::env::args().skip(1);
    let row =
        args.next().and_then(|name| Row::by_name(&name)).expect("the first argument is a row");
    let placements: usize = args.next().and_then(|n| n.parse().ok()).expect("then a number");
    let options = Options { seed: 1, vector: Vector::BASELINE, ..Options::default() };
    let mut bench = Bench::with(row, NODES, 70, options);
    for _ in 0..WARM_UP + placements {
        bench.turn();
    }
    println!("{} {:016x}", row.name(), bench.digest.value());
}
