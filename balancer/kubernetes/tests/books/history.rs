// SPDX-License-Identifier: Apache-2.0
//! Random histories: whatever happens in whatever order, with repetitions, lists and updates that are not taken, the table that the control
//! plane ends with is the one that the objects of that moment make. Faults that are planted in between are found.

use crate::support::{around, endpoint, merge, read, service, slice};
use berth_balancer_kubernetes::view::{Pod, Service, Slice};
use berth_balancer_kubernetes::{Around, Books};
use berth_balancer_service::choose::Available;
use berth_balancer_service::state::State;
use berth_balancer_service::wanted::{EndpointUpdate, Update, Wish};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below as u64).unwrap()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.next(of.len())]
    }
}

/// What there is.
#[derive(Clone)]
struct World {
    around: Around,
    services: BTreeMap<String, Value>,
    slices: BTreeMap<String, Value>,
    pods: BTreeMap<String, Value>,
}

const SERVICES: [&str; 4] = ["api", "db", "web", "zoo"];

impl World {
    fn new() -> Self {
        let around = Around { external_ips: true, ..around() };
        let (services, slices, pods) = Default::default();
        Self { around, services, slices, pods }
    }

    /// Tells an object, as it is now.
    fn tell(&self, books: &mut Books, kind: char, name: &str) {
        let key = || ("d".into(), name.into());
        match kind {
            's' => books.service(key(), self.services.get(name).map(read::<Service>)),
            'e' => {
                books.slice("d".into(), name.into(), self.slices.get(name).map(read::<Slice>));
            }
            'p' => books.pod(key(), self.pods.get(name).map(read::<Pod>)),
            _ => books.around(self.around.clone()),
        }
    }

    /// Books of what there is, told in some order.
    fn books(&self, random: &mut Random) -> Books {
        let mut all: Vec<(char, &str)> = vec![('n', "")];
        all.extend(self.services.keys().map(|name| ('s', name.as_str())));
        all.extend(self.slices.keys().map(|name| ('e', name.as_str())));
        all.extend(self.pods.keys().map(|name| ('p', name.as_str())));
        let mut books = Books::new(around());
        while !all.is_empty() {
            let (kind, name) = all.swap_remove(random.next(all.len()));
            self.tell(&mut books, kind, name);
        }
        books
    }

    /// Something happens; what is told of it.
    fn step(&mut self, random: &mut Random) -> (char, String) {
        match random.next(10) {
            0..4 => {
                let name = format!("slice-{}", random.next(6));
                if random.next(4) == 0 {
                    self.slices.remove(&name);
                } else {
                    self.slices.insert(name.clone(), any_slice(random));
                }
                ('e', name)
            }
            4..7 => {
                let name = (*random.one(&SERVICES)).to_owned();
                if random.next(4) == 0 {
                    self.services.remove(&name);
                } else {
                    self.services.insert(name.clone(), any_service(random));
                }
                ('s', name)
            }
            7..9 => {
                let name = format!("pod-{}", random.next(3));
                if random.next(3) == 0 {
                    self.pods.remove(&name);
                } else {
                    self.pods.insert(name.clone(), any_pod(random));
                }
                ('p', name)
            }
            _ => {
                let zones = [None, Some("z1".into()), Some("z2".into())];
                self.around.zone.clone_from(random.one(&zones));
                let addresses = [&["127.0.0.1"][..], &["127.0.0.1", "192.168.7.2"], &[]];
                let addresses = random.one(&addresses).iter();
                self.around.addresses = addresses.map(|ip| ip.parse().unwrap()).collect();
                ('n', String::new())
            }
        }
    }
}

fn any_slice(random: &mut Random) -> Value {
    let states = ["ready", "not", "ending", "ended"];
    let hints = ["", " for=z1", " for=z2", " zone=z2", " node=n2 fornode=n2", " fornode=n1"];
    let count = random.next(4);
    let endpoints: Vec<Value> = (0..count)
        .map(|_| {
            let name = *random.one(&["a", "b", "c"]);
            let number = random.next(4) + 1;
            let (state, hint) = (*random.one(&states), *random.one(&hints));
            endpoint(&format!("{name} {number} {state}{hint}"))
        })
        .collect();
    let service = *random.one(&SERVICES);
    let mut slice = slice(service, &endpoints);
    let port = *random.one(&[8080, 9090]);
    slice["ports"] = match random.next(3) {
        0 => json!([{ "name": "", "port": port }]),
        1 => {
            json!([{ "name": "http", "port": port }, { "name": "dns", "port": 53, "protocol": "UDP" }])
        }
        _ => json!([{ "name": "http", "port": port }]),
    };
    if random.next(8) == 0 {
        slice["addressType"] = json!("IPv6");
    }
    slice
}

fn any_service(random: &mut Random) -> Value {
    let address = format!("10.96.0.{}", random.next(3) + 1);
    let node_port = *random.one(&[0, 0, 30080, 30081]);
    let ports = match random.next(3) {
        0 => json!([{ "port": 80, "nodePort": node_port }]),
        1 => json!([
            { "name": "http", "port": 80, "nodePort": node_port },
            { "name": "dns", "port": 53, "protocol": "UDP" },
        ]),
        _ => json!([{ "name": "http", "port": *random.one(&[80, 81]), "nodePort": node_port }]),
    };
    let mut more = json!({ "ports": ports });
    match random.next(6) {
        0 => more["sessionAffinity"] = json!("ClientIP"),
        1 => more["externalIPs"] = json!(["203.0.113.1", "10.96.0.1"]),
        2 => more["internalTrafficPolicy"] = json!("Local"),
        3 => merge(&mut more, &json!({ "clusterIP": "None", "clusterIPs": ["None"] })),
        _ => {}
    }
    let mut object = service(&address, &more);
    if random.next(2) == 0 {
        let ranges = *random.one(&[&["10.0.0.0/8"][..], &[]]);
        let ingress = *random.one(&["198.19.0.1", "198.19.0.2", "192.168.7.2"]);
        let balanced = json!({
            "spec": {
                "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000,
                "loadBalancerSourceRanges": ranges,
            },
            "status": { "loadBalancer": { "ingress": [{ "ip": ingress }] } },
        });
        merge(&mut object, &balanced);
    }
    object["metadata"]["creationTimestamp"] =
        json!(format!("2027-01-15T08:00:0{}Z", random.next(3)));
    object
}

fn any_pod(random: &mut Random) -> Value {
    let host = *random.one(&[30080, 80, 8080]);
    let at = *random.one(&["", "127.0.0.1", "203.0.113.1"]);
    json!({
        "metadata": { "creationTimestamp": format!("2027-01-15T08:00:0{}Z", random.next(3)) },
        "spec": {
            "nodeName": *random.one(&["n1", "n1", "n2"]),
            "containers": [{ "ports": [{ "hostPort": host, "containerPort": 80, "hostIP": at }] }],
        },
        "status": { "podIP": *random.one(&["10.1.0.7", "10.1.0.8", ""]) },
    })
}

/// A fault between the books and the control plane.
type Fault = fn(&mut Update, &mut Random);

/// One history; the step at which the tables differ, if they do.
fn history(seed: u64, fault: Fault) -> Result<(), String> {
    let mut random = Random(seed);
    let mut world = World::new();
    let mut books = Books::new(around());
    world.tell(&mut books, 'n', "");
    let (mut state, available) = (State::default(), Available::default());
    for step in 0..60 {
        let (kind, name) = world.step(&mut random);
        world.tell(&mut books, kind, &name);
        match random.next(12) {
            0 => world.tell(&mut books, kind, &name),
            1 => {
                // A list after a break: all that is there is told again.
                for name in world.slices.keys() {
                    world.tell(&mut books, 'e', name);
                }
                for name in world.services.keys() {
                    world.tell(&mut books, 's', name);
                }
            }
            2 => drop(books.plan()), // the control plane could not look at it
            3 => continue,           // more comes before it is told
            _ => {}
        }
        if let Some((mut update, planned)) = books.plan() {
            fault(&mut update, &mut random);
            let plan = state.plan(update, &available);
            let plan = plan.map_err(|problems| format!("step {step}: refused: {problems}"))?;
            state.commit(plan);
            books.commit(planned, |_, _| {});
        }
        let fresh = world.books(&mut random).wanted();
        same(&state, &fresh).map_err(|why| format!("step {step}: {why}"))?;
    }
    Ok(())
}

/// Whether the control plane has this table.
fn same(
    state: &State,
    fresh: &BTreeMap<std::sync::Arc<str>, std::sync::Arc<Wish>>,
) -> Result<(), String> {
    let sorted = |wish: &Wish| {
        let mut wish = wish.clone();
        wish.endpoints.sort_by(|a, b| a.name.cmp(&b.name));
        wish
    };
    let had: BTreeMap<_, _> =
        state.entries().iter().map(|(name, entry)| (name.clone(), sorted(&entry.wish))).collect();
    let want: BTreeMap<_, _> =
        fresh.iter().map(|(name, wish)| (name.clone(), sorted(wish))).collect();
    if had == want { Ok(()) } else { Err(format!("had\n{had:#?}\nwant\n{want:#?}")) }
}

fn rounds() -> u64 {
    std::env::var("BERTH_PROXY_ROUNDS").map_or(200, |text| text.parse().unwrap())
}

#[test]
fn whatever_happens_the_table_is_what_the_objects_make() {
    for seed in 0..rounds() {
        if let Err(why) = history(seed, |_, _| {}) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn planted_faults_are_found() {
    let lost_endpoint: Fault = |update, random| {
        if random.next(4) == 0 {
            update.endpoints.pop();
        }
    };
    let lost_removal: Fault = |update, random| {
        if random.next(4) == 0 {
            update.remove.pop();
        }
    };
    let still_ready: Fault = |update, _| {
        for one in &mut update.endpoints {
            if let EndpointUpdate::Set { endpoint, .. } = one {
                endpoint.ready = true;
            }
        }
    };
    let half: Fault = |update, random| {
        if !update.replace && random.next(3) == 0 {
            update.services.pop();
        }
    };
    for (name, fault) in [
        ("a lost endpoint", lost_endpoint),
        ("a lost removal", lost_removal),
        ("ready stays ready", still_ready),
        ("a lost service", half),
    ] {
        let found = (0..50).any(|seed| history(seed, fault).is_err());
        assert!(found, "{name} is not found");
    }
}
