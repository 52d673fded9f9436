// SPDX-License-Identifier: Apache-2.0
//! The balancer's data plane: a process of its own that forwards connections and datagrams by the core's table.
//!
//! [`run`] is the process; [`control::Client`] is how others talk to it. It has no configuration file, no Kubernetes type and no
//! asynchronous runtime: one thread per core with its own listeners and its own `epoll`, and one thread that compiles tables and
//! hands them out.
//!
//! Start with `process` for what happens to a change, `worker` for what happens to a connection.
#![expect(
    unsafe_code,
    reason = "receiving many datagrams by one call, which rustix lacks; a network namespace of its own; giving memory back"
)]

pub mod control;
mod counters;
pub mod limits;
pub mod memory;
mod options;
mod process;
mod shared;
mod space;
pub mod stats;
mod sys;
mod worker;

pub use options::{Namespace, Options, Rings, RunError, Shortcut};
pub use process::run;
