// SPDX-License-Identifier: Apache-2.0
//! What is posted: bindings, conditions, evictions. Bodies are what kube-scheduler sends.

use crate::books::{Answer, Nomination, Refused, Shown, Victim};
use berth_cluster_client::{Api, CallError, Media, clock};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Pauses between tries of a call of which nothing is known, or that cannot be carried out now.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(5);

fn path(pod: &Shown, rest: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{}{rest}", pod.id.namespace, pod.id.name)
}

/// Whether a call may be carried out, or was, although it was not answered so.
pub(crate) fn is_open(error: &CallError) -> bool {
    error.code().is_none_or(|code| code == 429 || code >= 500)
}

pub(crate) fn pause_of(error: &CallError, usual: Duration) -> Duration {
    match error {
        CallError::Refused { retry_after: Some(seconds), .. } => {
            usual.max(Duration::from_secs(*seconds)).min(PAUSE_MAX)
        }
        _ => usual,
    }
}

/// Up to which revision a list of pods that is asked for now would show everything.
pub(crate) async fn revision_of_pods(api: &Api) -> Option<u64> {
    let page = timeout(PAUSE_MAX, api.get("/api/v1/pods?limit=1")).await.ok()?.ok()?;
    let page: Value = serde_json::from_slice(&page).ok()?;
    page["metadata"]["resourceVersion"].as_str()?.parse().ok()
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
                let read: Value = serde_json::from_slice(&object).unwrap_or_default();
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

/// Says in a pod's status why it waits, and where room is made for it. Words hold for the pod as it was seen: one that has changed is
/// not told; that a nomination is over holds whatever has changed.
pub(crate) async fn tell(api: &Api, refused: &Refused, now: i64) -> Result<(), CallError> {
    let pod = &refused.pod;
    let mut meta = json!({ "uid": pod.id.uid });
    let mut status = json!({});
    if let Some(message) = &refused.message {
        let since = pod.view.0.unschedulable.as_ref().map(|one| one.since.to_string());
        let since = since.unwrap_or_else(|| clock::seconds(now));
        status["conditions"] = json!([not_scheduled("Unschedulable", message, &since)]);
    }
    match &refused.nomination {
        Nomination::Nothing => status["nominatedNodeName"] = Value::Null,
        Nomination::To(node) => status["nominatedNodeName"] = (&**node).into(),
        Nomination::AsItIs => {}
    }
    if refused.nomination != Nomination::Nothing {
        meta["resourceVersion"] = pod.id.resource_version.as_str().into();
    }
    patch(api, &path(pod, "/status"), &json!({ "metadata": meta, "status": status })).await
}

fn not_scheduled(reason: &str, message: &str, since: &str) -> Value {
    json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastProbeTime": null,
        "lastTransitionTime": since,
    })
}

/// Says that a pod is about to be bound to a node, while its claims are waited for (KEP-5278, on by default since v1.35).
pub(crate) async fn expect(api: &Api, pod: &Shown, node: &str) -> Result<(), CallError> {
    let body =
        json!({ "metadata": { "uid": pod.id.uid }, "status": { "nominatedNodeName": node } });
    patch(api, &path(pod, "/status"), &body).await
}

/// Says that a pod was not bound to its node after all, and is not nominated to it (`handleBindingCycleError`).
pub(crate) async fn give_up(
    api: &Api,
    pod: &Shown,
    message: &str,
    now: i64,
) -> Result<(), CallError> {
    let condition = not_scheduled("SchedulerError", message, &clock::seconds(now));
    let status = json!({ "conditions": [condition], "nominatedNodeName": null });
    let body = json!({ "metadata": { "uid": pod.id.uid }, "status": status });
    patch(api, &path(pod, "/status"), &body).await
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

async fn patch(api: &Api, path: &str, body: &Value) -> Result<(), CallError> {
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
