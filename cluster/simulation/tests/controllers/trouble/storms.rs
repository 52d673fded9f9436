// SPDX-License-Identifier: Apache-2.0
//! An apiserver that fails: now and then, always, or only in one way. Nobody asks for one thing more often than once a second, and when it
//! is over all comes to its end within the longest pause, without a restart.

use super::{BACKOFF_MAX, CONFIGS, DEPLOYMENTS, NODES, PODS, SETS, available, cool, deployment};
use crate::nodes::{nodes, pod, taints};
use berth_cluster_controllers::{CONTROLLERS, Controllers, Settings};
use berth_cluster_simulation::cluster::{bytes, replica_set, template};
use berth_cluster_simulation::door::{Door, Weather};
use berth_cluster_simulation::kubelet::{Fare, play_bound};
use berth_cluster_simulation::workloads::{self, Limits};
use berth_cluster_simulation::{Cluster, Random, checker};
use berth_scheduler_kubernetes::{Options, Replica};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const FARE: Fare =
    Fare { ready_after: Duration::from_millis(700), gone_after: Duration::from_millis(300) };
const WAYS: [&str; 2] = ["a", "b"];

/// All controllers and a scheduler, before a door.
struct Components {
    _controllers: Controllers,
    _scheduler: Replica,
    _nodes: JoinHandle<()>,
    lives: Vec<JoinHandle<()>>,
}

async fn start(cluster: &Cluster, door: &Door) -> Components {
    let names = CONTROLLERS.map(|(name, _)| name);
    let range = ("10.8.0.1".parse().unwrap(), "10.8.0.9".parse().unwrap());
    let settings = Settings { load_balancer_pool: vec![range], ..Settings::default() };
    let controllers = door.control_and_record(&names, settings);
    let options = Options { clock: cluster.clock, seed: 3, ..Options::default() };
    let scheduler = Replica::start(door.scheduler(), options, None);
    let lives = nodes(cluster, &["n1", "n2", "n3", "n4"]).await;
    for number in 1..5 {
        let room =
            json!({ "status": { "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "20" } } });
        cluster.change(&format!("{NODES}/n{number}/status"), room).await;
    }
    let nodes = play_bound(cluster, FARE);
    for name in WAYS {
        let service = json!({ "metadata": { "name": name }, "spec": { "type": "LoadBalancer", "selector": { "app": name }, "ports": [{ "port": 80 }] } });
        cluster.make(SERVICES, service).await;
        cluster.make(DEPLOYMENTS, deployment(name, name, 4)).await;
    }
    let owner = cluster.make(CONFIGS, json!({ "metadata": { "name": "owner" } })).await;
    let reference = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"] });
    let child = json!({ "metadata": { "name": "child", "ownerReferences": [reference] } });
    cluster.make(CONFIGS, child).await;
    cluster.until("all is there", well).await;
    Components { _controllers: controllers, _scheduler: scheduler, _nodes: nodes, lives }
}

/// Both applications are as they are wanted, and their Services have addresses.
async fn well(cluster: &Cluster) -> bool {
    for name in WAYS {
        let address =
            &cluster.get(&format!("{SERVICES}/{name}")).await["status"]["loadBalancer"]["ingress"];
        if address.is_null() || !available(cluster, &format!("{DEPLOYMENTS}/{name}")).await {
            return false;
        }
    }
    true
}

/// Another thing in the life of the cluster's owner.
async fn something(cluster: &Cluster, random: &mut Random, step: u32) {
    let name = WAYS[random.below(2) as usize];
    let path = format!("{DEPLOYMENTS}/{name}");
    match random.below(3) {
        0 => {
            let spec = template(name, &format!("i{step}"))["spec"].clone();
            cluster.change(&path, json!({ "spec": { "template": { "spec": spec } } })).await;
        }
        1 => {
            let replicas = 2 + random.below(6);
            cluster.change(&path, json!({ "spec": { "replicas": replicas } })).await;
        }
        _ => {
            let pods = cluster.list(PODS).await;
            let at = random.below(u32::try_from(pods.len()).unwrap()) as usize;
            let path = format!("{PODS}/{}", pods[at]["metadata"]["name"].as_str().unwrap());
            drop(cluster.admin().delete(&path, Some(bytes(&json!({})))).await);
        }
    }
}

/// What is not as it should be in the end.
fn unfinished(cluster: &Cluster) -> Vec<String> {
    let limits = Limits { surge: 100, unavailable: 100 };
    let log = checker::log(&cluster.store);
    let (pods, mut all) = checker::replay(&log);
    all.extend(pods.forgotten());
    let asked = BTreeSet::from(["owner".to_owned()]);
    let (state, broken) = workloads::replay(&log, limits, &asked);
    let collected = broken.into_iter().filter(|what| what.contains("C-6"));
    all.extend(collected);
    all.extend(state.unfinished());
    all
}

async fn storm(seed: u64, percent: u32) {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, seed);
    let mut random = Random(seed);
    let _components = start(&cluster, &door).await;
    let began = Instant::now();
    door.turn(Weather::Foul { percent, codes: &[409, 410, 429, 500] });
    for step in 0..20 {
        something(&cluster, &mut random, step).await;
        if step == 10 {
            cluster.delete(&format!("{CONFIGS}/owner"), json!({})).await;
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    // What goes on succeeds now and then, so it is tried more often than what always fails; but not all the time.
    let hot = door.hot(began + Duration::from_mins(1), Duration::from_mins(5), 300);
    assert!(hot.is_empty(), "seed {seed}, {percent} %: C-9: {hot:#?}");
    door.turn(Weather::Fair);
    tokio::time::sleep(BACKOFF_MAX).await;
    assert_eq!(unfinished(&cluster), [""; 0], "seed {seed}, {percent} %");
    assert!(well(&cluster).await, "seed {seed}, {percent} %");
    let quiet = cluster.revision();
    tokio::time::sleep(Duration::from_mins(10)).await;
    let log = checker::log(&cluster.store);
    assert_eq!(workloads::restless(&log, quiet), [""; 0], "seed {seed}, {percent} %");
}

#[tokio::test(start_paused = true)]
async fn random_refusals_keep_nothing_from_its_end() {
    for (seed, percent) in [(1, 30), (2, 45), (3, 60)] {
        storm(seed, percent).await;
    }
}

/// Something for each controller, and for the scheduler.
async fn work_for_all(cluster: &Cluster, components: &Components) {
    let path = |name: &str| format!("{DEPLOYMENTS}/{name}");
    cluster.change(&path("a"), json!({ "spec": { "replicas": 6 } })).await;
    let spec = template("b", "i2")["spec"].clone();
    cluster.change(&path("b"), json!({ "spec": { "template": { "spec": spec } } })).await;
    let service = json!({ "metadata": { "name": "new" }, "spec": { "type": "LoadBalancer", "selector": { "app": "a" }, "ports": [{ "port": 80 }] } });
    cluster.make(SERVICES, service).await;
    cluster.make(NODES, json!({ "metadata": { "name": "n5" }, "status": { "conditions": [{ "type": "Ready", "status": "True" }] } })).await;
    cluster
        .change(
            &format!("{NODES}/n2"),
            json!({ "spec": { "taints": [{ "key": "t", "effect": "NoExecute" }] } }),
        )
        .await;
    cluster.make(SETS, replica_set("set", 2)).await;
    pod(cluster, "lost", "gone", json!([])).await;
    let lone = json!({ "metadata": { "name": "lone" }, "spec": template("lone", "i")["spec"] });
    cluster.make(PODS, lone).await;
    cluster.delete(&format!("{CONFIGS}/owner"), json!({})).await;
    components.lives[0].abort();
}

/// All that [`work_for_all`] asks for is done.
async fn all_done(cluster: &Cluster) {
    assert!(well(cluster).await);
    assert!(available(cluster, &format!("{SETS}/set")).await, "replicaset");
    let service = cluster.get(&format!("{SERVICES}/new")).await;
    assert!(!service["status"]["loadBalancer"]["ingress"].is_null(), "service-lb: {service}");
    assert!(cluster.find("/api/v1/namespaces/default/endpoints/new").await.is_some());
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dnew";
    assert_eq!(cluster.list(slices).await.len(), 1);
    assert!(!cluster.get(&format!("{NODES}/n5")).await["spec"]["podCIDR"].is_null(), "node-ipam");
    assert!(cluster.find(&format!("{PODS}/lost")).await.is_none(), "pod-gc");
    assert!(cluster.find(&format!("{CONFIGS}/child")).await.is_none(), "the collector");
    let lost = taints(cluster, "n1").await;
    assert!(lost.contains("unreachable:NoExecute"), "node-lifecycle: {lost:?}");
    let on = async |node: &str| {
        let pods = cluster.list(PODS).await;
        pods.iter().filter(|pod| pod["spec"]["nodeName"] == *node).count()
    };
    assert_eq!((on("n1").await, on("n2").await), (0, 0), "taint-eviction");
    assert!(!cluster.get(&format!("{PODS}/lone")).await["spec"]["nodeName"].is_null(), "scheduler");
}

/// Everything fails that is to change something, then everything, and then nothing.
#[tokio::test(start_paused = true)]
async fn an_api_that_fails_is_asked_ever_more_rarely_and_all_goes_on_when_it_is_back() {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let components = start(&cluster, &door).await;
    door.turn(Weather::Deaf);
    let deaf = Instant::now();
    work_for_all(&cluster, &components).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    cool(&door, deaf);
    let who = [
        "replicaset-controller",
        "deployment-controller",
        "endpoint-controller",
        "endpointslice-controller",
        "node-controller",
        "pod-garbage-collector",
        "generic-garbage-collector",
        "service-controller",
        "system:kube-scheduler",
    ];
    for one in who {
        let tried = door.calls(one, "", deaf).len();
        assert!(tried > 2, "{one} tries: {tried}");
    }
    door.turn(Weather::Foul { percent: 100, codes: &[500] });
    let down = Instant::now();
    tokio::time::sleep(Duration::from_mins(10)).await;
    cool(&door, down);
    door.turn(Weather::Fair);
    let back = Instant::now();
    tokio::time::sleep(BACKOFF_MAX).await;
    all_done(&cluster).await;
    cool(&door, back);
    let quiet = cluster.revision();
    tokio::time::sleep(Duration::from_mins(10)).await;
    let log = checker::log(&cluster.store);
    assert_eq!(workloads::restless(&log, quiet), [""; 0]);
}

/// What is known is always too old: all is listed again and again, but not all the time.
#[tokio::test(start_paused = true)]
async fn watches_that_all_expire_at_once_are_no_hot_loop() {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let _components = start(&cluster, &door).await;
    for code in [410, 504, 500] {
        door.turn(Weather::Against { method: http::Method::GET, path: "?watch", code });
        let began = Instant::now();
        tokio::time::sleep(Duration::from_mins(5)).await;
        cool(&door, began);
        let lists = door.calls("kube-controller-manager", "/api/v1/pods", began).len();
        assert!((5..100).contains(&lists), "{lists}");
        // Slowly, but it works: what is listed counts.
        let path = format!("{DEPLOYMENTS}/a");
        let wanted = if code == 500 { 4 } else { u32::from(code) / 100 };
        cluster.change(&path, json!({ "spec": { "replicas": wanted } })).await;
        if code != 500 {
            cluster.until("its size is as wanted", async |c| available(c, &path).await).await;
        }
    }
    door.turn(Weather::Fair);
    cluster.until("all is well", well).await;
}
