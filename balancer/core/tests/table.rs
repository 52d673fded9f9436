// SPDX-License-Identifier: Apache-2.0
//! What a table answers: who serves an address, which endpoints may serve, and what stays the same from table to table.

mod fixture;

use berth_balancer_core::model::{
    Config, Distribution, Endpoint, EndpointSet, Node, Protocol, Service, Settings, TrafficPolicy,
};
use berth_balancer_core::table::{Diff, Frontend, Served, Table, Via};
use berth_balancer_core::{Change, Compiler, Refusal, Worker};
use fixture::{
    SECOND, backend, compiled, compiled_on, config, endpoint, endpoints, frontend, port, request,
    service,
};

fn found(table: &Table, protocol: Protocol, address: &str) -> Option<(String, Via)> {
    let found = table.lookup(protocol, address.parse().expect("an address"))?;
    Some((format!("{}/{}", found.frontend.service, found.frontend.port), found.via))
}

#[test]
fn an_address_is_found_by_protocol_and_port() {
    let mut web = service("web", 1);
    web.cluster_ips.push("fd00::1".parse().unwrap());
    web.external_ips.push("198.51.100.1".parse().unwrap());
    web.load_balancer_ips.push("203.0.113.1".parse().unwrap());
    web.ports = vec![port("http", 80), port("dns", 53)];
    web.ports[1].protocol = Protocol::Udp;
    web.ports[0].node_port = Some(30_080);
    let node = Node {
        addresses: ["192.0.2.1", "::1", "127.0.0.1"].map(|ip| ip.parse().unwrap()).to_vec(),
        ..Node::default()
    };
    let mut compiler = Compiler::new();
    compiler.replace(Config { node, ..config(vec![(web, Vec::new())]) }, 0).unwrap();
    let table = compiler.table();
    let http = |via| Some(("web/http".to_owned(), via));
    let tcp = |address| found(table, Protocol::Tcp, address);
    assert_eq!(tcp("10.96.0.1:80"), http(Via::Cluster));
    assert_eq!(tcp("[::ffff:10.96.0.1]:80"), http(Via::Cluster), "as a dual-stack socket says it");
    assert_eq!(tcp("[fd00::1]:80"), http(Via::Cluster));
    assert_eq!(tcp("198.51.100.1:80"), http(Via::External));
    assert_eq!(tcp("203.0.113.1:80"), http(Via::LoadBalancer));
    for address in ["192.0.2.1:30080", "127.0.0.1:30080", "[::1]:30080", "[::ffff:192.0.2.1]:30080"]
    {
        assert_eq!(tcp(address), http(Via::NodePort), "{address}");
    }
    for address in ["192.0.2.2:30080", "192.0.2.1:30081", "192.0.2.1:80", "10.96.0.1:53"] {
        assert_eq!(tcp(address), None, "{address}");
    }
    let udp = |address| found(table, Protocol::Udp, address);
    assert_eq!(udp("10.96.0.1:53"), Some(("web/dns".to_owned(), Via::Cluster)));
    assert_eq!(udp("192.0.2.1:30080"), None);
}

#[test]
fn addresses_move_between_services_in_one_step() {
    let mut compiler = Compiler::new();
    compiler
        .replace(config(vec![(service("a", 1), vec![]), (service("b", 2), vec![])]), 0)
        .unwrap();
    let before = compiler.table().clone();
    compiler
        .replace(config(vec![(service("a", 2), vec![]), (service("b", 1), vec![])]), 1)
        .unwrap();
    let table = compiler.table().clone();
    let name = |table, address| found(table, Protocol::Tcp, address).map(|(name, _)| name);
    assert_eq!(name(&table, "10.96.0.1:80"), Some("b/".to_owned()));
    assert_eq!(name(&table, "10.96.0.2:80"), Some("a/".to_owned()));
    assert_eq!(name(&before, "10.96.0.1:80"), Some("a/".to_owned()), "a table never changes");
    let diff = Diff::between(&before, &table);
    assert_eq!((diff.served_moved.len(), diff.served_added.len()), (2, 0));
    assert_eq!((diff.served_removed.len(), diff.frontends_changed.len()), (0, 2));
    compiler.replace(config(vec![(service("b", 1), vec![])]), 2).unwrap();
    assert_eq!(name(compiler.table(), "10.96.0.2:80"), None);
    let diff = compiler.since(&before);
    assert_eq!(diff.frontends_removed.len(), 1);
    let gone = Served::At { address: "10.96.0.2:80".parse().unwrap(), via: Via::Cluster };
    assert_eq!(diff.served_removed.iter().map(|m| m.served).collect::<Vec<_>>(), [gone]);
}

/// Endpoints in letters: R ready, S serving and terminating, T terminating and not serving, N neither ready nor terminating; a
/// small letter is on another node.
fn letters(text: &str) -> Vec<Endpoint> {
    let one = |(letter, mut endpoint): (char, Endpoint)| {
        endpoint.ready = letter.eq_ignore_ascii_case(&'R');
        endpoint.serving = !letter.eq_ignore_ascii_case(&'T');
        endpoint.terminating =
            letter.eq_ignore_ascii_case(&'S') || letter.eq_ignore_ascii_case(&'T');
        endpoint.node = Some(if letter.is_uppercase() { "here" } else { "there" }.into());
        endpoint
    };
    text.chars().zip(endpoints(10)).map(one).collect()
}

fn here() -> Node {
    Node { name: Some("here".into()), zone: Some("z1".into()), ..Node::default() }
}

/// Places that may serve, tier by tier.
fn tiers(frontend: &Frontend, via: Via, inside: bool) -> Vec<Vec<u32>> {
    frontend.pool(via, inside).tiers.iter().map(|tier| tier.members.to_vec()).collect()
}

#[test]
fn terminating_endpoints_serve_where_none_is_ready() {
    let check = |text: &str, cluster: &[u32], local: &[u32]| {
        let settings = Settings { external_policy: TrafficPolicy::Local, ..Settings::default() };
        let compiler = compiled_on(here(), settings, letters(text));
        let frontend = frontend(&compiler);
        let last = |via| tiers(&frontend, via, false).pop().unwrap_or_default();
        assert_eq!((&*last(Via::Cluster), &*last(Via::External)), (cluster, local), "{text}");
        assert_eq!(frontend.local_ready(), text.matches('R').count());
    };
    // Ready ones, whatever else there is.
    check("RSTNr", &[0, 4], &[0]);
    // KEP-1669: none is ready.
    check("SsTtNn", &[0, 1], &[0]);
    // Ready ones elsewhere: Cluster takes them, Local falls back to its own.
    check("Srt", &[1], &[0]);
    // This node has none that serves.
    check("TNrs", &[2], &[]);
    check("TtNn", &[], &[]);
    check("", &[], &[]);
}

#[test]
fn who_has_no_endpoint_says_which_kind_of_none() {
    let settings = Settings { external_policy: TrafficPolicy::Local, ..Settings::default() };
    let refusal = |text: &str, via| {
        let compiler = compiled_on(here(), settings.clone(), letters(text));
        let frontend = frontend(&compiler);
        let request = berth_balancer_core::Request { via, ..request(0) };
        Worker::new(1).pick(&frontend, &request).err()
    };
    assert_eq!(refusal("r", Via::External), Some(Refusal::NoLocalEndpoint));
    assert_eq!(refusal("r", Via::Cluster), None);
    assert_eq!(refusal("n", Via::External), Some(Refusal::NoEndpoint));
    assert_eq!(refusal("n", Via::Cluster), Some(Refusal::NoEndpoint));
    assert_eq!(refusal("s", Via::NodePort), Some(Refusal::NoLocalEndpoint));
}

#[test]
fn policies_rule_their_own_way_in() {
    let (cluster, local) = (TrafficPolicy::Cluster, TrafficPolicy::Local);
    let all = |internal, external| {
        let settings = Settings {
            internal_policy: internal,
            external_policy: external,
            ..Settings::default()
        };
        let compiler = compiled_on(here(), settings, letters("Rr"));
        let frontend = frontend(&compiler);
        [(Via::Cluster, false), (Via::NodePort, false), (Via::LoadBalancer, true)]
            .map(|(via, inside)| tiers(&frontend, via, inside).pop().unwrap().len())
    };
    assert_eq!(all(cluster, cluster), [2, 2, 2]);
    assert_eq!(all(local, cluster), [1, 2, 2]);
    // From inside to an external address: the short way, to all.
    assert_eq!(all(cluster, local), [2, 1, 2]);
    assert_eq!(all(local, local), [1, 1, 2]);
}

#[test]
fn near_endpoints_come_first_and_far_ones_follow() {
    let mut six = endpoints(6);
    for (endpoint, (node, zone)) in six.iter_mut().zip([
        ("here", "z1"),
        ("there", "z1"),
        ("there", "z1"),
        ("far", "z2"),
        ("far", "z2"),
        ("far", "z3"),
    ]) {
        (endpoint.node, endpoint.zone) = (Some(node.into()), Some(zone.into()));
    }
    let check = |distribution, endpoints: Vec<Endpoint>, expected: &[&[u32]]| {
        let settings = Settings { distribution, ..Settings::default() };
        let frontend = frontend(&compiled_on(here(), settings, endpoints));
        assert_eq!(tiers(&frontend, Via::Cluster, false), expected);
    };
    let all: &[u32] = &[0, 1, 2, 3, 4, 5];
    check(Distribution::Any, six.clone(), &[all]);
    check(Distribution::PreferSameZone, six.clone(), &[&[0, 1, 2], all]);
    check(Distribution::PreferSameNode, six.clone(), &[&[0], &[0, 1, 2], all]);
    let far = six.split_off(3);
    check(Distribution::PreferSameNode, far, &[&[0, 1, 2]]);
    check(Distribution::PreferSameNode, six.clone(), &[&[0], &[0, 1, 2]]);
    // A node that does not know its zone prefers none, and endpoints without zone are in none.
    six[0].node = None;
    let settings = Settings { distribution: Distribution::PreferSameZone, ..Settings::default() };
    let frontend = frontend(&compiled(settings, six));
    assert_eq!(tiers(&frontend, Via::Cluster, false), [[0, 1, 2]]);
}

#[test]
fn an_endpoint_is_the_same_while_its_name_and_address_are() {
    let mut compiler = compiled(Settings::default(), endpoints(3));
    let id = |compiler: &Compiler, name| backend(&frontend(compiler), name).id;
    let first = ["e000", "e001", "e002"].map(|name| id(&compiler, name));
    let before = compiler.table().clone();
    let set = |compiler: &mut Compiler, endpoint| {
        compiler.apply(Change::Endpoint { service: "web".into(), endpoint }, SECOND).unwrap();
    };
    // Other weight, other readiness, a neighbour before it in the order: the same.
    let mut changed = endpoints(3).remove(1);
    (changed.weight, changed.ready) = (7, false);
    set(&mut compiler, changed);
    set(&mut compiler, endpoint("a", "10.0.9.9:80"));
    let diff = compiler.since(&before);
    assert_eq!(diff.backends_changed.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [first[1]]);
    assert_eq!((diff.backends_added.len(), diff.backends_removed.len()), (1, 0));
    assert_eq!(["e000", "e001", "e002"].map(|name| id(&compiler, name)), first);
    // Another address under the same name: another one.
    set(&mut compiler, endpoint("e001", "10.0.0.77:8080"));
    assert_ne!(id(&compiler, "e001"), first[1]);
    let diff = compiler.since(&before);
    assert_eq!(diff.backends_removed.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [first[1]]);
    assert_eq!(diff.backends_added.len(), 2);
    // The same name and address after it was gone: the same as long as its connections drain, then another one, also in the same
    // slot.
    let drain = Settings::default().drain_ns;
    for (leaves, comes, is_same) in
        [(SECOND, SECOND, true), (SECOND, drain, true), (2 * SECOND, drain + 2 * SECOND, false)]
    {
        let gone = Change::RemoveEndpoint { service: "web".into(), endpoint: "e000".into() };
        compiler.apply(gone, leaves).unwrap();
        let back = Change::Endpoint { service: "web".into(), endpoint: endpoints(1).remove(0) };
        compiler.apply(back, comes).unwrap();
        assert_eq!(id(&compiler, "e000") == first[0], is_same, "{leaves} {comes}");
    }
}

#[test]
fn health_stays_with_an_endpoint_and_touches_no_pool() {
    let mut compiler = compiled(Settings::default(), endpoints(3));
    let health = |compiler: &mut Compiler, healthy, now| {
        let (service, endpoint) = ("web".into(), "e001".into());
        let change = Change::Health { service, endpoint, port: "".into(), healthy };
        compiler.apply(change, now).unwrap();
    };
    health(&mut compiler, false, SECOND);
    assert!(!backend(&frontend(&compiler), "e001").is_healthy());
    let before = compiler.table().clone();
    health(&mut compiler, false, SECOND);
    assert!(compiler.since(&before).is_empty(), "nothing new");
    let mut endpoints = endpoints(3);
    endpoints[1].weight = 3;
    let set = EndpointSet { service: "web".into(), endpoints };
    compiler.apply(Change::Endpoints(set), 2 * SECOND).unwrap();
    assert!(!backend(&frontend(&compiler), "e001").is_healthy(), "the same endpoint");
    assert_eq!(tiers(&frontend(&compiler), Via::Cluster, false), [[0, 1, 2]]);
    health(&mut compiler, true, 9 * SECOND);
    let now = frontend(&compiler);
    assert_eq!(backend(&now, "e001").since_ns, 9 * SECOND, "it starts slowly again");
    assert_eq!(backend(&now, "e000").since_ns, 0);
}

#[test]
fn a_port_that_a_service_lost_leaves_its_endpoints_dormant() {
    let mut compiler = Compiler::new();
    let two = Service { ports: vec![port("a", 80), port("b", 81)], ..service("web", 1) };
    let mut one = endpoint("e", "10.0.0.1:8080");
    one.ports[0].name = "b".into();
    compiler.replace(config(vec![(two.clone(), vec![one])]), 0).unwrap();
    let first = Service { ports: vec![port("a", 80)], ..two.clone() };
    compiler.apply(Change::Service(Box::new(first)), 1).unwrap();
    assert_eq!((compiler.table().counts().frontends, compiler.table().counts().backends), (1, 0));
    compiler.apply(Change::Service(Box::new(two)), 2).unwrap();
    assert_eq!((compiler.table().counts().frontends, compiler.table().counts().backends), (2, 1));
}

#[test]
fn what_is_the_same_is_shared() {
    let mut compiler = Compiler::new();
    let many = (0..500).map(|n| (service(&format!("s{n}"), n), vec![])).collect();
    compiler.replace(config(many), 0).unwrap();
    let before = compiler.table().clone();
    let change =
        Change::Endpoint { service: "s250".into(), endpoint: endpoint("e", "10.0.0.1:80") };
    compiler.apply(change, 1).unwrap();
    let mut different = 0;
    compiler.table().each(|new| {
        let old = before.frontend(new.id).expect("it was there");
        different += usize::from(!std::sync::Arc::ptr_eq(old, new));
    });
    assert_eq!(different, 1);
    let again = compiler.config();
    let before = compiler.table().clone();
    compiler.replace(again, 2).unwrap();
    assert!(compiler.since(&before).is_empty(), "the same again is no change");
}

#[test]
fn an_address_of_another_kind_keeps_its_listener() {
    let mut compiler = Compiler::new();
    compiler.replace(config(vec![(service("a", 1), vec![])]), 0).unwrap();
    let before = compiler.table().clone();
    let mut other = service("a", 1);
    other.external_ips = core::mem::take(&mut other.cluster_ips);
    compiler.apply(Change::Service(Box::new(other)), 1).unwrap();
    assert_eq!(found(compiler.table(), Protocol::Tcp, "10.96.0.1:80").unwrap().1, Via::External);
    let diff = compiler.since(&before);
    let counts = (diff.served_added.len(), diff.served_removed.len(), diff.served_moved.len());
    assert_eq!(counts, (0, 0, 1));
}

#[test]
fn tables_are_shared_and_workers_are_sent() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Table>();
    sent::<Worker>();
    sent::<Compiler>();
    sent::<berth_balancer_core::Ticket>();
}

#[test]
fn each_fact_of_an_endpoint_alone_is_a_change() {
    let facts: [fn(&mut Endpoint); 6] = [
        |endpoint| endpoint.weight = 9,
        |endpoint| endpoint.ready = false,
        |endpoint| endpoint.serving = false,
        |endpoint| endpoint.terminating = true,
        |endpoint| endpoint.node = Some("here".into()),
        |endpoint| endpoint.zone = Some("z1".into()),
    ];
    for (number, change) in facts.into_iter().enumerate() {
        let mut compiler = compiled_on(here(), Settings::default(), endpoints(2));
        let before = compiler.table().clone();
        let mut endpoint = endpoints(2).remove(1);
        change(&mut endpoint);
        compiler.apply(Change::Endpoint { service: "web".into(), endpoint }, 1).unwrap();
        let diff = compiler.since(&before);
        assert_eq!(diff.backends_changed.len(), 1, "fact {number}");
        assert_eq!(diff.frontends_changed.len(), 1, "fact {number}");
    }
}
