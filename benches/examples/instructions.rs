// SPDX-License-Identifier: Apache-2.0
//! A hot loop for a counter of instructions: `instructions ROW TURNS`. `.ci/instructions` runs it under valgrind. A row of the
//! scheduler places pods; one that begins with `balancer-` is about the balancer.
//!
//! Only instructions that every machine has, since valgrind does not know the newest ones, and seeds that never change.

use berth_balancer_core::model::Algorithm;
use berth_benches::Bench;
use berth_benches::balancer::{Changes, Choices, Flows};
use berth_scheduler_core::{Options, Vector};
use berth_scheduler_workload::Row;

const NODES: usize = 1_000;
/// Placements before the count begins: classes are compiled, buffers have grown.
const WARM_UP: usize = 2_000;

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().expect("the first argument is a row");
    let turns: usize = args.next().and_then(|n| n.parse().ok()).expect("then a number");
    if let Some(row) = name.strip_prefix("balancer-") {
        println!("{name} {:016x}", balancer(row, turns));
        return;
    }
    let row = Row::by_name(&name).expect("the first argument is a row");
    let options = Options { seed: 1, vector: Vector::BASELINE, ..Options::default() };
    let mut bench = Bench::with(row, NODES, 70, options);
    for _ in 0..WARM_UP + turns {
        bench.turn();
    }
    println!("{} {:016x}", row.name(), bench.digest.value());
}

/// Turns of a row of the balancer, and a number that follows from all of them.
fn balancer(row: &str, turns: usize) -> u64 {
    let repeat = |turn: &mut dyn FnMut() -> u64| {
        (0..turns).fold(0_u64, |sum, _| sum.wrapping_mul(31).wrapping_add(turn()))
    };
    let choices = |endpoints| Choices::new(200, endpoints, Algorithm::PeakEwma);
    match row {
        "pick" => {
            let mut choices = choices(10);
            repeat(&mut || choices.pick())
        }
        "lookup" => {
            let mut choices = choices(2);
            repeat(&mut || choices.lookup())
        }
        "connection" => {
            let mut choices = choices(10);
            repeat(&mut || choices.connection())
        }
        "change" => {
            let mut changes = Changes::new(1_000, 10, Algorithm::PeakEwma);
            repeat(&mut || changes.turn())
        }
        "flow" => {
            let mut flows = Flows::new(10_000);
            repeat(&mut || flows.lookup())
        }
        _ => unreachable!("a row is pick, lookup, connection, change or flow"),
    }
}
