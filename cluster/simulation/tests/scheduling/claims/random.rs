// SPDX-License-Identifier: Apache-2.0
//! Random clusters with storage: volumes on nodes and volumes that are made, provisioners that give up or never answer, claims, pods and
//! nodes that go, calls that fail, are lost or late, schedulers that are killed. Whenever a pod is bound its node reaches its volumes,
//! no volume has two claims, and when all is quiet nothing is left behind and nobody is forgotten.

use super::{CLAIMS, CLASSES, claim, class, user, volume};
use crate::{NODES, PODS, caller, node};
use berth_cluster_apiserver::{Faults, Fixed, Server};
use berth_cluster_client::{Api, CallError, election};
use berth_cluster_simulation::cluster::{NOW, bytes};
use berth_cluster_simulation::volumes::{self, Fate, Manner, VOLUMES, Volumes};
use berth_cluster_simulation::{Cluster, Random, checker};
use berth_cluster_store::Event;
use berth_scheduler_kubernetes::{Options, Replica};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const STEPS: u32 = 150;

/// What is refused is no matter: a name that is taken, an object that is gone.
async fn may(call: impl Future<Output = Result<bytes::Bytes, CallError>>) {
    if let Err(error) = call.await {
        assert!(matches!(error.code(), Some(404 | 409)), "{error}");
    }
}

/// A cluster in which much happens.
struct Play {
    cluster: Cluster,
    /// The schedulers' way to the store, which is a bad one.
    bad: Server,
    random: Random,
    schedulers: Vec<Replica>,
    nodes: Vec<String>,
    claims: Vec<String>,
    bound: u64,
    started: u32,
}

impl Play {
    async fn new(seed: u64) -> Self {
        let cluster = Cluster::new().await;
        let nobody = "kubernetes.io/no-provisioner";
        for (name, provisioner) in [("local", nobody), ("made", "test")] {
            cluster.make(CLASSES, class(name, provisioner, "WaitForFirstConsumer")).await;
        }
        let faults = Faults {
            unavailable: 60,
            too_many: 20,
            slow: 100,
            lost: 60,
            delay: Duration::from_millis(1_500),
        };
        let environment = Arc::new(Fixed::new(NOW, seed));
        let server = Server::builder(cluster.store.clone());
        let bad = server.environment(environment).faults(faults).build();
        let mut play = Self {
            cluster,
            bad,
            random: Random(seed),
            schedulers: Vec::new(),
            nodes: Vec::new(),
            claims: Vec::new(),
            bound: 0,
            started: 0,
        };
        play.schedulers = vec![play.scheduler(), play.scheduler()];
        play
    }

    fn scheduler(&mut self) -> Replica {
        self.started += 1;
        let options = Options {
            clock: self.cluster.clock,
            seed: 3,
            claim_patience: Duration::from_secs(20),
            ..Options::default()
        };
        let name = format!("s{}", self.started);
        let election = election::Options {
            clock: self.cluster.clock,
            ..election::Options::new("kube-system", "kube-scheduler", &name)
        };
        Replica::start(Api::within(self.bad.clone(), caller()), options, Some(election))
    }

    async fn make(&self, path: &str, object: Value) {
        may(self.cluster.admin().post(path, bytes(&object))).await;
    }

    async fn delete(&self, path: &str) {
        let options = bytes(&json!({ "gracePeriodSeconds": 0 }));
        may(self.cluster.admin().delete(path, Some(options))).await;
    }

    async fn add_node(&mut self, step: u32) {
        // A name is used once: what is decided about a node is not decided about another one of its name.
        let name = format!("n{step}");
        let cpu = 500 * (1 + self.random.below(4));
        self.make(NODES, node(&name, cpu)).await;
        for disk in 0..self.random.below(3) {
            let gib = 1 + self.random.below(3);
            self.make(VOLUMES, volume(&format!("{name}-{disk}"), gib, &name)).await;
        }
        self.nodes.push(name);
    }

    async fn add_pod(&mut self, step: u32) {
        let mut used = Vec::new();
        for kind in ["local", "made"] {
            match self.random.below(4) {
                0 | 1 => {
                    let name = format!("{kind}-{step}");
                    let gib = 1 + self.random.below(3);
                    self.make(CLAIMS, claim(&name, kind, gib)).await;
                    self.claims.push(name.clone());
                    used.push(name);
                }
                2 => {
                    // One that others use, too.
                    let old: Vec<_> =
                        self.claims.iter().filter(|name| name.starts_with(kind)).collect();
                    let count = u32::try_from(old.len()).unwrap();
                    if count > 0 {
                        used.push(old[self.random.below(count) as usize].clone());
                    }
                }
                _ => {}
            }
        }
        let used: Vec<&str> = used.iter().map(String::as_str).collect();
        let pod = user(&format!("p{step}"), 100 * (1 + self.random.below(5)), &used);
        self.make(PODS, pod).await;
    }

    async fn step(&mut self, step: u32) {
        match self.random.below(14) {
            0 | 1 if self.nodes.len() < 6 => self.add_node(step).await,
            2 if self.nodes.len() > 2 && self.random.one_in(4) => {
                let at = self.random.below(2) as usize;
                let name = self.nodes.remove(at);
                self.delete(&format!("{NODES}/{name}")).await;
            }
            3 | 4 => {
                let name = format!("p{}", self.random.below(step + 1));
                self.delete(&format!("{PODS}/{name}")).await;
            }
            5 if !self.claims.is_empty() && self.random.one_in(3) => {
                let count = u32::try_from(self.claims.len()).unwrap();
                let name = self.claims.swap_remove(self.random.below(count) as usize);
                self.delete(&format!("{CLAIMS}/{name}")).await;
            }
            6 if self.random.one_in(4) => {
                // A kill: nothing is given back, and another one comes.
                let at = self.random.below(2) as usize;
                self.bound += self.schedulers[at].stats().bound();
                self.schedulers[at] = self.scheduler();
            }
            7 | 8 => {
                let millis = self.random.below(8_000);
                tokio::time::sleep(Duration::from_millis(millis.into())).await;
            }
            _ => self.add_pod(step).await,
        }
    }
}

/// A provisioner that mostly makes volumes until all is quiet, and does so always then.
fn provisioner(
    seed: u64,
    quiet: &Arc<AtomicBool>,
) -> impl FnMut(&str, &str) -> Fate + Send + use<> {
    let (mut random, quiet) = (Random(seed ^ 0x5eed), Arc::clone(quiet));
    move |_, _| {
        let after = Duration::from_millis(random.below(25_000).into());
        match random.below(6) {
            _ if quiet.load(Ordering::Relaxed) => Fate::Makes(after / 10),
            0 => Fate::IsSilent,
            1 | 2 => Fate::GivesUp(after / 4),
            _ => Fate::Makes(after),
        }
    }
}

/// What a run leaves behind.
struct Run {
    log: Vec<Arc<Event>>,
    bound: u64,
}

async fn run(seed: u64) -> Run {
    let mut play = Play::new(seed).await;
    let quiet = Arc::new(AtomicBool::new(false));
    let manner = Manner { stubborn: seed % 2 == 1, ..Manner::default() };
    let fate = provisioner(seed, &quiet);
    let _played = Volumes::start(play.cluster.admin().clone(), manner, fate);
    for step in 0..STEPS {
        play.step(step).await;
        if step % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(play.random.below(300).into())).await;
        }
    }
    quiet.store(true, Ordering::Relaxed);
    // Longer than any backoff, and than the time after which all are tried again.
    tokio::time::sleep(Duration::from_mins(11)).await;
    let bound = play.bound + play.schedulers.iter().map(|one| one.stats().bound()).sum::<u64>();
    Run { log: checker::log(&play.cluster.store), bound }
}

#[tokio::test(start_paused = true)]
async fn random_clusters_with_storage_hold_what_must_hold() {
    let rounds: u64 = std::env::var("BERTH_CLUSTER_ROUNDS").map_or(8, |text| text.parse().unwrap());
    let first: u64 = std::env::var("BERTH_CLUSTER_SEED").map_or(0, |text| text.parse().unwrap());
    let (mut all, mut volumes) = (0, 0);
    for seed in first..first + rounds {
        let run = run(seed).await;
        let (state, mut broken) = checker::replay(&run.log);
        let (storage, more) = volumes::check::replay(&run.log);
        broken.extend(more);
        broken.extend(storage.left_behind());
        let forgotten = state.forgotten_where(|pod, node| storage.lets(pod, node));
        broken.extend(forgotten.into_iter().map(|what| format!("SC-3: {what}")));
        assert!(broken.is_empty(), "BERTH_CLUSTER_SEED={seed}: {broken:#?}");
        all += run.bound;
        volumes += storage.bound_claims();
    }
    assert!(all > rounds * 15, "{all} bindings in {rounds} rounds are a load");
    assert!(volumes > rounds * 8, "{volumes} claims in {rounds} rounds are a load");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_log_with_storage() {
    let (one, other) = (run(77).await, run(77).await);
    let [one, other] = [one, other].map(|run| checker::text(&run.log));
    let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert_eq!(differs, None);
    assert_eq!(one.len(), other.len());
}
