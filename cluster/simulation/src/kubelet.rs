// SPDX-License-Identifier: Apache-2.0
//! Nodes that are played: pods run, become ready after a while, and end when they are to.

use crate::cluster::{Cluster, bytes};
use berth_cluster_client::{Media, clock};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How pods fare.
#[derive(Debug, Clone, Copy)]
pub struct Fare {
    /// Time from creation until a pod is ready.
    pub ready_after: Duration,
    /// Time from the mark of its deletion until it is gone.
    pub gone_after: Duration,
}

/// Pods whose image has this name never become ready.
pub const NEVER: &str = "never";

/// Plays all nodes, for pods that no scheduler places.
pub fn play(cluster: &Cluster, fare: Fare) -> JoinHandle<()> {
    run(cluster, fare, false)
}

/// Plays all nodes: pods wait for theirs.
pub fn play_bound(cluster: &Cluster, fare: Fare) -> JoinHandle<()> {
    run(cluster, fare, true)
}

fn run(cluster: &Cluster, fare: Fare, bound: bool) -> JoinHandle<()> {
    let cluster = cluster.clone();
    tokio::spawn(async move {
        let mut number = 0_u32;
        let mut seen: BTreeMap<String, (i64, bool)> = BTreeMap::new();
        // When nothing was written and nobody's time has come, there is nothing to look at.
        let (mut looked, mut due) = (0, None::<i64>);
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = cluster.clock.micros();
            let revision = cluster.revision();
            if revision == looked && due.is_none_or(|due| now < due) {
                continue;
            }
            (looked, due) = (revision, None);
            for pod in cluster.list("/api/v1/pods").await {
                let text =
                    |path: &str| pod.pointer(path).and_then(Value::as_str).unwrap_or_default();
                let path = format!(
                    "/api/v1/namespaces/{}/pods/{}",
                    text("/metadata/namespace"),
                    text("/metadata/name")
                );
                if bound && text("/spec/nodeName").is_empty() {
                    continue;
                }
                let leaves = !pod["metadata"]["deletionTimestamp"].is_null();
                let state = (now, leaves);
                let since = seen.entry(text("/metadata/uid").to_owned()).or_insert(state);
                if since.1 != leaves {
                    *since = state;
                }
                for after in [fare.ready_after, fare.gone_after] {
                    let at = since.0 + i64::try_from(after.as_micros()).expect("a short time");
                    if at > now {
                        due = Some(due.map_or(at, |due| due.min(at)));
                    }
                }
                let age = Duration::from_micros(
                    u64::try_from(now - since.0).expect("a cluster of a test"),
                );
                if leaves {
                    if age >= fare.gone_after {
                        let options = json!({ "gracePeriodSeconds": 0 });
                        drop(cluster.admin().delete(&path, Some(bytes(&options))).await);
                    }
                    continue;
                }
                let ready = age >= fare.ready_after && text("/spec/containers/0/image") != NEVER;
                let is = pod["status"]["conditions"].as_array().is_some_and(|all| {
                    all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
                });
                if ready && !is {
                    number += 1;
                    let address = format!("10.1.{}.{}", number / 250, number % 250 + 1);
                    let status = json!({ "status": {
                        "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
                        "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": clock::seconds(now) }],
                    } });
                    let path = format!("{path}/status");
                    drop(cluster.admin().patch(&path, Media::Merge, bytes(&status)).await);
                }
            }
        }
    })
}
