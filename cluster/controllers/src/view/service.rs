// SPDX-License-Identifier: Apache-2.0
//! Services.

use super::{Meta, Texts, nullable, read, text};
use berth_cluster_client::{ObjectError, View};
use serde::Deserialize;
use serde_json::Value;

/// A Service.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// Its metadata.
    pub metadata: Meta,
    /// What is wanted.
    pub spec: ServiceSpec,
    /// How it is.
    pub status: ServiceStatus,
    /// The whole.
    pub json: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    metadata: Meta,
    spec: ServiceSpec,
    status: ServiceStatus,
}

/// `spec` of a Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its address; `None` if it is headless.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    /// Families of its addresses.
    #[serde(deserialize_with = "nullable")]
    pub ip_families: Vec<String>,
    /// Which pods serve; none if somebody else says who does.
    pub selector: Option<Texts>,
    /// Its ports.
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<ServicePort>,
    /// Pods serve before they are ready.
    #[serde(deserialize_with = "nullable")]
    pub publish_not_ready_addresses: bool,
    /// The address that is wished for.
    #[serde(rename = "loadBalancerIP")]
    pub load_balancer_ip: String,
    /// Who gives it an address; none if the cluster's default does.
    pub load_balancer_class: Option<String>,
}

/// A port of a Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// What is spoken on it.
    pub app_protocol: Option<String>,
    /// Its number.
    pub port: u16,
    /// Number or name of the pods' port.
    pub target_port: Value,
}

/// `status` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// Where it is reached from outside.
    #[serde(deserialize_with = "nullable")]
    pub load_balancer: LoadBalancer,
}

/// `status.loadBalancer` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    /// Its addresses.
    #[serde(deserialize_with = "nullable")]
    pub ingress: Vec<Ingress>,
}

/// An address of a load balancer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ingress {
    /// It.
    pub ip: String,
    /// `VIP` or `Proxy`.
    pub ip_mode: Option<String>,
}

impl View for Service {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let Raw { metadata, spec, status } = read(json)?;
        Ok(Self { metadata, spec, status, json: text(json) })
    }
}
