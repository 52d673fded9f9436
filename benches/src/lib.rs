// SPDX-License-Identifier: Apache-2.0
//! The engine and the balancer under load, in process: shared by the criterion benches, the instruction-count gate and their
//! tests.
//!
//! - [`Bench`]: one pod placed, another released, again and again.
//! - [`Preemption`]: room made for a pod of high priority, again and again.
//! - [`Crowd`]: a queue full of pods that no node takes, beside the ordinary work.
//! - [`Churn`]: changes of nodes and of pods bound by others.
//! - [`balancer`]: choices, tables, flows and parsers of the balancer.
#![forbid(unsafe_code)]

pub mod balancer;
mod bench;
mod churn;
mod crowd;
mod digest;
mod names;
mod preemption;

pub use bench::Bench;
pub use churn::Churn;
pub use crowd::Crowd;
pub use digest::Digest;
pub use names::Names;
pub use preemption::{Budgets, Preemption};
