// SPDX-License-Identifier: Apache-2.0
//! Large updates: work that grows with the square of them would take minutes here, and is a failure.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use berth_balancer_core::model::{
    Endpoint, EndpointPort, Name, Protocol, Service, ServicePort, Settings,
};
use berth_balancer_core::{Change, Compiler};
use berth_balancer_service::choose::Available;
use berth_balancer_service::state::{Plan, State, Told};
use berth_balancer_service::wanted::{Common, Draft, EndpointUpdate, Origin, Owner, Update, Wish};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Time on a processor of the thread that asks: how busy the machine is otherwise does not count.
fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// Many times what these take, and a part of what 10^10 steps do.
const MOST: Duration = Duration::from_secs(30);
const MANY: u32 = 100_000;

fn address(base: u32, number: u32) -> IpAddr {
    Ipv4Addr::from_bits(base + number).into()
}

fn endpoint(number: u32, port: u16) -> Endpoint {
    Endpoint {
        name: format!("e{number}").into(),
        address: address(0x0b00_0000, number),
        ports: vec![EndpointPort { name: "".into(), port }],
        ready: true,
        serving: true,
        terminating: false,
        node: None,
        zone: None,
        weight: 1,
    }
}

fn draft(number: u32, at: u32, endpoints: u32) -> Draft {
    let port = ServicePort { name: "".into(), protocol: Protocol::Tcp, port: 80, node_port: None };
    let service = Service {
        name: format!("s{number:05}").into(),
        cluster_ips: vec![address(0x0a00_0000, at)],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        ports: vec![port],
        settings: Settings::default().into(),
    };
    let endpoints = (0..endpoints).map(|number| endpoint(number, 81)).collect();
    Draft { wish: Wish { service, from_pool: false, endpoints }, origin: Origin::at("x") }
}

fn of(services: Vec<Draft>) -> Update {
    Update { services, replace: true, ..Update::new(Owner::Grpc) }
}

/// The state and the data plane's compiler.
#[derive(Default)]
struct Both {
    state: State,
    compiler: Compiler,
}

impl Both {
    fn take(&mut self, plan: Plan) -> Vec<Change> {
        let told = match plan.told.clone() {
            Told::Changes(changes) => changes,
            Told::Everything => panic!("all of it anew"),
        };
        self.state.commit(plan);
        self.compiler.apply_all(told.clone(), 0).unwrap();
        told
    }

    fn update(&mut self, update: Update) -> Vec<Change> {
        self.take(self.state.plan(update, &Available::default()).unwrap())
    }
}

#[test]
fn a_hundred_thousand_endpoints_of_one_service_are_loaded_changed_and_drained() {
    let mut both = Both::default();
    both.update(of(vec![draft(0, 0, MANY)]));
    assert_eq!(both.compiler.table().counts().backends, MANY);

    let service: Name = "s00000".into();
    let set =
        |endpoint| EndpointUpdate::Set { service: service.clone(), endpoint: Box::new(endpoint) };
    let endpoints = |endpoints| Update { endpoints, ..Update::new(Owner::Grpc) };
    for number in [0, MANY / 2, MANY - 1, MANY] {
        let told = both.update(endpoints(vec![set(endpoint(number, 82))]));
        assert!(
            matches!(&told[..], [Change::Endpoint { endpoint: one, .. }] if *one == endpoint(number, 82))
        );
    }
    // Half of them at once, each by itself: moved, gone, gone and back.
    let mut all = Vec::new();
    for number in (0..MANY).step_by(2) {
        let remove = EndpointUpdate::Remove {
            service: service.clone(),
            endpoint: format!("e{number}").into(),
        };
        match number % 6 {
            0 => all.push(set(endpoint(number, 83))),
            2 => all.push(remove),
            _ => all.extend([remove, set(endpoint(number, 84))]),
        }
    }
    both.update(endpoints(all));
    let port = |number: u32| {
        let name = format!("e{number}");
        both.compiler.endpoints(&service).find(|e| *e.name == *name).map(|e| e.ports[0].port)
    };
    assert_eq!([port(1), port(6), port(8), port(10)], [Some(81), Some(83), None, Some(84)]);
    let left = both.compiler.endpoints(&service).count();
    assert_eq!(left, 83_334);

    let names: Vec<Name> =
        (0..MANY).filter(|n| n % 2 == 1).map(|n| format!("e{n}").into()).collect();
    for (drain, count) in [(true, left - names.len()), (false, left)] {
        let plan = both.state.plan_drain(&service, &names, drain, &Available::default()).unwrap();
        both.take(plan);
        assert_eq!(both.compiler.endpoints(&service).count(), count);
    }
    assert!(spent() < MOST, "{:?}", spent());
}

#[test]
fn ten_thousand_services_that_each_take_the_address_of_the_next_are_one_order_of_changes() {
    let mut both = Both::default();
    let count = 10_000;
    both.update(of((0..count).map(|number| draft(number, number, 1)).collect()));
    // The last one goes to a free address, and each other one to that of the one behind it.
    let told = both.update(of((0..count).map(|number| draft(number, number + 1, 1)).collect()));
    assert_eq!(told.len(), count as usize);
    assert!(matches!(&told[0], Change::Service(service) if &*service.name == "s09999"));
    // In a ring there is no order.
    let ring = of((0..count).map(|number| draft(number, (number + 1) % count + 1, 1)).collect());
    let plan = both.state.plan(ring, &Available::default()).unwrap();
    assert_eq!(plan.told, Told::Everything);
    assert!(spent() < MOST, "{:?}", spent());
}

#[test]
fn ten_thousand_services_get_an_address_each_and_keep_it() {
    let mut both = Both::default();
    let count = 10_000;
    let wanted = |number| {
        let mut draft = draft(number, number, 1);
        draft.wish.from_pool = true;
        draft
    };
    let pools = vec!["192.168.0.0/16".parse().unwrap()];
    let common = Some(Common { pools, ..Common::default() });
    let all = Update { common, ..of((0..count).map(wanted).collect()) };
    let given = |state: &State, number: u32| {
        let entry = state.entry(&format!("s{number:05}")).unwrap();
        entry.service.load_balancer_ips[0].to_string()
    };
    let plan = both.state.plan(all, &Available::default()).unwrap();
    both.state.commit(plan);
    assert_eq!(given(&both.state, 0), "192.168.0.1");
    assert_eq!(given(&both.state, count - 1), "192.168.39.16");
    // What another source asks for by number is not given; what one gives back, another one gets.
    let mut other = draft(count, count, 1);
    other.wish.service.load_balancer_ips = vec!["192.168.39.17".parse().unwrap()];
    let file = Update { services: vec![other], ..Update::new(Owner::File) };
    let plan = both.state.plan(file, &Available::default()).unwrap();
    both.state.commit(plan);
    let changed = Update {
        services: vec![wanted(count + 1), wanted(count + 2)],
        remove: vec!["s00007".into()],
        ..Update::new(Owner::Grpc)
    };
    let plan = both.state.plan(changed, &Available::default()).unwrap();
    both.state.commit(plan);
    assert_eq!(given(&both.state, count + 1), "192.168.0.8");
    assert_eq!(given(&both.state, count + 2), "192.168.39.18");
    // One that is changed keeps its own.
    let mut one = wanted(5);
    one.wish.endpoints.clear();
    let one = Update { services: vec![one], ..Update::new(Owner::Grpc) };
    let plan = both.state.plan(one, &Available::default()).unwrap();
    both.state.commit(plan);
    assert_eq!(given(&both.state, 5), "192.168.0.6");
    assert!(spent() < MOST, "{:?}", spent());
}
