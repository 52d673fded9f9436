// SPDX-License-Identifier: Apache-2.0
//! A cluster in one process, for tests: the real apiserver over a store in memory, components before it, nodes that are played, and one
//! clock for all, which stands still unless all wait.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be set up is a failure of the test that wants it"
)]

pub mod checker;
pub mod cluster;
pub mod door;
pub mod kubelet;
pub mod meddler;
mod random;
pub mod volumes;
pub mod wire;
pub mod workloads;

pub use cluster::Cluster;
pub use random::Random;
