// SPDX-License-Identifier: Apache-2.0
//! What calls cost the server: the same call again and again, in one thread, in memory, for a profiler that counts instructions.
//!
//! `valgrind --tool=callgrind target/release/examples/calls CALL NUMBER`, twice with other numbers: the difference is the calls'.
#![allow(clippy::panic, clippy::expect_used, reason = "what cannot be done ends the measurement")]

use berth_cluster_apiserver::{Caller, Machine, Server};
use berth_cluster_auth::user::{MASTERS, User};
use berth_cluster_client::{Api, Media};
use berth_cluster_store::{Options, Store};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;

const PODS: &str = "/api/v1/namespaces/default/pods";

fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn pod(number: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("web-{number}"), "labels": { "app": "web", "pod-template-hash": "6d4cf56db6" },
            "annotations": { "berth.dev/padding": "x".repeat(300) },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6d4cf56db6", "uid": "2b1ecb1c-8a5e-4a2f-9d6b-3f5b6f9c9b0e",
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "containers": [{
                "name": "web", "image": "registry.example/web:1", "ports": [{ "containerPort": 8080 }],
                "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } },
                "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }],
            }],
            "tolerations": [
                { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
                { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
            ],
        },
    })
}

fn status(number: u32) -> Value {
    let at = format!("2027-01-15T08:{:02}:{:02}Z", number / 60 % 60, number % 60);
    let condition = |name: &str| json!({ "type": name, "status": "True", "lastTransitionTime": at, "reason": null });
    json!({
        "status": {
            "phase": "Running", "hostIP": "10.0.0.1", "hostIPs": [{ "ip": "10.0.0.1" }], "podIP": "10.244.0.7", "podIPs": [{ "ip": "10.244.0.7" }],
            "startTime": at,
            "conditions": [condition("PodReadyToStartContainers"), condition("Initialized"), condition("Ready"), condition("ContainersReady")],
            "containerStatuses": [{
                "name": "web", "state": { "running": { "startedAt": at } }, "lastState": {}, "ready": true, "restartCount": 0,
                "image": "registry.example/web:1", "imageID": "sim://web", "containerID": format!("sim://{number}"), "started": true,
            }],
        },
    })
}

fn event(number: u32) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": { "name": format!("web.{number}"), "namespace": "default" },
        "eventTime": "2027-01-15T08:00:00.000000Z", "reportingController": "default-scheduler", "reportingInstance": "default-scheduler",
        "action": "Binding", "reason": "Scheduled", "type": "Normal", "note": "Successfully assigned default/web-1 to sim-00001",
        "regarding": { "kind": "Pod", "namespace": "default", "name": "web-1", "uid": "2b1ecb1c-8a5e-4a2f-9d6b-3f5b6f9c9b0e" },
    })
}

fn slice(addresses: u32, number: u32) -> Value {
    let endpoints: Vec<Value> = (0..addresses).map(|at| json!({
        "addresses": [format!("10.244.{}.{}", number % 200, at)], "conditions": { "ready": true, "serving": true, "terminating": false },
        "nodeName": format!("sim-{at:05}"),
        "targetRef": { "kind": "Pod", "namespace": "default", "name": format!("web-{at}"), "uid": "2b1ecb1c-8a5e-4a2f-9d6b-3f5b6f9c9b0e" },
    })).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": { "name": "web-abcde", "labels": { "kubernetes.io/service-name": "web" } },
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{ "name": "", "port": 80, "protocol": "TCP" }],
    })
}

async fn calls(api: &Api, what: &str, number: u32) {
    if what != "create" {
        drop(api.post(PODS, bytes(&pod(0))).await.expect("a pod"));
    }
    for at in 1..=number {
        match what {
            "create" => drop(api.post(PODS, bytes(&pod(at))).await.expect("a pod")),
            "bind" => {
                drop(api.post(PODS, bytes(&pod(at))).await.expect("a pod"));
                let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": format!("web-{at}") }, "target": { "kind": "Node", "name": "n" } });
                drop(
                    api.post(&format!("{PODS}/web-{at}/binding"), bytes(&binding))
                        .await
                        .expect("a binding"),
                );
            }
            "status" => drop(
                api.patch(&format!("{PODS}/web-0/status"), Media::Strategic, bytes(&status(at)))
                    .await
                    .expect("a status"),
            ),
            "event" => drop(
                api.post("/apis/events.k8s.io/v1/namespaces/default/events", bytes(&event(at)))
                    .await
                    .expect("an event"),
            ),
            "slice" => {
                let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
                if at == 1 {
                    drop(api.post(path, bytes(&slice(100, 1))).await.expect("a slice"));
                } else {
                    drop(
                        api.put(&format!("{path}/web-abcde"), bytes(&slice(100, at)))
                            .await
                            .expect("a slice"),
                    );
                }
            }
            other => panic!("{other}: create, bind, status, event and slice are known"),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut words = std::env::args().skip(1);
    let what = words.next().unwrap_or_else(|| "create".to_owned());
    let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(1_000);
    let server = Server::builder(Store::memory(Options::default()))
        .environment(Arc::new(Machine))
        .without_admission(["ServiceAccount".to_owned()])
        .build();
    server.bootstrap().await.expect("a server");
    let user = User::authenticated("admin", "", vec![MASTERS.to_owned()]);
    let api = Api::within(server, Caller(user));
    let begun = std::time::Instant::now();
    calls(&api, &what, number).await;
    println!("{what}: {:.1} us each", begun.elapsed().as_secs_f64() * 1e6 / f64::from(number));
}
