// SPDX-License-Identifier: Apache-2.0
//! Planted violations are found, and allowed placements are not blamed.

use super::*;
use berth_scheduler_model::pod::{HostPort, Protocol, Taint, TaintEffect, Toleration};
use berth_scheduler_workload::specs::{HOSTNAME, ZONE, in_zones, plain, requests, spread, term};
use berth_scheduler_workload::{Rng, Row, Workload, nodes as cluster};

/// Nodes 0, 3, 6, ... are in zone 0, and so on.
fn nodes(count: usize) -> Vec<Node> {
    (0..count).map(cluster::node).collect()
}

/// Places pods as told, and gives the rules that were broken.
fn check(nodes: &[Node], pods: &[(&Arc<PodSpec>, usize)]) -> Vec<Rule> {
    let mut books = Books::new(nodes);
    for (serial, (spec, node)) in (1..).zip(pods) {
        let class = books.class("default", spec);
        let pod = books.admit(class, serial);
        books.place(pod, &cluster::name(*node));
    }
    let broken = books.violations().by_rule();
    assert_eq!(books.violations().told().len() as u64, books.violations().total());
    broken.keys().copied().collect()
}

fn app() -> PodSpec {
    plain(&[("app", "a")])
}

#[test]
fn room_is_never_exceeded() {
    let big = |cpu, memory| Arc::new(PodSpec { requests: requests(cpu, memory), ..app() });
    let half = big(2_000, 1 << 30);
    assert_eq!(check(&nodes(2), &[(&half, 0), (&half, 0), (&half, 1)]), []);
    assert_eq!(check(&nodes(2), &[(&half, 0), (&half, 0), (&half, 0)]), [Rule::Cpu]);
    let half = big(100, 17 << 30);
    assert_eq!(check(&nodes(2), &[(&half, 0), (&half, 0)]), [Rule::Memory]);
    let nothing = big(0, 0);
    let many: Vec<_> = (0..111).map(|_| (&nothing, 0)).collect();
    assert_eq!(check(&nodes(1), &many), [Rule::Pods]);
    let whole = big(4_000, 0);
    assert_eq!(check(&nodes(1), &[(&whole, 0), (&nothing, 0)]), [], "it wants no CPU");
}

#[test]
fn extended_resources_are_counted() {
    let mut gpus = nodes(2);
    gpus[0].allocatable.scalars = vec![("berth.dev/gpu-milli".into(), 1_000)];
    let share = |milli| {
        let mut spec = app();
        spec.requests.plain.scalars = vec![("berth.dev/gpu-milli".into(), milli)];
        Arc::new(spec)
    };
    let (most, rest) = (share(700), share(300));
    assert_eq!(check(&gpus, &[(&most, 0), (&rest, 0)]), []);
    assert_eq!(check(&gpus, &[(&most, 0), (&most, 0)]), [Rule::Extended]);
    assert_eq!(check(&gpus, &[(&most, 1)]), [Rule::Extended]);
    assert_eq!(check(&nodes(1), &[(&most, 0)]), [Rule::Extended], "no node has it at all");
}

#[test]
fn host_ports_are_taken_once() {
    let with = |ip: &str, protocol| {
        let port = HostPort { ip: ip.into(), protocol, port: 80 };
        Arc::new(PodSpec { host_ports: vec![port], ..app() })
    };
    let (all, one, other) = (
        with("0.0.0.0", Protocol::Tcp),
        with("10.0.0.1", Protocol::Tcp),
        with("10.0.0.2", Protocol::Tcp),
    );
    assert_eq!(check(&nodes(2), &[(&one, 0), (&other, 0), (&all, 1)]), []);
    assert_eq!(check(&nodes(2), &[(&one, 0), (&one, 0)]), [Rule::Ports]);
    assert_eq!(check(&nodes(2), &[(&one, 0), (&all, 0)]), [Rule::Ports]);
    assert_eq!(check(&nodes(2), &[(&one, 0), (&with("10.0.0.1", Protocol::Udp), 0)]), []);
}

#[test]
fn a_released_pod_leaves_nothing_behind() {
    let mut books = Books::new(&nodes(3));
    let spec = Arc::new(PodSpec {
        requests: requests(3_000, 1 << 30),
        host_ports: vec![HostPort { ip: "".into(), protocol: Protocol::Tcp, port: 80 }],
        anti_affinity_required: vec![term(HOSTNAME, ("app", "a"))],
        spread: vec![spread(ZONE, 1, ("app", "a"))],
        ..app()
    });
    let before = books.totals();
    for serial in 1..100 {
        let class = books.class_once("default", &spec);
        let pod = books.admit(class, serial);
        books.place(pod, &cluster::name(usize::try_from(serial).unwrap() % 3));
        assert_eq!(books.pods_on_nodes(), 1);
        books.release(pod);
    }
    assert_eq!(books.violations().by_rule().len(), 0, "{:?}", books.violations());
    assert_eq!(books.totals(), before);
    assert_eq!((books.pods.len(), books.classes.len(), books.counters.len()), (1, 1, 3));
}

#[test]
fn rules_about_the_node_itself() {
    let zones = Arc::new(in_zones(app(), &["zone-0", "zone-1"]));
    assert_eq!(check(&nodes(3), &[(&zones, 0), (&zones, 1)]), []);
    assert_eq!(check(&nodes(3), &[(&zones, 2)]), [Rule::NodeAffinity]);
    let named = Arc::new(PodSpec { node_name: Some("node-000001".into()), ..app() });
    assert_eq!(check(&nodes(3), &[(&named, 1)]), []);
    assert_eq!(check(&nodes(3), &[(&named, 0)]), [Rule::NodeAffinity]);

    let taint = |effect| Taint { key: "gpu".into(), value: "".into(), effect };
    let mut tainted = nodes(3);
    tainted[0].taints = vec![taint(TaintEffect::NoSchedule)];
    tainted[1].taints = vec![taint(TaintEffect::PreferNoSchedule)];
    tainted[2].unschedulable = true;
    let any = Arc::new(app());
    let toleration = Toleration { key: Some("gpu".into()), value: None, effect: None };
    let tolerant = Arc::new(PodSpec { tolerations: vec![toleration], ..app() });
    assert_eq!(check(&tainted, &[(&any, 0)]), [Rule::Taint]);
    assert_eq!(check(&tainted, &[(&tolerant, 0), (&any, 1)]), []);
    assert_eq!(check(&tainted, &[(&tolerant, 2)]), [Rule::Taint]);
}

#[test]
fn hard_spread_is_kept() {
    let zone = Arc::new(PodSpec { spread: vec![spread(ZONE, 1, ("app", "a"))], ..app() });
    assert_eq!(check(&nodes(6), &[(&zone, 0), (&zone, 1), (&zone, 2), (&zone, 3)]), []);
    assert_eq!(check(&nodes(6), &[(&zone, 0), (&zone, 3)]), [Rule::Spread]);
    // Others with the label count as well; those without do not.
    let (same, other) = (Arc::new(app()), Arc::new(plain(&[("app", "b")])));
    assert_eq!(check(&nodes(6), &[(&same, 0), (&zone, 3)]), [Rule::Spread]);
    assert_eq!(check(&nodes(6), &[(&other, 0), (&zone, 3)]), []);
    // A zone that the pod cannot go to does not count as the least loaded one.
    let two = Arc::new(in_zones((*zone).clone(), &["zone-0", "zone-1"]));
    assert_eq!(check(&nodes(6), &[(&two, 0), (&two, 1), (&two, 3)]), []);
    // With too few domains the least is nothing.
    let mut three = (*two).clone();
    three.spread[0].min_domains = Some(3);
    let three = Arc::new(three);
    assert_eq!(check(&nodes(6), &[(&three, 0), (&three, 1), (&three, 3)]), [Rule::Spread]);
    let mut unlabelled = nodes(6);
    unlabelled[0].labels = berth_scheduler_model::labels::Labels::default();
    assert_eq!(check(&unlabelled, &[(&zone, 0)]), [Rule::Spread]);
}

#[test]
fn required_affinity_is_met() {
    let seeking = PodSpec { affinity_required: vec![term(ZONE, ("app", "db"))], ..app() };
    let (seeking, db) = (Arc::new(seeking), Arc::new(plain(&[("app", "db")])));
    assert_eq!(check(&nodes(6), &[(&db, 0), (&seeking, 3)]), []);
    assert_eq!(check(&nodes(6), &[(&db, 0), (&seeking, 1)]), [Rule::Affinity]);
    assert_eq!(check(&nodes(6), &[(&seeking, 1)]), [Rule::Affinity], "it does not mean itself");
    // The first of those that mean themselves may go anywhere, the second may not.
    let group = PodSpec { affinity_required: vec![term(ZONE, ("app", "a"))], ..app() };
    let group = Arc::new(group);
    assert_eq!(check(&nodes(6), &[(&group, 1), (&group, 4)]), []);
    assert_eq!(check(&nodes(6), &[(&group, 1), (&group, 2)]), [Rule::Affinity]);
}

#[test]
fn required_anti_affinity_is_kept_both_ways() {
    let alone = PodSpec { anti_affinity_required: vec![term(HOSTNAME, ("app", "b"))], ..app() };
    let (alone, other) = (Arc::new(alone), Arc::new(plain(&[("app", "b")])));
    assert_eq!(check(&nodes(2), &[(&alone, 0), (&alone, 0), (&other, 1)]), []);
    assert_eq!(check(&nodes(2), &[(&other, 0), (&alone, 0)]), [Rule::AntiAffinity]);
    assert_eq!(check(&nodes(2), &[(&alone, 0), (&other, 0)]), [Rule::ExistingAntiAffinity]);
}

#[test]
fn a_node_that_nobody_registered_is_no_answer() {
    assert_eq!(check(&nodes(2), &[(&Arc::new(app()), 2)]), [Rule::UnknownNode]);
}

#[test]
fn refusals_are_checked_too() {
    let mut books = Books::new(&nodes(2));
    let whole = PodSpec { requests: requests(4_000, 0), ..app() };
    let class = books.class("default", &Arc::new(whole));
    for serial in 1..=2 {
        let pod = books.admit(class, serial);
        books.place(pod, &cluster::name(usize::try_from(serial).unwrap() - 1));
    }
    assert!(books.refuse(class));
    assert!(books.refuse(class), "and again, from memory");
    books.release(0);
    assert!(!books.refuse(class));
    assert_eq!(
        books.violations().by_rule().keys().copied().collect::<Vec<_>>(),
        [Rule::WrongRefusal]
    );
}

/// Random placements of a row: what the counters say is compared with a count over all pods.
#[test]
fn counters_agree_with_a_recount() {
    for row in [Row::SpreadZoneHostname, Row::AntiAffinity(3), Row::Affinity(3), Row::Classes(3)] {
        let workload = Workload::new(row, 9, 70);
        let mut books = Books::new(&workload.nodes);
        let mut rng = Rng::new(5);
        let mut live = Vec::new();
        for serial in 1..3_000 {
            // Classes come late, when pods are there already.
            let known = (serial / 500 + 1).min(workload.specs().len() as u64);
            let spec = &workload.specs()[rng.below(usize::try_from(known).unwrap())];
            let class = books.class("default", spec);
            let pod = books.admit(class, serial);
            books.place(pod, &cluster::name(rng.below(9)));
            live.push(pod);
            if live.len() > 40 {
                books.release(live.swap_remove(rng.below(live.len())));
            }
        }
        for counter in &books.counters {
            let column = &books.nodes.columns()[counter.key.column];
            let mut counts = vec![0; column.values.len()];
            for pod in books.pods.iter().filter(|pod| pod.node != NO_NODE) {
                let spec = &books.known(pod.class).spec;
                if counter.key.counted.counts("default", spec) {
                    counts[column.domain[pod.node as usize] as usize] += 1;
                }
            }
            for node in 0..9 {
                let domain = column.domain[node as usize] as usize;
                assert_eq!(counter.at(books.nodes.columns(), node), Some(counts[domain]));
            }
            assert_eq!(Some(counter.least(1)), counts.iter().min().copied());
        }
    }
}
