// SPDX-License-Identifier: Apache-2.0
//! From a Service to what the balancer is to serve, and from a Pod's ports on its node. Pure.
//!
//! A Service is one service of the balancer, `namespace/name`; the addresses of a load balancer with source ranges are one of their own, since
//! those ranges hold for nothing else. A pod's port on its node is one with one endpoint.

use crate::around::Around;
use crate::endpoints::{Merged, merge};
use crate::view::{HostPort, Pod, Port, Protocol, Service, Slice};
use berth_balancer_core::model::{
    ClientIp, Endpoint, EndpointPort, Name, Service as Served, ServicePort, Settings, TrafficPolicy,
};
use berth_balancer_service::wanted::Wish;
use std::net::IpAddr;
use std::sync::Arc;

/// How long flows live whose endpoint left its Service: kube-proxy never cuts them. A pod that ends has ended them long before.
const DRAIN_NS: u64 = 3_600 * 1_000_000_000;

/// Why something is not served as its object says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// In one word, as conditions have it.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Note {
    pub(crate) fn new(reason: &'static str, message: String) -> Self {
        Self { reason, message }
    }
}

/// What is made of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) wishes: Vec<Arc<Wish>>,
    pub(crate) notes: Vec<Note>,
    /// The health check that load balancers ask: its port, and how many endpoints of this node are ready.
    pub(crate) health: Option<(u16, usize)>,
}

/// Settings that are shared by all who say the same.
#[derive(Debug, Default)]
pub(crate) struct Shared(Vec<Arc<Settings>>);

/// Kinds of settings that are remembered: nearly all services have one of a few.
const KINDS: usize = 64;

impl Shared {
    fn share(&mut self, settings: Settings) -> Arc<Settings> {
        if let Some(known) = self.0.iter().find(|known| ***known == settings) {
            return Arc::clone(known);
        }
        let settings = Arc::new(settings);
        if self.0.len() >= KINDS {
            self.0.remove(0);
        }
        self.0.push(Arc::clone(&settings));
        settings
    }
}

/// What a Service is to the balancer.
pub(crate) fn of_service<'a>(
    (namespace, name): (&str, &str),
    service: &Service,
    slices: impl Iterator<Item = &'a Slice>,
    around: &Around,
    shared: &mut Shared,
) -> Made {
    let mut made = Made::default();
    if service.is_skipped {
        return made;
    }
    let ports = ports(&service.ports, &mut made.notes);
    if service.others > 0 && service.cluster_ips.is_empty() {
        let message = "addresses of version 6 are not served".to_owned();
        made.notes.push(Note::new("AddressNotSupported", message));
    }
    let external_ips = if around.external_ips {
        service.external_ips.clone()
    } else {
        if !service.external_ips.is_empty() {
            let message = "externalIPs are off: who may write a Service could take any address that is routed to the node; \
                           `berth proxy --external-ips` allows them";
            made.notes.push(Note::new("ExternalIPsOff", message.to_owned()));
        }
        Vec::new()
    };
    if ports.is_empty() {
        return made;
    }
    let lists = [&service.cluster_ips, &external_ips, &service.load_balancer_ips];
    let own: Vec<IpAddr> = lists.into_iter().flatten().copied().collect();
    let merged = merge(slices, &ports, &own, around);
    let settings = settings(service, &merged);
    made.health = service.health_port.map(|port| (port, merged.local_ready));
    let Merged { endpoints, .. } = merged;
    let full: Name = format!("{namespace}/{name}").into();
    let mut main = Served {
        name: full.clone(),
        cluster_ips: service.cluster_ips.clone(),
        external_ips,
        load_balancer_ips: service.load_balancer_ips.clone(),
        ports: ports.clone(),
        settings: shared.share(settings.clone()),
    };
    if !service.source_ranges.is_empty() && !service.load_balancer_ips.is_empty() {
        let bare = |port: &ServicePort| ServicePort { node_port: None, ..port.clone() };
        let settings = Settings {
            source_ranges: service.source_ranges.clone(),
            health_check_node_port: None,
            ..settings
        };
        let guarded = Served {
            name: format!("{full} (load balancer)").into(),
            cluster_ips: Vec::new(),
            external_ips: Vec::new(),
            load_balancer_ips: std::mem::take(&mut main.load_balancer_ips),
            ports: ports.iter().map(bare).collect(),
            settings: shared.share(settings),
        };
        made.wishes.push(wish(guarded, endpoints.clone()));
    }
    made.wishes.insert(0, wish(main, endpoints));
    made
}

fn wish(service: Served, endpoints: Vec<Endpoint>) -> Arc<Wish> {
    Arc::new(Wish { service, from_pool: false, endpoints })
}

fn ports(all: &[Port], notes: &mut Vec<Note>) -> Vec<ServicePort> {
    let mut ports: Vec<ServicePort> = Vec::with_capacity(all.len());
    for port in all {
        let Some(protocol) = port.protocol.served() else {
            let message =
                format!("port {}/{}: {} is not served", port.number, port.name, Protocol::Other);
            notes.push(Note::new("ProtocolNotSupported", message));
            continue;
        };
        ports.push(ServicePort {
            name: Name::from(port.name.as_str()),
            protocol,
            port: port.number,
            node_port: port.node_port,
        });
    }
    ports
}

fn settings(service: &Service, merged: &Merged) -> Settings {
    let policy = |local| if local { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
    let affinity = |seconds| ClientIp { timeout_ns: u64::from(seconds) * 1_000_000_000 };
    Settings {
        internal_policy: policy(service.internal_local),
        external_policy: policy(service.external_local),
        distribution: merged.distribution,
        affinity: service.affinity.map(affinity),
        drain_ns: DRAIN_NS,
        health_check_node_port: service.health_port,
        ..Settings::default()
    }
}

/// What a Pod's ports on its node are to the balancer.
pub(crate) fn of_pod(
    (namespace, name): (&str, &str),
    pod: &Pod,
    around: &Around,
    shared: &mut Shared,
) -> Made {
    let mut made = Made::default();
    let here = around.node.as_ref().is_some_and(|node| **node == *pod.node);
    let (Some(address), true) = (pod.address, here) else { return made };
    for port in &pod.ports {
        let Some(protocol) = port.protocol.served() else {
            let message = format!("hostPort {}: {} is not served", port.host, port.protocol);
            made.notes.push(Note::new("ProtocolNotSupported", message));
            continue;
        };
        if let Some(at) = port.address.filter(|at| !around.addresses.contains(at)) {
            let message = format!("hostPort {}: {at} is no address of this node", port.host);
            made.notes.push(Note::new("AddressNotLocal", message));
            continue;
        }
        let settings = Settings { drain_ns: DRAIN_NS, ..Settings::default() };
        let on_all = port.address.is_none();
        let served = Served {
            name: host_port_name(namespace, name, port),
            cluster_ips: Vec::new(),
            external_ips: Vec::new(),
            load_balancer_ips: port.address.into_iter().collect(),
            ports: vec![ServicePort {
                name: Name::from(""),
                protocol,
                port: port.host,
                node_port: on_all.then_some(port.host),
            }],
            settings: shared.share(settings),
        };
        let endpoint = Endpoint {
            name: format!("{name}/{address}").into(),
            address,
            ports: vec![EndpointPort { name: Name::from(""), port: port.container }],
            ready: !pod.terminating,
            serving: true,
            terminating: pod.terminating,
            node: around.node.clone(),
            zone: around.zone.clone(),
            weight: 1,
        };
        made.wishes.push(wish(served, vec![endpoint]));
    }
    made
}

/// Names of ports of pods begin so; no Service's does, since it has one slash.
pub(crate) const HOST_PORT: &str = "hostport/";

fn host_port_name(namespace: &str, pod: &str, port: &HostPort) -> Name {
    let HostPort { host, protocol, address, container } = port;
    let at = address.map(|at| format!("{at}:")).unwrap_or_default();
    format!("{HOST_PORT}{namespace}/{pod}/{at}{host}-{container}/{protocol}").into()
}

/// Whether a name is one of ours: what an earlier process of ours left in the data plane is told apart by it.
pub(crate) fn is_ours(name: &str) -> bool {
    let bare = name.strip_suffix(" (load balancer)").unwrap_or(name);
    let slashes = bare.matches('/').count();
    slashes == 1 || bare.starts_with(HOST_PORT) && slashes == 4
}
