// SPDX-License-Identifier: Apache-2.0
//! The scheduler before the real apiserver: what it does for users, and random clusters whose calls fail, with a scheduler that is killed
//! now and then. What happened is replayed by an independent checker.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be set up is a failure of the test"
)]

mod claims;
mod failover;
mod nominations;
mod random;
mod standby;
mod words;

use berth_cluster_apiserver::Caller;
use berth_cluster_auth::user::User;
use berth_cluster_client::{Api, election};
use berth_cluster_simulation::Cluster;
use berth_scheduler_kubernetes::{Options, Replica};
use serde_json::{Value, json};

/// The user that a scheduler is.
fn caller() -> Caller {
    Caller(User::authenticated("system:kube-scheduler", "", Vec::new()))
}

/// A scheduler that contends by this name.
fn scheduler(cluster: &Cluster, api: Api, name: &str) -> Replica {
    let options = Options { clock: cluster.clock, seed: 3, ..Options::default() };
    let election = election::Options {
        clock: cluster.clock,
        ..election::Options::new("kube-system", "kube-scheduler", name)
    };
    Replica::start(api, options, Some(election))
}

fn within(cluster: &Cluster) -> Api {
    Api::within(cluster.server.clone(), caller())
}

fn node(name: &str, cpu: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "status": {
            "allocatable": { "cpu": format!("{cpu}m"), "memory": "8Gi", "pods": "20" },
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

fn pod(name: &str, cpu: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{
            "name": "c", "image": "i", "resources": { "requests": { "cpu": format!("{cpu}m"), "memory": "1Mi" } },
        }] },
    })
}

const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/namespaces/default/pods";
