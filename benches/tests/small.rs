// SPDX-License-Identifier: Apache-2.0
//! Every bench body on a small cluster: it refuses nothing, and decides the same whatever the machine can do, and the same as
//! when its digest was written down.
//!
//! A change that is meant to decide otherwise writes them anew: `BERTH_BLESS=1 cargo test -p berth-benches --test small`.

use berth_benches::{Bench, Budgets, Crowd, Preemption};
use berth_scheduler_core::{Options, Vector};
use berth_scheduler_workload::Row;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

const NODES: usize = 200;

fn options(vector: Vector, hash_seed: u64) -> Options {
    Options { seed: 7, hash_seed, vector, ..Options::default() }
}

/// The digest of a run, which must be the same with other vector instructions and other seeds of hash tables.
fn digest(name: &str, run: impl Fn(Options) -> u64) -> u64 {
    let digest = run(options(berth_scheduler_host::vector(), 0));
    assert_eq!(digest, run(options(Vector::BASELINE, 0)), "{name}: without vector instructions");
    assert_eq!(digest, run(options(Vector::BASELINE, 4_711)), "{name}: with another hash seed");
    for threads in [2, 3] {
        let parallel = berth_scheduler_host::threads(threads).expect("threads start");
        let options = Options { parallel, ..options(berth_scheduler_host::vector(), 0) };
        assert_eq!(digest, run(options), "{name}: on {threads} threads");
    }
    compare(name, digest);
    digest
}

/// One bench at a time reads and writes the file.
static FILE: Mutex<()> = Mutex::new(());

fn compare(name: &str, digest: u64) {
    let _one = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/digests.txt");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let mut known: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(n, d)| (n.trim(), d)).collect();
    let digest = format!("{digest:016x}");
    println!("{name:28} {digest}");
    if env::var_os("BERTH_BLESS").is_some() {
        known.insert(name, &digest);
        let lines: Vec<String> = known.iter().map(|(n, d)| format!("{n:28} {d}\n")).collect();
        fs::write(&path, lines.concat()).expect("the file can be written");
    } else {
        assert_eq!(
            known.get(name),
            Some(&digest.as_str()),
            "{name}: decides otherwise than before"
        );
    }
}

#[test]
fn many_nodes_are_scanned_by_several_threads() {
    // Every pod is a class of its own, and scans all nodes; with so many, threads share them out.
    let run = |threads| {
        let parallel = berth_scheduler_host::threads(threads).expect("threads start");
        let options = Options { parallel, ..options(berth_scheduler_host::vector(), 0) };
        let mut bench = Bench::with(Row::NeverSeenRequests, 20_000, 1, options);
        for _ in 0..500 {
            bench.turn();
        }
        bench.digest.value()
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(1), run(5));
}

#[test]
fn every_row_places_and_releases() {
    for row in Row::ALL.into_iter().chain([Row::Unschedulable]) {
        digest(&row.name(), |options| {
            let mut bench = Bench::with(row, NODES, 70, options);
            assert_eq!(bench.refused, 0, "{}: filling refuses nothing", row.name());
            for _ in 0..2_000 {
                bench.turn();
            }
            let wanted = if row == Row::Unschedulable { 2_000 } else { 0 };
            assert_eq!(bench.refused, wanted, "{}", row.name());
            bench.digest.value()
        });
    }
}

#[test]
fn preemption_finds_victims_and_places() {
    let run = |budgets: Budgets| {
        move |options: Options| {
            let mut preemption = Preemption::new(NODES, budgets, options);
            for _ in 0..500 {
                preemption.turn();
            }
            assert_eq!(preemption.refused, 0);
            preemption.digest.value()
        }
    };
    let without = digest("preempt without budgets", run(Budgets::None));
    let with = digest("preempt with 10 budgets", run(Budgets::Ten));
    assert_ne!(without, with, "budgets make a difference");
}

#[test]
fn a_node_that_helps_places_its_class_and_no_other() {
    let (pods, classes) = (2_000, 20);
    let mut crowd = Crowd::new(NODES, pods, classes, 7);
    assert_eq!(crowd.placed, 0);
    assert_eq!(crowd.sizes().unschedulable, pods);
    assert_eq!(crowd.refused, classes as u64, "one of each class is tried, not each pod");
    for _ in 0..1_000 {
        crowd.event();
        crowd.bench.turn();
    }
    assert_eq!(crowd.placed, 0, "nothing that happens helps them");
    crowd.settle();
    crowd.help(i64::try_from(pods / classes).unwrap());
    crowd.drain();
    assert_eq!(crowd.placed, (pods / classes) as u64);
    assert_eq!(crowd.bench.refused, 0);
}
