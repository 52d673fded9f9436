// SPDX-License-Identifier: Apache-2.0
//! Random lives of Deployments, Services and owners in a whole cluster: controllers and scheduler whose calls are refused, late or lost, and
//! who are killed. What must hold at every revision holds, in the end all is as it should be, and then it is quiet. Bugs that are planted
//! on the way to the server are found.

use berth_cluster_apiserver::{Caller, Faults, Fixed, Server};
use berth_cluster_auth::user::User;
use berth_cluster_client::Api;
use berth_cluster_controllers::events::Recorder;
use berth_cluster_controllers::{Config, Controllers, Settings};
use berth_cluster_simulation::cluster::{NOW, bytes, component, template};
use berth_cluster_simulation::kubelet::{Fare, play_bound};
use berth_cluster_simulation::meddler::{Bug, Meddler};
use berth_cluster_simulation::workloads::{self, Limits};
use berth_cluster_simulation::{Cluster, Random, checker};
use berth_cluster_store::Event;
use berth_scheduler_kubernetes::{Options, Replica};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const CONFIGS: &str = "/api/v1/namespaces/default/configmaps";
const LIMITS: Limits = Limits { surge: 1, unavailable: 1 };
const CONTROLLERS: [&str; 5] = [
    "replicaset-controller",
    "deployment-controller",
    "endpointslice-controller",
    "endpoints-controller",
    "garbage-collector-controller",
];

/// What a run leaves behind.
struct Run {
    log: Vec<Arc<Event>>,
    /// ConfigMaps that were deleted on purpose.
    asked: BTreeSet<String>,
    /// The revision after which nobody was to write.
    quiet: u64,
}

impl Run {
    /// Everything that is wrong with it.
    fn faults(&self) -> Vec<String> {
        let (pods, mut all) = checker::replay(&self.log);
        all.extend(pods.forgotten().into_iter().map(|what| format!("SC-3: {what}")));
        let (state, broken) = workloads::replay(&self.log, LIMITS, &self.asked);
        all.extend(broken);
        all.extend(state.unfinished());
        all.extend(workloads::restless(&self.log, self.quiet));
        all
    }
}

/// The way that components go.
fn way(cluster: &Cluster, seed: u64, faults: Faults, bug: Option<Bug>) -> Meddler {
    let environment = Arc::new(Fixed::new(NOW, seed));
    let builder = Server::builder(cluster.store.clone()).environment(environment).faults(faults);
    // Pods come without ServiceAccounts.
    Meddler::new(builder.without_admission(["ServiceAccount".to_owned()]).build(), bug)
}

fn controllers(cluster: &Cluster, way: &Meddler) -> Controllers {
    let (way, told) = (way.clone(), cluster.told.clone());
    Controllers::start(Config {
        names: CONTROLLERS.map(str::to_owned).to_vec(),
        api: Box::new(move |name| Api::within(way.clone(), component(name))),
        recorder: Some(Box::new(move |_| Arc::new(told.clone()) as Recorder)),
        clock: cluster.clock,
        seed: 1,
        settings: Settings::default(),
    })
}

fn scheduler(cluster: &Cluster, way: &Meddler) -> Replica {
    let user = Caller(User::authenticated("system:kube-scheduler", "", Vec::new()));
    let options = Options { clock: cluster.clock, seed: 3, ..Options::default() };
    Replica::start(Api::within(way.clone(), user), options, None)
}

fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": 4,
            "selector": { "matchLabels": { "app": name } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": LIMITS.surge, "maxUnavailable": LIMITS.unavailable } },
            "template": template(name, "i0"),
        },
    })
}

/// What is there at the beginning: nodes, one of which takes nothing, and two applications.
async fn begin(cluster: &Cluster) {
    for number in 0..4 {
        let name = format!("n{number}");
        let taints =
            if number == 0 { json!([{ "key": "t", "effect": "NoSchedule" }]) } else { json!([]) };
        cluster.make("/api/v1/nodes", json!({
            "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
            "spec": { "taints": taints },
            "status": { "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "20" }, "conditions": [{ "type": "Ready", "status": "True" }] },
        })).await;
    }
    for name in ["a", "b"] {
        let service = json!({ "metadata": { "name": name }, "spec": { "selector": { "app": name }, "ports": [{ "port": 80 }] } });
        cluster.make(SERVICES, service).await;
        cluster.make(DEPLOYMENTS, deployment(name)).await;
    }
    cluster.make(CONFIGS, json!({ "metadata": { "name": "alive" } })).await;
}

/// Another thing in the life of the cluster's owner.
async fn something(
    cluster: &Cluster,
    random: &mut Random,
    step: u32,
    asked: &mut BTreeSet<String>,
) {
    let admin = cluster.admin();
    match random.below(4) {
        0 => {
            let app = ["a", "b"][random.below(2) as usize];
            let spec = template(app, &format!("i{}", random.below(3)))["spec"].clone();
            cluster
                .change(
                    &format!("{DEPLOYMENTS}/{app}"),
                    json!({ "spec": { "template": { "spec": spec } } }),
                )
                .await;
        }
        1 => {
            let known: Vec<Value> = cluster
                .list(CONFIGS)
                .await
                .into_iter()
                .filter(|one| one["metadata"]["name"] != "alive")
                .collect();
            let owners: Vec<Value> = known.iter().filter(|_| random.below(3) == 0).take(2).map(|owner| {
                let meta = &owner["metadata"];
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"] })
            }).collect();
            let object =
                json!({ "metadata": { "name": format!("c{step}"), "ownerReferences": owners } });
            cluster.make(CONFIGS, object).await;
        }
        2 => {
            let known = cluster.list(CONFIGS).await;
            let at = random.below(u32::try_from(known.len()).unwrap()) as usize;
            let name = known[at]["metadata"]["name"].as_str().unwrap();
            if name != "alive" {
                asked.insert(name.to_owned());
                let options = bytes(&json!({ "propagationPolicy": "Background" }));
                drop(admin.delete(&format!("{CONFIGS}/{name}"), Some(options)).await);
            }
        }
        _ => tokio::time::sleep(Duration::from_millis(u64::from(random.below(6_000)))).await,
    }
}

async fn run(seed: u64, faults: Faults, bug: Option<Bug>) -> Run {
    let cluster = Cluster::new().await;
    let mut random = Random(seed);
    begin(&cluster).await;
    let way = way(&cluster, seed, faults, bug);
    let mut controlling = controllers(&cluster, &way);
    let mut scheduling = scheduler(&cluster, &way);
    let nodes = play_bound(
        &cluster,
        Fare { ready_after: Duration::from_millis(700), gone_after: Duration::from_millis(300) },
    );
    // Rollouts are held to their limits from when there was something to roll.
    tokio::time::sleep(Duration::from_mins(1)).await;
    let mut asked = BTreeSet::new();
    for step in 0..60 {
        something(&cluster, &mut random, step, &mut asked).await;
        // A kill: nothing is given back, and another one comes.
        match random.below(24) {
            0 => controlling = controllers(&cluster, &way),
            1 => scheduling = scheduler(&cluster, &way),
            _ => {}
        }
    }
    // Longer than any backoff, and than expectations last.
    tokio::time::sleep(Duration::from_mins(11)).await;
    let quiet = cluster.revision();
    tokio::time::sleep(Duration::from_mins(2)).await;
    let log = checker::log(&cluster.store);
    nodes.abort();
    drop((controlling, scheduling));
    Run { log, asked, quiet }
}

/// Without lost answers: a pod whose creation is not answered may be made again, and goes when it is seen (as upstream).
const BAD: Faults =
    Faults { unavailable: 40, too_many: 20, slow: 100, lost: 0, delay: Duration::from_millis(800) };

#[tokio::test(start_paused = true)]
async fn whole_clusters_hold_what_must_hold_and_come_to_rest() {
    let rounds: u64 = std::env::var("BERTH_CLUSTER_ROUNDS").map_or(4, |text| text.parse().unwrap());
    let first: u64 = std::env::var("BERTH_CLUSTER_SEED").map_or(0, |text| text.parse().unwrap());
    for seed in first..first + rounds {
        let run = run(seed, BAD, None).await;
        let faults = run.faults();
        assert!(faults.is_empty(), "BERTH_CLUSTER_SEED={seed}: {faults:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_lost_do_not_keep_it_from_its_end() {
    let run = run(5, Faults { lost: 40, ..BAD }, None).await;
    let (state, _) = workloads::replay(&run.log, LIMITS, &run.asked);
    assert_eq!(state.unfinished(), [""; 0]);
    assert_eq!(workloads::restless(&run.log, run.quiet), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_log() {
    let (one, other) = (run(9, BAD, None).await, run(9, BAD, None).await);
    let [one, other] = [one, other].map(|run| checker::text(&run.log));
    let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert_eq!(differs, None);
    assert_eq!(one.len(), other.len());
}

#[tokio::test(start_paused = true)]
async fn planted_bugs_are_found() {
    let none = run(3, Faults::default(), None).await.faults();
    assert!(none.is_empty(), "without a bug there is nothing to find: {none:#?}");
    for bug in Bug::ALL {
        let invariant = match bug {
            Bug::BindsElsewhere => "SC-4",
            Bug::BindsInMind => "SC-3",
            Bug::MakesTwice => "C-10",
            Bug::SurgesTooFar | Bug::TakesAllAway => "C-2",
            Bug::CollectsTheLiving => "C-6",
            Bug::MakesInMind | Bug::ForgetsAnEndpoint | Bug::KeepsSilent | Bug::NeverRests => "C-1",
        };
        let found = run(3, Faults::default(), Some(bug)).await.faults();
        assert!(found.iter().any(|fault| fault.contains(invariant)), "{bug:?}: {found:#?}");
    }
}
