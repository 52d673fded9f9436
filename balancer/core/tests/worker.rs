// SPDX-License-Identifier: Apache-2.0
//! What a worker chooses, and what it remembers.

mod fixture;

use berth_balancer_core::model::{
    Algorithm, Cidr, Distribution, HashKey, Limits, Node, Outlier, Rate, Settings, SlowStart,
};
use berth_balancer_core::table::{BackendId, Frontend, Via};
use berth_balancer_core::{Change, Compiler, Prefer, Refusal, Request, Worker};
use fixture::{
    MILLISECOND, SECOND, backend, compiled, compiled_on, counts, eject, endpoint, endpoints,
    from_client, frontend, picks, request, with,
};

const ALL: [Algorithm; 9] = [
    Algorithm::PeakEwma,
    Algorithm::PowerOfTwo,
    Algorithm::LeastConnections,
    Algorithm::RoundRobin,
    Algorithm::SmoothWeighted,
    Algorithm::Maglev(HashKey::Source),
    Algorithm::Maglev(HashKey::Flow),
    Algorithm::RingHash(HashKey::Source),
    Algorithm::Random,
];

fn unhealthy(compiler: &mut Compiler, name: &str) {
    let (service, endpoint) = ("web".into(), name.into());
    let change = Change::Health { service, endpoint, port: "".into(), healthy: false };
    compiler.apply(change, 1).expect("it is there");
}

fn seen(frontend: &Frontend, counts: &[usize]) -> Vec<String> {
    let all = frontend.backends.iter().zip(counts).filter(|(_, count)| **count > 0);
    all.map(|(backend, _)| backend.name().to_string()).collect()
}

#[test]
fn every_algorithm_passes_over_the_ejected_the_unhealthy_the_full_and_the_tried() {
    for algorithm in ALL {
        let limits = Limits { connections_per_endpoint_max: Some(1), ..Limits::default() };
        let settings = Settings { limits, ..with(algorithm) };
        let mut compiler = compiled(settings, endpoints(5));
        unhealthy(&mut compiler, "e001");
        let frontend = frontend(&compiler);
        let mut worker = Worker::new(3);
        let id = |name| backend(&frontend, name).id;
        eject(&mut worker, &compiler, id("e000"), SECOND);
        // Another worker has the only place of e003.
        let others: Vec<BackendId> = frontend.backends.iter().map(|b| b.id).collect();
        let others: Vec<BackendId> = others.into_iter().filter(|b| *b != id("e003")).collect();
        let only = Request { tried: &others, ..request(SECOND) };
        let ticket = Worker::new(9).open(&frontend, &only).expect("a place is free");
        let counted = counts(&mut worker, &frontend, 400, SECOND);
        assert_eq!(seen(&frontend, &counted), ["e002", "e004"], "{algorithm:?}");
        for client in 0..50 {
            let tried = [id("e002")];
            let request = Request { tried: &tried, ..from_client(client, SECOND) };
            assert_eq!(worker.pick(&frontend, &request).unwrap().backend, id("e004"));
        }
        // All usable ones tried: what looks broken is tried before nothing is.
        let tried = [id("e002"), id("e004")];
        let pick = worker.pick(&frontend, &Request { tried: &tried, ..request(SECOND) }).unwrap();
        assert!([id("e000"), id("e001")].contains(&pick.backend), "{algorithm:?}");
        let tried = [id("e000"), id("e001"), id("e002"), id("e004")];
        let full = worker.pick(&frontend, &Request { tried: &tried, ..request(SECOND) });
        assert_eq!(full, Err(Refusal::EndpointsFull), "{algorithm:?}");
        let tried: Vec<BackendId> = frontend.backends.iter().map(|b| b.id).collect();
        let none = worker.pick(&frontend, &Request { tried: &tried, ..request(SECOND) });
        assert_eq!(none, Err(Refusal::AllTried), "{algorithm:?}");
        worker.on_close(ticket);
        let counted = counts(&mut worker, &frontend, 400, SECOND);
        assert_eq!(seen(&frontend, &counted), ["e002", "e003", "e004"], "{algorithm:?}");
    }
}

#[test]
fn when_all_look_broken_all_are_used() {
    for algorithm in ALL {
        let mut compiler = compiled(with(algorithm), endpoints(4));
        for name in ["e000", "e001", "e002", "e003"] {
            unhealthy(&mut compiler, name);
        }
        let counted = counts(&mut Worker::new(1), &frontend(&compiler), 400, 0);
        assert!(counted.iter().all(|count| *count > 20), "{algorithm:?}: {counted:?}");
    }
}

#[test]
fn far_tiers_serve_when_near_ones_cannot() {
    let mut two = endpoints(2);
    two[0].zone = Some("z1".into());
    two[1].zone = Some("z2".into());
    let node = Node { zone: Some("z1".into()), ..Node::default() };
    for algorithm in ALL {
        let distribution = Distribution::PreferSameZone;
        let settings = Settings { distribution, ..with(algorithm) };
        let mut compiler = compiled_on(node.clone(), settings, two.clone());
        let mut worker = Worker::new(1);
        assert_eq!(counts(&mut worker, &frontend(&compiler), 50, 0), [50, 0], "{algorithm:?}");
        unhealthy(&mut compiler, "e000");
        assert_eq!(counts(&mut worker, &frontend(&compiler), 50, 0), [0, 50], "{algorithm:?}");
    }
}

#[test]
fn round_robin_is_even_to_one() {
    let frontend = frontend(&compiled(with(Algorithm::RoundRobin), endpoints(7)));
    let counted = counts(&mut Worker::new(1), &frontend, 1_000_000, 0);
    let (least, most) = (counted.iter().min().unwrap(), counted.iter().max().unwrap());
    assert!(most - least <= 1, "{counted:?}");
    // Balancers that begin together do not begin at the same backend.
    let first = |seed| picks(&mut Worker::new(seed), &frontend, 1, 0).unwrap().remove(0);
    let firsts: std::collections::BTreeSet<String> = (0..64).map(first).collect();
    assert_eq!(firsts.len(), 7);
}

#[test]
fn smooth_weighted_round_robin_is_exact_and_smooth() {
    let mut three = endpoints(3);
    (three[0].weight, three[1].weight, three[2].weight) = (5, 1, 1);
    let frontend = frontend(&compiled(with(Algorithm::SmoothWeighted), three));
    let mut worker = Worker::new(1);
    let order = picks(&mut worker, &frontend, 7, 0).unwrap();
    // nginx's own example.
    assert_eq!(order, ["e000", "e000", "e001", "e000", "e002", "e000", "e000"]);
    assert_eq!(counts(&mut worker, &frontend, 700, 0), [500, 100, 100]);
}

/// Pearson's statistic of counts that should be equal.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn chi_square(counts: &[usize]) -> f64 {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum()
}

#[test]
fn random_and_two_choices_are_even() {
    for algorithm in [Algorithm::Random, Algorithm::PowerOfTwo, Algorithm::LeastConnections] {
        let frontend = frontend(&compiled(with(algorithm), endpoints(10)));
        let counted = counts(&mut Worker::new(7), &frontend, 1_000_000, 0);
        // Nine degrees of freedom: above 27.9 with a probability of 0.001.
        assert!(chi_square(&counted) < 27.9, "{algorithm:?}: {counted:?}");
    }
}

#[test]
fn least_connections_and_two_choices_level_connections_out() {
    for (algorithm, spread) in [(Algorithm::LeastConnections, 1), (Algorithm::PowerOfTwo, 4)] {
        let frontend = frontend(&compiled(with(algorithm), endpoints(10)));
        let mut worker = Worker::new(7);
        let tickets: Vec<_> =
            (0..10_000).map(|_| worker.open(&frontend, &request(0)).unwrap()).collect();
        let active = |backend: BackendId| worker.seen(&frontend, backend, 0).active;
        let active: Vec<u32> = frontend.backends.iter().map(|b| active(b.id)).collect();
        let (least, most) = (active.iter().min().unwrap(), active.iter().max().unwrap());
        assert!(most - least <= spread, "{algorithm:?}: {active:?}");
        assert_eq!(active.iter().sum::<u32>(), 10_000);
        for ticket in tickets {
            worker.on_close(ticket);
        }
        assert!(frontend.backends.iter().all(|b| worker.seen(&frontend, b.id, 0).active == 0));
    }
}

#[test]
fn connections_follow_weights() {
    let mut three = endpoints(3);
    (three[0].weight, three[1].weight, three[2].weight) = (1, 2, 7);
    for algorithm in [Algorithm::LeastConnections, Algorithm::PowerOfTwo, Algorithm::PeakEwma] {
        let frontend = frontend(&compiled(with(algorithm), three.clone()));
        let mut worker = Worker::new(7);
        let _open: Vec<_> =
            (0..1_000).map(|_| worker.open(&frontend, &request(0)).unwrap()).collect();
        for (name, expected) in [("e000", 100_u32), ("e001", 200), ("e002", 700)] {
            let active = worker.seen(&frontend, backend(&frontend, name).id, 0).active;
            assert!(active.abs_diff(expected) <= 15, "{algorithm:?} {name}: {active}");
        }
    }
}

#[test]
fn hashing_sends_a_client_to_one_backend_and_is_even() {
    for (algorithm, spread) in
        [(Algorithm::Maglev(HashKey::Source), 4), (Algorithm::RingHash(HashKey::Source), 35)]
    {
        let frontend = frontend(&compiled(with(algorithm), endpoints(10)));
        let one = picks(&mut Worker::new(1), &frontend, 20_000, 0).unwrap();
        let two = picks(&mut Worker::new(2), &frontend, 20_000, 5 * SECOND).unwrap();
        assert_eq!(one, two, "whoever asks, and whenever");
        for (at, count) in counts(&mut Worker::new(3), &frontend, 200_000, 0).iter().enumerate() {
            let percent = (count * 100 / 20_000).abs_diff(100);
            assert!(percent <= spread, "{algorithm:?}, e{at:03}: {percent} % off");
        }
        let other_port = |client| Request {
            source: std::net::SocketAddr::new(from_client(client, 0).source.ip(), 1),
            ..from_client(client, 0)
        };
        let mut worker = Worker::new(1);
        for client in 0..1_000 {
            let pick = worker.pick(&frontend, &other_port(client)).unwrap();
            assert_eq!(**frontend.backends[pick.position as usize].name(), *one[client as usize]);
        }
    }
}

#[test]
fn a_slow_backend_gets_less_and_comes_back() {
    let frontend = frontend(&compiled(with(Algorithm::PeakEwma), endpoints(4)));
    let mut worker = Worker::new(1);
    let slow = backend(&frontend, "e002").id;
    let mut now = SECOND;
    // Answers of the slow one take 50 ms, of others 1 ms.
    let turn = |worker: &mut Worker, now: u64, slow_ms: u64| {
        let mut ticket = worker.open(&frontend, &request(now)).unwrap();
        let chosen = ticket.backend;
        let took = if chosen == slow { slow_ms } else { 1 } * MILLISECOND;
        worker.on_connected(&mut ticket, now + took / 10);
        worker.on_first_byte(&ticket, took, now + took);
        worker.on_close(ticket);
        chosen == slow
    };
    let mut share = |worker: &mut Worker, slow_ms| {
        let mut count = 0;
        for _ in 0..10_000 {
            now += 2 * MILLISECOND;
            count += u32::from(turn(worker, now, slow_ms));
        }
        count
    };
    let first = share(&mut worker, 50);
    assert!((1..200).contains(&first), "{first} of 10,000 to the slow one");
    share(&mut worker, 1);
    share(&mut worker, 1);
    share(&mut worker, 1);
    let last = share(&mut worker, 1);
    assert!((1_500..3_500).contains(&last), "{last} of 10,000 after it got quick again");
}

#[test]
fn slow_start_grows_in_a_straight_line() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::Random, Algorithm::SmoothWeighted] {
        let slow_start = Some(SlowStart { window_ns: 100 * SECOND, percent_min: 10 });
        let settings = Settings { slow_start, ..with(algorithm) };
        let mut compiler = compiled(settings, endpoints(3));
        let born = 1_000 * SECOND;
        let change =
            Change::Endpoint { service: "web".into(), endpoint: endpoint("new", "10.1.0.1:1") };
        compiler.apply(change, born).unwrap();
        let frontend = frontend(&compiler);
        let mut worker = Worker::new(1);
        for (age, percent) in [(0, 10), (5, 10), (25, 25), (50, 50), (100, 100), (5_000, 100)] {
            let counted = counts(&mut worker, &frontend, 40_000, born + age * SECOND);
            let share = counted[3] * 300 / (counted[0] + counted[1] + counted[2]);
            assert!(share.abs_diff(percent) <= 4, "{algorithm:?} at {age} s: {share} %");
        }
    }
}

fn fail(worker: &mut Worker, compiler: &Compiler, name: &str, now: u64) {
    let frontend = frontend(compiler);
    let id = backend(&frontend, name).id;
    let others: Vec<BackendId> =
        frontend.backends.iter().map(|b| b.id).filter(|other| *other != id).collect();
    let only = Request { tried: &others, ..request(now) };
    let ticket = worker.open(&frontend, &only).expect("it may be tried");
    worker.on_failed(compiler.table(), ticket, now);
}

fn ejected(worker: &Worker, compiler: &Compiler, name: &str, now: u64) -> bool {
    let frontend = frontend(compiler);
    worker.seen(&frontend, backend(&frontend, name).id, now).ejected_until_ns > now
}

fn outlier() -> Settings {
    let outlier = Outlier {
        failures: 3,
        ejection_ns: 10 * SECOND,
        ejection_ns_max: 25 * SECOND,
        percent_max: 50,
    };
    Settings { outlier: Some(outlier), ..Settings::default() }
}

#[test]
fn failures_in_a_row_eject_for_longer_each_time() {
    let compiler = compiled(outlier(), endpoints(4));
    let mut worker = Worker::new(1);
    let mut now = 100 * SECOND;
    let thrice = |worker: &mut Worker, now| {
        for at in 0..3 {
            assert!(!ejected(worker, &compiler, "e000", now), "after {at}");
            fail(worker, &compiler, "e000", now);
        }
    };
    for length in [10, 20, 25, 25] {
        thrice(&mut worker, now);
        assert!(ejected(&worker, &compiler, "e000", now + length * SECOND - 1), "{length} s");
        now += length * SECOND;
        assert!(!ejected(&worker, &compiler, "e000", now), "{length} s");
    }
    // Each ten seconds in use forgive one.
    now += 30 * SECOND;
    thrice(&mut worker, now);
    assert!(ejected(&worker, &compiler, "e000", now + 20 * SECOND - 1));
    assert!(!ejected(&worker, &compiler, "e000", now + 20 * SECOND));
}

#[test]
fn a_success_in_between_starts_the_count_anew() {
    let compiler = compiled(outlier(), endpoints(1));
    let compiler_two = compiled(outlier(), endpoints(2));
    let mut worker = Worker::new(1);
    for round in 0..10 {
        fail(&mut worker, &compiler_two, "e000", round);
        fail(&mut worker, &compiler_two, "e000", round);
        let frontend = frontend(&compiler_two);
        let tried = [backend(&frontend, "e001").id];
        let only = Request { tried: &tried, ..request(round) };
        let mut ticket = worker.open(&frontend, &only).unwrap();
        if round % 2 == 0 {
            worker.on_first_byte(&ticket, 1, round);
        } else {
            worker.on_connected(&mut ticket, round);
        }
        worker.on_close(ticket);
        assert!(!ejected(&worker, &compiler_two, "e000", round));
    }
    // One alone is never ejected: half of one is none.
    let mut worker = Worker::new(1);
    for _ in 0..10 {
        fail(&mut worker, &compiler, "e000", SECOND);
    }
    assert!(!ejected(&worker, &compiler, "e000", SECOND));
}

#[test]
fn no_more_than_the_share_is_ejected() {
    let compiler = compiled(outlier(), endpoints(5));
    let mut worker = Worker::new(1);
    for name in ["e000", "e001", "e002", "e003", "e004"] {
        for _ in 0..3 {
            fail(&mut worker, &compiler, name, SECOND);
        }
    }
    let out = |name: &&str| ejected(&worker, &compiler, name, SECOND);
    let out: Vec<&str> = ["e000", "e001", "e002", "e003", "e004"].into_iter().filter(out).collect();
    assert_eq!(out, ["e000", "e001"]);
}

#[test]
fn a_failing_endpoint_is_not_the_quickest() {
    let settings = Settings { outlier: None, ..with(Algorithm::PeakEwma) };
    let frontend_of = compiled(settings, endpoints(3));
    let frontend = frontend(&frontend_of);
    let mut worker = Worker::new(1);
    let broken = backend(&frontend, "e001").id;
    let mut tries = 0;
    for turn in 0..3_000 {
        let now = SECOND + turn * MILLISECOND;
        let mut ticket = worker.open(&frontend, &request(now)).unwrap();
        if ticket.backend == broken {
            tries += 1;
            worker.on_failed(frontend_of.table(), ticket, now);
        } else {
            worker.on_connected(&mut ticket, now + MILLISECOND);
            worker.on_close(ticket);
        }
    }
    assert!(tries < 30, "{tries} of 3,000 to the one that refuses at once");
}

#[test]
fn limits_count_what_all_workers_have() {
    let limits = Limits {
        connections_max: Some(5),
        connections_per_endpoint_max: Some(3),
        ..Limits::default()
    };
    let frontend = frontend(&compiled(Settings { limits, ..Settings::default() }, endpoints(2)));
    let mut workers = [Worker::new(1), Worker::new(2)];
    let mut open: Vec<_> =
        (0..5).map(|at| workers[at % 2].open(&frontend, &request(0)).unwrap()).collect();
    assert_eq!(workers[0].open(&frontend, &request(0)).err(), Some(Refusal::ServiceFull));
    assert_eq!(frontend.connections(), 5);
    let shared: Vec<u32> = frontend.backends.iter().map(|b| b.shared.connections()).collect();
    assert!(shared == [2, 3] || shared == [3, 2], "{shared:?}");
    let last = open.pop().unwrap();
    workers[0].on_close(last);
    assert!(workers[1].open(&frontend, &request(0)).is_ok());
    drop(open);
    assert_eq!(frontend.connections(), 0, "also when a worker is gone with its tickets");
    assert!(frontend.backends.iter().all(|b| b.shared.connections() == 0));
}

#[test]
fn full_endpoints_refuse_and_rates_come_back() {
    let rate = Some(Rate { per_second: 10, burst: 2 });
    let limits = Limits { rate_per_endpoint: rate, ..Limits::default() };
    for algorithm in ALL {
        let settings = Settings { limits, ..with(algorithm) };
        let frontend = frontend(&compiled(settings, endpoints(2)));
        let mut worker = Worker::new(1);
        let mut open = |now| worker.open(&frontend, &request(now)).map(|ticket| ticket.backend);
        let got = (0..10).filter(|_| open(SECOND).is_ok()).count();
        assert_eq!(got, 4, "{algorithm:?}: both bursts");
        assert_eq!(open(SECOND), Err(Refusal::EndpointsFull));
        assert!(open(SECOND + 100 * MILLISECOND).is_ok());
    }
}

#[test]
fn sources_outside_the_ranges_come_in_by_no_external_way() {
    let source_ranges =
        ["192.0.2.0/24", "2001:db8::/32"].map(|range| range.parse::<Cidr>().unwrap());
    let settings = Settings { source_ranges: source_ranges.to_vec(), ..Settings::default() };
    let frontend = frontend(&compiled(settings, endpoints(1)));
    let mut worker = Worker::new(1);
    let mut try_from = |via, source: &str| {
        let source = source.parse().unwrap();
        worker.pick(&frontend, &Request { via, source, ..request(0) }).err()
    };
    for via in [Via::LoadBalancer, Via::NodePort, Via::External] {
        for inside in ["192.0.2.9:1", "[::ffff:192.0.2.9]:1", "[2001:db8::1]:1"] {
            assert_eq!(try_from(via, inside), None);
        }
        for outside in ["192.0.3.9:1", "[::ffff:192.0.3.9]:1", "[2001:db9::1]:1", "[::1]:1"] {
            assert_eq!(try_from(via, outside), Some(Refusal::Source));
        }
    }
    assert_eq!(try_from(Via::Cluster, "192.0.3.9:1"), None, "inside the cluster they do not rule");
}

#[test]
fn a_preferred_backend_is_taken_while_it_may_serve() {
    for algorithm in ALL {
        let mut compiler = compiled(with(algorithm), endpoints(5));
        let mut worker = Worker::new(1);
        let id = backend(&frontend(&compiler), "e003").id;
        let pick = |worker: &mut Worker, compiler: &Compiler, client| {
            // The place is only a hint.
            let prefer = Some(Prefer { backend: id, position: 0 });
            let request = Request { prefer, ..from_client(client, SECOND) };
            worker.pick(&frontend(compiler), &request).unwrap().backend == id
        };
        assert!((0..50).all(|client| pick(&mut worker, &compiler, client)));
        unhealthy(&mut compiler, "e003");
        assert!(!(0..50).any(|client| pick(&mut worker, &compiler, client)), "{algorithm:?}");
        // Healthy, and not ready: it is in no pool.
        let mut compiler = compiled(with(algorithm), endpoints(5));
        let mut gone = endpoints(5).remove(3);
        gone.ready = false;
        compiler.apply(Change::Endpoint { service: "web".into(), endpoint: gone }, 2).unwrap();
        let id = backend(&frontend(&compiler), "e003").id;
        for client in 0..50 {
            let prefer = Some(Prefer { backend: id, position: 3 });
            let request = Request { prefer, ..from_client(client, SECOND) };
            let pick = worker.pick(&frontend(&compiler), &request).unwrap();
            assert_ne!(pick.backend, id, "{algorithm:?}");
        }
    }
}

#[test]
fn what_a_worker_knows_survives_updates_and_leaves_with_its_backend() {
    let mut compiler = compiled(Settings::default(), endpoints(3));
    let mut worker = Worker::new(1);
    let old = compiler.table().clone();
    let before = frontend(&compiler);
    let id = backend(&before, "e001").id;
    let others: Vec<BackendId> =
        before.backends.iter().map(|b| b.id).filter(|other| *other != id).collect();
    let open = |worker: &mut Worker| {
        worker.open(&before, &Request { tried: &others, ..request(5) }).unwrap()
    };
    let mut tickets = [open(&mut worker), open(&mut worker)];
    worker.on_connected(&mut tickets[0], 5 + MILLISECOND);
    let [first, second] = tickets;
    // An update of others, then of itself.
    for (name, address) in [("e000", "10.7.0.1:1"), ("x", "10.7.0.2:1")] {
        let change = Change::Endpoint { service: "web".into(), endpoint: endpoint(name, address) };
        compiler.apply(change, 6).unwrap();
    }
    let mut itself = endpoints(3).remove(1);
    itself.weight = 9;
    compiler.apply(Change::Endpoint { service: "web".into(), endpoint: itself }, 7).unwrap();
    let middle = compiler.table().clone();
    worker.adopt(&old, &middle, 7);
    let seen = worker.seen(&frontend(&compiler), id, 5 + MILLISECOND);
    assert_eq!((seen.active, seen.latency_ns), (2, MILLISECOND));
    // It leaves, and something else gets its slot when it cannot come back any more.
    let remove = Change::RemoveEndpoint { service: "web".into(), endpoint: "e001".into() };
    compiler.apply(remove, 8).unwrap();
    for number in 0..4 {
        let other = endpoint(&format!("y{number}"), &format!("10.8.0.{number}:1"));
        let change = Change::Endpoint { service: "web".into(), endpoint: other };
        compiler.apply(change, 40 * SECOND).unwrap();
    }
    worker.adopt(&middle, compiler.table(), 10);
    let now = frontend(&compiler);
    let heir = now.backends.iter().find(|b| b.id.slot == id.slot).expect("slots are used again");
    assert_ne!(heir.id, id);
    assert_eq!(worker.seen(&now, heir.id, 10).active, 0, "it inherits nothing");
    assert_eq!(worker.drains().iter().collect::<Vec<_>>(), [(id, 2)]);
    assert_eq!(worker.drains().deadline(), Some(10 + 30 * SECOND));
    assert!(!worker.on_close(first));
    assert_eq!(worker.drain_expired(10 + 30 * SECOND - 1), None);
    assert_eq!(worker.drain_expired(10 + 30 * SECOND), Some(id));
    assert_eq!(worker.drain_expired(u64::MAX), None, "named once");
    assert!(worker.on_failed(compiler.table(), second, 11), "that was the last one");
    assert!(worker.drains().is_empty());
    assert_eq!(worker.seen(&now, heir.id, 10).active, 0);
}

#[test]
fn one_seed_gives_one_run() {
    for algorithm in ALL {
        let frontend = frontend(&compiled(with(algorithm), endpoints(20)));
        let run = |seed| picks(&mut Worker::new(seed), &frontend, 500, 0).unwrap();
        assert_eq!(run(5), run(5));
    }
}

#[test]
fn a_slot_of_another_backend_is_nobodys_even_before_a_table_is_adopted() {
    // Without a drain nobody's slot rests.
    let mut compiler = compiled(Settings { drain_ns: 0, ..Settings::default() }, endpoints(1));
    let mut worker = Worker::new(1);
    let ticket = worker.open(&frontend(&compiler), &request(0)).unwrap();
    let remove = Change::RemoveEndpoint { service: "web".into(), endpoint: "e000".into() };
    compiler.apply(remove, 1).unwrap();
    let other = endpoint("other", "10.8.0.1:1");
    compiler.apply(Change::Endpoint { service: "web".into(), endpoint: other }, 2).unwrap();
    let now = frontend(&compiler);
    let heir = now.backends[0].id;
    assert_eq!(heir.slot, ticket.backend.slot);
    assert_eq!(worker.seen(&now, heir, 0).active, 0);
    let second = worker.open(&now, &request(2)).unwrap();
    assert_eq!(worker.seen(&now, heir, 0).active, 1);
    assert!(!worker.on_close(ticket));
    assert_eq!(worker.seen(&now, heir, 0).active, 1, "the old one's end is not booked on it");
    worker.on_close(second);
    assert_eq!(worker.seen(&now, heir, 0).active, 0);
}

#[test]
fn a_connection_that_is_there_already_is_counted_whatever_the_limits_say() {
    let limits = Limits {
        connections_max: Some(1),
        connections_per_endpoint_max: Some(1),
        ..Limits::default()
    };
    let compiler = compiled(Settings { limits, ..with(Algorithm::LeastConnections) }, endpoints(2));
    let (frontend, mut worker) = (frontend(&compiler), Worker::new(1));
    let held: Vec<_> = (0..3).map(|_| worker.resume(&frontend, 1, SECOND)).collect();
    let id = frontend.backends[1].id;
    assert!(held.iter().all(|ticket| ticket.backend == id));
    assert_eq!((worker.seen(&frontend, id, SECOND).active, frontend.connections()), (3, 3));
    assert_eq!(worker.open(&frontend, &request(SECOND)).unwrap_err(), Refusal::ServiceFull);
    for ticket in held {
        worker.on_close(ticket);
    }
    assert_eq!((worker.seen(&frontend, id, SECOND).active, frontend.connections()), (0, 0));
}
