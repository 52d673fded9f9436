// SPDX-License-Identifier: Apache-2.0
//! Compares the engine with the naive scheduler until they differ, or until so many events: `compare EVENTS`.
//!
//! Looks first at the seeds whose runs are of a special kind.

use berth_scheduler_simulation::{Coverage, Scenario, first_difference};
use std::process::ExitCode;

fn main() -> ExitCode {
    let events: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let special = [50, 100, 150, 200, 250];
    let mut coverage = Coverage::default();
    for seed in special.into_iter().chain((1..).filter(|seed| !special.contains(seed))) {
        match first_difference(&Scenario::new(seed)) {
            Ok(run) => coverage.add(&run),
            Err(difference) => {
                println!("seed {seed} differs after {} events in {difference}", coverage.events);
                return ExitCode::from(2);
            }
        }
        if coverage.events >= events {
            break;
        }
    }
    println!("no difference: {coverage}");
    ExitCode::SUCCESS
}
