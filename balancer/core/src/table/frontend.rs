// SPDX-License-Identifier: Apache-2.0
//! Frontends: one port of one service, with all that is needed to choose for it.

use crate::model::{Name, Protocol, Settings, TrafficPolicy};
use crate::table::{Backend, BackendId, Pool, backend};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU32, Ordering};

/// Identifies a frontend from the table in which it appears to the one in which it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrontendId {
    /// Dense.
    pub slot: u32,
    /// Which user of the slot.
    pub generation: u32,
}

/// The kind of address by which a flow came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// A cluster address: the internal traffic policy rules.
    Cluster,
    /// An external address.
    External,
    /// A load balancer's address.
    LoadBalancer,
    /// A node port.
    NodePort,
}

impl Via {
    /// Whether the external traffic policy and the source ranges rule.
    #[must_use]
    pub fn is_external(self) -> bool {
        self != Self::Cluster
    }
}

/// A place at which a frontend is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Served {
    /// An address of the service.
    At {
        /// Address and port.
        address: SocketAddr,
        /// Its kind.
        via: Via,
    },
    /// A port on all of the node's addresses.
    NodePort(u16),
}

/// One port of one service.
#[derive(Debug)]
pub struct Frontend {
    /// Identity.
    pub id: FrontendId,
    /// Name of the service.
    pub service: Name,
    /// Name of the port; may be empty.
    pub port: Name,
    /// Protocol.
    pub protocol: Protocol,
    /// Settings of the service.
    pub settings: Arc<Settings>,
    /// Where it is served.
    pub served: Box<[Served]>,
    /// All backends, in the order of their names.
    pub backends: Box<[Backend]>,
    /// Those that may be reached under the traffic policies Cluster and Local.
    pub(crate) cluster: Arc<Pool>,
    pub(crate) local: Arc<Pool>,
    /// Connections of all workers, counted where a limit asks for it.
    pub(crate) connections: Arc<AtomicU32>,
}

impl Frontend {
    /// The backends that may serve a flow. `inside`: it comes from this node or from a pod; such a flow to an external address
    /// takes the short way, and may reach all endpoints whatever the external policy says, as with kube-proxy.
    #[must_use]
    #[inline]
    pub fn pool(&self, via: Via, inside: bool) -> &Pool {
        let policy = match (via, inside) {
            (Via::Cluster, _) => self.settings.internal_policy,
            (_, true) => TrafficPolicy::Cluster,
            (_, false) => self.settings.external_policy,
        };
        match policy {
            TrafficPolicy::Cluster => &self.cluster,
            TrafficPolicy::Local => &self.local,
        }
    }

    /// Whether a source may use this way to the service.
    #[must_use]
    #[inline]
    pub fn admits(&self, via: Via, source: IpAddr) -> bool {
        let ranges = &self.settings.source_ranges;
        !via.is_external() || ranges.is_empty() || ranges.iter().any(|range| range.contains(source))
    }

    /// Place of a backend in `backends`, if it is still there. `hint` is looked at first.
    #[must_use]
    #[inline]
    pub fn position(&self, id: BackendId, hint: u32) -> Option<u32> {
        if self.backends.get(hint as usize).is_some_and(|backend| backend.id == id) {
            return Some(hint);
        }
        (0..).zip(&self.backends).find(|(_, backend)| backend.id == id).map(|(at, _)| at)
    }

    /// Connections of all workers, as far as `limits.connections_max` has them counted.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self, most: u32) -> bool {
        backend::enter(&self.connections, most)
    }

    /// Endpoints on this node that take new flows: what `healthCheckNodePort` answers.
    #[must_use]
    pub fn local_ready(&self) -> usize {
        self.backends.iter().filter(|backend| backend.is_local() && backend.is_ready()).count()
    }

    /// The same in all that matters to who uses the table.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let backends = || self.backends.iter().zip(&other.backends).all(|(a, b)| a.is_same(b));
        self.id == other.id
            && self.settings == other.settings
            && self.served == other.served
            && self.backends.len() == other.backends.len()
            && backends()
    }
}
