// SPDX-License-Identifier: Apache-2.0
//! Pods, as far as they have ports on their node.

use super::{Protocol, nullable, read};
use berth_cluster_client::{ObjectError, View};
use compact_str::CompactString as Text;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr};

/// A Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its node; empty if it has none.
    pub node: Text,
    /// Its address while it has one that is its own: not that of its node, and not of one that has ended.
    pub address: Option<IpAddr>,
    /// It is being stopped.
    pub terminating: bool,
    /// When it was made.
    pub born: Text,
    /// Its ports on the node.
    pub ports: Vec<HostPort>,
}

/// A port on the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// On the node.
    pub host: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The node's address; none for all.
    pub address: Option<IpAddr>,
    /// In the pod.
    pub container: u16,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    metadata: RawMeta,
    #[serde(deserialize_with = "nullable")]
    spec: RawSpec,
    #[serde(deserialize_with = "nullable")]
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawMeta {
    #[serde(deserialize_with = "nullable")]
    creation_timestamp: Text,
    deletion_timestamp: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSpec {
    #[serde(deserialize_with = "nullable")]
    node_name: Text,
    #[serde(deserialize_with = "nullable")]
    host_network: bool,
    #[serde(deserialize_with = "nullable")]
    containers: Vec<RawContainer>,
    #[serde(deserialize_with = "nullable")]
    init_containers: Vec<RawContainer>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawContainer {
    #[serde(deserialize_with = "nullable")]
    ports: Vec<RawPort>,
    #[serde(deserialize_with = "nullable")]
    restart_policy: Text,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawPort {
    #[serde(deserialize_with = "nullable")]
    host_port: u16,
    #[serde(deserialize_with = "nullable")]
    container_port: u16,
    #[serde(deserialize_with = "nullable")]
    protocol: Text,
    #[serde(rename = "hostIP", deserialize_with = "nullable")]
    host_ip: Text,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatus {
    #[serde(deserialize_with = "nullable")]
    phase: Text,
    #[serde(rename = "podIP", deserialize_with = "nullable")]
    pod_ip: Text,
}

impl View for Pod {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let Raw { metadata, spec, status } = read(json)?;
        let terminating = metadata.deletion_timestamp.is_some();
        let born = metadata.creation_timestamp;
        // On the host's network the pod listens itself; the address of one that has ended is given to others.
        let own = !spec.host_network && !matches!(status.phase.as_str(), "Succeeded" | "Failed");
        let address = status.pod_ip.parse().ok().filter(|ip: &IpAddr| own && ip.is_ipv4());
        // A sidecar runs as long as the pod; other init containers listen to nobody.
        let sidecars = spec.init_containers.iter().filter(|one| one.restart_policy == "Always");
        let containers = spec.containers.iter().chain(sidecars);
        let all = containers.flat_map(|one| &one.ports).filter_map(port);
        let mut ports: Vec<HostPort> = if own { all.collect() } else { Vec::new() };
        ports.sort_unstable();
        ports.dedup();
        Ok(Self { node: spec.node_name, address, terminating, born, ports })
    }
}

fn port(raw: &RawPort) -> Option<HostPort> {
    let address = match raw.host_ip.parse::<IpAddr>() {
        Ok(ip) if ip == Ipv4Addr::UNSPECIFIED => None,
        Ok(ip) => Some(ip),
        Err(_) => None,
    };
    let protocol = Protocol::of(&raw.protocol);
    (raw.host_port != 0 && raw.container_port != 0).then_some(HostPort {
        host: raw.host_port,
        protocol,
        address,
        container: raw.container_port,
    })
}
