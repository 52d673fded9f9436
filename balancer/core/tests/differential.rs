// SPDX-License-Identifier: Apache-2.0
//! The table that came by random changes against the one that is compiled of the whole: they must answer alike. And what a diff
//! says against what a naive comparison of the two tables finds.
//!
//! `BERTH_BALANCER_SEED=N` runs one seed.

mod fixture;

use berth_balancer_core::model::{
    Algorithm, Config, Distribution, Endpoint, EndpointPort, EndpointSet, HashKey, Node, Protocol,
    Service, ServicePort, Settings, TrafficPolicy,
};
use berth_balancer_core::table::{Diff, Frontend, Served, Table, Via};
use berth_balancer_core::{Change, Compiler, Random, Request, Worker, validate};
use fixture::{from_client, one_of};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const SERVICES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const NODES: [&str; 3] = ["n0", "n1", "n2"];
const ZONES: [&str; 2] = ["z0", "z1"];

fn maybe<T: Clone>(random: &mut Random, things: &[T]) -> Option<T> {
    (random.below(3) > 0).then(|| one_of(random, things).clone())
}

fn node(random: &mut Random) -> Node {
    Node {
        name: maybe(random, &NODES).map(Into::into),
        zone: maybe(random, &ZONES).map(Into::into),
        addresses: (0..random.below(3)).map(|_| address(random)).collect(),
        node_ports: None,
    }
}

/// One of few, so that services overlap now and then, with each other and with the node.
fn address(random: &mut Random) -> IpAddr {
    Ipv4Addr::from_bits(0x0a60_0000 + random.below(40)).into()
}

fn settings(random: &mut Random) -> Settings {
    let policies = [TrafficPolicy::Cluster, TrafficPolicy::Local];
    Settings {
        internal_policy: *one_of(random, &policies),
        external_policy: *one_of(random, &policies),
        distribution: *one_of(
            random,
            &[Distribution::Any, Distribution::PreferSameZone, Distribution::PreferSameNode],
        ),
        algorithm: *one_of(
            random,
            &[
                Algorithm::PeakEwma,
                Algorithm::Maglev(HashKey::Source),
                Algorithm::RingHash(HashKey::Flow),
                Algorithm::SmoothWeighted,
            ],
        ),
        health_check_node_port: (random.below(5) == 0)
            .then(|| 80 + u16::try_from(random.below(6)).expect("few")),
        ..Settings::default()
    }
}

/// A service with two ports; their names stay, so that its endpoints keep their meaning.
fn service(random: &mut Random, name: &str) -> Service {
    let mut port = |name: &str| ServicePort {
        name: name.into(),
        protocol: *one_of(random, &[Protocol::Tcp, Protocol::Udp]),
        port: 80 + u16::try_from(random.below(4)).expect("few"),
        node_port: (random.below(4) == 0)
            .then(|| 80 + u16::try_from(random.below(8)).expect("few")),
    };
    let ports = vec![port("x"), port("y")];
    let mut addresses = |most| (0..random.below(most)).map(|_| address(random)).collect();
    Service {
        name: name.into(),
        cluster_ips: addresses(3),
        external_ips: addresses(2),
        load_balancer_ips: addresses(2),
        ports,
        settings: settings(random).into(),
    }
}

fn endpoint(random: &mut Random) -> Endpoint {
    let mut ports = Vec::new();
    for name in ["x", "y"] {
        if random.below(4) > 0 {
            let port = 8_000 + u16::try_from(random.below(2)).expect("few");
            ports.push(EndpointPort { name: name.into(), port });
        }
    }
    Endpoint {
        name: format!("p{}", random.below(8)).into(),
        address: Ipv4Addr::from_bits(0x0a00_0000 + random.below(30)).into(),
        ports,
        ready: random.below(3) > 0,
        serving: random.below(3) > 0,
        terminating: random.below(2) > 0,
        node: maybe(random, &NODES).map(Into::into),
        zone: maybe(random, &ZONES).map(Into::into),
        // Now and then a weight that is refused.
        weight: random.below(20).min(9),
    }
}

fn change(random: &mut Random) -> Change {
    let name = *one_of(random, &SERVICES);
    let service_name = || name.into();
    match random.below(20) {
        0 => Change::Node(node(random)),
        1..5 => Change::Service(Box::new(service(random, name))),
        5 => Change::RemoveService(service_name()),
        6..8 => {
            let endpoints = (0..random.below(5)).map(|_| endpoint(random)).collect();
            Change::Endpoints(EndpointSet { service: service_name(), endpoints })
        }
        8..11 => {
            let endpoint = format!("p{}", random.below(8)).into();
            Change::RemoveEndpoint { service: service_name(), endpoint }
        }
        _ => Change::Endpoint { service: service_name(), endpoint: endpoint(random) },
    }
}

/// The configuration after a change, by the book.
fn applied(mut config: Config, change: &Change) -> Option<Config> {
    let has = |config: &Config, name: &std::sync::Arc<str>| {
        config.services.iter().any(|service| service.name == *name)
    };
    let set = |config: &mut Config, name: &_| {
        let at = config.endpoints.iter().position(|set| set.service == *name)?;
        Some(config.endpoints[at].endpoints.clone())
    };
    let put = |config: &mut Config, name: &std::sync::Arc<str>, endpoints| {
        config.endpoints.retain(|set| set.service != *name);
        config.endpoints.push(EndpointSet { service: name.clone(), endpoints });
    };
    match change {
        Change::Node(node) => config.node = node.clone(),
        Change::Service(service) => {
            config.services.retain(|other| other.name != service.name);
            config.services.push((**service).clone());
        }
        Change::RemoveService(name) => {
            config.services.retain(|service| service.name != *name);
            config.endpoints.retain(|set| set.service != *name);
        }
        Change::Endpoints(new) => {
            has(&config, &new.service).then_some(())?;
            put(&mut config, &new.service, new.endpoints.clone());
        }
        Change::Endpoint { service, endpoint } => {
            let mut endpoints = set(&mut config, service)?;
            endpoints.retain(|other| other.name != endpoint.name);
            endpoints.push(endpoint.clone());
            put(&mut config, service, endpoints);
        }
        Change::RemoveEndpoint { service, endpoint } => {
            let mut endpoints = set(&mut config, service)?;
            endpoints.iter().any(|other| other.name == *endpoint).then_some(())?;
            endpoints.retain(|other| other.name != *endpoint);
            put(&mut config, service, endpoints);
        }
        Change::Health { .. } => {}
    }
    Some(config)
}

/// All that a table says of a frontend, without ids.
fn told(frontend: &Frontend) -> String {
    let mut told = format!("{:?} {:?}\n", frontend.served, frontend.settings);
    for backend in &frontend.backends {
        let _ = writeln!(
            told,
            "{} {} {} {} {} {} {} {}",
            backend.name(),
            backend.address,
            backend.weight,
            backend.is_ready(),
            backend.is_serving(),
            backend.is_terminating(),
            backend.is_local(),
            backend.is_in_zone()
        );
    }
    for via in [Via::Cluster, Via::External] {
        for inside in [false, true] {
            let pool = frontend.pool(via, inside);
            let tiers: Vec<&[u32]> = pool.tiers.iter().map(|tier| &*tier.members).collect();
            let _ = writeln!(told, "{via:?} {inside} {tiers:?} {}", pool.is_terminating);
            let mut worker = Worker::new(1);
            for client in 0..6 {
                let request = Request { via, inside, ..from_client(client, u64::MAX) };
                let picked = worker.pick(frontend, &request).map(|pick| pick.address);
                let _ = write!(told, "{picked:?} ");
            }
        }
    }
    told
}

type Told = BTreeMap<(String, String, Protocol), String>;

fn all_told(table: &Table) -> Told {
    let mut all = BTreeMap::new();
    table.each(|frontend| {
        let key = (frontend.service.to_string(), frontend.port.to_string(), frontend.protocol);
        assert_eq!(all.insert(key, told(frontend)), None, "a frontend is there once");
    });
    all
}

/// Who answers where, of all places that anybody could have.
fn lookups(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for address in 0..40 {
            for port in 80..88 {
                let ip = Ipv4Addr::from_bits(0x0a60_0000 + address);
                if let Some(one) = table.lookup(protocol, SocketAddr::new(ip.into(), port)) {
                    let frontend = one.frontend;
                    let name = format!("{}/{}", frontend.service, frontend.port);
                    found.push(format!("{protocol} {ip}:{port} {name} {:?}", one.via));
                }
            }
        }
    }
    found
}

/// Where a listener would be, whatever kind of address it is.
type Place = (Protocol, Served);

fn place(protocol: Protocol, served: Served) -> Place {
    let served = match served {
        Served::At { address, .. } => Served::At { address, via: Via::Cluster },
        port @ Served::NodePort(_) => port,
    };
    (protocol, served)
}

/// Sets of what is in a table, for a naive diff.
fn parts(table: &Table) -> (BTreeSet<u64>, BTreeSet<u64>, BTreeSet<Place>) {
    let id = |slot: u32, generation: u32| u64::from(slot) << 32 | u64::from(generation);
    let (mut frontends, mut backends, mut served) = Default::default();
    let (f, b, s): (&mut BTreeSet<u64>, &mut BTreeSet<u64>, &mut BTreeSet<_>) =
        (&mut frontends, &mut backends, &mut served);
    table.each(|frontend| {
        f.insert(id(frontend.id.slot, frontend.id.generation));
        s.extend(frontend.served.iter().map(|served| place(frontend.protocol, *served)));
        for backend in &frontend.backends {
            assert!(b.insert(id(backend.id.slot, backend.id.generation)), "ids are unique");
        }
    });
    (frontends, backends, served)
}

fn check_diff(old: &Table, new: &Table) {
    let diff = Diff::between(old, new);
    let ((of, ob, os), (nf, nb, ns)) = (parts(old), parts(new));
    assert_eq!(diff.frontends_added.len(), nf.difference(&of).count());
    assert_eq!(diff.frontends_removed.len(), of.difference(&nf).count());
    assert_eq!(diff.backends_added.len(), nb.difference(&ob).count());
    assert_eq!(diff.backends_removed.len(), ob.difference(&nb).count());
    let added = diff.served_added.iter().map(|moved| place(moved.protocol, moved.served)).collect();
    assert_eq!(ns.difference(&os).copied().collect::<BTreeSet<_>>(), added);
    let removed =
        diff.served_removed.iter().map(|moved| place(moved.protocol, moved.served)).collect();
    assert_eq!(os.difference(&ns).copied().collect::<BTreeSet<_>>(), removed);
    let (told_before, told_now) = (all_told(old), all_told(new));
    assert_eq!(diff.is_empty(), told_before == told_now, "{diff:?}");
}

fn run(seed: u64) -> [u32; 2] {
    let mut random = Random::new(seed);
    let mut compiler = Compiler::new();
    let mut results = [0, 0];
    let mut kept = compiler.table().clone();
    for step in 0..150_u64 {
        let change = change(&mut random);
        let before = compiler.table().clone();
        let wanted = applied(compiler.config(), &change);
        let by_the_book = wanted.as_ref().is_some_and(|config| validate(config).is_ok());
        let taken = compiler.apply(change.clone(), step);
        assert_eq!(taken.is_ok(), by_the_book, "seed {seed}, step {step}: {change:?}: {taken:?}");
        results[usize::from(by_the_book)] += 1;
        if !by_the_book {
            assert_eq!(compiler.table().version(), before.version());
            continue;
        }
        let mut rebuilt = Compiler::new();
        rebuilt.replace(wanted.expect("by the book"), step).expect("it is right");
        let (table, naive) = (compiler.table(), rebuilt.table());
        assert_eq!(all_told(table), all_told(naive), "seed {seed}, step {step}: {change:?}");
        assert_eq!(lookups(table), lookups(naive), "seed {seed}, step {step}: {change:?}");
        let (counts, counts_naive) = (table.counts(), naive.counts());
        assert_eq!(
            (counts.frontends, counts.backends),
            (counts_naive.frontends, counts_naive.backends)
        );
        check_diff(&before, table);
        if step % 20 == 0 {
            check_diff(&kept, table);
            kept = table.clone();
        }
    }
    results
}

#[test]
fn changes_one_by_one_come_to_the_same_table_as_the_whole_at_once() {
    if let Ok(seed) = std::env::var("BERTH_BALANCER_SEED") {
        run(seed.parse().expect("a number"));
        return;
    }
    let mut results = [0, 0];
    for seed in 0..60 {
        let [refused, taken] = run(seed);
        results = [results[0] + refused, results[1] + taken];
    }
    assert!(results.iter().all(|count| *count > 1_000), "of both kinds: {results:?}");
}

#[test]
fn replacing_the_whole_comes_to_the_same_table_as_starting_with_it() {
    let mut random = Random::new(99);
    let mut compiler = Compiler::new();
    let mut taken = 0;
    for step in 0..1_500 {
        // The last one with some of its parts drawn anew, so that much stays.
        let mut config = compiler.config();
        for _ in 0..=random.below(4) {
            let change = change(&mut random);
            config = applied(config.clone(), &change).unwrap_or(config);
        }
        let before = compiler.table().clone();
        if compiler.replace(config.clone(), step).is_err() {
            assert_eq!(compiler.table().version(), before.version());
            continue;
        }
        taken += 1;
        let mut fresh = Compiler::new();
        fresh.replace(config, step).expect("it is right");
        assert_eq!(all_told(compiler.table()), all_told(fresh.table()), "step {step}");
        assert_eq!(lookups(compiler.table()), lookups(fresh.table()), "step {step}");
        check_diff(&before, compiler.table());
    }
    assert!(taken > 300, "{taken}");
}

#[test]
fn a_batch_is_as_its_changes_one_by_one_or_as_if_it_had_never_been() {
    let mut random = Random::new(7);
    let mut compiler = Compiler::new();
    let mut results = [0, 0];
    for step in 0..1_200 {
        let batch: Vec<Change> = (0..random.below(5)).map(|_| change(&mut random)).collect();
        let before = compiler.clone();
        let mut single = compiler.clone();
        let mut right = true;
        for change in &batch {
            right &= single.apply(change.clone(), step).is_ok();
        }
        let taken = compiler.apply_all(batch.clone(), step);
        assert_eq!(taken.is_ok(), right, "step {step}: {batch:?}: {taken:?}");
        // The whole of it: what is wanted, the table, which ids are free.
        let expected = if right { &single } else { &before };
        assert_eq!(format!("{compiler:?}"), format!("{expected:?}"), "step {step}: {batch:?}");
        results[usize::from(right)] += 1;
    }
    assert!(results.iter().all(|count| *count > 150), "of both kinds: {results:?}");
}
