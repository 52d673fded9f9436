// SPDX-License-Identifier: Apache-2.0
//! The engine alone, in this process: the same row without gRPC.

use super::phase::Until;
use super::rows::Work;
use super::run::Plan;
use crate::report::count;
use berth_benches::{Bench, Budgets, Preemption};
use berth_scheduler_core::Options;
use std::time::{Duration, Instant};

/// Turns between two looks at the clock.
const TURNS: u32 = 500;

/// How long at least where a number of pods was asked for.
const SHORT: Duration = Duration::from_millis(500);

/// Decisions a second: the median of rounds of `TURNS`. A turn is one decision and, where a pod was placed, the release of
/// another; with preemption, all that leaves the cluster as full as it was.
pub fn decisions_per_second(plan: &Plan<'_>) -> f64 {
    let time = match plan.until {
        Until::Time(time) => time,
        Until::Pods(_) => SHORT,
    };
    match plan.scenario.work {
        Work::Row(row) => {
            let mut bench = Bench::new(row, plan.nodes, plan.fill, plan.seed);
            median(time, || bench.turn())
        }
        Work::Preemption { budgets } => {
            let budgets = if budgets { Budgets::Ten } else { Budgets::None };
            let vector = berth_scheduler_host::vector();
            let options = Options { seed: plan.seed, vector, ..Options::default() };
            let mut bench = Preemption::new(plan.nodes, budgets, options);
            median(time, || bench.turn())
        }
    }
}

fn median(time: Duration, mut turn: impl FnMut()) -> f64 {
    let mut rounds = Vec::new();
    let began = Instant::now();
    while rounds.is_empty() || began.elapsed() < time {
        let round = Instant::now();
        (0..TURNS).for_each(|_| turn());
        rounds.push(round.elapsed());
    }
    rounds.sort_unstable();
    count(u64::from(TURNS)) / rounds[rounds.len() / 2].as_secs_f64()
}
