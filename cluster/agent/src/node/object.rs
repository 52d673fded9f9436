// SPDX-License-Identifier: Apache-2.0
//! The Node object: what it is registered as, and what is told of it. Pure.

use super::IMAGES;
use super::system::{self, System};
use crate::settings::{Pressure, Settings};
use berth_cluster_client::clock;
use berth_cluster_docker::{EngineInfo, ListedImage};
use berth_cluster_files::NodeAmounts;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What of the node does not change while its agent runs.
#[derive(Debug, Clone)]
pub(crate) struct Fixed {
    pub(crate) node: String,
    pub(crate) address: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// The addresses of its pods.
    pub(crate) range: String,
    pub(crate) pods_max: u32,
    pub(crate) port: Option<u16>,
    pub(crate) pressure: Pressure,
    pub(crate) info: EngineInfo,
    pub(crate) amounts: NodeAmounts,
    /// What the API's server calls its version.
    pub(crate) version: String,
}

/// What the node is like now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    /// Whether the engine answers.
    pub(crate) engine: bool,
    pub(crate) system: System,
    pub(crate) images: Vec<ListedImage>,
    /// Microseconds since the Unix epoch.
    pub(crate) at: i64,
}

/// What pods may use together.
pub(crate) fn amounts(settings: &Settings, info: &EngineInfo) -> NodeAmounts {
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let disk = system::disk(&settings.root).map_or(0, |(all, _)| all);
    NodeAmounts {
        cpu_milli: whole(info.cpus.saturating_mul(1_000)),
        memory_bytes: whole(info.memory_bytes.saturating_sub(settings.pressure.memory_bytes)),
        // As upstream: what would be pressure is not for pods.
        ephemeral_storage_bytes: whole(disk - disk / 100 * settings.pressure.disk_percent.min(100)),
    }
}

/// Go's name of a processor.
fn architecture(info: &EngineInfo) -> &str {
    match info.architecture.as_str() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" => "arm",
        other => other,
    }
}

/// As it is registered.
pub(super) fn registration(fixed: &Fixed) -> Value {
    let architecture = architecture(&fixed.info);
    let mut labels = Map::new();
    for (name, value) in &fixed.labels {
        labels.insert(name.clone(), value.as_str().into());
    }
    for (name, value) in [
        ("kubernetes.io/hostname", fixed.node.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture),
    ] {
        labels.insert(name.to_owned(), value.into());
    }
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": fixed.node, "labels": labels, "annotations": fixed.annotations },
        // What is there counts: who gives ranges out may have given this one, and has to know that it is taken.
        "spec": { "podCIDR": fixed.range, "podCIDRs": [fixed.range] },
    })
}

/// What is told of it. `known`: the status that the API has.
pub(super) fn status(fixed: &Fixed, observed: &Observed, known: &Value) -> Value {
    let (system, info, room) = (&observed.system, &fixed.info, fixed.amounts);
    let disk = system.disk.map_or(0, |(all, _)| all);
    let pods = fixed.pods_max.to_string();
    let mut status = json!({
        "capacity": {
            "cpu": info.cpus.to_string(), "memory": format!("{}Ki", info.memory_bytes / 1_024),
            "ephemeral-storage": format!("{}Ki", disk / 1_024), "pods": pods,
        },
        "allocatable": {
            "cpu": info.cpus.to_string(), "memory": format!("{}Ki", room.memory_bytes / 1_024),
            "ephemeral-storage": room.ephemeral_storage_bytes.to_string(), "pods": pods,
        },
        "addresses": [
            { "type": "InternalIP", "address": fixed.address },
            { "type": "Hostname", "address": fixed.node },
        ],
        "nodeInfo": {
            "machineID": system.machine_id, "systemUUID": system.system_uuid,
            "bootID": system.boot_id, "kernelVersion": info.kernel,
            "osImage": info.operating_system, "operatingSystem": "linux",
            "containerRuntimeVersion": format!("docker://{}", info.version),
            "kubeletVersion": fixed.version, "kubeProxyVersion": "", "architecture": architecture(info),
        },
        "images": images(&observed.images),
        "conditions": conditions(fixed.pressure, observed, known),
    });
    if let Some(port) = fixed.port {
        status["daemonEndpoints"] = json!({ "kubeletEndpoint": { "Port": port } });
    }
    status
}

/// The largest first, as upstream has it.
fn images(all: &[ListedImage]) -> Value {
    let mut all: Vec<&ListedImage> =
        all.iter().filter(|one| !one.tags.is_empty() || !one.digests.is_empty()).collect();
    all.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.id.cmp(&b.id)));
    let names = |one: &ListedImage| {
        let names: Vec<&String> = one.digests.iter().chain(&one.tags).take(5).collect();
        json!({ "names": names, "sizeBytes": one.size_bytes })
    };
    all.into_iter().take(IMAGES).map(names).collect()
}

/// Conditions, in upstream's words. The time of the last transition stays as long as a condition's status does.
pub(super) fn conditions(pressure: Pressure, observed: &Observed, known: &Value) -> Value {
    let system = &observed.system;
    let memory = system.memory_free.is_some_and(|free| free < pressure.memory_bytes);
    let disk =
        system.disk.is_some_and(|(all, free)| free < all / 100 * pressure.disk_percent.min(100));
    let pids = system.pids.is_some_and(|(most, now)| most.saturating_sub(now) < pressure.pids);
    let row = |bad: bool, name: &'static str, short: [&'static str; 2], well: [&'static str; 2]| {
        let [reason, message] = if bad { short } else { well };
        (name, if bad { "True" } else { "False" }, reason, message.to_owned())
    };
    let ready = if observed.engine {
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status".to_owned())
    } else {
        ("Ready", "False", "KubeletNotReady", "container runtime is down".to_owned())
    };
    let all = [
        row(
            memory,
            "MemoryPressure",
            ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
            ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
        ),
        row(
            disk,
            "DiskPressure",
            ["KubeletHasDiskPressure", "kubelet has disk pressure"],
            ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
        ),
        row(
            pids,
            "PIDPressure",
            ["KubeletHasInsufficientPID", "kubelet has insufficient PID available"],
            ["KubeletHasSufficientPID", "kubelet has sufficient PID available"],
        ),
        ready,
    ];
    let now = clock::seconds(observed.at);
    let before = known["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let made = all.map(|(kind, status, reason, message)| {
        let old = before.iter().find(|one| one["type"] == kind && one["status"] == status);
        let since = old.and_then(|one| one["lastTransitionTime"].as_str()).unwrap_or(&now);
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": since,
        })
    });
    Value::from(made.to_vec())
}

/// Whether two statuses say the same, whenever it was said.
pub(super) fn is_same(wanted: &Value, known: &Value) -> bool {
    let Some(wanted) = wanted.as_object() else { return false };
    wanted.iter().all(|(key, value)| match key.as_str() {
        "conditions" => value.as_array().into_iter().flatten().all(|one| {
            let said = |one: &Value| {
                [one["status"].clone(), one["reason"].clone(), one["message"].clone()]
            };
            let known = known["conditions"].as_array().into_iter().flatten();
            known.into_iter().any(|old| old["type"] == one["type"] && said(old) == said(one))
        }),
        // An empty list is not written.
        "images" if value.as_array().is_none_or(Vec::is_empty) => {
            known["images"].as_array().is_none_or(Vec::is_empty)
        }
        key => known[key] == *value,
    })
}

/// A strategic merge patch: conditions are merged by type, the rest is what it is.
pub(super) fn patch(known: &Value, wanted: &Value) -> Value {
    let mut changes = Map::new();
    for (key, value) in wanted.as_object().into_iter().flatten() {
        if key == "conditions" || known[key] != *value {
            changes.insert(key.clone(), value.clone());
        }
    }
    if let Some(addresses) = changes.get_mut("addresses").and_then(Value::as_array_mut) {
        // The server merges them by type, and would keep others.
        addresses.insert(0, json!({ "$patch": "replace" }));
    }
    json!({ "status": changes })
}

#[cfg(test)]
mod tests;
