// SPDX-License-Identifier: Apache-2.0
//! How a service's flows are treated. All durations are nanoseconds.

use crate::model::{Cidr, Name};
use alloc::vec::Vec;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

/// The settings of a service. [`Settings::default`] is what a service gets that says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which endpoints flows from inside the cluster may reach (KEP-2086).
    pub internal_policy: TrafficPolicy,
    /// Which endpoints flows from outside may reach.
    pub external_policy: TrafficPolicy,
    /// Which endpoints are preferred (KEP-4444, KEP-3015).
    pub distribution: Distribution,
    /// Sources that may use external addresses, load balancer addresses and node ports; empty allows all.
    pub source_ranges: Vec<Cidr>,
    /// Flows of one client go to one endpoint.
    pub affinity: Option<ClientIp>,
    /// How an endpoint is chosen.
    pub algorithm: Algorithm,
    /// Bounds.
    pub limits: Limits,
    /// New endpoints take their share step by step.
    pub slow_start: Option<SlowStart>,
    /// Endpoints that fail are passed over for a while.
    pub outlier: Option<Outlier>,
    /// How long the flows of a removed endpoint live.
    pub drain_ns: u64,
    /// When waiting ends.
    pub timeouts: Timeouts,
    /// PROXY protocol expected from clients.
    pub proxy_in: ProxyProtocol,
    /// PROXY protocol sent to endpoints.
    pub proxy_out: ProxyProtocol,
    /// Active checks.
    pub health_check: Option<HealthCheck>,
    /// Port on the node's addresses that says over HTTP whether the node has an endpoint (`healthCheckNodePort`).
    pub health_check_node_port: Option<u16>,
    /// Which data path is taken.
    pub path: DataPath,
    /// Which source address endpoints see.
    pub source: SourceAddress,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            internal_policy: TrafficPolicy::Cluster,
            external_policy: TrafficPolicy::Cluster,
            distribution: Distribution::Any,
            source_ranges: Vec::new(),
            affinity: None,
            algorithm: Algorithm::PeakEwma,
            limits: Limits::default(),
            slow_start: None,
            outlier: Some(Outlier::default()),
            // terminationGracePeriodSeconds of a pod is 30 s by default: after that its process is gone anyhow.
            drain_ns: 30 * SECOND,
            timeouts: Timeouts::default(),
            proxy_in: ProxyProtocol::Off,
            proxy_out: ProxyProtocol::Off,
            health_check: None,
            health_check_node_port: None,
            path: DataPath::Auto,
            source: SourceAddress::Auto,
        }
    }
}

/// Which endpoints may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrafficPolicy {
    /// All.
    Cluster,
    /// Those on this node.
    Local,
}

/// Which endpoints are preferred (`trafficDistribution`). Where none of the preferred can take a flow, the next nearest do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// None.
    Any,
    /// Those in this zone (`PreferSameZone`, earlier `PreferClose`).
    PreferSameZone,
    /// Those on this node, then those in this zone (`PreferSameNode`).
    PreferSameNode,
}

/// Flows of one client's address go to one endpoint (`sessionAffinity: ClientIP`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientIp {
    /// Time after the client's last new flow at which it is forgotten. Kubernetes: 10,800 s.
    pub timeout_ns: u64,
}

impl Default for ClientIp {
    fn default() -> Self {
        Self { timeout_ns: 10_800 * SECOND }
    }
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The better of two random ones by (flows + 1) x peak-EWMA latency / weight (Mitzenmacher 2001; Finagle's peak EWMA).
    PeakEwma,
    /// The better of two random ones by (flows + 1) / weight.
    PowerOfTwo,
    /// The one with the fewest (flows + 1) / weight of all.
    LeastConnections,
    /// One after the other, whatever their weights.
    RoundRobin,
    /// One after the other, as often as their weights say (nginx's smooth weighted round robin).
    SmoothWeighted,
    /// Maglev hashing (NSDI'16), by weights.
    Maglev(HashKey),
    /// A hash ring (Karger 1997), by weights.
    RingHash(HashKey),
    /// Any, whatever their weights.
    Random,
}

/// What is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashKey {
    /// The client's address.
    Source,
    /// The client's address and port.
    Flow,
}

/// Bounds; `None` is without bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Limits {
    /// Connections of the service.
    pub connections_max: Option<u32>,
    /// Connections of each endpoint.
    pub connections_per_endpoint_max: Option<u32>,
    /// Connections of each client address (of IPv6: of each /64).
    pub connections_per_source_max: Option<u32>,
    /// New connections of each endpoint.
    pub rate_per_endpoint: Option<Rate>,
    /// New connections of each client address (of IPv6: of each /64).
    pub rate_per_source: Option<Rate>,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Tokens that come back per second, 1 to 1,000,000.
    pub per_second: u32,
    /// Tokens that a full bucket has, at least 1.
    pub burst: u32,
}

/// A new endpoint's share grows in a straight line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlowStart {
    /// Time until the whole share.
    pub window_ns: u64,
    /// Share at the beginning, 1 to 100.
    pub percent_min: u8,
}

/// When an endpoint is passed over, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outlier {
    /// Failures in a row.
    pub failures: u16,
    /// Time of the first ejection; the n-th in short order takes n times that.
    pub ejection_ns: u64,
    /// Longest ejection.
    pub ejection_ns_max: u64,
    /// Endpoints of a port that may be ejected at once, rounded down; 0 to 100.
    pub percent_max: u8,
}

impl Default for Outlier {
    fn default() -> Self {
        // Envoy's figures, except for the share: its 10 % never ejects one of a handful.
        Self {
            failures: 5,
            ejection_ns: 30 * SECOND,
            ejection_ns_max: 300 * SECOND,
            percent_max: 50,
        }
    }
}

/// When waiting ends. Those that cut a connection are off unless set: layer 4 cannot tell a dead client from a pool's idle one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// Connecting to an endpoint; the next one is tried then.
    pub connect_ns: u64,
    /// From the client's first byte to the endpoint's. Cuts.
    pub first_byte_ns: Option<u64>,
    /// Without a byte in either direction. Cuts.
    pub idle_ns: Option<u64>,
    /// From the beginning. Cuts.
    pub age_ns_max: Option<u64>,
    /// A UDP flow to which no reply came (Linux: `nf_conntrack_udp_timeout`, 30 s).
    pub udp_unreplied_ns: u64,
    /// A UDP flow that had a reply (Linux: `nf_conntrack_udp_timeout_stream`, 120 s).
    pub udp_replied_ns: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ns: 2 * SECOND,
            first_byte_ns: None,
            idle_ns: None,
            age_ns_max: None,
            udp_unreplied_ns: 30 * SECOND,
            udp_replied_ns: 120 * SECOND,
        }
    }
}

/// Version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// None.
    Off,
    /// The line of text; TCP only.
    V1,
    /// The binary form.
    V2,
}

/// An active check. An endpoint counts as healthy until the first `fall` results say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Port that is asked; `None` is the port that serves.
    pub port: Option<u16>,
    /// Time between two checks.
    pub interval_ns: u64,
    /// Time after which a check has failed; at most the interval.
    pub timeout_ns: u64,
    /// Successes in a row that make it healthy.
    pub rise: u16,
    /// Failures in a row that make it unhealthy.
    pub fall: u16,
}

impl Default for HealthCheck {
    fn default() -> Self {
        // HAProxy's: every 2 s, down after 3, up after 2.
        let (interval_ns, timeout_ns) = (2 * SECOND, SECOND);
        Self { probe: Probe::Tcp, port: None, interval_ns, timeout_ns, rise: 2, fall: 3 }
    }
}

/// What an active check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A TCP connection is accepted.
    Tcp,
    /// `GET` is answered with a status from 200 to 399.
    Http {
        /// Path; begins with `/`.
        path: Name,
        /// `Host` header; `None` is the endpoint's address.
        host: Option<Name>,
    },
    /// `grpc.health.v1.Health/Check` answers `SERVING`.
    Grpc {
        /// Service asked about; empty is the server as a whole.
        service: Name,
    },
}

/// Which data path is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataPath {
    /// The fastest that is right for the topology and the features asked for.
    Auto,
    /// The kernel forwards.
    Fast,
    /// The proxy forwards.
    Proxy,
}

/// Which source address endpoints see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceAddress {
    /// The client's where replies come back through this node, else the node's.
    Auto,
    /// The client's.
    Keep,
    /// The node's.
    Masquerade,
}
