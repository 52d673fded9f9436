// SPDX-License-Identifier: Apache-2.0
//! The scheduling engine as a service: gRPC in front, the journal behind, metrics beside. The contract stands in
//! `proto/berth/scheduler/v1/scheduler.proto`.
//!
//! ```text
//!  connections (tokio)              sequencer (one thread)                journal (its threads)
//!  ───────────────────              ──────────────────────                ─────────────────────
//!  read a message, find its parts ─▶ inbox ─▶ decide, write down ─▶ round ─▶ write, sync
//!  write the answer       ◀──────────────────────────────────────────── deliver the round's answers
//!                                                                         └▶ history ─▶ watches
//! ```
//!
//! While the disk works on one round, the sequencer decides the next. Without a journal it delivers by itself.
//!
//! - [`sequencer`]: everything that is decided and remembered; pure.
//! - [`convert`]: messages to and from the scheduler's vocabulary.
//! - [`fuzz`]: what fuzzers run.
//! - [`Server`]: the shell; start at [`Server::builder`].
#![forbid(unsafe_code)]

pub mod convert;
pub mod fuzz;
pub mod sequencer;
mod server;

pub use berth_proto_serve::{TlsError, TlsFiles};
pub use berth_scheduler_core::Backoff;
pub use server::{Builder, Limits, Recovered, Server, StartError};
