// SPDX-License-Identifier: Apache-2.0
//! The Service by which pods reach the cluster's DNS, and this node's part of it.

use berth_cluster_client::{Api, CallError, Media};
use bytes::Bytes;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::time::sleep;

const SERVICE: &str = "kube-dns";
const NAMESPACE: &str = "kube-system";
/// What is waited for after a failure.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(10);

/// Says that the DNS of this node answers at `address`, as the Service of this IP. Each node's pods ask their own. Tried until it is done.
pub(crate) async fn publish(api: Api, node: String, ip: Ipv4Addr, address: SocketAddr) {
    let mut pause = AGAIN;
    loop {
        let done = async {
            put(&api, "/api/v1", "services", SERVICE, &service(ip)).await?;
            let name = format!("{SERVICE}-{node}");
            let slice = slice(&name, &node, address);
            put(&api, "/apis/discovery.k8s.io/v1", "endpointslices", &name, &slice).await
        };
        match done.await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%error, "the Service of the cluster's DNS cannot be written yet");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(AGAIN_MAX);
    }
}

/// Makes an object what it should be. One that is there is not created again: that its IP is taken would be said before its name.
async fn put(
    api: &Api,
    base: &str,
    plural: &str,
    name: &str,
    object: &Value,
) -> Result<(), CallError> {
    let all = format!("{base}/namespaces/{NAMESPACE}/{plural}");
    let (one, body) = (format!("{all}/{name}"), Bytes::from(object.to_string()));
    match api.patch(&one, Media::Merge, body.clone()).await {
        Err(error) if error.code() == Some(404) => api.post(&all, body).await.map(drop),
        done => done.map(drop),
    }
}

fn service(ip: Ipv4Addr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": SERVICE, "namespace": NAMESPACE, "labels": {
            "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
        } },
        "spec": {
            "clusterIP": ip.to_string(), "internalTrafficPolicy": "Local",
            "ports": [
                { "name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53 },
                { "name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53 },
            ],
        },
    })
}

fn slice(name: &str, node: &str, address: SocketAddr) -> Value {
    let port = address.port();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": {
            "kubernetes.io/service-name": SERVICE, "endpointslice.kubernetes.io/managed-by": "berth-dns",
        } },
        "endpoints": [{
            "addresses": [address.ip().to_string()], "nodeName": node,
            "conditions": { "ready": true, "serving": true, "terminating": false },
        }],
        "ports": [
            { "name": "dns", "port": port, "protocol": "UDP" },
            { "name": "dns-tcp", "port": port, "protocol": "TCP" },
        ],
    })
}
