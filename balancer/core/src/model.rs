// SPDX-License-Identifier: Apache-2.0
//! What is wanted: services, their endpoints and settings, and the node on which this balancer runs. Plain data; a source of
//! truth fills it in, [`crate::validate()`] judges it, [`crate::Compiler`] makes a table of it.

mod address;
mod endpoint;
mod service;
mod settings;

pub use address::{Cidr, CidrError, Protocol};
pub use endpoint::{Endpoint, EndpointPort, EndpointSet};
pub use service::{Service, ServicePort};
pub use settings::{
    Algorithm, ClientIp, DataPath, Distribution, HashKey, HealthCheck, Limits, Outlier, Probe,
    ProxyProtocol, Rate, Settings, SlowStart, SourceAddress, Timeouts, TrafficPolicy,
};

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

/// A name, shared by all who know it.
pub type Name = Arc<str>;

/// The node on which this balancer runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name, which endpoints give as theirs. Without it no endpoint is local.
    pub name: Option<Name>,
    /// Its zone (`topology.kubernetes.io/zone`).
    pub zone: Option<Name>,
    /// Addresses on which node ports are served; loopback addresses only where they stand here.
    pub addresses: Vec<IpAddr>,
    /// First and last node port that may be given; `None` allows all. Kubernetes: 30000 to 32767.
    pub node_ports: Option<(u16, u16)>,
}

/// Everything that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// This node.
    pub node: Node,
    /// The services.
    pub services: Vec<Service>,
    /// Their endpoints; a service without a set has none.
    pub endpoints: Vec<EndpointSet>,
}
