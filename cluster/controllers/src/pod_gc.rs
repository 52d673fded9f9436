// SPDX-License-Identifier: Apache-2.0
//! Pods that nobody else removes: those of nodes that are gone, those that are to end and never had a node, and of those at their end what
//! is too many. Which they are is decided in [`plan`]; here they are removed.

pub mod plan;

use crate::context::{Context, body, unless_gone};
use crate::index::Index;
use crate::informers::begin;
use crate::place::{NODES, PODS};
use crate::view::{Node, Pod};
use berth_cluster_client::{CallError, Item, Media, clock};
use plan::{Gone, Why};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// How often all pods are looked at (upstream's number).
const PERIOD: Duration = Duration::from_secs(20);

/// Runs the controller for ever.
pub(crate) async fn run(context: Context) {
    let mut pods = begin(context.informers.pods()).await;
    let mut nodes = begin(context.informers.nodes()).await;
    let mut all_pods: Index<Pod> = Index::new(|_| Vec::new());
    let mut all_nodes: Index<Node> = Index::new(|_| Vec::new());
    let mut gone = Gone::default();
    let start = Instant::now();
    loop {
        while let Some(change) = pods.try_next() {
            all_pods.apply(&change);
        }
        while let Some(change) = nodes.try_next() {
            all_nodes.apply(&change);
        }
        let pods: Vec<_> = all_pods.all().cloned().collect();
        let known = all_nodes.all().map(|node| node.id.name.as_str()).collect();
        let threshold = context.settings.terminated_pods_max;
        for (pod, why) in gone.look(&pods, &known, threshold, start.elapsed()) {
            if let Err(error) = remove(&context, &pod, why).await {
                tracing::info!(%error, "a pod is removed later");
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn remove(context: &Context, pod: &Item<Pod>, why: Why) -> Result<(), CallError> {
    if why == Why::NodeGone {
        // What we know may be old.
        match context.api.get(&NODES.one("", &pod.view.spec.node_name)).await {
            Err(error) if error.code() == Some(404) => {}
            result => return result.map(drop),
        }
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
            "lastTransitionTime": clock::seconds(context.now().0),
        });
        let mut status = json!({ "conditions": [condition] });
        if !pod.view.terminal() {
            status["phase"] = "Failed".into();
        }
        let patch = json!({ "metadata": { "uid": pod.id.uid }, "status": status });
        let path = PODS.status(&pod.id.namespace, &pod.id.name);
        unless_gone(context.api.patch(&path, Media::Strategic, body(&patch)).await)?;
    }
    let options = json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": pod.id.uid } });
    let path = PODS.one(&pod.id.namespace, &pod.id.name);
    unless_gone(context.api.delete(&path, Some(body(&options))).await)
}
