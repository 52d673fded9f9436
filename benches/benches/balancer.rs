// SPDX-License-Identifier: Apache-2.0
//! The balancer's core: choices per algorithm, tables made and changed, flows, affinity, parsers.
//!
//! `cargo bench -p berth-benches --bench balancer -- pick` runs some of it.

use berth_balancer_core::model::{Algorithm, HashKey, ProxyProtocol};
use berth_benches::balancer::{
    ALGORITHMS, Changes, Choices, Clients, Flows, compile, config, headers, parse,
};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use std::time::Duration;

/// The allocator of the binaries: it is part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The size that is promised.
const SERVICES: u32 = 10_000;
const ENDPOINTS: u32 = 10;

fn pick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for (name, algorithm) in ALGORITHMS {
        for endpoints in [10, 1_000] {
            let mut choices = None;
            group.bench_function(BenchmarkId::new(name, endpoints), |bencher| {
                let choices = choices.get_or_insert_with(|| Choices::new(1, endpoints, algorithm));
                bencher.iter(|| choices.pick());
            });
        }
    }
    group.finish();
    let mut group = criterion.benchmark_group("table");
    let mut filled = None;
    let new = || Choices::new(SERVICES, ENDPOINTS, Algorithm::PeakEwma);
    group.bench_function("lookup/10000x10", |bencher| {
        let choices = filled.get_or_insert_with(new);
        bencher.iter(|| choices.lookup());
    });
    group.bench_function("connection/10000x10", |bencher| {
        let choices = filled.get_or_insert_with(new);
        bencher.iter(|| choices.connection());
    });
    group.finish();
}

fn table(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table");
    group.sample_size(10);
    group.bench_function("build/10000x10", |bencher| {
        let config = config(SERVICES, ENDPOINTS, Algorithm::PeakEwma);
        bencher.iter_batched(|| config.clone(), compile, BatchSize::PerIteration);
    });
    for (name, algorithm) in
        [("p2c-peak-ewma", Algorithm::PeakEwma), ("maglev", Algorithm::Maglev(HashKey::Flow))]
    {
        let mut changes = None;
        group.bench_function(BenchmarkId::new("change/10000x10", name), |bencher| {
            let changes =
                changes.get_or_insert_with(|| Changes::new(SERVICES, ENDPOINTS, algorithm));
            bencher.iter(|| changes.turn());
        });
    }
    let mut changes = None;
    group.bench_function("change/1x100000", |bencher| {
        let changes = changes.get_or_insert_with(|| Changes::new(1, 100_000, Algorithm::PeakEwma));
        bencher.iter(|| changes.turn());
    });
    group.finish();
}

fn sources(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flows");
    for count in [1_000, 1_000_000] {
        let mut flows = None;
        group.bench_function(BenchmarkId::new("lookup", count), |bencher| {
            let flows = flows.get_or_insert_with(|| Flows::new(count));
            bencher.iter(|| flows.lookup());
        });
        let mut flows = None;
        group.bench_function(BenchmarkId::new("insert-full", count), |bencher| {
            let flows = flows.get_or_insert_with(|| Flows::new(count));
            bencher.iter(|| flows.insert());
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("affinity");
    for count in [1_000, 1_000_000] {
        let mut clients = None;
        group.bench_function(BenchmarkId::new("lookup", count), |bencher| {
            let clients = clients.get_or_insert_with(|| Clients::new(count));
            bencher.iter(|| clients.lookup());
        });
    }
    group.finish();
}

fn parsers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proxy");
    for header in headers() {
        let name = if header.0 == ProxyProtocol::V1 { "parse/v1" } else { "parse/v2" };
        group.bench_function(name, |bencher| {
            bencher.iter(|| parse(std::hint::black_box(&header)));
        });
    }
    group.finish();
}

/// Enough for medians that repeat within a few percent.
fn configured() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = configured();
    targets = pick, table, sources, parsers
}
criterion_main!(benches);
