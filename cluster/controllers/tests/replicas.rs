// SPDX-License-Identifier: Apache-2.0
//! ReplicaSets whose informer lags behind, in a small model without an API: no pod is made twice for one that is missing, and in the end there
//! are as many as were wanted. Without expectations the first of these would be false.
#![allow(clippy::unwrap_used, reason = "what is not there is a failure of the test")]

use berth_cluster_client::{Id, Item, View};
use berth_cluster_controllers::expectations::Expectations;
use berth_cluster_controllers::queue::Key;
use berth_cluster_controllers::replica_set::plan::{Change, Observed, change, claims};
use berth_cluster_controllers::view::{Micros, Pod, ReplicaSet};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// One seed, one sequence (splitmix64, Steele et al. 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }
}

fn item<V: View>(uid: String, object: &serde_json::Value) -> Arc<Item<V>> {
    let id = Id { namespace: "n".into(), name: uid.clone().into(), uid, ..Id::default() };
    Arc::new(Item { id, view: V::read(object.to_string().as_bytes()).unwrap() })
}

struct World {
    random: Random,
    replicas: usize,
    number: usize,
    truth: BTreeMap<String, Arc<Item<Pod>>>,
    seen: BTreeMap<String, Arc<Item<Pod>>>,
    /// Pods that came, and uids of those that went, which the informer has not shown yet.
    coming: VecDeque<Result<Arc<Item<Pod>>, String>>,
    expectations: Expectations,
    key: Key,
    time: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            replicas: 5,
            number: 0,
            truth: BTreeMap::new(),
            seen: BTreeMap::new(),
            coming: VecDeque::new(),
            expectations: Expectations::default(),
            key: Key::new("n", "set"),
            time: 0,
        }
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.time)
    }

    fn lose(&mut self, uid: &str) {
        if self.truth.remove(uid).is_some() {
            self.coming.push_back(Err(uid.to_owned()));
        }
    }

    fn show(&mut self) {
        match self.coming.pop_front() {
            Some(Ok(pod)) => {
                self.expectations.created(&self.key);
                self.seen.insert(pod.id.uid.clone(), pod);
            }
            Some(Err(uid)) => {
                self.expectations.deleted(&self.key, &uid);
                self.seen.remove(&uid);
            }
            None => {}
        }
    }

    /// One step of the controller, some of whose calls fail. True if there was something to do.
    fn sync(&mut self, fail: bool) -> bool {
        let object = json!({ "spec": { "replicas": self.replicas, "selector": { "matchLabels": { "app": "a" } } } });
        let set: Arc<Item<ReplicaSet>> = item("set".to_owned(), &object);
        let pods: Vec<_> = self.seen.values().cloned().collect();
        let settled = self.expectations.satisfied(&self.key, self.now());
        let observed = Observed {
            set,
            related: pods.clone(),
            going: BTreeSet::new(),
            pods,
            orphans: Vec::new(),
            settled,
            now: Micros(1),
        };
        let owned = claims(&observed).keep;
        match change(&observed, &owned) {
            Change::None => false,
            Change::Create(count) => {
                let expected = u32::try_from(count).unwrap();
                self.expectations.expect(&self.key, expected, [].into(), self.now());
                for _ in 0..count {
                    if fail && self.random.below(3) == 0 {
                        self.expectations.created(&self.key);
                        continue;
                    }
                    self.number += 1;
                    let pod = item(
                        format!("p{}", self.number),
                        &json!({ "metadata": { "labels": { "app": "a" } } }),
                    );
                    self.truth.insert(pod.id.uid.clone(), Arc::clone(&pod));
                    self.coming.push_back(Ok(pod));
                }
                assert!(
                    self.truth.len() <= self.replicas,
                    "{} of {}",
                    self.truth.len(),
                    self.replicas
                );
                true
            }
            Change::Delete(pods) => {
                let uids = pods.iter().map(|pod| pod.id.uid.clone()).collect();
                self.expectations.expect(&self.key, 0, uids, self.now());
                for pod in pods {
                    if fail && self.random.below(3) == 0 {
                        self.expectations.deleted(&self.key, &pod.id.uid);
                    } else if self.truth.contains_key(&pod.id.uid) {
                        self.lose(&pod.id.uid);
                    } else {
                        // It was gone already.
                        self.expectations.deleted(&self.key, &pod.id.uid);
                    }
                }
                true
            }
        }
    }
}

#[test]
fn a_stale_informer_never_leads_to_too_many_pods() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.time += 10;
            match world.random.below(20) {
                0 => world.replicas = world.random.below(9),
                1 => {
                    let at = world.random.below(world.truth.len().max(1));
                    if let Some(uid) = world.truth.keys().nth(at).cloned() {
                        world.lose(&uid);
                    }
                }
                2..9 => drop(world.sync(true)),
                _ => world.show(),
            }
        }
        for _ in 0..200 {
            world.time += 10;
            world.sync(false);
            world.show();
        }
        assert_eq!(world.truth.len(), world.replicas, "seed {seed}");
        assert!(!world.sync(false), "seed {seed}: nothing is left to do");
    }
}
