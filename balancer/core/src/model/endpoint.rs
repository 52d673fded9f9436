// SPDX-License-Identifier: Apache-2.0
//! Endpoints.

use crate::model::Name;
use alloc::vec::Vec;
use core::net::IpAddr;

/// What answers for a service: a pod, a process.
///
/// An endpoint is the same one as before if its name and its address are; its load, latency and ejections live as long as that.
/// A pod that was made anew under its old name has another address, and another pod that got the address has another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Unique in its service: a pod's name or uid.
    pub name: Name,
    /// Address.
    pub address: IpAddr,
    /// Its port for each port of the service that it serves.
    pub ports: Vec<EndpointPort>,
    /// Takes new flows.
    pub ready: bool,
    /// Answers, ready or not (KEP-1672). Takes new flows if no endpoint is ready and it is terminating (KEP-1669).
    pub serving: bool,
    /// Is being stopped.
    pub terminating: bool,
    /// Node it runs on.
    pub node: Option<Name>,
    /// Zone it runs in.
    pub zone: Option<Name>,
    /// Share of flows it takes, against others; 1 to 65,535.
    pub weight: u32,
}

/// A port of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPort {
    /// Name of the service's port.
    pub name: Name,
    /// The endpoint's own port, 1 to 65535.
    pub port: u16,
}

/// The endpoints of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSet {
    /// Name of the service.
    pub service: Name,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}
