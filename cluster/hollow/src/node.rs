// SPDX-License-Identifier: Apache-2.0
//! What a simulated node says of itself: the Node, its status, its Lease. And what is kept of a Node.

use crate::options::Options;
use crate::place;
use berth_cluster_client::{ObjectError, View, clock};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The label and the annotation by which simulated nodes are known.
pub const SIMULATED: &str = "berth.dev/simulated";
/// The annotation that makes a node silent while it is `true`, as if its machine was off: no lease, no status, nothing of its pods.
pub const SILENT: &str = "berth.dev/simulated-silent";
/// What says of the agent that it is none.
const VERSION: &str = "v1.36.0-simulated";

/// A Node.
#[derive(Debug)]
pub(crate) struct Node {
    /// It is said to be ready.
    pub(crate) ready: bool,
    /// Somebody wants it to be [`SILENT`].
    pub(crate) silent: bool,
    /// The first addresses of its pods.
    pub(crate) network: Option<Ipv4Addr>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    spec: Spec<'a>,
    #[serde(borrow, default)]
    status: Status<'a>,
}

#[derive(Default, Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    annotations: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

#[derive(Default, Deserialize)]
struct Spec<'a> {
    #[serde(borrow, default, rename = "podCIDR")]
    network: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    conditions: Vec<Condition<'a>>,
}

#[derive(Deserialize)]
struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    status: Cow<'a, str>,
}

impl View for Node {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let object: Object<'_> =
            serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))?;
        let ready = |one: &Condition<'_>| one.kind == "Ready" && one.status == "True";
        let annotations = object.metadata.annotations.unwrap_or_default();
        Ok(Self {
            silent: annotations.get(SILENT).is_some_and(|value| value == "true"),
            ready: object.status.conditions.iter().any(ready),
            network: place::first_addresses(&object.spec.network),
        })
    }
}

/// The Node as it is registered.
pub(crate) fn object(options: &Options, node: u32, now: i64) -> Bytes {
    let name = place::name(&options.prefix, node);
    let mut labels = json!({
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        SIMULATED: "true",
    });
    if let Some(zone) = zone(options, node) {
        labels["topology.kubernetes.io/zone"] = zone.into();
    }
    for (name, value) in &options.labels {
        labels[name] = value.as_str().into();
    }
    let object = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": labels, "annotations": { SIMULATED: "true" } },
        "status": status(options, node, now, true),
    });
    object.to_string().into()
}

fn zone(options: &Options, node: u32) -> Option<&str> {
    let place = usize::try_from(node).ok()?.checked_rem(options.zones.len())?;
    options.zones.get(place).map(String::as_str)
}

fn status(options: &Options, node: u32, now: i64, turned: bool) -> Value {
    let name = place::name(&options.prefix, node);
    let allocatable =
        if options.allocatable.is_empty() { &options.capacity } else { &options.allocatable };
    json!({
        "capacity": options.capacity, "allocatable": allocatable,
        "addresses": [
            { "type": "InternalIP", "address": place::host(node) },
            { "type": "Hostname", "address": name },
        ],
        "conditions": conditions(now, turned),
        "nodeInfo": {
            "machineID": name, "systemUUID": name, "bootID": name,
            "kernelVersion": "simulated", "osImage": "simulated",
            "containerRuntimeVersion": "simulated://1.0.0", "kubeletVersion": VERSION,
            "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
        },
    })
}

/// `turned`: the node becomes ready by it.
fn conditions(now: i64, turned: bool) -> Value {
    let now = clock::seconds(now);
    let one = |kind: &str, status: &str, reason: &str| {
        let mut one = json!({
            "type": kind, "status": status, "reason": reason, "message": "simulated",
            "lastHeartbeatTime": now,
        });
        if turned {
            one["lastTransitionTime"] = now.as_str().into();
        }
        one
    };
    json!([
        one("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        one("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        one("PIDPressure", "False", "KubeletHasSufficientPID"),
        one("Ready", "True", "KubeletReady"),
    ])
}

/// A strategic merge patch: the whole status, after a start.
pub(crate) fn begun(options: &Options, node: u32, now: i64, turned: bool) -> Bytes {
    json!({ "status": status(options, node, now, turned) }).to_string().into()
}

/// A strategic merge patch: it is well.
pub(crate) fn well(now: i64, turned: bool) -> Bytes {
    json!({ "status": { "conditions": conditions(now, turned) } }).to_string().into()
}

/// The Lease of a node with this uid.
pub(crate) fn lease(options: &Options, node: u32, uid: &str, now: i64) -> Bytes {
    let name = place::name(&options.prefix, node);
    let owner = json!([{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": uid }]);
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": name, "namespace": "kube-node-lease", "ownerReferences": owner },
        "spec": {
            "holderIdentity": name, "renewTime": clock::micro_time(now),
            "leaseDurationSeconds": options.lease_duration.as_secs().max(1),
        },
    });
    lease.to_string().into()
}

/// A merge patch that renews a Lease.
pub(crate) fn renewal(now: i64) -> Bytes {
    format!("{{\"spec\":{{\"renewTime\":\"{}\"}}}}", clock::micro_time(now)).into()
}
