// SPDX-License-Identifier: Apache-2.0
//! Every limit of the scheduler's input, with its reason. The shells refuse what is beyond, naming the field.

/// Nodes in one engine: a node's place in the tie order takes 20 bits of a score lane.
pub const NODES_MAX: usize = 1 << 20;

/// Largest quantity: whole numbers up to here are exact as IEEE doubles, which upstream's own scoring computes with.
pub const QUANTITY_MAX: i64 = 1 << 53;

/// Largest node capacity of one resource in its base unit (milli-CPU, bytes, count): a hundredfold of it is still exact as a
/// double, so that percentages can be computed in vector registers. 2^46 bytes are 64 TiB.
pub const CAPACITY_MAX: i64 = 1 << 46;

/// Length of a name, uid, label key or label value in bytes; Kubernetes' own longest (a label key with prefix) has 317.
pub const TEXT_MAX: usize = 512;

/// Labels of one object.
pub const LABELS_MAX: usize = 1_024;

/// Tolerations of one pod, and taints of one node: each pair is looked at.
pub const TOLERATIONS_MAX: usize = 1_024;

/// Terms of one selector or affinity, and values of one requirement.
pub const TERMS_MAX: usize = 1_024;

/// Containers of one pod, init containers included.
pub const CONTAINERS_MAX: usize = 512;

/// Topology spread constraints of one pod.
pub const SPREAD_MAX: usize = 64;

/// Highest priority a user may give; system classes lie above, up to `i32::MAX`.
pub const PRIORITY_USER_MAX: i32 = 1_000_000_000;

/// Sum of the weights of the plugins that score a node by itself (fit, balance, image): their sum of scores takes 12 bits of a
/// score lane, (2^12 - 2) / 100.
pub const LOCAL_WEIGHT_MAX: i64 = 40;

/// Weight of one plugin that is normalised over all nodes: the total stays far inside 32 bits.
pub const WEIGHT_MAX: i64 = 1_000_000;
