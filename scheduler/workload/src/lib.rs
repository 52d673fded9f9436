// SPDX-License-Identifier: Apache-2.0
//! The named rows that benches and the load generator measure: which nodes there are, which pods come.
//!
//! Nodes are those of kube-scheduler's own benchmark (4 CPU, 32 GiB, 110 pods), pods request 100m and 500 MiB; so a row can
//! be held against upstream's figure of the same name. Everything follows from a seed.
#![forbid(unsafe_code)]

pub mod nodes;
pub mod preemption;
pub mod rng;
pub mod rows;
pub mod specs;

pub use preemption::Preemption;
pub use rng::Rng;
pub use rows::{Next, Row, Workload};
