// SPDX-License-Identifier: Apache-2.0
//! What the choice of the backend does to the slowest requests: heavy-tailed load on 64 node-local balancers, half of the
//! backends slow. `cargo run --release -p berth-balancer-core --example tail_latency [SEEDS]`.

#[path = "../tests/simulation/mod.rs"]
mod simulation;

use berth_balancer_core::model::Algorithm;
use simulation::{Load, run};

const ROWS: [(&str, Algorithm, bool); 6] = [
    ("random", Algorithm::Random, false),
    ("round robin", Algorithm::RoundRobin, false),
    ("least connections", Algorithm::LeastConnections, false),
    ("power of two choices (P2C)", Algorithm::PowerOfTwo, false),
    ("P2C x peak EWMA", Algorithm::PeakEwma, false),
    ("P2C, true weights known", Algorithm::PowerOfTwo, true),
];

fn main() {
    let seeds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(3);
    println!("response times in mean request times, medians of {seeds} seeds");
    println!("{:28} {:>8} {:>8} {:>8}", "", "p50", "p99", "p99.9");
    for (name, algorithm, weigh) in ROWS {
        let runs: Vec<_> = (1..=seeds)
            .map(|seed| run(Load { seed, ..Load::default() }, algorithm, weigh))
            .collect();
        let median = |quantile| {
            let mut values: Vec<f64> = runs.iter().map(|run| run.quantile(quantile)).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        println!("{name:28} {:8.1} {:8.1} {:8.1}", median(0.5), median(0.99), median(0.999));
    }
}
