// SPDX-License-Identifier: Apache-2.0
//! The Service by which pods reach the cluster's DNS. Each node answers its own pods; where it does stands on its Node, and is put into a
//! slice of the Service here, beside the API: no node may write endpoints.

use crate::network::{DOMAIN, put};
use berth_cluster_agent_network::Range;
use berth_cluster_client::{Api, Change, Informer, ObjectError, Resource, View};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const SERVICE: &str = "kube-dns";
const SERVICES: &str = "/api/v1/namespaces/kube-system/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices";
/// The annotation by which a node's agent says where its DNS answers.
pub(crate) const ANNOTATION: &str = "berth.dev/dns";
/// What is waited for after a failure.
const AGAIN: Duration = Duration::from_millis(500);
/// Changes that are taken at a time.
const MANY: usize = 256;
const SEED: u64 = 0xd45;

/// Of a Node, what matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answers {
    at: Option<SocketAddr>,
}

impl View for Answers {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let node: Value =
            serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))?;
        let said = node["metadata"]["annotations"][ANNOTATION].as_str();
        let said = said.and_then(|text| text.parse().ok());
        let range = node["spec"]["podCIDR"].as_str();
        let range: Option<Range> = range.and_then(|text| text.parse().ok());
        // A node answers at its own gateway, and speaks for nobody else.
        let own = |at: &SocketAddr| match at.ip() {
            IpAddr::V4(ip) => range.is_some_and(|range| range.contains(ip)),
            IpAddr::V6(_) => false,
        };
        Ok(Self { at: said.filter(own) })
    }
}

/// Follows nodes, and keeps the Service of the cluster's DNS as they say, for ever. `api` is the administrator's.
pub(crate) async fn keep(api: Api, ip: Ipv4Addr) {
    let nodes = Informer::<Answers>::start(api.clone(), Resource::new("", "v1", "nodes"), SEED);
    let mut changes = nodes.subscribe();
    let mut waiting: BTreeMap<String, Value> = BTreeMap::new();
    let mut has_service = false;
    let mut some: Vec<Change<Answers>> = Vec::new();
    loop {
        let more = changes.next_many(&mut some, MANY);
        let more =
            if waiting.is_empty() { more.await } else { timeout(AGAIN, more).await.unwrap_or(1) };
        if more == 0 {
            return;
        }
        for change in some.drain(..) {
            let Some(node) = &change.after else { continue };
            if change.before.as_ref().is_some_and(|before| before.view == node.view) {
                continue;
            }
            if let Some(at) = node.view.at {
                waiting.insert(node.id.name.to_string(), slice(&node.id.name, &node.id.uid, at));
            }
        }
        if !waiting.is_empty() && !has_service {
            match put(&api, SERVICES, SERVICE, &service(ip)).await {
                Ok(()) => has_service = true,
                Err(error) => {
                    tracing::warn!(%error, "the Service of the cluster's DNS cannot be written yet");
                    sleep(AGAIN).await;
                    continue;
                }
            }
        }
        let mut left = BTreeMap::new();
        for (node, slice) in std::mem::take(&mut waiting) {
            if let Err(error) = put(&api, SLICES, &format!("{SERVICE}-{node}"), &slice).await {
                tracing::warn!(%error, node, "its DNS cannot be written into the Service yet");
                left.insert(node, slice);
            }
        }
        waiting = left;
    }
}

fn service(ip: Ipv4Addr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": SERVICE, "namespace": "kube-system", "labels": {
            "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
        }, "annotations": { "berth.dev/domain": DOMAIN } },
        "spec": {
            "clusterIP": ip.to_string(), "internalTrafficPolicy": "Local",
            "ports": [
                { "name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53 },
                { "name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53 },
            ],
        },
    })
}

fn slice(node: &str, uid: &str, address: SocketAddr) -> Value {
    let port = address.port();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("{SERVICE}-{node}"), "namespace": "kube-system",
            "labels": {
                "kubernetes.io/service-name": SERVICE, "endpointslice.kubernetes.io/managed-by": "berth-dns",
            },
            // It goes with the node.
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": node, "uid": uid }],
        },
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::*;

    #[test]
    fn a_node_speaks_for_its_own_addresses_alone() {
        let said = |at: &str| {
            let node = json!({
                "metadata": { "annotations": { ANNOTATION: at } }, "spec": { "podCIDR": "10.244.1.0/24" },
            });
            Answers::read(node.to_string().as_bytes()).unwrap().at.map(|at| at.to_string())
        };
        assert_eq!(said("10.244.1.1:53").as_deref(), Some("10.244.1.1:53"));
        for wrong in ["10.244.2.1:53", "192.0.2.1:53", "nonsense", "[::1]:53"] {
            assert_eq!(said(wrong), None, "{wrong}");
        }
        assert!(Answers::read(b"{\"metadata\":{}}").unwrap().at.is_none());
    }
}
