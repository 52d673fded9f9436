// SPDX-License-Identifier: Apache-2.0
//! Random rollouts in a small model, without an API: whatever happens in whatever order, no step breaks the limits, and in the end all is as
//! it was wanted, and nothing more is done. `BERTH_ROLLOUT_SEEDS` says how many.
#![allow(clippy::unwrap_used, reason = "what is not there is a failure of the test")]

use berth_cluster_client::{Id, Item, View};
use berth_cluster_controllers::deployment::plan::{Observed, Plan, plan};
use berth_cluster_controllers::deployment::sets::Set;
use berth_cluster_controllers::view::Micros;
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

/// A ReplicaSet: the object, and whether each of its pods is ready.
struct Modelled {
    object: Value,
    pods: Vec<bool>,
}

struct World {
    random: Random,
    deployment: Value,
    sets: BTreeMap<String, Modelled>,
    number: u64,
    now: i64,
    surge: i64,
    unavailable: i64,
}

fn item<V: View>(object: &Value) -> Arc<Item<V>> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let id = Id { name: text("name").into(), uid: text("uid"), ..Id::default() };
    Arc::new(Item { id, view: V::read(object.to_string().as_bytes()).unwrap() })
}

fn count(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let (surge, unavailable) =
            [(1, 0), (0, 1), (2, 2), (3, 1), (0, 4)][usize::try_from(random.below(5)).unwrap()];
        let recreate = random.below(6) == 0;
        let strategy = if recreate {
            json!({ "type": "Recreate" })
        } else {
            json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable } })
        };
        let deployment = json!({
            "metadata": { "name": "d", "uid": "d", "generation": 1 },
            "spec": {
                "replicas": random.below(12), "strategy": strategy, "revisionHistoryLimit": 2, "progressDeadlineSeconds": 600, "paused": false,
                "selector": { "matchLabels": { "app": "a" } }, "template": { "metadata": { "labels": { "app": "a" } }, "spec": { "image": 0 } },
            },
        });
        Self {
            random,
            deployment,
            sets: BTreeMap::new(),
            number: 0,
            now: 1_800_000_000_000_000,
            surge,
            unavailable,
        }
    }

    fn observed(&self) -> Observed {
        Observed {
            deployment: item(&self.deployment),
            sets: self.sets.values().map(|set| item(&set.object)).collect(),
            running: self
                .sets
                .values()
                .filter(|set| !set.pods.is_empty())
                .map(|set| set.object["metadata"]["uid"].as_str().unwrap().to_owned())
                .collect(),
            now: Micros(self.now),
        }
    }

    fn wanted(&self) -> i64 {
        count(&self.deployment, "/spec/replicas")
    }

    fn rolls(&self) -> bool {
        self.deployment["spec"]["strategy"]["type"] != "Recreate"
    }

    /// Pods that are to be, and of those the ones that are known to be available.
    fn totals(&self) -> (i64, i64) {
        let sets = self.sets.values().map(|set| {
            let replicas = count(&set.object, "/spec/replicas");
            (replicas, replicas.min(count(&set.object, "/status/availableReplicas")))
        });
        sets.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    /// One step of the controller.
    fn sync(&mut self) -> Plan {
        let before = self.totals();
        let scaled = self.sets.values().any(|set| {
            let desired =
                set.object["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"]
                    .as_str();
            count(&set.object, "/spec/replicas") > 0
                && desired.is_some_and(|desired| desired != self.wanted().to_string())
        });
        let plan = plan(&self.observed());
        for set in plan.create.iter().chain(&plan.update) {
            self.put(set);
        }
        for set in &plan.delete {
            let gone = self.sets.remove(set.id.name.as_str()).unwrap();
            assert!(
                gone.pods.is_empty() && count(&gone.object, "/spec/replicas") == 0,
                "only what has nothing goes"
            );
        }
        if let Some(status) = &plan.status {
            let conditions: Vec<Value> = status.conditions.iter().map(|one| {
                let at = |time: Option<Micros>| time.map(|at| berth_cluster_client::clock::seconds(at.0));
                json!({
                    "type": one.kind, "status": one.status, "reason": one.reason, "message": one.message,
                    "lastTransitionTime": at(one.last_transition_time), "lastUpdateTime": at(one.last_update_time),
                })
            }).collect();
            self.deployment["status"] = json!({
                "observedGeneration": status.observed_generation, "replicas": status.replicas, "updatedReplicas": status.updated_replicas,
                "readyReplicas": status.ready_replicas, "availableReplicas": status.available_replicas,
                "unavailableReplicas": status.unavailable_replicas, "terminatingReplicas": status.terminating_replicas, "conditions": conditions,
            });
        }
        if let Some(revision) = &plan.revision {
            self.deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] =
                json!(revision);
        }
        let after = self.totals();
        if self.rolls() && !scaled {
            assert!(
                after.0 <= before.0.max(self.wanted() + self.surge),
                "{before:?} {after:?}: too many"
            );
            assert!(
                after.1 >= before.1.min(self.wanted() - self.unavailable),
                "{before:?} {after:?}: too few"
            );
        }
        plan
    }

    fn put(&mut self, set: &Set) {
        if set.item.is_none() {
            self.number += 1;
            let mut template = self.deployment["spec"]["template"].clone();
            template["metadata"]["labels"]["pod-template-hash"] = json!("x");
            let object = json!({
                "metadata": {
                    "name": set.name, "uid": format!("u{}", self.number), "generation": 1,
                    "creationTimestamp": berth_cluster_client::clock::seconds(self.now),
                },
                "spec": { "template": template, "selector": { "matchLabels": { "app": "a" } } },
            });
            let taken = self.sets.insert(set.name.clone(), Modelled { object, pods: Vec::new() });
            assert!(taken.is_none(), "no ReplicaSet is made twice");
        }
        let object = &mut self.sets.get_mut(&set.name).unwrap().object;
        object["spec"]["replicas"] = json!(set.replicas);
        object["spec"]["minReadySeconds"] = json!(set.min_ready_seconds);
        object["metadata"]["annotations"] = json!(set.annotations);
        object["metadata"]["generation"] = json!(count(object, "/metadata/generation") + 1);
    }

    /// A ReplicaSet gets its pods, and says how they are.
    fn replicate(&mut self, name: &str, says: bool) {
        let Some(set) = self.sets.get_mut(name) else { return };
        let wanted = usize::try_from(count(&set.object, "/spec/replicas")).unwrap();
        set.pods.sort_unstable();
        // Those that are not ready go first.
        let surplus = set.pods.len().saturating_sub(wanted);
        set.pods.drain(..surplus);
        set.pods.resize(wanted, false);
        if says {
            let ready = set.pods.iter().filter(|ready| **ready).count();
            set.object["status"] = json!({
                "replicas": set.pods.len(), "readyReplicas": ready, "availableReplicas": ready, "terminatingReplicas": 0,
                "observedGeneration": set.object["metadata"]["generation"],
            });
        }
    }

    fn any_set(&mut self) -> String {
        let at = self.random.below(self.sets.len().max(1) as u64);
        self.sets.keys().nth(usize::try_from(at).unwrap()).cloned().unwrap_or_default()
    }

    fn edit(&mut self, pointer: &str, value: Value) {
        if let Some(place) = self.deployment.pointer_mut(pointer) {
            *place = value;
        }
        let generation = count(&self.deployment, "/metadata/generation") + 1;
        self.deployment["metadata"]["generation"] = json!(generation);
    }

    fn step(&mut self) {
        self.now += 500_000;
        match self.random.below(40) {
            0 => {
                let image = self.random.below(4);
                self.edit("/spec/template/spec/image", json!(image));
            }
            1 => {
                let replicas = self.random.below(12);
                self.edit("/spec/replicas", json!(replicas));
            }
            2 => {
                let paused = self.random.below(2) == 0;
                self.edit("/spec/paused", json!(paused));
            }
            3..15 => drop(self.sync()),
            15..28 => {
                let (name, says) = (self.any_set(), self.random.below(3) > 0);
                self.replicate(&name, says);
            }
            number => {
                let name = self.any_set();
                let at = self.random.below(12);
                if let Some(set) = self.sets.get_mut(&name)
                    && let Some(pod) = set.pods.get_mut(usize::try_from(at).unwrap())
                {
                    *pod = number < 37;
                }
            }
        }
    }

    /// Nothing happens any more but what is to be done.
    fn settle(&mut self) {
        self.deployment["spec"]["paused"] = json!(false);
        for _ in 0..200 {
            self.now += 1_000_000;
            self.sync();
            for name in self.sets.keys().cloned().collect::<Vec<_>>() {
                self.replicate(&name, false);
                self.sets.get_mut(&name).unwrap().pods.fill(true);
                self.replicate(&name, true);
            }
        }
    }
}

#[test]
fn random_rollouts_keep_their_limits_and_end() {
    let seeds: u64 = std::env::var("BERTH_ROLLOUT_SEEDS").map_or(80, |text| text.parse().unwrap());
    for seed in 0..seeds {
        let mut world = World::new(seed);
        for _ in 0..300 {
            world.step();
        }
        let what = format!("seed {seed}");
        world.settle();
        let status = &world.deployment["status"];
        let wanted = world.wanted();
        for field in ["replicas", "updatedReplicas", "availableReplicas"] {
            assert_eq!(
                count(status, &format!("/{field}")),
                wanted,
                "{what}: {field} {:#}",
                world.deployment
            );
        }
        assert!(world.sets.len() <= 3, "{what}: two old ones are kept");
        let last = world.sync();
        let silent = last.create.is_none()
            && last.update.is_empty()
            && last.delete.is_empty()
            && last.status.is_none()
            && last.revision.is_none();
        assert!(silent, "{what}: {last:?}");
    }
}
