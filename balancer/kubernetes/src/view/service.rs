// SPDX-License-Identifier: Apache-2.0
//! Services.

use super::{nullable, read, version_4};
use berth_balancer_core::model::Cidr;
use berth_cluster_client::{ObjectError, View};
use compact_str::CompactString as Text;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Services with this label are somebody else's.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";
/// Services and slices with this label have no address of their own.
const HEADLESS: &str = "service.kubernetes.io/headless";

/// A Service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Service {
    /// Nothing of it is served: it is headless, an external name, has no address yet, or another proxy serves it.
    pub is_skipped: bool,
    /// Addresses inside the cluster.
    pub cluster_ips: Vec<IpAddr>,
    /// `externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// Addresses in the status of a load balancer for which this node answers.
    pub load_balancer_ips: Vec<IpAddr>,
    /// Addresses of version 6, which are not served.
    pub others: usize,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Seconds for which a client keeps its endpoint.
    pub affinity: Option<u32>,
    /// Flows from inside reach endpoints of this node alone.
    pub internal_local: bool,
    /// Flows from outside reach endpoints of this node alone.
    pub external_local: bool,
    /// Port that tells load balancers whether this node has endpoints.
    pub health_port: Option<u16>,
    /// Who may use the load balancer's addresses; empty for all.
    pub source_ranges: Vec<Cidr>,
    /// When it was made: of two that want one place the older has it.
    pub born: Text,
    /// `status.conditions` as they are.
    pub conditions: Vec<Value>,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name; empty if it is the only one.
    pub name: Text,
    /// Its protocol.
    pub protocol: Protocol,
    /// The number.
    pub number: u16,
    /// On the nodes.
    pub node_port: Option<u16>,
}

/// A protocol of the Kubernetes API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP, or what is to come: not served.
    Other,
}

impl Protocol {
    pub(super) fn of(text: &str) -> Self {
        match text {
            "" | "TCP" => Self::Tcp,
            "UDP" => Self::Udp,
            _ => Self::Other,
        }
    }

    /// The same for the balancer, if it has it.
    #[must_use]
    pub fn served(self) -> Option<berth_balancer_core::model::Protocol> {
        match self {
            Self::Tcp => Some(berth_balancer_core::model::Protocol::Tcp),
            Self::Udp => Some(berth_balancer_core::model::Protocol::Udp),
            Self::Other => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Other => "SCTP",
        })
    }
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
    labels: BTreeMap<Text, Text>,
    #[serde(deserialize_with = "nullable")]
    creation_timestamp: Text,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSpec {
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: Text,
    #[serde(rename = "clusterIP", deserialize_with = "nullable")]
    cluster_ip: Text,
    #[serde(rename = "clusterIPs", deserialize_with = "nullable")]
    cluster_ips: Vec<Text>,
    #[serde(rename = "externalIPs", deserialize_with = "nullable")]
    external_ips: Vec<Text>,
    #[serde(deserialize_with = "nullable")]
    ports: Vec<RawPort>,
    #[serde(deserialize_with = "nullable")]
    session_affinity: Text,
    #[serde(deserialize_with = "nullable")]
    session_affinity_config: RawAffinity,
    #[serde(deserialize_with = "nullable")]
    internal_traffic_policy: Text,
    #[serde(deserialize_with = "nullable")]
    external_traffic_policy: Text,
    #[serde(deserialize_with = "nullable")]
    health_check_node_port: u16,
    #[serde(deserialize_with = "nullable")]
    load_balancer_source_ranges: Vec<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawPort {
    #[serde(deserialize_with = "nullable")]
    name: Text,
    #[serde(deserialize_with = "nullable")]
    protocol: Text,
    #[serde(deserialize_with = "nullable")]
    port: u16,
    #[serde(deserialize_with = "nullable")]
    node_port: u16,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAffinity {
    #[serde(rename = "clientIP", deserialize_with = "nullable")]
    client_ip: RawClientIp,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawClientIp {
    timeout_seconds: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatus {
    #[serde(deserialize_with = "nullable")]
    load_balancer: RawLoadBalancer,
    #[serde(deserialize_with = "nullable")]
    conditions: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLoadBalancer {
    #[serde(deserialize_with = "nullable")]
    ingress: Vec<RawIngress>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawIngress {
    #[serde(deserialize_with = "nullable")]
    ip: Text,
    #[serde(deserialize_with = "nullable")]
    ip_mode: Text,
}

/// `ClientIPConfig.timeoutSeconds`, as the API defaults it.
const AFFINITY: u32 = 10_800;

impl View for Service {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let Raw { metadata, spec, status } = read(json)?;
        let labelled = |label| metadata.labels.contains_key(label);
        let headless = spec.cluster_ip == "None" || spec.cluster_ips.iter().any(|ip| ip == "None");
        let elsewhere = labelled(OTHER_PROXY) || labelled(HEADLESS);
        let born = metadata.creation_timestamp;
        let conditions = status.conditions;
        if headless || elsewhere || spec.kind == "ExternalName" || spec.cluster_ip.is_empty() {
            return Ok(Self { is_skipped: true, born, conditions, ..Self::default() });
        }
        let first = spec.cluster_ips.is_empty().then_some(&spec.cluster_ip);
        let all = first.into_iter().chain(&spec.cluster_ips).map(Text::as_str);
        let (cluster_ips, six) = version_4(all);
        let (external_ips, more) = version_4(spec.external_ips.iter().map(Text::as_str));
        let balanced = spec.kind == "LoadBalancer";
        // Whoever says `Proxy` brings its clients to the nodes' ports by itself (KEP-1860).
        let vip = |one: &&RawIngress| balanced && one.ip_mode != "Proxy";
        let ingress = status.load_balancer.ingress.iter().filter(vip).map(|one| one.ip.as_str());
        let (load_balancer_ips, others) = version_4(ingress);
        let from_outside = balanced || spec.kind == "NodePort" || !spec.external_ips.is_empty();
        let external_local = from_outside && spec.external_traffic_policy == "Local";
        let health = spec.health_check_node_port;
        let timeout = spec.session_affinity_config.client_ip.timeout_seconds;
        Ok(Self {
            is_skipped: false,
            cluster_ips,
            external_ips,
            load_balancer_ips,
            others: six + more + others,
            ports: spec.ports.iter().map(port).collect(),
            affinity: (spec.session_affinity == "ClientIP").then(|| timeout.unwrap_or(AFFINITY)),
            internal_local: spec.internal_traffic_policy == "Local",
            external_local,
            health_port: (balanced && external_local && health != 0).then_some(health),
            source_ranges: ranges(&spec.load_balancer_source_ranges),
            born,
            conditions,
        })
    }
}

fn port(raw: &RawPort) -> Port {
    Port {
        name: raw.name.clone(),
        protocol: Protocol::of(&raw.protocol),
        number: raw.port,
        node_port: (raw.node_port != 0).then_some(raw.node_port),
    }
}

/// Ranges; one that cannot be read lets nobody in, rather than all.
fn ranges(texts: &[Text]) -> Vec<Cidr> {
    let nobody = Cidr { address: Ipv4Addr::BROADCAST.into(), prefix: 32 };
    texts.iter().map(|text| text.trim().parse().unwrap_or(nobody)).collect()
}
