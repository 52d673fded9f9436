// SPDX-License-Identifier: Apache-2.0
//! Random clusters: nodes and pods come, change and go, calls of the schedulers fail, are lost or late, schedulers are killed. At every
//! revision no node has more than it can take; a pod is bound once, and only where it may be; and when all is quiet nobody is forgotten.

use crate::{NODES, PODS, caller, node, pod, scheduler};
use berth_cluster_apiserver::{Faults, Fixed, Server};
use berth_cluster_client::{Api, CallError};
use berth_cluster_simulation::{Cluster, Random, checker};
use berth_cluster_store::Event;
use berth_scheduler_kubernetes::Replica;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn any_pod(random: &mut Random, name: &str) -> Value {
    let mut pod = pod(name, 100 * (1 + random.below(8)));
    let group = format!("g{}", random.below(3));
    pod["metadata"]["labels"] = json!({ "group": group });
    if random.one_in(4) {
        pod["spec"]["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
            { "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "group": group } } },
        ] } });
    }
    if random.one_in(5) {
        pod["spec"]["nodeSelector"] = json!({ "disk": "ssd" });
    }
    if random.one_in(6) {
        pod["spec"]["containers"][0]["ports"] = json!([{ "containerPort": 80, "hostPort": 8080 }]);
    }
    if random.one_in(4) {
        pod["spec"]["tolerations"] = json!([{ "key": "t", "operator": "Exists" }]);
    }
    pod
}

fn any_node(random: &mut Random, name: &str) -> Value {
    let mut node = node(name, 500 * (1 + random.below(5)));
    if random.one_in(2) {
        node["metadata"]["labels"]["disk"] = "ssd".into();
    }
    if random.one_in(4) {
        node["spec"] = json!({ "taints": [{ "key": "t", "effect": "NoSchedule" }] });
    }
    node
}

/// What a random run leaves behind.
struct Run {
    log: Vec<Arc<Event>>,
    bound: u64,
}

/// What is refused is no matter: a name that is taken, an object that is gone.
async fn may(call: impl Future<Output = Result<bytes::Bytes, CallError>>) {
    if let Err(error) = call.await {
        assert!(matches!(error.code(), Some(404 | 409)), "{error}");
    }
}

async fn run(seed: u64) -> Run {
    let cluster = Cluster::new().await;
    let mut random = Random(seed);
    let faults = Faults {
        unavailable: 60,
        too_many: 20,
        slow: 150,
        lost: 60,
        delay: Duration::from_millis(1_500),
    };
    // The schedulers' way to the store is a bad one.
    let environment = Arc::new(Fixed::new(berth_cluster_simulation::cluster::NOW, seed));
    let bad =
        Server::builder(cluster.store.clone()).environment(environment).faults(faults).build();
    let start = |cluster: &Cluster, number: u32| -> Replica {
        scheduler(cluster, Api::within(bad.clone(), caller()), &format!("s{number}"))
    };
    let mut schedulers = [start(&cluster, 0), start(&cluster, 1)];
    let (mut bound, mut started, mut nodes) = (0, 2, Vec::<String>::new());
    for step in 0..150 {
        let admin = cluster.admin();
        let body = |value: Value| berth_cluster_simulation::cluster::bytes(&value);
        match random.below(12) {
            // A name is used once: what is decided about a node is not decided about another one of its name.
            0 if nodes.len() < 8 => {
                let name = format!("n{step}");
                let object = any_node(&mut random, &name);
                may(admin.post(NODES, body(object))).await;
                nodes.push(name);
            }
            1 if nodes.len() > 2 && random.one_in(3) => {
                let at = usize::try_from(random.below(2)).unwrap();
                may(admin.delete(&format!("{NODES}/{}", nodes.remove(at)), None)).await;
            }
            2 | 3 => {
                let options = body(json!({ "gracePeriodSeconds": 0 }));
                may(admin.delete(&format!("{PODS}/p{}", random.below(60)), Some(options))).await;
            }
            4 if random.one_in(4) => {
                // A kill: nothing is given back, and another one comes.
                let at = usize::try_from(random.below(2)).unwrap();
                bound += schedulers[at].stats().bound();
                schedulers[at] = start(&cluster, started);
                started += 1;
            }
            5 => tokio::time::sleep(Duration::from_millis(u64::from(random.below(4_000)))).await,
            _ => {
                let name = format!("p{}", random.below(60));
                let object = any_pod(&mut random, &name);
                may(admin.post(PODS, body(object))).await;
            }
        }
        if step % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(u64::from(random.below(300)))).await;
        }
    }
    // All is quiet: longer than any backoff, and than the time after which all are tried again.
    tokio::time::sleep(Duration::from_mins(11)).await;
    bound += schedulers.iter().map(|one| one.stats().bound()).sum::<u64>();
    // Before the schedulers end, which give their Lease back.
    Run { log: checker::log(&cluster.store), bound }
}

#[tokio::test(start_paused = true)]
async fn random_clusters_hold_what_must_hold() {
    let rounds: u64 =
        std::env::var("BERTH_CLUSTER_ROUNDS").map_or(12, |text| text.parse().unwrap());
    let first: u64 = std::env::var("BERTH_CLUSTER_SEED").map_or(0, |text| text.parse().unwrap());
    let mut all = 0;
    for seed in first..first + rounds {
        let run = run(seed).await;
        let (state, broken) = checker::replay(&run.log);
        assert!(broken.is_empty(), "BERTH_CLUSTER_SEED={seed}: {broken:#?}");
        let forgotten = state.forgotten();
        assert!(forgotten.is_empty(), "BERTH_CLUSTER_SEED={seed}: SC-3: {forgotten:#?}");
        all += run.bound;
        assert!(state.bound() > 0, "BERTH_CLUSTER_SEED={seed}: pods were bound at all");
    }
    assert!(all > rounds * 20, "{all} bindings in {rounds} rounds are a load");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_log() {
    let (one, other) = (run(77).await, run(77).await);
    let [one, other] = [one, other].map(|run| checker::text(&run.log));
    let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert_eq!(differs, None);
    assert_eq!(one.len(), other.len());
}

#[tokio::test(start_paused = true)]
async fn the_checker_finds_what_is_broken() {
    let cluster = Cluster::new().await;
    cluster.make(NODES, node("n1", 1_000)).await;
    let mut tainted = node("n2", 1_000);
    tainted["spec"] = json!({ "taints": [{ "key": "t", "effect": "NoSchedule" }] });
    cluster.make(NODES, tainted).await;
    for (name, node) in [("a", "n1"), ("b", "n1"), ("c", "n2")] {
        cluster.make(PODS, pod(name, 600)).await;
        let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "kind": "Node", "name": node } });
        cluster.make(&format!("{PODS}/{name}/binding"), binding).await;
    }
    cluster.make(PODS, pod("d", 100)).await;
    let (state, broken) = checker::replay(&checker::log(&cluster.store));
    let text = broken.join("\n");
    assert!(text.contains("SC-1: b: n1 has 1000 of cpu and 1200 are taken"), "{text}");
    assert!(text.contains("SC-4: c: n2 has the taint"), "{text}");
    assert_eq!(broken.len(), 2, "{text}");
    assert!(state.forgotten().is_empty(), "n1 is full, n2 is tainted");
    cluster.delete(&format!("{PODS}/b"), json!({ "gracePeriodSeconds": 0 })).await;
    let (state, _) = checker::replay(&checker::log(&cluster.store));
    assert_eq!(state.forgotten(), ["\"d\" waits, and n1 would do"]);
}
