// SPDX-License-Identifier: Apache-2.0
//! The balancer's control plane: what sources of truth want, made into changes of the data plane's table.
//!
//! ```text
//!   file   gRPC   (Kubernetes)          active checks
//!     └──────┴────────┴── updates ──┐    │ verdicts
//!                                   ▼    ▼
//!                        control: plan, tell, commit ──▶ data plane (a process of its own)
//!                                   │                        │ counters
//!                                   └──▶ status, metrics, the live table ◀──┘
//! ```
//!
//! - [`config`], [`grpc`]: what a source says, read into [`wanted`].
//! - [`state`]: all sources together, by name; pure. An update is planned, which judges all of it, and committed.
//! - [`choose`]: which data path a service takes, and why. [`pool`]: addresses out of pools.
//! - [`control`]: the thread that owns the state and tells the data plane ([`plane`]).
//! - [`source`]: what a source of truth has to be. [`Server`] puts it all together.
#![forbid(unsafe_code)]

mod admin;
pub mod choose;
pub mod config;
pub mod control;
pub mod duration;
pub mod fuzz;
pub mod grpc;
pub mod health;
pub mod latency;
pub mod observe;
pub mod plane;
pub mod pool;
mod problem;
pub(crate) mod server;
pub mod source;
pub mod state;
pub mod wanted;

pub use berth_proto_serve::{TlsError, TlsFiles};
pub use problem::{PROBLEMS_MAX, Problem, Problems};
pub use server::{Builder, Server, StartError};
