// SPDX-License-Identifier: Apache-2.0
//! What is posted: bindings, conditions, evictions. Bodies are what kube-scheduler sends.

use crate::books::{Answer, Refused, Shown, Victim};
use berth_cluster_client::{Api, CallError, Media, clock};
use bytes::Bytes;
use http::Method;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// Pauses between tries of a call of which nothing is known, or that cannot be carried out now.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

fn path(pod: &Shown, rest: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{}{rest}", pod.id.namespace, pod.id.name)
}

/// Whether a call may be carried out, or was, although it was not answered so.
fn is_open(error: &CallError) -> bool {
    error.code().is_none_or(|code| code == 429 || code >= 500)
}

fn pause_of(error: &CallError, usual: Duration) -> Duration {
    match error {
        CallError::Refused { retry_after: Some(seconds), .. } => {
            usual.max(Duration::from_secs(*seconds)).min(PAUSE_MAX)
        }
        _ => usual,
    }
}

/// Binds a pod. Goes on until there is a definite answer: one that is lost may have been carried out.
pub(crate) async fn bind(api: &Api, pod: &Shown, node: &str) -> (Answer, Option<CallError>) {
    let body = serde_json::to_vec(&json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": { "name": pod.id.name, "namespace": pod.id.namespace, "uid": pod.id.uid },
        "target": { "kind": "Node", "name": node },
    }));
    let body = Bytes::from(body.unwrap_or_default());
    let path = path(pod, "/binding");
    let mut pause = PAUSE;
    let mut lost = false;
    loop {
        match api.post(&path, body.clone()).await {
            Ok(_) => return (Answer::Bound, None),
            Err(error) if is_open(&error) => {
                lost = true;
                tracing::debug!(%error, "a binding is tried again");
                sleep(pause_of(&error, pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            // An earlier try may have been carried out.
            Err(error) if lost && error.code() == Some(409) => {
                let bound = is_bound(api, pod, node).await;
                return if bound { (Answer::Bound, None) } else { (Answer::Refused, Some(error)) };
            }
            Err(error) => return (Answer::Refused, Some(error)),
        }
    }
}

/// Whether a pod is on that node, by what the API says now.
async fn is_bound(api: &Api, pod: &Shown, node: &str) -> bool {
    let mut pause = PAUSE;
    loop {
        match api.get(&path(pod, "")).await {
            Ok(object) => {
                let read: serde_json::Value = serde_json::from_slice(&object).unwrap_or_default();
                return read["metadata"]["uid"] == *pod.id.uid && read["spec"]["nodeName"] == *node;
            }
            Err(error) if is_open(&error) => {
                sleep(pause_of(&error, pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            Err(_) => return false,
        }
    }
}

/// Says in a pod's condition why it waits. It holds for the pod as it was seen: one that has changed is not told.
pub(crate) async fn tell(api: &Api, refused: &Refused, now: i64) -> Result<(), CallError> {
    let pod = &refused.pod;
    let since = pod.view.0.unschedulable.as_ref().map(|one| one.since.to_string());
    let mut status = json!({ "conditions": [{
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": &*refused.message,
        "lastProbeTime": null,
        "lastTransitionTime": since.unwrap_or_else(|| clock::seconds(now)),
    }] });
    if let Some(node) = &refused.nominated {
        status["nominatedNodeName"] = (&**node).into();
    }
    let meta = json!({ "uid": pod.id.uid, "resourceVersion": pod.id.resource_version });
    patch(api, &path(pod, "/status"), &json!({ "metadata": meta, "status": status })).await
}

/// Lets a pod go: first it is said why, and then it is deleted.
pub(crate) async fn evict(api: &Api, victim: &Victim, now: i64) -> Result<(), CallError> {
    let pod = &victim.pod;
    let scheduler = victim.by.view.0.pod.spec.scheduler_name.as_deref();
    let scheduler = scheduler.unwrap_or("default-scheduler");
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": format!("{scheduler}: preempting to accommodate a higher priority pod"),
        "lastProbeTime": null,
        "lastTransitionTime": clock::seconds(now),
    });
    let body =
        json!({ "metadata": { "uid": pod.id.uid }, "status": { "conditions": [condition] } });
    patch(api, &path(pod, "/status"), &body).await?;
    let options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": pod.id.uid } });
    let options = Bytes::from(serde_json::to_vec(&options).unwrap_or_default());
    again(api, Method::DELETE, &path(pod, ""), (Media::Json, options)).await
}

async fn patch(api: &Api, path: &str, body: &serde_json::Value) -> Result<(), CallError> {
    let body = Bytes::from(serde_json::to_vec(body).unwrap_or_default());
    again(api, Method::PATCH, path, (Media::Strategic, body)).await
}

/// Tries a few times what may work later.
async fn again(
    api: &Api,
    method: Method,
    path: &str,
    body: (Media, Bytes),
) -> Result<(), CallError> {
    let mut pause = PAUSE;
    for _ in 0..6 {
        match api.call(method.clone(), path, Some(body.clone())).await {
            Err(error) if is_open(&error) => sleep(pause_of(&error, pause)).await,
            done => return done.map(drop),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
    api.call(method, path, Some(body)).await.map(drop)
}
