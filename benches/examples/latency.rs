// SPDX-License-Identifier: Apache-2.0
//! How long single decisions take while a node changes every millisecond:
//! `cargo run --release -p berth-benches --example latency -- [NODES] [SECONDS] [ROW...]`.
//!
//! One thread does all of it, as the service's sequencer does: decisions back to back, a change whenever one is due. Columns
//! are quantiles of a decision alone, and of a change alone, in microseconds.

use berth_benches::{Bench, Churn};
use berth_scheduler_workload::Row;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// The allocator of the binaries: it is part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVERY: Duration = Duration::from_millis(1);

fn main() {
    let mut args = std::env::args().skip(1);
    let nodes: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(5_000);
    let seconds: u64 = args.next().and_then(|n| n.parse().ok()).unwrap_or(5);
    let wanted: Vec<String> = args.collect();
    println!("{:26} {:>9} {:>8} {:>8} {:>8} {:>8}", "", "count", "p50", "p99", "p99.9", "max");
    for row in Row::ALL {
        if wanted.is_empty() || wanted.contains(&row.name()) {
            let (decisions, changes) = measure(row, nodes, Duration::from_secs(seconds));
            print(&row.name(), &decisions);
            print("  node changes", &changes);
        }
    }
}

fn measure(row: Row, nodes: usize, time: Duration) -> (Histogram<u64>, Histogram<u64>) {
    let mut bench = Bench::new(row, nodes, 70, 1);
    let mut churn = Churn::new(nodes, 1);
    let new = || Histogram::new(3).expect("three digits are possible");
    let (mut decisions, mut changes) = (new(), new());
    let start = Instant::now();
    let mut due = start + EVERY;
    let mut before = start;
    while before < start + time {
        if before >= due {
            let event = churn.node();
            before = Instant::now();
            bench.engine.apply(event);
            before = noted(&mut changes, before);
            due += EVERY;
        }
        let placed = bench.place();
        noted(&mut decisions, before);
        if placed {
            bench.release();
        }
        before = Instant::now();
    }
    (decisions, changes)
}

fn noted(histogram: &mut Histogram<u64>, since: Instant) -> Instant {
    let now = Instant::now();
    let nanos = u64::try_from((now - since).as_nanos()).expect("less than centuries");
    histogram.record(nanos).expect("the histogram grows");
    now
}

#[expect(clippy::cast_precision_loss, reason = "microseconds to one digit")]
fn print(name: &str, histogram: &Histogram<u64>) {
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), histogram.max() as f64 / 1_000.0);
    println!("{name:26} {:>9} {p50:>8.1} {p99:>8.1} {p999:>8.1} {max:>8.1}", histogram.len());
}
