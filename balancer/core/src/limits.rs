// SPDX-License-Identifier: Apache-2.0
//! Bounds, each with its reason. What goes past one is a typed problem, never a growing list.

/// Compiled frontends (a service's port each). The table's tree has twenty bits of slots; while a whole configuration is replaced
/// old and new ones are there at once. Kubernetes is tested to 10,000 services.
pub const FRONTENDS_MAX: usize = 1 << 19;

/// Endpoints of all frontends. Workers keep 48 bytes of state for each: at most 48 MiB a worker. Kubernetes is tested to
/// 150,000 pods.
pub const BACKENDS_MAX: usize = 1 << 20;

/// Ports of one service. The Kubernetes API has no bound; 1,024 passes what an object of 1.5 MiB is used for.
pub const PORTS_MAX: usize = 1_024;

/// Addresses of one kind of one service; Kubernetes allows two cluster addresses, external ones without bound.
pub const ADDRESSES_MAX: usize = 256;

/// Source ranges of one service: they are walked for each new flow of a service that has some, about a nanosecond each.
pub const SOURCE_RANGES_MAX: usize = 1_024;

/// Bytes of a name: `namespace/name` of Kubernetes has 253 each.
pub const NAME_BYTES_MAX: usize = 512;

/// Weight of an endpoint. Sixteen bits keep products of load, latency and weight far inside 128 bits.
pub const WEIGHT_MAX: u32 = 65_535;

/// Longest affinity: a day, as `ClientIPConfig.timeoutSeconds` of Kubernetes.
pub const AFFINITY_NS_MAX: u64 = 86_400 * 1_000_000_000;

/// Longest of all other durations: a year. Sums of two of them and any time since boot stay inside 64 bits.
pub const DURATION_NS_MAX: u64 = 366 * 86_400 * 1_000_000_000;

/// Rate of a limit, per second: the interval between two of them is a whole number of nanoseconds, and not 0.
pub const RATE_MAX: u32 = 1_000_000;

/// Maglev's table sizes, primes (NSDI'16, section 3.4: about a hundred times the endpoints keeps shares within a percent).
pub const MAGLEV_SIZES: [u32; 4] = [251, 2_039, 16_381, 65_537];

/// Sizes for services with so many endpoints that the largest of the above would have fewer than ten slots for each.
pub const MAGLEV_SIZES_LARGE: [u32; 2] = [655_373, 5_000_011];

/// Points on the hash ring per endpoint of the smallest weight, before they are thinned to `RING_POINTS_MAX`. libketama has 160.
pub const RING_POINTS: u32 = 160;

/// Points on one hash ring: 16 bytes each.
pub const RING_POINTS_MAX: usize = 1 << 20;

/// Bytes of a PROXY protocol header of version 2 with its TLVs. The specification allows 65,551; addresses and a client's
/// certificate fit into 4,096, and no peer makes us keep more.
pub const PROXY_V2_BYTES_MAX: usize = 4_096;
