// SPDX-License-Identifier: Apache-2.0
//! The Service `kubernetes`: by it pods find the apiservers that live (upstream's kubernetesservice and lease reconciler).
//!
//! Each server keeps a key with its address, which it renews and which expires by itself. Whoever comes by writes all of them into
//! the endpoints.

use super::Control;
use crate::local::{CallError, Local};
use crate::server::Server;
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Body, Meta, Op, Txn};
use http::Method;
use std::net::SocketAddrV4;
use std::time::Duration;

/// What keys of servers begin with. No kind is stored there.
const PREFIX: &str = "reserved/apiserver/";
/// How often a server says that it lives.
const RENEW: Duration = Duration::from_secs(5);
/// Seconds after which one that said nothing is forgotten.
const LASTS: i64 = 15;

/// Runs until it is aborted.
pub(super) async fn run(server: Server, control: Control) {
    let local = Local::new(&server);
    loop {
        if let Some(address) = control.advertised {
            renew(&server, address).await;
        }
        if let Err(error) = reconcile(&server, &local, &control).await {
            tracing::warn!(%error, "the Service kubernetes is not as it should be");
        }
        tokio::time::sleep(RENEW).await;
    }
}

fn key(address: SocketAddrV4) -> String {
    format!("{PREFIX}{address}")
}

async fn renew(server: &Server, address: SocketAddrV4) {
    let head = "{\"resourceVersion\":\"";
    let hole = u32::try_from(head.len()).unwrap_or(u32::MAX);
    let body = Body { bytes: format!("{head}\"}}").into_bytes().into(), hole };
    let expires = Some(server.0.environment.now().seconds + LASTS);
    let op = Op::Put { key: key(address), body, meta: Meta { expires, ..Meta::default() } };
    let txn = Txn { compares: Vec::new(), ops: vec![op] };
    if let Err(error) = server.0.store.commit(txn).await {
        tracing::warn!(%error, "cannot say that this server lives");
    }
}

/// Takes a server out that stops.
pub(super) async fn leave(server: &Server, address: SocketAddrV4) {
    let txn = Txn { compares: Vec::new(), ops: vec![Op::Delete { key: key(address) }] };
    // One that was forgotten already needs not leave; the next server to come by writes the endpoints.
    drop(server.0.store.commit(txn).await);
}

/// Servers that live, in order.
fn alive(server: &Server) -> Vec<SocketAddrV4> {
    let now = server.0.environment.now().seconds;
    let found = server.0.store.list(PREFIX, None, None, 0, &|entry| {
        entry.meta.expires.is_none_or(|expires| expires > now)
    });
    let entries = found.into_iter().flat_map(|found| found.entries);
    let mut all: Vec<SocketAddrV4> =
        entries.filter_map(|entry| entry.key.strip_prefix(PREFIX)?.parse().ok()).collect();
    all.sort_unstable();
    all
}

async fn reconcile(server: &Server, local: &Local, control: &Control) -> Result<(), CallError> {
    let alive = alive(server);
    let port = alive.first().map_or(6443, SocketAddrV4::port);
    let all = "/api/v1/namespaces/default";
    let labels = json!({ "component": "apiserver", "provider": "kubernetes" });
    if local.get(&format!("{all}/services/kubernetes")).await?.is_none() {
        let service = json!({
            "metadata": { "name": "kubernetes", "labels": labels },
            "spec": {
                "type": "ClusterIP", "clusterIP": control.service_ip.to_string(), "sessionAffinity": "None",
                "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": port }],
            },
        });
        local.call(Method::POST, &format!("{all}/services"), Some(&service)).await?;
    }
    let addresses: Value = alive.iter().map(|one| json!({ "ip": one.ip().to_string() })).collect();
    let ports = json!([{ "name": "https", "port": port, "protocol": "TCP" }]);
    let subsets = if alive.is_empty() {
        json!(null)
    } else {
        json!([{ "addresses": addresses, "ports": ports }])
    };
    let mirrored = json!({ "endpointslice.kubernetes.io/skip-mirror": "true" });
    let endpoints =
        json!({ "metadata": { "name": "kubernetes", "labels": mirrored }, "subsets": subsets });
    write(local, &format!("{all}/endpoints"), "subsets", &endpoints).await?;
    let endpoints: Value = alive
        .iter()
        .map(|one| json!({ "addresses": [one.ip().to_string()], "conditions": { "ready": true } }))
        .collect();
    let slice = json!({
        "metadata": { "name": "kubernetes", "labels": { "kubernetes.io/service-name": "kubernetes" } },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    });
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    write(local, slices, "endpoints", &slice).await
}

/// Makes an object, or writes one of its fields where it differs.
async fn write(local: &Local, all: &str, field: &str, object: &Value) -> Result<(), CallError> {
    let one = format!("{all}/kubernetes");
    let Some(have) = local.get(&one).await? else {
        return match local.call(Method::POST, all, Some(object)).await {
            Err(error) if error.code != 409 => Err(error),
            _ => Ok(()),
        };
    };
    let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    if have[field] == object[field] || (empty(&have[field]) && empty(&object[field])) {
        return Ok(());
    }
    local.call(Method::PATCH, &one, Some(&json!({ field: object[field] }))).await.map(drop)
}
