// SPDX-License-Identifier: Apache-2.0
//! Logs, exec, attach and port-forward, from a client through the server to an agent, over sockets and TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    reason = "what cannot be done is a failure of the test; futures of tests live once"
)]

#[path = "../../../berth/tests/clients/mod.rs"]
mod clients;
mod fake;
#[path = "../kit/mod.rs"]
mod kit;
mod kubectl;
#[path = "../kit/place.rs"]
mod place;
mod proxied;
mod real;
