// SPDX-License-Identifier: Apache-2.0
//! Services.

use crate::model::{Name, Protocol, Settings};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

/// A service: addresses and ports that stand for a set of endpoints.
///
/// The Kubernetes type (ClusterIP, NodePort, LoadBalancer) has no field: it says which of the addresses are filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Unique; `namespace/name` where it comes from Kubernetes.
    pub name: Name,
    /// Addresses inside the cluster.
    pub cluster_ips: Vec<IpAddr>,
    /// Addresses from outside that somebody routes here (`externalIPs`).
    pub external_ips: Vec<IpAddr>,
    /// Addresses that a load balancer's pool gave.
    pub load_balancer_ips: Vec<IpAddr>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// How its flows are treated. Most services say nothing, or all the same: who has many shares them.
    pub settings: Arc<Settings>,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Unique in the service; may be empty where there is one port only.
    pub name: Name,
    /// Protocol.
    pub protocol: Protocol,
    /// Port on the service's addresses, 1 to 65535.
    pub port: u16,
    /// Port on the node's addresses.
    pub node_port: Option<u16>,
}
