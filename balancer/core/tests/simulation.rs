// SPDX-License-Identifier: Apache-2.0
//! Under a virtual clock: the order of the algorithms by their slowest requests, and what hashing moves when a backend goes.

mod fixture;
#[path = "simulation/mod.rs"]
mod load;

use berth_balancer_core::Change;
use berth_balancer_core::Worker;
use berth_balancer_core::model::{Algorithm, HashKey};
use fixture::{compiled, endpoints, frontend, picks, with};
use load::{Latencies, Load, run};

fn median_p99(algorithm: Algorithm, weigh: bool) -> f64 {
    let load = |seed| Load { seed, requests: 100_000, ..Load::default() };
    let mut all: Vec<f64> =
        (1..=3).map(|seed| run(load(seed), algorithm, weigh).quantile(0.99)).collect();
    all.sort_by(f64::total_cmp);
    all[1]
}

#[test]
fn slowest_requests_go_by_what_a_balancer_knows() {
    let random = median_p99(Algorithm::Random, false);
    let round_robin = median_p99(Algorithm::RoundRobin, false);
    let least = median_p99(Algorithm::LeastConnections, false);
    let two = median_p99(Algorithm::PowerOfTwo, false);
    let ewma = median_p99(Algorithm::PeakEwma, false);
    let known = median_p99(Algorithm::PowerOfTwo, true);
    println!("random {random:.0}, round robin {round_robin:.0}, least {least:.0}, two {two:.0}");
    println!("ewma {ewma:.0}, true weights {known:.0}");
    assert!(known < ewma, "knowing the truth beats learning it");
    assert!(ewma < 0.8 * two, "latencies tell more than connections alone");
    assert!(two < 0.3 * round_robin, "connections tell more than nothing");
    assert!(least < 0.3 * random);
    assert!(two < 2.0 * least, "two choices are nearly as good as looking at all");
}

#[test]
fn where_all_backends_are_alike_the_latency_does_no_harm() {
    let load = |algorithm| {
        let load = Load { slow: 1, requests: 100_000, ..Load::default() };
        run(load, algorithm, false).quantile(0.99)
    };
    let (two, ewma) = (load(Algorithm::PowerOfTwo), load(Algorithm::PeakEwma));
    let round_robin = load(Algorithm::RoundRobin);
    println!("two {two:.1}, ewma {ewma:.1}, round robin {round_robin:.1}");
    assert!(ewma < 1.3 * two);
    assert!(ewma < round_robin);
}

#[test]
fn one_seed_gives_one_run() {
    let text = |seed| {
        let load = Load { seed, requests: 5_000, ..Load::default() };
        let latencies: Latencies = run(load, Algorithm::PeakEwma, false);
        format!("{latencies:?}")
    };
    assert_eq!(text(3), text(3));
    assert_ne!(text(3), text(4));
}

/// Of 50,000 clients, how many in a thousand have another backend afterwards though theirs is still there, and how many had the
/// one that went.
fn moved(
    algorithm: Algorithm,
    go: impl FnOnce(&mut berth_balancer_core::Compiler),
) -> (usize, usize) {
    let mut compiler = compiled(with(algorithm), endpoints(20));
    let all = |compiler: &berth_balancer_core::Compiler| {
        picks(&mut Worker::new(1), &frontend(compiler), 50_000, 0).expect("somebody serves")
    };
    let before = all(&compiler);
    go(&mut compiler);
    let after = all(&compiler);
    assert!(after.iter().all(|name| name != "e007"));
    let pairs = || before.iter().zip(&after);
    let moved = pairs().filter(|(old, new)| *old != "e007" && old != new).count();
    let had = before.iter().filter(|name| *name == "e007").count();
    (moved / 50, had / 50)
}

#[test]
fn hashing_moves_few_clients_when_a_backend_goes() {
    let remove = |compiler: &mut berth_balancer_core::Compiler| {
        let change = Change::RemoveEndpoint { service: "web".into(), endpoint: "e007".into() };
        compiler.apply(change, 1).expect("it is there");
    };
    let fail = |compiler: &mut berth_balancer_core::Compiler| {
        let (service, endpoint) = ("web".into(), "e007".into());
        let change = Change::Health { service, endpoint, port: "".into(), healthy: false };
        compiler.apply(change, 1).expect("it is there");
    };
    let (maglev, ring) = (Algorithm::Maglev(HashKey::Source), Algorithm::RingHash(HashKey::Source));
    let (others, own) = moved(maglev, remove);
    println!("Maglev: {others} of 1,000 moved beside the {own} that had to");
    assert!(others < 40 && (40..60).contains(&own), "{others}, {own}");
    let (others, own) = moved(ring, remove);
    println!("ring: {others} of 1,000 moved beside the {own} that had to");
    assert!(others == 0 && (30..70).contains(&own), "{others}, {own}");
    // While it is only unhealthy nobody else moves at all, and its clients come back to it.
    assert_eq!(moved(maglev, fail).0, 0);
    assert_eq!(moved(ring, fail).0, 0);
    let (others, _) = moved(Algorithm::RoundRobin, remove);
    assert!(others > 800, "round robin is no hashing: {others}");
}
