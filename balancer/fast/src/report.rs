// SPDX-License-Identifier: Apache-2.0
//! What the fast path tells of services, endpoints and flows: plain data. What it counts of itself is in `counters`.

use berth_balancer_core::model::{Name, Protocol};
use berth_balancer_core::{LATENCY_BUCKETS, REFUSALS, latency_bucket};
use std::net::SocketAddr;

/// How often which latency was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latencies {
    /// One count for each of the core's `LATENCY_BOUNDS_NS`, and one for all above; not cumulative.
    pub buckets: [u64; LATENCY_BUCKETS],
    /// Sum of all latencies, in nanoseconds.
    pub sum_ns: u64,
}

impl Latencies {
    pub(crate) fn observe(&mut self, latency_ns: u64) {
        self.buckets[latency_bucket(latency_ns)] += 1;
        self.sum_ns = self.sum_ns.saturating_add(latency_ns);
    }
}

/// One port of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortReport {
    /// Service.
    pub service: Name,
    /// Name of the port.
    pub port: Name,
    /// Protocol.
    pub protocol: Protocol,
    /// Flows now.
    pub active: u64,
    /// Flows that were let in.
    pub accepted: u64,
    /// First packets that got no endpoint, by reason: in the order of [`REFUSALS`].
    pub refused: [u64; REFUSALS.len()],
    /// Bytes from clients, of flows that ended; 0 unless `net.netfilter.nf_conntrack_acct` is on. The kernel tells them when it forgets
    /// the flow: of TCP two minutes after its end.
    pub bytes_in: u64,
    /// Bytes to clients, likewise.
    pub bytes_out: u64,
    /// Time from the verdict until it was heard that the endpoint had accepted a connection. Of TCP only.
    pub connect: Latencies,
    /// Each endpoint.
    pub endpoints: Vec<EndpointReport>,
}

/// One endpoint behind one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointReport {
    /// Name.
    pub name: Name,
    /// Address.
    pub address: SocketAddr,
    /// Flows now.
    pub active: u64,
    /// Flows given to it.
    pub opened: u64,
    /// Flows of it that ended, failed ones included.
    pub ended: u64,
    /// Flows that it did not take: refused, or silent.
    pub failed: u64,
    /// Ejections.
    pub ejected: u64,
    /// Until when it is passed over, in nanoseconds of [`crate::now`]; in the past if it is not.
    pub ejected_until_ns: u64,
    /// Bytes to it; see [`PortReport::bytes_in`].
    pub bytes_in: u64,
    /// Bytes from it.
    pub bytes_out: u64,
    /// Time to its SYN-ACK or first answer to expect, in nanoseconds.
    pub latency_ns: u64,
    /// Active checks say nothing against it.
    pub is_healthy: bool,
}

/// Which flows are asked for; `None` does not ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlowQuery {
    /// Of this service.
    pub service: Option<Name>,
    /// To this endpoint of it.
    pub endpoint: Option<Name>,
    /// No more than so many.
    pub most: usize,
}

/// One flow that is booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowReport {
    /// Protocol.
    pub protocol: Protocol,
    /// Client.
    pub source: SocketAddr,
    /// The service's address.
    pub destination: SocketAddr,
    /// Service; empty if it is gone.
    pub service: Name,
    /// Endpoint; empty if it is not known.
    pub endpoint: Name,
    /// The endpoint's address.
    pub address: SocketAddr,
    /// Nanoseconds since it was booked: since this process took it over, if it is older.
    pub age_ns: u64,
}

/// An endpoint that left the table and still has connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainReport {
    /// Service.
    pub service: Name,
    /// Endpoint.
    pub endpoint: Name,
    /// Its address.
    pub address: SocketAddr,
    /// Connections that it has.
    pub connections: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_counted_below_their_bounds() {
        let mut latencies = Latencies::default();
        for (latency, bucket) in [(0, 0), (16_384, 0), (16_385, 1), (32_768, 1), (u64::MAX, 22)] {
            let before = latencies.buckets[bucket];
            latencies.observe(latency);
            assert_eq!(latencies.buckets[bucket], before + 1, "{latency}");
        }
        assert_eq!(latencies.sum_ns, u64::MAX);
    }
}
