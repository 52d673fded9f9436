// SPDX-License-Identifier: Apache-2.0
//! Random Services in a small model, without an API: slices hold what they are to, change little, and then no more.
#![allow(clippy::unwrap_used, reason = "what is not there is a failure of the test")]

use berth_cluster_client::{Id, Item, View};
use berth_cluster_controllers::endpoint_slice::plan::{ENDPOINTS_MAX, Observed, Wanted, plan};
use berth_cluster_controllers::serving::Place;
use berth_cluster_controllers::view::{Pod, Service, Slice};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One seed, one sequence (splitmix64, Steele et al. 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn item<V: View>(name: &str, object: &Value) -> Arc<Item<V>> {
    let id = Id { namespace: "n".into(), name: name.into(), uid: name.to_owned(), ..Id::default() };
    Arc::new(Item { id, view: V::read(object.to_string().as_bytes()).unwrap() })
}

fn service() -> Arc<Item<Service>> {
    item(
        "s",
        &json!({ "spec": {
        "clusterIP": "10.0.0.1", "selector": { "app": "a" }, "ipFamilies": ["IPv4"],
        "ports": [{ "name": "web", "port": 80, "protocol": "TCP", "targetPort": "http" }],
    } }),
    )
}

/// A pod: on one of two ports, ready or not.
fn pod(number: u64, port: u16, ready: bool) -> Arc<Item<Pod>> {
    let ip = format!("10.1.{}.{}", number / 250, number % 250 + 1);
    item(
        &format!("p{number}"),
        &json!({
            "metadata": { "labels": { "app": "a" } },
            "spec": { "nodeName": "n1", "containers": [{ "ports": [{ "name": "http", "containerPort": port }] }] },
            "status": { "phase": "Running", "podIP": ip, "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
        }),
    )
}

fn slice(name: &str, wanted: &Wanted) -> Arc<Item<Slice>> {
    item(
        name,
        &json!({
            "metadata": { "labels": wanted.labels, "ownerReferences": [{ "uid": "s", "controller": true }] },
            "addressType": wanted.family, "endpoints": wanted.endpoints, "ports": wanted.ports,
        }),
    )
}

#[test]
fn slices_follow_pods_with_few_changes_and_then_are_silent() {
    for seed in 0..10 {
        let mut random = Random(seed);
        let mut pods: BTreeMap<u64, (u16, bool)> = BTreeMap::new();
        let mut slices: BTreeMap<String, Arc<Item<Slice>>> = BTreeMap::new();
        let mut made = 0;
        for round in 0..30 {
            let changes = [1, 3, 120, 400][usize::try_from(random.below(4)).unwrap()];
            for _ in 0..changes {
                let number = random.below(500);
                match random.below(4) {
                    0 => drop(pods.remove(&number)),
                    _ => {
                        let port = pods
                            .get(&number)
                            .map_or(if random.below(9) == 0 { 81 } else { 80 }, |known| known.0);
                        pods.insert(number, (port, random.below(3) > 0));
                    }
                }
            }
            let observe = |slices: &BTreeMap<String, Arc<Item<Slice>>>| Observed {
                service: service(),
                pods: pods
                    .iter()
                    .map(|(number, (port, ready))| {
                        (pod(*number, *port, *ready), Some(Place::default()))
                    })
                    .collect(),
                slices: slices.values().cloned().collect(),
            };
            let plan_now = plan(&observe(&slices));
            let writes = plan_now.create.len() + plan_now.update.len() + plan_now.delete.len();
            assert!(
                writes <= changes + 2,
                "seed {seed} round {round}: {writes} writes for {changes} changes"
            );
            for wanted in &plan_now.create {
                made += 1;
                slices.insert(format!("s{made}"), slice(&format!("s{made}"), wanted));
            }
            for (old, wanted) in &plan_now.update {
                slices.insert(old.id.name.to_string(), slice(&old.id.name, wanted));
            }
            for old in &plan_now.delete {
                slices.remove(old.id.name.as_str());
            }
            let mut listed: Vec<String> = slices
                .values()
                .flat_map(|slice| {
                    assert!(slice.view.endpoints.len() <= ENDPOINTS_MAX);
                    slice.view.endpoints.iter().map(|one| {
                        format!(
                            "{} {:?} {:?}",
                            one.target_ref.as_ref().unwrap().name,
                            slice.view.ports[0].port,
                            one.conditions.ready
                        )
                    })
                })
                .collect();
            listed.sort();
            let mut wanted: Vec<String> = pods
                .iter()
                .map(|(number, (port, ready))| {
                    format!("p{number} {:?} {:?}", Some(*port), Some(*ready))
                })
                .collect();
            wanted.sort();
            assert_eq!(listed, wanted, "seed {seed} round {round}");
            let again = plan(&observe(&slices));
            assert!(
                again.create.is_empty() && again.update.is_empty() && again.delete.is_empty(),
                "seed {seed} round {round}"
            );
            assert!(!slices.is_empty(), "there is always one");
        }
    }
}
