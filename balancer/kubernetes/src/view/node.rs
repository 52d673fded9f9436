// SPDX-License-Identifier: Apache-2.0
//! Nodes.

use super::{nullable, read, version_4};
use berth_balancer_core::model::Name;
use berth_cluster_client::{ObjectError, View};
use compact_str::CompactString as Text;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// A Node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its zone.
    pub zone: Option<Name>,
    /// Its addresses, the one inside the cluster first.
    pub addresses: Vec<IpAddr>,
    /// Somebody hears from it.
    pub ready: bool,
    /// Where its service proxy tells what is in effect, as that said.
    pub proxy: Option<SocketAddr>,
}

/// The annotation by which a service proxy says where it is asked.
pub(crate) const PROXY: &str = "berth.dev/service-proxy";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    metadata: RawMeta,
    #[serde(deserialize_with = "nullable")]
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawMeta {
    #[serde(deserialize_with = "nullable")]
    labels: RawLabels,
    #[serde(deserialize_with = "nullable")]
    annotations: RawAnnotations,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLabels {
    #[serde(rename = "topology.kubernetes.io/zone")]
    zone: Option<Name>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAnnotations {
    // `PROXY`, which an attribute cannot name.
    #[serde(rename = "berth.dev/service-proxy")]
    proxy: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawStatus {
    #[serde(deserialize_with = "nullable")]
    addresses: Vec<RawAddress>,
    #[serde(deserialize_with = "nullable")]
    conditions: Vec<RawCondition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAddress {
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: Text,
    #[serde(deserialize_with = "nullable")]
    address: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawCondition {
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: Text,
    #[serde(deserialize_with = "nullable")]
    status: Text,
}

impl View for Node {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let Raw { metadata, status } = read(json)?;
        let of = |kind: &'static str| {
            let all = status.addresses.iter().filter(move |one| one.kind == kind);
            all.map(|one| one.address.as_str())
        };
        let (addresses, _) = version_4(of("InternalIP").chain(of("ExternalIP")));
        let ready = status.conditions.iter().find(|one| one.kind == "Ready");
        Ok(Self {
            zone: metadata.labels.zone.filter(|zone| !zone.is_empty()),
            addresses,
            ready: ready.is_some_and(|ready| ready.status == "True"),
            proxy: metadata.annotations.proxy.and_then(|text| text.parse().ok()),
        })
    }
}
