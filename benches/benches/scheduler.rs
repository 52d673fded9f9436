// SPDX-License-Identifier: Apache-2.0
//! Decisions per second of the engine alone: every row at several sizes, and preemption.
//!
//! `cargo bench` runs what SPECIFICATION.md promises; `cargo bench -- place/basic` some of it; with `BERTH_BENCH_ALL=1` every
//! row also on 100,000 nodes. `cargo bench -- --save-baseline NAME`, later `-- --baseline NAME`, compares two states of the code.
//! A run in which a pod is refused fails, except in the row that is about refusals.

use berth_benches::{Bench, Budgets, Preemption};
use berth_scheduler_core::Options;
use berth_scheduler_workload::Row;
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use std::time::Duration;

/// The allocator of the binaries: it is part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Nodes of every row.
const SIZES: [usize; 3] = [1_000, 5_000, 15_000];
/// Nodes of the rows that are promised at that size.
const LARGE: usize = 100_000;
/// Rows promised on that many nodes.
const ROWS_LARGE: [Row; 3] = [Row::Basic, Row::NeverSeenLabels, Row::NeverSeenRequests];
/// Share of the CPU that is taken when the measurement begins.
const FILLED_PERCENT: usize = 70;

fn all() -> bool {
    std::env::var_os("BERTH_BENCH_ALL").is_some_and(|value| value != "0")
}

/// Enough for medians that repeat within a few percent, short enough that all rows take minutes.
fn tune(group: &mut BenchmarkGroup<'_, WallTime>) {
    group
        .throughput(Throughput::Elements(1))
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
}

fn place(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("place");
    tune(&mut group);
    for row in Row::ALL.into_iter().chain([Row::Unschedulable]) {
        let large = (all() || ROWS_LARGE.contains(&row)).then_some(LARGE);
        for nodes in SIZES.into_iter().chain(large) {
            // Filled when it is first asked for: rows that are filtered out cost nothing.
            let mut filled: Option<Bench> = None;
            group.bench_function(BenchmarkId::new(row.name(), nodes), |bencher| {
                let bench = filled.get_or_insert_with(|| Bench::new(row, nodes, FILLED_PERCENT, 1));
                bencher.iter(|| bench.turn());
            });
            if let Some(bench) = filled {
                let refused = bench.refused > 0;
                assert_eq!(
                    refused,
                    row == Row::Unschedulable,
                    "{}: {} refused",
                    row.name(),
                    bench.refused
                );
            }
        }
    }
    group.finish();
}

fn preempt(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("preempt");
    tune(&mut group);
    for (name, budgets) in [("without-budgets", Budgets::None), ("with-10-budgets", Budgets::Ten)] {
        for nodes in SIZES.into_iter().chain(all().then_some(LARGE)) {
            let mut filled: Option<Preemption> = None;
            group.bench_function(BenchmarkId::new(name, nodes), |bencher| {
                let preemption = filled.get_or_insert_with(|| {
                    let vector = berth_scheduler_host::vector();
                    Preemption::new(
                        nodes,
                        budgets,
                        Options { seed: 1, vector, ..Options::default() },
                    )
                });
                bencher.iter(|| preemption.turn());
            });
            if let Some(preemption) = filled {
                assert_eq!(preemption.refused, 0, "{name}: every pod finds victims");
            }
        }
    }
    group.finish();
}

criterion_group!(benches, place, preempt);
criterion_main!(benches);
