// SPDX-License-Identifier: Apache-2.0
//! The control socket: how a control plane tells the data plane what is wanted, and asks how it fares.
//!
//! A unix socket. Each side says hello with a magic number and its version, the process adds who it is, and then one reply follows
//! each request. A control plane may come and go: the process keeps forwarding by its last table, and tells it to whoever asks.
//!
//! ```text
//! frame   length of the payload (u32, little endian), then the payload: a message as `wire` writes it
//! ```
//!
//! [`Client`] is the control plane's side; `server` is the process'; `message` has what is said, `model` the core's vocabulary.

mod client;
mod estate;
mod folder;
mod frame;
mod message;
mod model;
pub(crate) mod server;
pub(crate) mod wire;

pub(crate) use client::unexpected;
pub use client::{Client, ClientError};
pub use folder::{check_folder, make_folder};
pub use message::{Applied, FlowFilter, Greeting, Problem, Unservable, Unserved};
pub use wire::Malformed;

pub(crate) use estate::{ClientEstate, Estate, PortEstate, RecordEstate, SourceEstate};
pub(crate) use frame::{read_frame, write_frame};
pub(crate) use message::{Handed, HandedFlow, Reply, Request};

/// First word of the first message: `BERTHDP1`.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"BERTHDP1");

/// Version of the messages: both ends must have the same one. A process and its successor are the only two that may differ, and
/// then the successor does not take over but says so.
pub const VERSION: u32 = 3;
