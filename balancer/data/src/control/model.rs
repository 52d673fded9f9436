// SPDX-License-Identifier: Apache-2.0
//! The core's vocabulary on the wire.

use super::wire::{Malformed, Reader, Wire, choice, record};
use berth_balancer_core::Change;
use berth_balancer_core::model::{
    Algorithm, Cidr, ClientIp, Config, DataPath, Distribution, Endpoint, EndpointPort, EndpointSet,
    HashKey, HealthCheck, Limits, Node, Outlier, Probe, Protocol, ProxyProtocol, Rate, Service,
    ServicePort, Settings, SlowStart, SourceAddress, Timeouts, TrafficPolicy,
};
use std::sync::Arc;

impl Wire for Arc<Settings> {
    fn put(&self, out: &mut Vec<u8>) {
        Settings::put(self, out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Settings::get(from).map(Self::new)
    }
}

record!(Node { name, zone, addresses, node_ports });
record!(Config { node, services, endpoints });
record!(Service { name, cluster_ips, external_ips, load_balancer_ips, ports, settings });
record!(ServicePort { name, protocol, port, node_port });
record!(Endpoint { name, address, ports, ready, serving, terminating, node, zone, weight });
record!(EndpointPort { name, port });
record!(EndpointSet { service, endpoints });
record!(Settings {
    internal_policy,
    external_policy,
    distribution,
    source_ranges,
    affinity,
    algorithm,
    limits,
    slow_start,
    outlier,
    drain_ns,
    timeouts,
    proxy_in,
    proxy_out,
    health_check,
    health_check_node_port,
    path,
    source,
});
record!(Cidr { address, prefix });
record!(ClientIp { timeout_ns });
record!(Limits {
    connections_max,
    connections_per_endpoint_max,
    connections_per_source_max,
    rate_per_endpoint,
    rate_per_source,
});
record!(Rate { per_second, burst });
record!(SlowStart { window_ns, percent_min });
record!(Outlier { failures, ejection_ns, ejection_ns_max, percent_max });
record!(Timeouts {
    connect_ns,
    first_byte_ns,
    idle_ns,
    age_ns_max,
    udp_unreplied_ns,
    udp_replied_ns,
});
record!(HealthCheck { probe, port, interval_ns, timeout_ns, rise, fall });

choice!(Protocol { 6 => Tcp, 17 => Udp });
choice!(TrafficPolicy { 0 => Cluster, 1 => Local });
choice!(Distribution { 0 => Any, 1 => PreferSameZone, 2 => PreferSameNode });
choice!(Algorithm {
    0 => PeakEwma,
    1 => PowerOfTwo,
    2 => LeastConnections,
    3 => RoundRobin,
    4 => SmoothWeighted,
    5 => Maglev(key),
    6 => RingHash(key),
    7 => Random,
});
choice!(HashKey { 0 => Source, 1 => Flow });
choice!(ProxyProtocol { 0 => Off, 1 => V1, 2 => V2 });
choice!(Probe { 0 => Tcp, 1 => Http { path, host }, 2 => Grpc { service } });
choice!(DataPath { 0 => Auto, 1 => Fast, 2 => Proxy });
choice!(SourceAddress { 0 => Auto, 1 => Keep, 2 => Masquerade });
choice!(Change {
    0 => Node(node),
    1 => Service(service),
    2 => RemoveService(name),
    3 => Endpoints(set),
    4 => Endpoint { service, endpoint },
    5 => RemoveEndpoint { service, endpoint },
    6 => Health { service, endpoint, port, healthy },
});

/// Reads and writes what has no rule of its own here.
const _: fn(&mut Reader<'_>) -> Result<Change, Malformed> = Change::get;
