// SPDX-License-Identifier: Apache-2.0
//! A scheduler that waits to lead follows meanwhile, but decides only once it knows what the last leader bound.

use crate::{NODES, PODS, node, pod, scheduler, within};
use berth_cluster_client::election;
use berth_cluster_simulation::door::{Door, Weather};
use berth_cluster_simulation::{Cluster, checker};
use berth_scheduler_kubernetes::{Options, Replica};
use http::Method;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const LISTS: &str = "/api/v1/pods";
const WATCHES: &str = "/api/v1/pods?watch";

/// A leader that leaves its Lease behind when it is dropped, as one that is killed.
fn leader(cluster: &Cluster) -> Replica {
    let options = Options { clock: cluster.clock, seed: 3, ..Options::default() };
    let election = election::Options {
        clock: cluster.clock,
        release_on_cancel: false,
        ..election::Options::new("kube-system", "kube-scheduler", "first")
    };
    Replica::start(within(cluster), options, Some(election))
}

async fn bound(cluster: &Cluster, name: &str) -> bool {
    cluster.get(&format!("{PODS}/{name}")).await["spec"]["nodeName"].is_string()
}

/// How often all pods were listed before a door, and watched.
fn reads(door: &Door, since: Instant) -> (usize, usize) {
    let watches = door.calls("", WATCHES, since).len();
    (door.calls("", LISTS, since).len() - watches, watches)
}

/// A cluster whose one node has room for two pods of 100m, with a leader, and one that follows behind a door.
async fn two() -> (Cluster, Replica, Door, Replica) {
    let cluster = Cluster::new().await;
    let mut roomy = node("n", 200);
    roomy["status"]["allocatable"]["pods"] = json!("500");
    cluster.make(NODES, roomy).await;
    let first = leader(&cluster);
    sleep(Duration::from_secs(3)).await;
    let door = Door::new(&cluster, 1);
    let second = scheduler(&cluster, door.scheduler(), "second");
    sleep(Duration::from_secs(10)).await;
    (cluster, first, door, second)
}

#[tokio::test(start_paused = true)]
async fn what_a_standby_was_not_shown_it_reads_before_it_decides() {
    let (cluster, first, door, second) = two().await;
    let mut waits = pod("c", 100);
    waits["spec"]["nodeSelector"] = json!({ "zone": "z" });
    cluster.make(PODS, waits).await;
    sleep(Duration::from_secs(1)).await;
    door.turn(Weather::Against { method: Method::GET, path: WATCHES, code: 500 });
    for name in ["a", "b"] {
        cluster.make(PODS, pod(name, 100)).await;
        cluster.until("there is room", async |all| bound(all, name).await).await;
    }
    drop(first);
    // The standby knows the one that waits and sees that its node fits now, but not that it is full.
    let labels = json!({ "metadata": { "labels": { "zone": "z" } } });
    cluster.change(&format!("{NODES}/n"), labels).await;
    sleep(Duration::from_secs(40)).await;
    assert!(second.stats().leads(), "it has taken over");
    let (_, broken) = checker::replay(&checker::log(&cluster.store));
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(!bound(&cluster, "c").await, "the node is full");
    door.turn(Weather::Fair);
    cluster.delete(&format!("{PODS}/a"), json!({ "gracePeriodSeconds": 0 })).await;
    cluster.until("there is room again", async |all| bound(all, "c").await).await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_was_shown_everything_decides_without_reading_it_again() {
    let (cluster, first, door, second) = two().await;
    let followed = Instant::now();
    drop(first);
    sleep(Duration::from_secs(5)).await;
    // Something has to happen to pods after the take-over: only that says how far the watch has come.
    for number in 0.. {
        cluster.make(PODS, pod(&format!("p{number}"), 1)).await;
        sleep(Duration::from_millis(100)).await;
        if second.stats().leads() {
            break;
        }
        assert!(number < 300, "nobody leads");
    }
    cluster.make(PODS, pod("z", 1)).await;
    cluster.until("it decides", async |all| bound(all, "z").await).await;
    // The one list is that of one pod, which says the revision.
    assert_eq!(reads(&door, followed), (1, 0));
}
