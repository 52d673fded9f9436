// SPDX-License-Identifier: Apache-2.0
//! What other schedulers reach, to be held against: measured figures of kube-scheduler, and what others publish of themselves.

/// kube-scheduler's own loop on a row: pods a second at 1,000, 5,000 and 15,000 nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Upstream {
    row: &'static str,
    pods_per_second: [Option<f64>; 3],
}

/// Sizes of clusters that upstream was measured on.
pub const SIZES: [usize; 3] = [1_000, 5_000, 15_000];

/// How these figures came about.
pub const UPSTREAM_SOURCE: &str = "kube-scheduler v1.36.2's own scheduling loop on 2 cores: its queue, cache, snapshot, \
    default filter and score plugins, binding against an in-memory client; no API server, no etcd, which flatters it. Nodes of \
    4 CPU, 32 GiB, 110 pods; pods of 100m, 500 MiB: as here. It scores a sample of the nodes (500 of 5,000), Berth all of them.";

const fn upstream(row: &'static str, small: f64, middle: f64, large: Option<f64>) -> Upstream {
    Upstream { row, pods_per_second: [Some(small), Some(middle), large] }
}

const UPSTREAM: [Upstream; 9] = [
    upstream("basic", 1_120.0, 898.0, Some(609.0)),
    upstream("node-affinity", 993.0, 643.0, Some(440.0)),
    upstream("spread-zone", 735.0, 279.0, Some(221.0)),
    upstream("spread-zone-hostname", 755.0, 401.0, Some(102.0)),
    upstream("anti-affinity", 444.0, 171.0, Some(101.0)),
    upstream("affinity", 226.0, 66.0, Some(29.0)),
    upstream("preferred-affinity", 306.0, 66.0, Some(26.0)),
    upstream("preferred-anti-affinity", 238.0, 69.0, Some(35.0)),
    upstream("preemption", 139.0, 45.0, None),
];

/// kube-scheduler's figure for a row, at the measured size that is nearest to `nodes`: (nodes, pods a second).
pub fn upstream_on(row: &str, nodes: usize) -> Option<(usize, f64)> {
    let figures = UPSTREAM.iter().find(|figures| figures.row == row)?;
    let with_sizes = SIZES.into_iter().zip(figures.pods_per_second);
    with_sizes
        .filter_map(|(size, value)| Some((size, value?)))
        .min_by_key(|(size, _)| size.abs_diff(nodes))
}

/// What a scheduler reaches as a whole, as its authors say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peer {
    /// Which.
    pub name: &'static str,
    /// Pods or containers a second.
    pub pods_per_second: f64,
    /// How, and where that is said.
    pub source: &'static str,
}

/// Whole systems, with their store and their network.
pub const PEERS: [Peer; 6] = [
    Peer {
        name: "Nomad, C2M challenge",
        pods_per_second: 1_500.0,
        source: "2,000,000 containers; 3,750/s in the older C1M challenge (HashiCorp)",
    },
    Peer {
        name: "Goedel",
        pods_per_second: 1_000.0,
        source: "on average, 1,300 at its peak, 30,000 simulated nodes, 48 cores; 5,000 claimed in production (ByteDance)",
    },
    Peer {
        name: "GKE",
        pods_per_second: 1_000.0,
        source: "at 130,000 nodes (Google's publication)",
    },
    Peer { name: "YuniKorn", pods_per_second: 617.0, source: "204 to 617, by its own benchmark" },
    Peer { name: "EKS", pods_per_second: 500.0, source: "at 100,000 nodes (Amazon's publication)" },
    Peer {
        name: "kube-scheduler v1.36.2, end to end",
        pods_per_second: 369.0,
        source: "5,000 nodes, with a real kube-apiserver and etcd on tmpfs, on the same 2 cores",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_size_is_taken() {
        assert_eq!(upstream_on("basic", 5_000), Some((5_000, 898.0)));
        assert_eq!(upstream_on("basic", 100_000), Some((15_000, 609.0)));
        assert_eq!(upstream_on("basic", 10), Some((1_000, 1_120.0)));
        assert_eq!(upstream_on("preemption", 15_000), Some((5_000, 45.0)));
        assert_eq!(upstream_on("classes-100", 5_000), None);
    }
}
