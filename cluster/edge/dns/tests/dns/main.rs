// SPDX-License-Identifier: Apache-2.0
//! A server on the loopback, before an apiserver and upstreams that play a part.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as it should be fails the test")]

mod api;
mod forward;
mod server;
mod support;
