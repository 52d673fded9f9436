// SPDX-License-Identifier: Apache-2.0
//! Pods.

use super::{Meta, Micros, nullable, read};
use berth_cluster_client::{ObjectError, Pool, View};
use serde::{Deserialize, Deserializer};
use std::sync::Arc;

/// A pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its metadata.
    pub metadata: Meta,
    /// What is wanted.
    pub spec: PodSpec,
    /// How it is.
    pub status: PodStatus,
}

/// `spec` of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Its node.
    pub node_name: String,
    /// Its host name, if it is told.
    pub hostname: String,
    /// The headless Service that names it.
    pub subdomain: String,
    /// It has the node's network.
    pub host_network: bool,
    /// Its containers' ports.
    #[serde(deserialize_with = "nullable")]
    pub containers: Arc<Vec<Container>>,
    /// Containers that run before the others, or beside them.
    #[serde(deserialize_with = "nullable")]
    pub init_containers: Arc<Vec<Container>>,
    /// Taints that it stands.
    #[serde(deserialize_with = "nullable")]
    pub tolerations: Arc<Vec<Toleration>>,
}

/// A container, as far as ports go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its ports.
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<ContainerPort>,
    /// `Always` makes a sidecar of an init container.
    pub restart_policy: Option<String>,
}

/// A port of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Its name.
    pub name: String,
    /// Its number.
    pub container_port: u16,
    /// Its protocol; TCP if it is empty.
    pub protocol: String,
}

/// A taint, or several, that a pod stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// Of this key; of all if it is empty.
    pub key: String,
    /// `Exists` or `Equal`.
    pub operator: String,
    /// Of this value.
    pub value: String,
    /// Of this effect; of all if it is empty.
    pub effect: String,
    /// For so long; for ever without.
    pub toleration_seconds: Option<i64>,
}

/// `status` of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Its condition `Ready`.
    #[serde(rename = "conditions", deserialize_with = "readiness")]
    pub ready: Option<Readiness>,
    /// Its first address.
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    /// Its addresses.
    #[serde(rename = "podIPs", deserialize_with = "nullable")]
    pub pod_ips: Vec<Address>,
    /// How its containers are.
    #[serde(deserialize_with = "nullable")]
    pub container_statuses: Vec<ContainerStatus>,
}

/// Whether a pod is ready. Of thousands of pods its other conditions are never asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness {
    /// It is.
    pub is: bool,
    /// Since when; the beginning of time if nobody says.
    pub since: Micros,
}

/// Finds the condition `Ready` among all.
fn readiness<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Readiness>, D::Error> {
    let all = Option::<Vec<Condition>>::deserialize(from)?.unwrap_or_default();
    Ok(all.into_iter().find(|one| one.kind == "Ready").map(|one| Readiness {
        is: one.status == "True",
        since: one.last_transition_time.unwrap_or_default(),
    }))
}

/// One of a pod's addresses.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Address {
    /// It.
    pub ip: String,
}

/// How often a container was started anew.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// It.
    pub restart_count: i64,
}

/// A condition of any object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Its name.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in a word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// Since when.
    pub last_transition_time: Option<Micros>,
    /// When its owner last said so.
    pub last_update_time: Option<Micros>,
    /// When a node last said so.
    pub last_heartbeat_time: Option<Micros>,
}

impl View for Pod {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        read(json)
    }

    fn share(&mut self, pool: &mut Pool) {
        self.metadata.share(pool);
        let PodSpec { containers, init_containers, tolerations, .. } = &mut self.spec;
        *containers = pool.part(std::mem::take(containers));
        *init_containers = pool.part(std::mem::take(init_containers));
        *tolerations = pool.part(std::mem::take(tolerations));
    }
}

impl Pod {
    /// Whether it is ready.
    pub fn ready(&self) -> bool {
        self.ready_since().is_some()
    }

    /// Since when it is ready; none if it is not.
    pub fn ready_since(&self) -> Option<Micros> {
        self.status.ready.filter(|ready| ready.is).map(|ready| ready.since)
    }

    /// Whether it is ready for so many seconds.
    pub fn available(&self, min_ready_seconds: i64, now: Micros) -> bool {
        let long = min_ready_seconds.saturating_mul(1_000_000);
        self.ready_since().is_some_and(|since| {
            min_ready_seconds == 0 || (since.0 != 0 && since.0.saturating_add(long) <= now.0)
        })
    }

    /// Whether it has come to its end.
    pub fn terminal(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Whether it counts as one of its owner's: neither at its end nor on its way out.
    pub fn active(&self) -> bool {
        !self.terminal() && !self.metadata.deleted()
    }
}
