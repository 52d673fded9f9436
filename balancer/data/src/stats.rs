// SPDX-License-Identifier: Apache-2.0
//! What the process tells of itself: plain data.

use crate::control::wire::record;
use berth_balancer_core::model::{Name, Protocol};
pub use berth_balancer_core::{LATENCY_BOUNDS_NS, REFUSALS};
use std::net::SocketAddr;

/// How often which latency was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// One count for each of [`LATENCY_BOUNDS_NS`], and one for all above; not cumulative.
    pub buckets: Vec<u64>,
    /// Sum of all latencies, in nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    /// Adds what was counted elsewhere by the same bounds.
    pub(crate) fn add(&mut self, buckets: &[u64], sum_ns: u64) {
        self.buckets.resize(self.buckets.len().max(buckets.len()), 0);
        for (sum, count) in self.buckets.iter_mut().zip(buckets) {
            *sum += count;
        }
        self.sum_ns += sum_ns;
    }
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Revision of the table that all workers use.
    pub revision: u64,
    /// Process id.
    pub pid: u32,
    /// Nanoseconds since the process began.
    pub uptime_ns: u64,
    /// Whether a successor has taken over, and this process ends with its last connection.
    pub is_retired: bool,
    /// Each worker.
    pub workers: Vec<WorkerStats>,
    /// Each port of each service.
    pub ports: Vec<PortStats>,
    /// What the fast path counts; empty if no service is on it.
    pub fast: Vec<FastCount>,
    /// Processes before this one that still have connections, latest first.
    pub predecessors: Vec<Predecessor>,
    /// Where services' addresses are.
    pub addresses: Addresses,
}

/// Where services' addresses are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// There is a network namespace of the data plane's own.
    pub has_namespace: bool,
    /// Why, or why not, for people.
    pub because: String,
    /// Connections of clients that come over no bridge are accepted on the host, of one version of IP at least.
    pub has_shortcut: bool,
    /// Why, or why not, for people.
    pub shortcut_because: String,
    /// Addresses that it has; all others are the host's.
    pub taken: u64,
    /// What of the host keeps some clients out, for people.
    pub warnings: Vec<String>,
}

/// One of the fast path's counters, as `berth_balancer_fast::Stats` has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FastCount {
    /// Name: `opened`, `queue_full`.
    pub name: String,
    /// Value. `tcp_flows` and `udp_flows` go up and down, the others up.
    pub value: u64,
}

/// A process that was replaced and still has connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Predecessor {
    /// Process id.
    pub pid: u32,
    /// Connections and flows that it has.
    pub connections: u64,
}

/// One worker. All but the first two count up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerStats {
    /// Connections now.
    pub connections: u64,
    /// UDP flows now.
    pub flows: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Those of them that the shortcut brought.
    pub shortcut: u64,
    /// Times that accepting was paused, since descriptors or connections were at their bound.
    pub paused: u64,
    /// Connections closed at once, since their source has too many of all.
    pub crowded: u64,
    /// UDP flows that went for a new one, since the table was full.
    pub evicted: u64,
    /// Datagrams that were dropped: no socket, no room in a buffer, no endpoint.
    pub dropped: u64,
    /// Connections whose PROXY header was malformed or late.
    pub malformed: u64,
    /// Connections that a timeout of their service cut.
    pub timed_out: u64,
    /// Bytes that went through pipes instead of memory.
    pub spliced_bytes: u64,
    /// Times that a connection of small messages was handed to the kernel's rings.
    pub talks: u64,
    /// Waits for events: how often the worker went through its loop.
    pub loops: u64,
}

/// One port of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortStats {
    /// Service.
    pub service: Name,
    /// Name of the port.
    pub port: Name,
    /// Protocol.
    pub protocol: Protocol,
    /// Whether the fast path has it. Its loopback addresses are served by listeners all the same.
    pub is_fast: bool,
    /// Connections, or UDP flows, now.
    pub active: u64,
    /// Connections, or UDP flows, that were let in.
    pub accepted: u64,
    /// Those that got no endpoint, by reason: in the order of [`REFUSALS`].
    pub refused: Vec<u64>,
    /// Attempts to connect to another endpoint, since one failed.
    pub retries: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Time until endpoints accepted a connection.
    pub connect: Histogram,
    /// Time from a client's bytes to the endpoint's first byte.
    pub first_byte: Histogram,
    /// Each endpoint.
    pub endpoints: Vec<EndpointStats>,
}

/// One endpoint behind one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStats {
    /// Name.
    pub name: Name,
    /// Address.
    pub address: SocketAddr,
    /// Connections, or UDP flows, now.
    pub active: u64,
    /// Connections, or UDP flows, given to it.
    pub opened: u64,
    /// Attempts that failed: refused, reset before its first byte, or too late.
    pub failed: u64,
    /// Ejections by workers.
    pub ejected: u64,
    /// Bytes to it.
    pub bytes_in: u64,
    /// Bytes from it.
    pub bytes_out: u64,
    /// Latency to expect of it, in nanoseconds: the worst that a worker sees.
    pub latency_ns: u64,
    /// Active checks say nothing against it.
    pub is_healthy: bool,
}

/// In [`FlowInfo::worker`]: none; the kernel forwards it.
pub const FAST: u32 = u32::MAX;

/// One connection or UDP flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowInfo {
    /// Worker that has it, or [`FAST`].
    pub worker: u32,
    /// Protocol.
    pub protocol: Protocol,
    /// Client.
    pub source: SocketAddr,
    /// The service's address.
    pub destination: SocketAddr,
    /// Service; empty if it is gone.
    pub service: Name,
    /// Endpoint; empty if it is gone.
    pub endpoint: Name,
    /// The endpoint's address.
    pub address: SocketAddr,
    /// Age in nanoseconds; 0 of UDP flows.
    pub age_ns: u64,
}

/// An endpoint that left the table and still has connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draining {
    /// Service.
    pub service: Name,
    /// Endpoint.
    pub endpoint: Name,
    /// Its address.
    pub address: SocketAddr,
    /// Connections that it has.
    pub connections: u64,
}

record!(Histogram { buckets, sum_ns });
record!(Stats {
    revision,
    pid,
    uptime_ns,
    is_retired,
    workers,
    ports,
    fast,
    predecessors,
    addresses,
});
record!(FastCount { name, value });
record!(Addresses { has_namespace, because, has_shortcut, shortcut_because, taken, warnings });
record!(Predecessor { pid, connections });
record!(WorkerStats {
    connections,
    flows,
    accepted,
    shortcut,
    paused,
    crowded,
    evicted,
    dropped,
    malformed,
    timed_out,
    spliced_bytes,
    talks,
    loops,
});
record!(PortStats {
    service,
    port,
    protocol,
    is_fast,
    active,
    accepted,
    refused,
    retries,
    bytes_in,
    bytes_out,
    connect,
    first_byte,
    endpoints,
});
record!(EndpointStats {
    name,
    address,
    active,
    opened,
    failed,
    ejected,
    bytes_in,
    bytes_out,
    latency_ns,
    is_healthy,
});
record!(FlowInfo { worker, protocol, source, destination, service, endpoint, address, age_ns });
record!(Draining { service, endpoint, address, connections });
