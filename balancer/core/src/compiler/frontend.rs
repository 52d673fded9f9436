// SPDX-License-Identifier: Apache-2.0
//! Compiles one port of one service.

use super::Entry;
use super::slots::{BackendSlots, Slots};
use crate::model::{Endpoint, Node, Service, ServicePort, TrafficPolicy};
use crate::table::{Backend, Flags, Frontend, FrontendId, Pool, Served, Via};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::AtomicU32;

/// What a frontend is compiled from.
pub(super) struct Source<'a> {
    pub(super) node: &'a Node,
    pub(super) entry: &'a Entry,
    pub(super) port: &'a ServicePort,
    pub(super) now: u64,
}

impl Source<'_> {
    /// The frontend, with the ids of `old` where it is about the same things. Ids of backends that are gone rest as long as those
    /// drain.
    pub(super) fn compile(
        &self,
        old: Option<&Frontend>,
        frontends: &mut Slots,
        backends: &mut BackendSlots,
    ) -> Frontend {
        let id = old.map_or_else(
            || {
                let (slot, generation) = frontends.take();
                FrontendId { slot, generation }
            },
            |old| old.id,
        );
        let before = old.map(|old| &*old.backends).unwrap_or_default();
        let backends = self.backends(id, before, backends);
        let settings = self.entry.service.settings.clone();
        let (cluster, local) = pools(&backends, &settings);
        Frontend {
            id,
            service: self.entry.service.name.clone(),
            port: self.port.name.clone(),
            protocol: self.port.protocol,
            settings,
            served: served(&self.entry.service, self.port),
            backends,
            cluster,
            local,
            connections: match old {
                Some(old) => old.connections.clone(),
                None => Arc::new(AtomicU32::new(0)),
            },
        }
    }

    /// The backends in the order of their names. `old` is in that order too.
    fn backends(
        &self,
        frontend: FrontendId,
        old: &[Backend],
        slots: &mut BackendSlots,
    ) -> Box<[Backend]> {
        let mut rest = old.iter().peekable();
        let until = self.now.saturating_add(self.entry.service.settings.drain_ns);
        let leave = |gone: &Backend, slots: &mut BackendSlots| {
            let identity = (frontend, gone.name().clone(), gone.address);
            slots.rest(identity, (gone.id, gone.shared.clone()), until);
        };
        let mut new = Vec::with_capacity(self.entry.endpoints.len());
        for endpoint in self.entry.endpoints.values() {
            let Some(port) = endpoint.ports.iter().find(|port| port.name == self.port.name) else {
                continue;
            };
            let address = SocketAddr::new(endpoint.address.to_canonical(), port.port);
            while let Some(before) = rest.next_if(|before| *before.name() < endpoint.name) {
                leave(before, slots);
            }
            let before = rest.next_if(|before| *before.name() == endpoint.name);
            let same = before.filter(|before| before.address == address);
            if let (Some(before), None) = (before, same) {
                leave(before, slots);
            }
            new.push(self.backend(endpoint, (frontend, address), same, slots));
        }
        rest.for_each(|before| leave(before, slots));
        new.into_boxed_slice()
    }

    fn backend(
        &self,
        endpoint: &Endpoint,
        (frontend, address): (FrontendId, SocketAddr),
        before: Option<&Backend>,
        slots: &mut BackendSlots,
    ) -> Backend {
        let is_here = |ours: &Option<_>, theirs: &Option<_>| ours.is_some() && ours == theirs;
        let healthy = before.is_none_or(Backend::is_healthy);
        let flags = Flags::NONE
            .with(Flags::READY, endpoint.ready)
            .with(Flags::SERVING, endpoint.serving)
            .with(Flags::TERMINATING, endpoint.terminating)
            .with(Flags::HEALTHY, healthy)
            .with(Flags::LOCAL, is_here(&self.node.name, &endpoint.node))
            .with(Flags::IN_ZONE, is_here(&self.node.zone, &endpoint.zone));
        let weight = endpoint.weight;
        match before {
            Some(before) => {
                let fresh = endpoint.ready && !before.is_ready();
                let since_ns = if fresh { self.now } else { before.since_ns };
                Backend { since_ns, weight, flags, ..before.clone() }
            }
            None => {
                let (id, shared) = slots.take((frontend, endpoint.name.clone(), address));
                Backend { id, address, since_ns: self.now, weight, flags, shared }
            }
        }
    }
}

/// The pools of both traffic policies; one that no policy asks for stays empty.
fn pools(backends: &[Backend], settings: &crate::model::Settings) -> (Arc<Pool>, Arc<Pool>) {
    let cluster = Arc::new(Pool::new(backends, settings, |_| true));
    let asked =
        [settings.internal_policy, settings.external_policy].contains(&TrafficPolicy::Local);
    let local = if asked {
        Arc::new(Pool::new(backends, settings, Backend::is_local))
    } else {
        cluster.clone()
    };
    (cluster, local)
}

/// Where a port of a service is served.
fn served(service: &Service, port: &ServicePort) -> Box<[Served]> {
    let kinds = [
        (&service.cluster_ips, Via::Cluster),
        (&service.external_ips, Via::External),
        (&service.load_balancer_ips, Via::LoadBalancer),
    ];
    let mut served = Vec::new();
    for (addresses, via) in kinds {
        let at = |ip: &IpAddr| SocketAddr::new(ip.to_canonical(), port.port);
        served.extend(addresses.iter().map(|ip| Served::At { address: at(ip), via }));
    }
    served.extend(port.node_port.map(Served::NodePort));
    served.into_boxed_slice()
}

/// The frontend with a backend found healthy or not; `None` if that says nothing new.
pub(super) fn with_health(old: &Frontend, name: &str, healthy: bool, now: u64) -> Option<Frontend> {
    let at = old.backends.binary_search_by(|backend| (**backend.name()).cmp(name)).ok()?;
    if old.backends[at].is_healthy() == healthy {
        return None;
    }
    let mut backends = old.backends.clone();
    let backend = &mut backends[at];
    backend.flags = backend.flags.with(Flags::HEALTHY, healthy);
    if healthy {
        backend.since_ns = now;
    }
    Some(Frontend {
        id: old.id,
        service: old.service.clone(),
        port: old.port.clone(),
        protocol: old.protocol,
        settings: old.settings.clone(),
        served: old.served.clone(),
        backends,
        // Health changes nobody's place in a pool: it is looked at when choosing.
        cluster: old.cluster.clone(),
        local: old.local.clone(),
        connections: old.connections.clone(),
    })
}
