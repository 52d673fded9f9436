// SPDX-License-Identifier: Apache-2.0
//! What a process leaves to its successor beside sockets: what it has been told last, and what it found out.

use super::wire::record;
use berth_balancer_core::model::{Config, Name};
use std::net::{IpAddr, SocketAddr};

/// What a process leaves.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Estate {
    /// What is wanted, where that is not what the successor was told first.
    pub(crate) config: Option<Box<Config>>,
    /// Ports of services of which anything is known.
    pub(crate) ports: Vec<PortEstate>,
}

/// What is known of a port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortEstate {
    pub(crate) service: Name,
    pub(crate) port: Name,
    /// Endpoints that active checks found unhealthy.
    pub(crate) unhealthy: Vec<Name>,
    /// Endpoints that failed.
    pub(crate) records: Vec<RecordEstate>,
    /// Clients that have an endpoint, those that came last at the end.
    pub(crate) clients: Vec<ClientEstate>,
    /// Clients that are counted.
    pub(crate) sources: Vec<SourceEstate>,
}

impl PortEstate {
    /// Nothing is known yet.
    pub(crate) fn new(service: Name, port: Name) -> Self {
        let (unhealthy, records, clients, sources) = Default::default();
        Self { service, port, unhealthy, records, clients, sources }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unhealthy.is_empty()
            && self.records.is_empty()
            && self.clients.is_empty()
            && self.sources.is_empty()
    }
}

/// What speaks against an endpoint, as one worker saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordEstate {
    pub(crate) worker: u32,
    pub(crate) endpoint: Name,
    pub(crate) address: SocketAddr,
    pub(crate) until_ns: u64,
    pub(crate) ejections: u16,
    pub(crate) failures: u16,
}

/// A client that has an endpoint until a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientEstate {
    pub(crate) source: IpAddr,
    /// Place of the endpoint among those of its service, in the order of their names.
    pub(crate) endpoint: u32,
    pub(crate) expires_ns: u64,
}

/// A client that is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceEstate {
    pub(crate) source: IpAddr,
    pub(crate) connections: u32,
    pub(crate) bucket: u64,
}

record!(Estate { config, ports });
record!(PortEstate { service, port, unhealthy, records, clients, sources });
record!(RecordEstate { worker, endpoint, address, until_ns, ejections, failures });
record!(ClientEstate { source, endpoint, expires_ns });
record!(SourceEstate { source, connections, bucket });
