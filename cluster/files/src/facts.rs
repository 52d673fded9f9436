// SPDX-License-Identifier: Apache-2.0
//! What is known of the node.

use crate::etc::Resolver;

/// What is known of the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Its name.
    pub node: String,
    /// Its addresses, the first one first (`status.hostIP`).
    pub addresses: Vec<String>,
    /// What pods may use of it together: a container without limit has this one (`resourceFieldRef`).
    pub allocatable: NodeAmounts,
    /// Bytes of its memory, by which [`crate::Resources::oom_score_adj`] is worked out.
    pub memory_capacity_bytes: u64,
    /// How many processes and threads a container may have; `None` for no bound (upstream's `podPidsLimit`).
    pub pids_max: Option<u64>,
    /// The addresses of the cluster's DNS servers.
    pub cluster_dns: Vec<String>,
    /// The cluster's domain, such as `cluster.local`; empty for none.
    pub cluster_domain: String,
    /// The host's own `resolv.conf`, for pods whose `dnsPolicy` is `Default`.
    pub resolver: Resolver,
    /// The text of the host's `/etc/hosts`, for pods on the host's network.
    pub hosts: String,
}

/// What pods may use of a node together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeAmounts {
    /// Thousandths of a core.
    pub cpu_milli: i64,
    /// Bytes.
    pub memory_bytes: i64,
    /// Bytes.
    pub ephemeral_storage_bytes: i64,
}
