// SPDX-License-Identifier: Apache-2.0
//! Nodes and leases.

use super::{Condition, Meta, Micros, nullable, read};
use berth_cluster_client::{ObjectError, View};
use serde::Deserialize;

/// A node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its metadata.
    pub metadata: Meta,
    /// What is wanted.
    pub spec: NodeSpec,
    /// How it is.
    pub status: NodeStatus,
}

/// `spec` of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// Its pods' addresses.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
    /// No new pods go to it.
    #[serde(deserialize_with = "nullable")]
    pub unschedulable: bool,
    /// Its taints.
    #[serde(deserialize_with = "nullable")]
    pub taints: Vec<Taint>,
}

/// What keeps pods away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
    /// Since when, where it drives pods out.
    pub time_added: Option<Micros>,
}

/// `status` of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its conditions.
    #[serde(deserialize_with = "nullable")]
    pub conditions: Vec<Condition>,
}

impl Node {
    /// A condition.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|one| one.kind == kind)
    }

    /// Its failure domain: region and zone, as labels say; may be empty.
    pub fn zone(&self) -> String {
        let label = |name: &str| self.metadata.labels.get(name).map_or("", |text| text.as_str());
        match (label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone")) {
            ("", "") => String::new(),
            (region, zone) => format!("{region}:\0:{zone}"),
        }
    }
}

impl View for Node {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        read(json)
    }
}

/// A lease.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// What it says.
    pub spec: LeaseSpec,
}

/// `spec` of a lease.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    /// When its holder last said that it lives.
    pub renew_time: Option<Micros>,
}

impl View for Lease {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        read(json)
    }
}
