// SPDX-License-Identifier: Apache-2.0
//! Streams through an upgraded connection: exec, attach and port-forward over WebSocket and SPDY.
//!
//! This is the server's side, as a node's agent uses it: [`exec`] and [`forward`] take a request, agree on a protocol, and give the answer
//! together with what becomes a session once the answer was sent. From there on it does not matter which protocol it is.
//!
//! What upstream's clients do is the specification: `v5.channel.k8s.io` and those before it (a number before each message), SPDY/3.1 by a
//! request of its own, and SPDY/3.1 inside of a WebSocket. The codecs (`websocket`, `spdy`), the streams (`wire`), and their buffers
//! (`link`) are pure; `drive` moves the bytes.
#![forbid(unsafe_code)]

mod drive;
mod error;
mod exec;
mod forward;
mod limits;
mod link;
mod negotiate;
mod resize;
mod session;
mod spdy;
mod status;
mod websocket;
mod wire;

pub use error::{Gone, SetupError, WireError};
pub use exec::{Exec, ExecControl, ExecUpgrade, Streams, exec};
pub use forward::{Duplex, Forward, ForwardUpgrade, Forwarded, forward};
pub use limits::Times;
pub use link::{Input, Output};
pub use negotiate::Refused;
pub use resize::{Resizes, Size};
pub use status::Outcome;

#[cfg(test)]
mod tests;
