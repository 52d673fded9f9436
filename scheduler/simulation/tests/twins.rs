// SPDX-License-Identifier: Apache-2.0
//! An engine that lists best nodes decides as one that looks at all nodes each time. `BERTH_LONG=1` runs ten times as many.

use berth_scheduler_simulation::Twins;
use berth_scheduler_workload::Row;

#[test]
fn lists_of_best_nodes_change_no_answer() {
    let long = std::env::var_os("BERTH_LONG").is_some_and(|value| value != "0");
    let seeds = if long { 40 } else { 4 };
    for row in Row::ALL.into_iter().chain([Row::Unschedulable]) {
        for seed in 0..seeds {
            let nodes = [40, 130, 400][usize::try_from(seed % 3).expect("below 3")];
            let turns = if matches!(row, Row::Classes(1_000)) { 8_000 } else { 4_000 };
            let twins = Twins { row, seed, nodes, turns };
            if let Err(difference) = twins.run() {
                panic!("{difference}");
            }
        }
    }
}
