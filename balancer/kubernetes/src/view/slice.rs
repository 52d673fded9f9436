// SPDX-License-Identifier: Apache-2.0
//! EndpointSlices.

use super::{Protocol, nullable, read};
use berth_balancer_core::model::Name;
use berth_cluster_client::{ObjectError, Pool, View};
use compact_str::CompactString as Text;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr};

/// An EndpointSlice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slice {
    /// Whose endpoints they are; empty if nobody's.
    pub service: Text,
    /// Its addresses are not of version 4, and nothing of it is used.
    pub is_other: bool,
    /// Ports that all of its endpoints have.
    pub ports: Vec<SlicePort>,
    /// Its endpoints.
    pub endpoints: Vec<Candidate>,
}

/// A port of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// Name of the service's port.
    pub name: Text,
    /// Its protocol.
    pub protocol: Protocol,
    /// The endpoints' own port.
    pub number: u16,
}

/// An endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The first address: all of an endpoint are the same.
    pub address: IpAddr,
    /// What it is; the pod's name, or empty.
    pub name: Text,
    /// Takes new flows.
    pub ready: bool,
    /// Answers.
    pub serving: bool,
    /// Is being stopped.
    pub terminating: bool,
    /// Its node.
    pub node: Option<Name>,
    /// Its zone.
    pub zone: Option<Name>,
    /// Zones that should use it; none if nothing is said.
    pub for_zones: Vec<Name>,
    /// Nodes that should use it; none if nothing is said.
    pub for_nodes: Vec<Name>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    metadata: RawMeta,
    #[serde(deserialize_with = "nullable")]
    address_type: Text,
    #[serde(deserialize_with = "nullable")]
    endpoints: Vec<RawEndpoint>,
    #[serde(deserialize_with = "nullable")]
    ports: Vec<RawPort>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawMeta {
    #[serde(deserialize_with = "nullable")]
    labels: RawLabels,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLabels {
    #[serde(rename = "kubernetes.io/service-name", deserialize_with = "nullable")]
    service: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPort {
    #[serde(deserialize_with = "nullable")]
    name: Text,
    #[serde(deserialize_with = "nullable")]
    protocol: Text,
    port: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawEndpoint {
    #[serde(deserialize_with = "nullable")]
    addresses: Vec<Text>,
    #[serde(deserialize_with = "nullable")]
    conditions: RawConditions,
    node_name: Option<Name>,
    zone: Option<Name>,
    #[serde(deserialize_with = "nullable")]
    hints: RawHints,
    #[serde(deserialize_with = "nullable")]
    target_ref: RawTarget,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawConditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawHints {
    #[serde(deserialize_with = "nullable")]
    for_zones: Vec<RawNamed>,
    #[serde(deserialize_with = "nullable")]
    for_nodes: Vec<RawNamed>,
}

#[derive(Deserialize)]
struct RawNamed {
    name: Name,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawTarget {
    #[serde(deserialize_with = "nullable")]
    kind: Text,
    #[serde(deserialize_with = "nullable")]
    name: Text,
}

impl View for Slice {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let raw: Raw = read(json)?;
        let service = raw.metadata.labels.service;
        if raw.address_type != "IPv4" {
            return Ok(Self { service, is_other: true, ..Self::default() });
        }
        // A port without a number stands for all ports, which no service has.
        let port = |raw: RawPort| {
            let protocol = Protocol::of(&raw.protocol);
            Some(SlicePort { name: raw.name, protocol, number: raw.port.filter(|port| *port > 0)? })
        };
        Ok(Self {
            service,
            is_other: false,
            ports: raw.ports.into_iter().filter_map(port).collect(),
            endpoints: raw.endpoints.into_iter().filter_map(candidate).collect(),
        })
    }

    fn share(&mut self, pool: &mut Pool) {
        for one in &mut self.endpoints {
            let texts = one.node.iter_mut().chain(&mut one.zone);
            for text in texts.chain(&mut one.for_zones).chain(&mut one.for_nodes) {
                *text = pool.text(std::mem::replace(text, Name::from("")));
            }
        }
    }
}

fn candidate(raw: RawEndpoint) -> Option<Candidate> {
    let RawConditions { ready, serving, terminating } = raw.conditions;
    let names = |all: Vec<RawNamed>| all.into_iter().map(|one| one.name).collect();
    // What is not said counts as ready, as serving, and as not terminating.
    let address: IpAddr = raw.addresses.first()?.parse().ok()?;
    if address.is_unspecified() || address.is_multicast() || address == Ipv4Addr::BROADCAST {
        return None;
    }
    Some(Candidate {
        address,
        name: if raw.target_ref.kind == "Pod" { raw.target_ref.name } else { Text::default() },
        ready: ready != Some(false),
        serving: serving.unwrap_or(ready != Some(false)),
        terminating: terminating == Some(true),
        node: raw.node_name,
        zone: raw.zone,
        for_zones: names(raw.hints.for_zones),
        for_nodes: names(raw.hints.for_nodes),
    })
}
