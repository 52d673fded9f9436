// SPDX-License-Identifier: Apache-2.0
//! A clock that is set an hour forward or back: nothing that takes so long takes longer or shorter, and nobody is lost by it.

use super::{BACKOFF_MAX, DEPLOYMENTS, NODES, PODS, SETS, available, condition, cool, deployment};
use crate::nodes::{nodes, pod, taints};
use berth_cluster_client::Clock;
use berth_cluster_client::election::{self, Election};
use berth_cluster_simulation::Cluster;
use berth_cluster_simulation::cluster::{replica_set, set, settable, template};
use berth_cluster_simulation::door::Door;
use berth_cluster_simulation::kubelet::{Fare, NEVER, play};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const HOUR: i64 = 3_600;
const FARE: Fare = Fare { ready_after: Duration::from_secs(1), gone_after: Duration::from_secs(1) };
const OF_NODES: [&str; 3] =
    ["node-lifecycle-controller", "taint-eviction-controller", "pod-garbage-collector-controller"];

/// Whose clock is set.
#[derive(Debug, Clone, Copy)]
enum Whose {
    /// That of the machine on which all are.
    All,
    /// That of the machine on which controllers are alone.
    Controllers,
    /// That of the machine on which all others are.
    Others,
}

/// A clock of controllers, and that which is set.
fn clocks(cluster: &Cluster, whose: Whose) -> (Clock, Clock) {
    let own = settable();
    match whose {
        Whose::All => (cluster.clock, cluster.clock),
        Whose::Controllers => (own, own),
        Whose::Others => (own, cluster.clock),
    }
}

async fn is_ready(cluster: &Cluster, node: &str) -> bool {
    condition(cluster, &format!("{NODES}/{node}"), "Ready").await["status"] == "True"
}

async fn leaves(cluster: &Cluster, name: &str) -> bool {
    let found = cluster.find(&format!("{PODS}/{name}")).await;
    found.is_none_or(|pod| !pod["metadata"]["deletionTimestamp"].is_null())
}

async fn a_set_clock_loses_nobody(whose: Whose, hours: i64) {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let (own, is_set) = clocks(&cluster, whose);
    let _controllers = door.control_by(&OF_NODES, own);
    let names = ["n1", "n2", "n3", "n4"];
    let lives = nodes(&cluster, &names).await;
    for name in names {
        pod(&cluster, &format!("on-{name}"), name, json!([])).await;
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    let start = Instant::now();
    set(is_set, hours * HOUR);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(15)).await;
        for name in names {
            assert!(is_ready(&cluster, name).await, "{name} ({whose:?}, {hours} h)");
            assert_eq!(taints(&cluster, name).await, BTreeSet::new(), "{whose:?}, {hours} h");
            assert!(!leaves(&cluster, &format!("on-{name}")).await, "{whose:?}, {hours} h");
        }
    }
    // Who is really lost is lost in its time.
    lives[0].abort();
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(is_ready(&cluster, "n1").await);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(
        !is_ready(&cluster, "n1").await && leaves(&cluster, "on-n1").await,
        "{whose:?}, {hours} h"
    );
    for name in &names[1..] {
        assert!(is_ready(&cluster, name).await && !leaves(&cluster, &format!("on-{name}")).await);
    }
    cool(&door, start);
}

#[tokio::test(start_paused = true)]
async fn no_node_is_lost_by_a_clock_that_is_set_and_none_is_kept_by_it() {
    for whose in [Whose::All, Whose::Controllers, Whose::Others] {
        for hours in [1, -1] {
            a_set_clock_loses_nobody(whose, hours).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pods_stand_a_taint_as_long_as_they_say_whatever_becomes_of_the_clock() {
    for whose in [Whose::All, Whose::Controllers] {
        for hours in [1, -1] {
            let cluster = Cluster::new().await;
            let door = Door::new(&cluster, 1);
            let (own, is_set) = clocks(&cluster, whose);
            let _controllers = door.control_by(&["taint-eviction-controller"], own);
            let _lives = nodes(&cluster, &["n1"]).await;
            let stands = |seconds: u32| json!({ "key": "t", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds });
            pod(&cluster, "p", "n1", json!([stands(300)])).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            let taints = json!([{ "key": "t", "effect": "NoExecute" }]);
            cluster.change(&format!("{NODES}/n1"), json!({ "spec": { "taints": taints } })).await;
            tokio::time::sleep(Duration::from_mins(1)).await;
            set(is_set, hours * HOUR);
            // It is looked at once more.
            let both = json!([stands(300), { "key": "u", "operator": "Exists" }]);
            let path = format!("{PODS}/p");
            cluster.change(&path, json!({ "spec": { "tolerations": both } })).await;
            tokio::time::sleep(Duration::from_secs(235)).await;
            assert!(!leaves(&cluster, "p").await, "{whose:?}, {hours} h");
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert!(leaves(&cluster, "p").await, "{whose:?}, {hours} h");
        }
    }
}

async fn image(cluster: &Cluster, image: &str) {
    let template = json!({ "spec": template("a", image)["spec"] });
    cluster.change(&format!("{DEPLOYMENTS}/a"), json!({ "spec": { "template": template } })).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn rollouts_go_on_while_the_clock_is_set_and_deadlines_are_told() {
    for hours in [1, -1] {
        let cluster = Cluster::new().await;
        let door = Door::new(&cluster, 1);
        let _controllers = door.control(&["replicaset-controller", "deployment-controller"]);
        let nodes = play(&cluster, FARE);
        let path = format!("{DEPLOYMENTS}/a");
        let mut object = deployment("a", "a", 8);
        object["spec"]["progressDeadlineSeconds"] = 60.into();
        cluster.make(DEPLOYMENTS, object).await;
        cluster.until("it is there", async |c| available(c, &path).await).await;
        image(&cluster, "i2").await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert!(!available(&cluster, &path).await, "it is under way");
        cluster.set_clock(hours * HOUR);
        // The player of nodes counts by the clock that was set.
        nodes.abort();
        let _nodes = play(&cluster, FARE);
        cluster.until("it is rolled out", async |c| available(c, &path).await).await;
        let progress =
            async |c: &Cluster| condition(c, &path, "Progressing").await["reason"].clone();
        assert_eq!(progress(&cluster).await, "NewReplicaSetAvailable", "{hours} h");
        tokio::time::sleep(Duration::from_secs(5)).await;
        cluster.silent(Duration::from_mins(10)).await;
        // One that stands: the deadline counts from a time in an object, as upstream's does.
        image(&cluster, NEVER).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        cluster.set_clock(hours * HOUR);
        let late = if hours < 0 { HOUR } else { 0 };
        let wait = u64::try_from(late + 60).unwrap();
        tokio::time::sleep(Duration::from_secs(wait)).await;
        assert_eq!(progress(&cluster).await, "ProgressDeadlineExceeded", "{hours} h");
        image(&cluster, "i3").await;
        cluster.until("it is rolled out", async |c| available(c, &path).await).await;
        assert_eq!(progress(&cluster).await, "NewReplicaSetAvailable", "{hours} h");
    }
}

/// When a set asks for pods that are refused, with the clock set meanwhile.
async fn tries(hours: i64) -> Vec<Duration> {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let _controllers = door.control(&["replicaset-controller"]);
    let mut object = replica_set("a", 5);
    object["spec"]["template"]["spec"]["priorityClassName"] = json!("later");
    let start = Instant::now();
    cluster.make(SETS, object).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    cluster.set_clock(hours * HOUR);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let tries = door.calls("replicaset-controller", &format!("{PODS}/a-"), start);
    let class = json!({ "metadata": { "name": "later" }, "value": 7 });
    cluster.make("/apis/scheduling.k8s.io/v1/priorityclasses", class).await;
    tokio::time::sleep(BACKOFF_MAX).await;
    assert_eq!(cluster.list(PODS).await.len(), 5, "{hours} h");
    tries
}

#[tokio::test(start_paused = true)]
async fn pauses_are_those_that_they_are_without_it() {
    let wanted = tries(0).await;
    assert!(wanted.len() > 10, "{wanted:?}");
    for hours in [1, -1] {
        assert_eq!(tries(hours).await, wanted, "{hours} h");
    }
}

/// A contender, and whether it leads.
fn contend(door: &Door, name: &str, clock: Clock) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let leads = Arc::<AtomicBool>::default();
    let (told, api) = (Arc::clone(&leads), door.scheduler());
    let options = election::Options {
        clock,
        release_on_cancel: false,
        ..election::Options::new("kube-system", "kube-scheduler", name)
    };
    let task = tokio::spawn(async move {
        let mut election = Election::start(api, options);
        loop {
            let leading = election.elected().await;
            told.store(true, Ordering::Relaxed);
            leading.lost().await;
            told.store(false, Ordering::Relaxed);
        }
    });
    (leads, task)
}

/// Lives so long with two contenders; returns who led, as often as it changed.
async fn watch(all: &[Arc<AtomicBool>], time: Duration) -> Vec<Option<usize>> {
    let mut seen = Vec::new();
    for _ in 0..time.as_millis() / 50 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let leaders: Vec<usize> =
            (0..all.len()).filter(|one| all[*one].load(Ordering::Relaxed)).collect();
        assert!(leaders.len() <= 1, "two lead");
        let leader = leaders.first().copied();
        if seen.last() != Some(&leader) {
            seen.push(leader);
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn one_leads_through_all_that_is_done_to_clocks() {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let clocks = [settable(), settable()];
    let (first, task) = contend(&door, "a", clocks[0]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (second, _other) = contend(&door, "b", clocks[1]);
    let all = [first, second];
    assert_eq!(watch(&all, Duration::from_secs(10)).await, [Some(0)]);
    for (whose, hours) in [(0, 1), (0, -2), (1, -1), (1, 2), (0, 1), (1, -1)] {
        set(clocks[whose], hours * HOUR);
        cluster.set_clock(hours * HOUR);
        assert_eq!(watch(&all, Duration::from_secs(40)).await, [Some(0)], "{whose}, {hours} h");
    }
    // It is killed while the other's clock is an hour back: it has to wait for the Lease's time, no longer.
    set(clocks[1], -HOUR);
    task.abort();
    all[0].store(false, Ordering::Relaxed);
    assert_eq!(watch(&all, Duration::from_secs(10)).await, [None]);
    assert_eq!(watch(&all, Duration::from_secs(10)).await, [None, Some(1)]);
}
