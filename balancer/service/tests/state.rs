// SPDX-License-Identifier: Apache-2.0
//! What sources want, merged: any sequence of updates, their changes applied one after the other, comes to the table that is made of
//! the end from nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use berth_balancer_core::model::{Cidr, Config, Endpoint, EndpointPort, Name, Node, Protocol};
use berth_balancer_core::model::{Service, ServicePort, Settings, Timeouts};
use berth_balancer_core::{Change, Compiler, Random};
use berth_balancer_service::choose::{Available, Replies};
use berth_balancer_service::state::{Plan, State, Told};
use berth_balancer_service::wanted::{Common, Draft, EndpointUpdate, Origin, Owner, Update, Wish};
use std::net::Ipv4Addr;

fn available() -> Available {
    Available {
        fast: Ok(()),
        proxy_keep: Ok(()),
        replies: Replies::ThroughNode,
        ..Available::default()
    }
}

fn address(base: u32, number: u32) -> std::net::IpAddr {
    Ipv4Addr::from_bits(base + number).into()
}

fn endpoint(number: u32, ports: &[ServicePort], random: &mut Random) -> Endpoint {
    let port = |own: &ServicePort| EndpointPort { name: own.name.clone(), port: 8000 };
    Endpoint {
        name: format!("e{number}").into(),
        // Few addresses: they move between endpoints, and services get them.
        address: address(0x0a60_0000, random.below(12)),
        ports: ports.iter().map(port).collect(),
        ready: random.below(4) > 0,
        serving: true,
        terminating: false,
        node: None,
        zone: None,
        weight: 1 + random.below(2),
    }
}

fn wish(number: u32, random: &mut Random) -> Wish {
    let port = |at: u32, random: &mut Random| ServicePort {
        name: if at == 0 { "".into() } else { format!("p{at}").into() },
        protocol: if random.below(4) == 0 { Protocol::Udp } else { Protocol::Tcp },
        port: *[80, 443, 8000].get(random.below(3) as usize).unwrap(),
        node_port: (random.below(4) == 0).then(|| 30_000 + u16::try_from(random.below(6)).unwrap()),
    };
    let mut ports = vec![port(0, random)];
    if random.below(3) == 0 {
        let first = ServicePort { name: "p0".into(), ..ports.remove(0) };
        ports = vec![first, port(1, random)];
    }
    let service = Service {
        name: format!("s{number}").into(),
        cluster_ips: vec![address(0x0a60_0000, random.below(12))],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        ports: ports.clone(),
        settings: Settings { drain_ns: u64::from(random.below(2)), ..Settings::default() }.into(),
    };
    let from_pool = random.below(4) == 0;
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for number in 0..random.below(4) {
        let one = endpoint(number, &ports, random);
        if endpoints.iter().all(|other| other.address != one.address) {
            endpoints.push(one);
        }
    }
    Wish { service, from_pool, endpoints }
}

fn update(random: &mut Random, state: &State) -> Update {
    let owner = if random.below(5) == 0 { Owner::Grpc } else { Owner::File };
    let mut update = Update::new(owner);
    update.replace = random.below(6) == 0;
    for _ in 0..random.below(4) {
        let wish = wish(random.below(8), random);
        update.services.push(Draft { wish, origin: Origin::at("x") });
    }
    // Two services that swap their addresses.
    let entries: Vec<_> = state.entries().values().filter(|e| e.owner == owner).collect();
    if entries.len() >= 2 && random.below(3) == 0 {
        let (mut a, mut b) = (Wish::clone(&entries[0].wish), Wish::clone(&entries[1].wish));
        std::mem::swap(&mut a.service.cluster_ips, &mut b.service.cluster_ips);
        update.services = [a, b].map(|wish| Draft { wish, origin: Origin::at("x") }).into();
    }
    if random.below(4) == 0 {
        update.remove.push(format!("s{}", random.below(8)).into());
    }
    if random.below(2) == 0
        && let Some(entry) = entries.first()
    {
        let service = entry.service.name.clone();
        let one = endpoint(random.below(4), &entry.service.ports, random);
        update.endpoints.push(if random.below(3) == 0 {
            EndpointUpdate::Remove { service, endpoint: one.name }
        } else {
            EndpointUpdate::Set { service, endpoint: Box::new(one) }
        });
    }
    if random.below(8) == 0 {
        let node = Node {
            name: Some("n".into()),
            addresses: vec![address(0x0a60_0000, random.below(14))],
            ..Node::default()
        };
        let pools: Vec<Cidr> = vec!["203.0.113.0/30".parse().unwrap()];
        update.common = Some(Common { node, pools, external_ips: false });
    }
    update
}

/// What the data plane should have, in its order.
fn effective(state: &State) -> Config {
    let mut config = state.config();
    for set in &mut config.endpoints {
        set.endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    }
    config
}

/// Does what a plan says; whether that was to tell everything anew.
fn take(state: &mut State, compiler: &mut Compiler, plan: Plan, seed: u64) -> bool {
    let told = plan.told.clone();
    state.commit(plan);
    match &told {
        Told::Everything => compiler.replace(state.config(), 0).unwrap(),
        Told::Changes(changes) => {
            for change in changes {
                compiler.apply(change.clone(), 0).unwrap_or_else(|problems| {
                    panic!("seed {seed}: {change:?}: {problems:?} among {changes:#?}")
                });
            }
        }
    }
    assert_eq!(compiler.config(), effective(state), "seed {seed}");
    told == Told::Everything
}

#[test]
fn changes_one_after_the_other_come_to_the_same_as_all_at_once() {
    let (mut taken, mut refused, mut anew) = (0, 0, 0);
    for seed in 0..600 {
        let mut random = Random::new(seed);
        let (mut state, mut compiler) = (State::default(), Compiler::new());
        for _ in 0..30 {
            let update = update(&mut random, &state);
            let before = effective(&state);
            match state.plan(update, &available()) {
                Ok(plan) => {
                    taken += 1;
                    anew += u32::from(take(&mut state, &mut compiler, plan, seed));
                }
                Err(problems) => {
                    assert!(!problems.is_empty());
                    assert_eq!(effective(&state), before, "a refusal leaves no trace");
                    refused += 1;
                }
            }
            if random.below(6) == 0
                && let Some(entry) = state.entries().values().next().cloned()
            {
                let names: Vec<Name> =
                    entry.wish.endpoints.iter().take(1).map(|e| e.name.clone()).collect();
                let drain = random.below(2) == 0;
                let name = &entry.service.name;
                // Out of a pool that is gone, a service cannot be judged anew: that is said.
                if let Ok(plan) = state.plan_drain(name, &names, drain, &available()) {
                    take(&mut state, &mut compiler, plan, seed);
                }
            }
        }
        // And from nothing.
        let mut fresh = Compiler::new();
        fresh.replace(effective(&state), 0).unwrap();
        assert_eq!(fresh.config(), compiler.config());
        assert_eq!(fresh.table().counts().backends, compiler.table().counts().backends);
    }
    println!("{taken} taken, {anew} of them as a whole, {refused} refused");
    assert!(taken > 5_000 && refused > 1_000 && anew > 100 && anew * 3 < taken);
}

fn draft(name: &str, address: &str) -> Draft {
    let mut random = Random::new(1);
    let mut wish = wish(0, &mut random);
    wish.service.name = name.into();
    wish.service.cluster_ips = vec![address.parse().unwrap()];
    wish.service.ports =
        vec![ServicePort { name: "".into(), protocol: Protocol::Tcp, port: 80, node_port: None }];
    (wish.from_pool, wish.endpoints) = (false, Vec::new());
    Draft { wish, origin: Origin::at(format!("services[\"{name}\"]")) }
}

fn of(owner: Owner, services: Vec<Draft>) -> Update {
    Update { services, replace: true, ..Update::new(owner) }
}

fn told(state: &State, update: Update) -> Vec<String> {
    let problems = state.plan(update, &available()).err().unwrap_or_default();
    problems.list.iter().map(ToString::to_string).collect()
}

#[test]
fn a_service_belongs_to_who_brought_it() {
    let mut state = State::default();
    let plan = state.plan(of(Owner::File, vec![draft("a", "10.0.0.1")]), &available()).unwrap();
    state.commit(plan);
    let grpc = of(Owner::Grpc, vec![draft("b", "10.0.0.2")]);
    let plan = state.plan(grpc, &available()).unwrap();
    assert_eq!(plan.summary.services_removed, 0, "the file's service stays");
    state.commit(plan);
    assert_eq!(
        told(&state, of(Owner::Grpc, vec![draft("a", "10.0.0.3")])),
        ["services[\"a\"].name: \"a\" belongs to the configuration file"]
    );
    assert_eq!(
        told(&state, of(Owner::Grpc, vec![draft("c", "10.0.0.1")])),
        ["services[\"c\"].addresses[0]: TCP 10.0.0.1:80 belongs to \"a\" already"]
    );
    let remove = Update { remove: vec!["a".into(), "gone".into()], ..Update::new(Owner::Grpc) };
    assert_eq!(
        told(&state, remove),
        ["remove[0]: \"a\" belongs to the configuration file"],
        "and what is gone already is gone"
    );
    let plan = state.plan(of(Owner::File, Vec::new()), &available()).unwrap();
    assert_eq!(plan.told, Told::Changes(vec![Change::RemoveService("a".into())]));
}

#[test]
fn services_that_share_an_address_take_one_path() {
    let on = |name: &str, port: u16, proxy: bool| {
        let mut draft = draft(name, "10.0.0.1");
        draft.wish.service.ports[0].port = port;
        let first_byte_ns = proxy.then_some(1_000_000_000);
        let timeouts = Timeouts { first_byte_ns, ..Timeouts::default() };
        draft.wish.service.settings = Settings { timeouts, ..Settings::default() }.into();
        draft
    };
    let said = "services[\"b\"].path: \"a\" has 10.0.0.1 too and is on the other path (nothing asked for needs the \
                proxy; here: only the proxy path has timeouts.first_byte); say path: proxy for both";
    // At once, and one after the other.
    let mut state = State::default();
    let both = of(Owner::Grpc, vec![on("a", 80, false), on("b", 81, true)]);
    assert_eq!(told(&state, both), [said]);
    let plan = state.plan(of(Owner::Grpc, vec![on("a", 80, false)]), &available()).unwrap();
    state.commit(plan);
    let other = Update { services: vec![on("b", 81, true)], ..Update::new(Owner::Grpc) };
    assert_eq!(told(&state, other), [said]);
    let other = Update { services: vec![on("b", 81, false)], ..Update::new(Owner::Grpc) };
    assert_eq!(told(&state, other), Vec::<String>::new());
    let both = of(Owner::Grpc, vec![on("a", 80, true), on("b", 81, true)]);
    assert_eq!(told(&state, both), Vec::<String>::new());
}

#[test]
fn one_endpoint_is_one_change_of_one_service() {
    let mut state = State::default();
    let plan = state.plan(of(Owner::Grpc, vec![draft("a", "10.0.0.1")]), &available()).unwrap();
    state.commit(plan);
    let ports = state.entry("a").unwrap().service.ports.clone();
    let one = Endpoint { weight: 3, ..endpoint(1, &ports, &mut Random::new(3)) };
    let set = |one: &Endpoint| {
        let endpoints =
            vec![EndpointUpdate::Set { service: "a".into(), endpoint: Box::new(one.clone()) }];
        Update { endpoints, ..Update::new(Owner::Grpc) }
    };
    let plan = state.plan(set(&one), &available()).unwrap();
    assert_eq!(
        plan.told,
        Told::Changes(vec![Change::Endpoint { service: "a".into(), endpoint: one.clone() }])
    );
    state.commit(plan);
    assert!(state.plan(set(&one), &available()).unwrap().is_empty(), "the same again is nothing");
    let wrong = Endpoint { weight: 0, ..one };
    assert_eq!(
        told(&state, set(&wrong)),
        ["endpoints[0].set.weight: 0 is not between 1 and 65535"]
    );
    let unknown = EndpointUpdate::Remove { service: "a".into(), endpoint: "x".into() };
    let nobody = EndpointUpdate::Remove { service: "b".into(), endpoint: "x".into() };
    let update = Update { endpoints: vec![unknown, nobody], ..Update::new(Owner::Grpc) };
    assert_eq!(
        told(&state, update),
        [
            "endpoints[0].remove: the service has no endpoint \"x\"",
            "endpoints[1].service: no service is called \"b\""
        ]
    );
}

#[test]
fn a_pool_that_is_used_up_says_so() {
    let mut state = State::default();
    let service = |number: u32| {
        let mut draft = draft(&format!("s{number}"), &format!("10.0.0.{number}"));
        draft.wish.from_pool = true;
        draft
    };
    let pools = vec!["203.0.113.0/30".parse().unwrap()];
    let common = Some(Common { pools, ..Common::default() });
    let all = |count: u32| Update {
        common: common.clone(),
        ..of(Owner::File, (0..count).map(service).collect())
    };
    assert_eq!(
        told(&state, all(3)),
        ["services[\"s2\"].load_balancer: no address is free in 203.0.113.0/30"]
    );
    let plan = state.plan(all(2), &available()).unwrap();
    state.commit(plan);
    let given = |state: &State, name: &str| state.entry(name).unwrap().service.load_balancer_ips[0];
    assert_eq!(given(&state, "s1").to_string(), "203.0.113.2");
    let only = of(Owner::File, vec![service(1), service(2)]);
    let plan = state.plan(only, &available()).unwrap();
    state.commit(plan);
    assert_eq!(given(&state, "s1").to_string(), "203.0.113.2", "it keeps what it has");
    assert_eq!(given(&state, "s2").to_string(), "203.0.113.1");
}

#[test]
fn who_says_nothing_of_the_node_leaves_it_to_who_does() {
    let named = |name: &str| {
        let node = Node { name: Some(name.into()), ..Node::default() };
        Some(Common { node, ..Common::default() })
    };
    let says = |owner, common| Update { common, ..of(owner, Vec::new()) };
    let mut state = State::default();
    for (owner, common, want) in [
        (Owner::File, Some(Common::default()), None),
        (Owner::Kubernetes, named("n1"), Some("n1")),
        (Owner::File, Some(Common::default()), Some("n1")),
        (Owner::Kubernetes, named("n2"), Some("n2")),
    ] {
        let plan = state.plan(says(owner, common), &available()).unwrap();
        state.commit(plan);
        assert_eq!(state.common().node.name.as_deref(), want, "{owner}");
    }
    assert_eq!(
        told(&state, says(Owner::File, named("n3"))),
        ["node: belongs to Kubernetes already"]
    );
}
